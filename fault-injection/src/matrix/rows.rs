//! The rows: every place of the reference where a fault can strike, and what theory says of each level there.
//!
//! Numbers are those of the fault x defence matrix. A row draws its plan from a seed; the same plan then strikes at every
//! level. Where a row has two ways to be placed, a letter follows the number.
//!
//! Longer than 400 lines because it is one table.

use super::report::{Group, Level, Prediction, Threat};
use crate::plan::Draw;
use crate::trial::{FILE, Size, Subject};
use Prediction::{Caught, Harmless, Open, Silent};
use Threat::{T1, T2, T3, T4, T5};

/// One row.
pub struct RowSpec {
    /// In the reference.
    pub number: &'static str,
    /// What goes wrong.
    pub title: &'static str,
    /// Where.
    pub place: &'static str,
    /// Threats of the paper that it stands for.
    pub threats: &'static [Threat],
    /// What may be asked of a check here.
    pub group: Group,
    /// The weakest level that has such a place.
    pub from: Level,
    /// What theory says of L0 to L6.
    pub predicted: [Prediction; 7],
    /// Which subjects it is about.
    pub subjects: Subjects,
    /// Draws the plan's line.
    pub draw: fn(&mut Draw, &Subject) -> String,
    /// What a reader must know besides.
    pub note: &'static str,
}

/// Which subjects a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// A large file or a small one, as the seed says.
    Both,
    /// Only a large file has such a place.
    Large,
}

/// Seen from the second read on.
const FROM_SECOND_READ: [Prediction; 7] = [Silent, Silent, Silent, Silent, Silent, Caught, Caught];
/// Seen from the hash of each chunk on.
const FROM_HASH: [Prediction; 7] = [Silent, Silent, Caught, Caught, Caught, Caught, Caught];
/// Seen by any reading back.
const FROM_READ_BACK: [Prediction; 7] = [Silent, Silent, Silent, Caught, Caught, Caught, Caught];
/// Seen by reading back from the device alone.
const FROM_DEVICE: [Prediction; 7] = [Silent, Silent, Silent, Silent, Caught, Caught, Caught];
/// Seen by comparison with a record that was made before.
const FROM_RECORD: [Prediction; 7] = [Silent, Silent, Silent, Silent, Silent, Silent, Caught];
const HARMLESS: [Prediction; 7] = [Harmless; 7];
/// In a gateway: plain UDP has none, QUIC sees nothing, the first hash from end to end sees all.
const FROM_END_TO_END: [Prediction; 7] = [Open, Silent, Caught, Caught, Caught, Caught, Caught];
const TOLD: [Prediction; 7] = [Caught; 7];

fn piece(draw: &mut Draw, subject: &Subject) -> u64 {
    draw.below(subject.pieces())
}

/// A fault of content at this place.
fn content_at(place: &str, draw: &mut Draw, subject: &Subject) -> String {
    let piece = piece(draw, subject);
    let fault = draw.content(subject.piece_bytes(piece));
    format!("{place} {FILE} {piece} #1 {fault}")
}

/// A write that lands otherwise than it was handed over.
fn write_at(place: &str, draw: &mut Draw, subject: &Subject) -> String {
    let piece = piece(draw, subject);
    let fault = draw.write(subject.piece_bytes(piece), subject.length_bytes);
    format!("{place} {FILE} {piece} #1 {fault}")
}

/// A flush of the file; groups as small as these are flushed file by file.
fn flush(fault: &str) -> String {
    format!("file-sync {FILE} 0 #1 {fault}")
}

/// Two neighbouring bytes change places in the gateway.
fn swap_at(gateway: &str, draw: &mut Draw, subject: &Subject) -> String {
    let piece = piece(draw, subject);
    format!("{gateway} {FILE} {piece} #1 swap {}", draw.below(subject.piece_bytes(piece) - 1))
}

/// Messages of every transfer of that size that say more than that they are there.
const MESSAGES_OF_LARGE: [&str; 8] = [
    "message-of-sender begin",
    "message-of-sender offer-file",
    "message-of-sender commit-file",
    "message-of-receiver welcome",
    "message-of-receiver ready",
    "message-of-receiver file-answer",
    "message-of-receiver stored",
    "message-of-receiver file-receipt",
];
/// The same where files travel in groups.
const MESSAGES_OF_SMALL: [&str; 9] = [
    "message-of-sender begin",
    "message-of-sender offer-group",
    "message-of-sender pieces",
    "message-of-sender commit-group",
    "message-of-receiver welcome",
    "message-of-receiver ready",
    "message-of-receiver group-answer",
    "message-of-receiver group-stored",
    "message-of-receiver group-receipt",
];
/// Longer than all of them, in bytes: a position wraps at the end of its message.
const MESSAGE_BYTES: u64 = 1 << 16;

