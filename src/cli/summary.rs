//! The last line: what was moved, and how much was proved about the weakest of it.
//!
//! Words are rounded down: the line claims for all files only what holds for each of them.

use bytesize::ByteSize;
use serde::Serialize;

use super::exit_code::ExitCode;
use crate::outcome::Foreseen;
use crate::protocol::receipt::{Durable, Origin, Proof, Stored};
use crate::protocol::sending::Repairs;

/// What a dry run foresees of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Foresight {
    /// Files and links that would be made.
    pub new: u64,
    /// That would be replaced.
    pub replaced: u64,
    /// That are equal, by content.
    pub unchanged: u64,
    /// Bytes of those that would be made or replaced.
    pub bytes: u64,
    /// Files and directories that would be deleted.
    pub deleted: u64,
    /// Sources that would be removed.
    pub removed_sources: u64,
}

impl Foresight {
    /// Counts one more.
    pub fn count(&mut self, what: Foreseen, length_bytes: u64) {
        let counter = match what {
            Foreseen::New => &mut self.new,
            Foreseen::Replaced => &mut self.replaced,
            Foreseen::Unchanged => &mut self.unchanged,
            Foreseen::Deleted => &mut self.deleted,
            Foreseen::SourceRemoved => &mut self.removed_sources,
        };
        *counter += 1;
        if matches!(what, Foreseen::New | Foreseen::Replaced) {
            self.bytes = self.bytes.saturating_add(length_bytes);
        }
    }

    fn line(&self) -> String {
        let would = self.new + self.replaced;
        let mut line = match would {
            0 => "dry run: nothing would be sent".to_owned(),
            _ => {
                let replaced = if self.replaced > 0 { format!(" ({} replaced)", self.replaced) } else { String::new() };
                format!("dry run: {}, {} would be sent{replaced}", files(would), size(self.bytes))
            }
        };
        for (count, words) in [
            (self.unchanged, "unchanged"),
            (self.deleted, "would be deleted"),
            (self.removed_sources, "would be removed at the source"),
        ] {
            if count > 0 {
                line += &format!("; {count} {words}");
            }
        }
        line
    }
}

/// What a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Files with a receipt, unchanged ones included, trusted ones not.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Symbolic links that have their receipt.
    pub links: u64,
    /// Of the files: those whose target was equal already (and was read back).
    pub unchanged_files: u64,
    /// Files believed by size and time, without a check and without a receipt.
    pub trusted_files: u64,
    /// Files that did not go through.
    pub failed_files: u64,
    /// Entries of a type that is not carried.
    pub skipped_files: u64,
    /// Files and directories at the destination that had no source and were deleted.
    pub deleted: u64,
    /// Sources that were removed, as --move asks.
    pub removed_sources: u64,
    /// Bytes put on the wire.
    pub sent_bytes: u64,
    /// Bytes that were there already.
    pub reused_bytes: u64,
    /// Chunks and small files repaired after a failed check.
    pub repaired_chunks: u64,
    /// The same check by check.
    pub repaired: Repairs,
    /// From start to end.
    pub seconds: f64,
    /// The least of each word over all receipts; none without a receipt.
    pub weakest: Option<Proof>,
    /// In a dry run: what would be done. Nothing was.
    pub foreseen: Option<Foresight>,
    /// What the process will end with.
    pub exit: ExitCode,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            files: 0,
            bytes: 0,
            links: 0,
            unchanged_files: 0,
            trusted_files: 0,
            failed_files: 0,
            skipped_files: 0,
            deleted: 0,
            removed_sources: 0,
            sent_bytes: 0,
            reused_bytes: 0,
            repaired_chunks: 0,
            repaired: Repairs::default(),
            seconds: 0.0,
            weakest: None,
            foreseen: None,
            exit: ExitCode::Success,
        }
    }
}

/// Version of all events of `--json`: one more as soon as a field goes or changes its meaning. New fields leave it.
pub(super) const SCHEMA: u32 = 1;

/// The event as JSON shows it.
#[derive(Serialize)]
pub(super) struct SummaryEvent {
    event: &'static str,
    schema: u32,
    files: u64,
    bytes: u64,
    links: u64,
    unchanged_files: u64,
    trusted_files: u64,
    failed_files: u64,
    skipped_files: u64,
    deleted: u64,
    removed_sources: u64,
    sent_bytes: u64,
    reused_bytes: u64,
    repaired_chunks: u64,
    repaired: RepairedFields,
    seconds: f64,
    origin: Option<&'static str>,
    stored: Option<&'static str>,
    durable: Option<&'static str>,
    foreseen: Option<Foresight>,
    exit: u8,
}

/// As [`Repairs`].
#[derive(Serialize)]
struct RepairedFields {
    arrival: u64,
    stored: u64,
    source: u64,
    lost: u64,
}

impl From<Repairs> for RepairedFields {
    fn from(Repairs { arrival, stored, source, lost }: Repairs) -> Self {
        Self { arrival, stored, source, lost }
    }
}

impl Summary {
    /// Counts a receipt in: the weakest of each word, apart from the others, is what holds for all.
    pub fn weaken(&mut self, proof: Proof) {
        self.weakest = Some(match self.weakest {
            None => proof,
            Some(before) => Proof {
                origin: before.origin.min(proof.origin),
                stored: before.stored.min(proof.stored),
                durable: before.durable.min(proof.durable),
            },
        });
    }

