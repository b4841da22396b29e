//! careful-check: what it seals, what it finds, what it says and how it ends.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;

use careful::hash::Root;
use careful::record::{ATTRIBUTE, Record};
use rustix::fs::XattrFlags;
use serde_json::Value;
use support::{
    CHUNK, Mount, Place, Ran, flip_in_image, make_ext4, root_of, run, set_modified, skipped, stored_record, tree,
    words_possible,
};

const SECONDS: i64 = 1_700_000_000;

/// A tree with files of every kind.
fn place() -> Place {
    let place = Place::new();
    place.write("files/empty", b"");
    place.random("files/small", 5000, 1);
    place.random("files/deeper/large", 70 * CHUNK + 5, 2);
    symlink("small", place.path("files/link")).expect("a link");
    for name in ["empty", "small", "deeper/large"] {
        set_modified(&place.path("files").join(name), SECONDS, 5);
    }
    place
}

/// The same, sealed.
fn sealed() -> Option<Place> {
    let place = place();
    let ran = place.check(&["seal", "files"]);
    if ran.code == 11 && ran.stderr.contains("could not be stored") {
        skipped("this file system keeps no extended attributes");
        return None;
    }
    assert_eq!(states(&ran.exits(0)), all("sealed"));
    Some(place)
}

/// Path and state of each file.
fn states(ran: &Ran) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().expect("a word").to_owned();
    let mut states: Vec<_> =
        ran.events_of("checked").iter().map(|event| (text(event, "path"), text(event, "state"))).collect();
    states.sort();
    states
}

fn all(state: &str) -> Vec<(String, String)> {
    ["files/deeper/large", "files/empty", "files/small"].map(|path| (path.to_owned(), state.to_owned())).to_vec()
}

fn end(ran: &Ran) -> Value {
    let last = ran.events().pop().expect("an event");
    assert_eq!((&last["event"], &last["exit"]), (&"check".into(), &ran.code.into()), "{ran:?}");
    last
}

/// Flips a bit and sets the time back.
fn decay(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    set_modified(path, SECONDS, 5);
}

#[test]
fn a_sealed_tree_verifies_and_nothing_but_the_records_was_touched() {
    let place = place();
    let before = tree(&place.path("files"));
    if place.check(&["seal", "files"]).code == 11 {
        return skipped("this file system keeps no extended attributes");
    }
    assert_eq!(tree(&place.path("files")), before);
    let record =
        Record::from_bytes(&stored_record(&place.path("files/deeper/large")).expect("a record")).expect("a record");
    assert_eq!(record.content.root, Root::of(&place.read("files/deeper/large")));
    let ran = place.check(&["verify", "files"]).exits(0);
    assert_eq!(states(&ran), all("ok"));
    let from_device = words_possible(&place.path("."))[1] == "device";
    let large = ran.events_of("checked").into_iter().find(|event| event["path"] == "files/deeper/large");
    let large = large.expect("an event");
    assert_eq!(large["root"], root_of(&place.read("files/deeper/large")).as_str());
    // What lies within an inode has no place of its own on the device; this length does not.
    assert_eq!(large["from_device"], from_device);
    assert_eq!(end(&ran)["ok"], 3);
    let person = run(&mut place.program(env!("CARGO_BIN_EXE_careful-check"), &["verify", "files"])).exits(0);
    assert!(person.stdout.is_empty() && person.stderr.contains("3 files, 70.0 MiB: 3 ok"), "{person:?}");
}

#[test]
fn touched_appended_flipped_and_unsealed_files_get_four_answers() {
    let Some(place) = sealed() else { return };
    place.write("files/unsealed", b"new");
    set_modified(&place.path("files/empty"), SECONDS + 1, 0);
    decay(&place.path("files/deeper/large"), 17 * CHUNK);
    let ran = place.check(&["verify", "files"]).exits(41);
    let expected = [
        ("files/deeper/large", "corrupt"),
        ("files/empty", "changed"),
        ("files/small", "ok"),
        ("files/unsealed", "no-record"),
    ];
    assert_eq!(states(&ran), expected.map(|(path, state)| (path.to_owned(), state.to_owned())));
    let corrupt = ran.events_of("checked").into_iter().find(|event| event["state"] == "corrupt").expect("an event");
    let place_of_damage = serde_json::json!([{ "start": 16 * CHUNK, "end": 18 * CHUNK }]);
    assert_eq!(corrupt["ranges"], place_of_damage);
    assert!(ran.stderr.contains("CORRUPT") && ran.stderr.contains("hint: restore it"), "{ran:?}");
    assert_eq!(place.check(&["verify", "files/empty"]).exits(24).code, 24);
    assert_eq!(place.check(&["verify", "files/unsealed"]).exits(23).code, 23);
    assert_eq!(place.check(&["verify", "files/nothing"]).exits(24).code, 24);
}

