//! Plans drawn from a seed: the same seed and the same places give the same plan.
//!
//! Shapes are those that were met in the field (single bits, sectors, 4 KiB and 64 KiB blocks, byte and word swaps, blocks
//! of another place or another time), each as likely as the other: the hardest mix, not the commonest.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::{Entry, Fault, Occurrence, Place, Plan, Role};

/// Sizes of damaged regions: a sector, a page, the unit of a RAID or of a file system's readahead.
const REGION_BYTES: [u64; 3] = [512, 4096, 65536];
/// What the disk's data move in, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// Draws faults.
#[derive(Debug)]
pub struct Draw {
    rng: Rng,
}

impl Draw {
    /// From this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.rng.u64(..end.max(1))
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }

    /// A fault of content in a piece of this length.
    pub fn content(&mut self, length: u64) -> Fault {
        let byte = self.below(length);
        match self.rng.u8(..4) {
            0 => Fault::Flip { byte, bit: self.rng.u8(..8) },
            1 => Fault::SwapBytes { byte },
            2 if length >= 4 => Fault::SwapWords { byte: byte.min(length - 4) },
            _ => self.region(length, |byte, length| Fault::Zero { byte, length }),
        }
    }

    /// A fault of a write of this length into a file of that length, at most its size long.
    pub fn write(&mut self, length: u64, file_bytes: u64) -> Fault {
        let to = self.below(file_bytes.div_ceil(BLOCK_BYTES)) * BLOCK_BYTES;
        match self.rng.u8(..6) {
            0 => Fault::Lost,
            1 => Fault::Torn { bytes: self.below(length.div_ceil(512)) * 512 },
            2 => self.region(length, |byte, length| Fault::Stale { byte, length }),
            3 => self.region(length, |byte, length| Fault::Misdirect { byte, length, to }),
            _ => self.content(length),
        }
    }

    /// A region of one of the usual sizes, where such a region begins.
    fn region(&mut self, length: u64, fault: impl FnOnce(u64, u64) -> Fault) -> Fault {
        let region = self.one_of(&REGION_BYTES);
        fault(self.below(length.div_ceil(region)) * region, region)
    }

    /// A fault that can be at the place, for pieces of at most this length.
    pub fn fault_at(&mut self, place: &Place, length: u64, file_bytes: u64) -> Fault {
        match place {
            Place::Packet { .. } => match self.rng.u8(..4) {
                0 => Fault::Drop,
                1 => Fault::Double,
                2 => Fault::Late { packets: 1 + self.below(8) },
                _ => Fault::Flip { byte: self.below(1200), bit: self.rng.u8(..8) },
            },
            Place::Buffer { .. } => match self.rng.u8(..6) {
                0 => Fault::Double,
                1 => Fault::WrongHash { bit: self.rng.u8(..) },
                2 => Fault::Truncate { bytes: self.below(length) },
                _ => self.content(length),
            },
            Place::Gateway { .. } => self.content(length),
            Place::Message { .. } => Fault::Flip { byte: self.below(64), bit: self.rng.u8(..8) },
            Place::Disk { role, .. } => self.fault_of(*role, length, file_bytes),
        }
    }

    fn fault_of(&mut self, role: Role, length: u64, file_bytes: u64) -> Fault {
        match role {
            Role::SourceRead | Role::SourceReadPastCache | Role::ReadBack | Role::TargetRead => {
                match self.rng.u8(..6) {
                    0 => Fault::Failed,
                    1 => Fault::Short,
                    2 => Fault::Interrupted,
                    _ => self.content(length),
                }
            }
            Role::StagingWrite => match self.rng.u8(..6) {
                0 => self.one_of(&[Fault::Failed, Fault::NoSpace, Fault::NoQuota]),
                1 => Fault::Short,
                _ => self.write(length, file_bytes),
            },
            Role::WriteOut => self.write(length, file_bytes),
            Role::SourceCache | Role::SourceMedium | Role::StoredMedium => self.content(length),
            Role::FileSync | Role::FileSystemSync => {
                self.one_of(&[Fault::Failed, Fault::FailedKeeping, Fault::FailedReverting, Fault::Swallowed])
            }
            _ => self.one_of(&[Fault::Failed, Fault::NoSpace, Fault::Slow { millis: 3 }]),
        }
    }

    /// A plan of so many faults, each at one visit of a place that a clean run came by.
    #[must_use]
    pub fn plan(&mut self, census: &BTreeMap<Place, u64>, faults: usize, length: u64, file_bytes: u64) -> Plan {
        let places: Vec<(&Place, &u64)> = census.iter().collect();
        let entries = (0..faults).map(|_| {
            let (place, &visits) = self.one_of(&places);
            let fault = self.fault_at(place, length, file_bytes);
            Entry { place: place.clone(), occurrence: Occurrence::Nth(1 + self.below(visits)), fault }
        });
        Plan::new(entries.collect()).expect("what is drawn for a place can be there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census() -> BTreeMap<Place, u64> {
        let lines = [
            "source-read f 0 #1 eio",
            "staging-write f 1 #1 eio",
            "file-system-sync . 0 #1 eio",
            "hash-to-upload f 0 #1 drop",
            "packet-of-sender #1 drop",
            "rename f 0 #1 eio",
            "write-out f 0 #1 lost",
        ];
        lines.iter().map(|line| (line.parse::<Entry>().unwrap().place, 3)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_another() {
        let draw = |seed| Draw::new(seed).plan(&census(), 5, 1 << 20, 3 << 20).to_string();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn whatever_is_drawn_can_be_there_and_reads_back_from_its_line() {
        for seed in 0..500 {
            let plan = Draw::new(seed).plan(&census(), 4, 5000, 5000);
            assert_eq!(plan.to_string().parse::<Plan>().unwrap().to_string(), plan.to_string());
        }
    }
}
