//! A group of small files: read, offered, sent and committed together; each compared by itself with its second read.
//!
//! A file that fails leaves the group and does not hold up the others. Longer than 400 lines because its steps share one state.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Problem;
use super::dry_run::{self, Compared};
use super::job::{JobError, Session};
use super::moving::{self, Receipted};
use super::receipt::{self, Sent};
use super::small_files::{Hashing, SecondRead, read_files, second_read};
use super::source::{Uploads, check_unchanged};
use super::walk::{GroupWork, SourceFile, attributes_of};
use crate::hash::{PieceHash, Root};
use crate::protocol::dry_run::Would;
use crate::protocol::entry::{Attributes, FileEntry};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{RESENDS_MAX, REWRITES_MAX};
use crate::protocol::message::{
    FromReceiver, FromSender, GroupFile, GroupFileAnswer, IndexedFailure, IndexedHash, IndexedOrigin, IndexedProof,
    Signed,
};
use crate::protocol::receipt::{Origin, Proof, ReceiptKind};
use crate::protocol::sending::Repairs;
use crate::seams::buffer::{Parcel, PieceBuffer};
use crate::seams::disk::Metadata;
use crate::transit::Transit;
use crate::wire::WireError;
use crate::wire::stream::{Incoming, Outgoing};
use crate::workers::{self, Workers};

/// Sends one group. Fails only if the connection does, and then leaves in `work` what is still to be done; what is wrong
/// with a file is told to the observer, once.
pub(super) async fn send(session: &Arc<Session>, work: &mut GroupWork) -> Result<(), WireError> {
    let mut group = Group::new(session, work);
    if group.session.plan.quick {
        group.take_as_listed().await;
    } else {
        group.read((0..work.files.len()).collect(), false).await;
    }
    let transferred = if session.plan.dry_run { group.foresee().await } else { group.transfer().await };
    session.proved(group.count(|file| file.stored.is_some() && file.stored == file.root));
    match transferred {
        Ok(()) => {}
        Err(JobError::Problem(problem)) => {
            for file in &mut group.files {
                file.fail(session, Problem { failure: problem.failure, detail: problem.detail.clone() });
            }
        }
        Err(JobError::Wire(error)) => {
            session.counters.files_done(group.count(|file| file.state == State::Trusted));
            let mut is_open = group.files.iter().map(File::is_open).collect::<Vec<_>>().into_iter();
            work.files.retain(|_| is_open.next().unwrap_or(false));
            work.was_interrupted = true;
            return Err(error);
        }
    }
    session.counters.files_done(group.count(|file| file.state != State::Failed));
    Ok(())
}

/// One file of the group.
#[derive(Debug)]
struct File {
    source: SourceFile,
    before: Option<Metadata>,
    /// What it must be by its record, if it has one that fits.
    record: Option<Root>,
    /// Of what was read last, and so of what the receiver is told.
    root: Option<Root>,
    bytes: Option<PieceBuffer>,
    /// What the second read found, and what the disk it came from lets it say. Only this content may be committed.
    origin: Option<(Root, Origin)>,
    /// What the receiver read back.
    stored: Option<Root>,
    /// Times it arrived wrong, or not at all.
    misarrivals: u32,
    /// Times it had to be sent again for another reason.
    rewrites: u32,
    state: State,
    unchanged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing to be done but compare.
    Waiting,
    /// To be sent, again perhaps.
    Wanted,
    /// Trusted by length and time: nothing is proved, nothing committed.
    Trusted,
    /// Told to the observer.
    Failed,
}

/// Which check found a file wrong.
#[derive(Clone, Copy, Debug)]
enum Caught {
    AtArrival,
    /// It arrived, and got lost on the way to the receiver's disk.
    NotStaged,
    ReadBack,
    AtSource,
}

impl Caught {
    fn repair(self) -> Repairs {
        let mut repairs = Repairs::default();
        match self {
            Self::AtArrival | Self::NotStaged => repairs.arrival = 1,
            Self::ReadBack => repairs.stored = 1,
            Self::AtSource => repairs.source = 1,
        }
        repairs
    }

    /// What it is where it cannot be repaired.
    fn failure(self) -> Failure {
        match self {
            Self::AtArrival | Self::NotStaged => Failure::ArrivedMismatch,
            Self::ReadBack => Failure::StoredMismatch,
            Self::AtSource => Failure::SourceUnstable,
        }
    }
}

