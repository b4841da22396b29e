//! What lies between two hosts lets UDP through in one direction only, or not at all. Hosts are network namespaces.

mod support;

use std::process::Command;

use support::far::{Far, SSHD};
use support::network::{Host, Namespaces};
use support::{CHUNK, is_root, run, skipped};

const NOTICE: &str = "no UDP between the hosts: using the ssh connection; the checks are the same";

/// A far host without any network.
fn without_network() -> Option<Far> {
    if !is_root() {
        skipped("a host without a network needs root");
        return None;
    }
    let mut sshd = Command::new("unshare");
    sshd.args(["--net", SSHD]);
    Far::by(&sshd)
}

/// Sends from one host to the other.
struct Between {
    hosts: Namespaces,
    far: Far,
}

impl Between {
    fn new() -> Option<Self> {
        let hosts = Namespaces::pair()?;
        let far = Far::by(&hosts.on(Host::Other, &Command::new(SSHD)))?;
        far.place.random("src/large", 5 * CHUNK, 1);
        far.place.random("src/small", 100, 2);
        Some(Self { hosts, far })
    }

    /// The host does not know any more under which address it can be reached, as behind one that translates them.
    fn hide(&self, host: Host) {
        self.hosts.ip(host, "route del default");
    }

    fn send_over(&self, transport: &str, name: &str) -> support::Ran {
        let to = self.far.at(&format!("{name}/"));
        let program = env!("CARGO_BIN_EXE_careful-recv");
        let command = self.far.command(program, &["--transport", transport, "src/", &to]);
        run(&mut self.hosts.on(Host::One, &command))
    }

    fn assert_same(&self, name: &str) {
        assert_eq!(support::tree(&self.far.place.path(name)), support::tree(&self.far.place.path("src")));
    }
}

#[test]
fn where_udp_is_blocked_the_packets_go_through_ssh_and_the_checks_are_the_same() {
    let Some(far) = without_network() else { return };
    far.place.random("src/large", 5 * CHUNK, 1);
    far.place.random("src/small", 100, 2);
    let ran = far.send(&["src/", &far.at("auto/")]).exits(0);
    assert!(ran.stderr.contains(NOTICE), "{ran:?}");
    let ran = far.send(&["--transport", "ssh", "src/", &far.at("piped/")]).exits(0);
    assert!(!ran.stderr.contains(NOTICE), "{ran:?}");
    let possible = support::words_possible(&far.place.path("."));
    assert_eq!(support::words(&ran.summary()), possible);
    for copy in ["auto", "piped"] {
        assert_eq!(support::tree(&far.place.path(copy)), support::tree(&far.place.path("src")));
    }
    let ran = far.send(&["--transport", "quic", "src/", &far.at("quic/")]).exits(35);
    assert!(ran.stderr.contains("no UDP comes through") && ran.stderr.contains("hint: let UDP through"), "{ran:?}");
    assert!(!ran.stderr.contains(NOTICE) && !far.place.has("quic"), "{ran:?}");
}

#[test]
fn a_transfer_through_ssh_goes_on_after_ssh_was_killed() {
    let Some(far) = without_network() else { return };
    let bytes = far.place.random("large", 64 * CHUNK, 3);
    let to = far.at("copy");
    let command = &mut far.command(env!("CARGO_BIN_EXE_careful-recv"), &["--transport", "ssh", "large", &to]);
    let mut sending = support::start(command);
    let staging = far.place.path(support::staging_name("copy"));
    support::wait_for("something to arrive", || {
        staging.symlink_metadata().is_ok_and(|staging| staging.len() > 0) || sending.has_ended()
    });
    if let Some(ssh) = sending.started("ssh") {
        support::kill(ssh, rustix::process::Signal::KILL);
    }
    sending.finish().exits(0);
    assert_eq!(far.place.read("copy"), bytes);
}

#[test]
fn a_receiver_that_cannot_be_called_calls_the_sender() {
    let Some(between) = Between::new() else { return };
    between.hide(Host::Other);
    between.send_over("quic", "copy").exits(0);
    between.assert_same("copy");
}

#[test]
fn a_sender_that_cannot_be_called_calls_the_receiver() {
    let Some(between) = Between::new() else { return };
    between.hide(Host::One);
    between.send_over("quic", "copy").exits(0);
    between.assert_same("copy");
    // Were this to succeed, the two tests would show nothing.
    between.hide(Host::Other);
    between.send_over("quic", "none").exits(35);
}

#[test]
fn two_firewalls_that_let_only_answers_pass_are_opened_from_both_sides() {
    let Some(between) = Between::new() else { return };
    for host in [Host::One, Host::Other] {
        if !between.hosts.firewall(host, &["in iif cable ct state new drop"]) {
            return;
        }
    }
    let ran = between.send_over("quic", "copy").exits(0);
    assert!(!ran.stderr.contains(NOTICE), "{ran:?}");
    between.assert_same("copy");
    // The firewalls do hold: a call that the other side does not expect by calling itself is not let in.
    between.hide(Host::Other);
    between.send_over("quic", "none").exits(35);
}