#[test]
fn verifying_writes_nothing() {
    let Some(place) = sealed() else { return };
    decay(&place.path("files/small"), 0);
    let (before, record) = (tree(&place.path("files")), stored_record(&place.path("files/small")));
    place.check(&["verify", "files"]).exits(41);
    assert_eq!((tree(&place.path("files")), stored_record(&place.path("files/small"))), (before, record));
}

#[test]
fn a_record_is_renewed_only_when_asked_and_never_over_a_corrupt_file() {
    let Some(place) = sealed() else { return };
    set_modified(&place.path("files/empty"), SECONDS + 1, 0);
    decay(&place.path("files/small"), 9);
    let ran = place.check(&["seal", "files"]).exits(24);
    assert_eq!(states(&ran)[1], ("files/empty".to_owned(), "changed".to_owned()));
    let ran = place.check(&["seal", "--renew", "files"]).exits(0);
    assert_eq!(states(&ran).iter().filter(|(_, state)| state == "sealed").count(), 1);
    assert_eq!(states(&place.check(&["verify", "files"]).exits(41))[2].1, "corrupt");
    let mut bytes = stored_record(&place.path("files/empty")).expect("a record");
    bytes[3] ^= 1;
    rustix::fs::setxattr(place.path("files/empty"), ATTRIBUTE, &bytes, XattrFlags::empty()).expect("an attribute");
    assert_eq!(states(&place.check(&["verify", "files/empty"]).exits(23))[0].1, "damaged-record");
    place.check(&["seal", "files/empty"]).exits(23);
    place.check(&["seal", "--renew", "files/empty"]).exits(0);
    place.check(&["verify", "files/empty"]).exits(0);
}

#[test]
fn a_sealed_file_is_sent_as_recorded() {
    let Some(place) = sealed() else { return };
    std::fs::remove_file(place.path("files/link")).expect("a link");
    assert_eq!(place.send(&["files/", "copy"]).exits(0).summary()["origin"], "recorded");
    place.check(&["verify", "copy", "files"]).exits(0);
}

#[test]
fn a_manifest_is_a_list_of_b3sum_and_tells_change_from_rot() {
    let place = place();
    place.write("files/back\\slash", b"a");
    place.write("files/line\nbreak", b"b");
    let ran = place.check(&["seal", "--manifest", "list", "files"]).exits(0);
    assert_eq!(end(&ran)["sealed"], 5);
    assert_eq!(stored_record(&place.path("files/small")), None, "nothing is stored with the files");
    match place.program("b3sum", &["--check", "list"]).output() {
        Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
        Err(_) => support::say("SKIPPED: without b3sum its opinion of the list is not asked"),
    }
    assert_eq!(end(&place.check(&["verify", "--manifest", "list"]).exits(0))["ok"], 5);
    place.check(&["seal", "--manifest", "list", "files"]).exits(11);
    decay(&place.path("files/small"), 1);
    set_modified(&place.path("files/empty"), 7, 7);
    std::fs::remove_file(place.path("files/deeper/large")).expect("a file");
    let ran = place.check(&["verify", "--manifest", "list"]).exits(41);
    let expected = [("files/deeper/large", "missing"), ("files/empty", "changed"), ("files/small", "corrupt")];
    let mut found = states(&ran);
    found.retain(|(_, state)| state != "ok");
    assert_eq!(found, expected.map(|(path, state)| (path.to_owned(), state.to_owned())));
}

#[test]
fn a_plain_list_of_b3sum_is_compared_with_and_a_damaged_one_refused() {
    let place = place();
    let line = format!("{}  files/small\n", root_of(&place.read("files/small")));
    place.write("sums", line.as_bytes());
    let ran = place.check(&["verify", "--manifest", "sums"]).exits(0);
    assert!(ran.stderr.contains("tells no sizes and times"), "{ran:?}");
    place.write("sums", format!("{line}# a comment\n").as_bytes());
    let ran = place.check(&["verify", "--manifest", "sums"]).exits(23);
    assert!(ran.stderr.contains("line 2 is not a line of b3sum"), "{ran:?}");
    place.check(&["seal", "--manifest", "list", "files"]).exits(0);
    let mut sidecar = place.read("list.origin");
    sidecar[40] ^= 1;
    place.write("list.origin", &sidecar);
    let ran = place.check(&["verify", "--manifest", "list"]).exits(23);
    assert!(ran.stderr.contains("do not belong together"), "{ran:?}");
}

