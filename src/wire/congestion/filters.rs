//! What a model remembers of the last rounds: the largest bandwidth, and how unevenly acknowledgements come.

use std::time::{Duration, Instant};

/// A burst of acknowledgements is remembered for so many rounds, or times like this where rounds are shorter: a busy host makes
/// one now and then, and ten rounds of a short path are over before the next.
const BURST_ROUNDS: u64 = 10;
const BURST_ROUND_MIN: Duration = Duration::from_millis(100);

/// The largest value of the last rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Maximum(
    /// Round and value, falling from the first to the last.
    Vec<(u64, u64)>,
);

impl Maximum {
    /// A value of this round, the newest so far.
    pub(super) fn put(&mut self, round: u64, value: u64) {
        // What is smaller and older can never be the largest again.
        while self.0.last().is_some_and(|last| last.1 <= value) {
            self.0.pop();
        }
        // A later smaller one of the same round neither, so that there is at most one value for each round.
        if self.0.last().is_none_or(|last| last.0 != round) {
            self.0.push((round, value));
        }
    }

    /// Forgets older rounds, but never the newest value: that of a sender that was idle is still the best guess.
    pub(super) fn forget_before(&mut self, round: u64) {
        if self.0.len() > 1 {
            let kept = self.0.iter().position(|entry| entry.0 >= round).unwrap_or(self.0.len() - 1);
            self.0.drain(..kept);
        }
    }

    /// 0 before the first value.
    pub(super) fn largest(&self) -> u64 {
        self.0.first().map_or(0, |first| first.1)
    }
}

/// How much more than the bandwidth allows is acknowledged at once: what must be under way beside the bandwidth-delay product
/// so that the path does not run dry between two bursts of acknowledgements. As `extra_acked` of draft-ietf-ccwg-bbr.
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    since: Instant,
    acknowledged: u64,
    round: u64,
    round_began: Instant,
    extra: Maximum,
}

impl Aggregation {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, acknowledged: 0, round: 0, round_began: now, extra: Maximum::default() }
    }

    /// So many bytes were acknowledged, on a path found to carry `bandwidth` bytes per second (0 for unknown).
    pub(super) fn acknowledged(&mut self, now: Instant, bytes: u64, bandwidth: u64) {
        if self.acknowledged <= self.expected(now, bandwidth) {
            self.since = now;
            self.acknowledged = 0;
        }
        self.acknowledged += bytes;
        if bandwidth > 0 {
            let expected = self.expected(now, bandwidth);
            self.extra.put(self.round, self.acknowledged.saturating_sub(expected));
        }
    }

    fn expected(&self, now: Instant, bandwidth: u64) -> u64 {
        (bandwidth as f64 * now.saturating_duration_since(self.since).as_secs_f64()) as u64
    }

    /// A round begins: what was seen long ago is forgotten.
    pub(super) fn round_began(&mut self, now: Instant) {
        if now.saturating_duration_since(self.round_began) >= BURST_ROUND_MIN {
            self.round += 1;
            self.round_began = now;
            self.extra.forget_before(self.round.saturating_sub(BURST_ROUNDS));
        }
    }

    /// Bytes.
    pub(super) fn extra(&self) -> u64 {
        self.extra.largest()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_largest_value_counts_until_its_round_is_forgotten() {
        let mut maximum = Maximum::default();
        assert_eq!(maximum.largest(), 0);
        for (round, value) in [(1, 50), (1, 70), (1, 60), (2, 40), (3, 55), (3, 30)] {
            maximum.put(round, value);
        }
        assert_eq!(maximum.largest(), 70);
        maximum.forget_before(2);
        assert_eq!(maximum.largest(), 55, "the 40 of round 2 was older and smaller");
        maximum.forget_before(100);
        assert_eq!(maximum.largest(), 55, "the last one is kept");
        maximum.put(101, 1);
        maximum.forget_before(101);
        assert_eq!(maximum.largest(), 1);
    }

    #[test]
    fn what_comes_at_once_is_extra_and_what_comes_evenly_is_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut even = Aggregation::new(start);
        let mut bursts = Aggregation::new(start);
        for step in 1..=100 {
            even.acknowledged(at(step), 1000, 1_000_000);
            if step % 10 == 0 {
                for _ in 0..10 {
                    bursts.acknowledged(at(step), 1000, 1_000_000);
                }
            }
        }
        assert_eq!(even.extra(), 1000, "no more than one step");
        assert_eq!(bursts.extra(), 10_000);
        let mut rounds_until = |from, to| {
            for step in from..to {
                bursts.acknowledged(at(step), 1000, 1_000_000);
                bursts.round_began(at(step));
            }
            bursts.extra()
        };
        assert_eq!(rounds_until(110, 1000), 10_000, "900 rounds of a short path later");
        assert_eq!(rounds_until(1000, 1300), 1000, "a second later it is forgotten");
    }

    #[test]
    fn nothing_is_extra_while_the_bandwidth_is_unknown() {
        let start = Instant::now();
        let mut aggregation = Aggregation::new(start);
        aggregation.acknowledged(start, 12_000, 0);
        assert_eq!(aggregation.extra(), 0);
    }
}
