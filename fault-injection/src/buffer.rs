//! Faulty buffers: queues with a thread in the middle that does to the pieces what the plan says.
//!
//! One parcel more than in a plain queue can be under way, else nothing differs. A parcel that has lost all its pieces is
//! gone; one that waits for another to exchange bytes with is let go when its queue closes.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use careful::seams::buffer::{Buffers, Hop, Parcel, Piece, PieceBuffer};
use tokio::sync::mpsc;

use crate::atlas::Atlas;
use crate::plan::{Fault, Place, Plan, Strike, damage};

/// Queues that a plan strikes.
#[derive(Debug)]
pub struct FaultyBuffers {
    plan: Arc<Plan>,
    atlas: Arc<Atlas>,
}

impl FaultyBuffers {
    /// Queues for this plan; the atlas says which piece is which.
    #[must_use]
    pub fn new(plan: Arc<Plan>, atlas: Arc<Atlas>) -> Self {
        Self { plan, atlas }
    }
}

impl Buffers for FaultyBuffers {
    fn queue(&self, hop: Hop, capacity: usize) -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
        let (sender, mut entering) = mpsc::channel(capacity);
        let (leaving, receiver) = mpsc::channel(1);
        let mut passing = Passing {
            plan: Arc::clone(&self.plan),
            atlas: Arc::clone(&self.atlas),
            hop,
            waiting: Vec::new(),
            exchanges: Vec::new(),
        };
        // It ends with its queue: when the one side is closed and empty, or when the other is gone.
        let spawned = thread::Builder::new().name(format!("faults {hop:?}")).spawn(move || {
            while let Some(parcel) = entering.blocking_recv() {
                if passing.pass(parcel).into_iter().any(|parcel| leaving.blocking_send(parcel).is_err()) {
                    return;
                }
            }
            for parcel in passing.waiting {
                // Nobody may be there any more.
                leaving.blocking_send(parcel).ok();
            }
        });
        assert!(spawned.is_ok(), "a thread can be started");
        (sender, receiver)
    }
}

/// The middle of one queue.
struct Passing {
    plan: Arc<Plan>,
    atlas: Arc<Atlas>,
    hop: Hop,
    /// Chunks that wait for the one they exchange their bytes with, which of the two ever comes first.
    waiting: Vec<Parcel>,
    /// What is made when they meet.
    exchanges: Vec<Strike>,
}

impl Passing {
    /// What comes out for this parcel.
    fn pass(&mut self, mut parcel: Parcel) -> Vec<Parcel> {
        let (job, round, before) = (parcel.job, parcel.round, parcel.pieces.len());
        let mut doubles = Vec::new();
        let partner = self.partner(&parcel);
        let next = self.next_within(&parcel);
        parcel.pieces.retain_mut(|piece| self.strike(piece, &mut doubles));
        if before > 0 && parcel.pieces.is_empty() {
            return Vec::new();
        }
        if let Some((one, other)) = next {
            self.exchange_within(&mut parcel, one, other);
        }
        let mut leaving = Vec::new();
        match partner {
            None => leaving.push(parcel),
            Some(partner) => {
                let met = self.waiting.iter().position(|other| other.job == job && other.pieces[0].index == partner);
                match met.map(|position| self.waiting.swap_remove(position)) {
                    None => self.waiting.push(parcel),
                    Some(mut other) => {
                        self.exchange(&mut parcel.pieces[0], &mut other.pieces[0]);
                        leaving.extend([parcel, other]);
                    }
                }
            }
        }
        leaving.extend(doubles.into_iter().map(|piece| Parcel { job, round, pieces: vec![piece] }));
        leaving
    }

    /// Where the piece is now; nothing for bytes that are of no file.
    fn place(&self, piece: &Piece) -> Option<Place> {
        let (file, chunk) = self.atlas.find(&piece.bytes)?;
        Some(Place::Buffer { hop: self.hop, file: file.to_vec(), chunk })
    }

    /// Makes what is due at a piece; false if it is dropped.
    fn strike(&mut self, piece: &mut Piece, doubles: &mut Vec<Piece>) -> bool {
        let mut stays = true;
        let mut due = Vec::new();
        if let Some(place) = self.place(piece) {
            due = self.plan.visit(&place);
            self.plan.lies_in(place, &piece.bytes);
        }
        for strike in due {
            let has_effect = match strike.fault {
                Fault::Exchange => {
                    self.exchanges.push(strike);
                    false
                }
                Fault::Drop => {
                    stays = false;
                    true
                }
                Fault::Double => {
                    doubles.push(copy(piece));
                    true
                }
                Fault::Slow { millis } => {
                    thread::sleep(Duration::from_millis(millis));
                    true
                }
                Fault::WrongIndex => {
                    piece.index += 1;
                    true
                }
                Fault::WrongHash { bit } => piece.hash.as_mut().is_some_and(|hash| {
                    hash.0[usize::from(bit / 8)] ^= 1 << (bit % 8);
                    true
                }),
                Fault::Truncate { bytes } => {
                    let shorter = usize::try_from(bytes).ok().filter(|&length| length < piece.bytes.len());
                    shorter.inspect(|&length| piece.bytes.set_length(length)).is_some()
                }
                _ => damage(strike, &mut piece.bytes).is_some(),
            };
            if has_effect {
                self.plan.took_effect(strike);
            }
        }
        stays
    }

    /// With which chunk this one is to exchange its bytes, if it comes alone, and for the first time.
    fn partner(&self, parcel: &Parcel) -> Option<u64> {
        let [piece] = &parcel.pieces[..] else { return None };
        let place = self.place(piece)?;
        let (file, chunk) = self.atlas.find(&piece.bytes)?;
        let mut planned = self.plan.exchanged(self.hop).filter(|_| self.plan.visits(&place) == 0);
        planned.find_map(|(planned, first)| match chunk {
            _ if planned != file => None,
            chunk if chunk == first => Some(first + 1),
            chunk if chunk == first + 1 => Some(first),
            _ => None,
        })
    }

    /// Files of a group come in one parcel: the planned one and the one after it, or any other.
    fn next_within(&self, parcel: &Parcel) -> Option<(u64, u64)> {
        let is_planned = |piece: &&Piece| {
            let found = self.atlas.find(&piece.bytes);
            self.plan.exchanged(self.hop).any(|planned| found == Some(planned))
        };
        let one = parcel.pieces.iter().find(is_planned)?.index;
        let others = parcel.pieces.iter().map(|piece| piece.index).filter(|&index| index != one);
        Some((one, others.min_by_key(|&index| index.abs_diff(one + 1))?))
    }

    fn exchange_within(&mut self, parcel: &mut Parcel, one: u64, other: u64) {
        let place_of = |index: u64| parcel.pieces.iter().position(|piece| piece.index == index);
        if let (false, Some(one), Some(other)) = (self.exchanges.is_empty(), place_of(one), place_of(other)) {
            let (low, high) = parcel.pieces.split_at_mut(one.max(other));
            self.exchange(&mut low[one.min(other)], &mut high[0]);
        }
    }

    fn exchange(&mut self, one: &mut Piece, other: &mut Piece) {
        std::mem::swap(&mut one.bytes, &mut other.bytes);
        if let (Some(strike), true) = (self.exchanges.pop(), one.bytes[..] != other.bytes[..]) {
            self.plan.took_effect(strike);
        }
    }
}

fn copy(piece: &Piece) -> Piece {
    let mut bytes = PieceBuffer::unpooled(piece.bytes.len());
    bytes.copy_from_slice(&piece.bytes);
    Piece { index: piece.index, hash: piece.hash, bytes }
}
