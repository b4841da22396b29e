//! One stream: messages and bytes out, messages and bytes in, chunks.
//!
//! A stream that is not finished on purpose is reset, so that nothing cut off ever looks complete to the other side.
//! **What the bytes mean is not known here.**

use bytes::Bytes;
use minicbor::{Decode, Encode};
use quinn::{RecvStream, SendStream};

use super::pace::Pace;
use super::{STREAM_ABANDONED, STREAM_UNWANTED, WireError};
use crate::protocol::limits::CHUNK_BYTES_MAX;
use crate::protocol::message::{CHUNK_HEADER_BYTES, ChunkHeader, from_wire, length_from_wire, to_wire};

/// Bytes handed to quinn in one piece: its send window is freed piece by piece.
const SLICE_BYTES: usize = 128 << 10;

/// The sending half of a stream. Dropped before [`Self::finish`] it is reset.
#[derive(Debug)]
pub struct Outgoing {
    stream: SendStream,
    state: Sending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Between two messages or runs of bytes.
    Between,
    /// Within one: an error came, or its future was dropped.
    Within,
    Finished,
}

impl Outgoing {
    pub(super) fn new(stream: SendStream) -> Self {
        Self { stream, state: Sending::Between }
    }

    /// Sends a message. If the future is dropped before it is done, the stream is of no more use.
    pub async fn send<M: Encode<()>>(&mut self, message: &M) -> Result<(), WireError> {
        self.send_bytes(Bytes::from(to_wire(message))).await
    }

    /// Sends bytes that the last message announced. As above.
    pub async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), WireError> {
        self.send_content(bytes, None).await
    }

    /// The same with content of files, at this pace.
    pub async fn send_content(&mut self, mut bytes: Bytes, pace: Option<&Pace>) -> Result<(), WireError> {
        if self.state != Sending::Between {
            return Err(WireError::CutOffHere);
        }
        self.state = Sending::Within;
        while !bytes.is_empty() {
            let slice = bytes.split_to(pace.map_or(SLICE_BYTES, Pace::slice_bytes).min(bytes.len()));
            if let Some(pace) = pace {
                pace.admit(slice.len()).await;
            }
            self.stream.write_chunk(slice).await?;
            if let Some(pace) = pace {
                pace.passed();
            }
        }
        self.state = Sending::Between;
        Ok(())
    }

    /// Ends the stream after what was sent; one that was cut off is reset instead. Says nothing about arrival.
    pub fn finish(mut self) {
        // It fails only on a stream that is over already.
        if self.state == Sending::Between && self.stream.finish().is_ok() {
            self.state = Sending::Finished;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.state != Sending::Finished {
            // It fails only on a stream that is over already.
            self.stream.reset(STREAM_ABANDONED).ok();
        }
    }
}

/// The receiving half of a stream. Dropped before its end it tells the other side to stop.
#[derive(Debug)]
pub struct Incoming {
    stream: RecvStream,
    prefix: [u8; 4],
    /// The message being read, once its length is known.
    body: Option<Vec<u8>>,
    /// Bytes read of `body`, or of `prefix` before there is one.
    filled: usize,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, prefix: [0; 4], body: None, filled: 0 }
    }

    /// The next message; nothing if the stream ended after the last one. The future may be dropped at any time: what it
    /// has read is kept for the next call.
    pub async fn receive<M: for<'b> Decode<'b, ()>>(&mut self) -> Result<Option<M>, WireError> {
        let body = self.receive_unchecked().await?;
        Ok(body.map(|body| from_wire(&body)).transpose()?)
    }

    /// The bytes of the next message after its first four, CBOR and check, whatever they are. As above.
    pub async fn receive_unchecked(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        if self.body.is_none() {
            while self.filled < self.prefix.len() {
                match self.stream.read(&mut self.prefix[self.filled..]).await? {
                    Some(read) => self.filled += read,
                    None if self.filled == 0 => return Ok(None),
                    None => return Err(WireError::EndedEarly),
                }
            }
            self.body = Some(vec![0; length_from_wire(self.prefix)?]);
            self.filled = 0;
        }
        if let Some(body) = &mut self.body {
            while self.filled < body.len() {
                let read = self.stream.read(&mut body[self.filled..]).await?;
                self.filled += read.ok_or(WireError::EndedEarly)?;
            }
        }
        self.filled = 0;
        Ok(Some(self.body.take().unwrap_or_default()))
    }

    /// Fills the buffer with the bytes that the last message announced. If the future is dropped before it is done, the
    /// stream is of no more use.
    ///
    /// # Panics
    /// If a call of [`Self::receive`] was dropped within a message and not repeated.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), WireError> {
        assert!(self.body.is_none() && self.filled == 0, "bytes are read only after a whole message");
        fill(&mut self.stream, buffer).await
    }
}

