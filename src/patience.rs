//! How long, and how often, a lost connection is tried again: by whichever side the person sits at.
//!
//! **No clock here**: the time is told.

use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::{Ended, Observer};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{BACKOFF_FIRST, BACKOFF_MAX, GARBLED_CONNECTIONS_MAX};

/// How long, and how often, to try again: the time counts anew from the loss of each connection that brought the transfer
/// on, and of no other. A receiver that greets and dies is not tried for ever.
#[derive(Debug)]
pub(crate) struct Patience {
    retry_for: Duration,
    /// A receiver that was never reached is not waited for.
    is_known: bool,
    until: Option<Instant>,
    pause: Duration,
    files_done: u64,
    /// Most pieces that one connection proved since a file was last done. What a connection proves again is no news.
    proven_pieces: u64,
    /// Connections since then that ended because control data arrived damaged.
    garbled: u32,
}

impl Patience {
    pub(crate) fn new(retry_for: Duration) -> Self {
        Self {
            retry_for,
            is_known: false,
            until: None,
            pause: BACKOFF_FIRST,
            files_done: 0,
            proven_pieces: 0,
            garbled: 0,
        }
    }

    /// A connection is over. By then so many files were done in the whole transfer, and it proved so many pieces.
    pub(crate) fn was_connected(&mut self, files_done: u64, proven_pieces: u64) {
        let is_new = files_done > self.files_done || proven_pieces > self.proven_pieces;
        // What belongs to files that are done is not proven again: the next connection is measured from nothing.
        let most = if files_done > self.files_done { 0 } else { self.proven_pieces.max(proven_pieces) };
        let fresh = if is_new { Self::new(self.retry_for) } else { Self { ..*self } };
        *self = Self { is_known: true, files_done, proven_pieces: most, ..fresh };
    }

    /// After a connection that ended so: how long to wait before the next one, which the observer is told of; or how the
    /// transfer ended. `starts_neighbour` as [`Meeting`](crate::connect::meeting::Meeting::starts_neighbour) says.
    pub(crate) fn after(
        &mut self,
        ended: Ended,
        starts_neighbour: bool,
        observer: &dyn Observer,
        now: Instant,
    ) -> Result<Duration, Ended> {
        match ended {
            Ended::Lost => observer.notice("the connection was lost; connecting again"),
            Ended::Refused(Failure::Garbled) if self.is_garbled_again() => {
                observer.notice("control data arrived damaged; connecting again");
            }
            Ended::Unreachable(error) if error.may_pass(self.is_known) && (self.is_known || starts_neighbour) => {}
            ended => return Err(ended),
        }
        self.pause(now).ok_or(Ended::Lost)
    }

    /// A connection ended because control data arrived damaged: whether to try another.
    fn is_garbled_again(&mut self) -> bool {
        self.garbled += 1;
        self.garbled < GARBLED_CONNECTIONS_MAX
    }

    /// How long to wait before the next attempt; nothing if the time is up.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let until = *self.until.get_or_insert_with(|| now + self.retry_for);
        if now + self.pause > until {
            return None;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(BACKOFF_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets every connection be lost at once, having done what `brings` says by its number: how many attempts are made
    /// before the time is up, at most 1000.
    fn attempts(retry_for: Duration, brings: impl Fn(u64) -> (u64, u64)) -> u64 {
        let mut patience = Patience::new(retry_for);
        let mut now = Instant::now();
        for attempt in 0..1000 {
            let (files_done, proven_pieces) = brings(attempt);
            patience.was_connected(files_done, proven_pieces);
            match patience.pause(now) {
                Some(pause) => now += pause,
                None => return attempt + 1,
            }
        }
        1000
    }

    #[test]
    fn connections_that_bring_nothing_on_are_given_up() {
        // 0.2 + 0.4 + ... + 3.2 s, then 5 s each.
        assert_eq!(attempts(Duration::from_secs(60), |_| (0, 0)), 16);
    }

    #[test]
    fn what_an_earlier_connection_proved_is_no_news() {
        let of_nothing = attempts(Duration::from_secs(60), |_| (0, 0));
        assert_eq!(attempts(Duration::from_secs(60), |_| (0, 100)), of_nothing);
        // One more, as nothing is known of the next connection after a file was done.
        assert_eq!(attempts(Duration::from_secs(60), |_| (3, 100)), of_nothing + 1);
    }

    #[test]
    fn damaged_control_data_is_given_up_after_a_bounded_number_of_connections_that_bring_nothing_on() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let mut tries = 0;
        for _ in 0..10 {
            patience.was_connected(1, 0);
            tries += u32::from(patience.is_garbled_again());
        }
        assert_eq!(tries, GARBLED_CONNECTIONS_MAX - 1);
        patience.was_connected(2, 0);
        assert!(patience.is_garbled_again(), "a file was done in between");
    }

    #[test]
    fn steady_progress_is_never_given_up() {
        assert_eq!(attempts(Duration::from_secs(1), |attempt| (attempt, 0)), 1000);
        assert_eq!(attempts(Duration::from_secs(1), |attempt| (0, attempt)), 1000);
    }

    #[test]
    fn the_time_starts_when_a_connection_is_lost_and_not_before() {
        let mut patience = Patience::new(Duration::from_secs(1));
        patience.was_connected(1, 0);
        let lost = Instant::now() + Duration::from_secs(3600);
        assert_eq!(patience.pause(lost), Some(BACKOFF_FIRST));
        assert_eq!(patience.pause(lost + Duration::from_secs(2)), None);
    }
}
