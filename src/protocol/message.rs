//! Every message of the protocol and its bytes.
//!
//! A transfer is one QUIC connection. Its first bidirectional stream, opened by the sender, is the **control stream**;
//! every further one is a **job**: a group of small files, one large file, or a page of finished directories. Chunks of
//! large files travel each on a unidirectional stream of their own, small files within their job's stream.
//!
//! ```text
//! control   > Hello, Begin  < Welcome, Ready  ...  > End  < Ended          (> sender, < receiver)
//! group     > OfferGroup  < GroupAnswer  > Pieces + bytes  < GroupStored  ...  > CommitGroup  < GroupReceipt
//! file      > OfferFile  < FileAnswer  [< Have ...]  > Keep, Copy; chunk streams  < Bad, Stored ...
//!           > CommitFile  < FileReceipt
//! links     > OfferLinks  < LinksMade
//! names     > OfferHardLinks  < HardLinksMade
//! page      > FinishDirectories  < Finished
//! prune     > Prune  < Pruned ...
//! ```
//!
//! The jobs of a dry run stand in [`dry_run`](super::dry_run).
//!
//! On the wire a message is CBOR (RFC 8949), an array of the message's number and its fields in order, between a prefix and
//! a check. The prefix is the length of both other parts together in three bytes, little-endian, and a fourth that all four
//! give 0xff with by exclusive or; the check is the first 16 bytes of the BLAKE3 hash of the CBOR. So one flipped bit of
//! anything said is noticed at once, and not when it has done harm. Unknown further fields are skipped.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::dry_run::Would;
use super::entry::{DirectoryTable, FileEntry};
use super::failure::Failure;
use super::hard_link::LinkedFile;
use super::keep::Keep;
use super::labels::{IndexedLabels, Unset};
use super::limits::MESSAGE_BYTES_MAX;
use super::link::LinkEntry;
use super::receipt::{Durable, Origin, Proof, Stored};
use crate::hash::{PieceHash, Root};

