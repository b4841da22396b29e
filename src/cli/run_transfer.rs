//! What a push and a pull have in common for the person who sits at one end: progress, status file, interruption, and the words
//! for how the transfer ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{OutputArguments, ResultArguments};
use super::exit_code::ExitCode;
use super::progress::{self, ProgressDisplay};
use super::reach::{Stop, not_reached};
use super::report::{Report, with_causes};
use super::start;
use super::status::StatusFile;
use super::teller::Teller;
use crate::connect::child::Remarks;
use crate::outcome::Ended;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::seams::Environment;
use crate::seams::disk::DiskFile;

/// What the person needs of something that got lost in the middle.
const AGAIN: &str = "what has arrived is kept; run the same command to continue";
/// How long the last packet of a connection that was dropped may take to leave.
const LAST_PACKET_WAIT: Duration = Duration::from_millis(50);

/// What shows a transfer while it runs.
pub(super) struct Shown {
    pub(super) report: Arc<Report>,
    pub(super) counters: Arc<Counters>,
    display: Option<ProgressDisplay>,
}

/// Runs one transfer of this program, or looks what it would do, and tells what becomes of it.
pub(super) fn main(
    program: &'static str,
    output: &OutputArguments,
    dry_run: bool,
    transfer: impl AsyncFnOnce(Shown) -> Result<ExitCode, Stop>,
) -> ExitCode {
    let counters = Arc::new(Counters::default());
    if dry_run {
        counters.only_checks();
    }
    let display = progress::wanted(output).then(|| progress::start(Arc::clone(&counters)));
    let suspender = display.as_ref().map(ProgressDisplay::suspender);
    let report = Report::new(program, output, suspender.clone());
    let report = Arc::new(if dry_run { report.of_dry_run() } else { report });
    let disk = Environment::real().disk;
    let status = match StatusFile::begin(disk.as_ref(), output.status.as_deref(), &report, Some(&counters)) {
        Ok(status) => status,
        Err(code) => {
            report.stopped(code);
            return code;
        }
    };
    let code = match start(&report, output, suspender.unwrap_or_default()) {
        Ok(runtime) => {
            let shown = Shown { report: Arc::clone(&report), counters, display };
            let outcome = runtime.block_on(transfer(shown));
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

impl Shown {
    /// Waits for the end of a transfer, or for a signal to end it, and tells the last words. `early` as [`early`].
    pub(super) async fn finish(
        self,
        running: impl Future<Output = Ended>,
        teller: &Teller,
        early: impl FnOnce(Ended) -> Option<ExitCode>,
    ) -> ExitCode {
        let early = tokio::select! {
            ended = running => early(ended),
            code = stop_signal() => {
                self.report.error("interrupted", Some(AGAIN));
                // The connection was dropped with the transfer.
                tokio::time::sleep(LAST_PACKET_WAIT).await;
                Some(code)
            }
        };
        if let Some(display) = self.display {
            display.finish();
        }
        teller.finish(&self.counters, early)
    }
}

/// Words and code for a transfer that did not run to its end; nothing for one that did. `other` is what the other side is
/// called, `by_ticket` whether a person can ask for a new ticket; `refused` has the words and the hint for a refusal.
pub(super) fn early(
    ended: Ended,
    other: &str,
    by_ticket: bool,
    report: &Report,
    refused: impl FnOnce(Failure) -> (String, Option<&'static str>),
) -> Option<ExitCode> {
    match ended {
        Ended::Complete => None,
        Ended::Lost => {
            report.error("the connection was lost and did not come back in time", Some(AGAIN));
            Some(ExitCode::Network)
        }
        Ended::Unreachable(error) => Some(not_reached(&error, other, by_ticket, report)),
        Ended::Refused(failure) => {
            let (words, hint) = refused(failure);
            report.error(&words, hint);
            Some(ExitCode::of(failure))
        }
        Ended::Broken(error) => {
            report.error(&format!("the {other} cannot be talked to: {}", with_causes(&error)), None);
            Some(ExitCode::Protocol)
        }
    }
}

/// The file that receipts are added to, where one is wanted. Where sources go with them, its name must survive a power cut,
/// too.
pub(super) fn open_receipts(
    results: &ResultArguments,
    durable: bool,
    environment: &Environment,
) -> Result<Option<Arc<dyn DiskFile>>, Stop> {
    let Some(path) = &results.receipts else { return Ok(None) };
    let disk = environment.disk.as_ref();
    let open = || {
        let file = disk.open_append(path)?;
        if durable {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            disk.open_directory(parent.unwrap_or(Path::new(".")))?.sync()?;
        }
        Ok(file)
    };
    open().map(Some).map_err(|error: std::io::Error| {
        let hint = "name a file that can be written, in a directory that is there; nothing was sent";
        let words = format!("cannot open {} for receipts: {error}", path.display());
        Stop(words, Some(hint), ExitCode::FileIo)
    })
}

/// What ssh says goes to the person.
pub(super) fn remarks(report: &Arc<Report>) -> Remarks {
    let report = Arc::clone(report);
    Remarks::to(move |line| report.remark("ssh", line))
}

/// Resolves when a person or the system wants the program to end. The signals are taken over at the call, not when it is first
/// waited for.
pub(super) fn stop_signal() -> impl Future<Output = ExitCode> {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => ExitCode::Interrupted,
            _ = terminate.recv() => ExitCode::Terminated,
        }
    }
}
