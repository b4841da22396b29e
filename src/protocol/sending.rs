//! The sender's decisions about one large file: what to read, what to send, when the copy is proven.
//!
//! Events come in as calls, [`FileSending::next_action`] says what to do next until it has nothing. A chunk is proven
//! once both reads of the source agree and the receiver read the same hash back from its disk in the current round; the
//! file is committed when every chunk is. A round is one check of the whole file: what is wrong is collected while it
//! lasts and comes again in the next. Longer than most files, as these decisions share one state. **No I/O and no clock
//! here.**

mod recorded;

use std::collections::{BTreeSet, HashMap, VecDeque};

pub use self::recorded::Recorded;

use self::recorded::Comparison;
use super::failure::Failure;
use super::limits::{CHUNK_BYTES_MIN, HASHES_PER_MESSAGE_MAX, READ_AHEAD_BYTES, RESENDS_MAX, REWRITES_MAX, ROUNDS_MAX};
use super::message::{FileAnswer, Run};
use crate::chunk::{ChunkIndex, Geometry};
use crate::hash::{PieceHash, Root};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read this chunk, to be sent perhaps.
    Read {
        /// Its number.
        index: u64,
        /// Whether the page cache is under suspicion.
        past_cache: bool,
    },
    /// Read this chunk a second time, independently, past the cache.
    ReadOrigin(u64),
    /// Send the bytes that were read last for this chunk, in this round.
    Send {
        /// Its number.
        index: u64,
        /// The round it belongs to.
        round: u32,
    },
    /// Forget the bytes that were read for this chunk: the receiver needs none of them.
    Forget(u64),
    /// Tell the receiver that these staged chunks are right.
    Keep(Run),
    /// Tell the receiver to take these chunks from its target.
    Copy(Run),
    /// Tell the receiver the root, so that it may say whether its target equals it.
    Claim(Root),
    /// Void what was read back and ask for it anew.
    Redo {
        /// Number of the new round.
        round: u32,
        /// The chunks that come again.
        chunks: Vec<u64>,
    },
    /// Authorise the commit: every chunk is proven.
    Commit(Root),
    /// Give the file up.
    GiveUp(Failure),
}

/// What each check caught and what was repaired for it, in chunks and small files. What could not be repaired is a
/// failure, and not counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Arrived wrong, or got lost at the receiver, and were sent again.
    pub arrival: u64,
    /// Their stored copy differed when it was read back, and they were sent again.
    pub stored: u64,
    /// Their two reads differed, and were settled by reading both again.
    pub source: u64,
    /// Got lost between the sender's stages, and were read again.
    pub lost: u64,
}

impl Repairs {
    /// What came since an earlier count.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            arrival: self.arrival - earlier.arrival,
            stored: self.stored - earlier.stored,
            source: self.source - earlier.source,
            lost: self.lost - earlier.lost,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// Send everything.
    Nothing,
    /// Decide chunk by chunk; hold back copies while the target may still turn out equal as a whole.
    Hashes { holding_back: bool },
    /// Read everything first and claim its root.
    Claim { claimed: bool },
}

#[derive(Clone, Copy, Debug, Default)]
struct ChunkState {
    hash: Option<PieceHash>,
    /// It is being read for sending.
    reading: bool,
    /// With a second read, exactly one holds once it was read: this, a second read to come, or a dispute.
    origin_agrees: bool,
    /// The receiver was told in this round, or before, how to come by it: what it reports counts.
    delivered: bool,
    /// It is to be sent again, once its bytes are read and not in dispute.
    owed: bool,
    proven: bool,
    resends: u32,
}

/// Both reads of a chunk under way again after they differed.
#[derive(Clone, Copy, Debug, Default)]
struct Dispute {
    read: Option<PieceHash>,
    origin: Option<PieceHash>,
}

