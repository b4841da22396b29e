//! The only printer: data to standard output, all else to standard error.
//!
//! What, which object, cause; then `hint:` with the next step and what was kept. Every name passes [`safe`], every
//! sentence [`safe_text`], whoever wrote it. An output that was closed is no error: the exit code still tells.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use data_encoding::BASE64;
use serde::Serialize;

use super::arguments::OutputArguments;
use super::exit_code::ExitCode;
use super::progress::Suspender;
use super::safe_name::{safe, safe_text};
use crate::outcome::Foreseen;
use crate::protocol::failure::{Failure, Remedy};
use crate::protocol::receipt::{ReceiptFile, ReceiptKind};

use super::summary::SCHEMA;
pub use super::summary::{Foresight, Summary};

/// Prints for one program. Shared by reference; each call prints whole lines.
pub struct Report {
    program: &'static str,
    json: bool,
    quiet: bool,
    /// Whether what is equal is told, too.
    tells_unchanged: bool,
    /// Whether only what would be done is told.
    dry_run: bool,
    suspender: Suspender,
    started: Instant,
    outputs: Mutex<Outputs>,
}

struct Outputs {
    data: Box<dyn Write + Send>,
    messages: Box<dyn Write + Send>,
    /// What a hint was given for: once is enough.
    hinted: HashSet<Failure>,
    /// The last event was told.
    has_ended: bool,
    told: Told,
}

/// What was told so far, for the status file.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Files with a receipt.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    pub(super) trusted_files: u64,
    pub(super) failed_files: u64,
    pub(super) skipped_files: u64,
    /// In words, safe to print.
    pub(super) last_error: Option<String>,
}

/// One line of `--json` about a file.
#[derive(Default, Serialize)]
struct FileEvent<'a> {
    event: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    /// What is foreseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
    /// `link` for a symbolic link; a file otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl<'a> FileEvent<'a> {
    fn new(event: &'static str, path: &[u8]) -> Self {
        Self { event, path: safe(path), path_bytes: exact(path), ..Self::default() }
    }
}

/// Base64 of the bytes where their rendering shows something else.
pub(super) fn exact(bytes: &[u8]) -> Option<String> {
    (safe(bytes).as_bytes() != bytes).then(|| BASE64.encode(bytes))
}

impl Report {
    /// Prints to standard output and standard error, with the bar (if any) out of the way.
    #[must_use]
    pub fn new(program: &'static str, output: &OutputArguments, suspender: Option<Suspender>) -> Self {
        let (data, messages) = (Box::new(std::io::stdout()), Box::new(std::io::stderr()));
        Self::to(program, output, suspender.unwrap_or_default(), data, messages)
    }

    /// Prints to the given writers.
    #[must_use]
    pub fn to(
        program: &'static str,
        output: &OutputArguments,
        suspender: Suspender,
        data: Box<dyn Write + Send>,
        messages: Box<dyn Write + Send>,
    ) -> Self {
        let outputs =
            Mutex::new(Outputs { data, messages, hinted: HashSet::new(), has_ended: false, told: Told::default() });
        let started = Instant::now();
        let tells_unchanged = output.verbose > 0;
        Self {
            program,
            json: output.json,
            quiet: output.quiet,
            tells_unchanged,
            dry_run: false,
            suspender,
            started,
            outputs,
        }
    }

    /// The same for a run that changes nothing.
    #[must_use]
    pub(super) fn of_dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Whether nothing is done, and only told what would be.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// A file that did not go through. `detail` is the cause as this side's system told it.
    pub fn file_failed(&self, path: &[u8], failure: Failure, detail: Option<&str>) {
        let words = match detail {
            Some(detail) => format!("{failure}: {}", safe_text(detail)),
            None => failure.to_string(),
        };
        let first = {
            let mut outputs = self.lock();
            outputs.told.failed_files += 1;
            outputs.told.last_error = Some(format!("'{}': {words}", safe(path)));
            outputs.hinted.insert(failure)
        };
        self.message(&format!("'{}': {words}", safe(path)), if first { hint(failure) } else { None });
        self.event(&FileEvent {
            code: Some(ExitCode::of(failure).number()),
            error: Some(words),
            ..FileEvent::new("error", path)
        });
    }

