//! Origin records: what a file was when it was sealed or received, kept with it in the extended attribute
//! [`ATTRIBUTE`].
//!
//! A record is compared with the file's own bytes: a wrong record gives a false alarm and never a silent error. It is
//! believed only where its own check, the file's length and its time of last modification fit. **Nothing here rewrites a
//! record that says something else**, and nothing knows the network.

mod layout;
pub mod manifest;

use std::ffi::OsStr;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

pub use layout::Malformed;

use crate::chunk::Geometry;
use crate::hash::{PieceHash, Root};
use crate::seams::disk::{DiskFile, Metadata, Timestamp};

/// Name of the extended attribute that holds a file's record.
pub const ATTRIBUTE: &str = "user.careful.origin";
/// Most subtrees a record holds: with them it takes 2 KiB of the 4 KiB that ext4 gives all attributes of a file.
pub const SUBTREES_MAX: u64 = 64;
/// Subtrees are no smaller than this: a file of no more has none, and its record fits into its inode.
pub const SUBTREE_BYTES_MIN: u64 = 1 << 20;

/// What a file holds: its length, its root, and the CVs of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// In bytes.
    pub length_bytes: u64,
    /// BLAKE3 of the whole.
    pub root: Root,
    /// Parts of equal size, which tell where a file differs; nothing for a short file, or where there was no room.
    pub subtrees: Option<Subtrees>,
}

/// CVs of the parts of a file: two of them to [`SUBTREES_MAX`], each of the same size but the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtrees {
    /// Size of each but the last: a power of two, at least [`SUBTREE_BYTES_MIN`].
    pub bytes: u64,
    /// In order. They merge into the root.
    pub values: Vec<PieceHash>,
}

/// What a file was when it was sealed or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it held.
    pub content: Content,
    /// Its time of last modification then.
    pub modified: Timestamp,
    /// When the record was made, in seconds since 1970.
    pub made_seconds: u32,
    /// Version of the program that made it: major and minor.
    pub version: (u8, u8),
}

/// What the record of a file is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// Length and time of the file are those of the record.
    Fits(Record),
    /// The file was changed since: length or time are others.
    Stale(Record),
    /// It is not what was written, or could not be read: nothing can be said by it.
    Damaged,
}

impl Content {
    /// A file of one chunk or less.
    #[must_use]
    pub fn whole(length_bytes: u64, root: Root) -> Self {
        Self { length_bytes, root, subtrees: None }
    }

    /// A file of two chunks or more, from the CVs of all its chunks in order; nothing if their number does not fit.
    #[must_use]
    pub fn of_chunks(geometry: Geometry, values: &[PieceHash]) -> Option<Self> {
        if values.len() as u64 != geometry.count() {
            return None;
        }
        let root = Root::from_chaining_values(values)?;
        let length_bytes = geometry.length_bytes();
        let mut bytes = SUBTREE_BYTES_MIN.max(u64::from(geometry.chunk_size().bytes()));
        while length_bytes.div_ceil(bytes) > SUBTREES_MAX {
            bytes *= 2;
        }
        let chunks = usize::try_from(bytes / u64::from(geometry.chunk_size().bytes())).ok()?;
        let values: Vec<PieceHash> = values.chunks(chunks).map(PieceHash::merged).collect();
        let subtrees = (values.len() >= 2).then_some(Subtrees { bytes, values });
        Some(Self { length_bytes, root, subtrees })
    }
}

impl Record {
    /// A record of now.
    #[must_use]
    pub fn new(content: Content, modified: Timestamp) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let part = |text: &str| text.parse().unwrap_or(u8::MAX);
        Self {
            content,
            modified,
            made_seconds: u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            version: (part(env!("CARGO_PKG_VERSION_MAJOR")), part(env!("CARGO_PKG_VERSION_MINOR"))),
        }
    }

    /// Whether the file still has the length and the time of the record.
    #[must_use]
    pub fn fits(&self, file: &Metadata) -> bool {
        self.content.length_bytes == file.length_bytes && self.modified == file.modified
    }

    /// As it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        layout::encode(self)
    }

    /// The record that is stored so. Whatever is not exactly that is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        layout::decode(bytes)
    }
}

/// Reads the record of an open file, of which `now` is known.
#[must_use]
pub fn find(file: &dyn DiskFile, now: &Metadata) -> Found {
    match file.extended_attribute(OsStr::new(ATTRIBUTE)) {
        Ok(None) => Found::Nothing,
        Ok(Some(bytes)) => match Record::from_bytes(&bytes) {
            Ok(record) if record.fits(now) => Found::Fits(record),
            Ok(record) => Found::Stale(record),
            Err(Malformed) => Found::Damaged,
        },
        Err(error) => {
            tracing::debug!("read a record: {error}");
            Found::Damaged
        }
    }
}

/// Stores a record with the file; without its subtrees where there is no room for them. Fails where the file system has
/// no extended attributes, or gives this user none: see [`is_refused`].
pub fn store(file: &dyn DiskFile, record: &Record) -> io::Result<()> {
    let name = OsStr::new(ATTRIBUTE);
    match file.set_extended_attribute(name, Some(&record.to_bytes())) {
        Err(error) if record.content.subtrees.is_some() && is_without_room(&error) => {
            let content = Content { subtrees: None, ..record.content.clone() };
            file.set_extended_attribute(name, Some(&Record { content, ..record.clone() }.to_bytes()))
        }
        stored => stored,
    }
}

/// Removes the record of a file, if it has one.
pub fn remove(file: &dyn DiskFile) -> io::Result<()> {
    file.set_extended_attribute(OsStr::new(ATTRIBUTE), None)
}

/// Whether a record could not be stored for a reason that says nothing about the disk: no extended attributes there, not
/// for this user, or no room for one.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    let by_kind = matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied);
    by_kind || is_without_room(error)
}

/// ENOSPC, E2BIG and ERANGE: all three are answers of file systems whose attributes have no more room.
fn is_without_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(28 | 7 | 34))
}

#[cfg(test)]
mod tests;
