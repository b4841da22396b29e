//! Interruptions: after any of them the same command finishes the work and sends only what is not there yet.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::{
    CHUNK, HeldStaging, Item, Place, Ran, bytes_written, kill, random_below, root_of, run, staging_name, start,
    wait_for,
};

const LENGTH: usize = 64 * CHUNK + 4321;

/// Which process is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Sender,
    Receiver,
    Both,
}

/// Runs a transfer of `file` to `d/file` and kills once the receiver has written this many bytes; whether that happened
/// before the transfer was complete.
fn kill_after(place: &Place, victim: Victim, written: u64) -> bool {
    kill_with(place, &["--json", "file", "d"], victim, written)
}

/// The same with other arguments.
fn kill_with(place: &Place, arguments: &[&str], victim: Victim, written: u64) -> bool {
    let mut running = start(&mut place.sender(arguments));
    let Some(receiver) = running.receiver() else { return running.finish().code != 0 };
    wait_for("bytes to be written", || {
        running.has_ended() || bytes_written(receiver).is_none_or(|bytes| bytes >= written)
    });
    match victim {
        Victim::Sender => running.signal(Signal::KILL),
        Victim::Receiver => {
            kill(receiver, Signal::KILL);
            // It would wait for the connection to come back: that is another test's matter.
            running.signal(Signal::TERM);
        }
        Victim::Both => {
            kill(receiver, Signal::KILL);
            running.signal(Signal::KILL);
        }
    }
    let ran = running.finish();
    // A receiver whose sender is gone ends by itself; one that was killed may take a moment to vanish.
    wait_for("the receiver to end", || bytes_written(receiver).is_none());
    ran.code != 0
}

/// Looks at the final name, all the time, while `work` runs: whatever is found there must be the whole file.
fn watched<T>(place: &Place, root: &str, work: impl FnOnce() -> T) -> T {
    let (target, over) = (place.path("d/file"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Ok(bytes) = std::fs::read(&target) {
                    assert_eq!(root_of(&bytes), root, "a partial file was seen under the final name");
                }
                std::thread::park_timeout(Duration::from_micros(100));
            }
        });
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        watcher.join().expect("no partial file is ever seen");
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn killed_at_random_places(victim: Victim, seed: u64) {
    let place = Place::new();
    let root = root_of(&place.random("file", LENGTH, seed));
    place.directory("d");
    let (mut interrupted, mut sent_again) = (0, 0);
    for round in 0..6 {
        let written = random_below(LENGTH as u64 + CHUNK as u64, seed * 100 + round);
        support::say(&format!("{victim:?}: seed {seed}, round {round}: killed after {written} bytes"));
        let ran = watched(&place, &root, || {
            interrupted += u64::from(kill_after(&place, victim, written));
            place.send(&["file", "d"]).exits(0)
        });
        sent_again += ran.count("sent_bytes");
        assert!(ran.count("sent_bytes") <= LENGTH as u64);
        assert_eq!(ran.events_of("receipt")[0]["root"], root);
        assert_eq!(root_of(&place.read("d/file")), root);
        assert_eq!(place.staging_files("d").len(), 0);
        std::fs::remove_file(place.path("d/file")).expect("removed");
    }
    assert!(interrupted > 0, "no round was interrupted before its end");
    assert!(sent_again < interrupted * LENGTH as u64, "nothing was ever reused");
}

#[test]
fn after_kill_9_of_the_sender_the_same_command_finishes() {
    killed_at_random_places(Victim::Sender, 1);
}

#[test]
fn after_kill_9_of_the_receiver_the_same_command_finishes() {
    killed_at_random_places(Victim::Receiver, 2);
}

#[test]
fn after_kill_9_of_both_the_same_command_finishes() {
    killed_at_random_places(Victim::Both, 3);
}

#[test]
fn names_of_one_file_are_joined_by_the_run_that_finishes() {
    use std::os::unix::fs::MetadataExt;
    for (round, victim) in [Victim::Sender, Victim::Receiver, Victim::Both].into_iter().enumerate() {
        let place = Place::new();
        let root = root_of(&place.random("s/file", LENGTH, 4));
        std::fs::hard_link(place.path("s/file"), place.path("s/same")).expect("a link");
        let arguments = ["--json", "-H", "s/", "d"];
        place.directory("d");
        kill_with(&place, &arguments, victim, (round as u64 + 1) * LENGTH as u64 / 4);
        assert!(!(place.has("d/file") && place.has("d/same")), "killed before its end");
        let ran = place.send(&["-H", "s/", "d"]).exits(0);
        assert!(ran.count("sent_bytes") <= LENGTH as u64);
        let names = ["d/file", "d/same"].map(|name| place.path(name).metadata().expect("a file").ino());
        assert_eq!((names[0], root_of(&place.read("d/file"))), (names[1], root));
        assert!(place.staging_files("d").is_empty());
    }
}

