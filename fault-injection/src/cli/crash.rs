//! `careful-faults crash`: power cuts at every step, and what was looked at.

use super::{CrashArguments, Done, say, tell};
use crate::crash::{Configuration, CrashReport, Options, enumerate};

pub(super) fn run(arguments: &CrashArguments) -> Done {
    let mut broken = 0;
    for configuration in Configuration::all() {
        let options = Options { resumes: arguments.resumes, ..Options::thorough(arguments.seed) };
        let report = enumerate(&configuration, &options, &mut |_| {});
        say(&line(&report));
        tell(&report.listing());
        broken += report.broken_promises();
    }
    Ok(broken == 0)
}

fn line(report: &CrashReport) -> String {
    format!(
        "{:<4} {} crash points ({} with all their images), {} images judged, {} transfers run again, {} of them over damage: \
         {} promises broken\n",
        report.configuration,
        report.points,
        report.exhaustive_points,
        report.images(),
        report.resumes,
        report.over_damage,
        report.broken_promises()
    )
}