    /// An entry that is not carried, and so makes the transfer partial.
    pub fn skipped(&self, path: &[u8], why: &str) {
        self.lock().told.skipped_files += 1;
        let why = safe_text(why);
        self.message(&format!("skipped '{}': {why}", safe(path)), None);
        self.event(&FileEvent { why: Some(why), ..FileEvent::new("skipped", path) });
    }

    /// A file that has its receipt; a person hears of it in the summary.
    pub fn receipt(&self, file: &ReceiptFile, root_hex: &str) {
        if file.kind != ReceiptKind::Link {
            let told = &mut self.lock().told;
            told.files += 1;
            told.bytes += if file.kind == ReceiptKind::File { file.length_bytes } else { 0 };
        }
        self.event(&FileEvent {
            kind: file.kind.word(),
            length: Some(file.length_bytes),
            root: Some(root_hex),
            origin: Some(file.proof.origin.word()),
            stored: Some(file.proof.stored.word()),
            durable: Some(file.proof.durable.word()),
            ..FileEvent::new("receipt", &file.path)
        });
    }

    /// A file believed by size and time, without a receipt; a person hears of it in the summary.
    pub fn trusted(&self, path: &[u8]) {
        self.lock().told.trusted_files += 1;
        self.event(&FileEvent::new("trusted", path));
    }

    /// Something at the destination that had no source and is gone; a person hears of it in the summary.
    pub fn deleted(&self, path: &[u8]) {
        self.event(&FileEvent::new("deleted", path));
    }

    /// What a dry run foresees of something: a line for a person, on standard output.
    pub fn foreseen(&self, what: Foreseen, path: &[u8], length_bytes: u64) {
        let (event, word) = match what {
            Foreseen::New => ("new", "new"),
            Foreseen::Replaced => ("replaced", "replace"),
            Foreseen::Unchanged => ("unchanged", "unchanged"),
            Foreseen::Deleted => ("deleted", "delete"),
            Foreseen::SourceRemoved => ("source-removed", "remove"),
        };
        let length = (what != Foreseen::Deleted).then_some(length_bytes);
        self.event(&FileEvent { what: Some(event), length, ..FileEvent::new("foreseen", path) });
        let is_told = !self.json && !self.quiet && (what != Foreseen::Unchanged || self.tells_unchanged);
        if is_told {
            self.print(|outputs| &mut outputs.data, format!("{word:<9} {}\n", safe(path)));
        }
    }

    /// A source that was removed after its copy was receipted; a person hears of it in the summary.
    pub fn source_removed(&self, path: &[u8]) {
        self.event(&FileEvent::new("source-removed", path));
    }

    /// Something worth knowing; not when quiet.
    pub fn notice(&self, text: &str) {
        if !self.quiet {
            self.message(text, None);
        }
    }

    /// A line that another program said, under the name of who brought it; also when quiet.
    pub fn remark(&self, from: &str, line: &[u8]) {
        let (line, prefix) = (String::from_utf8_lossy(line), format!("{from}: "));
        let prefix = if line.starts_with(&prefix) { "" } else { &prefix };
        self.print(|outputs| &mut outputs.messages, format!("{prefix}{}\n", safe_text(line.trim_end())));
    }

    /// Something that is wrong and changes nothing of what the run came to; also when quiet.
    pub(super) fn warning(&self, text: &str) {
        self.message(text, None);
    }

