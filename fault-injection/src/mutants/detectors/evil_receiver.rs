//! Claims about the sender against a receiver that says whatever it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful::protocol::labels::Unset;
use careful::protocol::message::{
    ChunkHeader, FileAnswer, FromReceiver, FromSender, GroupFileAnswer, Hash32, IndexedFailure, IndexedHash,
    IndexedProof, Ready, Signed,
};
use careful::protocol::receipt::{Durable, Proof, Stored};
use careful::seams::Environment;
use careful::seams::os_disk::OsDisk;
use careful::wire::connection::Connection;
use careful::wire::endpoint::{self, Listener};
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};
use tokio::sync::{Mutex, mpsc};

use crate::halves::{ANY_PORT, listen};
use crate::mutants::trial::{Told, Trial, run};
use crate::rig::content;

super::table![
    an_unsigned_receipt_is_none,
    an_unsigned_receipt_of_a_large_file_is_none,
    a_receipt_that_leaves_the_file_out_is_none,
    a_stored_small_file_whose_hash_differs_in_its_last_byte_is_not_authorised,
    a_stored_chunk_whose_hash_differs_in_its_last_byte_is_not_authorised,
    a_receiver_with_another_key_is_refused,
];

const LARGE: usize = (1 << 20) + 5;
const SMALL: usize = 3;

/// How the receiver lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Says that the target is equal, and gives a receipt that nobody signed.
    Unsigned,
    /// Gives a receipt for nothing.
    LeftOut,
    /// Reports hashes of what it stored whose last byte is another one.
    LastByte,
}

/// Runs the sender with one file against the liar; answers what it told, and whether it authorised a commit.
fn send_to(lie: Lie, length: usize) -> (Arc<Told>, bool) {
    let trial = Trial::new();
    trial.write("source/file", &content(1, length));
    let (told, authorised) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
    run(async {
        let key = KeyPair::generate().expect("a key can be made");
        let (ticket, listener) = listen(&Environment::real(), ANY_PORT, &key);
        let receiving = tokio::spawn(receive(listener, lie, Arc::clone(&authorised)));
        trial.send(ticket, Arc::new(OsDisk), &told).await;
        receiving.abort();
    });
    let authorised = authorised.load(Ordering::SeqCst);
    (told, authorised)
}

async fn receive(listener: Listener, lie: Lie, authorised: Arc<AtomicBool>) {
    while let Some(connection) = listener.accept().await {
        tokio::spawn(serve(connection, lie, Arc::clone(&authorised)));
    }
}

/// A liar ends with its stream, as soon as the sender does.
async fn serve(connection: Connection, lie: Lie, authorised: Arc<AtomicBool>) -> Option<()> {
    connection.raise_windows();
    connection.allow_streams(17, 16);
    let (mut outgoing, mut incoming) = connection.accept_job().await.ok()?;
    incoming.receive::<FromSender>().await.ok()?;
    outgoing.send(&FromReceiver::Welcome { minor: 0 }).await.ok()?;
    incoming.receive::<FromSender>().await.ok()?;
    outgoing
        .send(&FromReceiver::Ready(Ready { file_name: None, directory: Vec::new(), kept: Keep::default() }))
        .await
        .ok()?;
    tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.receive::<FromSender>().await {
            if message == FromSender::End {
                outgoing.send(&FromReceiver::Ended).await.ok();
            }
        }
    });
    let (arrived, chunks) = mpsc::channel(16);
    let chunks = Arc::new(Mutex::new(chunks));
    let streams = connection.clone();
    tokio::spawn(async move {
        let mut body = vec![0; 1 << 20];
        while let Ok(mut stream) = streams.accept_chunk().await {
            if let Ok(header) = stream.header().await
                && stream.body_into(&mut body[..header.length_bytes as usize]).await.is_ok()
                && arrived.send(header).await.is_err()
            {
                return;
            }
        }
    });
    while let Ok((outgoing, incoming)) = connection.accept_job().await {
        tokio::spawn(job(outgoing, incoming, lie, Arc::clone(&chunks), Arc::clone(&authorised)));
    }
    Some(())
}

