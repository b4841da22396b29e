//! One transfer over as many connections as it takes: greets whoever comes, serves the one sender that is admitted.
//!
//! Where it is known where that sender is, it is called, too, as long as it has not come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::session::{self, Ending, Receiver};
use crate::protocol::limits::{CALL_EVERY, GREETINGS_AT_ONCE};
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::endpoint::Listener;
use crate::wire::stream::{Incoming, Outgoing};

/// How long to wait for a sender.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// For the first connection.
    pub first: Duration,
    /// For the sender to come back after its connection was lost.
    pub again: Duration,
}

/// What became of the one transfer.
#[derive(Debug)]
pub enum Received {
    /// It came to its end.
    Done,
    /// It was refused for a reason that the sender was told.
    Refused(crate::protocol::failure::Failure),
    /// Nobody came in time.
    NobodyCame,
    /// The sender was lost and did not come back in time.
    NotBack,
}

type Admitted = (Connection, (Outgoing, Incoming));

/// The connection that is served now.
struct Serving {
    connection: Connection,
    ending: JoinHandle<Ending>,
}

/// Receives one transfer.
pub async fn one_transfer(receiver: Arc<Receiver>, listener: &Listener, waiting: Waiting) -> Received {
    let (greeted, mut admitted) = mpsc::channel::<Admitted>(GREETINGS_AT_ONCE);
    let mut serving: Option<Serving> = None;
    let mut was_served = false;
    let mut deadline = Instant::now() + waiting.first;
    let mut calls = tokio::time::interval(CALL_EVERY);
    calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(connection) = listener.accept() => {
                let (receiver, greeted) = (Arc::clone(&receiver), greeted.clone());
                tokio::spawn(async move {
                    if let Some(control) = session::greet(&receiver, &connection).await
                        && greeted.send((connection, control)).await.is_err()
                    {
                        tracing::debug!("a sender was greeted after the end");
                    }
                });
            }
            Some((connection, control)) = admitted.recv() => {
                if let Some(old) = serving.take() {
                    // The same sender comes back before its old connection was known to be lost.
                    old.connection.close(CloseReason::Replaced);
                    if let Err(panic) = old.ending.await {
                        tracing::error!("the old connection ended badly: {panic}");
                    }
                }
                was_served = true;
                listener.hang_up();
                let (receiver, served) = (Arc::clone(&receiver), connection.clone());
                let ending = tokio::spawn(async move { session::serve(&receiver, served, control).await });
                serving = Some(Serving { connection, ending });
            }
            ending = ending_of(&mut serving) => {
                serving = None;
                match ending {
                    Ending::Done => return Received::Done,
                    Ending::Refused(failure) => return Received::Refused(failure),
                    Ending::Left => deadline = Instant::now() + waiting.again,
                }
            }
            _ = calls.tick(), if serving.is_none() => listener.call(),
            () = tokio::time::sleep_until(deadline), if serving.is_none() => {
                return if was_served { Received::NotBack } else { Received::NobodyCame };
            }
        }
    }
}

async fn ending_of(serving: &mut Option<Serving>) -> Ending {
    match serving {
        None => std::future::pending().await,
        Some(serving) => match (&mut serving.ending).await {
            Ok(ending) => ending,
            Err(panic) => {
                tracing::error!("a session ended badly: {panic}");
                Ending::Left
            }
        },
    }
}
