//! The receiver's rules one by one. Chunks are mostly of 4 MiB and only named: **no bytes here.**

use super::*;
use crate::chunk::ChunkSize;

/// So large that sixteen chunks are flushed together.
const CHUNK_BYTES: u32 = 4 << 20;
const FLUSHED_TOGETHER: u64 = SYNC_EVERY_BYTES / CHUNK_BYTES as u64;
const WRONG: PieceHash = PieceHash([0xee; 32]);

fn receiving(chunks: u64, reads_back: bool) -> FileReceiving {
    let chunk_size = ChunkSize::new(CHUNK_BYTES).expect("a power of two");
    FileReceiving::new(Geometry::new(chunks * u64::from(CHUNK_BYTES), chunk_size), reads_back)
}

/// The right hash of a chunk.
fn right(index: u64) -> PieceHash {
    PieceHash([index as u8; 32])
}

fn root(chunks: u64) -> Root {
    Root::from_chaining_values(&(0..chunks).map(right).collect::<Vec<_>>()).expect("two chunks or more")
}

fn actions(receiving: &mut FileReceiving) -> Vec<Action> {
    std::iter::from_fn(|| receiving.next_action()).collect()
}

fn stage(receiving: &mut FileReceiving, index: u64, round: u32) -> Vec<Action> {
    assert!(receiving.wants(ChunkIndex(index), round));
    receiving.staged(ChunkIndex(index), round, right(index));
    actions(receiving)
}

fn synced(receiving: &mut FileReceiving) -> Vec<Action> {
    receiving.synced();
    actions(receiving)
}

fn read_back(receiving: &mut FileReceiving, index: u64, round: u32, hash: PieceHash) -> Vec<Action> {
    receiving.read_back(ChunkIndex(index), round, hash);
    actions(receiving)
}

fn reading(index: u64, round: u32) -> Action {
    Action::ReadBack { index, round }
}

fn report(index: u64, round: u32, hash: PieceHash) -> Action {
    Action::Report { index, hash, round }
}

/// Two chunks, staged, flushed, read back and reported.
fn two_done() -> FileReceiving {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    read_back(&mut receiving, 0, 0, right(0));
    read_back(&mut receiving, 1, 0, right(1));
    receiving
}

#[test]
fn a_chunk_is_read_back_after_a_flush_and_reported_after_that() {
    let mut receiving = receiving(2, true);
    assert_eq!(stage(&mut receiving, 1, 0), []);
    assert_eq!(stage(&mut receiving, 0, 0), [Action::FinalSync]);
    assert_eq!(synced(&mut receiving), [reading(1, 0), reading(0, 0)]);
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [report(0, 0, right(0))]);
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(read_back(&mut receiving, 1, 0, right(1)), [report(1, 0, right(1))]);
    assert_eq!(receiving.root_read_back(), Some(root(2)));
}

#[test]
fn reading_back_trails_the_writing_flush_by_flush() {
    let mut receiving = receiving(2 * FLUSHED_TOGETHER, true);
    for index in 0..FLUSHED_TOGETHER - 1 {
        assert_eq!(stage(&mut receiving, index, 0), []);
    }
    assert_eq!(stage(&mut receiving, FLUSHED_TOGETHER - 1, 0), [Action::Sync]);
    // Written while the flush is under way, so the next one covers it.
    let last = [2 * FLUSHED_TOGETHER - 2, 2 * FLUSHED_TOGETHER - 1];
    for index in FLUSHED_TOGETHER..last[0] {
        assert_eq!(stage(&mut receiving, index, 0), []);
    }
    let first = (0..READING_BACK_MAX as u64).map(|index| reading(index, 0));
    assert_eq!(synced(&mut receiving), first.chain([Action::Sync]).collect::<Vec<_>>());
    let next = READING_BACK_MAX as u64;
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [report(0, 0, right(0)), reading(next, 0)]);
    for index in 1..FLUSHED_TOGETHER {
        read_back(&mut receiving, index, 0, right(index));
    }
    for index in last {
        assert_eq!(stage(&mut receiving, index, 0), []);
    }
    assert_eq!(synced(&mut receiving)[READING_BACK_MAX..], [Action::FinalSync]);
    for index in FLUSHED_TOGETHER..last[0] {
        read_back(&mut receiving, index, 0, right(index));
    }
    assert_eq!(synced(&mut receiving), last.map(|index| reading(index, 0)));
}

#[test]
fn of_chunks_smaller_than_a_request_as_many_are_read_back_as_fit_into_the_requests() {
    let chunk_size = ChunkSize::new(64 << 10).expect("a power of two");
    let mut receiving = FileReceiving::new(Geometry::new(SYNC_LEAST_BYTES, chunk_size), true);
    for index in 0..receiving.geometry.count() {
        stage(&mut receiving, index, 0);
    }
    assert_eq!(synced(&mut receiving).len(), READING_BACK_MAX * 16);
}

