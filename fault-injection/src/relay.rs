//! A relay between real sockets: the unmodified programs talk through it, and it does to their datagrams what a bad way does.
//!
//! Whoever sends to its address is a client with a socket of its own towards the target, so answers find back. All
//! clients share the two directions `to-target` and `to-client`, and each fault is told as a line. A flip under the old
//! checksum needs a raw socket, thus root and IPv4; the receiving kernel must throw it away. **The relay reads nothing
//! but lengths**, does not carry ECN, and lets the system fragment what is too long for a real link.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful::connect::ticket::Ticket;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::checksum::{PROTOCOL_UDP, UDP_HEADER_BYTES, udp_checksum};
use crate::passage::{Counts, Damage, Datagram, Injected, Passage, Trouble};

/// Kernel buffer asked for in each direction, in bytes: a relay that drops by itself would be one more fault.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Clients at once; datagrams of further ones are dropped.
const CLIENTS_MAX: usize = 256;
/// Datagrams from the target that wait for the relay.
const ANSWERS_WAITING_MAX: usize = 1024;
/// IP protocol number of a socket whose user writes the IP header, too (raw(7)).
const PROTOCOL_RAW: i32 = 255;
/// Bytes of an IPv4 header without options.
const IP_HEADER_BYTES: usize = 20;

/// What a relay is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients send to; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where that is forwarded to.
    pub target: SocketAddr,
    /// Decides, with direction and number, the fate of every datagram.
    pub seed: u64,
    /// What happens to datagrams on their way to the target.
    pub to_target: Trouble,
    /// What happens to the answers.
    pub to_client: Trouble,
}

/// What a relay has done so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// To the target.
    pub to_target: Counts,
    /// To the clients.
    pub to_client: Counts,
    /// Every fault, in order: shown as lines they replay against the same seed and options.
    pub faults: Vec<Injected>,
}

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    report: Arc<Mutex<Report>>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Starts a relay; must be called within a tokio runtime. Fails if an address cannot be had, or if flips under the
    /// old checksum are asked for where no raw socket is allowed (`PermissionDenied`) or for IPv6 (`Unsupported`).
    pub fn start(options: Options) -> io::Result<Self> {
        let listening = Arc::new(bound(options.listen)?);
        let address = listening.local_addr()?;
        let is_raw = [&options.to_target, &options.to_client].iter().any(|way| way.flipped_under_checksum > 0.0);
        let raw = if is_raw { Some(RawSocket::new(options.target)?) } else { None };
        let report = Arc::new(Mutex::new(Report::default()));
        let (answered, answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        let state = State {
            target: options.target,
            listening,
            raw,
            start: Instant::now(),
            to_target: Passage::new(options.seed, "to-target", options.to_target),
            to_client: Passage::new(options.seed, "to-client", options.to_client),
            clients: HashMap::new(),
            readers: JoinSet::new(),
            answered,
            report: Arc::clone(&report),
        };
        Ok(Self { address, report, task: tokio::spawn(state.run(answers)) })
    }

    /// Where clients send to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    #[must_use]
    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }
}

/// The ticket of a receiver as a sender has to use it to come through a relay at this address: same key, same token.
#[must_use]
pub fn ticket_through(ticket: &Ticket, relay: SocketAddr) -> Ticket {
    Ticket { addresses: vec![relay], ..ticket.clone() }
}

/// Runs a relay until `end` is done. `announce` hears the address, or, where the receiver's ticket is given, the ticket
/// that leads through the relay; `tell` hears each fault as it happens.
pub async fn run(
    options: Options,
    ticket: Option<Ticket>,
    announce: impl FnOnce(String),
    mut tell: impl FnMut(&Injected),
    end: impl Future<Output = ()>,
) -> io::Result<Report> {
    let relay = Relay::start(options)?;
    announce(match ticket {
        Some(ticket) => ticket_through(&ticket, relay.address()).to_string(),
        None => relay.address().to_string(),
    });
    let mut look = tokio::time::interval(Duration::from_millis(200));
    let mut told = 0;
    let mut tell_new = || {
        let faults = lock(&relay.report).faults[told..].to_vec();
        told += faults.len();
        faults.iter().for_each(&mut tell);
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = look.tick() => tell_new(),
            () = &mut end => break,
        }
    }
    tell_new();
    Ok(relay.report())
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    UdpSocket::from_std(socket.into())
}

/// A datagram of the target and the client it is for.
type Answer = (SocketAddr, Vec<u8>);

struct State {
    target: SocketAddr,
    listening: Arc<UdpSocket>,
    raw: Option<RawSocket>,
    start: Instant,
    /// Both carry the client's address.
    to_target: Passage<SocketAddr>,
    to_client: Passage<SocketAddr>,
    /// Sockets towards the target.
    clients: HashMap<SocketAddr, Arc<UdpSocket>>,
    readers: JoinSet<()>,
    answered: mpsc::Sender<Answer>,
    report: Arc<Mutex<Report>>,
}

