//! `careful://HOST[:PORT]/PATH`: a receiver that stands somewhere, and how a sender comes to it.
//!
//! The receiver's key is known beforehand, the sender's own is in the receiver's list. The name is looked up anew for
//! each connection. **Nothing is decoded: PATH is taken as it stands, and what it means the receiver decides.**

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::protocol::limits::{PATH_BYTES_MAX, RESOLVE_TIMEOUT, STANDING_PORT, TICKET_ADDRESSES_MAX};
use crate::wire::identity::PublicKey;

/// What every such destination begins with.
pub const SCHEME: &str = "careful://";

/// Host and port of a standing receiver. Shown as `host:port`, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Ip(IpAddr),
}

/// A standing receiver as a sender knows it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Where it is.
    pub address: StandingAddress,
    /// The key it must prove to hold.
    pub receiver: PublicKey,
    /// Who says so, for the person: a file with its line, or an option.
    pub pinned_by: String,
}

/// Why a text is no such destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no host, or a character in it that no host has.
    #[error("there is no host behind careful://: the form is careful://HOST[:PORT]/PATH, [ADDRESS] for IPv6")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// The path is longer than any that is taken.
    #[error("the path is too long")]
    Path,
}

/// Host, port and path of a destination; nothing if it is of another kind.
pub fn parse(destination: &[u8]) -> Option<Result<(StandingAddress, Vec<u8>), AddressError>> {
    let rest = destination.strip_prefix(SCHEME.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some(address_of(authority).and_then(|address| {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if path.len() > PATH_BYTES_MAX { Err(AddressError::Path) } else { Ok((address, path.to_vec())) }
    }))
}

fn address_of(authority: &[u8]) -> Result<StandingAddress, AddressError> {
    let text = std::str::from_utf8(authority).map_err(|_not_utf8| AddressError::Host)?;
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, after) = bracketed.split_once(']').ok_or(AddressError::Host)?;
            let ip: IpAddr = ip.parse().map_err(|_no_address| AddressError::Host)?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(AddressError::Port)?) };
            (Host::Ip(ip), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host_of(host)?, Some(port)),
            None => (host_of(text)?, None),
        },
    };
    let port = match port {
        None => STANDING_PORT,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|&port| port != 0).ok_or(AddressError::Port)?
        }
        Some(_) => return Err(AddressError::Port),
    };
    Ok(StandingAddress { host, port })
}

/// Names of hosts are the same in capitals; a final dot, and letters beyond ASCII, are not taken.
fn host_of(text: &str) -> Result<Host, AddressError> {
    if let Ok(ip) = text.parse() {
        return Ok(Host::Ip(ip));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(Host::Name(text.to_ascii_lowercase()))
    } else {
        Err(AddressError::Host)
    }
}

impl fmt::Display for StandingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
        }
    }
}

impl StandingAddress {
    /// All addresses the name stands for by now, in the order of the system, at most `TICKET_ADDRESSES_MAX`. Fails where there
    /// is none, or no answer within `RESOLVE_TIMEOUT`.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let name = match &self.host {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, self.port)]),
            Host::Name(name) => name,
        };
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name.as_str(), self.port))).await;
        let found: Vec<SocketAddr> = found.map_err(|_elapsed| io::ErrorKind::TimedOut)??.collect();
        let mut addresses = Vec::new();
        for address in found {
            if addresses.len() < TICKET_ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, String), AddressError> {
        let (address, path) = parse(text.as_bytes()).expect("careful://")?;
        Ok((address.to_string(), String::from_utf8(path).unwrap()))
    }

    #[test]
    fn host_port_and_path_are_told_apart() {
        for (text, address, path) in [
            ("careful://host", "host:29984", ""),
            ("careful://host/", "host:29984", ""),
            ("careful://Host.Example:7/in/a b", "host.example:7", "in/a b"),
            ("careful://192.0.2.1:7/in/", "192.0.2.1:7", "in/"),
            ("careful://[2001:DB8::1]/x", "[2001:db8::1]:29984", "x"),
            ("careful://[::1]:7", "[::1]:7", ""),
            ("careful://host//etc", "host:29984", "/etc"),
            ("careful://host/a%2fb?c#d", "host:29984", "a%2fb?c#d"),
        ] {
            assert_eq!(parsed(text), Ok((address.to_owned(), path.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_or_no_port_is_refused() {
        for text in
            ["", "/", ":7", "-oProxyCommand=x", "a@b", "a b", "a\n", "[::1", "[host]", "::1", "a..b", "hö", "h."]
        {
            assert_eq!(parsed(&format!("careful://{text}")).map(|_| ()), Err(AddressError::Host), "{text}")
        }
        for text in ["h:", "h:0", "h:65536", "h:+7", "h:7x", "[::1]7", "[::1]:"] {
            assert_eq!(parsed(&format!("careful://{text}/x")).map(|_| ()), Err(AddressError::Port), "{text}")
        }
        let long = format!("careful://h/{}", "a".repeat(PATH_BYTES_MAX + 1));
        assert_eq!(parsed(&long), Err(AddressError::Path));
        assert!(parse(b"host:/path").is_none() && parse(b"./careful://h").is_none());
    }

    #[tokio::test]
    async fn an_address_resolves_to_itself_and_localhost_to_this_host() {
        let (address, _) = parse(b"careful://[::1]:7/x").unwrap().unwrap();
        assert_eq!(address.resolve().await.unwrap(), ["[::1]:7".parse().unwrap()]);
        let (address, _) = parse(b"careful://localhost:7/x").unwrap().unwrap();
        let found = address.resolve().await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7) && !found.is_empty());
    }
}