    pub(super) fn event(&self) -> SummaryEvent {
        SummaryEvent {
            event: "summary",
            schema: SCHEMA,
            files: self.files,
            bytes: self.bytes,
            links: self.links,
            unchanged_files: self.unchanged_files,
            trusted_files: self.trusted_files,
            failed_files: self.failed_files,
            skipped_files: self.skipped_files,
            deleted: self.deleted,
            removed_sources: self.removed_sources,
            sent_bytes: self.sent_bytes,
            reused_bytes: self.reused_bytes,
            repaired_chunks: self.repaired_chunks,
            repaired: self.repaired.into(),
            seconds: self.seconds,
            origin: self.weakest.map(|proof| proof.origin.word()),
            stored: self.weakest.map(|proof| proof.stored.word()),
            durable: self.weakest.map(|proof| proof.durable.word()),
            foreseen: self.foreseen,
            exit: self.exit.number(),
        }
    }

    /// The line for a person, without the program's name.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = match (self.foreseen, self.weakest) {
            (Some(foreseen), _) => foreseen.line(),
            (None, Some(proof)) => format!("{}, {}: {}", files(self.files), size(self.bytes), claim(proof)),
            (None, None) => format!("{}, nothing proved", files(self.files)),
        };
        match self.links {
            0 => {}
            1 => line += "; 1 link",
            count => line += &format!("; {count} links"),
        }
        for (count, words) in [
            (self.unchanged_files, "unchanged"),
            (self.trusted_files, "not checked (same size and time)"),
            (self.skipped_files, "skipped"),
            (self.deleted, "deleted"),
            (self.removed_sources, "removed at the source"),
            (self.failed_files, "FAILED"),
        ] {
            if count > 0 {
                line += &format!("; {count} {words}");
            }
        }
        match self.repaired_chunks {
            0 => {}
            1 => line += "; 1 chunk sent again",
            count => line += &format!("; {count} chunks sent again"),
        }
        if self.foreseen.is_some() {
            line += "; nothing was changed";
        }
        line + &self.pace()
    }

    /// Seconds, and the rate where it says something.
    fn pace(&self) -> String {
        let seconds = format!("; {:.1} s", self.seconds);
        if self.seconds < 0.1 || self.bytes == 0 {
            return seconds;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = self.bytes as f64 / self.seconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; a rate for a person")]
        let rate = rate as u64;
        format!("{seconds}, {}/s", size(rate))
    }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// What may be said about every file whose proof is no weaker than this.
fn claim(proof: Proof) -> String {
    let origin = match proof.origin {
        Origin::FirstRead => "one read of the source",
        Origin::Reread => "two reads of the source",
        Origin::Recorded => "the record of the source",
    };
    let compared = match proof.stored {
        Stored::Device => format!("read back from disk, equal to {origin}"),
        Stored::Cache => format!("read back, perhaps from memory only, equal to {origin}"),
        Stored::None => format!("NOT read back; what arrived was equal to {origin}"),
    };
    match proof.durable {
        Durable::Yes => format!("{compared}, durable"),
        Durable::No => format!("{compared}, NOT known to be durable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Proof = Proof { origin: Origin::Reread, stored: Stored::Device, durable: Durable::Yes };

    #[test]
    fn the_line_says_what_was_proved() {
        let summary =
            Summary { files: 3, bytes: 2_254_857_830, weakest: Some(FULL), seconds: 2.0, ..Summary::default() };
        assert_eq!(
            summary.line(),
            "3 files, 2.1 GiB: read back from disk, equal to two reads of the source, durable; 2.0 s, 1.0 GiB/s"
        );
    }

    #[test]
    fn one_weak_file_weakens_the_claim_for_all() {
        let mut summary = Summary::default();
        summary.weaken(FULL);
        summary.weaken(Proof { origin: Origin::Recorded, stored: Stored::None, ..FULL });
        summary.weaken(Proof { durable: Durable::No, ..FULL });
        let weakest = Proof { origin: Origin::Reread, stored: Stored::None, durable: Durable::No };
        assert_eq!(summary.weakest, Some(weakest));
        let line = summary.line();
        assert!(line.contains("NOT read back; what arrived was equal to two reads of the source, NOT known"), "{line}");
    }

    #[test]
    fn no_two_proofs_have_the_same_claim() {
        let mut claims = std::collections::HashSet::new();
        for origin in [Origin::FirstRead, Origin::Reread, Origin::Recorded] {
            for stored in [Stored::None, Stored::Cache, Stored::Device] {
                for durable in [Durable::No, Durable::Yes] {
                    let claim = claim(Proof { origin, stored, durable });
                    assert_eq!(claim.contains("from disk"), stored == Stored::Device);
                    assert_eq!(claim.ends_with(", durable"), durable == Durable::Yes);
                    assert!(claims.insert(claim));
                }
            }
        }
    }

    #[test]
    fn without_a_receipt_nothing_is_claimed() {
        let summary = Summary { trusted_files: 2, failed_files: 1, ..Summary::default() };
        assert_eq!(summary.line(), "0 files, nothing proved; 2 not checked (same size and time); 1 FAILED; 0.0 s");
    }

    #[test]
    fn what_was_unchanged_and_what_was_repaired_is_counted() {
        let summary = Summary {
            files: 1,
            bytes: 1,
            unchanged_files: 1,
            repaired_chunks: 3,
            weakest: Some(FULL),
            ..Summary::default()
        };
        let line = summary.line();
        assert!(line.starts_with("1 file, 1 B: "), "{line}");
        assert!(line.ends_with("durable; 1 unchanged; 3 chunks sent again; 0.0 s"), "{line}");
    }
}
