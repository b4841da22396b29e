//! Pieces that a queue within one of the halves loses: they are missed within seconds, not when the connection is given up,
//! and read or sent again. What is always lost fails by name.

use std::time::{Duration, Instant};

use careful::protocol::failure::Failure;
use careful::protocol::limits::{LOOK_EVERY, LOOKS_UNTIL_LOST, REWRITES_MAX};
use careful_faults::rig::{Care, Outcome, Rig, Verdict, content};

/// Three whole chunks and a little.
const LARGE: usize = (3 << 20) + 5;
/// Travels in a group.
const SMALL: usize = 5000;
const HOPS: [&str; 4] = ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"];
/// Until one piece is missed, and as much again for all the rest on a busy machine.
const SOON: Duration = Duration::from_millis(2 * (LOOK_EVERY.as_millis() as u64) * LOOKS_UNTIL_LOST as u64 + 4000);

#[track_caller]
fn is_repaired_soon(rig: &Rig, plan: &str) -> Outcome {
    let started = Instant::now();
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_all_right();
    assert!(started.elapsed() < SOON, "after {:?}\nreplay: {plan}", started.elapsed());
    assert_eq!(outcome.notices, [""; 0], "the connection is not given up\nreplay: {plan}");
    outcome
}

fn at_the_receiver(hop: &str) -> bool {
    ["wire-to-verify", "verify-to-stage"].contains(&hop)
}

fn at_every_hop(test: impl Fn(&str) + Copy + Send + Sync) {
    std::thread::scope(|scope| {
        for hop in HOPS {
            scope.spawn(move || test(hop));
        }
    });
}

#[test]
fn a_chunk_lost_at_any_hop_is_missed_and_comes_again() {
    at_every_hop(|hop| {
        let outcome = is_repaired_soon(&Rig::with_file(LARGE), &format!("{hop} file 1 #1 drop"));
        let sent_again = u64::from(at_the_receiver(hop));
        assert_eq!(outcome.counters.repaired_chunks, sent_again);
        assert_eq!(outcome.counters.sent_bytes, LARGE as u64 + (sent_again << 20));
    });
}

#[test]
fn the_last_chunk_lost_at_any_hop_is_missed_though_nothing_overtakes_it() {
    at_every_hop(|hop| drop(is_repaired_soon(&Rig::with_file(LARGE), &format!("{hop} file 3 #1 drop"))));
}

#[test]
fn all_chunks_lost_at_any_hop_are_missed_together() {
    at_every_hop(|hop| {
        let plan = [0, 1, 2, 3].map(|chunk| format!("{hop} file {chunk} #1 drop")).join("; ");
        is_repaired_soon(&Rig::with_file(LARGE), &plan);
    });
}

#[test]
fn a_group_lost_as_a_whole_at_any_hop_is_missed_and_comes_again() {
    at_every_hop(|hop| drop(is_repaired_soon(&Rig::with_file(SMALL), &format!("{hop} file 0 #1 drop"))));
}

#[test]
fn a_small_file_lost_at_any_hop_holds_up_no_other() {
    at_every_hop(|hop| {
        let mut rig = Rig::new();
        for number in 0..10 {
            rig.add_source(&format!("file-{number}"), &content(number, SMALL));
        }
        is_repaired_soon(&rig, &format!("{hop} file-4 0 #1 drop"));
    });
}

#[test]
fn what_is_always_lost_at_any_hop_fails_by_name_and_keeps_the_old_target() {
    // As many times as a piece is tried, with the time for the rest once.
    let in_time = LOOK_EVERY * LOOKS_UNTIL_LOST * (REWRITES_MAX + 2) + SOON;
    let fails = |hop: &str, length: usize| {
        let rig = Rig::with_file(length);
        rig.add_target("file", b"old");
        let started = Instant::now();
        let outcome = rig.run(&format!("{hop} file 0 *1 drop"), Care::FULL);
        outcome.assert_fired();
        let failure = if at_the_receiver(hop) { Failure::ArrivedMismatch } else { Failure::SourceIo };
        outcome.assert_verdict("file", &Verdict::RefusedAndKept(failure));
        assert!(started.elapsed() < in_time, "after {:?}", started.elapsed());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| at_every_hop(|hop| fails(hop, LARGE)));
        scope.spawn(|| at_every_hop(|hop| fails(hop, SMALL)));
    });
}
