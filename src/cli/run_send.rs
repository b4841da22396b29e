//! `careful-send`: arguments in, exit code out.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{self, InputArguments, SendArguments, SendingArguments};
use super::exit_code::ExitCode;
use super::filters::{filters, list};
use super::identity::{identity, lasting_identity, print_key};
use super::known_peers;
use super::progress::Suspender;
use super::reach::{Destination, Stop};
use super::report::{Report, hint, with_causes};
use super::run_transfer::{self, Shown, early, open_receipts, remarks};
use super::teller::Teller;
use super::{spool, start};
use crate::connect::meeting::Meeting;
use crate::protocol::failure::Failure;
use crate::protocol::receipt::Origin;
use crate::seams::Environment;
use crate::send::{Ended, Observer, Plan, run};
use crate::wire::identity::KeyPair;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let arguments: SendArguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    if arguments.stdio {
        return asked(&arguments).into();
    }
    if arguments.is_key() {
        let report = Report::new("careful-send", &arguments.output, None);
        let code = print_key(&report);
        report.end(code);
        return code.into();
    }
    let dry_run = arguments.sending.dry_run;
    run_transfer::main("careful-send", &arguments.output, dry_run, async |shown| transfer(&arguments, shown).await)
        .into()
}

/// Started by a receiver that asks.
fn asked(arguments: &SendArguments) -> ExitCode {
    let report = Report::new("careful-send", &arguments.output, None);
    let runtime = match start(&report, &arguments.output, Suspender::default()) {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let outcome = runtime.block_on(super::asked::serve());
    runtime.shutdown_background();
    outcome.unwrap_or_else(|Stop(words, hint, code)| {
        report.error(&words, hint);
        code
    })
}

async fn transfer(arguments: &SendArguments, shown: Shown) -> Result<ExitCode, Stop> {
    let environment = arguments.network.environment();
    let mut prepared = prepare(arguments, &environment, &shown.report).await?;
    let dry_run = arguments.sending.dry_run;
    if dry_run && InputArguments::is_source(arguments.operands().0) {
        shown.report.notice("standard input is not read in a dry run: whatever comes in would be sent");
        let teller = Teller::new(Arc::clone(&shown.report), None, None);
        return Ok(shown.finish(std::future::ready(Ended::Complete), &teller, |_ended| None).await);
    }
    // Only now, when everything else is known to be in order: it may take hours. It is there until the end.
    let mut spooled = None;
    if InputArguments::is_source(arguments.operands().0) {
        let spooled = spooled.insert(spool::take(&arguments.input, environment.disk.as_ref()).await?);
        prepared.plan = spooled.plan(prepared.plan);
    }
    let receipts =
        if dry_run { None } else { open_receipts(&arguments.results, arguments.moving.move_sources, &environment)? };
    let required = arguments.moving.required(&arguments.results);
    let teller = Arc::new(Teller::new(Arc::clone(&shown.report), required, receipts));
    let observer: Arc<dyn Observer> = Arc::clone(&teller) as Arc<dyn Observer>;
    let by_ticket = matches!(prepared.meeting, Meeting::Ticket(_));
    let counters = Arc::clone(&shown.counters);
    let running = run(environment, prepared.plan, prepared.meeting, prepared.key, observer, counters);
    let early = |ended| early(ended, "receiver", by_ticket, &teller.report, |failure| refused(failure, by_ticket));
    Ok(shown.finish(running, &teller, early).await)
}

struct Prepared {
    plan: Plan,
    meeting: Meeting,
    key: Arc<KeyPair>,
}

async fn prepare(arguments: &SendArguments, environment: &Environment, report: &Arc<Report>) -> Result<Prepared, Stop> {
    let (sources, destination) = arguments.operands();
    let filters = filters(&arguments.selection, arguments.deletion.delete, environment.disk.as_ref())?;
    let list = list(&arguments.selection, arguments.recursive, environment.disk.as_ref())?;
    let sources = sources.iter().map(PathBuf::from).collect();
    let mut plan = Plan {
        filters,
        list,
        delete: arguments.deletion.deletion(),
        move_sources: arguments.moving.move_sources,
        retry_for: arguments.results.retry_for,
        ..plan(&arguments.sending, sources)
    };
    let cannot_start = |error: &dyn std::error::Error| Stop(with_causes(error), None, ExitCode::Other);
    let fresh_key = || KeyPair::generate().map(Arc::new).map_err(|error| cannot_start(&error));
    let destination_read = Destination::read(destination)?;
    if arguments.peer.peer_key.is_some() && !matches!(destination_read, Destination::Standing(..)) {
        let words = "--peer-key is the key of a standing receiver, and the destination is not careful://HOST/PATH";
        return Err(Stop(words.to_owned(), None, ExitCode::Usage));
    }
    if !matches!(destination_read, Destination::Remote(_)) && arguments.remote.is_given() {
        let words = "-e, -J, -i, -o, -4, -6, --transport and --remote-path are for a destination that ssh reaches, \
                     [USER@]HOST:PATH, and this is none";
        return Err(Stop(words.to_owned(), Some("leave them out, or name the host"), ExitCode::Usage));
    }
    match destination_read {
        Destination::Standing(address, path) => {
            let key =
                lasting_identity(environment.disk.as_ref()).map_err(|words| Stop(words, None, ExitCode::FileIo))?;
            let receiver = known_peers::standing(environment, report, &key, address, arguments.peer.peer_key).await?;
            plan.destination = path;
            Ok(Prepared { plan, meeting: Meeting::Standing(receiver), key })
        }
        Destination::Ticket(ticket) => {
            let key = identity(environment.disk.as_ref(), report).map_err(|error| cannot_start(&error))?;
            Ok(Prepared { plan, meeting: Meeting::Ticket(ticket), key })
        }
        Destination::Remote(remote) => {
            let ssh = arguments.remote.ssh_to(&remote, "careful-recv");
            plan.destination = remote.path;
            Ok(Prepared { plan, meeting: Meeting::ssh(ssh, remarks(report)), key: fresh_key()? })
        }
        Destination::Local => {
            refuse_inside(environment, &plan.sources, Path::new(destination))?;
            plan.destination = destination.as_bytes().to_vec();
            let program = std::env::current_exe().map_err(|error| cannot_start(&error))?;
            let meeting = Meeting::child(program.with_file_name("careful-recv"));
            Ok(Prepared { plan, meeting, key: fresh_key()? })
        }
    }
}

/// What the options ask for; where to, and how long it is tried, is still open.
pub(super) fn plan(sending: &SendingArguments, sources: Vec<PathBuf>) -> Plan {
    Plan {
        second_read: Origin::from(sending.origin) > Origin::FirstRead,
        records: sending.origin.records(),
        record_copies: !sending.no_record,
        stored: sending.stored.into(),
        no_replace: sending.no_replace,
        quick: sending.quick,
        chunk_bytes: sending.chunk_size,
        dry_run: sending.dry_run,
        bytes_per_second: sending.bwlimit.0,
        keep: sending.metadata.keep(),
        ..Plan::new(sources, Vec::new())
    }
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

/// Words and hint for a transfer that the receiver refused as a whole.
fn refused(failure: Failure, by_ticket: bool) -> (String, Option<&'static str>) {
    let hint = match failure {
        Failure::Garbled => {
            let words = "control data kept arriving otherwise than it was sent";
            let hint = "something between the two sides, or the memory of one, changes data; what has arrived is kept";
            return (words.to_owned(), Some(hint));
        }
        Failure::DestinationParentMissing => Some("create the directory that is to hold it first"),
        Failure::KeyNotAdmitted => hint(failure),
        Failure::DestinationNotADirectory => {
            Some("several sources, or a directory, need a directory to go into: name one, or a name that is free")
        }
        Failure::NotAdmitted if by_ticket => Some("ask for a new ticket: each serves one sender"),
        Failure::DeleteNotAllowed => Some("leave out --delete, or let the receiver listen with --allow-delete"),
        Failure::Version => Some("install the same version of careful on both sides"),
        _ => None,
    };
    (format!("refused by the receiver: {failure}"), hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::protocol::limits::RETRY_FOR_DEFAULT;

    #[test]
    fn without_options_the_plan_is_the_default_one() {
        let arguments = SendArguments::try_parse_from(["careful-send", "a", "b/", "to"]).expect("arguments");
        let sources = ["a", "b/"].map(PathBuf::from).to_vec();
        assert_eq!(plan(&arguments.sending, sources.clone()), Plan::new(sources, Vec::new()));
        assert_eq!(arguments.results.retry_for, RETRY_FOR_DEFAULT);
    }
}
