//! Verify: each piece that arrived is checked against its hash before it is written.
//!
//! Adds no safety, the read-back covers it; it makes the retry early and small.

use tokio::sync::mpsc;

use super::stage::Arrivals;
use crate::hash::PieceHash;
use crate::jobs::Jobs;
use crate::seams::buffer::Parcel;
use crate::workers;

/// Starts threads that take arrived parcels and pass on the pieces that are right. They end with their queue.
pub(super) fn start(
    threads: usize,
    jobs: Jobs<dyn Arrivals>,
    arrived: mpsc::Receiver<Parcel>,
    checked: mpsc::Sender<Parcel>,
) {
    workers::take_parcels("verify", threads, arrived, move |mut parcel| {
        let Some(job) = jobs.find(parcel.job) else { return };
        check(&mut parcel, job.as_ref());
        if checked.blocking_send(parcel).is_err() {
            tracing::debug!("a piece arrived after the session's end");
        }
    });
}

/// Takes the pieces that are wrong out of the parcel and tells their job.
fn check(parcel: &mut Parcel, job: &dyn Arrivals) {
    let round = parcel.round;
    parcel.pieces.retain(|piece| {
        let Some(position) = job.position(piece.index) else { return false };
        let is_right = piece.hash == Some(PieceHash::of(position, &piece.bytes));
        if !is_right {
            job.arrived_bad(piece.index, round);
        }
        is_right
    });
}
