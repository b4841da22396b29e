//! A group of small files: one answer, one sync point, one commit, one receipt for all of them.
//!
//! Each file is all or nothing by itself; one that fails leaves the group and does not hold up the others. Longer than 400
//! lines because its steps share one state.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::commit::{Committed, Equal, Renamed, settle};
use super::failure_of;
use super::job::{JobError, Session};
use super::stage::Arrivals;
use super::staging::{Flushed, ReadBack, Staging, Target, remove_leftover};
use super::sync_point::{self, Unflushed};
use crate::hash::{PieceHash, Position, Root};
use crate::protocol::entry::{Attributes, DirectoryTable, FileEntry};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{GROUP_BYTES_MAX, GROUP_FILES_MAX, SMALL_FILE_BYTES_MAX};
use crate::protocol::message::{
    FromReceiver, FromSender, GroupFile, GroupFileAnswer, Hash32, IndexedFailure, IndexedHash, IndexedOrigin,
    IndexedProof,
};
use crate::protocol::receipt::{Origin, Stored};
use crate::reading::hash_small;
use crate::record::Content;
use crate::seams::buffer::{Parcel, Piece, PieceBuffer};
use crate::seams::disk::{DiskFile, Reading, Writing};
use crate::transit::Transit;
use crate::wire::stream::{Incoming, Outgoing};
use crate::workers;

