//! A tamperer that does what a plan says: content by the last component of its path and its chunk, messages by their kind.
//!
//! **It draws nothing**: what is not planned passes as it came.

use std::sync::Arc;

use super::tamper::{ContentPlace, MessageKind, Tamper};
use crate::plan::{Hashes, Place, Plan, Side, damage};

/// See the module.
#[derive(Debug)]
pub struct Planned {
    plan: Arc<Plan>,
    chunk_bytes: u32,
}

impl Planned {
    /// For files in chunks of so many bytes.
    #[must_use]
    pub fn new(plan: Arc<Plan>, chunk_bytes: u32) -> Self {
        Self { plan, chunk_bytes }
    }

    fn place(&self, place: &ContentPlace<'_>, hashes: Hashes) -> Place {
        let file = place.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
        Place::Gateway { hashes, file, chunk: place.offset_bytes / u64::from(self.chunk_bytes) }
    }

    /// Visits the place and makes what is due there; answers how many faults had an effect.
    fn strike(&self, place: &Place, bytes: &mut [u8]) -> u64 {
        let mut struck = 0;
        for strike in self.plan.visit(place) {
            if damage(strike, bytes).is_some() {
                self.plan.took_effect(strike);
                struck += 1;
            }
        }
        struck
    }
}

impl Tamper for Planned {
    fn content(&self, place: &ContentPlace<'_>, bytes: &mut [u8]) -> u64 {
        [Hashes::Kept, Hashes::Recomputed].map(|hashes| self.strike(&self.place(place, hashes), bytes)).iter().sum()
    }

    /// Passes and visits of a piece are the same numbers: both count every time that it comes by.
    fn rehashes(&self, place: &ContentPlace<'_>) -> bool {
        let rehashing = self.place(place, Hashes::Recomputed);
        self.plan.fired().iter().any(|fired| fired.entry.place == rehashing && fired.visit == place.pass)
    }

    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        let Some(kind) = MessageKind::of(from, bytes) else { return false };
        self.strike(&Place::Message { from, kind: kind.to_string() }, bytes) > 0
    }
}

#[cfg(test)]
mod tests {
    use careful::protocol::message::{FromReceiver, to_wire};

    use super::*;

    fn planned(line: &str) -> Planned {
        Planned::new(Arc::new(line.parse().unwrap()), 1024)
    }

    fn piece(offset_bytes: u64, pass: u64) -> ContentPlace<'static> {
        ContentPlace { path: b"directory/file", offset_bytes, pass }
    }

    #[test]
    fn the_chunk_that_is_named_is_struck_when_it_passes_as_often_as_planned_and_no_other() {
        let planned = planned("gateway file 1 #2 swap 0");
        let mut damaged = Vec::new();
        for (offset_bytes, pass) in [(0, 1), (1024, 1), (0, 2), (1024, 2), (1024, 3)] {
            let mut bytes = [1, 2, 3];
            let swaps = planned.content(&piece(offset_bytes, pass), &mut bytes);
            assert_eq!(swaps > 0, bytes == [2, 1, 3]);
            assert!(!planned.rehashes(&piece(offset_bytes, pass)));
            damaged.push(swaps);
        }
        assert_eq!(damaged, [0, 0, 0, 1, 0]);
        assert!(planned.plan.not_fired().is_empty());
    }

    #[test]
    fn a_swap_of_equal_bytes_took_no_effect() {
        let planned = planned("gateway file 0 *1 swap 0");
        assert_eq!(planned.content(&piece(0, 1), &mut [7; 3]), 0);
        assert!(planned.plan.fired().is_empty());
    }

    #[test]
    fn only_what_the_rehashing_gateway_struck_gets_a_hash_that_fits() {
        let planned = planned("gateway file 0 #1 swap 0; rehashing-gateway file 0 #2 swap 0");
        for pass in 1..=3 {
            assert_eq!(planned.content(&piece(0, pass), &mut [1, 2]), u64::from(pass < 3));
            assert_eq!(planned.rehashes(&piece(0, pass)), pass == 2);
        }
    }

    #[test]
    fn the_message_that_is_named_is_flipped() {
        let planned = planned("message-of-receiver bad #2 flip 1.0");
        let wire = to_wire(&FromReceiver::Bad(7)).split_off(4);
        let mut flipped = Vec::new();
        for side in [Side::Sender, Side::Receiver, Side::Receiver, Side::Receiver] {
            let mut message = wire.clone();
            flipped.push(planned.message(side, &mut message));
            assert_eq!(message != wire, flipped[flipped.len() - 1]);
        }
        assert_eq!(flipped, [false, false, true, false]);
    }
}
