//! The one line that each side says over the pipe to the other: who it is, and where.
//!
//! The side that starts the other speaks first, [`Caller`]; the answer is a [`Ticket`]. A side that is started with a
//! line of another version answers with its own version, so that the other can name both. **Lines are text, so that
//! what a login shell prints in between is told apart from them.**

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::ConnectError;
use super::ticket::{Ticket, TicketError};
use crate::protocol::limits::{PROTOCOL_VERSION, TICKET_ADDRESSES_MAX};
use crate::seams::packet::{Congestion, PortRange};
use crate::wire::identity::PublicKey;

/// What the caller's line of every version begins with; the version follows.
const CALLER_WORD: &str = "careful-caller-";
/// What a range of ports follows, in the caller's line.
const PORTS_PREFIX: &str = "ports=";
/// What the name of a control of congestion follows, in the caller's line.
const CONGESTION_PREFIX: &str = "congestion=";
/// What the answer to a line of another version begins with; the version of the side that answers follows.
const VERSION_WORD: &str = "careful-version-";
/// What every answer of every version begins with.
const ANSWER_PREFIX: &str = "careful";

/// Between which hosts the pipe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// Within one host, from parent to child.
    Local,
    /// Through ssh.
    Ssh,
}

/// The side that starts the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key that it will prove to hold.
    pub key: PublicKey,
    /// How it started the other.
    pub pipe: Pipe,
    /// The UDP ports that the other may use, if not any.
    pub ports: Option<PortRange>,
    /// What decides how fast the other sends; not said if it is the usual one.
    pub congestion: Congestion,
    /// Where it can be called by UDP, best first; only the first `TICKET_ADDRESSES_MAX` are said.
    pub addresses: Vec<SocketAddr>,
}

impl Caller {
    /// Without wishes about the other's sockets, and without an address.
    #[must_use]
    pub fn new(key: PublicKey, pipe: Pipe) -> Self {
        Self { key, pipe, ports: None, congestion: Congestion::default(), addresses: Vec::new() }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pipe = match self.pipe {
            Pipe::Local => "local",
            Pipe::Ssh => "ssh",
        };
        write!(f, "{CALLER_WORD}{PROTOCOL_VERSION} {} {pipe}", self.key)?;
        if let Some(ports) = self.ports {
            write!(f, " {PORTS_PREFIX}{ports}")?;
        }
        if self.congestion != Congestion::default() {
            write!(f, " {CONGESTION_PREFIX}{}", self.congestion.name())?;
        }
        for address in self.addresses.iter().take(TICKET_ADDRESSES_MAX) {
            // The scope of an IPv6 address means nothing elsewhere.
            write!(f, " {}", SocketAddr::new(address.ip(), address.port()))?;
        }
        Ok(())
    }
}

impl FromStr for Caller {
    type Err = ConnectError;

    fn from_str(line: &str) -> Result<Self, ConnectError> {
        let rest = line.strip_prefix(CALLER_WORD).ok_or(ConnectError::Unexpected)?;
        let mut words = rest.split(' ');
        match words.next().map(str::parse) {
            Some(Ok(PROTOCOL_VERSION)) => {}
            Some(Ok(theirs)) => return Err(ConnectError::Version { theirs }),
            _ => return Err(ConnectError::Unexpected),
        }
        let key = words.next().and_then(|word| word.parse().ok()).ok_or(ConnectError::Unexpected)?;
        let pipe = match words.next() {
            Some("local") => Pipe::Local,
            Some("ssh") => Pipe::Ssh,
            _ => return Err(ConnectError::Unexpected),
        };
        let mut words = words.peekable();
        let ports = words.next_if(|word| word.starts_with(PORTS_PREFIX)).map(|word| word[PORTS_PREFIX.len()..].parse());
        let ports = ports.transpose().map_err(|_not_a_range| ConnectError::Unexpected)?;
        let congestion = words.next_if(|word| word.starts_with(CONGESTION_PREFIX));
        let congestion = congestion.map(|word| Congestion::named(&word[CONGESTION_PREFIX.len()..]));
        let congestion = congestion.map_or(Ok(Congestion::default()), |named| named.ok_or(ConnectError::Unexpected))?;
        let addresses = words.map(|word| word.parse().ok()).collect::<Option<Vec<_>>>();
        let addresses = addresses.filter(|addresses| addresses.len() <= TICKET_ADDRESSES_MAX);
        Ok(Self { key, pipe, ports, congestion, addresses: addresses.ok_or(ConnectError::Unexpected)? })
    }
}

/// What a side of this version answers to a line of another one.
pub(super) fn version_answer() -> String {
    format!("{VERSION_WORD}{PROTOCOL_VERSION}")
}

/// The answer that a line is; nothing if it is none, of no version.
pub(super) fn answer(line: &[u8]) -> Option<Result<Ticket, ConnectError>> {
    let text = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    if let Some(version) = text.strip_prefix(VERSION_WORD) {
        return Some(Err(match version.parse() {
            Ok(theirs) => ConnectError::Version { theirs },
            Err(_) => ConnectError::Unexpected,
        }));
    }
    if !text.starts_with(ANSWER_PREFIX) {
        return None;
    }
    match text.parse() {
        Ok(ticket) => Some(Ok(ticket)),
        Err(TicketError::NotATicket) => None,
        Err(TicketError::Version { theirs }) => Some(Err(ConnectError::Version { theirs })),
        Err(error) => Some(Err(error.into())),
    }
}

