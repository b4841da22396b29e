//! The bytes of a record.
//!
//! ```text
//! 1 byte      1, the version of this layout
//! 32 bytes    the root
//! variable    length in bytes, as LEB128
//! variable    seconds of the time of last modification, zigzag and LEB128
//! 4 bytes     its nanoseconds, little-endian
//! 4 bytes     when the record was made, seconds since 1970, little-endian
//! 2 bytes     version of the program: major, minor
//! [1 byte     only where the file is longer than SUBTREE_BYTES_MIN: binary logarithm of the size of its subtrees, or 0
//! [32 bytes   for each of them]]
//! 5 bytes     BLAKE3 of all before, its first bytes
//! ```
//!
//! The record of a short file takes 56 bytes, all the room that an ext4 inode of 256 bytes has for it: no file of a large
//! tree needs a block more for its record. Five bytes of check are enough, as damage that it misses, one in 10^12, gives a
//! false alarm or a record that does not fit, and never a file that is taken for right. **Every value has one form.**

use super::{Content, Record, SUBTREE_BYTES_MIN, SUBTREES_MAX, Subtrees};
use crate::hash::{PieceHash, Root};
use crate::seams::disk::Timestamp;

/// Version of the layout.
const LAYOUT: u8 = 1;
/// Bytes of the check.
const CHECK_BYTES: usize = 5;
/// Bytes of the longest LEB128 of 64 bits.
const VARIABLE_BYTES_MAX: usize = 10;
/// Nanoseconds of a second.
const NANOSECONDS: u32 = 1_000_000_000;

/// These are not the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record")]
pub struct Malformed;

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let Record { content, modified, made_seconds, version } = record;
    let mut bytes = vec![LAYOUT];
    bytes.extend_from_slice(&content.root.0);
    put_variable(&mut bytes, content.length_bytes);
    put_variable(&mut bytes, zigzag(modified.seconds));
    bytes.extend_from_slice(&modified.nanoseconds.to_le_bytes());
    bytes.extend_from_slice(&made_seconds.to_le_bytes());
    bytes.extend_from_slice(&[version.0, version.1]);
    if content.length_bytes > SUBTREE_BYTES_MIN {
        let logarithm = content.subtrees.as_ref().map_or(0, |subtrees| subtrees.bytes.trailing_zeros());
        bytes.push(u8::try_from(logarithm).expect("a logarithm of 64 bits"));
        for value in content.subtrees.iter().flat_map(|subtrees| &subtrees.values) {
            bytes.extend_from_slice(&value.0);
        }
    }
    let check = check(&bytes);
    bytes.extend_from_slice(&check);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
    let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(Malformed)?;
    if *found != check(body) {
        return Err(Malformed);
    }
    let mut left = Left(body);
    if left.array()? != [LAYOUT] {
        return Err(Malformed);
    }
    let root = Root(left.array()?);
    let length_bytes = left.variable()?;
    let seconds = unzigzag(left.variable()?);
    let nanoseconds = u32::from_le_bytes(left.array()?);
    if nanoseconds >= NANOSECONDS {
        return Err(Malformed);
    }
    let made_seconds = u32::from_le_bytes(left.array()?);
    let [major, minor] = left.array()?;
    let subtrees = left.subtrees(length_bytes)?;
    let is_one_file =
        subtrees.as_ref().is_none_or(|subtrees| Root::from_chaining_values(&subtrees.values) == Some(root));
    if !left.0.is_empty() || !is_one_file {
        return Err(Malformed);
    }
    let content = Content { length_bytes, root, subtrees };
    Ok(Record { content, modified: Timestamp { seconds, nanoseconds }, made_seconds, version: (major, minor) })
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = *blake3::hash(body).as_bytes();
    *hash.first_chunk().expect("a hash is longer")
}

/// What is not decoded yet.
struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        let (array, left) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = left;
        Ok(*array)
    }

    fn variable(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for place in 0..VARIABLE_BYTES_MAX {
            let [byte] = self.array()?;
            let part = u64::from(byte & 0x7f);
            let shifted = part << (7 * place);
            if shifted >> (7 * place) != part {
                return Err(Malformed);
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                // A last byte of nothing would be a second form of the same number.
                return if byte == 0 && place > 0 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    fn subtrees(&mut self, length_bytes: u64) -> Result<Option<Subtrees>, Malformed> {
        if length_bytes <= SUBTREE_BYTES_MIN {
            return Ok(None);
        }
        let [logarithm] = self.array()?;
        if logarithm == 0 {
            return Ok(None);
        }
        let bytes = 1_u64.checked_shl(logarithm.into()).filter(|&bytes| bytes >= SUBTREE_BYTES_MIN).ok_or(Malformed)?;
        let count = length_bytes.div_ceil(bytes);
        if !(2..=SUBTREES_MAX).contains(&count) {
            return Err(Malformed);
        }
        let values: Result<Vec<_>, _> = (0..count).map(|_| self.array().map(PieceHash)).collect();
        Ok(Some(Subtrees { bytes, values: values? }))
    }
}

fn put_variable(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
