//! Claims about content, each a run of the rig under the line of a plan.

use careful::protocol::failure::Failure;

use crate::rig::{Care, Outcome, Rig, Verdict, content};

super::table![
    a_clean_run_is_right_and_repairs_nothing,
    a_wrong_write_into_any_chunk_is_repaired,
    a_wrong_write_of_a_small_file_is_repaired,
    a_repair_that_is_written_wrong_is_repaired,
    a_wrong_first_read_is_repaired,
    an_unstable_source_is_never_renamed,
    a_failed_flush_gives_no_receipt,
    a_failed_flush_of_a_group_gives_no_receipt,
    a_failed_flush_of_a_directory_gives_no_receipt,
    a_failed_flush_of_many_directories_is_told,
    a_full_disk_is_named,
    short_calls_need_no_repair,
    long_names_that_differ_late_do_not_meet,
];

/// Three whole chunks and a little.
const LARGE: usize = (3 << 20) + 5;
/// Travels in a group.
const SMALL: usize = 5000;

#[track_caller]
fn is_right(rig: &Rig, plan: &str) -> Outcome {
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_all_right();
    outcome
}

/// A file that fails so, with the old target kept.
#[track_caller]
fn fails_and_keeps(rig: &Rig, plan: &str, failure: Failure) {
    rig.add_target("file", b"old");
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(failure));
}

fn group(count: u64) -> Rig {
    let mut rig = Rig::new();
    for number in 0..count {
        rig.add_source(&format!("file-{number}"), &content(number, SMALL));
    }
    rig
}

fn a_clean_run_is_right_and_repairs_nothing() {
    let mut rig = Rig::with_file(LARGE);
    rig.add_source("small", &content(2, SMALL));
    rig.add_source("empty", b"");
    let outcome = is_right(&rig, "");
    assert_eq!(outcome.counters.repaired_chunks, 0);
    assert_eq!(outcome.counters.sent_bytes, (LARGE + SMALL) as u64);
}

fn a_wrong_write_into_any_chunk_is_repaired() {
    for chunk in 0..4 {
        is_right(&Rig::with_file(LARGE), &format!("staging-write file {chunk} #1 flip 17.3"));
    }
}

fn a_wrong_write_of_a_small_file_is_repaired() {
    is_right(&Rig::with_file(SMALL), "staging-write file 0 #1 flip 17.3");
}

fn a_repair_that_is_written_wrong_is_repaired() {
    is_right(&Rig::with_file(LARGE), "staging-write file 1 #1 flip 17.3; staging-write file 1 #2 flip 99.1");
    is_right(&Rig::with_file(SMALL), "staging-write file 0 #1 flip 17.3; staging-write file 0 #2 flip 99.1");
}

fn a_wrong_first_read_is_repaired() {
    is_right(&Rig::with_file(LARGE), "source-read file 1 #1 flip 17.3");
    is_right(&Rig::with_file(SMALL), "source-read file 0 #1 flip 17.3");
}

fn an_unstable_source_is_never_renamed() {
    for (length, chunk) in [(LARGE, 1), (SMALL, 0)] {
        let plan = format!("source-read-past-cache file {chunk} *1 flip 17.3");
        fails_and_keeps(&Rig::with_file(length), &plan, Failure::SourceUnstable);
    }
}

fn a_failed_flush_gives_no_receipt() {
    for length in [LARGE, SMALL] {
        fails_and_keeps(&Rig::with_file(length), "file-sync file 0 #1 eio", Failure::SyncFailed);
    }
}

fn a_failed_flush_of_a_group_gives_no_receipt() {
    let rig = group(12);
    let outcome = rig.run("file-system-sync . 0 #1 eio", Care::FULL);
    outcome.assert_fired();
    for name in rig.sources().keys() {
        outcome.assert_verdict(name, &Verdict::RefusedAndKept(Failure::SyncFailed));
    }
}

fn a_failed_flush_of_a_directory_gives_no_receipt() {
    for length in [LARGE, SMALL] {
        let outcome = Rig::with_file(length).run("directory-sync . 0 #1 eio", Care::FULL);
        outcome.assert_fired();
        outcome.assert_verdict("file", &Verdict::RefusedAndRight(Failure::NotDurable));
    }
}

fn a_failed_flush_of_many_directories_is_told() {
    let mut rig = Rig::new();
    for number in 0..12 {
        rig.add_source(&format!("directory-{number}/file"), &content(number, SMALL));
    }
    // The first is of the files.
    let outcome = rig.run("file-system-sync . 0 #2 eio", Care::FULL);
    outcome.assert_fired();
    for (number, name) in rig.sources().keys().enumerate() {
        outcome.assert_verdict(name, &Verdict::Right);
        assert_eq!(outcome.failure(&format!("directory-{number}")), Some(Failure::SyncFailed));
    }
}

fn a_full_disk_is_named() {
    fails_and_keeps(&Rig::with_file(LARGE), "staging-write file 2 *1 enospc", Failure::NoSpace);
    fails_and_keeps(&Rig::with_file(SMALL), "staging-write file 0 *1 enospc", Failure::NoSpace);
}

fn short_calls_need_no_repair() {
    for length in [LARGE, SMALL] {
        let plan = ["source-read", "source-read-past-cache", "staging-write", "read-back"]
            .map(|role| format!("{role} file 0 #1 eintr; {role} file 0 #2 short"));
        let outcome = is_right(&Rig::with_file(length), &plan.join("; "));
        assert_eq!(outcome.counters.repaired_chunks, 0, "replay: {}", outcome.plan);
    }
}

fn long_names_that_differ_late_do_not_meet() {
    let mut rig = Rig::new();
    for (seed, length) in [(1, 254), (2, 255)] {
        rig.add_source(&"n".repeat(length), &content(seed, SMALL));
    }
    is_right(&rig, "");
}