async fn job(
    mut outgoing: Outgoing,
    mut incoming: Incoming,
    lie: Lie,
    chunks: Arc<Mutex<mpsc::Receiver<ChunkHeader>>>,
    authorised: Arc<AtomicBool>,
) {
    let mut chunks = chunks.lock().await;
    let mut lengths = Vec::new();
    loop {
        let answers = tokio::select! {
            message = incoming.receive::<FromSender>() => match message {
                Ok(Some(FromSender::OfferGroup { files, .. })) => {
                    lengths = files.iter().map(|file| file.entry.length_bytes).collect();
                    let present = |root: Hash32| GroupFileAnswer::Present(root);
                    let answer = match lie {
                        Lie::LastByte => GroupFileAnswer::Send,
                        _ => files[0].root.map_or(GroupFileAnswer::Send, present),
                    };
                    vec![FromReceiver::GroupAnswer(vec![answer])]
                }
                Ok(Some(FromSender::Pieces(pieces))) => {
                    let mut body = vec![0; lengths.first().map_or(0, |&length| length as usize)];
                    incoming.read_exact(&mut body).await.ok();
                    let lie_about = |piece: &IndexedHash| IndexedHash { hash: twisted(piece.hash.0), ..*piece };
                    let stored = pieces.iter().map(lie_about).collect();
                    vec![FromReceiver::GroupStored { stored, bad: Vec::new(), failed: Vec::new() }]
                }
                Ok(Some(FromSender::CommitGroup(list))) => {
                    authorised.fetch_or(!list.is_empty(), Ordering::SeqCst);
                    vec![group_receipt(lie, list.len())]
                }
                Ok(Some(FromSender::OfferFile { .. })) => {
                    let answer = if lie == Lie::LastByte { FileAnswer::Send } else { FileAnswer::Claim };
                    vec![FromReceiver::FileAnswer(answer)]
                }
                Ok(Some(FromSender::Claim(_))) => vec![FromReceiver::Equal],
                Ok(Some(FromSender::CommitFile { origin, .. })) => {
                    authorised.store(true, Ordering::SeqCst);
                    let proof = Proof { origin, stored: Stored::Device, durable: Durable::Yes };
                    vec![FromReceiver::FileReceipt { proof, signed: unsigned(), unset: Unset::default() }]
                }
                Ok(Some(FromSender::Redo { .. })) => vec![FromReceiver::Refused(Failure::StoredMismatch)],
                Ok(Some(_)) => Vec::new(),
                Ok(None) | Err(_) => return,
            },
            Some(header) = chunks.recv() => {
                let chunks = vec![IndexedHash { index: header.index, hash: twisted(header.hash.0) }];
                vec![FromReceiver::Stored { round: header.round, chunks }]
            }
        };
        for answer in answers {
            outgoing.send(&answer).await.ok();
        }
    }
}

fn group_receipt(lie: Lie, authorised: usize) -> FromReceiver {
    let proof = IndexedProof { index: 0, stored: Stored::Device, durable: Durable::Yes, unset: Unset::default() };
    let files = if lie == Lie::Unsigned { vec![proof] } else { Vec::new() };
    let is_failing = lie == Lie::LastByte && authorised > 0;
    let failed = is_failing.then_some(IndexedFailure { index: 0, failure: Failure::StoredMismatch });
    FromReceiver::GroupReceipt { files, failed: failed.into_iter().collect(), signed: unsigned() }
}

fn twisted(mut hash: [u8; 32]) -> Hash32 {
    hash[31] ^= 1;
    Hash32(hash)
}

fn unsigned() -> Signed {
    Signed { time_seconds: 1, key: KeyPair::generate().expect("a key can be made").public().0, signature: [7; 64] }
}

fn an_unsigned_receipt_is_none() {
    send_to(Lie::Unsigned, SMALL).0.assert_failed("file", Failure::ReceiptInvalid);
}

fn an_unsigned_receipt_of_a_large_file_is_none() {
    send_to(Lie::Unsigned, LARGE).0.assert_failed("file", Failure::ReceiptInvalid);
}

fn a_receipt_that_leaves_the_file_out_is_none() {
    send_to(Lie::LeftOut, SMALL).0.assert_failed("file", Failure::ReceiptInvalid);
}

fn a_stored_small_file_whose_hash_differs_in_its_last_byte_is_not_authorised() {
    let (told, authorised) = send_to(Lie::LastByte, SMALL);
    assert!(!authorised, "a copy that differs was authorised");
    assert!(told.failure("file").is_some());
}

fn a_stored_chunk_whose_hash_differs_in_its_last_byte_is_not_authorised() {
    let (told, authorised) = send_to(Lie::LastByte, LARGE);
    assert!(!authorised, "a copy that differs was authorised");
    assert!(told.failure("file").is_some());
}

fn a_receiver_with_another_key_is_refused() {
    run(async {
        let environment = Environment::real();
        let key = || KeyPair::generate().expect("a key can be made");
        let (ticket, listener) = listen(&environment, ANY_PORT, &key());
        let listening = tokio::spawn(async move { listener.accept().await });
        let expected = key().public();
        let connected = endpoint::connect(environment.packets.as_ref(), &ticket.addresses, &key(), &expected).await;
        assert!(connected.is_err(), "a stranger was taken for the receiver");
        listening.abort();
    });
}
