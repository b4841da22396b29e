//! Sender and receiver of one large file together: whatever happens in whatever order, a commit is right, and what can
//! be repaired is.

mod world;

use proptest::prelude::*;

use super::failure::Failure;
use super::message::FileAnswer;
use super::sending::Repairs;
use world::{Ended, Fault, Held, Outcome, Plan, Traffic, run};

const ALWAYS: u32 = u32::MAX;

fn run_with(chunks: usize, faults: &[Fault]) -> Ended {
    run(&Plan { faults: faults.to_vec(), ..Plan::plain(chunks) })
}

fn sends(ended: &Ended) -> Vec<u32> {
    ended.traffic.iter().map(|traffic| traffic.sends).collect()
}

#[test]
fn without_faults_every_chunk_is_read_twice_sent_once_and_read_back_once() {
    for chunks in [2, 3, 40] {
        let ended = run_with(chunks, &[]);
        assert_eq!(ended.outcome, Outcome::Committed);
        let once = Traffic { uploads: 1, origins: 1, sends: 1, writes: 1, read_backs: 1, ..Traffic::default() };
        assert_eq!(ended.traffic, vec![once; chunks]);
    }
}

#[test]
fn a_wrong_page_in_the_cache_is_outvoted_and_sent_again() {
    let ended = run_with(5, &[Fault::CacheWrong { chunk: 2 }]);
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!(ended.repairs, Repairs { source: 1, ..Repairs::default() });
    assert_eq!(sends(&ended), [1, 1, 2, 1, 1]);
}

#[test]
fn many_wrong_pages_in_the_cache_cost_one_round() {
    let faults: Vec<_> = (0..40).map(|chunk| Fault::CacheWrong { chunk }).collect();
    let ended = run_with(40, &faults);
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!((ended.repairs.source, ended.rounds), (40, 1));
}

#[test]
fn more_wrong_pages_than_the_receiver_allows_rounds_are_repaired() {
    let faults: Vec<_> = (0..100).map(|chunk| Fault::CacheWrong { chunk }).collect();
    let ended = run_with(100, &faults);
    assert_eq!((ended.outcome, ended.repairs.source), (Outcome::Committed, 100));
}

#[test]
fn a_wrong_second_read_alone_sends_nothing_again() {
    let ended = run_with(4, &[Fault::OriginWrong { chunk: 3, nth: 1 }]);
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!(ended.repairs, Repairs { source: 1, ..Repairs::default() });
    assert_eq!((sends(&ended), ended.rounds), (vec![1; 4], 0));
}

#[test]
fn a_chunk_that_arrives_wrong_is_sent_again_alone() {
    let ended = run_with(4, &[Fault::ArrivesWrong { chunk: 1, times: 5 }]);
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!(ended.repairs, Repairs { arrival: 5, ..Repairs::default() });
    assert_eq!((sends(&ended), ended.rounds), (vec![1, 6, 1, 1], 0));
}

#[test]
fn many_chunks_stored_wrong_once_are_one_failed_check() {
    let faults: Vec<_> = (0..7).map(|chunk| Fault::StoredWrong { chunk, times: 1 }).collect();
    let ended = run_with(9, &faults);
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!((ended.repairs.stored, ended.rounds), (7, 1));
    assert_eq!(ended.traffic[8].read_backs, 2, "everything is read back anew");
}

#[test]
fn a_stored_chunk_that_reads_wrong_once_is_read_again_and_counted() {
    let ended = run_with(3, &[Fault::ReadBackWrong { chunk: 0, times: 1 }]);
    assert_eq!((ended.outcome, ended.misreads), (Outcome::Committed, 1));
    assert_eq!((ended.repairs, sends(&ended)), (Repairs::default(), vec![1; 3]));
}

#[test]
fn what_cannot_be_repaired_is_named() {
    let cases = [
        (Fault::Unstable { chunk: 1 }, Failure::SourceUnstable),
        (Fault::ArrivesWrong { chunk: 1, times: ALWAYS }, Failure::ArrivedMismatch),
        (Fault::StoredWrong { chunk: 1, times: ALWAYS }, Failure::StoredMismatch),
        (Fault::ReadBackWrong { chunk: 1, times: ALWAYS }, Failure::StoredMismatch),
    ];
    for (fault, failure) in cases {
        assert_eq!(run_with(6, &[fault]).outcome, Outcome::GivenUp(failure), "{fault:?}");
    }
}

