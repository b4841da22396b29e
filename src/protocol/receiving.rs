//! The receiver's decisions about one large file: when to flush, what to read back, when it agrees to a commit.
//!
//! Events come in as calls, [`FileReceiving::next_action`] says what to do next. A hash is reported only for a range
//! that was flushed after its last write and then read; the root the receiver agrees to is merged from such hashes alone.
//! **No I/O and no clock here.**

use std::collections::VecDeque;

use super::failure::Failure;
use super::limits::{SYNC_EVERY_BYTES, SYNC_LEAST_BYTES};
use crate::chunk::{ChunkIndex, Geometry};
use crate::hash::{PieceHash, Root};

/// Requests of chunks read back at once.
const READING_BACK_MAX: usize = 4;
/// Rounds a sender may ask for; each is a whole read-back.
const ROUND_MAX: u32 = 64;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Flush the data written so far, in the background.
    Sync,
    /// Everything is staged: set length and attributes and flush all.
    FinalSync,
    /// Read this chunk back and hash it.
    ReadBack {
        /// Its number.
        index: u64,
        /// The round it is read for.
        round: u32,
    },
    /// Tell the sender what was read back.
    Report {
        /// Number of the chunk.
        index: u64,
        /// Its hash.
        hash: PieceHash,
        /// The round it belongs to.
        round: u32,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct ChunkState {
    /// What was announced for it when it arrived, was kept or copied.
    expected: Option<PieceHash>,
    /// Round of the last write, and the round a write must at least be of.
    staged_round: u32,
    needed_round: u32,
    read_back: Option<PieceHash>,
    misread: bool,
    /// It is being read back, and was written since that began.
    reading: bool,
    reading_is_void: bool,
}

impl ChunkState {
    fn is_staged(&self) -> bool {
        self.expected.is_some() && self.staged_round >= self.needed_round
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncing {
    No,
    Data,
    Final,
    Done,
}

/// State of one large file at the receiver.
#[derive(Debug)]
pub struct FileReceiving {
    geometry: Geometry,
    reads_back: bool,
    chunks: Vec<ChunkState>,
    unstaged: u64,
    unsynced: Vec<u64>,
    syncing: Vec<u64>,
    sync: Syncing,
    to_read: VecDeque<u64>,
    reading: usize,
    to_report: VecDeque<u64>,
    round: u32,
    trailing: bool,
    misreads: u64,
}

impl FileReceiving {
    /// Starts a file. Without `reads_back` the hashes of what arrived stand for the stored ones.
    #[must_use]
    pub fn new(geometry: Geometry, reads_back: bool) -> Self {
        let count = usize::try_from(geometry.count()).expect("the number of chunks is bounded");
        Self {
            geometry,
            reads_back,
            chunks: vec![ChunkState::default(); count],
            unstaged: geometry.count(),
            unsynced: Vec::new(),
            syncing: Vec::new(),
            sync: Syncing::No,
            to_read: VecDeque::new(),
            reading: 0,
            to_report: VecDeque::new(),
            round: 0,
            trailing: true,
            misreads: 0,
        }
    }

    /// Chunks that read wrong once and right the second time.
    #[must_use]
    pub fn misreads(&self) -> u64 {
        self.misreads
    }

    /// What every chunk is to hash to as it was announced, once all are staged.
    #[must_use]
    pub fn announced(&self) -> Option<Vec<PieceHash>> {
        self.chunks.iter().map(|chunk| chunk.expected.filter(|_| chunk.is_staged())).collect()
    }

    /// Whether a chunk of this number and round should be written: not if that or a later write is there already.
    #[must_use]
    pub fn wants(&self, index: ChunkIndex, round: u32) -> bool {
        self.chunks
            .get(index.0 as usize)
            .is_some_and(|chunk| round <= ROUND_MAX && (chunk.expected.is_none() || round > chunk.staged_round))
    }

    /// The chunk was written, and should hash to this.
    pub fn staged(&mut self, index: ChunkIndex, round: u32, expected: PieceHash) {
        let Some(chunk) = self.chunks.get_mut(index.0 as usize) else { return };
        let was_staged = chunk.is_staged();
        let was_written = chunk.expected.is_some();
        chunk.reading_is_void = chunk.reading;
        chunk.expected = Some(expected);
        chunk.staged_round = round;
        chunk.read_back = None;
        chunk.misread = false;
        if !was_staged && chunk.is_staged() {
            self.unstaged -= 1;
        }
        self.sync = if self.sync == Syncing::Done { Syncing::No } else { self.sync };
        if !self.reads_back {
            chunk.read_back = Some(expected);
            self.to_report.push_back(index.0);
        }
        if was_written {
            // Whatever flush or read-back was due or under way, it was that of an older write.
            self.unsynced.retain(|&unsynced| unsynced != index.0);
            self.syncing.retain(|&syncing| syncing != index.0);
            self.to_read.retain(|&to_read| to_read != index.0);
        }
        self.unsynced.push(index.0);
    }

    /// The staged chunk was read back before the sender named it right: `hash` is what was found then. That counts as
    /// its read-back in the first round only, and not at all if the chunk was written since.
    pub fn kept(&mut self, index: ChunkIndex, hash: PieceHash) {
        let Some(chunk) = self.chunks.get_mut(index.0 as usize) else { return };
        if chunk.expected.is_some() {
            return;
        }
        chunk.expected = Some(hash);
        if chunk.is_staged() {
            self.unstaged -= 1;
        }
        if self.round == 0 {
            chunk.read_back = Some(hash);
        } else if !self.reads_back {
            chunk.read_back = Some(hash);
            self.to_report.push_back(index.0);
        }
    }

    /// The sync that was asked for last succeeded.
    pub fn synced(&mut self) {
        let was_final = self.sync == Syncing::Final;
        let nothing_new = self.unsynced.is_empty();
        self.sync = if was_final && nothing_new && self.unstaged == 0 { Syncing::Done } else { Syncing::No };
        let flushed = std::mem::take(&mut self.syncing);
        if !self.reads_back {
            return;
        }
        if self.trailing {
            self.to_read.extend(flushed);
        } else if self.sync == Syncing::Done {
            // After a mismatch anything may be wrong: everything is read back, and only now.
            self.to_read = (0..self.geometry.count()).filter(|&index| self.needs_reading(index)).collect();
        }
    }

    /// The chunk was read back for this round and hashes to this.
    pub fn read_back(&mut self, index: ChunkIndex, round: u32, hash: PieceHash) {
        self.reading = self.reading.saturating_sub(1);
        let Some(chunk) = self.chunks.get_mut(index.0 as usize) else { return };
        chunk.reading = false;
        if round != self.round || chunk.reading_is_void || !chunk.is_staged() {
            // It will be read after the next flush.
            return;
        }
        if chunk.expected != Some(hash) && !chunk.misread {
            // One wrong read may be the reading's own fault: once more before it is reported.
            chunk.misread = true;
            self.to_read.push_front(index.0);
            return;
        }
        if chunk.expected == Some(hash) && std::mem::take(&mut chunk.misread) {
            self.misreads += 1;
        }
        chunk.read_back = Some(hash);
        self.to_report.push_back(index.0);
    }

    /// The sender voids all read-backs; these chunks come again.
    pub fn redo(&mut self, round: u32, chunks: &[u64]) -> Result<(), Failure> {
        if round <= self.round || round > ROUND_MAX {
            return Err(Failure::Protocol);
        }
        self.round = round;
        self.trailing = false;
        self.to_read.clear();
        self.to_report.clear();
        self.sync = if self.sync == Syncing::Done { Syncing::No } else { self.sync };
        for chunk in &mut self.chunks {
            chunk.read_back = None;
            chunk.misread = false;
        }
        for &index in chunks {
            let chunk = self.chunks.get_mut(index as usize).ok_or(Failure::Protocol)?;
            let was_staged = chunk.is_staged();
            chunk.needed_round = round;
            if was_staged && !chunk.is_staged() {
                self.unstaged += 1;
            }
        }
        if !self.reads_back {
            for index in 0..self.geometry.count() {
                let chunk = &mut self.chunks[index as usize];
                if chunk.is_staged() {
                    chunk.read_back = chunk.expected;
                    self.to_report.push_back(index);
                }
            }
        }
        Ok(())
    }

    /// What to do next; nothing until another event.
    pub fn next_action(&mut self) -> Option<Action> {
        while let Some(index) = self.to_report.pop_front() {
            // Nothing to report of a chunk that was written again meanwhile.
            if let Some(hash) = self.chunks[index as usize].read_back {
                return Some(Action::Report { index, hash, round: self.round });
            }
        }
        // One reading of a chunk at a time: else it could not be told which of them a write made void.
        if self.reading < READING_BACK_MAX * self.geometry.chunk_size().per_request() as usize
            && let Some(place) = self.to_read.iter().position(|&index| !self.chunks[index as usize].reading)
            && let Some(index) = self.to_read.remove(place)
        {
            self.reading += 1;
            let chunk = &mut self.chunks[index as usize];
            chunk.reading = true;
            chunk.reading_is_void = false;
            return Some(Action::ReadBack { index, round: self.round });
        }
        if self.sync == Syncing::No {
            if self.unstaged == 0 {
                self.syncing = std::mem::take(&mut self.unsynced);
                self.sync = Syncing::Final;
                return Some(Action::FinalSync);
            }
            if self.trailing && self.is_sync_due() {
                self.syncing = std::mem::take(&mut self.unsynced);
                self.sync = Syncing::Data;
                return Some(Action::Sync);
            }
        }
        None
    }

    /// The root of what was read back, once everything was, after the last flush. A commit may be authorised before
    /// that, where the sender needed no report of the last chunks, and then waits for it.
    #[must_use]
    pub fn root_read_back(&self) -> Option<Root> {
        if self.sync != Syncing::Done || self.unstaged > 0 {
            return None;
        }
        let hashes: Option<Vec<_>> = self.chunks.iter().map(|chunk| chunk.read_back).collect();
        Root::from_chaining_values(&hashes?)
    }

    /// Whether what was written is worth a flush: towards the end less and less, so that little is to be read back after the
    /// last one, which the sender waits for.
    fn is_sync_due(&self) -> bool {
        let bytes = |chunks: u64| chunks * u64::from(self.geometry.chunk_size().bytes());
        let to_come = bytes(self.unstaged);
        to_come >= SYNC_LEAST_BYTES && bytes(self.unsynced.len() as u64) >= to_come.min(SYNC_EVERY_BYTES)
    }

    fn needs_reading(&self, index: u64) -> bool {
        self.chunks[index as usize].read_back.is_none()
    }
}

#[cfg(test)]
mod tests;
