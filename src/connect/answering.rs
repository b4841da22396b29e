//! At the side that was started: a listener for the caller, on every way that leads to it.
//!
//! A caller on another host may come by UDP, may be called there, or comes through the pipe itself, where nothing else
//! gets through. **The pipe's end is the end of the caller.**

use std::net::{Ipv4Addr, SocketAddr};

use super::ConnectError;
use super::addresses::{SshEnds, first_of_all, listen_everywhere, reachable};
use super::line::{Caller, Pipe};
use super::stdio;
use super::ticket::Ticket;
use crate::protocol::limits::CLOSE_WAIT;
use crate::seams::Environment;
use crate::seams::packet::Packets;
use crate::seams::pipe_packets::PipePackets;
use crate::wire::WireError;
use crate::wire::endpoint::{Admitted, Listener};
use crate::wire::identity::KeyPair;

/// Where the caller is waited for.
#[derive(Debug)]
pub struct Answering {
    /// Accepts the caller, and nobody else.
    pub listener: Listener,
    pipe: Option<PipePackets>,
}

/// Why the caller cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no way for it to come.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The answer could not be said.
    #[error(transparent)]
    Line(#[from] ConnectError),
}

impl Answering {
    /// Waits for the caller with this key, and tells it where, with the token that both will know.
    pub fn start(
        environment: &Environment,
        caller: &Caller,
        key: &KeyPair,
        token: [u8; 16],
    ) -> Result<Self, AnswerError> {
        let packets = environment.packets.as_ref();
        let (listener, addresses) = match caller.pipe {
            Pipe::Local => beside(packets, caller, key)?,
            Pipe::Ssh => across(packets, caller, key)?,
        };
        stdio::print_ticket_line(&Ticket { receiver: key.public(), token, expires_seconds: None, addresses })?;
        if caller.pipe == Pipe::Local {
            return Ok(Self { listener, pipe: None });
        }
        // From here on both standard streams carry packets and nothing else.
        let pipe = PipePackets::new(tokio::io::stdin(), tokio::io::stdout());
        let through_pipe = Listener::bind(&pipe, NOWHERE, key, Admitted::Key(caller.key))?;
        Ok(Self { listener: listener.with(through_pipe), pipe: Some(pipe) })
    }

    /// Waits until the caller has closed the pipe, or is gone. To be called once.
    pub async fn caller_gone(&self) {
        match &self.pipe {
            Some(pipe) => {
                let end = pipe.ended().await;
                tracing::debug!("{end}");
            }
            None => stdio::stdin_closed().await,
        }
    }

    /// Closes every connection that is still open, and lets the last packets leave.
    pub async fn close(self) {
        self.listener.close().await;
        if let Some(pipe) = &self.pipe {
            pipe.finish(CLOSE_WAIT).await;
        }
    }
}

/// A pipe has one socket, whatever address is asked for.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A listener for a caller on this host.
fn beside(packets: &dyn Packets, caller: &Caller, key: &KeyPair) -> Result<(Listener, Vec<SocketAddr>), WireError> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(packets, any_port, key, Admitted::Key(caller.key))?;
    let address = listener.local_address()?;
    Ok((listener, vec![address]))
}

/// A listener for a caller on another host, which is called there, too. What ssh reached comes first on either side.
fn across(packets: &dyn Packets, caller: &Caller, key: &KeyPair) -> Result<(Listener, Vec<SocketAddr>), WireError> {
    let listener = listen_everywhere(packets, key)?;
    let ends = SshEnds::of_this_process();
    let bound = listener.local_address()?;
    let addresses = first_of_all(ends.map(|ends| ends.server), bound.port(), &reachable(bound));
    let port = caller.addresses.first().map_or(0, SocketAddr::port);
    let theirs = first_of_all(ends.map(|ends| ends.client), port, &caller.addresses);
    listener.expect(caller.key, &theirs);
    Ok((listener, addresses))
}
