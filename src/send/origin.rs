//! The origin by record: what is known of a source from before the transfer, and what is done where that does not fit.
//!
//! A record that fits the file's length and time stands for the second read. One that does not is told of once a
//! connection, and nothing is concluded from it. **Records of the source are read here and never written.**

use std::sync::atomic::{AtomicBool, Ordering};

use super::Problem;
use super::job::Session;
use super::walk::SourceFile;
use crate::chunk::Geometry;
use crate::protocol::failure::Failure;
use crate::protocol::message::FileAnswer;
use crate::protocol::sending::{FileSending, Recorded};
use crate::record::{self, Found, Record};
use crate::seams::disk::{DiskFile, Metadata};

/// What a record of a source is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Nothing: every source is read as if it had none.
    Ignored,
    /// It replaces the second read, where there is one that fits.
    Used,
    /// A file without one that fits is not transferred.
    Demanded,
}

/// What was told of already.
#[derive(Debug, Default)]
pub(super) struct Told {
    stale: AtomicBool,
    damaged: AtomicBool,
}

impl Session {
    /// The record of an open source, if it is to be used and fits. Blocks.
    pub(super) fn record_of(
        &self,
        source: &SourceFile,
        file: &dyn DiskFile,
        now: &Metadata,
    ) -> Result<Option<Record>, Problem> {
        if self.plan.records == Records::Ignored {
            return Ok(None);
        }
        let (failure, once, words) = match record::find(file, now) {
            Found::Fits(record) => return Ok(Some(record)),
            Found::Nothing if self.plan.records == Records::Demanded => return Err(Failure::NotRecorded.into()),
            Found::Nothing => return Ok(None),
            Found::Stale(_) => (Failure::RecordStale, &self.told.stale, "was changed since its record was made"),
            Found::Damaged => (Failure::RecordDamaged, &self.told.damaged, "has a damaged record"),
        };
        if self.plan.records == Records::Demanded {
            return Err(failure.into());
        }
        if !once.swap(true, Ordering::Relaxed) {
            let words = format!("{words}: it is read as a file without one (further such files are not told of)");
            self.observer.notice_about(&source.shown(), &words);
        }
        Ok(None)
    }
}

/// The decisions about a large file, by its record where it has one.
pub(super) fn sending(
    geometry: Geometry,
    second_read: bool,
    answer: FileAnswer,
    record: Option<&Record>,
) -> FileSending {
    let sending = FileSending::new(geometry, second_read, answer);
    let Some(Record { content, .. }) = record else { return sending };
    sending.against(match &content.subtrees {
        Some(subtrees) => Recorded::parts(geometry, content.root, subtrees.bytes, &subtrees.values),
        None => Recorded::whole(geometry, content.root),
    })
}
