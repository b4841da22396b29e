//! The packet door over a pair of byte streams: the standard input and output of ssh, or of the program at its far end.
//!
//! Each packet is a frame: its length in two bytes, the larger one first, and its bytes. What QUIC believes of a network
//! holds here, too: nothing is trusted, and a pipe that ends is a lost connection, at once. A pipe loses nothing and keeps the
//! order, so what does not fit into it waits. **Nothing here looks into a packet.**

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::packet::{Carrier, Packets};

/// Longest packet in bytes. Large ones cost least; from 16 KiB on the length field of QUIC's first packets overflows.
pub const PIPE_PACKET_BYTES_MAX: u16 = 16_000;
/// Where the other end of a pipe is, for QUIC, which wants an address: one that no network delivers to (RFC 6666).
pub const PIPE_PEER: SocketAddr = address(2);
/// Where this end is, likewise.
const HERE: SocketAddr = address(1);
/// Bytes that wait to be written before QUIC is told to wait. As many again are being written.
const OUTBOX_BYTES: usize = 128 << 10;
/// Bytes that wait for QUIC before the pipe is left to fill.
const INBOX_BYTES: usize = 256 << 10;
/// What a packet that waits costs beside its bytes: many tiny ones must not cost more than few large ones.
const PACKET_OVERHEAD_BYTES: usize = 64;
/// Bytes asked for in one read.
const READ_BYTES: usize = 64 << 10;
/// Datagrams that QUIC may hand over at once.
const SEGMENTS_MAX: usize = 10;
/// How long is read on after writing failed, and how long QUIC may take over the last packets: the other side may have said
/// why it left, and a socket that fails lets QUIC forget it.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes before each packet.
const LENGTH_BYTES: usize = 2;
/// Longest frame.
const FRAME_BYTES_MAX: usize = LENGTH_BYTES + PIPE_PACKET_BYTES_MAX as usize;

const fn address(host: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, host)), 1)
}

/// How a pipe came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipeEnd {
    /// The other side closed it between two packets.
    #[error("the pipe to the other side was closed")]
    Closed,
    /// It was closed within a packet.
    #[error("the pipe to the other side was cut off")]
    CutOff,
    /// A frame says a length that no packet has: what comes is not from this program, or damaged.
    #[error("what came over the pipe is no packet (a length of {length_bytes} bytes)")]
    Malformed {
        /// The length it says.
        length_bytes: u16,
    },
    /// Reading or writing failed.
    #[error("the pipe to the other side failed: {0}")]
    Failed(io::ErrorKind),
}

/// Packets over one pair of byte streams. Dropped with all its sockets, what was handed over is still written, then the
/// writing half is closed.
#[derive(Debug)]
pub struct PipePackets {
    pipe: Arc<Pipe>,
}

impl PipePackets {
    /// Frames over these two halves, which nobody else may use from now on. Reading begins at once, and what comes while
    /// there is no socket is thrown away, as a network does. Must be called within a tokio runtime.
    pub fn new(read: impl AsyncRead + Send + Unpin + 'static, write: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let (failed, write_failed) = oneshot::channel();
        let writing = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                if let Err(error) = write_frames(write, &shared).await {
                    tracing::debug!(%error, "writing to the pipe failed");
                    // The reader may have ended before.
                    failed.send(error.kind()).ok();
                }
                shared.outbox().is_over = true;
                shared.wake_senders();
                shared.written.send_replace(true);
            }
        });
        let reading = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let end = tokio::select! {
                    end = read_frames(read, &shared) => end,
                    end = after_last_words(write_failed) => end,
                };
                tracing::debug!("{end}");
                shared.ended.send_replace(Some(end));
                sleep(LAST_WORDS).await;
                shared.fail(end);
            }
        });
        let tasks = [reading.abort_handle(), writing.abort_handle()];
        Self { pipe: Arc::new(Pipe { shared, reading: tasks[0].clone(), writing: tasks[1].clone() }) }
    }

    /// Waits until the other side has closed the pipe, is gone, or sent what is no frame. The future may be dropped at any
    /// time, and asked for again.
    pub async fn ended(&self) -> PipeEnd {
        let mut ended = self.pipe.shared.ended.subscribe();
        match ended.wait_for(Option::is_some).await.map(|end| *end) {
            Ok(Some(end)) => end,
            // The sending half lives as long as this.
            Ok(None) | Err(_) => PipeEnd::Closed,
        }
    }

    /// Writes what was handed over, at most for this long, then closes the writing half. What is handed over from now on is
    /// thrown away.
    pub async fn finish(&self, wait: Duration) {
        self.pipe.shared.close();
        let mut written = self.pipe.shared.written.subscribe();
        if timeout(wait, written.wait_for(|written| *written)).await.is_err() {
            tracing::debug!("the other side did not read the last packets");
            self.pipe.writing.abort();
        }
    }
}

