//! Both ends in one process over loopback.

mod pipe;

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::endpoint::{Admitted, CloseReason, Connection, Listener, connect, connect_as};
use super::identity::KeyPair;
use super::transport::certified;
use super::{WhoseKey, WireError};
use crate::hash::PieceHash;
use crate::protocol::limits::{GREETINGS_AT_ONCE, RECEIVE_WINDOW_GREETING_BYTES};
use crate::protocol::message::{ChunkHeader, FromReceiver, FromSender, Run};
use crate::seams::packet::{Packets, UdpPackets};

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Polls the future once; nothing if it is not ready.
pub(super) async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn listener(key: &KeyPair, admitted: Admitted) -> (Listener, SocketAddr) {
    let listener = Listener::bind(&UdpPackets, HERE, key, admitted).unwrap();
    let address = listener.local_address().unwrap();
    (listener, address)
}

/// The sender's and the receiver's end of one connection, as they are before the greeting.
pub(super) async fn connected() -> (Connection, Connection) {
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::Key(sender_key.public()));
    let addresses = [address];
    let receiver = receiver_key.public();
    let (sender, accepted) = tokio::join!(connect(&UdpPackets, &addresses, &sender_key, &receiver), listener.accept());
    (sender.unwrap(), accepted.unwrap())
}

/// As [`connected`], and the receiver has raised its limits.
async fn admitted() -> (Connection, Connection) {
    let (sender, receiver) = connected().await;
    receiver.allow_streams(4, 16);
    receiver.raise_windows();
    (sender, receiver)
}

fn header(length_bytes: u32) -> ChunkHeader {
    ChunkHeader { job: 1, index: 2, length_bytes, round: 0, hash: PieceHash([9; 32]) }
}

#[tokio::test]
async fn a_wrong_receiver_key_is_refused() {
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::AnyKey);
    let other = KeyPair::generate().unwrap().public();
    let addresses = [address];
    tokio::select! {
        connection = listener.accept() => panic!("accepted {connection:?}"),
        connected = connect(&UdpPackets, &addresses, &sender_key, &other) => {
            let error = connected.unwrap_err();
            assert!(matches!(error, WireError::Refused { whose: WhoseKey::Theirs }), "{error:?}");
        }
    }
}

/// A sender that the receiver must refuse: it learns so at its first answer and when the connection ends.
async fn expect_refusal(listener: &Listener, sender: impl Future<Output = Result<Connection, WireError>>) {
    let refused = async {
        let sender = sender.await.unwrap();
        if let Ok((mut outgoing, mut incoming)) = sender.open_job().await {
            let sent = outgoing.send(&FromSender::Working).await;
            let answer = match sent {
                Ok(()) => incoming.receive::<FromReceiver>().await.map(|_message| ()),
                Err(error) => Err(error),
            };
            assert!(matches!(answer, Err(WireError::Refused { whose: WhoseKey::Ours })), "{answer:?}");
        }
        let error = sender.closed().await;
        assert!(matches!(error, WireError::Refused { whose: WhoseKey::Ours }), "{error:?}");
        assert!(!error.is_lost());
    };
    tokio::select! {
        connection = listener.accept() => panic!("accepted {connection:?}"),
        () = refused => {}
    }
}

#[tokio::test]
async fn a_wrong_sender_key_is_refused_before_any_stream() {
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::Key(KeyPair::generate().unwrap().public()));
    let receiver = receiver_key.public();
    expect_refusal(&listener, connect(&UdpPackets, &[address], &sender_key, &receiver)).await;
}

#[tokio::test]
async fn once_one_key_is_admitted_another_is_refused() {
    let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
    let (listener, address) = listener(&keys[0], Admitted::AnyKey);
    let receiver = keys[0].public();
    let addresses = [address];
    let (first, accepted) = tokio::join!(connect(&UdpPackets, &addresses, &keys[1], &receiver), listener.accept());
    assert_eq!(first.unwrap().peer_key(), receiver);
    assert_eq!(accepted.unwrap().peer_key(), keys[1].public());
    listener.admit_only(keys[1].public());
    expect_refusal(&listener, connect(&UdpPackets, &addresses, &keys[2], &receiver)).await;
    let (again, accepted) = tokio::join!(connect(&UdpPackets, &addresses, &keys[1], &receiver), listener.accept());
    assert!(again.is_ok() && accepted.is_some());
}

