//! A ticket: all that a sender needs to reach one receiver, in one word that can be mailed or typed.
//!
//! ```text
//! "careful", a digit of the version, base32 (a-z, 2-7) of:
//! version u8 | receiver's key, 32 bytes | token, 16 bytes
//! | expires: 0 u8, or 1 u8 and seconds since 1970 u64 LE
//! | number of addresses u8, each: 4 u8, 4 bytes, port u16 LE, or 6 u8, 16 bytes, port u16 LE
//! | first 4 bytes of the BLAKE3 hash of everything before
//! ```
//!
//! The token is a secret, proved by [`token_proof`] and never sent. **No path, no name of a person or host.**

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::protocol::limits::{PROTOCOL_VERSION, TICKET_ADDRESSES_MAX};
use crate::wire::identity::{PublicKey, from_base32, to_base32};

/// What every ticket of every version begins with; a digit follows.
const PREFIX: &str = "careful";
/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;
/// Fewest characters after prefix and digit: less is no ticket of any version, even one that was cut short, but a name.
const TEXT_MIN: usize = 32;
/// Most characters of a ticket: more than any of this version has.
const TEXT_MAX: usize = 1 << 10;
/// Purpose of the key made from a token.
const TOKEN_CONTEXT: &str = "careful 2026-11 ticket token";

/// Where a receiver is, and what it admits. Shown as text by `Display`; `Debug` keeps the token to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The key that the receiver must prove to hold.
    pub receiver: PublicKey,
    /// The secret by which the receiver knows the sender.
    pub token: [u8; 16],
    /// From then on nobody new is admitted; seconds since 1970.
    pub expires_seconds: Option<u64>,
    /// Where to try, best first; only the first `TICKET_ADDRESSES_MAX` are shown. Scopes of IPv6 addresses are left
    /// out: they mean nothing elsewhere.
    pub addresses: Vec<SocketAddr>,
}

