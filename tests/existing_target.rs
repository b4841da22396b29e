//! Targets that exist: left alone when equal, replaced as a whole when not, refused when they must not be touched.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk past the program's own door"
)]

mod support;

use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use support::{
    CHUNK, HeldStaging, Item, Place, make_fifo, root_of, set_mode, set_modified, start, tree, words, words_possible,
};

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().expect("metadata").ino()
}

#[test]
fn an_equal_target_is_read_back_and_receipted_but_not_touched() {
    let place = Place::new();
    place.write("src/small", b"small");
    place.write("src/empty", b"");
    place.random("src/large", 3 * CHUNK + 1, 1);
    place.send(&["src/", "d"]).exits(0);
    let before: Vec<_> = ["small", "empty", "large"].map(|name| inode(&place.path("d").join(name))).into();
    let tree_before = tree(&place.path("d"));
    let ran = place.send(&["src/", "d"]).exits(0);
    assert_eq!(before, ["small", "empty", "large"].map(|name| inode(&place.path("d").join(name))));
    assert_eq!(tree(&place.path("d")), tree_before);
    assert_eq!(ran.receipted(), ["empty", "large", "small"]);
    assert_eq!((ran.count("sent_bytes"), ran.count("unchanged_files")), (0, 3));
    assert_eq!(ran.count("reused_bytes"), 3 * CHUNK as u64 + 1 + 5);
    assert_eq!(words(&ran.summary()), words_possible(&place.path("d")));
}

#[test]
fn an_equal_target_gets_the_mode_and_time_of_the_source() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", CHUNK + 1)] {
        let bytes = place.random(name, length, 1);
        place.write(format!("d/{name}"), &bytes);
        set_mode(&place.path(name), 0o600);
        set_modified(&place.path(name), 1_000_000_000, 7);
        let before = inode(&place.path("d").join(name));
        let ran = place.send(&[name, "d"]).exits(0);
        assert_eq!(ran.count("sent_bytes"), 0);
        assert_eq!(inode(&place.path("d").join(name)), before);
        assert_eq!(Item::of(&place.path("d").join(name)), Item::of(&place.path(name)));
    }
}

#[test]
fn a_target_that_differs_is_replaced_and_whoever_has_it_open_keeps_the_old_bytes() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", CHUNK + 1), ("longer before", 9)] {
        let new = place.random(name, length, 1);
        let old = place.random(format!("d/{name}"), 2 * CHUNK + 2, 2);
        let mut reader = std::fs::File::open(place.path("d").join(name)).expect("the old target");
        let mut read = vec![0; CHUNK];
        reader.read_exact(&mut read).expect("the old bytes");
        let ran = place.send(&[name, "d"]).exits(0);
        assert_eq!(ran.count("unchanged_files"), 0);
        assert_eq!(place.read(Path::new("d").join(name)), new);
        reader.rewind().expect("the beginning");
        read.clear();
        reader.read_to_end(&mut read).expect("the old bytes");
        assert!(read == old, "{name}: a reader saw something else than the old target");
        assert_eq!(tree(&place.path("d")).len(), 1);
        std::fs::remove_file(place.path("d").join(name)).expect("removed");
    }
}

#[test]
fn of_a_large_file_only_the_chunk_that_changed_is_sent() {
    let place = Place::new();
    let length = 9 * CHUNK + 100;
    let mut bytes = place.random("large", length, 1);
    place.send(&["large", "d/"]).exits(0);
    for changed in [0, 4, 9] {
        // Of each replaced target anew: a file system may give the number of one that is gone to a later file.
        let before = inode(&place.path("d/large"));
        bytes[changed * CHUNK + 50] ^= 1;
        place.write("large", &bytes);
        let ran = place.send(&["large", "d"]).exits(0);
        let chunk = CHUNK.min(length - changed * CHUNK) as u64;
        assert_eq!(ran.count("sent_bytes"), chunk);
        assert_eq!(ran.count("reused_bytes"), length as u64 - chunk);
        assert_eq!(ran.events_of("receipt")[0]["root"], root_of(&bytes));
        assert!(place.read("d/large") == bytes, "after a change of chunk {changed}");
        assert_ne!(inode(&place.path("d/large")), before, "never written in place");
    }
}