/// A stream with one chunk, as it arrives. Dropped before its end it tells the other side to stop.
#[derive(Debug)]
pub struct ChunkStream(RecvStream);

impl ChunkStream {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self(stream)
    }

    /// The header, at most `CHUNK_BYTES_MAX` announced; to be called once, first.
    pub async fn header(&mut self) -> Result<ChunkHeader, WireError> {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.0.read(&mut bytes[filled..]).await?;
            filled += read.ok_or(WireError::EndedEarly)?;
        }
        ChunkHeader::from_bytes(&bytes)
            .filter(|header| header.length_bytes <= CHUNK_BYTES_MAX)
            .ok_or(WireError::HeaderMalformed)
    }

    /// Fills the buffer and sees the stream end there: fewer bytes are [`WireError::EndedEarly`], more are
    /// [`WireError::TooLong`].
    pub async fn body_into(&mut self, buffer: &mut [u8]) -> Result<(), WireError> {
        fill(&mut self.0, buffer).await?;
        match self.0.read(&mut [0]).await? {
            None => Ok(()),
            Some(_) => Err(WireError::TooLong),
        }
    }

    /// Tells the other side that the chunk is not wanted.
    pub fn refuse(mut self) {
        // It fails only on a stream that is over already.
        self.0.stop(STREAM_UNWANTED).ok();
    }
}

/// Copies the stream into the buffer until it is full. What follows stays in the stream.
async fn fill(stream: &mut RecvStream, buffer: &mut [u8]) -> Result<(), WireError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let read = stream.read(&mut buffer[filled..]).await?;
        filled += read.ok_or(WireError::EndedEarly)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{connected, poll_once};
    use super::*;
    use crate::protocol::limits::MESSAGE_BYTES_MAX;
    use crate::protocol::message::{FromReceiver, MessageError};

    #[tokio::test]
    async fn a_dropped_receive_loses_no_bytes() {
        let (sender, receiver) = connected().await;
        let (mut raw, _incoming) = sender.quic.open_bi().await.unwrap();
        let wire = to_wire(&FromReceiver::Bad(7));
        raw.write_all(&wire[..1]).await.unwrap();
        let (_outgoing, mut incoming) = receiver.accept_job().await.unwrap();
        for (sent, end) in [(1, 3), (3, 6), (6, wire.len())] {
            let (prefix_or_body, missing) = if sent < 4 { (0, sent) } else { (1, sent - 4) };
            while (usize::from(incoming.body.is_some()), incoming.filled) != (prefix_or_body, missing) {
                assert!(poll_once(incoming.receive::<FromReceiver>()).await.is_none());
                tokio::task::yield_now().await;
            }
            raw.write_all(&wire[sent..end]).await.unwrap();
        }
        assert_eq!(incoming.receive().await.unwrap(), Some(FromReceiver::Bad(7)));
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_refused_at_its_first_four_bytes() {
        let (sender, receiver) = connected().await;
        let (mut raw, _incoming) = sender.quic.open_bi().await.unwrap();
        // The fourth byte gives 0xff with the others by exclusive or.
        let [low, middle, high, _] = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_le_bytes();
        raw.write_all(&[low, middle, high, low ^ middle ^ high ^ 0xff]).await.unwrap();
        let (_outgoing, mut incoming) = receiver.accept_job().await.unwrap();
        let error = incoming.receive::<FromReceiver>().await.unwrap_err();
        assert!(matches!(error, WireError::Message(MessageError::TooLong(_))), "{error:?}");
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_a_message_ended_early() {
        for length in [1, 4, 5] {
            let (sender, receiver) = connected().await;
            let (mut raw, _incoming) = sender.quic.open_bi().await.unwrap();
            raw.write_all(&to_wire(&FromReceiver::Bad(7))[..length]).await.unwrap();
            raw.finish().unwrap();
            let (_outgoing, mut incoming) = receiver.accept_job().await.unwrap();
            assert!(matches!(incoming.receive::<FromReceiver>().await, Err(WireError::EndedEarly)));
        }
    }

    #[tokio::test]
    async fn a_stream_cut_off_within_a_message_takes_no_other() {
        let (sender, receiver) = connected().await;
        let (mut outgoing, _incoming) = sender.open_job().await.unwrap();
        // Far more than may be sent before the greeting: the call cannot end.
        let large = Bytes::from(vec![0; 20 << 20]);
        assert!(poll_once(outgoing.send_bytes(large)).await.is_none());
        assert!(matches!(outgoing.send(&FromReceiver::Working).await, Err(WireError::CutOffHere)));
        outgoing.finish();
        let (_outgoing, mut incoming) = receiver.accept_job().await.unwrap();
        assert!(matches!(incoming.read_exact(&mut vec![0; 20 << 20]).await, Err(WireError::Abandoned)));
    }
}
