//! Under which addresses this host can be reached, as far as it can tell itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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

#[cfg(test)]
mod tests {
    use super::*;

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
