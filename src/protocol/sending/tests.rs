//! The sender's rules one by one: what follows from which events. Longer than most files: one story a rule. Hashes are
//! made up: **no bytes here.**

use super::*;
use crate::chunk::ChunkSize;
use crate::protocol::limits::{CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

fn geometry(chunks: u64) -> Geometry {
    Geometry::new(chunks * 1024, ChunkSize::new(1024).expect("a power of two"))
}

fn plain(chunks: u64) -> FileSending {
    FileSending::new(geometry(chunks), true, FileAnswer::Send)
}

fn with_basis(chunks: u64, target_may_equal: bool) -> FileSending {
    FileSending::new(geometry(chunks), true, FileAnswer::Basis { target_may_equal })
}

/// The right hash of a chunk.
fn right(index: u64) -> PieceHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&index.to_le_bytes());
    PieceHash(hash)
}

const WRONG: PieceHash = PieceHash([0xee; 32]);

fn root(chunks: u64) -> Root {
    Root::from_chaining_values(&(0..chunks).map(right).collect::<Vec<_>>()).expect("two chunks or more")
}

fn actions(sending: &mut FileSending) -> Vec<Action> {
    std::iter::from_fn(|| sending.next_action()).collect()
}

fn read(sending: &mut FileSending, index: u64, hash: PieceHash) -> Vec<Action> {
    sending.read(ChunkIndex(index), hash);
    actions(sending)
}

fn origin_read(sending: &mut FileSending, index: u64, hash: PieceHash) -> Vec<Action> {
    sending.origin_read(ChunkIndex(index), hash);
    actions(sending)
}

fn stored(sending: &mut FileSending, round: u32, index: u64, hash: PieceHash) -> Vec<Action> {
    sending.stored(round, ChunkIndex(index), hash);
    actions(sending)
}

fn arrived_bad(sending: &mut FileSending, index: u64) -> Vec<Action> {
    sending.arrived_bad(ChunkIndex(index));
    actions(sending)
}

/// Reads every chunk right, both times.
fn read_all(sending: &mut FileSending, chunks: u64) {
    actions(sending);
    for index in 0..chunks {
        read(sending, index, right(index));
        origin_read(sending, index, right(index));
    }
}

fn send(index: u64, round: u32) -> Action {
    Action::Send { index, round }
}

fn read_past_cache(index: u64) -> Action {
    Action::Read { index, past_cache: true }
}

fn run(first: u64, count: u64) -> Run {
    Run { first, count }
}

#[test]
fn what_is_read_is_sent_and_read_a_second_time() {
    let mut sending = plain(2);
    let first = [0, 1].map(|index| Action::Read { index, past_cache: false });
    assert_eq!(actions(&mut sending), first);
    assert_eq!(read(&mut sending, 1, right(1)), [send(1, 0), Action::ReadOrigin(1)]);
    assert_eq!(read(&mut sending, 0, right(0)), [send(0, 0), Action::ReadOrigin(0)]);
}

#[test]
fn a_commit_needs_both_reads_and_a_report_of_every_chunk() {
    for last in 0..4 {
        let mut sending = plain(2);
        actions(&mut sending);
        for index in [0, 1] {
            read(&mut sending, index, right(index));
        }
        let events = [(false, 0), (true, 1), (false, 1), (true, 0)];
        let mut event = |place: usize| match events[place] {
            (false, index) => origin_read(&mut sending, index, right(index)),
            (true, index) => stored(&mut sending, 0, index, right(index)),
        };
        for place in (0..4).filter(|place| *place != last) {
            assert_eq!(event(place), []);
        }
        assert_eq!(event(last), [Action::Commit(root(2))]);
        assert_eq!(stored(&mut sending, 0, 0, WRONG), [], "nothing after the commit");
    }
}

#[test]
fn with_one_read_asked_for_there_is_no_second() {
    let mut sending = FileSending::new(geometry(2), false, FileAnswer::Send);
    actions(&mut sending);
    for index in [0, 1] {
        assert_eq!(read(&mut sending, index, right(index)), [send(index, 0)]);
    }
    stored(&mut sending, 0, 1, right(1));
    assert_eq!(stored(&mut sending, 0, 0, right(0)), [Action::Commit(root(2))]);
}

