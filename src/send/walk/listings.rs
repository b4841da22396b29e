//! What every directory of the source holds, kept to the end of the transfer: 8 bytes a name, so that a tree of ten million
//! files takes 80 MB. As it was when it was listed: what vanishes later keeps its target.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Listing, Node};
use crate::protocol::entry::{Name, name_hash};

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
