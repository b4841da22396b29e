//! One large file: answer the offer, stage its chunks as they come, read them back behind the writing, commit.
//!
//! What to do when is decided by [`FileReceiving`]; this file does it.
//! Longer than 400 lines because its parts share the state of one job, and apart would only hide that.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::basis::Basis;
use super::commit::{self, Committed, settle};
use super::copy::Copies;
use super::job::{JobError, Session};
use super::receipt::proof;
use super::stage::Arrivals;
use super::staging::{Flushed, Staging, Target};
use super::{failure_of, sync_failed};
use crate::chunk::{ChunkIndex, ChunkSize, Geometry, REQUEST_BYTES};
use crate::hash::{PieceHash, Position, Root};
use crate::protocol::entry::{DirectoryTable, FileEntry};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{
    CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNKS_MAX, HASHES_PER_MESSAGE_MAX, REWRITES_MAX, SMALL_FILE_BYTES_MAX,
};
use crate::protocol::message::{FileAnswer, FromReceiver, FromSender, Hash32, IndexedHash, Run};
use crate::protocol::receipt::{Origin, Stored};
use crate::protocol::receiving::{Action, FileReceiving};
use crate::reading::{hash_chunks, next_request};
use crate::record::Content;
use crate::seams::buffer::Parcel;
use crate::seams::disk::{DiskFile, Reading, Writing};
use crate::transit::Transit;
use crate::wire::stream::{Incoming, Outgoing};
use crate::workers;

/// Locks that the chunks of a file share, so that no two writes of one chunk run at once: a different one for each chunk of a
/// request, and for some requests.
const TURNS: usize = 64;
const _: () = assert!(TURNS >= 4 * (REQUEST_BYTES / CHUNK_BYTES_MIN) as usize);

/// What a file keeps open: its staging file for writing and for reading back, and its target.
const DESCRIPTORS: usize = 3;

/// An offered file.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) job: u64,
    pub(super) directories: DirectoryTable,
    pub(super) file: FileEntry,
    pub(super) chunk_bytes: u32,
}

/// Serves the job of one large file until its receipt, or until it fails.
pub(super) async fn serve(
    session: Arc<Session>,
    offer: Offer,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Result<(), JobError> {
    let geometry = geometry_of(&offer)?;
    session.expect_chunks_of(geometry.chunk_size());
    let path = Session::offered_path(&offer.directories, &offer.file)?;
    let _hashes = session.memory_of_hashes(geometry.count()).await;
    let _descriptors = session.descriptors(DESCRIPTORS).await;
    let prepare = {
        let session = Arc::clone(&session);
        let (directories, entry) = (offer.directories.clone(), offer.file.clone());
        move || prepare(&session, &directories, &entry, geometry)
    };
    let (target, answer) = workers::run(prepare).await?;
    let job = Arc::new(FileJob::new(Arc::clone(&session), path, offer.file.clone(), geometry, target));
    if answer == FileAnswer::Send {
        let job = Arc::clone(&job);
        workers::run(move || job.staging_file().map(drop)).await?;
    }
    let arrivals: Arc<dyn Arrivals> = Arc::clone(&job) as Arc<dyn Arrivals>;
    let _registered = session.jobs.register(offer.job, arrivals).ok_or(Failure::Protocol)?;
    outgoing.send(&FromReceiver::FileAnswer(answer)).await?;
    match answer {
        FileAnswer::Trusted => return Ok(()),
        FileAnswer::Claim => claim(&job, outgoing, incoming).await?,
        FileAnswer::Send | FileAnswer::Basis { .. } => {}
    }
    let mut basis = match answer {
        FileAnswer::Basis { .. } => Some(Basis::start(Arc::clone(&job)).await?),
        _ => None,
    };
    let mut copies = Copies::default();
    loop {
        job.act(outgoing).await?;
        if let Some(authorised) = job.agreed_commit() {
            return job.commit(authorised, &offer.directories, outgoing).await;
        }
        tokio::select! {
            () = job.wake.notified() => {}
            () = copies.next(&job) => {}
            have = next_have(&mut basis) => outgoing.send(&FromReceiver::Have(have?)).await?,
            message = incoming.receive() => {
                let message: Option<FromSender> = message?;
                session.heard.message();
                match message.ok_or(Failure::Protocol)? {
                    FromSender::CommitFile { root, origin, entry } => {
                        job.prove_target(&mut copies).await?;
                        job.shared().commit = Some(Authorised { root: Root(root), origin, entry });
                    }
                    FromSender::GiveUp(_) => return Ok(()),
                    message => job.hear(message, &mut copies).await?,
                }
            }
        }
    }
}

async fn next_have(basis: &mut Option<Basis>) -> Result<crate::protocol::message::Have, Failure> {
    if let Some(reading) = basis {
        match reading.next().await {
            Some(have) => return have,
            None => *basis = None,
        }
    }
    std::future::pending().await
}

/// Lengths and chunk sizes from the other side, checked before anything depends on them.
pub(super) fn geometry_of(offer: &Offer) -> Result<Geometry, Failure> {
    let chunk = ChunkSize::new(offer.chunk_bytes)
        .filter(|chunk| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk.bytes()))
        .ok_or(Failure::Protocol)?;
    let geometry = Geometry::new(offer.file.length_bytes, chunk);
    match geometry.count() {
        // A small file belongs into a group.
        0 | 1 => Err(Failure::Protocol),
        _ if geometry.length_bytes() <= SMALL_FILE_BYTES_MAX => Err(Failure::Protocol),
        count if count > CHUNKS_MAX => Err(Failure::TooLarge),
        _ => Ok(geometry),
    }
}

