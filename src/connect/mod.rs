//! How two ends meet: one side starts the other, beside it or through ssh, or a ticket is carried over by a person.
//!
//! In every case the sender knows the receiver's key beforehand, and the receiver admits the holder of a token or of
//! one key. **No file contents, no transfer.**

pub mod addresses;
pub mod admission;
pub mod allow;
pub mod answering;
pub mod child;
pub mod known_peers;
pub mod line;
pub mod meeting;
pub mod operand;
pub mod request;
pub mod ssh;
pub mod standing;
pub mod stdio;
pub mod ticket;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use ticket::TicketError;

use crate::protocol::limits::PROTOCOL_VERSION;

/// Why a side and the one that it started do not meet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A program of this host is not where it should be: the one of the other half, or ssh.
    #[error("the program {} is not there", program.display())]
    ProgramMissing {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// It could not be started.
    #[error("cannot start the program {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A shell of another host does not find the program, or may not run it.
    #[error("there is no program {program} at {host}, or it cannot be run")]
    FarProgramMissing {
        /// As it was asked for.
        program: String,
        /// As ssh was told.
        host: String,
    },
    /// ssh did not come to its host, was not let in there, or lost it.
    #[error("ssh to {host} failed")]
    SshFailed {
        /// As ssh was told.
        host: String,
    },
    /// It ended, or closed its output, before it said where it is.
    #[error("the program of the other side ended before it was ready{}", status.map(|s| format!(" ({s})")).unwrap_or_default())]
    EndedEarly {
        /// How it ended, where that is known.
        status: Option<ExitStatus>,
    },
    /// The other side said nothing in time.
    #[error("the other side did not say in time where it is")]
    NoAnswer,
    /// The other side is of another version of the protocol.
    #[error("the other side speaks version {theirs} of the protocol, this side version {PROTOCOL_VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// The first line of the other side is not the expected one; most likely it is another program.
    #[error("the first line of the other side is not the expected one")]
    Unexpected,
    /// The other side's answer cannot be read.
    #[error("the answer of the other side cannot be read")]
    Ticket(#[from] TicketError),
    /// The pipe between the two failed.
    #[error("the pipe to the other side failed")]
    Pipe(#[from] io::Error),
}

impl ConnectError {
    /// Whether trying again later may help, where the other side was once reached this way.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::SshFailed { .. } | Self::EndedEarly { .. } | Self::NoAnswer)
    }
}
