//! One large file: offer it, read, hash and send what the receiver lacks, compare everything, authorise the commit.
//!
//! What to do when is decided by [`FileSending`]; this file does it.
//! Longer than 400 lines because its parts share the state of one job, and apart would only hide that.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, SemaphorePermit};
use tokio::task::JoinSet;

use super::Problem;
use super::dry_run;
use super::job::{JobError, Session};
use super::moving::{self, Receipted};
use super::origin;
use super::receipt::{self, Sent};
use super::source::{OpenSource, Uploads, check_unchanged, open_past_cache, origin_word};
use super::walk::{FileWork, SourceFile, attributes_of};
use crate::chunk::{ChunkIndex, ChunkSize, Geometry};
use crate::hash::{Position, Root};
use crate::protocol::entry::FileEntry;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{CHUNK_BYTES_MAX, CHUNKS_MAX, SMALL_FILE_BYTES_MAX};
use crate::protocol::message::{ChunkHeader, FileAnswer, FromReceiver, FromSender, Hash32, Have, Run};
use crate::protocol::receipt::{Origin, ReceiptKind};
use crate::protocol::sending::{Action, FileSending, Repairs};
use crate::reading::{hash_chunks, next_request, read_range};
use crate::record::Record;
use crate::seams::buffer::{Parcel, Piece};
use crate::seams::disk::DiskFile;
use crate::transit::Transit;
use crate::wire::WireError;
use crate::wire::stream::{Incoming, Outgoing};
use crate::workers;

/// Sends one large file. Fails only if the connection does; what is wrong with the file is told to the observer.
pub(super) async fn send(session: &Arc<Session>, work: &FileWork) -> Result<(), WireError> {
    let attempted =
        if session.plan.dry_run { dry_run::large_file(session, work).await } else { attempt(session, work).await };
    match attempted {
        Ok(()) => {
            session.counters.files_done(1);
            Ok(())
        }
        Err(JobError::Problem(problem)) => {
            session.failed(&work.file.shown(), &problem);
            Ok(())
        }
        Err(JobError::Wire(error)) => Err(error),
    }
}

/// A file that was offered, and whose answer is still to be heard.
pub(super) struct Offered<'a> {
    _room: SemaphorePermit<'a>,
    pub(super) open: OpenSource,
    pub(super) record: Option<Record>,
    pub(super) geometry: Geometry,
    /// Below the destination.
    pub(super) path: Vec<u8>,
    entry: FileEntry,
    number: u64,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
}

/// Opens the file, once there is room for it, and offers it.
pub(super) async fn offer<'a>(session: &'a Arc<Session>, work: &FileWork) -> Result<Offered<'a>, JobError> {
    let mut room = session.room.for_file(work.file.listed.length_bytes).await;
    let (open, record) = open(session, &work.file).await?;
    if open.before.length_bytes > work.file.listed.length_bytes {
        // It has grown. Nobody waits for more room while keeping some: all might.
        drop(room);
        room = session.room.for_file(open.before.length_bytes).await;
    }
    let geometry = geometry_of(open.before.length_bytes, session.plan.chunk_bytes)?;
    let entry = FileEntry {
        directory: work.file.place,
        name: session.target_name(&work.file.name),
        length_bytes: geometry.length_bytes(),
        attributes: attributes_of(&open.before, session.plan.keep),
        labels: work.file.labels.as_deref().cloned(),
    };
    let path = work.directories.path_of(entry.directory, &entry.name).ok_or(Failure::Protocol)?;
    let number = session.next_number();
    let (mut outgoing, incoming) = session.connection.open_job().await?;
    let offer = FromSender::OfferFile {
        job: number,
        directories: work.directories.clone(),
        file: entry.clone(),
        chunk_bytes: geometry.chunk_size().bytes(),
        meant: session.terms.file(number, &work.directories, &entry, geometry.chunk_size().bytes()),
    };
    outgoing.send(&offer).await?;
    Ok(Offered { _room: room, open, record, geometry, path, entry, number, outgoing, incoming })
}

