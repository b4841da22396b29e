//! Flipped bits of everything the two sides say to each other, in a gateway that both of them trust: names, lengths, modes
//! and times are under a hash as the bytes are. Both real halves in one process, with disks in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use careful::connect::meeting::Meeting;
use careful::progress::Counters;
use careful::protocol::entry::{Name, is_staging_name};
use careful::protocol::failure::Failure;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::protocol::receipt::Receipt;
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::seams::disk::Kind;
use careful::seams::packet::UdpPackets;
use careful::send::{self, Ended, Observer};
use careful::wire::identity::KeyPair;
use careful_faults::crash_disk::MemoryDisk;
use careful_faults::gateway::tamper::{MessageFlip, MessageKind, Tamper, Untouched};
use careful_faults::gateway::{Gateway, Options};
use careful_faults::halves::{self, ANY_PORT};
use careful_faults::plan::Side;
use careful_faults::rig::content;

const CHUNK: usize = CHUNK_BYTES_DEFAULT as usize;
/// Runs at once: most of each is waiting.
const AT_ONCE: usize = 16;
/// Paths below source and destination, with their modes.
const FILES: [(&str, usize, u32); 4] = [
    ("large", 2 * CHUNK + 7, 0o640),
    ("resumed", 2 * CHUNK + 9, 0o600),
    ("small", 3000, 0o644),
    ("d/e/tiny", 3, 0o755),
];

/// What the sender told.
#[derive(Debug, Default)]
struct Told {
    receipts: usize,
    failures: Vec<(String, Failure)>,
    notices: Vec<String>,
}

#[derive(Debug, Default)]
struct Watch(Mutex<Told>);

impl Observer for Watch {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        self.0.lock().unwrap().failures.push((String::from_utf8_lossy(path).into_owned(), failure));
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.notice(&format!("skipped {path:?}: {why}"));
    }

    fn trusted(&self, path: &[u8]) {
        self.notice(&format!("trusted {path:?}"));
    }

    fn committed(&self, receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {
        self.0.lock().unwrap().receipts += receipt.files.len();
    }

    fn notice(&self, words: &str) {
        self.0.lock().unwrap().notices.push(words.to_owned());
    }
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    /// Nothing if it was still running after its time.
    ended: Option<Ended>,
    told: Told,
    damaged: u64,
    /// Files that are what their source is, in bytes, mode and time.
    right: usize,
    /// Committed names that are none of the source's, or hold neither the old nor the new.
    wrong: Vec<String>,
    /// Names of staging files that are left.
    staging: usize,
    took: Duration,
}

impl Run {
    fn is_all_right(&self) -> bool {
        let told = &self.told;
        let is_told = told.receipts == FILES.len() && told.failures.is_empty();
        let is_there = self.right == FILES.len() && self.wrong.is_empty() && self.staging == 0;
        matches!(self.ended, Some(Ended::Complete)) && is_told && is_there
    }
}

/// A source, and a target with an old file of which some chunks are right, and a staging file with others.
fn disks() -> (MemoryDisk, MemoryDisk) {
    let (source, target) = (MemoryDisk::default(), MemoryDisk::default());
    for name in ["/source", "/source/d", "/source/d/e"] {
        source.put_directory(Path::new(name), 0o750);
    }
    for (seed, (path, length, mode)) in FILES.into_iter().enumerate() {
        source.put_file(&Path::new("/source").join(path), &content(seed as u64, length), mode);
    }
    target.put_directory(Path::new("/target"), 0o755);
    target.put_file(Path::new("/target/resumed"), &old(), 0o644);
    let staging = Path::new("/target").join(Name::new(b"resumed").unwrap().staging());
    target.put_file(&staging, &content(1, FILES[1].1)[..CHUNK], 0o600);
    (source, target)
}

/// The second chunk is that of the new file.
fn old() -> Vec<u8> {
    let mut old = content(1, FILES[1].1);
    old[..CHUNK].fill(7);
    old[2 * CHUNK..].fill(7);
    old
}