impl Ticket {
    /// What the sender shows on the connection with this exporter.
    #[must_use]
    pub fn proof(&self, exporter: &[u8; 32]) -> [u8; 32] {
        token_proof(&self.token, exporter)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![PROTOCOL_VERSION];
        bytes.extend(self.receiver.0);
        bytes.extend(self.token);
        match self.expires_seconds {
            None => bytes.push(0),
            Some(seconds) => {
                bytes.push(1);
                bytes.extend(seconds.to_le_bytes());
            }
        }
        let addresses = &self.addresses[..self.addresses.len().min(TICKET_ADDRESSES_MAX)];
        bytes.push(addresses.len() as u8);
        for address in addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend(ip.octets());
                }
            }
            bytes.extend(address.port().to_le_bytes());
        }
        bytes.extend(checksum(&bytes));
        bytes
    }

    /// The fields behind the version; nothing unless they are all there and nothing else is.
    fn from_fields(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let receiver = PublicKey(take(bytes)?);
        let token = take(bytes)?;
        let expires_seconds = match take(bytes)? {
            [0] => None,
            [1] => Some(u64::from_le_bytes(take(bytes)?)),
            _ => return None,
        };
        let [count] = take(bytes)?;
        if usize::from(count) > TICKET_ADDRESSES_MAX {
            return None;
        }
        let addresses = (0..count).map(|_number| take_address(bytes)).collect::<Option<_>>()?;
        bytes.is_empty().then_some(Self { receiver, token, expires_seconds, addresses })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_address(bytes: &mut &[u8]) -> Option<SocketAddr> {
    let ip = match take(bytes)? {
        [4] => IpAddr::from(take::<4>(bytes)?),
        [6] => IpAddr::from(take::<16>(bytes)?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_le_bytes(take(bytes)?)))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash is longer than a checksum")
}

/// What shows that a side knows the token: bound to one connection by its exporter, so it is of no use on another.
#[must_use]
pub fn token_proof(token: &[u8; 16], exporter: &[u8; 32]) -> [u8; 32] {
    *blake3::keyed_hash(&blake3::derive_key(TOKEN_CONTEXT, token), exporter).as_bytes()
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}{}", PROTOCOL_VERSION % 10, to_base32(&self.to_bytes()))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("receiver", &self.receiver)
            .field("expires_seconds", &self.expires_seconds)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Why a text is no usable ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not look like a ticket of any version: it may well be a path.
    #[error("not a ticket")]
    NotATicket,
    /// A ticket of which a character is wrong or missing.
    #[error("the ticket is incomplete or has a wrong character")]
    Typo,
    /// A ticket of another version.
    #[error("the ticket is of version {theirs} of the protocol, this program knows {PROTOCOL_VERSION}")]
    Version {
        /// Its version, or the last digit of it.
        theirs: u8,
    },
    /// No character is wrong, yet it is not what a receiver prints.
    #[error("the ticket is malformed")]
    Malformed,
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.strip_prefix(PREFIX).ok_or(TicketError::NotATicket)?;
        let (digit, text) = text.split_at_checked(1).ok_or(TicketError::NotATicket)?;
        let digit: u8 = digit.parse().map_err(|_no_digit| TicketError::NotATicket)?;
        // What could be a ticket with a mistake in it must never be taken for the name of a file.
        if text.len() < TEXT_MIN || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(TicketError::NotATicket);
        }
        if digit != PROTOCOL_VERSION % 10 {
            return Err(TicketError::Version { theirs: digit });
        }
        if text.len() > TEXT_MAX {
            return Err(TicketError::Malformed);
        }
        let bytes = from_base32(text).ok_or(TicketError::Typo)?;
        let (bytes, sum) = bytes.split_last_chunk().ok_or(TicketError::Typo)?;
        if checksum(bytes) != *sum {
            return Err(TicketError::Typo);
        }
        match bytes.split_first() {
            Some((&PROTOCOL_VERSION, fields)) => Self::from_fields(fields).ok_or(TicketError::Malformed),
            Some((&theirs, _)) => Err(TicketError::Version { theirs }),
            None => Err(TicketError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn ticket(addresses: usize) -> Ticket {
        let address = |number: usize| match number % 2 {
            0 => SocketAddr::from((Ipv4Addr::new(192, 0, 2, number as u8), 7400)),
            _ => SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16), 65535)),
        };
        Ticket {
            receiver: PublicKey([7; 32]),
            token: [9; 16],
            expires_seconds: Some(1_795_000_000),
            addresses: (0..addresses).map(address).collect(),
        }
    }

    fn text_of(bytes: &[u8]) -> String {
        format!("careful1{}", to_base32(&[bytes, &checksum(bytes)].concat()))
    }

    #[test]
    fn golden_text_of_a_ticket() {
        let text = Ticket { expires_seconds: None, ..ticket(1) }.to_string();
        let fields = [&[1][..], &[7; 32], &[9; 16], &[0, 1, 4, 192, 0, 2, 0, 0xe8, 0x1c]].concat();
        assert_eq!(text, text_of(&fields));
        assert!(text.starts_with("careful1aedqob"), "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "one word: {text}");
    }

    #[test]
    fn a_ticket_is_read_back_from_its_text() {
        for addresses in [0, 1, 2, TICKET_ADDRESSES_MAX] {
            for expires_seconds in [None, Some(0), Some(u64::MAX)] {
                let ticket = Ticket { expires_seconds, ..ticket(addresses) };
                assert_eq!(ticket.to_string().parse(), Ok(ticket));
            }
        }
        let many = ticket(TICKET_ADDRESSES_MAX + 1);
        let read: Ticket = many.to_string().parse().unwrap();
        assert_eq!(read.addresses, many.addresses[..TICKET_ADDRESSES_MAX]);
    }

    #[test]
    fn every_single_changed_missing_or_added_character_is_refused() {
        let text = ticket(2).to_string();
        for place in 0..text.len() {
            for other in "abcdefghijklmnopqrstuvwxyz0123456789ABCXYZ-/. ".chars() {
                let mut changed = text.clone();
                changed.replace_range(place..=place, &other.to_string());
                assert!(changed == text || changed.parse::<Ticket>().is_err(), "{changed}");
                changed.insert_str(place, &text[place..=place]);
                assert!(changed.parse::<Ticket>().is_err(), "{changed}");
            }
            let mut shorter = text.clone();
            shorter.remove(place);
            assert!(shorter.parse::<Ticket>().is_err(), "{shorter}");
        }
        for length in 0..text.len() {
            assert!(text[..length].parse::<Ticket>().is_err(), "{length}");
        }
    }

    #[test]
    fn a_mistyped_ticket_is_never_taken_for_a_path() {
        let text = ticket(1).to_string();
        for changed in [text.replace('q', "r"), text[..50].to_owned(), format!("{text}x"), text.replace('q', "1")] {
            assert_eq!(changed.parse::<Ticket>(), Err(TicketError::Typo), "{changed}");
        }
    }

    #[test]
    fn a_path_is_no_ticket() {
        for path in
            ["", "careful", "careful1", "careful2.txt", "./careful1", "careful://host:1/a", "backup", "careful-recv"]
        {
            assert_eq!(path.parse::<Ticket>(), Err(TicketError::NotATicket), "{path}");
        }
    }

    #[test]
    fn a_version_from_the_future_is_told_even_if_nothing_else_is_known() {
        let future = format!("careful2{}", "0".repeat(100));
        assert_eq!(future.parse::<Ticket>(), Err(TicketError::Version { theirs: 2 }));
        assert_eq!(text_of(&[11; 40]).parse::<Ticket>(), Err(TicketError::Version { theirs: 11 }));
    }

    #[test]
    fn fields_that_no_receiver_prints_are_malformed() {
        let head = [&[1][..], &[7; 32], &[9; 16]].concat();
        for tail in [&[][..], &[0], &[2, 0], &[1, 0], &[0, 9], &[0, 1, 5], &[0, 1, 4, 1, 2, 3, 4, 1], &[0, 0, 0]] {
            let text = text_of(&[&head[..], tail].concat());
            assert_eq!(text.parse::<Ticket>(), Err(TicketError::Malformed), "{tail:?}");
        }
    }

    #[test]
    fn debug_output_does_not_tell_the_token() {
        let shown = format!("{:?}", ticket(1));
        assert!(!shown.contains("token") && !shown.contains("9, 9"), "{shown}");
    }

    #[test]
    fn a_proof_is_bound_to_token_and_exporter() {
        let proof = token_proof(&[1; 16], &[2; 32]);
        assert_ne!(proof, token_proof(&[3; 16], &[2; 32]));
        assert_ne!(proof, token_proof(&[1; 16], &[4; 32]));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in any::<String>(), tail in "[a-z2-7]{0,200}", digit in 0..10) {
            prop_assert!(text.parse::<Ticket>().is_err());
            for text in [format!("careful{text}"), format!("careful{digit}{tail}")] {
                prop_assert!(text.parse::<Ticket>().is_err());
            }
        }

        #[test]
        fn no_fields_make_reading_panic(fields in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(ticket) = Ticket::from_fields(&fields) {
                prop_assert_eq!(&ticket.to_bytes()[1..fields.len() + 1], &fields[..]);
            }
        }
    }
}
