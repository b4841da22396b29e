//! Pieces on their way through the stages of one process: put into the first queue, not yet out of the last.
//!
//! Nothing between the two waits for a network, and threads of the last stage that have nothing to do would have taken what
//! waits there: a piece that stays inside all the same is lost. **Looks are counted and no clock is read**: a process that
//! is stopped for a while, or a disk that takes a minute, loses nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::protocol::limits::{LOOK_EVERY, LOOKS_UNTIL_LOST};

/// When to look for pieces that got lost between stages. Looks that were missed are not made up for.
#[must_use]
pub fn looks() -> Interval {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// The pieces of one job that are inside, each with the looks it has seen in a row. `Piece` tells them apart.
#[derive(Debug)]
pub struct Transit<Piece>(Mutex<HashMap<Piece, u32>>);

impl<Piece> Default for Transit<Piece> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Piece: Copy + Eq + Hash + Debug> Transit<Piece> {
    fn inside(&self) -> MutexGuard<'_, HashMap<Piece, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piece is about to be put into the first queue.
    pub fn enter(&self, piece: Piece) {
        self.inside().insert(piece, 0);
    }

    /// The piece came out, well or not.
    pub fn leave(&self, piece: Piece) {
        self.inside().remove(&piece);
    }

    /// To be called every `LOOK_EVERY`, with whether the last stage has idle threads: answers the pieces that are lost, and
    /// forgets them. One that comes out later is late, and its job must be able to take it twice.
    pub fn look(&self, is_idle: bool) -> Vec<Piece> {
        let mut lost = Vec::new();
        self.inside().retain(|&piece, looks| {
            *looks = if is_idle { *looks + 1 } else { 0 };
            if *looks < LOOKS_UNTIL_LOST {
                return true;
            }
            tracing::warn!("piece {piece:?} did not come out of the stages of this process");
            lost.push(piece);
            false
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_inside_while_the_stage_idles_is_lost_once() {
        let transit = Transit::default();
        transit.enter(7);
        for _ in 1..LOOKS_UNTIL_LOST {
            assert_eq!(transit.look(true), [0; 0]);
        }
        assert_eq!(transit.look(true), [7]);
        assert_eq!(transit.look(true), [0; 0]);
    }

    #[test]
    fn a_stage_that_is_busy_for_long_loses_nothing() {
        let transit = Transit::default();
        transit.enter(7);
        assert!((0..1000).all(|look| transit.look(look % LOOKS_UNTIL_LOST != 0).is_empty()));
        transit.leave(7);
        assert!((0..1000).all(|_| transit.look(true).is_empty()));
    }
}