impl File {
    fn fail(&mut self, session: &Session, problem: impl Into<Problem>) {
        if matches!(self.state, State::Waiting | State::Wanted) {
            session.failed(&self.source.shown(), &problem.into());
            self.state = State::Failed;
            self.bytes = None;
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Wanted)
    }

    /// Whether what was read last is not what the record says.
    fn differs_from_record(&self) -> bool {
        self.is_open() && self.root.is_some() && self.record.is_some_and(|record| self.root != Some(record))
    }

    /// The word for content that two reads agree on, or that one read and the record do.
    fn word(&self, root: Root, by_reads: Origin) -> Origin {
        if self.record == Some(root) { Origin::Recorded } else { by_reads }
    }

    fn was_sent_before(&self) -> bool {
        self.misarrivals + self.rewrites > 0
    }

    /// It was read, and got lost between the stages: to be read once more, unless that was tried too often.
    fn lost(&mut self, session: &Session) {
        if !self.is_open() {
            return;
        }
        self.rewrites += 1;
        if self.rewrites > REWRITES_MAX {
            return self.fail(session, Failure::SourceIo);
        }
        session.counters.repaired(Repairs { lost: 1, ..Repairs::default() });
    }

    /// To be sent once more, unless that was tried too often.
    fn send_again(&mut self, session: &Session, caught: Caught) {
        let (count, max) = match caught {
            Caught::AtArrival => (&mut self.misarrivals, RESENDS_MAX),
            Caught::NotStaged | Caught::ReadBack | Caught::AtSource => (&mut self.rewrites, REWRITES_MAX),
        };
        *count += 1;
        if *count > max {
            return self.fail(session, caught.failure());
        }
        session.counters.repaired(caught.repair());
        self.bytes = None;
        self.state = State::Wanted;
    }
}

struct Group<'a> {
    session: &'a Arc<Session>,
    work: &'a GroupWork,
    files: Vec<File>,
    /// Positions in `files` in the order of the offer.
    offered: Vec<usize>,
}

impl<'a> Group<'a> {
    fn new(session: &'a Arc<Session>, work: &'a GroupWork) -> Self {
        let file = |source: &SourceFile| File {
            source: source.clone(),
            before: None,
            record: None,
            root: None,
            bytes: None,
            origin: None,
            stored: None,
            misarrivals: 0,
            rewrites: 0,
            state: State::Waiting,
            unchanged: false,
        };
        Self { session, work, files: work.files.iter().map(file).collect(), offered: Vec::new() }
    }

    /// Takes lengths and times only: whether a file has to be read is decided by the receiver's answer. What was listed came
    /// here by a short queue, and is not looked at again.
    async fn take_as_listed(&mut self) {
        if !self.work.was_interrupted {
            self.files.iter_mut().for_each(|file| file.before = Some(file.source.listed));
            return;
        }
        let sources: Vec<_> = self.files.iter().map(|file| file.source.clone()).collect();
        let look = move || {
            let look = |source: &SourceFile| source.directory.handle.metadata_of(source.name.as_os_str());
            sources.iter().map(look).collect::<Vec<_>>()
        };
        for (file, looked) in self.files.iter_mut().zip(workers::run(look).await) {
            match looked {
                Ok(metadata) => file.before = Some(metadata),
                Err(error) => file.fail(self.session, Problem::reading(&error)),
            }
        }
    }

    /// Reads these files and has them hashed. What differs from its record is read once more, past the cache, and given up
    /// if it still does: nothing of it leaves this side.
    async fn read(&mut self, positions: Vec<usize>, past_cache: bool) {
        self.read_once(positions.clone(), past_cache).await;
        let doubted: Vec<usize> =
            positions.into_iter().filter(|&position| self.files[position].differs_from_record()).collect();
        for &position in &doubted {
            let file = &mut self.files[position];
            (file.root, file.bytes) = (None, None);
        }
        self.read_once(doubted.clone(), true).await;
        for position in doubted {
            let file = &self.files[position];
            if file.differs_from_record() {
                let (source, before) = (file.source.clone(), file.before);
                let look = move || check_unchanged(&source, &before.ok_or(Failure::Protocol)?);
                let looked = workers::run(look).await;
                let problem = looked.err().unwrap_or(Failure::SourceCorrupt.into());
                self.files[position].fail(self.session, problem);
            } else if file.root.is_some() {
                self.session.counters.repaired(Caught::AtSource.repair());
            }
        }
    }

