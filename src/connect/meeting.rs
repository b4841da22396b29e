//! How a sender comes to its receiver, the first time and after a loss: by starting it, by a ticket, or to one that stands.
//!
//! Further ways are further variants here; what runs over the connection stays the same.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use tokio::time::timeout;

use super::ConnectError;
use super::addresses::{first_of_all, listen_everywhere, reachable};
use super::child::{Child, Remarks, Start};
use super::line::{Caller, Pipe};
use super::request::Askers;
use super::ssh::{Ssh, Transport};
use super::standing::{Standing, StandingAddress};
use super::ticket::Ticket;
use crate::protocol::limits::{CLOSE_WAIT, UDP_SILENCE};
use crate::seams::Environment;
use crate::seams::pipe_packets::{PIPE_PEER, PipePackets};
use crate::wire::connection::Connection;
use crate::wire::endpoint::{self, Admitted, Listener};
use crate::wire::identity::KeyPair;
use crate::wire::{WhoseKey, WireError};

/// What a person is told where [`Met::fell_back`].
pub const NO_UDP: &str = "no UDP between the hosts: using the ssh connection; the checks are the same";

/// A way to a receiver.
#[derive(Debug)]
pub enum Meeting {
    /// `careful-recv`, started by this side.
    Started(Box<Started>),
    /// A receiver that listens somewhere and gave out this ticket.
    Ticket(Ticket),
    /// A receiver that stands somewhere and knows this sender's key.
    Standing(Standing),
    /// A receiver that started this sender and asks it; the token to be proved to it.
    Asked(Box<Askers>, [u8; 16]),
}

/// A receiver that this side starts.
#[derive(Debug)]
pub struct Started {
    start: Start,
    remarks: Remarks,
    /// Where the receiver may call, where it is on another host. It stays the same however often the receiver is started.
    listener: Option<Listener>,
    /// The process, once it was started.
    running: Option<Running>,
    /// Nothing was heard of it when it was last called on every way.
    is_silent: bool,
}

/// A receiver that was started.
#[derive(Debug)]
struct Running {
    child: Child,
    /// What it said of itself.
    ticket: Ticket,
    /// The pipe to it as a way for packets, where that is one.
    pipe: Option<(PipePackets, Listener)>,
}

/// A new connection and the token that admits to it.
#[derive(Debug)]
pub struct Met {
    /// Both keys are proved, the token is not yet.
    pub connection: Connection,
    /// To be proved first.
    pub token: [u8; 16],
    /// The packets go through the pipe of ssh, which nobody asked for.
    pub fell_back: bool,
}

