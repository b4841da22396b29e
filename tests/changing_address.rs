//! A host's address changes in the middle of a transfer: it goes on or resumes by itself.

mod support;

use std::net::SocketAddr;

use careful::connect::ticket::Ticket;
use support::network::{Host, Namespaces};
use support::{CHUNK, Place, Ran, Running, bytes_written, start, tree, wait_for};

/// Long enough not to be over before the address has changed.
const LENGTH: usize = 96 * CHUNK;
/// So much is at the receiver when it changes.
const BEFORE: u64 = 8 * CHUNK as u64;

/// A sender on one host and a receiver on the other, which is reached first at the first of these addresses.
struct Between {
    place: Place,
    hosts: Namespaces,
    sender: Running,
    receiver: Running,
}

impl Between {
    fn new(hosts: Namespaces, receivers_addresses: &[&str]) -> Self {
        let place = Place::new();
        place.random("source", LENGTH, 1);
        place.directory("in");
        let mut receiver = start(&mut hosts.on(Host::Other, &place.receiver(&["--listen", "in", "-vv"])));
        let mut ticket: Ticket = receiver.first_line().parse().expect("a ticket");
        let port = ticket.addresses[0].port();
        ticket.addresses = receivers_addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().expect("an address"), port))
            .collect();
        // Within a firewall that lets one port through: the second connection needs it as the first did.
        let words = ["source", &ticket.to_string(), "--json", "-vv", "--retry-for", "1m", "--port", "50000"];
        let sender = start(&mut hosts.on(Host::One, &place.sender(&words)));
        let between = Self { place, hosts, sender, receiver };
        wait_for("some data to arrive", || between.arrived() >= BEFORE);
        between
    }

    /// Runs this in the middle of the transfer.
    fn change(&mut self, change: impl FnOnce(&Namespaces)) {
        change(&self.hosts);
        assert!(!self.sender.has_ended() && self.arrived() < LENGTH as u64, "it was over too early to show anything");
    }

    fn arrived(&self) -> u64 {
        bytes_written(self.receiver.pid()).unwrap_or(u64::MAX)
    }

    /// Both sides end well with the right bytes; what the sender said.
    fn finish(self) -> Ran {
        let ran = self.sender.finish().exits(0);
        self.receiver.finish().exits(0);
        assert_eq!(self.place.read("source"), self.place.read("in/source"));
        assert_eq!(tree(&self.place.path("in")).len(), 1, "nothing is left over");
        assert_eq!(ran.receipted(), ["source"]);
        ran
    }
}

fn was_lost(ran: &Ran) -> bool {
    !ran.events_of("notice").is_empty() || ran.stderr.contains("connecting again")
}

#[test]
fn a_transfer_goes_on_when_the_address_of_the_sender_changes() {
    let Some(hosts) = Namespaces::pair() else { return };
    let mut between = Between::new(hosts, &["10.77.0.2"]);
    between.change(|hosts| {
        hosts.remove_address(Host::One, "10.77.0.1/24");
        hosts.add_address(Host::One, "10.77.0.9/24");
    });
    let ran = between.finish();
    assert!(!was_lost(&ran), "the connection itself moves: {}", ran.stderr);
}

#[test]
fn a_transfer_resumes_when_the_address_of_the_receiver_changes() {
    let Some(hosts) = Namespaces::pair() else { return };
    hosts.add_address(Host::One, "10.77.1.1/24");
    let mut between = Between::new(hosts, &["10.77.0.2", "10.77.1.2"]);
    between.change(|hosts| {
        hosts.remove_address(Host::Other, "10.77.0.2/24");
        hosts.add_address(Host::Other, "10.77.1.2/24");
    });
    let ran = between.finish();
    assert!(was_lost(&ran), "{}", ran.stderr);
}
