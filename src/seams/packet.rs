//! The packet door: the socket that quinn drives; this one is UDP, [`super::pipe_packets`] is the other.
//!
//! Called once an endpoint; from there on quinn uses the socket directly. **Nothing here looks into a packet.**

mod one_send;

use std::fmt::{self, Debug};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use one_send::OneSend;
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use rustix::net::sockopt::{self, ip_mtu, ipv6_mtu};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Kernel buffer asked for in each direction, in bytes.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A network, or the inside of this host.
    Udp,
    /// A pair of byte streams: nothing is lost or overtaken, and whoever sends too fast is told to wait.
    Pipe,
}

/// Who decides how much may be under way on a path of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// A model of the path: loss by chance does not slow it down, a queue does.
    #[default]
    Careful,
    /// As TCP does by default (RFC 9438): every loss is a sign of congestion.
    Cubic,
}

impl Congestion {
    /// Its name, in options and between the two sides.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Careful => "careful",
            Self::Cubic => "cubic",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Careful, Self::Cubic].into_iter().find(|congestion| congestion.name() == name)
    }
}

/// Makes the sockets that QUIC runs over.
pub trait Packets: Send + Sync + Debug {
    /// A socket bound to the address; port 0 lets the system choose. Must be called within a tokio runtime.
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// What an endpoint on these sockets draws packet numbers and fillings from, where a run is to be repeated exactly;
    /// nothing, as on every real network: from the system, unpredictable. Keys never come from it.
    fn endpoint_seed(&self) -> Option<[u8; 32]> {
        None
    }

    /// The ports that alone may be used, where they were named.
    fn ports(&self) -> Option<PortRange> {
        None
    }

    /// What these sockets send over.
    fn carrier(&self) -> Carrier {
        Carrier::Udp
    }

    /// Who decides how much may be under way on a path of a network.
    fn congestion(&self) -> Congestion {
        Congestion::default()
    }

    /// What tells how long datagrams may be on the way to an address.
    fn path_knowledge(&self) -> PathKnowledge {
        |_to| None
    }
}

/// Bytes of UDP payload that the way to an address carries as far as this host knows; nothing where it knows nothing. The way
/// may carry less beyond the next hop.
pub type PathKnowledge = fn(SocketAddr) -> Option<u16>;

/// What the kernel knows: the length of packets on the interface that leads there, or less where a router has complained.
fn known_to_kernel(to: SocketAddr) -> Option<u16> {
    let (any, headers): (IpAddr, u32) = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), 20 + 8),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), 40 + 8),
    };
    // To connect a socket of UDP sends nothing.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    let packet_bytes = if to.is_ipv4() { ip_mtu(&socket) } else { ipv6_mtu(&socket) };
    let payload_bytes = packet_bytes.ok()?.checked_sub(headers)?;
    Some(u16::try_from(payload_bytes).unwrap_or(u16::MAX))
}

/// Asks the kernel for room for packets that nobody has taken yet. Root gets what it asks for, another user as much as the host
/// allows (socket(7)). Less is no error: packets are lost where the way is fast, and sent again.
fn enlarge_buffers(socket: &impl AsFd) {
    let asked = SOCKET_BUFFER_BYTES;
    let forced = sockopt::set_socket_recv_buffer_size_force(socket, asked);
    forced.or_else(|_| sockopt::set_socket_recv_buffer_size(socket, asked)).ok();
    let forced = sockopt::set_socket_send_buffer_size_force(socket, asked);
    forced.or_else(|_| sockopt::set_socket_send_buffer_size(socket, asked)).ok();
    for (setting, given) in [
        ("net.core.rmem_max", sockopt::socket_recv_buffer_size(socket)),
        ("net.core.wmem_max", sockopt::socket_send_buffer_size(socket)),
    ] {
        // Linux answers twice what counts, the other half being for its own bookkeeping.
        if let Some(hint) = given.ok().and_then(|given| buffer_hint(setting, given / 2)) {
            tracing::info!("{hint}");
        }
    }
}

/// What to do where the kernel gave a socket so many bytes.
fn buffer_hint(setting: &str, given_bytes: usize) -> Option<String> {
    (given_bytes < SOCKET_BUFFER_BYTES).then(|| {
        format!(
            "the kernel gives a socket {} KiB for packets where {} KiB are asked for: a fast way may lose some; hint: sysctl \
             -w {setting}={SOCKET_BUFFER_BYTES}",
            given_bytes >> 10,
            SOCKET_BUFFER_BYTES >> 10,
        )
    })
}

/// The sockets of another door, under this control of congestion.
#[derive(Clone, Debug)]
pub struct Controlled {
    /// What makes the sockets.
    pub inner: Arc<dyn Packets>,
    /// Who decides how much may be under way.
    pub congestion: Congestion,
}

impl Packets for Controlled {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.socket(address)
    }

    fn endpoint_seed(&self) -> Option<[u8; 32]> {
        self.inner.endpoint_seed()
    }

    fn ports(&self) -> Option<PortRange> {
        self.inner.ports()
    }

    fn carrier(&self) -> Carrier {
        self.inner.carrier()
    }

    fn congestion(&self) -> Congestion {
        self.congestion
    }

    fn path_knowledge(&self) -> PathKnowledge {
        self.inner.path_knowledge()
    }
}

/// Sockets of the operating system; port 0 is any free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpPackets;

/// One socket that another process bound and passed to this one.
#[derive(Debug)]
pub struct PassedSocket(Mutex<Option<UdpSocket>>);

