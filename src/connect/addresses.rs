//! Under which addresses this host can be reached, as far as it can tell itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::seams::packet::Packets;
use crate::wire::WireError;
use crate::wire::endpoint::{Admitted, Listener};
use crate::wire::identity::KeyPair;

/// Addresses for a ticket of a receiver that is bound to `bound`: itself, or, bound to all addresses, the one that each
/// family's default route leaves from, and loopback last for a sender on the same host.
#[must_use]
pub fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    // Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket sends nothing, it only asks for the route.
    let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let mut addresses = Vec::new();
    if bound.is_ipv6() {
        addresses.extend(local_address_towards(IpAddr::V6(v6)));
    }
    addresses.extend(local_address_towards(IpAddr::V4(v4)));
    addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    addresses.dedup();
    addresses.into_iter().map(|address| SocketAddr::new(address, bound.port())).collect()
}

fn local_address_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((remote, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_unspecified()).then_some(local)
}

/// The two ends of the ssh connection that a process runs under, as the ssh server saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshEnds {
    /// Where the connection came from: the person's host, or the last one that it passed.
    pub client: IpAddr,
    /// The address of this host that it reached.
    pub server: IpAddr,
}

impl SshEnds {
    /// From the environment that sshd gives its processes; nothing without a network below.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Self::read(&std::env::var("SSH_CONNECTION").ok()?)
    }

    /// `CLIENT PORT SERVER PORT` (sshd(8)).
    fn read(value: &str) -> Option<Self> {
        let words: Vec<_> = value.split(' ').collect();
        let [client, _, server, _] = words[..] else { return None };
        let address = |word: &str| word.split('%').next()?.parse().ok();
        Some(Self { client: address(client)?, server: address(server)? })
    }
}

/// A listener on all addresses of both families, or of IPv4 where there is no IPv6, that expects nobody yet.
pub fn listen_everywhere(packets: &dyn Packets, key: &KeyPair) -> Result<Listener, WireError> {
    let any = |address: IpAddr| SocketAddr::new(address, 0);
    Listener::bind(packets, any(Ipv6Addr::UNSPECIFIED.into()), key, Admitted::Nobody)
        .or_else(|_no_ipv6| Listener::bind(packets, any(Ipv4Addr::UNSPECIFIED.into()), key, Admitted::Nobody))
}

/// These addresses, those of `first` with the port before all others, each once.
#[must_use]
pub fn first_of_all(first: impl IntoIterator<Item = IpAddr>, port: u16, others: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in first.into_iter().map(|ip| SocketAddr::new(ip, port)).chain(others.iter().copied()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_an_ssh_connection_are_read() {
        let ends = |client: &str, server: &str| {
            Some(SshEnds { client: client.parse().unwrap(), server: server.parse().unwrap() })
        };
        assert_eq!(SshEnds::read("192.0.2.1 40000 198.51.100.7 22"), ends("192.0.2.1", "198.51.100.7"));
        assert_eq!(SshEnds::read("fe80::1%eth0 40000 2001:db8::1 22"), ends("fe80::1", "2001:db8::1"));
        for value in ["", "UNKNOWN 65535 UNKNOWN 65535", "192.0.2.1 40000 198.51.100.7", "a b c d"] {
            assert_eq!(SshEnds::read(value), None, "{value}");
        }
    }

    #[test]
    fn what_ssh_reached_is_tried_first_and_nothing_twice() {
        let [a, b]: [SocketAddr; 2] = ["192.0.2.1:7".parse().unwrap(), "192.0.2.2:7".parse().unwrap()];
        assert_eq!(first_of_all([b.ip(), b.ip()], 7, &[a, b]), [b, a]);
        assert_eq!(first_of_all([], 7, &[a, b]), [a, b]);
    }

    #[test]
    fn an_address_that_was_named_is_the_only_one() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 7));
        assert_eq!(reachable(bound), [bound]);
    }

    #[test]
    fn bound_to_all_addresses_loopback_comes_last() {
        let all = reachable(SocketAddr::from(([0, 0, 0, 0], 7)));
        assert_eq!(all.last(), Some(&SocketAddr::from(([127, 0, 0, 1], 7))));
        assert!(all.iter().all(|address| !address.ip().is_unspecified() && address.port() == 7));
    }
}
