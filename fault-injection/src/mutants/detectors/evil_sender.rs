//! Claims about the receiver against a sender that was admitted, or wants to be, and says whatever it likes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use careful::connect::ticket::{Ticket, token_proof};
use careful::hash::{PieceHash, Position, Root};
use careful::protocol::entry::{Attributes, DirectoryEntry, DirectoryTable, FileEntry, Name};
use careful::protocol::failure::Failure;
use careful::protocol::limits::MESSAGE_BYTES_MAX;
use careful::protocol::message::{
    Begin, CHECK_BYTES, ChunkHeader, FileAnswer, FromReceiver, FromSender, GroupFile, GroupFileAnswer, Hash32,
    IndexedHash, IndexedOrigin, check_of, frame, to_wire,
};
use careful::protocol::receipt::Origin;
use careful::protocol::terms::Terms;
use careful::receive::RootPolicy;
use careful::seams::os_disk::OsDisk;
use careful::seams::packet::UdpPackets;
use careful::wire::WireError;
use careful::wire::connection::Connection;
use careful::wire::endpoint;
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};

use crate::halves::TOKEN;
use crate::mutants::trial::{Trial, is_empty, run, staging_name};

super::table![
    a_wrong_token_is_refused,
    a_link_in_place_of_a_directory_is_not_entered,
    a_link_in_place_of_a_target_is_refused,
    a_staging_file_with_two_names_is_not_written,
    a_directory_whose_name_is_a_path_is_not_entered,
    special_bits_are_never_set,
    a_name_offered_twice_is_refused,
    a_message_that_is_too_long_ends_its_job,
    a_root_that_was_not_read_back_is_not_committed,
    what_the_commit_does_not_name_is_not_renamed,
    a_wrong_claim_is_not_confirmed,
    a_chunk_of_a_foreign_job_changes_nothing,
    a_chunk_of_a_round_that_never_was_changes_nothing,
];

const CHUNK: usize = 1 << 20;
/// No answer takes longer.
const ANSWER: Duration = Duration::from_secs(10);
/// Chunk streams that a receiver takes at once, and one more: once that many were sent, one of them is dealt with.
const MORE_THAN_AT_ONCE: usize = 17;

/// A sender admitted to the real receiver.
pub(super) struct Sender {
    connection: Connection,
    _control: (Outgoing, Incoming),
    pub(super) terms: Terms,
}

pub(super) struct Job {
    outgoing: Outgoing,
    incoming: Incoming,
    terms: Terms,
    /// What was offered last, as it is named with the commit.
    entries: Vec<Hash32>,
}

async fn greet(ticket: &Ticket, token: &[u8; 16]) -> (Connection, Outgoing, Incoming, Option<FromReceiver>) {
    let key = KeyPair::generate().expect("a key can be made");
    let connection = endpoint::connect(&UdpPackets, &ticket.addresses, &key, &ticket.receiver).await;
    let connection = connection.expect("the receiver listens");
    let (mut outgoing, mut incoming) = connection.open_job().await.expect("a first stream");
    let proof = token_proof(token, &connection.exporter().expect("an exporter"));
    outgoing.send(&FromSender::Hello { minor: 0, proof }).await.expect("a stream that takes a greeting");
    let answer = incoming.receive().await.expect("an answer to a greeting");
    (connection, outgoing, incoming, answer)
}

impl Sender {
    /// A sender in front of a fresh receiver that takes everything into the target directory.
    async fn before(trial: &Trial, replace: bool) -> Self {
        Self::begins(trial, replace, Begin::new([1; 16])).await
    }

    /// The same, that begins with this.
    pub(super) async fn begins(trial: &Trial, replace: bool, begin: Begin) -> Self {
        let root = RootPolicy::Fixed(trial.path("target"));
        let (ticket, _receiving) = trial.receiver(Arc::new(OsDisk), root, replace);
        let (connection, mut outgoing, mut incoming, welcome) = greet(&ticket, &TOKEN).await;
        assert_eq!(welcome, Some(FromReceiver::Welcome { minor: 0 }));
        connection.raise_windows();
        outgoing.send(&FromSender::Begin(begin.clone())).await.expect("a stream that takes messages");
        loop {
            match incoming.receive().await.expect("an answer") {
                Some(FromReceiver::Working) => {}
                Some(FromReceiver::Ready(ready)) => {
                    let terms = Terms::new(&begin, &ready);
                    return Self { connection, _control: (outgoing, incoming), terms };
                }
                other => panic!("not ready: {other:?}"),
            }
        }
    }

