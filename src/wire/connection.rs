//! An established connection: both sides have proved to hold their keys, and nothing more.
//!
//! Job streams go before chunk streams, so that a word about a chunk does not wait behind megabytes of others.
//! **Admission by token happens above.**

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Endpoint, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::time::{sleep, timeout};

use super::WireError;
use super::identity::PublicKey;
use super::pace::Pace;
use super::stream::{ChunkStream, Incoming, Outgoing};
use super::transport::RECEIVE_WINDOW;
use crate::protocol::limits::CLOSE_WAIT;
use crate::protocol::message::ChunkHeader;

/// Label of the secret that only the two ends of one connection know (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-careful-1";
/// Job streams are served before chunk streams, which have 0 and less.
const JOB_PRIORITY: i32 = 1;
/// How often it is looked whether the last packet has left.
const LEAVE_POLL: Duration = Duration::from_millis(1);

/// One connection; clones are the same one. It ends when [`Self::close`] is called or the last clone and stream is
/// dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) quic: quinn::Connection,
    peer: PublicKey,
}

impl Connection {
    /// Fails if the peer gave no key, which the verifier does not let happen.
    pub(super) fn new(quic: quinn::Connection) -> Result<Self, WireError> {
        let identity = quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let peer = identity.and_then(|chain| PublicKey::from_spki(chain.first()?));
        let peer = peer.ok_or_else(|| WireError::Crypto("the other side has no key".to_owned()))?;
        Ok(Self { quic, peer })
    }

    /// The other side's key; it proved to hold the secret half.
    #[must_use]
    pub fn peer_key(&self) -> PublicKey {
        self.peer
    }

    /// 32 bytes that only the two ends of this one connection know: what a token's proof is bound to.
    pub fn exporter(&self) -> Result<[u8; 32], WireError> {
        let mut secret = [0; 32];
        match self.quic.export_keying_material(&mut secret, EXPORTER_LABEL, b"") {
            Ok(()) => Ok(secret),
            Err(error) => Err(WireError::Crypto(format!("no exporter: {error:?}"))),
        }
    }

    /// Opens a job, waiting until the other side allows one more. It learns of the job with the first message.
    pub async fn open_job(&self) -> Result<(Outgoing, Incoming), WireError> {
        let (send, receive) = self.quic.open_bi().await?;
        Self::job(send, receive)
    }

    /// The next job that the other side opens. The future may be dropped at any time.
    pub async fn accept_job(&self) -> Result<(Outgoing, Incoming), WireError> {
        let (send, receive) = self.quic.accept_bi().await?;
        Self::job(send, receive)
    }

    fn job(send: quinn::SendStream, receive: quinn::RecvStream) -> Result<(Outgoing, Incoming), WireError> {
        // It fails only on a stream that is over already, which its first use tells.
        send.set_priority(JOB_PRIORITY).ok();
        Ok((Outgoing::new(send), Incoming::new(receive)))
    }

    /// Sends one chunk on a stream of its own; `body` is exactly what the header announces. Done means handed over to
    /// QUIC, not arrived. If it fails, or the future is dropped, the other side sees the stream reset.
    ///
    /// # Panics
    /// If the length of `body` is another than the header's.
    pub async fn send_chunk(&self, header: ChunkHeader, body: Bytes) -> Result<(), WireError> {
        self.send_chunk_at(None, header, body).await
    }

    /// The same, at this pace.
    ///
    /// # Panics
    /// As above.
    pub async fn send_chunk_at(&self, pace: Option<&Pace>, header: ChunkHeader, body: Bytes) -> Result<(), WireError> {
        assert_eq!(body.len() as u64, u64::from(header.length_bytes), "a chunk is as long as its header says");
        let _turn = match pace {
            Some(pace) => pace.turn().await,
            None => None,
        };
        let stream = self.quic.open_uni().await?;
        // It fails only on a stream that is over already, which its first use tells.
        stream.set_priority(chunk_priority(stream.id().index())).ok();
        let mut stream = Outgoing::new(stream);
        stream.send_bytes(Bytes::copy_from_slice(&header.to_bytes())).await?;
        stream.send_content(body, pace).await?;
        stream.finish();
        Ok(())
    }

    /// The next chunk stream that the other side opens. The future may be dropped at any time.
    pub async fn accept_chunk(&self) -> Result<ChunkStream, WireError> {
        Ok(ChunkStream::new(self.quic.accept_uni().await?))
    }

