//! One direction of a bad way: what becomes of each datagram that enters it, and when it leaves.
//!
//! The fate of a datagram is a keyed hash of seed, direction and its number in that direction: the same seed gives the
//! same fate to the same number, whatever the datagram holds. Time is an argument. **There is no socket and no clock here.**

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// How long a datagram that is to be overtaken waits for others: where none follow it would never leave.
const HELD_MAX: Duration = Duration::from_millis(100);

/// What a way does to what passes. By default nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// Bytes of UDP payload that leave in a second; without one everything leaves at once.
    pub rate_bytes_per_second: Option<u64>,
    /// Bytes that wait for their turn under a rate; what comes then is dropped.
    pub queue_bytes: u64,
    /// A datagram that finds more bytes than these before it is marked, if its sender allows that, as by a router that tells of
    /// its queue before it is full (RFC 3168).
    pub marked_from_bytes: Option<u64>,
    /// From the last byte's departure to its arrival.
    pub delay: Duration,
    /// Longer datagrams (bytes of UDP payload) vanish without a word.
    pub mtu_bytes: Option<usize>,
    /// Nothing that enters within these spans leaves; since the start of the way.
    pub blackouts: Vec<Range<Duration>>,
    /// Share of datagrams that vanish, 0 to 1. All further shares are likewise.
    pub lost: f64,
    /// Share that arrives twice.
    pub doubled: f64,
    /// Share that is overtaken by `late_by` others.
    pub late: f64,
    /// How many others overtake a late one; after 100 ms it leaves in any case.
    pub late_by: u64,
    /// Share of which one bit is flipped while the checksum stays: UDP must see it.
    pub flipped_under_checksum: f64,
    /// Share of which one bit is flipped and the checksum made anew: UDP cannot see it.
    pub flipped_with_fresh_checksum: f64,
    /// Share of which two 16-bit words change places: the checksum stays right by itself.
    pub words_exchanged: f64,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            rate_bytes_per_second: None,
            queue_bytes: 256 << 10,
            marked_from_bytes: None,
            delay: Duration::ZERO,
            mtu_bytes: None,
            blackouts: Vec::new(),
            lost: 0.0,
            doubled: 0.0,
            late: 0.0,
            late_by: 3,
            flipped_under_checksum: 0.0,
            flipped_with_fresh_checksum: 0.0,
            words_exchanged: 0.0,
        }
    }
}

/// How the bytes of a datagram are changed. Positions count from 0 and wrap at the datagram's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit, and the checksum stays what it was.
    FlipUnderChecksum {
        /// Number of the bit.
        bit: u64,
    },
    /// One bit, and the checksum is made anew.
    FlipWithFreshChecksum {
        /// Number of the bit.
        bit: u64,
    },
    /// Two 16-bit words change places: of those that differ from the first, the next one from the second on.
    ExchangeWords {
        /// Number of the first.
        first: u64,
        /// Number of the second.
        second: u64,
    },
}

impl Damage {
    /// Changes the bytes; answers whether anything is different now.
    pub fn apply(self, bytes: &mut [u8]) -> bool {
        match self {
            Self::FlipUnderChecksum { bit } | Self::FlipWithFreshChecksum { bit } => {
                let Some(place) = (bit / 8).checked_rem(bytes.len() as u64) else { return false };
                bytes[place as usize] ^= 1 << (bit % 8);
                true
            }
            Self::ExchangeWords { first, second } => {
                let words = bytes.len() as u64 / 2;
                let Some(first) = first.checked_rem(words).map(|word| word as usize * 2) else { return false };
                let others = (0..words).map(|step| (second.wrapping_add(step) % words) as usize * 2);
                let differs = |&other: &usize| bytes[other..other + 2] != bytes[first..first + 2];
                let Some(second) = { others }.find(differs) else { return false };
                bytes.swap(first, second);
                bytes.swap(first + 1, second + 1);
                true
            }
        }
    }

    /// Whether the header gets a checksum that fits the damaged bytes.
    #[must_use]
    pub fn makes_checksum_anew(self) -> bool {
        matches!(self, Self::FlipWithFreshChecksum { .. })
    }
}

/// What is drawn for one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    lost: bool,
    doubled: bool,
    late: bool,
    damage: Option<Damage>,
}