#[test]
fn reading_ahead_of_what_the_receiver_has_is_bounded() {
    let reads = |actions: Vec<Action>| actions.iter().filter(|action| matches!(action, Action::Read { .. })).count();
    for (chunk_bytes, ahead) in [(CHUNK_BYTES_MIN, 128), (CHUNK_BYTES_DEFAULT, 8), (CHUNK_BYTES_MAX, 2)] {
        let geometry = Geometry::new(1 << 30, ChunkSize::new(chunk_bytes).expect("a power of two"));
        let mut sending = FileSending::new(geometry, true, FileAnswer::Basis { target_may_equal: false });
        assert_eq!(reads(actions(&mut sending)), ahead);
        assert!(ahead * chunk_bytes as usize <= READ_AHEAD_BYTES);
        for index in 0..ahead as u64 {
            assert_eq!(reads(read(&mut sending, index, right(index))), 0);
        }
        sending.have(ChunkIndex(0), None, None);
        assert_eq!(reads(actions(&mut sending)), 1);
    }
}

#[test]
fn what_is_staged_is_kept_what_the_target_has_is_copied_the_rest_is_sent() {
    let mut sending = with_basis(4, false);
    actions(&mut sending);
    sending.have(ChunkIndex(0), Some(right(0)), Some(right(0)));
    sending.have(ChunkIndex(1), Some(WRONG), Some(right(1)));
    sending.have(ChunkIndex(2), Some(WRONG), Some(WRONG));
    sending.have(ChunkIndex(3), None, None);
    let decisions: Vec<_> = (0..4).map(|index| read(&mut sending, index, right(index))).collect();
    assert_eq!(decisions[0][..2], [Action::Forget(0), Action::Keep(run(0, 1))]);
    assert_eq!(decisions[1][..2], [Action::Forget(1), Action::Copy(run(1, 1))]);
    assert_eq!(decisions[2][0], send(2, 0));
    assert_eq!(decisions[3][0], send(3, 0));
    for index in 0..4 {
        assert_eq!(origin_read(&mut sending, index, right(index)), []);
    }
    // What is kept was read back before it was named.
    assert_eq!(stored(&mut sending, 0, 1, right(1)), []);
    assert_eq!(stored(&mut sending, 0, 2, right(2)), []);
    assert_eq!(stored(&mut sending, 0, 3, right(3)), [Action::Commit(root(4))]);
}

#[test]
fn a_target_equal_as_a_whole_is_committed_without_a_copy() {
    let mut sending = with_basis(3, true);
    actions(&mut sending);
    for index in 0..3 {
        sending.have(ChunkIndex(index), None, Some(right(index)));
        assert_eq!(read(&mut sending, index, right(index)), [Action::Forget(index), Action::ReadOrigin(index)]);
    }
    assert_eq!(origin_read(&mut sending, 0, right(0)), []);
    assert_eq!(origin_read(&mut sending, 1, right(1)), []);
    assert_eq!(origin_read(&mut sending, 2, right(2)), [Action::Commit(root(3))]);
}

#[test]
fn what_was_held_back_is_copied_at_the_first_difference_and_needs_reports() {
    let mut sending = with_basis(3, true);
    actions(&mut sending);
    for index in 0..3 {
        let target = if index == 2 { WRONG } else { right(index) };
        sending.have(ChunkIndex(index), None, Some(target));
    }
    read(&mut sending, 0, right(0));
    read(&mut sending, 1, right(1));
    assert_eq!(read(&mut sending, 2, right(2))[..2], [Action::Copy(run(0, 2)), send(2, 0)]);
    for index in 0..3 {
        assert_eq!(origin_read(&mut sending, index, right(index)), []);
    }
    assert_eq!(stored(&mut sending, 0, 2, right(2)), []);
    assert_eq!(stored(&mut sending, 0, 1, right(1)), []);
    assert_eq!(stored(&mut sending, 0, 0, right(0)), [Action::Commit(root(3))]);
}

