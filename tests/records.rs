//! Origin records in transfers: the receiver stores one with each copy, and a sender that meets one relies on it as far as
//! it fits.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::path::Path;

use careful::hash::Root;
use careful::record::{ATTRIBUTE, Record};
use rustix::fs::XattrFlags;
use serde_json::Value;
use support::{
    CHUNK, Mount, Place, Ran, flip_in_image, make_ext4, run, set_mode, set_modified, skipped, start, stored_record,
    words_possible,
};

const FILES: [&str; 4] = ["empty", "large", "larger", "small"];

/// A tree of files of every kind, sent to `copy` so that its files have records.
fn place_with_records() -> Option<Place> {
    let place = Place::new();
    place.write("src/empty", b"");
    place.random("src/small", 5000, 1);
    place.random("src/large", 3 * CHUNK + 100, 2);
    place.random("src/larger", 70 * CHUNK, 3);
    for name in FILES {
        set_modified(&place.path("src").join(name), 1_700_000_000, 123_456_789);
    }
    let ran = place.send(&["src/", "copy"]).exits(0);
    assert_eq!(ran.receipted(), FILES);
    if record_of(&place.path("copy/small")).is_none() {
        skipped("this file system keeps no extended attributes");
        return None;
    }
    Some(place)
}

fn record_of(path: &Path) -> Option<Record> {
    stored_record(path).map(|bytes| Record::from_bytes(&bytes).expect("a record"))
}

fn store(path: &Path, bytes: &[u8]) {
    rustix::fs::setxattr(path, ATTRIBUTE, bytes, XattrFlags::empty()).expect("an attribute");
}

/// Flips a bit and sets the time back: the disk decayed, as far as anybody can tell from outside.
fn decay(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    set_modified(path, 1_700_000_000, 123_456_789);
}

/// Path and origin of each receipt.
fn origins(ran: &Ran) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().expect("a word").to_owned();
    let mut origins: Vec<_> =
        ran.events_of("receipt").iter().map(|event| (text(event, "path"), text(event, "origin"))).collect();
    origins.sort();
    origins
}

fn all(word: &str) -> Vec<(String, String)> {
    FILES.map(|name| (name.to_owned(), word.to_owned())).to_vec()
}

#[test]
fn a_copy_has_the_record_of_what_was_read_back() {
    let Some(place) = place_with_records() else { return };
    for name in FILES {
        assert_eq!(stored_record(&place.path("src").join(name)), None, "the source is never touched");
        let (bytes, record) = (place.read(Path::new("src").join(name)), record_of(&place.path("copy").join(name)));
        let record = record.expect("a record");
        assert_eq!((record.content.root, record.content.length_bytes), (Root::of(&bytes), bytes.len() as u64));
        assert_eq!((record.modified.seconds, record.modified.nanoseconds), (1_700_000_000, 123_456_789));
        let subtrees = record.content.subtrees.map(|subtrees| (subtrees.bytes, subtrees.values.len()));
        assert_eq!(
            subtrees,
            match name {
                "large" => Some((1 << 20, 4)),
                "larger" => Some((2 << 20, 35)),
                _ => None,
            }
        );
    }
}

#[test]
fn the_next_hop_relies_on_the_record_and_reads_once() {
    let Some(place) = place_with_records() else { return };
    let ran = place.send(&["copy/", "next"]).exits(0);
    assert_eq!(origins(&ran), all("recorded"));
    assert_eq!(ran.summary()["origin"], "recorded");
    for chunk_size in ["64KiB", "4MiB"] {
        let ran = place.send(&["--origin", "recorded", "--chunk-size", chunk_size, "next/", chunk_size]).exits(0);
        assert_eq!(origins(&ran), all("recorded"));
    }
    let ran = place.send(&["--origin", "reread", "copy/", "once more"]).exits(0);
    assert_eq!(origins(&ran), all(words_possible(&place.path("."))[0]));
}

#[test]
fn no_record_is_stored_where_that_was_not_wanted() {
    let Some(place) = place_with_records() else { return };
    place.send(&["--no-record", "copy/", "bare"]).exits(0);
    assert!(FILES.iter().all(|name| stored_record(&place.path("bare").join(name)).is_none()));
}

