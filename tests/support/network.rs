//! Hosts of their own on this one: network namespaces with cables between them. Root only.
//!
//! Nothing of the host's own network is touched, and everything is gone in the end.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Pid;

use super::{is_root, run, skipped};

/// The device at either end of the cable, in its own namespace.
const DEVICE: &str = "cable";
/// The second device of the host in the middle, on the way to the other one.
const FURTHER: &str = "further";

/// One of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    One,
    Other,
    /// Between the two, where they are not joined directly.
    Middle,
}

/// Network namespaces, each with loopback and an end of a cable.
pub(crate) struct Namespaces(Vec<(Host, String)>);

impl Namespaces {
    /// 10.77.0.1/24 and 10.77.0.2/24, and each is the other's way to everywhere else. Nothing, said loudly, where
    /// namespaces are not permitted.
    pub(crate) fn pair() -> Option<Self> {
        let pair = Self::without_cables(&[Host::One, Host::Other])?;
        pair.join((Host::One, DEVICE, "10.77.0.1"), (Host::Other, DEVICE, "10.77.0.2"));
        pair.ip(Host::One, "route add default via 10.77.0.2");
        pair.ip(Host::Other, "route add default via 10.77.0.1");
        Some(pair)
    }

    /// 10.77.0.1/24, a host in the middle that is 10.77.0.2 and 10.78.0.1, and 10.78.0.2/24. The middle passes nothing
    /// on until it [routes](Self::route). Nothing, said loudly, where namespaces are not permitted.
    pub(crate) fn row() -> Option<Self> {
        let row = Self::without_cables(&[Host::One, Host::Middle, Host::Other])?;
        row.join((Host::One, DEVICE, "10.77.0.1"), (Host::Middle, DEVICE, "10.77.0.2"));
        row.join((Host::Middle, FURTHER, "10.78.0.1"), (Host::Other, DEVICE, "10.78.0.2"));
        row.ip(Host::One, "route add default via 10.77.0.2");
        row.ip(Host::Other, "route add default via 10.78.0.1");
        row.set_forwarding(false);
        Some(row)
    }

    fn without_cables(hosts: &[Host]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            skipped("network namespaces need root");
            return None;
        }
        // Device names live in the host's namespace for a moment, and have at most 15 bytes.
        let name = format!("ct{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let named = |(host, letter): (&Host, &str)| (*host, format!("{name}{letter}"));
        let namespaces = Self(hosts.iter().zip(["a", "b", "c"]).map(named).collect());
        for (host, namespace) in &namespaces.0 {
            let made = Command::new("ip").args(["netns", "add", namespace]).output();
            if !made.as_ref().is_ok_and(|output| output.status.success()) {
                skipped(&format!("ip netns add failed: {made:?}"));
                return None;
            }
            namespaces.ip(*host, "link set lo up");
        }
        Some(namespaces)
    }

    /// A cable between the two, each with its host, the name of its device, and its address.
    fn join(&self, one: (Host, &str, &str), other: (Host, &str, &str)) {
        let [from, to] = [self.name(one.0), self.name(other.0)];
        ip(&format!("link add {from} netns {from} type veth peer name {to} netns {to}"));
        for (host, device, address) in [one, other] {
            self.ip(host, &format!("link set {} name {device}", self.name(host)));
            self.ip(host, &format!("link set {device} up"));
            self.ip(host, &format!("address add {address}/24 dev {device}"));
        }
    }

    /// The host in the middle passes on what is not for it.
    pub(crate) fn route(&self) {
        self.set_forwarding(true);
    }

    fn set_forwarding(&self, is_on: bool) {
        let mut write = Command::new("sh");
        write.args(["-c", &format!("echo {} > /proc/sys/net/ipv4/ip_forward", u8::from(is_on))]);
        run(&mut self.on(Host::Middle, &write)).exits(0);
    }

    /// Adds rules of nft on a host to a table of their own with the chains `in` and `out`; false, said loudly, where there
    /// are no firewalls.
    pub(crate) fn firewall(&self, host: Host, rules: &[&str]) -> bool {
        let chain = |name: &str, hook: &str| {
            format!("add chain inet careful {name} {{ type filter hook {hook} priority 0; policy accept; }}; ")
        };
        let mut words = format!("add table inet careful; {}{}", chain("in", "input"), chain("out", "output"));
        rules.iter().for_each(|rule| words.push_str(&format!("add rule inet careful {rule}; ")));
        let mut nft = Command::new("nft");
        nft.arg(words);
        let ran = self.on(host, &nft).output();
        let works = ran.as_ref().is_ok_and(|ran| ran.status.success());
        if !works {
            skipped(&format!("there are no firewalls here: {ran:?}"));
        }
        works
    }

    /// All of them.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        self.0.iter().map(|(host, _)| *host).collect()
    }

    /// Everything that runs on a host.
    pub(crate) fn processes(&self, host: Host) -> Vec<Pid> {
        let told = Command::new("ip").args(["netns", "pids", self.name(host)]).output().expect("ip");
        let told = String::from_utf8(told.stdout).expect("numbers");
        told.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect()
    }

    fn name(&self, host: Host) -> &str {
        let found = self.0.iter().find(|(of, _)| *of == host);
        &found.expect("a host of these").1
    }

    /// Runs `ip` with these words on a host; the device of the cable is called `cable`.
    #[track_caller]
    pub(crate) fn ip(&self, host: Host, words: &str) {
        ip(&format!("-n {} {words}", self.name(host)));
    }

    #[track_caller]
    pub(crate) fn add_address(&self, host: Host, address: &str) {
        self.ip(host, &format!("address add {address} dev {DEVICE}"));
    }

    #[track_caller]
    pub(crate) fn remove_address(&self, host: Host, address: &str) {
        self.ip(host, &format!("address del {address} dev {DEVICE}"));
    }

    /// The same command, to be run on a host. Its process is the program itself.
    pub(crate) fn on(&self, host: Host, command: &Command) -> Command {
        let mut on_host = Command::new("ip");
        on_host.args(["netns", "exec", self.name(host)]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            on_host.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_host.env(name, value),
                None => on_host.env_remove(name),
            };
        }
        on_host
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for (_, namespace) in &self.0 {
            // What was not made cannot be removed.
            Command::new("ip").args(["netns", "del", namespace]).output().ok();
        }
    }
}

#[track_caller]
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("ip");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}
