//! Reading pieces of a file into aligned memory: what source, second read and read-back have in common.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use crate::chunk::{ChunkIndex, ChunkSize, Geometry};
use crate::hash::{PieceHash, PieceHasher, Position, Root, RootHasher};
use crate::seams::buffer::{ALIGNMENT_BYTES, PieceBuffer};
use crate::seams::disk::DiskFile;

/// Bytes of a cached file that are read and hashed at a time: a part of the second-level cache of current processors, and
/// enough for all lanes of BLAKE3.
const CACHED_STEP_BYTES: u64 = 128 << 10;

/// Reads the range into the memory, whole blocks at a time, and sets the memory's length to what was there of it.
pub fn read_range(file: &dyn DiskFile, range: Range<u64>, memory: &mut PieceBuffer) -> io::Result<()> {
    let wanted = usize::try_from(range.end - range.start).expect("pieces fit into memory");
    let blocks = &mut memory.whole_blocks_mut()[..wanted.next_multiple_of(ALIGNMENT_BYTES)];
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut blocks[filled..], range.start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    memory.set_length(filled.min(wanted));
    Ok(())
}

/// Hash of a small file: of what is there of its `length_bytes`, so that one that is shorter hashes to something else. The
/// memory grows to what is needed.
pub fn hash_small(file: &dyn DiskFile, length_bytes: u64, memory: &mut PieceBuffer) -> io::Result<Root> {
    let length = usize::try_from(length_bytes).expect("small files fit into memory");
    if memory.whole_blocks_mut().len() < length {
        *memory = PieceBuffer::unpooled(length);
    }
    read_range(file, 0..length_bytes, memory)?;
    Ok(Root(PieceHash::of(Position::WholeFile, memory).0))
}

/// The root of a file of this length, read in pieces of the memory's size; an end before that is `UnexpectedEof`.
pub fn hash_whole(file: &dyn DiskFile, length_bytes: u64, memory: &mut PieceBuffer) -> io::Result<Root> {
    let mut hasher = RootHasher::default();
    let piece_bytes = memory.whole_blocks_mut().len() as u64;
    let mut start = 0;
    while start < length_bytes {
        let end = length_bytes.min(start + piece_bytes);
        read_exactly(file, start..end, memory)?;
        hasher.update(memory);
        start = end;
    }
    Ok(hasher.finish())
}

/// The number after the last chunk that one request may reach from this one on: none goes across a multiple of its size.
fn end_of_request(index: u64, chunk_size: ChunkSize) -> u64 {
    (index / chunk_size.per_request() + 1) * chunk_size.per_request()
}

/// Takes the first of the chunks that are due and the neighbours that follow it, as far as one request goes.
pub fn next_request(due: &mut BTreeSet<u64>, chunk_size: ChunkSize) -> Option<Range<u64>> {
    let first = due.pop_first()?;
    let mut end = first + 1;
    while end < end_of_request(first, chunk_size) && due.remove(&end) {
        end += 1;
    }
    Some(first..end)
}

/// Reads these chunks and hashes each; the memory holds those of one request. A file that ends within them is
/// `UnexpectedEof`.
///
/// # Panics
/// If there is no such chunk.
pub fn hash_chunks(
    file: &dyn DiskFile,
    geometry: Geometry,
    chunks: Range<u64>,
    memory: &mut PieceBuffer,
) -> io::Result<Vec<PieceHash>> {
    let range = |index| geometry.range(ChunkIndex(index)).expect("only chunks of the file are due");
    let position = |index| Position::Chunk { offset_bytes: range(index).start };
    if !file.reads_device() {
        return chunks.map(|index| hash_range(file, range(index), position(index), memory)).collect();
    }
    let chunk_size = geometry.chunk_size();
    let mut hashes = Vec::new();
    let mut first = chunks.start;
    while first < chunks.end {
        let end = end_of_request(first, chunk_size).min(chunks.end);
        read_exactly(file, range(first).start..range(end - 1).end, memory)?;
        let pieces = memory.chunks(chunk_size.bytes() as usize);
        hashes.extend((first..end).zip(pieces).map(|(index, bytes)| PieceHash::of(position(index), bytes)));
        first = end;
    }
    Ok(hashes)
}

/// Reads the range and hashes it; a file that ends within it is `UnexpectedEof`.
///
/// A device gets one request for all of it. What comes out of the page cache is taken in steps that stay in the
/// processor's own cache between the copy and the hash.
pub fn hash_range(
    file: &dyn DiskFile,
    range: Range<u64>,
    position: Position,
    memory: &mut PieceBuffer,
) -> io::Result<PieceHash> {
    let step_bytes = if file.reads_device() { range.end - range.start } else { CACHED_STEP_BYTES };
    let mut hasher = PieceHasher::new(position);
    let mut start = range.start;
    loop {
        let end = range.end.min(start + step_bytes);
        read_exactly(file, start..end, memory)?;
        hasher.update(memory);
        start = end;
        if start == range.end {
            return Ok(hasher.finish());
        }
    }
}

/// As [`read_range`], but an end within the range is `UnexpectedEof`.
fn read_exactly(file: &dyn DiskFile, range: Range<u64>, memory: &mut PieceBuffer) -> io::Result<()> {
    let length_bytes = range.end - range.start;
    read_range(file, range, memory)?;
    if memory.len() as u64 == length_bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::REQUEST_BYTES;

    #[test]
    fn neighbours_are_one_request_as_far_as_it_goes() {
        let requests = |due: &[u64], chunk_bytes: u32| {
            let (mut due, size) = (due.iter().copied().collect(), ChunkSize::new(chunk_bytes).unwrap());
            std::iter::from_fn(move || next_request(&mut due, size)).collect::<Vec<_>>()
        };
        let quarter = REQUEST_BYTES / 4;
        assert_eq!(requests(&[9, 0, 1, 4, 3, 5, 6, 7, 8], quarter), [0..2, 3..4, 4..8, 8..10]);
        assert_eq!(requests(&[2, 0, 1], REQUEST_BYTES), [0..1, 1..2, 2..3]);
        assert_eq!(requests(&[0, 1], 4 * REQUEST_BYTES), [0..1, 1..2]);
        assert_eq!(requests(&[], quarter), []);
    }
}
