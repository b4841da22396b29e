//! Lost packets: how many chance explains, and when they are more than that.
//!
//! Wires lose packets by chance, whatever is sent; full queues lose them because of what is sent. Only the latter are a sign
//! of congestion. What was lost while there was no queue was lost by chance. **No clock, no quinn.**

/// Share of lost bytes that is no sign of congestion while there is no queue: twice what the worst wires lose for long (3 %), and
/// some for the scatter of a few hundred packets.
const TOLERATED: f64 = 0.08;
/// Share beyond that of chance which is one while there is a queue (`BBRLossThresh` of draft-ietf-ccwg-bbr).
const TOLERATED_WITH_QUEUE: f64 = 0.02;
/// Share of lost bytes below which a path loses nothing by chance: then each loss beside a queue is a sign, as it is for TCP.
const CHANCE_NEGLIGIBLE: f64 = 0.001;
/// A share is one of at least so many datagrams. Of 200 that are lost with 3 % by chance, 8 % are found lost once in 10,000
/// times; of 50 once in 50.
const DATAGRAMS_JUDGED: u64 = 200;
/// What is left of the memory of chance after a round: it reaches some 30 rounds back.
const MEMORY: f64 = 0.97;

/// What was lost and delivered, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// Lost and delivered while there was no queue, fading.
    chance: (f64, f64),
    /// Since [`Self::began`].
    lost: u64,
    /// Bytes delivered on the path when the period that is judged began.
    began: u64,
}

/// What a loss is seen against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Bytes delivered on the path so far.
    pub(super) delivered: u64,
    /// Bytes under way.
    pub(super) in_flight: u64,
    /// Size of a datagram in bytes.
    pub(super) datagram_bytes: u64,
    /// Whether the round-trip time shows a queue.
    pub(super) has_queue: bool,
    /// Whether others were found to keep that queue filled.
    pub(super) is_shared: bool,
}

impl Losses {
    /// So many bytes arrived.
    pub(super) fn delivered(&mut self, bytes: u64, has_queue: bool) {
        if !has_queue {
            self.chance.1 += bytes as f64;
        }
    }

    /// So many bytes were lost: whether that is a sign of congestion.
    pub(super) fn lost(&mut self, bytes: u64, seen: Seen) -> bool {
        self.lost += bytes;
        if !seen.has_queue {
            self.chance.0 += bytes as f64;
        }
        if seen.is_shared && seen.has_queue && self.chance() < CHANCE_NEGLIGIBLE {
            return true;
        }
        // What is under way stands for a round that has hardly begun.
        let arrived = seen.delivered.saturating_sub(self.began).max(seen.in_flight);
        let judged = (self.lost + arrived).max(DATAGRAMS_JUDGED * seen.datagram_bytes);
        let tolerated = if seen.has_queue { self.chance() + TOLERATED_WITH_QUEUE } else { TOLERATED };
        self.lost as f64 > tolerated * judged as f64
    }

    /// A round is over.
    pub(super) fn round_ended(&mut self, delivered: u64, datagram_bytes: u64) {
        self.chance = (self.chance.0 * MEMORY, self.chance.1 * MEMORY);
        if delivered.saturating_sub(self.began) + self.lost >= DATAGRAMS_JUDGED * datagram_bytes {
            (self.lost, self.began) = (0, delivered);
        }
    }

    /// Share of bytes that is lost by chance.
    fn chance(&self) -> f64 {
        let (lost, delivered) = self.chance;
        if lost > 0.0 { lost / (lost + delivered) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Seen =
        Seen { delivered: 1_000_000, in_flight: 0, datagram_bytes: 1000, has_queue: false, is_shared: false };
    const QUEUED: Seen = Seen { has_queue: true, ..QUIET };
    const SHARED: Seen = Seen { is_shared: true, ..QUEUED };

    /// How many datagrams of a period of a thousand may be lost before it is called congestion.
    fn borne(mut losses: Losses, seen: Seen) -> u64 {
        (0..).find(|_| losses.lost(1000, seen)).unwrap()
    }

    /// A path that lost so many of ten thousand datagrams while there was no queue.
    fn known(lost: u64) -> Losses {
        let mut losses = Losses::default();
        losses.delivered((10_000 - lost) * 1000, false);
        losses.lost(lost * 1000, Seen { delivered: 0, ..QUIET });
        losses.round_ended(0, 1000);
        Losses { lost: 0, ..losses }
    }

    #[test]
    fn without_a_queue_eight_of_a_hundred_are_chance() {
        assert_eq!(borne(known(0), QUIET), 86, "86 of 1086 are 7.9 %");
    }

    #[test]
    fn beside_a_queue_two_of_a_hundred_more_than_by_chance_are_too_many() {
        assert_eq!(borne(known(0), QUEUED), 20);
        assert_eq!(borne(known(300), QUEUED), 52);
    }

    #[test]
    fn in_a_shared_queue_the_first_loss_counts_unless_the_path_loses_by_chance() {
        assert_eq!(borne(known(0), SHARED), 0);
        assert_eq!(borne(known(9), SHARED), 0);
        assert_eq!(borne(known(300), SHARED), 52);
    }

    #[test]
    fn a_few_losses_are_no_share_of_anything() {
        let barely = Seen { delivered: 0, ..QUIET };
        assert_eq!(borne(Losses::default(), barely), 16, "of 200");
        let filled = Seen { in_flight: 1_000_000, ..barely };
        assert_eq!(borne(Losses::default(), filled), 86, "of what is under way");
    }

    #[test]
    fn chance_is_forgotten_and_a_period_is_begun_anew() {
        let mut losses = known(300);
        losses.lost(10_000, Seen { delivered: 0, ..QUEUED });
        losses.round_ended(100_000, 1000);
        assert_eq!(losses.lost, 10_000, "110 datagrams are too few to end a period");
        losses.round_ended(200_000, 1000);
        assert_eq!((losses.lost, losses.began), (0, 200_000));
        for _ in 0..200 {
            losses.delivered(1_000_000, false);
            losses.round_ended(1_000_000, 1000);
        }
        assert!(losses.chance() < CHANCE_NEGLIGIBLE);
    }
}