/// What a sender says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromSender {
    /// First on the control stream: proof that the sender holds the token (see `connect::ticket`).
    #[n(0)]
    Hello {
        /// Minor version of the protocol.
        #[n(0)]
        minor: u32,
        /// BLAKE3 keyed hash of the TLS exporter, the key being the token.
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: [u8; 32],
    },
    /// What is to be done.
    #[n(1)]
    Begin(#[n(0)] Begin),
    /// The sender is busy with its own disk.
    #[n(2)]
    Working,
    /// All jobs are done.
    #[n(3)]
    End,
    /// Offers a group of small files.
    #[n(4)]
    OfferGroup {
        /// The directories of the files, and empty ones.
        #[n(0)]
        directories: DirectoryTable,
        /// The files, each at most one chunk long.
        #[n(1)]
        files: Vec<GroupFile>,
        /// See [`Terms::group`](super::terms::Terms::group).
        #[n(2)]
        meant: Hash32,
    },
    /// The bytes of these files follow this message at once, in this order, each as long as was offered.
    #[n(5)]
    Pieces(#[n(0)] Vec<IndexedHash>),
    /// The sender compared: these files may be renamed; those of the group that are not named are given up.
    #[n(6)]
    CommitGroup(#[n(0)] Vec<IndexedOrigin>),
    /// Offers a file of two chunks or more.
    #[n(7)]
    OfferFile {
        /// Number of the job, named by its chunk streams.
        #[n(0)]
        job: u64,
        /// The directories on the way.
        #[n(1)]
        directories: DirectoryTable,
        /// The file.
        #[n(2)]
        file: FileEntry,
        /// Size of its chunks in bytes.
        #[n(3)]
        chunk_bytes: u32,
        /// See [`Terms::file`](super::terms::Terms::file).
        #[n(4)]
        meant: Hash32,
    },
    /// These chunks of the staging file are right.
    #[n(8)]
    Keep(#[n(0)] Run),
    /// These chunks of the target are right: take them from there.
    #[n(9)]
    Copy(#[n(0)] Run),
    /// Root of the source: the receiver may say whether its target equals it.
    #[n(10)]
    Claim(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
    /// All that was read back is void. These chunks come again; then everything is to be flushed and read back again.
    #[n(11)]
    Redo {
        /// Number of the round: one more than the last.
        #[n(0)]
        round: u32,
        /// Numbers of the chunks that come again.
        #[n(1)]
        chunks: Vec<u64>,
    },
    /// The sender compared every chunk with its origin: the file may be renamed.
    #[n(12)]
    CommitFile {
        /// Of the source.
        #[cbor(n(0), with = "minicbor::bytes")]
        root: [u8; 32],
        /// How the sender knows it.
        #[n(1)]
        origin: Origin,
        /// What the sender means to have sent: see [`Terms::entry`](super::terms::Terms::entry).
        #[n(2)]
        entry: Hash32,
    },
    /// The sender gives this file up; what is staged may stay.
    #[n(13)]
    GiveUp(#[n(0)] Failure),
    /// Offers symbolic links.
    #[n(18)]
    OfferLinks {
        /// The directories of the links.
        #[n(0)]
        directories: DirectoryTable,
        /// The links.
        #[n(1)]
        links: Vec<LinkEntry>,
        /// See [`Terms::links`](super::terms::Terms::links).
        #[n(2)]
        meant: Hash32,
    },
    /// Offers further names of files that are committed.
    #[n(19)]
    OfferHardLinks {
        /// The directories of files and names.
        #[n(0)]
        directories: DirectoryTable,
        /// The files, each with its names.
        #[n(1)]
        files: Vec<LinkedFile>,
        /// See [`Terms::hard_links`](super::terms::Terms::hard_links).
        #[n(2)]
        meant: Hash32,
    },
    /// Everything in these directories is committed: set their modes and times.
    #[n(14)]
    FinishDirectories {
        /// These.
        #[n(0)]
        directories: DirectoryTable,
        /// See [`Terms::page`](super::terms::Terms::page).
        #[n(1)]
        meant: Hash32,
        /// Of those that have any to be carried.
        #[n(2)]
        labels: Vec<IndexedLabels>,
    },
    /// All targets of the transfer are committed: remove, or count, what directories hold beside them.
    #[n(15)]
    Prune {
        /// The directories and names of them.
        #[n(0)]
        prune: Prune,
        /// See [`Terms::prune`](super::terms::Terms::prune).
        #[n(1)]
        meant: Hash32,
    },
}

/// What a receiver says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromReceiver {
    /// The token is right.
    #[n(0)]
    Welcome {
        /// Minor version of the protocol.
        #[n(0)]
        minor: u32,
    },
    /// The destination is ready.
    #[n(1)]
    Ready(#[n(0)] Ready),
    /// The receiver is busy with its own disk.
    #[n(2)]
    Working,
    /// Everything is closed; the transfer is over.
    #[n(3)]
    Ended,
    /// The session, or this job, cannot go on.
    #[n(4)]
    Refused(#[n(0)] Failure),
    /// What is to be done with each file of the group, in the order of the offer.
    #[n(5)]
    GroupAnswer(#[n(0)] Vec<GroupFileAnswer>),
    /// After a sync: what was read back, what arrived wrong, what failed.
    #[n(6)]
    GroupStored {
        /// Hash of every file as it was read back.
        #[n(0)]
        stored: Vec<IndexedHash>,
        /// Files whose bytes did not hash to what was announced: send again.
        #[n(1)]
        bad: Vec<u32>,
        /// Files that are given up.
        #[n(2)]
        failed: Vec<IndexedFailure>,
    },
    /// The committed files of the group and the signature of their receipt.
    #[n(7)]
    GroupReceipt {
        /// What was proved of each.
        #[n(0)]
        files: Vec<IndexedProof>,
        /// Files that could not be committed.
        #[n(1)]
        failed: Vec<IndexedFailure>,
        /// Of the receipt.
        #[n(2)]
        signed: Signed,
    },
    /// Whether there is something to start from.
    #[n(8)]
    FileAnswer(#[n(0)] FileAnswer),
    /// Hashes of what is there already, chunk by chunk from the first; all messages together cover the whole file.
    #[n(9)]
    Have(#[n(0)] Have),
    /// This chunk did not hash to its chaining value when it arrived: send it again.
    #[n(10)]
    Bad(#[n(0)] u64),
    /// Chunks as they were read back.
    #[n(11)]
    Stored {
        /// The round they belong to.
        #[n(0)]
        round: u32,
        /// Their chaining values.
        #[n(1)]
        chunks: Vec<IndexedHash>,
    },
    /// The target equals the claimed root, and was read back for it.
    #[n(12)]
    Equal,
    /// The file is committed.
    #[n(13)]
    FileReceipt {
        /// The receiver's words; the origin is the sender's own.
        #[n(0)]
        proof: Proof,
        /// The signature.
        #[n(1)]
        signed: Signed,
        /// What of its labels could not be set.
        #[n(2)]
        unset: Unset,
    },
    /// The links of an offer that are made, flushed and read again, and the signature of their receipt.
    #[n(18)]
    LinksMade {
        /// What was proved of each.
        #[n(0)]
        made: Vec<IndexedLink>,
        /// Those that could not be made.
        #[n(1)]
        failed: Vec<IndexedFailure>,
        /// Of the receipt.
        #[n(2)]
        signed: Signed,
    },
    /// In a dry run: what would become of each entry of the offer, in its order.
    #[n(20)]
    Would(#[n(0)] Vec<Would>),
    /// The further names of an offer, counted through all its files, that are made and flushed, and the signature of their
    /// receipt.
    #[n(19)]
    HardLinksMade {
        /// What was proved of each.
        #[n(0)]
        made: Vec<IndexedName>,
        /// Those of files that are trusted by length and time: there is no receipt for them.
        #[n(1)]
        trusted: Vec<u32>,
        /// Those that could not be made.
        #[n(2)]
        failed: Vec<IndexedFailure>,
        /// Of the receipt.
        #[n(3)]
        signed: Signed,
    },
    /// The directories have their modes and times, but for these.
    #[n(14)]
    Finished(#[n(0)] Vec<IndexedFailure>),
    /// What was removed, or would be; more such messages follow unless it is the last.
    #[n(15)]
    Pruned {
        /// Paths below the receiving directory.
        #[n(0)]
        removed: Vec<ByteVec>,
        /// What could not be removed.
        #[n(1)]
        failed: Vec<PathFailure>,
        /// Whether the directories are done.
        #[n(2)]
        is_last: bool,
    },
}

/// What a sender asks for, once a connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Begin {
    /// Random number of the transfer.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub transfer: [u8; 16],
    /// The destination as the person wrote it, where the same person started both sides; else empty.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub destination: Vec<u8>,
    /// Whether there is exactly one source and it is a file: a destination that does not exist is then its new name.
    #[n(2)]
    pub single_file: bool,
    /// How the stored copy is to be checked.
    #[n(3)]
    pub stored: Stored,
    /// Never replace a target.
    #[n(4)]
    pub no_replace: bool,
    /// Trust a target of the same length and time.
    #[n(5)]
    pub quick: bool,
    /// Store a record with each copy.
    #[n(6)]
    pub record: bool,
    /// What is to be carried beside content, mode and time.
    #[n(7)]
    pub keep: Keep,
    /// What beside the targets has no source is to be removed in the end, except for what these patterns leave out.
    #[n(8)]
    pub delete: Option<Vec<Pattern>>,
    /// Whether nothing is to be done, and only told what would be.
    #[n(9)]
    pub dry_run: bool,
}

impl Begin {
    /// What is asked for where nothing is chosen, as the programs do it: every check, a record with each copy, and the receiver
    /// decides where it goes.
    pub fn new(transfer: [u8; 16]) -> Self {
        Self {
            transfer,
            destination: Vec::new(),
            single_file: false,
            stored: Stored::Device,
            no_replace: false,
            quick: false,
            record: true,
            keep: Keep::default(),
            delete: None,
            dry_run: false,
        }
    }
}

/// A pattern as it was written: see [`Selection`](super::selection::Selection).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pattern {
    /// Whether what it fits is taken.
    #[n(0)]
    pub include: bool,
    /// Its bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub written: Vec<u8>,
}

/// The names that directories of the transfer may keep.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prune {
    /// The directories and those above them.
    #[n(0)]
    pub directories: DirectoryTable,
    /// What each may keep; they are gone through in this order.
    #[n(1)]
    pub kept: Vec<KeptNames>,
    /// Whether to remove the others; else they are only told.
    #[n(2)]
    pub remove: bool,
}

/// The names that one directory may keep, or those of them whose hashes lie in a range: a large directory takes several
/// messages, each of which can be judged by itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeptNames {
    /// Its place in the table; the receiving directory itself if none.
    #[n(0)]
    pub directory: Option<u32>,
    /// Names are judged whose hash is at least this ...
    #[n(1)]
    pub first: u64,
    /// ... and at most this.
    #[n(2)]
    pub last: u64,
    /// Hashes of the names that stay ([`name_hash`](super::entry::name_hash)), rising.
    #[n(3)]
    pub hashes: Vec<u64>,
}

/// What went wrong with something below the receiving directory.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PathFailure {
    /// Its path there.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// What.
    #[n(1)]
    pub failure: Failure,
}

/// The destination.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ready {
    /// Name that the single file gets, where the destination named the file and not a directory.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub file_name: Option<ByteVec>,
    /// The receiving directory, where the sender may know it; else empty.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub directory: Vec<u8>,
    /// What of [`Begin::keep`] is allowed here.
    #[n(2)]
    pub kept: Keep,
}

/// A small file as it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GroupFile {
    /// Name, length, attributes.
    #[n(0)]
    pub entry: FileEntry,
    /// Of the source, where it was read already.
    #[n(1)]
    pub root: Option<Hash32>,
}

/// What a receiver wants of a small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum GroupFileAnswer {
    /// Send it.
    #[n(0)]
    Send,
    /// It is staged already: what was read back has this root, the offered one.
    #[n(1)]
    Staged(#[n(0)] Hash32),
    /// The target is equal already: what was read back has this root, the offered one.
    #[n(2)]
    Present(#[n(0)] Hash32),
    /// The target has the same length and time, and that is trusted.
    #[n(3)]
    Trusted,
    /// No.
    #[n(4)]
    Refused(#[n(0)] Failure),
}

/// What a receiver says to the offer of a large file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FileAnswer {
    /// Nothing is there: send it.
    #[n(0)]
    Send,
    /// Something is there: `Have` messages follow.
    #[n(1)]
    Basis {
        /// Whether the target has the offered length, so that it may be equal.
        #[n(0)]
        target_may_equal: bool,
    },
    /// A target is there that may not be replaced: claim the root.
    #[n(2)]
    Claim,
    /// The target has the same length and time, and that is trusted.
    #[n(3)]
    Trusted,
}

/// Hashes of `count` chunks from `first` on. Each list is empty or holds 32 bytes a chunk, all zero where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Have {
    /// Number of the first chunk.
    #[n(0)]
    pub first: u64,
    /// Number of chunks.
    #[n(1)]
    pub count: u32,
    /// Of the staging file.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub staged: Vec<u8>,
    /// Of the target.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub target: Vec<u8>,
}

impl Have {
    /// The hash at this place of the message in one of its lists.
    #[must_use]
    pub fn hash_at(list: &[u8], place: usize) -> Option<PieceHash> {
        let bytes: [u8; 32] = list.get(place * 32..place * 32 + 32)?.try_into().ok()?;
        (bytes != [0; 32]).then_some(PieceHash(bytes))
    }
}

/// Chunks one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    /// Number of the first.
    #[n(0)]
    pub first: u64,
    /// How many.
    #[n(1)]
    pub count: u64,
}

/// 32 bytes of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Hash32(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl Hash32 {
    /// The hash as that of a whole file.
    #[must_use]
    pub fn root(self) -> Root {
        Root(self.0)
    }
}

impl From<Root> for Hash32 {
    fn from(root: Root) -> Self {
        Self(root.0)
    }
}

/// A hash of the piece with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedHash {
    /// Of the chunk in its file, or of the file in its group.
    #[n(0)]
    pub index: u64,
    /// Chaining value or root.
    #[n(1)]
    pub hash: Hash32,
}

impl IndexedHash {
    /// The pair as a message holds it.
    #[must_use]
    pub fn new(index: u64, hash: PieceHash) -> Self {
        Self { index, hash: Hash32(hash.0) }
    }

    /// The hash.
    #[must_use]
    pub fn piece_hash(self) -> PieceHash {
        PieceHash(self.hash.0)
    }
}

/// The sender's word on the file of a group with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedOrigin {
    /// In the offer.
    #[n(0)]
    pub index: u32,
    /// Of the source, as the origin says.
    #[n(1)]
    pub root: Hash32,
    /// The word.
    #[n(2)]
    pub origin: Origin,
    /// What the sender means to have sent: see [`Terms::entry`](super::terms::Terms::entry).
    #[n(3)]
    pub entry: Hash32,
}

/// What was proved of the file of a group with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedProof {
    /// In the offer.
    #[n(0)]
    pub index: u32,
    /// The receiver's word.
    #[n(1)]
    pub stored: Stored,
    /// The receiver's word.
    #[n(2)]
    pub durable: Durable,
    /// What of its labels could not be set.
    #[n(3)]
    pub unset: Unset,
}

/// A link with this number that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedLink {
    /// In the offer.
    #[n(0)]
    pub index: u32,
    /// Whether it survives a power cut.
    #[n(1)]
    pub durable: Durable,
    /// Whether the same link was there already.
    #[n(2)]
    pub unchanged: bool,
    /// What of its labels could not be set.
    #[n(3)]
    pub unset: Unset,
}

