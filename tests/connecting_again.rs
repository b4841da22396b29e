//! Connections that are lost, one after the other, against the real sender: what it does again, what it tells once, and
//! when it gives up. The receiver here is a script that ends each connection at a place of its own choice.

#![expect(clippy::disallowed_types, reason = "looks at the disk past the program's own door")]
#![expect(clippy::unwrap_used, reason = "a set-up that fails is a failed test")]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use careful::connect::ticket::Ticket;
use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful::protocol::limits::{FILES_AT_ONCE, JOBS_AT_ONCE_MAX, SMALL_FILE_BYTES_MAX};
use careful::protocol::message::{
    FileAnswer, FromReceiver, FromSender, GroupFileAnswer, IndexedFailure, Ready, Signed,
};
use careful::seams::packet::UdpPackets;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::KeyPair;
use careful::wire::stream::Incoming;

/// What to do at the nth message of a job, counted over one connection from 1.
enum Reply {
    Answer(FromReceiver),
    Nothing,
    /// The connection ends here.
    Die,
}

/// Answers the nth message of the nth connection, both counted from 1; the first message is the end of the greeting.
type Script = fn(connection: u64, message: u64, said: Option<&FromSender>) -> Reply;

/// Runs the real sender with these arguments in a directory; its exit code, its events, and how often it connected.
async fn send(place: &Path, arguments: &[&str], script: Script) -> (Option<i32>, Vec<serde_json::Value>, u64) {
    let key = KeyPair::generate().unwrap();
    let listener = Listener::bind(&UdpPackets, "127.0.0.1:0".parse().unwrap(), &key, Admitted::AnyKey).unwrap();
    let addresses = vec![listener.local_address().unwrap()];
    let ticket = Ticket { receiver: key.public(), token: [0; 16], expires_seconds: None, addresses };
    let sender = tokio::process::Command::new(env!("CARGO_BIN_EXE_careful-send"))
        .current_dir(place)
        .args(arguments)
        .arg(ticket.to_string())
        .args(["--json", "--retry-for", "1s"])
        .env("XDG_STATE_HOME", place.join("state"))
        .stdin(Stdio::null())
        .output();
    let connections = Arc::new(AtomicU64::new(0));
    let receiver = tokio::spawn(receive(listener, script, Arc::clone(&connections)));
    let output = tokio::time::timeout(Duration::from_secs(60), sender).await.expect("an end in time").unwrap();
    receiver.abort();
    let events = String::from_utf8(output.stdout).unwrap();
    let events = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), events, connections.load(Ordering::Relaxed))
}

async fn receive(listener: Listener, script: Script, connections: Arc<AtomicU64>) {
    while let Some(connection) = listener.accept().await {
        let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
        serve(connection, number, script).await;
    }
}

async fn serve(connection: Connection, number: u64, script: Script) {
    connection.raise_windows();
    connection.allow_streams(JOBS_AT_ONCE_MAX + 1, 16);
    let Ok((mut outgoing, mut incoming)) = connection.accept_job().await else { return };
    let _hello: Option<FromSender> = incoming.receive().await.unwrap();
    outgoing.send(&FromReceiver::Welcome { minor: 0 }).await.unwrap();
    let _begin: Option<FromSender> = incoming.receive().await.unwrap();
    let Reply::Answer(ready) = script(number, 1, None) else { return connection.close(CloseReason::GoingAway) };
    outgoing.send(&ready).await.unwrap();
    let messages = Arc::new(AtomicU64::new(1));
    let jobs = async {
        while let Ok((mut outgoing, mut incoming)) = connection.accept_job().await {
            let (connection, messages) = (connection.clone(), Arc::clone(&messages));
            tokio::spawn(async move {
                while let Ok(Some(said)) = incoming.receive::<FromSender>().await {
                    let message = messages.fetch_add(1, Ordering::SeqCst) + 1;
                    match script(number, message, Some(&said)) {
                        Reply::Answer(answer) => outgoing.send(&answer).await.ok(),
                        Reply::Nothing => None,
                        Reply::Die => return connection.close(CloseReason::GoingAway),
                    };
                }
            });
        }
    };
    tokio::select! {
        () = jobs => {}
        () = until_end(&mut incoming) => {
            outgoing.send(&FromReceiver::Ended).await.ok();
            connection.closed().await;
        }
    }
}

/// The control stream until the sender says that all is done.
async fn until_end(incoming: &mut Incoming) {
    while let Ok(Some(said)) = incoming.receive::<FromSender>().await {
        if said == FromSender::End {
            return;
        }
    }
    std::future::pending().await
}

fn ready() -> Reply {
    Reply::Answer(FromReceiver::Ready(Ready { file_name: None, directory: Vec::new(), kept: Keep::default() }))
}

