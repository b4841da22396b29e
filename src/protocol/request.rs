//! What a receiver that pulls asks of its sender, and what the sender reports back: the **request stream**.
//!
//! It is the first stream of a connection, opened by the receiver; the sender opens the control stream only afterwards,
//! and everything else is as in a push.
//!
//! ```text
//! request   > Request  [> Heard ...]        < Report, Progress ...        (> receiver, < sender)
//! ```
//!
//! Reports are numbered by their order, from 0, over all connections to the same sender. What was not heard when a
//! connection was lost is told again on the next one, and nothing is told twice. **No text of the other side's system
//! crosses the wire**: only numbers for which each side has its own words. Commits are not reported: the receiver made
//! them itself.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::failure::Failure;
use super::limits::{REPORT_PATH_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_WORDS_MAX};

/// What a receiver says on the request stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromPuller {
    /// First.
    #[n(26)]
    Request(#[n(0)] Request),
    /// So many reports were heard, of all there were so far.
    #[n(27)]
    Heard(#[n(0)] u64),
}

/// What a sender says there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToPuller {
    /// The next report.
    #[n(28)]
    Report(#[n(0)] Report),
    /// How far the transfer is; the newest counts.
    #[n(29)]
    Progress(#[n(0)] Progress),
}

/// What is to be sent. Where to is not in it: that is the receiver's own matter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// Minor version of the protocol.
    #[n(0)]
    pub minor: u32,
    /// As that of `Hello`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub proof: [u8; 32],
    /// Reports of this sender that were heard on earlier connections.
    #[n(2)]
    pub heard: u64,
    /// Paths at the sending host, as the person wrote them.
    #[n(3)]
    pub sources: Vec<ByteVec>,
    /// Options that concern the sending side, each a whole word such as `--origin=first-read`.
    #[n(4)]
    pub words: Vec<ByteVec>,
    /// Paths below the one source: nothing else is to be sent of it.
    #[n(5)]
    pub list: Option<ListedPaths>,
}

/// A list of `--files-from`, as the receiver's person gave it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ListedPaths {
    /// All of it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
    /// Paths end with a zero byte and not with the line.
    #[n(1)]
    pub zero: bool,
    /// Directories that it names are entered, with all that is in them.
    #[n(2)]
    pub recursive: bool,
}

impl Request {
    /// Whether this many words of this many bytes fit into one request.
    #[must_use]
    pub fn fits<'a>(words: impl Iterator<Item = &'a [u8]>) -> bool {
        let (mut count, mut bytes) = (0, 0);
        for word in words {
            count += 1;
            bytes += word.len();
        }
        count <= REQUEST_WORDS_MAX && bytes <= REQUEST_BYTES_MAX
    }

    /// Whether it is no larger than a request may be.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        let list = self.list.as_ref().map(|list| list.bytes.as_slice());
        Self::fits(self.sources.iter().chain(&self.words).map(|word| word.as_slice()).chain(list))
    }
}

/// What a sender has to tell.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Report {
    /// A file or directory could not be transferred.
    #[n(0)]
    Failed {
        /// Of the source, as it is shown to people.
        #[cbor(n(0), with = "minicbor::bytes")]
        path: Vec<u8>,
        /// What.
        #[n(1)]
        failure: Failure,
        /// Why, where more is known.
        #[n(2)]
        detail: Option<Detail>,
    },
    /// An entry is of a kind that is not carried, or has a name that is not.
    #[n(1)]
    Skipped {
        /// As above.
        #[cbor(n(0), with = "minicbor::bytes")]
        path: Vec<u8>,
        /// Why, where there are words for it.
        #[n(1)]
        why: Option<Detail>,
    },
    /// The target has the same length and time and was trusted.
    #[n(2)]
    Trusted(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Everything was either committed or told of here.
    #[n(3)]
    Complete,
    /// The request is not served.
    #[n(4)]
    Refused(#[n(0)] Failure),
    /// The source was removed after its copy was receipted.
    #[n(5)]
    SourceRemoved(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// In a dry run: the source would be removed.
    #[n(6)]
    WouldRemoveSource {
        /// As above.
        #[cbor(n(0), with = "minicbor::bytes")]
        path: Vec<u8>,
        /// Its bytes.
        #[n(1)]
        length_bytes: u64,
    },
    /// In a dry run: this would be deleted at the destination.
    #[n(7)]
    WouldDelete(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Something worth knowing that is no failure.
    #[n(8)]
    Notice {
        /// What it is about; empty for the transfer as a whole.
        #[cbor(n(0), with = "minicbor::bytes")]
        path: Vec<u8>,
        /// What.
        #[n(1)]
        words: Detail,
    },
}

impl Report {
    /// Whether it is no larger than a report may be.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        self.path().is_none_or(|path| path.len() <= REPORT_PATH_BYTES_MAX)
    }

    /// What it is about, if it is about one thing.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Failed { path, .. }
            | Self::Skipped { path, .. }
            | Self::Trusted(path)
            | Self::SourceRemoved(path)
            | Self::WouldRemoveSource { path, .. }
            | Self::WouldDelete(path)
            | Self::Notice { path, .. } => Some(path),
            Self::Complete | Self::Refused(_) => None,
        }
    }
}

