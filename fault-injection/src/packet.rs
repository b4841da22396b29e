//! Faulty packets: a socket that loses, doubles, flips or delays the datagrams it sends, as the plan says.
//!
//! A call may hold several datagrams (segmentation offload): each has its own number and its own fault. What is damaged
//! here leaves with a fresh checksum of UDP, so that only QUIC can see it; where the plan keeps the old checksum, a
//! datagram whose sum (RFC 1071) does not fit any more is thrown away, as the other side's UDP would. **Receiving is left
//! alone**: what one side sends is what the other gets.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use careful::seams::packet::{Carrier, Congestion, Packets, PathKnowledge, PortRange};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::checksum::sum;
use crate::plan::{Checksum, Fault, Place, Plan, Side, Strike, damage};

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
        let places = [Checksum::Recomputed, Checksum::Kept].map(|checksum| Place::Packet { from: self.side, checksum });
        Ok(Arc::new(FaultySocket { inner, places, plan: Arc::clone(&self.plan), queues: Mutex::default() }))
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
        self.inner.congestion()
    }

    fn path_knowledge(&self) -> PathKnowledge {
        self.inner.path_knowledge()
    }
}

#[derive(Debug)]
struct FaultySocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// One for each way with the checksum.
    places: [Place; 2],
    plan: Arc<Plan>,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    /// Decided upon, not yet taken by the socket.
    leaving: VecDeque<Datagram>,
    /// To leave after so many others.
    late: Vec<(u64, Datagram)>,
    /// So many more are lost.
    blackout: u64,
}

#[derive(Clone, Debug)]
struct Datagram {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    source: Option<IpAddr>,
    bytes: Vec<u8>,
}

/// What becomes of a datagram.
#[derive(Default)]
struct Fate {
    is_lost: bool,
    copies: usize,
    late: u64,
}

impl FaultySocket {
    /// What becomes of one datagram.
    fn decide(&self, mut datagram: Datagram, queues: &mut Queues) {
        let mut fate = Fate { copies: 1, ..Fate::default() };
        for place in &self.places {
            // Addresses and ports are the same before and after.
            let before = sum(&datagram.bytes);
            for strike in self.plan.visit(place) {
                if self.strike(strike.fault, &mut fate, queues, datagram.bytes.len())
                    || damage_datagram(strike, &mut datagram.bytes)
                {
                    self.plan.took_effect(strike);
                }
            }
            let is_kept = matches!(place, Place::Packet { checksum: Checksum::Kept, .. });
            fate.is_lost |= is_kept && sum(&datagram.bytes) != before;
        }
        if queues.blackout > 0 {
            queues.blackout -= 1;
            fate.is_lost = true;
        }
        if fate.is_lost {
            return;
        }
        if fate.late > 0 {
            return queues.late.push((fate.late, datagram));
        }
        queues.leaving.extend(std::iter::repeat_n(datagram, fate.copies));
        for (after, _) in &mut queues.late {
            *after -= 1;
        }
        let (due, late) = std::mem::take(&mut queues.late).into_iter().partition(|(after, _)| *after == 0);
        queues.late = late;
        let due: Vec<(u64, Datagram)> = due;
        queues.leaving.extend(due.into_iter().map(|(_, datagram)| datagram));
    }

    /// A fault that is not one of content; false if it makes no difference.
    fn strike(&self, fault: Fault, fate: &mut Fate, queues: &mut Queues, length: usize) -> bool {
        match fault {
            Fault::Drop => fate.is_lost = true,
            Fault::TooLong { bytes } if length as u64 > bytes => fate.is_lost = true,
            Fault::Double => fate.copies = 2,
            Fault::Late { packets } => fate.late = packets,
            Fault::Blackout { packets } => queues.blackout = packets,
            _ => return false,
        }
        true
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

fn damage_datagram(strike: Strike, bytes: &mut Vec<u8>) -> bool {
    match strike.fault {
        Fault::Truncate { bytes: kept } => {
            let length = bytes.len();
            bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            bytes.len() < length
        }
        _ => damage(strike, bytes).is_some(),
    }
}