impl State {
    async fn run(mut self, mut answers: mpsc::Receiver<Answer>) {
        let listening = Arc::clone(&self.listening);
        let mut memory = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let next = [self.to_target.next(), self.to_client.next()].into_iter().flatten().min();
            let next = self.start + next.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                received = listening.recv_from(&mut memory) => {
                    // An error is the echo of an answer to a client that is gone.
                    if let Ok((length, client)) = received && self.socket_of(client).await.is_some() {
                        self.to_target.enter(self.start.elapsed(), memory[..length].to_vec(), client);
                    }
                }
                Some((client, bytes)) = answers.recv() => {
                    self.to_client.enter(self.start.elapsed(), bytes, client);
                }
                () = sleep_until(next) => {}
            }
            self.forward().await;
        }
    }

    /// Sends what is due in both directions, and writes down what happened.
    async fn forward(&mut self) {
        while let Some(datagram) = self.to_target.leave(self.start.elapsed()) {
            if let Some(socket) = self.socket_of(datagram.with).await {
                self.send(&socket, self.target, datagram).await;
            }
        }
        while let Some(datagram) = self.to_client.leave(self.start.elapsed()) {
            let (socket, client) = (Arc::clone(&self.listening), datagram.with);
            self.send(&socket, client, datagram).await;
        }
        let mut report = lock(&self.report);
        report.to_target = self.to_target.counts();
        report.to_client = self.to_client.counts();
        report.faults.extend(self.to_target.take_faults());
        report.faults.extend(self.to_client.take_faults());
    }

    async fn send(&self, socket: &UdpSocket, destination: SocketAddr, datagram: Datagram<SocketAddr>) {
        let sent = match (datagram.damage, &self.raw) {
            (Some(damage @ Damage::FlipUnderChecksum { .. }), Some(raw)) => {
                socket.local_addr().and_then(|source| raw.send(source, destination, &datagram.bytes, damage))
            }
            _ => socket.send_to(&datagram.bytes, destination).await.map(drop),
        };
        // Where nobody listens any more the datagram is lost, as on any way.
        sent.ok();
    }

    /// The client's socket towards the target, made with its first datagram; nothing where there are too many.
    async fn socket_of(&mut self, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        if let Some(socket) = self.clients.get(&client) {
            return Some(Arc::clone(socket));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        let socket = Arc::new(bound(SocketAddr::new(any_address(self.target), 0)).ok()?);
        let reader = Arc::clone(&socket);
        let answered = self.answered.clone();
        let target = self.target;
        self.readers.spawn(async move {
            let mut memory = vec![0; DATAGRAM_BYTES_MAX];
            loop {
                // An error is the echo of a datagram that nobody took.
                let Ok((length, from)) = reader.recv_from(&mut memory).await else { continue };
                if from == target && answered.send((client, memory[..length].to_vec())).await.is_err() {
                    return;
                }
            }
        });
        self.clients.insert(client, Arc::clone(&socket));
        Some(socket)
    }
}

/// Where a socket that talks to this peer is bound: on loopback where the peer is.
fn any_address(peer: SocketAddr) -> IpAddr {
    match (peer.ip(), peer.ip().is_loopback()) {
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Sends datagrams with a UDP header of our own making.
struct RawSocket(Socket);

impl RawSocket {
    fn new(target: SocketAddr) -> io::Result<Self> {
        if target.is_ipv6() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(PROTOCOL_RAW)))?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        Ok(Self(socket))
    }

    /// Sends the damaged bytes under the checksum of the right ones.
    fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], damage: Damage) -> io::Result<()> {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (source, destination) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let from = SocketAddrV4::new(source_address(*from.ip(), *to.ip())?, from.port());
        let mut right = bytes.to_vec();
        // A flip undoes itself.
        damage.apply(&mut right);
        let checksum = udp_checksum(from.into(), destination, &right);
        self.0.send_to(&packet(from, to, checksum, bytes), &SockAddr::from(destination)).map(drop)
    }
}

/// The address of this host that packets to the destination carry, where the socket itself is bound to none.
fn source_address(bound: Ipv4Addr, destination: Ipv4Addr) -> io::Result<Ipv4Addr> {
    if !bound.is_unspecified() {
        return Ok(bound);
    }
    let probe = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.connect((destination, 9))?;
    match probe.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// An IPv4 packet; the kernel fills in its total length, its identification and its own checksum (raw(7)).
fn packet(source: SocketAddrV4, destination: SocketAddrV4, checksum: u16, payload: &[u8]) -> Vec<u8> {
    let udp_length = (UDP_HEADER_BYTES + payload.len()) as u16;
    let mut packet = Vec::with_capacity(IP_HEADER_BYTES + usize::from(udp_length));
    // Version 4 and five words of header; then type of service, length, identification, fragment, all 0; time to live.
    packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, PROTOCOL_UDP, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(destination.ip().octets());
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend(checksum.to_be_bytes());
    packet.extend(payload);
    packet
}
