//! The model on a path of which everything is known: rate, length, queue, and what is lost. Time goes in steps of 1 ms.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::model::{Model, Phase};

const DATAGRAM: u64 = 1000;
const STEP: Duration = Duration::from_millis(1);

/// What a queue is shared with: so many bytes of others lie in it.
type Others = u64;

/// One sender, one bottleneck, and the way back. Everything sent within a step leaves at its end.
struct Link {
    now: Instant,
    start: Instant,
    model: Model,
    /// Bytes a step, and bytes that may wait.
    rate: u64,
    queue: u64,
    length: Duration,
    /// Bytes that leave in a step at most.
    burst: u64,
    /// One datagram of so many is lost by chance.
    one_lost_of: u64,
    /// Steps after which acknowledgements are read again: hosts that are busy let them wait.
    read_every: u128,
    waiting: VecDeque<(u64, Instant)>,
    arriving: VecDeque<(Instant, u64, Instant)>,
    /// Sent and neither acknowledged nor lost.
    out: BTreeMap<u64, Instant>,
    next: u64,
    round_trip: Duration,
    arrived: u64,
    dropped: u64,
    largest_queue: u64,
}

impl Link {
    /// A path of 8 Mbit/s (a datagram a step), 40 ms long: the product is 40 datagrams.
    fn new(queue: u64) -> Self {
        let start = Instant::now();
        Self {
            now: start,
            start,
            model: Model::new(start, DATAGRAM, 10 * DATAGRAM),
            rate: DATAGRAM,
            queue,
            length: Duration::from_millis(40),
            burst: 10 * DATAGRAM,
            one_lost_of: u64::MAX,
            read_every: 1,
            waiting: VecDeque::new(),
            arriving: VecDeque::new(),
            out: BTreeMap::new(),
            next: 0,
            round_trip: Duration::from_millis(40),
            arrived: 0,
            dropped: 0,
            largest_queue: 0,
        }
    }

    fn run(&mut self, time: Duration, others: Others) {
        let until = self.now + time;
        (self.arrived, self.dropped, self.largest_queue) = (0, 0, 0);
        while self.now < until {
            self.now += STEP;
            self.acknowledge();
            self.send(others);
            self.carry(others);
        }
    }

    /// Share of what the path carried in such a time.
    fn share(&self, time: Duration) -> f64 {
        self.arrived as f64 / (self.rate * time.as_millis() as u64) as f64
    }

    fn in_flight(&self) -> u64 {
        self.out.len() as u64 * DATAGRAM
    }

    fn send(&mut self, others: Others) {
        // As QUIC's pacer: 1.25 windows per round trip, in bursts.
        let paced = self.model.window() * 5 / 4 / self.round_trip.as_millis() as u64;
        let mut left = paced.clamp(2 * DATAGRAM, self.burst);
        while left >= DATAGRAM && self.in_flight() + DATAGRAM < self.model.window() {
            left -= DATAGRAM;
            self.model.sent(self.now);
            self.out.insert(self.next, self.now);
            let is_lost = self.next % self.one_lost_of == self.one_lost_of - 1;
            let is_full = (self.waiting.len() as u64 + 1) * DATAGRAM + others > self.queue;
            if is_full && !self.waiting.is_empty() {
                self.dropped += 1;
            } else if !is_lost {
                self.waiting.push_back((self.next, self.now));
            }
            self.next += 1;
            self.largest_queue = self.largest_queue.max(self.waiting.len() as u64 * DATAGRAM + others);
        }
    }

    /// What others have in the queue goes before what comes now.
    fn carry(&mut self, others: Others) {
        let behind = Duration::from_millis(others / self.rate);
        for _ in 0..self.rate / DATAGRAM {
            let Some((number, sent)) = self.waiting.pop_front() else { break };
            self.arriving.push_back((self.now + self.length + behind, number, sent));
        }
    }

    fn acknowledge(&mut self) {
        if !(self.now - self.start).as_millis().is_multiple_of(self.read_every) {
            return;
        }
        let mut acknowledged = Vec::new();
        while self.arriving.front().is_some_and(|(due, ..)| *due <= self.now) {
            acknowledged.extend(self.arriving.pop_front());
        }
        let Some(&(_, largest, sent)) = acknowledged.last() else { return };
        for (_, number, sent) in acknowledged {
            self.out.remove(&number);
            self.arrived += DATAGRAM;
            self.model.acknowledged(self.now, sent, DATAGRAM, self.round_trip);
        }
        self.model.acknowledgement_ended(self.now, self.in_flight(), false);
        self.round_trip = (7 * self.round_trip + (self.now - sent)) / 8;
        let lost: Vec<_> = self.out.range(..largest.saturating_sub(2)).map(|(number, sent)| (*number, *sent)).collect();
        for (number, _) in &lost {
            self.out.remove(number);
        }
        if let Some((_, sent)) = lost.last() {
            self.model.lost(self.now, *sent, lost.len() as u64 * DATAGRAM);
        }
    }
}

