//! A network in memory: hosts, one bad way in each direction between any two, and NATs that rebind.
//!
//! A [`Host`] is the packet door of one side, so both ends of QUIC run over it without a socket of the system. It keeps
//! to tokio's clock, also a paused one, which then jumps from one arrival to the next (in steps of 1 ms). Every datagram
//! carries the checksum of UDP; it is made when the datagram enters and checked when it arrives. What the ways do to the
//! datagram of a number is decided by the seed alone. Under a paused clock QUIC sends the same lengths at the same times for
//! the same seed; **keys, and so the bytes, differ from run to run**.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use careful::seams::packet::{Packets, PathKnowledge};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::checksum::udp_checksum;
use crate::passage::{Counts, Datagram, Injected, Passage, Trouble};

/// First port that is given to a socket that asks for none.
const FIRST_PORT: u16 = 40_000;
/// Most datagrams that one call may hand over, as with segmentation offload.
const SEGMENTS_MAX: usize = 10;

/// Hosts and the ways between them; clones are the same network.
#[derive(Clone, Debug)]
pub struct Network(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    seed: u64,
    start: Instant,
    /// By the addresses of the two hosts, from and to.
    ways: BTreeMap<(IpAddr, IpAddr), Way>,
    /// By public address.
    nats: BTreeMap<IpAddr, Nat>,
    sockets: BTreeMap<SocketAddr, Inbox>,
    next_port: u16,
}

#[derive(Debug)]
struct Way {
    passage: Passage<Envelope>,
    arrivals: Arrivals,
}

/// What is written on a datagram.
#[derive(Clone, Copy, Debug)]
struct Envelope {
    /// As the other side sees it, after a NAT.
    source: SocketAddr,
    /// As it was addressed, before a NAT.
    destination: SocketAddr,
    checksum: u16,
    ecn: Option<EcnCodepoint>,
}

#[derive(Debug, Default)]
struct Inbox {
    arrived: VecDeque<(Envelope, Vec<u8>)>,
    waker: Option<Waker>,
}

impl Inbox {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A NAT before one host: each inner port gets an outer one, and another after each rebinding.
#[derive(Debug)]
struct Nat {
    inside: IpAddr,
    rebinds: Vec<Duration>,
    /// Inner address and how many rebindings there were before, to outer port.
    ports: BTreeMap<(SocketAddr, usize), u16>,
}

impl Nat {
    fn age(&self, now: Duration) -> usize {
        self.rebinds.iter().filter(|&&rebind| rebind <= now).count()
    }

    /// The inner address of an outer port, if that is not of an earlier binding.
    fn inner(&self, port: u16, now: Duration) -> Option<SocketAddr> {
        let age = self.age(now);
        let is_meant = |((_, of_age), outer): &(&(SocketAddr, usize), &u16)| *of_age == age && **outer == port;
        self.ports.iter().find(is_meant).map(|((inner, _), _)| *inner)
    }
}

/// What became of the datagrams that got through a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Datagrams handed to a socket.
    pub delivered: u64,
    /// Their bytes, UDP payload.
    pub delivered_bytes: u64,
    /// Of the delivered ones those whose bytes are not what was sent: the checksum did not see it.
    pub delivered_damaged: u64,
    /// Thrown away because the checksum of UDP was wrong.
    pub checksum_wrong: u64,
    /// Nobody had the address, any more perhaps.
    pub nobody_there: u64,
}

