//! Everything around the two machines of a large file, in memory: source, streams, staging file, target.
//!
//! Whatever may happen next happens in an order that a seed decides; faults come from a plan. The world sees what no
//! machine sees, so it is the judge: it fails the test as soon as a promise is broken. A piece of content is stood for
//! by its hash. Longer than most files: sides and judge share one state. **No clock, no thread, no file.**

use std::collections::{HashMap, VecDeque};

use crate::chunk::{ChunkIndex, ChunkSize, Geometry};
use crate::hash::{PieceHash, Position, Root};
use crate::protocol::failure::Failure;
use crate::protocol::message::{FileAnswer, Run};
use crate::protocol::receiving::{self, FileReceiving};
use crate::protocol::sending::{self, FileSending, Recorded, Repairs};

/// One fault. The number of a chunk is taken modulo their count; reads, sends and writes of a chunk count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This read for sending finds something else.
    UploadWrong { chunk: u64, nth: u32 },
    /// Every read through the page cache finds the same wrong bytes.
    CacheWrong { chunk: u64 },
    /// This second read finds something else.
    OriginWrong { chunk: u64, nth: u32 },
    /// Every read of the source finds something else.
    Unstable { chunk: u64 },
    /// Every read of the source finds the same wrong bytes: they are wrong on its disk.
    DiskWrong { chunk: u64 },
    /// The first so many sends of it arrive wrong.
    ArrivesWrong { chunk: u64, times: u32 },
    /// The first so many writes of it store something else.
    StoredWrong { chunk: u64, times: u32 },
    /// The first so many reads of the stored chunk find something else.
    ReadBackWrong { chunk: u64, times: u32 },
    /// Every report comes twice.
    ReportsTwice,
    /// Every complaint about an arrival comes twice.
    ComplaintsTwice,
    /// Reports of rounds that are over come again, with any hash.
    OldReports,
}

/// What is there of a chunk before the transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    Right,
    Wrong,
}

/// One run of the model, and all that decides about it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Decides what happens next.
    pub(super) seed: u64,
    /// Chunks of 1024 bytes with real bytes, or of 4 MiB, of which a few are flushed before the end.
    pub(super) large_chunks: bool,
    pub(super) last_chunk_bytes: u64,
    pub(super) second_read: bool,
    /// What the source was before any fault is recorded, so many chunks under one hash: a power of two. Replaces the second
    /// read.
    pub(super) record: Option<usize>,
    pub(super) reads_back: bool,
    /// The target may not be replaced.
    pub(super) claim: bool,
    /// What is there; the length of this list is the number of chunks.
    pub(super) staged: Vec<Held>,
    pub(super) target: Vec<Held>,
    pub(super) faults: Vec<Fault>,
}

impl Plan {
    /// Nothing is there and nothing goes wrong.
    pub(super) fn plain(chunks: usize) -> Self {
        Self {
            seed: 1,
            large_chunks: false,
            last_chunk_bytes: 1,
            second_read: true,
            record: None,
            reads_back: true,
            claim: false,
            staged: vec![Held::Nothing; chunks],
            target: vec![Held::Nothing; chunks],
            faults: Vec::new(),
        }
    }

    pub(super) fn answer(&self) -> FileAnswer {
        let is_there = |list: &[Held]| list.iter().any(|held| *held != Held::Nothing);
        if self.claim {
            FileAnswer::Claim
        } else if is_there(&self.staged) || is_there(&self.target) {
            FileAnswer::Basis { target_may_equal: !self.target.contains(&Held::Nothing) }
        } else {
            FileAnswer::Send
        }
    }

    fn count(&self) -> u64 {
        self.staged.len() as u64
    }

    /// Whether one of the faults matches now.
    fn fires(&self, matches: impl Fn(Fault) -> bool) -> bool {
        self.faults.iter().any(|&fault| matches(fault))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// The target may not be replaced and is not equal.
    TargetDiffers,
    GivenUp(Failure),
}

/// What happened to one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) uploads: u32,
    pub(super) origins: u32,
    pub(super) sends: u32,
    pub(super) keeps: u32,
    pub(super) copies: u32,
    pub(super) writes: u32,
    pub(super) read_backs: u32,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) repairs: Repairs,
    pub(super) misreads: u64,
    pub(super) rounds: u32,
    pub(super) traffic: Vec<Traffic>,
    /// Chunks whose bytes the sender still holds.
    pub(super) bytes_held: usize,
}

