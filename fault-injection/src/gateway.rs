//! A gateway that ends QUIC on both sides: in between, everything is plaintext, and anything can happen to it.
//!
//! Both sides were told to trust it on purpose: the sender gets the gateway's own ticket, and to the receiver the gateway
//! shows the sender's own key, else the receipt would name another sender. Every message, piece and chunk is taken whole,
//! handed to a [`Tamper`] and sent on; so each connection for itself is perfect, and only who looks past both can know.
//! **It decides nothing and stores nothing.** After the gateway at MIT (Saltzer, Reed, Clark 1984, section 2.3).

mod forward;
pub mod planned;
pub mod tamper;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use careful::connect::ticket::{Ticket, token_proof};
use careful::protocol::limits::{CHUNK_STREAMS_MAX, GREETING_TIMEOUT, JOBS_AT_ONCE_MAX};
use careful::protocol::message::{CHECK_BYTES, FromSender, check_of, frame};
use careful::seams::packet::Packets;
use careful::wire::WireError;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::endpoint::{Admitted, Listener, connect};
use careful::wire::identity::{IdentityError, KeyPair, random_bytes};
use careful::wire::stream::{ChunkStream, Incoming, Outgoing};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::plan::Side;
use forward::{forward_chunk, forward_job};
use tamper::{ContentPlace, Tamper};

/// Chunks held at once, each in memory as a whole.
const CHUNKS_AT_ONCE: usize = 16;

/// What a gateway needs to be one.
#[derive(Debug)]
pub struct Options {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The receiver's ticket.
    pub upstream: Ticket,
    /// The sender's own key, given away on purpose.
    pub identity: KeyPair,
    /// What is done to what passes.
    pub tamper: Arc<dyn Tamper>,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its own key or token could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It cannot listen.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What passed a gateway so far, and what was done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Connections of senders that were led on.
    pub connections: u64,
    /// Messages from either side.
    pub messages: u64,
    /// Of these the damaged ones.
    pub messages_damaged: u64,
    /// Chunks of large files and whole small files.
    pub pieces: u64,
    /// Their bytes.
    pub content_bytes: u64,
    /// Of the pieces the damaged ones.
    pub pieces_damaged: u64,
    /// Exchanges in all of them together.
    pub swaps: u64,
    /// Hashes that were made to fit the damage.
    pub hashes_replaced: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    messages: AtomicU64,
    messages_damaged: AtomicU64,
    pieces: AtomicU64,
    content_bytes: AtomicU64,
    pieces_damaged: AtomicU64,
    swaps: AtomicU64,
    hashes_replaced: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// A gateway that runs until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    ticket: Ticket,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    /// Starts a gateway; must be called within a tokio runtime. Each connection of a sender gets one to the receiver.
    pub fn start(packets: Arc<dyn Packets>, options: Options) -> Result<Self, GatewayError> {
        let key = KeyPair::generate()?;
        let token = random_bytes()?;
        let listener = Listener::bind(packets.as_ref(), options.listen, &key, Admitted::AnyKey)?;
        let addresses = vec![listener.local_address()?];
        let ticket = Ticket { receiver: key.public(), token, expires_seconds: None, addresses };
        let counters = Arc::new(Counters::default());
        let through = Arc::new(Through {
            packets,
            token,
            upstream: options.upstream,
            identity: options.identity,
            tamper: options.tamper,
            counters: Arc::clone(&counters),
            passes: Mutex::default(),
        });
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Some(downstream) = listener.accept().await {
                sessions.spawn(serve(Arc::clone(&through), downstream));
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Self { ticket, counters, task })
    }

    /// What a sender needs to come through it.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// What passed so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { connections, messages, messages_damaged, pieces, .. } = &*self.counters;
        let Counters { content_bytes, pieces_damaged, swaps, hashes_replaced, .. } = &*self.counters;
        Passed {
            connections: count(connections),
            messages: count(messages),
            messages_damaged: count(messages_damaged),
            pieces: count(pieces),
            content_bytes: count(content_bytes),
            pieces_damaged: count(pieces_damaged),
            swaps: count(swaps),
            hashes_replaced: count(hashes_replaced),
        }
    }
}

/// Runs a gateway until `end` is done; `announce` hears its ticket.
pub async fn run(
    packets: Arc<dyn Packets>,
    options: Options,
    announce: impl FnOnce(&Ticket),
    end: impl Future<Output = ()>,
) -> Result<Passed, GatewayError> {
    let gateway = Gateway::start(packets, options)?;
    announce(gateway.ticket());
    end.await;
    Ok(gateway.passed())
}

/// What all connections through one gateway share.
#[derive(Debug)]
struct Through {
    packets: Arc<dyn Packets>,
    token: [u8; 16],
    upstream: Ticket,
    identity: KeyPair,
    tamper: Arc<dyn Tamper>,
    counters: Arc<Counters>,
    /// How often each piece passed, by path and offset: a new connection does not begin anew.
    passes: Mutex<HashMap<(Vec<u8>, u64), u64>>,
}