fn place_with(files: u64, length_bytes: u64) -> tempfile::TempDir {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir(place.path().join("source")).unwrap();
    for number in 0..files {
        let file = std::fs::File::create(place.path().join(format!("source/{number}"))).unwrap();
        file.set_len(length_bytes).unwrap();
    }
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_dies_after_every_greeting_is_given_up() {
    let place = place_with(1, 3 << 20);
    let script: Script = |_, _, said| if said.is_none() { ready() } else { Reply::Die };
    let (code, events, connections) = send(place.path(), &["source/"], script).await;
    assert_eq!(code, Some(10), "{events:?}");
    assert!((2..10).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_finishes_one_file_a_connection_is_not_given_up() {
    // Three files of this length are offered at once: the fourth offer of a connection says that one of them is done.
    let place = place_with(12, 14 << 20);
    let script: Script = |connection, message, said| match said {
        None => ready(),
        Some(FromSender::OfferFile { .. }) if message == 2 || connection > 9 => {
            Reply::Answer(FromReceiver::FileAnswer(FileAnswer::Trusted))
        }
        Some(FromSender::OfferFile { .. }) if message < 5 => Reply::Nothing,
        _ => Reply::Die,
    };
    let (code, events, connections) = send(place.path(), &["--quick", "source/"], script).await;
    // The pauses between ten connections are longer than the second after which a standstill is given up.
    assert_eq!((code, connections), (Some(0), 10), "{events:?}");
    assert_eq!(events.last().unwrap()["trusted_files"], 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_files_that_are_short_are_under_way_at_once() {
    let files = FILES_AT_ONCE as u64 + 6;
    let place = place_with(files, SMALL_FILE_BYTES_MAX + 1);
    // The first connection ends once all are offered that can be, and none was answered.
    let script: Script = |connection, message, said| match said {
        None => ready(),
        Some(FromSender::OfferFile { .. }) if connection == 2 => {
            Reply::Answer(FromReceiver::FileAnswer(FileAnswer::Trusted))
        }
        Some(FromSender::OfferFile { .. }) if message <= FILES_AT_ONCE as u64 => Reply::Nothing,
        _ => Reply::Die,
    };
    let (code, events, connections) = send(place.path(), &["--quick", "source/"], script).await;
    assert_eq!((code, connections), (Some(0), 2), "{events:?}");
    assert_eq!(events.last().unwrap()["trusted_files"], files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_failed_is_told_once_and_not_offered_again() {
    let place = place_with(2, 3);
    let script: Script = |connection, _, said| match said {
        None => ready(),
        Some(FromSender::OfferGroup { files, .. }) if connection == 1 => {
            assert_eq!(files.len(), 2);
            let answers = vec![GroupFileAnswer::Refused(Failure::TargetExists), GroupFileAnswer::Send];
            Reply::Answer(FromReceiver::GroupAnswer(answers))
        }
        Some(FromSender::OfferGroup { files, .. }) => {
            assert_eq!(files.len(), 1);
            Reply::Answer(FromReceiver::GroupAnswer(vec![GroupFileAnswer::Refused(Failure::NameTooLong)]))
        }
        Some(FromSender::CommitGroup(_)) => {
            let signed = Signed { time_seconds: 1, key: [1; 32], signature: [7; 64] };
            Reply::Answer(FromReceiver::GroupReceipt { files: Vec::new(), failed: Vec::new(), signed })
        }
        _ => Reply::Die,
    };
    let (code, events, connections) = send(place.path(), &["source/"], script).await;
    let failed: Vec<_> = events.iter().filter(|event| event["event"] == "error").collect();
    assert_eq!((code, connections, failed.len()), (Some(23), 2, 2), "{events:?}");
    assert_eq!(events.last().unwrap()["failed_files"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_whose_connection_was_lost_are_finished_on_the_next() {
    let place = place_with(1, 3 << 20);
    // That the second connection is asked at all shows by its answer.
    let script: Script = |connection, _, said| match said {
        None => ready(),
        Some(FromSender::OfferFile { .. }) => Reply::Answer(FromReceiver::FileAnswer(FileAnswer::Trusted)),
        Some(FromSender::FinishDirectories { .. }) if connection == 2 => {
            let failed = IndexedFailure { index: 0, failure: Failure::PermissionDenied };
            Reply::Answer(FromReceiver::Finished(vec![failed]))
        }
        Some(FromSender::OfferGroup { .. }) => Reply::Answer(FromReceiver::GroupAnswer(Vec::new())),
        _ => Reply::Die,
    };
    let (code, events, connections) = send(place.path(), &["--quick", "source"], script).await;
    assert_eq!((code, connections), (Some(23), 2), "{events:?}");
    assert!(events.iter().any(|event| event["event"] == "error" && event["path"] == "source"), "{events:?}");
}
