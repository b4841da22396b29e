//! A sender that was admitted and then says whatever it likes, against the real receiver.
//!
//! Nothing outside the receiver's directory is ever touched, nothing unproven gets a final name, and the receiver neither
//! crashes nor hangs.

#![expect(clippy::disallowed_methods, reason = "looks at the disk past the program's own door")]
#![expect(clippy::unwrap_used, reason = "a set-up that fails is a failed test")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use careful::connect::ticket::{Ticket, token_proof};
use careful::hash::{PieceHash, Position, Root};
use careful::protocol::dry_run::Would;
use careful::protocol::entry::{Attributes, DirectoryEntry, DirectoryTable, FileEntry, Name};
use careful::protocol::failure::Failure;
use careful::protocol::hard_link::{FurtherName, LinkedContent, LinkedFile};
use careful::protocol::keep::Keep;
use careful::protocol::limits::{GREETING_TIMEOUT, GROUPS_MEMORY_BYTES, PRUNE_NAMES_MAX, RULES_MAX, STALL_TIMEOUT};
use careful::protocol::link::{LinkEntry, LinkTarget};
use careful::protocol::message::{
    Begin, ChunkHeader, FileAnswer, FromReceiver, FromSender, GroupFile, GroupFileAnswer, Hash32, IndexedHash,
    IndexedOrigin, KeptNames, Pattern, Prune, Run, check_of, frame,
};
use careful::protocol::receipt::Origin;
use careful::protocol::terms::Terms;
use careful::seams::packet::UdpPackets;
use careful::wire::WireError;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::endpoint;
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};

const CHUNK: usize = 1 << 20;

