//! What the destination of a push is: a ticket, a standing receiver, a place on another host, or one of this host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::exit_code::ExitCode;
use super::report::{Report, with_causes};
use crate::connect::ConnectError;
use crate::connect::meeting::MeetError;
use crate::connect::operand::{OperandError, Remote};
use crate::connect::standing::{self, StandingAddress};
use crate::connect::ticket::{Ticket, TicketError};
use crate::wire::WireError;

/// What cannot go on, for the person: words, a hint, a code.
pub(super) struct Stop(pub(super) String, pub(super) Option<&'static str>, pub(super) ExitCode);

/// Where a push goes.
#[derive(Debug)]
pub(super) enum Destination {
    /// A receiver that listens.
    Ticket(Ticket),
    /// A receiver that stands, and the path there.
    Standing(StandingAddress, Vec<u8>),
    /// A place on another host, by ssh.
    Remote(Remote),
    /// A place on this host.
    Local,
}

impl Destination {
    /// Reads the last operand; `-` reads a ticket from standard input. `./name` is always of this host.
    pub(super) fn read(operand: &OsStr) -> Result<Self, Stop> {
        if operand == "-" {
            let mut line = String::new();
            if let Err(error) = std::io::stdin().read_line(&mut line) {
                return Err(Stop(format!("no ticket on standard input: {error}"), None, ExitCode::Usage));
            }
            return match line.trim().parse() {
                Ok(ticket) => still_good(ticket),
                Err(TicketError::NotATicket) => {
                    let hint =
                        "pipe the line that `careful-recv --listen` printed; write ./- for a directory of that name";
                    Err(Stop("there is no ticket on standard input".to_owned(), Some(hint), ExitCode::Usage))
                }
                Err(error) => Err(bad_ticket(error)),
            };
        }
        if let Some(parsed) = standing::parse(operand.as_bytes()) {
            let (address, path) = parsed.map_err(|error| Stop(error.to_string(), None, ExitCode::Usage))?;
            return Ok(Self::Standing(address, path));
        }
        match operand.to_str().map(str::parse::<Ticket>) {
            Some(Ok(ticket)) => return still_good(ticket),
            None | Some(Err(TicketError::NotATicket)) => {}
            Some(Err(error)) => return Err(bad_ticket(error)),
        }
        match Remote::read(operand.as_bytes()) {
            Ok(Some(remote)) => Ok(Self::Remote(remote)),
            Ok(None) => Ok(Self::Local),
            Err(error) => Err(bad_operand(operand, error)),
        }
    }
}

/// Words for an operand that names another host in a way that cannot be used.
pub(super) fn bad_operand(operand: &OsStr, error: OperandError) -> Stop {
    let words = format!("'{}': {error}", super::safe_name::safe_os(operand));
    Stop(words, Some(error.hint()), ExitCode::Usage)
}

fn still_good(ticket: Ticket) -> Result<Destination, Stop> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if ticket.expires_seconds.is_some_and(|expires| expires <= now) {
        let hint = "ask for a new one: run `careful-recv --listen DIR` again at the receiving side";
        return Err(Stop("the ticket has expired".to_owned(), Some(hint), ExitCode::NotAdmitted));
    }
    Ok(Destination::Ticket(ticket))
}

fn bad_ticket(error: TicketError) -> Stop {
    match error {
        TicketError::Version { .. } => {
            let hint = "the receiving side is newer: install the same version of careful on both";
            Stop(error.to_string(), Some(hint), ExitCode::Protocol)
        }
        error => {
            let hint = "copy the ticket again, whole; write ./NAME if you mean a directory of that name";
            Stop(error.to_string(), Some(hint), ExitCode::Usage)
        }
    }
}

/// Words and code for another side that was never reached, or not any more; `other` is what it is called, `by_ticket`
/// whether a person can ask for a new ticket.
pub(super) fn not_reached(error: &MeetError, other: &str, by_ticket: bool, report: &Report) -> ExitCode {
    const SAME_VERSION: &str = "install the same version of careful on both sides";
    let (words, hint, code) = match error {
        MeetError::Child(error @ ConnectError::Version { .. }) => {
            (with_causes(error), Some(SAME_VERSION), ExitCode::Protocol)
        }
        MeetError::Child(error) => {
            (format!("cannot start the {other}: {}", with_causes(error)), start_hint(error), ExitCode::NotAdmitted)
        }
        MeetError::UdpSilent { .. } => {
            let hint = "let UDP through in a firewall of either host, in one direction at least, or leave out --transport \
                        quic: the ssh connection will do, more slowly";
            (format!("cannot reach the {other}: {error}"), Some(hint), ExitCode::NotConnected)
        }
        MeetError::Wire(WireError::VersionMismatch) => {
            (WireError::VersionMismatch.to_string(), Some(SAME_VERSION), ExitCode::Protocol)
        }
        MeetError::OtherKey { .. } => {
            let hint = "it was installed anew, or somebody else answers in its place: ask over there what `careful-recv key` prints, \
                        and take the old key out only if it was changed on purpose";
            (error.to_string(), Some(hint), ExitCode::NotAdmitted)
        }
        MeetError::NotFound { .. } => (with_causes(error), Some("is the name right?"), ExitCode::NotConnected),
        MeetError::Wire(error @ WireError::Refused { .. }) => {
            let hint = by_ticket.then_some("ask for a new ticket: each serves one receiver");
            (error.to_string(), hint, ExitCode::NotAdmitted)
        }
        MeetError::Wire(error @ WireError::Socket(_)) => (with_causes(error), None, ExitCode::NotConnected),
        MeetError::Wire(error) => {
            let hint = match by_ticket {
                true => "is it still waiting, and is UDP let through?",
                false => "run the same command again; -vv shows what was tried",
            };
            (format!("cannot reach the {other}: {}", with_causes(error)), Some(hint), ExitCode::NotConnected)
        }
    };
    report.error(&words, hint);
    code
}

fn start_hint(error: &ConnectError) -> Option<&'static str> {
    match error {
        ConnectError::FarProgramMissing { .. } => Some(
            "install careful there too, or say with --remote-path PROGRAM where it lies; `ssh HOST PROGRAM --version` \
             shows what is found",
        ),
        ConnectError::SshFailed { .. } => Some("try `ssh HOST` by itself, with the same options; its words are above"),
        ConnectError::Unexpected => Some(
            "is it careful? A shell that prints at every login can be in the way: `ssh HOST true` should print nothing",
        ),
        ConnectError::ProgramMissing { .. } => {
            Some("install all programs of careful in one directory, or give the right program with --ssh")
        }
        ConnectError::NoAnswer => Some("does `ssh HOST` by itself log in there?"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operand: &str) -> Result<Destination, Stop> {
        Destination::read(OsStr::new(operand))
    }

    #[test]
    fn a_host_is_told_from_a_path_and_a_ticket() {
        assert!(matches!(read("host:dir"), Ok(Destination::Remote(_))));
        assert!(matches!(read("./host:dir"), Ok(Destination::Local)));
        assert!(matches!(read("dir"), Ok(Destination::Local)));
        assert!(matches!(read("careful://host/dir"), Ok(Destination::Standing(..))));
        assert!(matches!(read("careful://"), Err(Stop(_, _, ExitCode::Usage))));
        let mistyped = format!("careful1{}", "a".repeat(100));
        assert!(matches!(read(&mistyped), Err(Stop(_, Some(_), ExitCode::Usage))));
        assert!(matches!(read("-oProxyCommand=id:x"), Err(Stop(_, Some(_), ExitCode::Usage))));
    }
}