    pub(super) async fn job(&self) -> Job {
        let (outgoing, incoming) = self.connection.open_job().await.expect("one more stream");
        Job { outgoing, incoming, terms: self.terms, entries: Vec::new() }
    }
}

impl Job {
    pub(super) async fn say(&mut self, message: FromSender) {
        self.outgoing.send(&message).await.expect("a stream that takes messages");
    }

    async fn heard(&mut self) -> Result<Option<FromReceiver>, WireError> {
        tokio::time::timeout(ANSWER, self.incoming.receive()).await.expect("an answer in time")
    }

    pub(super) async fn hear(&mut self) -> FromReceiver {
        self.heard().await.expect("a stream").expect("a message")
    }

    async fn offer(&mut self, directories: DirectoryTable, files: Vec<GroupFile>) -> Vec<GroupFileAnswer> {
        self.remember(&directories, &files);
        let meant = self.terms.group(&directories, &files);
        self.say(FromSender::OfferGroup { directories, files, meant }).await;
        match self.hear().await {
            FromReceiver::GroupAnswer(answers) => answers,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn remember(&mut self, directories: &DirectoryTable, files: &[GroupFile]) {
        let entry = |FileEntry { directory, name, length_bytes, attributes, labels }: &FileEntry| {
            let path = directories.path_of(*directory, name).expect("a directory of the table");
            self.terms.entry(&path, *length_bytes, *attributes, labels.as_ref())
        };
        self.entries = files.iter().map(|file| entry(&file.entry)).collect();
    }

    async fn pieces(&mut self, pieces: &[&[u8]]) -> FromReceiver {
        let announce = |(index, bytes): (usize, &&[u8])| IndexedHash::new(index as u64, PieceHash(Root::of(bytes).0));
        self.say(FromSender::Pieces(pieces.iter().enumerate().map(announce).collect())).await;
        for bytes in pieces {
            self.outgoing.send_bytes(Bytes::copy_from_slice(bytes)).await.expect("a stream that takes bytes");
        }
        self.hear().await
    }

    async fn commit(&mut self, files: &[(u32, Root)]) -> FromReceiver {
        let named = |&(index, root): &(u32, Root)| {
            let entry = self.entries[index as usize];
            IndexedOrigin { index, root: root.into(), origin: Origin::FirstRead, entry }
        };
        self.say(FromSender::CommitGroup(files.iter().map(named).collect())).await;
        self.hear().await
    }

    /// Offers a large file of two chunks.
    async fn offer_large(&mut self, job: u64) -> FromReceiver {
        let file = file("large", 2 * CHUNK as u64, None).entry;
        let (directories, chunk_bytes) = (DirectoryTable::default(), CHUNK as u32);
        let meant = self.terms.file(job, &directories, &file, chunk_bytes);
        self.say(FromSender::OfferFile { job, directories, file, chunk_bytes, meant }).await;
        self.hear().await
    }

    /// Hashes of the chunks read back, in order, once there are two.
    async fn stored(&mut self) -> [Hash32; 2] {
        let mut found = [None; 2];
        while let [_, None] | [None, _] = found {
            match self.hear().await {
                FromReceiver::Stored { chunks, .. } => {
                    chunks.iter().for_each(|chunk| found[chunk.index as usize] = Some(chunk.hash));
                }
                other => panic!("no report: {other:?}"),
            }
        }
        found.map(|hash| hash.expect("both are there"))
    }
}

fn file(name: &str, length_bytes: u64, root: Option<Root>) -> GroupFile {
    let name = Name::new(name.as_bytes()).expect("a name");
    let entry = FileEntry { directory: None, name, length_bytes, attributes: attributes(0o644), labels: None };
    GroupFile { entry, root: root.map(Into::into) }
}

pub(super) fn attributes(mode: u32) -> Attributes {
    Attributes { mode, modified_seconds: 1_000_000_000, modified_nanoseconds: 0 }
}

fn directory(name: &str) -> DirectoryTable {
    let name = Name::new(name.as_bytes()).expect("a name");
    DirectoryTable::new(vec![DirectoryEntry { parent: None, name, attributes: attributes(0o755) }]).expect("a table")
}

/// Body and header of a chunk of the large file.
fn chunk(job: u64, index: u64, round: u32, filling: u8) -> (ChunkHeader, Bytes) {
    let body = Bytes::from(vec![filling; CHUNK]);
    let hash = PieceHash::of(Position::Chunk { offset_bytes: index * CHUNK as u64 }, &body);
    (ChunkHeader { job, index, length_bytes: CHUNK as u32, round, hash }, body)
}

fn a_wrong_token_is_refused() {
    let trial = Trial::new();
    run(async {
        let (ticket, _receiving) = trial.receiver(Arc::new(OsDisk), RootPolicy::Fixed(trial.path("target")), true);
        let (_connection, _outgoing, _incoming, answer) = greet(&ticket, &[0; 16]).await;
        assert_eq!(answer, Some(FromReceiver::Refused(Failure::NotAdmitted)));
    });
}

fn a_link_in_place_of_a_directory_is_not_entered() {
    let trial = Trial::new();
    symlink(trial.path("outside"), trial.path("target/door")).expect("a link can be made");
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let mut through = file("new", 1, Some(Root::of(b"x")));
        through.entry.directory = Some(0);
        let answers = job.offer(directory("door"), vec![through]).await;
        if answers == [GroupFileAnswer::Send] {
            job.pieces(&[b"x"]).await;
            job.commit(&[(0, Root::of(b"x"))]).await;
        }
        trial.assert_outside_is_untouched();
        assert_eq!(answers, [GroupFileAnswer::Refused(Failure::NotADirectory)]);
    });
}

