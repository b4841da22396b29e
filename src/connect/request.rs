//! The sender's side of a pull: whoever started this sender connects, proves the token and asks; again after each loss.
//!
//! Connections are greeted one beside the other, so that one that never says a word keeps no other waiting. **What was
//! asked for is not judged here.**

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use super::admission::Admission;
use crate::protocol::limits::{BACK_WITHIN, CALL_EVERY, GREETING_TIMEOUT, GREETINGS_AT_ONCE};
use crate::protocol::request::{FromPuller, Request};
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::endpoint::Listener;
use crate::wire::stream::{Incoming, Outgoing};

/// A receiver that has asked.
#[derive(Debug)]
pub struct Asker {
    /// Where it asked.
    pub stream: RequestStream,
    /// What.
    pub request: Request,
}

/// The request stream after the request.
#[derive(Debug)]
pub struct RequestStream {
    /// It belongs to this one.
    pub connection: Connection,
    /// For reports.
    pub outgoing: Outgoing,
    /// For what was heard of them.
    pub incoming: Incoming,
    /// Reports that were heard on earlier connections.
    pub heard: u64,
}

/// Receivers that ask, as they come: one and the same, again after each loss.
#[derive(Debug)]
pub struct Askers {
    greeted: mpsc::Receiver<Asker>,
    /// One that came while another was served.
    next: Option<Asker>,
    /// Who passes on reports.
    reports: Option<mpsc::Sender<RequestStream>>,
}

/// Greets who comes to a listener.
#[derive(Debug)]
pub struct Reception {
    admission: Arc<Admission>,
    greeted: mpsc::Sender<Asker>,
}

/// Whoever knows the token is let through by the reception and comes out as one who asks.
#[must_use]
pub fn reception(token: [u8; 16]) -> (Reception, Askers) {
    let (greeted, askers) = mpsc::channel(GREETINGS_AT_ONCE);
    let reception = Reception { admission: Arc::new(Admission::new(token, None)), greeted };
    (reception, Askers { greeted: askers, next: None, reports: None })
}

impl Askers {
    /// From now on the request stream of everyone that comes goes to `reports`; `first` has come already.
    pub fn report_to(&mut self, reports: mpsc::Sender<RequestStream>, first: Asker) {
        self.next = Some(first);
        self.reports = Some(reports);
    }

    /// The next one that asks; nothing if none comes within `BACK_WITHIN`. The future may be dropped at any time.
    pub async fn next(&mut self) -> Option<Asker> {
        match timeout(BACK_WITHIN, self.another()).await {
            Ok(()) => self.next.take(),
            Err(_elapsed) => None,
        }
    }

    /// Waits until one that asks is there. The future may be dropped at any time.
    pub async fn another(&mut self) {
        if self.next.is_none() {
            self.next = self.greeted.recv().await;
        }
        if self.next.is_none() {
            // The listener is closed.
            std::future::pending().await
        }
    }

    /// The connection of the next one that asks, whose stream goes to where reports are passed on.
    pub(super) async fn connect(&mut self) -> Option<Connection> {
        let asker = self.next().await?;
        let connection = asker.stream.connection.clone();
        match &self.reports {
            Some(reports) => reports.send(asker.stream).await.ok()?,
            None => return None,
        }
        Some(connection)
    }
}

impl Reception {
    /// Greets whoever comes to the listener until that is closed. Where it is known where the receiver is, it is called,
    /// too, as long as it has not come.
    pub async fn greet_at(self, listener: &Listener) {
        let Self { admission, greeted } = self;
        let mut calls = interval(CALL_EVERY);
        let mut is_served: Option<Connection> = None;
        let (served, mut serving) = mpsc::channel(GREETINGS_AT_ONCE);
        loop {
            tokio::select! {
                connection = listener.accept() => {
                    let Some(connection) = connection else { return };
                    let (admission, greeted, served) = (Arc::clone(&admission), greeted.clone(), served.clone());
                    tokio::spawn(async move {
                        let Some(asker) = greet(&admission, &connection).await else {
                            return connection.close(CloseReason::NotAdmitted);
                        };
                        // If nobody waits any more the process is about to end.
                        served.send(connection).await.ok();
                        greeted.send(asker).await.ok();
                    });
                }
                Some(connection) = serving.recv() => {
                    listener.hang_up();
                    is_served = Some(connection);
                }
                () = over(is_served.as_ref()) => is_served = None,
                _ = calls.tick(), if is_served.is_none() => listener.call(),
            }
        }
    }
}

/// Waits until the connection is over; for ever where there is none.
async fn over(connection: Option<&Connection>) {
    match connection {
        Some(connection) => drop(connection.closed().await),
        None => std::future::pending().await,
    }
}

/// Hears the request; nothing if none comes in time or it does not show the token.
async fn greet(admission: &Admission, connection: &Connection) -> Option<Asker> {
    let greeting = async {
        let (outgoing, mut incoming) = connection.accept_job().await.ok()?;
        let Ok(Some(FromPuller::Request(request))) = incoming.receive().await else { return None };
        let exporter = connection.exporter().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        admission.admit(connection.peer_key(), &exporter, &request.proof, now).ok()?;
        let heard = request.heard;
        let stream = RequestStream { connection: connection.clone(), outgoing, incoming, heard };
        request.is_within_limits().then_some(Asker { stream, request })
    };
    timeout(GREETING_TIMEOUT, greeting).await.ok().flatten()
}
