//! Receipts: what the receiver signs once a file is committed, and the three words that say how much was proved.
//!
//! Words are rounded down when in doubt. What is signed is [`Receipt::statement`], which both sides compute for
//! themselves from what they know, so that no field can differ unseen. **Nothing here signs or stores.**

use minicbor::{Decode, Encode};

use super::entry::Attributes;
use crate::hash::Root;

/// How the sender knows what the source is. Ordered from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// One read, or a second one that could not be proven to bypass the page cache.
    #[n(0)]
    FirstRead,
    /// Two independent reads agree, the second proven past the page cache.
    #[n(1)]
    Reread,
    /// The read agrees with a record made earlier.
    #[n(2)]
    Recorded,
}

/// How the stored copy was checked. Ordered from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Stored {
    /// Not read back.
    #[n(0)]
    None,
    /// Read back, but the page cache may have answered.
    #[n(1)]
    Cache,
    /// Read back after a sync, proven past the page cache.
    #[n(2)]
    Device,
}

/// Whether data and name were flushed. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Durable {
    /// The file system cannot promise it.
    #[n(0)]
    No,
    /// File, rename, directory and every new parent were synced without an error.
    #[n(1)]
    Yes,
}

impl Origin {
    /// The word in receipts and options.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FirstRead => "first-read",
            Self::Reread => "reread",
            Self::Recorded => "recorded",
        }
    }
}

impl Stored {
    /// The word in receipts and options.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cache => "cache",
            Self::Device => "device",
        }
    }
}

impl Durable {
    /// The word in receipts and options.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
        }
    }
}

/// The three words of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Proof {
    /// The sender's word.
    #[n(0)]
    pub origin: Origin,
    /// The receiver's word.
    #[n(1)]
    pub stored: Stored,
    /// The receiver's word.
    #[n(2)]
    pub durable: Durable,
}

/// One file of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptFile {
    /// Components below the receiving directory, joined by `/`, as bytes.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// In bytes.
    #[n(1)]
    pub length_bytes: u64,
    /// Of the whole file.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// How much was proved.
    #[n(3)]
    pub proof: Proof,
    /// Mode and time that the receiver was asked to set. Its umask may take bits off the mode, and it leaves alone what an
    /// equal target of another owner has.
    #[n(4)]
    pub attributes: Attributes,
    /// What it is.
    #[n(5)]
    pub kind: ReceiptKind,
}

/// What a receipt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReceiptKind {
    /// A file.
    #[n(0)]
    File,
    /// A symbolic link. Its length and root are those of its target as a text, which is known from the directory alone:
    /// never more than `stored` = cache, and one read.
    #[n(1)]
    Link,
    /// A further name of a file that has a receipt of its own, read back through such a name.
    #[n(2)]
    HardLink,
}

impl ReceiptKind {
    /// The word in receipts; a plain file has none.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::File => None,
            Self::Link => Some("link"),
            Self::HardLink => Some("hard-link"),
        }
    }

    /// The kind of this word; nothing if it is none.
    #[must_use]
    pub fn of_word(word: Option<&str>) -> Option<Self> {
        [Self::File, Self::Link, Self::HardLink].into_iter().find(|kind| kind.word() == word)
    }
}

/// What the receiver states about committed files of one job: a large file, or a group of small ones.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// Random number of the transfer, chosen by the sender.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub transfer: [u8; 16],
    /// The receiving directory, where the receiver tells it; else empty.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub directory: Vec<u8>,
    /// Seconds since 1970 by the receiver's clock.
    #[n(2)]
    pub time_seconds: u64,
    /// Ed25519 public key of the receiver, which signs.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub receiver: [u8; 32],
    /// Ed25519 public key that the sender proved on this connection.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub sender: [u8; 32],
    /// The committed files.
    #[n(5)]
    pub files: Vec<ReceiptFile>,
}

/// Separates receipts from anything else the same key may sign.
const CONTEXT: &[u8] = b"careful receipt, version 2\0";

impl Receipt {
    /// The bytes that are signed: a fixed prefix and the BLAKE3 hash of the fields as CBOR.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        let fields = minicbor::to_vec(self).expect("encoding into memory cannot fail");
        [CONTEXT, &Root::of(&fields).0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let proof = Proof { origin: Origin::Reread, stored: Stored::Device, durable: Durable::Yes };
        let attributes = Attributes { mode: 0o644, modified_seconds: 5, modified_nanoseconds: 6 };
        let kind = ReceiptKind::File;
        let file = ReceiptFile { path: b"a/b".to_vec(), length_bytes: 3, root: [7; 32], proof, attributes, kind };
        Receipt {
            transfer: [1; 16],
            directory: b"/d".to_vec(),
            time_seconds: 9,
            receiver: [2; 32],
            sender: [3; 32],
            files: vec![file],
        }
    }

    #[test]
    fn every_field_is_part_of_the_statement() {
        let whole = receipt().statement();
        let changes: [fn(&mut Receipt); 13] = [
            |receipt| receipt.transfer[0] ^= 1,
            |receipt| receipt.directory.push(b'x'),
            |receipt| receipt.time_seconds += 1,
            |receipt| receipt.receiver[31] ^= 1,
            |receipt| receipt.sender[0] ^= 1,
            |receipt| receipt.files[0].path.push(b'x'),
            |receipt| receipt.files[0].length_bytes += 1,
            |receipt| receipt.files[0].root[5] ^= 1,
            |receipt| receipt.files[0].proof.stored = Stored::Cache,
            |receipt| receipt.files[0].attributes.mode = 0o600,
            |receipt| receipt.files[0].attributes.modified_seconds += 1,
            |receipt| receipt.files[0].attributes.modified_nanoseconds += 1,
            |receipt| receipt.files[0].kind = ReceiptKind::Link,
        ];
        for change in changes {
            let mut other = receipt();
            change(&mut other);
            assert_ne!(other.statement(), whole);
        }
    }
}
