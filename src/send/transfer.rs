//! A transfer at the sender: connect, run a session; connect again and go on when the connection is lost.
//!
//! Work that was under way when a connection was lost is simply offered again: what the receiver has by then counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backlog::Backlog;
use super::session::{Opening, drive};
use super::{Ended, Observer, Plan, walk};
use crate::connect::meeting::Meeting;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{BACKOFF_FIRST, BACKOFF_MAX};
use crate::seams::Environment;
use crate::wire::connection::CloseReason;
use crate::wire::identity::{KeyPair, random_bytes};

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
    let disk = Arc::clone(&environment.disk);
    let found = Arc::new(walk::start(disk, plan.sources.clone(), Arc::clone(&counters), Arc::clone(&observer)));
    let backlog = Arc::new(Backlog::default());
    let mut patience = Patience::new(plan.retry_for);
    loop {
        let connected = async {
            let met = meeting.connect(&environment, &key).await.map_err(Ended::Unreachable)?;
            let opening = Opening {
                environment: &environment,
                plan: &plan,
                observer: &observer,
                counters: &counters,
                transfer,
                own_key: key.public(),
            };
            tokio::select! {
                opened = opening.open(met.connection, &met.token) => opened,
                () = meeting.ended() => Err(Ended::Lost),
            }
        };
        let ended = match connected.await {
            Ok((session, control)) => {
                patience.connected();
                let mut driving = std::pin::pin!(drive(&session, control, &found, &backlog));
                tokio::select! {
                    ended = &mut driving => ended,
                    () = meeting.ended() => {
                        // Its silence would tell, too, but only after a while.
                        session.connection.close(CloseReason::GoingAway);
                        driving.await
                    }
                }
            }
            Err(ended) => ended,
        };
        match ended {
            Ended::Lost => observer.notice("the connection was lost; connecting again"),
            Ended::Unreachable(error) if !error.is_final() && (patience.was_connected || meeting.starts_receiver()) => {
            }
            ended => return finished(ended, meeting).await,
        }
        if !patience.pause().await {
            return finished(Ended::Lost, meeting).await;
        }
    }
}

async fn finished(ended: Ended, meeting: Meeting) -> Ended {
    meeting.finish().await;
    ended
}

/// How long, and how often, to try again.
#[derive(Debug)]
struct Patience {
    retry_for: Duration,
    /// A receiver that was never reached is not waited for.
    was_connected: bool,
    until: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new(retry_for: Duration) -> Self {
        Self { retry_for, was_connected: false, until: None, pause: BACKOFF_FIRST }
    }

    fn connected(&mut self) {
        *self = Self { was_connected: true, ..Self::new(self.retry_for) };
    }

    /// Waits before the next attempt; false if the time is up.
    async fn pause(&mut self) -> bool {
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.retry_for);
        if Instant::now() + self.pause > until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
        true
    }
}