/// A further name with this number that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedName {
    /// In the offer.
    #[n(0)]
    pub index: u32,
    /// The receiver's word: the file was read back through such a name.
    #[n(1)]
    pub stored: Stored,
    /// Whether it survives a power cut.
    #[n(2)]
    pub durable: Durable,
    /// Whether it was a name of the same file already.
    #[n(3)]
    pub unchanged: bool,
}

/// What went wrong with the file or directory with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedFailure {
    /// In the offer or table.
    #[n(0)]
    pub index: u32,
    /// What.
    #[n(1)]
    pub failure: Failure,
}

/// What of a receipt only the receiver knows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// Seconds since 1970.
    #[n(0)]
    pub time_seconds: u64,
    /// The receiver's identity: Ed25519 public key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// Ed25519 signature of the receipt's statement.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Bytes of the header that opens every chunk stream.
pub const CHUNK_HEADER_BYTES: usize = 64;

/// Opens a chunk stream; the chunk's bytes follow, then the stream ends. All integers little-endian:
/// bytes 0..8 job, 8..16 chunk index, 16..20 length in bytes, 20..24 round, 24..32 check, 32..64 chaining value. The check
/// is the first 8 bytes of the BLAKE3 hash of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The file's job.
    pub job: u64,
    /// Number of the chunk.
    pub index: u64,
    /// Its length.
    pub length_bytes: u32,
    /// Round of the file's read-back that this chunk belongs to.
    pub round: u32,
    /// What the bytes must hash to.
    pub hash: PieceHash,
}