/// Why the receiver could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// It could not be started.
    #[error(transparent)]
    Child(#[from] ConnectError),
    /// There was no connection.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// ssh came there, but no packet did, in either direction.
    #[error("no UDP comes through to {} or back to port {here}", there.first().map_or_else(|| "it".to_owned(), ToString::to_string))]
    UdpSilent {
        /// Where the receiver was called.
        there: Vec<SocketAddr>,
        /// The UDP port of this side.
        here: u16,
    },
    /// The name of the receiver could not be looked up.
    #[error("cannot look up {address}")]
    NotFound {
        /// Where it should be.
        address: StandingAddress,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Who answers does not hold the key that is known.
    #[error("{address} does not have the key that it should have by {pinned_by}")]
    OtherKey {
        /// Where it should be.
        address: StandingAddress,
        /// What says so.
        pinned_by: String,
    },
}

impl MeetError {
    /// Whether trying again may help; `is_known` where the receiver was reached before.
    #[must_use]
    pub fn may_pass(&self, is_known: bool) -> bool {
        match self {
            Self::UdpSilent { .. } => is_known,
            Self::Child(error) => is_known && error.may_pass(),
            Self::OtherKey { .. } => false,
            Self::NotFound { .. } => true,
            Self::Wire(error) => error.is_lost(),
        }
    }

    /// Whether nothing at all was heard of the receiver.
    fn is_silence(&self) -> bool {
        matches!(self, Self::UdpSilent { .. } | Self::Wire(WireError::NoAnswer))
    }
}

impl Meeting {
    /// The way by a child process.
    #[must_use]
    pub fn child(program: PathBuf) -> Self {
        Self::started(Start::Local(program), Remarks::unheard())
    }

    /// The way by a program on another host, that ssh starts. What ssh says is told as `remarks`.
    #[must_use]
    pub fn ssh(ssh: Ssh, remarks: Remarks) -> Self {
        Self::started(Start::Ssh(ssh), remarks)
    }

    fn started(start: Start, remarks: Remarks) -> Self {
        Self::Started(Box::new(Started { start, remarks, listener: None, running: None, is_silent: false }))
    }

    /// Connects, starting the receiver anew if it has ended.
    pub async fn connect(&mut self, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        match self {
            Self::Ticket(ticket) => {
                let packets = environment.packets.as_ref();
                let connection = endpoint::connect(packets, &ticket.addresses, key, &ticket.receiver).await?;
                Ok(Met { connection, token: ticket.token, fell_back: false })
            }
            Self::Standing(standing) => come_to(standing, environment, key).await,
            Self::Started(started) => started.connect(environment, key).await,
            Self::Asked(askers, token) => {
                let connection = askers.connect().await.ok_or(WireError::NoAnswer)?;
                Ok(Met { connection, token: *token, fell_back: false })
            }
        }
    }

    /// Whether one that was never reached may be tried again: the next attempt starts it anew beside this side, and
    /// nothing lies between that could be blocked.
    #[must_use]
    pub fn starts_neighbour(&self) -> bool {
        matches!(self, Self::Started(started) if started.start.pipe() == Pipe::Local)
    }

    /// Waits until the receiver is known to have ended, where that can be known before its silence tells; forever elsewhere. The
    /// future may be dropped at any time.
    pub async fn ended(&mut self) {
        let started = match self {
            Self::Started(started) => started,
            // The same receiver has come again.
            Self::Asked(askers, _) => return askers.another().await,
            Self::Ticket(_) | Self::Standing(_) => return std::future::pending().await,
        };
        let Some(running) = &mut started.running else { return std::future::pending().await };
        let status = running.child.ended().await;
        tracing::debug!("the receiver ended: {status:?}");
    }

    /// Lets a receiver that was started here end and waits for it.
    pub async fn finish(self) {
        if let Self::Started(started) = self
            && let Some(running) = started.running
        {
            if let Some((pipe, listener)) = running.pipe {
                drop(listener);
                pipe.finish(CLOSE_WAIT).await;
            }
            let status = running.child.finish().await;
            tracing::debug!("the receiver ended: {status:?}");
        }
    }
}

impl Started {
    async fn connect(&mut self, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        if self.start.pipe() == Pipe::Ssh && self.listener.is_none() {
            self.listener = Some(listen_everywhere(environment.packets.as_ref(), key)?);
        }
        let alive = self.running.take().and_then(|mut running| (!running.child.has_ended()).then_some(running));
        let mut running = match alive {
            Some(mut old) if self.is_silent => match self.meet_or_start(&mut old, environment, key).await {
                Either::Met(met) => {
                    (self.running, self.is_silent) = (Some(old), false);
                    return Ok(met);
                }
                Either::Started(Ok(running)) => *running,
                Either::Started(Err(error)) => {
                    self.running = Some(old);
                    return Err(error);
                }
            },
            Some(running) => running,
            None => self.start(environment, key).await?,
        };
        let met = self.meet(&mut running, environment, key).await;
        self.running = Some(running);
        self.is_silent = self.listener.is_some() && met.as_ref().is_err_and(MeetError::is_silence);
        met
    }

    /// ssh may wait for ever on a way that is no more, as after a change of address: so another one is started, which finds
    /// the way that there is now. Meanwhile the old one is tried on: the new one may not come through either, or ask
    /// for a password that nobody is there to type.
    async fn meet_or_start(&self, old: &mut Running, environment: &Environment, key: &KeyPair) -> Either {
        tracing::debug!("nothing is heard of the receiver: ssh is started anew");
        let first = {
            let meeting = async {
                while !old.child.has_ended() {
                    match self.meet(old, environment, key).await {
                        Ok(met) => return met,
                        Err(error) if error.is_silence() => {}
                        Err(_useless) => break,
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                met = meeting => Either::Met(met),
                started = self.start(environment, key) => Either::Started(started.map(Box::new)),
            }
        };
        if let Either::Started(_) = &first {
            for listener in self.listener.iter().chain(old.pipe.as_ref().map(|(_, listener)| listener)) {
                listener.stop_meeting().await;
            }
        }
        first
    }

    /// Connects to the receiver that was started.
    async fn meet(&self, running: &mut Running, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        let Running { child, ticket, pipe } = running;
        let connecting = async {
            match (&self.start, &self.listener, pipe) {
                (Start::Ssh(ssh), Some(listener), Some((_, pipe))) => {
                    across(ssh.transport, listener, pipe, ticket).await
                }
                _ => {
                    let packets = environment.packets.as_ref();
                    let connection = endpoint::connect(packets, &ticket.addresses, key, &ticket.receiver).await?;
                    Ok((connection, false))
                }
            }
        };
        let (connection, fell_back) = tokio::select! {
            connected = connecting => connected?,
            status = child.ended() => {
                tracing::debug!("the receiver ended: {status:?}");
                return Err(WireError::NoAnswer.into());
            }
        };
        Ok(Met { connection, token: ticket.token, fell_back })
    }

    /// Starts the receiver. From now on the listener, where there is one, expects it and nobody else.
    async fn start(&self, environment: &Environment, key: &KeyPair) -> Result<Running, MeetError> {
        let pipe = self.start.pipe();
        // Within one host nothing lies between, and the two may have one port only.
        let ports = environment.packets.ports().filter(|_ports| pipe == Pipe::Ssh);
        let mut caller =
            Caller { ports, congestion: environment.packets.congestion(), ..Caller::new(key.public(), pipe) };
        let (Start::Ssh(ssh), Some(listener)) = (&self.start, &self.listener) else {
            let (child, ticket) = Child::start(&self.start, &caller, &self.remarks).await?;
            return Ok(Running { child, ticket, pipe: None });
        };
        caller.addresses = reachable(listener.local_address()?);
        let (started, seen) = tokio::join!(Child::start(&self.start, &caller, &self.remarks), ssh.addresses_seen());
        let (mut child, mut ticket) = started?;
        // The receiver puts first what ssh reached as it saw it itself; from here its host may have another address.
        if let Some((reached, others)) = ticket.addresses.split_first() {
            ticket.addresses = first_of_all([reached.ip()].into_iter().chain(seen), reached.port(), others);
        }
        listener.expect(ticket.receiver, &ticket.addresses);
        let pipe = match child.take_pipe() {
            None => None,
            Some((from, to)) => {
                let packets = PipePackets::new(from, to);
                let listener = Listener::bind(&packets, PIPE_PEER, key, Admitted::Nobody)?;
                listener.expect(ticket.receiver, &[PIPE_PEER]);
                Some((packets, listener))
            }
        };
        Ok(Running { child, ticket, pipe })
    }
}

/// What came first.
enum Either {
    /// A connection to the receiver that was there.
    Met(Met),
    /// Another receiver, or that none could be started.
    Started(Result<Box<Running>, MeetError>),
}

/// Meets a receiver on another host by UDP, or else through the pipe to it; tells whether that was a way out.
async fn across(
    transport: Transport,
    by_udp: &Listener,
    by_pipe: &Listener,
    ticket: &Ticket,
) -> Result<(Connection, bool), MeetError> {
    if transport == Transport::Ssh {
        return Ok((by_pipe.meet().await?, false));
    }
    let met = {
        let mut udp = pin!(by_udp.meet());
        match transport {
            Transport::Auto => match timeout(UDP_SILENCE, &mut udp).await {
                Ok(Ok(connection)) => Ok((connection, false)),
                // What answered by UDP and was not the receiver, or could not be used, says nothing of the pipe.
                Ok(Err(error)) => {
                    tracing::debug!(?error, "no connection by UDP");
                    by_pipe.meet().await.map(|connection| (connection, true))
                }
                Err(_elapsed) => tokio::select! {
                    Ok(connection) = udp => Ok((connection, false)),
                    met = by_pipe.meet() => met.map(|connection| (connection, true)),
                },
            },
            Transport::Quic | Transport::Ssh => udp.await.map(|connection| (connection, false)),
        }
    };
    by_udp.stop_meeting().await;
    by_pipe.stop_meeting().await;
    match met {
        Err(WireError::NoAnswer) if transport == Transport::Quic => Err(MeetError::UdpSilent {
            there: ticket.addresses.clone(),
            here: by_udp.local_address().map_or(0, |address| address.port()),
        }),
        met => Ok(met?),
    }
}

/// No token: there the key alone admits, and any bytes do.
async fn come_to(standing: &Standing, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
    let address = standing.address.clone();
    let addresses = match address.resolve().await {
        Ok(addresses) => addresses,
        Err(cause) => return Err(MeetError::NotFound { address, cause }),
    };
    let connected = endpoint::connect(environment.packets.as_ref(), &addresses, key, &standing.receiver).await;
    match connected {
        Ok(connection) => Ok(Met { connection, token: [0; 16], fell_back: false }),
        Err(WireError::Refused { whose: WhoseKey::Theirs }) => {
            Err(MeetError::OtherKey { address, pinned_by: standing.pinned_by.clone() })
        }
        Err(error) => Err(error.into()),
    }
}
