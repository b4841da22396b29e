//! What the person and the calling program see: events, lines, receipts, and what they claim.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use careful::cli::receipt_line::from_line;
use careful::protocol::receipt::{Durable, Origin, Stored};
use careful::wire::identity::PublicKey;
use serde_json::Value;
use support::{CHUNK, Place, run, set_mode, skipped, words, words_possible};

fn place_with_tree() -> Place {
    let place = Place::new();
    place.write("src/small", b"small");
    place.write("src/a/b", b"b");
    place.random("src/large", 2 * CHUNK + 1, 1);
    place
}

fn fields(event: &Value) -> BTreeSet<&str> {
    event.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn events_have_the_fields_that_are_promised_and_the_summary_comes_last() {
    let place = place_with_tree();
    symlink("small", place.path("src/link")).expect("a link");
    let ran = place.send(&["src", "nothing", "d"]).exits(23);
    let receipt_fields = ["event", "path", "length", "root", "origin", "stored", "durable"].into();
    for receipt in ran.events_of("receipt") {
        assert_eq!(fields(&receipt), receipt_fields);
        assert!(receipt["length"].is_u64() && receipt["root"].as_str().is_some_and(|root| root.len() == 64));
    }
    assert_eq!(ran.receipted(), ["src/a/b", "src/large", "src/small"]);
    let error = ran.events_of("error").pop().expect("an error");
    assert_eq!(fields(&error), ["event", "path", "code", "error"].into());
    assert_eq!(error["path"], "nothing");
    let skipped = ran.events_of("skipped").pop().expect("a skipped entry");
    assert_eq!(fields(&skipped), ["event", "path", "why"].into());
    let summary = ran.summary();
    for field in ["files", "bytes", "sent_bytes", "reused_bytes", "repaired_chunks", "exit"] {
        assert!(summary[field].is_u64(), "{field}: {summary}");
    }
    assert!(summary["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{summary}");
    assert_eq!(summary["bytes"], 2 * CHUNK + 1 + 5 + 1);
    assert_eq!((&summary["schema"], &summary["repaired_chunks"]), (&1.into(), &0.into()));
    assert_eq!(fields(&summary["repaired"]), ["arrival", "stored", "source", "lost"].into());
}

#[test]
fn a_run_that_never_began_ends_with_a_summary_too() {
    let place = place_with_tree();
    let ran = place.send(&["src", "no/such"]).exits(11);
    assert_eq!((ran.count("files"), ran.count("sent_bytes")), (0, 0));
    assert_eq!(words(&ran.summary()), ["none at all"; 3]);
}

#[test]
fn names_that_are_shown_otherwise_stand_in_events_with_their_bytes() {
    let place = Place::new();
    place.write("src/line\nbreak", b"a");
    let ran = place.send(&["src/", "d"]).exits(0);
    let receipt = ran.events_of("receipt").pop().expect("a receipt");
    assert_eq!(receipt["path"], r"line\nbreak");
    assert_eq!(receipt["path_bytes"], "bGluZQpicmVhaw==");
}

#[test]
fn quiet_is_silent_on_success_and_not_on_failure() {
    let place = place_with_tree();
    let ran = run(&mut place.sender(&["--quiet", "src", "d"])).exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let ran = run(&mut place.sender(&["-q", "nothing", "d"])).exits(23);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("'nothing'"), "{ran:?}");
}

#[test]
fn the_last_line_tells_a_person_what_was_proved() {
    let place = place_with_tree();
    let ran = run(&mut place.sender(&["src", "d"])).exits(0);
    assert!(ran.stdout.is_empty(), "{ran:?}");
    let last = ran.stderr.lines().last().expect("a line").to_owned();
    assert!(last.starts_with("careful-send: 3 files, 2.0 MiB: "), "{last}");
    if words_possible(&place.path("d")) == ["reread", "device", "yes"] {
        assert!(last.contains("read back from disk, equal to two reads of the source, durable"), "{last}");
    }
    let ran = run(&mut place.sender(&["--stored", "none", "--origin", "first-read", "src", "e"])).exits(0);
    let last = ran.stderr.lines().last().expect("a line").to_owned();
    assert!(last.contains("NOT read back; what arrived was equal to one read of the source"), "{last}");
}

#[test]
fn nothing_of_a_progress_bar_is_printed_where_there_is_no_terminal() {
    let place = place_with_tree();
    place.random("src/larger", 40 * CHUNK, 2);
    let ran = run(&mut place.sender(&["src", "d"])).exits(0);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(!ran.stderr.contains(['\r', '\x1b']), "{ran:?}");
}

#[test]
fn weaker_checks_show_in_every_receipt() {
    for (option, expected) in [
        (["--origin", "first-read"], [Some("first-read"), None, None]),
        (["--stored", "cache"], [None, Some("cache"), None]),
        (["--stored", "none"], [None, Some("none"), None]),
    ] {
        let place = place_with_tree();
        let ran = place.send(&[option[0], option[1], "src/", "d"]).exits(0);
        let possible = words_possible(&place.path("d"));
        assert_eq!(ran.events_of("receipt").len(), 3);
        for receipt in ran.events_of("receipt").iter().chain([&ran.summary()]) {
            for ((found, expected), possible) in words(receipt).into_iter().zip(expected).zip(possible) {
                assert_eq!(found, expected.unwrap_or(possible), "{option:?}: {receipt}");
            }
        }
        assert_eq!(support::tree(&place.path("src")), support::tree(&place.path("d")));
    }
}

#[test]
fn receipts_are_kept_signed_and_say_what_the_events_say() {
    let place = place_with_tree();
    place.write("src/\u{fffd}\n", b"odd");
    let ran = place.send(&["--receipts", "receipts", "src/", "d"]).exits(0);
    place.send(&["--receipts", "receipts", "src/a/b", "e"]).exits(0);
    let lines = String::from_utf8(place.read("receipts")).expect("UTF-8");
    let receipts: Vec<_> = lines.lines().map(|line| from_line(line).expect("a receipt")).collect();
    for (receipt, signature) in &receipts {
        assert!(PublicKey(receipt.receiver).verify(&receipt.statement(), signature));
        let mut other = receipt.clone();
        other.files[0].length_bytes += 1;
        assert!(!PublicKey(receipt.receiver).verify(&other.statement(), signature));
        assert_eq!(receipt.receiver, receipts[0].0.receiver, "one identity signs all");
    }
    let (last, _) = receipts.last().expect("a receipt");
    assert_eq!(
        (last.files.len(), &last.files[0].path[..], last.files[0].root),
        (1, &b"e"[..], *blake3::hash(b"b").as_bytes())
    );
    let files: Vec<_> = receipts[..receipts.len() - 1].iter().flat_map(|(receipt, _)| &receipt.files).collect();
    assert_eq!(files.len(), 4);
    for file in &files {
        let path = Path::new("d").join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&file.path));
        let bytes = place.read(path);
        assert_eq!((file.length_bytes, file.root), (bytes.len() as u64, *blake3::hash(&bytes).as_bytes()));
    }
    let (first, _) = &receipts[0];
    let directory = place.path("d").canonicalize().expect("a path");
    assert_eq!(first.directory, std::os::unix::ffi::OsStrExt::as_bytes(directory.as_os_str()));
    if words(&ran.summary()) == ["reread", "device", "yes"] {
        for file in files {
            let proof = file.proof;
            assert_eq!((proof.origin, proof.stored, proof.durable), (Origin::Reread, Stored::Device, Durable::Yes));
        }
    }
}

