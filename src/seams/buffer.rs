//! The buffer door: memory for pieces of files, and the bounded queues that carry them between stages.
//!
//! A [`Parcel`] passes each [`Hop`] exactly once; a faulty twin of [`Buffers`] may flip, swap, drop or double what passes.
//! The pool bounds the memory of all chunks under way. **Nothing here knows what the bytes mean.**

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::hash::PieceHash;

/// Alignment that O_DIRECT asks for on every file system met so far, in bytes.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Makes the queue between two stages. Called once a hop and session.
pub trait Buffers: Send + Sync + Debug {
    /// A queue of at most `capacity` parcels.
    fn queue(&self, hop: Hop, capacity: usize) -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>);
}

/// Plain queues: what goes in comes out.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainBuffers;

impl Buffers for PlainBuffers {
    fn queue(&self, _hop: Hop, capacity: usize) -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
        mpsc::channel(capacity)
    }
}

/// Between which two stages a queue lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// At the sender: read from the source, not yet hashed.
    SourceToHash,
    /// At the sender: hashed, not yet handed to QUIC.
    HashToUpload,
    /// At the receiver: out of QUIC, not yet checked.
    WireToVerify,
    /// At the receiver: checked, not yet written.
    VerifyToStage,
}

/// What passes a hop: pieces of one job.
#[derive(Debug)]
pub struct Parcel {
    /// Number of the job the pieces belong to.
    pub job: u64,
    /// How often the job has asked for pieces again: 0 at first.
    pub round: u32,
    /// One chunk of a large file, or many whole small files.
    pub pieces: Vec<Piece>,
}

/// One chunk, or one whole small file.
#[derive(Debug)]
pub struct Piece {
    /// Number of the chunk in its file, or of the file in its group.
    pub index: u64,
    /// What the bytes must hash to; not yet known before the sender's hash stage.
    pub hash: Option<PieceHash>,
    /// The bytes themselves.
    pub bytes: PieceBuffer,
}

/// Memory aligned for O_DIRECT. What came from a [`Pool`] goes back to it when dropped.
#[derive(Debug)]
pub struct PieceBuffer {
    storage: Vec<u8>,
    start: usize,
    length: usize,
    home: Option<(Arc<PoolShelf>, OwnedSemaphorePermit)>,
}

impl PieceBuffer {
    /// Memory of its own for `length` bytes, zeroed, rounded up to whole aligned blocks.
    #[must_use]
    pub fn unpooled(length: usize) -> Self {
        let storage = vec![0; length.next_multiple_of(ALIGNMENT_BYTES) + ALIGNMENT_BYTES];
        Self::over(storage, length, None)
    }

    fn over(storage: Vec<u8>, length: usize, home: Option<(Arc<PoolShelf>, OwnedSemaphorePermit)>) -> Self {
        let start = storage.as_ptr().align_offset(ALIGNMENT_BYTES);
        assert!(start + length <= storage.len(), "an over-allocated buffer holds an aligned one");
        Self { storage, start, length, home }
    }

    /// All the memory there is, aligned and a multiple of [`ALIGNMENT_BYTES`], for a direct read that may fill more than the length.
    pub fn whole_blocks_mut(&mut self) -> &mut [u8] {
        let blocks = (self.storage.len() - self.start) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
        &mut self.storage[self.start..self.start + blocks]
    }

    /// Sets how many of the bytes count.
    pub fn set_length(&mut self, length: usize) {
        assert!(self.start + length <= self.storage.len(), "a buffer's length stays within its memory");
        self.length = length;
    }
}

impl Deref for PieceBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl DerefMut for PieceBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.length]
    }
}

impl AsRef<[u8]> for PieceBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PieceBuffer {
    fn drop(&mut self) {
        if let Some((shelf, _permit)) = self.home.take() {
            shelf.put_back(std::mem::take(&mut self.storage));
        }
    }
}

/// A bound on the memory of chunks under way, and their memory used again.
#[derive(Clone, Debug)]
pub struct Pool {
    budget: Arc<Semaphore>,
    shelf: Arc<PoolShelf>,
}

#[derive(Debug)]
struct PoolShelf(Mutex<Vec<Vec<u8>>>);

impl PoolShelf {
    fn take(&self, storage_bytes: usize) -> Option<Vec<u8>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was given back last is the likeliest to be in the processor's cache still.
        let found = idle.iter().rposition(|storage| storage.len() == storage_bytes);
        found.map(|position| idle.swap_remove(position)).or_else(|| {
            // Memory of another size only stands in the way of the budget.
            idle.pop();
            None
        })
    }

    fn put_back(&self, storage: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(storage);
    }
}

/// The budget is counted in units of this many bytes.
const BUDGET_UNIT_BYTES: usize = 64 << 10;

impl Pool {
    /// A pool that lends at most `budget_bytes` at a time.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            budget: Arc::new(Semaphore::new(budget_bytes / BUDGET_UNIT_BYTES)),
            shelf: Arc::new(PoolShelf(Mutex::new(Vec::new()))),
        }
    }

    /// Lends memory for `length` bytes, at most the budget; waits until there is some. Its content is whatever it was.
    pub async fn lend(&self, length: usize) -> PieceBuffer {
        let units = u32::try_from(length.div_ceil(BUDGET_UNIT_BYTES).max(1)).expect("pieces are at most some MiB");
        let permit =
            Arc::clone(&self.budget).acquire_many_owned(units).await.expect("the pool's semaphore is never closed");
        let storage_bytes = length.next_multiple_of(ALIGNMENT_BYTES) + ALIGNMENT_BYTES;
        let storage = self.shelf.take(storage_bytes).unwrap_or_else(|| vec![0; storage_bytes]);
        PieceBuffer::over(storage, length, Some((Arc::clone(&self.shelf), permit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_hold_whole_blocks() {
        for length in [0, 1, 4095, 4096, 4097, 1 << 20] {
            let mut buffer = PieceBuffer::unpooled(length);
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT_BYTES), 0);
            assert!(buffer.whole_blocks_mut().len() >= length.next_multiple_of(ALIGNMENT_BYTES));
        }
    }

    #[tokio::test]
    async fn a_pool_lends_no_more_than_its_budget() {
        let pool = Pool::new(128 << 10);
        let first = pool.lend(64 << 10).await;
        let _second = pool.lend(64 << 10).await;
        let third = pool.lend(1);
        tokio::pin!(third);
        assert!(futures_poll(&mut third).await.is_none(), "the budget is spent");
        drop(first);
        assert_eq!(third.await.len(), 1);
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
