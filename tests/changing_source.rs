//! Sources that change while they are read: never a success for bytes that the source never had as a whole.
//!
//! The transfer is kept at the receiver's staging file, between the first look at a source and the last, while the
//! source is changed.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk past the program's own door"
)]

mod support;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{CHUNK, HeldStaging, Place, Ran, random_bytes, start, wait_for};

/// Something that happens to a source, and how it is called.
type Change = (&'static str, fn(&Path));

/// What can happen to a source.
const CHANGES: [Change; 9] = [
    ("grown", |path| append(path, b"more")),
    ("shrunken", |path| std::fs::OpenOptions::new().write(true).open(path).expect("a file").set_len(7).expect("cut")),
    ("emptied", |path| std::fs::write(path, b"").expect("a file")),
    ("overwritten", |path| {
        let length = path.metadata().expect("metadata").len() as usize;
        std::fs::write(path, random_bytes(length, 99)).expect("a file");
    }),
    ("replaced by another file", |path| {
        let other = path.with_file_name("other file");
        std::fs::write(&other, random_bytes(path.metadata().expect("metadata").len() as usize, 98)).expect("a file");
        std::fs::rename(&other, path).expect("renamed");
    }),
    ("replaced by a directory", |path| {
        std::fs::remove_file(path).expect("removed");
        std::fs::create_dir(path).expect("a directory");
    }),
    ("replaced by a link", |path| {
        std::fs::rename(path, path.with_file_name("moved away")).expect("renamed");
        symlink("moved away", path).expect("a link");
    }),
    ("replaced by a fifo", |path| {
        std::fs::remove_file(path).expect("removed");
        support::make_fifo(path);
    }),
    ("removed", |path| std::fs::remove_file(path).expect("removed")),
];

fn append(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(bytes).expect("written");
}

/// Sends `src/` while `src/file` is changed after it was opened or read for the first time.
fn changed_under_way(place: &Place, change: fn(&Path)) -> Ran {
    place.directory("d");
    let held = HeldStaging::new(&place.path("d"), "file");
    let mut running = start(&mut place.sender(&["--json", "src/", "d"]));
    held.wait_until_wanted_by(running.receiver().expect("a receiver"));
    change(&place.path("src/file"));
    held.release();
    running.finish()
}

#[test]
fn a_large_source_that_changes_under_way_fails_alone_whatever_happens_to_it() {
    for (what, change) in CHANGES {
        let place = Place::new();
        place.random("src/file", 3 * CHUNK + 1, 1);
        let large = place.random("src/another", 2 * CHUNK, 2);
        place.write("src/small", b"small");
        let ran = changed_under_way(&place, change);
        assert_eq!(ran.code, 24, "{what}: {ran:?}");
        assert_eq!(ran.failed(), [("src/file".to_owned(), 24)], "{what}");
        assert_eq!(ran.receipted(), ["another", "small"], "{what}");
        assert!(ran.stderr.contains(if what == "removed" { "vanished" } else { "changed" }), "{what}: {ran:?}");
        assert!(!place.has("d/file"), "{what}");
        assert!(place.read("d/another") == large && place.read("d/small") == b"small", "{what}");
    }
}

#[test]
fn a_small_source_that_changes_under_way_arrives_as_it_was_or_fails_alone() {
    for (what, change) in CHANGES {
        let place = Place::new();
        let before = place.random("src/file", 1000, 1);
        place.write("src/small", b"small");
        let ran = changed_under_way(&place, change);
        if ran.code == 0 {
            // It changed after it had been read twice.
            assert_eq!(place.read("d/file"), before, "{what}");
        } else {
            assert_eq!(ran.code, 24, "{what}: {ran:?}");
            assert_eq!(ran.failed(), [("src/file".to_owned(), 24)], "{what}");
            assert!(!place.has("d/file"), "{what}");
        }
        assert!(ran.receipted().contains(&"small".to_owned()), "{what}: {ran:?}");
        assert_eq!(place.read("d/small"), b"small", "{what}");
    }
}

#[test]
fn once_the_source_rests_the_same_command_sends_only_what_changed() {
    let place = Place::new();
    place.random("src/file", 8 * CHUNK, 1);
    changed_under_way(&place, |path| append(path, b"more")).exits(24);
    let ran = place.send(&["src/", "d"]).exits(0);
    assert!(place.read("d/file") == place.read("src/file"));
    assert!(ran.count("sent_bytes") <= 8 * CHUNK as u64 + 4, "{ran:?}");
    assert!(place.staging_files("d").is_empty());
}

#[test]
fn an_old_target_stays_when_its_source_changes_under_way() {
    let place = Place::new();
    for length in [1000, 3 * CHUNK] {
        place.random("src/file", length, 1);
        place.write("d/file", b"the old target");
        let ran = changed_under_way(&place, |path| append(path, b"more"));
        let found = place.read("d/file");
        match ran.code {
            24 => assert_eq!(found, b"the old target"),
            0 => assert!(found == random_bytes(length, 1)),
            _ => panic!("{ran:?}"),
        }
    }
}

#[test]
fn a_source_that_never_rests_arrives_as_one_of_its_states_or_fails_alone() {
    let place = Place::new();
    let before = place.random("src/log", 48 * CHUNK, 1);
    place.write("src/small", b"small");
    let (path, over, appended) = (place.path("src/log"), AtomicBool::new(false), AtomicBool::new(false));
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("a file");
            while !over.load(Ordering::Relaxed) {
                file.write_all(b"one more line\n").expect("written");
                appended.store(true, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        wait_for("the first line", || appended.load(Ordering::Relaxed));
        let running = start(&mut place.sender(&["--json", "src/", "d"]));
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.finish()));
        over.store(true, Ordering::Relaxed);
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_eq!(place.read("d/small"), b"small");
    match ran.code {
        24 => assert!(!place.has("d/log"), "{ran:?}"),
        0 => {
            let (found, source) = (place.read("d/log"), place.read("src/log"));
            assert!(found.starts_with(&before) && source.starts_with(&found), "{ran:?}");
        }
        _ => panic!("{ran:?}"),
    }
}
