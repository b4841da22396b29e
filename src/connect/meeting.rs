//! How a sender comes to its receiver, the first time and after a loss: by starting a child, or by a ticket.
//!
//! Further ways (ssh, standing receivers) are further variants here; what runs over the connection stays the same.

use std::path::PathBuf;

use super::ConnectError;
use super::child::Child;
use super::ticket::Ticket;
use crate::seams::Environment;
use crate::wire::WireError;
use crate::wire::connection::Connection;
use crate::wire::endpoint;
use crate::wire::identity::KeyPair;

/// A way to a receiver.
#[derive(Debug)]
pub enum Meeting {
    /// `careful-recv` as a child process of this one, over loopback.
    Child {
        /// The program.
        program: PathBuf,
        /// The process, once it was started, and where it listens.
        running: Option<Box<(Child, Ticket)>>,
    },
    /// A receiver that listens somewhere and gave out this ticket.
    Ticket(Ticket),
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
    /// The child process could not be started.
    #[error(transparent)]
    Child(#[from] ConnectError),
    /// There was no connection.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl MeetError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Child(_) => true,
            Self::Wire(error) => !error.is_lost(),
        }
    }
}

impl Meeting {
    /// The way by a child process.
    #[must_use]
    pub fn child(program: PathBuf) -> Self {
        Self::Child { program, running: None }
    }

    /// Connects, starting the child anew if it has ended.
    pub async fn connect(&mut self, environment: &Environment, key: &KeyPair) -> Result<Met, MeetError> {
        let ticket = match self {
            Self::Ticket(ticket) => ticket,
            Self::Child { program, running } => {
                if running.as_mut().is_none_or(|running| running.0.has_ended()) {
                    *running = Some(Box::new(Child::start(program, &key.public()).await?));
                }
                match running {
                    Some(running) => &running.1,
                    None => return Err(WireError::NoAnswer.into()),
                }
            }
        };
        let packets = environment.packets.as_ref();
        let (addresses, receiver, token) = (ticket.addresses.clone(), ticket.receiver, ticket.token);
        let connection = tokio::select! {
            connection = endpoint::connect(packets, &addresses, key, &receiver) => connection?,
            () = self.ended() => return Err(WireError::NoAnswer.into()),
        };
        Ok(Met { connection, token })
    }

    /// Whether the next attempt starts the receiver anew, so that one that was never reached may be tried again.
    #[must_use]
    pub fn starts_receiver(&self) -> bool {
        matches!(self, Self::Child { .. })
    }

    /// Waits until the receiver is known to have ended, where that can be known before its silence tells; forever elsewhere. The
    /// future may be dropped at any time.
    pub async fn ended(&mut self) {
        match self {
            Self::Child { running: Some(running), .. } => {
                let status = running.0.ended().await;
                tracing::debug!("the receiver ended: {status:?}");
            }
            Self::Child { running: None, .. } | Self::Ticket(_) => std::future::pending().await,
        }
    }

    /// Lets a child end and waits for it.
    pub async fn finish(self) {
        if let Self::Child { running: Some(running), .. } = self {
            let status = running.0.finish().await;
            tracing::debug!("the receiver ended: {status:?}");
        }
    }
}
