//! Frames at the byte, with no QUIC above.

use std::future::poll_fn;
use std::task::ready;

use tokio::io::{DuplexStream, duplex, split};

use super::*;

/// A pipe and the far end of it, as bytes.
fn pipe(capacity: usize) -> (PipePackets, DuplexStream) {
    let (near, far) = duplex(capacity);
    let (read, write) = split(near);
    (PipePackets::new(read, write), far)
}

fn socket(packets: &PipePackets) -> Arc<dyn AsyncUdpSocket> {
    packets.socket(HERE).unwrap()
}

async fn receive(socket: &dyn AsyncUdpSocket) -> io::Result<Vec<Vec<u8>>> {
    let mut spaces = vec![vec![0; usize::from(PIPE_PACKET_BYTES_MAX)]; 4];
    let mut metas = [RecvMeta::default(); 4];
    poll_fn(|context| {
        let mut buffers: Vec<_> = spaces.iter_mut().map(|space| IoSliceMut::new(space)).collect();
        let count = ready!(socket.poll_recv(context, &mut buffers, &mut metas))?;
        let packets = buffers.iter().zip(&metas).take(count);
        Poll::Ready(Ok(packets.map(|(buffer, meta)| buffer[..meta.len].to_vec()).collect()))
    })
    .await
}

fn send(socket: &dyn AsyncUdpSocket, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
    socket.try_send(&Transmit { destination: PIPE_PEER, ecn: None, contents, segment_size, src_ip: None })
}

fn frame(packet: &[u8]) -> Vec<u8> {
    [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], packet].concat()
}

fn end_of(error: &io::Error) -> PipeEnd {
    *error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap()
}

#[tokio::test]
async fn packets_of_every_length_arrive_in_order_however_the_stream_is_cut() {
    for capacity in [1, 2, 3, 4096, 1 << 20] {
        let (near, far) = duplex(capacity);
        let [near, far] = [near, far].map(split).map(|(read, write)| PipePackets::new(read, write));
        let (from, to) = (socket(&near), socket(&far));
        let lengths = [1, 2, 255, 256, 1200, usize::from(PIPE_PACKET_BYTES_MAX)];
        let mut received = Vec::new();
        for (number, length) in (0..).zip(lengths) {
            send(from.as_ref(), &vec![number; length], None).unwrap();
        }
        while received.len() < lengths.len() {
            received.extend(receive(to.as_ref()).await.unwrap());
        }
        assert!(
            received.iter().zip(lengths).zip(0..).all(|((packet, length), number)| *packet == vec![number; length])
        );
    }
}

#[tokio::test]
async fn a_frame_is_two_bytes_of_length_and_the_packet() {
    let (near, mut far) = pipe(100);
    send(socket(&near).as_ref(), &[7, 8, 9], None).unwrap();
    let mut frame = [0; 5];
    far.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0, 3, 7, 8, 9]);
}

#[tokio::test]
async fn segments_become_packets_of_their_own() {
    let (near, mut far) = pipe(100);
    send(socket(&near).as_ref(), &[1, 2, 3, 4, 5], Some(2)).unwrap();
    let mut frames = [0; 11];
    far.read_exact(&mut frames).await.unwrap();
    assert_eq!(frames, [0, 2, 1, 2, 0, 2, 3, 4, 0, 1, 5]);
}

#[tokio::test]
async fn what_is_no_frame_ends_the_pipe_after_what_came_before() {
    let longer = PIPE_PACKET_BYTES_MAX + 1;
    for length_bytes in [0, longer, u16::MAX] {
        let (near, mut far) = pipe(1 << 10);
        let socket = socket(&near);
        let bytes = [frame(&[5; 10]), length_bytes.to_be_bytes().to_vec(), frame(&[6; 10])].concat();
        far.write_all(&bytes).await.unwrap();
        assert_eq!(receive(socket.as_ref()).await.unwrap(), [[5; 10]]);
        let end = PipeEnd::Malformed { length_bytes };
        assert_eq!(end_of(&receive(socket.as_ref()).await.unwrap_err()), end);
        assert_eq!(near.ended().await, end);
        assert_eq!(near.ended().await, end, "whoever asks");
        assert_eq!(end_of(&near.socket(HERE).unwrap_err()), end, "and for good");
    }
}

#[tokio::test]
async fn an_end_between_two_packets_and_one_within_are_told_apart() {
    for (cut, end) in [(0, PipeEnd::Closed), (1, PipeEnd::CutOff), (2, PipeEnd::CutOff), (11, PipeEnd::CutOff)] {
        let (near, mut far) = pipe(100);
        let socket = socket(&near);
        far.write_all(&frame(&[5; 10])[..cut]).await.unwrap();
        drop(far);
        assert_eq!(end_of(&receive(socket.as_ref()).await.unwrap_err()), end, "{cut}");
        // As a socket does: nothing that is sent is an error.
        send(socket.as_ref(), &[1], None).unwrap();
    }
}

