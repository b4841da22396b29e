//! Two hosts of their own on this one: network namespaces with a cable between them. Root only.
//!
//! Nothing of the host's own network is touched, and everything is gone in the end.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{is_root, skipped};

/// The device at either end of the cable, in its own namespace.
const DEVICE: &str = "cable";

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    One,
    Other,
}

/// Two network namespaces, each with loopback and one end of a cable.
pub(crate) struct Namespaces([String; 2]);

impl Namespaces {
    /// 10.77.0.1/24 and 10.77.0.2/24, and each is the other's way to everywhere else. Nothing, said loudly, where
    /// namespaces are not permitted.
    pub(crate) fn pair() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            skipped("network namespaces need root");
            return None;
        }
        // Device names live in the host's namespace for a moment, and have at most 15 bytes.
        let name = format!("ct{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pair = Self([format!("{name}a"), format!("{name}b")]);
        for namespace in &pair.0 {
            let made = Command::new("ip").args(["netns", "add", namespace]).output();
            if !made.as_ref().is_ok_and(|output| output.status.success()) {
                skipped(&format!("ip netns add failed: {made:?}"));
                return None;
            }
        }
        let [one, other] = &pair.0;
        ip(&format!("link add {one} netns {one} type veth peer name {other} netns {other}"));
        for (host, address, gateway) in [(Host::One, 1, 2), (Host::Other, 2, 1)] {
            let namespace = pair.name(host);
            ip(&format!("-n {namespace} link set {namespace} name {DEVICE}"));
            pair.ip(host, "link set lo up");
            pair.ip(host, &format!("link set {DEVICE} up"));
            pair.add_address(host, &format!("10.77.0.{address}/24"));
            pair.ip(host, &format!("route add default via 10.77.0.{gateway}"));
        }
        Some(pair)
    }

    fn name(&self, host: Host) -> &str {
        match host {
            Host::One => &self.0[0],
            Host::Other => &self.0[1],
        }
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
        for namespace in &self.0 {
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