fn flip_of_message(draw: &mut Draw, subject: &Subject) -> String {
    let message = match subject.size {
        Size::Large => draw.one_of(&MESSAGES_OF_LARGE),
        Size::Small => draw.one_of(&MESSAGES_OF_SMALL),
    };
    format!("{message} #1 flip {}.{}", draw.below(MESSAGE_BYTES), draw.below(8))
}

/// Damage of many datagrams of the sender: which of them carries what changes from run to run.
fn packets(place: &str, draw: &mut Draw, shape: fn(&mut Draw) -> String) -> String {
    let every = 20 + draw.below(60);
    let shape = shape(draw);
    format!("{place} *{every} {shape}")
}

/// Within what a datagram of a baseline carries of the file.
fn in_payload(draw: &mut Draw) -> u64 {
    200 + draw.below(600)
}

const CONTENT: [RowSpec; 21] = [
    RowSpec {
        number: "2",
        title: "one wrong read of the source",
        place: "between the source's medium and the page cache, one read",
        threats: &[T1],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_SECOND_READ,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("source-read", draw, subject),
        note: "",
    },
    RowSpec {
        number: "3",
        title: "wrong page of the source",
        place: "page cache of the sending host",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_SECOND_READ,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("source-cache", draw, subject),
        note: "",
    },
    RowSpec {
        number: "4",
        title: "source buffer before the hash",
        place: "memory of the sender, between read and hash",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_SECOND_READ,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("source-to-hash", draw, subject),
        note: "",
    },
    RowSpec {
        number: "5",
        title: "source buffer after the hash",
        place: "memory of the sender, between hash and QUIC",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_HASH,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("hash-to-upload", draw, subject),
        note: "",
    },
    RowSpec {
        number: "5b",
        title: "chunks exchanged after the hash",
        place: "memory of the sender, two chunks change places",
        threats: &[T2],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_HASH,
        subjects: Subjects::Large,
        draw: |_, _| format!("hash-to-upload {FILE} 0 #1 exchange"),
        note: "",
    },
    RowSpec {
        number: "6",
        title: "inside QUIC before the seal",
        place: "memory of the sender, what QUIC encrypts from",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_HASH,
        subjects: Subjects::Large,
        draw: |draw, subject| content_at("hash-to-upload", draw, subject),
        note: "QUIC seals from the very memory that leaves this hop: it is struck there, of large files alone.",
    },
    RowSpec {
        number: "7",
        title: "source changed while it is read",
        place: "another process writes into the source",
        threats: &[T2],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_HASH,
        subjects: Subjects::Large,
        draw: |draw, subject| format!("source-read {FILE} {} #1 changed", 1 + draw.below(subject.pieces() - 1)),
        note: "Found by size and time before and after at every level of careful, not by a hash.",
    },
    RowSpec {
        number: "8",
        title: "packet damaged under its checksum",
        place: "network, UDP checksum as it was",
        threats: &[T4],
        group: Group::Content,
        from: Level::L0,
        predicted: [Silent, Harmless, Harmless, Harmless, Harmless, Harmless, Harmless],
        subjects: Subjects::Large,
        draw: |draw, _| {
            packets("packet-of-sender-under-checksum", draw, |draw| match draw.below(3) {
                0 => format!("flip {}.{}", in_payload(draw), draw.below(8)),
                1 => format!("swap {}", in_payload(draw)),
                _ => format!("swap-words {}", in_payload(draw)),
            })
        },
        note: "UDP throws away what its 16 bits see; an exchange of words they do not see.",
    },
    RowSpec {
        number: "9",
        title: "packet damaged, checksum fitting",
        place: "network card, NAT or relay that computes the checksum anew",
        threats: &[T4],
        group: Group::Content,
        from: Level::L0,
        predicted: [Silent, Harmless, Harmless, Harmless, Harmless, Harmless, Harmless],
        subjects: Subjects::Large,
        draw: |draw, _| {
            packets("packet-of-sender", draw, |draw| format!("flip {}.{}", in_payload(draw), draw.below(8)))
        },
        note: "",
    },
    RowSpec {
        number: "10",
        title: "packets lost, doubled, late",
        place: "network",
        threats: &[T4],
        group: Group::Commit,
        from: Level::L0,
        predicted: HARMLESS,
        subjects: Subjects::Both,
        draw: |draw, _| {
            let [lost, doubled, late] = [7, 5, 9].map(|least| least + draw.below(20));
            format!(
                "packet-of-sender *{lost} drop; packet-of-sender *{doubled} double; packet-of-sender *{late} late {}; \
                 packet-of-receiver *{late} drop",
                1 + draw.below(6)
            )
        },
        note: "Sequence numbers repair it below every level.",
    },
    RowSpec {
        number: "11",
        title: "gateway swaps a pair of bytes",
        place: "memory of a host between the two that ends QUIC on both sides",
        threats: &[T2, T3, T4],
        group: Group::Content,
        from: Level::L1,
        predicted: FROM_END_TO_END,
        subjects: Subjects::Both,
        draw: |draw, subject| swap_at("gateway", draw, subject),
        note: "The gateway of the paper. Plain UDP knows no such place: what makes its checksum anew is row 9.",
    },
    RowSpec {
        number: "11b",
        title: "gateway swaps, its hashes fit",
        place: "the same host, which computes the hash that goes with the content anew",
        threats: &[T2, T3, T4],
        group: Group::Content,
        from: Level::L1,
        predicted: FROM_END_TO_END,
        subjects: Subjects::Both,
        draw: |draw, subject| swap_at("rehashing-gateway", draw, subject),
        note: "The check on arrival is passed. The sender finds it: the hash that comes back is not its own.",
    },
    RowSpec {
        number: "12",
        title: "receiver's buffer before the check",
        place: "memory of the receiver, between QUIC and verify",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_HASH,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("wire-to-verify", draw, subject),
        note: "",
    },
    RowSpec {
        number: "13",
        title: "receiver's buffer after the check",
        place: "memory of the receiver, between verify and write",
        threats: &[T2, T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_READ_BACK,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("verify-to-stage", draw, subject),
        note: "",
    },
    RowSpec {
        number: "14",
        title: "write gone astray",
        place: "write(2): wrong offset, short, dropped, doubled",
        threats: &[T2],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_READ_BACK,
        subjects: Subjects::Both,
        draw: |draw, subject| write_at("staging-write", draw, subject),
        note: "",
    },
    RowSpec {
        number: "15",
        title: "dirty page flipped",
        place: "page cache of the receiver, before write-out",
        threats: &[T3],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_READ_BACK,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("staging-write", draw, subject),
        note: "",
    },
    RowSpec {
        number: "16",
        title: "write-out lost, misdirected, torn, flipped",
        place: "controller or drive of the receiver; its page cache has it right",
        threats: &[T1, T2],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_DEVICE,
        subjects: Subjects::Both,
        draw: |draw, subject| write_at("write-out", draw, subject),
        note: "",
    },
    RowSpec {
        number: "17",
        title: "flush failed, nobody told",
        place: "fsync of the receiver; ext4 and XFS keep the pages and call them clean",
        threats: &[T1, T2],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_DEVICE,
        subjects: Subjects::Both,
        draw: |_, _| flush("swallowed"),
        note: "",
    },
    RowSpec {
        number: "17b",
        title: "flush failed and told",
        place: "fsync of the receiver, with what ext4, XFS or Btrfs do to the pages",
        threats: &[T1, T2],
        group: Group::Commit,
        from: Level::L0,
        predicted: TOLD,
        subjects: Subjects::Both,
        draw: |draw, _| flush(draw.one_of(&["eio", "eio-keeping", "eio-reverting"])),
        note: "Every level hears it; the baselines do not try again on the strength of those pages either.",
    },
    RowSpec {
        number: "18",
        title: "rot between flush and read-back",
        place: "medium of the receiver",
        threats: &[T1],
        group: Group::Content,
        from: Level::L0,
        predicted: FROM_DEVICE,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("stored-medium", draw, subject),
        note: "",
    },
    RowSpec {
        number: "29",
        title: "staging file damaged between attempts",
        place: "what an interrupted run left",
        threats: &[T1, T5],
        group: Group::Content,
        from: Level::L0,
        predicted: [Harmless, Harmless, Open, Open, Open, Harmless, Harmless],
        subjects: Subjects::Large,
        draw: |draw, subject| content_at("staging-left", draw, subject),
        note: "Not a check but the rule of resume: nothing staged counts but what reads back with the right hash.",
    },
];

const CONTROL: [RowSpec; 8] = [
    RowSpec {
        number: "19",
        title: "one wrong read-back or second read",
        place: "between medium and memory, one read of a check",
        threats: &[T1],
        group: Group::Commit,
        from: Level::L3,
        predicted: [Open, Open, Open, Harmless, Harmless, Harmless, Harmless],
        subjects: Subjects::Both,
        draw: |draw, subject| {
            let place = draw.one_of(&["read-back", "source-read-past-cache"]);
            content_at(place, draw, subject)
        },
        note: "At worst an alarm for nothing.",
    },
    RowSpec {
        number: "20-21",
        title: "expected hash damaged",
        place: "control data at the sender or the receiver",
        threats: &[T2, T3],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Harmless, Harmless, Harmless, Harmless, Harmless],
        subjects: Subjects::Both,
        draw: |draw, subject| {
            let hop = draw.one_of(&["hash-to-upload", "wire-to-verify", "verify-to-stage"]);
            format!("{hop} {FILE} {} #1 wrong-hash {}", piece(draw, subject), draw.below(256))
        },
        note: "The bytes are right: at worst an alarm for nothing. The baselines have no hash.",
    },
    RowSpec {
        number: "21b",
        title: "control data damaged in transit",
        place: "one bit of one message, in a gateway that ends QUIC on both sides",
        threats: &[T2, T3, T4],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Caught, Caught, Caught, Caught, Caught],
        subjects: Subjects::Both,
        draw: flip_of_message,
        note: "Every message carries a check: what does not fit is said again on another connection.",
    },
    RowSpec {
        number: "24",
        title: "receipt lost",
        place: "on its way back, after the commit",
        threats: &[T4, T5],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Caught, Caught, Caught, Caught, Caught],
        subjects: Subjects::Both,
        draw: |draw, subject| {
            let receipt = if subject.size == Size::Large { "file-receipt" } else { "group-receipt" };
            format!("message-of-receiver {receipt} #1 flip {}.{}", draw.below(MESSAGE_BYTES), draw.below(8))
        },
        note: "It comes damaged, which is as good as lost: the sender asks again, and the committed file is read back again.",
    },
    RowSpec {
        number: "22",
        title: "wrong place or length of a chunk",
        place: "control data at either side, after the hash",
        threats: &[T2, T3],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Open, Caught, Caught, Caught, Caught],
        subjects: Subjects::Large,
        draw: |draw, subject| {
            let hop = draw.one_of(&["hash-to-upload", "wire-to-verify", "verify-to-stage"]);
            let fault = draw.one_of(&["wrong-index", "truncate 4096"]);
            // The last chunk has none after it.
            format!("{hop} {FILE} {} #1 {fault}", draw.below(subject.pieces() - 1))
        },
        note: "",
    },
    RowSpec {
        number: "22b",
        title: "wrong place or length of a chunk, unhashed",
        place: "control data of the sender, before the hash",
        threats: &[T2, T3],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Open, Open, Open, Caught, Caught],
        subjects: Subjects::Large,
        draw: |draw, subject| {
            let fault = draw.one_of(&["wrong-index", "truncate 4096"]);
            format!("source-to-hash {FILE} {} #1 {fault}", draw.below(subject.pieces() - 1))
        },
        note: "Without a second read it depends on which of two chunks with one number comes last.",
    },
    RowSpec {
        number: "12b",
        title: "a chunk or file lost between two stages",
        place: "memory of either side",
        threats: &[T2],
        group: Group::Commit,
        from: Level::L2,
        predicted: [Open, Open, Caught, Caught, Caught, Caught, Caught],
        subjects: Subjects::Both,
        draw: |draw, subject| {
            let hop = draw.one_of(&["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"]);
            format!("{hop} {FILE} {} #1 drop", piece(draw, subject))
        },
        note: "",
    },
    RowSpec {
        number: "E",
        title: "an operation of the disk fails",
        place: "any: EIO, ENOSPC, EDQUOT",
        threats: &[T1],
        group: Group::Commit,
        from: Level::L0,
        predicted: [Open, Open, Open, Open, Open, Caught, Caught],
        subjects: Subjects::Both,
        draw: |draw, _| {
            let role = draw.one_of(&["source-read", "allocate", "staging-write", "file-sync", "rename"]);
            let fault = if role == "source-read" { "eio" } else { draw.one_of(&["eio", "enospc", "edquot"]) };
            format!("{role} {FILE} 0 #1 {fault}")
        },
        note: "Told, never passed over. Reserving space for a small file is left out, so that place is not always met.",
    },
];

