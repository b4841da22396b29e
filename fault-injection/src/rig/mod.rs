//! The rig: both real halves in one process, over QUIC on loopback, each with its own doors, in a fresh directory.
//!
//! What became of each file is judged from outside, by the bytes that lie under the final names and by what the sender
//! was told. A run ends within [`LIMIT`], or that is its verdict.

#![expect(clippy::disallowed_methods, reason = "what lies on the disk is looked at from outside, past the doors")]

mod outcome;
mod told;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use careful::connect::admission::Admission;
use careful::connect::meeting::Meeting;
use careful::connect::ticket::Ticket;
use careful::progress::Counters;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::protocol::receipt::Stored;
use careful::receive::listen::{Waiting, one_transfer};
use careful::receive::{Policy, Receiver, RootPolicy};
use careful::seams::Environment;
use careful::send::{self, Ended, Observer};
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::KeyPair;
use tempfile::TempDir;

use outcome::Trees;
pub use outcome::{Outcome, Verdict};
use told::Told;

use crate::atlas::Atlas;
use crate::buffer::FaultyBuffers;
use crate::disk::FaultyDisk;
use crate::packet::FaultyPackets;
use crate::plan::{Plan, Side};

/// Longest time that one run may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long a receiver may take to end after its sender has.
const RECEIVER_END: Duration = Duration::from_secs(15);

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

    fn atlas(&self) -> Atlas {
        let files = self.sources.iter().map(|(name, content)| (last_component(name).as_bytes(), content.as_slice()));
        Atlas::new(files, CHUNK_BYTES_DEFAULT as usize)
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
        let (source, target) = (self.directory.path().join("source"), self.target());
        let before = [tree(&source), tree(&target)];
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
        let after = [tree(&source), tree(&target)];
        Outcome::new(plan, care, ended, counters.snapshot(), told.take(), Trees { before, after })
    }

    async fn transfer(
        &self,
        plan: &Arc<Plan>,
        care: Care,
        told: &Arc<Told>,
        counters: &Arc<Counters>,
    ) -> Option<Ended> {
        let atlas = Arc::new(self.atlas());
        let (ticket, receiving) = self.start_receiver(plan, &atlas);
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
        let environment = environment(Side::Sender, plan, &atlas);
        let observer: Arc<dyn Observer> = Arc::clone(told) as Arc<dyn Observer>;
        let sending = send::run(environment, wanted, Meeting::Ticket(ticket), key, observer, Arc::clone(counters));
        let ended = tokio::time::timeout(LIMIT, sending).await.ok();
        if ended.is_some() {
            tokio::time::timeout(RECEIVER_END, receiving).await.ok()?.expect("the receiver does not panic");
        }
        ended
    }

    fn start_receiver(&self, plan: &Arc<Plan>, atlas: &Arc<Atlas>) -> (Ticket, tokio::task::JoinHandle<()>) {
        let environment = environment(Side::Receiver, plan, atlas);
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

fn environment(side: Side, plan: &Arc<Plan>, atlas: &Arc<Atlas>) -> Environment {
    let Environment { disk, buffers: _, packets } = Environment::real();
    Environment {
        disk: Arc::new(FaultyDisk::new(disk, side, Arc::clone(plan))),
        buffers: Arc::new(FaultyBuffers::new(Arc::clone(plan), Arc::clone(atlas))),
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

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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