/// State of one large file at the sender.
#[derive(Debug)]
pub struct FileSending {
    geometry: Geometry,
    second_read: bool,
    /// Instead of second reads.
    record: Option<Comparison>,
    basis: Basis,
    chunks: Vec<ChunkState>,
    have: HashMap<u64, (Option<PieceHash>, Option<PieceHash>)>,
    have_until: u64,
    /// Chunks that were read and wait for what the receiver has, or for the chunks before them.
    undecided: BTreeSet<u64>,
    next_decision: u64,
    held_back: u64,
    next_read: u64,
    /// Chunks that may be read ahead of the decisions about them.
    read_ahead: usize,
    reading: usize,
    origin_due: VecDeque<u64>,
    reading_origin: usize,
    disputes: HashMap<u64, Dispute>,
    round: u32,
    /// A stored copy differed in this round; and the number of such rounds.
    check_failed: bool,
    failed_checks: u32,
    /// Chunks that come again in the next round, each once; none of them is delivered or proven.
    void: Vec<u64>,
    /// The receiver lacks a chunk of `void`, so this round cannot come to its end.
    round_is_stuck: bool,
    /// Chunks not proven, or whose reads do not agree; and the fewest there ever were.
    open_chunks: u64,
    fewest_open: u64,
    repairs: Repairs,
    actions: VecDeque<Action>,
    ended: bool,
}

impl FileSending {
    /// Starts a file of two chunks or more after the receiver's answer. Without `second_read` one read of the source is
    /// its own origin.
    #[must_use]
    pub fn new(geometry: Geometry, second_read: bool, answer: FileAnswer) -> Self {
        let basis = match answer {
            FileAnswer::Send | FileAnswer::Trusted => Basis::Nothing,
            FileAnswer::Basis { target_may_equal } => Basis::Hashes { holding_back: target_may_equal },
            FileAnswer::Claim => Basis::Claim { claimed: false },
        };
        let count = usize::try_from(geometry.count()).expect("the number of chunks is bounded");
        Self {
            geometry,
            second_read,
            record: None,
            basis,
            chunks: vec![ChunkState::default(); count],
            have: HashMap::new(),
            have_until: 0,
            undecided: BTreeSet::new(),
            next_decision: 0,
            held_back: 0,
            next_read: 0,
            read_ahead: READ_AHEAD_BYTES / geometry.chunk_size().bytes().max(CHUNK_BYTES_MIN) as usize,
            reading: 0,
            origin_due: VecDeque::new(),
            reading_origin: 0,
            disputes: HashMap::new(),
            round: 0,
            check_failed: false,
            failed_checks: 0,
            void: Vec::new(),
            round_is_stuck: false,
            open_chunks: geometry.count(),
            fewest_open: geometry.count(),
            repairs: Repairs::default(),
            actions: VecDeque::new(),
            ended: false,
        }
    }

    /// What was repaired so far.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// The most chunks that ever were proven at once, with both reads agreeing.
    #[must_use]
    pub fn most_settled(&self) -> u64 {
        self.geometry.count() - self.fewest_open
    }

    /// Whether the receiver's target turned out to be equal as a whole.
    #[must_use]
    pub fn found_target_equal(&self) -> bool {
        match self.basis {
            Basis::Nothing => false,
            Basis::Hashes { holding_back } => holding_back,
            Basis::Claim { claimed } => claimed,
        }
    }

    /// What to do next; nothing until another event.
    pub fn next_action(&mut self) -> Option<Action> {
        if self.ended {
            return None;
        }
        if let Some(action) = self.actions.pop_front() {
            self.ended = matches!(action, Action::GiveUp(_) | Action::Commit(_));
            return Some(action);
        }
        if self.round_is_over() {
            return Some(self.start_round());
        }
        if self.reading_origin < self.read_ahead / 2
            && let Some(index) = self.origin_due.pop_front()
        {
            self.reading_origin += 1;
            return Some(Action::ReadOrigin(index));
        }
        if self.next_read < self.geometry.count() && self.reading + self.undecided.len() < self.read_ahead {
            let index = self.next_read;
            self.next_read += 1;
            self.reading += 1;
            self.chunks[index as usize].reading = true;
            return Some(Action::Read { index, past_cache: false });
        }
        self.conclusion()
    }

