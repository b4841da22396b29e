//! Faulty buffers: queues with a thread in the middle that does to the pieces what the plan says.
//!
//! One parcel more than in a plain queue can be under way, else nothing differs. A parcel that has lost all its pieces is
//! gone; one that waits for another to exchange bytes with is let go when its queue closes.

use std::sync::Arc;
use std::thread;

use careful::seams::buffer::{Buffers, Hop, Parcel, Piece, PieceBuffer};
use tokio::sync::mpsc;

use crate::plan::{Fault, Place, Plan, Strike, damage};

/// Queues that a plan strikes.
#[derive(Debug)]
pub struct FaultyBuffers {
    plan: Arc<Plan>,
}

impl FaultyBuffers {
    /// Queues for this plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { plan }
    }
}

impl Buffers for FaultyBuffers {
    fn queue(&self, hop: Hop, capacity: usize) -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
        let (sender, mut entering) = mpsc::channel(capacity);
        let (leaving, receiver) = mpsc::channel(1);
        let mut passing = Passing { plan: Arc::clone(&self.plan), hop, waiting: Vec::new(), exchanges: Vec::new() };
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
        parcel.pieces.retain_mut(|piece| self.strike(piece, &mut doubles));
        if before > 0 && parcel.pieces.is_empty() {
            return Vec::new();
        }
        let mut leaving = Vec::new();
        match partner {
            None => leaving.push(self.exchange_within(parcel)),
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

    /// Makes what is due at a piece; false if it is dropped.
    fn strike(&mut self, piece: &mut Piece, doubles: &mut Vec<Piece>) -> bool {
        let mut stays = true;
        for strike in self.plan.visit(&Place::Buffer { hop: self.hop, piece: piece.index }) {
            match strike.fault {
                Fault::Exchange => {
                    self.exchanges.push(strike);
                    continue;
                }
                Fault::Drop => stays = false,
                Fault::Double => doubles.push(copy(piece)),
                _ if damage(strike, &mut piece.bytes).is_none() => continue,
                _ => {}
            }
            self.plan.took_effect(strike);
        }
        stays
    }

    /// With which chunk this one is to exchange its bytes, if it comes alone, and for the first time.
    fn partner(&self, parcel: &Parcel) -> Option<u64> {
        let [piece] = &parcel.pieces[..] else { return None };
        let is_first = self.plan.visits(&Place::Buffer { hop: self.hop, piece: piece.index }) == 0;
        let planned = self.plan.exchanged(self.hop).into_iter().filter(|_| is_first);
        let other = |first: u64| match piece.index {
            index if index == first => Some(first + 1),
            index if index == first + 1 => Some(first),
            _ => None,
        };
        planned.filter_map(other).next()
    }

    /// Files of a group come in one parcel.
    fn exchange_within(&mut self, mut parcel: Parcel) -> Parcel {
        for first in self.plan.exchanged(self.hop) {
            let place_of = |index: u64| parcel.pieces.iter().position(|piece| piece.index == index);
            if let (false, Some(one), Some(other)) = (self.exchanges.is_empty(), place_of(first), place_of(first + 1)) {
                let (low, high) = parcel.pieces.split_at_mut(one.max(other));
                self.exchange(&mut low[one.min(other)], &mut high[0]);
            }
        }
        parcel
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