/// Serves the job of one group until its receipt.
pub(super) async fn serve(
    session: Arc<Session>,
    directories: DirectoryTable,
    files: Vec<GroupFile>,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Result<(), JobError> {
    check_limits(&files)?;
    let _descriptors = session.descriptors(files.len()).await;
    let job = {
        let session = Arc::clone(&session);
        Arc::new(workers::run(move || GroupJob::prepare(session, directories, files)).await)
    };
    let arrivals: Arc<dyn Arrivals> = Arc::clone(&job) as Arc<dyn Arrivals>;
    let mut memory = session.memory_of_group(job.bytes_to_come()).await.ok_or(Failure::TargetIo)?;
    let number = session.next_group();
    let _registered = session.jobs.register(number, arrivals).ok_or(Failure::Protocol)?;
    outgoing.send(&FromReceiver::GroupAnswer(job.answers())).await?;
    if job.files.is_empty() {
        return Ok(());
    }
    let mut round = 0;
    loop {
        let message: Option<FromSender> = incoming.receive().await?;
        session.heard.message();
        match message.ok_or(Failure::Protocol)? {
            FromSender::Pieces(list) => {
                for portion in job.portions(&list, memory.bytes())? {
                    round += 1;
                    let parcel = Parcel { job: number, round, pieces: job.take_pieces(portion, incoming).await? };
                    let staged = job.expect(round);
                    session.arrived.send(parcel).await.map_err(|_| Failure::TargetIo)?;
                    staged.await.map_err(|_| Failure::TargetIo)?;
                }
                // Other groups need not wait for the commit of this one. What comes again comes in smaller portions.
                memory.keep(job.longest_bytes());
                let job = Arc::clone(&job);
                outgoing.send(&workers::run(move || job.flush_and_read_back()).await?).await?;
            }
            FromSender::CommitGroup(list) => {
                let committing = Arc::clone(&job);
                let receipt = workers::run(move || committing.commit(&list)).await?;
                outgoing.send(&receipt).await?;
                return Ok(());
            }
            FromSender::GiveUp(_) => return Ok(()),
            _ => return Err(Failure::Protocol.into()),
        }
    }
}

pub(super) fn check_limits(files: &[GroupFile]) -> Result<(), Failure> {
    let lengths = files.iter().map(|file| file.entry.length_bytes);
    let is_small = |length: u64| length <= SMALL_FILE_BYTES_MAX;
    let fits = files.len() <= GROUP_FILES_MAX
        && lengths.clone().all(is_small)
        && lengths.sum::<u64>() <= GROUP_BYTES_MAX + SMALL_FILE_BYTES_MAX;
    if fits { Ok(()) } else { Err(Failure::Protocol) }
}

/// One file of the group.
#[derive(Debug)]
struct File {
    entry: FileEntry,
    slot: Mutex<Slot>,
}

/// Where a file of the group stands.
#[derive(Debug)]
enum Slot {
    Failed(Failure),
    Trusted,
    /// To be written.
    Absent(Target),
    /// Written, or taken over to be written.
    Writing(Staging, Option<PieceHash>),
    ReadBack(ReadBack),
    /// The target, still open, is equal and was read back.
    Present(Target, Arc<dyn DiskFile>, Root, Stored),
    Over,
}

#[derive(Debug)]
struct GroupJob {
    session: Arc<Session>,
    directories: DirectoryTable,
    files: Vec<File>,
    bad: Mutex<Vec<u32>>,
    /// Parcels between the stages, by round: at most one.
    transit: Transit<u32>,
    /// The round of the parcel that is to be staged, and who waits for it.
    expected: Mutex<Option<(u32, oneshot::Sender<()>)>>,
}

impl File {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Slot {
        std::mem::replace(&mut *self.slot(), Slot::Over)
    }
}

impl GroupJob {
    /// Makes the directories and looks at what is there of each file.
    fn prepare(session: Arc<Session>, directories: DirectoryTable, files: Vec<GroupFile>) -> Self {
        let places = session.directories.resolve(&directories, session.rules.umask());
        let mut names = HashSet::with_capacity(files.len());
        let mut memory = PieceBuffer::unpooled(0);
        let files = files
            .into_iter()
            .map(|GroupFile { entry, root }| {
                let is_first = names.insert((entry.directory, entry.name.clone()));
                let place = match entry.directory {
                    None => Ok(Arc::clone(session.directories.root())),
                    Some(place) => places.get(place as usize).cloned().unwrap_or(Err(Failure::Protocol)),
                };
                let slot = place
                    .and_then(|place| if is_first { Ok(place) } else { Err(Failure::SameTarget) })
                    .and_then(|place| Target::look_first(place, entry.name.clone()))
                    .and_then(|target| look(&session, &entry, target, root.map(Hash32::root), &mut memory))
                    .and_then(|slot| match slot {
                        Slot::Absent(_) | Slot::Writing(..) => charge(&session, &directories, &entry).map(|()| slot),
                        slot => Ok(slot),
                    });
                File { entry, slot: Mutex::new(slot.unwrap_or_else(Slot::Failed)) }
            })
            .collect();
        Self {
            session,
            directories,
            files,
            bad: Mutex::default(),
            transit: Transit::default(),
            expected: Mutex::default(),
        }
    }

    fn answers(&self) -> Vec<GroupFileAnswer> {
        let answer = |file: &File| match &*file.slot() {
            Slot::Failed(failure) => GroupFileAnswer::Refused(*failure),
            Slot::Trusted => GroupFileAnswer::Trusted,
            Slot::ReadBack(read_back) => GroupFileAnswer::Staged(read_back.root.into()),
            Slot::Present(_, _, root, _) => GroupFileAnswer::Present((*root).into()),
            Slot::Absent(_) | Slot::Writing(..) | Slot::Over => GroupFileAnswer::Send,
        };
        self.files.iter().map(answer).collect()
    }

    /// What the sender was told to send, and room for any file at least: it may send one again.
    fn bytes_to_come(&self) -> u64 {
        let is_to_come = |file: &&File| matches!(&*file.slot(), Slot::Absent(_) | Slot::Writing(..));
        let to_come: u64 = self.files.iter().filter(is_to_come).map(|file| file.entry.length_bytes).sum();
        to_come.max(self.longest_bytes())
    }

    fn longest_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.entry.length_bytes).max().unwrap_or(0)
    }

    fn announced(&self, piece: &IndexedHash) -> Result<&File, Failure> {
        self.files.get(piece.index as usize).ok_or(Failure::Protocol)
    }

    /// Announced pieces in portions of so many bytes, or of one piece.
    fn portions<'a>(&self, list: &'a [IndexedHash], most_bytes: u64) -> Result<Vec<&'a [IndexedHash]>, Failure> {
        let mut seen = HashSet::with_capacity(list.len().min(GROUP_FILES_MAX));
        let (mut portions, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (place, piece) in list.iter().enumerate() {
            let length_bytes = self.announced(piece)?.entry.length_bytes;
            if !seen.insert(piece.index) {
                return Err(Failure::Protocol);
            }
            if place > start && bytes + length_bytes > most_bytes {
                portions.push(&list[start..place]);
                (start, bytes) = (place, 0);
            }
            bytes += length_bytes;
        }
        portions.push(&list[start..]);
        Ok(portions)
    }

    /// Reads the bytes of announced pieces.
    async fn take_pieces(&self, list: &[IndexedHash], incoming: &mut Incoming) -> Result<Vec<Piece>, JobError> {
        let mut pieces = Vec::with_capacity(list.len());
        for announced in list {
            let file = self.announced(announced)?;
            let length = usize::try_from(file.entry.length_bytes).map_err(|_| Failure::Protocol)?;
            let mut bytes = PieceBuffer::unpooled(length);
            incoming.read_exact(&mut bytes).await?;
            pieces.push(Piece { index: announced.index, hash: Some(announced.piece_hash()), bytes });
        }
        Ok(pieces)
    }

    /// A parcel of this round is about to go through the stages; the answer comes when it was staged, or is lost.
    fn expect(&self, round: u32) -> oneshot::Receiver<()> {
        let (sender, staged) = oneshot::channel();
        self.transit.enter(round);
        *self.expected() = Some((round, sender));
        staged
    }

    fn expected(&self) -> MutexGuard<'_, Option<(u32, oneshot::Sender<()>)>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_expected(&self, round: u32) -> bool {
        self.expected().as_ref().is_some_and(|(expected, _)| *expected == round)
    }

    /// Nothing more comes of this round's parcel.
    fn is_through(&self, round: u32) {
        if let Some((_, sender)) = self.expected().take_if(|(expected, _)| *expected == round)
            && sender.send(()).is_err()
        {
            tracing::debug!("a group was staged after its end");
        }
    }

    /// The sync point of what was staged since the last, and the read-back of it.
    fn flush_and_read_back(&self) -> Result<FromReceiver, Failure> {
        let bad = std::mem::take(&mut *self.bad.lock().unwrap_or_else(PoisonError::into_inner));
        let mut written = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let mut slot = file.slot();
            if matches!(&*slot, Slot::Writing(_, Some(_)))
                && let Slot::Writing(staging, Some(expected)) = std::mem::replace(&mut *slot, Slot::Over)
            {
                written.push((index, staging, expected, file.entry.length_bytes));
            }
        }
        let (mut stored, mut failed) = (Vec::new(), Vec::new());
        let mut note = |index: usize, read_back: Result<ReadBack, Failure>| {
            *self.files[index].slot() = match read_back {
                Ok(read_back) => {
                    stored.push(IndexedHash::new(index as u64, PieceHash(read_back.root.0)));
                    Slot::ReadBack(read_back)
                }
                Err(failure) => Slot::Failed(failure),
            };
        };
        let mut memory = PieceBuffer::unpooled(0);
        for (index, expected, flushed) in self.flush(written) {
            note(index, flushed.and_then(|flushed| self.read_back(flushed, expected, &mut memory)));
        }
        for (index, file) in self.files.iter().enumerate() {
            if let Slot::Failed(failure) = &*file.slot() {
                failed.push(IndexedFailure { index: small(index), failure: *failure });
            }
        }
        Ok(FromReceiver::GroupStored { stored, bad, failed })
    }

    fn flush(
        &self,
        written: Vec<(usize, Staging, PieceHash, u64)>,
    ) -> Vec<(usize, PieceHash, Result<Flushed, Failure>)> {
        if !sync_point::serves(written.iter().map(|(_, staging, ..)| staging.unflushed())) {
            let flush_one = |(index, staging, expected, length): (usize, Staging, PieceHash, u64)| {
                let wanted = self.session.wanted(&self.files[index].entry);
                let content = self.session.content(length, expected);
                (index, expected, staging.flush(length, wanted, self.session.reading(), content.as_ref()))
            };
            return written.into_iter().map(flush_one).collect();
        }
        let places: Vec<_> = written.iter().map(|(index, _, expected, _)| (*index, *expected)).collect();
        let staged = written.into_iter().map(|(_, staging, _, length)| (staging, length)).collect();
        match Staging::flush_together(staged) {
            Ok(flushed) => {
                places.into_iter().zip(flushed).map(|((index, hash), flushed)| (index, hash, Ok(flushed))).collect()
            }
            // The failure names no file: none of them counts.
            Err(failure) => places.into_iter().map(|(index, hash)| (index, hash, Err(failure))).collect(),
        }
    }

    fn read_back(&self, flushed: Flushed, expected: PieceHash, memory: &mut PieceBuffer) -> Result<ReadBack, Failure> {
        if self.session.begin.stored == Stored::None {
            return Ok(flushed.read_back(Root(expected.0), Stored::None));
        }
        let reader = flushed.staging().reader(self.session.reading())?;
        let mut root = root_of(reader.as_ref(), flushed.length_bytes(), memory)?;
        if root.0 != expected.0 {
            // One wrong read may be the reading's own fault.
            root = root_of(reader.as_ref(), flushed.length_bytes(), memory)?;
            if root.0 == expected.0 {
                tracing::warn!("a file was read back wrong once, and right the second time");
            }
        }
        Ok(flushed.read_back(root, stored_word(self.session.begin.stored, reader.as_ref())))
    }

    /// Commits the files that the sender names and gives the others up.
    fn commit(&self, list: &[IndexedOrigin]) -> Result<FromReceiver, Failure> {
        let mut failed = Vec::new();
        let (mut renamed, mut renamed_as) = (Vec::new(), Vec::new());
        let (mut equal, mut done) = (Vec::new(), Vec::new());
        for named in list {
            let file = self.files.get(named.index as usize).ok_or(Failure::Protocol)?;
            let path = match self.session.agreed_path(&self.directories, &file.entry, named.entry) {
                Ok(path) => path,
                Err(failure) => {
                    failed.push(IndexedFailure { index: named.index, failure });
                    continue;
                }
            };
            let outcome = match file.take() {
                Slot::ReadBack(read_back) => match read_back.rename(named.root.root()) {
                    Ok(file) => {
                        renamed.push(file);
                        renamed_as.push((*named, path));
                        Ok(())
                    }
                    Err(not_renamed) => {
                        not_renamed.staging.discard();
                        Err(not_renamed.failure)
                    }
                },
                Slot::Present(target, open, root, stored) if root == named.root.root() => {
                    self.adjust(&file.entry, target, open, root, stored).map(|file| equal.push((*named, path, file)))
                }
                Slot::Failed(failure) => Err(failure),
                _ => Err(Failure::Protocol),
            };
            if let Err(failure) = outcome {
                failed.push(IndexedFailure { index: named.index, failure });
            }
        }
        for (named, path, flushed) in self.flush_equal(equal) {
            match flushed {
                Ok(file) => {
                    renamed.push(file);
                    renamed_as.push((named, path));
                }
                Err(failure) => failed.push(IndexedFailure { index: named.index, failure }),
            }
        }
        for ((named, path), settled) in renamed_as.into_iter().zip(settle(renamed)) {
            match settled {
                Ok(committed) => done.push((named, path, committed)),
                Err(failure) => failed.push(IndexedFailure { index: named.index, failure }),
            }
        }
        self.files.iter().for_each(File::discard);
        done.sort_by_key(|(named, ..)| named.index);
        self.receipt(done, failed)
    }

    /// An equal target gets the attributes it should have, if it still is what was read. They are to be flushed.
    fn adjust(
        &self,
        entry: &FileEntry,
        target: Target,
        file: Arc<dyn DiskFile>,
        root: Root,
        stored: Stored,
    ) -> Result<(Equal, Unflushed), Failure> {
        let now = file.metadata().map_err(|error| failure_of("look at a target", &error))?;
        if !target.seen.is_some_and(|seen| now.unchanged(&seen)) {
            return Err(Failure::TargetChanged);
        }
        let content = Content::whole(entry.length_bytes, root);
        let unflushed = self.session.sync_points.before_writing(now.device, &target.place.directory);
        let wanted = self.session.wanted(entry);
        Ok((Equal::adjust(target, file, wanted, &content, self.session.records, stored)?, unflushed))
    }

    fn flush_equal(
        &self,
        equal: Vec<(IndexedOrigin, Vec<u8>, (Equal, Unflushed))>,
    ) -> Vec<(IndexedOrigin, Vec<u8>, Result<Renamed, Failure>)> {
        if !sync_point::serves(equal.iter().map(|(.., (_, unflushed))| Some(unflushed))) {
            return equal.into_iter().map(|(named, path, (file, _))| (named, path, file.flush())).collect();
        }
        let (named, files): (Vec<_>, Vec<_>) =
            equal.into_iter().map(|(named, path, file)| ((named, path), file)).unzip();
        match Equal::flush_together(files) {
            Ok(flushed) => {
                named.into_iter().zip(flushed).map(|((named, path), file)| (named, path, Ok(file))).collect()
            }
            Err(failure) => named.into_iter().map(|(named, path)| (named, path, Err(failure))).collect(),
        }
    }

    fn receipt(
        &self,
        done: Vec<(IndexedOrigin, Vec<u8>, Committed)>,
        failed: Vec<IndexedFailure>,
    ) -> Result<FromReceiver, Failure> {
        let mut signable: Vec<(Vec<u8>, Attributes, Committed, Origin)> = Vec::with_capacity(done.len());
        let mut files = Vec::with_capacity(done.len());
        for (named, path, committed) in done {
            let entry = &self.files[named.index as usize].entry;
            self.session.settle(&path);
            signable.push((path, entry.attributes, committed, named.origin));
            files.push(IndexedProof {
                index: named.index,
                stored: committed.stored(),
                durable: committed.durable(),
                unset: committed.unset(),
            });
        }
        Ok(FromReceiver::GroupReceipt { files, failed, signed: self.session.signer.sign(signable)? })
    }

    fn write(&self, piece: &Piece) -> Result<(), Failure> {
        let file = self.files.get(piece.index as usize).ok_or(Failure::Protocol)?;
        let mut slot = file.slot();
        let mut staging = match std::mem::replace(&mut *slot, Slot::Over) {
            Slot::Absent(target) => self.session.open_staging(target, Writing::Cached)?,
            Slot::Present(target, ..) => {
                charge(&self.session, &self.directories, &file.entry)?;
                self.session.open_staging(target, Writing::Cached)?
            }
            Slot::Writing(staging, _) => staging,
            Slot::ReadBack(read_back) => read_back.write_again(),
            Slot::Failed(failure) => return Err(failure),
            Slot::Trusted | Slot::Over => return Err(Failure::Protocol),
        };
        let mut write = || {
            staging.before_writing(&self.session.sync_points)?;
            self.session.write(staging.file().as_ref(), &piece.bytes, 0)?;
            // What ends in a hole is not as long yet.
            if staging.may_be_longer() || self.session.kept.sparse {
                staging.file().set_length(piece.bytes.len() as u64)?;
            }
            let content = piece.hash.and_then(|hash| self.session.content(piece.bytes.len() as u64, hash));
            staging.set_attributes(self.session.wanted(&file.entry), self.session.reading(), content.as_ref())
        };
        match write() {
            Ok(()) => {
                *slot = Slot::Writing(staging, piece.hash);
                Ok(())
            }
            Err(error) => {
                let failure = failure_of("write", &error);
                staging.discard();
                Err(failure)
            }
        }
    }
}