#[test]
fn with_a_record_every_chunk_is_read_once() {
    for record in [1, 2, 8, 64] {
        let ended = run(&Plan { record: Some(record), ..Plan::plain(40) });
        assert_eq!((ended.outcome, ended.repairs), (Outcome::Committed, Repairs::default()));
        let once = Traffic { uploads: 1, sends: 1, writes: 1, read_backs: 1, ..Traffic::default() };
        assert_eq!(ended.traffic, vec![once; 40]);
    }
}

#[test]
fn a_chunk_that_is_wrong_on_its_disk_is_named_and_never_sent_where_the_record_has_its_hash() {
    for chunk in 0..7 {
        let ended = run(&Plan { record: Some(1), faults: vec![Fault::DiskWrong { chunk }], ..Plan::plain(7) });
        assert_eq!(ended.outcome, Outcome::GivenUp(Failure::SourceCorrupt));
        assert_eq!(ended.traffic[chunk as usize].sends, 0);
    }
}

#[test]
fn a_wrong_page_in_the_cache_is_never_sent_where_the_record_has_its_hash() {
    let ended = run(&Plan { record: Some(1), faults: vec![Fault::CacheWrong { chunk: 2 }], ..Plan::plain(5) });
    assert_eq!((ended.outcome, sends(&ended), ended.rounds), (Outcome::Committed, vec![1; 5], 0));
    assert_eq!(ended.repairs, Repairs { source: 1, ..Repairs::default() });
}

#[test]
fn a_wrong_page_in_a_region_of_many_chunks_is_found_and_sent_again_alone() {
    let ended = run(&Plan { record: Some(4), faults: vec![Fault::CacheWrong { chunk: 9 }], ..Plan::plain(16) });
    let mut expected = vec![1; 16];
    expected[9] = 2;
    assert_eq!((ended.outcome, sends(&ended), ended.rounds), (Outcome::Committed, expected, 1));
    let origins: Vec<_> = ended.traffic.iter().map(|chunk| chunk.origins).collect();
    assert_eq!(origins, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 0, 0, 0, 0], "only its region is read a second time");
}

#[test]
fn an_equal_target_is_proven_without_a_byte_sent_or_copied() {
    for claim in [false, true] {
        let ended = run(&Plan { target: vec![Held::Right; 12], claim, ..Plan::plain(12) });
        assert_eq!(ended.outcome, Outcome::Committed);
        assert!(ended.traffic.iter().all(|traffic| traffic.sends + traffic.copies + traffic.writes == 0));
    }
}

#[test]
fn a_target_that_may_not_be_replaced_and_differs_gets_nothing() {
    let mut target = vec![Held::Right; 12];
    target[11] = Held::Wrong;
    let ended = run(&Plan { target, claim: true, ..Plan::plain(12) });
    assert_eq!((ended.outcome, sends(&ended)), (Outcome::TargetDiffers, vec![0; 12]));
}

/// What each chunk's way to the staging file must be without faults: keeps, copies, sends.
fn expected_ways(plan: &Plan) -> Vec<(u32, u32, u32)> {
    let chunks = plan.staged.iter().zip(&plan.target);
    let is_equal = plan.target.iter().all(|held| *held == Held::Right);
    if plan.claim || is_equal {
        return vec![(0, 0, 0); plan.staged.len()];
    }
    let mut may_equal = matches!(plan.answer(), FileAnswer::Basis { target_may_equal: true });
    chunks
        .map(|(staged, target)| {
            may_equal &= *target == Held::Right;
            match (staged, target) {
                _ if may_equal => (0, 1, 0),
                (Held::Right, _) => (1, 0, 0),
                (_, Held::Right) => (0, 1, 0),
                _ => (0, 0, 1),
            }
        })
        .collect()
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![Just(Held::Nothing), Just(Held::Right), Just(Held::Right), Just(Held::Wrong)]
}

