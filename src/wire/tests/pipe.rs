//! QUIC over a pair of byte streams.

use std::process::Stdio;

use tokio::io::{duplex, split};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::*;
use crate::protocol::limits::{CLOSE_WAIT, IDLE_TIMEOUT};
use crate::seams::pipe_packets::{PIPE_PEER, PipeEnd, PipePackets};

/// Well before anything of QUIC would be noticed to be gone.
const AT_ONCE: Duration = Duration::from_secs(5);
const _: () = assert!(AT_ONCE.as_secs() < IDLE_TIMEOUT.as_secs());

/// Both ends of a pipe within this process.
fn in_memory() -> [PipePackets; 2] {
    let (one, other) = duplex(64 << 10);
    [one, other].map(split).map(|(read, write)| PipePackets::new(read, write))
}

/// Both ends of a pipe of the system in each direction, with a process in the middle of each.
fn through_processes() -> ([PipePackets; 2], [Child; 2]) {
    let mut relays = [(); 2].map(|()| {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    });
    let [there, back] = relays.each_mut().map(|relay| (relay.stdin.take().unwrap(), relay.stdout.take().unwrap()));
    ([PipePackets::new(back.1, there.0), PipePackets::new(there.1, back.0)], relays)
}

/// The sender's and the receiver's end of a connection over a pipe.
async fn connected_over([sender, receiver]: [&PipePackets; 2]) -> (Connection, Connection, Listener) {
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let listener = Listener::bind(receiver, HERE, &receiver_key, Admitted::Key(sender_key.public())).unwrap();
    let expected = receiver_key.public();
    let (sender, accepted) = tokio::join!(connect(sender, &[PIPE_PEER], &sender_key, &expected), listener.accept());
    let (sender, accepted) = (sender.unwrap(), accepted.unwrap());
    accepted.allow_streams(4, 16);
    accepted.raise_windows();
    (sender, accepted, listener)
}