/// Under way, to be delivered in any order.
#[derive(Debug)]
enum Event {
    Read { index: u64, found: PieceHash },
    OriginRead { index: u64, found: PieceHash },
    Arrival { index: u64, round: u32, announced: PieceHash, content: PieceHash },
    Synced { writes: Vec<u32> },
    ReadBack { index: u64, round: u32, found: PieceHash, counts: bool, write: u32 },
}

impl Event {
    fn kind(&self) -> u64 {
        match self {
            Self::Read { .. } => 0,
            Self::OriginRead { .. } => 1,
            Self::Arrival { .. } => 2,
            Self::Synced { .. } => 3,
            Self::ReadBack { .. } => 4,
        }
    }
}

/// On the file's stream to the receiver, in order.
#[derive(Debug)]
enum ToReceiver {
    Keep(Run),
    Copy(Run),
    Claim(Root),
    Redo { round: u32, chunks: Vec<u64> },
    Commit(Root),
}

/// On the file's stream to the sender, in order.
#[derive(Clone, Copy, Debug)]
enum ToSender {
    Have { index: u64, staged: Option<PieceHash>, target: Option<PieceHash> },
    Bad(u64),
    Stored { round: u32, index: u64, hash: PieceHash },
    Equal,
}

/// A chunk of the staging file.
#[derive(Clone, Debug, Default)]
struct Stored {
    content: Option<PieceHash>,
    is_synced: bool,
    /// What was found by reads that count, since the last write and in this round.
    proofs: Vec<PieceHash>,
}

pub(super) struct World {
    plan: Plan,
    random: u64,
    source: Vec<PieceHash>,
    root: Root,
    sending: FileSending,
    receiving: FileReceiving,
    bytes: HashMap<u64, PieceHash>,
    traffic: Vec<Traffic>,
    stored: Vec<Stored>,
    staged_before: Vec<Option<PieceHash>>,
    target: Vec<Option<PieceHash>>,
    events: Vec<Event>,
    to_receiver: VecDeque<ToReceiver>,
    to_sender: VecDeque<ToSender>,
    sender_is_idle: bool,
    receiver_is_idle: bool,
    is_syncing: bool,
    receiver_round: u32,
    /// The sender authorised the commit; the receiver's own agreement may come later.
    authorised: Option<Root>,
    wrongs: u64,
    old_reports_left: u32,
    outcome: Option<Outcome>,
}

/// Runs the plan to its end.
///
/// # Panics
/// If a promise is broken, nothing is left to happen, or it does not end.
pub(super) fn run(plan: &Plan) -> Ended {
    let mut world = World::new(plan.clone());
    let steps_max = 20_000;
    for _ in 0..steps_max {
        if let Some(outcome) = world.outcome {
            return world.end(outcome);
        }
        world.step();
        world.commit_if_agreed();
    }
    panic!("no end after {steps_max} steps");
}