/// A target that has the source's length, and so has something of every chunk.
fn full_target(chunks: usize) -> impl Strategy<Value = Vec<Held>> {
    let held = prop_oneof![9 => Just(Held::Right), 1 => Just(Held::Wrong)];
    prop_oneof![1 => Just(vec![Held::Right; chunks]), 3 => proptest::collection::vec(held, chunks)]
}

fn nothing(chunks: usize) -> impl Strategy<Value = Vec<Held>> {
    Just(vec![Held::Nothing; chunks])
}

/// Plans without faults.
fn plans() -> impl Strategy<Value = Plan> {
    (2_usize..=40).prop_flat_map(|chunks| {
        let staged = prop_oneof![nothing(chunks), proptest::collection::vec(held(), chunks)];
        let target = prop_oneof![nothing(chunks), full_target(chunks), proptest::collection::vec(held(), chunks)];
        let switches = any::<(u64, bool, bool, bool)>();
        (switches, prop::bool::weighted(0.1), 1..=1024_u64, staged, target).prop_map(
            |((seed, large_chunks, second_read, reads_back), claim, last_chunk_bytes, staged, target)| Plan {
                seed,
                large_chunks,
                last_chunk_bytes,
                second_read,
                record: None,
                reads_back,
                claim,
                staged,
                target,
                faults: Vec::new(),
            },
        )
    })
}

/// Any number of these is repaired.
fn recoverable() -> impl Strategy<Value = Fault> {
    let chunk = 0..40_u64;
    prop_oneof![
        chunk.clone().prop_map(|chunk| Fault::UploadWrong { chunk, nth: 1 }),
        chunk.clone().prop_map(|chunk| Fault::CacheWrong { chunk }),
        chunk.clone().prop_map(|chunk| Fault::OriginWrong { chunk, nth: 1 }),
        (chunk.clone(), 1..=2_u32).prop_map(|(chunk, times)| Fault::ArrivesWrong { chunk, times }),
        chunk.clone().prop_map(|chunk| Fault::StoredWrong { chunk, times: 1 }),
        chunk.prop_map(|chunk| Fault::ReadBackWrong { chunk, times: 1 }),
        Just(Fault::ReportsTwice),
        Just(Fault::ComplaintsTwice),
        Just(Fault::OldReports),
    ]
}

/// One of these ends in this failure.
fn unrecoverable() -> impl Strategy<Value = (Fault, Failure)> {
    (0..40_u64).prop_flat_map(|chunk| {
        prop_oneof![
            Just((Fault::Unstable { chunk }, Failure::SourceUnstable)),
            Just((Fault::ArrivesWrong { chunk, times: ALWAYS }, Failure::ArrivedMismatch)),
            Just((Fault::StoredWrong { chunk, times: ALWAYS }, Failure::StoredMismatch)),
            Just((Fault::ReadBackWrong { chunk, times: ALWAYS }, Failure::StoredMismatch)),
        ]
    })
}

/// Repaired or not, depending on what meets what.
fn any_fault() -> impl Strategy<Value = Fault> {
    let (chunk, times) = (0..40_u64, 1..=7_u32);
    prop_oneof![
        2 => recoverable(),
        1 => unrecoverable().prop_map(|(fault, _)| fault),
        1 => (chunk.clone(), 1..4_u32).prop_map(|(chunk, nth)| Fault::UploadWrong { chunk, nth }),
        1 => (chunk.clone(), 1..4_u32).prop_map(|(chunk, nth)| Fault::OriginWrong { chunk, nth }),
        1 => (chunk.clone(), times.clone()).prop_map(|(chunk, times)| Fault::ArrivesWrong { chunk, times }),
        1 => (chunk.clone(), times.clone()).prop_map(|(chunk, times)| Fault::StoredWrong { chunk, times }),
        1 => (chunk, times).prop_map(|(chunk, times)| Fault::ReadBackWrong { chunk, times }),
    ]
}

/// How many chunks a hash of the record covers: one, some, or all.
fn records() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1), 1 => Just(2), 1 => Just(4), 1 => Just(64)]
}

/// The plan with these faults, and with the checks that can see them.
fn with(plan: Plan, faults: Vec<Fault>) -> Plan {
    Plan { faults, second_read: true, reads_back: true, claim: false, ..plan }
}

