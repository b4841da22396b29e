//! The receiving half: verify ─▶ stage ─▶ read back ─▶ commit ─▶ receipt.
//!
//! [`session`] serves one connection; each job is a group of small files ([`group`]) or one large file ([`mod@file`]). What
//! must never be reordered is typestate: `Staging → Flushed → ReadBack → Renamed → Committed` ([`staging`], [`commit`]),
//! and a receipt is made of nothing but `Committed` ([`receipt`]). **Nothing here knows the sending half.**

mod asked;
mod basis;
mod commit;
mod copy;
mod destination;
mod directories;
mod dry_run;
mod file;
mod group;
mod hard_links;
mod holes;
mod job;
mod labels;
mod links;
pub mod listen;
mod prune;
pub mod pull;
pub mod quota;
mod receipt;
pub mod session;
pub mod share;
mod stage;
mod staging;
pub mod standing;
mod sync_point;
mod verify;

use std::io;

pub use asked::{Answered, Asked};
pub use session::{Ending, Policy, Receiver, RootPolicy};

use crate::protocol::failure::Failure;

/// The failure that an error of the receiving disk is. The error itself is logged here and stays here.
pub(crate) fn failure_of(doing: &str, error: &io::Error) -> Failure {
    tracing::warn!("{doing}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::NoSpace,
        io::ErrorKind::ReadOnlyFilesystem => Failure::ReadOnly,
        io::ErrorKind::PermissionDenied => Failure::PermissionDenied,
        io::ErrorKind::InvalidFilename => Failure::NameTooLong,
        io::ErrorKind::NotADirectory => Failure::NotADirectory,
        io::ErrorKind::FileTooLarge => Failure::TooLarge,
        _ if is_too_many_open_files(error) => Failure::TooManyOpenFiles,
        _ => Failure::TargetIo,
    }
}

/// What a failed sync means: nothing written since is believed.
fn sync_failed(error: &io::Error) -> Failure {
    match failure_of("flush", error) {
        Failure::NoSpace => Failure::NoSpace,
        _ => Failure::SyncFailed,
    }
}

/// EMFILE and ENFILE have no kind of their own in the standard library.
fn is_too_many_open_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23))
}