impl ChunkHeader {
    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.index.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.round.to_le_bytes());
        bytes[32..].copy_from_slice(&self.hash.0);
        // Made while their place holds zeros.
        let check = Root::of(&bytes).0;
        bytes[24..32].copy_from_slice(&check[..8]);
        bytes
    }

    /// Reads the bytes; nothing if their check says that they arrived otherwise than they were sent.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Option<Self> {
        let (job, rest) = bytes.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (round, rest) = rest.split_first_chunk()?;
        let (_check, rest) = rest.split_first_chunk::<8>()?;
        let (hash, _) = rest.split_first_chunk()?;
        let header = Self {
            job: u64::from_le_bytes(*job),
            index: u64::from_le_bytes(*index),
            length_bytes: u32::from_le_bytes(*length),
            round: u32::from_le_bytes(*round),
            hash: PieceHash(*hash),
        };
        (header.to_bytes() == *bytes).then_some(header)
    }
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Longer than `MESSAGE_BYTES_MAX`.
    #[error("a message of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// Its length or its check does not fit the rest.
    #[error("a message arrived otherwise than it was sent")]
    Garbled,
    /// No CBOR of a message.
    #[error("a message is malformed")]
    Malformed(#[from] minicbor::decode::Error),
    /// More bytes than the message has.
    #[error("a message has {0} bytes too many")]
    TrailingBytes(usize),
}

