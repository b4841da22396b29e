//! The only doors to the outside: disk, buffers, packets.
//!
//! Everything a fault could strike passes through one of them, so a faulty twin can take the place of any. **There is
//! no fault hook in the program itself**: a twin enters here, from outside, by another [`Environment`].

pub mod buffer;
pub mod disk;
pub mod os_disk;
pub mod packet;
pub mod pipe_packets;

use std::sync::Arc;

use buffer::{Buffers, PlainBuffers};
use disk::Disk;
use os_disk::OsDisk;
use packet::{Congestion, Controlled, Packets, PortRange, UdpPackets, UdpPacketsWithin};

/// The three doors one half of a transfer runs over.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Queues between stages.
    pub buffers: Arc<dyn Buffers>,
    /// Sockets for QUIC.
    pub packets: Arc<dyn Packets>,
}

impl Environment {
    /// The real outside: the operating system's files, plain queues, UDP.
    #[must_use]
    pub fn real() -> Self {
        Self::real_on(None, Congestion::default())
    }

    /// As [`Self::real`], with UDP sockets on these ports alone, where some are named, and under this control of congestion.
    #[must_use]
    pub fn real_on(ports: Option<PortRange>, congestion: Congestion) -> Self {
        let inner: Arc<dyn Packets> = match ports {
            None => Arc::new(UdpPackets),
            Some(ports) => Arc::new(UdpPacketsWithin(ports)),
        };
        let packets = Arc::new(Controlled { inner, congestion });
        Self { disk: Arc::new(OsDisk), buffers: Arc::new(PlainBuffers), packets }
    }
}
