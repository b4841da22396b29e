//! Wrong content on the way of a file of several chunks: each check catches what it is there for, and with that check
//! switched off the same fault does deliver wrong bytes.

use careful::protocol::failure::Failure;
use careful::protocol::limits::CHUNK_BYTES_MIN;
use careful::protocol::sending::Repairs;
use careful::seams::buffer::Hop;
use careful_faults::plan::{Place, Role};
use careful_faults::rig::{Care, Rig, Verdict, content};

/// Three whole chunks and a little.
const LENGTH: usize = (3 << 20) + 5;

#[track_caller]
fn is_repaired(plan: &str) -> careful_faults::rig::Outcome {
    let outcome = Rig::with_file(LENGTH).run(plan, Care::FULL);
    outcome.assert_all_right();
    outcome
}

#[track_caller]
fn is_missed(plan: &str, care: Care) {
    Rig::with_file(LENGTH).run(plan, care).assert_silently_wrong("file");
}

#[test]
fn without_faults_nothing_is_repaired() {
    for length in [LENGTH, (1 << 20) + 1, 2 << 20] {
        let outcome = Rig::with_file(length).run("", Care::FULL);
        outcome.assert_all_right();
        assert_eq!(outcome.counters.repaired_chunks, 0);
        assert_eq!(outcome.counters.sent_bytes, length as u64);
        assert_eq!(outcome.notices, [""; 0]);
    }
}

#[test]
fn without_faults_fewer_checks_deliver_as_well() {
    for care in [Care::WITHOUT_SECOND_READ, Care::WITHOUT_READ_BACK, Care::READ_BACK_THROUGH_CACHE] {
        Rig::with_file(LENGTH).run("", care).assert_all_right();
    }
}

#[test]
fn a_flipped_bit_before_the_hash_is_caught_by_the_second_read_and_repaired() {
    for chunk in [0, 2] {
        let outcome = is_repaired(&format!("source-to-hash file {chunk} #1 flip 17.3"));
        assert!(outcome.counters.repaired_chunks >= 1);
    }
}

#[test]
fn without_the_second_read_a_flipped_bit_before_the_hash_is_delivered() {
    is_missed("source-to-hash file 2 #1 flip 17.3", Care::WITHOUT_SECOND_READ);
}

#[test]
fn a_wrong_read_of_the_source_is_caught_by_the_second_read_and_repaired() {
    is_repaired("source-read file 1 #1 zero 0 4096");
    is_repaired("source-read file 0 #1 swap 700");
}

#[test]
fn without_the_second_read_a_wrong_read_of_the_source_is_delivered() {
    is_missed("source-read file 1 #1 zero 0 4096", Care::WITHOUT_SECOND_READ);
}

#[test]
fn a_wrong_second_read_is_settled_and_nothing_is_sent_again() {
    let outcome = is_repaired("source-read-past-cache file 1 #1 flip 17.3");
    assert_eq!(outcome.counters.sent_bytes, LENGTH as u64);
}

#[test]
fn a_source_that_never_reads_the_same_is_unstable() {
    let rig = Rig::with_file(LENGTH);
    rig.add_target("file", b"old");
    let outcome = rig.run("source-read-past-cache file 1 *1 flip 17.3", Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(Failure::SourceUnstable));
}

#[test]
fn a_flipped_bit_after_the_hash_is_sent_again() {
    let outcome = is_repaired("hash-to-upload file 1 #1 flip 17.3");
    assert_eq!(outcome.counters.repaired_chunks, 1);
    assert_eq!(outcome.counters.sent_bytes, LENGTH as u64 + (1 << 20));
}

#[test]
fn a_flipped_bit_before_verify_is_sent_again() {
    let outcome = is_repaired("wire-to-verify file 3 #1 flip 2.3");
    assert_eq!(outcome.counters.repaired_chunks, 1);
    assert_eq!(outcome.counters.sent_bytes, LENGTH as u64 + 5);
}