impl World {
    fn new(plan: Plan) -> Self {
        let chunk_bytes: u32 = if plan.large_chunks { 4 << 20 } else { 1024 };
        let count = plan.count();
        let length = (count - 1) * u64::from(chunk_bytes) + plan.last_chunk_bytes;
        let geometry = Geometry::new(length, ChunkSize::new(chunk_bytes).expect("a power of two"));
        let (source, root) = source(geometry, plan.large_chunks);
        let held = |list: &[Held], name: u64| -> Vec<_> {
            let chunks = list.iter().zip(&source).zip(0..);
            let hash = |((held, right), index): ((&Held, &PieceHash), u64)| match held {
                Held::Nothing => None,
                Held::Right => Some(*right),
                Held::Wrong => Some(made_up(&[name, index])),
            };
            chunks.map(hash).collect()
        };
        let (staged, target) = (held(&plan.staged, 1), held(&plan.target, 2));
        let stored = staged.iter().map(|&content| Stored { content, is_synced: true, proofs: Vec::new() }).collect();
        let has_basis = matches!(plan.answer(), FileAnswer::Basis { .. });
        let have =
            |index: u64| ToSender::Have { index, staged: staged[index as usize], target: target[index as usize] };
        Self {
            random: plan.seed,
            root,
            sending: sending(&plan, geometry, &source, root),
            receiving: FileReceiving::new(geometry, plan.reads_back),
            bytes: HashMap::new(),
            traffic: vec![Traffic::default(); plan.staged.len()],
            stored,
            to_sender: if has_basis { (0..count).map(have).collect() } else { VecDeque::new() },
            staged_before: staged,
            target,
            source,
            events: Vec::new(),
            to_receiver: VecDeque::new(),
            sender_is_idle: false,
            receiver_is_idle: false,
            is_syncing: false,
            receiver_round: 0,
            authorised: None,
            wrongs: 0,
            old_reports_left: if plan.faults.contains(&Fault::OldReports) { 10 } else { 0 },
            outcome: None,
            plan,
        }
    }

    fn end(self, outcome: Outcome) -> Ended {
        Ended {
            outcome,
            repairs: self.sending.repairs(),
            misreads: self.receiving.misreads(),
            rounds: self.receiver_round,
            traffic: self.traffic,
            bytes_held: self.bytes.len(),
        }
    }

    /// One of all the things that may happen now. Half of the seeds let a machine act as long as it can, as a program
    /// does; and each has something that lags behind, as a slow disk does.
    fn step(&mut self) {
        if self.plan.seed.is_multiple_of(2) && !self.sender_is_idle {
            return self.sender_acts();
        }
        if self.plan.seed.is_multiple_of(2) && !self.receiver_is_idle {
            return self.receiver_acts();
        }
        let places = [
            !self.sender_is_idle,
            !self.receiver_is_idle,
            !self.to_receiver.is_empty(),
            !self.to_sender.is_empty(),
            self.old_reports_left > 0 && self.receiver_round > 0,
        ];
        let possible: Vec<usize> = (0..places.len()).filter(|&place| places[place]).collect();
        let choices = possible.len() + self.events.len();
        assert!(choices > 0, "stuck: nothing is left to happen; {:?} {:?}", self.sending, self.receiving);
        let mut choice = self.below(choices);
        for _ in 0..4 {
            let lags = match choice.checked_sub(possible.len()) {
                Some(event) => self.events[event].kind(),
                None => 5 + possible[choice] as u64,
            };
            if lags == self.plan.seed / 2 % 10 {
                choice = self.below(choices);
            }
        }
        match possible.get(choice) {
            Some(0) => self.sender_acts(),
            Some(1) => self.receiver_acts(),
            Some(2) => self.receiver_hears(),
            Some(3) => self.sender_hears(),
            Some(_) => self.replay_old_report(),
            None => {
                let event = self.events.swap_remove(choice - possible.len());
                self.happen(event);
            }
        }
    }

    fn sender_acts(&mut self) {
        let Some(action) = self.sending.next_action() else {
            self.sender_is_idle = true;
            return;
        };
        match action {
            sending::Action::Read { index, past_cache } => {
                let found = self.upload_read(index, past_cache);
                self.events.push(Event::Read { index, found });
            }
            sending::Action::ReadOrigin(index) => {
                assert!(self.plan.second_read || self.plan.record.is_some(), "one read was asked for");
                let found = self.origin_read(index);
                self.events.push(Event::OriginRead { index, found });
            }
            sending::Action::Send { index, round } => self.send(index, round),
            sending::Action::Forget(index) => {
                self.bytes.remove(&index);
            }
            sending::Action::Keep(run) => self.to_receiver.push_back(ToReceiver::Keep(run)),
            sending::Action::Copy(run) => self.to_receiver.push_back(ToReceiver::Copy(run)),
            sending::Action::Claim(root) => {
                assert_eq!(root, self.root, "the root of the source is claimed");
                self.to_receiver.push_back(ToReceiver::Claim(root));
            }
            sending::Action::Redo { round, chunks } => {
                assert!(!chunks.is_empty(), "a round has a reason");
                self.to_receiver.push_back(ToReceiver::Redo { round, chunks });
            }
            sending::Action::Commit(root) => {
                assert_eq!(root, self.root, "the root is that of the source");
                self.to_receiver.push_back(ToReceiver::Commit(root));
            }
            sending::Action::GiveUp(failure) => self.outcome = Some(Outcome::GivenUp(failure)),
        }
    }

