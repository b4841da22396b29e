//! What the jobs of one connection share, and what ends one that does not end well.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::asked::Asked;
use super::directories::{Directories, Held};
use super::holes::write_with_holes;
use super::labels::{Rules, Wanted};
use super::quota::Quota;
use super::receipt::Signer;
use super::stage::Arrivals;
use super::staging::{Staging, Target};
use super::sync_point::SyncPoints;
use crate::chunk::ChunkSize;
use crate::hash::{PieceHash, Root};
use crate::jobs::Jobs;
use crate::protocol::entry::{DirectoryTable, FileEntry, Name};
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::limits::{
    CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MIN, CHUNK_STREAMS_MAX, JOBS_AT_ONCE_MAX, PATH_BYTES_MAX, SMALL_CHUNK_STREAMS_MAX,
};
use crate::protocol::message::{Begin, Hash32, Prune};
use crate::protocol::receipt::Stored;
use crate::protocol::selection::Selection;
use crate::protocol::terms::Terms;
use crate::record::Content;
use crate::seams::buffer::{Parcel, Pool};
use crate::seams::disk::{DiskFile, Reading, Writing, write_all};
use crate::wire::WireError;
use crate::wire::connection::Connection;
use crate::wire::watch::Heard;
use crate::workers::{Stage, Workers};

/// Numbers of group jobs begin here: the sender numbers its large files from 0.
pub(super) const GROUP_NUMBERS: u64 = 1 << 63;

/// Memory of groups is counted in units of so many bytes.
pub(super) const MEMORY_UNIT_BYTES: usize = 1 << 10;

/// What ends a job.
#[derive(Debug)]
pub(super) enum JobError {
    /// For a reason that the sender is told.
    Failed(Failure),
    /// The stream cannot be used any more.
    Wire(WireError),
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<WireError> for JobError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// What all jobs of one connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) begin: Begin,
    pub(super) terms: Terms,
    /// Names that may stand directly below the destination, where the person here asked for them by name.
    pub(super) asked_names: Option<HashSet<Name>>,
    /// What the person here asked for.
    pub(super) asked: Option<Asked>,
    pub(super) directories: Directories,
    pub(super) jobs: Jobs<dyn Arrivals>,
    /// Queue of pieces out of QUIC.
    pub(super) arrived: mpsc::Sender<Parcel>,
    /// What they come to last.
    pub(super) staging: Stage,
    /// They read back what was written.
    pub(super) readers: Workers,
    /// They copy from targets.
    pub(super) copiers: Workers,
    /// Where groups are flushed.
    pub(super) sync_points: SyncPoints,
    pub(super) signer: Signer,
    pub(super) heard: Heard,
    /// How modes, owners and labels are set.
    pub(super) rules: Rules,
    pub(super) replace: bool,
    /// Whether a record is stored with each copy.
    pub(super) records: bool,
    /// What is carried beside content, mode and time.
    pub(super) kept: Keep,
    /// What is guarded where something may be removed; nothing where nothing may.
    pub(super) guards: Option<Arc<Selection>>,
    pub(super) pool: Pool,
    pub(super) quota: Option<Arc<Quota>>,
    /// Chunk streams that may be open at once, of chunks of the usual size.
    pub(super) chunk_streams: u32,
    /// Memory of groups under way, in units of [`MEMORY_UNIT_BYTES`].
    pub(super) groups_memory: Arc<Semaphore>,
    pub(super) groups_memory_bytes: usize,
    /// Hashes of large files under way.
    pub(super) hashes: Arc<Semaphore>,
    pub(super) hashes_max: usize,
    pub(super) descriptors: Arc<Semaphore>,
    pub(super) descriptors_max: usize,
    pub(super) groups: AtomicU64,
}

impl Session {
    /// The target's staging file, for as long as this connection is the one that wants it. Blocks as [`Staging::open`] does.
    pub(super) fn open_staging(&self, target: Target, writing: Writing) -> Result<Staging, Failure> {
        Staging::open(target, writing, &self.rules, || !self.connection.is_closed())
    }

