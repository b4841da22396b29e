//! Chunks that the target has already: taken from there into the staging file.
//!
//! By threads of their own, so that what was copied is read back while the rest still is. **What is copied counts no more than
//! what arrives: by the hash that is read back.**

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::failure_of;
use super::file::FileJob;
use super::holes::copy_with_holes;
use crate::chunk::ChunkIndex;
use crate::protocol::failure::Failure;
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{DiskFile, Reading, copy_all};
use crate::workers;

/// What is still to be copied of one file.
#[derive(Debug, Default)]
pub(super) struct Copies {
    files: Option<Files>,
    due: VecDeque<u64>,
}

#[derive(Clone, Debug)]
struct Files {
    target: Arc<dyn DiskFile>,
    staging: Arc<dyn DiskFile>,
}

impl Copies {
    /// The sender asks for these chunks; more at once than the file has are against the protocol.
    pub(super) async fn ask(&mut self, job: &Arc<FileJob>, chunks: Range<u64>) -> Result<(), Failure> {
        if self.due.len() as u64 + (chunks.end - chunks.start) > job.geometry.count() {
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

    /// Hands the next chunk to a thread as soon as one takes it; waits for ever while there is none. May be given up and asked
    /// again.
    pub(super) async fn next(&mut self, job: &Arc<FileJob>) {
        let (Some(&index), Some(files)) = (self.due.front(), self.files.clone()) else {
            return std::future::pending().await;
        };
        let copying = Arc::clone(job);
        let task = move |memory: &mut _| match copying.copy_chunk(index, &files, memory) {
            Ok(()) => copying.wake.notify_one(),
            Err(failure) => copying.fail(failure),
        };
        job.session.copiers.submit(task).await;
        self.due.pop_front();
    }
}

impl FileJob {
    fn copy_chunk(&self, index: u64, files: &Files, memory: &mut PieceBuffer) -> Result<(), Failure> {
        let _turn = self.turn(index);
        let hash = self.shared().target.get(index as usize).copied().flatten().ok_or(Failure::Protocol)?;
        if !self.shared().state.wants(ChunkIndex(index), 0) {
            // A later round overtook the word to copy.
            return Ok(());
        }
        let range = self.range(index)?;
        let (staging, target) = (files.staging.as_ref(), files.target.as_ref());
        let copied = match self.session.kept.sparse {
            true => copy_with_holes(staging, target, range, memory),
            false => copy_all(staging, target, range, memory),
        };
        copied.map_err(|error| failure_of("copy from the target", &error))?;
        self.shared().state.staged(ChunkIndex(index), 0, hash);
        Ok(())
    }
}
