//! `--move`: a source goes once its receipt is stored and proves everything; any other stays.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use careful::connect::meeting::Meeting;
use careful::hash::Root;
use careful::outcome::{Ended, Observer};
use careful::progress::Counters;
use careful::protocol::failure::Failure;
use careful::protocol::receipt::Receipt;
use careful::seams::Environment;
use careful::send::{Plan, run};
use careful::wire::identity::KeyPair;
use support::{Place, skipped, tree, words_possible};

/// A place whose file system lets a receipt prove everything.
fn place() -> Option<Place> {
    let place = Place::new();
    if words_possible(&place.path("")) == ["reread", "device", "yes"] {
        return Some(place);
    }
    skipped("no receipt proves everything on this file system, so nothing is moved");
    None
}

fn paths(place: &Place, directory: &str) -> Vec<PathBuf> {
    tree(&place.path(directory)).into_keys().collect()
}

#[test]
fn a_moved_tree_is_there_and_no_more_here_and_its_receipts_are_stored() {
    let Some(place) = place() else { return };
    let large = place.random("s/a/large", 3 << 20, 1);
    place.random("s/a/b/small", 1000, 2);
    place.directory("s/empty");
    let ran = place.send(&["--move", "--receipts", "receipts", "s", "d"]).exits(0);
    assert!(!place.has("s"), "{:?}", paths(&place, "s"));
    assert_eq!(place.read("d/s/a/large"), large);
    assert_eq!(paths(&place, "d/s").len(), 5);
    assert_eq!((ran.count("removed_sources"), ran.events_of("source-removed").len()), (2, 2));
    let receipts = String::from_utf8(place.read("receipts")).expect("text");
    assert!(receipts.contains("a/large") && receipts.contains("a/b/small"), "{receipts}");
}

#[test]
fn with_a_trailing_slash_the_source_itself_stays() {
    let Some(place) = place() else { return };
    place.write("s/a/file", b"1");
    place.send(&["--move", "--receipts", "receipts", "s/", "d"]).exits(0);
    assert_eq!((paths(&place, "s").len(), place.read("d/a/file")), (0, b"1".to_vec()));
}

#[test]
fn what_is_not_sent_stays_with_the_directories_above_it() {
    let Some(place) = place() else { return };
    place.write("s/a/sent", b"1");
    place.write("s/a/kept.o", b"2");
    place.write("s/b/sent", b"3");
    place.directory("s/b/c");
    symlink("sent", place.path("s/b/c/link")).expect("a link");
    place.send(&["--move", "--receipts", "r", "--exclude", "*.o", "s", "d"]).exits(23);
    let left = ["a", "a/kept.o", "b", "b/c", "b/c/link"].map(PathBuf::from);
    assert_eq!(paths(&place, "s"), left);
}

#[test]
fn what_was_there_already_is_proved_again_and_then_moved() {
    let Some(place) = place() else { return };
    place.write("s/file", b"1");
    place.send(&["s", "d"]).exits(0);
    let ran = place.send(&["--move", "--receipts", "r", "s", "d"]).exits(0);
    assert_eq!((ran.count("unchanged_files"), ran.count("removed_sources")), (1, 1));
    assert!(!place.has("s") && place.has("d/s/file"));
}

#[test]
fn a_receipt_that_proves_less_leaves_the_source() {
    let place = Place::new();
    place.write("s/file", b"1");
    let Some(_mount) = support::Mount::tmpfs(&place.path("d"), "size=4m") else { return };
    let ran = place.send(&["--move", "--receipts", "r", "s", "d"]).exits(42);
    assert!(place.has("d/s/file") && place.has("s/file"));
    assert_eq!(ran.count("removed_sources"), 0);
}

#[test]
fn receipts_that_cannot_be_kept_stop_everything() {
    let Some(place) = place() else { return };
    place.write("s/file", &[7; 3 << 20]);
    // Not a file that anything could be appended to.
    let ran = place.send(&["--move", "--receipts", "/dev/full", "s", "d"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(place.has("s/file"));
}

/// Answers what it is told to, and does something when it is asked.
struct Asked<F>(bool, F, Mutex<Vec<Failure>>);

impl<F> std::fmt::Debug for Asked<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Asked")
    }
}

impl<F: Fn() + Send + Sync> Observer for Asked<F> {
    fn failed(&self, _path: &[u8], failure: Failure, _detail: Option<&str>) {
        self.2.lock().expect("no panic").push(failure);
    }
    fn skipped(&self, _path: &[u8], _why: &str) {}
    fn trusted(&self, _path: &[u8]) {}
    fn committed(&self, _receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {}
    fn notice(&self, _words: &str) {}
    fn stores_receipts(&self) -> bool {
        (self.1)();
        self.0
    }
}

/// Runs a plan in this process; the receiver is a child.
fn transfer(plan: Plan, stores: bool, when_asked: impl Fn() + Send + Sync + 'static) -> Vec<Failure> {
    let observer = Arc::new(Asked(stores, when_asked, Mutex::default()));
    let key = Arc::new(KeyPair::generate().expect("a key"));
    let meeting = Meeting::child(Path::new(env!("CARGO_BIN_EXE_careful-recv")).to_owned());
    let told = Arc::clone(&observer) as Arc<dyn Observer>;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(run(Environment::real(), plan, meeting, key, told, Arc::new(Counters::default())));
    assert!(matches!(ended, Ended::Complete), "{ended:?}");
    observer.2.lock().expect("no panic").clone()
}

fn plan(place: &Place) -> Plan {
    use std::os::unix::ffi::OsStrExt;
    Plan::new(vec![place.path("s")], place.path("d").as_os_str().as_bytes().to_vec())
}

#[test]
fn a_source_that_changed_after_it_was_read_stays() {
    for length in [1000, 3 << 20] {
        let Some(place) = place() else { return };
        place.random("s/file", length, 1);
        let file = place.path("s/file");
        let touch = move || std::fs::write(&file, b"newer").expect("a file");
        let failed = transfer(Plan { move_sources: true, ..plan(&place) }, true, touch);
        assert_eq!(failed, [Failure::SourceChanged]);
        assert_eq!(place.read("s/file"), b"newer");
    }
}

#[test]
fn without_the_word_that_receipts_are_stored_every_source_stays() {
    let Some(place) = place() else { return };
    place.random("s/file", 1000, 1);
    let failed = transfer(Plan { move_sources: true, ..plan(&place) }, false, || {});
    assert_eq!(failed, [Failure::ReceiptNotStored]);
    assert!(place.has("s/file") && place.has("d/s/file"));
}

#[test]
fn what_is_not_what_came_in_is_never_committed() {
    for length in [1000, 3 << 20] {
        let place = Place::new();
        let bytes = place.random("s", length, 1);
        let wrong = Plan { expected: Some(Root([7; 32])), second_read: false, ..plan(&place) };
        assert_eq!(transfer(wrong, false, || {}), [Failure::SpoolDamaged]);
        assert!(!place.has("d"), "no file of {length} bytes");
        let right = Plan { expected: Some(Root::of(&bytes)), second_read: false, ..plan(&place) };
        assert_eq!(transfer(right, false, || {}), []);
        assert_eq!(place.read("d"), bytes);
    }
}