    /// From now on the other side may have this many job and chunk streams open at once.
    pub fn allow_streams(&self, jobs: u32, chunks: u32) {
        self.quic.set_max_concurrent_bi_streams(VarInt::from_u32(jobs));
        self.quic.set_max_concurrent_uni_streams(VarInt::from_u32(chunks));
    }

    /// From now on the other side may send as much ahead as one that is trusted.
    pub fn raise_windows(&self) {
        self.quic.set_receive_window(RECEIVE_WINDOW);
    }

    /// The same, for one of many: this many bytes.
    pub fn raise_windows_to(&self, bytes: u32) {
        self.quic.set_receive_window(VarInt::from_u32(bytes));
    }

    /// Ends the connection at once: what was not yet sent, or not yet read, is lost.
    pub fn close(&self, reason: CloseReason) {
        self.quic.close(reason.code(), b"");
    }

    /// Waits until the connection is over and tells why; [`WireError::ClosedByPeer`] with [`CloseReason::Done`] is the
    /// good end of a transfer.
    pub async fn closed(&self) -> WireError {
        self.quic.closed().await.into()
    }

    /// Ends the connection with [`CloseReason::Done`], unless it is over already, and waits until the packet that says so has
    /// left, at most `CLOSE_WAIT`. It may get lost: whoever waits for it waits `LAST_WORD_WAIT`, and knows then what to make
    /// of it. To keep it for saying it again would take three timeouts, half a second on a long way.
    pub async fn finish(self) {
        if self.quic.close_reason().is_some() {
            return;
        }
        let sent = self.quic.stats().udp_tx.datagrams;
        self.close(CloseReason::Done);
        let leaves = async {
            sleep(LEAVE_POLL).await;
            while self.quic.stats().udp_tx.datagrams == sent {
                sleep(LEAVE_POLL).await;
            }
        };
        if timeout(CLOSE_WAIT, leaves).await.is_err() {
            tracing::debug!("left without a word");
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.quic.close_reason().is_some()
    }

    /// Bytes of UDP payload received on this connection so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.quic.stats().udp_rx.bytes
    }

    /// Bytes of UDP payload sent on this connection so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.quic.stats().udp_tx.bytes
    }

    /// Round trip time as it is estimated now.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }
}

/// Chunks are served in the order in which they were begun. Among equals QUIC would send what got lost of the first one only
/// after all that others have to say, and the first one would hold its memory, and its place, for as long.
fn chunk_priority(number: u64) -> i32 {
    i32::try_from(number).map_or(i32::MIN, |number| -number)
}

/// Waits until the endpoint's closed connections are gone, at most `CLOSE_WAIT`.
pub(super) async fn wait_idle(endpoint: &Endpoint) {
    if timeout(CLOSE_WAIT, endpoint.wait_idle()).await.is_err() {
        tracing::debug!("left without an idle endpoint");
    }
}

/// Why a side closes a connection; its code on the wire. 0 is no reason: quinn sends it for a connection that was
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseReason {
    /// The transfer is over.
    Done = 1,
    /// This side was told to stop.
    GoingAway = 2,
    /// The token was wrong, or expired, or another key was admitted.
    NotAdmitted = 3,
    /// The other side broke the protocol.
    Protocol = 4,
    /// The other side made no progress.
    Stalled = 5,
    /// A newer connection of the same sender took over.
    Replaced = 6,
    /// Something that the other side said arrived otherwise than it was sent.
    Garbled = 7,
    /// This side has too many connections already: later there may be room.
    Busy = 8,
    /// The other side's key is not, or no longer, among those that are admitted.
    KeyNotAdmitted = 9,
}

impl CloseReason {
    fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    pub(super) fn from_code(code: VarInt) -> Option<Self> {
        let all = [
            Self::Done,
            Self::GoingAway,
            Self::NotAdmitted,
            Self::Protocol,
            Self::Stalled,
            Self::Replaced,
            Self::Garbled,
            Self::Busy,
            Self::KeyNotAdmitted,
        ];
        all.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "the transfer is over",
            Self::GoingAway => "it was told to stop",
            Self::NotAdmitted => "this side is not admitted",
            Self::Protocol => "it sees the protocol broken",
            Self::Stalled => "it saw no progress",
            Self::Replaced => "a newer connection took over",
            Self::Garbled => "what this side said arrived damaged",
            Self::Busy => "it has too many connections already",
            Self::KeyNotAdmitted => "it does not admit this side's key",
        })
    }
}
