//! Every operation of the disk door fails once, and from then on, until the transfer runs untouched: the promises hold
//! after each, and a repeat without faults completes.

use std::collections::BTreeMap;

use careful::protocol::keep::Keep;
use careful_faults::plan::{Entry, Fault, Occurrence, Place, Plan, Role};
use careful_faults::rig::{Care, Rig};

/// Beside the cases of every rig a file with two names, of which one replaces another file, and one with a hole.
fn rig() -> Rig {
    let keep = Keep { hard_links: true, sparse: true, ..Keep::default() };
    let mut rig = Rig::of_every_case((2 << 20) + 5, 5000).keeping(keep);
    rig.add_hard_link("folder/further", "new");
    rig.add_target("folder/further", b"old");
    let mut sparse = vec![0; 200_000];
    sparse[0] = 1;
    rig.add_source("sparse", &sparse);
    rig
}

/// Where a clean run came by, and how often.
fn census() -> BTreeMap<Place, u64> {
    let outcome = rig().run("", Care::FULL);
    outcome.assert_all_right();
    outcome.plan.census()
}

fn can_fail(place: &Place) -> bool {
    let of_medium = [Role::SourceCache, Role::SourceMedium, Role::StoredMedium, Role::WriteOut];
    matches!(place, Place::Disk { role, .. } if !of_medium.contains(role))
}

/// What breaks a promise under this plan, or after it.
fn broken(plan: Plan) -> Option<String> {
    let rig = rig();
    let line = plan.to_string();
    let outcome = rig.run_plan(plan, Care::FULL);
    let mut broken = outcome.broken_promises();
    if broken.is_empty() {
        let again = rig.run("", Care::FULL);
        broken = again.broken_promises();
        if !again.is_all_right() {
            broken.push(format!("the repeat did not complete: {:?} {:?}", again.ended, again.verdicts()));
        }
    }
    (!broken.is_empty()).then(|| format!("{}\nreplay: {line}", broken.join("\n")))
}

#[test]
fn every_operation_fails_once_and_from_then_on() {
    let mut wrong = Vec::new();
    let mut plans = 0;
    let census = census();
    let is_link = |place: &Place| matches!(place, Place::Disk { role: Role::LinkMake, .. });
    assert!(census.keys().any(is_link), "a further name is made");
    for (place, visits) in census.into_iter().filter(|(place, _)| can_fail(place)) {
        // Past a few visits of one place nothing new happens.
        for visit in 1..=visits.min(4) {
            for occurrence in [Occurrence::Nth(visit), Occurrence::From(visit)] {
                let entry = Entry { place: place.clone(), occurrence, fault: Fault::Failed };
                plans += 1;
                wrong.extend(broken(Plan::new(vec![entry]).unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {plans}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(plans > 150, "only {plans} operations were found");
}
