//! A bad link between two hosts: two network namespaces, a TUN device in each, and a [`Passage`] for either direction.
//!
//! Whatever speaks IP goes over it, so TCP tools and careful meet the same rate, delay, queue and losses. Root only; nothing
//! of the host's own network is touched, and everything is gone in the end. What leaves does so within a fraction of a
//! millisecond of its time: a thread that waits is not woken sooner. Both hosts may hand over many packets in one piece, as to a
//! network card (segmentation offload): each packet in it has a fate of its own. **Packets are read only for their length.**

use std::io;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tun_rs::{DeviceBuilder, GROTable, SyncDevice, VIRTIO_NET_HDR_LEN};

use crate::passage::{Counts, Passage, Trouble};

/// Addresses of the two hosts, IPv4.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// The same, IPv6.
pub const ADDRESSES_IPV6: [&str; 2] = ["fd77::1", "fd77::2"];
/// Name of the device in either namespace.
const DEVICE: &str = "wire";
/// Packets that may wait in a device until they are read: one that the kernel drops would be no fault of the plan.
const DEVICE_QUEUE_PACKETS: u32 = 10_000;
/// No IP packet is longer, nor a piece of several.
const PACKET_BYTES_MAX: usize = 65_535;
/// The most packets of one piece: as many as fit, each with 256 bytes at least.
const PACKETS_MAX: usize = 256;
/// Packets that leave together, if it is time for so many: a device takes as much in one piece.
const LEAVING_MAX: usize = 44;

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
            let mtu_bytes = options.mtu_bytes;
            thread::Builder::new().spawn(move || entering.take_in(&from, mtu_bytes))?;
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
    fn take_in(&self, device: &SyncDevice, mtu_bytes: u16) {
        let mut piece = vec![0; VIRTIO_NET_HDR_LEN + PACKET_BYTES_MAX];
        let mut packets = vec![vec![0; usize::from(mtu_bytes)]; PACKETS_MAX];
        let mut lengths = [0; PACKETS_MAX];
        loop {
            let count = match device.recv_multiple(&mut piece, &mut packets, &mut lengths, 0) {
                Ok(count) => count,
                // The kernel says so of a device that is gone.
                Err(error) if error.raw_os_error().is_some() => return,
                Err(_) => continue,
            };
            let mut passage = self.passage();
            let (now, before) = (self.start.elapsed(), passage.next());
            for (packet, &length) in packets.iter().zip(&lengths[..count]) {
                passage.enter(now, packet[..length].to_vec(), ());
            }
            // Faults are counted, not kept: there are as many as a long run makes.
            passage.take_faults();
            if passage.next() != before {
                self.entered.notify_one();
            }
        }
    }

    /// Everything whose time has come reaches the device.
    fn let_out(&self, device: &SyncDevice) {
        // Room for what is put together of all of them, as the library asks for it.
        let room = || Vec::with_capacity(2 * VIRTIO_NET_HDR_LEN + PACKET_BYTES_MAX);
        let mut leaving: Vec<Vec<u8>> = std::iter::repeat_with(room).take(LEAVING_MAX).collect();
        let mut together = GROTable::new();
        let mut passage = self.passage();
        loop {
            let now = self.start.elapsed();
            let mut count = 0;
            while count < LEAVING_MAX
                && let Some(packet) = passage.leave(now)
            {
                let bytes = &mut leaving[count];
                bytes.clear();
                bytes.resize(VIRTIO_NET_HDR_LEN, 0);
                bytes.extend_from_slice(&packet.bytes);
                count += 1;
            }
            if count > 0 {
                drop(passage);
                // A host that takes no packets any more is one that has gone down.
                device.send_multiple(&mut together, &mut leaving[..count], VIRTIO_NET_HDR_LEN).ok();
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
    fn device(&self, number: usize, mtu_bytes: u16) -> io::Result<Arc<SyncDevice>> {
        // Address and state are set once it is in its namespace.
        let device = DeviceBuilder::new()
            .enable(false)
            .with(|linux| {
                linux.offload(true);
            })
            .build_sync()?;
        let made = device.name()?;
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
