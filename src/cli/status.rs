//! `--status FILE`: where a run stands, for whoever looks in from outside, and when one was last a success.
//!
//! A thread of its own writes it at the start, once a second, and at the end: each time whole, under another name, and then
//! renamed, so that a reader finds the old words or the new ones. **A file that is no status file is never replaced, and
//! nothing that moves data waits for this one.**

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::exit_code::ExitCode;
use super::report::Report;
use crate::progress::{Counters, Phase, Snapshot};
use crate::protocol::limits::{STATUS_BYTES_MAX, STATUS_EVERY};
use crate::seams::disk::{Directory, Disk, Reading, Writing, read_full, write_all};

/// Version of the file: one more as soon as a field goes or changes its meaning. New fields leave it.
const SCHEMA: u32 = 1;
/// Of a status file that nobody has made before: others are told nothing unless the person lets them.
const MODE: u32 = 0o600;

/// What the file says. Times are UTC, as in RFC 3339.
#[derive(Serialize)]
struct Status<'a> {
    schema: u32,
    program: &'static str,
    version: &'static str,
    process: u32,
    phase: &'static str,
    started: &'a str,
    updated: String,
    finished: Option<String>,
    exit_code: Option<u8>,
    last_success: Option<&'a str>,
    /// Nothing was done: no success.
    dry_run: bool,
    error: Option<String>,
    #[serde(flatten)]
    amounts: Option<Amounts>,
}

/// How much of a transfer; a receiver that listens counts nothing, and a check transfers nothing.
#[derive(Serialize)]
struct Amounts {
    walk_finished: bool,
    files_found: u64,
    bytes_found: u64,
    files: u64,
    bytes: u64,
    trusted_files: u64,
    failed_files: u64,
    skipped_files: u64,
    sent_bytes: u64,
    reused_bytes: u64,
    repaired_chunks: u64,
    bytes_per_second: u64,
}

/// What is taken over from the file of an earlier run.
#[derive(Deserialize)]
struct Earlier {
    #[serde(rename = "schema")]
    _schema: u32,
    #[serde(rename = "program")]
    _program: String,
    last_success: Option<String>,
}

/// A run's status file; without `--status` it does nothing.
pub(super) struct StatusFile(Option<Keeping>);

struct Keeping {
    writer: Arc<Writer>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StatusFile {
    /// Writes the file for the first time and goes on writing it. What is wrong has been told.
    pub(super) fn begin(
        disk: &dyn Disk,
        path: Option<&Path>,
        report: &Arc<Report>,
        counters: Option<&Arc<Counters>>,
    ) -> Result<Self, ExitCode> {
        let Some(path) = path else { return Ok(Self(None)) };
        let writer = Writer::new(disk, path, Arc::clone(report), counters.cloned()).and_then(|writer| {
            writer.write(None)?;
            Ok(Arc::new(writer))
        });
        let writer = writer.map_err(|error| {
            let (hint, code) = match error.kind() {
                io::ErrorKind::InvalidData => (Some("name a file that is not there yet"), ExitCode::Usage),
                _ => (Some("name a file that can be written, in a directory that is there"), ExitCode::FileIo),
            };
            report.error(&format!("cannot write the status to {}: {error}", path.display()), hint);
            code
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (writer, stop) = (Arc::clone(&writer), Arc::clone(&stop));
            // Without the thread the file still has its beginning and its end.
            std::thread::Builder::new().name("status".to_owned()).spawn(move || writer.keep(&stop)).ok()
        };
        Ok(Self(Some(Keeping { writer, stop, thread })))
    }

    /// Writes the file for the last time.
    pub(super) fn end(self, code: ExitCode) {
        let Some(Keeping { writer, stop, thread }) = self.0 else { return };
        stop.store(true, Ordering::Release);
        if let Some(thread) = thread {
            thread.thread().unpark();
            // A panic over there concerns the file alone.
            thread.join().ok();
        }
        if let Err(error) = writer.write(Some(code)) {
            writer.complain(&error);
        }
    }
}

struct Writer {
    folder: Arc<dyn Directory>,
    name: OsString,
    temporary: OsString,
    report: Arc<Report>,
    counters: Option<Arc<Counters>>,
    begun: Instant,
    started: String,
    mode: u32,
    last_success: Option<String>,
    last: Mutex<Last>,
}

/// What was written last.
struct Last {
    at: Instant,
    /// Sent, or there already.
    there_bytes: u64,
    complained: bool,
}

impl Writer {
    fn new(disk: &dyn Disk, path: &Path, report: Arc<Report>, counters: Option<Arc<Counters>>) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it is no name of a file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = disk.open_directory(parent)?;
        let (mode, last_success) = earlier(folder.as_ref(), name)?;
        let begun = Instant::now();
        Ok(Self {
            folder,
            name: name.to_owned(),
            temporary: format!(".careful-status-{}", std::process::id()).into(),
            report,
            counters,
            begun,
            started: now(),
            mode,
            last_success,
            last: Mutex::new(Last { at: begun, there_bytes: 0, complained: false }),
        })
    }

    fn keep(&self, stop: &AtomicBool) {
        let mut next = self.begun + STATUS_EVERY;
        while !stop.load(Ordering::Acquire) {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::park_timeout(left);
                continue;
            }
            if let Err(error) = self.write(None) {
                self.complain(&error);
            }
            next = Instant::now() + STATUS_EVERY;
        }
    }

