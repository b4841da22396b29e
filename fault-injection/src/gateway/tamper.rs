//! What a gateway does to what passes it: swaps bytes of the content, makes hashes fit what it swapped, flips bits of messages.
//!
//! A tamperer sees plaintext between two encrypted connections, so nothing below the two programs can notice. Each fault
//! is bound to a logical place (file, offset, how often that piece passed), so that the same seed strikes the same bytes.

use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use minicbor::Decoder;

use crate::plan::Side;

/// A piece of content: a chunk of a large file, or a whole small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentPlace<'a> {
    /// Path of the file below the destination.
    pub path: &'a [u8],
    /// Where the piece starts in the file, in bytes.
    pub offset_bytes: u64,
    /// The how-manieth time this piece passes, from 1.
    pub pass: u64,
}

/// Does something to what passes a gateway, or nothing.
pub trait Tamper: Send + Sync + Debug {
    /// Changes content in place; answers how many bytes or pairs of bytes are different now.
    fn content(&self, _place: &ContentPlace<'_>, _bytes: &mut [u8]) -> u64 {
        0
    }

    /// Whether the hash that is announced with this piece, which is damaged by now, is made to fit the damage.
    fn rehashes(&self, _place: &ContentPlace<'_>) -> bool {
        false
    }

    /// Changes a message (CBOR, without its length and check) in place; answers whether it is different now.
    fn message(&self, _from: Side, _bytes: &mut [u8]) -> bool {
        false
    }

    /// Whether a damaged message gets a check that fits the damage.
    fn makes_messages_anew(&self) -> bool {
        false
    }
}

/// Changes nothing: the control of every run through a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untouched;

impl Tamper for Untouched {}

/// Exchanges two neighbouring bytes of content now and then: the gateway at MIT of the end-to-end paper did so about
/// once in a million bytes (Saltzer, Reed, Clark 1984, section 2.3).
#[derive(Clone, Copy, Debug)]
pub struct ByteSwaps {
    /// Decides, with the place, which bytes.
    pub seed: u64,
    /// One exchange in so many bytes on average.
    pub every_bytes: u64,
    /// Whether the gateway also announces hashes that fit its own mistakes.
    pub rehashes: bool,
}

/// The rate of the gateway at MIT.
pub const BYTES_PER_SWAP_AT_MIT: u64 = 1_000_000;

impl Tamper for ByteSwaps {
    fn content(&self, place: &ContentPlace<'_>, bytes: &mut [u8]) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, place.offset_bytes, place.pass] {
            hasher.update(&number.to_le_bytes());
        }
        let mut draws = hasher.update(place.path).finalize_xof();
        let mut swapped = 0;
        let mut next = 0;
        loop {
            let mut draw = [0; 8];
            draws.fill(&mut draw);
            // Gaps of an exponential distribution: each byte is struck with the same chance, whatever the pieces' lengths.
            let share = (u64::from_le_bytes(draw) >> 11) as f64 / (1_u64 << 53) as f64;
            next += (-(1.0 - share).ln() * self.every_bytes as f64) as usize;
            if next + 1 >= bytes.len() {
                return swapped;
            }
            if bytes[next] != bytes[next + 1] {
                bytes.swap(next, next + 1);
                swapped += 1;
            }
            next += 1;
        }
    }

    fn rehashes(&self, _place: &ContentPlace<'_>) -> bool {
        self.rehashes
    }
}

/// Flips one bit of one message.
#[derive(Debug)]
pub struct MessageFlip {
    /// Who says it.
    pub from: Side,
    /// Which message.
    pub kind: MessageKind,
    /// The how-manieth of this kind, from 1, in all jobs together.
    pub nth: u64,
    /// Number of the bit; wraps at the message's length.
    pub bit: u64,
    /// Whether the message's check is made to fit.
    pub anew: bool,
    seen: AtomicU64,
}

impl MessageFlip {
    /// A flip of this bit in the `nth` message of the kind.
    #[must_use]
    pub fn new(from: Side, kind: MessageKind, nth: u64, bit: u64) -> Self {
        Self { from, kind, nth, bit, anew: false, seen: AtomicU64::new(0) }
    }

    /// The same of a gateway that takes messages apart and makes them anew, so that their check fits the damage.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { anew: true, ..self }
    }
}

impl Tamper for MessageFlip {
    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        if from != self.from || MessageKind::of(from, bytes) != Some(self.kind) {
            return false;
        }
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 != self.nth {
            return false;
        }
        let place = (self.bit / 8) as usize % bytes.len();
        bytes[place] ^= 1 << (self.bit % 8);
        true
    }

    fn makes_messages_anew(&self) -> bool {
        self.anew
    }
}

/// Messages of the sender by their numbers on the wire (`protocol/message.rs`).
const OF_SENDER: [&str; 15] = [
    "hello",
    "begin",
    "working",
    "end",
    "offer-group",
    "pieces",
    "commit-group",
    "offer-file",
    "keep",
    "copy",
    "claim",
    "redo",
    "commit-file",
    "give-up",
    "finish-directories",
];
/// Messages of the receiver.
const OF_RECEIVER: [&str; 15] = [
    "welcome",
    "ready",
    "working",
    "ended",
    "refused",
    "group-answer",
    "group-stored",
    "group-receipt",
    "file-answer",
    "have",
    "bad",
    "stored",
    "equal",
    "file-receipt",
    "finished",
];

