//! QUIC as this program uses it: who the other side is, streams of messages, streams of chunks.
//!
//! Nothing here is believed about content: a chunk that arrived whole is still checked against its hash by the
//! receiving half. **No files, no decisions about a transfer, no X.509.**

mod call;
pub mod congestion;
pub mod connection;
pub mod endpoint;
mod fixed_window;
pub mod identity;
pub mod key_text;
pub mod pace;
pub mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod verifier;
pub mod watch;

use std::io;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use self::connection::CloseReason;
use crate::protocol::message::MessageError;

/// In the syntax of tracing's filters: what the QUIC library says by itself is not shown. It calls a pipe that ended an error,
/// and whatever matters is told by [`WireError`].
pub const LIBRARY_SILENT: &str = "quinn=off";

/// Why a connection or a stream of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection is gone: no answer any more, the other process ended without a word, or QUIC itself gave up.
    #[error("the connection was lost")]
    Lost {
        /// As QUIC tells it.
        #[source]
        cause: ConnectionError,
    },
    /// The other side closed the connection and said why.
    #[error("the other side closed the connection: {reason}")]
    ClosedByPeer {
        /// Its reason.
        reason: CloseReason,
    },
    /// This side closed the connection, or what carried it has ended: QUIC tells the two alike.
    #[error("the connection was closed here")]
    ClosedHere,
    /// A key was not the one that was expected, or its owner could not prove to hold it.
    #[error("{whose}")]
    Refused {
        /// The key in question.
        whose: WhoseKey,
    },
    /// The two sides share no version of the protocol.
    #[error("the two sides are of versions that do not fit")]
    VersionMismatch,
    /// Nobody completed the handshake in time.
    #[error("no answer")]
    NoAnswer,
    /// A message could not be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The header of a chunk stream is not one of this protocol.
    #[error("the header of a chunk is malformed")]
    HeaderMalformed,
    /// A stream ended within a message or a chunk.
    #[error("a stream ended early")]
    EndedEarly,
    /// The other side gave a stream up: it will never be complete.
    #[error("the other side gave a stream up")]
    Abandoned,
    /// The other side does not want what is sent on a stream.
    #[error("the other side does not want a stream")]
    Unwanted,
    /// A chunk stream holds more bytes than its header announced.
    #[error("a chunk is longer than announced")]
    TooLong,
    /// The stream was left in the middle of a message.
    #[error("a message was cut off on this side")]
    CutOffHere,
    /// The socket could not be made.
    #[error("the UDP socket cannot be used")]
    Socket(#[source] io::Error),
    /// The address cannot be connected to.
    #[error("the address cannot be used")]
    Address(#[from] quinn::ConnectError),
    /// TLS could not be set up, or its handshake failed for another reason than a key or a version.
    #[error("the secure channel could not be set up: {0}")]
    Crypto(String),
}

/// Which of the two keys was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoseKey {
    /// This side refused the other's.
    Theirs,
    /// The other side refused this one's.
    Ours,
}

impl std::fmt::Display for WhoseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Theirs => "the other side does not hold the key that was expected",
            Self::Ours => "the other side does not admit this side's key",
        })
    }
}

impl WireError {
    /// Whether the connection is gone but connecting again may help. [`Self::NoAnswer`] counts: only the caller knows
    /// whether there was ever an answer. So does a port that is taken: if it is the only one, by the last connection.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost { .. }
            | Self::NoAnswer
            | Self::ClosedHere
            | Self::ClosedByPeer { reason: CloseReason::Stalled } => true,
            Self::Socket(error) => error.kind() == io::ErrorKind::AddrInUse,
            _ => false,
        }
    }

    /// Whether something that was said, by either side, arrived otherwise than it was sent: not that side's fault, and
    /// another connection may be better.
    #[must_use]
    pub fn is_garbled(&self) -> bool {
        matches!(
            self,
            Self::Message(MessageError::Garbled)
                | Self::HeaderMalformed
                | Self::ClosedByPeer { reason: CloseReason::Garbled }
        )
    }
}

/// Last alert number of TLS that a transport error code can hold, from 0x100 (RFC 9001, section 4.8).
const CRYPTO_CODES: std::ops::Range<u64> = 0x100..0x200;
/// TLS alerts about a key: bad certificate to unknown, unknown CA, access denied, decrypt error (a signature by another
/// key), certificate required (RFC 8446, section 6.2).
const KEY_ALERTS: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];
/// TLS alert "no application protocol" (RFC 7301).
const NO_APPLICATION_PROTOCOL: u64 = 120;

impl From<ConnectionError> for WireError {
    fn from(cause: ConnectionError) -> Self {
        let (code, whose) = match &cause {
            ConnectionError::VersionMismatch => return Self::VersionMismatch,
            ConnectionError::LocallyClosed => return Self::ClosedHere,
            ConnectionError::ApplicationClosed(close) => {
                // An unknown code, and 0 of a connection that was dropped, is no word of the other side.
                return match CloseReason::from_code(close.error_code) {
                    Some(reason) => Self::ClosedByPeer { reason },
                    None => Self::Lost { cause },
                };
            }
            ConnectionError::TransportError(error) => (u64::from(error.code), WhoseKey::Theirs),
            ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), WhoseKey::Ours),
            _ => return Self::Lost { cause },
        };
        if !CRYPTO_CODES.contains(&code) {
            return Self::Lost { cause };
        }
        match code - CRYPTO_CODES.start {
            NO_APPLICATION_PROTOCOL => Self::VersionMismatch,
            alert if KEY_ALERTS.contains(&alert) => Self::Refused { whose },
            _ => Self::Crypto(cause.to_string()),
        }
    }
}

impl From<ReadError> for WireError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(cause) => cause.into(),
            ReadError::Reset(_) => Self::Abandoned,
            // The other variants need unordered reads or early data, and neither is used: the stream is over.
            _ => Self::EndedEarly,
        }
    }
}

impl From<WriteError> for WireError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(cause) => cause.into(),
            WriteError::Stopped(_) => Self::Unwanted,
            _ => Self::CutOffHere,
        }
    }
}

/// Code of a stream that is given up before its end.
const STREAM_ABANDONED: VarInt = VarInt::from_u32(1);
/// Code of a stream that is not wanted.
const STREAM_UNWANTED: VarInt = VarInt::from_u32(2);
