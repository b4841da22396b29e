//! Control data that goes wrong, what a piece must hash to, where it belongs, how long it is: the answer is never a wrong
//! file, at worst an alarm for nothing.

use careful_faults::rig::{Care, Outcome, Rig, Verdict, content};

const LARGE: usize = (3 << 20) + 5;
const SMALL: usize = 5000;
const HOPS: [&str; 4] = ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"];

/// Repaired, or refused with the old file kept.
#[track_caller]
fn is_never_wrong(length: usize, plan: &str) -> Outcome {
    let rig = Rig::with_file(length);
    rig.add_target("file", b"old");
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_fired();
    match outcome.verdict("file") {
        Verdict::Right | Verdict::RefusedAndKept(_) => outcome,
        verdict => panic!("{verdict:?}\nreplay: {plan}"),
    }
}

#[test]
fn a_wrong_expected_hash_is_at_worst_an_alarm_for_nothing() {
    // Before the hash stage there is no hash yet.
    for hop in &HOPS[1..] {
        for length in [LARGE, SMALL] {
            let outcome = is_never_wrong(length, &format!("{hop} file 0 #1 wrong-hash 77"));
            assert_eq!(outcome.verdict("file"), Verdict::Right, "{hop}");
        }
    }
}

#[test]
fn a_piece_that_ends_early_is_never_taken_for_a_whole_one() {
    for hop in HOPS {
        for length in [LARGE, SMALL] {
            is_never_wrong(length, &format!("{hop} file 0 #1 truncate 4096"));
        }
    }
}

#[test]
fn a_piece_with_the_number_of_another_is_never_taken_for_that() {
    for hop in HOPS {
        is_never_wrong(LARGE, &format!("{hop} file 1 #1 wrong-index"));
    }
}

#[test]
fn a_small_file_with_the_number_of_another_is_never_taken_for_that() {
    for hop in HOPS {
        let mut rig = Rig::new();
        for number in 0..4 {
            rig.add_source(&format!("file-{number}"), &content(number, SMALL));
        }
        let outcome = rig.run(&format!("{hop} file-1 0 #1 wrong-index"), Care::FULL);
        outcome.assert_fired();
        for name in rig.sources().keys() {
            let verdict = outcome.verdict(name);
            assert!(matches!(verdict, Verdict::Right | Verdict::RefusedAndKept(_)), "{hop} {name}: {verdict:?}");
        }
    }
}