#[tokio::test]
async fn a_senders_key_without_its_secret_cannot_be_used() {
    let [victim, thief, receiver_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::Key(victim.public()));
    let stolen = certified(victim.public(), &thief).unwrap();
    expect_refusal(&listener, connect_as(&UdpPackets, &[address], stolen, &Admitted::Key(receiver_key.public()))).await;
}

#[tokio::test]
async fn a_receivers_key_without_its_secret_cannot_be_used() {
    let [victim, thief, sender_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let stolen = certified(victim.public(), &thief).unwrap();
    let listener = Listener::bind_as(&UdpPackets, HERE, stolen, Admitted::AnyKey).unwrap();
    let addresses = [listener.local_address().unwrap()];
    let victim = victim.public();
    tokio::select! {
        connection = listener.accept() => panic!("accepted {connection:?}"),
        connected = connect(&UdpPackets, &addresses, &sender_key, &victim) => {
            assert!(matches!(connected, Err(WireError::Refused { whose: WhoseKey::Theirs })), "{connected:?}");
        }
    }
}

#[tokio::test]
async fn both_ends_derive_the_same_exporter_and_every_connection_another() {
    let (sender, receiver) = connected().await;
    assert_eq!(sender.exporter().unwrap(), receiver.exporter().unwrap());
    let (other, _receiver) = connected().await;
    assert_ne!(sender.exporter().unwrap(), other.exporter().unwrap());
}

#[tokio::test]
async fn messages_and_chunks_arrive_whole() {
    let (sender, receiver) = admitted().await;
    let (mut outgoing, mut replies) = sender.open_job().await.unwrap();
    outgoing.send(&FromSender::Keep(Run { first: 1, count: 2 })).await.unwrap();
    outgoing.send_bytes(Bytes::from_static(b"bytes between")).await.unwrap();
    outgoing.send(&FromSender::End).await.unwrap();
    outgoing.finish();
    let (mut answers, mut incoming) = receiver.accept_job().await.unwrap();
    assert_eq!(incoming.receive().await.unwrap(), Some(FromSender::Keep(Run { first: 1, count: 2 })));
    let mut between = [0; 13];
    incoming.read_exact(&mut between).await.unwrap();
    assert_eq!(&between, b"bytes between");
    assert_eq!(incoming.receive().await.unwrap(), Some(FromSender::End));
    assert_eq!(incoming.receive::<FromSender>().await.unwrap(), None);
    answers.send(&FromReceiver::Ended).await.unwrap();
    assert_eq!(replies.receive().await.unwrap(), Some(FromReceiver::Ended));

    for length in [1, 1023, 128 << 10, (1 << 20) + 1, 4 << 20] {
        let body: Vec<u8> = (0..length).map(|place: u32| (place % 251) as u8).collect();
        let sending = sender.send_chunk(header(length), Bytes::from(body.clone()));
        let receiving = async {
            let mut chunk = receiver.accept_chunk().await?;
            let header = chunk.header().await?;
            let mut buffer = vec![0; header.length_bytes as usize];
            chunk.body_into(&mut buffer).await?;
            Ok::<_, WireError>((header, buffer))
        };
        let (sent, received) = tokio::join!(sending, receiving);
        sent.unwrap();
        assert!(received.unwrap() == (header(length), body), "{length}");
    }
    assert!(receiver.received_bytes() > 5 << 20 && sender.sent_bytes() > 5 << 20);
    assert!(sender.rtt() < Duration::from_secs(1));
}

/// What the receiver makes of a chunk stream with this announcement and these bytes, left in this way.
async fn receive_odd_chunk(announced: u32, sent: &[u8], finish: bool) -> Result<(), WireError> {
    let (sender, receiver) = admitted().await;
    let mut raw = sender.quic.open_uni().await.unwrap();
    raw.write_all(&header(announced).to_bytes()).await.unwrap();
    raw.write_all(sent).await.unwrap();
    let mut chunk = receiver.accept_chunk().await.unwrap();
    if finish {
        raw.finish().unwrap();
        let header = chunk.header().await?;
        chunk.body_into(&mut vec![0; header.length_bytes as usize]).await
    } else {
        let header = chunk.header().await?;
        raw.reset(7u32.into()).unwrap();
        chunk.body_into(&mut vec![0; header.length_bytes as usize]).await
    }
}

#[tokio::test]
async fn a_chunk_cut_short_is_an_error() {
    assert!(matches!(receive_odd_chunk(10, &[1; 9], true).await, Err(WireError::EndedEarly)));
    assert!(matches!(receive_odd_chunk(1, &[], true).await, Err(WireError::EndedEarly)));
    assert!(matches!(receive_odd_chunk(10, &[1; 9], false).await, Err(WireError::Abandoned)));
    // All bytes are there, but the sender took the stream back.
    assert!(matches!(receive_odd_chunk(10, &[1; 10], false).await, Err(WireError::Abandoned)));
}

#[tokio::test]
async fn more_bytes_than_announced_are_an_error() {
    assert!(matches!(receive_odd_chunk(10, &[1; 11], true).await, Err(WireError::TooLong)));
    assert!(matches!(receive_odd_chunk(0, &[1], true).await, Err(WireError::TooLong)));
    assert!(receive_odd_chunk(10, &[1; 10], true).await.is_ok());
}

#[tokio::test]
async fn a_chunk_that_announces_more_than_the_limit_is_refused() {
    assert!(matches!(receive_odd_chunk((4 << 20) + 1, &[], true).await, Err(WireError::HeaderMalformed)));
}

#[tokio::test]
async fn a_refused_chunk_is_unwanted_at_its_sender() {
    let (sender, receiver) = admitted().await;
    let mut raw = sender.quic.open_uni().await.unwrap();
    raw.write_all(&header(1).to_bytes()).await.unwrap();
    receiver.accept_chunk().await.unwrap().refuse();
    assert_eq!(raw.stopped().await.unwrap(), Some(super::STREAM_UNWANTED));
    let error = WireError::from(raw.write_all(&[1]).await.unwrap_err());
    assert!(matches!(error, WireError::Unwanted), "{error:?}");
}

#[tokio::test]
async fn a_dropped_outgoing_is_no_clean_end() {
    let (sender, receiver) = admitted().await;
    let (mut outgoing, _replies) = sender.open_job().await.unwrap();
    outgoing.send(&FromSender::Working).await.unwrap();
    let (_answers, mut incoming) = receiver.accept_job().await.unwrap();
    assert_eq!(incoming.receive().await.unwrap(), Some(FromSender::Working));
    drop(outgoing);
    assert!(matches!(incoming.receive::<FromSender>().await, Err(WireError::Abandoned)));
}

#[tokio::test]
async fn windows_and_streams_can_be_raised_after_admission() {
    let (sender, receiver) = connected().await;
    let _control = sender.open_job().await.unwrap();
    assert!(poll_once(sender.open_job()).await.is_none(), "one stream before the greeting");
    assert!(poll_once(sender.quic.open_uni()).await.is_none(), "no chunk before the greeting");
    receiver.allow_streams(2, 1);
    let _job = sender.open_job().await.unwrap();
    let mut chunk = sender.quic.open_uni().await.unwrap();
    // Nobody reads, so the bytes that can be written are those of the window.
    let bytes = vec![0; 4 * RECEIVE_WINDOW_GREETING_BYTES as usize];
    let mut written = 0;
    while let Some(more) = poll_once(chunk.write(&bytes[written..])).await {
        written += more.unwrap();
    }
    assert_eq!(written, RECEIVE_WINDOW_GREETING_BYTES as usize);
    let _unread = receiver.quic.accept_uni().await.unwrap();
    receiver.raise_windows();
    chunk.write_all(&bytes[written..]).await.unwrap();
    chunk.finish().unwrap();
    assert_eq!(chunk.stopped().await.unwrap(), None);
}

#[tokio::test]
async fn the_reason_of_the_end_arrives_and_a_dropped_connection_has_none() {
    let (sender, receiver) = connected().await;
    let ((), error) = tokio::join!(sender.finish(), receiver.closed());
    assert!(matches!(error, WireError::ClosedByPeer { reason: CloseReason::Done }), "{error:?}");
    assert!(!error.is_lost());

    let (sender, receiver) = connected().await;
    receiver.close(CloseReason::NotAdmitted);
    assert!(matches!(receiver.closed().await, WireError::ClosedHere));
    let error = sender.closed().await;
    assert!(matches!(error, WireError::ClosedByPeer { reason: CloseReason::NotAdmitted }), "{error:?}");

    let (sender, receiver) = connected().await;
    drop(sender);
    let error = receiver.closed().await;
    assert!(error.is_lost(), "{error:?}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_does_not_keep_from_the_next() {
    let silent = std::net::UdpSocket::bind(HERE).unwrap();
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::AnyKey);
    // At the second address somebody else answers.
    let stranger = Listener::bind(&UdpPackets, HERE, &sender_key, Admitted::AnyKey).unwrap();
    let addresses = [silent.local_addr().unwrap(), stranger.local_address().unwrap(), address];
    let receiver = receiver_key.public();
    let connecting = timeout(Duration::from_secs(5), connect(&UdpPackets, &addresses, &sender_key, &receiver));
    tokio::select! {
        connection = stranger.accept() => panic!("accepted {connection:?}"),
        (connection, _accepted) = async { tokio::join!(connecting, listener.accept()) } => {
            assert_eq!(connection.unwrap().unwrap().peer_key(), receiver);
        }
    }
}

#[tokio::test]
async fn a_closed_listener_accepts_nobody() {
    let key = KeyPair::generate().unwrap();
    let (listener, _address) = listener(&key, Admitted::AnyKey);
    listener.close().await;
    assert!(listener.accept().await.is_none());
}

/// Sockets of which only the first send leaves: the handshake begins and never goes on.
#[derive(Debug, Default)]
struct FirstSendOnly {
    sent: Arc<Notify>,
}

#[derive(Debug)]
struct FirstSendSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    sends: AtomicUsize,
    sent: Arc<Notify>,
}