impl PassedSocket {
    /// To be given out once.
    #[must_use]
    pub fn new(socket: UdpSocket) -> Self {
        Self(Mutex::new(Some(socket)))
    }
}

impl Packets for PassedSocket {
    fn socket(&self, _address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let passed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let socket = passed.ok_or_else(|| io::Error::other("the socket that was passed is in use"))?;
        enlarge_buffers(&socket);
        Ok(OneSend::over(TokioRuntime.wrap_udp_socket(socket)?))
    }

    fn path_knowledge(&self) -> PathKnowledge {
        known_to_kernel
    }
}

impl Packets for UdpPackets {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        enlarge_buffers(&socket);
        socket.bind(&SockAddr::from(address))?;
        Ok(OneSend::over(TokioRuntime.wrap_udp_socket(socket.into())?))
    }

    fn path_knowledge(&self) -> PathKnowledge {
        known_to_kernel
    }
}

/// Sockets of the operating system; port 0 is the first free one of a range.
#[derive(Clone, Copy, Debug)]
pub struct UdpPacketsWithin(pub PortRange);

impl Packets for UdpPacketsWithin {
    /// Fails with the kind `AddrInUse` and [`NoPortFree`] where no port of the range is free.
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if address.port() != 0 {
            return UdpPackets.socket(address);
        }
        for port in self.0.first..=self.0.last {
            match UdpPackets.socket(SocketAddr::new(address.ip(), port)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return other,
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, NoPortFree(self.0)))
    }

    fn ports(&self) -> Option<PortRange> {
        Some(self.0)
    }

    fn path_knowledge(&self) -> PathKnowledge {
        known_to_kernel
    }
}

/// UDP ports that a firewall lets through, written `50000-50100`, or `50000` for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl FromStr for PortRange {
    type Err = NotAPortRange;

    fn from_str(text: &str) -> Result<Self, NotAPortRange> {
        let port = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|port: &u16| is_plain && *port != 0)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(NotAPortRange),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first != self.last { write!(f, "-{}", self.last) } else { Ok(()) }
    }
}

/// The text is no range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UDP port from 1 to 65535, as in 50000, or a range of them, as in 50000-50100")]
pub struct NotAPortRange;

/// Other sockets have all ports of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no UDP port of {0} is free: each is used by another program; name other ports with --port")]
pub struct NoPortFree(pub PortRange);

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn range(first: u16, last: u16) -> UdpPacketsWithin {
        UdpPacketsWithin(PortRange { first, last })
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["1", "65535", "50000-50100", "7-65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!("7-7".parse::<PortRange>().unwrap().to_string(), "7");
        for text in ["", "0", "0-7", "-", "7-", "-7", "8-7", "+7", "65536", "1-65536", "1-2-3", " 7", "7 - 8", "ssh"] {
            assert_eq!(text.parse::<PortRange>(), Err(NotAPortRange), "{text:?}");
        }
    }

    #[test]
    fn the_kernel_knows_how_long_a_datagram_may_be_within_this_host() {
        let here = SocketAddr::new(HERE.ip(), 9);
        let inside = UdpPackets.path_knowledge()(here).unwrap();
        // Where nobody changed it, the inside of a host takes packets of 65,536 bytes; the longest of UDP are a little shorter.
        assert!(inside > 1200, "{inside}");
        assert_eq!(
            Controlled { inner: Arc::new(UdpPackets), congestion: Congestion::Cubic }.path_knowledge()(here),
            Some(inside)
        );
    }

    #[test]
    fn a_small_buffer_is_told_with_what_to_do_about_it_and_a_large_one_is_not() {
        let hint = buffer_hint("net.core.rmem_max", 212_992).unwrap();
        assert!(hint.contains("208 KiB") && hint.ends_with("hint: sysctl -w net.core.rmem_max=4194304"), "{hint}");
        assert_eq!(buffer_hint("net.core.rmem_max", SOCKET_BUFFER_BYTES), None);
    }

    #[test]
    fn the_kernel_is_asked_for_large_buffers() {
        let socket = UdpSocket::bind(HERE).unwrap();
        let of_kernel = |socket| sockopt::socket_recv_buffer_size(socket).unwrap();
        let before = of_kernel(&socket);
        sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        enlarge_buffers(&socket);
        assert!(of_kernel(&socket) >= before, "as large as the host allows, which is its default at least");
    }

    #[tokio::test]
    async fn the_first_free_port_of_a_range_is_taken() {
        // Whatever else runs here takes ports, too: until the next one was free.
        for _ in 0..100 {
            let taken = UdpSocket::bind(HERE).unwrap();
            let first = taken.local_addr().unwrap().port();
            let Ok(socket) = range(first, first.saturating_add(1)).socket(HERE) else { continue };
            assert_eq!(socket.local_addr().unwrap().port(), first + 1);
            return;
        }
        panic!("there was never a free port beside a taken one");
    }

    #[tokio::test]
    async fn a_range_without_a_free_port_is_named_in_the_error() {
        let taken = UdpSocket::bind(HERE).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = range(port, port).socket(HERE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("no UDP port of {port} is free")), "{error}");
    }

    #[tokio::test]
    async fn a_port_that_is_asked_for_need_not_be_of_the_range() {
        let free = UdpSocket::bind(HERE).unwrap().local_addr().unwrap();
        let Ok(socket) = range(1, 1).socket(free) else { return };
        assert_eq!(socket.local_addr().unwrap(), free);
    }
}
