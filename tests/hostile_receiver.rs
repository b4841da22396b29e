//! A receiver that says whatever it likes, against the real sender: it never gets a success out of it.

#![expect(clippy::disallowed_methods, reason = "looks at the disk past the program's own door")]
#![expect(clippy::unwrap_used, reason = "a set-up that fails is a failed test")]

use std::process::{Output, Stdio};

use careful::connect::ticket::Ticket;
use careful::protocol::dry_run::Would;
use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful::protocol::labels::Unset;
use careful::protocol::message::{
    FileAnswer, FromReceiver, FromSender, GroupFileAnswer, Hash32, Have, IndexedHash, IndexedProof, Ready, Signed,
};
use careful::protocol::receipt::{Durable, Origin, Proof, Stored};
use careful::seams::packet::UdpPackets;
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};

/// Answers the messages of one job, one after the other; nothing ends the job.
type Script = fn(&FromSender) -> Vec<FromReceiver>;

/// Runs the real sender against a receiver that answers every job by the script.
async fn send_to(script: Script, length_bytes: usize) -> Output {
    send_with(&[], script, length_bytes).await
}

/// The same, with these options.
async fn send_with(options: &[&str], script: Script, length_bytes: usize) -> Output {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(place.path().join("file"), vec![5; length_bytes]).unwrap();
    let key = KeyPair::generate().unwrap();
    let listener = Listener::bind(&UdpPackets, "127.0.0.1:0".parse().unwrap(), &key, Admitted::AnyKey).unwrap();
    let addresses = vec![listener.local_address().unwrap()];
    let ticket = Ticket { receiver: key.public(), token: [0; 16], expires_seconds: None, addresses };
    let sender = tokio::process::Command::new(env!("CARGO_BIN_EXE_careful-send"))
        .arg(place.path().join("file"))
        .arg(ticket.to_string())
        .args(["--retry-for", "1s"])
        .args(options)
        .env("XDG_STATE_HOME", place.path().join("state"))
        .stdin(Stdio::null())
        .output();
    let receiver = tokio::spawn(receive(listener, script));
    let output =
        tokio::time::timeout(std::time::Duration::from_secs(60), sender).await.expect("an end in time").unwrap();
    receiver.abort();
    output
}

async fn receive(listener: Listener, script: Script) {
    while let Some(connection) = listener.accept().await {
        connection.raise_windows();
        connection.allow_streams(17, 16);
        let Ok((mut outgoing, mut incoming)) = connection.accept_job().await else { continue };
        let hello: Option<FromSender> = incoming.receive().await.unwrap();
        assert!(matches!(hello, Some(FromSender::Hello { .. })));
        outgoing.send(&FromReceiver::Welcome { minor: 0 }).await.unwrap();
        let begin: Option<FromSender> = incoming.receive().await.unwrap();
        assert!(matches!(begin, Some(FromSender::Begin(_))));
        outgoing
            .send(&FromReceiver::Ready(Ready { file_name: None, directory: Vec::new(), kept: Keep::default() }))
            .await
            .unwrap();
        let chunks = connection.clone();
        tokio::spawn(async move {
            let mut body = vec![0; 1 << 20];
            while let Ok(mut stream) = chunks.accept_chunk().await {
                let header = stream.header().await.unwrap();
                stream.body_into(&mut body[..header.length_bytes as usize]).await.ok();
            }
        });
        tokio::spawn(control(outgoing, incoming));
        while let Ok((outgoing, incoming)) = connection.accept_job().await {
            tokio::spawn(job(outgoing, incoming, script));
        }
    }
}

async fn control(mut outgoing: Outgoing, mut incoming: Incoming) {
    while let Ok(Some(message)) = incoming.receive::<FromSender>().await {
        if message == FromSender::End {
            outgoing.send(&FromReceiver::Ended).await.ok();
        }
    }
}

async fn job(mut outgoing: Outgoing, mut incoming: Incoming, script: Script) {
    while let Ok(Some(message)) = incoming.receive::<FromSender>().await {
        for answer in script(&message) {
            outgoing.send(&answer).await.ok();
        }
        if let FromSender::Pieces(pieces) = &message {
            assert_eq!(pieces.len(), 1);
            incoming.read_exact(&mut [0; 3]).await.unwrap();
        }
    }
}

fn signed() -> Signed {
    Signed { time_seconds: 1, key: KeyPair::generate().unwrap().public().0, signature: [7; 64] }
}

fn proof() -> Proof {
    Proof { origin: Origin::Reread, stored: Stored::Device, durable: Durable::Yes }
}

