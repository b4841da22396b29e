//! Packets that are lost, doubled, corrupt or late: QUIC repairs them, nothing above it notices.

use careful_faults::rig::{Care, Rig, content};

fn is_unnoticed(plan: &str) {
    let mut rig = Rig::with_file((5 << 20) + 7);
    rig.add_source("small", &content(2, 3000));
    let outcome = rig.run(plan, Care::FULL);
    outcome.assert_all_right();
    assert_eq!(outcome.counters.repaired_chunks, 0);
    assert_eq!(outcome.counters.sent_bytes, (5 << 20) + 7 + 3000);
}

#[test]
fn lost_packets_change_nothing() {
    is_unnoticed("packet-of-sender *13 drop; packet-of-receiver *5 drop");
}

#[test]
fn doubled_packets_change_nothing() {
    is_unnoticed("packet-of-sender *2 double; packet-of-receiver *2 double");
}

#[test]
fn corrupt_packets_change_nothing() {
    is_unnoticed("packet-of-sender *13 flip 100.3; packet-of-receiver *5 flip 30.0");
}

#[test]
fn late_packets_change_nothing() {
    is_unnoticed("packet-of-sender *3 late 1; packet-of-receiver *4 late 1");
}

#[test]
fn lost_and_doubled_and_corrupt_packets_change_nothing() {
    is_unnoticed(
        "packet-of-sender *11 drop; packet-of-sender *7 double; packet-of-sender *17 flip 60.1; \
         packet-of-receiver *6 drop; packet-of-receiver *4 double; packet-of-receiver *9 flip 25.5",
    );
}

#[test]
fn a_lost_first_packet_of_either_side_changes_nothing() {
    is_unnoticed("packet-of-sender #1 drop; packet-of-receiver #1 drop");
}

#[test]
fn any_one_of_the_first_packets_of_either_side_may_be_lost_doubled_or_late() {
    let mut wrong = Vec::new();
    for side in ["sender", "receiver"] {
        for number in 1..=24 {
            let fault = ["drop", "double", "late 3", "flip 30.2"][number % 4];
            let mut rig = Rig::in_memory();
            rig.add_source("file", &content(1, (1 << 20) + 7));
            let plan = format!("packet-of-{side} #{number} {fault}");
            let outcome = rig.run(&plan, Care::FULL);
            if !outcome.is_all_right() || outcome.counters.repaired_chunks > 0 {
                wrong.push(format!("{plan}: {:?}", outcome.verdicts()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