impl Trouble {
    fn fate(&self, key: &[u8; 32], number: u64) -> Fate {
        let mut draws = blake3::Hasher::new_keyed(key).update(&number.to_le_bytes()).finalize_xof();
        let mut draw = || {
            let mut bytes = [0; 8];
            draws.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        // Every number is drawn in every case, so that one share has no influence on what another strikes.
        let [lost, doubled, late] = [self.lost, self.doubled, self.late].map(|share| strikes(share, draw()));
        let [under, fresh, exchange] =
            [self.flipped_under_checksum, self.flipped_with_fresh_checksum, self.words_exchanged]
                .map(|share| strikes(share, draw()));
        let (first, second) = (draw(), draw());
        let damage = match (under, fresh, exchange) {
            (true, _, _) => Some(Damage::FlipUnderChecksum { bit: first }),
            (_, true, _) => Some(Damage::FlipWithFreshChecksum { bit: first }),
            (_, _, true) => Some(Damage::ExchangeWords { first, second }),
            _ => None,
        };
        Fate { lost, doubled, late, damage }
    }
}

fn strikes(share: f64, draw: u64) -> bool {
    // 53 bits, which a float holds exactly: 0 never strikes and 1 always does.
    ((draw >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// What happened to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It vanished.
    Lost,
    /// It entered during a blackout.
    InBlackout,
    /// It was longer than the way carries.
    TooLong,
    /// The queue was full.
    Overflowed,
    /// It left twice.
    Doubled,
    /// Others overtook it.
    Late,
    /// Its bytes were changed.
    Damaged(Damage),
}

/// One fault and the datagram it struck: shown as `to-receiver #17 flip-with-fresh-checksum 1234`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Name of the direction.
    pub direction: String,
    /// Number of the datagram in this direction, from 1.
    pub number: u64,
    /// What was done.
    pub happened: Happened,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} ", self.direction, self.number)?;
        match self.happened {
            Happened::Lost => f.write_str("lost"),
            Happened::InBlackout => f.write_str("in-blackout"),
            Happened::TooLong => f.write_str("too-long"),
            Happened::Overflowed => f.write_str("overflowed"),
            Happened::Doubled => f.write_str("doubled"),
            Happened::Late => f.write_str("late"),
            Happened::Damaged(Damage::FlipUnderChecksum { bit }) => write!(f, "flip-under-checksum {bit}"),
            Happened::Damaged(Damage::FlipWithFreshChecksum { bit }) => write!(f, "flip-with-fresh-checksum {bit}"),
            Happened::Damaged(Damage::ExchangeWords { first, second }) => {
                write!(f, "exchange-words {first} {second}")
            }
        }
    }
}

/// How many datagrams met which fate in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that entered.
    pub entered: u64,
    /// Their bytes.
    pub entered_bytes: u64,
    /// Vanished by chance.
    pub lost: u64,
    /// Vanished in a blackout.
    pub in_blackout: u64,
    /// Vanished because they were too long.
    pub too_long: u64,
    /// Vanished because the queue was full.
    pub overflowed: u64,
    /// Met a queue of which their receiver is to be told.
    pub marked: u64,
    /// Left twice.
    pub doubled: u64,
    /// Were overtaken.
    pub late: u64,
    /// One bit flipped, checksum kept.
    pub flipped_under_checksum: u64,
    /// One bit flipped, checksum made anew.
    pub flipped_with_fresh_checksum: u64,
    /// Two words exchanged.
    pub words_exchanged: u64,
    /// All that left, doubles included.
    pub left: u64,
    /// How long all of them together waited for their turn under the rate.
    pub waited: Duration,
}

impl Counts {
    fn note(&mut self, happened: Happened) {
        *match happened {
            Happened::Lost => &mut self.lost,
            Happened::InBlackout => &mut self.in_blackout,
            Happened::TooLong => &mut self.too_long,
            Happened::Overflowed => &mut self.overflowed,
            Happened::Doubled => &mut self.doubled,
            Happened::Late => &mut self.late,
            Happened::Damaged(Damage::FlipUnderChecksum { .. }) => &mut self.flipped_under_checksum,
            Happened::Damaged(Damage::FlipWithFreshChecksum { .. }) => &mut self.flipped_with_fresh_checksum,
            Happened::Damaged(Damage::ExchangeWords { .. }) => &mut self.words_exchanged,
        } += 1;
    }
}

/// A datagram on its way, with what its carrier needs to know of it.
#[derive(Clone, Debug)]
pub struct Datagram<T> {
    /// Its number in its direction, from 1.
    pub number: u64,
    /// UDP payload, damaged already.
    pub bytes: Vec<u8>,
    /// What was done to them.
    pub damage: Option<Damage>,
    /// Whether it met a queue of which its receiver is to be told.
    pub is_marked: bool,
    /// The carrier's.
    pub with: T,
}

/// One direction. Times are since its start and must not go back.
#[derive(Debug)]
pub struct Passage<T> {
    trouble: Trouble,
    direction: String,
    key: [u8; 32],
    counts: Counts,
    /// When the last byte that waits for its turn will have left.
    busy_until: Duration,
    /// By time of arrival, then in the order of scheduling.
    leaving: BTreeMap<(Duration, u64), Datagram<T>>,
    scheduled: u64,
    late: Vec<Late<T>>,
    faults: Vec<Injected>,
}

