//! Standard input as the source: kept in a file of its own until it is sent, and hashed as it comes in.
//!
//! What is sent must hash to what came in, so the disk of the spool is under the check as that of a source is. The file
//! goes with this process, but for one that is killed outright.

use std::io::Read;

use super::arguments::InputArguments;
use super::exit_code::ExitCode;
use super::reach::Stop;
use super::run_transfer::stop_signal;
use crate::hash::{Root, RootHasher};
use crate::seams::disk::{Disk, Spool};
use crate::send::{Plan, Records};

/// Bytes read at once.
const PART_BYTES: usize = 1 << 20;

/// Standard input, all of it, in a file.
#[derive(Debug)]
pub(super) struct Spooled {
    /// Removes the file in the end.
    spool: Box<dyn Spool>,
    root: Root,
}

/// Takes standard input to its end.
pub(super) async fn take(arguments: &InputArguments, disk: &dyn Disk) -> Result<Spooled, Stop> {
    let directory = arguments.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let in_directory = |error: &std::io::Error| {
        let words = format!("cannot keep standard input in {}: {error}", directory.display());
        Stop(words, Some("choose a directory with enough room by --spool-dir"), ExitCode::FileIo)
    };
    // Taken over before there is a spool that a signal would leave behind.
    let stopped = stop_signal();
    let spool = disk.make_spool(&directory, &arguments.stdin_name).map_err(|error| in_directory(&error))?;
    let mut file = spool.writer().map_err(|error| in_directory(&error))?;
    let taking = tokio::task::spawn_blocking(move || {
        let (mut input, mut part) = (std::io::stdin().lock(), vec![0; PART_BYTES]);
        let (mut hasher, mut length_bytes) = (RootHasher::default(), 0_u64);
        loop {
            match input.read(&mut part) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&part[..count]);
                    length_bytes += count as u64;
                    file.write_all(&part[..count]).map_err(Fault::Spool)?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Input(error)),
            }
        }
        file.flush().map_err(Fault::Spool)?;
        Ok((hasher.finish(), length_bytes))
    });
    let taken = tokio::select! {
        taken = taking => taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())),
        // The spool goes with this future; the thread that still reads ends with the process.
        code = stopped => return Err(Stop("interrupted: nothing was sent".to_owned(), None, code)),
    };
    match taken {
        Ok((_, 0)) if !arguments.allow_empty => {
            let hint = "did the program before the pipe fail? --allow-empty sends an empty file";
            Err(Stop("standard input is empty: nothing was sent".to_owned(), Some(hint), ExitCode::Other))
        }
        Ok((root, _)) => Ok(Spooled { spool, root }),
        Err(Fault::Spool(error)) => Err(in_directory(&error)),
        Err(Fault::Input(error)) => Err(Stop(format!("cannot read standard input: {error}"), None, ExitCode::FileIo)),
    }
}

enum Fault {
    Input(std::io::Error),
    Spool(std::io::Error),
}

impl Spooled {
    /// The same plan for what came in: it was read once, and every later reading must agree with that.
    pub(super) fn plan(&self, plan: Plan) -> Plan {
        let sources = vec![self.spool.path().to_owned()];
        Plan { sources, expected: Some(self.root), second_read: false, records: Records::Ignored, ..plan }
    }
}