proptest! {
    #[test]
    fn without_faults_nothing_is_repaired_or_moved_twice(plan in plans()) {
        let ended = run(&plan);
        let is_equal = plan.target.iter().all(|held| *held == Held::Right);
        let expected = if plan.claim && !is_equal { Outcome::TargetDiffers } else { Outcome::Committed };
        prop_assert_eq!(ended.outcome, expected);
        prop_assert_eq!((ended.repairs, ended.misreads, ended.rounds), (Repairs::default(), 0, 0));
        let ways: Vec<_> = ended.traffic.iter().map(|chunk| (chunk.keeps, chunk.copies, chunk.sends)).collect();
        prop_assert_eq!(ways, expected_ways(&plan));
        prop_assert!(ended.traffic.iter().all(|chunk| chunk.uploads == 1 && chunk.read_backs <= 1));
        prop_assert_eq!(ended.bytes_held, 0);
    }

    #[test]
    fn what_can_be_repaired_is(plan in plans(), faults in proptest::collection::vec(recoverable(), 1..12)) {
        let ended = run(&with(plan, faults));
        prop_assert_eq!(ended.outcome, Outcome::Committed);
    }

    #[test]
    fn what_can_be_repaired_is_with_a_record_too(
        plan in plans(), record in records(), faults in proptest::collection::vec(recoverable(), 0..12),
    ) {
        let ended = run(&Plan { record: Some(record), ..with(plan, faults) });
        prop_assert_eq!(ended.outcome, Outcome::Committed);
    }

    #[test]
    fn what_is_wrong_on_its_disk_is_never_committed_against_a_record(
        plan in plans(), record in records(), wrong in 0..40_u64, mut faults in proptest::collection::vec(recoverable(), 0..8),
        claim in any::<bool>(),
    ) {
        faults.push(Fault::DiskWrong { chunk: wrong });
        let ended = run(&Plan { record: Some(record), claim, ..with(plan, faults) });
        prop_assert_eq!(ended.outcome, Outcome::GivenUp(Failure::SourceCorrupt));
    }

    #[test]
    fn what_cannot_be_repaired_is_named_whatever_else_happens(
        plan in plans(),
        mut faults in proptest::collection::vec(recoverable(), 0..8),
        (fault, failure) in unrecoverable(),
    ) {
        faults.push(fault);
        let nothing = vec![Held::Nothing; plan.staged.len()];
        let ended = run(&with(Plan { staged: nothing.clone(), target: nothing, ..plan }, faults));
        prop_assert_eq!(ended.outcome, Outcome::GivenUp(failure));
    }

    #[test]
    fn whatever_goes_wrong_it_ends_and_a_commit_is_right(
        plan in plans(),
        record in proptest::option::of(records()),
        faults in proptest::collection::vec(any_fault(), 1..16),
    ) {
        let mut named = vec![Failure::SourceUnstable, Failure::ArrivedMismatch, Failure::StoredMismatch];
        if record.is_some() {
            named.push(Failure::SourceCorrupt);
        }
        match run(&Plan { record, ..with(plan, faults) }).outcome {
            Outcome::Committed => {}
            Outcome::GivenUp(failure) => prop_assert!(named.contains(&failure), "{:?}", failure),
            Outcome::TargetDiffers => prop_assert!(false, "no target was claimed"),
        }
    }

    #[test]
    fn without_the_checks_what_arrives_wrong_is_still_repaired(
        plan in plans(),
        second_read in any::<bool>(),
        wrong in proptest::collection::vec(0..40_u64, 1..8),
    ) {
        let faults = wrong.into_iter().map(|chunk| Fault::ArrivesWrong { chunk, times: 2 }).collect();
        let ended = run(&Plan { second_read, reads_back: false, ..with(plan, faults) });
        prop_assert_eq!(ended.outcome, Outcome::Committed);
    }

    #[test]
    fn without_read_back_what_was_sent_wrong_is_flushed_again(
        plan in plans(),
        wrong in proptest::collection::vec(0..40_u64, 1..8),
    ) {
        let faults = wrong.into_iter().map(|chunk| Fault::CacheWrong { chunk }).collect();
        let ended = run(&Plan { reads_back: false, ..with(plan, faults) });
        prop_assert_eq!(ended.outcome, Outcome::Committed);
    }
}
