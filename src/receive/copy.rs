//! Chunks that the target has already: taken from there into the staging file.
//!
//! By threads of their own, so that what was copied is read back while the rest still is. **What is copied counts no more than
//! what arrives: by the hash that is read back.**

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::failure_of;
use super::file::FileJob;
use super::holes::copy_with_holes;
use crate::chunk::ChunkIndex;
use crate::protocol::failure::Failure;
use crate::reading::next_request;
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{DiskFile, Reading, copy_all};
use crate::workers;

/// What is still to be copied of one file.
#[derive(Debug, Default)]
pub(super) struct Copies {
    files: Option<Files>,
    due: BTreeSet<u64>,
    /// What is about to be handed to a thread.
    request: Option<Range<u64>>,
}

#[derive(Clone, Debug)]
struct Files {
    target: Arc<dyn DiskFile>,
    staging: Arc<dyn DiskFile>,
}

impl Copies {
    /// The sender asks for these chunks; others than the file has are against the protocol.
    pub(super) async fn ask(&mut self, job: &Arc<FileJob>, chunks: Range<u64>) -> Result<(), Failure> {
        if chunks.end > job.geometry.count() {
            return Err(Failure::Protocol);
        }
        if self.files.is_none() {
            let job = Arc::clone(job);
            let open = move || {
                let target = job.open_target(Reading::Cached)?;
                Ok::<_, Failure>(Files { target, staging: job.staging_file()? })
            };
            self.files = Some(workers::run(open).await?);
        }
        self.due.extend(chunks);
        Ok(())
    }

    /// Hands the next chunks to a thread as soon as one takes them; waits for ever while there are none. May be given up and
    /// asked again.
    pub(super) async fn next(&mut self, job: &Arc<FileJob>) {
        if self.request.is_none() {
            self.request = next_request(&mut self.due, job.geometry.chunk_size());
        }
        let (Some(chunks), Some(files)) = (self.request.clone(), self.files.clone()) else {
            return std::future::pending().await;
        };
        let copying = Arc::clone(job);
        let task = move |memory: &mut _| match copying.copy_chunks(chunks, &files, memory) {
            Ok(()) => copying.wake.notify_one(),
            Err(failure) => copying.fail(failure),
        };
        job.session.copiers.submit(task).await;
        self.request = None;
    }
}

impl FileJob {
    fn copy_chunks(&self, chunks: Range<u64>, files: &Files, memory: &mut PieceBuffer) -> Result<(), Failure> {
        let _turns: Vec<_> = chunks.clone().map(|index| self.turn(index)).collect();
        // Not those whose word to copy was overtaken by a later round.
        let is_wanted = |index: &u64| self.shared().state.wants(ChunkIndex(*index), 0);
        let mut due: BTreeSet<u64> = chunks.filter(is_wanted).collect();
        while let Some(chunks) = next_request(&mut due, self.geometry.chunk_size()) {
            let hash = |index| self.shared().target.get(index as usize).copied().flatten();
            let hashes: Option<Vec<_>> = chunks.clone().map(hash).collect();
            let hashes = hashes.ok_or(Failure::Protocol)?;
            let range = self.range(chunks.start)?.start..self.range(chunks.end - 1)?.end;
            let (staging, target) = (files.staging.as_ref(), files.target.as_ref());
            let copied = match self.session.kept.sparse {
                true => copy_with_holes(staging, target, range, memory),
                false => copy_all(staging, target, range, memory),
            };
            copied.map_err(|error| failure_of("copy from the target", &error))?;
            for (index, hash) in chunks.zip(hashes) {
                self.shared().state.staged(ChunkIndex(index), 0, hash);
            }
        }
        Ok(())
    }
}