    /// The program that reports.
    pub(super) fn program(&self) -> &'static str {
        self.program
    }

    /// What was told so far.
    pub(super) fn told(&self) -> Told {
        self.lock().told.clone()
    }

    /// Something that concerns the whole transfer.
    pub fn error(&self, text: &str, hint: Option<&str>) {
        self.lock().told.last_error = Some(safe_text(text));
        self.message(text, hint);
        self.event(&serde_json::json!({ "event": "error", "error": safe_text(text) }));
    }

    /// The ticket, alone on standard output.
    pub fn ticket(&self, ticket: &str) {
        if self.json {
            self.event(&serde_json::json!({ "event": "ticket", "ticket": safe_text(ticket) }));
        } else {
            self.print(|outputs| &mut outputs.data, safe_text(ticket) + "\n");
        }
    }

    /// The own key, alone on standard output.
    pub fn key(&self, key: &str) {
        if self.json {
            self.event(&serde_json::json!({ "event": "key", "key": safe_text(key) }));
        } else {
            self.print(|outputs| &mut outputs.data, safe_text(key) + "\n");
        }
    }

    /// Where a standing receiver listens, and its key: the words of a line of known peers.
    pub fn listening(&self, address: &str, key: &str) {
        let (address, key) = (safe_text(address), safe_text(key));
        if self.json {
            self.event(&serde_json::json!({ "event": "listening", "address": address, "key": key }));
        } else {
            self.print(|outputs| &mut outputs.data, format!("{address} {key}\n"));
        }
    }

    /// The answer to a question, without its end of line; nothing where there is no terminal to ask and to answer at.
    pub fn ask(&self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        let lines: Vec<String> = question.split('\n').map(safe_text).collect();
        // A bar that went on would draw over the question.
        self.suspender.suspend(|| {
            let mut outputs = self.lock();
            let asked = write!(outputs.messages, "{}: {}", self.program, lines.join("\n"));
            asked.and_then(|()| outputs.messages.flush()).ok()?;
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).ok()?;
            Some(answer.trim().to_owned())
        })
    }

    /// The end: as JSON the last record, always; for a person one line, not when quiet.
    pub fn summary(&self, summary: &Summary) {
        self.lock().has_ended = true;
        self.event(&summary.event());
        if !self.quiet && !self.json {
            self.message(&summary.line(), None);
        }
    }

    /// The end of a run that was to transfer something: the last record of one that stopped before it had anything to sum up.
    pub fn stopped(&self, exit: ExitCode) {
        if !self.lock().has_ended {
            let seconds = self.started.elapsed().as_secs_f64();
            let foreseen = self.dry_run.then(Foresight::default);
            self.event(&Summary { seconds, exit, foreseen, ..Summary::default() }.event());
        }
    }

    /// The end of a run that listened: as JSON the last record.
    pub fn end(&self, exit: ExitCode) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.event(&serde_json::json!({ "event": "end", "schema": SCHEMA, "seconds": seconds, "exit": exit.number() }));
    }

    /// What is wrong with one file, which its own event tells, too. The text is safe to show.
    pub(super) fn about(&self, text: &str, hint: Option<&str>) {
        self.lock().told.last_error = Some(text.to_owned());
        self.message(text, hint);
    }

    /// The last line for a person, not when quiet.
    pub(super) fn last_line(&self, line: &str) {
        if !self.quiet && !self.json {
            self.message(line, None);
        }
    }

    fn message(&self, text: &str, hint: Option<&str>) {
        let mut lines = format!("{}: {}\n", self.program, safe_text(text));
        if let Some(hint) = hint {
            lines += &format!("hint: {}\n", safe_text(hint));
        }
        self.print(|outputs| &mut outputs.messages, lines);
    }

    /// One line of JSON, where that was asked for. Its strings are safe already.
    pub(super) fn event(&self, event: &impl Serialize) {
        if self.json {
            let line = serde_json::to_string(event).expect("strings and numbers are JSON");
            self.print(|outputs| &mut outputs.data, line + "\n");
        }
    }

    fn print(&self, writer: fn(&mut Outputs) -> &mut Box<dyn Write + Send>, lines: String) {
        self.suspender.suspend(|| {
            let mut outputs = self.lock();
            let writer = writer(&mut outputs);
            // Nobody may be left to read it: nothing that can be said, and no reason to stop a transfer.
            writer.write_all(lines.as_bytes()).and_then(|()| writer.flush()).ok();
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Outputs> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error with what caused it; a cause that its error tells already is not told twice.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !words.ends_with(&told) {
            words = format!("{words}: {told}");
        }
        next = cause.source();
    }
    words
}

/// The next step, and what was kept.
pub(super) fn hint(failure: Failure) -> Option<&'static str> {
    let specific = match failure {
        Failure::TargetExists => {
            "the target was left as it is; to replace it, leave out --no-replace, and let the receiver listen with \
             --replace, or say replace in the line of your key"
        }
        Failure::DeleteNotAllowed => "leave out --delete, or let the receiver listen with --allow-delete",
        Failure::SpoolDamaged => "suspect the disk of the spool, or memory; choose another with --spool-dir",
        Failure::SourceNotRemoved => "check who may write to the directory of the source; its copy is safe",
        Failure::ReceiptNotStored => "check the file of --receipts; the copy is safe, and the same command goes on",
        Failure::TooManyToDelete => "nothing was deleted; look at what is there, or raise --max-delete",
        Failure::TargetNotRegular => "the target was left as it is; move it away, or choose another name",
        Failure::PermissionDenied | Failure::ReadOnly => "check who may write to the destination",
        Failure::NoSpace => "make room, then run the same command again: what has arrived is kept",
        Failure::StagingUnusable => {
            "look at the file .careful-* beside the target, remove it, and run the command again"
        }
        Failure::StagingHeld => "wait for the other transfer to end, then run the same command again",
        Failure::TooManyOpenFiles => "raise the limit of open files (ulimit -n), then run the same command again",
        Failure::StoredMismatch => "suspect the receiving disk or memory; the target was left as it is",
        Failure::ArrivedMismatch => "suspect memory or network of either side; the target was left as it is",
        Failure::SourceUnstable => "suspect the disk or memory of the source; the target was left as it is",
        Failure::SourceCorrupt => {
            "restore the source from a copy that careful-check verify finds right; if it was changed on purpose, touch it \
             and seal it anew; the target was left as it is"
        }
        Failure::NotRecorded | Failure::RecordStale | Failure::RecordDamaged => {
            "seal it (careful-check seal --renew), or leave out --origin recorded"
        }
        Failure::SourceMissing => "check the name; the other sources are not affected",
        Failure::SourceDenied => "check who may read the source; the other files are not affected",
        Failure::SourceNotRegular | Failure::NameRefused | Failure::TooLarge | Failure::PathTooLong => {
            return None;
        }
        Failure::NotAdmitted => "ask the receiver for a new ticket",
        Failure::OwnerNotSet => "content is right; run the receiving side as root, or leave out --owner",
        Failure::XattrsNotSet => "content is right; the receiving file system may have none, or no room for them",
        Failure::AclsNotSet => "content is right; the receiving file system may be mounted without ACLs",
        Failure::LabelsTooLarge => "leave out --xattrs, and send this file by itself",
        Failure::NotAccepted => "let the receiver listen with --accept and these words, or leave the options out",
        Failure::NoSafeRename => {
            "choose a destination on another file system, or make an empty file of that name there, which is then replaced"
        }
        Failure::HardLinkNotMade => "leave out --hard-links: each name gets a copy of its own then",
        Failure::LinkedFileFailed => "see what is said of that file; once it is there, the same command goes on",
        Failure::TooManyHardLinks => "send the directories one by one, or leave out --hard-links",
        Failure::LinkNotAccepted => "let the receiver listen with --accept links, or leave out --links",
        Failure::LinkLeadsOutside => {
            "let the receiver listen with --accept outside-links, or leave such links out with --safe-links"
        }
        Failure::KeyNotAdmitted => {
            "give the receiving side the line that `careful-send key` prints, for its list of keys"
        }
        Failure::OverQuota => "send less at once, or have the receiving side raise max-bytes= in its list of keys",
        Failure::Version => "install the same version on both sides",
        Failure::WeakerThanRequired => {
            "leave out of --require what the file system cannot give, or choose another destination"
        }
        Failure::SameTarget => "send the two sources to different directories",
        other => match other.remedy() {
            Remedy::RunAgain => "run the same command again: what has arrived is kept",
            Remedy::NeedsRepair => {
                "once the cause is repaired, run the same command again: it goes on with what proves right"
            }
            Remedy::NeedsPerson => return None,
        },
    };
    Some(specific)
}

#[cfg(test)]
mod tests;
