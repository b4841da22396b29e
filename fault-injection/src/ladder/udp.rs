//! Single datagrams over a socket of the packet door.
//!
//! The door's sockets are made for QUIC: they are polled, and hand over several datagrams in one buffer. **Nothing is
//! retried here**: what is lost is lost.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use careful::seams::Environment;
use quinn::AsyncUdpSocket;
use quinn::udp::{RecvMeta, Transmit};

/// As many bytes as the kernel puts together into one buffer.
const MEMORY_BYTES: usize = 64 << 10;

/// A datagram and who sent it.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

/// A socket on loopback.
#[derive(Debug)]
pub(super) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    memory: Vec<u8>,
    /// Came together with one that was asked for.
    received: VecDeque<Datagram>,
}

impl Socket {
    /// A socket on a port that the system chooses.
    pub(super) fn bind(environment: &Environment) -> io::Result<Self> {
        let inner = environment.packets.socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { inner, memory: vec![0; MEMORY_BYTES], received: VecDeque::new() })
    }

    /// Where it is bound.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Sends one datagram, once the socket takes it.
    pub(super) async fn send(&self, destination: SocketAddr, contents: &[u8]) -> io::Result<()> {
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        let mut poller = None;
        loop {
            match self.inner.try_send(&transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let poller = poller.get_or_insert_with(|| Arc::clone(&self.inner).create_io_poller());
                    poll_fn(|context| poller.as_mut().poll_writable(context)).await?;
                }
                sent => return sent,
            }
        }
    }

    /// The next datagram. The future may be dropped at any time.
    pub(super) async fn receive(&mut self) -> io::Result<Datagram> {
        while self.received.is_empty() {
            let Self { inner, memory, received } = self;
            let mut meta = [RecvMeta::default()];
            let count = poll_fn(|context| inner.poll_recv(context, &mut [IoSliceMut::new(memory)], &mut meta)).await?;
            for meta in &meta[..count] {
                let datagrams = memory[..meta.len].chunks(meta.stride.max(1));
                received.extend(datagrams.map(|datagram| (meta.addr, datagram.to_vec())));
            }
        }
        Ok(self.received.pop_front().expect("the loop ends when there is one"))
    }
}