#[test]
fn receipts_are_checked_by_signature_and_by_the_files_they_name() {
    let place = place();
    std::fs::remove_file(place.path("files/link")).expect("a link");
    place.send(&["--receipts", "receipts", "files/", "copy"]).exits(0);
    let ran = place.check(&["receipt", "receipts"]).exits(0);
    assert_eq!(end(&ran)["ok"], 3);
    let text = String::from_utf8(place.read("receipts")).expect("UTF-8");
    let key_of = |side: &str| text.split(&format!("\"{side}\":\"")).nth(1)?.split('"').next();
    place.check(&["receipt", "--key", key_of("receiver").expect("a key"), "receipts"]).exits(0);
    let ran = place.check(&["receipt", "--key", key_of("sender").expect("a key"), "receipts"]).exits(12);
    assert!(ran.stderr.contains("signed by another key"), "{ran:?}");
    place.check(&["receipt", "--root", "files", "receipts"]).exits(0);
    decay(&place.path("copy/small"), 4);
    assert_eq!(
        states(&place.check(&["receipt", "receipts"]).exits(41)).iter().filter(|(_, state)| state == "corrupt").count(),
        1
    );
    for (from, to) in [("\"length\":5000", "\"length\":5001"), ("\"path\":\"small\"", "\"path\":\"../x\"")] {
        place.write("forged", text.replace(from, to).as_bytes());
        let ran = place.check(&["receipt", "forged"]);
        assert!(ran.code != 0 && ran.stderr.contains("the signature is not right"), "{ran:?}");
    }
}

#[test]
fn a_sample_of_every_file_is_all_of_them_and_a_pace_is_kept() {
    let Some(place) = sealed() else { return };
    assert_eq!(states(&place.check(&["verify", "--sample", "100%", "files"]).exits(0)), all("ok"));
    place.check(&["verify", "--sample", "0.001%", "files"]).exits(0);
    let ran = place.check(&["verify", "--rate", "50MiB", "--jobs", "4", "files"]).exits(0);
    let seconds = end(&ran)["seconds"].as_f64().expect("seconds");
    assert!(seconds > 1.3, "70 MiB at 50 MiB a second took {seconds} s");
    for line in [["--rate", "0"], ["--rate", "much"], ["--jobs", "0"], ["--jobs", "65"], ["--sample", "5"]] {
        place.check(&["verify", line[0], line[1], "files"]).exits(2);
    }
    place.check(&["verify"]).exits(2);
    place.directory("nothing");
    place.check(&["verify", "nothing"]).exits(23);
}

#[test]
fn a_bit_that_flips_on_the_disk_of_a_copy_is_found_though_memory_has_it_right() {
    let place = Place::new();
    let image = place.path("image");
    if !make_ext4(&image, 64 << 20) {
        return;
    }
    let Some(mount) = Mount::image(&image, &place.path("disk")) else { return };
    let bytes = place.random("file", 3 * CHUNK, 1);
    place.send(&["file", "disk/"]).exits(0);
    place.check(&["verify", "disk/file"]).exits(0);
    mount.unmount();
    flip_in_image(&image, &bytes[2 * CHUNK..]);
    let Some(mount) = Mount::image(&image, &place.path("disk")) else { return };
    let ran = place.check(&["verify", "disk/file"]).exits(41);
    let corrupt = &ran.events_of("checked")[0];
    assert_eq!((&corrupt["state"], &corrupt["from_device"]), (&"corrupt".into(), &true.into()));
    assert_eq!(corrupt["ranges"], serde_json::json!([{ "start": 2 * CHUNK, "end": 3 * CHUNK }]));
    drop(mount);
}

#[test]
fn a_run_that_found_nothing_to_check_is_no_success_and_says_so() {
    let place = Place::new();
    place.write("receipts", b"");
    place.directory("empty");
    for words in [["receipt", "receipts"], ["verify", "empty"], ["seal", "empty"]] {
        let ran =
            run(&mut place.program(env!("CARGO_BIN_EXE_careful-check"), &[words[0], "--quiet", words[1]])).exits(23);
        assert!(ran.stderr.contains("there was no file to check"), "{ran:?}");
    }
    place.check(&["verify", "--sample", "5%", "empty"]).exits(0);
}
