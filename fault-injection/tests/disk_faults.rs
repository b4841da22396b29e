//! What a disk can do to a copy beyond single flipped bits: each shape is found and repaired, or refused and named; and with
//! the check that finds it switched off, it is delivered with a receipt.

use careful::protocol::entry::Name;
use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful_faults::rig::{Care, Outcome, Rig, Verdict, content};

/// Three whole chunks and a little.
const LARGE: usize = (3 << 20) + 5;
/// Travels in a group.
const SMALL: usize = 200_000;

#[track_caller]
fn is_repaired(length: usize, plan: &str) -> Outcome {
    let outcome = Rig::with_file(length).run(plan, Care::FULL);
    outcome.assert_all_right();
    outcome
}

#[track_caller]
fn is_missed(length: usize, plan: &str, care: Care) {
    Rig::with_file(length).run(plan, care).assert_silently_wrong("file");
}

#[track_caller]
fn is_refused(length: usize, plan: &str, failure: Failure) {
    let rig = Rig::with_file(length);
    rig.add_target("file", b"old");
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(failure));
    rig.run("", Care::FULL).assert_all_right();
}

/// Shapes of a write that lands otherwise than it was handed over.
const WRITES: [&str; 6] =
    ["lost", "torn 65536", "stale 4096 65536", "zero 8192 512", "misdirect 4096 4096 131072", "swap-words 1000"];

#[test]
fn writes_that_land_wrong_are_sent_again() {
    for shape in WRITES {
        is_repaired(LARGE, &format!("staging-write file 0 #1 {shape}"));
        is_repaired(SMALL, &format!("staging-write file 0 #1 {shape}"));
    }
}

#[test]
fn without_read_back_writes_that_land_wrong_are_delivered() {
    for shape in WRITES {
        is_missed(LARGE, &format!("staging-write file 1 #1 {shape}"), Care::WITHOUT_READ_BACK);
        is_missed(SMALL, &format!("staging-write file 0 #1 {shape}"), Care::WITHOUT_READ_BACK);
    }
}

#[test]
fn write_outs_that_go_wrong_under_a_good_page_cache_are_sent_again() {
    for shape in WRITES {
        is_repaired(LARGE, &format!("write-out file 0 #1 {shape}"));
        is_repaired(SMALL, &format!("write-out file 0 #1 {shape}"));
    }
}

#[test]
fn a_read_back_through_the_cache_misses_write_outs_that_go_wrong() {
    for shape in WRITES {
        is_missed(LARGE, &format!("write-out file 1 #1 {shape}"), Care::READ_BACK_THROUGH_CACHE);
        is_missed(SMALL, &format!("write-out file 0 #1 {shape}"), Care::READ_BACK_THROUGH_CACHE);
    }
}

#[test]
fn a_write_that_also_hits_a_chunk_not_yet_read_back_is_repaired() {
    is_repaired(LARGE, "staging-write file 0 #1 spill 4096 4096 2097152");
}

/// Zeros that are to be a hole, where an earlier run staged something else.
fn over_something_else(length: usize) -> Rig {
    let mut rig = Rig::new().keeping(Keep { sparse: true, ..Keep::default() });
    rig.add_source("file", &vec![0; length]);
    let staging = Name::new(b"file").expect("a name").staging();
    rig.add_target(staging.to_str().expect("text"), &content(9, length));
    rig
}

#[test]
fn a_hole_that_was_not_made_or_decayed_is_made_again() {
    for length in [LARGE, SMALL] {
        for plan in ["staging-write file 0 #1 lost", "stored-medium file 0 #1 flip 17.3"] {
            over_something_else(length).run(plan, Care::FULL).assert_all_right();
        }
        let lost = over_something_else(length).run("staging-write file 0 #1 lost", Care::WITHOUT_READ_BACK);
        lost.assert_silently_wrong("file");
    }
}

#[test]
fn what_decays_between_flush_and_read_back_is_sent_again() {
    for length in [LARGE, SMALL] {
        is_repaired(length, "stored-medium file 0 #1 flip 17.3");
        is_missed(length, "stored-medium file 0 #1 flip 17.3", Care::READ_BACK_THROUGH_CACHE);
    }
}

#[test]
fn a_flush_that_fails_is_not_believed_whatever_the_page_cache_keeps() {
    for kind in ["eio", "eio-keeping", "eio-reverting"] {
        is_refused(LARGE, &format!("file-sync file 0 #1 {kind}"), Failure::SyncFailed);
        is_refused(SMALL, &format!("file-sync file 0 #1 {kind}"), Failure::SyncFailed);
    }
}

#[test]
fn a_flush_whose_failure_nobody_is_told_of_is_found_by_the_read_back() {
    for length in [LARGE, SMALL] {
        is_repaired(length, "file-sync file 0 #1 swallowed");
        is_missed(length, "file-sync file 0 #1 swallowed", Care::READ_BACK_THROUGH_CACHE);
        is_missed(length, "file-sync file 0 #1 swallowed", Care::WITHOUT_READ_BACK);
    }
}

#[test]
fn a_wrong_page_of_the_source_is_caught_by_the_read_past_the_cache() {
    for length in [LARGE, SMALL] {
        is_repaired(length, "source-cache file 0 #1 flip 17.3");
        is_missed(length, "source-cache file 0 #1 flip 17.3", Care::WITHOUT_SECOND_READ);
    }
}

#[test]
fn a_source_that_is_wrong_on_its_medium_is_delivered_as_it_is() {
    // Nobody can know without something recorded before: the receipt says no more than that two reads agreed.
    for length in [LARGE, SMALL] {
        is_missed(length, "source-medium file 0 #1 flip 17.3", Care::FULL);
    }
}

#[test]
fn a_source_that_somebody_changes_meanwhile_is_refused_as_changed() {
    is_refused(LARGE, "source-read file 2 #1 changed", Failure::SourceChanged);
}

#[test]
fn a_read_that_comes_from_another_offset_is_repaired_at_either_side() {
    for role in ["source-read", "read-back"] {
        is_repaired(LARGE, &format!("{role} file 1 #1 misdirect 0 4096 0"));
    }
    is_missed(LARGE, "source-read file 1 #1 misdirect 0 4096 0", Care::WITHOUT_SECOND_READ);
}

#[test]
fn no_quota_is_told_as_such_and_the_old_target_stays() {
    for length in [LARGE, SMALL] {
        is_refused(length, "staging-write file 0 #1 edquot", Failure::NoSpace);
    }
}

#[test]
fn slow_operations_change_nothing() {
    let plan = "source-read file 0 #1 slow 300; staging-write file 0 #1 slow 300; file-sync file 0 #1 slow 500; \
                read-back file 0 #1 slow 300; rename file 0 #1 slow 200; directory-sync . 0 #1 slow 200";
    for length in [LARGE, SMALL] {
        let outcome = is_repaired(length, plan);
        assert_eq!(outcome.counters.repaired_chunks, 0);
    }
}
