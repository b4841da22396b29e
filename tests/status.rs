//! `--status FILE`: what somebody who only looks at the file can know of a run, and of the last good one.

mod support;

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use support::schema::{STATUS, Schema};
use support::{CHUNK, HeldStaging, Item, Place, run, set_mode, start, wait_for};

fn place_with_tree() -> Place {
    let place = Place::new();
    place.write("src/small", b"small");
    place.random("src/large", 2 * CHUNK + 1, 1);
    place.directory("watched");
    place
}

fn path(place: &Place) -> PathBuf {
    place.path("watched/status.json")
}

/// The file, whole and as its schema says, with nothing beside it that a run left.
fn status(place: &Place) -> Value {
    let found = serde_json::from_slice(&place.read(path(place))).expect("the file is always whole");
    Schema::of(STATUS).assert_holds(&found);
    found
}

fn names(place: &Place) -> Vec<PathBuf> {
    support::tree(&place.path("watched")).into_keys().filter(|name| !name.as_os_str().is_empty()).collect()
}

#[test]
fn after_a_success_it_says_so_and_nothing_is_printed() {
    let place = place_with_tree();
    let ran = run(&mut place.sender(&["-q", "--status", "watched/status.json", "src/", "d"])).exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let found = status(&place);
    assert_eq!((&found["phase"], &found["exit_code"], &found["error"]), (&"ended".into(), &0.into(), &Value::Null));
    assert_eq!(found["last_success"], found["finished"]);
    assert!(found["started"].as_str() <= found["finished"].as_str() && found["finished"] == found["updated"]);
    assert_eq!((&found["files"], &found["files_found"], &found["walk_finished"]), (&2.into(), &2.into(), &true.into()));
    assert_eq!((&found["bytes"], &found["bytes_found"]), (&(2 * CHUNK + 6).into(), &(2 * CHUNK + 6).into()));
    assert!(found["bytes_per_second"].as_u64() > Some(0), "{found}");
    assert_eq!(names(&place), [PathBuf::from("status.json")]);
    assert_eq!(Item::of(&path(&place)).mode, 0o600);
    let mut schema = Schema::of(STATUS);
    schema.assert_holds(&found);
    schema.assert_all_seen();
}

#[test]
fn it_counts_what_the_summary_counts() {
    let place = place_with_tree();
    std::os::unix::fs::symlink("small", place.path("src/link")).expect("a link");
    let ran = place.send(&["--status", "watched/status.json", "src/", "nothing", "d"]).exits(23);
    let (found, summary) = (status(&place), ran.summary());
    let both = ["files", "bytes", "trusted_files", "failed_files", "skipped_files", "sent_bytes", "reused_bytes"];
    for field in both.into_iter().chain(["repaired_chunks"]) {
        assert_eq!(found[field], summary[field], "{field}");
    }
    assert_eq!((&found["failed_files"], &found["skipped_files"]), (&1.into(), &1.into()));
    assert!(found["error"].as_str().is_some_and(|words| words.contains("nothing")), "{found}");
}

#[test]
fn a_failure_keeps_the_time_of_the_last_success_and_says_what_was_wrong() {
    let place = place_with_tree();
    place.send(&["--status", "watched/status.json", "src/", "d"]).exits(0);
    let good = status(&place);
    for (arguments, code) in [(["nothing", "d"], 23), (["src/", "no/such/d"], 11), (["src/", "src/d"], 2)] {
        place.send(&[&["--status", "watched/status.json"], &arguments[..]].concat()).exits(code);
        let found = status(&place);
        assert_eq!((&found["exit_code"], &found["phase"]), (&code.into(), &"ended".into()));
        assert_eq!(found["last_success"], good["finished"]);
        assert!(found["error"].is_string() && found["finished"].is_string(), "{found}");
    }
}