impl Packets for PipePackets {
    /// The one socket there is, whatever the address: it takes the place of the one before, which hears nothing any more.
    /// Fails once the pipe has ended.
    fn socket(&self, _address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if let Some(end) = *self.pipe.shared.ended.borrow() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, end));
        }
        let number = self.pipe.shared.open();
        Ok(Arc::new(PipeSocket { pipe: Arc::clone(&self.pipe), number }))
    }

    fn carrier(&self) -> Carrier {
        Carrier::Pipe
    }
}

/// The two tasks of a pipe; dropped, they end.
#[derive(Debug)]
struct Pipe {
    shared: Arc<Shared>,
    reading: AbortHandle,
    writing: AbortHandle,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shared.close();
        self.reading.abort();
    }
}

/// What the tasks and the socket have in common.
#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    /// There is room in the inbox, or nobody who reads from it.
    room: Notify,
    outbox: Mutex<Outbox>,
    /// There is something in the outbox, or it is closed.
    filled: Notify,
    ended: watch::Sender<Option<PipeEnd>>,
    /// Nothing is left to write, for good.
    written: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inbox {
    packets: VecDeque<Bytes>,
    /// As they count against [`INBOX_BYTES`].
    bytes: usize,
    waker: Option<Waker>,
    /// Number of the socket that packets are for; 0 for none.
    socket: u64,
    sockets: u64,
    /// What the socket is to fail with.
    failed: Option<PipeEnd>,
}

#[derive(Debug, Default)]
struct Outbox {
    frames: Vec<u8>,
    wakers: Vec<Waker>,
    is_closed: bool,
    /// Nobody writes any more: what comes is thrown away.
    is_over: bool,
}

