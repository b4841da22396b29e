//! The gateway of the paper as a place in plans: what it does to content or to control data, and who notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::{Arc, Mutex};

use careful_faults::gateway::tamper::{MessageKind, Tamper, Untouched};
use careful_faults::ladder::Level;
use careful_faults::matrix::report::Outcome as End;
use careful_faults::plan::Side;
use careful_faults::rig::{Care, Outcome, Rig, content};
use careful_faults::trial::judge;

const CAREFUL: [Level; 4] = [Level::L2, Level::L3, Level::L4, Level::L5];
const LARGE: usize = 2 * (1 << 20) + 77;
const SMALL: usize = 100_000;

fn rig(length: usize) -> Rig {
    let mut rig = Rig::in_memory();
    rig.add_source("file", &content(1, length));
    rig.add_source("other", &content(2, 3000));
    rig.add_target("file", b"old");
    rig
}

/// Both sizes of file with a pair of bytes that the gateway swaps, the last chunk of the large one.
fn swaps(gateway: &str) -> [(usize, String); 2] {
    [(LARGE, format!("{gateway} file 2 #1 swap 40")), (SMALL, format!("{gateway} file 0 #1 swap 99998"))]
}

#[test]
fn every_level_of_careful_repairs_what_the_gateway_swapped() {
    for level in CAREFUL {
        for (length, plan) in swaps("gateway") {
            let outcome = rig(length).run(&plan, level.into());
            outcome.assert_all_right();
            assert_eq!(outcome.counters.repaired.arrival, 1, "{level} {plan}: {:?}", outcome.counters);
        }
    }
}

#[test]
fn every_level_of_careful_repairs_it_under_hashes_that_fit_as_the_sender_compares() {
    for level in CAREFUL {
        for (length, plan) in swaps("rehashing-gateway") {
            let outcome = rig(length).run(&plan, level.into());
            outcome.assert_all_right();
            let repaired = outcome.counters.repaired;
            assert!(repaired.arrival == 0 && repaired.stored > 0, "{level} {plan}: {repaired:?}");
        }
    }
}

#[test]
fn quic_alone_delivers_it_wrong_in_silence() {
    for gateway in ["gateway", "rehashing-gateway"] {
        for (length, plan) in swaps(gateway) {
            rig(length).run(&plan, Level::L1.into()).assert_silently_wrong("file");
        }
    }
}

#[test]
fn through_an_honest_gateway_quic_alone_delivers_it_right() {
    for length in [LARGE, SMALL] {
        rig(length).through(Arc::new(Untouched)).run("", Level::L1.into()).assert_all_right();
    }
}

#[test]
fn plain_udp_goes_past_the_gateway() {
    let outcome = rig(SMALL).run("gateway file 0 #1 swap 40", Level::L0.into());
    assert!(outcome.is_all_right() && outcome.plan.fired().is_empty());
}

/// Flips spread over the first message of the kind: each is noticed by the message's own check, and everything is said again
/// on another connection.
fn is_said_again(length: usize, message: &str) {
    for (level, number) in
        [(Level::L2, 0), (Level::L5, 1), (Level::L2, 2), (Level::L5, 3), (Level::L5, 4), (Level::L5, 5)]
    {
        let plan = format!("{message} #1 flip {}.{}", 2 + 7 * number, number);
        let outcome = rig(length).run(&plan, level.into());
        outcome.assert_all_right();
        assert!(!outcome.notices.is_empty(), "{level} {plan}: nobody noticed");
    }
}

#[test]
fn a_flipped_verdict_is_said_again() {
    is_said_again(LARGE, "message-of-receiver stored");
    is_said_again(SMALL, "message-of-receiver group-stored");
}

#[test]
fn a_flipped_receipt_is_said_again() {
    is_said_again(LARGE, "message-of-receiver file-receipt");
    is_said_again(SMALL, "message-of-receiver group-receipt");
}

#[test]
fn a_flipped_commit_is_said_again() {
    is_said_again(LARGE, "message-of-sender commit-file");
    is_said_again(SMALL, "message-of-sender commit-group");
}

/// Notes the first offer of a group.
#[derive(Debug, Default)]
struct Listener(Mutex<Option<Vec<u8>>>);

impl Tamper for Listener {
    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        let is_offer = MessageKind::of(from, bytes).is_some_and(|kind| kind.to_string() == "offer-group");
        if is_offer {
            self.0.lock().unwrap().get_or_insert_with(|| bytes.to_vec());
        }
        false
    }
}

fn misnamed(rig: &Rig, offer: &[u8]) -> Outcome {
    let byte = offer.windows(4).position(|bytes| bytes == b"file").unwrap();
    rig.run(&format!("message-of-sender offer-group #1 flip {byte}.0"), Care::FULL)
}

#[test]
fn a_name_flipped_on_the_way_is_never_made() {
    let listener = Arc::new(Listener::default());
    rig(SMALL).through(Arc::clone(&listener) as Arc<dyn Tamper>).run("", Care::FULL).assert_all_right();
    let offer = listener.0.lock().unwrap().take().unwrap();
    let outcome = misnamed(&rig(SMALL), &offer);
    outcome.assert_all_right();
    assert_eq!(outcome.strays(), [""; 0], "no file has the name that nobody meant");
    assert_eq!(judge(&outcome).end, End::Repaired);
}
