//! What the side where the person sits asks of the result, and what it does about it. None of it crosses the wire.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Requirement;
use super::sending::SendingArguments;
use crate::protocol::receipt::{Origin, Stored};

/// How good the result must be, how long it is tried for, and what is kept of it.
#[derive(Clone, Debug, Args)]
pub struct ResultArguments {
    /// The least that every receipt must prove, else exit code 42
    ///
    /// A list of words with the least value of each: origin=first-read|reread|recorded, stored=none|cache|device,
    /// durable=no|yes.
    #[arg(long, value_name = "LIST")]
    pub require: Option<Requirement>,

    /// How long a lost connection is tried again
    ///
    /// Counted anew each time that one is lost which brought the transfer on.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = super::duration)]
    pub retry_for: Duration,

    /// Append the signed receipts to FILE, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
}

impl ResultArguments {
    /// Why the requirement can never be met by what is asked of the sending side, for a person.
    pub(crate) fn contradiction(&self, sending: &SendingArguments) -> Option<String> {
        let required = self.require?;
        let (stored, origin) = (Stored::from(sending.stored), Origin::from(sending.origin));
        let stored = required
            .stored
            .filter(|&required| stored < required)
            .map(|required| format!("--stored {} can never reach --require stored={}", stored.word(), required.word()));
        stored.or_else(|| {
            required.origin.filter(|&required| origin < required).map(|required| {
                format!("--origin {} can never reach --require origin={}", origin.word(), required.word())
            })
        })
    }
}