/// The ticket at the end of a line, and what stands before it: the words of a shell that does not end its lines.
pub(super) fn ticket_at_end(line: &[u8]) -> Option<(&[u8], Ticket)> {
    let is_prefix = |at: &usize| line[*at..].starts_with(ANSWER_PREFIX.as_bytes());
    (1..line.len()).filter(is_prefix).find_map(|at| match answer(&line[at..]) {
        Some(Ok(ticket)) => Some((&line[..at], ticket)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNUSUAL: Congestion = Congestion::Cubic;

    fn caller(addresses: usize) -> Caller {
        let address = |number| SocketAddr::from(([192, 0, 2, number as u8], 7400));
        Caller { addresses: (0..addresses).map(address).collect(), ..Caller::new(PublicKey([5; 32]), Pipe::Ssh) }
    }

    #[test]
    fn golden_line_of_a_caller() {
        let key = PublicKey([5; 32]);
        let addresses = vec!["192.0.2.1:7400".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
        let line = Caller { key, addresses, ..caller(0) }.to_string();
        assert_eq!(line, format!("careful-caller-1 {key} ssh 192.0.2.1:7400 [2001:db8::1]:1"));
        let line = Caller { pipe: Pipe::Local, ..caller(0) }.to_string();
        assert_eq!(line, format!("careful-caller-1 {key} local"));
        let line = Caller { ports: "7000-7100".parse().ok(), ..caller(1) }.to_string();
        assert_eq!(line, format!("careful-caller-1 {key} ssh ports=7000-7100 192.0.2.0:7400"));
        let line = Caller { ports: "7000".parse().ok(), congestion: UNUSUAL, ..caller(1) }.to_string();
        assert_eq!(line, format!("careful-caller-1 {key} ssh ports=7000 congestion=cubic 192.0.2.0:7400"));
    }

    #[test]
    fn a_caller_is_read_back_from_its_line() {
        for addresses in [0, 1, TICKET_ADDRESSES_MAX] {
            for pipe in [Pipe::Local, Pipe::Ssh] {
                for ports in [None, "7000".parse().ok(), "7000-7100".parse().ok()] {
                    for congestion in [Congestion::default(), UNUSUAL] {
                        let caller = Caller { pipe, ports, congestion, ..caller(addresses) };
                        assert_eq!(caller.to_string().parse::<Caller>().unwrap(), caller);
                    }
                }
            }
        }
        let many = caller(TICKET_ADDRESSES_MAX + 1);
        assert_eq!(many.to_string().parse::<Caller>().unwrap().addresses, many.addresses[..TICKET_ADDRESSES_MAX]);
    }

    #[test]
    fn any_other_line_is_unexpected() {
        let good = caller(1).to_string();
        let many = format!("{good}{}", " 192.0.2.1:1".repeat(TICKET_ADDRESSES_MAX));
        let cases = [
            good.to_uppercase(),
            good.replace(" ssh ", " pigeon "),
            good.replace("-1 ", "-x "),
            good.replace("-1 ", "-300 "),
            format!(" {good}"),
            format!("{good} "),
            format!("{good} host:1"),
            format!("{good} ports=7000"),
            good.replace(" ssh ", " ssh ports= "),
            good.replace(" ssh ", " ssh congestion= "),
            good.replace(" ssh ", " ssh congestion=none "),
            good.replace(" ssh ", " ssh congestion=cubic ports=7000 "),
            good.replace(" ssh ", " ssh ports=7-6 "),
            good.replace(" ssh ", " ssh ports=7000 ports=7000 "),
            String::new(),
            many,
        ];
        for case in cases {
            assert!(matches!(case.parse::<Caller>(), Err(ConnectError::Unexpected)), "{case:?}");
        }
    }

    #[test]
    fn a_line_of_another_version_tells_which() {
        let line = caller(0).to_string().replace("-1 ", "-7 ") + " and more";
        assert!(matches!(line.parse::<Caller>(), Err(ConnectError::Version { theirs: 7 })));
        let future = format!("careful2{}", "0".repeat(100));
        for (line, theirs) in [(&b"careful-version-9"[..], 9), (b"careful-version-9\r", 9), (future.as_bytes(), 2)] {
            assert!(matches!(answer(line), Some(Err(ConnectError::Version { theirs: told })) if told == theirs));
        }
        assert!(matches!(answer(version_answer().as_bytes()), Some(Err(ConnectError::Version { .. }))));
    }

    #[test]
    fn what_a_shell_prints_is_no_answer() {
        for line in [&b""[..], b"Welcome to careful!", b"careful", b"careful people", b"\xff\xfe", b"careful1"] {
            assert!(answer(line).is_none(), "{line:?}");
        }
    }
}