#[test]
fn a_sender_whose_receiver_is_killed_starts_another_and_finishes_by_itself() {
    let place = Place::new();
    let bytes = place.random("file", 2 * CHUNK, 1);
    place.write("small", b"small");
    place.directory("d");
    let held = HeldStaging::new(&place.path("d"), "file");
    let mut running = start(&mut place.sender(&["--json", "file", "small", "d"]));
    let receiver = running.receiver().expect("a receiver");
    held.wait_until_wanted_by(receiver);
    kill(receiver, Signal::KILL);
    held.release();
    let ran = running.finish().exits(0);
    assert_eq!(place.read("d/file"), bytes);
    assert_eq!(place.read("d/small"), b"small");
    assert_eq!(ran.receipted(), ["file", "small"]);
}

#[test]
fn what_was_staged_before_kill_9_is_not_sent_again() {
    const STAGED: u64 = 24 << 20;
    let place = Place::new();
    let root = root_of(&place.random("file", 2 * LENGTH, 1));
    place.directory("d");
    for attempt in 0.. {
        assert!(attempt < 20, "never interrupted in time");
        if kill_after(&place, Victim::Both, STAGED) && !place.has("d/file") {
            break;
        }
        std::fs::remove_file(place.path("d/file")).expect("removed");
    }
    assert_eq!(place.staging_files("d").len(), 1);
    assert_eq!(Item::of(&place.path("d").join(staging_name("file"))).mode, 0o600);
    let ran = place.send(&["file", "d"]).exits(0);
    // What was being written at that moment may be lost.
    let reused = STAGED - 4 * CHUNK as u64;
    assert!(ran.count("sent_bytes") <= 2 * LENGTH as u64 - reused, "{ran:?}");
    assert_eq!(ran.count("sent_bytes") + ran.count("reused_bytes"), 2 * LENGTH as u64);
    assert_eq!(root_of(&place.read("d/file")), root);
    assert_eq!(support::words(&ran.summary()), support::words_possible(&place.path("d")));
}

#[test]
fn small_files_that_were_interrupted_arrive_with_the_same_command() {
    let place = Place::new();
    for number in 0..600 {
        place.random(format!("src/{number}"), 9000 + number, number as u64);
    }
    for round in 0..4 {
        place.directory("d");
        let mut running = start(&mut place.sender(&["--json", "src/", "d"]));
        let receiver = running.receiver().expect("a receiver");
        let written = random_below(600 * 9000, round);
        wait_for("bytes to be written", || {
            running.has_ended() || bytes_written(receiver).is_none_or(|bytes| bytes >= written)
        });
        kill(receiver, Signal::KILL);
        running.signal(Signal::KILL);
        running.finish();
        wait_for("the receiver to end", || bytes_written(receiver).is_none());
        place.send(&["src/", "d"]).exits(0);
        assert_eq!(support::tree(&place.path("src")), support::tree(&place.path("d")), "round {round}");
        std::fs::remove_dir_all(place.path("d")).expect("removed");
    }
}

fn stopped_by(signal: Signal, code: i32) {
    let place = Place::new();
    let bytes = place.random("file", 3 * CHUNK, 1);
    place.directory("d");
    let held = HeldStaging::new(&place.path("d"), "file");
    let mut running = start(&mut place.sender(&["--json", "file", "d"]));
    let receiver = running.receiver().expect("a receiver");
    held.wait_until_wanted_by(receiver);
    running.signal(signal);
    let ran = running.finish().exits(code);
    assert!(ran.stderr.contains("run the same command to continue"), "{ran:?}");
    assert_eq!(ran.count("files"), 0);
    assert!(!place.has("d/file"));
    held.release();
    wait_for("the receiver to end", || bytes_written(receiver).is_none());
    place.send(&["file", "d"]).exits(0);
    assert_eq!(place.read("d/file"), bytes);
    assert_eq!(place.staging_files("d").len(), 0);
}