fn prepare(
    session: &Session,
    directories: &DirectoryTable,
    entry: &FileEntry,
    geometry: Geometry,
) -> Result<(Target, FileAnswer), Failure> {
    let place = session.place_of(directories, entry.directory)?;
    let target = Target::look(place, entry.name.clone())?;
    let answer = if session.begin.quick && target.looks_like(entry.length_bytes, entry.attributes) {
        FileAnswer::Trusted
    } else if target.seen.is_some() && !session.may_replace() {
        FileAnswer::Claim
    } else {
        let may_equal = target.seen.is_some_and(|seen| seen.length_bytes == geometry.length_bytes());
        let has_staging = target.has_staging();
        if has_staging || target.seen.is_some_and(|seen| seen.length_bytes > 0) {
            FileAnswer::Basis { target_may_equal: may_equal && !has_staging }
        } else {
            FileAnswer::Send
        }
    };
    Ok((target, answer))
}

/// The sender may not replace the target, but may learn that it equals what the sender announced first.
async fn claim(job: &Arc<FileJob>, outgoing: &mut Outgoing, incoming: &mut Incoming) -> Result<(), JobError> {
    let message: Option<FromSender> = incoming.receive().await?;
    let claimed = match message.ok_or(Failure::Protocol)? {
        FromSender::Claim(root) => Root(root),
        FromSender::GiveUp(failure) => return Err(failure.into()),
        _ => return Err(Failure::Protocol.into()),
    };
    let reading = Arc::clone(job);
    let hashes = workers::run(move || super::basis::hash_target(&reading)).await?;
    if Root::from_chaining_values(&hashes) != Some(claimed) {
        return Err(Failure::TargetExists.into());
    }
    job.shared().target = hashes.into_iter().map(Some).collect();
    outgoing.send(&FromReceiver::Equal).await?;
    Ok(())
}

/// State of the file between its stages.
#[derive(Debug)]
pub(super) struct FileJob {
    pub(super) session: Arc<Session>,
    /// Below the destination, as it was offered.
    path: Vec<u8>,
    entry: FileEntry,
    pub(super) geometry: Geometry,
    phase: Mutex<Phase>,
    shared: Mutex<Shared>,
    reader: OnceLock<Arc<dyn DiskFile>>,
    /// Chunks and rounds between the stages: arrived and not yet about to be written.
    transit: Transit<(u64, u32)>,
    pub(super) wake: Notify,
    turns: [Mutex<()>; TURNS],
}

/// What several threads tell the job.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: FileReceiving,
    /// Chunks accepted and not yet written, with the latest round they were accepted for.
    arriving: HashMap<u64, u32>,
    /// How often chunks got lost between the stages.
    lost: HashMap<u64, u32>,
    /// Whether anything had to be written.
    is_staging: bool,
    /// The sender's authorisation, once it is here.
    commit: Option<Authorised>,
    bad: Vec<u64>,
    failure: Option<Failure>,
    /// Hashes of what was there, by chunk, as the sender was told.
    pub(super) staged: Vec<Option<PieceHash>>,
    pub(super) target: Vec<Option<PieceHash>>,
    /// Whether those of the target came through the page cache.
    pub(super) is_target_cached: bool,
    /// Whether every read-back so far was proven to come from the device.
    pub(super) from_device: bool,
}