impl File {
    /// What is still staged is given up: small files are not worth coming back for.
    fn discard(&self) {
        match self.take() {
            Slot::Writing(staging, _) => staging.discard(),
            Slot::ReadBack(read_back) => read_back.write_again().discard(),
            _ => {}
        }
    }
}

impl Arrivals for GroupJob {
    fn position(&self, index: u64) -> Option<Position> {
        self.files.get(index as usize).map(|_| Position::WholeFile)
    }

    fn accept(&self, _index: u64, _round: u32) -> Option<usize> {
        // Files of a group come on their job's own stream.
        None
    }

    fn arrived(&self, _index: u64, _round: u32) {
        // As above.
    }

    fn arrived_bad(&self, index: u64, _round: u32) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).push(small(index as usize));
    }

    fn stage(&self, parcel: Parcel) {
        self.transit.leave(parcel.round);
        if !self.is_expected(parcel.round) {
            // It was given up as lost, and its files come again.
            return;
        }
        for piece in &parcel.pieces {
            if let Err(failure) = self.write(piece)
                && let Some(file) = self.files.get(piece.index as usize)
            {
                *file.slot() = Slot::Failed(failure);
            }
        }
        self.is_through(parcel.round);
    }

    fn look(&self, is_idle: bool) {
        // The sender hears nothing of the files that were in it, and sends them again.
        self.transit.look(is_idle).into_iter().for_each(|round| self.is_through(round));
    }
}

