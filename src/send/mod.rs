//! The sending half: walk ─▶ source ─▶ hash ─▶ upload, and beside it the second read that everything is compared with.
//!
//! [`transfer`] runs over as many connections as it takes; each job is a group of small files ([`group`]) or
//! one large file ([`mod@file`]). **No source is touched but by [`moving`], and nothing here knows the receiving half.**

mod backlog;
mod dry_run;
mod file;
mod filters;
mod group;
mod hard_links;
mod job;
mod labels;
mod links;
mod moving;
mod origin;
mod prune;
mod receipt;
pub mod reporting;
mod room;
mod session;
mod small_files;
mod source;
mod transfer;
mod walk;
mod watched;

use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

pub use filters::{Deletion, Filters};
pub use origin::Records;
pub use transfer::run;
pub use walk::PathList;

pub use crate::outcome::{Ended, Observer};

use crate::hash::Root;
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::limits::{CHUNK_BYTES_DEFAULT, RETRY_FOR_DEFAULT};
use crate::protocol::receipt::Stored;

/// What is to be sent, where to, and how carefully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As the person wrote them; a trailing slash means the contents of a directory.
    pub sources: Vec<PathBuf>,
    /// As the person wrote it, where the sender names the destination; else empty.
    pub destination: Vec<u8>,
    /// Whether every source that no record stands for is read a second time, past the page cache.
    pub second_read: bool,
    /// What a record of a source is good for.
    pub records: Records,
    /// Whether the receiver is asked to store a record with each copy.
    pub record_copies: bool,
    /// How the stored copy is to be checked.
    pub stored: Stored,
    /// Never replace a target.
    pub no_replace: bool,
    /// Trust a target of the same length and time.
    pub quick: bool,
    /// Bytes of the chunks that large files are cut into: a power of two from `CHUNK_BYTES_MIN` to `CHUNK_BYTES_MAX`. A file
    /// of too few or too many such chunks gets smaller or larger ones.
    pub chunk_bytes: u32,
    /// How long to try to connect again after the connection was lost.
    pub retry_for: Duration,
    /// Content is sent no faster than this, all streams together.
    pub bytes_per_second: Option<NonZeroU64>,
    /// What is carried beside content, mode and time.
    pub keep: Keep,
    /// What of the sources is taken.
    pub filters: Filters,
    /// What beside the targets has no source is removed in the end.
    pub delete: Option<Deletion>,
    /// Sources are removed once their copies have receipts that prove everything.
    pub move_sources: bool,
    /// Nothing is sent, and only told what would be.
    pub dry_run: bool,
    /// Root that the one source must have, where it is known from elsewhere.
    pub expected: Option<Root>,
    /// Paths below the one source: nothing else is taken of it.
    pub list: Option<PathList>,
}

impl Plan {
    /// Everything is checked, and existing targets are replaced: what `careful-send` does without an option.
    #[must_use]
    pub fn new(sources: Vec<PathBuf>, destination: Vec<u8>) -> Self {
        Self {
            sources,
            destination,
            second_read: true,
            records: Records::Used,
            record_copies: true,
            stored: Stored::Device,
            no_replace: false,
            quick: false,
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            retry_for: RETRY_FOR_DEFAULT,
            bytes_per_second: None,
            keep: Keep::default(),
            filters: Filters::default(),
            delete: None,
            move_sources: false,
            dry_run: false,
            expected: None,
            list: None,
        }
    }
}

/// Why one file was not transferred.
#[derive(Debug)]
pub(crate) struct Problem {
    failure: Failure,
    detail: Option<String>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { failure, detail: None }
    }
}

impl Problem {
    /// The problem that an error of the source's disk is.
    fn reading(error: &io::Error) -> Self {
        let failure = match error.kind() {
            io::ErrorKind::NotFound => Failure::SourceVanished,
            io::ErrorKind::PermissionDenied => Failure::SourceDenied,
            // It was a regular file when it was listed.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => {
                Failure::SourceChanged
            }
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => Failure::TooManyOpenFiles,
            // ELOOP: a link took its place.
            _ if error.raw_os_error() == Some(40) => Failure::SourceChanged,
            _ => Failure::SourceIo,
        };
        Self { failure, detail: Some(error.to_string()) }
    }
}
