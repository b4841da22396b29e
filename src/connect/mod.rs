//! How two ends meet: a ticket that a person carries over, or a receiver that the sender starts itself.
//!
//! In every case the sender knows the receiver's key beforehand, and the receiver admits the holder of a token or of
//! one key. **No file contents, no transfer.**

pub mod addresses;
pub mod admission;
pub mod allow;
pub mod child;
pub mod key_text;
pub mod known_peers;
pub mod meeting;
pub mod standing;
pub mod stdio;
pub mod ticket;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::wire::identity::PublicKey;
use ticket::{Ticket, TicketError};

/// First word of the line that a sender writes to the receiver it starts; the number is the protocol's version.
const SENDER_WORD: &str = "careful-sender-1";

/// Why a sender and the receiver it started do not meet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The receiving program is not where it should be.
    #[error("the receiving program {} is not there", program.display())]
    ProgramMissing {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// It could not be started.
    #[error("cannot start the receiving program {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It ended, or closed its output, before it said where it listens.
    #[error("the receiving program ended before it was ready{}", status.map(|s| format!(" ({s})")).unwrap_or_default())]
    EndedEarly {
        /// How it ended, where that is known.
        status: Option<ExitStatus>,
    },
    /// The other side said nothing in time.
    #[error("the other side did not say in time where it is")]
    NoAnswer,
    /// The first line of the other side is not the expected one; most likely it is another program, or another version.
    #[error("the first line of the other side is not the expected one")]
    Unexpected,
    /// The receiving program's ticket cannot be read.
    #[error("the ticket of the receiving program cannot be read")]
    Ticket(#[from] TicketError),
    /// The pipe between the two failed.
    #[error("the pipe to the other side failed")]
    Pipe(#[from] io::Error),
}

/// The line by which a sender tells the receiver it starts which key to admit.
fn sender_line(sender: &PublicKey) -> String {
    format!("{SENDER_WORD} {sender}\n")
}

/// The key in a line of [`sender_line`], without its end.
fn sender_of_line(line: &[u8]) -> Result<PublicKey, ConnectError> {
    let key = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(SENDER_WORD)?.strip_prefix(' '));
    key.and_then(|key| key.parse().ok()).ok_or(ConnectError::Unexpected)
}

/// The ticket in a receiver's line, without its end.
fn ticket_of_line(line: &[u8]) -> Result<Ticket, ConnectError> {
    let text = std::str::from_utf8(line).map_err(|_utf8| ConnectError::Unexpected)?;
    match text.parse() {
        Err(TicketError::NotATicket) => Err(ConnectError::Unexpected),
        other => Ok(other?),
    }
}