/// Moves so many chunks of 1 MiB, all at once, and compares them.
async fn move_chunks(sender: &Connection, receiver: &Connection, count: u64) {
    const LENGTH: u32 = 1 << 20;
    let body_of = |index: u64| -> Vec<u8> {
        let mut body = vec![0; LENGTH as usize];
        blake3::Hasher::new().update(&index.to_le_bytes()).finalize_xof().fill(&mut body);
        body
    };
    let sending = async {
        let mut sends = tokio::task::JoinSet::new();
        for index in 0..count {
            let (sender, body) = (sender.clone(), Bytes::from(body_of(index)));
            sends.spawn(async move { sender.send_chunk(ChunkHeader { index, ..header(LENGTH) }, body).await });
        }
        sends.join_all().await.into_iter().collect::<Result<(), _>>().unwrap();
    };
    let receiving = async {
        for _ in 0..count {
            let mut chunk = receiver.accept_chunk().await.unwrap();
            let index = chunk.header().await.unwrap().index;
            let mut buffer = vec![0; LENGTH as usize];
            chunk.body_into(&mut buffer).await.unwrap();
            assert!(buffer == body_of(index), "{index}");
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_a_pipe_in_memory_unharmed() {
    let [one, other] = &in_memory();
    let (sender, receiver, _listener) = connected_over([one, other]).await;
    move_chunks(&sender, &receiver, 64).await;
    assert_eq!(sender.quic.stats().path.lost_packets, 0, "a pipe loses nothing");
    assert!(sender.quic.stats().path.current_mtu > 15_000);
}

#[tokio::test]
async fn the_pipes_of_other_processes_carry_a_connection() {
    let ([one, other], _relays) = through_processes();
    let (sender, receiver, _listener) = connected_over([&one, &other]).await;
    move_chunks(&sender, &receiver, 16).await;
    // The other direction at the same time.
    let (mut outgoing, mut replies) = sender.open_job().await.unwrap();
    outgoing.send(&FromSender::End).await.unwrap();
    let (mut answers, mut incoming) = receiver.accept_job().await.unwrap();
    assert_eq!(incoming.receive().await.unwrap(), Some(FromSender::End));
    answers.send(&FromReceiver::Ended).await.unwrap();
    assert_eq!(replies.receive().await.unwrap(), Some(FromReceiver::Ended));
}

/// Says something until that is no longer possible.
async fn talk(connection: &Connection) {
    let Ok((mut outgoing, _incoming)) = connection.open_job().await else { return };
    while outgoing.send(&FromSender::Working).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pipe_that_is_cut_is_a_lost_connection_at_once_on_both_sides() {
    // Either of the two directions alone is enough.
    for killed in [0, 1] {
        let ([one, other], mut relays) = through_processes();
        let (sender, receiver, _listener) = connected_over([&one, &other]).await;
        move_chunks(&sender, &receiver, 1).await;
        let cut = Instant::now();
        relays[killed].kill().await.unwrap();
        // Who cannot write any more learns so by writing; an idle side writes its keep-alive after a while.
        let words = async {
            tokio::join!(talk(&sender), talk(&receiver));
        };
        let (lost, ()) = tokio::join!(async { tokio::join!(sender.closed(), receiver.closed()) }, words);
        assert!(lost.0.is_lost() && lost.1.is_lost(), "{lost:?}");
        assert!(cut.elapsed() < AT_ONCE, "{:?}", cut.elapsed());
        let [at_sender, at_receiver] = [one.ended().await, other.ended().await];
        let is_told = |end: &PipeEnd| !matches!(end, PipeEnd::Malformed { .. });
        assert!([at_sender, at_receiver].iter().all(is_told), "{at_sender} {at_receiver}");
    }
}

#[tokio::test]
async fn the_end_of_one_side_is_the_loss_of_the_other() {
    let [one, other] = in_memory();
    let (sender, receiver, listener) = connected_over([&one, &other]).await;
    drop((receiver, listener, other));
    let error = timeout(AT_ONCE, sender.closed()).await.expect("at once");
    assert!(error.is_lost(), "{error:?}");
}

#[tokio::test]
async fn damaged_frames_are_a_lost_connection() {
    let (near, middle) = duplex(64 << 10);
    let (middle_far, far) = duplex(64 << 10);
    let [one, other] = [near, far].map(split).map(|(read, write)| PipePackets::new(read, write));
    let strike = Arc::new(Notify::new());
    let struck = Arc::clone(&strike);
    let relay = tokio::spawn(async move {
        let [mut one, mut other] = [middle, middle_far];
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut one, &mut other) => drop(copied),
            () = struck.notified() => {}
        }
        // No frame begins like that, and whatever was cut off before is damaged by it, too.
        let nonsense = vec![0xff; 64 << 10];
        tokio::io::AsyncWriteExt::write_all(&mut other, &nonsense).await.ok();
        (one, other)
    });
    let (_sender, receiver, _listener) = connected_over([&one, &other]).await;
    strike.notify_one();
    let error = timeout(AT_ONCE, receiver.closed()).await.expect("at once");
    assert!(error.is_lost(), "{error:?}");
    assert!(matches!(other.ended().await, PipeEnd::Malformed { .. }));
    drop(relay.await.unwrap());
}

#[tokio::test]
async fn the_word_that_all_is_done_passes_before_the_pipe_is_closed() {
    let [one, other] = in_memory();
    let (sender, receiver, _listener) = connected_over([&one, &other]).await;
    sender.finish().await;
    one.finish(CLOSE_WAIT).await;
    assert!(matches!(receiver.closed().await, WireError::ClosedByPeer { reason: CloseReason::Done }));
    assert_eq!(timeout(AT_ONCE, other.ended()).await.expect("at once"), PipeEnd::Closed);
}

#[tokio::test]
async fn a_second_connection_takes_the_pipe_over_from_the_first() {
    let [one, other] = in_memory();
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let listener = Listener::bind(&other, HERE, &receiver_key, Admitted::Key(sender_key.public())).unwrap();
    let expected = receiver_key.public();
    let connect = || connect(&one, &[PIPE_PEER], &sender_key, &expected);
    let (first, accepted) = tokio::join!(connect(), listener.accept());
    let (_first, _accepted) = (first.unwrap(), accepted.unwrap());
    let (second, accepted) = tokio::join!(connect(), listener.accept());
    let (second, accepted) = (second.unwrap(), accepted.unwrap());
    accepted.allow_streams(4, 16);
    move_chunks(&second, &accepted, 1).await;
}