fn is_competing(phase: Phase) -> bool {
    matches!(phase, Phase::Compete { .. })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_path_is_full_after_a_second_and_its_queue_nearly_empty() {
    let mut link = Link::new(1_000_000);
    link.run(SECOND, 0);
    assert_ne!(link.model.phase(), Phase::Startup);
    link.run(20 * SECOND, 0);
    assert!(link.share(20 * SECOND) > 0.97, "{}", link.share(20 * SECOND));
    assert!((950_000..1_100_000).contains(&link.model.bandwidth()), "{}", link.model.bandwidth());
    assert!(link.largest_queue < 25 * DATAGRAM, "{} bytes of a product of 40,000", link.largest_queue);
}

#[test]
fn exploring_queues_little_more_than_two_products() {
    let mut link = Link::new(1_000_000);
    link.run(SECOND, 0);
    assert!(link.largest_queue < 90_000, "{}", link.largest_queue);
}

#[test]
fn the_rate_triples_in_each_round_up_to_four_mebibytes_and_then_doubles() {
    let mut link = Link::new(100_000_000);
    (link.rate, link.burst) = (1000 * DATAGRAM, 1000 * DATAGRAM);
    let mut rounds = Vec::new();
    for _ in 0..8 {
        link.run(link.length + STEP, 0);
        rounds.push(link.arrived as f64 / (10 * DATAGRAM) as f64);
    }
    // The first ones are of a window that was not yet in use.
    let growth: Vec<_> = rounds.windows(2).map(|pair| pair[1] / pair[0]).collect();
    let (tripling, doubling) = (&growth[1..5], &growth[5..]);
    assert!(tripling.iter().all(|growth| *growth > 3.0) && doubling.iter().all(|growth| *growth < 2.9), "{growth:?}");
}

#[test]
fn exploring_a_long_path_drops_less_than_a_product() {
    let mut link = Link::new(4_000_000);
    (link.rate, link.burst) = (100 * DATAGRAM, 1000 * DATAGRAM);
    link.run(SECOND, 0);
    assert!(link.dropped < 4000, "{}", link.dropped);
    link.run(2 * SECOND, 0);
    assert!(link.share(2 * SECOND) > 0.97, "{}", link.share(2 * SECOND));
}

#[test]
fn three_of_a_hundred_lost_by_chance_slow_nothing_down() {
    let mut link = Link::new(40_000);
    link.one_lost_of = 33;
    link.run(SECOND, 0);
    link.run(20 * SECOND, 0);
    assert!(link.share(20 * SECOND) > 0.93, "{}", link.share(20 * SECOND));
}

#[test]
fn a_fifth_lost_for_long_is_too_much_whatever_lost_it() {
    let mut link = Link::new(40_000);
    link.run(2 * SECOND, 0);
    let before = link.model.window();
    link.one_lost_of = 5;
    link.run(5 * SECOND, 0);
    assert!(link.model.window() < before / 3, "{} of {before}", link.model.window());
}

#[test]
fn a_short_queue_overflows_only_while_more_is_tried() {
    let mut link = Link::new(10_000);
    link.run(SECOND, 0);
    link.run(20 * SECOND, 0);
    assert!(link.dropped * 100 < 3 * link.arrived / DATAGRAM, "{} of {}", link.dropped, link.arrived / DATAGRAM);
    assert!(link.share(20 * SECOND) > 0.93, "{}", link.share(20 * SECOND));
}

#[test]
fn beside_a_queue_that_does_not_go_the_window_is_that_of_cubic_and_afterwards_no_more() {
    let mut link = Link::new(60_000);
    link.run(5 * SECOND, 0);
    assert!(!is_competing(link.model.phase()));
    let mut phases = Vec::new();
    for _ in 0..40 {
        link.run(SECOND / 10, 30_000);
        phases.push(link.model.phase());
    }
    let competing = phases.iter().filter(|phase| is_competing(**phase)).count();
    assert!(phases[..15].iter().any(|phase| is_competing(*phase)) && competing > 20, "{phases:?}");
    link.run(2 * SECOND, 0);
    link.run(10 * SECOND, 0);
    assert!(!is_competing(link.model.phase()) && link.share(10 * SECOND) > 0.95, "{:?}", link.model.phase());
}

#[test]
fn in_a_shared_queue_one_loss_reduces_the_window_to_seven_tenths() {
    let mut link = Link::new(1_000_000);
    link.run(3 * SECOND, 0);
    while !is_competing(link.model.phase()) {
        link.run(STEP, 30_000);
    }
    link.run(SECOND, 30_000);
    let before = link.model.window();
    link.model.lost(link.now, link.now, DATAGRAM);
    let after = link.model.window();
    assert!((0.69..0.71).contains(&(after as f64 / before as f64)), "{before} {after}");
    // What was lost of the same window is the same congestion.
    link.model.lost(link.now, link.now, DATAGRAM);
    assert_eq!(link.model.window(), after);
}

#[test]
fn a_mark_of_a_router_counts_like_a_loss_in_a_queue() {
    let mut link = Link::new(1_000_000);
    link.run(3 * SECOND, 0);
    let before = link.model.window();
    link.model.marked(link.now, link.now);
    assert!(link.model.window() < before * 9 / 10, "{before} {}", link.model.window());
}

#[test]
fn after_persistent_congestion_everything_is_found_out_anew() {
    let mut link = Link::new(1_000_000);
    link.run(3 * SECOND, 0);
    link.model.restart(link.now);
    assert_eq!((link.model.window(), link.model.bandwidth()), (4 * DATAGRAM, 0));
    assert_eq!(link.model.phase(), Phase::Startup);
    link.run(SECOND, 0);
    link.run(5 * SECOND, 0);
    assert!(link.share(5 * SECOND) > 0.95);
}

#[test]
fn a_path_that_becomes_slower_or_longer_is_followed() {
    let mut link = Link::new(1_000_000);
    link.rate = 4 * DATAGRAM;
    link.run(5 * SECOND, 0);
    link.rate = DATAGRAM;
    link.run(3 * SECOND, 0);
    link.run(10 * SECOND, 0);
    assert!(link.model.bandwidth() < 1_200_000, "{}", link.model.bandwidth());
    assert!(link.share(10 * SECOND) > 0.95 && link.largest_queue < 120_000, "{}", link.largest_queue);
    link.length = Duration::from_millis(80);
    link.run(15 * SECOND, 0);
    link.run(10 * SECOND, 0);
    assert!(link.share(10 * SECOND) > 0.95, "{}", link.share(10 * SECOND));
    assert!(!is_competing(link.model.phase()), "after ten seconds the longer way is known");
}

#[test]
fn a_path_that_becomes_faster_is_filled_within_seconds() {
    let mut link = Link::new(1_000_000);
    link.run(5 * SECOND, 0);
    link.rate = 4 * DATAGRAM;
    link.run(5 * SECOND, 0);
    link.run(5 * SECOND, 0);
    assert!(link.share(5 * SECOND) > 0.95, "{}", link.share(5 * SECOND));
}

#[test]
fn whoever_has_little_to_send_is_not_slowed_down_by_it() {
    let mut link = Link::new(1_000_000);
    link.run(5 * SECOND, 0);
    let (now, window) = (link.now, link.model.window());
    // One datagram a round trip for a minute.
    for round in 1..1500 {
        let at = now + round * link.length;
        link.model.sent(at);
        link.model.acknowledged(at + link.length, at, DATAGRAM, link.length);
        link.model.acknowledgement_ended(at + link.length, 0, true);
    }
    assert!(link.model.bandwidth() > 900_000, "{}", link.model.bandwidth());
    assert!(link.model.window() >= window / 2, "{window} {}", link.model.window());
    assert!(link.start < now);
}

#[test]
fn a_reduction_is_made_good_within_seconds_where_nobody_else_is() {
    let mut link = Link::new(10_000_000);
    link.rate = 10 * DATAGRAM;
    link.run(3 * SECOND, 0);
    link.model.marked(link.now, link.now);
    link.run(SECOND, 0);
    link.run(2 * SECOND, 0);
    assert!(link.share(2 * SECOND) > 0.95, "{}", link.share(2 * SECOND));
}

#[test]
fn a_round_trip_that_was_measured_too_short_does_not_starve_a_path() {
    let mut link = Link::new(1000 * DATAGRAM);
    (link.rate, link.length, link.round_trip) = (8 * DATAGRAM, Duration::from_millis(1), Duration::from_millis(2));
    link.run(Duration::from_secs(1), 0);
    link.model.acknowledged(
        link.now,
        link.now.checked_sub(Duration::from_micros(100)).unwrap(),
        DATAGRAM,
        link.round_trip,
    );
    link.model.acknowledgement_ended(link.now, link.in_flight(), false);
    let time = Duration::from_secs(4);
    link.run(time, 0);
    assert!(link.share(time) > 0.8, "{}", link.share(time));
}

#[test]
fn a_short_path_between_busy_hosts_is_filled() {
    for read_every in [2, 3, 4] {
        let mut link = Link::new(100 * DATAGRAM);
        (link.rate, link.length, link.round_trip) = (8 * DATAGRAM, Duration::from_millis(1), Duration::from_millis(2));
        link.read_every = read_every;
        let time = Duration::from_secs(4);
        link.run(time, 0);
        assert!(link.share(time) > 0.99, "{} read every {read_every} ms", link.share(time));
    }
}