    async fn read_once(&mut self, positions: Vec<usize>, past_cache: bool) {
        if positions.is_empty() {
            return;
        }
        let number = self.session.next_number();
        let (hashed, when_hashed) = oneshot::channel();
        let hashed = Mutex::new(Some(hashed));
        let hashing = Arc::new(Hashing { files: self.files.len() as u64, hashed, transit: Transit::default() });
        let job: Arc<dyn Uploads> = Arc::clone(&hashing) as Arc<dyn Uploads>;
        let Some(_registered) = self.session.jobs.register(number, job) else { return };
        let (opened, when_opened) = oneshot::channel();
        let wanted: Vec<_> = positions
            .iter()
            .map(|&position| (position, self.files[position].source.clone(), self.files[position].before))
            .collect();
        let (session, queue) = (Arc::clone(self.session), self.session.read.clone());
        let task = move |_: &mut _| {
            let (pieces, outcomes) = read_files(&session, &wanted, past_cache);
            hashing.transit.enter(());
            if opened.send(outcomes).is_ok() && queue.blocking_send(Parcel { job: number, round: 0, pieces }).is_err() {
                tracing::debug!("a group was read after the session's end");
            }
        };
        self.session.readers.submit(task).await;
        let outcomes = when_opened.await;
        let was_read = outcomes.is_ok();
        for (position, outcome) in outcomes.unwrap_or_default() {
            match outcome {
                Ok((before, record)) => {
                    self.files[position].before = Some(before);
                    self.files[position].record = record;
                }
                Err(problem) => self.files[position].fail(self.session, problem),
            }
        }
        let pieces = if was_read { when_hashed.await.unwrap_or_default() } else { Vec::new() };
        for piece in pieces {
            let Some(file) = self.files.get_mut(piece.index as usize) else { continue };
            // One that lost a part of itself between the stages would shift all after it on the wire.
            if file.before.is_some_and(|before| before.length_bytes == piece.bytes.len() as u64) {
                file.root = piece.hash.map(|hash| Root(hash.0));
                file.bytes = Some(piece.bytes);
            }
        }
        for position in positions {
            if self.files[position].bytes.is_none() {
                self.files[position].lost(self.session);
            }
        }
    }

    async fn transfer(&mut self) -> Result<(), JobError> {
        self.offered = (0..self.files.len()).filter(|&position| self.files[position].is_open()).collect();
        let (mut outgoing, mut incoming) = self.session.connection.open_job().await?;
        let second_reads = if self.session.plan.quick { None } else { self.start_second_reads() };
        outgoing.send(&self.offer()).await?;
        self.hear_answer(&mut incoming).await?;
        if self.offered.is_empty() {
            return Ok(());
        }
        match self.prove_and_commit(second_reads, &mut outgoing, &mut incoming).await {
            Err(JobError::Wire(WireError::Unwanted)) => Err(self.session.why_unwanted(&mut incoming).await),
            done => done,
        }
    }

    /// In a dry run: hears and tells what would become of each file.
    async fn foresee(&mut self) -> Result<(), JobError> {
        self.offered = (0..self.files.len()).filter(|&position| self.files[position].is_open()).collect();
        let (mut outgoing, mut incoming) = self.session.connection.open_job().await?;
        outgoing.send(&self.offer()).await?;
        let answers = dry_run::hear(self.session, &mut incoming, self.offered.len()).await?;
        for (position, would) in std::mem::take(&mut self.offered).into_iter().zip(answers) {
            let (path, length_bytes, _) = self.meant(position)?;
            let file = &mut self.files[position];
            let compared = if file.root.is_some() { Compared::Content } else { Compared::Attributes };
            let told = (&path[..], &file.source.shown()[..], length_bytes);
            let outcome = dry_run::tell(self.session, would, compared, told);
            if let (Ok(()), Some(before)) = (&outcome, file.before) {
                file.source.is_foreseen(before, would);
            }
            match outcome {
                Ok(()) if would == Would::Trusted => file.state = State::Trusted,
                Ok(()) => dry_run::tell_removed(self.session, &file.source, length_bytes),
                Err(failure) => file.fail(self.session, failure),
            }
            self.session.counters.bytes_done(length_bytes);
        }
        Ok(())
    }

