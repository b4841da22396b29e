//! Reading whole small files, the first time and the second, and having them hashed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Problem;
use super::job::Session;
use super::source::{OpenSource, Uploads, open_past_cache, origin_word};
use super::walk::SourceFile;
use crate::hash::{Position, Root};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{GROUP_BYTES_MAX, SMALL_FILE_BYTES_MAX};
use crate::protocol::receipt::Origin;
use crate::reading::{hash_small, read_range};
use crate::seams::buffer::{Parcel, Piece, PieceBuffer};
use crate::seams::disk::{DiskFile, Metadata};
use crate::transit::Transit;

/// Position of a file and what its first read found; with the root of its record, if that fits.
pub(super) type Outcome = (usize, Result<(Metadata, Option<Root>), Problem>);
/// Position of a file and what its second read found.
pub(super) type SecondRead = (usize, Result<(Root, Origin), Problem>);

/// Reads whole files; what cannot be read is told and left out.
pub(super) fn read_files(
    session: &Session,
    wanted: &[(usize, SourceFile, Option<Metadata>)],
    past_cache: bool,
) -> (Vec<Piece>, Vec<Outcome>) {
    let mut pieces = Vec::with_capacity(wanted.len());
    let mut outcomes = Vec::with_capacity(wanted.len());
    let mut room = GROUP_BYTES_MAX + SMALL_FILE_BYTES_MAX;
    for (position, source, before) in wanted {
        let read = read_file(session, source, before.as_ref(), past_cache, room).map(|(bytes, found)| {
            room -= bytes.len() as u64;
            pieces.push(Piece { index: *position as u64, hash: None, bytes });
            found
        });
        outcomes.push((*position, read));
    }
    (pieces, outcomes)
}

fn read_file(
    session: &Session,
    source: &SourceFile,
    before: Option<&Metadata>,
    past_cache: bool,
    room: u64,
) -> Result<(PieceBuffer, (Metadata, Option<Root>)), Problem> {
    let (file, now): (Arc<dyn DiskFile>, Metadata) = match (past_cache, before) {
        (true, Some(before)) => (open_past_cache(source, before)?, *before),
        _ => {
            let open = OpenSource::open(source)?;
            (open.file, open.before)
        }
    };
    // It was small when it was listed, and what was offered cannot change any more.
    let fits = now.length_bytes <= SMALL_FILE_BYTES_MAX.min(room);
    if !fits || before.is_some_and(|before| !before.unchanged(&now)) {
        return Err(Failure::SourceChanged.into());
    }
    let record = session.record_of(source, file.as_ref(), &now)?.map(|record| record.content.root);
    let length = usize::try_from(now.length_bytes).expect("small files fit into memory");
    let mut bytes = PieceBuffer::unpooled(length);
    read_range(file.as_ref(), 0..now.length_bytes, &mut bytes).map_err(|error| Problem::reading(&error))?;
    if bytes.len() == length { Ok((bytes, (now, record))) } else { Err(Failure::SourceChanged.into()) }
}

/// Reads and hashes a small file past the cache. The file must be what it was before the first read, and stay so.
pub(super) fn second_read(
    source: &SourceFile,
    before: &Metadata,
    memory: &mut PieceBuffer,
) -> Result<(Root, Origin), Problem> {
    let file = open_past_cache(source, before)?;
    let root = hash_small(file.as_ref(), before.length_bytes, memory).map_err(|error| Problem::reading(&error))?;
    let after = file.metadata().map_err(|error| Problem::reading(&error))?;
    if !after.unchanged(before) {
        return Err(Failure::SourceChanged.into());
    }
    Ok((root, origin_word(Some(file.as_ref()))))
}

/// Waits for the pieces of one reading to come out of the hash stage.
#[derive(Debug)]
pub(super) struct Hashing {
    pub(super) files: u64,
    pub(super) hashed: Mutex<Option<oneshot::Sender<Vec<Piece>>>>,
    /// Their parcel.
    pub(super) transit: Transit<()>,
}

impl Hashing {
    fn done(&self, pieces: Vec<Piece>) {
        let sender = self.hashed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender
            && sender.send(pieces).is_err()
        {
            tracing::debug!("a group was hashed after its end");
        }
    }
}

impl Uploads for Hashing {
    fn position(&self, index: u64) -> Option<Position> {
        (index < self.files).then_some(Position::WholeFile)
    }

    fn hashed(&self, parcel: Parcel) {
        self.transit.leave(());
        self.done(parcel.pieces);
    }

    fn look(&self, is_idle: bool) {
        if !self.transit.look(is_idle).is_empty() {
            // Files without their bytes are read again.
            self.done(Vec::new());
        }
    }
}
