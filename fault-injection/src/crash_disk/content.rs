//! Bytes of a file as a list of shared blocks: copied cheaply, holes kept as holes, written block by block.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// What reaches the medium as a whole or not at all, unless it is torn.
pub const BLOCK_BYTES: usize = 4096;
/// Where a block can tear.
const SECTOR_BYTES: usize = 512;

/// One block, [`BLOCK_BYTES`] long.
pub(super) type Block = Arc<[u8]>;

static ZEROS: LazyLock<Block> = LazyLock::new(|| Arc::from([0; BLOCK_BYTES]));
static GARBAGE: LazyLock<Block> = LazyLock::new(|| {
    let mut bytes = [0; BLOCK_BYTES];
    blake3::Hasher::new().update(b"garbage").finalize_xof().fill(&mut bytes);
    Arc::from(bytes)
});

/// What the medium holds of a write that no sync covered. Each block has its own fate; what a word says of a whole
/// write is one legal combination of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// What was there before.
    Old,
    /// Zeros.
    Zeros,
    /// Neither what was there nor what was written.
    Garbage,
    /// New up to the middle of the write, where one block is torn between two sectors; old behind it.
    Torn,
    /// What was written.
    New,
    /// Any of the others for each block, drawn by this seed.
    Mixed(u64),
}

impl Written {
    /// The fates of a write as a whole: the first is lost, the last kept.
    pub(super) const WHOLE: [Self; 5] = [Self::Old, Self::Zeros, Self::Garbage, Self::Torn, Self::New];

    /// The fate of one block of so many.
    fn of_block(self, position: usize, count: usize) -> Self {
        match self {
            Self::Torn if position < count / 2 => Self::New,
            Self::Torn if position > count / 2 => Self::Old,
            Self::Mixed(seed) => Self::WHOLE[(scramble(seed ^ position as u64) % Self::WHOLE.len() as u64) as usize],
            other => other,
        }
    }
}

