//! Tells the person what becomes of each file, keeps the receipts, and adds up what the last line says.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::exit_code::ExitCode;
use super::receipt_line;
use super::report::{Foresight, Report, Summary};
use super::requirement::Requirement;
use crate::outcome::Foreseen;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::ENTRIES_AT_ONCE_MAX;
use crate::protocol::receipt::{Receipt, ReceiptKind};
use crate::seams::disk::{DiskFile, write_all};
use crate::send::Observer;

/// The observer of a transfer at the command line.
pub(super) struct Teller {
    pub(super) report: Arc<Report>,
    required: Option<Requirement>,
    receipts: Option<Arc<dyn DiskFile>>,
    tally: Mutex<Tally>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Tally {
    summary: Summary,
    /// Each once: a tree may hold any number of them.
    failures: HashSet<Failure>,
    /// Where this side makes the commits itself, one whose receipt was lost on the way to the sender is made again.
    told: Recent,
    receipts_failed: bool,
}

impl Tally {
    fn of(report: &Report) -> Self {
        let foreseen = report.is_dry_run().then(Foresight::default);
        Self { summary: Summary { foreseen, ..Summary::default() }, ..Self::default() }
    }
}

/// The files that were told of last: as many as all jobs under way can hold.
#[derive(Debug, Default)]
struct Recent {
    paths: HashSet<[u8; 32]>,
    in_order: VecDeque<[u8; 32]>,
}

impl Recent {
    /// Whether the path is none of them. It is from now on.
    fn is_new(&mut self, path: &[u8]) -> bool {
        let path = crate::hash::Root::of(path).0;
        if !self.paths.insert(path) {
            return false;
        }
        self.in_order.push_back(path);
        if self.in_order.len() > ENTRIES_AT_ONCE_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.paths.remove(&oldest);
        }
        true
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Teller").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Teller {
    /// Starts the clock. Receipts are added to the file, where there is one.
    pub(super) fn new(report: Arc<Report>, required: Option<Requirement>, receipts: Option<Arc<dyn DiskFile>>) -> Self {
        let tally = Mutex::new(Tally::of(&report));
        Self { report, required, receipts, tally, started: Instant::now() }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the receipts durable and prints the last line. `ended_early` is the code of a transfer that did not run to
    /// its end; it outweighs what became of single files.
    pub(super) fn finish(&self, counters: &Counters, ended_early: Option<ExitCode>) -> ExitCode {
        let mut tally = self.tally();
        if let Some(receipts) = &self.receipts
            && let Err(error) = receipts.sync_all()
        {
            self.report.error(&format!("receipts could not be stored: {error}"), None);
            tally.receipts_failed = true;
        }
        let counted = counters.snapshot();
        let some_succeeded = tally.summary.files + tally.summary.links + tally.summary.trusted_files > 0
            || tally.summary.foreseen.is_some_and(|foreseen| foreseen.new + foreseen.replaced + foreseen.unchanged > 0);
        let mut exit = ExitCode::of_files(tally.failures.iter().copied(), some_succeeded);
        if exit == ExitCode::Success && tally.summary.skipped_files > 0 {
            exit = ExitCode::Partial;
        }
        if tally.receipts_failed {
            exit = ExitCode::FileIo;
        }
        let summary = Summary {
            sent_bytes: counted.sent_bytes,
            reused_bytes: counted.reused_bytes.min(counted.bytes_found),
            repaired_chunks: counted.repaired_chunks,
            repaired: counted.repaired,
            seconds: self.started.elapsed().as_secs_f64(),
            exit: ended_early.unwrap_or(exit),
            ..tally.summary
        };
        self.report.summary(&summary);
        summary.exit
    }

    fn keep(&self, receipt: &Receipt, signature: &[u8; 64]) {
        let Some(file) = &self.receipts else { return };
        let line = receipt_line::to_line(receipt, signature) + "\n";
        let mut tally = self.tally();
        // The handle appends: the offset does not matter.
        if let Err(error) = write_all(file.as_ref(), line.as_bytes(), 0)
            && !std::mem::replace(&mut tally.receipts_failed, true)
        {
            self.report.error(&format!("receipts could not be stored: {error}"), None);
        }
    }
}

impl Observer for Teller {
    fn failed(&self, path: &[u8], failure: Failure, detail: Option<&str>) {
        self.report.file_failed(path, failure, detail);
        let mut tally = self.tally();
        tally.failures.insert(failure);
        tally.summary.failed_files += 1;
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.report.skipped(path, why);
        self.tally().summary.skipped_files += 1;
    }