#[derive(Debug)]
struct Late<T> {
    /// Leaves behind the datagram with this number.
    behind: u64,
    /// Leaves then in any case.
    latest: Duration,
    datagram: Datagram<T>,
}

impl<T: Clone> Passage<T> {
    /// A way of this name; the name and the seed decide every fate.
    #[must_use]
    pub fn new(seed: u64, direction: &str, trouble: Trouble) -> Self {
        let key = *blake3::Hasher::new().update(&seed.to_le_bytes()).update(direction.as_bytes()).finalize().as_bytes();
        Self {
            trouble,
            direction: direction.to_owned(),
            key,
            counts: Counts::default(),
            busy_until: Duration::ZERO,
            leaving: BTreeMap::new(),
            scheduled: 0,
            late: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// From now on the way has this trouble. What is under way stays so, and numbers go on.
    pub fn set_trouble(&mut self, trouble: Trouble) {
        self.trouble = trouble;
    }

    /// A datagram enters.
    pub fn enter(&mut self, now: Duration, mut bytes: Vec<u8>, with: T) {
        self.counts.entered += 1;
        self.counts.entered_bytes += bytes.len() as u64;
        let number = self.counts.entered;
        let fate = self.trouble.fate(&self.key, number);
        if let Some(stopped) = self.stops(now, bytes.len(), fate) {
            self.note(number, stopped);
        } else {
            let damage = fate.damage.filter(|damage| damage.apply(&mut bytes));
            if let Some(damage) = damage {
                self.note(number, Happened::Damaged(damage));
            }
            let datagram = Datagram { number, bytes, damage, is_marked: false, with };
            if fate.doubled {
                self.note(number, Happened::Doubled);
                self.schedule(now, datagram.clone());
            }
            if fate.late {
                self.note(number, Happened::Late);
                let behind = number + self.trouble.late_by;
                self.late.push(Late { behind, latest: now + HELD_MAX, datagram });
            } else {
                self.schedule(now, datagram);
            }
        }
        self.release(now, number);
    }

    /// The next datagram that has arrived by now.
    pub fn leave(&mut self, now: Duration) -> Option<Datagram<T>> {
        self.release(now, self.counts.entered);
        let (&key, _) = self.leaving.first_key_value().filter(|((due, _), _)| *due <= now)?;
        self.counts.left += 1;
        self.leaving.remove(&key)
    }

    /// When to ask again; nothing while nothing is under way.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let leaving = self.leaving.keys().map(|(due, _)| *due).next();
        self.late.iter().map(|late| late.latest).chain(leaving).min()
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The faults since the last call, in order.
    pub fn take_faults(&mut self) -> Vec<Injected> {
        std::mem::take(&mut self.faults)
    }

    fn stops(&self, now: Duration, length: usize, fate: Fate) -> Option<Happened> {
        if self.trouble.blackouts.iter().any(|blackout| blackout.contains(&now)) {
            Some(Happened::InBlackout)
        } else if self.trouble.mtu_bytes.is_some_and(|mtu| length > mtu) {
            Some(Happened::TooLong)
        } else {
            fate.lost.then_some(Happened::Lost)
        }
    }

    /// Gives a datagram its turn under the rate, or drops it where the queue is full.
    fn schedule(&mut self, now: Duration, mut datagram: Datagram<T>) {
        let mut departs = now;
        if let Some(rate) = self.trouble.rate_bytes_per_second {
            let length = datagram.bytes.len() as u64;
            let starts = now.max(self.busy_until);
            let waiting_bytes = (starts - now).as_nanos() * u128::from(rate) / 1_000_000_000;
            // A datagram that need not wait fits any queue.
            if waiting_bytes > 0 && waiting_bytes + u128::from(length) > u128::from(self.trouble.queue_bytes) {
                return self.note(datagram.number, Happened::Overflowed);
            }
            datagram.is_marked = self.trouble.marked_from_bytes.is_some_and(|from| waiting_bytes > u128::from(from));
            self.counts.marked += u64::from(datagram.is_marked);
            self.counts.waited += starts - now;
            departs = starts + Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.max(1));
            self.busy_until = departs;
        }
        self.scheduled += 1;
        self.leaving.insert((departs + self.trouble.delay, self.scheduled), datagram);
    }

    /// Lets those go that enough others have overtaken, and those that waited long enough for it.
    fn release(&mut self, now: Duration, number: u64) {
        let is_due = |late: &mut Late<T>| late.behind <= number || late.latest <= now;
        let due: Vec<_> = self.late.extract_if(.., is_due).collect();
        for late in due {
            self.schedule(now, late.datagram);
        }
    }

    fn note(&mut self, number: u64, happened: Happened) {
        self.counts.note(happened);
        self.faults.push(Injected { direction: self.direction.clone(), number, happened });
    }
}

#[cfg(test)]
mod tests;