/// A number that looks random and is the same for the same seed (SplitMix64's output function).
pub(super) fn scramble(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The bytes of one file.
#[derive(Clone, Debug, Default)]
pub struct Content {
    length_bytes: u64,
    /// Nothing is a hole. Blocks behind the end are not there, or not seen.
    blocks: Vec<Option<Block>>,
    /// Up to where space was set aside.
    reserved_bytes: u64,
}

impl Content {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        let blocks: Vec<Block> = content.blocks_of_write(bytes, 0);
        content.write(0, &blocks, Written::New);
        content.extend_to(bytes.len() as u64);
        content
    }

    /// In bytes.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Whether it is exactly these bytes.
    #[must_use]
    pub fn equals(&self, bytes: &[u8]) -> bool {
        let block_equals = |(index, expected): (usize, &[u8])| match self.block(index) {
            Some(block) => block[..expected.len()] == *expected,
            None => *expected == ZEROS[..expected.len()],
        };
        self.length_bytes == bytes.len() as u64 && bytes.chunks(BLOCK_BYTES).enumerate().all(block_equals)
    }

    /// Whether something was written to it that is not what these bytes have there.
    #[must_use]
    pub fn is_damaged(&self, bytes: &[u8]) -> bool {
        let held = self.blocks.iter().zip(bytes.chunks(BLOCK_BYTES));
        let differs = |(block, expected): (&Option<Block>, &[u8])| {
            block.as_ref().is_some_and(|block| block[..expected.len()] != *expected)
        };
        self.length_bytes > 0 && held.into_iter().any(differs)
    }

    /// All bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.length_bytes).unwrap_or_default()];
        let read = self.read(&mut bytes, 0);
        assert_eq!(read, bytes.len(), "a whole file is read at once");
        bytes
    }

    /// Reads at the offset, up to the end; returns how many bytes.
    pub(super) fn read(&self, buffer: &mut [u8], offset_bytes: u64) -> usize {
        let left = usize::try_from(self.length_bytes.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut done = 0;
        while done < wanted {
            let at = offset_bytes as usize + done;
            let (index, within) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let count = (BLOCK_BYTES - within).min(wanted - done);
            match self.block(index) {
                Some(block) => buffer[done..done + count].copy_from_slice(&block[within..within + count]),
                None => buffer[done..done + count].fill(0),
            }
            done += count;
        }
        wanted
    }

    /// The whole blocks that a write leads to, over what is there now.
    pub(super) fn blocks_of_write(&self, bytes: &[u8], offset_bytes: u64) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset_bytes as usize + done;
            let (index, within) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let count = (BLOCK_BYTES - within).min(bytes.len() - done);
            let piece = &bytes[done..done + count];
            blocks.push(if count == BLOCK_BYTES {
                Arc::from(piece)
            } else {
                let mut whole = self.block(index).map_or_else(|| ZEROS.to_vec(), |block| block.to_vec());
                // What lies behind the end was never written, whatever the block holds there.
                let end = (self.length_bytes as usize).saturating_sub(index * BLOCK_BYTES).min(BLOCK_BYTES);
                whole[end..].fill(0);
                whole[within..within + count].copy_from_slice(piece);
                Arc::from(whole)
            });
            done += count;
        }
        blocks
    }

    /// Writes whole blocks from a block on; the length stays.
    pub(super) fn write(&mut self, first: usize, blocks: &[Block], written: Written) {
        if self.blocks.len() < first + blocks.len() {
            self.blocks.resize(first + blocks.len(), None);
        }
        for (position, new) in blocks.iter().enumerate() {
            let slot = &mut self.blocks[first + position];
            match written.of_block(position, blocks.len()) {
                Written::New => *slot = Some(Arc::clone(new)),
                Written::Zeros => *slot = Some(Arc::clone(&ZEROS)),
                Written::Garbage => *slot = Some(Arc::clone(&GARBAGE)),
                Written::Torn => *slot = Some(torn(slot.as_ref(), new, position as u64)),
                Written::Old | Written::Mixed(_) => {}
            }
        }
    }

    /// The length is at least this from now on.
    pub(super) fn extend_to(&mut self, length_bytes: u64) {
        if length_bytes > self.length_bytes {
            self.forget_behind_end();
            self.length_bytes = length_bytes;
        }
    }

    /// Cuts or extends.
    pub(super) fn set_length(&mut self, length_bytes: u64) {
        self.extend_to(length_bytes);
        self.length_bytes = length_bytes;
        self.blocks.truncate(usize::try_from(length_bytes.div_ceil(BLOCK_BYTES as u64)).unwrap_or(usize::MAX));
        self.reserved_bytes = self.reserved_bytes.min(length_bytes);
    }

    pub(super) fn reserve(&mut self, length_bytes: u64) {
        self.reserved_bytes = self.reserved_bytes.max(length_bytes);
    }

    /// Whether there are blocks behind the end: they end with the power.
    pub(super) fn holds_behind_end(&self) -> bool {
        self.blocks.len() as u64 > self.length_bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// What a host finds that came up again: nothing behind the end.
    pub(super) fn settle(&mut self) {
        self.set_length(self.length_bytes);
    }

    /// Space it takes, in bytes.
    pub(super) fn space_bytes(&self) -> u64 {
        let held = self.blocks.iter().flatten().count() * BLOCK_BYTES;
        (held as u64).max(self.reserved_bytes.next_multiple_of(BLOCK_BYTES as u64))
    }

    /// Space it would take with these blocks held, too.
    pub(super) fn space_with(&self, first: usize, count: usize) -> u64 {
        let missing = (first..first + count).filter(|&index| self.block(index).is_none()).count() * BLOCK_BYTES;
        let held = self.blocks.iter().flatten().count() * BLOCK_BYTES;
        ((held + missing) as u64).max(self.reserved_bytes.next_multiple_of(BLOCK_BYTES as u64))
    }

    /// The next range that holds blocks.
    pub(super) fn next_data(&self, offset_bytes: u64) -> Option<Range<u64>> {
        let block = BLOCK_BYTES as u64;
        let end = self.length_bytes.div_ceil(block).min(self.blocks.len() as u64);
        let is_held = |index: &u64| self.block(*index as usize).is_some();
        let first = (offset_bytes / block..end).find(is_held).filter(|_| offset_bytes < self.length_bytes)?;
        let behind = (first..end).find(|index| !is_held(index)).unwrap_or(end);
        Some((first * block).max(offset_bytes)..(behind * block).min(self.length_bytes))
    }

    fn block(&self, index: usize) -> Option<&Block> {
        self.blocks.get(index)?.as_ref()
    }

    /// Bytes behind the end must not come back when the file grows over them.
    fn forget_behind_end(&mut self) {
        let (whole, rest) =
            ((self.length_bytes / BLOCK_BYTES as u64) as usize, (self.length_bytes % BLOCK_BYTES as u64) as usize);
        if let Some(Some(last)) = self.blocks.get_mut(whole).filter(|_| rest > 0)
            && last[rest..].iter().any(|&byte| byte != 0)
        {
            let mut bytes = last.to_vec();
            bytes[rest..].fill(0);
            *last = Arc::from(bytes);
        }
    }
}

