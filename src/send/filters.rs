//! What of the sources is taken: by name, by size, by file system. Asked before anything is opened.

use super::walk::Node;
use crate::protocol::message::Pattern;
use crate::protocol::selection::Selection;

/// What of the sources is taken; by default everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// By name.
    pub selection: Selection,
    /// The least bytes of a file.
    pub min_bytes: Option<u64>,
    /// The most bytes of a file.
    pub max_bytes: Option<u64>,
    /// Directories on other file systems than their source are made, and not entered.
    pub one_file_system: bool,
}

/// How what has no source is removed at the receiving side, once everything was transferred without a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Most entries that may be removed: with more, none is.
    pub max: Option<u64>,
    /// What the patterns leave out has no source, and is not guarded either.
    pub excluded: bool,
}

impl Filters {
    /// Whether something of this name in this directory (none: the root of the transfer) is taken.
    pub(super) fn takes(&self, directory: Option<&Node>, name: &[u8], is_directory: bool) -> bool {
        if self.selection.is_empty() {
            return true;
        }
        let mut path = directory.map_or_else(Vec::new, Node::path);
        path.push(b'/');
        path.extend_from_slice(name);
        self.selection.takes(&path, is_directory)
    }

    /// The patterns that guard what would be removed.
    #[must_use]
    pub fn guards(&self, deletion: Deletion) -> Vec<Pattern> {
        if deletion.excluded { Vec::new() } else { self.selection.patterns().collect() }
    }

    /// Whether a file of so many bytes is taken.
    pub(super) fn takes_length(&self, length_bytes: u64) -> bool {
        self.min_bytes.is_none_or(|least| length_bytes >= least)
            && self.max_bytes.is_none_or(|most| length_bytes <= most)
    }
}
