//! What of an entry is carried beside its content, mode and time: asked for by the sender, allowed by the receiver.
//!
//! **Nothing is on by itself**: whatever is not asked for, or not allowed, stays away from the receiving disk.

use minicbor::{Decode, Encode};

/// What is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Keep {
    /// Symbolic links, as links.
    #[n(0)]
    pub links: bool,
    /// Links that lead out of the receiving directory: with an absolute target, or by `..`.
    #[n(1)]
    pub outside_links: bool,
    /// Extended attributes of users.
    #[n(2)]
    pub xattrs: bool,
    /// POSIX ACLs.
    #[n(3)]
    pub acls: bool,
    /// Owner and group.
    #[n(4)]
    pub owner: bool,
    /// Suid, sgid and sticky, where the owner is carried and set.
    #[n(5)]
    pub suid: bool,
    /// Long runs of zeros are holes of the copy.
    #[n(6)]
    pub sparse: bool,
    /// Several names of one file are names of one copy.
    #[n(7)]
    pub hard_links: bool,
}

impl Keep {
    /// Everything: where the same person started both sides, the sender alone decides.
    pub const ALL: Self = Self {
        links: true,
        outside_links: true,
        xattrs: true,
        acls: true,
        owner: true,
        suid: true,
        sparse: true,
        hard_links: true,
    };

    /// What needs nobody's leave. How a file lies on the disk changes nothing of what it is. A further name is made only of
    /// a file below the receiving directory whose content, or length and time where the sender asked to trust these, the
    /// sender knows: as an offer of that file under its own name would be answered.
    pub const HARMLESS: Self = Self {
        links: false,
        outside_links: false,
        xattrs: false,
        acls: false,
        owner: false,
        suid: false,
        sparse: true,
        hard_links: true,
    };

    /// What is both asked for here and allowed there.
    #[must_use]
    pub fn and(self, allowed: Self) -> Self {
        Self {
            links: self.links && allowed.links,
            outside_links: self.outside_links && allowed.outside_links,
            xattrs: self.xattrs && allowed.xattrs,
            acls: self.acls && allowed.acls,
            owner: self.owner && allowed.owner,
            suid: self.suid && allowed.suid,
            sparse: self.sparse && allowed.sparse,
            hard_links: self.hard_links && allowed.hard_links,
        }
    }

    /// Whether files have more than content, mode and time.
    #[must_use]
    pub fn has_labels(self) -> bool {
        self.xattrs || self.acls || self.owner
    }

    /// The words for what is in this and not in the other, as options name them; links apart, which are told one by one.
    #[must_use]
    pub fn words_beyond(self, other: Self) -> Vec<&'static str> {
        let each = [
            (self.xattrs && !other.xattrs, "xattrs"),
            (self.acls && !other.acls, "acls"),
            (self.owner && !other.owner, "owner"),
            (self.suid && !other.suid, "suid"),
            (self.sparse && !other.sparse, "sparse"),
            (self.hard_links && !other.hard_links, "hard-links"),
        ];
        each.into_iter().filter_map(|(is_beyond, word)| is_beyond.then_some(word)).collect()
    }

    /// Whether all of this is in the other, too.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_was_asked_for_and_is_allowed() {
        let links = Keep { links: true, ..Keep::default() };
        assert_eq!(links.and(Keep::ALL), links);
        assert_eq!(Keep::ALL.and(links), links);
        assert_eq!(links.and(Keep::default()), Keep::default());
        assert!(links.is_within(Keep::ALL) && !Keep::ALL.is_within(links));
    }
}
