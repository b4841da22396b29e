//! The rig: both real halves in one process, over QUIC on loopback, each with its own doors; or a baseline of the ladder.
//!
//! What became of each file is judged from outside, by the bytes that lie under the final names and by what the sender
//! was told. A run ends within [`LIMIT`], or that is its verdict.

mod base;
mod cost;
mod outcome;
mod told;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use careful::check::{self, Pace, ReadBy, Task};
use careful::connect::meeting::Meeting;
use careful::connect::ticket::Ticket;
use careful::progress::Counters;
use careful::protocol::keep::Keep;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::protocol::receipt::{Origin, Stored};
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::seams::disk::{Directory, Timestamp, Writing};
use careful::seams::packet::UdpPackets;
use careful::send::{self, Observer};
use careful::wire::identity::KeyPair;

use crate::atlas::Atlas;
use crate::buffer::FaultyBuffers;
use crate::disk::{Cheat, FaultyDisk};
use crate::gateway::planned::Planned;
use crate::gateway::tamper::Tamper;
use crate::gateway::{self, Gateway};
use crate::halves::{self, ANY_PORT};
use crate::ladder::{self, Level};
use crate::packet::FaultyPackets;
use crate::plan::{Place, Plan, Side};
use base::Base;
pub use cost::Cost;
use cost::Stopwatch;
use outcome::Trees;
pub use outcome::{Ending, Outcome, Verdict};
use told::Told;

/// Longest time that one run may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long a receiver waits for its sender.
const FIRST: Duration = Duration::from_secs(20);
/// How long a half without a connection tries for a new one: the sender, the receiver.
const RETRY: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(10)];
/// The same where messages are struck: what breaks off there does so at once, or for good.
const RETRY_IN_GATEWAY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(1)];
/// How long a receiver may take to end after its sender has.
const RECEIVER_END: Duration = Duration::from_secs(15);

/// Which checks a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// `careful`, with these checks.
    Careful {
        /// What vouches for the source: one read of it, two, or a record that was made before.
        origin: Origin,
        /// How the copy is read back.
        stored: Stored,
    },
    /// A baseline, which makes none of them.
    Baseline(Level),
}

impl Care {
    /// All of them: what the program does by itself.
    pub const FULL: Self = Self::Careful { origin: Origin::Reread, stored: Stored::Device };
    /// One read of the source.
    pub const WITHOUT_SECOND_READ: Self = Self::Careful { origin: Origin::FirstRead, stored: Stored::Device };
    /// Nothing is read back.
    pub const WITHOUT_READ_BACK: Self = Self::Careful { origin: Origin::Reread, stored: Stored::None };
    /// Read back, but the page cache may answer.
    pub const READ_BACK_THROUGH_CACHE: Self = Self::Careful { origin: Origin::Reread, stored: Stored::Cache };
}

impl From<Level> for Care {
    fn from(level: Level) -> Self {
        match level.stored() {
            Some(stored) => Self::Careful { origin: level.origin(), stored },
            None => Self::Baseline(level),
        }
    }
}