#[test]
fn a_file_that_differs_from_its_record_is_refused_and_the_others_arrive() {
    let Some(place) = place_with_records() else { return };
    place.random("next/small", 100, 9);
    place.random("next/large", 2 * CHUNK, 9);
    let before = [place.read("next/small"), place.read("next/large")];
    decay(&place.path("copy/small"), 17);
    decay(&place.path("copy/large"), 2 * CHUNK + 5);
    decay(&place.path("copy/larger"), 69 * CHUNK);
    let ran = place.send(&["copy/", "next"]).exits(41);
    let failed = ["copy/large", "copy/larger", "copy/small"].map(|path| (path.to_owned(), 41));
    assert_eq!((ran.failed(), ran.receipted()), (failed.to_vec(), vec!["empty".to_owned()]));
    assert!(ran.stderr.contains("between byte 2097152 and byte 3145728"), "{ran:?}");
    assert!(ran.stderr.contains("between byte 71303168 and byte 73400320"), "{ran:?}");
    assert!(ran.stderr.contains("hint: restore the source"), "{ran:?}");
    assert_eq!([place.read("next/small"), place.read("next/large")], before, "the targets are as they were");
    assert!(!place.has("next/larger"));
    let ran = place.send(&["--origin", "reread", "copy/", "next"]).exits(0);
    assert_eq!(ran.receipted(), FILES, "who ignores the record gets what is there");
}

#[test]
fn a_changed_file_is_told_of_once_and_read_twice() {
    let Some(place) = place_with_records() else { return };
    for name in FILES {
        set_modified(&place.path("copy").join(name), 1_700_000_001, 0);
    }
    let ran = place.send(&["copy/", "next"]).exits(0);
    assert_eq!(origins(&ran), all(words_possible(&place.path("."))[0]));
    assert_eq!(ran.stderr.matches("was changed since its record was made").count(), 1, "{ran:?}");
    assert_eq!(record_of(&place.path("copy/small")).expect("a record").modified.seconds, 1_700_000_000);
    let ran = place.send(&["--origin", "recorded", "copy/", "demanded"]).exits(24);
    assert_eq!((ran.failed().len(), ran.receipted()), (4, Vec::new()));
}

#[test]
fn a_damaged_record_is_told_of_and_proves_nothing() {
    let Some(place) = place_with_records() else { return };
    for name in FILES {
        let path = place.path("copy").join(name);
        let mut bytes = stored_record(&path).expect("a record");
        bytes[7] ^= 1;
        store(&path, &bytes);
    }
    let ran = place.send(&["copy/", "next"]).exits(0);
    assert_eq!(origins(&ran), all(words_possible(&place.path("."))[0]));
    assert_eq!(ran.stderr.matches("has a damaged record").count(), 1, "{ran:?}");
    place.send(&["--origin", "recorded", "copy/", "demanded"]).exits(23);
}

#[test]
fn a_file_without_a_record_is_not_sent_where_one_is_demanded() {
    let Some(place) = place_with_records() else { return };
    let ran = place.send(&["--origin", "recorded", "src/", "demanded"]).exits(23);
    assert_eq!((ran.failed().len(), ran.receipted()), (4, Vec::new()));
    assert!(ran.stderr.contains("has no record of its origin") && ran.stderr.contains("hint: "), "{ran:?}");
}

#[test]
fn an_equal_target_gets_a_record_and_one_that_says_otherwise_stays() {
    let Some(place) = place_with_records() else { return };
    place.send(&["--no-record", "src/", "bare"]).exits(0);
    let other = stored_record(&place.path("copy/empty")).expect("a record");
    store(&place.path("bare/small"), &other);
    let ran = place.send(&["src/", "bare"]).exits(0);
    assert_eq!(ran.count("unchanged_files"), 4);
    for name in ["empty", "large", "larger"] {
        let [new, first] = ["bare", "copy"].map(|copy| record_of(&place.path(copy).join(name)).expect("a record"));
        assert_eq!((new.content, new.modified), (first.content, first.modified));
    }
    assert_eq!(stored_record(&place.path("bare/small")), Some(other));
}