#[test]
fn receipts_that_cannot_be_kept_stop_the_run_before_it_begins() {
    let place = place_with_tree();
    let ran = place.send(&["--receipts", "no/such/file", "src", "d"]).exits(11);
    assert!(ran.stderr.contains("no/such/file"), "{ran:?}");
    assert!(!place.has("d"));
}

#[test]
fn the_identity_is_made_on_first_use_for_its_owner_alone() {
    let place = place_with_tree();
    let identity = place.state().join("careful/identity");
    place.send(&["src", "d"]).exits(0);
    assert_eq!(support::Item::of(&identity).mode, 0o600);
    let key = std::fs::read(&identity).expect("a key");
    place.send(&["src", "d"]).exits(0);
    assert_eq!(std::fs::read(&identity).expect("a key"), key);
    set_mode(&identity, 0o644);
    let ran = place.send(&["src", "e"]).exits(5);
    assert!(ran.stderr.contains("chmod 600"), "{ran:?}");
    assert!(!place.has("e"));
}

#[test]
fn a_receiver_that_cannot_be_started_has_a_code_of_its_own() {
    let place = place_with_tree();
    // Of the two programs only one is there.
    let alone = place.path("careful-send");
    if std::fs::hard_link(env!("CARGO_BIN_EXE_careful-send"), &alone).is_err() {
        std::fs::copy(env!("CARGO_BIN_EXE_careful-send"), &alone).expect("a copy");
    }
    let ran = run(&mut place.program(&alone, &["--json", "src", "d"])).exits(5);
    assert!(ran.stderr.contains("cannot start the receiver"), "{ran:?}");
    assert!(!place.has("d"));
}

/// A directory in memory: of this system, or mounted for this test.
fn in_memory() -> Option<tempfile::TempDir> {
    let shared = Path::new("/dev/shm");
    let is_tmpfs = rustix::fs::statfs(shared).is_ok_and(|found| found.f_type as u64 == 0x0102_1994);
    let directory = if is_tmpfs { tempfile::tempdir_in(shared).ok() } else { None };
    if directory.is_none() {
        skipped("/dev/shm is no tmpfs");
    }
    directory
}

#[test]
fn in_memory_nothing_is_claimed_of_a_device_and_requiring_it_fails_with_a_code_of_its_own() {
    let Some(memory) = in_memory() else { return };
    let place = place_with_tree();
    let target = memory.path().join("d");
    let target = target.to_str().expect("UTF-8");
    let ran = place.send(&["src/", target]).exits(0);
    assert_eq!(ran.events_of("receipt").len(), 3);
    for receipt in ran.events_of("receipt") {
        assert_eq!(words(&receipt)[1..], ["cache", "no"], "{receipt}");
    }
    for (requirement, unmet) in [
        ("stored=device", Some("stored=cache")),
        ("durable=yes", Some("durable=no")),
        ("stored=device,durable=yes", Some("stored=cache, durable=no")),
        ("stored=cache,durable=no", None),
    ] {
        let ran = place.send(&["--require", requirement, "src/", target]).exits(if unmet.is_some() { 42 } else { 0 });
        assert_eq!(ran.events_of("receipt").len(), 3, "the copy is right and receipted all the same");
        assert_eq!(ran.failed().len(), if unmet.is_some() { 3 } else { 0 });
        let words = unmet.map_or_else(String::new, |words| format!("proved less than was required: {words}\n"));
        assert!(ran.stderr.contains(&words), "{ran:?}");
    }
    assert_eq!(support::tree(&place.path("src")), support::tree(Path::new(target)));
}

#[test]
fn what_was_opted_out_of_cannot_be_required() {
    let place = place_with_tree();
    for (option, value, required) in
        [("--origin", "first-read", "origin=reread"), ("--stored", "cache", "stored=device")]
    {
        let ran = run(&mut place.sender(&[option, value, "--require", required, "src", "d"])).exits(2);
        assert!(ran.stderr.contains("can never reach") && !place.has("d"), "{ran:?}");
    }
}