#[test]
fn what_a_shorter_or_longer_target_holds_is_reused() {
    let place = Place::new();
    let bytes = place.random("large", 6 * CHUNK, 1);
    place.write("d/large", &bytes[..4 * CHUNK + 10]);
    let ran = place.send(&["large", "d"]).exits(0);
    assert_eq!(ran.count("sent_bytes"), 2 * CHUNK as u64);
    assert!(place.read("d/large") == bytes);
    place.write("large", &bytes[..5 * CHUNK]);
    let ran = place.send(&["large", "d"]).exits(0);
    assert_eq!(ran.count("sent_bytes"), 0);
    assert!(place.read("d/large") == bytes[..5 * CHUNK]);
}

#[test]
fn without_permission_to_replace_equal_targets_are_receipted_and_others_refused() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        let bytes = place.random(format!("src/{name} equal"), length, 1);
        place.write(format!("d/{name} equal"), &bytes);
        place.random(format!("src/{name} other"), length, 2);
        place.random(format!("d/{name} other"), length, 3);
        place.random(format!("src/{name} longer"), length, 4);
        place.random(format!("d/{name} longer"), length + 1, 4);
        place.random(format!("src/{name} new"), length, 5);
    }
    let before = tree(&place.path("d"));
    let ran = place.send(&["--no-replace", "src/", "d"]).exits(23);
    assert_eq!(ran.receipted(), ["large equal", "large new", "small equal", "small new"]);
    let refused = ["large longer", "large other", "small longer", "small other"];
    assert_eq!(ran.failed(), refused.map(|name| (format!("src/{name}"), 25)));
    let after = tree(&place.path("d"));
    for name in refused {
        assert_eq!(after[Path::new(name)], before[Path::new(name)]);
    }
    assert_eq!(after.len(), before.len() + 2, "nothing else was left");
}

#[test]
fn when_every_file_is_refused_the_code_says_so() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        place.random(name, length, 1);
        let old = place.random(format!("d/{name}"), length, 2);
        let ran = place.send(&["--no-replace", name, "d"]).exits(25);
        assert!(ran.stderr.contains("may not be replaced") && ran.stderr.contains("hint: "), "{ran:?}");
        assert_eq!(ran.count("files"), 0);
        assert_eq!(place.read(Path::new("d").join(name)), old);
    }
    place.send(&["--no-replace", "small", "large", "d"]).exits(25);
}

#[test]
fn quick_trusts_size_and_time_reads_nothing_and_gives_no_receipt() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        place.random(format!("src/{name}"), length, 1);
        // Same length and time, other bytes: what trusting means.
        place.random(format!("d/{name}"), length, 2);
        for path in [format!("src/{name}"), format!("d/{name}")] {
            set_modified(&place.path(path), 1_000_000_000, 3);
        }
    }
    place.write("src/new", b"new");
    let before = tree(&place.path("d"));
    let ran = place.send(&["--quick", "src/", "d"]).exits(0);
    assert_eq!(ran.receipted(), ["new"]);
    assert_eq!((ran.count("trusted_files"), ran.count("files"), ran.count("sent_bytes")), (2, 1, 3));
    assert_eq!(ran.events_of("trusted").len(), 2);
    for name in ["small", "large"] {
        assert_eq!(tree(&place.path("d"))[Path::new(name)], before[Path::new(name)]);
    }
    let ran = place.send(&["src/", "d"]).exits(0);
    assert_eq!(ran.count("unchanged_files"), 1);
    assert_eq!(tree(&place.path("d")), tree(&place.path("src")));
}