#[tokio::test]
async fn a_full_pipe_makes_the_sender_wait_and_wakes_it() {
    let (near, mut far) = pipe(4 << 10);
    let socket = socket(&near);
    let packet = vec![3; usize::from(PIPE_PACKET_BYTES_MAX)];
    let mut sent = 0_usize;
    let mut received = 0;
    let mut poller = Arc::clone(&socket).create_io_poller();
    let total = 100;
    let sending = async {
        let mut waits = 0;
        while sent < total {
            poll_fn(|context| poller.as_mut().poll_writable(context)).await.unwrap();
            match send(socket.as_ref(), &packet, None) {
                Ok(()) => sent += 1,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            waits += usize::from(near.pipe.shared.outbox().is_full());
            assert!(near.pipe.shared.outbox().frames.len() < OUTBOX_BYTES + FRAME_BYTES_MAX);
        }
        assert!(waits > 0, "it was never full");
    };
    let reading = async {
        let mut buffer = vec![0; 1 << 16];
        while received < total * FRAME_BYTES_MAX {
            received += far.read(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(sending, reading);
    assert_eq!(received, total * FRAME_BYTES_MAX);
}

#[tokio::test]
async fn who_sends_faster_than_is_read_fills_the_pipe_and_no_memory() {
    let (near, mut far) = pipe(1 << 10);
    let _socket = socket(&near);
    let frames = frame(&[1]).repeat(1 << 10);
    let flood = async {
        loop {
            far.write_all(&frames).await.unwrap();
        }
    };
    // It ends because nobody takes the packets: the pipe is full.
    assert!(timeout(Duration::from_millis(500), flood).await.is_err());
    let inbox = near.pipe.shared.inbox();
    assert!((INBOX_BYTES..INBOX_BYTES + READ_BYTES * PACKET_OVERHEAD_BYTES).contains(&inbox.bytes), "{}", inbox.bytes);
}

#[tokio::test]
async fn a_new_socket_takes_over_and_without_one_packets_are_thrown_away() {
    let (near, mut far) = pipe(100);
    let old = socket(&near);
    let new = socket(&near);
    far.write_all(&frame(&[1])).await.unwrap();
    assert_eq!(receive(new.as_ref()).await.unwrap(), [[1]]);
    assert!(poll_once(receive(old.as_ref())).await.is_none());
    drop(old);
    far.write_all(&frame(&[2])).await.unwrap();
    assert_eq!(receive(new.as_ref()).await.unwrap(), [[2]]);
    drop(new);
    for _ in 0..1000 {
        far.write_all(&frame(&[3; 1000])).await.unwrap();
    }
    drop(far);
    assert_eq!(near.ended().await, PipeEnd::Closed, "nothing that nobody wants holds up the end");
}

#[tokio::test]
async fn what_was_handed_over_before_the_end_is_written() {
    let (near, mut far) = pipe(10);
    send(socket(&near).as_ref(), &[7; 1000], None).unwrap();
    let mut bytes = Vec::new();
    let (_, read) = tokio::join!(near.finish(Duration::from_secs(60)), far.read_to_end(&mut bytes));
    assert_eq!((read.unwrap(), bytes), (1002, frame(&[7; 1000])));

    let (near, mut far) = pipe(10);
    send(socket(&near).as_ref(), &[7; 1000], None).unwrap();
    drop(near);
    let mut bytes = Vec::new();
    assert_eq!(far.read_to_end(&mut bytes).await.unwrap(), 1002, "also if it is only dropped");
}

#[tokio::test]
async fn to_finish_does_not_wait_for_who_never_reads() {
    let (near, mut far) = pipe(10);
    send(socket(&near).as_ref(), &[7; 1000], None).unwrap();
    near.finish(Duration::from_millis(10)).await;
    drop(near);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.len() < 1002, "the pipe was let go");
}

#[tokio::test]
async fn a_pipe_that_cannot_be_written_to_is_over_after_the_last_words_of_the_other_side() {
    let (read, mut far) = duplex(100);
    let (write, closed) = duplex(100);
    drop(closed);
    let near = PipePackets::new(read, write);
    let socket = socket(&near);
    send(socket.as_ref(), &[1; 1000], None).unwrap();
    far.write_all(&frame(b"goodbye")).await.unwrap();
    assert_eq!(receive(socket.as_ref()).await.unwrap(), [b"goodbye"]);
    assert_eq!(near.ended().await, PipeEnd::Failed(io::ErrorKind::BrokenPipe));
}

/// Polls the future once; nothing if it is not ready.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