#[test]
fn decisions_are_made_in_order_in_whatever_order_reads_end() {
    let mut sending = with_basis(3, true);
    actions(&mut sending);
    for (index, target) in [WRONG, right(1), right(2)].into_iter().enumerate() {
        sending.have(ChunkIndex(index as u64), None, Some(target));
    }
    assert_eq!(read(&mut sending, 2, right(2)), [Action::ReadOrigin(2)]);
    assert_eq!(read(&mut sending, 1, right(1)), [Action::ReadOrigin(1)]);
    let copy = |index| [Action::Forget(index), Action::Copy(run(index, 1))];
    let expected = [vec![send(0, 0)], copy(1).to_vec(), copy(2).to_vec(), vec![Action::ReadOrigin(0)]].concat();
    assert_eq!(read(&mut sending, 0, right(0)), expected);
}

#[test]
fn a_target_that_only_the_wrong_read_equalled_is_not_committed() {
    let mut sending = with_basis(2, true);
    actions(&mut sending);
    sending.have(ChunkIndex(0), None, Some(right(0)));
    sending.have(ChunkIndex(1), None, Some(WRONG));
    read(&mut sending, 0, right(0));
    read(&mut sending, 1, WRONG);
    origin_read(&mut sending, 0, right(0));
    assert_eq!(origin_read(&mut sending, 1, right(1)), [read_past_cache(1), Action::ReadOrigin(1)]);
    read(&mut sending, 1, right(1));
    assert_eq!(origin_read(&mut sending, 1, right(1)), [Action::Forget(1), Action::Copy(run(0, 2))]);
    // The round ends with the report of the other copy; then the chunk comes.
    let redo = Action::Redo { round: 1, chunks: vec![1] };
    assert_eq!(stored(&mut sending, 0, 0, right(0)), [redo, read_past_cache(1)]);
}

#[test]
fn a_root_is_claimed_after_both_reads_and_nothing_is_sent() {
    let mut sending = FileSending::new(geometry(2), true, FileAnswer::Claim);
    actions(&mut sending);
    read(&mut sending, 0, right(0));
    assert_eq!(read(&mut sending, 1, WRONG), [Action::Forget(1), Action::ReadOrigin(1)]);
    assert_eq!(origin_read(&mut sending, 0, right(0)), []);
    assert_eq!(origin_read(&mut sending, 1, right(1)), [read_past_cache(1), Action::ReadOrigin(1)]);
    assert_eq!(read(&mut sending, 1, right(1)), []);
    assert_eq!(origin_read(&mut sending, 1, right(1)), [Action::Forget(1), Action::Claim(root(2))]);
    // Said twice is said once.
    sending.target_equals_claim();
    sending.target_equals_claim();
    assert_eq!(actions(&mut sending), [Action::Commit(root(2))]);
}

#[test]
fn a_wrong_first_read_reported_as_stored_is_sent_again_and_committed() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, WRONG);
    read(&mut sending, 1, right(1));
    stored(&mut sending, 0, 0, WRONG);
    stored(&mut sending, 0, 1, right(1));
    origin_read(&mut sending, 1, right(1));
    assert_eq!(origin_read(&mut sending, 0, right(0)), [read_past_cache(0), Action::ReadOrigin(0)]);
    assert_eq!(read(&mut sending, 0, right(0)), []);
    let redo = Action::Redo { round: 1, chunks: vec![0] };
    assert_eq!(origin_read(&mut sending, 0, right(0)), [Action::Forget(0), redo, read_past_cache(0)]);
    assert_eq!(read(&mut sending, 0, right(0)), [send(0, 1)]);
    assert_eq!(stored(&mut sending, 1, 0, right(0)), []);
    assert_eq!(stored(&mut sending, 1, 1, right(1)), [Action::Commit(root(2))]);
    assert_eq!(sending.repairs(), Repairs { source: 1, ..Repairs::default() });
}

#[test]
fn a_report_of_a_wrong_first_read_is_no_fault_of_the_disk() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, WRONG);
    origin_read(&mut sending, 0, right(0));
    read(&mut sending, 0, right(0));
    origin_read(&mut sending, 0, right(0));
    stored(&mut sending, 0, 0, WRONG);
    assert_eq!(sending.repairs(), Repairs { source: 1, ..Repairs::default() });
}

