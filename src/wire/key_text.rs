//! A public key as people pass it on: one word with a checksum, so that a slip is noticed before it is believed.
//!
//! ```text
//! "careful-key1", base32 (a-z, 2-7) of: key, 32 bytes | first 4 bytes of the BLAKE3 hash of "careful-key1" and the key
//! ```
//!
//! **A key has no other text, and is never shortened**, neither shown nor compared.

use std::fmt;
use std::str::FromStr;

use super::identity::{PublicKey, from_base32, to_base32};

/// What every key of this form begins with; the digit is the version of the form.
const PREFIX: &str = "careful-key1";
/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", to_base32(&[&self.0[..], &checksum(self)].concat()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyTextError::NotAKey)?;
        let bytes = from_base32(encoded).ok_or(KeyTextError::Typo)?;
        let (key, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(KeyTextError::Typo)?;
        let key = Self(key.try_into().map_err(|_length| KeyTextError::Typo)?);
        if checksum(&key) == *sum { Ok(key) } else { Err(KeyTextError::Typo) }
    }
}

fn checksum(key: &PublicKey) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new().update(PREFIX.as_bytes()).update(&key.0).finalize();
    *hash.as_bytes().first_chunk().expect("a hash is longer than a checksum")
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// It does not begin as a key does.
    #[error("not a key: one begins with {PREFIX}")]
    NotAKey,
    /// A character is wrong or missing.
    #[error("the key is incomplete or has a wrong character")]
    Typo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_text_that_never_changes() {
        let text = PublicKey([7; 32]).to_string();
        assert_eq!(text, "careful-key1a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dsfivnmy");
        assert_eq!(text.parse(), Ok(PublicKey([7; 32])));
    }

    #[test]
    fn every_single_wrong_character_is_noticed() {
        let text = PublicKey([9; 32]).to_string();
        for place in PREFIX.len()..text.len() {
            for other in b"abcdefghijklmnopqrstuvwxyz234567".iter().filter(|other| text.as_bytes()[place] != **other) {
                let mut wrong = text.clone().into_bytes();
                wrong[place] = *other;
                assert_eq!(std::str::from_utf8(&wrong).unwrap().parse::<PublicKey>(), Err(KeyTextError::Typo));
            }
        }
    }

    #[test]
    fn what_is_cut_off_grown_or_something_else_is_no_key() {
        let text = PublicKey([9; 32]).to_string();
        for length in 0..text.len() {
            assert!(text[..length].parse::<PublicKey>().is_err());
        }
        for wrong in [format!("{text}a"), format!("{text}aaaaaaaa"), text.to_uppercase(), format!(" {text}")] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
    }
}
