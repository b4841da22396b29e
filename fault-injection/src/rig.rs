//! The rig: both real halves in one process, over QUIC on loopback, each with its own doors, in a fresh directory.
//!
//! What became of each file is judged from outside, by the bytes that lie under the final names and by what the sender
//! was told. A run ends within [`LIMIT`], or that is its verdict.
//!
//! A little longer than 400 lines: setting up, writing down and judging are one thing to whoever doubts a verdict.

#![expect(clippy::disallowed_methods, reason = "what lies on the disk is looked at from outside, past the doors")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful::connect::admission::Admission;
use careful::connect::meeting::Meeting;
use careful::connect::ticket::Ticket;
use careful::progress::{Counters, Snapshot};
use careful::protocol::failure::Failure;
use careful::protocol::receipt::{Origin, Receipt, ReceiptFile, Stored};
use careful::receive::listen::{Waiting, one_transfer};
use careful::receive::{Policy, Receiver, RootPolicy};
use careful::seams::Environment;
use careful::send::{self, Ended, Observer};
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::{KeyPair, PublicKey};
use tempfile::TempDir;

use crate::buffer::FaultyBuffers;
use crate::disk::FaultyDisk;
use crate::packet::FaultyPackets;
use crate::plan::{Plan, Side};

/// Longest time that one run may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long a receiver may take to end after its sender has.
const RECEIVER_END: Duration = Duration::from_secs(15);
/// A staging file's name begins with this.
const STAGING_PREFIX: &str = ".careful-";

/// Which checks a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// Whether the source is read twice.
    pub second_read: bool,
    /// How the copy is read back.
    pub stored: Stored,
}

impl Care {
    /// All of them: what the program does by itself.
    pub const FULL: Self = Self { second_read: true, stored: Stored::Device };
    /// One read of the source.
    pub const WITHOUT_SECOND_READ: Self = Self { second_read: false, ..Self::FULL };
    /// Nothing is read back.
    pub const WITHOUT_READ_BACK: Self = Self { stored: Stored::None, ..Self::FULL };
    /// Read back, but the page cache may answer.
    pub const READ_BACK_THROUGH_CACHE: Self = Self { stored: Stored::Cache, ..Self::FULL };
}