/// A kind of message by its word: `commit-file`, `stored`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageKind(&'static str);

impl MessageKind {
    /// The kind of a message of this side; nothing if it is none.
    #[must_use]
    pub fn of(from: Side, message: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(message);
        decoder.array().ok()?;
        let number = decoder.u32().ok()? as usize;
        let words = match from {
            Side::Sender => &OF_SENDER,
            Side::Receiver => &OF_RECEIVER,
        };
        words.get(number).map(|&word| Self(word))
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for MessageKind {
    type Err = UnknownMessage;

    fn from_str(word: &str) -> Result<Self, UnknownMessage> {
        let known = OF_SENDER.iter().chain(&OF_RECEIVER).find(|known| **known == word);
        known.map(|known| Self(known)).ok_or_else(|| UnknownMessage(word.to_owned()))
    }
}

/// A word for a message that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message is called {0}")]
pub struct UnknownMessage(String);

#[cfg(test)]
mod tests {
    use careful::protocol::message::{FromReceiver, FromSender, Hash32, to_wire};
    use careful::protocol::receipt::Origin;

    use super::*;

    fn place(offset_bytes: u64, pass: u64) -> ContentPlace<'static> {
        ContentPlace { path: b"file", offset_bytes, pass }
    }

    #[test]
    fn swaps_come_at_their_rate_and_keep_every_byte() {
        let swaps = ByteSwaps { seed: 1, every_bytes: 1000, rehashes: false };
        let right: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut wrong = right.clone();
        let swapped = swaps.content(&place(0, 1), &mut wrong);
        assert!((850..1150).contains(&swapped), "{swapped}");
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        assert_eq!(sum(&right), sum(&wrong));
        let different = right.iter().zip(&wrong).filter(|(right, wrong)| right != wrong).count() as u64;
        assert!(different <= 2 * swapped && different > swapped, "{different}");
    }

    #[test]
    fn small_pieces_are_struck_as_often_as_large_ones() {
        let swaps = ByteSwaps { seed: 1, every_bytes: 1000, rehashes: false };
        let struck: u64 = (0..10_000).map(|piece| swaps.content(&place(piece * 100, 1), &mut content(100))).sum();
        assert!((850..1150).contains(&struck), "{struck}");
        assert_eq!(swaps.content(&place(0, 1), &mut []), 0);
    }

    #[test]
    fn a_piece_that_passes_again_is_struck_anew_and_the_same_pass_the_same_way() {
        let swaps = ByteSwaps { seed: 1, every_bytes: 1000, rehashes: false };
        let damaged = |pass| {
            let mut bytes = content(100_000);
            swaps.content(&place(0, pass), &mut bytes);
            bytes
        };
        assert_eq!(damaged(1), damaged(1));
        assert_ne!(damaged(1), damaged(2));
    }

    #[test]
    fn bytes_that_are_equal_are_not_counted_as_swapped() {
        let swaps = ByteSwaps { seed: 1, every_bytes: 10, rehashes: false };
        assert_eq!(swaps.content(&place(0, 1), &mut [7; 1000]), 0);
    }

    #[test]
    fn messages_are_told_apart_by_the_words_of_their_side() {
        let of = |from, wire: &[u8]| MessageKind::of(from, &wire[4..]).unwrap().to_string();
        let commit = to_wire(&FromSender::CommitFile { root: [0; 32], origin: Origin::Reread, entry: Hash32([0; 32]) });
        let sender = [(commit, "commit-file"), (to_wire(&FromSender::End), "end")];
        assert!(sender.iter().all(|(wire, word)| of(Side::Sender, wire) == *word));
        assert_eq!(of(Side::Sender, &to_wire(&FromSender::Pieces(Vec::new()))), "pieces");
        assert_eq!(of(Side::Sender, &to_wire(&FromSender::Claim([0; 32]))), "claim");
        let stored = to_wire(&FromReceiver::Stored { round: 0, chunks: Vec::new() });
        assert_eq!(of(Side::Receiver, &stored), "stored");
        assert_eq!(of(Side::Receiver, &to_wire(&FromReceiver::Finished(Vec::new()))), "finished");
        assert_eq!(of(Side::Receiver, &to_wire(&FromReceiver::Bad(7))), "bad");
        assert!(MessageKind::of(Side::Sender, b"").is_none());
        assert!("nonsense".parse::<MessageKind>().is_err());
    }

    #[test]
    fn exactly_the_message_that_was_named_is_flipped() {
        let flip = MessageFlip::new(Side::Receiver, "bad".parse().unwrap(), 2, 9);
        let wire = to_wire(&FromReceiver::Bad(7));
        let mut flipped = Vec::new();
        for _ in 0..3 {
            let mut message = wire[4..].to_vec();
            assert!(!flip.message(Side::Sender, &mut message));
            flipped.push(flip.message(Side::Receiver, &mut message));
            assert_eq!(message != wire[4..], flipped[flipped.len() - 1]);
        }
        assert_eq!(flipped, [false, true, false]);
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|number| (number % 251) as u8).collect()
    }
}
