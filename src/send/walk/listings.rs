//! What every directory of the source holds, kept to the end of the transfer: 8 bytes a name, so that a tree of ten million
//! files takes 80 MB. As it was when it was listed: what vanishes later keeps its target.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Builder, Listing, Node};
use crate::protocol::entry::{DirectoryTable, Name, name_hash};
use crate::protocol::limits::GROUP_NAMES_BYTES_MAX;
use crate::protocol::message::KeptNames;

/// The listings of a walk.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// Names that the patterns leave out keep their targets, too.
    pub(super) with_excluded: bool,
    complete: Vec<Listing>,
    /// Names in the root of the transfer, where the contents of a source go there.
    root: Option<Vec<u64>>,
}

impl Listings {
    /// Of no directory yet.
    pub(super) fn new(with_excluded: bool) -> Self {
        Self { with_excluded, ..Self::default() }
    }

    /// A directory was listed to its end.
    pub(super) fn complete(&mut self, node: Option<&Arc<Node>>, mut names: Vec<u64>) {
        match node {
            None => self.root.get_or_insert_default().extend(names),
            Some(node) => {
                names.sort_unstable();
                self.complete.push(Listing { node: Some(Arc::clone(node)), names: names.into() });
            }
        }
    }

    /// All of them; in the root of the transfer every source that goes there by its own name stays, too.
    pub(super) fn finish(mut self, tops: &HashSet<Name>) -> Vec<Listing> {
        if let Some(mut names) = self.root {
            names.extend(tops.iter().map(|name| name_hash(name.as_bytes())));
            names.sort_unstable();
            self.complete.push(Listing { node: None, names: names.into() });
        }
        self.complete
    }
}

/// Most bytes of a hash in a message.
const HASH_BYTES: usize = 9;

/// Packs directories, and the names that they may keep, into messages.
#[derive(Debug, Default)]
pub(in crate::send) struct KeptPage {
    builder: Builder,
    kept: Vec<KeptNames>,
}

impl KeptPage {
    /// Whether so many names of one more directory have room beside what is there. Alone they always have.
    pub(in crate::send) fn has_room_for(&self, names: usize) -> bool {
        let names_bytes = self.builder.names_bytes + names * HASH_BYTES;
        self.kept.is_empty() || !(self.builder.is_full() || names_bytes > GROUP_NAMES_BYTES_MAX)
    }

    /// Adds the names of a directory whose hashes lie from `first` to `last`.
    pub(in crate::send) fn add(&mut self, node: Option<&Arc<Node>>, (first, last, hashes): (u64, u64, &[u64])) {
        let directory = self.builder.position(node);
        self.builder.names_bytes += (hashes.len() + 4) * HASH_BYTES;
        self.kept.push(KeptNames { directory, first, last, hashes: hashes.to_vec() });
    }

    /// What was added; nothing if nothing was.
    pub(in crate::send) fn take(&mut self) -> Option<(DirectoryTable, Vec<KeptNames>)> {
        let Self { mut builder, kept } = std::mem::take(self);
        let directories = builder.take().map(|group| group.directories).unwrap_or_default();
        (!kept.is_empty()).then_some((directories, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entry::Attributes;
    use crate::protocol::limits::{DEPTH_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, PRUNE_NAMES_MAX};
    use crate::protocol::message::{FromSender, Hash32, Prune};

    fn node(parent: Option<&Arc<Node>>, number: usize, name_bytes: usize) -> Arc<Node> {
        let name = format!("{number:0name_bytes$}");
        Arc::new(Node {
            parent: parent.cloned(),
            path_bytes: parent.map_or(0, |parent| parent.path_bytes) + name.len() + 1,
            name: Name::new(name.as_bytes()).expect("a name"),
            attributes: Attributes { mode: 0o7777, modified_seconds: i64::MIN, modified_nanoseconds: 999_999_999 },
            labels: None,
            depth: parent.map_or(0, |parent| parent.depth) + 1,
            top: None,
        })
    }

    /// How many ranges of so many names the largest message holds, and its length in bytes.
    fn fullest(nodes: impl Iterator<Item = Arc<Node>>, names: usize) -> (usize, usize) {
        let mut page = KeptPage::default();
        for node in nodes {
            if !page.has_room_for(names) {
                break;
            }
            page.add(Some(&node), (u64::MAX, u64::MAX, &vec![u64::MAX; names]));
        }
        let (directories, kept) = page.take().expect("a page");
        assert!(page.take().is_none());
        let ranges = kept.len();
        let prune = Prune { directories, kept, remove: true };
        let mut bytes = Vec::new();
        minicbor::encode(FromSender::Prune { prune, meant: Hash32([2; 32]) }, &mut bytes).expect("memory");
        (ranges, bytes.len())
    }

    #[test]
    fn hundreds_of_directories_share_a_message_and_none_is_too_long() {
        let (ranges, bytes) = fullest((0..).map(|number| node(None, number, 8)), 10);
        assert!(ranges > 500 && bytes < MESSAGE_BYTES_MAX, "{ranges} {bytes}");
        for (name_bytes, names) in [(4, 0), (NAME_BYTES_MAX, 0), (NAME_BYTES_MAX, 1000)] {
            let (_, bytes) = fullest((0..).map(|number| node(None, number, name_bytes)), names);
            assert!(bytes < MESSAGE_BYTES_MAX, "{name_bytes} {names}: {bytes}");
        }
    }

    #[test]
    fn the_most_names_of_one_directory_fit_with_the_longest_path() {
        let mut deepest = node(None, 0, 31);
        for _ in 2..DEPTH_MAX {
            deepest = node(Some(&deepest), 0, 31);
        }
        let nodes = (0..3).map(|number| node(Some(&deepest), number, 1));
        let (ranges, bytes) = fullest(nodes, PRUNE_NAMES_MAX);
        assert!(ranges == 1 && bytes < MESSAGE_BYTES_MAX, "{ranges} {bytes}");
    }
}
