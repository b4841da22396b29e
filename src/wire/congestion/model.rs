//! Congestion control by a model of the path: how much it carries, and how long it is when it is empty.
//!
//! After BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", CACM 60(2), 2017; draft-ietf-ccwg-bbr, here
//! "the draft"): the largest delivery rate of the last rounds and the smallest round-trip time of the last seconds give the
//! bandwidth-delay product (the *product* below). As much is kept under way: the path is full, and its queue is empty. A loss
//! by itself slows nothing down; a share of lost bytes that chance does not explain does ([`Losses`]).
//!
//! Once in a cycle more is sent, for a round, and then less, until the queue is gone. Where it does **not** go, others keep it
//! filled, and whoever kept to its product would be crowded out. So the window is then that of CUBIC ([`Cubic`]), which those
//! others mostly follow and which takes no more than they do. That ends when the queue does.
//!
//! One number steers: the window. QUIC keeps no more under way, and sends at most 1.25 windows per round trip. Longer than
//! other files, because the phases are read together.
//! **No clock, no quinn.**

use std::time::{Duration, Instant};

use super::cubic::Cubic;
use super::delivery::{Delivery, Sample};
use super::filters::{Aggregation, Maximum};
use super::losses::{Losses, Seen};

/// Products under way while the path is explored: the least that doubles the rate in each round (the draft's startup gain), `k e^k
/// / (1 - e^-k)` for `k = ln 2`.
const STARTUP: f64 = 2.77;
/// The same for `k = ln 3`: the rate triples.
const STARTUP_FAST: f64 = 4.94;
/// As far as this many bytes under way. That a path is full shows a round trip late, and by then tripling has put 3.5 products under
/// way and doubling 2.1.
const STARTUP_FAST_BYTES: u64 = 4 << 20;
/// Products under way from the first queue on: what a queue of one product holds, and the rate still grows by half in a round.
const STARTUP_QUEUED: f64 = 2.0;
/// Growth of the bandwidth in a round without which the path may be full (as the draft has it).
const STARTUP_GROWTH: f64 = 1.25;
/// Rounds without it after which the path is full, even if no queue tells so.
const STARTUP_FULL_ROUNDS: u32 = 3;
/// Products under way while it is tried whether the path carries more.
const PROBE: f64 = 1.25;
/// Products under way until the queue of a probe has run off, beside what is no queue: a short path would run dry every few
/// rounds.
const DRAIN: f64 = 0.75;
/// Rounds that are sent at the bandwidth that was found, between two probes.
const CRUISE_ROUNDS: u32 = 6;
/// Rounds that a bandwidth is remembered for: a cycle.
const BANDWIDTH_ROUNDS: u64 = 10;
/// How long the smallest round-trip time is believed.
const ROUND_TRIP_AGE: Duration = Duration::from_secs(10);
/// How long, at least, little is sent then to see the round-trip time of the empty path.
const EMPTY_FOR: Duration = Duration::from_millis(200);
/// Products under way meanwhile.
const EMPTY: f64 = 0.5;
/// A round-trip time beyond so many smallest ones shows a queue: half of what a probe makes.
const QUEUE_FROM: f64 = 1.125;
/// A round-trip time longer by this share, and not by more than noise, is the same as the smallest one.
const ROUND_TRIP_SAME: f64 = 1.0 / 64.0;
/// What timers and schedulers add to any round-trip time.
const ROUND_TRIP_NOISE: Duration = Duration::from_millis(1);
/// What they add at times, where both hosts are busy with the content: so much of a short path's rate is under way beside its
/// product, if acknowledgements come as unevenly. A switch of a local network holds as much.
const ROUND_TRIP_BUSY: Duration = Duration::from_millis(3);
/// Rounds in a row with a queue that nobody probed for, after which it is tried to let it run off.
const QUEUE_ROUNDS: u32 = 2;
/// Rounds in a row without a queue after which the others are gone.
const FREE_ROUNDS: u32 = 3;
/// Share of the bandwidth below which it is looked anew whether the queue is that of others.
const STILL: f64 = 0.7;
/// Products that a loss caused by a probe leaves: the probe was too much, not the bandwidth before it.
const AFTER_PROBE: f64 = 0.85;
/// Products by which a bound grows in a round without congestion, while no others share the queue.
const BOUND_GROWTH: f64 = 0.05;
/// A bound beyond so many products binds nothing any more.
const BOUND_UNTIL: f64 = 2.0;
/// Datagrams that may always be under way (the draft, `BBRMinPipeCwnd`).
const DATAGRAMS_MIN: u64 = 4;
/// Datagrams beside the product: one that is being sent, and two that the other side acknowledges together.
const DATAGRAMS_EXTRA: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is known: the rate triples in each round, and then doubles, until a queue shows.
    Startup,
    /// A queue of our own runs off.
    Drain,
    /// It has run off, so that this round shows whether there is another. In the first it was still part of the round.
    Settle { is_whole_round: bool },
    /// The path is full and its queue empty; so many rounds already.
    Cruise { rounds: u32 },
    /// For a round it is tried whether the path carries more.
    Probe,
    /// Others keep the queue filled, as it was found at this bandwidth.
    Compete { bandwidth: u64 },
    /// Little is sent, to see the round-trip time of the empty path: until then, once enough has run off.
    Empty { until: Option<Instant> },
}