    /// The chunk was read for sending and hashes to this.
    pub fn read(&mut self, index: ChunkIndex, hash: PieceHash) {
        self.reading = self.reading.saturating_sub(1);
        let chunk = &mut self.chunks[index.0 as usize];
        chunk.reading = false;
        if let Some(dispute) = self.disputes.get_mut(&index.0) {
            dispute.read = Some(hash);
            return self.settle(index.0);
        }
        if chunk.hash.is_some() {
            return self.read_anew(index.0, hash);
        }
        chunk.hash = Some(hash);
        chunk.origin_agrees = !self.second_read && self.record.is_none();
        if self.second_read {
            self.origin_due.push_back(index.0);
        }
        self.compare_with_record(index.0);
        match self.basis {
            Basis::Nothing if self.is_doubted(index.0) => self.chunks[index.0 as usize].owed = true,
            Basis::Nothing => self.send(index.0),
            Basis::Claim { .. } => self.actions.push_back(Action::Forget(index.0)),
            Basis::Hashes { .. } => {
                self.undecided.insert(index.0);
                self.decide();
            }
        }
    }

    /// The chunk was read for sending, and got lost before its hash was known: it is read again.
    pub fn lost(&mut self, index: ChunkIndex) {
        let chunk = &mut self.chunks[index.0 as usize];
        if !std::mem::take(&mut chunk.reading) {
            // It was only late.
            return;
        }
        self.reading = self.reading.saturating_sub(1);
        chunk.resends += 1;
        if chunk.resends > REWRITES_MAX {
            return self.give_up(Failure::SourceIo);
        }
        self.repairs.lost += 1;
        self.read_again(index.0);
    }

    /// The chunk was read a second time and hashes to this.
    pub fn origin_read(&mut self, index: ChunkIndex, hash: PieceHash) {
        self.reading_origin = self.reading_origin.saturating_sub(1);
        if let Some(dispute) = self.disputes.get_mut(&index.0) {
            dispute.origin = Some(hash);
            return self.settle(index.0);
        }
        if self.record.is_some() {
            return self.doubted_read(index.0, hash);
        }
        let chunk = &mut self.chunks[index.0 as usize];
        if chunk.hash == Some(hash) {
            if !std::mem::replace(&mut chunk.origin_agrees, true) {
                self.close_if_proven(index.0);
            }
        } else {
            self.dispute(index.0);
        }
    }

    /// What the receiver has of this chunk, staged and in its target. Chunks come in order.
    pub fn have(&mut self, index: ChunkIndex, staged: Option<PieceHash>, target: Option<PieceHash>) {
        if index.0 != self.have_until || !self.geometry.contains(index) {
            return self.give_up(Failure::Protocol);
        }
        self.have_until += 1;
        self.have.insert(index.0, (staged, target));
        self.decide();
    }

    /// The chunk arrived wrong.
    pub fn arrived_bad(&mut self, index: ChunkIndex) {
        let Some(chunk) = self.chunks.get_mut(index.0 as usize) else {
            return self.give_up(Failure::Protocol);
        };
        let is_void = self.void.contains(&index.0);
        let is_about_to_be_sent = self.actions.contains(&Action::Send { index: index.0, round: self.round });
        if chunk.proven || is_about_to_be_sent || !(chunk.delivered || is_void) {
            // An older copy: a later one was stored, or is about to be sent.
            return;
        }
        chunk.resends += 1;
        if chunk.resends > RESENDS_MAX {
            return self.give_up(Failure::ArrivedMismatch);
        }
        self.repairs.arrival += 1;
        if is_void {
            self.round_is_stuck = true;
        } else {
            chunk.owed = true;
            self.read_again(index.0);
        }
    }

    /// The receiver read the chunk back from its disk, in this round, and found this.
    pub fn stored(&mut self, round: u32, index: ChunkIndex, hash: PieceHash) {
        if round != self.round {
            return;
        }
        let Some(chunk) = self.chunks.get_mut(index.0 as usize) else {
            return self.give_up(Failure::Protocol);
        };
        if !chunk.delivered {
            // It comes again in any case: what is reported here is the old write.
            return;
        }
        if chunk.hash == Some(hash) {
            chunk.owed = false;
            return self.prove(index.0);
        }
        if !std::mem::replace(&mut self.check_failed, true) {
            self.failed_checks += 1;
        }
        if self.failed_checks > ROUNDS_MAX {
            return self.give_up(Failure::StoredMismatch);
        }
        self.repairs.stored += 1;
        self.make_void(index.0);
    }