    async fn prove_and_commit(
        &mut self,
        second_reads: Option<oneshot::Receiver<Vec<SecondRead>>>,
        outgoing: &mut Outgoing,
        incoming: &mut Incoming,
    ) -> Result<(), JobError> {
        let mut second_reads = second_reads.or_else(|| self.start_second_reads());
        loop {
            if self.files.iter().any(|file| file.state == State::Wanted) {
                self.send_wanted(outgoing, incoming).await?;
            } else if let Some(reads) = second_reads.take() {
                self.compare(reads.await.map_err(|_| Failure::SourceIo)?).await;
            } else {
                break;
            }
        }
        self.commit(outgoing, incoming).await
    }

    fn offer(&self) -> FromSender {
        let files = self.offered.iter().filter_map(|&position| {
            let file = &self.files[position];
            let before = file.before.as_ref()?;
            let entry = FileEntry {
                directory: file.source.place,
                name: self.session.target_name(&file.source.name),
                length_bytes: before.length_bytes,
                attributes: attributes_of(before, self.session.plan.keep),
                labels: file.source.labels.as_deref().cloned(),
            };
            Some(GroupFile { entry, root: file.root.map(Into::into) })
        });
        let (directories, files) = (self.work.directories.clone(), files.collect::<Vec<_>>());
        let meant = self.session.terms.group(&directories, &files);
        FromSender::OfferGroup { directories, files, meant }
    }

    async fn hear_answer(&mut self, incoming: &mut Incoming) -> Result<(), JobError> {
        let FromReceiver::GroupAnswer(answers) = self.hear(incoming).await? else {
            return Err(Failure::Protocol.into());
        };
        if answers.len() != self.offered.len() {
            return Err(Failure::Protocol.into());
        }
        for (&position, answer) in self.offered.iter().zip(answers) {
            let file = &mut self.files[position];
            match answer {
                GroupFileAnswer::Send => file.state = State::Wanted,
                GroupFileAnswer::Staged(root) => file.stored = Some(root.root()),
                GroupFileAnswer::Present(root) => {
                    file.stored = Some(root.root());
                    file.unchanged = true;
                }
                GroupFileAnswer::Trusted if self.session.plan.quick => {
                    self.session.observer.trusted(&file.source.shown());
                    if let Some(before) = file.before {
                        file.source.is_trusted(before);
                    }
                    file.state = State::Trusted;
                }
                // To trust its target by length and time is for the receiver only where that was asked for.
                GroupFileAnswer::Trusted => file.fail(self.session, Failure::Protocol),
                GroupFileAnswer::Refused(failure) => file.fail(self.session, failure),
            }
            if file.stored.is_some() {
                self.session.counters.reused_bytes(file.before.map_or(0, |before| before.length_bytes));
                file.bytes = None;
            }
        }
        Ok(())
    }

    /// Sends what is wanted, and hears what became of it.
    async fn send_wanted(&mut self, outgoing: &mut Outgoing, incoming: &mut Incoming) -> Result<(), JobError> {
        let missing: Vec<usize> = self.positions(|file| file.state == State::Wanted && file.bytes.is_none());
        let again = missing.iter().any(|&position| self.files[position].was_sent_before());
        self.read(missing, again).await;
        let (mut sent, mut list, mut all_bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, &position) in self.offered.iter().enumerate() {
            let file = &mut self.files[position];
            if file.state != State::Wanted {
                continue;
            }
            let (Some(root), Some(bytes)) = (file.root, file.bytes.take()) else {
                // It got lost between the stages, and is read once more.
                continue;
            };
            if file.origin.is_some_and(|(reference, _)| reference != root) {
                // It was read anew after the comparison, and that read is the wrong one: not sent, but read once more.
                file.send_again(self.session, Caught::AtSource);
                continue;
            }
            list.push(IndexedHash::new(index as u64, PieceHash(root.0)));
            all_bytes.push(bytes);
            sent.push(position);
            file.stored = None;
            file.state = State::Waiting;
        }
        if list.is_empty() {
            return Ok(());
        }
        outgoing.send(&FromSender::Pieces(list)).await?;
        for bytes in all_bytes {
            self.session.counters.sent_bytes(bytes.len() as u64);
            outgoing.send_content(Bytes::from_owner(bytes), self.session.pace.as_deref()).await?;
        }
        let FromReceiver::GroupStored { stored, bad, failed } = self.hear(incoming).await? else {
            return Err(Failure::Protocol.into());
        };
        self.heard_stored(&stored, &bad, &failed)?;
        for &position in &sent {
            let file = &mut self.files[position];
            if file.state == State::Waiting && file.stored.is_none() {
                // Nothing was said about it.
                file.send_again(self.session, Caught::NotStaged);
            }
        }
        Ok(())
    }

