//! A place for one detector: directories of its own, either half of the program on doors of its own, and what was told.
//!
//! The rig runs whole transfers under plans; this is for what no plan says: a watch at a door, or one half alone
//! against a peer that says whatever it likes.

#![expect(
    clippy::disallowed_methods,
    reason = "what lies on the disk is made and looked at from outside, past the doors"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful::connect::meeting::Meeting;
use careful::connect::ticket::Ticket;
use careful::hash::Root;
use careful::progress::Counters;
use careful::protocol::entry::Name;
use careful::protocol::failure::Failure;
use careful::protocol::receipt::Receipt;
use careful::receive::listen::Waiting;
use careful::receive::{Policy, RootPolicy};
use careful::seams::Environment;
use careful::seams::disk::Disk;
use careful::seams::os_disk::OsDisk;
use careful::send::{self, Observer, Plan};
use careful::wire::identity::KeyPair;
use tempfile::TempDir;

use super::door::{Watch, WatchedDisk};
use super::order::Order;
use crate::halves::{self, ANY_PORT};

/// How long a receiver waits for a sender, and a sender for an end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A source directory, a target directory, and one outside that nothing may touch.
#[derive(Debug)]
pub(super) struct Trial {
    directory: TempDir,
}

impl Trial {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for name in ["source", "target", "outside"] {
            fs::create_dir(directory.path().join(name)).expect("a directory can be made");
        }
        fs::write(directory.path().join("outside/kept"), "as it was").expect("a file can be written");
        Self { directory }
    }

    /// A path in this place.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Makes a file, with the directories above it.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a path in this place")).expect("directories can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    /// What is in a file; nothing if there is none.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }

    /// Fails if anything was made or changed outside.
    pub(super) fn assert_outside_is_untouched(&self) {
        let items = fs::read_dir(self.path("outside")).expect("a directory can be listed");
        let names: Vec<_> = items.map(|item| item.expect("a directory can be listed").file_name()).collect();
        assert_eq!(names, ["kept"], "something was made outside");
        assert_eq!(self.read("outside/kept").as_deref(), Some(&b"as it was"[..]), "a file outside was changed");
    }

    /// Sends the whole source over these disks.
    pub(super) fn transfer(&self, sender: Arc<dyn Disk>, receiver: Arc<dyn Disk>) -> Arc<Told> {
        self.transfer_told(sender, receiver, Told::default())
    }

    /// Sends the whole source, the receiver's disk under the watch of an order that also hears of receipts.
    pub(super) fn transfer_in_order(&self) -> (Arc<Told>, Arc<Order>) {
        let order = Arc::new(Order::default());
        let watch = Arc::clone(&order) as Arc<dyn Watch>;
        let told = Told { order: Some(Arc::clone(&order)), ..Told::default() };
        (self.transfer_told(Arc::new(OsDisk), WatchedDisk::over(Arc::new(OsDisk), watch), told), order)
    }

    fn transfer_told(&self, sender: Arc<dyn Disk>, receiver: Arc<dyn Disk>, told: Told) -> Arc<Told> {
        let told = Arc::new(told);
        run(async {
            let (ticket, receiving) = self.receiver(receiver, RootPolicy::NamedBySender, true);
            self.send(ticket, sender, &told).await;
            tokio::time::timeout(PATIENCE, receiving).await.expect("the receiver ends in time").expect("it ends well");
        });
        told
    }

    /// The real sender, to its end.
    pub(super) async fn send(&self, ticket: Ticket, disk: Arc<dyn Disk>, told: &Arc<Told>) {
        let plan = Plan {
            retry_for: Duration::from_secs(1),
            ..Plan::new(vec![self.path("source/")], self.path("target").as_os_str().as_bytes().to_vec())
        };
        let environment = Environment { disk, ..Environment::real() };
        let key = Arc::new(KeyPair::generate().expect("a key can be made"));
        let observer: Arc<dyn Observer> = Arc::clone(told) as Arc<dyn Observer>;
        let sending =
            send::run(environment, plan, Meeting::Ticket(ticket), key, observer, Arc::new(Counters::default()));
        tokio::time::timeout(PATIENCE, sending).await.expect("the sender ends in time");
    }

    /// The real receiver, into the target directory.
    pub(super) fn receiver(
        &self,
        disk: Arc<dyn Disk>,
        root: RootPolicy,
        replace: bool,
    ) -> (Ticket, tokio::task::JoinHandle<()>) {
        let environment = Environment { disk, ..Environment::real() };
        let policy = Policy { root, replace, ..halves::same_person() };
        halves::receive(environment, ANY_PORT, policy, Waiting { first: PATIENCE, again: PATIENCE })
    }
}

/// Runs a detector's future; what still runs after it is left behind.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = halves::runtime().expect("a runtime can be started");
    let answer = runtime.block_on(future);
    runtime.shutdown_background();
    answer
}

/// Name of the staging file of a target.
pub(super) fn staging_name(target: &str) -> String {
    let name = Name::new(target.as_bytes()).expect("a name").staging();
    name.into_string().expect("the name of a test is text")
}

/// What the sender told: receipts and failures by path below the destination.
#[derive(Debug, Default)]
pub(super) struct Told {
    receipts: Mutex<BTreeMap<String, Root>>,
    failures: Mutex<BTreeMap<String, Failure>>,
    order: Option<Arc<Order>>,
}

impl Told {
    /// The root that the file's receipt names.
    pub(super) fn receipt(&self, path: &str) -> Option<Root> {
        lock(&self.receipts).get(path).copied()
    }

    pub(super) fn failure(&self, path: &str) -> Option<Failure> {
        lock(&self.failures).get(path).copied()
    }

    /// Fails unless the file has a receipt and is what it should be.
    #[track_caller]
    pub(super) fn assert_right(&self, trial: &Trial, path: &str, bytes: &[u8]) {
        assert_eq!(self.failure(path), None, "{path} failed");
        assert_eq!(self.receipt(path), Some(Root(*blake3::hash(bytes).as_bytes())), "receipt of {path}");
        let is_right = trial.read(&format!("target/{path}")).as_deref() == Some(bytes);
        assert!(is_right, "SILENTLY WRONG: {path} has a receipt and is something else");
    }

    /// Fails unless the file failed so, without a receipt.
    #[track_caller]
    pub(super) fn assert_failed(&self, path: &str, failure: Failure) {
        assert_eq!(self.receipt(path), None, "a receipt where none may be: {path}");
        assert_eq!(self.failure(path), Some(failure), "{path}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Told {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit_once("/source/").map_or(path.as_ref(), |(_, name)| name);
        lock(&self.failures).insert(name.to_owned(), failure);
    }

    fn skipped(&self, _path: &[u8], _why: &str) {}

    fn trusted(&self, _path: &[u8]) {}

    fn committed(&self, receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {
        for file in &receipt.files {
            let path = String::from_utf8_lossy(&file.path).into_owned();
            if let Some(order) = &self.order {
                order.receipt(&path);
            }
            lock(&self.receipts).insert(path, Root(file.root));
        }
    }

    fn notice(&self, _words: &str) {}
}

/// Whether nothing is in a directory.
pub(super) fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("a directory can be listed").next().is_none()
}