/// A source directory and a target directory.
#[derive(Debug)]
pub struct Rig {
    directory: TempDir,
    sources: BTreeMap<String, Vec<u8>>,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// Two empty directories.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for name in ["source", "target"] {
            fs::create_dir(directory.path().join(name)).expect("a directory can be made");
        }
        Self { directory, sources: BTreeMap::new() }
    }

    /// A rig with one source file of this length, `file`.
    #[must_use]
    pub fn with_file(length: usize) -> Self {
        let mut rig = Self::new();
        rig.add_source("file", &content(1, length));
        rig
    }

    /// Puts a file into the source.
    pub fn add_source(&mut self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join("source").join(name), bytes).expect("a source can be written");
        self.sources.insert(name.to_owned(), bytes.to_vec());
    }

    /// Puts a file under a final name.
    pub fn add_target(&self, name: &str, bytes: &[u8]) {
        fs::write(self.target().join(name), bytes).expect("a target can be written");
    }

    /// What the source was made of.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.sources
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    /// Runs a transfer of the whole source under the plan of this line.
    ///
    /// # Panics
    /// If the line is no plan, or the two halves cannot be set up.
    #[must_use]
    pub fn run(&self, plan: &str, care: Care) -> Outcome {
        let plan: Arc<Plan> = Arc::new(plan.parse().expect("a plan"));
        let before = tree(&self.target());
        let told = Arc::new(Told::default());
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be started");
        let ended = runtime.block_on(self.transfer(&plan, care, &told, &counters));
        // A half that hangs is left behind.
        runtime.shutdown_background();
        let after = tree(&self.target());
        let (mut receipts, mut failures, mut notices) = (HashMap::new(), HashMap::new(), Vec::new());
        std::mem::swap(&mut receipts, &mut told.lock().receipts);
        std::mem::swap(&mut failures, &mut told.lock().failures);
        std::mem::swap(&mut notices, &mut told.lock().notices);
        let counters = counters.snapshot();
        Outcome {
            plan,
            care,
            ended,
            counters,
            notices,
            receipts,
            failures,
            sources: self.sources.clone(),
            before,
            after,
        }
    }

    async fn transfer(
        &self,
        plan: &Arc<Plan>,
        care: Care,
        told: &Arc<Told>,
        counters: &Arc<Counters>,
    ) -> Option<Ended> {
        let (ticket, receiving) = self.start_receiver(plan);
        let wanted = send::Plan {
            sources: vec![self.directory.path().join("source/")],
            destination: self.target().as_os_str().as_bytes().to_vec(),
            second_read: care.second_read,
            stored: care.stored,
            no_replace: false,
            quick: false,
            retry_for: Duration::from_secs(20),
        };
        let key = Arc::new(KeyPair::generate().expect("a key can be made"));
        let environment = environment(Side::Sender, plan);
        let observer: Arc<dyn Observer> = Arc::clone(told) as Arc<dyn Observer>;
        let sending = send::run(environment, wanted, Meeting::Ticket(ticket), key, observer, Arc::clone(counters));
        let ended = tokio::time::timeout(LIMIT, sending).await.ok();
        if ended.is_some() {
            tokio::time::timeout(RECEIVER_END, receiving).await.ok()?.expect("the receiver does not panic");
        }
        ended
    }

    fn start_receiver(&self, plan: &Arc<Plan>) -> (Ticket, tokio::task::JoinHandle<()>) {
        let environment = environment(Side::Receiver, plan);
        let key = KeyPair::generate().expect("a key can be made");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(environment.packets.as_ref(), any_port, &key, Admitted::AnyKey);
        let listener = listener.expect("a socket can be bound");
        let addresses = vec![listener.local_address().expect("a bound socket has an address")];
        let token = [7; 16];
        let ticket = Ticket { receiver: key.public(), token, expires_seconds: None, addresses };
        let receiver = Arc::new(Receiver {
            environment,
            identity: Arc::new(KeyPair::generate().expect("a key can be made")),
            admission: Admission::new(token, None),
            policy: Policy { root: RootPolicy::NamedBySender, replace: true, umask: 0o022, exact_modes: true },
            open_files_max: 256,
        });
        let waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(10) };
        let receiving = tokio::spawn(async move {
            one_transfer(receiver, &listener, waiting).await;
            listener.close().await;
        });
        (ticket, receiving)
    }
}

fn environment(side: Side, plan: &Arc<Plan>) -> Environment {
    let Environment { disk, buffers: _, packets } = Environment::real();
    Environment {
        disk: Arc::new(FaultyDisk::new(disk, side, Arc::clone(plan))),
        buffers: Arc::new(FaultyBuffers::new(Arc::clone(plan))),
        packets: Arc::new(FaultyPackets::new(packets, side, Arc::clone(plan))),
    }
}

/// Bytes of this length that look random and are the same for the same seed.
#[must_use]
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Every file below a directory, by its path there.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for item in fs::read_dir(directory).expect("the target can be listed") {
        let path = item.expect("the target can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).expect("the target can be read"));
        }
    }
    found
}

/// What one run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The plan, with what fired.
    pub plan: Arc<Plan>,
    /// The checks that were made.
    pub care: Care,
    /// How the sender ended; nothing if one of the halves did not end in time.
    pub ended: Option<Ended>,
    /// The sender's books.
    pub counters: Snapshot,
    /// Lines for the person that are no failure.
    pub notices: Vec<String>,
    receipts: HashMap<String, ReceiptFile>,
    failures: HashMap<String, Failure>,
    sources: BTreeMap<String, Vec<u8>>,
    before: BTreeMap<String, Vec<u8>>,
    after: BTreeMap<String, Vec<u8>>,
}

/// What became of one file. Everything but [`Verdict::SilentlyWrong`] and [`Verdict::Broken`] keeps the promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A receipt, and the target is what the source is.
    Right,
    /// Named as failed, no receipt; the target is what it was before, or absent as before.
    RefusedAndKept(Failure),
    /// Named as failed, no receipt; the target is the complete new file all the same.
    RefusedAndRight(Failure),
    /// A receipt, and the target is something else: the one thing that must not be.
    SilentlyWrong,
    /// Anything else; says what.
    Broken(String),
}