    fn heard_stored(&mut self, stored: &[IndexedHash], bad: &[u32], failed: &[IndexedFailure]) -> Result<(), JobError> {
        let session = self.session;
        for stored in stored {
            let index = u32::try_from(stored.index).map_err(|_| Failure::Protocol)?;
            let file = self.file(index)?;
            let root = stored.hash.root();
            file.stored = Some(root);
            session.counters.read_back_bytes(file.before.map_or(0, |before| before.length_bytes));
            if file.root != Some(root) {
                file.send_again(session, Caught::ReadBack);
            }
        }
        for &index in bad {
            self.file(index)?.send_again(session, Caught::AtArrival);
        }
        for failed in failed {
            self.file(failed.index)?.fail(session, failed.failure);
        }
        Ok(())
    }

    /// Compares the second reads with what was sent. Where they differ both are read again: a stable answer wins.
    async fn compare(&mut self, reads: Vec<SecondRead>) {
        for (position, read) in reads {
            let file = &mut self.files[position];
            if !file.is_open() {
                continue;
            }
            match read {
                Ok((root, origin)) if file.root == Some(root) => file.origin = Some((root, file.word(root, origin))),
                Ok(_) => self.settle(position).await,
                Err(problem) => file.fail(self.session, problem),
            }
        }
    }

    async fn settle(&mut self, position: usize) {
        let (source, before) = (self.files[position].source.clone(), self.files[position].before);
        let read_twice = move || {
            let before = before.ok_or(Failure::Protocol)?;
            let first = second_read(&source, &before, &mut PieceBuffer::unpooled(0))?;
            Ok::<_, Problem>((first, second_read(&source, &before, &mut PieceBuffer::unpooled(0))?))
        };
        let session = self.session;
        let outcome = workers::run(read_twice).await;
        let file = &mut self.files[position];
        match outcome {
            Ok((first, second)) if first == second => {
                let (root, origin) = second;
                if file.record.is_some_and(|record| record != root) {
                    return file.fail(session, Failure::SourceCorrupt);
                }
                file.origin = Some((root, file.word(root, origin)));
                if file.root == Some(root) {
                    session.counters.repaired(Caught::AtSource.repair());
                } else {
                    file.root = Some(root);
                    file.stored = None;
                    file.unchanged = false;
                    file.send_again(session, Caught::AtSource);
                }
            }
            Ok(_) => file.fail(session, Failure::SourceUnstable),
            Err(problem) => file.fail(session, problem),
        }
    }

    /// Authorises the files that are proven, and hears their receipt.
    async fn commit(&mut self, outgoing: &mut Outgoing, incoming: &mut Incoming) -> Result<(), JobError> {
        let mut list = Vec::new();
        for (index, &position) in self.offered.iter().enumerate() {
            if !self.files[position].is_open() {
                continue;
            }
            let (path, length_bytes, attributes) = self.meant(position)?;
            let labels = self.files[position].source.labels.as_deref();
            let entry = self.session.terms.entry(&path, length_bytes, attributes, labels);
            let file = &mut self.files[position];
            let expected = self.session.plan.expected;
            match (file.root, file.origin) {
                (Some(root), _) if expected.is_some_and(|expected| expected != root) => {
                    file.fail(self.session, Failure::SpoolDamaged);
                }
                (Some(root), Some((reference, origin))) if file.stored == Some(root) && reference == root => {
                    let index = u32::try_from(index).expect("groups are small");
                    list.push(IndexedOrigin { index, root: root.into(), origin, entry });
                }
                _ => file.fail(self.session, Failure::StoredMismatch),
            }
        }
        outgoing.send(&FromSender::CommitGroup(list.clone())).await?;
        let FromReceiver::GroupReceipt { files, failed, signed } = self.hear(incoming).await? else {
            return Err(Failure::Protocol.into());
        };
        for failed in &failed {
            let session = self.session;
            self.file(failed.index)?.fail(session, failed.failure);
        }
        self.receipt(&list, &files, &signed)?;
        let proof_of = |proved: &IndexedProof| {
            let named = list.iter().find(|named| named.index == proved.index)?;
            let file = &self.files[self.offered[proved.index as usize]];
            let proof = Proof { origin: named.origin, stored: proved.stored, durable: proved.durable };
            let (source, before, root) = (file.source.clone(), file.before?, named.root.root());
            Some(Receipted { source, before, root, proof, unset: proved.unset })
        };
        moving::remove_sources(self.session, files.iter().filter_map(proof_of).collect()).await;
        Ok(())
    }

