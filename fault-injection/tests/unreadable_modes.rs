//! Files whose mode does not let even their owner read them, sent by root to somebody who is not: staged, read back, committed,
//! and found again. The disk in memory asks for permission as of an ordinary owner.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use careful::connect::meeting::Meeting;
use careful::progress::Counters;
use careful::protocol::entry::Name;
use careful::protocol::failure::Failure;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::protocol::receipt::Receipt;
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::send::{self, Ended, Observer};
use careful::wire::identity::KeyPair;
use careful_faults::crash_disk::MemoryDisk;
use careful_faults::halves::{self, ANY_PORT};
use careful_faults::rig::content;

const FILES: [(&str, usize); 2] = [("small", 3000), ("large", 2 * CHUNK_BYTES_DEFAULT as usize + 7)];

/// Receipts and failures as they were told.
#[derive(Debug, Default)]
struct Told(Mutex<(usize, Vec<Failure>)>);

impl Observer for Told {
    fn failed(&self, _path: &[u8], failure: Failure, _detail: Option<&str>) {
        self.0.lock().unwrap().1.push(failure);
    }

    fn skipped(&self, _path: &[u8], _why: &str) {}

    fn trusted(&self, _path: &[u8]) {}

    fn committed(&self, receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {
        self.0.lock().unwrap().0 += receipt.files.len();
    }

    fn notice(&self, _words: &str) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_its_owner_may_not_read_is_committed_and_by_a_rerun_again() {
    for mode in [0o000, 0o200] {
        let place = tempfile::tempdir().unwrap();
        let Some(sources) = sources(place.path(), mode) else { return };
        let disk = disk();
        for _ in 0..2 {
            assert_sent(&sources, &disk, mode).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staging_file_that_its_owner_may_not_read_is_no_end_of_it() {
    for mode in [0o000, 0o200] {
        let place = tempfile::tempdir().unwrap();
        let Some(sources) = sources(place.path(), mode) else { return };
        let disk = disk();
        for (name, length) in FILES {
            let staging = Path::new("/target").join(Name::new(name.as_bytes()).unwrap().staging());
            disk.put_file(&staging, &content(length as u64, length), mode);
        }
        assert_sent(&sources, &disk, mode).await;
    }
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::default();
    disk.put_directory(Path::new("/target"), 0o755);
    disk
}

/// Files with this mode on the real disk; nothing for anybody but root, who alone can read them.
#[expect(clippy::disallowed_methods, reason = "the source is made past the doors")]
fn sources(place: &Path, mode: u32) -> Option<Vec<PathBuf>> {
    use std::os::unix::fs::PermissionsExt;
    let made = FILES.map(|(name, length)| {
        let path = place.join(name);
        std::fs::write(&path, content(length as u64, length)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    });
    std::fs::read(&made[0]).is_ok().then(|| made.to_vec())
}

async fn assert_sent(sources: &[PathBuf], disk: &MemoryDisk, mode: u32) {
    let told = send(sources, disk).await;
    let (receipts, failures) = &*told.0.lock().unwrap();
    assert_eq!((*receipts, &failures[..]), (2, &[][..]), "mode {mode:o}");
    let tree = disk.tree();
    for (name, length) in FILES {
        let file = tree.file(&Path::new("/target").join(name)).unwrap();
        assert_eq!((file.mode, file.content.to_vec()), (mode, content(length as u64, length)), "{name}");
    }
    assert_eq!(
        tree.paths().iter().filter(|(path, _)| path.starts_with("/target")).count(),
        3,
        "a staging file is left"
    );
}

async fn send(sources: &[PathBuf], target: &MemoryDisk) -> Arc<Told> {
    let environment = Environment { disk: Arc::new(target.clone()), ..Environment::real() };
    let waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(5) };
    let (ticket, receiving) = halves::receive(environment, ANY_PORT, halves::same_person(), waiting);
    let plan =
        send::Plan { retry_for: Duration::from_secs(5), ..send::Plan::new(sources.to_vec(), b"/target".to_vec()) };
    let told = Arc::new(Told::default());
    let observer = Arc::clone(&told) as Arc<dyn Observer>;
    let key = Arc::new(KeyPair::generate().unwrap());
    let counters = Arc::new(Counters::default());
    let sending = send::run(Environment::real(), plan, Meeting::Ticket(ticket), key, observer, counters);
    let ended = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap();
    assert!(matches!(ended, Ended::Complete), "{ended:?}");
    receiving.abort();
    told
}
