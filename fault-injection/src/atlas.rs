//! An atlas: which piece of which file some bytes are, told by their first or last few.
//!
//! Queues carry pieces without names. What passes them is known from outside, since the sources are: so a place can be
//! "chunk 3 of this file" there, too. Pieces that look alike at both ends are the first of them.

use std::collections::HashMap;

use careful::protocol::limits::CHUNK_BYTES_DEFAULT;

/// Bytes at either end that tell a piece.
const END_BYTES: usize = 16;

/// What is sent, by its pieces.
#[derive(Debug, Default)]
pub struct Atlas {
    pieces: HashMap<Vec<u8>, (Vec<u8>, u64)>,
}

impl Atlas {
    /// Of these files, names and contents, those of more than 1 MiB in chunks of `chunk_bytes`.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, chunk_bytes: usize) -> Self {
        let mut atlas = Self::default();
        for (name, content) in files {
            let piece_bytes = if content.len() > CHUNK_BYTES_DEFAULT as usize { chunk_bytes } else { content.len() };
            for (chunk, piece) in content.chunks(piece_bytes.max(1)).enumerate() {
                for end in ends(piece) {
                    atlas.pieces.entry(end.to_vec()).or_insert_with(|| (name.to_vec(), chunk as u64));
                }
            }
        }
        atlas
    }

    /// File and chunk of a piece; one end may be damaged.
    #[must_use]
    pub fn find(&self, piece: &[u8]) -> Option<(&[u8], u64)> {
        let found = ends(piece).into_iter().find_map(|end| self.pieces.get(end));
        found.map(|(name, chunk)| (name.as_slice(), *chunk))
    }
}

fn ends(piece: &[u8]) -> [&[u8]; 2] {
    let length = piece.len().min(END_BYTES);
    [&piece[..length], &piece[piece.len() - length..]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_known_by_either_of_its_ends() {
        let large: Vec<u8> =
            (0..(2 << 20) + 100_u32).flat_map(|number| number.to_le_bytes()).take((1 << 20) + 9).collect();
        let atlas = Atlas::new([(&b"large"[..], &large[..]), (b"small", b"a few"), (b"empty", b"")], 1 << 20);
        assert_eq!(atlas.find(&large[..1 << 20]), Some((&b"large"[..], 0)));
        assert_eq!(atlas.find(&large[1 << 20..]), Some((&b"large"[..], 1)));
        assert_eq!(atlas.find(b"a few"), Some((&b"small"[..], 0)));
        let mut damaged = large[..1 << 20].to_vec();
        damaged[..512].fill(0);
        assert_eq!(atlas.find(&damaged), Some((&b"large"[..], 0)));
        assert_eq!(atlas.find(b"unknown"), None);
    }
}
