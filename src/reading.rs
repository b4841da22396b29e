//! Reading one piece of a file into aligned memory: what source, second read and read-back have in common.

use std::io;
use std::ops::Range;

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
        read_range(file, start..end, memory)?;
        if memory.len() as u64 != end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(memory);
        start = end;
    }
    Ok(hasher.finish())
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
        read_range(file, start..end, memory)?;
        if memory.len() as u64 != end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(memory);
        start = end;
        if start == range.end {
            return Ok(hasher.finish());
        }
    }
}