    fn upload_read(&mut self, index: u64, past_cache: bool) -> PieceHash {
        let traffic = &mut self.traffic[index as usize];
        traffic.uploads += 1;
        let (this, count) = (traffic.uploads, self.plan.count());
        if self.plan.fires(|fault| match fault {
            Fault::UploadWrong { chunk, nth } => chunk % count == index && nth == this,
            Fault::Unstable { chunk } => chunk % count == index,
            _ => false,
        }) {
            return self.wrong();
        }
        if let Some(wrong) = self.wrong_on_disk(index) {
            return wrong;
        }
        let cache_is_wrong =
            |fault| matches!(fault, Fault::CacheWrong { chunk } if chunk % count == index && !past_cache);
        if self.plan.fires(cache_is_wrong) { made_up(&[3, index]) } else { self.source[index as usize] }
    }

    fn origin_read(&mut self, index: u64) -> PieceHash {
        let traffic = &mut self.traffic[index as usize];
        traffic.origins += 1;
        let (this, count) = (traffic.origins, self.plan.count());
        let is_wrong = self.plan.fires(|fault| match fault {
            Fault::OriginWrong { chunk, nth } => chunk % count == index && nth == this,
            Fault::Unstable { chunk } => chunk % count == index,
            _ => false,
        });
        if is_wrong {
            return self.wrong();
        }
        self.wrong_on_disk(index).unwrap_or(self.source[index as usize])
    }

    fn wrong_on_disk(&self, index: u64) -> Option<PieceHash> {
        let count = self.plan.count();
        let is_wrong = self.plan.fires(|fault| matches!(fault, Fault::DiskWrong { chunk } if chunk % count == index));
        is_wrong.then(|| made_up(&[5, index]))
    }

    fn send(&mut self, index: u64, round: u32) {
        let announced = self.bytes.remove(&index).expect("what is sent was read and not forgotten");
        let traffic = &mut self.traffic[index as usize];
        traffic.sends += 1;
        let (this, count) = (traffic.sends, self.plan.count());
        let is_wrong = self.plan.fires(
            |fault| matches!(fault, Fault::ArrivesWrong { chunk, times } if chunk % count == index && this <= times),
        );
        let content = if is_wrong { self.wrong() } else { announced };
        self.events.push(Event::Arrival { index, round, announced, content });
    }

    fn receiver_acts(&mut self) {
        let Some(action) = self.receiving.next_action() else {
            self.receiver_is_idle = true;
            return;
        };
        match action {
            receiving::Action::Sync | receiving::Action::FinalSync => {
                assert!(!std::mem::replace(&mut self.is_syncing, true), "one sync at a time");
                let writes = self.traffic.iter().map(|traffic| traffic.writes).collect();
                self.events.push(Event::Synced { writes });
            }
            receiving::Action::ReadBack { index, round } => {
                let event = self.read_stored(index, round);
                self.events.push(event);
            }
            receiving::Action::Report { index, hash, round } => {
                let is_proven = self.stored[index as usize].proofs.contains(&hash);
                assert!(is_proven || !self.plan.reads_back, "chunk {index} was reported without a read that counts");
                let report = ToSender::Stored { round, index, hash };
                self.to_sender.push_back(report);
                if self.plan.faults.contains(&Fault::ReportsTwice) {
                    self.to_sender.push_back(report);
                }
            }
        }
    }