/// The sender's word that the file may be renamed.
#[derive(Clone, Copy, Debug)]
struct Authorised {
    root: Root,
    origin: Origin,
    entry: Hash32,
}

/// Where the staging file stands.
#[derive(Debug)]
enum Phase {
    /// Nothing had to be written yet.
    Unopened(Target),
    Writing(Staging),
    Flushed(Flushed),
    Over,
}

impl FileJob {
    fn new(session: Arc<Session>, path: Vec<u8>, entry: FileEntry, geometry: Geometry, target: Target) -> Self {
        let shared = Shared {
            state: FileReceiving::new(geometry, session.begin.stored != Stored::None),
            arriving: HashMap::new(),
            lost: HashMap::new(),
            is_staging: false,
            commit: None,
            bad: Vec::new(),
            failure: None,
            staged: Vec::new(),
            target: Vec::new(),
            is_target_cached: false,
            from_device: true,
        };
        Self {
            session,
            path,
            entry,
            geometry,
            phase: Mutex::new(Phase::Unopened(target)),
            shared: Mutex::new(shared),
            reader: OnceLock::new(),
            transit: Transit::default(),
            wake: Notify::new(),
            turns: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a chunk is written. Under it a write of a round that is over, or one made already, is recognised. Whoever
    /// writes the chunks of a request takes them in order.
    pub(super) fn turn(&self, index: u64) -> MutexGuard<'_, ()> {
        self.turns[index as usize % TURNS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the chunk lies in the file.
    pub(super) fn range(&self, index: u64) -> Result<Range<u64>, Failure> {
        self.geometry.range(ChunkIndex(index)).ok_or(Failure::Protocol)
    }

    /// The target, opened for reading; fails if it is not the one that was seen.
    pub(super) fn open_target(&self, reading: Reading) -> Result<Arc<dyn DiskFile>, Failure> {
        match &*self.phase() {
            Phase::Unopened(target) => target.open_seen(reading),
            Phase::Writing(staging) => staging.target().open_seen(reading),
            Phase::Flushed(flushed) => flushed.staging().target().open_seen(reading),
            Phase::Over => Err(Failure::Protocol),
        }
    }

    /// Whether a file has the target's name.
    pub(super) fn has_target(&self) -> bool {
        matches!(&*self.phase(), Phase::Unopened(target) if target.seen.is_some())
    }

    /// Whether the target has another length or time than the source: then it is likely to be another version of it.
    pub(super) fn looks_different(&self) -> bool {
        let (length_bytes, attributes) = (self.entry.length_bytes, self.entry.attributes);
        matches!(&*self.phase(), Phase::Unopened(target) if !target.looks_like(length_bytes, attributes))
    }

    /// Whether an earlier run left a staging file.
    pub(super) fn has_staging(&self) -> bool {
        matches!(&*self.phase(), Phase::Unopened(target) if target.has_staging())
    }

    /// The staging file, opened, locked and given its length at the first call. Blocks.
    pub(super) fn staging_file(&self) -> Result<Arc<dyn DiskFile>, Failure> {
        let mut phase = self.phase();
        *phase = match std::mem::replace(&mut *phase, Phase::Over) {
            Phase::Unopened(target) => {
                self.session.charge(&self.path, self.geometry.length_bytes())?;
                // What an earlier run left stays, whatever happens now; a file made for nothing does not.
                let has_content = target.has_staging();
                let staging = self.session.open_staging(target, Writing::PastCache)?;
                let (file, length_bytes) = (staging.file(), self.geometry.length_bytes());
                // What will be a hole needs no space.
                let is_sparse = self.session.kept.sparse;
                let sized = if is_sparse { file.set_length(length_bytes) } else { file.allocate(length_bytes) };
                if let Err(error) = sized {
                    let failure = failure_of("reserve space", &error);
                    if !has_content {
                        staging.discard();
                    }
                    return Err(failure);
                }
                self.shared().is_staging = true;
                Phase::Writing(staging)
            }
            Phase::Flushed(flushed) => Phase::Writing(flushed.write_again()),
            phase @ (Phase::Writing(_) | Phase::Over) => phase,
        };
        match &*phase {
            Phase::Writing(staging) => Ok(Arc::clone(staging.file())),
            _ => Err(Failure::Protocol),
        }
    }

    /// Reads of the staging file for reading back.
    pub(super) fn reader(&self) -> Result<Arc<dyn DiskFile>, Failure> {
        if let Some(reader) = self.reader.get() {
            return Ok(Arc::clone(reader));
        }
        let phase = self.phase();
        // Whoever else wanted it opened it meanwhile.
        if let Some(reader) = self.reader.get() {
            return Ok(Arc::clone(reader));
        }
        let reader = match &*phase {
            Phase::Writing(staging) => staging.reader(self.session.reading())?,
            Phase::Flushed(flushed) => flushed.staging().reader(self.session.reading())?,
            Phase::Unopened(_) | Phase::Over => return Err(Failure::Protocol),
        };
        Ok(Arc::clone(self.reader.get_or_init(|| reader)))
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.shared().failure.get_or_insert(failure);
        self.wake.notify_one();
    }

    /// Does what is to be done now, and tells the sender what there is to tell.
    async fn act(self: &Arc<Self>, outgoing: &mut Outgoing) -> Result<(), JobError> {
        loop {
            let (bad, failure, actions) = {
                let mut shared = self.shared();
                let actions: Vec<Action> = std::iter::from_fn(|| shared.state.next_action()).take(64).collect();
                (std::mem::take(&mut shared.bad), shared.failure, actions)
            };
            if let Some(failure) = failure {
                return Err(failure.into());
            }
            for index in bad {
                outgoing.send(&FromReceiver::Bad(index)).await?;
            }
            if actions.is_empty() {
                return Ok(());
            }
            let mut reports = Vec::new();
            let mut due = BTreeSet::new();
            let mut of_round = 0;
            for action in actions {
                match action {
                    Action::Report { index, hash, round } => {
                        of_round = round;
                        reports.push(IndexedHash::new(index, hash));
                    }
                    Action::ReadBack { index, round } => {
                        of_round = round;
                        due.insert(index);
                    }
                    Action::Sync => self.sync_data(),
                    Action::FinalSync => self.flush(),
                }
            }
            while let Some(chunks) = next_request(&mut due, self.geometry.chunk_size()) {
                self.read_back(chunks, of_round).await;
            }
            for chunks in reports.chunks(HASHES_PER_MESSAGE_MAX) {
                let chunks = chunks.to_vec();
                outgoing.send(&FromReceiver::Stored { round: of_round, chunks }).await?;
            }
        }
    }

    /// The sender's authorisation, once this side is done, too: flushed and read back, or with nothing written at all. The
    /// last chunks may have been kept, and the sender has nothing to wait for then.
    fn agreed_commit(&self) -> Option<Authorised> {
        let shared = self.shared();
        shared.commit.filter(|_| !shared.is_staging || shared.state.root_read_back().is_some())
    }

    async fn read_back(self: &Arc<Self>, chunks: Range<u64>, round: u32) {
        let job = Arc::clone(self);
        let task = move |memory: &mut _| {
            let mut read = || {
                let reader = job.reader()?;
                let hashes = hash_chunks(reader.as_ref(), job.geometry, chunks.clone(), memory);
                Ok((hashes.map_err(|error| failure_of("read back", &error))?, reader.reads_device()))
            };
            match read() {
                Ok((hashes, from_device)) => {
                    let mut shared = job.shared();
                    shared.from_device &= from_device;
                    for (index, hash) in chunks.zip(hashes) {
                        shared.state.read_back(ChunkIndex(index), round, hash);
                    }
                    drop(shared);
                    job.wake.notify_one();
                }
                Err(failure) => job.fail(failure),
            }
        };
        self.session.readers.submit(task).await;
    }

    /// Flushes the data written so far, in the background.
    fn sync_data(self: &Arc<Self>) {
        let job = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let synced = job.staging_file().and_then(|file| file.sync_data().map_err(|error| sync_failed(&error)));
            job.after_sync(synced);
        });
    }

    /// Everything is staged: exact length, attributes, flush.
    fn flush(self: &Arc<Self>) {
        let job = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let flushed = job.flush_now();
            job.after_sync(flushed);
        });
    }

    fn flush_now(&self) -> Result<(), Failure> {
        let mut phase = self.phase();
        let staging = match std::mem::replace(&mut *phase, Phase::Over) {
            Phase::Writing(staging) => staging,
            Phase::Flushed(flushed) => flushed.write_again(),
            Phase::Unopened(_) | Phase::Over => return Err(Failure::Protocol),
        };
        let (length, reading) = (self.geometry.length_bytes(), self.session.reading());
        let content = self.content();
        *phase = Phase::Flushed(staging.flush(length, self.session.wanted(&self.entry), reading, content.as_ref())?);
        Ok(())
    }

    /// What is staged, as far as the announced hashes tell: for the record. A commit compares it with what was read back.
    fn content(&self) -> Option<Content> {
        let hashes = if self.session.records { self.shared().state.announced() } else { None };
        Content::of_chunks(self.geometry, &hashes?)
    }

    fn after_sync(&self, synced: Result<(), Failure>) {
        match synced {
            Ok(()) => {
                self.shared().state.synced();
                self.wake.notify_one();
            }
            Err(failure) => self.fail(failure),
        }
    }

    async fn hear(self: &Arc<Self>, message: FromSender, copies: &mut Copies) -> Result<(), JobError> {
        match message {
            FromSender::Keep(run) => self.keep(run)?,
            FromSender::Copy(run) => copies.ask(self, indices(run)?).await?,
            FromSender::Redo { round, chunks } => {
                self.shared().state.redo(round, &chunks)?;
            }
            _ => return Err(Failure::Protocol.into()),
        }
        Ok(())
    }

    fn keep(&self, run: Run) -> Result<(), Failure> {
        let mut shared = self.shared();
        for index in indices(run)? {
            let hash = shared.staged.get(index as usize).copied().flatten().ok_or(Failure::Protocol)?;
            shared.state.kept(ChunkIndex(index), hash);
        }
        Ok(())
    }

    /// A target that was read through the cache, since it looked different, and is equal all the same: now past the cache.
    /// Where the disk holds something else than the cache does, all of it is staged anew.
    async fn prove_target(self: &Arc<Self>, copies: &mut Copies) -> Result<(), Failure> {
        let is_due = {
            let shared = self.shared();
            shared.is_target_cached && !shared.is_staging
        };
        if !is_due {
            return Ok(());
        }
        let job = Arc::clone(self);
        let hashes = workers::run(move || super::basis::hash_target(&job)).await?;
        let is_equal = self.shared().target.iter().copied().eq(hashes.into_iter().map(Some));
        if is_equal { Ok(()) } else { copies.ask(self, 0..self.geometry.count()).await }
    }

    /// The sender compared everything and authorises this root.
    async fn commit(
        self: Arc<Self>,
        Authorised { root, origin, entry }: Authorised,
        directories: &DirectoryTable,
        outgoing: &mut Outgoing,
    ) -> Result<(), JobError> {
        let misreads = self.shared().state.misreads();
        if misreads > 0 {
            tracing::warn!("{misreads} chunks were read back wrong once, and right the second time");
        }
        let path = match self.session.agreed_path(directories, &self.entry, entry) {
            Ok(path) => path,
            Err(failure) => {
                let job = Arc::clone(&self);
                workers::run(move || job.discard()).await;
                return Err(failure.into());
            }
        };
        let job = Arc::clone(&self);
        let (committed, signed) = workers::run(move || {
            let committed = job.commit_now(root)?;
            job.session.settle(&job.path);
            let signed = job.session.signer.sign([(path, job.entry.attributes, committed, origin)])?;
            Ok::<_, Failure>((committed, signed))
        })
        .await?;
        outgoing
            .send(&FromReceiver::FileReceipt { proof: proof(committed, origin), signed, unset: committed.unset() })
            .await?;
        Ok(())
    }

    /// Nobody meant a file of this name: there is nothing to come back for.
    fn discard(&self) {
        match std::mem::replace(&mut *self.phase(), Phase::Over) {
            Phase::Writing(staging) => staging.discard(),
            Phase::Flushed(flushed) => flushed.write_again().discard(),
            Phase::Unopened(_) | Phase::Over => {}
        }
    }

    fn commit_now(&self, root: Root) -> Result<Committed, Failure> {
        let from_device = self.shared().from_device;
        let stored = match self.session.begin.stored {
            Stored::Device if from_device => Stored::Device,
            Stored::None => Stored::None,
            _ => Stored::Cache,
        };
        match std::mem::replace(&mut *self.phase(), Phase::Over) {
            Phase::Flushed(flushed) => {
                let read_back = self.shared().state.root_read_back().ok_or(Failure::Protocol)?;
                let renamed = flushed.read_back(read_back, stored).rename(root);
                // What is staged stays: a later run may find it right.
                let renamed = renamed.map_err(|not_renamed| not_renamed.failure)?;
                settle(vec![renamed]).pop().unwrap_or(Err(Failure::NotDurable))
            }
            Phase::Unopened(target) => {
                let hashes: Option<Vec<_>> = self.shared().target.iter().copied().collect();
                let content = hashes.and_then(|hashes| Content::of_chunks(self.geometry, &hashes));
                let Some(content) = content.filter(|content| content.root == root) else {
                    return Err(Failure::Protocol);
                };
                let file = target.open_seen(Reading::Cached)?;
                // A target is always read past the cache where that can be done, whatever was asked for.
                let stored = if from_device { Stored::Device } else { Stored::Cache };
                let (wanted, records) = (self.session.wanted(&self.entry), self.session.records);
                commit::confirm(&target, file, wanted, &content, records, stored)
            }
            Phase::Writing(_) | Phase::Over => Err(Failure::Protocol),
        }
    }
}