#[test]
fn an_interrupt_ends_with_its_code_and_the_same_command_finishes() {
    stopped_by(Signal::INT, 130);
}

#[test]
fn a_termination_ends_with_its_code_and_the_same_command_finishes() {
    stopped_by(Signal::TERM, 143);
}

/// Sends `file` with this in its staging file, and answers how much was sent.
fn sent_with_staged(place: &Place, staged: &[u8], options: &[&str]) -> u64 {
    place.write(Path::new("d").join(staging_name("file")), staged);
    let ran = place.send(&[options, &["file", "d"]].concat()).exits(0);
    assert!(place.read("d/file") == place.read("file"));
    assert_eq!(ran.events_of("receipt")[0]["root"], root_of(&place.read("file")));
    assert_eq!(support::tree(&place.path("d")).len(), 1, "nothing else is left");
    std::fs::remove_file(place.path("d/file")).expect("removed");
    ran.count("sent_bytes")
}

#[test]
fn what_a_staging_file_holds_counts_by_its_hash_alone() {
    let place = Place::new();
    let length = 4 * CHUNK + 100;
    let bytes = place.random("file", length, 1);
    let garbage = support::random_bytes(length, 2);
    let mut one_bit = bytes.clone();
    one_bit[2 * CHUNK + 7] ^= 0x10;
    let longer = [&bytes[..], &garbage].concat();
    let whole = length as u64;
    let chunk = CHUNK as u64;
    for (what, staged, expected) in [
        ("garbage", &garbage[..], whole),
        ("the same", &bytes[..], 0),
        ("one bit other", &one_bit[..], chunk),
        ("longer", &longer[..], 0),
        ("longer garbage", &[&garbage[..], &bytes[..]].concat(), whole),
        ("shorter", &bytes[..2 * CHUNK + 5], whole - 2 * chunk),
        ("shorter garbage", &garbage[..CHUNK + 5], whole),
        ("empty", &[], whole),
    ] {
        assert_eq!(sent_with_staged(&place, staged, &[]), expected, "{what}");
    }
    for options in [["--stored", "cache"], ["--stored", "none"], ["--origin", "first-read"]] {
        assert_eq!(sent_with_staged(&place, &bytes, &options), 0, "{options:?}");
        assert_eq!(sent_with_staged(&place, &one_bit, &options), chunk, "{options:?}");
    }
}

#[test]
fn what_the_staging_file_of_a_small_file_holds_counts_by_its_hash_alone() {
    let place = Place::new();
    let bytes = place.random("file", 1000, 1);
    for (what, staged, expected) in [
        ("garbage", support::random_bytes(1000, 2), 1000),
        ("the same", bytes.clone(), 0),
        ("longer", [&bytes[..], b"x"].concat(), 1000),
        ("shorter", bytes[..999].to_vec(), 1000),
        ("empty", Vec::new(), 1000),
    ] {
        assert_eq!(sent_with_staged(&place, &staged, &[]), expected, "{what}");
    }
}

#[test]
fn a_staging_file_that_is_not_ours_alone_is_not_written_through() {
    let place = Place::new();
    for (name, length) in [("small", 5), ("large", 2 * CHUNK)] {
        let bytes = place.random(name, length, 1);
        for kind in ["link", "dangling link", "directory", "fifo", "hard link"] {
            place.directory("d");
            place.write("outside", b"outside");
            let staging = place.path("d").join(staging_name(name));
            match kind {
                "link" => symlink(place.path("outside"), &staging).expect("a link"),
                "dangling link" => symlink(place.path("nowhere"), &staging).expect("a link"),
                "directory" => std::fs::create_dir(&staging).expect("a directory"),
                "fifo" => support::make_fifo(&staging),
                _ => std::fs::hard_link(place.path("outside"), &staging).expect("a link"),
            }
            let ran = place.send(&[name, "d"]).exits(43);
            assert!(ran.stderr.contains("not usable") && ran.stderr.contains("hint: "), "{name} {kind}: {ran:?}");
            assert_eq!(place.read("outside"), b"outside", "{name} {kind}");
            assert!(!place.has("nowhere") && !place.has(Path::new("d").join(name)), "{name} {kind}");
            std::fs::remove_dir_all(place.path("d")).expect("removed");
        }
        place.send(&[name, "d/"]).exits(0);
        assert_eq!(place.read(Path::new("d").join(name)), bytes);
    }
}