    fn read_stored(&mut self, index: u64, round: u32) -> Event {
        let traffic = &mut self.traffic[index as usize];
        traffic.read_backs += 1;
        let (this, count, write) = (traffic.read_backs, self.plan.count(), traffic.writes);
        let is_wrong = self.plan.fires(
            |fault| matches!(fault, Fault::ReadBackWrong { chunk, times } if chunk % count == index && this <= times),
        );
        let wrong = self.wrong();
        let stored = &self.stored[index as usize];
        let content = stored.content.expect("what is read back was written");
        Event::ReadBack { index, round, found: if is_wrong { wrong } else { content }, counts: stored.is_synced, write }
    }

    fn receiver_hears(&mut self) {
        self.receiver_is_idle = false;
        match self.to_receiver.pop_front().expect("chosen because there is one") {
            ToReceiver::Keep(run) => {
                for index in run.first..run.first + run.count {
                    let found = self.staged_before[index as usize].expect("only what is there is kept");
                    self.traffic[index as usize].keeps += 1;
                    if self.receiver_round == 0 {
                        self.stored[index as usize].proofs.push(found);
                    }
                    self.receiving.kept(ChunkIndex(index), found);
                }
            }
            ToReceiver::Copy(run) => {
                for index in run.first..run.first + run.count {
                    let content = self.target[index as usize].expect("only what is there is copied");
                    self.traffic[index as usize].copies += 1;
                    self.write(index, content);
                    self.receiving.staged(ChunkIndex(index), self.receiver_round, content);
                }
            }
            ToReceiver::Claim(root) => {
                let target: Option<Vec<_>> = self.target.iter().copied().collect();
                if target.and_then(|hashes| Root::from_chaining_values(&hashes)) == Some(root) {
                    self.to_sender.push_back(ToSender::Equal);
                } else {
                    self.outcome = Some(Outcome::TargetDiffers);
                }
            }
            ToReceiver::Commit(root) => self.authorised = Some(root),
            ToReceiver::Redo { round, chunks } => {
                self.receiver_round = round;
                for stored in &mut self.stored {
                    stored.proofs.clear();
                }
                self.receiving.redo(round, &chunks).expect("the sender keeps to the protocol");
            }
        }
    }

    fn sender_hears(&mut self) {
        self.sender_is_idle = false;
        match self.to_sender.pop_front().expect("chosen because there is one") {
            ToSender::Have { index, staged, target } => self.sending.have(ChunkIndex(index), staged, target),
            ToSender::Bad(index) => self.sending.arrived_bad(ChunkIndex(index)),
            ToSender::Stored { round, index, hash } => self.sending.stored(round, ChunkIndex(index), hash),
            ToSender::Equal => self.sending.target_equals_claim(),
        }
    }

