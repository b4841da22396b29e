//! How far a transfer is: counters that the halves raise and that any display may look at.
//!
//! Plain atomics, raised per chunk or file. **Nothing here draws, waits or knows a terminal.**

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::protocol::request::Progress;
use crate::protocol::sending::Repairs;

/// What a transfer is mostly doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The receiver reads back what an earlier run left.
    CheckingWhatIsThere,
    /// Nothing is transferred: files are read and compared.
    Checking,
    /// Chunks travel.
    Sending,
    /// All has been sent; the receiver still reads it back.
    ReadingBack,
    /// All has been read back; names are set and flushed.
    Committing,
}

impl Phase {
    /// As a person reads it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::CheckingWhatIsThere => "checking what is there",
            Self::Checking => "checking",
            Self::Sending => "sending",
            Self::ReadingBack => "reading back",
            Self::Committing => "committing",
        }
    }
}

/// Raised by the halves, read by a display. Each method adds; [`Counters::snapshot`] reads.
#[derive(Debug, Default)]
pub struct Counters {
    files_found: AtomicU64,
    bytes_found: AtomicU64,
    walk_finished: AtomicBool,
    only_checks: AtomicBool,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    checked_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    read_back_bytes: AtomicU64,
    committed_files: AtomicU64,
    reused_bytes: AtomicU64,
    repaired_arrival: AtomicU64,
    repaired_stored: AtomicU64,
    repaired_source: AtomicU64,
    repaired_lost: AtomicU64,
    /// See [`Counters::starts_over`].
    earlier: Mutex<Progress>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Files the walk has met.
    pub files_found: u64,
    /// Their bytes.
    pub bytes_found: u64,
    /// Whether the walk is over, so that what was found is all there is.
    pub walk_finished: bool,
    /// Whether nothing is transferred.
    pub only_checks: bool,
    /// Files that are finished, well or not.
    pub files_done: u64,
    /// Bytes that are finished, of finished files and others.
    pub bytes_done: u64,
    /// Bytes an earlier run left that were read and compared.
    pub checked_bytes: u64,
    /// Bytes put on the wire, repairs included.
    pub sent_bytes: u64,
    /// Bytes the receiver read back.
    pub read_back_bytes: u64,
    /// Files that have their receipt.
    pub committed_files: u64,
    /// Bytes that were there already and not sent.
    pub reused_bytes: u64,
    /// Chunks and small files repaired after a failed check: [`Repairs::arrival`], `stored` and `source` together.
    pub repaired_chunks: u64,
    /// The same check by check.
    pub repaired: Repairs,
}

