//! `careful-recv HOST:SRC... DEST`: the receiver asks, and tells its person what a sender tells in a push.

use std::sync::Arc;

use super::arguments::{PullPlan, RecvArguments, SelectionArguments};
use super::exit_code::ExitCode;
use super::filters::{filters, spelled_out};
use super::identity::identity;
use super::progress::{self, ProgressDisplay};
use super::reach::{Stop, not_reached};
use super::report::{Report, with_causes};
use super::run_recv::open_files_max;
use super::run_send::{open_receipts, remarks, stop_signal};
use super::start;
use super::status::StatusFile;
use super::teller::Teller;
use crate::connect::meeting::Meeting;
use crate::outcome::{Ended, Observer};
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::request::Request;
use crate::receive::pull::Pull;
use crate::receive::{Answered, Asked};
use crate::seams::Environment;
use crate::seams::os_disk::take_umask;
use crate::wire::identity::KeyPair;

/// Runs the program.
pub(super) fn main(arguments: &RecvArguments, plan: PullPlan) -> ExitCode {
    let counters = Arc::new(Counters::default());
    let display = progress::wanted(&arguments.output).then(|| progress::start(Arc::clone(&counters)));
    let suspender = display.as_ref().map(ProgressDisplay::suspender);
    let report = Arc::new(Report::new("careful-recv", &arguments.output, suspender.clone()));
    let disk = Environment::real().disk;
    let status = match StatusFile::begin(disk.as_ref(), arguments.output.status.as_deref(), &report, Some(&counters)) {
        Ok(status) => status,
        Err(code) => {
            report.stopped(code);
            return code;
        }
    };
    let code = match start(&report, &arguments.output, suspender.unwrap_or_default()) {
        Ok(runtime) => {
            let outcome = runtime.block_on(pull(arguments, plan, &report, counters, display));
            // Threads that still read or hash have nothing more to say.
            runtime.shutdown_background();
            outcome.unwrap_or_else(|Stop(words, hint, code)| {
                report.error(&words, hint);
                code
            })
        }
        Err(code) => code,
    };
    report.stopped(code);
    status.end(code);
    code
}

async fn pull(
    arguments: &RecvArguments,
    plan: PullPlan,
    report: &Arc<Report>,
    counters: Arc<Counters>,
    display: Option<ProgressDisplay>,
) -> Result<ExitCode, Stop> {
    let environment = Environment::real_on(arguments.network.port);
    let cannot_start = |error: &dyn std::error::Error| Stop(with_causes(error), None, ExitCode::Other);
    let words = words(arguments, &plan, &environment)?;
    let receipts = open_receipts(&arguments.results, false, &environment)?;
    let identity = identity(environment.disk.as_ref(), report).map_err(|error| cannot_start(&error))?;
    let key = KeyPair::generate().map_err(|error| cannot_start(&error))?;
    let meeting = Meeting::ssh(arguments.remote.ssh_to(&plan.remote, "careful-send"), remarks(report));
    let teller = Arc::new(Teller::new(Arc::clone(report), arguments.results.require, receipts));
    let observer: Arc<dyn Observer> = Arc::clone(&teller) as Arc<dyn Observer>;
    let asked = Asked {
        answered: Answered::none_of(&plan.sources),
        destination: plan.destination,
        sources: plan.sources,
        stored: arguments.sending.stored.into(),
        quick: arguments.sending.quick,
        no_replace: arguments.sending.no_replace,
        records: !arguments.sending.no_record,
        keep: arguments.sending.metadata.keep(),
        observer,
    };
    let pull = Pull {
        environment,
        identity,
        asked,
        words,
        all_is_sent: arguments.selection == SelectionArguments::default(),
        umask: take_umask(),
        open_files_max: open_files_max(),
        retry_for: arguments.results.retry_for,
        counters: Arc::clone(&counters),
    };
    let early = tokio::select! {
        ended = pull.run(meeting, &key) => early(ended, report),
        code = stop_signal() => {
            report.error("interrupted", Some("what has arrived is kept; run the same command to continue"));
            // The connection was dropped with the transfer: let its last packet leave.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Some(code)
        }
    };
    if let Some(display) = display {
        display.finish();
    }
    Ok(teller.finish(&counters, early))
}

/// The options for the sending side. What is wrong with them is said before anybody is called.
fn words(arguments: &RecvArguments, plan: &PullPlan, environment: &Environment) -> Result<Vec<Vec<u8>>, Stop> {
    let disk = environment.disk.as_ref();
    filters(&arguments.selection, false, disk)?;
    let words = spelled_out(&arguments.words, disk)?;
    match Request::fits(plan.sources.iter().chain(&words).map(Vec::as_slice)) {
        true => Ok(words),
        false => {
            let words = "these are too many patterns and sources for one request".to_owned();
            Err(Stop(words, Some("pull a directory, and leave out of it by fewer patterns"), ExitCode::Usage))
        }
    }
}

/// Words and code for a transfer that did not run to its end; nothing for one that did.
fn early(ended: Ended, report: &Report) -> Option<ExitCode> {
    const AGAIN: &str = "what has arrived is kept; run the same command to continue";
    match ended {
        Ended::Complete => None,
        Ended::Lost => {
            report.error("the connection was lost and did not come back in time", Some(AGAIN));
            Some(ExitCode::Network)
        }
        Ended::Unreachable(error) => Some(not_reached(&error, "sender", false, report)),
        Ended::Refused(failure) => {
            let hint = match failure {
                Failure::DestinationParentMissing => Some("create the directory that is to hold it first"),
                Failure::Version | Failure::RequestNotUnderstood => {
                    Some("install the same version of careful on both sides")
                }
                Failure::Garbled => Some(
                    "something between the two sides, or the memory of one, changes data; what has arrived is kept",
                ),
                Failure::NotAskedFor => Some("do not trust that host: its careful-send is not the one you expect"),
                _ => None,
            };
            report.error(&format!("the transfer cannot go on: {failure}"), hint);
            Some(ExitCode::of(failure))
        }
        Ended::Broken(error) => {
            report.error(&format!("the sender cannot be talked to: {}", with_causes(&error)), None);
            Some(ExitCode::Protocol)
        }
    }
}
