//! How much memory one connection may take, and what is left for the next: what all of them can take stays bounded.
//!
//! The first connections get more than the later ones, and none ever waits for memory that another holds: one that
//! stalls keeps its own share and nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::limits::{
    CHUNK_BYTES_MAX, CHUNK_STREAMS_MAX, CHUNKS_MAX, GROUP_BYTES_MAX, GROUPS_MEMORY_BYTES, POOL_BYTES,
    RECEIVE_WINDOW_BYTES, SMALL_FILE_BYTES_MAX, STREAM_WINDOW_BYTES,
};

/// Memory for reading back, and for the connection itself, in bytes.
const FIXED_BYTES: usize = 2 * CHUNK_BYTES_MAX as usize + (1 << 20);
/// Of the whole memory the n-th connection gets one part in so many times n, within the bounds of [`Share`].
const PARTS: usize = 10;

/// Memory of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Bytes that may arrive unread.
    pub window_bytes: u32,
    /// Bytes of chunks under way.
    pub pool_bytes: usize,
    /// Bytes of small files under way, offered and not yet committed.
    pub groups_bytes: usize,
    /// Chunks of large files under way whose hashes are kept; a file that has more of them goes alone.
    pub hashes: usize,
}

impl Share {
    /// What a receiver of one transfer has.
    pub const FULL: Self = Self {
        window_bytes: RECEIVE_WINDOW_BYTES,
        pool_bytes: POOL_BYTES,
        groups_bytes: GROUPS_MEMORY_BYTES,
        hashes: CHUNKS_MAX as usize,
    };
    /// The least that any transfer can run with: one chunk, and one group, of the largest size.
    pub const LEAST: Self = Self {
        window_bytes: 2 * STREAM_WINDOW_BYTES,
        pool_bytes: CHUNK_BYTES_MAX as usize,
        groups_bytes: (GROUP_BYTES_MAX + SMALL_FILE_BYTES_MAX) as usize,
        hashes: 64 << 10,
    };

    /// The most that a connection with this share takes: quinn keeps up to 2.5 times what it lets arrive unread.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.window_bytes as usize / 2 * 5 + self.pool_bytes + self.groups_bytes + FIXED_BYTES
    }

    /// The largest share of at most so many bytes, and never less than the least.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        let part = |least: usize, full: usize| {
            let (above_least, range) =
                (bytes.saturating_sub(Self::LEAST.bytes()), Self::FULL.bytes() - Self::LEAST.bytes());
            // In units of 64 KiB, rounded down: sums of parts must not exceed the whole.
            least + (full - least) / (64 << 10) * above_least.min(range) / range * (64 << 10)
        };
        let (least, full) = (Self::LEAST, Self::FULL);
        Self {
            window_bytes: u32::try_from(part(least.window_bytes as usize, full.window_bytes as usize))
                .expect("a window is at most the full one"),
            pool_bytes: part(least.pool_bytes, full.pool_bytes),
            groups_bytes: part(least.groups_bytes, full.groups_bytes),
            hashes: if bytes >= full.bytes() { full.hashes } else { least.hashes },
        }
    }

    /// Chunk streams that may be open at once. A stream whose chunk has no memory yet must not keep another's bytes from
    /// arriving: those that wait, each with a full window of its own, have to fit into the connection's with room to spare.
    #[must_use]
    pub fn chunk_streams(&self) -> u32 {
        let with_memory = self.pool_bytes as u32 / CHUNK_BYTES_MAX;
        (self.window_bytes / STREAM_WINDOW_BYTES + with_memory - 1).clamp(1, CHUNK_STREAMS_MAX)
    }
}

/// Memory for all connections together.
#[derive(Clone, Debug)]
pub struct Memory {
    whole_bytes: usize,
    connections_max: usize,
    lent: Arc<Mutex<Lent>>,
}

#[derive(Debug, Default)]
struct Lent {
    bytes: usize,
    connections: usize,
}

/// A share that is taken. Dropped, it is free again.
#[derive(Debug)]
pub struct Lease {
    /// What it is.
    pub share: Share,
    lent: Arc<Mutex<Lent>>,
}

impl Memory {
    /// For at most so many bytes and so many connections, whichever is less.
    #[must_use]
    pub fn new(whole_bytes: usize, connections_max: usize) -> Self {
        Self { whole_bytes, connections_max, lent: Arc::default() }
    }

    /// A share for one more connection; nothing if there is no room for one.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let free_bytes = self.whole_bytes.saturating_sub(lent.bytes);
        if free_bytes < Share::LEAST.bytes() || lent.connections >= self.connections_max {
            return None;
        }
        let share = Share::of((self.whole_bytes / (PARTS * (lent.connections + 1))).min(free_bytes));
        lent.bytes += share.bytes();
        lent.connections += 1;
        Some(Lease { share, lent: Arc::clone(&self.lent) })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.bytes -= self.share.bytes();
        lent.connections -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    #[test]
    fn whatever_is_lent_together_is_never_more_than_the_whole() {
        for whole in [0, 1, Share::LEAST.bytes(), 3 * Share::LEAST.bytes() - 1, GIB, 2 * GIB, 64 * GIB] {
            let memory = Memory::new(whole, 1000);
            let leases: Vec<_> = std::iter::from_fn(|| memory.lease()).collect();
            assert!(leases.iter().map(|lease| lease.share.bytes()).sum::<usize>() <= whole);
            assert!(whole >= 64 * GIB || whole - memory.lent.lock().unwrap().bytes < Share::LEAST.bytes());
        }
    }

    #[test]
    fn two_gibibytes_are_enough_for_60_connections_and_the_first_gets_a_full_share() {
        let memory = Memory::new(2 * GIB, 1000);
        let leases: Vec<_> = std::iter::from_fn(|| memory.lease()).collect();
        assert!(leases.len() >= 60, "{}", leases.len());
        assert_eq!(leases[0].share, Share::FULL);
    }

    #[test]
    fn what_is_given_back_can_be_lent_again_and_connections_are_counted() {
        let memory = Memory::new(GIB, 2);
        let first = memory.lease().expect("room");
        let _second = memory.lease().expect("room");
        assert!(memory.lease().is_none());
        drop(first);
        assert!(memory.lease().is_some());
    }

    #[test]
    fn a_share_lies_between_the_least_and_the_full_and_grows_with_its_bytes() {
        assert_eq!(Share::of(0), Share::LEAST);
        assert_eq!(Share::of(usize::MAX >> 20), Share::FULL);
        for mib in 28..220 {
            let share = Share::of(mib << 20);
            assert!(share.bytes() <= (mib << 20).max(Share::LEAST.bytes()), "{mib}: {share:?}");
            assert!(share.bytes() <= Share::of((mib + 1) << 20).bytes());
        }
    }

    #[test]
    fn streams_that_wait_for_memory_never_fill_the_window_of_the_connection() {
        for mib in 0..220 {
            let share = Share::of(mib << 20);
            for chunk_bytes in [64 << 10, 1 << 20, 2 << 20, CHUNK_BYTES_MAX] {
                let with_memory = share.pool_bytes as u32 / chunk_bytes;
                let waiting = share.chunk_streams().saturating_sub(with_memory);
                assert!(waiting * chunk_bytes.min(STREAM_WINDOW_BYTES) < share.window_bytes, "{share:?}");
            }
        }
        assert_eq!(Share::FULL.chunk_streams(), CHUNK_STREAMS_MAX);
    }
}