#[test]
fn quick_does_not_trust_another_size_or_another_time() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        let bytes = place.random(name, length, 1);
        place.random(format!("d/{name}"), length, 2);
        set_modified(&place.path(name), 1_000_000_000, 3);
        set_modified(&place.path("d").join(name), 1_000_000_000, 4);
        place.send(&["--quick", name, "d"]).exits(0);
        assert_eq!(place.read(Path::new("d").join(name)), bytes);
        place.random(format!("d/{name}"), length + 1, 2);
        set_modified(&place.path("d").join(name), 1_000_000_000, 3);
        place.send(&["--quick", name, "d"]).exits(0);
        assert_eq!(place.read(Path::new("d").join(name)), bytes);
    }
}

#[test]
fn a_requirement_is_not_met_by_trust() {
    let place = Place::new();
    place.random("a", 5, 1);
    place.send(&["a", "d/"]).exits(0);
    place.send(&["--quick", "--require", "durable=no", "a", "d/"]).exits(42);
}

#[test]
fn a_target_that_is_no_regular_file_is_refused_and_never_followed() {
    let place = Place::new();
    place.write("outside", b"outside");
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        for kind in ["directory", "link", "dangling link", "fifo"] {
            let file = format!("{name} {kind}");
            place.random(&file, length, 1);
            let target = place.path("d").join(&file);
            place.directory("d");
            match kind {
                "directory" => place.directory(format!("d/{file}/inner")),
                "link" => symlink(place.path("outside"), &target).expect("a link"),
                "dangling link" => symlink(place.path("nowhere"), &target).expect("a link"),
                _ => make_fifo(&target),
            }
            let before = Item::of(&target);
            let ran = place.send(&[file.as_str(), "d"]).exits(25);
            assert!(ran.stderr.contains("not a regular file"), "{ran:?}");
            assert_eq!(Item::of(&target), before);
        }
    }
    assert_eq!(place.read("outside"), b"outside");
    assert!(!place.has("nowhere") && place.staging_files("d").is_empty());
}

#[test]
fn a_file_where_a_directory_should_be_fails_what_lies_below_and_nothing_else() {
    let place = Place::new();
    place.write("src/a/b", b"b");
    place.random("src/a/large", CHUNK + 1, 1);
    place.write("src/c", b"c");
    place.write("d/a", b"a file");
    let ran = place.send(&["src/", "d"]).exits(23);
    assert_eq!(ran.receipted(), ["c"]);
    assert!(ran.failed().contains(&("src/a/b".to_owned(), 23)), "{ran:?}");
    assert!(ran.failed().contains(&("src/a/large".to_owned(), 23)), "{ran:?}");
    assert_eq!(place.read("d/a"), b"a file");
}

/// Lets a transfer of `file` into `d` look at its target, changes that, and lets the transfer go on.
fn target_changes_after_the_offer(place: &Place, file: &str, change: impl FnOnce(&Path)) {
    let held = HeldStaging::new(&place.path("d"), file);
    let mut running = start(&mut place.sender(&["--json", file, "d"]));
    held.wait_until_wanted_by(running.receiver().expect("a receiver"));
    change(&place.path("d").join(file));
    held.release();
    let ran = running.finish().exits(25);
    assert!(ran.stderr.contains("changed by somebody else"), "{ran:?}");
}

#[test]
fn a_target_that_appears_or_changes_after_the_offer_is_not_replaced() {
    let place = Place::new();
    place.directory("d");
    for (file, length) in [("small", 5), ("large", 2 * CHUNK)] {
        place.random(file, length, 1);
        target_changes_after_the_offer(&place, file, |target| std::fs::write(target, b"new").expect("a file"));
        assert_eq!(place.read(Path::new("d").join(file)), b"new");
        target_changes_after_the_offer(&place, file, |target| std::fs::write(target, b"changed").expect("a file"));
        assert_eq!(place.read(Path::new("d").join(file)), b"changed");
        place.send(&[file, "d"]).exits(0);
        assert_eq!(place.read(Path::new("d").join(file)), place.read(file));
    }
}