impl Packets for FirstSendOnly {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let inner = UdpPackets.socket(address)?;
        Ok(Arc::new(FirstSendSocket { inner, sends: AtomicUsize::new(0), sent: Arc::clone(&self.sent) }))
    }
}

impl AsyncUdpSocket for FirstSendSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.sends.fetch_add(1, Ordering::Relaxed) == 0 {
            self.inner.try_send(transmit)?;
            self.sent.notify_one();
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
}

/// An honest sender gets through while this many others began their handshakes and stay silent.
async fn connects_beside_stalled(stalled: usize) {
    let [sender_key, receiver_key, stalled_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let (listener, address) = listener(&receiver_key, Admitted::AnyKey);
    let receiver = receiver_key.public();
    let addresses = [address];
    let stalling = (0..stalled).map(|_number| FirstSendOnly::default()).collect::<Vec<_>>();
    let mut stalled = tokio::task::JoinSet::new();
    for packets in stalling {
        let sent = Arc::clone(&packets.sent);
        let key = certified(stalled_key.public(), &stalled_key).unwrap();
        stalled.spawn(async move { connect_as(&packets, &addresses, key, &Admitted::Key(receiver)).await });
        sent.notified().await;
    }
    let connecting = timeout(Duration::from_secs(5), connect(&UdpPackets, &addresses, &sender_key, &receiver));
    let (connection, accepted) = tokio::join!(connecting, listener.accept());
    connection.expect("in time").unwrap();
    assert_eq!(accepted.unwrap().peer_key(), sender_key.public());
}

#[tokio::test]
async fn a_stalled_handshake_does_not_block_another() {
    connects_beside_stalled(1).await;
}

#[tokio::test]
async fn under_load_who_shows_its_address_still_gets_through() {
    connects_beside_stalled(GREETINGS_AT_ONCE * 2).await;
}