/// A method that raises the counter of the same name.
macro_rules! raise {
    ($($(#[$doc:meta])* $counter:ident;)*) => {
        $($(#[$doc])* pub fn $counter(&self, more: u64) {
            self.$counter.fetch_add(more, Ordering::Relaxed);
        })*
    };
}

impl Counters {
    raise! {
        /// Files the walk has met.
        files_found;
        /// Their bytes.
        bytes_found;
        /// Files that are finished, well or not.
        files_done;
        /// Bytes that are finished.
        bytes_done;
        /// Bytes an earlier run left that were read and compared.
        checked_bytes;
        /// Bytes put on the wire, repairs included.
        sent_bytes;
        /// Bytes the receiver read back.
        read_back_bytes;
        /// Files that have their receipt.
        committed_files;
        /// Bytes that were there already and not sent.
        reused_bytes;
    }

    /// More was repaired.
    pub fn repaired(&self, more: Repairs) {
        let counted = [
            (&self.repaired_arrival, more.arrival),
            (&self.repaired_stored, more.stored),
            (&self.repaired_source, more.source),
            (&self.repaired_lost, more.lost),
        ];
        for (counter, more) in counted {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Takes over what another side counted, in the place of what was counted here. What it says is held below what can
    /// be added up.
    pub fn show(&self, other: &Progress) {
        let earlier = *self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = [
            (&self.files_found, 0, other.files_found),
            (&self.bytes_found, 0, other.bytes_found),
            (&self.files_done, 0, other.files_done),
            (&self.bytes_done, 0, other.bytes_done),
            (&self.checked_bytes, 0, other.checked_bytes),
            (&self.sent_bytes, earlier.sent_bytes, other.sent_bytes),
            (&self.read_back_bytes, 0, other.read_back_bytes),
            (&self.committed_files, 0, other.committed_files),
            (&self.reused_bytes, 0, other.reused_bytes),
            (&self.repaired_arrival, earlier.repaired_arrival, other.repaired_arrival),
            (&self.repaired_stored, earlier.repaired_stored, other.repaired_stored),
            (&self.repaired_source, earlier.repaired_source, other.repaired_source),
            (&self.repaired_lost, earlier.repaired_lost, other.repaired_lost),
        ];
        for (counter, earlier, told) in counted {
            counter.store(earlier.saturating_add(told).min(u64::MAX / 16), Ordering::Relaxed);
        }
        self.walk_finished.store(other.walk_finished, Ordering::Relaxed);
    }

    /// The side that was [shown](Self::show) gives way to another, which counts from nothing: what was sent and repaired by
    /// then was done all the same.
    pub fn starts_over(&self) {
        *self.earlier.lock().unwrap_or_else(PoisonError::into_inner) = self.snapshot().into();
    }

    /// What was found is all there is.
    pub fn walk_finished(&self) {
        self.walk_finished.store(true, Ordering::Relaxed);
    }

    /// Nothing is transferred: files are read and compared.
    pub fn only_checks(&self) {
        self.only_checks.store(true, Ordering::Relaxed);
    }

    /// All counters, each read once (not all at the same instant).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let repaired = Repairs {
            arrival: value(&self.repaired_arrival),
            stored: value(&self.repaired_stored),
            source: value(&self.repaired_source),
            lost: value(&self.repaired_lost),
        };
        Snapshot {
            files_found: value(&self.files_found),
            bytes_found: value(&self.bytes_found),
            walk_finished: self.walk_finished.load(Ordering::Relaxed),
            only_checks: self.only_checks.load(Ordering::Relaxed),
            files_done: value(&self.files_done),
            bytes_done: value(&self.bytes_done),
            checked_bytes: value(&self.checked_bytes),
            sent_bytes: value(&self.sent_bytes),
            read_back_bytes: value(&self.read_back_bytes),
            committed_files: value(&self.committed_files),
            reused_bytes: value(&self.reused_bytes),
            repaired_chunks: repaired.arrival + repaired.stored + repaired.source,
            repaired,
        }
    }
}

impl From<Snapshot> for Progress {
    fn from(counted: Snapshot) -> Self {
        Self {
            files_found: counted.files_found,
            bytes_found: counted.bytes_found,
            walk_finished: counted.walk_finished,
            files_done: counted.files_done,
            bytes_done: counted.bytes_done,
            checked_bytes: counted.checked_bytes,
            sent_bytes: counted.sent_bytes,
            read_back_bytes: counted.read_back_bytes,
            committed_files: counted.committed_files,
            reused_bytes: counted.reused_bytes,
            repaired_arrival: counted.repaired.arrival,
            repaired_stored: counted.repaired.stored,
            repaired_source: counted.repaired.source,
            repaired_lost: counted.repaired.lost,
        }
    }
}

impl Snapshot {
    /// What the transfer is mostly doing, as far as the counters can tell.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let arrived = self.sent_bytes.saturating_add(self.reused_bytes);
        let all_found = self.walk_finished && self.files_found > 0;
        if self.only_checks {
            Phase::Checking
        } else if all_found && self.read_back_bytes >= self.bytes_found {
            Phase::Committing
        } else if all_found && arrived >= self.bytes_found {
            Phase::ReadingBack
        } else if self.sent_bytes > 0 || self.files_done > 0 {
            Phase::Sending
        } else {
            Phase::CheckingWhatIsThere
        }
    }

    /// Bytes of [`Snapshot::bytes_found`] that count as done in `phase`; never more than those.
    #[must_use]
    pub fn position(&self, phase: Phase) -> u64 {
        let within = match phase {
            Phase::CheckingWhatIsThere | Phase::Checking => self.checked_bytes,
            Phase::Sending => self.sent_bytes.saturating_add(self.reused_bytes),
            Phase::ReadingBack | Phase::Committing => self.read_back_bytes,
        };
        within.max(self.bytes_done).min(self.bytes_found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_tell_the_phase() {
        let counters = Counters::default();
        let phase = || counters.snapshot().phase();
        assert_eq!(phase(), Phase::CheckingWhatIsThere);
        counters.files_found(1);
        counters.bytes_found(10);
        counters.sent_bytes(4);
        assert_eq!(phase(), Phase::Sending);
        counters.sent_bytes(6);
        counters.walk_finished();
        assert_eq!(phase(), Phase::ReadingBack);
        counters.read_back_bytes(10);
        assert_eq!(phase(), Phase::Committing);
    }

    #[test]
    fn repairs_are_counted_check_by_check_and_together_without_what_was_only_read_again() {
        let counters = Counters::default();
        let all = Repairs { arrival: 1, stored: 2, source: 4, lost: 8 };
        counters.repaired(all);
        counters.repaired(all.since(Repairs { arrival: 1, stored: 1, source: 4, lost: 8 }));
        let found = counters.snapshot();
        assert_eq!(found.repaired, Repairs { stored: 3, ..all });
        assert_eq!(found.repaired_chunks, 8);
    }

    #[test]
    fn what_another_side_counted_is_shown_and_never_overflows() {
        let theirs = Counters::default();
        theirs.files_found(3);
        theirs.bytes_found(30);
        theirs.sent_bytes(20);
        theirs.walk_finished();
        theirs.repaired(Repairs { arrival: 1, stored: 2, source: 4, lost: 8 });
        let ours = Counters::default();
        ours.sent_bytes(1000);
        ours.show(&theirs.snapshot().into());
        assert_eq!(ours.snapshot(), theirs.snapshot());
        let all = u64::MAX;
        ours.show(&Progress { sent_bytes: all, repaired_arrival: all, repaired_stored: all, ..Progress::default() });
        assert!(ours.snapshot().repaired_chunks > 0);
        assert_eq!(ours.snapshot().position(Phase::Sending), 0);
    }

    #[test]
    fn what_was_sent_and_repaired_counts_though_the_side_that_did_it_was_replaced() {
        let ours = Counters::default();
        for attempt in 1..=3 {
            ours.show(&Progress { sent_bytes: 5, ..Progress::default() });
            ours.show(&Progress { sent_bytes: 10, files_done: 1, repaired_stored: 2, ..Progress::default() });
            let counted = ours.snapshot();
            assert_eq!((counted.sent_bytes, counted.repaired.stored), (10 * attempt, 2 * attempt));
            assert_eq!(counted.files_done, 1);
            ours.starts_over();
        }
    }

    #[test]
    fn the_position_never_passes_what_was_found() {
        let counters = Counters::default();
        counters.bytes_found(10);
        counters.sent_bytes(25);
        assert_eq!(counters.snapshot().position(Phase::Sending), 10);
        assert_eq!(counters.snapshot().position(Phase::ReadingBack), 0);
    }
}
