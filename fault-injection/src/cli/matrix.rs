//! `careful-faults matrix`: runs the campaign, judges it, shows it.

use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Done, MatrixArguments, View, cores, say, tell, transfers_at_once};
use crate::ladder::Level;
use crate::matrix::campaign::Campaign;
use crate::matrix::progress::TrialProgress;
use crate::matrix::report::{Column, Curves, Report, SCHEMA, Verdict};
use crate::matrix::{canaries, curves, page, table};

/// Width of the table where it is not known, in columns.
const WIDTH: usize = 110;

pub(super) fn run(arguments: &MatrixArguments) -> Done {
    let campaign = Campaign {
        seed: arguments.seed,
        trials: arguments.trials,
        trials_full: arguments.trials_full,
        rows: arguments.rows.clone(),
        levels: arguments.levels.clone(),
        jobs: arguments.jobs.unwrap_or_else(transfers_at_once),
    };
    let known = campaign.rows();
    if let Some(unknown) = arguments.rows.iter().find(|row| known.iter().all(|known| known.number != **row)) {
        return Err(format!("there is no row {unknown}; `careful-faults list` names them"));
    }
    let report = report(&campaign, !arguments.without_curves);
    show(&report, &arguments.view)
}

/// A report that was made before.
#[expect(clippy::disallowed_methods, reason = "a report for a person is no file of a transfer")]
pub(super) fn show_again(path: &Path, view: &View) -> Done {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let report = Report::from_json(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    show(&report, view)
}

fn show(report: &Report, view: &View) -> Done {
    if view.json {
        say(&report.to_json());
        say("\n");
    } else if view.markdown {
        say(&table::render_markdown(report));
    } else {
        say(&table::render(report, WIDTH, std::io::stdout().is_terminal()));
    }
    if let Some(path) = &view.html {
        write(path, &page::render(report))?;
        tell(&format!("wrote {}\n", path.display()));
    }
    Ok(report.verdict.ok)
}

#[expect(clippy::disallowed_methods, reason = "a page for a person is no file of a transfer")]
fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

fn report(campaign: &Campaign, with_curves: bool) -> Report {
    let started = Instant::now();
    let controls = 2 * u64::from(campaign.trials.max(campaign.trials_full));
    let progress = TrialProgress::new(campaign.size() + controls);
    let mut rows = campaign.run(&progress);
    let mut controls = campaign.controls(&rows, &progress);
    progress.finish();
    controls.canaries = canaries::run(campaign.seed);
    rows.extend(crate::matrix::crashes::rows(campaign.seed));
    let curves = if with_curves { curves::measure(campaign.seed) } else { Curves::default() };
    let mut report = Report {
        schema: SCHEMA,
        commit: commit(),
        command: command(),
        seed: campaign.seed,
        trials: campaign.trials,
        started_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        seconds: started.elapsed().as_secs_f64(),
        machine: machine(),
        columns: Level::ALL.into_iter().map(column).collect(),
        rows,
        controls,
        curves,
        mutants: None,
        verdict: Verdict::default(),
    };
    report.judge();
    report
}

fn column(level: Level) -> Column {
    let options = match level {
        Level::L0 | Level::L1 => "a baseline copier of the fault package",
        Level::L2 => "careful --stored none --origin first-read",
        Level::L3 => "careful --stored cache --origin first-read",
        Level::L4 => "careful --stored device --origin first-read",
        Level::L5 => "careful with its defaults",
        Level::L6 => "careful with its defaults, after careful-check seal",
    };
    Column { level, name: level.description().to_owned(), description: format!("{options}; checks {}", level.checks()) }
}

/// The command as it was given.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("careful-faults {}", arguments.join(" "))
}

/// What was built here, as far as git knows.
fn commit() -> String {
    let of = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = of(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    match of(&["status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}, with changes"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the name of the kernel is no file of a transfer")]
fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} cores, Linux {}, files in memory", cores(), kernel.trim())
}
