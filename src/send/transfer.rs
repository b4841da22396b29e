//! A transfer at the sender: connect, run a session; connect again and go on when the connection is lost.
//!
//! Work that was under way when a connection was lost is simply offered again: what the receiver has by then counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::time::Instant;

use super::backlog::Backlog;
use super::job::Session;
use super::session::{Opening, drive};
use super::watched::Watched;
use super::{Ended, Observer, Plan, walk};
use crate::connect::meeting::{Meeting, NO_UDP};
use crate::patience::Patience;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::seams::Environment;
use crate::wire::connection::CloseReason;
use crate::wire::identity::{KeyPair, random_bytes};
use crate::wire::pace::Pace;

/// Runs a transfer to its end.
pub async fn run(
    environment: Environment,
    plan: Plan,
    mut meeting: Meeting,
    key: Arc<KeyPair>,
    observer: Arc<dyn Observer>,
    counters: Arc<Counters>,
) -> Ended {
    let Ok(transfer) = random_bytes() else { return Ended::Refused(Failure::Protocol) };
    let plan = Arc::new(plan);
    let failures = Arc::new(AtomicU64::new(0));
    let observer: Arc<dyn Observer> = Arc::new(Watched::new(observer, Arc::clone(&failures)));
    let disk = Arc::clone(&environment.disk);
    let found = Arc::new(walk::start(disk, &plan, Arc::clone(&counters), Arc::clone(&observer)));
    let backlog = Arc::new(Backlog::default());
    let pace = plan.bytes_per_second.map(|rate| Arc::new(Pace::new(rate)));
    let mut patience = Patience::new(plan.retry_for);
    let mut is_told_of_kept = false;
    loop {
        let connected = async {
            let met = meeting.connect(&environment, &key).await.map_err(Ended::Unreachable)?;
            if met.fell_back {
                observer.notice(NO_UDP);
            }
            let opening = Opening {
                environment: &environment,
                plan: &plan,
                observer: &observer,
                counters: &counters,
                failures: &failures,
                transfer,
                own_key: key.public(),
                pace: &pace,
            };
            tokio::select! {
                opened = opening.open(met.connection, &met.token) => opened,
                () = meeting.ended() => Err(Ended::Lost),
            }
        };
        let ended = match connected.await {
            Ok((session, control)) => {
                if !std::mem::replace(&mut is_told_of_kept, true) {
                    tell_not_kept(&session, &plan);
                }
                let mut driving = std::pin::pin!(drive(&session, control, &found, &backlog));
                let ended = tokio::select! {
                    ended = &mut driving => ended,
                    () = meeting.ended() => {
                        // Its silence would tell, too, but only after a while.
                        session.connection.close(CloseReason::GoingAway);
                        driving.await
                    }
                };
                patience.was_connected(session.counters.snapshot().files_done, session.proven_pieces());
                ended
            }
            Err(ended) => ended,
        };
        match patience.after(ended, meeting.starts_neighbour(), observer.as_ref(), Instant::now()) {
            Ok(pause) => tokio::time::sleep(pause).await,
            Err(ended) => {
                meeting.finish().await;
                return ended;
            }
        }
    }
}

/// What the receiver does not take of what was asked for is told once, and not file by file. Links are told one by one.
fn tell_not_kept(session: &Session, plan: &Plan) {
    let words = plan.keep.words_beyond(session.kept);
    if !words.is_empty() {
        session.observer.failed(b".", Failure::NotAccepted, Some(&words.join(", ")));
    }
}
