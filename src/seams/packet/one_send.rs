//! A UDP socket whose batches fit into one send, whatever the size of their datagrams.
//!
//! quinn hands over up to ten datagrams at once, to be cut by the kernel or the network card (GSO, udp(7)). Beyond 6,550 bytes
//! each that is more than one send takes: EMSGSIZE, which quinn takes for a success, so that ten datagrams are lost.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Most bytes of one send: 65,535 with the headers of IPv4 and UDP.
const SEND_BYTES_MAX: usize = 65_507;

/// The socket, and how large its datagrams are.
#[derive(Debug)]
pub(super) struct OneSend {
    inner: Arc<dyn AsyncUdpSocket>,
    /// Bytes of each datagram of the last batch: connections over one socket may have different ones, and mostly have not.
    segment_bytes: AtomicUsize,
}

impl OneSend {
    pub(super) fn over(inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Self { inner, segment_bytes: AtomicUsize::new(1) })
    }
}

impl AsyncUdpSocket for OneSend {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    /// A batch that is too long goes in several sends. Where the socket is full before the last of them quinn hands it over
    /// again, and what went already arrives twice, which QUIC ignores.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        self.segment_bytes.store(segment_bytes, Ordering::Relaxed);
        if transmit.contents.len() <= SEND_BYTES_MAX {
            return self.inner.try_send(transmit);
        }
        for contents in transmit.contents.chunks(most_segments(segment_bytes) * segment_bytes) {
            self.inner.try_send(&Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            })?;
        }
        Ok(())
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
        most_segments(self.segment_bytes.load(Ordering::Relaxed)).min(self.inner.max_transmit_segments())
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Datagrams of this size that one send takes, and one at least.
fn most_segments(segment_bytes: usize) -> usize {
    (SEND_BYTES_MAX / segment_bytes).max(1)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::UdpSocket;
    use std::time::Duration;

    use quinn::{Runtime, TokioRuntime};

    use super::*;

    #[tokio::test]
    async fn a_batch_too_long_for_one_send_arrives_all_the_same() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let sender = TokioRuntime.wrap_udp_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let sender = OneSend::over(sender);
        assert!(sender.max_transmit_segments() > 5, "no batch was sent yet");

        let datagrams: Vec<Vec<u8>> = (0..5).map(|number| vec![number; 13_200]).collect();
        let batch = Transmit {
            destination: receiver.local_addr().unwrap(),
            ecn: None,
            contents: &datagrams.concat(),
            segment_size: Some(13_200),
            src_ip: None,
        };
        let mut writable = Arc::clone(&sender).create_io_poller();
        poll_fn(|context| writable.as_mut().poll_writable(context)).await.unwrap();
        sender.try_send(&batch).unwrap();
        let mut memory = vec![0; 1 << 16];
        for datagram in datagrams {
            let (length, _) = receiver.recv_from(&mut memory).unwrap();
            assert!(memory[..length] == datagram);
        }
        assert_eq!(sender.max_transmit_segments(), 4, "the next batch is one send");
    }
}
