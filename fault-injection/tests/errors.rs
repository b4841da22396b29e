//! Errors of the disk: never a receipt for what was not done, the old target stays, and the next run completes.

use careful::protocol::failure::Failure;
use careful_faults::rig::{Care, Rig, Verdict, content};

/// Three whole chunks and a little.
const LARGE: usize = (3 << 20) + 5;
/// Travels in a group.
const SMALL: usize = 5000;

/// The run with the fault ends with this failure and keeps the old target; the next one, without it, is right.
#[track_caller]
fn fails_and_then_completes(length: usize, plan: &str, failure: Failure) {
    let rig = Rig::with_file(length);
    rig.add_target("file", b"old");
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(failure));
    assert!(outcome.staging_files() <= 1);
    rig.run("", Care::FULL).assert_all_right();
}

#[test]
fn a_failed_sync_gives_no_receipt_and_the_next_run_completes() {
    for length in [LARGE, SMALL] {
        fails_and_then_completes(length, "file-sync file 0 #1 eio", Failure::SyncFailed);
    }
}

#[test]
fn a_failed_sync_of_a_whole_group_gives_no_receipt_and_the_next_run_completes() {
    let mut rig = Rig::new();
    for number in 0..12 {
        rig.add_source(&format!("file-{number}"), &content(number, 3000));
    }
    let outcome = rig.run("file-system-sync . 0 #1 eio", Care::FULL);
    outcome.assert_fired();
    for name in rig.sources().keys() {
        outcome.assert_verdict(name, &Verdict::RefusedAndKept(Failure::SyncFailed));
    }
    rig.run("", Care::FULL).assert_all_right();
}

#[test]
fn a_failed_sync_of_the_directory_gives_no_receipt_and_the_next_run_completes() {
    for length in [LARGE, SMALL] {
        let rig = Rig::with_file(length);
        let outcome = rig.run("directory-sync . 0 #1 eio", Care::FULL);
        outcome.assert_fired();
        outcome.assert_verdict("file", &Verdict::RefusedAndRight(Failure::NotDurable));
        rig.run("", Care::FULL).assert_all_right();
    }
}

#[test]
fn no_space_at_the_start_keeps_the_old_target() {
    fails_and_then_completes(LARGE, "allocate file 0 #1 enospc", Failure::NoSpace);
}

#[test]
fn no_space_in_the_middle_keeps_the_old_target() {
    fails_and_then_completes(LARGE, "staging-write file 2 #1 enospc", Failure::NoSpace);
    fails_and_then_completes(SMALL, "staging-write file 0 #1 enospc", Failure::NoSpace);
}

#[test]
fn a_failed_write_keeps_the_old_target() {
    for length in [LARGE, SMALL] {
        fails_and_then_completes(length, "staging-write file 0 #1 eio", Failure::TargetIo);
    }
}

#[test]
fn a_failed_read_back_keeps_the_old_target() {
    for length in [LARGE, SMALL] {
        fails_and_then_completes(length, "read-back file 0 #1 eio", Failure::TargetIo);
    }
}

#[test]
fn a_failed_rename_keeps_the_old_target() {
    for length in [LARGE, SMALL] {
        fails_and_then_completes(length, "rename file 0 #1 eio", Failure::TargetIo);
    }
}

#[test]
fn a_source_that_cannot_be_read_keeps_the_old_target() {
    for length in [LARGE, SMALL] {
        for role in ["source-read", "source-read-past-cache"] {
            fails_and_then_completes(length, &format!("{role} file 0 #1 eio"), Failure::SourceIo);
        }
    }
}

#[test]
fn short_reads_and_writes_and_eintr_change_nothing() {
    for length in [LARGE, SMALL] {
        let plan = ["source-read", "source-read-past-cache", "staging-write", "read-back"]
            .map(|role| format!("{role} file 0 #1 eintr; {role} file 0 #2 short"));
        let outcome = Rig::with_file(length).run(&plan.join("; "), Care::FULL);
        outcome.assert_all_right();
        assert_eq!(outcome.counters.repaired_chunks, 0);
        assert_eq!(outcome.counters.sent_bytes, length as u64);
    }
}