/// Bytes of the check that follows a message's CBOR.
pub const CHECK_BYTES: usize = 16;
/// What the four bytes of a prefix give by exclusive or.
const PREFIX_PARITY: u8 = 0xff;

/// The check of a message's CBOR.
#[must_use]
pub fn check_of(cbor: &[u8]) -> [u8; CHECK_BYTES] {
    *Root::of(cbor).0.first_chunk().expect("a hash is longer than a check")
}

/// The message as it goes onto the wire.
///
/// # Panics
/// If it is longer than `MESSAGE_BYTES_MAX`: whoever builds a message keeps to the limits of its parts.
#[must_use]
pub fn to_wire<M: Encode<()>>(message: &M) -> Vec<u8> {
    let mut cbor = Vec::new();
    minicbor::encode(message, &mut cbor).expect("encoding into memory cannot fail");
    frame(&cbor, check_of(&cbor))
}

/// CBOR between its prefix and this check, as it goes onto the wire.
///
/// # Panics
/// As [`to_wire`].
#[must_use]
pub fn frame(cbor: &[u8], check: [u8; CHECK_BYTES]) -> Vec<u8> {
    let length = cbor.len() + CHECK_BYTES;
    assert!(length <= MESSAGE_BYTES_MAX, "a message of {length} bytes was built");
    let [low, middle, high, _] = u32::try_from(length).expect("below the maximum").to_le_bytes();
    [&[low, middle, high, low ^ middle ^ high ^ PREFIX_PARITY][..], cbor, &check].concat()
}

