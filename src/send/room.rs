//! How many large files are under way at once: on a long way their round trips overlap, and a few long ones do not spread over
//! the disk of either side.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::protocol::limits::{FILE_COUNTS_BYTES_MAX, FILES_BYTES_AT_ONCE};

/// Room for files under way, in bytes.
#[derive(Debug)]
pub(super) struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(FILES_BYTES_AT_ONCE))
    }
}

impl Room {
    /// Waits until a file of this length may be under way, too: those that asked first come first.
    pub(super) async fn for_file(&self, length_bytes: u64) -> SemaphorePermit<'_> {
        let counted = u32::try_from(length_bytes).unwrap_or(u32::MAX).min(FILE_COUNTS_BYTES_MAX as u32);
        self.0.acquire_many(counted).await.expect("the semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn try_for(room: &Room, length_bytes: u64) -> Option<SemaphorePermit<'_>> {
        match pin!(room.for_file(length_bytes)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn fit(length_bytes: u64) -> usize {
        let room = Room::default();
        std::iter::from_fn(|| try_for(&room, length_bytes)).collect::<Vec<_>>().len()
    }

    #[test]
    fn three_long_files_are_under_way_at_once_however_long_they_are() {
        for length_bytes in [20 << 20, 8 << 30, u64::MAX] {
            assert_eq!(fit(length_bytes), 3, "{length_bytes}");
        }
    }

    #[test]
    fn of_short_ones_as_many_as_the_memory_for_chunks_holds() {
        assert_eq!([fit(2 << 20), fit(5 << 20)], [20, 8]);
    }

    #[test]
    fn a_file_that_ends_makes_room_for_the_next() {
        let room = Room::default();
        let mut under_way: Vec<_> = std::iter::from_fn(|| try_for(&room, 1 << 30)).collect();
        assert!(try_for(&room, 2 << 20).is_none());
        under_way.pop();
        assert!(try_for(&room, 2 << 20).is_some());
    }
}
