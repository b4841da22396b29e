//! Wrong content on the way of a group of small files: the file that was struck is repaired, the others are not held up.

use careful::protocol::failure::Failure;
use careful_faults::rig::{Care, Outcome, Rig, Verdict, content};

/// At every edge of small files.
const LENGTHS: [usize; 6] = [0, 1, 1024, 4096, 4097, 1 << 20];
/// Its number in the group is not known, but its name is.
const NAME: &str = "length-4097";

fn group() -> Rig {
    let mut rig = Rig::new();
    for (seed, length) in LENGTHS.into_iter().enumerate() {
        rig.add_source(&format!("length-{length}"), &content(seed as u64, length));
    }
    rig
}

/// One small file, so that its number in the group is known.
fn alone() -> Rig {
    Rig::with_file(5000)
}

#[track_caller]
fn is_repaired(rig: &Rig, plan: &str) -> Outcome {
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_all_right();
    outcome
}

#[test]
fn without_faults_nothing_is_repaired() {
    let outcome = group().run("", Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.repaired_chunks, 0);
    assert_eq!(outcome.counters.sent_bytes, LENGTHS.iter().sum::<usize>() as u64);
    assert_eq!(outcome.notices, [""; 0]);
}

#[test]
fn without_faults_fewer_checks_deliver_as_well() {
    for care in [Care::WITHOUT_SECOND_READ, Care::WITHOUT_READ_BACK, Care::READ_BACK_THROUGH_CACHE] {
        group().run("", care).assert_all_right();
    }
}

#[test]
fn a_doubled_file_before_the_upload_changes_nothing() {
    for hop in ["source-to-hash", "hash-to-upload"] {
        let outcome = is_repaired(&group(), &format!("{hop} {NAME} 0 #1 double"));
        assert_eq!(outcome.counters.repaired_chunks, 0);
    }
}

#[test]
fn a_group_that_is_flushed_at_once_is_all_right() {
    let mut rig = Rig::new();
    for number in 0..12 {
        rig.add_source(&format!("file-{number}"), &content(number, 3000));
    }
    is_repaired(&rig, "staging-write file-3 0 #1 flip 17.3; staging-write file-7 0 #1 zero 0 4096");
}

#[test]
fn a_flipped_bit_before_the_hash_is_caught_by_the_second_read_and_repaired() {
    is_repaired(&alone(), "source-to-hash file 0 #1 flip 17.3");
    is_repaired(&group(), &format!("source-read {NAME} 0 #1 flip 17.3"));
}

#[test]
fn without_the_second_read_a_flipped_bit_before_the_hash_is_delivered() {
    alone().run("source-to-hash file 0 #1 flip 17.3", Care::WITHOUT_SECOND_READ).assert_silently_wrong("file");
    let plan = format!("source-read {NAME} 0 #1 flip 17.3");
    group().run(&plan, Care::WITHOUT_SECOND_READ).assert_silently_wrong(NAME);
}

#[test]
fn a_second_flip_in_the_read_that_repairs_the_first_is_caught_too() {
    is_repaired(&alone(), "source-to-hash file 0 #1 flip 17.3; source-to-hash file 0 #2 flip 17.3");
}

#[test]
fn a_file_that_flips_on_every_way_to_the_hash_is_unstable() {
    let rig = alone();
    rig.add_target("file", b"old");
    let outcome = rig.run("source-to-hash file 0 *1 flip 17.3", Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(Failure::SourceUnstable));
}

#[test]
fn a_source_that_never_reads_the_same_is_unstable_and_holds_up_no_other() {
    let rig = group();
    let outcome = rig.run(&format!("source-read-past-cache {NAME} 0 *1 flip 17.3"), Care::FULL);
    outcome.assert_fired();
    for name in rig.sources().keys() {
        let expected = if name == NAME { Verdict::RefusedAndKept(Failure::SourceUnstable) } else { Verdict::Right };
        outcome.assert_verdict(name, &expected);
    }
}

#[test]
fn a_flipped_bit_after_the_hash_is_sent_again() {
    let outcome = is_repaired(&alone(), "hash-to-upload file 0 #1 flip 17.3");
    assert_eq!(outcome.counters.repaired_chunks, 1);
}

#[test]
fn a_flipped_bit_before_verify_is_sent_again() {
    let outcome = is_repaired(&alone(), "wire-to-verify file 0 #1 swap 100");
    assert_eq!(outcome.counters.repaired_chunks, 1);
}

#[test]
fn exchanged_files_are_sent_again() {
    is_repaired(&group(), &format!("hash-to-upload {NAME} 0 #1 exchange"));
    is_repaired(&group(), &format!("wire-to-verify {NAME} 0 #1 exchange"));
}

#[test]
fn a_file_lost_between_two_stages_is_sent_again() {
    for hop in ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"] {
        is_repaired(&group(), &format!("{hop} {NAME} 0 #1 drop"));
    }
}

#[test]
fn a_flipped_bit_after_verify_is_sent_again() {
    let outcome = is_repaired(&alone(), "verify-to-stage file 0 #1 flip 17.3");
    assert_eq!(outcome.counters.repaired_chunks, 1);
}

#[test]
fn without_read_back_a_flipped_bit_after_verify_is_delivered() {
    alone().run("verify-to-stage file 0 #1 flip 17.3", Care::WITHOUT_READ_BACK).assert_silently_wrong("file");
}

#[test]
fn a_wrong_write_is_sent_again() {
    for fault in ["flip 17.3", "zero 0 4096", "lost"] {
        let outcome = is_repaired(&group(), &format!("staging-write {NAME} 0 #1 {fault}"));
        assert_eq!(outcome.counters.repaired_chunks, 1);
    }
}

#[test]
fn without_read_back_a_wrong_write_is_delivered() {
    let plan = format!("staging-write {NAME} 0 #1 flip 17.3");
    group().run(&plan, Care::WITHOUT_READ_BACK).assert_silently_wrong(NAME);
}

#[test]
fn a_bit_wrong_on_the_medium_under_a_good_page_cache_is_sent_again() {
    is_repaired(&alone(), "write-out file 0 #1 flip 17.3");
}

#[test]
fn a_read_back_through_the_cache_misses_a_bit_wrong_on_the_medium() {
    let plan = "write-out file 0 #1 flip 17.3";
    alone().run(plan, Care::READ_BACK_THROUGH_CACHE).assert_silently_wrong("file");
}

#[test]
fn a_wrong_read_back_is_read_once_more_and_nothing_is_sent_again() {
    let outcome = is_repaired(&alone(), "read-back file 0 #1 flip 17.3");
    assert_eq!(outcome.counters.repaired_chunks, 0);
}

#[test]
fn a_copy_that_stays_wrong_fails_with_stored_mismatch_and_leaves_the_old_target() {
    let rig = group();
    rig.add_target(NAME, b"old");
    let outcome = rig.run(&format!("staging-write {NAME} 0 *1 flip 17.3"), Care::FULL);
    outcome.assert_fired();
    for name in rig.sources().keys() {
        let expected = if name == NAME { Verdict::RefusedAndKept(Failure::StoredMismatch) } else { Verdict::Right };
        outcome.assert_verdict(name, &expected);
    }
    assert_eq!(outcome.staging_files(), 0);
}