#[test]
fn a_source_that_never_reads_the_same_is_given_up() {
    let mut sending = plain(2);
    actions(&mut sending);
    for (number, read_and_origin) in [[1, 2], [3, 4]].into_iter().enumerate() {
        let [first, second] = read_and_origin.map(|byte| PieceHash([byte; 32]));
        read(&mut sending, 0, first);
        let expected = if number == 0 {
            vec![read_past_cache(0), Action::ReadOrigin(0)]
        } else {
            vec![Action::GiveUp(Failure::SourceUnstable)]
        };
        assert_eq!(origin_read(&mut sending, 0, second), expected);
    }
    assert_eq!(read(&mut sending, 1, right(1)), [], "nothing after giving up");
}

#[test]
fn a_chunk_in_dispute_is_not_decided_about() {
    let mut sending = with_basis(2, false);
    actions(&mut sending);
    read(&mut sending, 0, WRONG);
    read(&mut sending, 1, right(1));
    origin_read(&mut sending, 0, right(0));
    assert_eq!(read(&mut sending, 0, right(0)), []);
    sending.have(ChunkIndex(0), Some(right(0)), None);
    sending.have(ChunkIndex(1), None, None);
    assert_eq!(actions(&mut sending), []);
    let expected = [Action::Forget(0), Action::Keep(run(0, 1)), send(1, 0)];
    assert_eq!(origin_read(&mut sending, 0, right(0)), expected);
}

#[test]
fn a_chunk_that_arrived_wrong_is_read_past_the_cache_and_sent_in_the_same_round() {
    let mut sending = plain(2);
    read_all(&mut sending, 2);
    assert_eq!(arrived_bad(&mut sending, 1), [read_past_cache(1)]);
    assert_eq!(read(&mut sending, 1, right(1)), [send(1, 0)]);
    stored(&mut sending, 0, 0, right(0));
    assert_eq!(stored(&mut sending, 0, 1, right(1)), [Action::Commit(root(2))]);
    assert_eq!(sending.repairs(), Repairs { arrival: 1, ..Repairs::default() });
}

#[test]
fn a_chunk_that_keeps_arriving_wrong_is_given_up_in_the_end() {
    let mut sending = plain(2);
    read_all(&mut sending, 2);
    for _ in 0..RESENDS_MAX {
        assert_eq!(arrived_bad(&mut sending, 1), [read_past_cache(1)]);
        assert_eq!(read(&mut sending, 1, right(1)), [send(1, 0)]);
    }
    assert_eq!(arrived_bad(&mut sending, 1), [Action::GiveUp(Failure::ArrivedMismatch)]);
}

#[test]
fn a_settled_dispute_after_many_wrong_arrivals_is_no_unstable_source() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, right(0));
    for _ in 0..RESENDS_MAX {
        arrived_bad(&mut sending, 0);
        assert_eq!(read(&mut sending, 0, right(0)), [send(0, 0)]);
    }
    origin_read(&mut sending, 0, WRONG);
    read(&mut sending, 0, right(0));
    assert_eq!(origin_read(&mut sending, 0, right(0)), [Action::Forget(0)]);
}

#[test]
fn a_chunk_sent_again_is_read_a_second_time_only_once() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, right(0));
    arrived_bad(&mut sending, 0);
    assert_eq!(read(&mut sending, 0, right(0)), [send(0, 0)], "the second read is under way");
    assert_eq!(origin_read(&mut sending, 0, right(0)), []);
}

#[test]
fn a_chunk_that_arrived_wrong_while_its_reads_differ_is_sent_when_they_are_settled() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, right(0));
    assert_eq!(origin_read(&mut sending, 0, WRONG), [read_past_cache(0), Action::ReadOrigin(0)]);
    assert_eq!(arrived_bad(&mut sending, 0), [], "it is being read");
    assert_eq!(read(&mut sending, 0, right(0)), []);
    assert_eq!(origin_read(&mut sending, 0, right(0)), [send(0, 0)]);
}

#[test]
fn a_third_read_that_differs_from_two_that_agreed_is_not_sent() {
    let mut sending = plain(2);
    read_all(&mut sending, 2);
    arrived_bad(&mut sending, 0);
    assert_eq!(read(&mut sending, 0, WRONG), [read_past_cache(0), Action::ReadOrigin(0)]);
    assert_eq!(read(&mut sending, 0, right(0)), []);
    assert_eq!(origin_read(&mut sending, 0, right(0)), [send(0, 0)]);
    stored(&mut sending, 0, 1, right(1));
    assert_eq!(stored(&mut sending, 0, 0, right(0)), [Action::Commit(root(2))]);
}