#[test]
fn a_chunk_that_never_arrives_right_fails_and_leaves_the_old_target() {
    let rig = Rig::with_file(LENGTH);
    rig.add_target("file", b"old");
    let outcome = rig.run("wire-to-verify file 1 *1 flip 17.3", Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(Failure::ArrivedMismatch));
}

#[test]
fn exchanged_chunks_are_sent_again() {
    is_repaired("hash-to-upload file 1 #1 exchange");
    is_repaired("wire-to-verify file 0 #1 exchange");
}

#[test]
fn a_doubled_chunk_changes_nothing() {
    for hop in ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"] {
        let outcome = is_repaired(&format!("{hop} file 1 #1 double"));
        assert_eq!(outcome.counters.repaired_chunks, 0);
    }
}

#[test]
fn a_flipped_bit_after_verify_is_sent_again() {
    let outcome = is_repaired("verify-to-stage file 1 #1 flip 17.3");
    assert_eq!(outcome.counters.repaired_chunks, 1);
}

#[test]
fn without_read_back_a_flipped_bit_after_verify_is_delivered() {
    is_missed("verify-to-stage file 1 #1 flip 17.3", Care::WITHOUT_READ_BACK);
}

#[test]
fn a_wrong_write_is_sent_again() {
    for fault in ["flip 17.3", "swap 4000", "zero 0 4096", "lost"] {
        let outcome = is_repaired(&format!("staging-write file 1 #1 {fault}"));
        assert_eq!(outcome.counters.repaired_chunks, 1);
    }
}

#[test]
fn without_read_back_a_wrong_write_is_delivered() {
    for fault in ["flip 17.3", "lost"] {
        is_missed(&format!("staging-write file 1 #1 {fault}"), Care::WITHOUT_READ_BACK);
    }
}

#[test]
fn a_bit_wrong_on_the_medium_under_a_good_page_cache_is_sent_again() {
    is_repaired("write-out file 1 #1 flip 17.3");
}

#[test]
fn a_read_back_through_the_cache_misses_a_bit_wrong_on_the_medium() {
    is_missed("write-out file 1 #1 flip 17.3", Care::READ_BACK_THROUGH_CACHE);
}

#[test]
fn a_wrong_read_back_is_read_once_more_and_nothing_is_sent_again() {
    let outcome = is_repaired("read-back file 1 #1 flip 17.3");
    assert_eq!(outcome.plan.visits(&Place::disk(Role::ReadBack, "file", 1)), 2);
    assert_eq!(outcome.counters.repaired_chunks, 0);
    assert_eq!(outcome.counters.sent_bytes, LENGTH as u64);
}

#[test]
fn a_copy_that_stays_wrong_fails_with_stored_mismatch_and_leaves_the_old_target() {
    let rig = Rig::with_file(LENGTH);
    rig.add_target("file", b"old");
    let outcome = rig.run("staging-write file 1 *1 flip 17.3", Care::FULL);
    outcome.assert_fired();
    outcome.assert_verdict("file", &Verdict::RefusedAndKept(Failure::StoredMismatch));
}

#[test]
fn a_wrong_read_of_the_old_target_only_sends_its_chunk() {
    let rig = Rig::with_file(LENGTH);
    let mut old = content(1, LENGTH);
    old[0] ^= 1;
    rig.add_target("file", &old);
    let outcome = rig.run("target-read file 1 #1 flip 17.3", Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.sent_bytes, 2 << 20);
}

#[test]
fn a_chunk_copied_wrong_from_the_old_target_is_sent_again() {
    let rig = Rig::with_file(LENGTH);
    let mut old = content(1, LENGTH);
    old[0] ^= 1;
    rig.add_target("file", &old);
    let outcome = rig.run("target-read file 1 #2 flip 17.3", Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.repaired_chunks, 1);
}

