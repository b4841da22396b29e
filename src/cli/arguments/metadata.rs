//! What is carried beside content, mode and time: `--links` and its kin at the sending side, `--accept` at a listening one.

use clap::{Args, ValueEnum};

use crate::protocol::keep::Keep;

/// What is carried.
#[derive(Clone, Debug, Default, Args)]
pub struct MetadataArguments {
    /// What is on by itself, and --links
    ///
    /// Directories with all that is in them, permissions and times are always carried; this adds symbolic links. As in
    /// rsync's -a, without owner and devices.
    #[arg(short = 'a', long, overrides_with = "archive")]
    pub archive: bool,

    /// Carry symbolic links as links
    ///
    /// They are never followed on either side. Without this they are skipped, which ends in exit code 23.
    #[arg(short = 'l', long, overrides_with = "links")]
    pub links: bool,

    /// Leave out links that lead out of the receiving directory
    ///
    /// Those with an absolute target, or with one that goes up too far. They are skipped and told of.
    #[arg(long, overrides_with = "safe_links")]
    pub safe_links: bool,

    /// Carry extended attributes of users (user.*)
    ///
    /// Those that a target has beyond them are removed. Records of this program (user.careful.*) are never carried: they are
    /// made where they belong.
    #[arg(short = 'X', long, overrides_with = "xattrs")]
    pub xattrs: bool,

    /// Carry POSIX ACLs
    ///
    /// With the numbers of users and groups as they are at the source.
    #[arg(short = 'A', long, overrides_with = "acls")]
    pub acls: bool,

    /// Carry owner and group
    ///
    /// By name where the receiving host knows it, else by number. To give files to other users the receiving side must be
    /// root; what could not be set is told of, and ends in exit code 23.
    #[arg(long, overrides_with = "owner")]
    pub owner: bool,

    /// Carry set-user-ID, set-group-ID and sticky bits, too
    ///
    /// Only together with --owner, and set only where the owner is: otherwise such a program would run as whoever copies it.
    #[arg(long, requires = "owner", overrides_with = "suid")]
    pub suid: bool,

    /// Keep several names of one file as names of one copy
    ///
    /// Those that are met within the transfer: the first travels as a file, the others become hard links to it once all
    /// files are done. Without this each name gets a copy of its own.
    #[arg(short = 'H', long, overrides_with = "hard_links")]
    pub hard_links: bool,

    /// Leave holes in the copies where the sources have long runs of zeros
    ///
    /// Whole pieces of 64 KiB, wherever they come from. They take no space on the receiving disk, which is not reserved ahead
    /// then, and are read back like any others. A target that is equal already stays as it is.
    #[arg(short = 'S', long, overrides_with = "sparse")]
    pub sparse: bool,
}

impl MetadataArguments {
    /// As the halves take it.
    #[must_use]
    pub fn keep(&self) -> Keep {
        let links = self.links || self.archive || self.safe_links;
        Keep {
            links,
            outside_links: links && !self.safe_links,
            xattrs: self.xattrs,
            acls: self.acls,
            owner: self.owner,
            suid: self.suid && self.owner,
            sparse: self.sparse,
            hard_links: self.hard_links,
        }
    }
}

/// What a sender may bring along.
#[derive(Clone, Debug, Default, Args)]
pub struct AcceptArguments {
    /// What the sender may bring beside content, permissions and times
    ///
    /// A list of the words below. Without it nothing of that is taken, and a sender that was asked to carry it ends with exit
    /// code 23.
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub accept: Vec<Accepted>,
}

/// A word of `--accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accepted {
    /// Symbolic links that stay within the receiving directory
    Links,
    /// Symbolic links, wherever they lead
    OutsideLinks,
    /// Extended attributes of users
    Xattrs,
    /// POSIX ACLs
    Acls,
    /// Owner and group
    Owner,
    /// Set-user-ID, set-group-ID and sticky bits, where the owner is set
    Suid,
}

impl AcceptArguments {
    /// As the halves take it.
    #[must_use]
    pub fn allowed(&self) -> Keep {
        let has = |word| self.accept.contains(&word);
        let outside_links = has(Accepted::OutsideLinks);
        Keep {
            links: has(Accepted::Links) || outside_links,
            outside_links,
            xattrs: has(Accepted::Xattrs),
            acls: has(Accepted::Acls),
            owner: has(Accepted::Owner),
            suid: has(Accepted::Suid),
            ..Keep::HARMLESS
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Both {
        #[command(flatten)]
        sending: MetadataArguments,
        #[command(flatten)]
        receiving: AcceptArguments,
    }

    fn parsed(words: &[&str]) -> (Keep, Keep) {
        let both = Both::try_parse_from(["x"].iter().chain(words)).expect("arguments");
        (both.sending.keep(), both.receiving.allowed())
    }

    #[test]
    fn nothing_is_carried_or_taken_by_itself() {
        assert_eq!(parsed(&[]), (Keep::default(), Keep::HARMLESS));
    }

    #[test]
    fn archive_means_links() {
        let links = Keep { links: true, outside_links: true, ..Keep::default() };
        for words in [&["-a"][..], &["-l"], &["--links"], &["-a", "-a", "-l"]] {
            assert_eq!(parsed(words).0, links);
        }
        assert_eq!(parsed(&["-a", "--safe-links"]).0, Keep { outside_links: false, ..links });
    }

    #[test]
    fn special_bits_are_carried_with_their_owner_only() {
        assert!(Both::try_parse_from(["x", "--suid"]).is_err());
        let keep = parsed(&["--suid", "--owner", "-X", "-A", "-l", "-S", "-H"]).0;
        assert_eq!(keep, Keep::ALL);
    }

    #[test]
    fn a_receiver_takes_what_it_was_told_to() {
        assert_eq!(parsed(&["--accept", "links"]).1, Keep { links: true, ..Keep::HARMLESS });
        let words = "outside-links,xattrs,acls,owner,suid";
        assert_eq!(parsed(&["--accept", words]).1, Keep::ALL);
        assert!(Both::try_parse_from(["x", "--accept", "everything"]).is_err());
    }
}