/// The chunk numbers of a run from the other side; every one is checked where it is used.
fn indices(run: Run) -> Result<Range<u64>, Failure> {
    let end = run.first.checked_add(run.count).filter(|&end| end <= CHUNKS_MAX).ok_or(Failure::Protocol)?;
    Ok(run.first..end)
}

impl Arrivals for FileJob {
    fn position(&self, index: u64) -> Option<Position> {
        let range = self.geometry.range(ChunkIndex(index))?;
        Some(Position::Chunk { offset_bytes: range.start })
    }

    fn accept(&self, index: u64, round: u32) -> Option<usize> {
        let range = self.geometry.range(ChunkIndex(index))?;
        let mut shared = self.shared();
        // A chunk that comes again may overtake both the word about its round and its own first arrival.
        let is_new = shared.arriving.get(&index).is_none_or(|&arriving| round > arriving);
        let is_wanted = is_new && shared.state.wants(ChunkIndex(index), round);
        if is_wanted {
            shared.arriving.insert(index, round);
        }
        is_wanted.then(|| usize::try_from(range.end - range.start).expect("chunks fit into memory"))
    }

    fn arrived(&self, index: u64, round: u32) {
        self.transit.enter((index, round));
    }

    fn arrived_bad(&self, index: u64, round: u32) {
        self.transit.leave((index, round));
        let mut shared = self.shared();
        if shared.arriving.get(&index) == Some(&round) {
            shared.arriving.remove(&index);
        }
        shared.bad.push(index);
        drop(shared);
        self.wake.notify_one();
    }

