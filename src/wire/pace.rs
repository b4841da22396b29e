//! A limit on the rate of content: all streams that share a [`Pace`] together stay below it, whatever carries them.
//!
//! [`Bucket`] decides from times that it is told, [`Pace`] waits. Messages pass freely: they are few, and the other side
//! must not wait for them. **Nothing is dropped, and nothing is known of what passes.**

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::protocol::limits::{PACE_AHEAD, PACE_SLICE_BYTES};

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

/// A token bucket: within any time no more leaves it than the rate allows in that time, and [`PACE_AHEAD`] more.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: NonZeroU64,
    /// When everything taken so far is paid for, by the rate.
    paid_at: Duration,
    ahead: Duration,
}

impl Bucket {
    fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid_at: Duration::ZERO, ahead: PACE_AHEAD }
    }

    /// Takes bytes at this time: until when they must wait, if they must. Times do not go back.
    fn take(&mut self, bytes: u64, now: Duration) -> Option<Duration> {
        // What was not used is lost but for a little: no burst after a pause.
        let from = self.paid_at.max(now.saturating_sub(self.ahead));
        let nanoseconds = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second.get()));
        let price = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.paid_at = from.saturating_add(price);
        Some(self.paid_at).filter(|&paid_at| paid_at > now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const KIB: u64 = 1 << 10;

    fn rate(bytes_per_second: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes_per_second).expect("a rate")
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn bytes_wait_exactly_as_long_as_the_rate_makes_them() {
        let mut bucket = Bucket::new(rate(1000));
        assert_eq!(bucket.take(100, Duration::ZERO), Some(milliseconds(100)));
        assert_eq!(bucket.take(400, Duration::ZERO), Some(milliseconds(500)));
        assert_eq!(bucket.take(1, milliseconds(500)), Some(milliseconds(501)));
        // A part of a nanosecond is paid as a whole one.
        assert_eq!(Bucket::new(rate(3)).take(1, Duration::ZERO), Some(Duration::from_nanos(333_333_334)));
        assert_eq!(Bucket::new(rate(1)).take(0, Duration::ZERO), None);
    }

    #[test]
    fn after_a_pause_only_a_little_goes_at_once() {
        let mut bucket = Bucket::new(rate(1000));
        let (ahead, later) = (PACE_AHEAD.as_millis() as u64, Duration::from_secs(3600));
        assert_eq!(bucket.take(ahead, later), None);
        assert_eq!(bucket.take(10, later), Some(later + milliseconds(10)));
    }

    #[test]
    fn within_any_time_no_more_goes_than_the_rate_allows() {
        for bytes_per_second in [KIB, 1_234_567, 10 << 20, 10 << 30] {
            let (mut bucket, mut now) = (Bucket::new(rate(bytes_per_second)), Duration::ZERO);
            let mut gone = Vec::new();
            for step in 0..2000_u64 {
                let bytes = (step * 7919) % (64 * KIB) + 1;
                now = bucket.take(bytes, now).unwrap_or(now);
                gone.push((now, bytes));
                if step % 97 == 0 {
                    now += Duration::from_millis(step);
                }
            }
            for first in (0..gone.len()).step_by(53) {
                let mut sum = 0;
                for (at, bytes) in &gone[first..] {
                    sum += bytes;
                    let during = *at - gone[first].0 + PACE_AHEAD;
                    let most = during.as_nanos() * u128::from(bytes_per_second) / 1_000_000_000;
                    assert!(
                        u128::from(sum) <= most + u128::from(gone[first].1) + 1,
                        "{bytes_per_second}: {sum} {most}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_rate_and_no_length_overflows() {
        let mut bucket = Bucket::new(rate(1));
        assert!(bucket.take(u64::MAX, Duration::MAX).is_none_or(|until| until <= Duration::MAX));
        assert_eq!(bucket.take(u64::MAX, Duration::ZERO), Some(Duration::MAX));
        assert_eq!(Bucket::new(rate(u64::MAX)).take(1, Duration::ZERO), Some(Duration::from_nanos(1)));
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
        assert!(start.elapsed() + PACE_AHEAD >= milliseconds(312), "{:?}", start.elapsed());
        assert!(pace.has_passed() && !pace.has_passed());
    }

    #[test]
    fn a_slice_is_never_long_in_coming_nor_large() {
        for (bytes_per_second, slice) in [(1, KIB), (KIB, KIB), (80 * KIB, 10 * KIB), (1 << 40, 64 * KIB)] {
            assert_eq!(Pace::new(rate(bytes_per_second)).slice_bytes() as u64, slice);
        }
    }
}
