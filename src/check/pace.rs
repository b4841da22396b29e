//! A limit on how many bytes a second are read, shared by all threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes a second, or no limit. Clones share one limit.
#[derive(Clone, Debug, Default)]
pub struct Pace(Option<Limit>);

#[derive(Clone, Debug)]
struct Limit {
    bytes_per_second: u64,
    /// When what was let through so far has had its time.
    busy_until: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    /// At most so many, 1 or more.
    #[must_use]
    pub fn limited(bytes_per_second: u64) -> Self {
        Self(Some(Limit { bytes_per_second: bytes_per_second.max(1), busy_until: Arc::default() }))
    }

    /// Waits until so many bytes may be read.
    pub(super) fn wait_for(&self, bytes: u64) {
        let Some(limit) = &self.0 else { return };
        let pause = limit.take(bytes, Instant::now());
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

impl Limit {
    /// How long to wait before so many bytes: until all before them had their time.
    fn take(&self, bytes: u64, now: Instant) -> Duration {
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = busy_until.unwrap_or(now).max(now);
        #[expect(clippy::cast_precision_loss, reason = "a pace")]
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *busy_until = Some(start + takes);
        start - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_waits_for_all_before_it_and_a_pause_saves_nothing_up() {
        let pace = Pace::limited(1000);
        let limit = pace.clone().0.expect("a limit");
        let start = Instant::now();
        assert_eq!(limit.take(500, start), Duration::ZERO);
        assert_eq!(limit.take(1000, start), Duration::from_millis(500));
        assert_eq!(pace.0.expect("the same limit").take(1, start), Duration::from_millis(1500));
        let later = start + Duration::from_secs(60);
        assert_eq!(limit.take(1000, later), Duration::ZERO);
        assert_eq!(limit.take(1, later), Duration::from_secs(1));
    }
}
