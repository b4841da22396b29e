//! Whether the other side still makes progress: keep-alives of QUIC alone do not count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::protocol::limits::{PROGRESS_BYTES_MIN, STALL_TIMEOUT, WORKING_IN_A_ROW_MAX};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was heard from the other side so far.
#[derive(Debug, Default)]
pub struct Heard {
    messages: AtomicU64,
    workings: AtomicU64,
}

impl Heard {
    /// A message that brings the transfer on.
    pub fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// The other side says that it is busy.
    pub fn working(&self) {
        self.workings.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns when the other side has to be dropped: silent for [`STALL_TIMEOUT`], or busy too many times in a row.
pub async fn until_stalled(connection: &Connection, heard: &Heard) {
    let mut watch = Watch::new(Instant::now());
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let now = look.tick().await;
        let messages = heard.messages.load(Ordering::Relaxed);
        let workings = heard.workings.load(Ordering::Relaxed);
        if watch.is_stalled(now, messages, workings, connection.received_bytes()) {
            return;
        }
    }
}

#[derive(Debug)]
struct Watch {
    alive_at: Instant,
    messages: u64,
    workings: u64,
    workings_at_progress: u64,
    bytes_at_progress: u64,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { alive_at: now, messages: 0, workings: 0, workings_at_progress: 0, bytes_at_progress: 0 }
    }

    fn is_stalled(&mut self, now: Instant, messages: u64, workings: u64, bytes: u64) -> bool {
        if messages != self.messages || bytes >= self.bytes_at_progress + PROGRESS_BYTES_MIN {
            self.alive_at = now;
            self.messages = messages;
            self.bytes_at_progress = bytes;
            self.workings_at_progress = workings;
        }
        if workings != self.workings {
            self.alive_at = now;
            self.workings = workings;
        }
        let is_silent = now.duration_since(self.alive_at) > STALL_TIMEOUT;
        is_silent || workings - self.workings_at_progress > u64::from(WORKING_IN_A_ROW_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_a_stall_after_its_time_and_not_before() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        assert!(!watch.is_stalled(after(start, 60), 0, 0, 0));
        assert!(watch.is_stalled(after(start, 61), 0, 0, 0));
    }

    #[test]
    fn a_trickle_of_bytes_is_no_progress() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let stalled = (0..=61).any(|second| watch.is_stalled(after(start, second), 0, 0, second * 1000));
        assert!(stalled);
    }

    #[test]
    fn messages_and_data_are_progress() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        assert!((0..1000).all(|second| !watch.is_stalled(after(start, second * 50), second, 0, 0)));
        let mut watch = Watch::new(start);
        assert!((0..1000).all(|second| !watch.is_stalled(after(start, second * 50), 0, 0, second << 16)));
    }

    #[test]
    fn to_be_busy_for_ever_is_a_stall() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let stalled = (0..1000).find(|&second| watch.is_stalled(after(start, second * 5), 0, second, 0));
        assert_eq!(stalled, Some(u64::from(WORKING_IN_A_ROW_MAX) + 1));
    }
}
