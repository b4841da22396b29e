//! `careful-send --stdio`: a sender that a receiver started, here or by ssh, and that sends what it is asked for.
//!
//! The options of a request are those of [`Requested`] and no others, read by the same types as on a command line.
//! **It prints nothing about files: the receiver tells its person.**

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::arguments::{Requested, requested};
use super::exit_code::ExitCode;
use super::filters::filters;
use super::run_recv::{Outcome, caller, ignore_signals, other};
use super::run_send::plan;
use crate::connect::answering::Answering;
use crate::connect::meeting::Meeting;
use crate::connect::request::{Askers, reception};
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{BACK_WITHIN, GREETING_TIMEOUT};
use crate::protocol::request::Request;
use crate::seams::Environment;
use crate::send::reporting::{Reporter, refuse};
use crate::send::{Ended, PathList, Plan, run};
use crate::wire::identity::{KeyPair, random_bytes};

/// Serves the receiver that started this process, and ends with it. The error is for a person.
pub(super) async fn serve() -> Outcome {
    let caller = caller().await?;
    let environment = Environment::real_on(caller.ports, caller.congestion);
    let key = Arc::new(KeyPair::generate().map_err(|error| other(&error))?);
    let token = random_bytes().map_err(|error| other(&error))?;
    let answering = Answering::start(&environment, &caller, &key, token).map_err(|error| other(&error))?;
    let (reception, askers) = reception(token);
    let code = tokio::select! {
        code = answer(environment, askers, token, key) => code,
        () = reception.greet_at(&answering.listener) => ExitCode::Network,
        () = answering.caller_gone() => return Ok(ExitCode::Network),
        // A key press reaches both sides alike: the caller decides.
        () = ignore_signals() => ExitCode::Terminated,
    };
    answering.close().await;
    Ok(code)
}

async fn answer(environment: Environment, mut askers: Askers, token: [u8; 16], key: Arc<KeyPair>) -> ExitCode {
    let asker = tokio::time::timeout(3 * GREETING_TIMEOUT, askers.next()).await;
    let Ok(Some(first)) = asker else { return ExitCode::NotConnected };
    let Some(plan) = plan_of(&first.request, &environment) else {
        refuse(first.stream, Failure::RequestNotUnderstood).await;
        return ExitCode::Protocol;
    };
    let (streams, reported) = mpsc::channel(1);
    askers.report_to(streams, first);
    let counters = Arc::new(Counters::default());
    let reporter = Arc::new(Reporter::start(reported, Arc::clone(&counters)));
    let ended = run(environment, plan, Meeting::Asked(Box::new(askers), token), key, reporter, counters).await;
    tracing::debug!("the transfer ended: {ended:?}");
    match ended {
        Ended::Complete => ExitCode::Success,
        Ended::Refused(failure) => ExitCode::of(failure),
        Ended::Lost | Ended::Unreachable(_) => ExitCode::Network,
        Ended::Broken(_) => ExitCode::Protocol,
    }
}

/// What is asked for; nothing if the request is not understood. The receiver is the one that tries again.
fn plan_of(request: &Request, environment: &Environment) -> Option<Plan> {
    let Requested { sending, selection, deletion, move_sources } =
        requested(request.words.iter().map(|word| word.as_slice()))?;
    // No file is read for it: `requested` lets none be named.
    let filters = filters(&selection, deletion.delete, environment.disk.as_ref()).ok()?;
    let sources: Vec<PathBuf> =
        request.sources.iter().map(|source| PathBuf::from(OsString::from_vec(source.to_vec()))).collect();
    let list = request.list.as_ref().map(|list| {
        let bytes = std::io::Cursor::new(list.bytes.clone());
        PathList::new(Box::new(bytes), list.zero, list.recursive)
    });
    let fits = if list.is_some() { sources.len() == 1 && !deletion.delete } else { !sources.is_empty() };
    fits.then(|| Plan {
        retry_for: BACK_WITHIN,
        filters,
        list,
        delete: deletion.deletion(),
        move_sources,
        ..plan(&sending, sources)
    })
}