/// A cause, as a number for which both sides have words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Detail {
    /// An error of the system, by its number (errno).
    #[n(0)]
    System(#[n(0)] i32),
    /// One of [`WORDS`], by its place.
    #[n(1)]
    Words(#[n(0)] u8),
}

/// What this program says about an entry beside its [`Failure`], or why it skipped one. A place is part of the protocol.
pub const WORDS: [&str; 16] = [
    "a symbolic link",
    "a fifo, socket or device",
    "the name of a staging file",
    "setting modes and times of directories",
    "mode and time of the directory",
    "a name is empty",
    "a name is . or ..",
    "a name is too long",
    "a name holds a slash or a zero byte",
    "was changed since its record was made: it is read as a file without one (further such files are not told of)",
    "has a damaged record: it is read as a file without one (further such files are not told of)",
    NOTHING_DELETED,
    "a path of a list may not hold ..",
    "deleting what has no source",
    "trusted by size and time",
    "of the directory",
];
/// After a failure nothing is removed.
pub const NOTHING_DELETED: &str = "nothing was deleted, because not everything was transferred";

impl Detail {
    /// The number of what was told; nothing for words that only this side has.
    #[must_use]
    pub fn of(told: &str) -> Option<Self> {
        if let Some(place) = WORDS.iter().position(|words| *words == told) {
            return u8::try_from(place).ok().map(Self::Words);
        }
        // As the standard library ends the words of a system's error.
        let number = told.strip_suffix(')')?.rsplit_once("(os error ")?.1;
        number.parse().ok().map(Self::System)
    }

    /// This side's words for the number; nothing if it has none.
    #[must_use]
    pub fn words(self) -> Option<String> {
        match self {
            Self::System(number) => Some(std::io::Error::from_raw_os_error(number).to_string()),
            Self::Words(place) => WORDS.get(usize::from(place)).map(|words| (*words).to_owned()),
        }
    }
}

/// How far a sender is: its counters, as `progress::Snapshot` explains them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[expect(missing_docs, reason = "the fields are those of progress::Snapshot and sending::Repairs")]
pub struct Progress {
    #[n(0)]
    pub files_found: u64,
    #[n(1)]
    pub bytes_found: u64,
    #[n(2)]
    pub walk_finished: bool,
    #[n(3)]
    pub files_done: u64,
    #[n(4)]
    pub bytes_done: u64,
    #[n(5)]
    pub checked_bytes: u64,
    #[n(6)]
    pub sent_bytes: u64,
    #[n(7)]
    pub read_back_bytes: u64,
    #[n(8)]
    pub committed_files: u64,
    #[n(9)]
    pub reused_bytes: u64,
    #[n(10)]
    pub repaired_arrival: u64,
    #[n(11)]
    pub repaired_stored: u64,
    #[n(12)]
    pub repaired_source: u64,
    #[n(13)]
    pub repaired_lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{CHECK_BYTES, from_wire, to_wire};

    fn cbor<M: Encode<()>>(message: &M) -> String {
        let wire = to_wire(message);
        data_encoding::HEXLOWER.encode(&wire[4..wire.len() - CHECK_BYTES])
    }

    fn request(sources: &[&[u8]], words: &[&[u8]]) -> Request {
        let list = |words: &[&[u8]]| words.iter().map(|word| word.to_vec().into()).collect();
        Request { minor: 0, proof: [0xab; 32], heard: 300, sources: list(sources), words: list(words), list: None }
    }

    #[test]
    fn golden_bytes_of_the_request_stream() {
        let asked = FromPuller::Request(request(&[b"a/"], &[b"--quick"]));
        let proof = "ab".repeat(32);
        assert_eq!(cbor(&asked), format!("82181a8185005820{proof}19012c8142612f81472d2d717569636b"));
        let list = ListedPaths { bytes: b"x".to_vec(), zero: true, recursive: false };
        let asked = FromPuller::Request(Request { list: Some(list), ..request(&[b"a/"], &[]) });
        assert_eq!(cbor(&asked), format!("82181a8186005820{proof}19012c8142612f80834178f5f4"));
        assert_eq!(cbor(&FromPuller::Heard(7)), "82181b8107");
        let notice = Report::Notice { path: b"a".to_vec(), words: Detail::Words(9) };
        assert_eq!(cbor(&ToPuller::Report(notice)), "82181c8182088241618201 8109".replace(' ', ""));
        let denied =
            Report::Failed { path: b"a".to_vec(), failure: Failure::SourceDenied, detail: Some(Detail::System(13)) };
        assert_eq!(cbor(&ToPuller::Report(denied)), "82181c81820083416114820081 0d".replace(' ', ""));
        assert_eq!(cbor(&ToPuller::Report(Report::Complete)), "82181c81820380");
        let progress = Progress { files_found: 1, walk_finished: true, ..Progress::default() };
        assert_eq!(cbor(&ToPuller::Progress(progress)), "82181d818e0100f50000000000000000000000");
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let messages = [
            Report::Failed { path: vec![0xff; 9], failure: Failure::Garbled, detail: None },
            Report::Skipped { path: b"a".to_vec(), why: Some(Detail::Words(0)) },
            Report::Trusted(b"a/b".to_vec()),
            Report::Refused(Failure::RequestNotUnderstood),
            Report::SourceRemoved(b"a".to_vec()),
            Report::WouldRemoveSource { path: b"a".to_vec(), length_bytes: 7 },
            Report::WouldDelete(b"a".to_vec()),
            Report::Notice { path: Vec::new(), words: Detail::Words(11) },
        ];
        for report in messages {
            let message = ToPuller::Report(report);
            assert_eq!(from_wire::<ToPuller>(&to_wire(&message)[4..]).expect("decodes"), message);
        }
    }

    #[test]
    fn a_cause_crosses_the_wire_as_a_number_and_nothing_else() {
        for words in WORDS {
            assert_eq!(Detail::of(words).and_then(Detail::words).as_deref(), Some(words));
        }
        let denied = std::io::Error::from_raw_os_error(13).to_string();
        assert_eq!(Detail::of(&denied), Some(Detail::System(13)));
        assert_eq!(Detail::System(13).words(), Some(denied));
        for text in ["", "anything", "(os error )", "x (os error 1) y", "\u{1b}[31m"] {
            assert_eq!(Detail::of(text), None, "{text}");
        }
        assert_eq!(Detail::Words(u8::MAX).words(), None);
        assert!(Detail::System(i32::MIN).words().is_some());
    }

    #[test]
    fn d1_requests_and_reports_have_their_limits() {
        let long = vec![b'a'; REQUEST_BYTES_MAX];
        assert!(request(&[&long], &[]).is_within_limits());
        assert!(!request(&[&long], &[b"b"]).is_within_limits());
        let listed = |length| ListedPaths { bytes: vec![b'a'; length], zero: false, recursive: false };
        assert!(Request { list: Some(listed(REQUEST_BYTES_MAX)), ..request(&[], &[]) }.is_within_limits());
        assert!(!Request { list: Some(listed(REQUEST_BYTES_MAX)), ..request(&[b"a"], &[]) }.is_within_limits());
        let many = vec![&b""[..]; REQUEST_WORDS_MAX];
        assert!(request(&many, &[]).is_within_limits());
        assert!(!request(&many, &[b""]).is_within_limits());
        assert!(Report::Trusted(vec![b'a'; REPORT_PATH_BYTES_MAX]).is_within_limits());
        assert!(!Report::Trusted(vec![b'a'; REPORT_PATH_BYTES_MAX + 1]).is_within_limits());
        // The largest of both fit into a message.
        assert!(!to_wire(&FromPuller::Request(request(&[&long], &many))).is_empty());
    }
}