fn assert_no_success(output: &Output, code: i32) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(words.contains("hint:") || words.contains("file"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_nobody_signed_is_no_success() {
    let output = send_to(
        |message| match message {
            FromSender::OfferGroup { files, .. } => {
                let root = files[0].root.unwrap();
                vec![FromReceiver::GroupAnswer(vec![GroupFileAnswer::Present(root)])]
            }
            FromSender::CommitGroup(_) => {
                let files = vec![IndexedProof {
                    index: 0,
                    stored: Stored::Device,
                    durable: Durable::Yes,
                    unset: Unset::default(),
                }];
                vec![FromReceiver::GroupReceipt { files, failed: Vec::new(), signed: signed() }]
            }
            _ => Vec::new(),
        },
        3,
    );
    assert_no_success(&output.await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_leaves_the_file_out_is_no_success() {
    let output = send_to(
        |message| match message {
            FromSender::OfferGroup { files, .. } => {
                let root = files[0].root.unwrap();
                vec![FromReceiver::GroupAnswer(vec![GroupFileAnswer::Present(root)])]
            }
            FromSender::CommitGroup(_) => {
                vec![FromReceiver::GroupReceipt { files: Vec::new(), failed: Vec::new(), signed: signed() }]
            }
            _ => Vec::new(),
        },
        3,
    );
    assert_no_success(&output.await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_copy_of_another_content_is_never_authorised() {
    let output = send_to(
        |message| match message {
            FromSender::OfferGroup { .. } => vec![FromReceiver::GroupAnswer(vec![GroupFileAnswer::Send])],
            FromSender::Pieces(_) => {
                let stored = vec![IndexedHash { index: 0, hash: Hash32([1; 32]) }];
                vec![FromReceiver::GroupStored { stored, bad: Vec::new(), failed: Vec::new() }]
            }
            FromSender::CommitGroup(list) => {
                assert!(list.is_empty(), "authorised");
                vec![FromReceiver::GroupReceipt { files: Vec::new(), failed: Vec::new(), signed: signed() }]
            }
            _ => Vec::new(),
        },
        3,
    );
    assert_no_success(&output.await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_arrives_right_is_given_up_after_a_bounded_number_of_tries() {
    let output = send_to(
        |message| match message {
            FromSender::OfferGroup { .. } => vec![FromReceiver::GroupAnswer(vec![GroupFileAnswer::Send])],
            FromSender::Pieces(_) => {
                vec![FromReceiver::GroupStored { stored: Vec::new(), bad: vec![0], failed: Vec::new() }]
            }
            FromSender::CommitGroup(_) => {
                vec![FromReceiver::GroupReceipt { files: Vec::new(), failed: Vec::new(), signed: signed() }]
            }
            _ => Vec::new(),
        },
        3,
    );
    assert_no_success(&output.await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_whose_receipt_is_forged_is_no_success() {
    let output = send_to(
        |message| match message {
            FromSender::OfferFile { .. } => vec![
                FromReceiver::FileAnswer(FileAnswer::Claim),
                FromReceiver::Equal,
                FromReceiver::FileReceipt { proof: proof(), signed: signed(), unset: Unset::default() },
            ],
            _ => Vec::new(),
        },
        3 << 20,
    );
    assert_no_success(&output.await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_order_and_out_of_bounds_fail_the_file() {
    let scripts: [Script; 5] = [
        |_| vec![FromReceiver::Welcome { minor: 0 }],
        |_| vec![FromReceiver::GroupAnswer(Vec::new())],
        |_| vec![FromReceiver::FileAnswer(FileAnswer::Send), FromReceiver::Bad(u64::MAX)],
        |_| {
            let have = Have { first: 7, count: u32::MAX, staged: vec![1; 32], target: Vec::new() };
            vec![FromReceiver::FileAnswer(FileAnswer::Basis { target_may_equal: true }), FromReceiver::Have(have)]
        },
        |_| {
            let chunks = vec![IndexedHash { index: u64::MAX, hash: Hash32([0; 32]) }];
            vec![FromReceiver::FileAnswer(FileAnswer::Send), FromReceiver::Stored { round: 0, chunks }]
        },
    ];
    for script in scripts {
        assert_no_success(&send_to(script, 3 << 20).await, 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_receiver_refuses_is_told_in_our_own_words() {
    let output = send_to(|_| vec![FromReceiver::Refused(Failure::NoSpace)], 3 << 20).await;
    assert_no_success(&output, 11);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space left"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_dry_run_nothing_is_believed_that_was_not_compared() {
    let small: [Script; 6] = [
        |_| vec![FromReceiver::Would(Vec::new())],
        |_| vec![FromReceiver::Would(vec![Would::New; 2])],
        |_| vec![FromReceiver::Would(vec![Would::Trusted])],
        |_| vec![FromReceiver::Would(vec![Would::Claim])],
        |_| vec![FromReceiver::GroupAnswer(vec![GroupFileAnswer::Send])],
        |_| vec![FromReceiver::Pruned { removed: Vec::new(), failed: Vec::new(), is_last: true }],
    ];
    let large: [Script; 5] = [
        |_| vec![FromReceiver::Would(vec![Would::Unchanged])],
        |_| vec![FromReceiver::Would(vec![Would::Claim]), FromReceiver::Would(vec![Would::Claim])],
        |_| vec![FromReceiver::Would(vec![Would::Claim]), FromReceiver::Equal],
        // More words than a file of this length gives occasion to.
        |message| match message {
            FromSender::OfferFile { .. } => vec![FromReceiver::Would(vec![Would::Claim])],
            _ => vec![FromReceiver::Working, FromReceiver::Working, FromReceiver::Working],
        },
        |_| vec![FromReceiver::FileAnswer(FileAnswer::Send)],
    ];
    for (scripts, length) in [(&small[..], 3), (&large, 3 << 20)] {
        for (row, script) in scripts.iter().enumerate() {
            let output = send_with(&["--dry-run"], *script, length).await;
            assert_no_success(&output, 12);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "row {row}");
        }
    }
    // And in a true run nobody only says what he would do.
    for length in [3, 3 << 20] {
        assert_no_success(&send_to(|_| vec![FromReceiver::Would(vec![Would::Unchanged])], length).await, 12);
    }
}
