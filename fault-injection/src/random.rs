//! Random plans: several faults at once, anywhere a clean run came by, drawn from a seed; the promises hold after each.
//!
//! What nobody thought of is found here. A plan may end in success or in errors; it must not end in a false word, in a mix
//! under a final name, in a hang, or in something that a repeat without faults does not finish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use careful::seams::buffer::Hop;

use crate::plan::{Draw, Place, Plan, Role};
use crate::rig::{Care, Rig};

/// Longest of a plan.
const FAULTS_MAX: u64 = 4;
const LARGE: usize = (2 << 20) + 77;
const SMALL: usize = 150_000;

/// What many random plans came to.
#[derive(Clone, Debug, Default)]
pub struct RandomReport {
    /// Plans that were run.
    pub plans: u64,
    /// Faults in them that took effect.
    pub fired: u64,
    /// Transfers that were right in the end without a repeat.
    pub completed: u64,
    /// What broke a promise, each with its seed and the line that replays it.
    pub broken: Vec<String>,
}

/// Where a fault may strike that the program is to survive: everywhere a clean run came by, but for the source's own medium.
fn census() -> BTreeMap<Place, u64> {
    let outcome = Rig::of_every_case(LARGE, SMALL).run("", Care::FULL);
    outcome.assert_all_right();
    let mut census = outcome.plan.census();
    census.retain(|place, _| !matches!(place, Place::Disk { role: Role::SourceMedium, .. }));
    let hops = [Hop::SourceToHash, Hop::HashToUpload, Hop::WireToVerify, Hop::VerifyToStage];
    assert!(hops.iter().all(|&hop| census.contains_key(&Place::buffer(hop, "large", 0))), "every hop was met");
    census
}

/// Runs plans of the seeds from `first_seed` on, on so many threads; `done` is called after each.
///
/// # Panics
/// If the rig cannot be set up.
pub fn run(first_seed: u64, plans: u64, jobs: usize, done: &(dyn Fn() + Sync)) -> RandomReport {
    let census = census();
    let next = AtomicU64::new(0);
    let report = Mutex::new(RandomReport::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= plans {
                        return;
                    }
                    let one = run_one(&census, first_seed.wrapping_add(number));
                    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                    report.plans += one.plans;
                    report.fired += one.fired;
                    report.completed += one.completed;
                    report.broken.extend(one.broken);
                    done();
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run_one(census: &BTreeMap<Place, u64>, seed: u64) -> RandomReport {
    let mut draw = Draw::new(seed);
    let faults = 1 + draw.below(FAULTS_MAX);
    let plan: Plan = draw.plan(census, faults as usize, 1 << 20, LARGE as u64);
    let line = plan.to_string();
    let rig = Rig::of_every_case(LARGE, SMALL);
    let outcome = rig.run_plan(plan, Care::FULL);
    let mut broken = outcome.broken_promises();
    let is_complete = outcome.is_all_right();
    if broken.is_empty() && !is_complete {
        let again = rig.run("", Care::FULL);
        broken = again.broken_promises();
        if !again.is_all_right() {
            broken.push(format!("a repeat without faults did not complete: {:?}", again.verdicts()));
        }
    }
    let broken = (!broken.is_empty()).then(|| format!("seed {seed}: {}\n  {line}", broken.join("; ")));
    RandomReport {
        plans: 1,
        fired: outcome.plan.fired().len() as u64,
        completed: u64::from(is_complete),
        broken: broken.into_iter().collect(),
    }
}
