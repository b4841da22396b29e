//! Words to and from the person: arguments, progress, report, logs, exit codes.
//!
//! Every name that came from a disk or from the other side passes [`safe_name`] before it is printed, and only
//! [`report`] and [`logging`] print. **No decision about a transfer is taken here.**

pub mod arguments;
pub mod exit_code;
pub mod listen;
pub mod logging;
pub mod progress;
pub mod receipt_line;
pub mod report;
pub mod requirement;
pub mod run_check;
mod run_pull;
pub mod run_recv;
pub mod run_send;
pub mod safe_name;
pub mod summary;

mod asked;
mod filters;
mod identity;
mod inspector;
mod known_peers;
mod reach;
mod run_standing;
mod run_transfer;
mod spool;
mod status;
mod teller;

use self::arguments::OutputArguments;
use self::exit_code::ExitCode;
use self::progress::Suspender;
use self::report::Report;
use crate::seams::os_disk::raise_open_files_limit;

/// Fewest files that must be allowed to be open at once: with fewer the runtime panics where it should fail.
const OPEN_FILES_MIN: usize = 32;

/// Starts what both programs need: logs, and the threads that drive QUIC. What is wrong has been told.
fn start(report: &Report, output: &OutputArguments, suspender: Suspender) -> Result<tokio::runtime::Runtime, ExitCode> {
    if let Err(words) = logging::start(output, suspender) {
        report.error(&words, None);
        return Err(ExitCode::Usage);
    }
    runtime().map_err(|error| {
        report.error(&format!("cannot start: {error}"), None);
        ExitCode::Other
    })
}

/// The threads that drive QUIC. Disk and hash work has threads of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let limit = raise_open_files_limit();
    if limit < OPEN_FILES_MIN {
        let words = format!("only {limit} files may be open at once, {OPEN_FILES_MIN} is the least (ulimit -n)");
        return Err(std::io::Error::other(words));
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build()
}
