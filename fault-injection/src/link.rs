//! A bad link between two hosts: two network namespaces, a TUN device in each, and a [`Passage`] for either direction.
//!
//! Whatever speaks IP goes over it, so TCP tools and careful meet the same rate, delay, queue and losses. Root only; nothing
//! of the host's own network is touched, and everything is gone in the end. What leaves does so within a fraction of a
//! millisecond of its time: a thread that waits is not woken sooner. **Packets are read only for their length.**

use std::io;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tun::AbstractDevice as _;

use crate::passage::{Counts, Passage, Trouble};

/// Addresses of the two hosts, IPv4.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// The same, IPv6.
pub const ADDRESSES_IPV6: [&str; 2] = ["fd77::1", "fd77::2"];
/// Name of the device in either namespace.
const DEVICE: &str = "wire";
/// Packets that may wait in a device until they are read: one that the kernel drops would be no fault of the plan.
const DEVICE_QUEUE_PACKETS: u32 = 10_000;
/// No IP packet is longer.
const PACKET_BYTES_MAX: usize = 65_535;

/// What a link is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides, with direction and number, the fate of every packet.
    pub seed: u64,
    /// What happens in either direction. Bytes and lengths are those of IP packets.
    pub trouble: Trouble,
    /// Longest packet of the devices.
    pub mtu_bytes: u16,
}

/// A link that is there until it is dropped.
#[derive(Debug)]
pub struct Link {
    hosts: [Namespace; 2],
    ways: [Arc<Way>; 2],
}

impl Link {
    /// Makes the two hosts and joins them. Fails without root, without `ip`, and where there are no TUN devices.
    pub fn start(options: &Options) -> io::Result<Self> {
        let name = format!("careful-link-{}", std::process::id());
        let hosts = [Namespace::make(format!("{name}-left"))?, Namespace::make(format!("{name}-right"))?];
        let devices = [hosts[0].device(0, options.mtu_bytes)?, hosts[1].device(1, options.mtu_bytes)?];
        let way = |direction| Arc::new(Way::new(Passage::new(options.seed, direction, options.trouble.clone())));
        let ways = [way("to-right"), way("to-left")];
        for (way, from, to) in [(&ways[0], 0, 1), (&ways[1], 1, 0)] {
            let (entering, from) = (Arc::clone(way), Arc::clone(&devices[from]));
            thread::Builder::new().spawn(move || entering.take_in(&from))?;
            let (leaving, to) = (Arc::clone(way), Arc::clone(&devices[to]));
            thread::Builder::new().spawn(move || leaving.let_out(&to))?;
        }
        Ok(Self { hosts, ways })
    }

    /// Names of the namespaces: `ip netns exec NAME COMMAND` runs a command there.
    #[must_use]
    pub fn names(&self) -> [&str; 2] {
        [&self.hosts[0].0, &self.hosts[1].0]
    }

    /// What happened so far to the right, and to the left.
    #[must_use]
    pub fn counts(&self) -> [Counts; 2] {
        [&self.ways[0], &self.ways[1]].map(|way| way.passage().counts())
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    start: Instant,
    passage: Mutex<Passage<()>>,
    /// Something entered that may be the next to leave.
    entered: Condvar,
}

impl Way {
    fn new(passage: Passage<()>) -> Self {
        Self { start: Instant::now(), passage: Mutex::new(passage), entered: Condvar::new() }
    }

    fn passage(&self) -> MutexGuard<'_, Passage<()>> {
        self.passage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that the device has to send enters, until the device is gone.
    fn take_in(&self, device: &tun::Device) {
        let mut memory = vec![0; PACKET_BYTES_MAX];
        while let Ok(length) = device.recv(&mut memory) {
            let mut passage = self.passage();
            let before = passage.next();
            passage.enter(self.start.elapsed(), memory[..length].to_vec(), ());
            // Faults are counted, not kept: there are as many as a long run makes.
            passage.take_faults();
            if passage.next() != before {
                self.entered.notify_one();
            }
        }
    }

    /// Everything whose time has come reaches the device.
    fn let_out(&self, device: &tun::Device) {
        let mut passage = self.passage();
        loop {
            let now = self.start.elapsed();
            if let Some(packet) = passage.leave(now) {
                drop(passage);
                // A host that takes no packets any more is one that has gone down.
                device.send(&packet.bytes).ok();
                passage = self.passage();
                continue;
            }
            passage = match passage.next() {
                None => self.entered.wait(passage).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let wait = due.saturating_sub(now);
                    self.entered.wait_timeout(passage, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// A network namespace, removed when it is dropped.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn make(name: String) -> io::Result<Self> {
        ip(&["netns", "add", &name])?;
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The device of the host with this number, made here and moved there.
    fn device(&self, number: usize, mtu_bytes: u16) -> io::Result<Arc<tun::Device>> {
        let mut configuration = tun::configure();
        // Address and state are set once it is in its namespace.
        configuration.platform_config(|platform| {
            platform.ensure_root_privileges(false);
        });
        let device = tun::create(&configuration).map_err(io::Error::other)?;
        let made = device.tun_name().map_err(io::Error::other)?;
        ip(&["link", "set", &made, "netns", &self.0])?;
        let (mtu, queue) = (mtu_bytes.to_string(), DEVICE_QUEUE_PACKETS.to_string());
        self.ip(&["link", "set", &made, "name", DEVICE, "mtu", &mtu, "txqueuelen", &queue])?;
        self.ip(&["link", "set", DEVICE, "up"])?;
        self.ip(&["address", "add", &format!("{}/24", ADDRESSES[number]), "dev", DEVICE])?;
        // Nobody else is there whose address it could be.
        self.ip(&["address", "add", &format!("{}/64", ADDRESSES_IPV6[number]), "dev", DEVICE, "nodad"])?;
        Ok(Arc::new(device))
    }

    fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        ip(&[&["-n", &self.0], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // There is nobody who could do more about it.
        ip(&["netns", "delete", &self.0]).ok();
    }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let ran = Command::new("ip").args(arguments).output()?;
    if ran.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(io::Error::other(format!("ip {}: {words}", arguments.join(" "))))
}
