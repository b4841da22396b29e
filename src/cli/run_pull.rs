//! `careful-recv HOST:SRC... DEST`: the receiver asks, and tells its person what a sender tells in a push.

use std::sync::Arc;

use super::arguments::{PullPlan, RecvArguments, SelectionArguments, requested};
use super::exit_code::ExitCode;
use super::filters::{filters, list_to_send, spelled_out};
use super::identity::identity;
use super::reach::Stop;
use super::report::with_causes;
use super::run_recv::open_files_max;
use super::run_transfer::{self, Shown, early, open_receipts, remarks};
use super::teller::Teller;
use crate::connect::meeting::Meeting;
use crate::outcome::Observer;
use crate::protocol::failure::Failure;
use crate::protocol::message::Pattern;
use crate::protocol::request::{ListedPaths, Request};
use crate::receive::Asked;
use crate::receive::pull::Pull;
use crate::seams::disk::Disk;
use crate::seams::os_disk::take_umask;
use crate::send::PathList;
use crate::wire::identity::KeyPair;

/// Runs the program.
pub(super) fn main(arguments: &RecvArguments, plan: PullPlan) -> ExitCode {
    let dry_run = arguments.sending.dry_run;
    run_transfer::main("careful-recv", &arguments.output, dry_run, async |shown| pull(arguments, plan, shown).await)
}

async fn pull(arguments: &RecvArguments, plan: PullPlan, shown: Shown) -> Result<ExitCode, Stop> {
    let report = &shown.report;
    let environment = arguments.network.environment();
    let cannot_start = |error: &dyn std::error::Error| Stop(with_causes(error), None, ExitCode::Other);
    let disk = environment.disk.as_ref();
    let list = list_to_send(&arguments.selection, arguments.recursive, disk)?;
    let words = words(arguments, &plan, list.as_ref(), disk)?;
    let delete = delete(arguments, &words, disk)?;
    let (dry_run, moves) = (arguments.sending.dry_run, arguments.moving.move_sources);
    let receipts = if dry_run { None } else { open_receipts(&arguments.results, moves, &environment)? };
    let identity = identity(environment.disk.as_ref(), report).map_err(|error| cannot_start(&error))?;
    let key = KeyPair::generate().map_err(|error| cannot_start(&error))?;
    let meeting = Meeting::ssh(arguments.remote.ssh_to(&plan.remote, "careful-send"), remarks(report));
    let teller = Arc::new(Teller::new(Arc::clone(report), arguments.moving.required(&arguments.results), receipts));
    let observer: Arc<dyn Observer> = Arc::clone(&teller) as Arc<dyn Observer>;
    let asked = Asked {
        stored: arguments.sending.stored.into(),
        quick: arguments.sending.quick,
        no_replace: arguments.sending.no_replace,
        records: !arguments.sending.no_record,
        dry_run,
        delete,
        max_delete: arguments.deletion.max_delete,
        moves,
        all_is_sent: arguments.selection == SelectionArguments::default(),
        listed: list.as_ref().map(|list| PathList::first_names(&list.bytes, list.zero)),
        keep: arguments.sending.metadata.keep(),
        ..Asked::new(plan.sources, plan.destination, observer)
    };
    let pull = Pull {
        environment,
        identity,
        asked,
        words,
        list,
        host: plan.remote.host,
        umask: take_umask(),
        open_files_max: open_files_max(),
        retry_for: arguments.results.retry_for,
        counters: Arc::clone(&shown.counters),
    };
    let early = |ended| early(ended, "sender", false, &teller.report, refused);
    Ok(shown.finish(pull.run(meeting, &key), &teller, early).await)
}

/// The options for the sending side. What is wrong with them is said before anybody is called.
fn words(
    arguments: &RecvArguments,
    plan: &PullPlan,
    list: Option<&ListedPaths>,
    disk: &dyn Disk,
) -> Result<Vec<Vec<u8>>, Stop> {
    filters(&arguments.selection, arguments.deletion.delete, disk)?;
    let words = spelled_out(&arguments.words, disk)?;
    let list = list.map(|list| &list.bytes);
    if !Request::fits(plan.sources.iter().chain(&words).chain(list).map(Vec::as_slice)) {
        let words = "these are too many patterns, paths and sources for one request".to_owned();
        return Err(Stop(words, Some("pull a directory, and leave out of it by fewer patterns"), ExitCode::Usage));
    }
    Ok(words)
}

/// What guards against removing what has no source, where that is asked for: as the sender reads it from the same words.
fn delete(arguments: &RecvArguments, words: &[Vec<u8>], disk: &dyn Disk) -> Result<Option<Vec<Pattern>>, Stop> {
    let Some(deletion) = arguments.deletion.deletion() else { return Ok(None) };
    match requested(words.iter().map(Vec::as_slice)) {
        Some(requested) => Ok(Some(filters(&requested.selection, true, disk)?.guards(deletion))),
        None => Err(Stop("these options do not go together".to_owned(), None, ExitCode::Usage)),
    }
}

/// Words and hint for a transfer that one side refused as a whole.
fn refused(failure: Failure) -> (String, Option<&'static str>) {
    let hint = match failure {
        Failure::DestinationParentMissing => Some("create the directory that is to hold it first"),
        Failure::Version | Failure::RequestNotUnderstood => Some("install the same version of careful on both sides"),
        Failure::Garbled => {
            Some("something between the two sides, or the memory of one, changes data; what has arrived is kept")
        }
        Failure::NotAskedFor => Some("do not trust that host: its careful-send is not the one you expect"),
        _ => None,
    };
    (format!("the transfer cannot go on: {failure}"), hint)
}
