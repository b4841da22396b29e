//! Faulty packets: a socket that loses, doubles, flips or delays the datagrams it sends, as the plan says.
//!
//! A call may hold several datagrams (segmentation offload): each has its own number and its own fault. What is flipped
//! here leaves with a fresh checksum of UDP, so that only QUIC can see it. **Receiving is left alone**: what one side
//! sends is what the other gets.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use careful::seams::packet::Packets;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::plan::{Fault, Place, Plan, Side, damage};

/// Sockets that a plan strikes.
#[derive(Debug)]
pub struct FaultyPackets {
    inner: Arc<dyn Packets>,
    side: Side,
    plan: Arc<Plan>,
}

impl FaultyPackets {
    /// The sockets of one side.
    #[must_use]
    pub fn new(inner: Arc<dyn Packets>, side: Side, plan: Arc<Plan>) -> Self {
        Self { inner, side, plan }
    }
}

impl Packets for FaultyPackets {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let inner = self.inner.socket(address)?;
        let place = Place::Packet { from: self.side };
        Ok(Arc::new(FaultySocket { inner, place, plan: Arc::clone(&self.plan), queues: Mutex::default() }))
    }
}

#[derive(Debug)]
struct FaultySocket {
    inner: Arc<dyn AsyncUdpSocket>,
    place: Place,
    plan: Arc<Plan>,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    /// Decided upon, not yet taken by the socket.
    leaving: VecDeque<Datagram>,
    /// To leave after the next one.
    late: VecDeque<Datagram>,
}

#[derive(Clone, Debug)]
struct Datagram {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    source: Option<IpAddr>,
    bytes: Vec<u8>,
}

impl FaultySocket {
    /// What becomes of one datagram.
    fn decide(&self, mut datagram: Datagram, queues: &mut Queues) {
        let mut copies = 1;
        let mut is_late = false;
        for strike in self.plan.visit(&self.place) {
            match strike.fault {
                Fault::Drop => copies = 0,
                Fault::Double => copies = 2,
                Fault::Late => is_late = true,
                _ => {
                    damage(strike, &mut datagram.bytes);
                }
            }
            self.plan.took_effect(strike);
        }
        if is_late {
            return queues.late.push_back(datagram);
        }
        queues.leaving.extend(std::iter::repeat_n(datagram, copies));
        queues.leaving.append(&mut queues.late);
    }

    /// Hands over what was decided upon; `WouldBlock` if some of it has to wait.
    fn flush(&self, queues: &mut Queues) -> io::Result<()> {
        while let Some(datagram) = queues.leaving.front() {
            self.inner.try_send(&Transmit {
                destination: datagram.destination,
                ecn: datagram.ecn,
                contents: &datagram.bytes,
                segment_size: None,
                src_ip: datagram.source,
            })?;
            queues.leaving.pop_front();
        }
        Ok(())
    }
}

impl AsyncUdpSocket for FaultySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // Before anything is counted: the caller comes again with the same datagrams.
        self.flush(&mut queues)?;
        for bytes in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len()).max(1)) {
            let datagram = Datagram {
                destination: transmit.destination,
                ecn: transmit.ecn,
                source: transmit.src_ip,
                bytes: bytes.to_vec(),
            };
            self.decide(datagram, &mut queues);
        }
        match self.flush(&mut queues) {
            // They are ours now and leave before the next ones.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
