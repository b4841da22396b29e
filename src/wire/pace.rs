//! A limit on the rate of content: all streams that share a [`Pace`] together stay below it, whatever carries them.
//!
//! The [`Bucket`] decides, a [`Pace`] waits. Messages pass freely: they are few, and the other side
//! must not wait for them. **Nothing is dropped, and nothing is known of what passes.**

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::bucket::Bucket;
use crate::protocol::limits::PACE_SLICE_BYTES;

/// A limit, and how much of it is used up.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: NonZeroU64,
    begun: Instant,
    bucket: Mutex<Bucket>,
    /// Of the chunks one passes after the other: many at once would each take their time, and a lost connection would cost
    /// them all.
    turn: Semaphore,
    passed: AtomicBool,
}

impl Pace {
    /// So many bytes a second at most, from the first one on.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            begun: Instant::now(),
            bucket: Mutex::new(Bucket::new(bytes_per_second)),
            turn: Semaphore::const_new(1),
            passed: AtomicBool::new(false),
        }
    }

    /// Whether anything passed since the last time this was asked. A side that is slow on purpose takes its own slowness for
    /// no stall of the other.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.passed.swap(false, Ordering::Relaxed)
    }

    /// The right to send a chunk, in the order of asking. To be had before anything of it is sent: the other side holds memory for
    /// what has begun.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// Bytes to hand over at once: what takes about an eighth of a second, so that no wait is long.
    pub(super) fn slice_bytes(&self) -> usize {
        usize::try_from(self.bytes_per_second.get() / 8).unwrap_or(usize::MAX).clamp(1 << 10, PACE_SLICE_BYTES)
    }

    /// Waits until so many bytes may go.
    pub(super) async fn admit(&self, bytes: usize) {
        let wait = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(bytes as u64, self.begun.elapsed())
        };
        if let Some(until) = wait {
            sleep_until(self.begun + until).await;
        }
    }

    /// They went.
    pub(super) fn passed(&self) {
        self.passed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::protocol::limits::PACE_AHEAD;

    const KIB: u64 = 1 << 10;

    fn rate(bytes_per_second: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes_per_second).expect("a rate")
    }

    #[tokio::test]
    async fn streams_share_one_rate() {
        let pace = Arc::new(Pace::new(rate(8 << 20)));
        let (start, slice) = (Instant::now(), pace.slice_bytes());
        assert!(!pace.has_passed());
        let one = |pace: Arc<Pace>| async move {
            for _ in 0..5 {
                pace.admit(slice).await;
                pace.passed();
            }
        };
        let streams = (0..8).map(|_| tokio::spawn(one(Arc::clone(&pace)))).collect::<Vec<_>>();
        for stream in streams {
            stream.await.expect("no panic");
        }
        // 40 slices of 64 KiB at 8 MiB a second: no sooner, however fast the machine; and how late is the machine's matter.
        assert_eq!(slice, 64 << 10);
        assert!(start.elapsed() + PACE_AHEAD >= Duration::from_millis(312), "{:?}", start.elapsed());
        assert!(pace.has_passed() && !pace.has_passed());
    }

    #[test]
    fn a_slice_is_never_long_in_coming_nor_large() {
        for (bytes_per_second, slice) in [(1, KIB), (KIB, KIB), (80 * KIB, 10 * KIB), (1 << 40, 64 * KIB)] {
            assert_eq!(Pace::new(rate(bytes_per_second)).slice_bytes() as u64, slice);
        }
    }
}