/// One transfer through a gateway that does this.
async fn run(tamper: Arc<dyn Tamper>, limit: Duration) -> Run {
    let (source, target) = disks();
    let environment = |disk: &MemoryDisk| Environment { disk: Arc::new(disk.clone()), ..Environment::real() };
    let waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(5) };
    let (upstream, receiving) = halves::receive(environment(&target), ANY_PORT, halves::same_person(), waiting);
    let sender_key = KeyPair::generate().unwrap();
    let identity = KeyPair::from_seed(&sender_key.seed().unwrap()).unwrap();
    let options = Options { listen: ANY_PORT, upstream, identity, tamper };
    let gateway = Gateway::start(Arc::new(UdpPackets), options).unwrap();
    let plan = send::Plan {
        retry_for: Duration::from_secs(5),
        ..send::Plan::new(vec![PathBuf::from("/source/")], b"/target".to_vec())
    };
    let watch = Arc::new(Watch::default());
    let observer = Arc::clone(&watch) as Arc<dyn Observer>;
    let meeting = Meeting::Ticket(gateway.ticket().clone());
    let began = Instant::now();
    let counters = Arc::new(Counters::default());
    let sending = send::run(environment(&source), plan, meeting, Arc::new(sender_key), observer, counters);
    let ended = tokio::time::timeout(limit, sending).await.ok();
    let took = began.elapsed();
    receiving.abort();
    let told = std::mem::take(&mut *watch.0.lock().unwrap());
    let mut run =
        Run { ended, told, damaged: gateway.passed().messages_damaged, right: 0, wrong: Vec::new(), staging: 0, took };
    look(&source, &target, &mut run);
    run
}

fn look(source: &MemoryDisk, target: &MemoryDisk, run: &mut Run) {
    let (source, tree) = (source.tree(), target.tree());
    let known: BTreeSet<&str> = FILES.iter().map(|(path, ..)| *path).collect();
    for (path, kind) in tree.paths() {
        let Some(file) = tree.file(&path).filter(|_| kind == Kind::File) else { continue };
        let name = path.strip_prefix("/target").map_or(path.as_path(), |name| name).to_string_lossy().into_owned();
        let before = source.file(&Path::new("/source").join(&name)).filter(|_| known.contains(name.as_str()));
        if is_staging_name(name.rsplit('/').next().unwrap_or_default().as_bytes()) {
            run.staging += 1;
        } else if before.is_some_and(|before| {
            let is_like = (before.mode, before.modified) == (file.mode, file.modified);
            is_like && before.content.to_vec() == file.content.to_vec()
        }) {
            run.right += 1;
        } else if name != "resumed" || file.content.to_vec() != old() {
            run.wrong.push(name);
        }
    }
}