#[test]
fn a_staging_file_that_another_transfer_holds_is_waited_for_and_then_given_up() {
    let place = Place::new();
    place.random("large", 2 * CHUNK, 1);
    place.write("small", b"small");
    place.write("free", b"free");
    place.directory("d");
    let held = [HeldStaging::new(&place.path("d"), "large"), HeldStaging::new(&place.path("d"), "small")];
    let ran = place.send(&["large", "small", "free", "d"]).exits(43);
    assert!(ran.stderr.contains("another transfer to the same target is under way"), "{ran:?}");
    assert_eq!(ran.failed(), [("large".to_owned(), 43), ("small".to_owned(), 43)]);
    assert_eq!(ran.receipted(), ["free"]);
    held.into_iter().for_each(HeldStaging::release);
    place.send(&["large", "small", "free", "d"]).exits(0);
}

#[test]
fn of_two_transfers_to_one_target_at_once_at_least_one_succeeds_and_no_file_is_mixed() {
    for (length, seed) in [(CHUNK / 2, 1), (8 * CHUNK, 2), (8 * CHUNK, 3)] {
        let place = Place::new();
        let sources = [place.random("one/file", length, seed), place.random("two/file", length, seed + 10)];
        place.directory("d");
        let both = ["one/file", "two/file"].map(|source| start(&mut place.sender(&["--json", source, "d"])));
        let ran: [Ran; 2] = both.map(support::Running::finish);
        let codes = ran.each_ref().map(|ran| ran.code);
        assert!(codes.iter().all(|code| [0, 25, 43].contains(code)) && codes.contains(&0), "{ran:?}");
        let found = place.read("d/file");
        let winners = codes.iter().zip(&sources).filter(|(code, _)| **code == 0);
        assert!(winners.map(|(_, source)| source).any(|source| *source == found), "{ran:?}");
        run(&mut place.sender(&["one/file", "d"])).exits(0);
        assert!(place.read("d/file") == sources[0]);
        assert_eq!(support::tree(&place.path("d")).len(), 1);
    }
}

#[test]
fn what_was_staged_in_chunks_of_one_size_is_kept_in_chunks_of_another() {
    for (before, after) in [("1MiB", "64KiB"), ("64KiB", "4MiB"), ("4MiB", "256KiB")] {
        let place = Place::new();
        let root = root_of(&place.random("file", LENGTH, 11));
        place.directory("d");
        let arguments = ["--json", "--chunk-size", before, "file", "d"];
        // Now and then a transfer is over before it is killed.
        let interrupted = (0..5).any(|_| {
            place.path("d/file").exists().then(|| std::fs::remove_file(place.path("d/file")).expect("removed"));
            kill_with(&place, &arguments, Victim::Sender, LENGTH as u64 / 2)
        });
        assert!(interrupted, "no transfer was interrupted before its end");
        let ran = place.send(&["--chunk-size", after, "file", "d"]).exits(0);
        assert_eq!(ran.events_of("receipt")[0]["root"], root);
        assert_eq!(root_of(&place.read("d/file")), root);
        let sent = ran.count("sent_bytes");
        assert!(sent < LENGTH as u64 * 3 / 4, "{before} then {after}: {sent} bytes sent again");
        assert_eq!(ran.count("repaired_chunks"), 0);
        assert_eq!(place.staging_files("d").len(), 0);
    }
}

#[test]
fn any_chunk_size_gives_the_same_copy_and_the_same_root() {
    let place = Place::new();
    for (number, length) in [CHUNK + 1, 4 * CHUNK, 4 * CHUNK + 1, 9 * CHUNK - 1].into_iter().enumerate() {
        place.random(format!("s/{number}"), length, number as u64);
    }
    for size in ["64KiB", "128KiB", "1MiB", "2MiB", "4MiB"] {
        let ran = place.send(&["--chunk-size", size, "s/", size]).exits(0);
        assert_eq!((ran.count("files"), ran.count("repaired_chunks")), (4, 0));
        for receipt in ran.events_of("receipt") {
            let name = receipt["path"].as_str().expect("a path");
            let bytes = place.read(format!("s/{name}"));
            assert_eq!(receipt["root"], root_of(&bytes));
            assert!(place.read(format!("{size}/{name}")) == bytes, "{size} {name}");
        }
    }
}