fn a_link_in_place_of_a_target_is_refused() {
    let trial = Trial::new();
    symlink(trial.path("outside/kept"), trial.path("target/file")).expect("a link can be made");
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let answers = job.offer(DirectoryTable::default(), vec![file("file", 1, Some(Root::of(b"x")))]).await;
        assert_eq!(answers, [GroupFileAnswer::Refused(Failure::TargetNotRegular)]);
    });
    trial.assert_outside_is_untouched();
}

fn a_staging_file_with_two_names_is_not_written() {
    let trial = Trial::new();
    let staging = trial.path("target").join(staging_name("file"));
    fs::hard_link(trial.path("outside/kept"), staging).expect("a second name can be made");
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let answers = job.offer(DirectoryTable::default(), vec![file("file", 1, Some(Root::of(b"x")))]).await;
        if answers == [GroupFileAnswer::Send] {
            job.pieces(&[b"x"]).await;
        }
        trial.assert_outside_is_untouched();
        assert_eq!(answers, [GroupFileAnswer::Refused(Failure::StagingUnusable)]);
    });
}

/// The message by hand: the program's own types cannot hold such a name.
fn a_directory_whose_name_is_a_path_is_not_entered() {
    const PLACEHOLDER: &str = "xx_outside";
    const PATH: &[u8] = b"../outside";
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let mut through = file("new", 1, Some(Root::of(b"x")));
        through.entry.directory = Some(0);
        let with_path = |mut cbor: Vec<u8>| {
            let place = cbor.windows(PATH.len()).position(|window| window == PLACEHOLDER.as_bytes());
            let place = place.expect("the name is in it");
            cbor[place..place + PATH.len()].copy_from_slice(PATH);
            cbor
        };
        let (directories, files) = (directory(PLACEHOLDER), vec![through]);
        let meant = with_path(minicbor::to_vec((job.terms, &directories, &files)).expect("encoding cannot fail"));
        let meant = Root::of(&[&b"careful group, version 1\0"[..], &meant].concat()).into();
        let wire = to_wire(&FromSender::OfferGroup { directories, files, meant });
        let cbor = with_path(wire[4..wire.len() - CHECK_BYTES].to_vec());
        job.entries = vec![job.terms.entry(&[PATH, b"/new"].concat(), 1, attributes(0o644), None)];
        job.outgoing.send_bytes(frame(&cbor, check_of(&cbor)).into()).await.expect("a stream that takes bytes");
        if let Ok(Some(FromReceiver::GroupAnswer(answers))) = job.heard().await
            && answers == [GroupFileAnswer::Send]
        {
            job.pieces(&[b"x"]).await;
            job.commit(&[(0, Root::of(b"x"))]).await;
        }
    });
    trial.assert_outside_is_untouched();
    assert!(is_empty(&trial.path("target")));
}

