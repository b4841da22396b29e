//! Chunk geometry: how a file of a given length is cut into chunks.
//!
//! Chunk *i* starts at *i* × chunk size; only the last may be shorter. Everything is computed from length and chunk
//! size, so no count that came over the wire is ever believed. **No I/O here.**

use std::ops::Range;

/// Smallest chunk the geometry knows: one BLAKE3 leaf, in bytes.
pub const LEAF_BYTES: u32 = 1024;

/// Neighbouring chunks that are smaller are read and copied together, up to so many bytes: a disk takes hardly longer for all of
/// them.
pub const REQUEST_BYTES: u32 = 1 << 20;

/// Number of a chunk within its file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(pub u64);

/// Size of every chunk of a file but the last: a power of two, at least [`LEAF_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// The size of `bytes`, or nothing if that is no power of two of at least one leaf.
    #[must_use]
    pub fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && bytes >= LEAF_BYTES).then_some(Self(bytes))
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// Chunks that one request to a disk is for: as many as [`REQUEST_BYTES`] hold, and one at least.
    #[must_use]
    pub fn per_request(self) -> u64 {
        u64::from(REQUEST_BYTES / self.0).max(1)
    }
}

/// A file's length in bytes together with its chunk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    length_bytes: u64,
    chunk: ChunkSize,
}

impl Geometry {
    /// The geometry of a file of `length_bytes` cut into chunks of size `chunk`.
    #[must_use]
    pub fn new(length_bytes: u64, chunk: ChunkSize) -> Self {
        Self { length_bytes, chunk }
    }

    /// Length of the file in bytes.
    #[must_use]
    pub fn length_bytes(self) -> u64 {
        self.length_bytes
    }

    /// Size of its chunks.
    #[must_use]
    pub fn chunk_size(self) -> ChunkSize {
        self.chunk
    }

    /// Number of chunks: 0 for an empty file.
    #[must_use]
    pub fn count(self) -> u64 {
        self.length_bytes.div_ceil(u64::from(self.chunk.0))
    }

    /// Whether there is a chunk of this number.
    #[must_use]
    pub fn contains(self, index: ChunkIndex) -> bool {
        index.0 < self.count()
    }

    /// Where the chunk lies in the file, in bytes; nothing if there is no such chunk.
    #[must_use]
    pub fn range(self, index: ChunkIndex) -> Option<Range<u64>> {
        if !self.contains(index) {
            return None;
        }
        let start = index.0 * u64::from(self.chunk.0);
        let end = start.saturating_add(u64::from(self.chunk.0)).min(self.length_bytes);
        Some(start..end)
    }

    /// All chunk numbers, in order.
    pub fn indices(self) -> impl Iterator<Item = ChunkIndex> + use<> {
        (0..self.count()).map(ChunkIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(length_bytes: u64) -> Geometry {
        Geometry::new(length_bytes, ChunkSize::new(4096).expect("a power of two"))
    }

    #[test]
    fn chunks_cover_the_file_without_gap_or_overlap() {
        for length in [0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 12_288, 12_289] {
            let geometry = geometry(length);
            let mut end = 0;
            for index in geometry.indices() {
                let range = geometry.range(index).expect("index below count");
                assert_eq!(range.start, end);
                assert!(range.end > range.start);
                end = range.end;
            }
            assert_eq!(end, length);
        }
    }

    #[test]
    fn an_index_at_the_count_is_outside() {
        let geometry = geometry(8193);
        assert_eq!(geometry.count(), 3);
        assert_eq!(geometry.range(ChunkIndex(3)), None);
        assert_eq!(geometry.range(ChunkIndex(u64::MAX)), None);
    }

    #[test]
    fn the_largest_length_does_not_overflow() {
        let geometry = geometry(u64::MAX);
        let last = ChunkIndex(geometry.count() - 1);
        assert_eq!(geometry.range(last).expect("last chunk").end, u64::MAX);
    }

    #[test]
    fn sizes_that_are_no_power_of_two_or_below_a_leaf_are_refused() {
        for bytes in [0, 1, 512, 1023, 1025, 3 << 20] {
            assert_eq!(ChunkSize::new(bytes), None);
        }
    }
}