/// Counts a file that is to be written against what the transfer may store.
fn charge(session: &Session, directories: &DirectoryTable, entry: &FileEntry) -> Result<(), Failure> {
    session.charge(&Session::offered_path(directories, entry)?, entry.length_bytes)
}

/// Decides what is wanted of a file, from what is there.
fn look(
    session: &Session,
    entry: &FileEntry,
    target: Target,
    root: Option<Root>,
    memory: &mut PieceBuffer,
) -> Result<Slot, Failure> {
    if session.begin.quick && target.looks_like(entry.length_bytes, entry.attributes) {
        return Ok(Slot::Trusted);
    }
    if let (Some(seen), Some(root)) = (target.seen, root)
        && seen.length_bytes == entry.length_bytes
    {
        let file = match target.open_seen(Reading::PastCache) {
            // What may not be read is replaced like what differs.
            Err(Failure::PermissionDenied) => None,
            opened => Some(opened?),
        };
        if let Some(file) = file
            && root_of(file.as_ref(), entry.length_bytes, memory)? == root
        {
            let stored = stored_word(Stored::Device, file.as_ref());
            remove_leftover(&target);
            return Ok(Slot::Present(target, file, root, stored));
        }
    }
    if target.seen.is_some() && !session.may_replace() {
        return Err(Failure::TargetExists);
    }
    let place = &target.place;
    if place.is_new || place.directory.metadata_of(&target.name.staging()).is_err() {
        return Ok(Slot::Absent(target));
    }
    take_over(session, entry, target, root, memory)
}