    /// Checks that the receipt covers what was authorised, and only that.
    fn receipt(&mut self, list: &[IndexedOrigin], files: &[IndexedProof], signed: &Signed) -> Result<(), JobError> {
        let mut sent = Vec::with_capacity(files.len());
        let mut authorised = list.iter();
        for proved in files {
            let named = authorised.find(|named| named.index == proved.index).ok_or(Failure::ReceiptInvalid)?;
            let unchanged = self.file(proved.index)?.unchanged;
            let (path, length_bytes, attributes) = self.meant(self.offered[proved.index as usize])?;
            let proof = Proof { origin: named.origin, stored: proved.stored, durable: proved.durable };
            sent.push(Sent {
                path,
                length_bytes,
                attributes,
                root: named.root.root(),
                proof,
                unchanged,
                kind: ReceiptKind::File,
                unset: proved.unset,
            });
        }
        let open = self.files.iter().filter(|file| file.is_open()).count();
        if open != sent.len() {
            return Err(Failure::ReceiptInvalid.into());
        }
        if sent.is_empty() { Ok(()) } else { Ok(receipt::accept(self.session, &sent, signed)?) }
    }

    /// Path below the destination, length and attributes, as this side means them.
    fn meant(&self, position: usize) -> Result<(Vec<u8>, u64, Attributes), Failure> {
        let file = &self.files[position];
        let before = file.before.as_ref().ok_or(Failure::Protocol)?;
        let name = self.session.target_name(&file.source.name);
        let path = self.work.directories.path_of(file.source.place, &name).ok_or(Failure::Protocol)?;
        Ok((path, before.length_bytes, attributes_of(before, self.session.plan.keep)))
    }

    /// Second reads of all offered files, past the cache, on the threads for that.
    fn start_second_reads(&self) -> Option<oneshot::Receiver<Vec<SecondRead>>> {
        let wanted: Vec<_> = self
            .positions(File::is_open)
            .into_iter()
            .filter_map(|position| {
                let file = &self.files[position];
                // Where a record says the same as the first read nothing is read again.
                let is_known = !self.session.plan.second_read || file.record.is_some() && file.record == file.root;
                Some((position, file.source.clone(), file.before?, file.root.filter(|_| is_known)))
            })
            .collect();
        let (sender, receiver) = oneshot::channel();
        let workers: Workers = self.session.second_readers.clone();
        tokio::spawn(async move {
            let task = move |memory: &mut _| {
                let read = |(position, source, before, known): (usize, SourceFile, Metadata, Option<Root>)| {
                    let outcome = match known {
                        Some(root) => check_unchanged(&source, &before).map(|()| (root, Origin::FirstRead)),
                        None => second_read(&source, &before, memory),
                    };
                    (position, outcome)
                };
                if sender.send(wanted.into_iter().map(read).collect()).is_err() {
                    tracing::debug!("a group was read again after the session's end");
                }
            };
            workers.submit(task).await;
        });
        Some(receiver)
    }

    fn count(&self, wanted: impl Fn(&File) -> bool) -> u64 {
        self.positions(wanted).len() as u64
    }

    fn positions(&self, wanted: impl Fn(&File) -> bool) -> Vec<usize> {
        (0..self.files.len()).filter(|&position| wanted(&self.files[position])).collect()
    }

    fn file(&mut self, index: u32) -> Result<&mut File, JobError> {
        let position = *self.offered.get(index as usize).ok_or(Failure::Protocol)?;
        Ok(&mut self.files[position])
    }

    async fn hear(&self, incoming: &mut Incoming) -> Result<FromReceiver, JobError> {
        match self.session.hear(incoming).await? {
            FromReceiver::Refused(failure) => Err(failure.into()),
            message => Ok(message),
        }
    }
}