impl Through {
    /// Hands content to the tamperer; answers whether the hash announced with it is to be replaced now.
    fn tamper_content(&self, path: &[u8], offset_bytes: u64, bytes: &mut [u8]) -> bool {
        let pass = {
            let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
            let pass = passes.entry((path.to_vec(), offset_bytes)).or_insert(0);
            *pass += 1;
            *pass
        };
        let place = ContentPlace { path, offset_bytes, pass };
        let swaps = self.tamper.content(&place, bytes);
        let replaces_hash = swaps > 0 && self.tamper.rehashes(&place);
        add(&self.counters.pieces, 1);
        add(&self.counters.content_bytes, bytes.len() as u64);
        add(&self.counters.pieces_damaged, u64::from(swaps > 0));
        add(&self.counters.swaps, swaps);
        add(&self.counters.hashes_replaced, u64::from(replaces_hash));
        replaces_hash
    }

    /// Hands a message, CBOR and check, to the tamperer; answers its bytes as they go on. A gateway that only copies leaves
    /// the check as it came; one that takes messages apart and makes them anew has a new one for what it made.
    fn pass_on(&self, from: Side, mut cbor: Vec<u8>) -> Bytes {
        let check = cbor.split_off(cbor.len() - CHECK_BYTES);
        let is_damaged = self.tamper.message(from, &mut cbor);
        add(&self.counters.messages, 1);
        add(&self.counters.messages_damaged, u64::from(is_damaged));
        let check = match is_damaged && self.tamper.makes_messages_anew() {
            true => check_of(&cbor),
            false => check.try_into().expect("as many bytes as were split off"),
        };
        Bytes::from(frame(&cbor, check))
    }
}

/// One connection of the sender and one to the receiver.
struct Session {
    through: Arc<Through>,
    downstream: Connection,
    upstream: Connection,
    /// Large files by the numbers of their jobs: path and chunk size in bytes.
    files: Mutex<HashMap<u64, (Vec<u8>, u32)>>,
}

/// Leads one connection through to its end. The reason for which either side closes is passed on.
async fn serve(through: Arc<Through>, downstream: Connection) {
    let greeting = tokio::time::timeout(GREETING_TIMEOUT, greet(through, &downstream)).await;
    let Ok(Ok((session, control))) = greeting else {
        return downstream.close(CloseReason::NotAdmitted);
    };
    let (downstream, upstream) = (session.downstream.clone(), session.upstream.clone());
    let forwarding = tokio::spawn(forward_all(Arc::new(session), control));
    let (why, other) = tokio::select! {
        why = downstream.closed() => (why, upstream),
        why = upstream.closed() => (why, downstream),
    };
    match why {
        WireError::ClosedByPeer { reason: CloseReason::Done } => other.finish().await,
        WireError::ClosedByPeer { reason } => other.close(reason),
        _ => other.close(CloseReason::GoingAway),
    }
    // It ends by itself: both connections are over.
    tokio::time::timeout(Duration::from_secs(1), forwarding).await.ok();
}

/// A job on both sides: towards the sender, towards the receiver.
type Job = ((Outgoing, Incoming), (Outgoing, Incoming));

/// Sees the sender prove the gateway's token, and proves the receiver's.
async fn greet(through: Arc<Through>, downstream: &Connection) -> Result<(Session, Job), WireError> {
    let (to_sender, mut from_sender) = downstream.accept_job().await?;
    let Some(FromSender::Hello { minor, proof }) = from_sender.receive().await? else {
        return Err(WireError::EndedEarly);
    };
    if proof != token_proof(&through.token, &downstream.exporter()?) {
        return Err(WireError::ClosedHere);
    }
    let Ticket { receiver, addresses, .. } = &through.upstream;
    let upstream = connect(through.packets.as_ref(), addresses, &through.identity, receiver).await?;
    let (mut to_receiver, from_receiver) = upstream.open_job().await?;
    let proof = through.upstream.proof(&upstream.exporter()?);
    to_receiver.send(&FromSender::Hello { minor, proof }).await?;
    downstream.raise_windows();
    downstream.allow_streams(JOBS_AT_ONCE_MAX + 1, CHUNK_STREAMS_MAX);
    upstream.raise_windows();
    add(&through.counters.connections, 1);
    let session = Session { through, downstream: downstream.clone(), upstream, files: Mutex::default() };
    Ok((session, ((to_sender, from_sender), (to_receiver, from_receiver))))
}

/// Forwards the control stream, every job and every chunk until the sender's connection is over.
async fn forward_all(session: Arc<Session>, control: Job) {
    let mut tasks = JoinSet::new();
    tasks.spawn(forward_job(Arc::clone(&session), control));
    let chunks = Arc::new(Semaphore::new(CHUNKS_AT_ONCE));
    loop {
        tokio::select! {
            job = session.downstream.accept_job() => {
                let Ok(downstream) = job else { break };
                let Ok(upstream) = session.upstream.open_job().await else { break };
                tasks.spawn(forward_job(Arc::clone(&session), (downstream, upstream)));
            }
            chunk = accept_chunk(&session, &chunks) => {
                let Ok((chunk, room)) = chunk else { break };
                let session = Arc::clone(&session);
                tasks.spawn(async move {
                    // A chunk that either side gives up is none of the gateway's business.
                    forward_chunk(&session, chunk).await.ok();
                    drop(room);
                });
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

async fn accept_chunk(
    session: &Session,
    chunks: &Arc<Semaphore>,
) -> Result<(ChunkStream, tokio::sync::OwnedSemaphorePermit), WireError> {
    let room = Arc::clone(chunks).acquire_owned().await.expect("the semaphore is never closed");
    Ok((session.downstream.accept_chunk().await?, room))
}