/// The path as it was found, and what follows from it.
#[derive(Clone, Debug)]
pub struct Model {
    datagram_bytes: u64,
    first_window: u64,
    window: u64,
    phase: Phase,
    delivery: Delivery,
    bandwidths: Maximum,
    aggregation: Aggregation,
    losses: Losses,
    round_trips: RoundTrips,
    round: Round,
    startup: Startup,
    /// What may be under way after congestion, and beside others.
    bound: Option<Cubic>,
    /// What was lost of packets from before then is part of the congestion that was reacted to.
    reduced_at: Option<Instant>,
    in_flight: u64,
}

#[derive(Clone, Copy, Debug)]
struct RoundTrips {
    smallest: Option<Duration>,
    smallest_at: Instant,
    smoothed: Duration,
    /// Smallest one of the acknowledgement that is being read.
    of_acknowledgement: Option<Duration>,
    /// That of the last acknowledgement.
    newest: Duration,
}

/// A round ends when what was sent at its start has been acknowledged.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u64,
    began: Instant,
    ends_at_delivered: u64,
    smallest: Option<Duration>,
    /// Rounds in a row before this one without a queue, and with one.
    free: u32,
    queued: u32,
}

/// How far exploring has come.
#[derive(Clone, Copy, Debug, Default)]
struct Startup {
    bandwidth: u64,
    rounds_without_growth: u32,
    /// Whether a round-trip time showed a queue.
    saw_queue: bool,
}

impl Model {
    /// A path of which nothing is known; sizes in bytes.
    #[must_use]
    pub fn new(now: Instant, datagram_bytes: u64, first_window: u64) -> Self {
        Self {
            datagram_bytes,
            first_window,
            window: first_window,
            phase: Phase::Startup,
            delivery: Delivery::new(now),
            bandwidths: Maximum::default(),
            aggregation: Aggregation::new(now),
            losses: Losses::default(),
            round_trips: RoundTrips {
                smallest: None,
                smallest_at: now,
                smoothed: Duration::ZERO,
                of_acknowledgement: None,
                newest: Duration::ZERO,
            },
            round: Round { number: 0, began: now, ends_at_delivered: 0, smallest: None, free: 0, queued: 0 },
            startup: Startup::default(),
            bound: None,
            reduced_at: None,
            in_flight: 0,
        }
    }

    /// Bytes that may be under way.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// The window before anything was measured, in bytes.
    pub(super) fn first_window(&self) -> u64 {
        self.first_window
    }

    /// Bytes per second that the path was found to carry; 0 before the first measurement.
    pub(super) fn bandwidth(&self) -> u64 {
        self.bandwidths.largest()
    }

