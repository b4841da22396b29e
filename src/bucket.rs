//! A rate that is kept to: how long bytes must wait, from times that are told. **Nobody waits in here.**

use std::num::NonZeroU64;
use std::time::Duration;

use crate::protocol::limits::PACE_AHEAD;

/// A token bucket: within any time no more leaves it than the rate allows in that time, and [`PACE_AHEAD`] more.
#[derive(Debug)]
pub(crate) struct Bucket {
    bytes_per_second: NonZeroU64,
    /// When everything taken so far is paid for, by the rate.
    paid_at: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid_at: Duration::ZERO }
    }

    /// Takes bytes at this time: until when they must wait, if they must. Times do not go back.
    pub(crate) fn take(&mut self, bytes: u64, now: Duration) -> Option<Duration> {
        // What was not used is lost but for a little: no burst after a pause.
        let from = self.paid_at.max(now.saturating_sub(PACE_AHEAD));
        let nanoseconds = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second.get()));
        let price = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.paid_at = from.saturating_add(price);
        Some(self.paid_at).filter(|&paid_at| paid_at > now)
    }
}

#[cfg(test)]
mod tests {
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
}
