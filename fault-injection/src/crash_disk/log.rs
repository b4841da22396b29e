//! The log: every change and every sync in the order in which they took effect, and marks put in from outside.
//!
//! It holds what was asked for, not what was made of it: what a medium makes of it is drawn later ([`super::images`]).

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use careful::seams::disk::Timestamp;

use super::content::Block;
use super::tree::Tree;

/// Number of an inode; never used twice.
pub(super) type InodeNumber = u64;

/// What was made under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link to this target. File systems keep the target with the inode, and so journal both together.
    Link(PathBuf),
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) operation: Operation,
    /// When, by the disk's own clock.
    pub(super) time: Timestamp,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(formatter)
    }
}

impl Entry {
    /// The mark's words, if it is one.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        if let Operation::Mark(words) = &self.operation { Some(words) } else { None }
    }

    /// Whether it changes what is on the disk.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.operation.changes_metadata() || self.operation.changes_data()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Create {
        directory: InodeNumber,
        name: OsString,
        inode: InodeNumber,
        made: Made,
        mode: u32,
    },
    /// One more name of a file.
    Link {
        directory: InodeNumber,
        name: OsString,
        inode: InodeNumber,
    },
    /// Of one inode within one directory, over whatever has the new name.
    Rename {
        directory: InodeNumber,
        from: OsString,
        to: OsString,
        inode: InodeNumber,
    },
    Remove {
        directory: InodeNumber,
        name: OsString,
    },
    /// Whole blocks as the page cache had them when they were written.
    Write {
        inode: InodeNumber,
        first: usize,
        blocks: Vec<Block>,
        end_bytes: u64,
        /// Whether the length grew with it.
        extends: bool,
    },
    SetLength {
        inode: InodeNumber,
        length_bytes: u64,
        reserves: bool,
    },
    SetMode {
        inode: InodeNumber,
        mode: u32,
    },
    SetModified {
        inode: InodeNumber,
        modified: Timestamp,
    },
    /// Sets an extended attribute, or removes it.
    SetExtended {
        inode: InodeNumber,
        name: OsString,
        value: Option<Arc<[u8]>>,
    },
    /// fdatasync.
    SyncData(InodeNumber),
    /// fsync of a file or directory.
    SyncAll(InodeNumber),
    SyncFileSystem,
    Mark(String),
}

impl Operation {
    /// Whether it changes names, lengths, modes or times. A write does where the file grows.
    pub(super) fn changes_metadata(&self) -> bool {
        match self {
            Self::Write { extends, .. } => *extends,
            Self::Create { .. }
            | Self::Link { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::SetLength { .. }
            | Self::SetMode { .. }
            | Self::SetModified { .. }
            | Self::SetExtended { .. } => true,
            Self::SyncData(_) | Self::SyncAll(_) | Self::SyncFileSystem | Self::Mark(_) => false,
        }
    }

    /// Whether it changes the bytes of a file.
    pub(super) fn changes_data(&self) -> bool {
        matches!(self, Self::Write { .. })
    }

    /// The directory whose names it changes.
    pub(super) fn names_of(&self) -> Option<InodeNumber> {
        match self {
            Self::Create { directory, .. }
            | Self::Link { directory, .. }
            | Self::Rename { directory, .. }
            | Self::Remove { directory, .. } => Some(*directory),
            _ => None,
        }
    }

    /// The file whose bytes or length it changes.
    pub(super) fn bytes_of(&self) -> Option<InodeNumber> {
        match self {
            Self::Write { inode, .. } | Self::SetLength { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    /// The file or directory whose mode, time or extended attribute it sets.
    pub(super) fn attributes_of(&self) -> Option<InodeNumber> {
        match self {
            Self::SetMode { inode, .. } | Self::SetModified { inode, .. } | Self::SetExtended { inode, .. } => {
                Some(*inode)
            }
            _ => None,
        }
    }

    /// What it makes.
    pub(super) fn creates(&self) -> Option<InodeNumber> {
        if let Self::Create { inode, .. } = self { Some(*inode) } else { None }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { directory, name, inode, made: Made::File, mode } => {
                write!(formatter, "create {} in {directory} as {inode}, mode {mode:04o}", name.display())
            }
            Self::Create { directory, name, inode, made: Made::Directory, mode } => {
                write!(formatter, "make directory {} in {directory} as {inode}, mode {mode:04o}", name.display())
            }
            Self::Create { directory, name, inode, made: Made::Link(target), .. } => {
                write!(formatter, "link {} in {directory} to {} as {inode}", name.display(), target.display())
            }
            Self::Link { directory, name, inode } => {
                write!(formatter, "one more name {} in {directory} for {inode}", name.display())
            }
            Self::Rename { directory, from, to, inode } => {
                write!(formatter, "rename {} to {} in {directory}, being {inode}", from.display(), to.display())
            }
            Self::Remove { directory, name } => write!(formatter, "remove {} from {directory}", name.display()),
            Self::Write { inode, first, blocks, end_bytes, .. } => {
                write!(formatter, "write {} blocks from block {first} up to byte {end_bytes} of {inode}", blocks.len())
            }
            Self::SetLength { inode, length_bytes, .. } => write!(formatter, "set length of {inode} to {length_bytes}"),
            Self::SetMode { inode, mode } => write!(formatter, "set mode of {inode} to {mode:04o}"),
            Self::SetModified { inode, .. } => write!(formatter, "set time of {inode}"),
            Self::SetExtended { inode, name, value } => {
                let what = if value.is_some() { "set" } else { "remove" };
                write!(formatter, "{what} attribute {} of {inode}", name.display())
            }
            Self::SyncData(inode) => write!(formatter, "sync data of {inode}"),
            Self::SyncAll(inode) => write!(formatter, "sync {inode}"),
            Self::SyncFileSystem => formatter.write_str("sync the file system"),
            Self::Mark(words) => write!(formatter, "mark: {words}"),
        }
    }
}

/// What one disk went through: where it began and what came then.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(super) initial: Tree,
    pub(super) entries: Vec<Entry>,
}

impl Recording {
    /// What was on the disk before the first entry.
    #[must_use]
    pub fn initial(&self) -> &Tree {
        &self.initial
    }

    /// In the order in which they took effect. A crash point is a number of entries that were made, 0 to all.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Marks among the first `point` entries.
    pub fn marks_before(&self, point: usize) -> impl Iterator<Item = &str> {
        self.entries[..point].iter().filter_map(Entry::mark)
    }
}
