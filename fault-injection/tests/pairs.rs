//! Two faults in one transfer, at the same chunk and at different ones: every pair is repaired, or refused and named.

use careful::protocol::failure::Failure;
use careful_faults::rig::{Care, Rig, Verdict};

/// Each strikes once. A fault that follows from the other's repair alone may find nothing to strike.
const FAULTS: [&str; 11] = [
    "source-read file 1 #1 flip 10.1",
    "source-read-past-cache file 1 #1 flip 20.2",
    "source-to-hash file 1 #1 flip 30.3",
    "source-to-hash file 1 #2 flip 40.4",
    "hash-to-upload file 1 #1 flip 50.5",
    "wire-to-verify file 1 #1 flip 60.6",
    "wire-to-verify file 0 #1 flip 60.6",
    "verify-to-stage file 1 #1 flip 70.7",
    "verify-to-stage file 2 #1 flip 70.7",
    "staging-write file 1 #1 lost",
    "read-back file 1 #1 flip 80.0",
];

#[test]
fn any_two_faults_that_strike_once_are_repaired_or_refused_as_an_unstable_source() {
    let mut wrong = Vec::new();
    for (position, one) in FAULTS.iter().enumerate() {
        for other in &FAULTS[position + 1..] {
            let outcome = Rig::with_file((2 << 20) + 5).run(&format!("{one}; {other}"), Care::FULL);
            let verdict = outcome.verdict("file");
            // The reads that settle a doubt about the source must agree: a flip in one of them is an unstable source.
            let may_be_unstable = one.contains("#2") || other.contains("#2");
            let is_unstable = verdict == Verdict::RefusedAndKept(Failure::SourceUnstable);
            if verdict != Verdict::Right && !(may_be_unstable && is_unstable) {
                wrong.push(format!("{verdict:?}\nreplay: {}", outcome.plan));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
