//! Delivery rate: how many bytes per second the path carried, seen from the acknowledgements.
//!
//! A sample covers the time from the sending of a packet to its acknowledgement, and counts what was delivered meanwhile:
//! draft-cheng-iccrg-delivery-rate-estimation-02. Packets are known by the time they were sent, which is all that the
//! controller is told of them. **No clock, no quinn.**

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::limits::SENDINGS_KEPT_MAX;

/// What was known when packets were sent.
#[derive(Clone, Copy, Debug)]
struct Sending {
    sent: Instant,
    /// Bytes delivered until then.
    delivered: u64,
    /// When the last of those was acknowledged, and when that packet had been sent.
    delivered_at: Instant,
    delivered_sent: Instant,
    /// There was not enough to send at the time.
    is_app_limited: bool,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Bytes per second.
    pub(super) rate: u64,
    /// The sender had not enough to say: the path may carry more.
    pub(super) is_app_limited: bool,
    /// Bytes that had been delivered when the newest packet of the sample was sent: rounds are counted by it.
    pub(super) delivered_before: u64,
}

/// Bookkeeping of what was sent and delivered.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    delivered: u64,
    delivered_at: Instant,
    delivered_sent: Instant,
    /// Everything until so many bytes are delivered was sent while there was not enough to send.
    app_limited_until: u64,
    sendings: VecDeque<Sending>,
    /// The newest packet of the acknowledgement that is being read.
    newest: Option<Sending>,
}