    #[cfg(test)]
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Datagrams have this size from now on.
    pub(super) fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
    }

    /// A packet goes out.
    pub fn sent(&mut self, now: Instant) {
        self.delivery.sent(now, self.in_flight == 0);
        // How much it was is told with the next acknowledgement.
        self.in_flight = self.in_flight.max(1);
    }

    /// A packet that was sent at this time arrived; the smoothed round-trip time is the one before it.
    pub fn acknowledged(&mut self, now: Instant, sent: Instant, bytes: u64, smoothed: Duration) {
        self.delivery.acknowledged(now, sent, bytes);
        self.aggregation.acknowledged(now, bytes, self.bandwidths.largest());
        self.losses.delivered(bytes, self.has_queue());
        let trips = &mut self.round_trips;
        trips.smoothed = smoothed;
        let took = now.saturating_duration_since(sent);
        trips.of_acknowledgement = Some(trips.of_acknowledgement.map_or(took, |smallest| smallest.min(took)));
        let is_used = self.in_flight >= self.window / 2;
        if is_used
            && self.is_since_reduction(sent)
            && let Some(bound) = &mut self.bound
        {
            bound.acknowledged(now, bytes, smoothed, self.datagram_bytes);
        }
    }

    /// An acknowledgement was read to its end; so much is under way. `app_limited` if there is no more to send.
    pub fn acknowledgement_ended(&mut self, now: Instant, in_flight: u64, app_limited: bool) {
        self.in_flight = in_flight;
        self.take_round_trip(now);
        let shortest = self.round_trips.smallest.unwrap_or_default();
        if let Some(sample) = self.delivery.sample(in_flight, app_limited, shortest) {
            if !sample.is_app_limited || sample.rate > self.bandwidths.largest() {
                self.bandwidths.put(self.round.number, sample.rate);
            }
            if sample.delivered_before >= self.round.ends_at_delivered {
                self.end_round(now, &sample);
            }
        }
        self.startup.saw_queue |= self.has_queue();
        self.look_at_time(now);
        self.set_window();
    }

    /// So many bytes were found lost, the last of them sent at this time.
    pub fn lost(&mut self, now: Instant, sent: Instant, bytes: u64) {
        let seen = Seen {
            delivered: self.delivery.delivered(),
            in_flight: self.in_flight,
            datagram_bytes: self.datagram_bytes,
            has_queue: self.has_queue(),
            is_shared: matches!(self.phase, Phase::Compete { .. }),
        };
        if self.losses.lost(bytes, seen) {
            self.congested(now, sent);
        }
    }

    /// A router marked a packet that was sent at this time instead of dropping it (RFC 3168).
    pub(super) fn marked(&mut self, now: Instant, sent: Instant) {
        self.congested(now, sent);
    }

    /// Nothing got through for long (RFC 9002, section 7.6): whatever was known of the path is void.
    pub(super) fn restart(&mut self, now: Instant) {
        let first_window = self.first_window.min(self.least());
        *self = Self::new(now, self.datagram_bytes, first_window);
    }

    /// The path is too full. Once for all packets that were under way at the time.
    fn congested(&mut self, now: Instant, sent: Instant) {
        if !self.is_since_reduction(sent) {
            return;
        }
        self.reduced_at = Some(now);
        let is_own_probe = !matches!(self.phase, Phase::Compete { .. } | Phase::Cruise { .. });
        let least = if is_own_probe { self.product(AFTER_PROBE) } else { 0 };
        let mut bound = self.bound.unwrap_or_else(|| Cubic::starting_at(now, self.window));
        bound.congested(now, least.max(self.least()), self.datagram_bytes);
        self.bound = Some(bound);
        if self.phase == Phase::Probe || self.phase == Phase::Startup && self.bandwidths.largest() > 0 {
            self.phase = Phase::Drain;
        }
        self.set_window();
    }

    fn is_since_reduction(&self, sent: Instant) -> bool {
        self.reduced_at.is_none_or(|reduced| sent > reduced)
    }

    fn take_round_trip(&mut self, now: Instant) {
        let trips = &mut self.round_trips;
        let Some(newest) = trips.of_acknowledgement.take() else { return };
        trips.newest = newest;
        self.round.smallest = Some(self.round.smallest.map_or(newest, |smallest| smallest.min(newest)));
        let smallest = trips.smallest.map_or(newest, |smallest| smallest.min(newest));
        // A path that is seen empty again need not be emptied to see it.
        if newest <= smallest + smallest.mul_f64(ROUND_TRIP_SAME).min(ROUND_TRIP_NOISE) {
            trips.smallest_at = now;
        }
        trips.smallest = Some(smallest);
    }

    fn has_queue(&self) -> bool {
        self.is_queue(self.round_trips.newest)
    }

    /// Whether a round-trip time is one of a path with a queue beyond what this side allows itself.
    fn is_queue(&self, round_trip: Duration) -> bool {
        let Some(smallest) = self.round_trips.smallest else { return false };
        let own = self.own_queue() as f64 / self.bandwidths.largest().max(1) as f64;
        let own = Duration::from_secs_f64(own.min(1.0));
        round_trip > smallest.mul_f64(QUEUE_FROM) + ROUND_TRIP_NOISE + own
    }

    /// Bytes that this side lets queue by itself.
    fn own_queue(&self) -> u64 {
        match self.phase {
            Phase::Compete { .. } | Phase::Empty { .. } => 0,
            Phase::Settle { .. } => self.least_extra(),
            _ => self.extra().min(self.product(PROBE - 1.0).max(self.least_extra())),
        }
    }

    fn end_round(&mut self, now: Instant, sample: &Sample) {
        let is_free = self.round.smallest.is_none_or(|smallest| !self.is_queue(smallest));
        let delivered = self.delivery.delivered();
        let (free, queued) = if is_free { (self.round.free + 1, 0) } else { (0, self.round.queued + 1) };
        let began = self.round.began;
        self.round = Round {
            began: now,
            number: self.round.number + 1,
            ends_at_delivered: delivered,
            smallest: None,
            free,
            queued,
        };
        self.bandwidths.forget_before(self.round.number.saturating_sub(BANDWIDTH_ROUNDS));
        self.aggregation.round_began(now);
        self.losses.round_ended(delivered, self.datagram_bytes);
        let is_explored = self.phase == Phase::Startup && !sample.is_app_limited && self.is_explored(is_free);
        self.phase = match self.phase {
            Phase::Startup if is_explored => Phase::Drain,
            Phase::Probe => Phase::Drain,
            Phase::Settle { is_whole_round: false } => Phase::Settle { is_whole_round: true },
            Phase::Settle { is_whole_round: true } if is_free => Phase::Cruise { rounds: 0 },
            Phase::Settle { is_whole_round: true } => {
                // The others took what this side had let go of before it found out.
                let window = self.window.max(self.product(1.0));
                self.bound.get_or_insert_with(|| Cubic::reduced(now, window, self.datagram_bytes));
                Phase::Compete { bandwidth: self.bandwidths.largest() }
            }
            Phase::Cruise { .. } if queued >= QUEUE_ROUNDS => Phase::Drain,
            Phase::Cruise { rounds } if rounds < CRUISE_ROUNDS => Phase::Cruise { rounds: rounds + 1 },
            Phase::Cruise { .. } if !sample.is_app_limited => Phase::Probe,
            Phase::Compete { .. } if free >= FREE_ROUNDS => Phase::Cruise { rounds: 0 },
            // Perhaps the queue was this side's own, on a path that has become slower.
            Phase::Compete { bandwidth } if (self.bandwidths.largest() as f64) < bandwidth as f64 * STILL => {
                Phase::Drain
            }
            same => same,
        };
        if !matches!(self.phase, Phase::Compete { .. }) {
            self.ease_bound(began);
        }
    }

    /// Congestion of one's own making is over with the first round that shows none, and then soon forgotten.
    fn ease_bound(&mut self, round_began: Instant) {
        let (growth, until) = (self.product(BOUND_GROWTH), self.product(BOUND_UNTIL));
        if self.is_since_reduction(round_began)
            && let Some(bound) = &mut self.bound
        {
            bound.raise(growth);
        }
        self.bound = self.bound.filter(|bound| bound.window() < until);
    }

    /// Whether the round that ended shows that the path carries no more.
    fn is_explored(&mut self, is_free: bool) -> bool {
        let bandwidth = self.bandwidths.largest();
        if bandwidth as f64 >= self.startup.bandwidth as f64 * STARTUP_GROWTH {
            (self.startup.bandwidth, self.startup.rounds_without_growth) = (bandwidth, 0);
        } else {
            self.startup.rounds_without_growth += 1;
        }
        let rounds = self.startup.rounds_without_growth;
        rounds >= STARTUP_FULL_ROUNDS || rounds > 0 && !is_free
    }

    /// What does not wait for the end of a round.
    fn look_at_time(&mut self, now: Instant) {
        let is_old = now.saturating_duration_since(self.round_trips.smallest_at) > ROUND_TRIP_AGE;
        match self.phase {
            Phase::Drain if self.in_flight <= (self.product(1.0) + self.least_extra()).max(self.least()) => {
                self.phase = Phase::Settle { is_whole_round: false };
            }
            Phase::Empty { until: None } if self.in_flight <= self.product(EMPTY) + self.least() => {
                self.phase = Phase::Empty { until: Some(now + EMPTY_FOR.max(self.round_trips.smoothed)) };
                self.round.smallest = None;
            }
            Phase::Empty { until: Some(until) } if now >= until => self.believe_empty_path(now),
            Phase::Settle { .. } | Phase::Cruise { .. } | Phase::Probe | Phase::Compete { .. } if is_old => {
                self.phase = Phase::Empty { until: None };
            }
            _ => {}
        }
    }

    /// The smallest round-trip time seen while little was sent counts from now on, however long it is.
    fn believe_empty_path(&mut self, now: Instant) {
        let seen = self.round.smallest.unwrap_or(self.round_trips.newest);
        let is_shared = self.is_queue(seen) && self.bound.is_some();
        self.round_trips.smallest = Some(seen);
        self.round_trips.smallest_at = now;
        self.phase = match is_shared {
            true => Phase::Compete { bandwidth: self.bandwidths.largest() },
            false => Phase::Settle { is_whole_round: false },
        };
    }

    /// Bytes that may always be under way.
    fn least(&self) -> u64 {
        DATAGRAMS_MIN * self.datagram_bytes
    }

    /// Bytes of so many bandwidth-delay products; 0 before the first measurement.
    fn product(&self, times: f64) -> u64 {
        let smallest = self.round_trips.smallest.unwrap_or_default();
        (self.bandwidths.largest() as f64 * smallest.as_secs_f64() * times) as u64
    }

    /// Bytes under way while the path is explored.
    fn startup_products(&self) -> u64 {
        match self.startup.saw_queue {
            true => self.product(STARTUP_QUEUED),
            false => self.product(STARTUP).max(self.product(STARTUP_FAST).min(STARTUP_FAST_BYTES)),
        }
    }

    /// Bytes under way beside the product, so that the path does not run dry.
    fn extra(&self) -> u64 {
        self.aggregation.extra().min(self.product(1.0)).max(self.least_extra())
    }

    /// The same where no queue is wanted: what comes of timers and schedulers is none, and on a short path it is more than the
    /// product.
    fn least_extra(&self) -> u64 {
        let busy = (self.bandwidths.largest() as f64 * ROUND_TRIP_BUSY.as_secs_f64()) as u64;
        self.aggregation.extra().min(busy) + DATAGRAMS_EXTRA * self.datagram_bytes
    }

    fn set_window(&mut self) {
        if self.product(1.0) == 0 {
            self.window = self.window.max(self.least());
            return;
        }
        let wanted = match self.phase {
            // The first measurements are of few packets.
            Phase::Startup => self.startup_products().max(self.first_window) + self.extra(),
            Phase::Drain => self.product(DRAIN) + self.least_extra(),
            Phase::Settle { .. } => self.product(1.0) + self.least_extra(),
            Phase::Cruise { .. } => self.product(1.0) + self.extra(),
            Phase::Probe => self.product(PROBE) + self.extra(),
            Phase::Compete { .. } => self.bound.map_or(self.product(1.0), |bound| bound.window()),
            Phase::Empty { .. } => self.product(EMPTY),
        };
        self.window = self.bound.map_or(wanted, |bound| bound.window().min(wanted)).max(self.least());
    }
}
