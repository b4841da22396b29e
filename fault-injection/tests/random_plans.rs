//! Plans drawn from seeds: a fixed corpus, and fresh ones in every run.

use std::time::{SystemTime, UNIX_EPOCH};

use careful_faults::random::{RandomReport, run};

/// Plans of the fixed corpus, and as many fresh ones.
const PLANS: u64 = 100;

#[track_caller]
fn assert_promises_held(report: &RandomReport, first_seed: u64) {
    assert!(report.broken.is_empty(), "seeds from {first_seed}:\n{}", report.broken.join("\n"));
    assert!(report.fired >= PLANS / 2, "only {} faults took effect", report.fired);
}

#[test]
fn no_plan_of_the_corpus_breaks_a_promise() {
    assert_promises_held(&run(0, PLANS, 8, &|| {}), 0);
}

#[test]
fn no_fresh_plan_breaks_a_promise() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    // Far from the corpus; the seed is told if it fails.
    let first_seed = now << 20;
    assert_promises_held(&run(first_seed, PLANS, 8, &|| {}), first_seed);
}