    fn replay_old_report(&mut self) {
        self.old_reports_left -= 1;
        let index = self.below(self.source.len());
        let hash = if self.below(2) == 0 { self.source[index] } else { self.wrong() };
        let round = self.below(self.receiver_round as usize) as u32;
        self.to_sender.push_back(ToSender::Stored { round, index: index as u64, hash });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Read { index, found } => {
                self.sender_is_idle = false;
                self.bytes.insert(index, found);
                self.sending.read(ChunkIndex(index), found);
            }
            Event::OriginRead { index, found } => {
                self.sender_is_idle = false;
                self.sending.origin_read(ChunkIndex(index), found);
            }
            Event::Arrival { index, round, announced, content } => self.arrive(index, round, announced, content),
            Event::Synced { writes } => {
                self.receiver_is_idle = false;
                self.is_syncing = false;
                for ((stored, traffic), writes) in self.stored.iter_mut().zip(&self.traffic).zip(writes) {
                    stored.is_synced |= traffic.writes == writes;
                }
                self.receiving.synced();
            }
            Event::ReadBack { index, round, found, counts, write } => {
                self.receiver_is_idle = false;
                if counts && round == self.receiver_round && write == self.traffic[index as usize].writes {
                    self.stored[index as usize].proofs.push(found);
                }
                self.receiving.read_back(ChunkIndex(index), round, found);
            }
        }
    }

    fn arrive(&mut self, index: u64, round: u32, announced: PieceHash, content: PieceHash) {
        if !self.receiving.wants(ChunkIndex(index), round) {
            return;
        }
        self.receiver_is_idle = false;
        if announced == content {
            self.write(index, content);
            return self.receiving.staged(ChunkIndex(index), round, announced);
        }
        self.to_sender.push_back(ToSender::Bad(index));
        if self.plan.faults.contains(&Fault::ComplaintsTwice) {
            self.to_sender.push_back(ToSender::Bad(index));
        }
    }

    fn write(&mut self, index: u64, content: PieceHash) {
        let traffic = &mut self.traffic[index as usize];
        traffic.writes += 1;
        let (this, count) = (traffic.writes, self.plan.count());
        let is_wrong = self.plan.fires(
            |fault| matches!(fault, Fault::StoredWrong { chunk, times } if chunk % count == index && this <= times),
        );
        let content = if is_wrong { self.wrong() } else { content };
        self.stored[index as usize] = Stored { content: Some(content), is_synced: false, proofs: Vec::new() };
    }

    /// The receiver commits once both sides agree: by what was staged or, if nothing was, by its target.
    fn commit_if_agreed(&mut self) {
        let Some(root) = self.authorised else { return };
        if self.traffic.iter().all(|traffic| traffic.keeps + traffic.copies + traffic.sends == 0) {
            assert!(self.target_is_right(), "nothing was staged, so the target is right as a whole");
            self.outcome = Some(Outcome::Committed);
        } else if let Some(own_root) = self.receiving.root_read_back() {
            assert_eq!(own_root, root, "the receiver agrees by what it read itself");
            self.judge();
            self.outcome = Some(Outcome::Committed);
        }
    }

    /// What must hold of the staging file whenever it is committed.
    fn judge(&self) {
        for (index, (stored, source)) in self.stored.iter().zip(&self.source).enumerate() {
            assert_eq!(stored.content.as_ref(), Some(source), "chunk {index} is stored right");
            assert!(stored.is_synced, "chunk {index} was flushed after its last write");
            assert!(stored.proofs.contains(source) || !self.plan.reads_back, "chunk {index} was read back right");
        }
        for event in &self.events {
            if let Event::Arrival { index, round, .. } = event {
                assert!(!self.receiving.wants(ChunkIndex(*index), *round), "chunk {index} would be written after all");
            }
        }
    }

    fn target_is_right(&self) -> bool {
        self.target.iter().zip(&self.source).all(|(target, source)| target.as_ref() == Some(source))
    }

    /// A hash that was never seen before.
    fn wrong(&mut self) -> PieceHash {
        self.wrongs += 1;
        made_up(&[4, self.wrongs])
    }

    /// A number below the limit (splitmix64, Steele et al. 2014).
    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.random;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % limit as u64) as usize
    }
}

fn sending(plan: &Plan, geometry: Geometry, source: &[PieceHash], root: Root) -> FileSending {
    let sending = FileSending::new(geometry, plan.second_read, plan.answer());
    let Some(chunks) = plan.record else { return sending };
    let values: Vec<_> = source.chunks(chunks).map(PieceHash::merged).collect();
    let bytes = chunks as u64 * u64::from(geometry.chunk_size().bytes());
    sending.against(Recorded::parts(geometry, root, bytes, &values))
}

/// Hashes and root of the source: of real bytes, or made up where chunks are too large for a test to fill.
fn source(geometry: Geometry, is_made_up: bool) -> (Vec<PieceHash>, Root) {
    if is_made_up {
        let hashes: Vec<_> = geometry.indices().map(|index| made_up(&[0, index.0])).collect();
        let root = Root::from_chaining_values(&hashes).expect("two chunks or more");
        return (hashes, root);
    }
    let bytes: Vec<u8> = (0..geometry.length_bytes()).map(|position| (position * 7 % 251) as u8).collect();
    let hash = |index| {
        let range = geometry.range(index).expect("index below count");
        let position = Position::Chunk { offset_bytes: range.start };
        PieceHash::of(position, &bytes[range.start as usize..range.end as usize])
    };
    (geometry.indices().map(hash).collect(), Root::of(&bytes))
}

fn made_up(words: &[u64]) -> PieceHash {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    PieceHash::of(Position::WholeFile, &bytes)
}
