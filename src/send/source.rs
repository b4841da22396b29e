//! The source: reads of what is sent, hashed on the way, and second reads that stand for the origin.
//!
//! The bytes hashed are the bytes sent: one buffer that nobody writes to in between. **No mmap: a file that is cut short by
//! somebody else would be a SIGBUS.**

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Problem;
use super::walk::SourceFile;
use crate::hash::{PieceHash, Position};
use crate::jobs::Jobs;
use crate::protocol::failure::Failure;
use crate::protocol::limits::QUEUE_PARCELS;
use crate::protocol::receipt::Origin;
use crate::seams::Environment;
use crate::seams::buffer::{Hop, Parcel};
use crate::seams::disk::{DiskFile, Metadata, Reading};
use crate::workers::{self, Stage};

/// Threads that hash.
const HASH_THREADS: usize = 2;

/// A job as the stages see it.
pub(super) trait Uploads: Send + Sync + Debug {
    /// Where the piece lies; nothing if the job has no such piece.
    fn position(&self, index: u64) -> Option<Position>;
    /// Pieces were read and hashed, and may be sent.
    fn hashed(&self, parcel: Parcel);
    /// Looks, every `LOOK_EVERY`, whether pieces that were read got lost on the way here.
    fn look(&self, is_idle: bool);
}

/// Starts the hash stage; answers the queue that pieces are put into after they were read, and the stage.
pub(super) fn start_hashing(environment: &Environment, jobs: &Jobs<dyn Uploads>) -> (mpsc::Sender<Parcel>, Stage) {
    let (read, to_hash) = environment.buffers.queue(Hop::SourceToHash, QUEUE_PARCELS);
    let (hashed, mut to_upload) = environment.buffers.queue(Hop::HashToUpload, QUEUE_PARCELS);
    let hashing = jobs.clone();
    let stage = workers::take_parcels("hash", HASH_THREADS, to_hash, move |mut parcel| {
        let Some(job) = hashing.find(parcel.job) else { return };
        for piece in &mut parcel.pieces {
            piece.hash = job.position(piece.index).map(|position| PieceHash::of(position, &piece.bytes));
        }
        if hashed.blocking_send(parcel).is_err() {
            tracing::debug!("a piece was hashed after the session's end");
        }
    });
    let uploading = jobs.clone();
    tokio::spawn(async move {
        while let Some(parcel) = to_upload.recv().await {
            if let Some(job) = uploading.find(parcel.job) {
                job.hashed(parcel);
            }
        }
    });
    (read, stage)
}

/// A source file, open for both reads.
#[derive(Debug)]
pub(super) struct OpenSource {
    pub(super) file: Arc<dyn DiskFile>,
    /// What it was before the first byte was read.
    pub(super) before: Metadata,
}

impl OpenSource {
    /// Opens the file for its first read.
    pub(super) fn open(source: &SourceFile) -> Result<Self, Problem> {
        let file = source.directory.handle.open_file(source.name.as_os_str(), Reading::Cached);
        let file = file.map_err(|error| Problem::reading(&error))?;
        let before = file.found().map_err(|error| Problem::reading(&error))?;
        Ok(Self { file, before })
    }
}

/// Opens the file for a read past the cache; it must still be the one that was read first, unchanged.
pub(super) fn open_past_cache(source: &SourceFile, before: &Metadata) -> Result<Arc<dyn DiskFile>, Problem> {
    let file = source.directory.handle.open_file(source.name.as_os_str(), Reading::PastCache);
    let file = file.map_err(|error| Problem::reading(&error))?;
    let now = file.found().map_err(|error| Problem::reading(&error))?;
    if now.unchanged(before) { Ok(file) } else { Err(Failure::SourceChanged.into()) }
}

/// Fails if the name does not lead to the same file any more, or if its length or time moved while it was read.
pub(super) fn check_unchanged(source: &SourceFile, before: &Metadata) -> Result<(), Problem> {
    let now = source.directory.handle.metadata_of(source.name.as_os_str());
    let now = now.map_err(|error| Problem::reading(&error))?;
    if now.unchanged(before) { Ok(()) } else { Err(Failure::SourceChanged.into()) }
}

/// The word for a source that was read twice, the second time through this file.
pub(super) fn origin_word(second_read: Option<&dyn DiskFile>) -> Origin {
    match second_read {
        Some(file) if file.reads_device() => Origin::Reread,
        // A second read that the page cache may have answered proves no more than the first.
        _ => Origin::FirstRead,
    }
}