impl Delivery {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            delivered: 0,
            delivered_at: now,
            delivered_sent: now,
            app_limited_until: 0,
            sendings: VecDeque::new(),
            newest: None,
        }
    }

    /// Bytes delivered since the start.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// A packet goes out; `is_idle` if nothing was under way.
    pub(super) fn sent(&mut self, now: Instant, is_idle: bool) {
        if is_idle {
            self.delivered_at = now;
            self.delivered_sent = now;
        }
        if self.sendings.back().is_some_and(|last| last.sent >= now) {
            return;
        }
        // Packets of a forgotten time give no sample, and nothing else.
        if self.sendings.len() == SENDINGS_KEPT_MAX {
            self.sendings.pop_front();
        }
        self.sendings.push_back(Sending {
            sent: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            delivered_sent: self.delivered_sent,
            is_app_limited: self.delivered < self.app_limited_until,
        });
    }

    /// A packet that was sent at this time arrived.
    pub(super) fn acknowledged(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        let place = self.sendings.partition_point(|sending| sending.sent < sent);
        let Some(&sending) = self.sendings.get(place).filter(|sending| sending.sent == sent) else { return };
        if self.newest.is_none_or(|newest| newest.sent < sending.sent) {
            self.newest = Some(sending);
        }
    }

    /// The acknowledgement was read to its end: what it measured. `app_limited` if there is nothing more to send now,
    /// with so many bytes under way. A sample over less than `shortest`, the smallest round-trip time, would be of a burst.
    pub(super) fn sample(&mut self, in_flight: u64, app_limited: bool, shortest: Duration) -> Option<Sample> {
        if app_limited {
            self.app_limited_until = self.delivered + in_flight.max(1);
        }
        let newest = self.newest.take()?;
        self.delivered_sent = newest.sent;
        // Packets still out from before are lost or will be found so: a few stay known, for acknowledgements out of order.
        while self.sendings.get(1).is_some_and(|next| newest.sent.saturating_duration_since(next.sent) > 2 * shortest) {
            self.sendings.pop_front();
        }
        // What was sent, and what was acknowledged, in bursts: the slower of the two is the path.
        let sending_took = newest.sent.saturating_duration_since(newest.delivered_sent);
        let acknowledging_took = self.delivered_at.saturating_duration_since(newest.delivered_at);
        let took = sending_took.max(acknowledging_took);
        if took < shortest || took.is_zero() {
            return None;
        }
        let rate = ((self.delivered - newest.delivered) as f64 / took.as_secs_f64()) as u64;
        Some(Sample { rate, is_app_limited: newest.is_app_limited, delivered_before: newest.delivered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds after a start.
    struct Clock(Instant);

    impl Clock {
        fn at(&self, millis: u64) -> Instant {
            self.0 + Duration::from_millis(millis)
        }
    }

    fn delivery() -> (Clock, Delivery) {
        let clock = Clock(Instant::now());
        let delivery = Delivery::new(clock.0);
        (clock, delivery)
    }

    #[test]
    fn a_steady_flow_is_measured_as_what_it_is() {
        let (clock, mut delivery) = delivery();
        let mut rates = Vec::new();
        for millis in 0..200 {
            delivery.sent(clock.at(millis), millis == 0);
            // A round trip of 50 ms.
            if millis >= 50 {
                delivery.acknowledged(clock.at(millis), clock.at(millis - 50), 1000);
                rates.extend(delivery.sample(50_000, false, Duration::from_millis(50)).map(|sample| sample.rate));
            }
        }
        assert_eq!(delivery.delivered(), 150_000);
        assert!(rates.len() > 90 && rates[60..].iter().all(|&rate| rate == 1_000_000), "{rates:?}");
    }

    #[test]
    fn acknowledgements_that_come_at_once_do_not_look_like_a_fast_path() {
        let (clock, mut delivery) = delivery();
        for millis in 0..100 {
            delivery.sent(clock.at(millis), millis == 0);
        }
        // Sent over 100 ms, and all acknowledged within one.
        for millis in 0..100 {
            delivery.acknowledged(clock.at(150), clock.at(millis), 1000);
        }
        let sample = delivery.sample(0, false, Duration::from_millis(50)).unwrap();
        assert_eq!(sample.rate, 100_000 * 1000 / 150);
    }

    #[test]
    fn packets_that_left_at_once_do_not_look_like_a_fast_path() {
        let (clock, mut delivery) = delivery();
        delivery.sent(clock.at(0), true);
        // All were sent together; the path spreads them.
        let mut last = None;
        for millis in 50..100 {
            delivery.acknowledged(clock.at(millis), clock.at(0), 1000);
            last = delivery.sample(0, false, Duration::from_millis(50)).or(last);
        }
        assert_eq!(last.unwrap().rate, 50_000 * 1000 / 99);
    }

    #[test]
    fn a_sample_shorter_than_the_path_is_none() {
        let (clock, mut delivery) = delivery();
        delivery.sent(clock.at(0), true);
        delivery.acknowledged(clock.at(5), clock.at(0), 1000);
        assert_eq!(delivery.sample(0, false, Duration::from_millis(50)), None);
    }

    #[test]
    fn what_was_sent_while_there_was_too_little_says_so_until_it_arrived() {
        let (clock, mut delivery) = delivery();
        let mut limited = Vec::new();
        for (sent, acknowledged, app_limited) in [(0, 10, true), (20, 30, false), (40, 50, false)] {
            delivery.sent(clock.at(sent), true);
            delivery.acknowledged(clock.at(acknowledged), clock.at(sent), 1000);
            limited.push(delivery.sample(0, app_limited, Duration::ZERO).unwrap().is_app_limited);
        }
        assert_eq!(limited, [false, true, false]);
    }

    #[test]
    fn the_memory_of_what_was_sent_is_bounded_and_a_forgotten_packet_only_counts() {
        let (clock, mut delivery) = delivery();
        for millis in 0..=SENDINGS_KEPT_MAX as u64 {
            delivery.sent(clock.at(millis), false);
        }
        assert_eq!(delivery.sendings.len(), SENDINGS_KEPT_MAX);
        delivery.acknowledged(clock.at(20_000), clock.at(0), 1000);
        assert_eq!(delivery.sample(0, false, Duration::ZERO), None);
        assert_eq!(delivery.delivered(), 1000);
    }
}