    /// The target equals the claimed root.
    pub fn target_equals_claim(&mut self) {
        if self.basis != (Basis::Claim { claimed: true }) {
            return self.give_up(Failure::Protocol);
        }
        self.prove_all();
    }

    /// The chunk was read once more, to be sent again.
    fn read_anew(&mut self, index: u64, hash: PieceHash) {
        let chunk = &mut self.chunks[index as usize];
        if !chunk.owed {
            // The receiver proved to have it, or it comes in the next round, where it is read again.
            return self.actions.push_back(Action::Forget(index));
        }
        let has_reference = self.second_read || self.record.is_some();
        if chunk.hash != Some(hash) && has_reference && chunk.origin_agrees {
            // Two reads had agreed on something else, or the record had: that stays the right one.
            chunk.origin_agrees = self.record.is_some();
            return self.dispute(index);
        }
        // Where the second read is still to come, it will tell which bytes are right.
        chunk.hash = Some(hash);
        self.send(index);
    }

    /// A chunk that was read is sent in the current round.
    fn send(&mut self, index: u64) {
        let chunk = &mut self.chunks[index as usize];
        chunk.delivered = true;
        chunk.owed = false;
        self.actions.push_back(Action::Send { index, round: self.round });
    }

    /// Decides about chunks in order, as far as both sides' hashes are known and the two reads are not in dispute.
    fn decide(&mut self) {
        while let Some(&index) = self.undecided.first()
            && index == self.next_decision
            && !self.disputes.contains_key(&index)
            && !self.is_doubted(index)
        {
            let Some((staged, target)) = self.have.remove(&index) else { return };
            self.undecided.remove(&index);
            self.next_decision += 1;
            let hash = self.chunks[index as usize].hash;
            let Basis::Hashes { holding_back } = self.basis else { return };
            if target.is_some() && target == hash && holding_back {
                self.held_back += 1;
                self.actions.push_back(Action::Forget(index));
                if self.held_back == self.geometry.count() {
                    self.prove_all();
                }
                continue;
            }
            self.release_held_back();
            if staged.is_some() && staged == hash {
                self.chunks[index as usize].delivered = true;
                self.actions.push_back(Action::Forget(index));
                self.actions.push_back(Action::Keep(Run { first: index, count: 1 }));
                if self.round == 0 {
                    // It was read back before it was named; a new round makes that void.
                    self.prove(index);
                }
            } else if target.is_some() && target == hash {
                self.chunks[index as usize].delivered = true;
                self.actions.push_back(Action::Forget(index));
                self.actions.push_back(Action::Copy(Run { first: index, count: 1 }));
            } else {
                self.send(index);
            }
        }
    }

    /// The target differs somewhere: what was held back is to be copied after all, and proven like any other.
    fn release_held_back(&mut self) {
        if let Basis::Hashes { holding_back: true } = self.basis {
            self.basis = Basis::Hashes { holding_back: false };
            for index in 0..self.held_back {
                self.reopen(index);
                self.chunks[index as usize].delivered = true;
            }
            if self.held_back > 0 {
                self.actions.push_back(Action::Copy(Run { first: 0, count: self.held_back }));
            }
        }
    }

    /// Two reads differ: both are made again. Happens once per chunk, and once more each time it is sent again.
    fn dispute(&mut self, index: u64) {
        self.disputes.insert(index, Dispute::default());
        self.read_again(index);
        self.origin_due.push_front(index);
    }

    /// Both reads came again after they had differed: a stable answer wins.
    fn settle(&mut self, index: u64) {
        let Some(Dispute { read: Some(read), origin: Some(origin) }) = self.disputes.get(&index).copied() else {
            return;
        };
        self.disputes.remove(&index);
        if self.record.is_some() {
            return self.settle_by_record(index, read, origin);
        }
        if read != origin {
            return self.give_up(Failure::SourceUnstable);
        }
        self.repairs.source += 1;
        let chunk = &mut self.chunks[index as usize];
        let was_right = chunk.hash == Some(read);
        chunk.hash = Some(read);
        chunk.origin_agrees = true;
        chunk.proven &= was_right;
        if self.undecided.contains(&index) {
            // Nothing was sent yet: the decision is made with the right hash and the bytes just read.
            return self.decide();
        }
        if chunk.owed {
            return self.send(index);
        }
        self.actions.push_back(Action::Forget(index));
        if was_right {
            self.close_if_proven(index);
        } else if self.basis != (Basis::Claim { claimed: false }) && !self.void.contains(&index) {
            self.release_held_back();
            self.make_void(index);
        }
    }