    /// Small chunks may come on more streams at once, so that no fewer bytes are under way.
    pub(super) fn expect_chunks_of(&self, size: ChunkSize) {
        if size.bytes() < CHUNK_BYTES_DEFAULT {
            let streams = SMALL_CHUNK_STREAMS_MAX / CHUNK_STREAMS_MAX * self.chunk_streams;
            let streams = streams / (size.bytes() / CHUNK_BYTES_MIN);
            self.connection.allow_streams(JOBS_AT_ONCE_MAX + 1, streams.max(self.chunk_streams));
        }
    }

    /// Whether everything in an offer lies beneath what was asked for, where that was said by name.
    pub(super) fn was_asked_for<'a>(
        &self,
        table: &DirectoryTable,
        entries: impl Iterator<Item = (Option<u32>, &'a Name)>,
    ) -> Result<(), Failure> {
        let entries = entries.filter(|(directory, _)| directory.is_none()).map(|(_, name)| name);
        let names: Vec<&Name> = tops(table).chain(entries).collect();
        self.lies_beneath(names.iter().copied())?;
        if let Some(asked) = &self.asked {
            asked.answered.offered(names.into_iter());
        }
        Ok(())
    }

    fn lies_beneath<'a>(&self, mut names: impl Iterator<Item = &'a Name>) -> Result<(), Failure> {
        match &self.asked_names {
            Some(asked) if !names.all(|name| asked.contains(name)) => Err(Failure::NotAskedFor),
            _ => Ok(()),
        }
    }

    /// Whether these directories may be gone through for what has no source, where the person here asked for that.
    pub(super) fn may_prune(&self, prune: &Prune) -> Result<(), Failure> {
        self.lies_beneath(tops(&prune.directories))?;
        let Some(asked) = &self.asked else { return Ok(()) };
        let may = prune.kept.iter().all(|kept| asked.may_prune(kept.directory, self.asked_names.as_ref()));
        if may { Ok(()) } else { Err(Failure::NotAskedFor) }
    }

    /// Whether this sender may replace targets.
    pub(super) fn may_replace(&self) -> bool {
        self.replace && !self.begin.no_replace
    }

    /// What is to be recorded of a small file.
    pub(super) fn content(&self, length_bytes: u64, announced: PieceHash) -> Option<Content> {
        self.records.then(|| Content::whole(length_bytes, Root(announced.0)))
    }

    /// Lets every job look whether pieces got lost between the stages.
    pub(super) fn look(&self) {
        let is_idle = self.staging.is_idle();
        self.jobs.all().iter().for_each(|job| job.look(is_idle));
    }

    /// What the file of this entry is to have in the end.
    pub(super) fn wanted<'a>(&'a self, entry: &'a FileEntry) -> Wanted<'a> {
        Wanted { attributes: entry.attributes, labels: entry.labels.as_ref(), rules: &self.rules, sets_mode: true }
    }

    /// Writes all bytes at the offset, the beginning of a chunk, with holes where that was asked for.
    pub(super) fn write(&self, file: &dyn DiskFile, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
        let write = if self.kept.sparse { write_with_holes } else { write_all };
        write(file, bytes, offset_bytes)
    }

    /// How the stored copy is to be read back.
    pub(super) fn reading(&self) -> Reading {
        if self.begin.stored == Stored::Device { Reading::PastCache } else { Reading::Cached }
    }

    /// The number of a new group.
    pub(super) fn next_group(&self) -> u64 {
        GROUP_NUMBERS + self.groups.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until this many files may be opened for staging.
    pub(super) async fn descriptors(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        let count = u32::try_from(count.min(self.descriptors_max)).expect("groups are small");
        Arc::clone(&self.descriptors).acquire_many_owned(count).await.ok()
    }

    /// Waits until there is memory for what is to come of a group. To be asked before the sender is told to send it: bytes that
    /// nobody reads would fill the window of the connection, and what others wait for would never arrive.
    pub(super) async fn memory_of_group(&self, bytes: u64) -> Option<GroupMemory> {
        let units = units(bytes).min((self.groups_memory_bytes / MEMORY_UNIT_BYTES) as u32);
        Arc::clone(&self.groups_memory).acquire_many_owned(units).await.ok().map(GroupMemory)
    }

    /// Waits until there is memory for the hashes of so many chunks; a file that has more than ever fit goes alone.
    pub(super) async fn memory_of_hashes(&self, chunks: u64) -> Option<OwnedSemaphorePermit> {
        let chunks = usize::try_from(chunks).unwrap_or(usize::MAX).min(self.hashes_max);
        let chunks = u32::try_from(chunks).expect("files have at most CHUNKS_MAX chunks");
        Arc::clone(&self.hashes).acquire_many_owned(chunks).await.ok()
    }

    /// Charges a file before space is taken for it. The destination is part of its name: the same transfer may come back
    /// with another.
    pub(super) fn charge(&self, path: &[u8], bytes: u64) -> Result<(), Failure> {
        match &self.quota {
            Some(quota) => quota.charge([&self.begin.destination[..], b"\0", path].concat(), bytes),
            None => Ok(()),
        }
    }

    /// A file that was charged is committed.
    pub(super) fn settle(&self, path: &[u8]) {
        if let Some(quota) = &self.quota {
            quota.settle(&[&self.begin.destination[..], b"\0", path].concat());
        }
    }

    /// The directory of an entry, opened or made with all above it. Blocks.
    pub(super) fn place_of(&self, table: &DirectoryTable, directory: Option<u32>) -> Result<Arc<Held>, Failure> {
        let Some(directory) = directory else { return Ok(Arc::clone(self.directories.root())) };
        let mut resolved = self.directories.resolve(table, self.rules.umask());
        if directory as usize >= resolved.len() {
            return Err(Failure::Protocol);
        }
        resolved.swap_remove(directory as usize)
    }

    /// The path of an entry below the destination, as receipts name it, if the entry as it was offered is what the sender
    /// means to have sent: to be asked before it gets a final name.
    pub(super) fn agreed_path(
        &self,
        table: &DirectoryTable,
        entry: &FileEntry,
        meant: Hash32,
    ) -> Result<Vec<u8>, Failure> {
        let path = Self::offered_path(table, entry)?;
        let told = self.terms.entry(&path, entry.length_bytes, entry.attributes, entry.labels.as_ref());
        if told == meant { Ok(path) } else { Err(Failure::Garbled) }
    }

    /// The path of an entry below the destination as it was offered: good for accounts, and for nothing that is signed.
    pub(super) fn offered_path(table: &DirectoryTable, entry: &FileEntry) -> Result<Vec<u8>, Failure> {
        let path = table.path_of(entry.directory, &entry.name).ok_or(Failure::Protocol)?;
        if path.len() > PATH_BYTES_MAX { Err(Failure::PathTooLong) } else { Ok(path) }
    }
}

/// Memory for what is to come of a group.
#[derive(Debug)]
pub(super) struct GroupMemory(OwnedSemaphorePermit);

impl GroupMemory {
    pub(super) fn bytes(&self) -> u64 {
        (self.0.num_permits() * MEMORY_UNIT_BYTES) as u64
    }

    /// Gives back what is more than so many bytes.
    pub(super) fn keep(&mut self, bytes: u64) {
        let more = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(more));
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES as u64)).unwrap_or(u32::MAX)
}

/// The names of a table that stand directly below the destination.
fn tops(table: &DirectoryTable) -> impl Iterator<Item = &Name> {
    table.entries().iter().filter(|entry| entry.parent.is_none()).map(|entry| &entry.name)
}
