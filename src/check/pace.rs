//! A limit on how many bytes a second are read, shared by all threads.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::bucket::Bucket;

/// Bytes a second, or no limit. Clones share one limit.
#[derive(Clone, Debug, Default)]
pub struct Pace(Option<Arc<Limit>>);

#[derive(Debug)]
struct Limit {
    begun: Instant,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// At most so many.
    #[must_use]
    pub fn limited(bytes_per_second: NonZeroU64) -> Self {
        let bucket = Mutex::new(Bucket::new(bytes_per_second));
        Self(Some(Arc::new(Limit { begun: Instant::now(), bucket })))
    }

    /// Waits until so many bytes may be read.
    pub(super) fn wait_for(&self, bytes: u64) {
        let Some(limit) = &self.0 else { return };
        let now = limit.begun.elapsed();
        let until = limit.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now);
        if let Some(until) = until {
            std::thread::sleep(until.saturating_sub(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::limits::PACE_AHEAD;

    #[test]
    fn clones_share_one_rate() {
        let pace = Pace::limited(NonZeroU64::new(1 << 20).expect("a rate"));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for pace in [pace.clone(), pace] {
                scope.spawn(move || (0..2).for_each(|_| pace.wait_for(64 << 10)));
            }
        });
        // 256 KiB at 1 MiB a second: no sooner, however fast the machine.
        assert!(start.elapsed() + PACE_AHEAD >= Duration::from_millis(250), "{:?}", start.elapsed());
    }
}