#[test]
fn a_target_that_only_gets_a_new_time_keeps_a_record_that_fits() {
    let Some(place) = place_with_records() else { return };
    for name in FILES {
        set_modified(&place.path("src").join(name), 1_600_000_000, 0);
    }
    assert_eq!(place.send(&["src/", "copy"]).exits(0).count("unchanged_files"), 4);
    assert_eq!(origins(&place.send(&["copy/", "next"]).exits(0)), all("recorded"));
}

#[test]
fn a_file_that_its_owner_may_not_write_to_gets_its_record() {
    let place = Place::new();
    place.write("src/small", b"small");
    place.random("src/large", 2 * CHUNK, 1);
    for name in ["small", "large"] {
        set_mode(&place.path("src").join(name), 0o444);
    }
    let arguments = ["--json", "src/", "copy"];
    if support::is_root() {
        const NOBODY: u32 = 65534;
        for path in [place.path("."), place.path("src"), place.state().to_owned()] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("an owner");
        }
        let sender = place.sender(&arguments);
        let words = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(std::ffi::OsStr::new);
        let words: Vec<_> = words.into_iter().chain([sender.get_program()]).chain(sender.get_args()).collect();
        let ran = run(place.program("setpriv", &words).env("HOME", place.state()));
        if ran.code == 126 || ran.code == 127 {
            return skipped("without setpriv, or where others cannot run the program, root may write to everything");
        }
        ran.exits(0);
    } else {
        run(&mut place.sender(&arguments)).exits(0);
    }
    for name in ["small", "large"] {
        assert!(stored_record(&place.path("copy").join(name)).is_some(), "{name}");
    }
}

#[test]
fn a_bit_that_flips_on_the_disk_of_the_source_is_not_sent_on() {
    let place = Place::new();
    let image = place.path("image");
    if !make_ext4(&image, 64 << 20) {
        return;
    }
    let Some(mount) = Mount::image(&image, &place.path("disk")) else { return };
    let large = place.random("src/large", 3 * CHUNK, 1);
    let small = place.random("src/small", 2 * 4096, 2);
    place.write("src/other", b"other");
    place.send(&["src/", "disk/sealed"]).exits(0);
    assert_eq!(place.send(&["disk/sealed/", "good"]).exits(0).summary()["origin"], "recorded");
    mount.unmount();
    flip_in_image(&image, &large[CHUNK..]);
    flip_in_image(&image, &small[4096..]);
    let mount = Mount::image(&image, &place.path("disk"));
    let ran = place.send(&["disk/sealed/", "bad"]).exits(41);
    let failed = ["disk/sealed/large", "disk/sealed/small"].map(|path| (path.to_owned(), 41));
    assert_eq!((ran.failed(), ran.receipted()), (failed.to_vec(), vec!["other".to_owned()]));
    assert!(!place.has("bad/large") && !place.has("bad/small"));
    assert!(ran.count("sent_bytes") <= (2 * CHUNK + 5) as u64, "no byte of a bad chunk leaves: {ran:?}");
    // Without the record nobody can know: both reads find the same wrong bytes.
    let ran = place.send(&["--origin", "reread", "disk/sealed/", "fooled"]).exits(0);
    assert_eq!(ran.summary()["origin"], "reread");
    assert_ne!(place.read("fooled/large"), large);
    drop(mount);
}

#[test]
fn a_receiver_that_listens_may_keep_its_disk_free_of_records() {
    let Some(place) = place_with_records() else { return };
    place.directory("in");
    for (options, is_recorded) in [(&["in"][..], true), (&["--no-record", "--replace", "in"], false)] {
        place.write("src/small", if is_recorded { b"first" } else { b"other" });
        let mut receiver = start(&mut place.receiver(&[&["--listen", "127.0.0.1:0"], options].concat()));
        let ticket = receiver.first_line();
        place.send(&["src/small", &ticket]).exits(0);
        receiver.finish().exits(0);
        assert_eq!(record_of(&place.path("in/small")).is_some(), is_recorded);
    }
    let stay = ["--listen", "127.0.0.1:0", "--stay", "--allow", "keys", "--no-record"];
    let ran = run(&mut place.receiver(&stay)).exits(2);
    assert!(ran.stderr.contains("--no-record is asked of the sender"), "{ran:?}");
}