/// A listening receiver, and beside its directory one that it must never touch.
struct Receiver {
    place: tempfile::TempDir,
    process: Child,
    ticket: Ticket,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Receiver {
    fn start(options: &[&str]) -> Self {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(place.path().join("inbox")).unwrap();
        std::fs::create_dir(place.path().join("outside")).unwrap();
        std::fs::write(place.path().join("outside/kept"), "as it was").unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_careful-recv"))
            .args(["--listen", "127.0.0.1:0"])
            .arg(place.path().join("inbox"))
            .args(options)
            .env("XDG_STATE_HOME", place.path().join("state"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ticket = line.trim().parse().unwrap();
        Self { place, process, ticket }
    }

    fn inbox(&self) -> PathBuf {
        self.place.path().join("inbox")
    }

    async fn connect(&self) -> Sender {
        let key = KeyPair::generate().unwrap();
        let connection = endpoint::connect(&UdpPackets, &self.ticket.addresses, &key, &self.ticket.receiver).await;
        let connection = connection.unwrap();
        let (mut outgoing, mut incoming) = connection.open_job().await.unwrap();
        let proof = token_proof(&self.ticket.token, &connection.exporter().unwrap());
        outgoing.send(&FromSender::Hello { minor: 0, proof }).await.unwrap();
        let welcome: Option<FromReceiver> = incoming.receive().await.unwrap();
        assert_eq!(welcome, Some(FromReceiver::Welcome { minor: 0 }));
        connection.raise_windows();
        Sender { connection, control: (outgoing, incoming), terms: None }
    }

    async fn begin(&self) -> Sender {
        self.begin_with(begin()).await
    }

    async fn begin_with(&self, begin: Begin) -> Sender {
        let mut sender = self.connect().await;
        sender.control.0.send(&FromSender::Begin(begin.clone())).await.unwrap();
        loop {
            match sender.control.1.receive().await.unwrap() {
                Some(FromReceiver::Working) => {}
                Some(FromReceiver::Ready(ready)) => {
                    sender.terms = Some(Terms::new(&begin, &ready));
                    return sender;
                }
                other => panic!("not ready: {other:?}"),
            }
        }
    }

    /// What every test ends with: outside untouched, the receiver alive and of use to the honest.
    async fn check(&self, sender: Sender) {
        let outside = self.place.path().join("outside");
        let names: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
        assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "as it was");
        let bytes = b"honest";
        let mut job = sender.job().await;
        job.offer_group(vec![file("honest", bytes.len() as u64, Some(Root::of(bytes)))]).await;
        job.pieces(&[(0, bytes)]).await;
        job.commit(&[(0, Root::of(bytes))]).await;
        assert!(matches!(job.hear().await, FromReceiver::GroupReceipt { .. }));
        assert_eq!(std::fs::read(self.inbox().join("honest")).unwrap(), bytes);
    }
}

struct Sender {
    connection: Connection,
    control: (Outgoing, Incoming),
    /// Once the receiver said that it is ready.
    terms: Option<Terms>,
}

/// The last holds what was offered, as it is named with the commit.
struct Job(Outgoing, Incoming, Option<Terms>, Vec<Hash32>);

impl Sender {
    async fn job(&self) -> Job {
        let (outgoing, incoming) = self.connection.open_job().await.unwrap();
        Job(outgoing, incoming, self.terms, Vec::new())
    }
}

impl Job {
    async fn say(&mut self, message: FromSender) {
        self.0.send(&message).await.unwrap();
    }

    async fn hear(&mut self) -> FromReceiver {
        let heard = tokio::time::timeout(Duration::from_secs(20), self.1.receive()).await;
        heard.expect("an answer in time").expect("a stream").expect("a message")
    }

    async fn offer_group(&mut self, files: Vec<GroupFile>) -> Vec<GroupFileAnswer> {
        self.offer_group_in(DirectoryTable::default(), files).await
    }

    async fn offer_group_in(&mut self, directories: DirectoryTable, files: Vec<GroupFile>) -> Vec<GroupFileAnswer> {
        if let Some(terms) = self.2 {
            let entry = |FileEntry { directory, name, length_bytes, attributes, labels }: &FileEntry| {
                let path = directories.path_of(*directory, name).unwrap_or_default();
                terms.entry(&path, *length_bytes, *attributes, labels.as_ref())
            };
            self.3 = files.iter().map(|file| entry(&file.entry)).collect();
        }
        let meant = self.2.map_or(Hash32([0; 32]), |terms| terms.group(&directories, &files));
        self.say(FromSender::OfferGroup { directories, files, meant }).await;
        match self.hear().await {
            FromReceiver::GroupAnswer(answers) => answers,
            other => panic!("no answer: {other:?}"),
        }
    }

    async fn pieces(&mut self, pieces: &[(u64, &[u8])]) -> FromReceiver {
        let announce = |(index, bytes): &(u64, &[u8])| IndexedHash::new(*index, PieceHash(Root::of(bytes).0));
        self.say(FromSender::Pieces(pieces.iter().map(announce).collect())).await;
        for (_, bytes) in pieces {
            self.0.send_bytes(Bytes::copy_from_slice(bytes)).await.unwrap();
        }
        self.hear().await
    }

    async fn commit(&mut self, files: &[(u32, Root)]) {
        let named = |(index, root): &(u32, Root)| IndexedOrigin {
            index: *index,
            root: Hash32(root.0),
            origin: Origin::FirstRead,
            entry: self.3[*index as usize],
        };
        self.say(FromSender::CommitGroup(files.iter().map(named).collect())).await;
    }

    async fn finish(&mut self, directories: DirectoryTable) {
        let meant = self.2.map_or(Hash32([0; 32]), |terms| terms.page(&directories, &[]));
        self.say(FromSender::FinishDirectories { directories, meant, labels: Vec::new() }).await;
    }

    async fn prune(&mut self, directories: DirectoryTable, kept: Vec<u64>) -> FromReceiver {
        let directory = (!directories.entries().is_empty()).then_some(0);
        let kept = vec![KeptNames { directory, first: 0, last: u64::MAX, hashes: kept }];
        let prune = Prune { directories, kept, remove: true };
        let meant = self.2.map_or(Hash32([0; 32]), |terms| terms.prune(&prune));
        self.say(FromSender::Prune { prune, meant }).await;
        self.hear().await
    }

    async fn offer_file(&mut self, job: u64, length_bytes: u64, chunk_bytes: u32) -> FromReceiver {
        let file = file("large", length_bytes, None).entry;
        let directories = DirectoryTable::default();
        let meant = self.2.map_or(Hash32([0; 32]), |terms| terms.file(job, &directories, &file, chunk_bytes));
        self.say(FromSender::OfferFile { job, directories, file, chunk_bytes, meant }).await;
        self.hear().await
    }
}

fn begin() -> Begin {
    Begin::new([1; 16])
}

fn attributes(mode: u32) -> Attributes {
    Attributes { mode, modified_seconds: 1_000_000_000, modified_nanoseconds: 0 }
}

fn file(name: &str, length_bytes: u64, root: Option<Root>) -> GroupFile {
    let name = Name::new(name.as_bytes()).unwrap();
    let entry = FileEntry { directory: None, name, length_bytes, attributes: attributes(0o644), labels: None };
    GroupFile { entry, root: root.map(Into::into) }
}

fn directory(name: &str) -> DirectoryTable {
    let name = Name::new(name.as_bytes()).unwrap();
    DirectoryTable::new(vec![DirectoryEntry { parent: None, name, attributes: attributes(0o755) }]).unwrap()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_below_the_directory_is_never_followed_to_write_or_to_make_anything() {
    let receiver = Receiver::start(&["--replace"]);
    let outside = receiver.place.path().join("outside");
    symlink(&outside, receiver.inbox().join("door")).unwrap();
    symlink(outside.join("kept"), receiver.inbox().join("file")).unwrap();
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    let mut through = file("new", 1, Some(Root::of(b"x")));
    through.entry.directory = Some(0);
    let answers = job.offer_group_in(directory("door"), vec![through, file("file", 1, Some(Root::of(b"x")))]).await;
    assert_eq!(answers[0], GroupFileAnswer::Refused(Failure::NotADirectory));
    assert_eq!(answers[1], GroupFileAnswer::Refused(Failure::TargetNotRegular));
    let mut job = sender.job().await;
    job.finish(directory("door")).await;
    assert!(matches!(job.hear().await, FromReceiver::Finished(failed) if failed.len() == 1));
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_name_that_is_a_link_or_linked_twice_is_not_written_through() {
    let receiver = Receiver::start(&["--replace"]);
    let outside = receiver.place.path().join("outside/kept");
    let staging = |name: &str| receiver.inbox().join(Name::new(name.as_bytes()).unwrap().staging());
    symlink(&outside, staging("a")).unwrap();
    std::fs::hard_link(&outside, staging("b")).unwrap();
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    let root = Some(Root::of(b"x"));
    let answers = job.offer_group(vec![file("a", 1, root), file("b", 1, root)]).await;
    let refused = GroupFileAnswer::Refused(Failure::StagingUnusable);
    assert_eq!(answers, [refused, refused]);
    std::fs::remove_file(staging("b")).unwrap();
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_paths_end_their_job_and_nothing_else() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    for name in [&b"../outside/new"[..], b"..", b"/etc/new", b"", b"a/b", b".careful-0123456789abcdef-x"] {
        let mut job = sender.job().await;
        // The message by hand: the program's own types cannot hold such a name.
        let mut body = Vec::new();
        let mut encoder = minicbor::Encoder::new(&mut body);
        encoder.array(2).unwrap().u8(4).unwrap().array(2).unwrap().array(0).unwrap().array(1).unwrap();
        encoder.array(2).unwrap().array(4).unwrap().null().unwrap().bytes(name).unwrap().u8(1).unwrap();
        encoder.array(3).unwrap().u32(0o644).unwrap().u8(0).unwrap().u8(0).unwrap().null().unwrap();
        job.0.send_bytes(frame(&body, check_of(&body)).into()).await.unwrap();
        let heard: Result<Option<FromReceiver>, _> = job.1.receive().await;
        assert!(matches!(heard, Err(_) | Ok(None | Some(FromReceiver::Refused(_)))), "{name:?}: {heard:?}");
    }
    assert!(is_empty(&receiver.inbox()));
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_that_was_not_read_back_equal() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let root = Root::of(b"x");
    let mut job = sender.job().await;
    job.offer_group(vec![file("never-sent", 1, Some(root)), file("other-root", 1, Some(root))]).await;
    job.pieces(&[(1, b"x")]).await;
    job.commit(&[(0, root), (1, Root::of(b"y")), (1, root)]).await;
    let FromReceiver::GroupReceipt { files, failed, .. } = job.hear().await else { panic!("no receipt") };
    assert!(files.is_empty());
    assert_eq!(failed.len(), 3);
    assert!(is_empty(&receiver.inbox()), "nothing is left over");
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_hash_to_what_was_announced_are_asked_for_again() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    job.offer_group(vec![file("a", 1, Some(Root::of(b"x")))]).await;
    job.say(FromSender::Pieces(vec![IndexedHash::new(0, PieceHash(Root::of(b"x").0))])).await;
    job.0.send_bytes(Bytes::from_static(b"y")).await.unwrap();
    let FromReceiver::GroupStored { stored, bad, .. } = job.hear().await else { panic!("no report") };
    assert!(stored.is_empty());
    assert_eq!(bad, [0]);
    receiver.check(sender).await;
}

/// Offers a group of four files of 1 MiB, each of which holds the same.
async fn offer_four(sender: &Sender, group: usize, content: &[u8]) -> Job {
    let mut job = sender.job().await;
    let root = Some(Root::of(content));
    let name = |number| format!("group-{group}-file-{number}");
    let files = (0..4).map(|number| file(&name(number), content.len() as u64, root)).collect();
    assert_eq!(job.offer_group(files).await, [GroupFileAnswer::Send; 4]);
    job
}

fn assert_stored(heard: FromReceiver, count: usize) {
    let FromReceiver::GroupStored { stored, bad, failed } = heard else { panic!("no report") };
    assert_eq!((stored.len(), bad.len(), failed.len()), (count, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_wait_for_their_commit_keep_no_memory_from_others() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let content = vec![1; CHUNK];
    let fit = GROUPS_MEMORY_BYTES / (4 * CHUNK);
    let mut jobs = Vec::new();
    for group in 0..fit {
        jobs.push(offer_four(&sender, group, &content).await);
    }
    // No further group is answered before some of what was offered came; and none of it is ever committed.
    for job in &mut jobs[..2] {
        assert_stored(job.pieces(&[0, 1, 2, 3].map(|index| (index, &content[..]))).await, 4);
    }
    let mut further = offer_four(&sender, fit, &content).await;
    assert_stored(further.pieces(&[(0, &content)]).await, 1);
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_group_that_comes_again_finds_room_in_portions() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let content = vec![1; CHUNK];
    let mut job = offer_four(&sender, 0, &content).await;
    let all = [0, 1, 2, 3].map(|index| (index, &content[..]));
    for _ in 0..3 {
        assert_stored(job.pieces(&all).await, 4);
    }
    job.commit(&[0, 1, 2, 3].map(|index| (index, Root::of(&content)))).await;
    let FromReceiver::GroupReceipt { files, .. } = job.hear().await else { panic!("no receipt") };
    assert_eq!(files.len(), 4);
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_counts_and_indices_out_of_bounds_are_refused() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let million = 1 << 20;
    for (length, chunk_bytes) in [
        (u64::MAX, 1 << 20),
        (5 * million * million, 4 << 20),
        (1, 1 << 20),
        (million, 1 << 20),
        (3 * million, 0),
        (3 * million, 1),
        (3 * million, 1 << 10),
        (3 * million, 32 << 10),
        (3 * million, (64 << 10) - 1),
        (million, 64 << 10),
        (3 * million, 3 << 20),
        (64 * million, 8 << 20),
    ] {
        let mut job = sender.job().await;
        let answer = job.offer_file(1, length, chunk_bytes).await;
        assert!(matches!(answer, FromReceiver::Refused(_)), "{length} {chunk_bytes}: {answer:?}");
    }
    let mut job = sender.job().await;
    let large = (0..5).map(|number| file(&format!("f{number}"), million, None)).collect();
    assert_eq!(job.offer_group(large).await.len(), 5, "five files of a chunk each are just allowed");
    let too_many =
        vec![vec![file("f", million + 1, None)], (0..257).map(|n| file(&format!("f{n}"), 0, None)).collect()];
    for files in too_many {
        let mut job = sender.job().await;
        let directories = DirectoryTable::default();
        let meant = job.2.map_or(Hash32([0; 32]), |terms| terms.group(&directories, &files));
        job.say(FromSender::OfferGroup { directories, files, meant }).await;
        assert_eq!(job.hear().await, FromReceiver::Refused(Failure::Protocol));
    }
    let mut job = sender.job().await;
    job.offer_group(vec![file("a", 1, None)]).await;
    job.say(FromSender::Pieces(vec![IndexedHash::new(7, PieceHash([0; 32]))])).await;
    assert_eq!(job.hear().await, FromReceiver::Refused(Failure::Protocol));
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_out_of_place_change_nothing() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    let answer = job.offer_file(3, 2 * CHUNK as u64, CHUNK as u32).await;
    assert_eq!(answer, FromReceiver::FileAnswer(FileAnswer::Send));
    let body = Bytes::from(vec![7; CHUNK]);
    let hash = PieceHash::of(Position::Chunk { offset_bytes: 0 }, &body);
    let header = ChunkHeader { job: 3, index: 0, length_bytes: CHUNK as u32, round: 0, hash };
    // An index outside, a job that is not there, a round that never was, and the right chunk twice.
    for header in [
        ChunkHeader { index: 2, ..header },
        ChunkHeader { index: u64::MAX, ..header },
        ChunkHeader { job: 4, ..header },
        ChunkHeader { round: u32::MAX, ..header },
        header,
        header,
    ] {
        sender.connection.send_chunk(header, body.clone()).await.ok();
    }
    job.say(FromSender::Keep(Run { first: u64::MAX, count: 2 })).await;
    assert_eq!(job.hear().await, FromReceiver::Refused(Failure::Protocol));
    assert!(!receiver.inbox().join("large").exists());
    for name in std::fs::read_dir(receiver.inbox()).unwrap() {
        std::fs::remove_file(name.unwrap().path()).unwrap();
    }
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_before_the_bytes_are_there_commits_nothing() {
    let receiver = Receiver::start(&[]);
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    job.offer_file(3, 2 * CHUNK as u64, CHUNK as u32).await;
    job.say(FromSender::CommitFile { root: [0; 32], origin: Origin::Reread, entry: Hash32([0; 32]) }).await;
    job.say(FromSender::GiveUp(Failure::SourceIo)).await;
    let end: Option<FromReceiver> = job.1.receive().await.unwrap();
    assert_eq!(end, None, "no receipt");
    assert!(!receiver.inbox().join("large").exists());
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_not_replaced_or_revealed_without_the_receivers_leave() {
    let receiver = Receiver::start(&[]);
    std::fs::write(receiver.inbox().join("a"), "old").unwrap();
    std::fs::write(receiver.inbox().join("large"), vec![1; 2 * CHUNK]).unwrap();
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    let answers = job.offer_group(vec![file("a", 3, Some(Root::of(b"new"))), file("a", 3, None)]).await;
    assert_eq!(answers[0], GroupFileAnswer::Refused(Failure::TargetExists));
    assert!(matches!(answers[1], GroupFileAnswer::Refused(_)));
    let mut job = sender.job().await;
    let answer = job.offer_file(1, 2 * CHUNK as u64, CHUNK as u32).await;
    assert_eq!(answer, FromReceiver::FileAnswer(FileAnswer::Claim), "no hash is told before one was claimed");
    job.say(FromSender::Claim([0; 32])).await;
    assert_eq!(job.hear().await, FromReceiver::Refused(Failure::TargetExists));
    assert_eq!(std::fs::read_to_string(receiver.inbox().join("a")).unwrap(), "old");
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suid_and_its_like_are_never_set_and_the_destinations_own_mode_stays() {
    use std::os::unix::fs::PermissionsExt;
    let receiver = Receiver::start(&[]);
    let before = std::fs::metadata(receiver.inbox()).unwrap().permissions().mode();
    let sender = receiver.begin().await;
    let mut job = sender.job().await;
    let mut evil = file("evil", 1, Some(Root::of(b"x")));
    evil.entry.attributes = attributes(0o107_777);
    job.offer_group(vec![evil]).await;
    job.pieces(&[(0, b"x")]).await;
    job.commit(&[(0, Root::of(b"x"))]).await;
    assert!(matches!(job.hear().await, FromReceiver::GroupReceipt { .. }));
    let mode = std::fs::metadata(receiver.inbox().join("evil")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7000, 0);
    assert_eq!(std::fs::metadata(receiver.inbox()).unwrap().permissions().mode(), before);
    receiver.check(sender).await;
}

/// The answer to an offer of these links below a directory that the offer makes.
async fn offer_links(sender: &Sender, links: Vec<LinkEntry>) -> FromReceiver {
    let mut job = sender.job().await;
    let directory = DirectoryEntry { parent: None, name: Name::new(b"d").unwrap(), attributes: attributes(0o755) };
    let directories = DirectoryTable::new(vec![directory]).unwrap();
    let meant = sender.terms.unwrap().links(&directories, &links);
    job.say(FromSender::OfferLinks { directories, links, meant }).await;
    job.hear().await
}

fn link(directory: Option<u32>, name: &str, target: &str) -> LinkEntry {
    let (name, target) = (Name::new(name.as_bytes()).unwrap(), LinkTarget::new(target.as_bytes()).unwrap());
    LinkEntry { directory, name, target, attributes: attributes(0o777), labels: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_not_asked_for_or_is_not_allowed_is_not_made() {
    for (options, keep) in [(&[][..], Keep::ALL), (&["--accept", "outside-links"], Keep::default())] {
        let receiver = Receiver::start(options);
        let sender = receiver.begin_with(Begin { keep, ..begin() }).await;
        let answer = offer_links(&sender, vec![link(Some(0), "link", "file")]).await;
        assert_eq!(answer, FromReceiver::Refused(Failure::LinkNotAccepted));
        assert!(receiver.inbox().join("d/link").symlink_metadata().is_err());
        receiver.check(sender).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_directory_under_bad_numbers_and_in_too_great_a_number_are_refused() {
    let receiver = Receiver::start(&["--accept", "links", "--replace"]);
    let sender = receiver.begin_with(Begin { keep: Keep::ALL, ..begin() }).await;
    let outside = receiver.place.path().join("outside").into_os_string().into_string().unwrap();
    let hostile = ["/", &outside, "../../outside", "..//../outside", "./.././../outside", "x/../../../outside", "x/.."];
    let links: Vec<_> = hostile.iter().enumerate().map(|(at, to)| link(Some(0), &at.to_string(), to)).collect();
    let FromReceiver::LinksMade { made, failed, .. } = offer_links(&sender, links).await else { panic!("refused") };
    assert!(made.is_empty());
    assert!(failed.iter().all(|failed| failed.failure == Failure::LinkLeadsOutside), "{failed:?}");
    assert_eq!(failed.len(), hostile.len());
    assert_eq!(std::fs::read_dir(receiver.inbox().join("d")).unwrap().count(), 0);

    let answer = offer_links(&sender, vec![link(Some(7), "link", "file")]).await;
    assert!(matches!(answer, FromReceiver::LinksMade { made, failed, .. } if made.is_empty() && failed.len() == 1));
    let many = (0..513).map(|at| link(None, &at.to_string(), "x")).collect();
    assert_eq!(offer_links(&sender, many).await, FromReceiver::Refused(Failure::Protocol));
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_through_a_link_of_the_same_transfer() {
    let receiver = Receiver::start(&["--accept", "outside-links", "--replace"]);
    let sender = receiver.begin_with(Begin { keep: Keep::ALL, ..begin() }).await;
    let links = vec![link(None, "to-directory", "../outside"), link(None, "to-file", "../outside/kept")];
    assert!(matches!(offer_links(&sender, links).await, FromReceiver::LinksMade { .. }));
    assert!(receiver.inbox().join("to-file").symlink_metadata().unwrap().is_symlink());

    let directory =
        DirectoryEntry { parent: None, name: Name::new(b"to-directory").unwrap(), attributes: attributes(0o700) };
    let directories = DirectoryTable::new(vec![directory]).unwrap();
    let mut through = file("kept", 1, None);
    through.entry.directory = Some(0);
    let answers = sender.job().await.offer_group_in(directories.clone(), vec![through, file("to-file", 1, None)]).await;
    let refused = [Failure::NotADirectory, Failure::TargetNotRegular].map(GroupFileAnswer::Refused);
    assert_eq!(answers, refused);

    let mut job = sender.job().await;
    let meant = sender.terms.unwrap().page(&directories, &[]);
    job.say(FromSender::FinishDirectories { directories, meant, labels: Vec::new() }).await;
    assert!(matches!(job.hear().await, FromReceiver::Finished(failed) if failed.len() == 1));
    receiver.check(sender).await;
}

/// A file that is there, as a sender names it that wants another name for it.
fn linked(directory: Option<u32>, name: &str, bytes: &[u8], names: &[(Option<u32>, &str)]) -> LinkedFile {
    let name_of = |name: &str| Name::new(name.as_bytes()).unwrap();
    LinkedFile {
        directory,
        name: name_of(name),
        length_bytes: bytes.len() as u64,
        attributes: attributes(0o644),
        content: Some(LinkedContent { root: Root::of(bytes).into(), origin: Origin::FirstRead }),
        names: names.iter().map(|&(directory, name)| FurtherName { directory, name: name_of(name) }).collect(),
    }
}

async fn offer_names(sender: &Sender, directories: DirectoryTable, files: Vec<LinkedFile>) -> FromReceiver {
    let mut job = sender.job().await;
    let meant = sender.terms.unwrap().hard_links(&directories, &files);
    job.say(FromSender::OfferHardLinks { directories, files, meant }).await;
    job.hear().await
}

/// Number and failure of each name that was not made, and how many were.
fn names_failed(answer: FromReceiver) -> (usize, Vec<(u32, Failure)>) {
    let FromReceiver::HardLinksMade { made, trusted, failed, .. } = answer else { panic!("refused: {answer:?}") };
    assert!(trusted.is_empty());
    (made.len(), failed.into_iter().map(|failed| (failed.index, failed.failure)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_to_no_file_but_one_that_the_sender_knows() {
    let receiver = Receiver::start(&["--replace"]);
    let inbox = receiver.inbox();
    std::fs::write(inbox.join("own"), "theirs").unwrap();
    symlink(receiver.place.path().join("outside/kept"), inbox.join("door")).unwrap();
    symlink(receiver.place.path().join("outside"), inbox.join("out")).unwrap();
    let sender = receiver.begin_with(Begin { keep: Keep::ALL, ..begin() }).await;
    let directories = DirectoryTable::new([directory("d").entries(), directory("out").entries()].concat()).unwrap();
    let files = vec![
        // Not there, a directory, links to a file and into a directory, behind a number that is none, and not as was said.
        linked(None, "nothing", b"theirs", &[(None, "0")]),
        linked(None, "d", b"theirs", &[(None, "1")]),
        linked(None, "door", b"as it was", &[(None, "2")]),
        linked(Some(1), "kept", b"as it was", &[(None, "3")]),
        linked(Some(7), "own", b"theirs", &[(None, "4")]),
        linked(None, "own", b"THEIRS", &[(None, "5")]),
        linked(None, "own", b"theirs and more", &[(None, "6")]),
        // A name that comes later, and places that are none for a name.
        linked(None, "9", b"theirs", &[(None, "7")]),
        linked(None, "own", b"theirs", &[(None, "door"), (None, "9"), (None, "d"), (Some(7), "x"), (Some(1), "x")]),
        // A name of a name is one of its file.
        linked(None, "9", b"theirs", &[(Some(0), "13"), (None, "9")]),
    ];
    let (made, failed) = names_failed(offer_names(&sender, directories, files).await);
    use Failure::{LinkedFileChanged, NotADirectory, Protocol, TargetNotRegular};
    let expected = [
        (0, LinkedFileChanged),
        (1, TargetNotRegular),
        (2, TargetNotRegular),
        (3, NotADirectory),
        (4, Protocol),
        (5, LinkedFileChanged),
        (6, LinkedFileChanged),
        (7, LinkedFileChanged),
        (8, TargetNotRegular),
        (10, TargetNotRegular),
        (11, Protocol),
        (12, NotADirectory),
    ];
    assert_eq!((made, &failed[..]), (3, &expected[..]));
    let mut names: Vec<_> =
        std::fs::read_dir(&inbox).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["9", "d", "door", "out", "own"]);
    assert_eq!(std::fs::read_to_string(inbox.join("d/13")).unwrap(), "theirs");
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&inbox.join("own").metadata().unwrap()), 3);
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_replaces_what_may_not_be_replaced_or_is_made_for_who_did_not_ask() {
    let receiver = || {
        let receiver = Receiver::start(&[]);
        for name in ["a", "b"] {
            std::fs::write(receiver.inbox().join(name), name).unwrap();
        }
        receiver
    };
    let offer = || vec![linked(None, "a", b"a", &[(None, "b")])];
    let first = receiver();
    let sender = first.begin_with(Begin { keep: Keep::ALL, ..begin() }).await;
    let answer = offer_names(&sender, DirectoryTable::default(), offer()).await;
    assert_eq!(names_failed(answer), (0, vec![(0, Failure::TargetExists)]));
    let many: Vec<String> = (0..513).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| (None, name.as_str())).collect();
    for files in [vec![linked(None, "a", b"a", &many)], vec![linked(None, "a", b"a", &[])]] {
        let answer = offer_names(&sender, DirectoryTable::default(), files).await;
        assert_eq!(answer, FromReceiver::Refused(Failure::Protocol));
    }
    assert_eq!(std::fs::read_to_string(first.inbox().join("b")).unwrap(), "b");
    assert_eq!(std::fs::read_dir(first.inbox()).unwrap().count(), 2);
    first.check(sender).await;
    // Trusted by length and time: only where that was asked for, and these times differ.
    let trusting = LinkedFile { content: None, ..linked(None, "a", b"a", &[(None, "c")]) };
    for quick in [false, true] {
        let receiver = receiver();
        let sender = receiver.begin_with(Begin { keep: Keep::ALL, quick, ..begin() }).await;
        let answer = offer_names(&sender, DirectoryTable::default(), vec![trusting.clone()]).await;
        assert_eq!(names_failed(answer), (0, vec![(0, Failure::LinkedFileChanged)]));
        receiver.check(sender).await;
    }
    let receiver = receiver();
    let sender = receiver.begin().await;
    let answer = offer_names(&sender, DirectoryTable::default(), offer()).await;
    assert_eq!(answer, FromReceiver::Refused(Failure::Protocol), "nobody asked for hard links");
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_cannot_be_named_by_the_sender_of_a_listening_receiver() {
    let receiver = Receiver::start(&[]);
    let mut sender = receiver.connect().await;
    let outside = receiver.place.path().join("outside").into_os_string().into_encoded_bytes();
    sender.control.0.send(&FromSender::Begin(Begin { destination: outside, ..begin() })).await.unwrap();
    let answer: Option<FromReceiver> = sender.control.1.receive().await.unwrap();
    assert_eq!(answer, Some(FromReceiver::Refused(Failure::Protocol)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_before_anything_is_heard_and_uses_nothing_up() {
    let receiver = Receiver::start(&[]);
    let key = KeyPair::generate().unwrap();
    let connection = endpoint::connect(&UdpPackets, &receiver.ticket.addresses, &key, &receiver.ticket.receiver).await;
    let connection = connection.unwrap();
    let (mut outgoing, mut incoming) = connection.open_job().await.unwrap();
    let proof = token_proof(&[0; 16], &connection.exporter().unwrap());
    outgoing.send(&FromSender::Hello { minor: 0, proof }).await.unwrap();
    let answer: Option<FromReceiver> = incoming.receive().await.unwrap();
    assert_eq!(answer, Some(FromReceiver::Refused(Failure::NotAdmitted)));
    drop((outgoing, incoming, connection));
    let honest = receiver.begin().await;
    receiver.check(honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_dropped_before_the_greeting_and_after_it() {
    let receiver = Receiver::start(&[]);
    let stranger = async {
        let key = KeyPair::generate().unwrap();
        let to = &receiver.ticket;
        let connection = endpoint::connect(&UdpPackets, &to.addresses, &key, &to.receiver).await.unwrap();
        (connection.closed().await, CloseReason::NotAdmitted)
    };
    let admitted = async {
        // QUIC keeps the connection alive by itself: that is no sign of progress.
        let sender = receiver.begin().await;
        (sender.connection.closed().await, CloseReason::Stalled)
    };
    let limit = GREETING_TIMEOUT + STALL_TIMEOUT + Duration::from_secs(5);
    let (stranger, admitted) = tokio::time::timeout(limit, async { tokio::join!(stranger, admitted) }).await.unwrap();
    for (closed, expected) in [stranger, admitted] {
        assert!(matches!(&closed, WireError::ClosedByPeer { reason } if *reason == expected), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_that_was_not_allowed_and_asked_for_at_the_beginning() {
    for options in [&["--replace"][..], &["--allow-delete"]] {
        let receiver = Receiver::start(options);
        std::fs::write(receiver.inbox().join("old"), "old").unwrap();
        let sender = receiver.begin().await;
        let mut job = sender.job().await;
        let answer = job.prune(DirectoryTable::default(), Vec::new()).await;
        assert_eq!(answer, FromReceiver::Refused(Failure::DeleteNotAllowed));
        assert!(receiver.inbox().join("old").exists());
        receiver.check(sender).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_never_behind_a_link_and_lists_are_bounded_and_rising() {
    let receiver = Receiver::start(&["--allow-delete"]);
    let outside = receiver.place.path().join("outside");
    symlink(&outside, receiver.inbox().join("door")).unwrap();
    let sender = receiver.begin_with(Begin { delete: Some(Vec::new()), ..begin() }).await;
    let answer = sender.job().await.prune(directory("door"), Vec::new()).await;
    let FromReceiver::Pruned { removed, failed, is_last: true } = answer else { panic!("{answer:?}") };
    assert!(removed.is_empty());
    assert_eq!(failed.iter().map(|failed| failed.failure).collect::<Vec<_>>(), [Failure::NotADirectory]);
    for kept in [vec![2, 1], vec![0; PRUNE_NAMES_MAX + 1]] {
        let answer = sender.job().await.prune(DirectoryTable::default(), kept).await;
        assert_eq!(answer, FromReceiver::Refused(Failure::Protocol));
    }
    let answer = sender.job().await.prune(directory("nowhere"), Vec::new()).await;
    assert_eq!(answer, FromReceiver::Pruned { removed: Vec::new(), failed: Vec::new(), is_last: true });
    // The link itself has no source and goes; what it led to stays.
    let answer = sender.job().await.prune(DirectoryTable::default(), Vec::new()).await;
    assert!(matches!(answer, FromReceiver::Pruned { removed, .. } if removed.len() == 1));
    receiver.check(sender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_are_none_end_the_session_before_anything_is_made() {
    let pattern = |written: &[u8]| Pattern { include: false, written: written.to_vec() };
    for patterns in [vec![pattern(b"a[")], vec![pattern(b"x"); RULES_MAX + 1], vec![pattern(&[b'x'; 1000]); 100]] {
        let receiver = Receiver::start(&["--allow-delete"]);
        let mut sender = receiver.connect().await;
        let begin = Begin { delete: Some(patterns), ..begin() };
        sender.control.0.send(&FromSender::Begin(begin)).await.unwrap();
        let answer: Option<FromReceiver> = sender.control.1.receive().await.unwrap();
        assert_eq!(answer, Some(FromReceiver::Refused(Failure::Protocol)));
        assert!(is_empty(&receiver.inbox()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_began_a_dry_run_makes_and_removes_nothing() {
    let receiver = Receiver::start(&["--replace", "--allow-delete"]);
    std::fs::write(receiver.inbox().join("large"), vec![1; 3 << 20]).unwrap();
    let sender = receiver.begin_with(Begin { dry_run: true, delete: Some(Vec::new()), ..begin() }).await;
    // What would write in a true run is not heard, wherever it comes.
    let mut job = sender.job().await;
    let (directories, files) = (directory("made"), vec![file("new", 3, None)]);
    let meant = job.2.unwrap().group(&directories, &files);
    job.say(FromSender::OfferGroup { directories, files, meant }).await;
    assert_eq!(job.hear().await, FromReceiver::Would(vec![Would::New]));
    job.0.send(&FromSender::Pieces(Vec::new())).await.ok();
    assert!(!matches!(job.1.receive::<FromReceiver>().await, Ok(Some(_))), "the job is over");
    let answer = sender.job().await.prune(DirectoryTable::default(), Vec::new()).await;
    assert_eq!(answer, FromReceiver::Refused(Failure::Protocol));
    let mut job = sender.job().await;
    job.finish(directory("made")).await;
    assert_eq!(job.hear().await, FromReceiver::Finished(Vec::new()));
    // One that is asked for the root says no more words than its reading gives occasion to, and only the root then.
    for said in [FromSender::Working, FromSender::Keep(Run { first: 0, count: 1 })] {
        let mut job = sender.job().await;
        assert_eq!(job.offer_file(0, 3 << 20, 1 << 20).await, FromReceiver::Would(vec![Would::Claim]));
        for _ in 0..3 {
            job.0.send(&said).await.ok();
        }
        assert_eq!(job.hear().await, FromReceiver::Refused(Failure::Protocol));
    }
    let names: Vec<_> = std::fs::read_dir(receiver.inbox()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["large"]);
    assert_eq!(std::fs::read(receiver.inbox().join("large")).unwrap(), vec![1; 3 << 20]);
}