#[test]
fn towards_the_end_less_and_less_is_flushed_so_that_little_is_left_to_be_read_back() {
    let mut receiving = receiving(2 * FLUSHED_TOGETHER, true);
    let flushed_after: Vec<_> = (0..2 * FLUSHED_TOGETHER)
        .filter(|&index| {
            let is_flushed = stage(&mut receiving, index, 0).contains(&Action::Sync);
            if is_flushed {
                receiving.synced();
            }
            is_flushed
        })
        .map(|index| index + 1)
        .collect();
    let least = SYNC_LEAST_BYTES / u64::from(CHUNK_BYTES);
    assert_eq!(flushed_after.first(), Some(&FLUSHED_TOGETHER));
    assert_eq!(flushed_after.last(), Some(&(2 * FLUSHED_TOGETHER - least)));
    assert_eq!(flushed_after.len(), 4, "{flushed_after:?}");
}

#[test]
fn a_chunk_once_there_is_not_wanted_again_in_its_round() {
    let mut receiving = receiving(2, true);
    assert!(receiving.wants(ChunkIndex(0), 0));
    stage(&mut receiving, 0, 1);
    assert!(!receiving.wants(ChunkIndex(0), 0));
    assert!(!receiving.wants(ChunkIndex(0), 1));
    assert!(receiving.wants(ChunkIndex(0), 2));
    assert!(!receiving.wants(ChunkIndex(0), ROUND_MAX + 1));
    assert!(!receiving.wants(ChunkIndex(2), 0), "there is no such chunk");
}

#[test]
fn one_wrong_read_is_read_again_and_counted() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    assert_eq!(read_back(&mut receiving, 0, 0, WRONG), [reading(0, 0)]);
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [report(0, 0, right(0))]);
    assert_eq!(receiving.misreads(), 1);
}

#[test]
fn a_confirmed_mismatch_is_reported_as_it_was_found() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    read_back(&mut receiving, 1, 0, right(1));
    assert_eq!(read_back(&mut receiving, 0, 0, WRONG), [reading(0, 0)]);
    assert_eq!(read_back(&mut receiving, 0, 0, WRONG), [report(0, 0, WRONG)]);
    assert_eq!(receiving.misreads(), 0);
    assert_ne!(receiving.root_read_back(), Some(root(2)), "its own root says the same");
}

#[test]
fn a_new_round_reads_everything_back_after_the_last_flush() {
    let mut receiving = two_done();
    receiving.redo(1, &[1]).expect("a new round");
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(actions(&mut receiving), [], "a chunk is missing");
    assert_eq!(stage(&mut receiving, 1, 1), [Action::FinalSync]);
    assert_eq!(synced(&mut receiving), [reading(0, 1), reading(1, 1)]);
    assert_eq!(read_back(&mut receiving, 0, 1, right(0)), [report(0, 1, right(0))]);
    assert_eq!(read_back(&mut receiving, 1, 1, right(1)), [report(1, 1, right(1))]);
    assert_eq!(receiving.root_read_back(), Some(root(2)));
}

#[test]
fn a_chunk_that_overtakes_its_round_is_the_one_waited_for() {
    let mut receiving = two_done();
    assert_eq!(stage(&mut receiving, 1, 1), [Action::FinalSync]);
    assert_eq!(receiving.root_read_back(), None, "what was read back of it is void");
    receiving.redo(1, &[1]).expect("a new round");
    assert_eq!(actions(&mut receiving), []);
    assert_eq!(synced(&mut receiving), [reading(0, 1), reading(1, 1)]);
}

#[test]
fn a_late_copy_of_an_old_round_does_not_replace_the_new_one() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    receiving.redo(1, &[1]).expect("a new round");
    assert_eq!(stage(&mut receiving, 1, 0), [], "older than what is needed");
    assert_eq!(stage(&mut receiving, 1, 1), [Action::FinalSync]);
    assert!(!receiving.wants(ChunkIndex(1), 0));
}

#[test]
fn a_read_back_of_a_round_that_is_over_counts_for_nothing() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    assert_eq!(synced(&mut receiving), [reading(0, 0), reading(1, 0)]);
    receiving.redo(1, &[1]).expect("a new round");
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), []);
    stage(&mut receiving, 1, 1);
    assert_eq!(read_back(&mut receiving, 1, 0, WRONG), []);
    assert_eq!(synced(&mut receiving), [reading(0, 1), reading(1, 1)]);
}

#[test]
fn a_chunk_written_while_it_is_read_back_is_flushed_and_read_again() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    assert_eq!(stage(&mut receiving, 0, 1), [Action::FinalSync]);
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [], "read before the flush");
    assert_eq!(synced(&mut receiving), [reading(0, 0)]);
}

