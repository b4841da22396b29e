//! What of the sources is taken: by name, by size, by file system. Asked before anything is opened.

use super::walk::Node;
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

    /// Whether a file of so many bytes is taken.
    pub(super) fn takes_length(&self, length_bytes: u64) -> bool {
        self.min_bytes.is_none_or(|least| length_bytes >= least)
            && self.max_bytes.is_none_or(|most| length_bytes <= most)
    }
}