impl Outbox {
    fn is_full(&self) -> bool {
        self.frames.len() >= OUTBOX_BYTES && !self.is_over
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new socket takes over; its number.
    fn open(&self) -> u64 {
        let mut inbox = self.inbox();
        inbox.sockets += 1;
        inbox.socket = inbox.sockets;
        inbox.packets.clear();
        inbox.bytes = 0;
        inbox.waker = None;
        let number = inbox.socket;
        drop(inbox);
        self.room.notify_one();
        number
    }

    /// The socket of this number is gone.
    fn leave(&self, number: u64) {
        let mut inbox = self.inbox();
        if inbox.socket == number {
            inbox.socket = 0;
            inbox.packets.clear();
            inbox.bytes = 0;
        }
        drop(inbox);
        self.room.notify_one();
    }

    async fn wait_for_room(&self) {
        while self.inbox().bytes >= INBOX_BYTES {
            self.room.notified().await;
        }
    }

    fn arrived(&self, packets: impl Iterator<Item = Bytes>) {
        let mut inbox = self.inbox();
        if inbox.socket == 0 {
            return;
        }
        for packet in packets {
            inbox.bytes += packet.len() + PACKET_OVERHEAD_BYTES;
            inbox.packets.push_back(packet);
        }
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn fail(&self, end: PipeEnd) {
        let mut inbox = self.inbox();
        inbox.failed = Some(end);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self) {
        self.outbox().is_closed = true;
        self.filled.notify_one();
    }

    fn wake_senders(&self) {
        let wakers = std::mem::take(&mut self.outbox().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Exchanges the frames that wait for this empty buffer, once there are some; false if none will come any more.
    async fn next_frames(&self, batch: &mut Vec<u8>) -> bool {
        loop {
            if let Some(is_more) = self.take_frames(batch) {
                return is_more;
            }
            self.filled.notified().await;
        }
    }

    fn take_frames(&self, batch: &mut Vec<u8>) -> Option<bool> {
        let mut outbox = self.outbox();
        if outbox.frames.is_empty() {
            return outbox.is_closed.then_some(false);
        }
        std::mem::swap(&mut outbox.frames, batch);
        drop(outbox);
        self.wake_senders();
        Some(true)
    }
}

async fn write_frames(mut to: impl AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut batch = Vec::with_capacity(OUTBOX_BYTES);
    while shared.next_frames(&mut batch).await {
        to.write_all(&batch).await?;
        to.flush().await?;
        batch.clear();
    }
    to.shutdown().await
}

async fn read_frames(mut from: impl AsyncRead + Unpin, shared: &Shared) -> PipeEnd {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let mut packets = Vec::new();
    loop {
        shared.wait_for_room().await;
        // Not before every read: each packet that waits would keep a buffer of its own from being freed.
        if buffer.capacity() - buffer.len() < FRAME_BYTES_MAX {
            buffer.reserve(READ_BYTES);
        }
        match from.read_buf(&mut buffer).await {
            Ok(0) if buffer.is_empty() => return PipeEnd::Closed,
            Ok(0) => return PipeEnd::CutOff,
            Ok(_) => {}
            Err(error) => return PipeEnd::Failed(error.kind()),
        }
        let outcome = loop {
            match take_packet(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break Ok(()),
                Err(end) => break Err(end),
            }
        };
        shared.arrived(packets.drain(..));
        if let Err(end) = outcome {
            return end;
        }
    }
}

/// The first packet of what was read; nothing if it is not complete.
fn take_packet(buffer: &mut BytesMut) -> Result<Option<Bytes>, PipeEnd> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length_bytes = u16::from_be_bytes(*length);
    if length_bytes == 0 || length_bytes > PIPE_PACKET_BYTES_MAX {
        return Err(PipeEnd::Malformed { length_bytes });
    }
    if buffer.len() < LENGTH_BYTES + usize::from(length_bytes) {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(usize::from(length_bytes)).freeze()))
}

/// The end of a pipe that cannot be written to any more; never that of one whose writing half was closed in order.
async fn after_last_words(write_failed: oneshot::Receiver<io::ErrorKind>) -> PipeEnd {
    match write_failed.await {
        Ok(kind) => {
            sleep(LAST_WORDS).await;
            PipeEnd::Failed(kind)
        }
        Err(_closed) => std::future::pending().await,
    }
}

/// The socket of a pipe.
#[derive(Debug)]
struct PipeSocket {
    pipe: Arc<Pipe>,
    number: u64,
}

impl Drop for PipeSocket {
    fn drop(&mut self) {
        self.pipe.shared.leave(self.number);
    }
}

impl AsyncUdpSocket for PipeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(Arc::clone(&self.pipe.shared)))
    }

    /// Never fails but by being full: quinn would leave a connection whose packet cannot be sent without an end. That the
    /// pipe has ended is told where packets are received.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut outbox = self.pipe.shared.outbox();
        if outbox.is_closed || outbox.is_over {
            return Ok(());
        }
        if outbox.is_full() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(segment) {
            let length = u16::try_from(packet.len()).ok().filter(|length| *length <= PIPE_PACKET_BYTES_MAX);
            let Some(length) = length else {
                // As a network does with what is too long for it.
                tracing::debug!(length = packet.len(), "a packet is too long for a pipe");
                continue;
            };
            outbox.frames.extend_from_slice(&length.to_be_bytes());
            outbox.frames.extend_from_slice(packet);
        }
        drop(outbox);
        self.pipe.shared.filled.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let shared = &self.pipe.shared;
        let mut inbox = shared.inbox();
        if inbox.socket != self.number {
            return Poll::Pending;
        }
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some(packet) = inbox.packets.pop_front() else { break };
            inbox.bytes -= packet.len() + PACKET_OVERHEAD_BYTES;
            let length = packet.len().min(buffer.len());
            buffer[..length].copy_from_slice(&packet[..length]);
            *meta = RecvMeta { addr: PIPE_PEER, len: length, stride: length, ecn: None, dst_ip: None };
            taken += 1;
        }
        if taken > 0 {
            drop(inbox);
            shared.room.notify_one();
            return Poll::Ready(Ok(taken));
        }
        if let Some(end) = inbox.failed {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, end)));
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(HERE)
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Waits for room in the outbox.
#[derive(Debug)]
struct Writable(Arc<Shared>);

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.0.outbox();
        if !outbox.is_full() {
            return Poll::Ready(Ok(()));
        }
        if !outbox.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            outbox.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
