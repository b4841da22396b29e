//! What a transfer tells, whichever side the person sits at: what becomes of each file, and how the whole ended.
//!
//! **Nothing is decided or printed here.**

use std::fmt::Debug;
use std::pin::Pin;

use crate::connect::meeting::MeetError;
use crate::protocol::failure::Failure;
use crate::protocol::receipt::Receipt;
use crate::wire::WireError;

/// How a transfer ended. What became of each file was told to the observer.
#[derive(Debug)]
pub enum Ended {
    /// Every file was either committed or told of as failed.
    Complete,
    /// The other side could not be reached at all.
    Unreachable(MeetError),
    /// The connection was lost and did not come back in time; the same command goes on.
    Lost,
    /// One side refused the transfer as a whole.
    Refused(Failure),
    /// The other side cannot be talked to.
    Broken(WireError),
}

/// What a true run would do, as a dry run foresees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// Nothing has the name at the destination: it would be made.
    New,
    /// Something that differs has it, and would be replaced.
    Replaced,
    /// What has it is equal, by content.
    Unchanged,
    /// It has no source and would be deleted.
    Deleted,
    /// The source would be removed after its copy was receipted.
    SourceRemoved,
}

/// Who is told what becomes of each file. Called from several threads.
pub trait Observer: Send + Sync + Debug {
    /// The file or directory could not be transferred. The path is the source's.
    fn failed(&self, path: &[u8], failure: Failure, detail: Option<&str>);
    /// The entry is of a kind that is not carried, or has a name that is not.
    fn skipped(&self, path: &[u8], why: &str);
    /// The target has the same length and time and was trusted.
    fn trusted(&self, path: &[u8]);
    /// Files are committed, and this is their receipt, verified. `unchanged` tells of each whether its target was
    /// equal already.
    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], unchanged: &[bool]);
    /// In a dry run: what would become of something. The path is the one below the destination, of a source that of the source;
    /// the length is 0 where it is not known.
    fn foreseen(&self, _what: Foreseen, _path: &[u8], _length_bytes: u64) {}
    /// Something beside the targets that had no source was removed; its path below the receiving directory.
    fn deleted(&self, _path: &[u8]) {}
    /// The source was removed after its copy was receipted; its path.
    fn source_removed(&self, _path: &[u8]) {}
    /// Flushes the receipts that were told so far: whether all of them are on disk. Without such an answer no source is removed.
    fn stores_receipts(&self) -> bool {
        false
    }
    /// Something the person should know, that is no failure.
    fn notice(&self, words: &str);
    /// The same about one file, by its source's path.
    fn notice_about(&self, path: &[u8], words: &str) {
        self.notice(&format!("'{}' {words}", String::from_utf8_lossy(path)));
    }
    /// Everything is told anew from here on: the other side, that tells it, was started again.
    fn started_over(&self) {}
    /// Called by the walk between two entries, on a thread that may wait: who passes on what it is told may let it wait
    /// here, so that what is told does not pile up.
    fn make_room(&self) {}
    /// Everything was told and the connection still stands: who passes on what it is told finishes that now.
    fn all_told(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}
