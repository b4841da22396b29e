//! The packet door: the socket that quinn drives; this one is UDP, [`super::pipe_packets`] is the other.
//!
//! Called once an endpoint; from there on quinn uses the socket directly. **Nothing here looks into a packet.**

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Kernel buffer asked for in each direction, in bytes; the kernel may give less (net.core.rmem_max, wmem_max).
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A network, or the inside of this host.
    Udp,
    /// A pair of byte streams: nothing is lost or overtaken, and whoever sends too fast is told to wait.
    Pipe,
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

    /// What these sockets send over.
    fn carrier(&self) -> Carrier {
        Carrier::Udp
    }
}

/// Sockets of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpPackets;

impl Packets for UdpPackets {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // Less than asked for is no error: the transfer is only slower.
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.bind(&SockAddr::from(address))?;
        TokioRuntime.wrap_udp_socket(socket.into())
    }
}