    fn trusted(&self, path: &[u8]) {
        self.report.trusted(path);
        self.tally().summary.trusted_files += 1;
        // A file that nothing was proved of cannot meet a requirement.
        if self.required.is_some() {
            self.failed(path, Failure::WeakerThanRequired, Some("trusted by size and time"));
        }
    }

    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], unchanged: &[bool]) {
        self.keep(receipt, signature);
        for (file, unchanged) in receipt.files.iter().zip(unchanged) {
            if !self.tally().told.is_new(&file.path) {
                continue;
            }
            let root = crate::hash::Root(file.root).to_hex();
            self.report.receipt(file, &root);
            let mut tally = self.tally();
            if file.kind == ReceiptKind::Link {
                // What can be proved of a link is less by its nature: it says nothing about the files.
                tally.summary.links += 1;
                continue;
            }
            tally.summary.files += 1;
            // The bytes of a further name are those of its file, counted there.
            tally.summary.bytes += if file.kind == ReceiptKind::File { file.length_bytes } else { 0 };
            tally.summary.unchanged_files += u64::from(*unchanged);
            tally.summary.weaken(file.proof);
            if let Some(weaker) = self.required.and_then(|required| required.unmet_by(file.proof)) {
                drop(tally);
                self.failed(&file.path, Failure::WeakerThanRequired, Some(&weaker));
            }
        }
    }

    fn foreseen(&self, what: Foreseen, path: &[u8], length_bytes: u64) {
        let mut tally = self.tally();
        // As with commits: what was asked again on another connection is told once.
        if !tally.told.is_new(&[path, &[0, what as u8]].concat()) {
            return;
        }
        if let Some(foreseen) = &mut tally.summary.foreseen {
            foreseen.count(what, length_bytes);
        }
        drop(tally);
        self.report.foreseen(what, path, length_bytes);
    }

    fn source_removed(&self, path: &[u8]) {
        self.report.source_removed(path);
        self.tally().summary.removed_sources += 1;
    }

    fn stores_receipts(&self) -> bool {
        // Held while it is flushed: what is told meanwhile is not part of the answer, nor of the question.
        let mut tally = self.tally();
        match self.receipts.as_ref().map(|receipts| receipts.sync_all()) {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.report.error(&format!("receipts could not be stored: {error}"), None);
                tally.receipts_failed = true;
            }
        }
        !tally.receipts_failed
    }

    fn deleted(&self, path: &[u8]) {
        self.report.deleted(path);
        self.tally().summary.deleted += 1;
    }

    fn notice(&self, words: &str) {
        self.report.notice(words);
    }

    fn started_over(&self) {
        let mut tally = self.tally();
        let (deleted, removed_sources) = (tally.summary.deleted, tally.summary.removed_sources);
        *tally = Tally { receipts_failed: tally.receipts_failed, ..Tally::of(&self.report) };
        // What is gone is not told of again.
        (tally.summary.deleted, tally.summary.removed_sources) = (deleted, removed_sources);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_made_again_is_told_once() {
        let mut recent = Recent::default();
        assert!(recent.is_new(b"a") && recent.is_new(b"b"));
        assert!(!recent.is_new(b"a") && !recent.is_new(b"b"));
    }

    #[test]
    fn what_was_told_is_remembered_within_bounds() {
        let mut recent = Recent::default();
        let most = ENTRIES_AT_ONCE_MAX;
        for number in 0..=most {
            assert!(recent.is_new(&number.to_le_bytes()));
        }
        assert_eq!((recent.paths.len(), recent.in_order.len()), (most, most));
        assert!(recent.is_new(&0_usize.to_le_bytes()), "the oldest is forgotten");
        assert!(!recent.is_new(&most.to_le_bytes()));
    }
}