#[test]
fn a_read_back_that_ends_before_the_flush_of_a_new_write_began_does_not_count() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    receiving.staged(ChunkIndex(0), 1, right(0));
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [Action::FinalSync]);
    assert_eq!(read_back(&mut receiving, 1, 0, right(1)), [report(1, 0, right(1))]);
}

#[test]
fn a_read_back_that_ends_after_the_flush_of_a_new_write_does_not_count_either() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    assert_eq!(stage(&mut receiving, 0, 1), [Action::FinalSync]);
    assert_eq!(synced(&mut receiving), [], "one reading of a chunk at a time");
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [reading(0, 0)]);
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [report(0, 0, right(0))]);
}

#[test]
fn a_chunk_written_twice_before_a_flush_is_read_back_once() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 0, 1);
    assert_eq!(stage(&mut receiving, 1, 0), [Action::FinalSync]);
    assert_eq!(synced(&mut receiving), [reading(0, 0), reading(1, 0)]);
}

#[test]
fn a_report_made_void_by_a_write_does_not_hold_up_the_others() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    stage(&mut receiving, 1, 0);
    synced(&mut receiving);
    receiving.read_back(ChunkIndex(0), 0, right(0));
    receiving.read_back(ChunkIndex(1), 0, right(1));
    receiving.staged(ChunkIndex(0), 1, right(0));
    assert_eq!(actions(&mut receiving), [report(1, 0, right(1)), Action::FinalSync]);
}

#[test]
fn what_is_kept_counts_as_read_back_but_waits_for_the_last_flush() {
    let mut receiving = receiving(2, true);
    receiving.kept(ChunkIndex(0), right(0));
    assert_eq!(actions(&mut receiving), []);
    assert!(!receiving.wants(ChunkIndex(0), 0));
    receiving.kept(ChunkIndex(1), right(1));
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(actions(&mut receiving), [Action::FinalSync]);
    assert_eq!(synced(&mut receiving), []);
    assert_eq!(receiving.root_read_back(), Some(root(2)));
}

#[test]
fn what_is_kept_in_a_later_round_is_read_back_anew() {
    for kept_in_round in [0, 1] {
        let mut receiving = receiving(2, true);
        stage(&mut receiving, 0, 0);
        if kept_in_round == 0 {
            receiving.kept(ChunkIndex(1), right(1));
        }
        receiving.redo(1, &[0]).expect("a new round");
        if kept_in_round == 1 {
            receiving.kept(ChunkIndex(1), right(1));
        }
        assert_eq!(stage(&mut receiving, 0, 1), [Action::FinalSync]);
        assert_eq!(synced(&mut receiving), [reading(0, 1), reading(1, 1)]);
    }
}

#[test]
fn a_chunk_that_was_written_is_not_kept() {
    let mut receiving = receiving(2, true);
    stage(&mut receiving, 0, 0);
    receiving.kept(ChunkIndex(0), WRONG);
    stage(&mut receiving, 1, 0);
    assert_eq!(synced(&mut receiving), [reading(0, 0), reading(1, 0)]);
    assert_eq!(read_back(&mut receiving, 0, 0, right(0)), [report(0, 0, right(0))], "as it was written");
}

#[test]
fn without_read_back_the_root_waits_for_the_flush_all_the_same() {
    let mut receiving = receiving(2, false);
    assert_eq!(stage(&mut receiving, 0, 0), [report(0, 0, right(0))]);
    assert_eq!(stage(&mut receiving, 1, 0), [report(1, 0, right(1)), Action::FinalSync]);
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(synced(&mut receiving), []);
    assert_eq!(receiving.root_read_back(), Some(root(2)));
}

#[test]
fn without_read_back_a_chunk_written_during_the_last_flush_is_flushed_too() {
    let mut receiving = receiving(2, false);
    stage(&mut receiving, 0, 0);
    assert!(stage(&mut receiving, 1, 0).contains(&Action::FinalSync));
    receiving.redo(1, &[1]).expect("a new round");
    assert_eq!(actions(&mut receiving), [report(0, 1, right(0))]);
    assert_eq!(stage(&mut receiving, 1, 1), [report(1, 1, right(1))]);
    assert_eq!(synced(&mut receiving), [Action::FinalSync], "that flush began before the write");
    assert_eq!(receiving.root_read_back(), None);
    assert_eq!(synced(&mut receiving), []);
    assert_eq!(receiving.root_read_back(), Some(root(2)));
}

#[test]
fn rounds_go_up_have_an_end_and_name_chunks_that_exist() {
    let mut receiving = two_done();
    assert_eq!(receiving.redo(0, &[1]), Err(Failure::Protocol));
    assert_eq!(receiving.redo(ROUND_MAX + 1, &[1]), Err(Failure::Protocol));
    assert_eq!(receiving.redo(1, &[2]), Err(Failure::Protocol));
    assert_eq!(receiving.redo(1, &[]), Err(Failure::Protocol), "that round has begun");
    assert_eq!(receiving.redo(ROUND_MAX, &[0]), Ok(()));
}