/// A source directory and a target directory.
#[derive(Debug)]
pub struct Rig {
    base: Base,
    sources: BTreeMap<String, Vec<u8>>,
    cheat: Option<Cheat>,
    through: Option<Arc<dyn Tamper>>,
    chunk_bytes: u32,
    keep: Keep,
    quick: bool,
    delete: bool,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// Two empty directories on the real disk.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Base::real())
    }

    /// Two empty directories in memory: many times faster, and a medium under a page cache all the same.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Base::memory())
    }

    fn over(base: Base) -> Self {
        Self {
            base,
            sources: BTreeMap::new(),
            cheat: None,
            through: None,
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            keep: Keep::default(),
            quick: false,
            delete: false,
        }
    }

    /// The same rig with a gateway between the halves that does this to what passes it, unless a plan says what a gateway
    /// does. Plain UDP has no such gateway and goes past it.
    #[must_use]
    pub fn through(self, tamper: Arc<dyn Tamper>) -> Self {
        Self { through: Some(tamper), ..self }
    }

    /// The same rig where large files of `careful` travel in chunks of so many bytes, a power of two. Plans name chunks of
    /// the usual size all the same, and strike what begins where one does.
    #[must_use]
    pub fn in_chunks_of(self, chunk_bytes: u32) -> Self {
        Self { chunk_bytes, ..self }
    }

    /// The same rig where targets of the same length and time are trusted.
    #[must_use]
    pub fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// The same rig where what has no source is deleted.
    #[must_use]
    pub fn deleting(self) -> Self {
        Self { delete: true, ..self }
    }

    /// The same rig where more is carried than content, mode and time.
    #[must_use]
    pub fn keeping(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The same rig with a program that pretends to make a check: a canary.
    #[must_use]
    pub fn cheating(self, cheat: Cheat) -> Self {
        Self { cheat: Some(cheat), ..self }
    }

    /// A rig with one source file of this length, `file`.
    #[must_use]
    pub fn with_file(length: usize) -> Self {
        let mut rig = Self::new();
        rig.add_source("file", &content(1, length));
        rig
    }

    /// A rig in memory with a file of each kind: `large`, of `large_bytes` (more than 2 MiB), replaces one of which a part is
    /// equal; `new` is small, of `small_bytes`; and `folder/replaced` replaces another.
    #[must_use]
    pub fn of_every_case(large_bytes: usize, small_bytes: usize) -> Self {
        let mut rig = Self::in_memory();
        let large = content(1, large_bytes);
        rig.add_source("large", &large);
        rig.add_source("new", &content(2, small_bytes));
        rig.add_source("folder/replaced", &content(3, 100));
        let mut old = large;
        old[5] ^= 1;
        rig.add_target("large", &old[..2 << 20]);
        rig.add_target("folder/replaced", b"old");
        rig
    }

    /// Puts a file into the source.
    pub fn add_source(&mut self, name: &str, bytes: &[u8]) {
        self.base.put("source", name, bytes);
        self.sources.insert(name.to_owned(), bytes.to_vec());
    }

    /// Gives a file of the source a further name, in a directory that is there.
    pub fn add_hard_link(&mut self, name: &str, file: &str) {
        self.base.link("source", name, file);
    }

    /// Puts a file under a final name.
    pub fn add_target(&self, name: &str, bytes: &[u8]) {
        self.base.put("target", name, bytes);
    }

    /// The same with a time that no source has: it looks like another version.
    ///
    /// # Panics
    /// If the disk below refuses.
    pub fn add_older_target(&self, name: &str, bytes: &[u8]) {
        self.add_target(name, bytes);
        let file = self.target_directory().and_then(|held| held.open_for_writing(name.as_ref(), Writing::Cached));
        let dated = file.and_then(|file| file.set_modified(Timestamp { seconds: 1, nanoseconds: 0 }));
        dated.expect("a file just made can be given a time");
    }

    /// The source directory itself, past all faults.
    pub(crate) fn source_directory(&self) -> io::Result<Arc<dyn Directory>> {
        self.base.disk().open_directory(&self.base.directory("source"))
    }

    /// The target directory itself, past all faults.
    pub(crate) fn target_directory(&self) -> io::Result<Arc<dyn Directory>> {
        self.base.disk().open_directory(&self.base.directory("target"))
    }

    /// Makes a record of every file of the source, as `careful-check seal` does, past all faults.
    fn seal(&self) {
        let plan = check::Plan {
            paths: vec![self.base.directory("source")],
            task: Task::Seal { renew: false },
            jobs: 1,
            pace: Pace::default(),
            sample: None,
        };
        check::run(self.base.disk().as_ref(), &plan, &AllSealed, &Counters::default());
    }

    /// Flushes what was put there, so that no run pays for it.
    ///
    /// # Panics
    /// If it cannot be flushed.
    pub fn settle(&self) {
        let settled = self.target_directory().and_then(|directory| directory.sync_file_system());
        settled.expect("a fresh directory can be flushed");
    }

    /// What the source was made of.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.sources
    }

    /// Runs a transfer of the whole source under the plan of this line.
    ///
    /// # Panics
    /// If the line is no plan, or the two halves cannot be set up.
    #[must_use]
    pub fn run(&self, plan: &str, care: Care) -> Outcome {
        self.run_plan(plan.parse().expect("a plan"), care)
    }

    /// Runs a transfer of the whole source under the plan.
    ///
    /// # Panics
    /// If the two halves cannot be set up.
    #[must_use]
    pub fn run_plan(&self, plan: Plan, care: Care) -> Outcome {
        let plan = Arc::new(plan);
        if matches!(care, Care::Careful { origin: Origin::Recorded, .. }) {
            self.seal();
        }
        let trees = || [self.base.files("source"), self.base.files("target")];
        let before = trees();
        let told = Arc::new(Told::default());
        let counters = Arc::new(Counters::default());
        let runtime = halves::runtime().expect("a runtime can be started");
        let atlas = Arc::new(self.atlas());
        let watch = Stopwatch::start();
        let ended = runtime.block_on(self.transfer(&plan, care, &told, &counters, &atlas));
        let cost = watch.read();
        // A half that hangs is left behind.
        runtime.shutdown_background();
        let trees = Trees { before, after: trees() };
        Outcome::new(plan, care, (ended, cost), counters.snapshot(), told.take(), trees)
    }

    async fn transfer(
        &self,
        plan: &Arc<Plan>,
        care: Care,
        told: &Arc<Told>,
        counters: &Arc<Counters>,
        atlas: &Arc<Atlas>,
    ) -> Option<Ending> {
        let [sender, receiver] = [Side::Sender, Side::Receiver].map(|side| self.environment(side, plan, atlas));
        let through = self.tamper(plan);
        let (origin, stored) = match care {
            Care::Careful { origin, stored } => (origin, stored),
            Care::Baseline(level) => {
                let [source, target] = ["source", "target"].map(|name| self.base.directory(name));
                let copying = ladder::copy(level, &sender, &receiver, &source, &target, through);
                return tokio::time::timeout(LIMIT, copying).await.ok()?.map(Ending::Baseline);
            }
        };
        let is_struck = plan.has(|entry| matches!(entry.place, Place::Message { .. }));
        let [retry_for, again] = if is_struck { RETRY_IN_GATEWAY } else { RETRY };
        let (ticket, receiving) =
            halves::receive(receiver, ANY_PORT, halves::same_person(), Waiting { first: FIRST, again });
        let wanted = send::Plan {
            second_read: origin > Origin::FirstRead,
            stored,
            retry_for,
            chunk_bytes: self.chunk_bytes,
            keep: self.keep,
            quick: self.quick,
            delete: self.delete.then(send::Deletion::default),
            ..send::Plan::new(
                vec![self.base.directory("source/")],
                self.base.directory("target").as_os_str().as_bytes().to_vec(),
            )
        };
        let key = Arc::new(KeyPair::generate().expect("a key can be made"));
        let observer: Arc<dyn Observer> = Arc::clone(told) as Arc<dyn Observer>;
        let gateway = through.map(|tamper| start_gateway(&ticket, &key, tamper));
        let ticket = gateway.as_ref().map_or(ticket, |gateway| gateway.ticket().clone());
        let sending = send::run(sender, wanted, Meeting::Ticket(ticket), key, observer, Arc::clone(counters));
        let ended = tokio::time::timeout(LIMIT, sending).await.ok();
        if ended.is_some() {
            tokio::time::timeout(RECEIVER_END, receiving).await.ok()?.expect("the receiver does not panic");
        }
        ended.map(Ending::Careful)
    }

    fn environment(&self, side: Side, plan: &Arc<Plan>, atlas: &Arc<Atlas>) -> Environment {
        Environment {
            disk: Arc::new(FaultyDisk::new(self.base.disk(), side, Arc::clone(plan)).cheating(self.cheat)),
            buffers: Arc::new(FaultyBuffers::new(Arc::clone(plan), Arc::clone(atlas))),
            packets: Arc::new(FaultyPackets::new(Arc::new(UdpPackets), side, Arc::clone(plan))),
        }
    }

    fn atlas(&self) -> Atlas {
        let files = self.sources.iter().map(|(name, content)| (last_component(name).as_bytes(), content.as_slice()));
        Atlas::new(files, self.chunk_bytes as usize)
    }

    /// What a gateway between the halves does; nothing if there is to be none.
    fn tamper(&self, plan: &Arc<Plan>) -> Option<Arc<dyn Tamper>> {
        if plan.has(|entry| entry.place.is_in_gateway()) {
            return Some(Arc::new(Planned::new(Arc::clone(plan), self.chunk_bytes)));
        }
        self.through.clone()
    }
}

/// Takes nothing but seals.
#[derive(Debug)]
struct AllSealed;

impl check::Observer for AllSealed {
    fn checked(&self, path: &[u8], verdict: &check::Verdict, _: Option<ReadBy>) {
        let is_sealed = matches!(verdict, check::Verdict::Sealed(_) | check::Verdict::AlreadySealed);
        assert!(is_sealed, "{}: {verdict:?}", path.escape_ascii());
    }

    fn skipped(&self, path: &[u8], why: &str) {
        panic!("{}: {why}", path.escape_ascii());
    }
}

/// A gateway in front of this receiver, which takes it for the sender with this key.
fn start_gateway(upstream: &Ticket, key: &KeyPair, tamper: Arc<dyn Tamper>) -> Gateway {
    let identity = key.seed().and_then(|seed| KeyPair::from_seed(&seed)).expect("a key can be copied");
    let options = gateway::Options { listen: ANY_PORT, upstream: upstream.clone(), identity, tamper };
    Gateway::start(Arc::new(UdpPackets), options).expect("a gateway can be set up")
}

/// Bytes of this length that look random and are the same for the same seed.
#[must_use]
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