    fn stage(&self, parcel: Parcel) {
        for piece in parcel.pieces {
            self.transit.leave((piece.index, parcel.round));
            let _turn = self.turn(piece.index);
            if !self.shared().state.wants(ChunkIndex(piece.index), parcel.round) {
                continue;
            }
            let write = || {
                let range = self.range(piece.index)?;
                if range.end - range.start != piece.bytes.len() as u64 {
                    return Err(Failure::Protocol);
                }
                let file = self.staging_file()?;
                let (file, session) = (file.as_ref(), &self.session);
                session.write(file, &piece.bytes, range.start).map_err(|error| failure_of("write", &error))
            };
            match (write(), piece.hash) {
                (Ok(()), Some(hash)) => {
                    let mut shared = self.shared();
                    if shared.arriving.get(&piece.index) == Some(&parcel.round) {
                        shared.arriving.remove(&piece.index);
                    }
                    shared.state.staged(ChunkIndex(piece.index), parcel.round, hash);
                }
                (Err(failure), _) => self.fail(failure),
                (Ok(()), None) => self.fail(Failure::Protocol),
            }
        }
        self.wake.notify_one();
    }

    fn look(&self, is_idle: bool) {
        for (index, round) in self.transit.look(is_idle) {
            let mut shared = self.shared();
            if shared.arriving.get(&index) != Some(&round) {
                continue;
            }
            let times = shared.lost.entry(index).or_default();
            *times += 1;
            let is_hopeless = *times > REWRITES_MAX;
            drop(shared);
            if is_hopeless {
                self.fail(Failure::ArrivedMismatch);
            } else {
                self.arrived_bad(index, round);
            }
        }
    }
}