/// A staging file of an earlier run counts if it has the root.
fn take_over(
    session: &Session,
    entry: &FileEntry,
    target: Target,
    root: Option<Root>,
    memory: &mut PieceBuffer,
) -> Result<Slot, Failure> {
    let staging = session.open_staging(target, Writing::Cached)?;
    let length = staging.file().metadata().map_err(|error| failure_of("look at a staging file", &error))?.length_bytes;
    let Some(root) = root.filter(|_| length == entry.length_bytes) else {
        return Ok(Slot::Writing(staging, None));
    };
    // Flushed first: an error still pending would show here.
    let content = session.content(length, PieceHash(root.0));
    let flushed = staging.flush(length, session.wanted(entry), session.reading(), content.as_ref())?;
    let reader = flushed.staging().reader(session.reading())?;
    if root_of(reader.as_ref(), length, memory)? == root {
        let stored = match session.begin.stored {
            Stored::None => Stored::None,
            asked => stored_word(asked, reader.as_ref()),
        };
        return Ok(Slot::ReadBack(flushed.read_back(root, stored)));
    }
    Ok(Slot::Writing(flushed.write_again(), None))
}

pub(super) fn root_of(file: &dyn DiskFile, length_bytes: u64, memory: &mut PieceBuffer) -> Result<Root, Failure> {
    hash_small(file, length_bytes, memory).map_err(|error| failure_of("read back", &error))
}

fn stored_word(asked: Stored, file: &dyn DiskFile) -> Stored {
    if asked == Stored::Device && file.reads_device() { Stored::Device } else { Stored::Cache }
}

fn small(index: usize) -> u32 {
    u32::try_from(index).expect("a group has few files")
}