/// Runs all of these, some at once.
async fn run_all(flips: impl Iterator<Item = (Side, &'static str, u64, bool)>, limit: Duration) -> Vec<(String, Run)> {
    let mut runs = tokio::task::JoinSet::new();
    let mut done = Vec::new();
    for (from, kind, bit, anew) in flips {
        if runs.len() >= AT_ONCE {
            done.push(runs.join_next().await.unwrap().unwrap());
        }
        let flip = MessageFlip::new(from, kind.parse::<MessageKind>().unwrap(), 1, bit);
        let flip: Arc<dyn Tamper> = Arc::new(if anew { flip.anew() } else { flip });
        runs.spawn(async move { (format!("{kind} bit {bit} anew {anew}"), run(flip, limit).await) });
    }
    while let Some(run) = runs.join_next().await {
        done.push(run.unwrap());
    }
    done
}

const OF_SENDER: [&str; 10] = [
    "begin",
    "offer-file",
    "offer-group",
    "pieces",
    "keep",
    "copy",
    "commit-file",
    "commit-group",
    "finish-directories",
    "working",
];
const OF_RECEIVER: [&str; 9] = [
    "ready",
    "file-answer",
    "group-answer",
    "have",
    "stored",
    "group-stored",
    "file-receipt",
    "group-receipt",
    "finished",
];

fn kinds() -> impl Iterator<Item = (Side, &'static str)> {
    let sender = OF_SENDER.into_iter().map(|kind| (Side::Sender, kind));
    sender.chain(OF_RECEIVER.into_iter().map(|kind| (Side::Receiver, kind)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_an_honest_gateway_everything_is_right_with_its_mode_and_time() {
    let run = run(Arc::new(Untouched), Duration::from_secs(20)).await;
    assert!(run.is_all_right() && run.told.notices.is_empty(), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_any_message_costs_one_connection_and_nothing_else() {
    // The first byte tells what message it is: flipped there it would be none that the flip can find.
    let bits = [12, 46, 101, 1234];
    let flips = kinds().flat_map(|(from, kind)| bits.map(|bit| (from, kind, bit, false)));
    let runs = run_all(flips, Duration::from_secs(20)).await;
    let longest = runs.iter().map(|(_, run)| run.took).max();
    for (replay, run) in &runs {
        assert_eq!(run.damaged, 1, "{replay}: {run:?}");
        assert!(run.is_all_right(), "{replay}: {run:?}");
        assert_eq!(run.told.notices.len(), 1, "{replay}: {run:?}");
    }
    assert!(longest < Some(Duration::from_secs(15)), "{longest:?}");
}

/// The positive control: a check made to fit lets the damage through, and the hash of what was meant finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_an_offer_made_anew_is_found_by_the_hash_of_what_was_meant() {
    let kinds = [("offer-file", 41), ("offer-group", 31), ("begin", 53), ("finish-directories", 61)];
    let flips = kinds.into_iter().flat_map(|(kind, step)| (24..700).step_by(step).map(move |bit| (kind, bit)));
    let runs = run_all(flips.map(|(kind, bit)| (Side::Sender, kind, bit, true)), Duration::from_secs(20)).await;
    let longest = runs.iter().map(|(_, run)| run.took).max();
    for (replay, run) in &runs {
        assert!(run.damaged == 1 && run.wrong.is_empty() && run.ended.is_some(), "{replay}: {run:?}");
        let is_success = matches!(run.ended, Some(Ended::Complete)) && run.told.failures.is_empty();
        assert_eq!(is_success, run.is_all_right(), "{replay}: {run:?}");
    }
    // The others are no messages any more, and end the transfer at once.
    let repaired = runs.iter().filter(|(_, run)| run.is_all_right()).count();
    assert!(repaired * 2 > runs.len(), "{repaired} of {} flips were repaired", runs.len());
    assert!(longest < Some(Duration::from_secs(15)), "{longest:?}");
}

/// The last bits of the commit of a large file, and of that of a group, are such a hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_not_the_one_that_was_meant_gets_no_name() {
    for (kind, bit, file) in [("commit-file", 44 * 8, None), ("commit-group", 50 * 8, Some("small"))] {
        let run = run_all([(Side::Sender, kind, bit, true)].into_iter(), Duration::from_secs(20)).await.remove(0).1;
        let failed: Vec<_> = run.told.failures.iter().map(|(_, failure)| *failure).collect();
        assert_eq!((run.damaged, &failed[..]), (1, &[Failure::Garbled][..]), "{kind}: {run:?}");
        assert!(run.wrong.is_empty() && run.right == FILES.len() - 1, "{kind}: {run:?}");
        assert!(file.is_none_or(|file| run.told.failures[0].0.ends_with(file)), "{kind}: {run:?}");
        assert_eq!(run.staging, 0, "nobody meant it: {run:?}");
    }
}

/// Flips a bit of every message of this kind.
#[derive(Debug)]
struct Always(&'static str);

impl Tamper for Always {
    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        let is_meant = MessageKind::of(from, bytes).is_some_and(|kind| kind.to_string() == self.0);
        if is_meant {
            bytes[2] ^= 1;
        }
        is_meant
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_does_not_end_is_given_up_by_name_within_seconds() {
    for kind in ["begin", "ready", "offer-file"] {
        let run = run(Arc::new(Always(kind)), Duration::from_secs(20)).await;
        assert!(matches!(run.ended, Some(Ended::Refused(Failure::Garbled))), "{kind}: {run:?}");
        assert_eq!((run.told.notices.len(), run.wrong.len()), (4, 0), "{kind}: {run:?}");
    }
}