    /// What the receiver has of the chunk is wrong: it comes again in the next round.
    fn make_void(&mut self, index: u64) {
        self.reopen(index);
        let chunk = &mut self.chunks[index as usize];
        chunk.delivered = false;
        chunk.owed = false;
        self.void.push(index);
    }

    /// Whether there is reason for a new round, and nothing more to be learnt in this one: one round then repairs all
    /// that was found, however many chunks. Their numbers must fit into a message, though.
    fn round_is_over(&self) -> bool {
        let found = self.void.len();
        found > 0 && (self.round_is_stuck || found >= HASHES_PER_MESSAGE_MAX || found as u64 == self.open_chunks)
    }

    /// Everything that was read back is void; the chunks in `void` are read and sent again.
    fn start_round(&mut self) -> Action {
        self.round += 1;
        self.check_failed = false;
        self.round_is_stuck = false;
        let chunks = std::mem::take(&mut self.void);
        for index in 0..self.chunks.len() {
            self.reopen(index as u64);
        }
        for &index in &chunks {
            self.chunks[index as usize].owed = true;
            self.read_again(index);
        }
        Action::Redo { round: self.round, chunks }
    }

    /// Whatever made a second reading necessary, the page cache is not asked again. A reading under way serves as well:
    /// only the first asks the cache, and nothing needs a chunk again before that came.
    fn read_again(&mut self, index: u64) {
        if !std::mem::replace(&mut self.chunks[index as usize].reading, true) {
            self.reading += 1;
            self.actions.push_back(Action::Read { index, past_cache: true });
        }
    }

    /// What was read back of the chunk no longer counts.
    fn reopen(&mut self, index: u64) {
        let chunk = &mut self.chunks[index as usize];
        if chunk.proven && chunk.origin_agrees {
            self.open_chunks += 1;
        }
        chunk.proven = false;
    }

    /// The target as a whole is what the source is.
    fn prove_all(&mut self) {
        for index in 0..self.geometry.count() {
            self.prove(index);
        }
    }

    fn prove(&mut self, index: u64) {
        if !std::mem::replace(&mut self.chunks[index as usize].proven, true) {
            self.close_if_proven(index);
        }
    }

    /// To be called once, when the latter of the two conditions came true.
    fn close_if_proven(&mut self, index: u64) {
        let chunk = &self.chunks[index as usize];
        if chunk.proven && chunk.origin_agrees {
            self.open_chunks -= 1;
            self.fewest_open = self.fewest_open.min(self.open_chunks);
        }
    }

    /// The claim once everything was read, the commit once everything is proven.
    fn conclusion(&mut self) -> Option<Action> {
        if self.basis == (Basis::Claim { claimed: false }) {
            let is_reading = self.reading > 0 || self.reading_origin > 0 || !self.origin_due.is_empty();
            if self.next_read < self.geometry.count() || is_reading {
                return None;
            }
            assert!(self.chunks.iter().all(|chunk| chunk.origin_agrees), "whatever is not agreed on is being read");
            self.basis = Basis::Claim { claimed: true };
            return self.root().map(Action::Claim);
        }
        if self.open_chunks > 0 {
            return None;
        }
        assert!(self.chunks.iter().all(|chunk| chunk.proven && chunk.origin_agrees), "no chunk is left open");
        self.ended = true;
        self.root().map(Action::Commit)
    }

    fn root(&self) -> Option<Root> {
        let hashes: Option<Vec<_>> = self.chunks.iter().map(|chunk| chunk.hash).collect();
        Root::from_chaining_values(&hashes?)
    }

    fn give_up(&mut self, failure: Failure) {
        self.actions.clear();
        self.actions.push_back(Action::GiveUp(failure));
    }
}

#[cfg(test)]
mod tests;