async fn attempt(session: &Arc<Session>, work: &FileWork) -> Result<(), JobError> {
    let Offered { _room, open, record, geometry, path, entry, number, mut outgoing, mut incoming } =
        offer(session, work).await?;
    let answer = match session.hear(&mut incoming).await? {
        FromReceiver::FileAnswer(FileAnswer::Trusted) if session.plan.quick => {
            session.observer.trusted(&work.file.shown());
            work.file.is_trusted(open.before);
            return Ok(());
        }
        // To trust its target by length and time is for the receiver only where that was asked for.
        FromReceiver::FileAnswer(FileAnswer::Trusted) => return Err(Failure::Protocol.into()),
        FromReceiver::FileAnswer(answer) => answer,
        FromReceiver::Refused(failure) => return Err(failure.into()),
        _ => return Err(Failure::Protocol.into()),
    };
    let state = origin::sending(geometry, session.plan.second_read, answer, record.as_ref());
    let job = Arc::new(FileJob {
        session: Arc::clone(session),
        number,
        is_recorded: record.is_some(),
        source: work.file.clone(),
        open,
        meant: session.terms.entry(&path, entry.length_bytes, entry.attributes, entry.labels.as_ref()),
        geometry,
        past_cache: OnceLock::new(),
        opening: Mutex::default(),
        hashing: Transit::default(),
        shared: Mutex::new(Shared {
            state,
            pieces: HashMap::new(),
            origins_due: BTreeSet::new(),
            counted: Repairs::default(),
            problem: None,
        }),
        wake: Notify::new(),
    });
    let uploads: Arc<dyn Uploads> = Arc::clone(&job) as Arc<dyn Uploads>;
    let _registered = session.jobs.register(number, uploads).ok_or(Failure::Protocol)?;
    let committed = job.run(&mut outgoing, &mut incoming).await;
    session.proved(job.shared().state.most_settled());
    job.count_repairs();
    match committed {
        Ok((root, origin)) => job.receive_receipt(path, root, origin, &mut incoming).await,
        Err(JobError::Problem(problem)) => {
            // A receiver that refused the file does not listen any more.
            match outgoing.send(&FromSender::GiveUp(problem.failure)).await {
                Ok(()) => outgoing.finish(),
                Err(WireError::Unwanted) => {}
                Err(error) => return Err(error.into()),
            }
            Err(problem.into())
        }
        Err(JobError::Wire(WireError::Unwanted)) => Err(session.why_unwanted(&mut incoming).await),
        Err(error) => Err(error),
    }
}

/// Opens the source and reads its record, if that is to be used and fits.
async fn open(session: &Arc<Session>, file: &SourceFile) -> Result<(OpenSource, Option<Record>), Problem> {
    let (session, source) = (Arc::clone(session), file.clone());
    let open = move || {
        let open = OpenSource::open(&source)?;
        let record = session.record_of(&source, open.file.as_ref(), &open.before)?;
        Ok((open, record))
    };
    workers::run(open).await
}

/// Chunks of the wanted size, or of the nearest one that gives two of them at least and keeps their number in bounds.
fn geometry_of(length_bytes: u64, mut chunk_bytes: u32) -> Result<Geometry, Failure> {
    if length_bytes <= SMALL_FILE_BYTES_MAX {
        // It was longer when it was listed.
        return Err(Failure::SourceChanged);
    }
    while u64::from(chunk_bytes) >= length_bytes {
        chunk_bytes /= 2;
    }
    while length_bytes.div_ceil(u64::from(chunk_bytes)) > CHUNKS_MAX {
        if chunk_bytes >= CHUNK_BYTES_MAX {
            return Err(Failure::TooLarge);
        }
        chunk_bytes *= 2;
    }
    Ok(Geometry::new(length_bytes, ChunkSize::new(chunk_bytes).ok_or(Failure::Protocol)?))
}

/// State of the file between its stages.
#[derive(Debug)]
struct FileJob {
    session: Arc<Session>,
    number: u64,
    source: SourceFile,
    open: OpenSource,
    /// Name, length and attributes under a hash, which the receiver compares before it renames.
    meant: Hash32,
    geometry: Geometry,
    /// Whether a record is the reference.
    is_recorded: bool,
    past_cache: OnceLock<Arc<dyn DiskFile>>,
    /// Held while the source is opened for reads past the cache: by one of those who read, for all.
    opening: Mutex<()>,
    /// Chunks that were read and are not hashed yet.
    hashing: Transit<u64>,
    shared: Mutex<Shared>,
    wake: Notify,
}

