//! Standard input as the source: `producer | careful-send - DEST`.

mod support;

use rustix::process::Signal;
use support::{Place, Ran, make_fifo, run, start, tree, wait_for, words};

/// Runs `careful-send --json` with a file as its standard input.
fn send_file(place: &Place, input: &str, arguments: &str) -> Ran {
    let line = format!("cat {input} | {} --json {arguments}", env!("CARGO_BIN_EXE_careful-send"));
    run(place.program("sh", &["-c", &line]).env("TMPDIR", place.state()))
}

#[test]
fn what_comes_in_arrives_whatever_its_length_and_says_that_it_was_read_once() {
    let place = Place::new();
    for length in [1, 1023, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let bytes = place.random("in", length, length as u64);
        let ran = send_file(&place, "in", "- arrived").exits(0);
        assert_eq!(place.read("arrived"), bytes, "{length}");
        assert_eq!(words(&ran.events_of("receipt")[0])[0], "first-read");
        assert_eq!(ran.receipted(), ["arrived"]);
    }
    assert!(tree(place.state()).keys().all(|path| !path.to_string_lossy().contains("stdin")), "no spool is left");
}

#[test]
fn a_directory_as_the_destination_takes_the_name_that_is_given() {
    let place = Place::new();
    place.random("in", 100, 1);
    place.directory("d");
    send_file(&place, "in", "- d").exits(0);
    send_file(&place, "in", "--stdin-name dump.sql - d").exits(0);
    assert_eq!(place.read("d/stdin"), place.read("in"));
    assert_eq!(place.read("d/dump.sql"), place.read("in"));
}

#[test]
fn an_empty_input_is_refused_unless_it_is_meant() {
    let place = Place::new();
    place.write("in", b"");
    let ran = send_file(&place, "in", "- arrived").exits(1);
    assert!(ran.stderr.contains("standard input is empty") && ran.stderr.contains("--allow-empty"), "{ran:?}");
    assert!(!place.has("arrived"));
    send_file(&place, "in", "--allow-empty - arrived").exits(0);
    assert_eq!(place.read("arrived"), b"");
}

#[test]
fn an_interrupted_input_leaves_no_spool_and_sends_nothing() {
    let place = Place::new();
    place.directory("spool");
    make_fifo(&place.path("in"));
    let line = format!("exec {} --spool-dir spool - arrived <> in", env!("CARGO_BIN_EXE_careful-send"));
    let mut sender = start(&mut place.program("sh", &["-c", &line]));
    wait_for("the spool", || tree(&place.path("spool")).len() == 2);
    sender.signal(Signal::INT);
    let ran = sender.finish().exits(130);
    assert!(ran.stderr.contains("interrupted"), "{ran:?}");
    assert_eq!(tree(&place.path("spool")).len(), 0);
    assert!(!place.has("arrived"));
}

#[test]
fn a_spool_without_room_is_told_with_what_to_do() {
    let place = Place::new();
    place.random("in", 3 << 20, 1);
    let Some(_mount) = support::Mount::tmpfs(&place.path("small"), "size=1m") else { return };
    let ran = send_file(&place, "in", "--spool-dir small - arrived").exits(11);
    assert!(ran.stderr.contains("in small") && ran.stderr.contains("--spool-dir"), "{ran:?}");
    assert!(!place.has("arrived") && tree(&place.path("small")).is_empty());
}