/// Chunks of which many are read with one request.
fn in_smallest_chunks() -> Rig {
    Rig::with_file(LENGTH).in_chunks_of(CHUNK_BYTES_MIN)
}

#[test]
fn one_wrong_chunk_of_many_that_are_read_together_is_read_once_more_and_nothing_is_sent_again() {
    // The bit lies in a chunk that the request reaches, and does not begin with.
    for plan in ["read-back file 1 #1 flip 700000.3", "source-read-past-cache file 1 #1 flip 17.3"] {
        let outcome = in_smallest_chunks().run(plan, Care::FULL);
        outcome.assert_all_right();
        assert_eq!(outcome.counters.sent_bytes, LENGTH as u64);
    }
}

#[test]
fn one_wrong_chunk_of_many_that_are_copied_together_is_sent_again() {
    let rig = in_smallest_chunks();
    let mut old = content(1, LENGTH);
    old[0] ^= 1;
    rig.add_target("file", &old);
    let outcome = rig.run("target-read file 1 #2 flip 17.3", Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.repaired_chunks, 1);
    assert_eq!(outcome.counters.sent_bytes, 2 * u64::from(CHUNK_BYTES_MIN));
}

#[test]
fn one_wrong_chunk_of_many_that_are_written_is_sent_again() {
    for fault in ["flip 17.3", "lost"] {
        let outcome = in_smallest_chunks().run(&format!("staging-write file 1 #1 {fault}"), Care::FULL);
        outcome.assert_all_right();
        assert_eq!(outcome.counters.repaired_chunks, 1);
        assert_eq!(outcome.counters.sent_bytes, LENGTH as u64 + u64::from(CHUNK_BYTES_MIN));
    }
}

#[test]
fn a_target_that_is_right_in_the_cache_alone_is_staged_anew() {
    let rig = Rig::with_file(LENGTH);
    rig.add_older_target("file", &content(1, LENGTH));
    // The first read of it goes through the cache, the second proves what was found.
    let outcome = rig.run("target-read file 1 #2 flip 17.3", Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.sent_bytes, 0);
    assert_eq!(outcome.plan.visits(&Place::disk(Role::TargetRead, "file", 1)), 3, "found, proved, copied");
}

#[test]
fn faults_at_every_hop_of_one_transfer_are_all_repaired() {
    let outcome = is_repaired(
        "source-to-hash file 0 #1 flip 1.1; hash-to-upload file 1 #1 flip 2.2; wire-to-verify file 2 #1 flip 3.3; \
         verify-to-stage file 3 #1 flip 4.4",
    );
    let place = Place::buffer(Hop::VerifyToStage, "file", 3);
    assert!(outcome.plan.visits(&place) >= 2);
}

#[test]
fn several_wrong_chunks_of_one_round_are_sent_again_together() {
    is_repaired(&[0, 1, 2, 3].map(|chunk| format!("staging-write file {chunk} #1 flip 17.3")).join("; "));
}

#[test]
fn every_check_counts_what_it_caught_and_no_other_does() {
    let none = Repairs::default;
    for (plan, expected) in [
        ("wire-to-verify file 1 #1 flip 17.3", Repairs { arrival: 1, ..none() }),
        ("staging-write file 1 #1 flip 17.3", Repairs { stored: 1, ..none() }),
        ("source-read-past-cache file 1 #1 flip 17.3", Repairs { source: 1, ..none() }),
        ("source-to-hash file 1 #1 drop", Repairs { lost: 1, ..none() }),
    ] {
        for length in [LENGTH, 5000] {
            let plan = if length == LENGTH { plan.to_owned() } else { plan.replacen(" 1 #1", " 0 #1", 1) };
            let outcome = Rig::with_file(length).run(&plan, Care::FULL);
            outcome.assert_all_right();
            assert_eq!(outcome.counters.repaired, expected, "{length} {plan}");
        }
    }
}
