//! How a sender comes to its receiver, the first time and after a loss: by starting it, or by a ticket.
//!
//! Further ways (standing receivers) are further variants here; what runs over the connection stays the same.

use std::path::PathBuf;

use super::ConnectError;
use super::addresses::{first_of_all, listen_everywhere, reachable};
use super::child::{Child, Remarks, Start};
use super::line::{Caller, Pipe};
use super::ssh::Ssh;
use super::ticket::Ticket;
use crate::seams::Environment;
use crate::wire::WireError;
use crate::wire::connection::Connection;
use crate::wire::endpoint::{self, Listener};
use crate::wire::identity::KeyPair;

/// A way to a receiver.
#[derive(Debug)]
pub enum Meeting {
    /// `careful-recv`, started by this side.
    Started(Box<Started>),
    /// A receiver that listens somewhere and gave out this ticket.
    Ticket(Ticket),
}

/// A receiver that this side starts.
#[derive(Debug)]
pub struct Started {
    start: Start,
    remarks: Remarks,
    /// Where the receiver may call, where it is on another host. It stays the same however often the receiver is started.
    listener: Option<Listener>,
    /// The process, once it was started, and where it listens.
    running: Option<(Child, Ticket)>,
}

/// A new connection and the token that admits to it.
#[derive(Debug)]
pub struct Met {
    /// Both keys are proved, the token is not yet.
    pub connection: Connection,
    /// To be proved first.
    pub token: [u8; 16],
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
}

impl MeetError {
    /// Whether trying again may help; `is_known` where the receiver was reached before.
    #[must_use]
    pub fn may_pass(&self, is_known: bool) -> bool {
        match self {
            Self::Child(error) => is_known && error.may_pass(),
            Self::Wire(error) => error.is_lost(),
        }
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
        Self::Started(Box::new(Started { start, remarks, listener: None, running: None }))
    }

    /// Connects, starting the receiver anew if it has ended.
    pub async fn connect(&mut self, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        match self {
            Self::Ticket(ticket) => {
                let packets = environment.packets.as_ref();
                let connection = endpoint::connect(packets, &ticket.addresses, key, &ticket.receiver).await?;
                Ok(Met { connection, token: ticket.token })
            }
            Self::Started(started) => started.connect(environment, key).await,
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
        let Self::Started(started) = self else { return std::future::pending().await };
        let Some((child, _ticket)) = &mut started.running else { return std::future::pending().await };
        let status = child.ended().await;
        tracing::debug!("the receiver ended: {status:?}");
    }

    /// Lets a receiver that was started here end and waits for it.
    pub async fn finish(self) {
        if let Self::Started(started) = self
            && let Some((child, _ticket)) = started.running
        {
            let status = child.finish().await;
            tracing::debug!("the receiver ended: {status:?}");
        }
    }
}

impl Started {
    async fn connect(&mut self, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        if self.running.as_mut().is_none_or(|running| running.0.has_ended()) {
            self.running = None;
            self.running = Some(self.start(environment, key).await?);
        }
        let Self { listener, running: Some(running), .. } = self else { return Err(WireError::NoAnswer.into()) };
        let (child, ticket) = running;
        let connecting = async {
            match listener {
                Some(listener) => listener.meet().await,
                None => endpoint::connect(environment.packets.as_ref(), &ticket.addresses, key, &ticket.receiver).await,
            }
        };
        let connection = tokio::select! {
            connection = connecting => connection?,
            status = child.ended() => {
                tracing::debug!("the receiver ended: {status:?}");
                return Err(WireError::NoAnswer.into());
            }
        };
        Ok(Met { connection, token: ticket.token })
    }

    async fn start(&mut self, environment: &Environment, key: &KeyPair) -> Result<(Child, Ticket), MeetError> {
        let pipe = self.start.pipe();
        // Within one host nothing lies between, and the two may have one port only.
        let ports = environment.packets.ports().filter(|_ports| pipe == Pipe::Ssh);
        let mut caller = Caller { key: key.public(), pipe, ports, addresses: Vec::new() };
        let Start::Ssh(ssh) = &self.start else {
            return Ok(Child::start(&self.start, &caller, &self.remarks).await?);
        };
        if self.listener.is_none() {
            self.listener = Some(listen_everywhere(environment.packets.as_ref(), key)?);
        }
        let Some(listener) = &self.listener else { return Err(WireError::NoAnswer.into()) };
        caller.addresses = reachable(listener.local_address()?);
        let (started, seen) = tokio::join!(Child::start(&self.start, &caller, &self.remarks), ssh.addresses_seen());
        let (child, ticket) = started?;
        // The receiver puts first what ssh reached as it saw it itself; from here its host may have another address.
        if let Some((reached, others)) = ticket.addresses.split_first() {
            let addresses = first_of_all([reached.ip()].into_iter().chain(seen), reached.port(), others);
            listener.expect(ticket.receiver, &addresses);
        } else {
            listener.expect(ticket.receiver, &[]);
        }
        Ok((child, ticket))
    }
}