const BESIDE: [RowSpec; 2] = [
    RowSpec {
        number: "1",
        title: "source wrong on its medium",
        place: "platter of the sender, every read the same",
        threats: &[T1],
        group: Group::NobodyCan,
        from: Level::L0,
        predicted: FROM_RECORD,
        subjects: Subjects::Both,
        draw: |draw, subject| content_at("source-medium", draw, subject),
        note: "Nobody can know without something recorded before: then the receipt says reread, not recorded.",
    },
    RowSpec {
        number: "33",
        title: "rot after the read-back",
        place: "medium of the receiver, after its chunk was read back",
        threats: &[T1],
        group: Group::NobodyCan,
        from: Level::L3,
        predicted: [Open, Open, Open, Silent, Silent, Silent, Silent],
        subjects: Subjects::Both,
        draw: |draw, subject| {
            let piece = piece(draw, subject);
            format!("read-back {FILE} {piece} #1 decay {}.{}", draw.below(subject.piece_bytes(piece)), draw.below(8))
        },
        note: "As rot after the receipt (28): what a later look at the copy is for.",
    },
];

/// All rows that a trial can be drawn for, in the order they are shown.
pub fn rows() -> impl Iterator<Item = &'static RowSpec> {
    CONTENT.iter().chain(&CONTROL).chain(&BESIDE)
}
