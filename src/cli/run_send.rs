//! `careful-send`: arguments in, exit code out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{self, SendArguments};
use super::exit_code::ExitCode;
use super::filters::{filters, list};
use super::identity::identity;
use super::progress::{self, ProgressDisplay};
use super::report::{Report, with_causes};
use super::start;
use super::teller::Teller;
use crate::connect::meeting::{MeetError, Meeting};
use crate::connect::ticket::{Ticket, TicketError};
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::receipt::Origin;
use crate::seams::Environment;
use crate::send::{Ended, Observer, Plan, run};
use crate::wire::WireError;
use crate::wire::identity::KeyPair;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let arguments: SendArguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    let counters = Arc::new(Counters::default());
    let display = progress::wanted(&arguments.output).then(|| progress::start(Arc::clone(&counters)));
    let suspender = display.as_ref().map(ProgressDisplay::suspender);
    let report = Arc::new(Report::new("careful-send", &arguments.output, suspender.clone()));
    let runtime = match start(&report, &arguments.output, suspender.unwrap_or_default()) {
        Ok(runtime) => runtime,
        Err(code) => {
            report.stopped(code);
            return code.into();
        }
    };
    let code = runtime.block_on(transfer(&arguments, &report, counters, display));
    report.stopped(code);
    // Threads that still read or hash have nothing more to say.
    runtime.shutdown_background();
    code.into()
}

/// What cannot go on, for the person: words, a hint, a code.
pub(super) struct Stop(pub(super) String, pub(super) Option<&'static str>, pub(super) ExitCode);

async fn transfer(
    arguments: &SendArguments,
    report: &Arc<Report>,
    counters: Arc<Counters>,
    display: Option<ProgressDisplay>,
) -> ExitCode {
    let environment = Environment::real();
    let prepared = match prepare(arguments, &environment, report) {
        Ok(prepared) => prepared,
        Err(Stop(words, hint, code)) => {
            report.error(&words, hint);
            return code;
        }
    };
    let receipts = match &arguments.results.receipts {
        None => None,
        Some(path) => match environment.disk.open_append(path) {
            Ok(file) => Some(file),
            Err(error) => {
                report.error(&format!("cannot open {} for receipts: {error}", path.display()), None);
                return ExitCode::FileIo;
            }
        },
    };
    let teller = Arc::new(Teller::new(Arc::clone(report), arguments.results.require, receipts));
    let observer: Arc<dyn Observer> = Arc::clone(&teller) as Arc<dyn Observer>;
    let running = run(environment, prepared.plan, prepared.meeting, prepared.key, observer, Arc::clone(&counters));
    let early = tokio::select! {
        ended = running => early(ended, &teller.report),
        code = stop_signal() => {
            teller.report.error("interrupted", Some("what has arrived is kept; run the same command to continue"));
            // The connection was dropped with the transfer: let its last packet leave.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Some(code)
        }
    };
    if let Some(display) = display {
        display.finish();
    }
    teller.finish(&counters, early)
}

/// Resolves when a person or the system wants the program to end.
pub(super) async fn stop_signal() -> ExitCode {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => ExitCode::Interrupted,
        _ = terminate.recv() => ExitCode::Terminated,
    }
}

struct Prepared {
    plan: Plan,
    meeting: Meeting,
    key: Arc<KeyPair>,
}

fn prepare(arguments: &SendArguments, environment: &Environment, report: &Report) -> Result<Prepared, Stop> {
    let (sources, destination) = arguments.operands();
    let filters = filters(&arguments.selection, environment.disk.as_ref())?;
    let list = list(&arguments.selection, arguments.recursive, environment.disk.as_ref())?;
    let mut plan = Plan { filters, list, ..plan(arguments, sources) };
    let cannot_start = |error: &dyn std::error::Error| Stop(with_causes(error), None, ExitCode::Other);
    match ticket(destination)? {
        Some(ticket) => {
            let key = identity(environment.disk.as_ref(), report).map_err(|error| cannot_start(&error))?;
            Ok(Prepared { plan, meeting: Meeting::Ticket(ticket), key })
        }
        None => {
            refuse_inside(environment, &plan.sources, Path::new(destination))?;
            plan.destination = destination.as_bytes().to_vec();
            let program = std::env::current_exe().map_err(|error| cannot_start(&error))?;
            let meeting = Meeting::child(program.with_file_name("careful-recv"));
            let key = Arc::new(KeyPair::generate().map_err(|error| cannot_start(&error))?);
            Ok(Prepared { plan, meeting, key })
        }
    }
}

/// What the options ask for; where to is still open.
fn plan(arguments: &SendArguments, sources: &[OsString]) -> Plan {
    Plan {
        second_read: Origin::from(arguments.sending.origin) > Origin::FirstRead,
        stored: arguments.sending.stored.into(),
        no_replace: arguments.sending.no_replace,
        quick: arguments.sending.quick,
        chunk_bytes: arguments.sending.chunk_size,
        retry_for: arguments.results.retry_for,
        ..Plan::new(sources.iter().map(PathBuf::from).collect(), Vec::new())
    }
}

