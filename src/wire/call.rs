//! QUIC in either direction: a listener that knows where the other side is calls there, while the other side calls here.
//!
//! Both calls leave from the socket that listens, so that each opens the way for the other through what lets only
//! answers pass. The side that opens the control stream decides which connection counts: the first that is up.
//! **The session above never knows who called.**

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::WireError;
use super::connection::{CloseReason, Connection};
use super::endpoint::{Admitted, Listener, call, more_telling};
use super::identity::PublicKey;
use crate::protocol::limits::{GREETING_TIMEOUT, NEXT_ADDRESS_AFTER, TICKET_ADDRESSES_MAX};

/// Calls of one listener that are under way, and where to.
#[derive(Debug)]
pub(super) struct Calls {
    to: Mutex<Option<(Vec<SocketAddr>, PublicKey)>>,
    ringing: Mutex<JoinSet<()>>,
    answers: mpsc::Sender<Answer>,
    answered: tokio::sync::Mutex<mpsc::Receiver<Answer>>,
}

type Answer = Result<Connection, WireError>;

impl Calls {
    pub(super) fn new() -> Self {
        let (answers, answered) = mpsc::channel(TICKET_ADDRESSES_MAX);
        Self {
            to: Mutex::new(None),
            ringing: Mutex::new(JoinSet::new()),
            answers,
            answered: tokio::sync::Mutex::new(answered),
        }
    }