#[test]
fn a_complaint_about_an_older_copy_does_not_undo_a_proof() {
    let mut sending = plain(2);
    read_all(&mut sending, 2);
    assert_eq!(arrived_bad(&mut sending, 0), [read_past_cache(0)]);
    stored(&mut sending, 0, 0, right(0));
    assert_eq!(arrived_bad(&mut sending, 0), []);
    assert_eq!(read(&mut sending, 0, right(0)), [Action::Forget(0)]);
    assert_eq!(stored(&mut sending, 0, 1, right(1)), [Action::Commit(root(2))]);
}

#[test]
fn a_stored_mismatch_makes_every_proof_void() {
    let mut sending = plain(3);
    read_all(&mut sending, 3);
    stored(&mut sending, 0, 0, right(0));
    assert_eq!(stored(&mut sending, 0, 1, WRONG), [], "the check is not over");
    let redo = Action::Redo { round: 1, chunks: vec![1] };
    assert_eq!(stored(&mut sending, 0, 2, right(2)), [redo, read_past_cache(1)]);
    assert_eq!(read(&mut sending, 1, right(1)), [send(1, 1)]);
    for index in [0, 1, 2] {
        assert_eq!(stored(&mut sending, 0, index, WRONG), [], "of a round that is over");
    }
    assert_eq!(stored(&mut sending, 1, 1, right(1)), []);
    assert_eq!(stored(&mut sending, 1, 0, right(0)), []);
    assert_eq!(stored(&mut sending, 1, 2, right(2)), [Action::Commit(root(3))]);
}

#[test]
fn mismatches_of_one_round_are_one_failed_check_and_one_repair_each() {
    let mut sending = plain(5);
    read_all(&mut sending, 5);
    for index in [0, 1, 1, 2, 3, 3] {
        assert_eq!(stored(&mut sending, 0, index, WRONG), []);
    }
    let redo = Action::Redo { round: 1, chunks: vec![0, 1, 2, 3] };
    let again = stored(&mut sending, 0, 4, right(4));
    assert_eq!(again[0], redo);
    assert_eq!(again[1..], [0, 1, 2, 3].map(read_past_cache));
    assert_eq!(sending.repairs(), Repairs { stored: 4, ..Repairs::default() });
}

#[test]
fn the_third_failed_check_is_the_last() {
    let mut sending = plain(2);
    read_all(&mut sending, 2);
    for round in 0..ROUNDS_MAX {
        stored(&mut sending, round, 1, right(1));
        let redo = Action::Redo { round: round + 1, chunks: vec![0] };
        assert_eq!(stored(&mut sending, round, 0, WRONG), [redo, read_past_cache(0)]);
        assert_eq!(read(&mut sending, 0, right(0)), [send(0, round + 1)]);
    }
    assert_eq!(stored(&mut sending, ROUNDS_MAX, 0, WRONG), [Action::GiveUp(Failure::StoredMismatch)]);
}

#[test]
fn a_round_whose_void_chunk_never_arrived_ends_at_once() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 0, WRONG);
    read(&mut sending, 1, right(1));
    origin_read(&mut sending, 0, right(0));
    read(&mut sending, 0, right(0));
    assert_eq!(origin_read(&mut sending, 0, right(0)), [Action::Forget(0)]);
    // The receiver will not flush what it waits for, nor report the other chunk.
    let redo = Action::Redo { round: 1, chunks: vec![0] };
    assert_eq!(arrived_bad(&mut sending, 0), [redo, read_past_cache(0)]);
}

#[test]
fn a_round_ends_before_its_chunks_outgrow_a_message() {
    let most = HASHES_PER_MESSAGE_MAX as u64;
    let mut sending = plain(most + 2);
    read_all(&mut sending, most + 2);
    for index in 0..most - 1 {
        assert_eq!(stored(&mut sending, 0, index, WRONG), []);
    }
    let again = stored(&mut sending, 0, most - 1, WRONG);
    assert_eq!(again[0], Action::Redo { round: 1, chunks: (0..most).collect() });
}