    /// Said once: the transfer goes on, and `updated` stays behind.
    fn complain(&self, error: &io::Error) {
        if !std::mem::replace(&mut self.last().complained, true) {
            self.report.warning(&format!("the status could not be written: {error}"));
        }
    }

    fn write(&self, exit: Option<ExitCode>) -> io::Result<()> {
        let text = self.text(exit) + "\n";
        let written = self.put(text.as_bytes(), exit.is_some());
        if written.is_err() {
            // Whatever went wrong, nothing stays beside the file.
            self.folder.remove_file(&self.temporary).ok();
        }
        written
    }

    fn put(&self, bytes: &[u8], durably: bool) -> io::Result<()> {
        let file = self.folder.create_file(&self.temporary, Writing::Cached)?;
        write_all(file.as_ref(), bytes, 0)?;
        file.set_mode(self.mode)?;
        if durably {
            file.sync_all()?;
        }
        self.folder.rename(&self.temporary, &self.name, true)?;
        if durably { self.folder.sync() } else { Ok(()) }
    }

    fn text(&self, exit: Option<ExitCode>) -> String {
        let updated = now();
        let snapshot = self.counters.as_ref().map(|counters| counters.snapshot());
        let transfer = snapshot.filter(|snapshot| !snapshot.only_checks);
        let status = Status {
            schema: SCHEMA,
            program: self.report.program(),
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            phase: phase(exit, snapshot),
            started: &self.started,
            finished: exit.map(|_| updated.clone()),
            exit_code: exit.map(ExitCode::number),
            last_success: match exit {
                Some(ExitCode::Success) if !self.report.is_dry_run() => Some(&updated),
                _ => self.last_success.as_deref(),
            },
            dry_run: self.report.is_dry_run(),
            error: self.report.told().last_error,
            amounts: transfer.map(|snapshot| self.amounts(snapshot, exit.is_some())),
            updated: updated.clone(),
        };
        serde_json::to_string(&status).expect("strings and numbers are JSON")
    }

    fn amounts(&self, counted: Snapshot, is_end: bool) -> Amounts {
        let told = self.report.told();
        let bytes_per_second = {
            let (mut last, at) = (self.last(), Instant::now());
            let there = counted.sent_bytes.saturating_add(counted.reused_bytes);
            let since = if is_end { (self.begun, 0) } else { (last.at, last.there_bytes) };
            (last.at, last.there_bytes) = (at, there);
            rate(there.saturating_sub(since.1), at - since.0)
        };
        Amounts {
            walk_finished: counted.walk_finished,
            files_found: counted.files_found,
            bytes_found: counted.bytes_found,
            files: told.files,
            bytes: told.bytes,
            trusted_files: told.trusted_files,
            failed_files: told.failed_files,
            skipped_files: told.skipped_files,
            sent_bytes: counted.sent_bytes,
            reused_bytes: counted.reused_bytes.min(counted.bytes_found),
            repaired_chunks: counted.repaired_chunks,
            bytes_per_second,
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mode and last success of the file that is there; `InvalidData` if it is no status file and so somebody's own.
fn earlier(folder: &dyn Directory, name: &OsStr) -> io::Result<(u32, Option<String>)> {
    let file = match folder.open_file(name, Reading::Cached) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((MODE, None)),
        Err(error) => return Err(error),
    };
    let mode = file.metadata()?.mode;
    let mut bytes = vec![0; STATUS_BYTES_MAX + 1];
    let length = read_full(file.as_ref(), &mut bytes, 0)?;
    // Made by the person, so that it has a mode of their choice.
    if length == 0 {
        return Ok((mode, None));
    }
    let found = bytes.get(..length).filter(|bytes| bytes.len() <= STATUS_BYTES_MAX);
    let found: Option<Earlier> = found.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let Some(Earlier { last_success, .. }) = found else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds something else, which is not replaced"));
    };
    Ok((mode, last_success.filter(|time| humantime::parse_rfc3339(time).is_ok())))
}

fn phase(exit: Option<ExitCode>, snapshot: Option<Snapshot>) -> &'static str {
    match (exit, snapshot.map(|snapshot| snapshot.phase())) {
        (Some(_), _) => "ended",
        (None, None) => "listening",
        (None, Some(Phase::CheckingWhatIsThere | Phase::Checking)) => "checking",
        (None, Some(Phase::Sending)) => "sending",
        (None, Some(Phase::ReadingBack)) => "reading-back",
        (None, Some(Phase::Committing)) => "committing",
    }
}

/// Whole bytes a second; 0 where no time has passed.
fn rate(bytes: u64, during: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1000 / during.as_millis().max(1);
    if during.is_zero() { 0 } else { u64::try_from(per_second).unwrap_or(u64::MAX) }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_in_whole_bytes_a_second() {
        assert_eq!(rate(3000, Duration::from_secs(2)), 1500);
        assert_eq!((rate(1, Duration::ZERO), rate(0, Duration::from_secs(1))), (0, 0));
        assert_eq!(rate(u64::MAX, Duration::from_nanos(1)), u64::MAX);
    }

    #[test]
    fn the_phase_ends_with_the_run() {
        assert_eq!(phase(None, Some(Snapshot::default())), "checking");
        assert_eq!(phase(None, None), "listening");
        assert_eq!(phase(Some(ExitCode::Network), Some(Snapshot::default())), "ended");
    }
}
