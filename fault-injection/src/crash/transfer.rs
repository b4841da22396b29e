//! One transfer between two memory disks: both real halves, over QUIC on loopback.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful::connect::meeting::Meeting;
use careful::progress::Counters;
use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful::protocol::receipt::{Receipt, ReceiptFile};
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::seams::disk::Disk;
use careful::send::{self, Ended, Observer};
use careful::wire::identity::{KeyPair, PublicKey};

use super::configuration::SOURCE;
use crate::crash_disk::MemoryDisk;
use crate::halves::{self, ANY_PORT};

/// Longest time that one transfer may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a receiver waits for its sender, and for it to come back.
const WAITING: Waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(10) };
/// How long a receiver may take to end after its sender has.
const RECEIVER_END: Duration = Duration::from_secs(15);

/// What the sender was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Files below the destination, with what their receipts say.
    pub(super) receipts: BTreeMap<PathBuf, ReceiptFile>,
    pub(super) failures: Vec<(PathBuf, Failure, Option<String>)>,
    /// How it ended, if both halves ended in time.
    pub(super) ended: Option<Ended>,
}

/// Sends everything below [`SOURCE`] to the destination. Each receipt puts the path of each of its files as a mark into the
/// log of the receiver's disk; its receiver has done nothing for these files since it left.
///
/// # Panics
/// If the two halves cannot be set up.
pub(super) async fn run(sender: &MemoryDisk, receiver: &MemoryDisk, destination: &Path, keep: Keep) -> Told {
    let (ticket, receiving) = halves::receive(environment(receiver), ANY_PORT, halves::same_person(), WAITING);
    let plan = send::Plan {
        retry_for: Duration::from_secs(20),
        keep,
        ..send::Plan::new(vec![PathBuf::from(SOURCE)], destination.as_os_str().as_bytes().to_vec())
    };
    let key = Arc::new(KeyPair::generate().expect("a key can be made"));
    let watch = Arc::new(Watch { receiver: receiver.clone(), told: Mutex::default() });
    let observer: Arc<dyn Observer> = Arc::clone(&watch) as Arc<dyn Observer>;
    let meeting = Meeting::Ticket(ticket);
    let sending = send::run(environment(sender), plan, meeting, key, observer, Arc::new(Counters::default()));
    let both = async {
        let ended = tokio::time::timeout(LIMIT, sending).await.ok()?;
        tokio::time::timeout(RECEIVER_END, receiving).await.ok()?.expect("the receiver does not panic");
        Some(ended)
    };
    let ended = both.await;
    let mut told = std::mem::take(&mut *watch.told());
    told.ended = ended;
    told
}

fn environment(disk: &MemoryDisk) -> Environment {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Environment { disk, ..Environment::real() }
}

/// Writes down what the sender tells, and marks receipts in the receiver's log.
#[derive(Debug)]
struct Watch {
    receiver: MemoryDisk,
    told: Mutex<Told>,
}

impl Watch {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problem(&self, path: &[u8], failure: Failure, detail: Option<String>) {
        self.told().failures.push((path_from(path), failure, detail));
    }
}

fn path_from(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

impl Observer for Watch {
    fn failed(&self, path: &[u8], failure: Failure, detail: Option<&str>) {
        self.problem(path, failure, detail.map(str::to_owned));
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.problem(path, Failure::Protocol, Some(format!("skipped: {why}")));
    }

    fn trusted(&self, path: &[u8]) {
        self.problem(path, Failure::Protocol, Some("trusted without being asked to".to_owned()));
    }

    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], _unchanged: &[bool]) {
        if !PublicKey(receipt.receiver).verify(&receipt.statement(), signature) {
            return;
        }
        for file in &receipt.files {
            let path = path_from(&file.path);
            self.receiver.mark(&path.to_string_lossy());
            self.told().receipts.insert(path, file.clone());
        }
    }

    fn notice(&self, _words: &str) {}
}