#[test]
fn what_is_kept_after_a_mismatch_must_be_read_back_anew() {
    let most = HASHES_PER_MESSAGE_MAX as u64;
    let mut sending = FileSending::new(geometry(most + 1), false, FileAnswer::Basis { target_may_equal: false });
    actions(&mut sending);
    for index in 0..most {
        sending.have(ChunkIndex(index), None, None);
        read(&mut sending, index, right(index));
        stored(&mut sending, 0, index, WRONG);
    }
    sending.have(ChunkIndex(most), Some(right(most)), None);
    assert_eq!(read(&mut sending, most, right(most)), [Action::Forget(most), Action::Keep(run(most, 1))]);
    for index in 0..most {
        assert_eq!(read(&mut sending, index, right(index)), [send(index, 1)]);
        assert_eq!(stored(&mut sending, 1, index, right(index)), []);
    }
    assert_eq!(stored(&mut sending, 1, most, right(most)), [Action::Commit(root(most + 1))]);
}

#[test]
fn reports_of_what_was_not_delivered_are_ignored() {
    let mut sending = with_basis(2, true);
    actions(&mut sending);
    for index in [0, 1] {
        stored(&mut sending, 0, index, right(index));
        sending.have(ChunkIndex(index), None, Some(right(index)));
        read(&mut sending, index, right(index));
        // Held back: there is nothing the receiver could have read.
        assert_eq!(stored(&mut sending, 0, index, right(index)), []);
        assert_eq!(arrived_bad(&mut sending, index), []);
    }
    origin_read(&mut sending, 0, right(0));
    assert_eq!(origin_read(&mut sending, 1, right(1)), [Action::Commit(root(2))]);
}

#[test]
fn what_no_receiver_says_is_a_breach_of_the_protocol() {
    let breaches: [fn(&mut FileSending); 5] = [
        |sending| sending.have(ChunkIndex(1), None, None),
        |sending| sending.have(ChunkIndex(u64::MAX), None, None),
        |sending| sending.arrived_bad(ChunkIndex(2)),
        |sending| sending.stored(0, ChunkIndex(2), WRONG),
        FileSending::target_equals_claim,
    ];
    for breach in breaches {
        let mut sending = with_basis(2, true);
        actions(&mut sending);
        breach(&mut sending);
        assert_eq!(actions(&mut sending), [Action::GiveUp(Failure::Protocol)]);
    }
}

fn lost(sending: &mut FileSending, index: u64) -> Vec<Action> {
    sending.lost(ChunkIndex(index));
    actions(sending)
}

#[test]
fn a_chunk_lost_between_the_stages_is_read_again_and_counted() {
    let mut sending = plain(2);
    actions(&mut sending);
    assert_eq!(lost(&mut sending, 1), [Action::Read { index: 1, past_cache: true }]);
    assert_eq!(sending.repairs(), Repairs { lost: 1, ..Repairs::default() });
    assert!(read(&mut sending, 1, right(1)).contains(&Action::Send { index: 1, round: 0 }));
}

#[test]
fn a_chunk_that_was_only_late_is_not_lost() {
    let mut sending = plain(2);
    actions(&mut sending);
    read(&mut sending, 1, right(1));
    assert_eq!(lost(&mut sending, 1), []);
    assert_eq!(sending.repairs(), Repairs::default());
}

#[test]
fn a_chunk_that_comes_after_it_was_called_lost_is_sent_once() {
    let mut sending = plain(2);
    actions(&mut sending);
    lost(&mut sending, 1);
    assert!(read(&mut sending, 1, right(1)).contains(&Action::Send { index: 1, round: 0 }));
    assert_eq!(read(&mut sending, 1, right(1)), [Action::Forget(1)]);
}

#[test]
fn a_chunk_that_is_always_lost_fails_the_file() {
    let mut sending = plain(2);
    actions(&mut sending);
    for _ in 0..REWRITES_MAX {
        assert_eq!(lost(&mut sending, 0), [Action::Read { index: 0, past_cache: true }]);
    }
    assert_eq!(lost(&mut sending, 0), [Action::GiveUp(Failure::SourceIo)]);
}
