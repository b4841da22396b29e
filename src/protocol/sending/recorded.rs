//! Decisions about a large file with an origin record: what is read is compared with the record, region by region.
//!
//! A region is as many whole chunks as one hash of the record covers. One that fits needs no second read. In one that does
//! not every chunk is read again, past the cache; what then still differs from the record is wrong on its disk. Where a
//! region is one chunk, none leaves this side before it was compared.

use std::ops::Range;

use super::{Action, Basis, FileSending};
use crate::chunk::Geometry;
use crate::hash::{PieceHash, Root};
use crate::protocol::failure::Failure;

/// What the record of a file says of it, in regions of whole chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    root: Root,
    count: u64,
    /// Chunks of each region but the last.
    region_chunks: u64,
    /// CV of each region; none where the whole file is one, and its root is all there is.
    values: Vec<PieceHash>,
}

impl Recorded {
    /// Of a file whose record holds the root alone.
    #[must_use]
    pub fn whole(geometry: Geometry, root: Root) -> Self {
        Self { root, count: geometry.count(), region_chunks: geometry.count(), values: Vec::new() }
    }

    /// Of a file whose record holds CVs of its parts of `part_bytes` each, a power of two, that merge into the root. Where
    /// their number does not fit the geometry the root alone counts.
    #[must_use]
    pub fn parts(geometry: Geometry, root: Root, part_bytes: u64, values: &[PieceHash]) -> Self {
        let chunk_bytes = u64::from(geometry.chunk_size().bytes());
        let fits = part_bytes.is_power_of_two() && values.len() as u64 == geometry.length_bytes().div_ceil(part_bytes);
        if !fits {
            return Self::whole(geometry, root);
        }
        let parts = usize::try_from((chunk_bytes / part_bytes).max(1)).expect("chunks are at most some MiB");
        let values: Vec<_> = values.chunks(parts).map(PieceHash::merged).collect();
        let region_chunks = (part_bytes / chunk_bytes).max(1);
        if values.len() < 2 {
            return Self::whole(geometry, root);
        }
        Self { root, count: geometry.count(), region_chunks, values }
    }

    fn region_of(&self, index: u64) -> usize {
        (index / self.region_chunks) as usize
    }

    fn chunks(&self, region: usize) -> Range<u64> {
        let first = region as u64 * self.region_chunks;
        first..(first + self.region_chunks).min(self.count)
    }

    fn is_right(&self, region: usize, hashes: &[PieceHash]) -> bool {
        match self.values.get(region) {
            Some(&expected) => PieceHash::merged(hashes) == expected,
            None => Root::from_chaining_values(hashes) == Some(self.root),
        }
    }
}

/// How far the comparison with the record is.
#[derive(Debug)]
pub(super) struct Comparison {
    recorded: Recorded,
    regions: Vec<Region>,
    /// The chunks that are wrong on their disk.
    wrong: Option<Range<u64>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Region {
    /// Chunks that were not read yet.
    unread: u64,
    /// It did not fit: chunks whose second read is still to come.
    doubts: Option<u64>,
}

impl FileSending {
    /// The same with a record instead of second reads. To be called before anything else.
    #[must_use]
    pub fn against(mut self, recorded: Recorded) -> Self {
        let count = recorded.count.div_ceil(recorded.region_chunks.max(1)) as usize;
        let region = |region| {
            let chunks = recorded.chunks(region);
            Region { unread: chunks.end - chunks.start, doubts: None }
        };
        let regions = (0..count).map(region).collect();
        self.second_read = false;
        self.record = Some(Comparison { recorded, regions, wrong: None });
        self
    }

    /// The chunks that do not fit the record, once the file was given up for them.
    #[must_use]
    pub fn wrong_by_record(&self) -> Option<Range<u64>> {
        self.record.as_ref()?.wrong.clone()
    }

    /// Whether the chunk lies in a region that did not fit the record, and was not settled yet.
    pub(super) fn is_doubted(&self, index: u64) -> bool {
        let Some(record) = &self.record else { return false };
        record.regions[record.recorded.region_of(index)].doubts.is_some()
    }

    /// The chunk was read for the first time.
    pub(super) fn compare_with_record(&mut self, index: u64) {
        let Some(record) = &mut self.record else { return };
        let region = record.recorded.region_of(index);
        record.regions[region].unread -= 1;
        if record.regions[region].unread == 0 {
            self.judge(region);
        }
    }

    /// The chunk of a doubted region was read a second time.
    pub(super) fn doubted_read(&mut self, index: u64, hash: PieceHash) {
        if self.chunks[index as usize].hash == Some(hash) { self.no_doubt_left(index) } else { self.dispute(index) }
    }

    /// Both reads of the chunk came again after they had differed.
    pub(super) fn settle_by_record(&mut self, index: u64, read: PieceHash, origin: PieceHash) {
        if read != origin {
            return self.give_up(Failure::SourceUnstable);
        }
        let is_undecided = self.undecided.contains(&index);
        let chunk = &mut self.chunks[index as usize];
        let was_right = chunk.hash == Some(read);
        if chunk.origin_agrees {
            // The record had confirmed the other hash: it does not read so any more.
            if was_right {
                self.repairs.source += 1;
                return self.send(index);
            }
            return self.blame(index..index + 1);
        }
        self.repairs.source += 1;
        chunk.hash = Some(read);
        chunk.proven &= was_right;
        if !is_undecided && !chunk.owed {
            self.actions.push_back(Action::Forget(index));
            let is_wanted = self.basis != (Basis::Claim { claimed: false }) && !self.void.contains(&index);
            if !was_right && is_wanted {
                self.release_held_back();
                self.make_void(index);
            }
        }
        self.no_doubt_left(index);
    }

    /// Both reads of the chunk agree.
    fn no_doubt_left(&mut self, index: u64) {
        let Some(record) = &mut self.record else { return };
        let region = record.recorded.region_of(index);
        if let Some(doubts) = &mut record.regions[region].doubts {
            *doubts -= 1;
            if *doubts == 0 {
                self.judge(region);
            }
        }
    }

    /// Every chunk of the region was read, or read again.
    fn judge(&mut self, region: usize) {
        let Some(record) = &mut self.record else { return };
        let chunks = record.recorded.chunks(region);
        let own = &self.chunks[chunks.start as usize..chunks.end as usize];
        let hashes: Vec<PieceHash> = own.iter().filter_map(|chunk| chunk.hash).collect();
        if hashes.len() == own.len() && record.recorded.is_right(region, &hashes) {
            let was_doubted = record.regions[region].doubts.take().is_some();
            for index in chunks.clone() {
                self.chunks[index as usize].origin_agrees = true;
                self.close_if_proven(index);
            }
            if was_doubted {
                self.release_doubted(chunks);
            }
        } else if record.regions[region].doubts.is_none() {
            record.regions[region].doubts = Some(chunks.end - chunks.start);
            self.origin_due.extend(chunks);
        } else {
            self.blame(chunks);
        }
    }

    /// The region is right after all: what waited for that goes on.
    fn release_doubted(&mut self, chunks: Range<u64>) {
        self.decide();
        for index in chunks {
            let chunk = &self.chunks[index as usize];
            if chunk.owed && !chunk.reading && !self.undecided.contains(&index) {
                self.send(index);
            }
        }
    }

    fn blame(&mut self, chunks: Range<u64>) {
        if let Some(record) = &mut self.record {
            record.wrong = Some(chunks);
        }
        self.give_up(Failure::SourceCorrupt);
    }
}
