//! Tells the person what `careful-check` found of each file, and adds up what the last line says.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytesize::ByteSize;
use serde::Serialize;

use super::exit_code::ExitCode;
use super::report::{Report, exact};
use super::safe_name::safe;
use super::summary::SCHEMA;
use crate::check::{Observer, ReadBy, Verdict};
use crate::record::manifest::Line;

/// The observer of a check at the command line.
pub(super) struct Inspector {
    pub(super) report: Arc<Report>,
    /// Whether what is sealed is to be listed.
    lists: bool,
    tally: Mutex<Tally>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Tally {
    counted: Counted,
    codes: Vec<ExitCode>,
    hinted: HashSet<&'static str>,
    /// Of the files that were to be listed.
    lines: Vec<Line>,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counted {
    files: u64,
    bytes: u64,
    ok: u64,
    sealed: u64,
    changed: u64,
    corrupt: u64,
    without_record: u64,
    failed: u64,
    skipped_files: u64,
    /// Files of which a read may have been answered from memory.
    not_from_device: u64,
}

/// One file, as `--json` shows it.
#[derive(Serialize)]
struct CheckedEvent<'a> {
    event: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_device: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ranges: &'a [Range<u64>],
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The end, as `--json` shows it: always the last event.
#[derive(Serialize)]
struct CheckEvent {
    event: &'static str,
    schema: u32,
    #[serde(flatten)]
    counted: Counted,
    seconds: f64,
    exit: u8,
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inspector").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Inspector {
    pub(super) fn new(report: Report, lists: bool) -> Self {
        Self { report: Arc::new(report), lists, tally: Mutex::default(), started: Instant::now() }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that concerns the whole check.
    pub(super) fn failed(&self, words: &str, hint: Option<&str>, code: ExitCode) {
        self.report.error(words, hint);
        self.told(code);
    }

    /// The same, where it has been told.
    pub(super) fn told(&self, code: ExitCode) {
        self.tally().codes.push(code);
    }

    /// The files that were to be listed, by path.
    pub(super) fn take_lines(&self) -> Vec<Line> {
        let mut lines = std::mem::take(&mut self.tally().lines);
        lines.sort_by(|one, other| one.path.cmp(&other.path));
        lines
    }

    /// Prints the last line. `may_be_none`: whether it is right that there was no file at all.
    pub(super) fn finish(&self, may_be_none: bool) -> ExitCode {
        let is_empty = {
            let tally = self.tally();
            tally.counted.files == 0 && tally.codes.is_empty()
        };
        if is_empty && !may_be_none {
            self.failed("there was no file to check", Some("look at what was named: is it empty?"), ExitCode::Partial);
        }
        let tally = self.tally();
        let Counted { ok, sealed, .. } = tally.counted;
        let exit = ExitCode::of_all(tally.codes.iter().copied(), ok + sealed > 0);
        let (counted, seconds) = (tally.counted, self.started.elapsed().as_secs_f64());
        drop(tally);
        self.report.event(&CheckEvent { event: "check", schema: SCHEMA, counted, seconds, exit: exit.number() });
        self.report.last_line(&line(counted, seconds));
        exit
    }

    fn list(&self, path: &[u8], record: &crate::record::Record) -> Result<(), &'static str> {
        let path = std::str::from_utf8(path).ok().filter(|path| !path.contains('\u{fffd}'));
        let path = path.ok_or("its name is no UTF-8, and b3sum could not read it in a list")?.to_owned();
        let known = Some((record.content.length_bytes, record.modified));
        self.tally().lines.push(Line { path, root: record.content.root, known });
        Ok(())
    }
}

fn line(counted: Counted, seconds: f64) -> String {
    let mut line = format!(
        "{} file{}, {}:",
        counted.files,
        if counted.files == 1 { "" } else { "s" },
        ByteSize::b(counted.bytes).display().iec()
    );
    let mut parts = Vec::new();
    for (count, words) in [
        (counted.ok, "ok"),
        (counted.sealed, "sealed"),
        (counted.changed, "changed"),
        (counted.corrupt, "CORRUPT"),
        (counted.without_record, "without a record"),
        (counted.failed, "FAILED"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    }
    line += &format!(" {}", if parts.is_empty() { "nothing checked".to_owned() } else { parts.join(", ") });
    if counted.not_from_device > 0 {
        line += &format!("; {} perhaps read from memory only", counted.not_from_device);
    } else if counted.bytes > 0 {
        line += "; read from disk";
    }
    format!("{line}; {seconds:.1} s")
}

/// How a verdict is shown: its word, what a person is told of it, the next step, its exit code.
struct Shown {
    state: &'static str,
    words: Option<String>,
    hint: Option<&'static str>,
    code: Option<ExitCode>,
}

fn shown(verdict: &Verdict) -> Shown {
    let good = |state| Shown { state, words: None, hint: None, code: None };
    let bad = |state, words: String, hint, code| Shown { state, words: Some(words), hint, code: Some(code) };
    match verdict {
        Verdict::Right(_) | Verdict::AlreadySealed => good("ok"),
        Verdict::Sealed(_) => good("sealed"),
        Verdict::Changed => bad(
            "changed",
            "changed: size or time are not those of its record".to_owned(),
            Some("if the change was meant, careful-check seal --renew makes a new record"),
            ExitCode::SourceChanged,
        ),
        Verdict::Corrupt { ranges } => bad(
            "corrupt",
            format!("CORRUPT: differs from its record, with size and time unchanged; {}", places(ranges)),
            Some("restore it from a copy that careful-check verify finds right, and suspect the disk"),
            ExitCode::RecordMismatch,
        ),
        Verdict::NoRecord => {
            bad("no-record", "has no record".to_owned(), Some("careful-check seal makes one"), ExitCode::Partial)
        }
        Verdict::DamagedRecord => bad(
            "damaged-record",
            "its record is damaged".to_owned(),
            Some("compare the file with another copy, then make a new record by careful-check seal --renew"),
            ExitCode::Partial,
        ),
        Verdict::Unstable => bad(
            "unstable",
            "two reads of it differ".to_owned(),
            Some("suspect the disk or the memory of this host, or somebody who writes to it"),
            ExitCode::Mismatch,
        ),
        Verdict::Missing => bad("missing", "no such file".to_owned(), None, ExitCode::SourceChanged),
        Verdict::Failed(words) => bad("failed", words.clone(), None, ExitCode::FileIo),
    }
}

/// Where a file differs, for a person: the first few places.
fn places(ranges: &[Range<u64>]) -> String {
    const SHOWN_MAX: usize = 4;
    let mut places: Vec<String> =
        ranges.iter().take(SHOWN_MAX).map(|range| format!("{} to {}", range.start, range.end)).collect();
    if ranges.len() > SHOWN_MAX {
        places.push(format!("{} more", ranges.len() - SHOWN_MAX));
    }
    format!("within bytes {}", places.join(", "))
}

impl Observer for Inspector {
    fn checked(&self, path: &[u8], verdict: &Verdict, read: Option<ReadBy>) {
        let mut shown = shown(verdict);
        let mut content = match verdict {
            Verdict::Right(content) => Some(content),
            Verdict::Sealed(record) => Some(&record.content),
            _ => None,
        };
        if self.lists
            && let Verdict::Sealed(record) = verdict
            && let Err(words) = self.list(path, record)
        {
            (content, shown) = (None, self::shown(&Verdict::Failed(words.to_owned())));
        }
        let hint = {
            let mut tally = self.tally();
            let counted = &mut tally.counted;
            counted.files += 1;
            counted.bytes += content.map_or(0, |content| content.length_bytes);
            counted.not_from_device += u64::from(read.is_some_and(|read| !read.from_device));
            *match shown.state {
                "ok" => &mut counted.ok,
                "sealed" => &mut counted.sealed,
                "changed" | "missing" => &mut counted.changed,
                "corrupt" => &mut counted.corrupt,
                "no-record" | "damaged-record" => &mut counted.without_record,
                _ => &mut counted.failed,
            } += 1;
            tally.codes.extend(shown.code);
            shown.hint.filter(|_| tally.hinted.insert(shown.state))
        };
        if let Some(words) = &shown.words {
            self.report.about(&format!("'{}': {words}", safe(path)), hint);
        } else if read.is_some_and(|read| read.misread) {
            self.report.notice(&format!("'{}' read wrong once, and right the second time", safe(path)));
        }
        let ranges = if let Verdict::Corrupt { ranges } = verdict { ranges.as_slice() } else { &[] };
        self.report.event(&CheckedEvent {
            event: "checked",
            path: safe(path),
            path_bytes: exact(path),
            state: shown.state,
            length: content.map(|content| content.length_bytes),
            root: content.map(|content| content.root.to_hex()),
            from_device: read.map(|read| read.from_device),
            ranges,
            code: shown.code.map(ExitCode::number),
            error: shown.words,
        });
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.tally().counted.skipped_files += 1;
        tracing::info!("skipped '{}': {why}", safe(path));
    }
}