/// New up to a sector, old from there.
fn torn(old: Option<&Block>, new: &Block, seed: u64) -> Block {
    let end = SECTOR_BYTES * (1 + (scramble(seed) % 7) as usize);
    let mut bytes = new.to_vec();
    bytes[end..].copy_from_slice(&old.unwrap_or(&ZEROS)[end..]);
    Arc::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(count: usize, byte: u8) -> Vec<Block> {
        (0..count).map(|_| Arc::from([byte; BLOCK_BYTES])).collect()
    }

    #[test]
    fn bytes_come_back_at_every_length() {
        for length in [0, 1, 511, 512, 4095, 4096, 4097, 8192, 8193] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 7 + index / 256) as u8).collect();
            let content = Content::from_bytes(&bytes);
            assert!(content.equals(&bytes) && content.to_vec() == bytes, "{length} bytes");
        }
    }

    #[test]
    fn each_fate_of_a_write_is_what_it_says() {
        let old = Content::from_bytes(&[1; 3 * BLOCK_BYTES]);
        let after = |written| {
            let mut content = old.clone();
            content.write(0, &blocks(3, 2), written);
            content.to_vec()
        };
        assert!(after(Written::Old).iter().all(|&byte| byte == 1));
        assert!(after(Written::New).iter().all(|&byte| byte == 2));
        assert!(after(Written::Zeros).iter().all(|&byte| byte == 0));
        assert!(after(Written::Garbage)[..BLOCK_BYTES] == GARBAGE[..]);
        let torn = after(Written::Torn);
        let first_old = torn.iter().position(|&byte| byte == 1).unwrap();
        assert!((BLOCK_BYTES..2 * BLOCK_BYTES).contains(&first_old) && first_old.is_multiple_of(SECTOR_BYTES));
        assert!(torn[first_old..].iter().all(|&byte| byte == 1), "old behind the tear");
        let seen: std::collections::HashSet<Vec<u8>> = (0..200).map(|seed| after(Written::Mixed(seed))).collect();
        assert!(seen.len() > 60, "blocks have their fates one by one: {} kinds", seen.len());
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut content = Content::from_bytes(&[9; 6000]);
        content.set_length(100);
        content.set_length(6000);
        assert!(content.to_vec()[100..].iter().all(|&byte| byte == 0));
        let mut written_over = Content::from_bytes(&[9; 200]);
        written_over.set_length(100);
        let new = written_over.blocks_of_write(&[7; 10], 150);
        written_over.write(0, &new, Written::New);
        written_over.extend_to(160);
        assert!(written_over.to_vec()[100..150].iter().all(|&byte| byte == 0));
    }
}