impl Outcome {
    /// What became of a file of the source.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Verdict {
        let (source, target) = (self.sources.get(name), self.after.get(name));
        let is_right = target == source;
        match (self.receipts.get(name), self.failures.get(name)) {
            (Some(receipt), _) if self.claims_too_much(receipt) => {
                Verdict::Broken(format!("the receipt claims a check that was switched off: {:?}", receipt.proof))
            }
            (Some(_), Some(failure)) => Verdict::Broken(format!("both a receipt and a failure: {failure}")),
            (Some(receipt), None) if is_right => self.judge_receipt(receipt, name),
            (Some(_), None) => Verdict::SilentlyWrong,
            (None, Some(failure)) if is_right => Verdict::RefusedAndRight(*failure),
            (None, Some(failure)) if target == self.before.get(name) => Verdict::RefusedAndKept(*failure),
            (None, Some(failure)) => Verdict::Broken(format!("neither old nor new under the name: {failure}")),
            (None, None) => Verdict::Broken(format!("no word about it; the sender ended with {:?}", self.ended)),
        }
    }

    fn claims_too_much(&self, receipt: &ReceiptFile) -> bool {
        let most = if self.care.second_read { Origin::Reread } else { Origin::FirstRead };
        receipt.proof.origin > most || receipt.proof.stored > self.care.stored
    }

    /// Whether the receipt says what lies there. The judge's root is computed without the program's own code.
    fn judge_receipt(&self, receipt: &ReceiptFile, name: &str) -> Verdict {
        let bytes = &self.sources[name];
        if receipt.root == *blake3::hash(bytes).as_bytes() && receipt.length_bytes == bytes.len() as u64 {
            Verdict::Right
        } else {
            Verdict::Broken(format!("the receipt names another content: {receipt:?}"))
        }
    }

    /// Staging files that are left.
    #[must_use]
    pub fn staging_files(&self) -> usize {
        self.after.keys().filter(|path| path.rsplit('/').next().unwrap_or(path).starts_with(STAGING_PREFIX)).count()
    }

    /// Fails unless every fault of the plan had an effect.
    ///
    /// # Panics
    /// With the line that replays the run.
    #[track_caller]
    pub fn assert_fired(&self) {
        let missing: Vec<String> = self.plan.not_fired().iter().map(ToString::to_string).collect();
        assert!(missing.is_empty(), "never took effect: {missing:?}\nreplay: {}", self.plan);
    }

    /// Fails unless every fault fired and every file is right and has its receipt.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_all_right(&self) {
        self.assert_fired();
        for name in self.sources.keys() {
            self.assert_verdict(name, &Verdict::Right);
        }
        assert!(matches!(self.ended, Some(Ended::Complete)), "{:?}\nreplay: {}", self.ended, self.plan);
        assert_eq!(self.staging_files(), 0, "a staging file is left\nreplay: {}", self.plan);
    }

    /// Fails unless this became of the file.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_verdict(&self, name: &str, expected: &Verdict) {
        assert_eq!(self.verdict(name), *expected, "{name}\nreplay: {}", self.plan);
    }

    /// Fails unless every fault fired and exactly this file is wrong under its name with a receipt that says it is right:
    /// the positive control of a check that is switched off.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_silently_wrong(&self, name: &str) {
        self.assert_fired();
        for other in self.sources.keys() {
            let expected = if other == name { Verdict::SilentlyWrong } else { Verdict::Right };
            self.assert_verdict(other, &expected);
        }
    }
}

/// Writes down what the sender tells. Names are those below the source.
#[derive(Debug, Default)]
struct Told(Mutex<Words>);

#[derive(Debug, Default)]
struct Words {
    receipts: HashMap<String, ReceiptFile>,
    failures: HashMap<String, Failure>,
    notices: Vec<String>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Told {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit_once("/source/").map_or(path.as_ref(), |(_, name)| name);
        self.lock().failures.insert(name.to_owned(), failure);
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.notice(&format!("skipped {}: {why}", String::from_utf8_lossy(path)));
    }

    fn trusted(&self, path: &[u8]) {
        self.notice(&format!("trusted {}", String::from_utf8_lossy(path)));
    }

    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], _unchanged: &[bool]) {
        let is_signed = PublicKey(receipt.receiver).verify(&receipt.statement(), signature);
        for file in receipt.files.iter().filter(|_| is_signed) {
            let name = String::from_utf8_lossy(&file.path).into_owned();
            self.lock().receipts.insert(name, file.clone());
        }
    }

    fn notice(&self, words: &str) {
        self.lock().notices.push(words.to_owned());
    }
}