    /// The next call that came to an end, good or bad; waits for ever where none is made.
    pub(super) async fn answered(&self) -> Answer {
        match self.answered.lock().await.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Listener {
    /// From now on only the owner of this key is admitted, and [`Self::call`] tries it at these addresses, of which the
    /// first `TICKET_ADDRESSES_MAX` count.
    pub fn expect(&self, peer: PublicKey, addresses: &[SocketAddr]) {
        self.admit_only(peer);
        let addresses = addresses[..addresses.len().min(TICKET_ADDRESSES_MAX)].to_vec();
        *self.calls.to.lock().unwrap_or_else(PoisonError::into_inner) = Some((addresses, peer));
    }

    /// Calls the other side at all its addresses, one shortly after the other, unless that is under way or nobody is
    /// expected. What comes of it, [`Self::accept`] tells. Must be called within a tokio runtime.
    pub fn call(&self) {
        let to = self.calls.to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((addresses, peer)) = to else { return };
        let mut ringing = self.calls.ringing.lock().unwrap_or_else(PoisonError::into_inner);
        while ringing.try_join_next().is_some() {}
        if !ringing.is_empty() {
            return;
        }
        for (number, address) in (0..).zip(addresses) {
            let (endpoint, key, answers) = (self.endpoint.clone(), Arc::clone(&self.key), self.calls.answers.clone());
            let path = self.path_to(address);
            ringing.spawn(async move {
                sleep(NEXT_ADDRESS_AFTER * number).await;
                let handshake = async {
                    let quic = call(&endpoint, path, address, key, Admitted::Key(peer))?.await?;
                    Connection::new(quic)
                };
                let answer = timeout(GREETING_TIMEOUT, handshake).await.unwrap_or(Err(WireError::NoAnswer));
                tracing::debug!(%address, ?answer, "called");
                // The listener is gone: nobody wants to know.
                answers.send(answer).await.ok();
            });
        }
    }

    /// Ends all calls that are not answered yet.
    pub fn hang_up(&self) {
        // Dropping the set ends its tasks.
        drop(std::mem::take(&mut *self.calls.ringing.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Calls the other side and waits for its call, at most `GREETING_TIMEOUT`: the first connection that is up. The
    /// others are given up, and until this is called again nobody else gets in.
    pub async fn meet(&self) -> Result<Connection, WireError> {
        self.turn_away(false);
        self.call();
        let met = self.first(Instant::now() + GREETING_TIMEOUT).await;
        self.stop_meeting().await;
        met
    }

    async fn first(&self, deadline: Instant) -> Result<Connection, WireError> {
        let mut failed = WireError::NoAnswer;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(Ok(connection))) => return Ok(connection),
                Ok(Some(Err(error))) => failed = more_telling(failed, error),
                Ok(None) => return Err(WireError::ClosedHere),
                Err(_elapsed) => return Err(failed),
            }
        }
    }

    /// Gives up every connection that [`Self::meet`] has not returned, and lets nobody else in. To be called where its
    /// future was dropped.
    pub async fn stop_meeting(&self) {
        self.hang_up();
        self.turn_away(true);
        drop(std::mem::take(&mut *self.greetings.lock().await));
        let mut answered = self.calls.answered.lock().await;
        while let Ok(answer) = answered.try_recv() {
            if let Ok(connection) = answer {
                connection.close(CloseReason::Replaced);
            }
        }
        drop(answered);
        while let Some(incoming) = poll_once(self.endpoint.accept()).await.flatten() {
            incoming.refuse();
        }
    }
}

/// Polls the future once; nothing if it is not ready.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::super::identity::KeyPair;
    use super::*;
    use crate::protocol::message::FromSender;
    use crate::seams::packet::UdpPackets;

    struct Side {
        listener: Listener,
        key: PublicKey,
        address: SocketAddr,
    }

    fn side() -> Side {
        let key = KeyPair::generate().unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(&UdpPackets, here, &key, Admitted::Nobody).unwrap();
        let address = listener.local_address().unwrap();
        Side { listener, key: key.public(), address }
    }

    /// The sender meets, the receiver serves the connection on which it hears the sender: the receiver's end and the
    /// number of all that it accepted. Both ends are kept until then.
    async fn meet(sender: &Side, receiver: &Side) -> (PublicKey, usize) {
        let greet = async {
            let connection = sender.listener.meet().await.unwrap();
            let (mut outgoing, incoming) = connection.open_job().await.unwrap();
            outgoing.send(&FromSender::Working).await.unwrap();
            (connection, outgoing, incoming)
        };
        let serve = async {
            receiver.listener.call();
            let mut accepted = 0;
            let mut heard = JoinSet::new();
            loop {
                tokio::select! {
                    connection = receiver.listener.accept() => {
                        accepted += 1;
                        let connection = connection.unwrap();
                        heard.spawn(async move {
                            let (_outgoing, mut incoming) = connection.accept_job().await.ok()?;
                            let message: Option<FromSender> = incoming.receive().await.ok()?;
                            message.map(|_working| connection.peer_key())
                        });
                    }
                    Some(told) = heard.join_next() => {
                        if let Some(key) = told.unwrap() {
                            return (key, accepted);
                        }
                    }
                }
            }
        };
        let (_greeted, served) = timeout(GREETING_TIMEOUT, async { tokio::join!(greet, serve) }).await.unwrap();
        served
    }

    #[tokio::test]
    async fn both_call_and_the_sender_chooses_one() {
        for _ in 0..20 {
            let (sender, receiver) = (side(), side());
            sender.listener.expect(receiver.key, &[receiver.address]);
            receiver.listener.expect(sender.key, &[sender.address]);
            let (heard, accepted) = meet(&sender, &receiver).await;
            assert_eq!(heard, sender.key);
            assert!((1..=2).contains(&accepted), "{accepted}");
        }
    }

    #[tokio::test]
    async fn one_side_that_can_be_reached_is_enough_and_either_will_do() {
        for sender_calls in [true, false] {
            let (sender, receiver) = (side(), side());
            // Nothing answers there: it stands for a side behind what lets no call in.
            let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let nowhere = nowhere.local_addr().unwrap();
            sender.listener.expect(receiver.key, &[if sender_calls { receiver.address } else { nowhere }]);
            receiver.listener.expect(sender.key, &[if sender_calls { nowhere } else { sender.address }]);
            assert_eq!(meet(&sender, &receiver).await.0, sender.key);
        }
    }

    #[tokio::test]
    async fn nobody_else_is_met() {
        let (sender, receiver, stranger) = (side(), side(), side());
        stranger.listener.expect(sender.key, &[sender.address]);
        stranger.listener.call();
        sender.listener.expect(receiver.key, &[receiver.address]);
        receiver.listener.expect(sender.key, &[sender.address]);
        let (met, _served) = tokio::join!(sender.listener.meet(), receiver.listener.accept());
        assert_eq!(met.unwrap().peer_key(), receiver.key);
        // A call may seem to be answered until the word of the other side about the key arrives.
        let error = match stranger.listener.calls.answered().await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        };
        let is_turned_away = matches!(error, WireError::Refused { .. } | WireError::Lost { .. } | WireError::NoAnswer);
        assert!(is_turned_away, "{error:?}");
    }

    #[tokio::test]
    async fn the_two_meet_again_after_a_loss() {
        let (sender, receiver) = (side(), side());
        sender.listener.expect(receiver.key, &[]);
        receiver.listener.expect(sender.key, &[sender.address]);
        for _ in 0..3 {
            assert_eq!(meet(&sender, &receiver).await.0, sender.key);
        }
    }
}
