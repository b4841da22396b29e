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
pub mod run_recv;
pub mod run_send;
pub mod safe_name;
pub mod summary;

mod identity;
mod teller;

/// The threads that drive QUIC. Disk and hash work has threads of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build()
}
