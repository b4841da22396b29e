//! The basis: what is there already, in a staging file of an earlier run and in the target, read back and hashed.
//!
//! There is no journal to believe: a chunk counts by its hash alone. Reading it is the read-back done early.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::file::FileJob;
use super::holes::give_back;
use super::{failure_of, sync_failed};
use crate::chunk::REQUEST_BYTES;
use crate::hash::PieceHash;
use crate::protocol::failure::Failure;
use crate::protocol::message::Have;
use crate::reading::{hash_chunks, next_request};
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{DiskFile, Reading};
use crate::workers;

/// Chunks told of in one message.
const CHUNKS_PER_MESSAGE: u64 = 16;

/// The reading of a basis under way.
#[derive(Debug)]
pub(super) struct Basis {
    messages: mpsc::Receiver<Result<Have, Failure>>,
}

impl Basis {
    /// Opens what is there and starts to read it, first chunk first.
    pub(super) async fn start(job: Arc<FileJob>) -> Result<Self, Failure> {
        let (sender, messages) = mpsc::channel(4);
        let sources = {
            let job = Arc::clone(&job);
            workers::run(move || Sources::open(&job)).await?
        };
        tokio::task::spawn_blocking(move || {
            let mut memory = memory_for(&job);
            let count = job.geometry.count();
            let mut first = 0;
            while first < count {
                let until = (first + CHUNKS_PER_MESSAGE).min(count);
                let have = sources.read(&job, first..until, &mut memory);
                let failed = have.is_err();
                if sender.blocking_send(have).is_err() || failed {
                    return;
                }
                first = until;
            }
        });
        Ok(Self { messages })
    }

    /// The next message; nothing after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Have, Failure>> {
        self.messages.recv().await
    }
}

/// Hashes of all chunks of the target, which has the offered length.
pub(super) fn hash_target(job: &FileJob) -> Result<Vec<PieceHash>, Failure> {
    let target = job.open_target(Reading::PastCache)?;
    let length = target.metadata().map_err(|error| failure_of("look at a target", &error))?.length_bytes;
    if length != job.geometry.length_bytes() {
        return Err(Failure::TargetExists);
    }
    job.shared().from_device &= target.reads_device();
    hash(job, target.as_ref(), 0..job.geometry.count(), &mut memory_for(job))
}

/// Memory for the chunks of one request.
fn memory_for(job: &FileJob) -> PieceBuffer {
    PieceBuffer::unpooled(job.geometry.chunk_size().bytes().max(REQUEST_BYTES) as usize)
}

fn hash(
    job: &FileJob,
    file: &dyn DiskFile,
    chunks: Range<u64>,
    memory: &mut PieceBuffer,
) -> Result<Vec<PieceHash>, Failure> {
    hash_chunks(file, job.geometry, chunks, memory).map_err(|error| failure_of("read what is there", &error))
}

/// Hashes of those of the chunks that are `due`.
fn hash_due(
    job: &FileJob,
    file: &dyn DiskFile,
    chunks: Range<u64>,
    mut due: BTreeSet<u64>,
    memory: &mut PieceBuffer,
) -> Result<Vec<Option<PieceHash>>, Failure> {
    let mut hashes = vec![None; (chunks.end - chunks.start) as usize];
    while let Some(request) = next_request(&mut due, job.geometry.chunk_size()) {
        let first = (request.start - chunks.start) as usize;
        for (place, hash) in hash(job, file, request, memory)?.into_iter().enumerate() {
            hashes[first + place] = Some(hash);
        }
    }
    Ok(hashes)
}

#[derive(Debug)]
struct Sources {
    staged: Option<Arc<dyn DiskFile>>,
    target: Option<(Arc<dyn DiskFile>, u64)>,
}

impl Sources {
    /// Takes over the staging file of an earlier run. It is flushed first: an error still pending shows here.
    ///
    /// A target that looks different is read through the cache: it will be copied from, and read back as the copy. One that
    /// looks the same is read past it, since it may be all that there is to prove.
    fn open(job: &FileJob) -> Result<Self, Failure> {
        let is_cached = job.looks_different();
        let reading = if is_cached { Reading::Cached } else { Reading::PastCache };
        job.shared().is_target_cached = is_cached;
        let target = match job.has_target().then(|| job.open_target(reading)).transpose() {
            // What may not be read is replaced like what differs.
            Err(Failure::PermissionDenied) => None,
            opened => opened?,
        };
        let with_length = |target: Arc<dyn DiskFile>| {
            let length = target.metadata().map_err(|error| failure_of("look at a target", &error))?.length_bytes;
            Ok::<_, Failure>((target, length))
        };
        let target = target.map(with_length).transpose()?;
        let staged = if job.has_staging() {
            job.staging_file()?.sync_all().map_err(|error| sync_failed(&error))?;
            Some(job.reader()?)
        } else {
            None
        };
        if target.as_ref().is_some_and(|&(_, length)| length != job.geometry.length_bytes()) {
            // The target cannot be equal as a whole: space is reserved before anything is sent.
            job.staging_file()?;
        }
        let proving = target.iter().filter(|_| !is_cached).map(|(target, _)| target);
        for file in staged.iter().chain(proving) {
            job.shared().from_device &= file.reads_device();
        }
        Ok(Self { staged, target })
    }

    fn read(&self, job: &FileJob, chunks: Range<u64>, memory: &mut PieceBuffer) -> Result<Have, Failure> {
        let mut have = Have {
            first: chunks.start,
            count: u32::try_from(chunks.end - chunks.start).expect("messages are short"),
            staged: Vec::new(),
            target: Vec::new(),
        };
        let bytes_of = |hash: &Option<PieceHash>| hash.map_or([0; 32], |hash| hash.0);
        if let Some(staged) = &self.staged {
            let mut due = BTreeSet::new();
            for index in chunks.clone() {
                let range = job.range(index)?;
                // Where nothing was ever written there is nothing to read; a mistake here only sends a chunk again.
                let data = staged.next_data(range.start).map_err(|error| failure_of("look for data", &error))?;
                let is_hole = data.is_none_or(|data| data.start >= range.end);
                let is_sparse = job.session.kept.sparse;
                if is_sparse {
                    give_back(staged.as_ref(), job.staging_file()?.as_ref(), &range)
                        .map_err(|error| failure_of("make a hole", &error))?;
                }
                // A hole may be just what is to be there.
                if !is_hole || is_sparse {
                    due.insert(index);
                }
            }
            let hashes = hash_due(job, staged.as_ref(), chunks.clone(), due, memory)?;
            have.staged = hashes.iter().flat_map(bytes_of).collect();
            job.shared().staged.extend(hashes);
        }
        if let Some((target, length)) = &self.target {
            let is_there = |index: &u64| job.range(*index).is_ok_and(|range| range.end <= *length);
            let due = chunks.clone().filter(is_there).collect();
            let hashes = hash_due(job, target.as_ref(), chunks, due, memory)?;
            have.target = hashes.iter().flat_map(bytes_of).collect();
            job.shared().target.extend(hashes);
        }
        Ok(have)
    }
}