/// Bytes of a message that follow its first four, checked before anything is allocated for them.
pub fn length_from_wire(prefix: [u8; 4]) -> Result<usize, MessageError> {
    let [low, middle, high, parity] = prefix;
    if low ^ middle ^ high ^ parity != PREFIX_PARITY {
        return Err(MessageError::Garbled);
    }
    match u32::from_le_bytes([low, middle, high, 0]) as usize {
        length if length > MESSAGE_BYTES_MAX => Err(MessageError::TooLong(length)),
        length if length < CHECK_BYTES => Err(MessageError::Garbled),
        length => Ok(length),
    }
}

/// The message that these bytes after its first four are; all of them must belong to it.
pub fn from_wire<M: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<M, MessageError> {
    let (cbor, check) = bytes.split_last_chunk().ok_or(MessageError::Garbled)?;
    if check_of(cbor) != *check {
        return Err(MessageError::Garbled);
    }
    let mut decoder = minicbor::Decoder::new(cbor);
    let message = decoder.decode()?;
    match cbor.len() - decoder.position() {
        0 => Ok(message),
        trailing => Err(MessageError::TrailingBytes(trailing)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hard_link::{FurtherName, LinkedContent};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    /// The CBOR of a message in hexadecimal digits.
    fn cbor<M: Encode<()>>(message: &M) -> String {
        let wire = to_wire(message);
        hex(&wire[4..wire.len() - CHECK_BYTES])
    }

    /// As if this CBOR had come with its right check.
    fn read(cbor: &[u8]) -> Result<FromReceiver, MessageError> {
        from_wire(&frame(cbor, check_of(cbor))[4..])
    }

    #[test]
    fn golden_bytes_of_messages() {
        let hello = FromSender::Hello { minor: 0, proof: [0xab; 32] };
        assert_eq!(cbor(&hello), format!("820082005820{}", "ab".repeat(32)));
        assert_eq!(cbor(&FromSender::Working), "820280");
        assert_eq!(cbor(&FromSender::Keep(Run { first: 1, count: 300 })), "820881820119012c");
        let commit = FromSender::CommitFile { root: [1; 32], origin: Origin::Reread, entry: Hash32([2; 32]) };
        assert_eq!(cbor(&commit), format!("820c835820{}015820{}", "01".repeat(32), "02".repeat(32)));
        assert_eq!(cbor(&FromReceiver::Refused(Failure::NoSpace)), "82048104");
        assert_eq!(cbor(&FromReceiver::Refused(Failure::Garbled)), "8204811822");
        assert_eq!(cbor(&FromReceiver::Bad(7)), "820a8107");
        let link = LinkEntry {
            directory: None,
            name: super::super::entry::Name::new(b"a").expect("a name"),
            target: super::super::link::LinkTarget::new(b"b").expect("a target"),
            attributes: super::super::entry::Attributes { mode: 0o777, modified_seconds: 1, modified_nanoseconds: 2 },
            labels: None,
        };
        let links = FromSender::OfferLinks {
            directories: DirectoryTable::default(),
            links: vec![link],
            meant: Hash32([3; 32]),
        };
        assert_eq!(
            cbor(&links),
            format!("8212838081 84f641614162831901ff01025820{}", "03".repeat(32)).replace(' ', "")
        );
        let would = vec![Would::New, Would::Refused(Failure::NoSpace), Would::Claim];
        assert_eq!(cbor(&FromReceiver::Would(would)), "821481838200808204810482 0580".replace(' ', ""));
        let begin = FromSender::Begin(Begin { dry_run: true, ..Begin::new([1; 16]) });
        assert!(cbor(&begin).ends_with("f6f5"), "{}", cbor(&begin));
        let name = |bytes: &[u8]| super::super::entry::Name::new(bytes).expect("a name");
        let file = LinkedFile {
            directory: None,
            name: name(b"a"),
            length_bytes: 5,
            attributes: super::super::entry::Attributes { mode: 0o777, modified_seconds: 1, modified_nanoseconds: 2 },
            content: Some(LinkedContent { root: Hash32([4; 32]), origin: Origin::Reread }),
            names: vec![FurtherName { directory: None, name: name(b"b") }],
        };
        let offer = FromSender::OfferHardLinks {
            directories: DirectoryTable::default(),
            files: vec![file],
            meant: Hash32([3; 32]),
        };
        let entry = format!("86f64161058319 01ff0102825820{}01818 2f64162", "04".repeat(32)).replace(' ', "");
        assert_eq!(cbor(&offer), format!("821383808 1{entry}5820{}", "03".repeat(32)).replace(' ', ""));
        let made = IndexedName { index: 1, stored: Stored::Device, durable: Durable::Yes, unchanged: true };
        let signed = Signed { time_seconds: 1, key: [2; 32], signature: [3; 64] };
        let made = FromReceiver::HardLinksMade { made: vec![made], trusted: vec![2], failed: Vec::new(), signed };
        let signed = format!("83015820{}5840{}", "02".repeat(32), "03".repeat(64));
        assert_eq!(cbor(&made), format!("8213848184010201f5810280{signed}"));
        let kept = vec![KeptNames { directory: None, first: 0, last: 9, hashes: vec![1, u64::MAX] }];
        let prune = Prune { directories: DirectoryTable::default(), kept, remove: true };
        let prune = FromSender::Prune { prune, meant: Hash32([2; 32]) };
        assert_eq!(cbor(&prune), format!("820f8283808184f600098201{}f55820{}", "1bffffffffffffffff", "02".repeat(32)));
        let failed = vec![PathFailure { path: b"b".to_vec(), failure: Failure::NotDeleted }];
        let pruned = FromReceiver::Pruned { removed: vec![b"a".to_vec().into()], failed, is_last: true };
        assert_eq!(cbor(&pruned), "820f838141618182416218 25f5".replace(' ', ""));
    }

    #[test]
    fn golden_bytes_around_a_message() {
        assert_eq!(hex(&to_wire(&FromSender::Working)), "130000ec820280e0744b243c775f52bda3908bbf5e12fe");
        let long = to_wire(&FromSender::Redo { round: 1, chunks: vec![u64::MAX; 100] });
        assert_eq!(long[..4], [0x9a, 3, 0, 0xff ^ 0x9a ^ 3]);
    }

    #[test]
    fn every_flipped_bit_of_a_message_and_of_a_chunk_header_is_noticed() {
        let right = to_wire(&FromReceiver::Bad(7));
        for bit in 0..right.len() * 8 {
            let mut wrong = right.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let length = length_from_wire(*wrong.first_chunk().expect("a prefix"));
            let read = length.and_then(|_| from_wire::<FromReceiver>(&wrong[4..]));
            assert!(matches!(read, Err(MessageError::Garbled)), "bit {bit}: {read:?}");
        }
        let header = ChunkHeader { job: 1, index: 2, length_bytes: 3, round: 4, hash: PieceHash([5; 32]) };
        for bit in 0..CHUNK_HEADER_BYTES * 8 {
            let mut wrong = header.to_bytes();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ChunkHeader::from_bytes(&wrong), None, "bit {bit}");
        }
    }

    #[test]
    fn golden_bytes_of_a_chunk_header() {
        let header = ChunkHeader { job: 1, index: 2, length_bytes: 3, round: 4, hash: PieceHash([5; 32]) };
        let numbers = "010000000000000002000000000000000300000004000000";
        let expected = format!("{numbers}192778a3065d3459{}", "05".repeat(32));
        assert_eq!(hex(&header.to_bytes()), expected);
        assert_eq!(ChunkHeader::from_bytes(&header.to_bytes()), Some(header));
    }

    #[test]
    fn a_message_above_the_limit_is_refused_before_it_is_read() {
        let prefix = |length: u32| {
            let [low, middle, high, _] = length.to_le_bytes();
            [low, middle, high, low ^ middle ^ high ^ 0xff]
        };
        assert!(length_from_wire(prefix(MESSAGE_BYTES_MAX as u32)).is_ok());
        for length in [MESSAGE_BYTES_MAX as u32 + 1, (1 << 24) - 1] {
            assert!(matches!(length_from_wire(prefix(length)), Err(MessageError::TooLong(_))));
        }
        assert!(matches!(length_from_wire(prefix(15)), Err(MessageError::Garbled)), "no room for the check");
    }

    #[test]
    fn malformed_messages_are_refused() {
        let good = [0x82, 10, 0x81, 7];
        assert!(read(&good).is_ok());
        assert!(read(&good[..3]).is_err(), "cut short");
        assert!(matches!(read(&[&good[..], &[0]].concat()), Err(MessageError::TrailingBytes(1))));
        assert!(read(&[0x82, 0x18, 99, 0x80]).is_err(), "unknown number");
        assert!(read(&[0x82, 4, 0x81, 0x18, 250]).is_err(), "unknown failure");
        assert!(read(&[]).is_err());
        assert!(matches!(from_wire::<FromReceiver>(&[]), Err(MessageError::Garbled)), "not even a check");
        // A list that says it has 2^62 elements.
        assert!(read(&[0x82, 5, 0x81, 0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn hostile_names_do_not_decode() {
        for name in [&b".."[..], b"a/b", b"", b"\0"] {
            let mut bytes = Vec::new();
            let mut encoder = minicbor::Encoder::new(&mut bytes);
            encoder.bytes(name).expect("encoding into memory cannot fail");
            assert!(minicbor::decode::<super::super::entry::Name>(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(from_wire::<FromSender>(&bytes).is_err() || !bytes.is_empty());
            let checked = frame(&bytes, check_of(&bytes));
            prop_assert!(from_wire::<FromSender>(&checked[4..]).is_err() || !bytes.is_empty());
            prop_assert!(from_wire::<FromReceiver>(&checked[4..]).is_err() || !bytes.is_empty());
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(first in any::<u64>(), count in any::<u64>(), hash in any::<[u8; 32]>()) {
            for message in [
                FromSender::Copy(Run { first, count }),
                FromSender::Pieces(vec![IndexedHash { index: first, hash: Hash32(hash) }; 3]),
                FromSender::Redo { round: 1, chunks: vec![first, count] },
            ] {
                prop_assert_eq!(from_wire::<FromSender>(&to_wire(&message)[4..]).expect("decodes"), message);
            }
        }
    }
}
