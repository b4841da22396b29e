//! After both halves have returned, whatever went wrong, no thread and no task of theirs is left. The only test of its
//! process, as it counts the threads of the whole process.

#![expect(clippy::disallowed_methods, reason = "looks at the threads and the disk past the doors")]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use careful::connect::meeting::Meeting;
use careful::progress::Counters;
use careful::protocol::failure::Failure;
use careful::protocol::receipt::Receipt;
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::send::{self, Observer};
use careful::wire::identity::KeyPair;
use careful_faults::atlas::Atlas;
use careful_faults::buffer::FaultyBuffers;
use careful_faults::disk::FaultyDisk;
use careful_faults::halves::{self, ANY_PORT};
use careful_faults::plan::{Plan, Side};
use careful_faults::rig::content;

/// For one run, and for what is left after it to end.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn failed(&self, _path: &[u8], _failure: Failure, _detail: Option<&str>) {}
    fn skipped(&self, _path: &[u8], _why: &str) {}
    fn trusted(&self, _path: &[u8]) {}
    fn committed(&self, _receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {}
    fn notice(&self, _words: &str) {}
}

/// More than fits between the stages, in bytes.
const LARGE: usize = (20 << 20) + 5;

fn environment(side: Side, plan: &Arc<Plan>) -> Environment {
    let (large, small) = (content(1, LARGE), content(2, 5000));
    let atlas = Atlas::new([(&b"large"[..], large.as_slice()), (b"small", &small)], 1 << 20);
    let Environment { disk, buffers: _, packets } = Environment::real();
    let disk = Arc::new(FaultyDisk::new(disk, side, Arc::clone(plan)));
    Environment { disk, buffers: Arc::new(FaultyBuffers::new(Arc::clone(plan), Arc::new(atlas))), packets }
}

/// Runs both halves over the doors of this plan until both have returned.
async fn transfer(place: &Path, plan: &Arc<Plan>) {
    let waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(1) };
    let (ticket, receiving) =
        halves::receive(environment(Side::Receiver, plan), ANY_PORT, halves::same_person(), waiting);
    let wanted = send::Plan {
        retry_for: Duration::from_secs(1),
        ..send::Plan::new(vec![place.join("source/")], place.join("target").as_os_str().as_bytes().to_vec())
    };
    let key = Arc::new(KeyPair::generate().expect("a key can be made"));
    let sender = environment(Side::Sender, plan);
    send::run(sender, wanted, Meeting::Ticket(ticket), key, Arc::new(Silent), Arc::new(Counters::default())).await;
    receiving.await.expect("the receiver does not panic");
}

/// Threads of the halves and of the faulty queues, by name.
fn threads() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").expect("/proc").flatten() {
        // It may be gone by now.
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let of_stages = ["source", "origin", "hash", "verify", "stage", "read-back"];
        if of_stages.contains(&name.trim()) || name.starts_with("faults") {
            *found.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    found
}

/// Whether threads were seen while this ran: else to see none afterwards says nothing.
async fn watched(running: impl Future<Output = ()>) -> bool {
    let (mut running, mut seen) = (std::pin::pin!(running), false);
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    loop {
        tokio::select! {
            () = &mut running => return seen,
            _ = looks.tick() => seen = seen || !threads().is_empty(),
        }
    }
}

#[test]
fn nothing_is_left_of_either_half_whatever_went_wrong() {
    for plan in [
        "",
        "source-to-hash large 0 *1 drop",
        "hash-to-upload large 1 *1 drop",
        "wire-to-verify large 1 #1 drop; verify-to-stage large 2 #1 drop",
        "source-read large 1 #1 eio",
        "source-read-past-cache large 1 *1 flip 17.3",
        "staging-write large 0 #1 eio; staging-write small 0 #1 eio",
        "file-sync large 0 #1 eio",
        "read-back large 1 #1 eio",
        "rename large 0 #1 eio",
        "wire-to-verify large 1 *1 flip 17.3",
    ] {
        let place = tempfile::tempdir().expect("a directory can be made");
        for name in ["source", "target"] {
            std::fs::create_dir(place.path().join(name)).expect("a directory can be made");
        }
        std::fs::write(place.path().join("source/large"), content(1, LARGE)).expect("a source can be written");
        std::fs::write(place.path().join("source/small"), content(2, 5000)).expect("a source can be written");
        let faults: Arc<Plan> = Arc::new(plan.parse().expect("a plan"));
        let runtime = halves::runtime().expect("a runtime can be started");
        let seen =
            runtime.block_on(async { tokio::time::timeout(LIMIT, watched(transfer(place.path(), &faults))).await });
        assert_eq!(seen, Ok(true), "ended in time, and its threads can be seen\nreplay: {plan}");
        let missing = faults.not_fired();
        assert!(missing.is_empty(), "never took effect: {missing:?}\nreplay: {plan}");
        // The runtime still runs: what waits in it for ever would be seen.
        let deadline = Instant::now() + LIMIT;
        let tasks = || runtime.metrics().num_alive_tasks();
        while tasks() > 0 || !threads().is_empty() {
            assert!(Instant::now() < deadline, "{} tasks and {:?} are left\nreplay: {plan}", tasks(), threads());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
