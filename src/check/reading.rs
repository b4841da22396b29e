//! Reads one file whole, past the cache where the file system can, and says what it holds.

use std::io;

use super::Pace;
use crate::chunk::{ChunkSize, Geometry};
use crate::hash::{PieceHash, Position, Root};
use crate::progress::Counters;
use crate::reading::hash_range;
use crate::record::{Content, SUBTREE_BYTES_MIN};
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::DiskFile;

/// Bytes read at once: the smallest part of a file that a record tells apart.
const CHUNK_BYTES: u32 = SUBTREE_BYTES_MIN as u32;

/// Memory of one thread, and what it shares with the others.
pub(super) struct Reader<'a> {
    memory: PieceBuffer,
    pace: &'a Pace,
    counters: &'a Counters,
}

impl<'a> Reader<'a> {
    pub(super) fn new(pace: &'a Pace, counters: &'a Counters) -> Self {
        Self { memory: PieceBuffer::unpooled(CHUNK_BYTES as usize), pace, counters }
    }

    /// What the file of this length holds; an end before that is `UnexpectedEof`.
    pub(super) fn read(&mut self, file: &dyn DiskFile, length_bytes: u64) -> io::Result<Content> {
        if length_bytes <= u64::from(CHUNK_BYTES) {
            let root = self.piece(file, 0..length_bytes, Position::WholeFile)?;
            return Ok(Content::whole(length_bytes, Root(root.0)));
        }
        let geometry = Geometry::new(length_bytes, ChunkSize::new(CHUNK_BYTES).expect("a power of two"));
        let values: io::Result<Vec<PieceHash>> = geometry
            .indices()
            .map(|index| {
                let range = geometry.range(index).expect("index below count");
                self.piece(file, range.clone(), Position::Chunk { offset_bytes: range.start })
            })
            .collect();
        Ok(Content::of_chunks(geometry, &values?).expect("a file of two chunks or more"))
    }

    fn piece(&mut self, file: &dyn DiskFile, range: std::ops::Range<u64>, position: Position) -> io::Result<PieceHash> {
        let bytes = range.end - range.start;
        self.pace.wait_for(bytes);
        let hash = hash_range(file, range, position, &mut self.memory)?;
        self.counters.checked_bytes(bytes);
        Ok(hash)
    }
}
