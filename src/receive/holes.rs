//! Sparse copies: long runs of zeros become holes of the staging file.
//!
//! A hole is always made, also where one may be already: whatever was written there before, by an earlier run or a wrong
//! chunk, must be gone. **What is a hole is read back and hashed like everything else.**

use std::io;
use std::ops::Range;

use crate::protocol::limits::HOLE_BYTES_MIN;
use crate::reading::read_range;
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{DiskFile, copy_all, write_all};

/// Zeros that are compared at once: few enough to stop early, enough for wide registers.
const COMPARED_BYTES: usize = 128;

/// Writes all bytes at the offset, a multiple of [`HOLE_BYTES_MIN`], but makes holes of pieces that are all zeros.
pub(super) fn write_with_holes(file: &dyn DiskFile, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
    for (is_hole, range) in runs(bytes) {
        let start = offset_bytes + range.start as u64;
        if is_hole {
            file.make_hole(start..start + range.len() as u64)?;
        } else {
            write_all(file, &bytes[range], start)?;
        }
    }
    Ok(())
}

/// Takes the range, at most one chunk, from the other file, with holes where that has long runs of zeros. Without any it
/// is copied as it is.
pub(super) fn copy_with_holes(
    file: &dyn DiskFile,
    from: &dyn DiskFile,
    range: Range<u64>,
    memory: &mut PieceBuffer,
) -> io::Result<()> {
    read_range(from, range.clone(), memory)?;
    if memory.len() as u64 != range.end - range.start {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if runs(memory).iter().any(|(is_hole, _)| *is_hole) {
        write_with_holes(file, memory, range.start)
    } else {
        copy_all(file, from, range, memory)
    }
}

/// Gives space back that was reserved in this range and never written to.
pub(super) fn give_back(reader: &dyn DiskFile, file: &dyn DiskFile, range: &Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let data = reader.next_data(at)?.filter(|data| data.start < range.end).unwrap_or(range.end..range.end);
        if at < data.start {
            file.make_hole(at..data.start)?;
        }
        at = data.end.max(at + 1);
    }
    Ok(())
}

/// Pieces that are zeros and pieces that are not, in turns.
fn runs(bytes: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut runs: Vec<(bool, Range<usize>)> = Vec::new();
    let mut start = 0;
    for piece in bytes.chunks(HOLE_BYTES_MIN) {
        let (is_hole, end) = (is_zeros(piece), start + piece.len());
        match runs.last_mut() {
            Some((last, range)) if *last == is_hole => range.end = end,
            _ => runs.push((is_hole, start..end)),
        }
        start = end;
    }
    runs
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(COMPARED_BYTES).all(|some| some.iter().fold(0, |seen, byte| seen | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pieces_of_zeros_are_holes_and_nothing_else_is() {
        let piece = HOLE_BYTES_MIN;
        let mut bytes = vec![0; 5 * piece + 3];
        assert_eq!(runs(&bytes), [(true, 0..bytes.len())]);
        bytes[0] = 1;
        bytes[3 * piece - 1] = 1;
        assert_eq!(
            runs(&bytes),
            [
                (false, 0..piece),
                (true, piece..2 * piece),
                (false, 2 * piece..3 * piece),
                (true, 3 * piece..bytes.len())
            ]
        );
        bytes[5 * piece + 2] = 1;
        assert_eq!(runs(&bytes).last(), Some(&(false, 5 * piece..bytes.len())));
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn one_byte_anywhere_is_seen() {
        for length in [1, 127, 128, 129, 4096] {
            assert!(is_zeros(&vec![0; length]));
            for place in [0, length / 2, length - 1] {
                let mut bytes = vec![0; length];
                bytes[place] = 0x80;
                assert!(!is_zeros(&bytes), "byte {place} of {length}");
            }
        }
    }
}