/// What several threads tell the job.
#[derive(Debug)]
struct Shared {
    state: FileSending,
    /// The bytes read last of each chunk that is not decided upon yet.
    pieces: HashMap<u64, Piece>,
    /// Chunks that are to be read a second time, and that no thread has taken up yet.
    origins_due: BTreeSet<u64>,
    /// Repairs that were told of.
    counted: Repairs,
    problem: Option<Problem>,
}

impl FileJob {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, problem: Problem) {
        self.shared().problem.get_or_insert(problem);
        self.wake.notify_one();
    }

    /// The source for reads past the cache.
    fn past_cache(&self) -> Result<Arc<dyn DiskFile>, Problem> {
        if let Some(file) = self.past_cache.get() {
            return Ok(Arc::clone(file));
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever else wanted it opened it meanwhile.
        if let Some(file) = self.past_cache.get() {
            return Ok(Arc::clone(file));
        }
        let file = open_past_cache(&self.source, &self.open.before)?;
        Ok(Arc::clone(self.past_cache.get_or_init(|| file)))
    }

    /// Runs until the commit is authorised: answers the root and the sender's word for it.
    async fn run(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        incoming: &mut Incoming,
    ) -> Result<(Root, Origin), JobError> {
        let mut uploads: JoinSet<Result<(), WireError>> = JoinSet::new();
        let mut runs = Runs::default();
        loop {
            loop {
                let (action, problem) = {
                    let mut shared = self.shared();
                    (shared.state.next_action(), shared.problem.take())
                };
                if let Some(problem) = problem {
                    return Err(problem.into());
                }
                let Some(action) = action else { break };
                if let Some(commit) = self.act(action, &mut runs, &mut uploads, outgoing).await? {
                    return Ok(commit);
                }
            }
            runs.flush(outgoing, self).await?;
            self.count_repairs();
            tokio::select! {
                () = self.wake.notified() => {}
                message = self.session.hear(incoming) => self.heard(message?)?,
                Some(uploaded) = uploads.join_next() => match uploaded {
                    Ok(uploaded) => unless_unwanted(uploaded)?,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
            }
        }
    }

    /// Tells whoever looks at the transfer what was repaired since the last time.
    fn count_repairs(&self) {
        let mut shared = self.shared();
        let repairs = shared.state.repairs();
        self.session.counters.repaired(repairs.since(std::mem::replace(&mut shared.counted, repairs)));
    }

    async fn act(
        self: &Arc<Self>,
        action: Action,
        runs: &mut Runs,
        uploads: &mut JoinSet<Result<(), WireError>>,
        outgoing: &mut Outgoing,
    ) -> Result<Option<(Root, Origin)>, JobError> {
        match action {
            Action::Read { index, past_cache } => self.read(index, past_cache),
            Action::ReadOrigin(index) => self.read_origin(index),
            Action::Send { index, round } => self.upload(index, round, uploads)?,
            Action::Forget(index) => {
                self.shared().pieces.remove(&index);
            }
            Action::Keep(run) => runs.keep(run, outgoing, self).await?,
            Action::Copy(run) => runs.copy(run, outgoing, self).await?,
            Action::Claim(root) => outgoing.send(&FromSender::Claim(root.0)).await?,
            Action::Redo { round, chunks } => {
                runs.flush(outgoing, self).await?;
                outgoing.send(&FromSender::Redo { round, chunks }).await?;
            }
            Action::GiveUp(Failure::SourceCorrupt) => return Err(self.differs_from_record().await.into()),
            Action::GiveUp(failure) => return Err(failure.into()),
            Action::Commit(root) => {
                if self.session.plan.expected.is_some_and(|expected| expected != root) {
                    return Err(Failure::SpoolDamaged.into());
                }
                runs.flush(outgoing, self).await?;
                let (source, before) = (self.source.clone(), self.open.before);
                workers::run(move || check_unchanged(&source, &before)).await?;
                let origin = self.origin();
                outgoing.send(&FromSender::CommitFile { root: root.0, origin, entry: self.meant }).await?;
                return Ok(Some((root, origin)));
            }
        }
        Ok(None)
    }

    /// What a source is that does not fit its record: corrupt, unless somebody is writing to it.
    async fn differs_from_record(&self) -> Problem {
        let (source, before) = (self.source.clone(), self.open.before);
        if let Err(problem) = workers::run(move || check_unchanged(&source, &before)).await {
            return problem;
        }
        let chunks = self.shared().state.wrong_by_record();
        let chunk_bytes = u64::from(self.geometry.chunk_size().bytes());
        let range = |chunks: Range<u64>| {
            let end = (chunks.end * chunk_bytes).min(self.geometry.length_bytes());
            format!("between byte {} and byte {end}", chunks.start * chunk_bytes)
        };
        Problem { failure: Failure::SourceCorrupt, detail: chunks.map(range) }
    }

    fn origin(&self) -> Origin {
        if self.is_recorded {
            return Origin::Recorded;
        }
        let second_read = self.past_cache.get().filter(|_| self.session.plan.second_read);
        origin_word(second_read.map(AsRef::as_ref))
    }

    /// Reads a chunk into memory of the pool and hands it to the hash stage.
    fn read(self: &Arc<Self>, index: u64, past_cache: bool) {
        let job = Arc::clone(self);
        // The memory is waited for here and not in the job's loop, which must go on to hear decisions that free some.
        tokio::spawn(async move {
            let Some(range) = job.geometry.range(ChunkIndex(index)) else { return };
            let length = range.end - range.start;
            let mut bytes = job.session.pool.lend(usize::try_from(length).expect("chunks fit into memory")).await;
            let reader = Arc::clone(&job);
            let task = move |_: &mut _| {
                let read = || {
                    let file = if past_cache { reader.past_cache()? } else { Arc::clone(&reader.open.file) };
                    read_range(file.as_ref(), range, &mut bytes).map_err(|error| Problem::reading(&error))?;
                    // Shorter than it was: somebody cut it.
                    if bytes.len() as u64 == length { Ok(()) } else { Err(Problem::from(Failure::SourceChanged)) }
                };
                match read() {
                    Ok(()) => {
                        let pieces = vec![Piece { index, hash: None, bytes }];
                        let parcel = Parcel { job: reader.number, round: 0, pieces };
                        reader.hashing.enter(index);
                        if reader.session.read.blocking_send(parcel).is_err() {
                            reader.fail(Failure::SourceIo.into());
                        }
                    }
                    Err(problem) => reader.fail(problem),
                }
            };
            job.session.readers.submit(task).await;
        });
    }

    /// Reads a chunk a second time, past the cache, with memory and hasher of its own: with its neighbours that are due once a
    /// thread takes it up, or with one of them.
    fn read_origin(self: &Arc<Self>, index: u64) {
        let is_new = self.shared().origins_due.insert(index);
        assert!(is_new, "a chunk is read a second time before that is asked for again");
        let job = Arc::clone(self);
        tokio::spawn(async move {
            let reader = Arc::clone(&job);
            let task = move |memory: &mut _| {
                let due = next_request(&mut reader.shared().origins_due, reader.geometry.chunk_size());
                let Some(chunks) = due else { return };
                let mut read = || {
                    hash_chunks(reader.past_cache()?.as_ref(), reader.geometry, chunks.clone(), memory)
                        .map_err(|error| Problem::reading(&error))
                };
                match read() {
                    Ok(hashes) => {
                        let mut shared = reader.shared();
                        for (index, hash) in chunks.zip(hashes) {
                            shared.state.origin_read(ChunkIndex(index), hash);
                        }
                        drop(shared);
                        reader.wake.notify_one();
                    }
                    Err(problem) => reader.fail(problem),
                }
            };
            job.session.second_readers.submit(task).await;
        });
    }

    /// Sends the bytes read last of a chunk on a stream of their own.
    fn upload(&self, index: u64, round: u32, uploads: &mut JoinSet<Result<(), WireError>>) -> Result<(), JobError> {
        let Some(Piece { hash: Some(hash), bytes, .. }) = self.shared().pieces.remove(&index) else {
            return Err(Failure::Protocol.into());
        };
        let length_bytes = u32::try_from(bytes.len()).expect("chunks are at most some MiB");
        let header = ChunkHeader { job: self.number, index, length_bytes, round, hash };
        let connection = self.session.connection.clone();
        self.session.counters.sent_bytes(u64::from(length_bytes));
        let pace = self.session.pace.clone();
        uploads.spawn(async move { connection.send_chunk_at(pace.as_deref(), header, Bytes::from_owner(bytes)).await });
        Ok(())
    }

    /// What the receiver says while the file is under way.
    fn heard(&self, message: FromReceiver) -> Result<(), JobError> {
        let mut shared = self.shared();
        match message {
            FromReceiver::Have(have) => {
                let count = u64::from(have.count).min(self.geometry.count());
                for place in 0..count {
                    let staged = Have::hash_at(&have.staged, place as usize);
                    let target = Have::hash_at(&have.target, place as usize);
                    let index = have.first.checked_add(place).ok_or(Failure::Protocol)?;
                    shared.state.have(ChunkIndex(index), staged, target);
                }
                self.session.counters.checked_bytes(count * u64::from(self.geometry.chunk_size().bytes()));
            }
            FromReceiver::Bad(index) => shared.state.arrived_bad(ChunkIndex(index)),
            FromReceiver::Stored { round, chunks } => {
                let bytes = chunks.len() as u64 * u64::from(self.geometry.chunk_size().bytes());
                self.session.counters.read_back_bytes(bytes);
                for chunk in chunks {
                    shared.state.stored(round, ChunkIndex(chunk.index), chunk.piece_hash());
                }
            }
            FromReceiver::Equal => shared.state.target_equals_claim(),
            FromReceiver::Refused(failure) => return Err(failure.into()),
            _ => return Err(Failure::Protocol.into()),
        }
        Ok(())
    }

    async fn receive_receipt(
        &self,
        path: Vec<u8>,
        root: Root,
        origin: Origin,
        incoming: &mut Incoming,
    ) -> Result<(), JobError> {
        loop {
            match self.session.hear(incoming).await? {
                FromReceiver::FileReceipt { proof, signed, unset } => {
                    if proof.origin != origin {
                        return Err(Failure::ReceiptInvalid.into());
                    }
                    let unchanged = self.shared().state.found_target_equal();
                    if unchanged {
                        self.session.counters.reused_bytes(self.geometry.length_bytes());
                    }
                    let attributes = attributes_of(&self.open.before, self.session.plan.keep);
                    let length_bytes = self.geometry.length_bytes();
                    let sent =
                        Sent { path, length_bytes, attributes, root, proof, unchanged, kind: ReceiptKind::File, unset };
                    receipt::accept(&self.session, &[sent], &signed)?;
                    let (source, before) = (self.source.clone(), self.open.before);
                    moving::remove_sources(&self.session, vec![Receipted { source, before, root, proof, unset }]).await;
                    return Ok(());
                }
                FromReceiver::Refused(failure) => return Err(failure.into()),
                // Reports that crossed with the commit.
                FromReceiver::Stored { .. } | FromReceiver::Have(_) => {}
                _ => return Err(Failure::Protocol.into()),
            }
        }
    }
}

/// A chunk that the receiver does not want any more is no failure of the connection: its job says why.
fn unless_unwanted(uploaded: Result<(), WireError>) -> Result<(), WireError> {
    match uploaded {
        Err(WireError::Unwanted) => Ok(()),
        uploaded => uploaded,
    }
}

impl Uploads for FileJob {
    fn position(&self, index: u64) -> Option<Position> {
        let range = self.geometry.range(ChunkIndex(index))?;
        Some(Position::Chunk { offset_bytes: range.start })
    }

    fn hashed(&self, parcel: Parcel) {
        let mut shared = self.shared();
        for piece in parcel.pieces {
            self.hashing.leave(piece.index);
            let index = ChunkIndex(piece.index);
            let Some(range) = self.geometry.range(index) else { continue };
            match piece.hash {
                Some(hash) if range.end - range.start == piece.bytes.len() as u64 => {
                    shared.pieces.insert(index.0, piece);
                    shared.state.read(index, hash);
                }
                // It lost a part of itself between the stages: the receiver would only refuse it.
                _ => shared.state.lost(index),
            }
        }
        drop(shared);
        self.wake.notify_one();
    }

    fn look(&self, is_idle: bool) {
        for index in self.hashing.look(is_idle) {
            self.shared().state.lost(ChunkIndex(index));
            self.wake.notify_one();
        }
    }
}

/// Collects chunks that are kept or copied one after another into runs.
#[derive(Debug, Default)]
struct Runs {
    kept: Option<Run>,
    copied: Option<Run>,
}

impl Runs {
    async fn keep(&mut self, run: Run, outgoing: &mut Outgoing, job: &FileJob) -> Result<(), WireError> {
        if let Some(full) = extend(&mut self.kept, run) {
            send_run(FromSender::Keep(full), full, outgoing, job).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, run: Run, outgoing: &mut Outgoing, job: &FileJob) -> Result<(), WireError> {
        if let Some(full) = extend(&mut self.copied, run) {
            send_run(FromSender::Copy(full), full, outgoing, job).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, outgoing: &mut Outgoing, job: &FileJob) -> Result<(), WireError> {
        if let Some(run) = self.kept.take() {
            send_run(FromSender::Keep(run), run, outgoing, job).await?;
        }
        if let Some(run) = self.copied.take() {
            send_run(FromSender::Copy(run), run, outgoing, job).await?;
        }
        Ok(())
    }
}

async fn send_run(message: FromSender, run: Run, outgoing: &mut Outgoing, job: &FileJob) -> Result<(), WireError> {
    let chunk_bytes = u64::from(job.geometry.chunk_size().bytes());
    let end = ((run.first + run.count) * chunk_bytes).min(job.geometry.length_bytes());
    job.session.counters.reused_bytes(end - run.first * chunk_bytes);
    outgoing.send(&message).await
}

/// Adds a run to the one being collected; answers the old one if they do not join.
fn extend(collected: &mut Option<Run>, run: Run) -> Option<Run> {
    match collected {
        Some(old) if old.first + old.count == run.first => {
            old.count += run.count;
            None
        }
        _ => collected.replace(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::limits::{CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MIN};

    fn chunks(length_bytes: u64, chunk_bytes: u32) -> Result<(u32, u64), Failure> {
        geometry_of(length_bytes, chunk_bytes).map(|geometry| (geometry.chunk_size().bytes(), geometry.count()))
    }

    #[test]
    fn a_file_is_cut_into_chunks_of_the_wanted_size() {
        assert_eq!(chunks(SMALL_FILE_BYTES_MAX + 1, CHUNK_BYTES_DEFAULT), Ok((1 << 20, 2)));
        assert_eq!(chunks(SMALL_FILE_BYTES_MAX + 1, CHUNK_BYTES_MIN), Ok((64 << 10, 17)));
        assert_eq!(chunks(8 << 20, CHUNK_BYTES_MAX), Ok((4 << 20, 2)));
    }

    #[test]
    fn a_file_of_less_than_two_chunks_gets_smaller_ones() {
        assert_eq!(chunks(SMALL_FILE_BYTES_MAX + 1, CHUNK_BYTES_MAX), Ok((1 << 20, 2)));
        assert_eq!(chunks(4 << 20, CHUNK_BYTES_MAX), Ok((2 << 20, 2)));
        assert_eq!(chunks((4 << 20) + 1, CHUNK_BYTES_MAX), Ok((4 << 20, 2)));
    }

    #[test]
    fn a_file_of_too_many_chunks_gets_larger_ones_up_to_the_largest() {
        let most = CHUNKS_MAX * u64::from(CHUNK_BYTES_MIN);
        assert_eq!(chunks(most, CHUNK_BYTES_MIN), Ok((64 << 10, CHUNKS_MAX)));
        assert_eq!(chunks(most + 1, CHUNK_BYTES_MIN), Ok((128 << 10, CHUNKS_MAX / 2 + 1)));
        assert_eq!(chunks(CHUNKS_MAX * u64::from(CHUNK_BYTES_MAX) + 1, CHUNK_BYTES_MIN), Err(Failure::TooLarge));
    }

    #[test]
    fn a_file_that_became_small_changed() {
        assert_eq!(chunks(SMALL_FILE_BYTES_MAX, CHUNK_BYTES_MIN), Err(Failure::SourceChanged));
    }
}