fn special_bits_are_never_set() {
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let mut evil = file("file", 1, Some(Root::of(b"x")));
        evil.entry.attributes = attributes(0o107_777);
        job.offer(DirectoryTable::default(), vec![evil]).await;
        job.pieces(&[b"x"]).await;
        job.commit(&[(0, Root::of(b"x"))]).await;
    });
    let mode = fs::symlink_metadata(trial.path("target/file")).expect("a committed file").permissions().mode();
    assert_eq!(mode & 0o7000, 0, "mode {mode:o}");
}

fn a_name_offered_twice_is_refused() {
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let twice = ["file", "file"].map(|name| file(name, 1, None)).to_vec();
        let answers = job.offer(DirectoryTable::default(), twice).await;
        assert_eq!(answers, [GroupFileAnswer::Send, GroupFileAnswer::Refused(Failure::SameTarget)]);
    });
}

fn a_message_that_is_too_long_ends_its_job() {
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let [low, middle, high, _] = u32::try_from(MESSAGE_BYTES_MAX + 1).expect("a short number").to_le_bytes();
        // The fourth byte gives 0xff with the others by exclusive or.
        let too_long = [low, middle, high, low ^ middle ^ high ^ 0xff];
        job.outgoing.send_bytes(Bytes::copy_from_slice(&too_long)).await.expect("a stream that takes bytes");
        let heard = job.heard().await;
        assert!(matches!(heard, Ok(None) | Err(_)), "{heard:?}");
    });
}

fn a_root_that_was_not_read_back_is_not_committed() {
    let trial = Trial::new();
    let mut almost = Root::of(b"x");
    almost.0[31] ^= 1;
    for wrong in [almost, Root::of(b"y")] {
        run(async {
            let sender = Sender::before(&trial, true).await;
            let mut job = sender.job().await;
            job.offer(DirectoryTable::default(), vec![file("file", 1, Some(Root::of(b"x")))]).await;
            job.pieces(&[b"x"]).await;
            let answer = job.commit(&[(0, wrong)]).await;
            let is_receipt = matches!(&answer, FromReceiver::GroupReceipt { files, .. } if !files.is_empty());
            assert!(!is_receipt, "a receipt for another root: {answer:?}");
        });
        assert!(is_empty(&trial.path("target")), "something was renamed, or left over");
    }
}

fn what_the_commit_does_not_name_is_not_renamed() {
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        let both = ["named", "other"].map(|name| file(name, 1, Some(Root::of(b"x")))).to_vec();
        job.offer(DirectoryTable::default(), both).await;
        job.pieces(&[b"x", b"x"]).await;
        job.commit(&[(0, Root::of(b"x"))]).await;
    });
    assert_eq!(trial.read("target/named").as_deref(), Some(&b"x"[..]));
    assert_eq!(trial.read("target/other"), None, "renamed without a word");
}

fn a_wrong_claim_is_not_confirmed() {
    let trial = Trial::new();
    trial.write("target/large", &vec![1; 2 * CHUNK]);
    run(async {
        let sender = Sender::before(&trial, false).await;
        let mut job = sender.job().await;
        assert_eq!(job.offer_large(1).await, FromReceiver::FileAnswer(FileAnswer::Claim));
        job.say(FromSender::Claim([0; 32])).await;
        assert_eq!(job.hear().await, FromReceiver::Refused(Failure::TargetExists));
    });
}

/// Sends a chunk with other bytes under this job and round, and when that is dealt with the right ones.
#[track_caller]
fn changes_nothing(job_number: u64, round: u32) {
    let trial = Trial::new();
    run(async {
        let sender = Sender::before(&trial, true).await;
        let mut job = sender.job().await;
        assert_eq!(job.offer_large(3).await, FromReceiver::FileAnswer(FileAnswer::Send));
        let (foreign, body) = chunk(job_number, 0, round, 9);
        for _ in 0..MORE_THAN_AT_ONCE {
            // It may be refused while it is sent.
            sender.connection.send_chunk(foreign, body.clone()).await.ok();
        }
        let right = [chunk(3, 0, 0, 1), chunk(3, 1, 0, 2)];
        for (header, body) in right.clone() {
            sender.connection.send_chunk(header, body).await.expect("a stream for a chunk");
        }
        assert_eq!(job.stored().await, right.map(|(header, _)| Hash32(header.hash.0)), "a foreign chunk was taken");
    });
}

fn a_chunk_of_a_foreign_job_changes_nothing() {
    changes_nothing(4, 0);
}

fn a_chunk_of_a_round_that_never_was_changes_nothing() {
    changes_nothing(3, u32::MAX);
}