/// The ticket that the destination is, if it is one; `-` reads it from standard input. `./name` is always a path.
fn ticket(destination: &OsStr) -> Result<Option<Ticket>, Stop> {
    let mut line = String::new();
    let text = match destination.to_str() {
        Some("-") => {
            if let Err(error) = std::io::stdin().read_line(&mut line) {
                return Err(Stop(format!("no ticket on standard input: {error}"), None, ExitCode::Usage));
            }
            line.trim()
        }
        Some(text) => text,
        None => return Ok(None),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match text.parse::<Ticket>() {
        Ok(ticket) if ticket.expires_seconds.is_some_and(|expires| expires <= now) => {
            let hint = "ask for a new one: run `careful-recv --listen DIR` again at the receiving side";
            Err(Stop("the ticket has expired".to_owned(), Some(hint), ExitCode::NotAdmitted))
        }
        Ok(ticket) => Ok(Some(ticket)),
        Err(TicketError::NotATicket) if destination != "-" => match colon_before_slash(text) {
            true => {
                let hint = "write ./NAME for a local directory whose name holds a colon; across hosts use \
                            `careful-recv --listen DIR` there and its ticket here";
                let words = "a destination of the form HOST:PATH is not supported by this version";
                Err(Stop(words.to_owned(), Some(hint), ExitCode::Usage))
            }
            false => Ok(None),
        },
        Err(error @ TicketError::Version { .. }) => {
            let hint = "the receiving side is newer: install the same version of careful on both";
            Err(Stop(error.to_string(), Some(hint), ExitCode::Protocol))
        }
        Err(error) => {
            let hint = "copy the ticket again, whole; write ./NAME if you mean a directory of that name";
            Err(Stop(error.to_string(), Some(hint), ExitCode::Usage))
        }
    }
}

/// As in scp and rsync: a colon before any slash names a host.
fn colon_before_slash(text: &str) -> bool {
    text.split('/').next().is_some_and(|first| first.contains(':'))
}

/// A directory copied into itself would never end.
fn refuse_inside(environment: &Environment, sources: &[PathBuf], destination: &Path) -> Result<(), Stop> {
    let disk = environment.disk.as_ref();
    let resolved = disk.canonical(destination).or_else(|error| {
        let name = destination.file_name().ok_or(error)?;
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        disk.canonical(parent.unwrap_or(Path::new("."))).map(|parent| parent.join(name))
    });
    // A destination that cannot be resolved is refused by the receiver, with its reason.
    let Ok(resolved) = resolved else { return Ok(()) };
    for source in sources {
        if disk.canonical(source).is_ok_and(|source| source != Path::new("/") && resolved.starts_with(source)) {
            let words =
                format!("the destination {} lies inside the source {}", destination.display(), source.display());
            return Err(Stop(words, Some("choose a destination outside of it"), ExitCode::Usage));
        }
    }
    Ok(())
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
        Ended::Unreachable(MeetError::Child(error)) => {
            report.error(&format!("cannot start the receiver: {}", with_causes(&error)), None);
            Some(ExitCode::NotAdmitted)
        }
        Ended::Unreachable(MeetError::Wire(WireError::VersionMismatch)) => {
            report.error(
                &WireError::VersionMismatch.to_string(),
                Some("install the same version of careful on both sides"),
            );
            Some(ExitCode::Protocol)
        }
        Ended::Unreachable(MeetError::Wire(error @ WireError::Refused { .. })) => {
            report.error(&error.to_string(), Some("ask for a new ticket: each serves one receiver"));
            Some(ExitCode::NotAdmitted)
        }
        Ended::Unreachable(error) => {
            report.error(
                &format!("cannot reach the receiver: {}", with_causes(&error)),
                Some("is it still waiting, and is UDP let through?"),
            );
            Some(ExitCode::NotConnected)
        }
        Ended::Refused(Failure::Garbled) => {
            let words = "control data kept arriving otherwise than it was sent";
            let hint = "something between the two sides, or the memory of one, changes data; what has arrived is kept";
            report.error(words, Some(hint));
            Some(ExitCode::of(Failure::Garbled))
        }
        Ended::Refused(failure) => {
            let hint = match failure {
                Failure::DestinationParentMissing => Some("create the directory that is to hold it first"),
                Failure::NotAdmitted => Some("ask for a new ticket: each serves one sender"),
                Failure::Version => Some("install the same version of careful on both sides"),
                _ => None,
            };
            report.error(&format!("refused by the receiver: {failure}"), hint);
            Some(ExitCode::of(failure))
        }
        Ended::Broken(error) => {
            report.error(&format!("the receiver cannot be talked to: {}", with_causes(&error)), None);
            Some(ExitCode::Protocol)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn without_options_the_plan_is_the_default_one() {
        let arguments = SendArguments::try_parse_from(["careful-send", "a", "b/", "to"]).expect("arguments");
        let sources = ["a", "b/"].map(PathBuf::from).to_vec();
        assert_eq!(plan(&arguments, arguments.operands().0), Plan::new(sources, Vec::new()));
    }
}