#[test]
fn while_a_run_waits_it_is_written_again_and_an_interruption_ends_it_too() {
    let place = place_with_tree();
    place.directory("d");
    let held = HeldStaging::new(&place.path("d"), "large");
    let mut running = start(&mut place.sender(&["--json", "--status", "watched/status.json", "src/", "d"]));
    wait_for("the file", || place.has("watched/status.json"));
    let first = status(&place);
    assert_eq!(
        (&first["finished"], &first["exit_code"], &first["last_success"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(first["process"], running.pid().as_raw_nonzero().get());
    wait_for("a later one", || status(&place)["updated"] != first["updated"]);
    running.signal(Signal::INT);
    running.finish().exits(130);
    held.release();
    let found = status(&place);
    assert_eq!((&found["exit_code"], &found["last_success"]), (&130.into(), &Value::Null));
    assert_eq!(names(&place), [PathBuf::from("status.json")]);
}

#[test]
fn a_file_that_is_somebody_s_own_is_not_replaced() {
    for content in [&b"my letters"[..], b"{}", b"[]", b"{\"schema\": 1}", &[b' '; 70_000]] {
        let place = place_with_tree();
        place.write("watched/status.json", content);
        let ran = place.send(&["--status", "watched/status.json", "src/", "d"]).exits(2);
        assert!(ran.stderr.contains("not replaced") && ran.stderr.contains("hint: "), "{ran:?}");
        assert_eq!(place.read(path(&place)), content);
        assert!(!place.has("d"));
    }
}

#[test]
fn a_file_made_beforehand_lends_its_mode() {
    let place = place_with_tree();
    place.write("watched/status.json", b"");
    set_mode(&path(&place), 0o644);
    for _ in 0..2 {
        place.send(&["--status", "watched/status.json", "src/", "d"]).exits(0);
        assert_eq!(Item::of(&path(&place)).mode, 0o644);
    }
}

#[test]
fn a_status_that_cannot_be_written_stops_the_run_before_it_begins() {
    let place = place_with_tree();
    for wrong in ["no/such/file", "watched", "watched/.."] {
        let ran = place.send(&["--status", wrong, "src/", "d"]).exits(11);
        assert!(ran.stderr.contains(wrong), "{ran:?}");
        assert!(!place.has("d"));
    }
}

#[test]
fn a_receiver_that_listens_has_one_too() {
    let place = place_with_tree();
    place.directory("in");
    let words = ["--listen", "127.0.0.1:0", "--status", "watched/status.json", "in"];
    let mut listening = start(&mut place.receiver(&words));
    let ticket = listening.first_line();
    let found = status(&place);
    assert_eq!((&found["program"], &found["phase"]), (&"careful-recv".into(), &"listening".into()));
    assert!(found.get("files").is_none(), "a receiver does not count: {found}");
    place.send(&["src/", &ticket]).exits(0);
    listening.finish().exits(0);
    let found = status(&place);
    assert_eq!((&found["exit_code"], &found["last_success"]), (&0.into(), &found["finished"]));
}

#[test]
fn a_check_keeps_it_too_and_a_file_that_rots_leaves_the_last_success() {
    let place = place_with_tree();
    place.send(&["src/", "d"]).exits(0);
    let check = || place.check(&["verify", "--status", "watched/status.json", "d"]);
    check().exits(0);
    let good = status(&place);
    assert_eq!((&good["program"], &good["phase"]), (&"careful-check".into(), &"ended".into()));
    assert_eq!((&good["exit_code"], &good["last_success"]), (&0.into(), &good["finished"]));
    place.write("d/small", b"SMALL");
    support::set_modified(&place.path("d/small"), 1_700_000_000, 0);
    check().exits(24);
    let found = status(&place);
    assert_eq!((&found["exit_code"], &found["last_success"]), (&24.into(), &good["last_success"]));
    assert!(found["error"].as_str().is_some_and(|words| words.contains("small")), "{found}");
    place.write("watched/status.json", b"mine");
    let ran = check().exits(2);
    assert!(ran.stderr.contains("cannot write the status"), "{ran:?}");
}