impl Network {
    /// A network whose clock starts now, at tokio's time: every blackout and rebinding counts from here.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            seed,
            start: Instant::now(),
            ways: BTreeMap::new(),
            nats: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_port: FIRST_PORT,
        })))
    }

    /// The packet door of the host with this address. With one of 127.0.0.0/8 its QUIC behaves as within one host.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Arc<Host> {
        Arc::new(Host { network: self.clone(), address })
    }

    /// As [`Self::host`], seen by all others under the address `outside`. At each of the times every port is bound
    /// anew: datagrams come from another port then, and answers to the old one are lost.
    #[must_use]
    pub fn host_behind_nat(&self, address: IpAddr, outside: IpAddr, rebinds: Vec<Duration>) -> Arc<Host> {
        self.world().nats.insert(outside, Nat { inside: address, rebinds, ports: BTreeMap::new() });
        self.host(address)
    }

    /// From now on the way from one host to the other has this trouble; ways nothing was said about have none.
    pub fn set_way(&self, from: IpAddr, to: IpAddr, trouble: Trouble) {
        self.world().way(from, to).passage.set_trouble(trouble);
    }

    /// As [`Self::set_way`], for both directions.
    pub fn set_both_ways(&self, one: IpAddr, other: IpAddr, trouble: &Trouble) {
        self.set_way(one, other, trouble.clone());
        self.set_way(other, one, trouble.clone());
    }

    /// What the way from one host to the other did, and what arrived through it.
    #[must_use]
    pub fn counts(&self, from: IpAddr, to: IpAddr) -> (Counts, Arrivals) {
        let mut world = self.world();
        let way = world.way(from, to);
        (way.passage.counts(), way.arrivals)
    }

    /// The faults of all ways since the last call, way by way.
    #[must_use]
    pub fn take_faults(&self) -> Vec<Injected> {
        self.world().ways.values_mut().flat_map(|way| way.passage.take_faults()).collect()
    }

    /// Time since the start, by tokio's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.world().now()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn way(&mut self, from: IpAddr, to: IpAddr) -> &mut Way {
        let seed = self.seed;
        self.ways.entry((from, to)).or_insert_with(|| Way {
            passage: Passage::new(seed, &format!("{from}>{to}"), Trouble::default()),
            arrivals: Arrivals::default(),
        })
    }

    fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// How the sender appears to the other side.
    fn source(&mut self, inner: SocketAddr, now: Duration) -> SocketAddr {
        let port = self.next_port + 1;
        let Some((outside, nat)) = self.nats.iter_mut().find(|(_, nat)| nat.inside == inner.ip()) else {
            return inner;
        };
        let age = nat.age(now);
        let outer = *nat.ports.entry((inner, age)).or_insert(port);
        let outside = *outside;
        self.next_port = self.next_port.max(outer);
        SocketAddr::new(outside, outer)
    }

    /// The host that has the address, or has it before its NAT.
    fn host_of(&self, address: IpAddr) -> IpAddr {
        self.nats.get(&address).map_or(address, |nat| nat.inside)
    }

    fn send(&mut self, from: SocketAddr, transmit: &Transmit<'_>) {
        let now = self.now();
        let source = self.source(from, now);
        let host = self.host_of(transmit.destination.ip());
        let length = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let way = self.way(from.ip(), host);
        for bytes in transmit.contents.chunks(length) {
            let checksum = udp_checksum(source, transmit.destination, bytes);
            let envelope = Envelope { source, destination: transmit.destination, checksum, ecn: transmit.ecn };
            way.passage.enter(now, bytes.to_vec(), envelope);
        }
        // Whoever waits there may have to wait for another time now.
        for (_, inbox) in self.sockets.iter_mut().filter(|(address, _)| address.ip() == host) {
            inbox.wake();
        }
    }

    /// Puts what has arrived at a host into the inboxes of its sockets.
    fn deliver(&mut self, host: IpAddr) {
        let now = self.now();
        let Self { ways, nats, sockets, .. } = self;
        for way in ways.iter_mut().filter(|((_, to), _)| *to == host).map(|(_, way)| way) {
            while let Some(datagram) = way.passage.leave(now) {
                let Datagram { bytes, damage, is_marked, with: mut envelope, .. } = datagram;
                if is_marked && envelope.ecn.is_some() {
                    envelope.ecn = Some(EcnCodepoint::Ce);
                }
                let Envelope { source, destination, checksum, .. } = envelope;
                let found = udp_checksum(source, destination, &bytes);
                if found != checksum && !damage.is_some_and(|damage| damage.makes_checksum_anew()) {
                    way.arrivals.checksum_wrong += 1;
                    continue;
                }
                let inner = match nats.get(&destination.ip()) {
                    Some(nat) => nat.inner(destination.port(), now),
                    None => Some(destination),
                };
                let Some(inbox) = inner.and_then(|inner| sockets.get_mut(&inner)) else {
                    way.arrivals.nobody_there += 1;
                    continue;
                };
                way.arrivals.delivered += 1;
                way.arrivals.delivered_bytes += bytes.len() as u64;
                way.arrivals.delivered_damaged += u64::from(damage.is_some());
                inbox.arrived.push_back((envelope, bytes));
                inbox.wake();
            }
        }
    }

    /// When something next arrives at a host.
    fn next_arrival(&self, host: IpAddr) -> Option<Instant> {
        let ways = self.ways.iter().filter(|((_, to), _)| *to == host);
        ways.filter_map(|(_, way)| way.passage.next()).min().map(|next| self.start + next)
    }
}

/// A host's packet door.
#[derive(Debug)]
pub struct Host {
    network: Network,
    address: IpAddr,
}

impl Packets for Host {
    /// A socket of this host, whether its own address is asked for or any.
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let is_own = address.ip() == self.address || address.ip().is_unspecified() || address.ip().is_loopback();
        if !is_own {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut world = self.network.world();
        let port = if address.port() == 0 { world.port() } else { address.port() };
        let address = SocketAddr::new(self.address, port);
        if world.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        world.sockets.insert(address, Inbox::default());
        drop(world);
        Ok(Arc::new(NetworkSocket { network: self.network.clone(), address, timer: Mutex::new(None) }))
    }

    fn endpoint_seed(&self) -> Option<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.network.world().seed.to_le_bytes()).update(self.address.to_string().as_bytes());
        Some(*hasher.finalize().as_bytes())
    }

    /// Nothing limits a datagram but what becomes of it on its way.
    fn path_knowledge(&self) -> PathKnowledge {
        |_to| Some(u16::MAX)
    }
}

/// One socket; its address is free again when it is dropped.
#[derive(Debug)]
struct NetworkSocket {
    network: Network,
    address: SocketAddr,
    /// Runs until the next arrival at this host.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Drop for NetworkSocket {
    fn drop(&mut self) {
        self.network.world().sockets.remove(&self.address);
    }
}

impl AsyncUdpSocket for NetworkSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.network.world().send(self.address, transmit);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut world = self.network.world();
            world.deliver(self.address.ip());
            let Some(inbox) = world.sockets.get_mut(&self.address) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let received = take(&mut inbox.arrived, buffers, meta);
            if received > 0 {
                return Poll::Ready(Ok(received));
            }
            inbox.waker = Some(context.waker().clone());
            let Some(next) = world.next_arrival(self.address.ip()) else { return Poll::Pending };
            drop(world);
            let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
            timer.as_mut().reset(next);
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Hands over as many datagrams as there are buffers, one in each; what does not fit into one is cut off, as a system does.
fn take(arrived: &mut VecDeque<(Envelope, Vec<u8>)>, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
    let mut taken = 0;
    for (buffer, meta) in buffers.iter_mut().zip(meta) {
        let Some((envelope, bytes)) = arrived.pop_front() else { break };
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        *meta = RecvMeta { addr: envelope.source, len: length, stride: length, ecn: envelope.ecn, dst_ip: None };
        taken += 1;
    }
    taken
}

/// A way takes everything at once: what it does not carry it drops.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
