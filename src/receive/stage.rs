//! Stage: pieces that were checked are written to the staging files of their job.

use std::fmt::Debug;

use tokio::sync::mpsc;

use crate::hash::Position;
use crate::jobs::Jobs;
use crate::seams::buffer::Parcel;
use crate::workers::{self, Stage};

/// A job as the stages see it.
pub(super) trait Arrivals: Send + Sync + Debug {
    /// Where the piece lies; nothing if the job has no such piece.
    fn position(&self, index: u64) -> Option<Position>;
    /// Length of the piece in bytes, if it is to be taken: once, and not if this or a later write is there already.
    fn accept(&self, index: u64, round: u32) -> Option<usize>;
    /// The accepted piece has arrived and is about to go through the stages.
    fn arrived(&self, index: u64, round: u32);
    /// The piece did not arrive, or did not hash to what was announced.
    fn arrived_bad(&self, index: u64, round: u32);
    /// Writes the parcel's pieces. Blocks.
    fn stage(&self, parcel: Parcel);
    /// Looks, every `LOOK_EVERY`, whether pieces that arrived got lost between the stages.
    fn look(&self, is_idle: bool);
}

/// Starts threads that take checked parcels and have their jobs write them. They end with their queue.
pub(super) fn start(threads: usize, jobs: Jobs<dyn Arrivals>, checked: mpsc::Receiver<Parcel>) -> Stage {
    workers::take_parcels("stage", threads, checked, move |parcel| {
        if let Some(job) = jobs.find(parcel.job) {
            job.stage(parcel);
        }
    })
}
