//! Chaining values and roots: the one hash of the program.
//!
//! A chunk is hashed once per pass to its chaining value (CV), bound to its offset; CVs merge into the root, which is
//! what `b3sum` prints. A file of one chunk or less has no CV, only a root. **No I/O here.** BLAKE3 paper, section 2.

use std::fmt;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// BLAKE3 hash of a whole file, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Root(pub [u8; 32]);

/// Makes the root of bytes that come one after the other.
#[derive(Debug, Default)]
pub struct RootHasher(blake3::Hasher);

impl RootHasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The root of all of them.
    #[must_use]
    pub fn finish(&self) -> Root {
        Root(*self.0.finalize().as_bytes())
    }
}

impl Root {
    /// Root of a file that is in memory as a whole.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Root of a file of two or more chunks from the CVs of all its chunks in order; nothing for fewer than two.
    #[must_use]
    pub fn from_chaining_values(values: &[PieceHash]) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let (left, right) = halves(values);
        Some(Self(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()))
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Root({})", self.to_hex())
    }
}

/// What a piece must hash to: the CV of a chunk of a large file, or the root of a file that travels whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PieceHash(pub [u8; 32]);

impl PieceHash {
    /// Hash of a piece's bytes. A chunk must not be empty; a whole file may be.
    #[must_use]
    pub fn of(position: Position, bytes: &[u8]) -> Self {
        let mut hasher = PieceHasher::new(position);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Makes the hash of a piece of bytes that come one after the other.
#[derive(Debug)]
pub struct PieceHasher {
    position: Position,
    hasher: blake3::Hasher,
}

impl PieceHasher {
    /// For the piece that lies there.
    #[must_use]
    pub fn new(position: Position) -> Self {
        let mut hasher = blake3::Hasher::new();
        if let Position::Chunk { offset_bytes } = position {
            hasher.set_input_offset(offset_bytes);
        }
        Self { position, hasher }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The hash of all of them. A chunk must not be empty; a whole file may be.
    #[must_use]
    pub fn finish(&self) -> PieceHash {
        PieceHash(match self.position {
            Position::Chunk { .. } => self.hasher.finalize_non_root(),
            Position::WholeFile => *self.hasher.finalize().as_bytes(),
        })
    }
}

impl PieceHash {
    /// CV of the subtree that neighbouring chunks form, from theirs in order: a power of two of them whose first lies at a
    /// multiple of their number, or the last of a file. Not for the whole file, whose value is its root.
    ///
    /// # Panics
    /// Without a value.
    #[must_use]
    pub fn merged(values: &[Self]) -> Self {
        assert!(!values.is_empty(), "a subtree has a leaf");
        Self(subtree(values))
    }
}

impl fmt::Debug for PieceHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PieceHash({})", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// Where a piece lies, which is part of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A chunk of a file of two or more, at this offset: a multiple of the chunk size.
    Chunk {
        /// In bytes from the start of the file.
        offset_bytes: u64,
    },
    /// A whole file of one chunk or less.
    WholeFile,
}

/// Left: the largest power of two strictly below the number of chunks (BLAKE3 paper, section 2.1).
fn halves(values: &[PieceHash]) -> (&[PieceHash], &[PieceHash]) {
    values.split_at(values.len().div_ceil(2).next_power_of_two())
}

fn subtree(values: &[PieceHash]) -> [u8; 32] {
    if let [leaf] = values {
        return leaf.0;
    }
    let (left, right) = halves(values);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{ChunkSize, Geometry};

    fn root_by_chunks(bytes: &[u8], chunk_bytes: u32) -> Option<Root> {
        let geometry = Geometry::new(bytes.len() as u64, ChunkSize::new(chunk_bytes).expect("a power of two"));
        let values: Vec<_> = geometry
            .indices()
            .map(|index| {
                let range = geometry.range(index).expect("index below count");
                let piece = &bytes[range.start as usize..range.end as usize];
                PieceHash::of(Position::Chunk { offset_bytes: range.start }, piece)
            })
            .collect();
        Root::from_chaining_values(&values)
    }

    #[test]
    fn a_file_of_one_chunk_or_less_has_no_root_from_chaining_values() {
        assert_eq!(root_by_chunks(b"", 1024), None);
        assert_eq!(root_by_chunks(&[7; 1024], 1024), None);
    }

    #[test]
    fn roots_at_every_edge_equal_the_hash_of_the_whole() {
        for length in [1025, 2047, 2048, 2049, 3072, 3073, 4096, 5 * 1024, 16 * 1024 + 1, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|position| (position % 251) as u8).collect();
            assert_eq!(root_by_chunks(&bytes, 1024), Some(Root::of(&bytes)), "length {length}");
        }
    }

    #[test]
    fn the_same_bytes_at_another_offset_have_another_chaining_value() {
        let bytes = [1; 1024];
        let first = PieceHash::of(Position::Chunk { offset_bytes: 0 }, &bytes);
        assert_ne!(first, PieceHash::of(Position::Chunk { offset_bytes: 1024 }, &bytes));
        assert_ne!(first, PieceHash::of(Position::WholeFile, &bytes));
    }

    proptest! {
        #[test]
        fn roots_from_chaining_values_equal_the_hash_of_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 4097..60_000),
            chunk_log in 10_u32..=12,
        ) {
            prop_assert_eq!(root_by_chunks(&bytes, 1 << chunk_log), Some(Root::of(&bytes)));
        }
    }
}
