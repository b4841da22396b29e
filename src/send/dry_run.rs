//! A dry run at the sender: offers everything as in a true run, and tells what the receiver says would become of it.
//!
//! **No byte of content is sent and no source removed.** What can only be said after a comparison is not believed without one.

use std::sync::Arc;

use super::Problem;
use super::file::{self, Offered};
use super::job::{JobError, Session};
use super::source::check_unchanged;
use super::walk::{FileWork, SourceFile};
use crate::aloud::Aloud;
use crate::hash::Root;
use crate::outcome::Foreseen;
use crate::protocol::dry_run::{Would, words_while_reading};
use crate::protocol::failure::Failure;
use crate::protocol::message::{FromReceiver, FromSender};
use crate::wire::WireError;
use crate::wire::stream::Incoming;
use crate::workers;

/// What the receiver has compared before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The content, whose hash it was told.
    Content,
    /// Name, length and time.
    Attributes,
}

/// The answers to an offer of so many entries.
pub(super) async fn hear(session: &Session, incoming: &mut Incoming, entries: usize) -> Result<Vec<Would>, JobError> {
    match session.hear(incoming).await? {
        FromReceiver::Would(answers) if answers.len() == entries => Ok(answers),
        FromReceiver::Refused(failure) => Err(failure.into()),
        _ => Err(Failure::Protocol.into()),
    }
}

/// Tells what would become of one entry, by its path below the destination and by that of its source; fails with why it
/// would not go through.
pub(super) fn tell(
    session: &Session,
    would: Would,
    compared: Compared,
    (path, shown, length_bytes): (&[u8], &[u8], u64),
) -> Result<(), Failure> {
    let what = match would {
        Would::New => Foreseen::New,
        Would::Replaced => Foreseen::Replaced,
        Would::Unchanged if compared == Compared::Content => Foreseen::Unchanged,
        Would::Trusted if session.plan.quick => {
            session.observer.trusted(shown);
            return Ok(());
        }
        Would::Refused(failure) => return Err(failure),
        Would::Unchanged | Would::Trusted | Would::Claim => return Err(Failure::Protocol),
    };
    session.observer.foreseen(what, path, length_bytes);
    Ok(())
}

/// Tells of a source that would be removed, where that is asked for. One with several names goes with all of them.
pub(super) fn tell_removed(session: &Session, source: &SourceFile, length_bytes: u64) {
    if source.shared.is_none() {
        tell_names_removed(session, [source.shown()], length_bytes);
    }
}

/// The same for all names of a file.
pub(super) fn tell_names_removed(session: &Session, shown: impl IntoIterator<Item = Vec<u8>>, length_bytes: u64) {
    let is_less_kept = !session.plan.keep.words_beyond(session.kept).is_empty();
    if session.plan.move_sources && !is_less_kept {
        for shown in shown {
            session.observer.foreseen(Foreseen::SourceRemoved, &shown, length_bytes);
        }
    }
}

/// One large file.
pub(super) async fn large_file(session: &Arc<Session>, work: &FileWork) -> Result<(), JobError> {
    let mut offered = file::offer(session, work).await?;
    let length_bytes = offered.geometry.length_bytes();
    let (would, compared) = match hear(session, &mut offered.incoming, 1).await?[..] {
        [Would::Claim] => match claim(session, work, &mut offered).await {
            // A receiver that refused the file does not listen any more.
            Err(JobError::Wire(WireError::Unwanted)) => return Err(session.why_unwanted(&mut offered.incoming).await),
            claimed => (claimed?, Compared::Content),
        },
        [would] => (would, Compared::Attributes),
        _ => return Err(Failure::Protocol.into()),
    };
    tell(session, would, compared, (&offered.path, &work.file.shown(), length_bytes))?;
    work.file.is_foreseen(offered.open.before, would);
    session.counters.bytes_done(length_bytes);
    if would != Would::Trusted {
        tell_removed(session, &work.file, length_bytes);
    }
    Ok(())
}

/// Has the target compared with the source: reads that and says what it is.
async fn claim(session: &Arc<Session>, work: &FileWork, offered: &mut Offered<'_>) -> Result<Would, JobError> {
    let root = match root_of(work, offered).await {
        Ok(root) => root,
        Err(JobError::Problem(problem)) => {
            offered.outgoing.send(&FromSender::GiveUp(problem.failure)).await?;
            return Err(problem.into());
        }
        Err(error) => return Err(error),
    };
    let length_bytes = offered.geometry.length_bytes();
    session.counters.checked_bytes(length_bytes);
    offered.outgoing.send(&FromSender::Claim(root.0)).await?;
    hear_verdict(session, &mut offered.incoming, length_bytes).await
}

/// The root of a source, by one read. The receiver hears that this side reads.
async fn root_of(work: &FileWork, offered: &mut Offered<'_>) -> Result<Root, JobError> {
    let mut hashing = Aloud::start(Arc::clone(&offered.open.file), offered.geometry);
    while hashing.word().await.is_some() {
        offered.outgoing.send(&FromSender::Working).await?;
    }
    let root = hashing.root().await.map_err(|error| Problem::reading(&error))?;
    let (source, before) = (work.file.clone(), offered.open.before);
    workers::run(move || check_unchanged(&source, &before)).await?;
    match &offered.record {
        Some(record) if record.content.root != root => Err(Failure::SourceCorrupt.into()),
        _ => Ok(root),
    }
}

/// The answer to a claim, after as many words as the reading of the target may take.
async fn hear_verdict(session: &Session, incoming: &mut Incoming, length_bytes: u64) -> Result<Would, JobError> {
    for _ in 0..=words_while_reading(length_bytes) {
        match session.hear(incoming).await? {
            FromReceiver::Working => {}
            FromReceiver::Would(answers) => match answers[..] {
                [would] => return Ok(would),
                _ => break,
            },
            FromReceiver::Refused(failure) => return Err(failure.into()),
            _ => break,
        }
    }
    Err(Failure::Protocol.into())
}
