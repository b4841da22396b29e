//! Canaries: receivers with a check broken, entered through their doors, that must be found out.
//!
//! An alarm that was never heard is no alarm: a campaign in which one of these is not seen proves nothing. Programs with a
//! guard taken out of their own source are the mutants.

use super::report::{Canary, Outcome};
use crate::crash::{Configuration, Invariant, Options, enumerate};
use crate::crash_disk::{Lie, Model, Sampling};
use crate::disk::Cheat;
use crate::rig::{Care, Rig, content};
use crate::trial::judge;

/// Runs all of them.
#[must_use]
pub fn run(seed: u64) -> Vec<Canary> {
    let mut canaries = vec![
        cheating(
            Cheat::ReadsThroughCache,
            "reads back through the page cache and says device",
            "write-out file 0 #1 flip 17.3",
        ),
        cheating(Cheat::NeverReadsBack, "reads back what it was told to write", "staging-write file 0 #1 flip 17.3"),
        cheating(
            Cheat::SecondReadThroughCache,
            "reads the source twice through the page cache",
            "source-cache file 0 #1 flip 17.3",
        ),
    ];
    let lies = [
        (Lie::DirectorySyncs, Configuration::small(), "gives the receipt before the directory is flushed"),
        (Lie::FileSyncs, Configuration::small(), "renames what it did not flush"),
        (Lie::SyncsOfNewDirectoryNames, Configuration::nested(), "does not flush the name of a new directory"),
    ];
    canaries.extend(lies.into_iter().map(|(lie, configuration, name)| lying(lie, &configuration, name, seed)));
    canaries
}

/// A receiver, or sender, that cheats at one check: the fault that the check is there for has to come out as silent.
fn cheating(cheat: Cheat, name: &str, plan: &str) -> Canary {
    let mut rig = Rig::in_memory().cheating(cheat);
    rig.add_source("file", &content(1, (2 << 20) + 5));
    let judged = judge(&rig.run(plan, Care::FULL));
    Canary {
        name: name.to_owned(),
        caught: judged.end == Outcome::Silent,
        by: "the bytes under the final name".to_owned(),
        replay: Some(plan.to_owned()),
    }
}

/// A receiver whose flushes do nothing: after some power cut a file with a receipt is not there.
fn lying(lie: Lie, configuration: &Configuration, name: &str, seed: u64) -> Canary {
    let sampling = Sampling { exhaustive_max: 200, random: 16, seed };
    let options = Options { sampling, ..Options::thorough(seed) }.without_resumes();
    let report = enumerate(&configuration.clone().with_lie(lie), &options, &mut |_| {});
    Canary {
        name: name.to_owned(),
        caught: report.broken(Model::Posix, Invariant::I3) > 0,
        by: "what a power cut may leave".to_owned(),
        replay: report.violations.first().map(|violation| violation.replay.clone()),
    }
}
