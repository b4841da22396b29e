//! The gateway of the paper between the unmodified programs: what it does to the content is found and repaired, or the
//! file is refused; it is never silently wrong. UDP and QUIC see nothing on either side.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod programs;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use careful::connect::ticket::{Ticket, token_proof};
use careful::hash::{PieceHash, Position};
use careful::protocol::message::{ChunkHeader, FromReceiver, FromSender};
use careful::seams::packet::UdpPackets;
use careful::wire::connection::Connection;
use careful::wire::endpoint::{Admitted, Listener, connect};
use careful::wire::identity::KeyPair;
use careful_faults::gateway::tamper::{BYTES_PER_SWAP_AT_MIT, ByteSwaps, MessageFlip, Tamper, Untouched};
use careful_faults::gateway::{Gateway, Options, Passed};
use careful_faults::plan::Side;
use careful_faults::rig::content;
use programs::{Compared, Place, Sent};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const CHUNK: usize = 1 << 20;
/// What the sender is told to leave out for level 2: only what it hashes while it sends is compared.
const LEVEL_2: [&str; 4] = ["--stored", "none", "--origin", "first-read"];

fn gateway(upstream: &Ticket, identity: KeyPair, tamper: impl Tamper + 'static) -> Gateway {
    let options = Options { listen: ANY_PORT, upstream: upstream.clone(), identity, tamper: Arc::new(tamper) };
    Gateway::start(Arc::new(UdpPackets), options).expect("a gateway")
}

/// Sends the source of a place through a gateway to the receiver's program.
async fn through(place: &Place, tamper: impl Tamper + 'static, arguments: &[&str]) -> (Sent, Compared, Passed) {
    let receiving = place.receive();
    let gateway = gateway(&receiving.ticket, place.identity(), tamper);
    let sent = place.send(gateway.ticket(), arguments).await;
    receiving.finish().await;
    (sent, place.compare(), gateway.passed())
}

fn large() -> Place {
    let place = Place::new();
    place.source("large", 8 * CHUNK + 7, 1);
    place
}

fn tree() -> Place {
    let place = Place::new();
    for number in 0..300 {
        place.source(&format!("directory-{}/file-{number}", number % 7), 20_000, number);
    }
    place
}

fn swaps(every_bytes: u64, rehashes: bool) -> ByteSwaps {
    ByteSwaps { seed: 1, every_bytes, rehashes }
}

/// Few enough that no chunk of the large file is struck twice: two in its first pass, none in the second.
fn few_swaps(rehashes: bool) -> ByteSwaps {
    ByteSwaps { seed: 8, every_bytes: 4 * BYTES_PER_SWAP_AT_MIT, rehashes }
}

fn all_right(files: usize) -> Compared {
    Compared { right: files, ..Compared::default() }
}

#[tokio::test]
async fn through_an_honest_gateway_everything_arrives_and_nothing_is_repaired() {
    let place = large();
    place.source("small/file", 3000, 2);
    let (sent, compared, passed) = through(&place, Untouched, &[]).await;
    assert_eq!((sent.code, compared), (0, all_right(2)), "{sent:?}");
    assert_eq!((sent.count("repaired_chunks"), passed.pieces, passed.connections), (0, 10, 1));
    assert_eq!(passed.content_bytes, 8 * CHUNK as u64 + 7 + 3000);
}

#[tokio::test]
async fn without_a_check_of_its_own_what_comes_through_the_gateway_is_wrong_and_quic_reports_nothing() {
    let (sender_key, receiver_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let listener = Listener::bind(&UdpPackets, ANY_PORT, &receiver_key, Admitted::AnyKey).unwrap();
    let addresses = vec![listener.local_address().unwrap()];
    let ticket = Ticket { receiver: receiver_key.public(), token: [5; 16], expires_seconds: None, addresses };
    let gateway = gateway(&ticket, KeyPair::generate().unwrap(), swaps(BYTES_PER_SWAP_AT_MIT, false));
    let (inner, outer) = (gateway.ticket().clone(), ticket);
    let sending = async {
        let sender = connect(&UdpPackets, &inner.addresses, &sender_key, &inner.receiver).await.unwrap();
        let control = greet_as_sender(&sender, &inner.token).await;
        for index in 0..8 {
            let hash = PieceHash::of(Position::WholeFile, &content(index, CHUNK));
            let header = ChunkHeader { job: 1, index, length_bytes: CHUNK as u32, round: 0, hash };
            sender.send_chunk(header, Bytes::from(content(index, CHUNK))).await.unwrap();
        }
        (sender, control)
    };
    let receiving = async {
        let receiver = listener.accept().await.unwrap();
        let control = greet_as_receiver(&receiver, &outer.token).await;
        let mut wrong = 0;
        for _ in 0..8 {
            let mut chunk = receiver.accept_chunk().await.unwrap();
            let header = chunk.header().await.unwrap();
            let mut bytes = vec![0; CHUNK];
            chunk.body_into(&mut bytes).await.unwrap();
            wrong += u64::from(bytes != content(header.index, CHUNK));
        }
        (receiver, control, wrong)
    };
    let (_sender, (_receiver, _control, wrong)) = tokio::join!(sending, receiving);
    let passed = gateway.passed();
    assert!(wrong > 0 && wrong == passed.pieces_damaged, "{wrong} of 8 chunks are wrong: {passed:?}");
}

async fn greet_as_sender(sender: &Connection, token: &[u8; 16]) -> impl Sized + use<> {
    let (mut outgoing, mut incoming) = sender.open_job().await.unwrap();
    let proof = token_proof(token, &sender.exporter().unwrap());
    outgoing.send(&FromSender::Hello { minor: 0, proof }).await.unwrap();
    assert!(matches!(incoming.receive().await.unwrap(), Some(FromReceiver::Welcome { .. })));
    (outgoing, incoming)
}

async fn greet_as_receiver(receiver: &Connection, token: &[u8; 16]) -> impl Sized + use<> {
    let (mut outgoing, mut incoming) = receiver.accept_job().await.unwrap();
    let Some(FromSender::Hello { proof, .. }) = incoming.receive().await.unwrap() else { panic!("no hello") };
    assert_eq!(proof, token_proof(token, &receiver.exporter().unwrap()));
    receiver.raise_windows();
    receiver.allow_streams(4, 16);
    outgoing.send(&FromReceiver::Welcome { minor: 0 }).await.unwrap();
    (outgoing, incoming)
}

#[tokio::test]
async fn a_large_file_through_swaps_at_the_rate_of_the_paper_arrives_right() {
    let (sent, compared, passed) = through(&large(), swaps(BYTES_PER_SWAP_AT_MIT, false), &[]).await;
    assert!(passed.pieces_damaged > 0 && passed.connections == 1, "{passed:?}");
    assert_eq!((sent.code, compared), (0, all_right(1)), "{sent:?}");
    assert_eq!(sent.count("repaired_chunks"), passed.pieces_damaged);
}

#[tokio::test]
async fn a_tree_through_swaps_at_the_rate_of_the_paper_arrives_right() {
    let (sent, compared, passed) = through(&tree(), swaps(BYTES_PER_SWAP_AT_MIT, false), &[]).await;
    assert!(passed.pieces_damaged > 0 && passed.connections == 1, "{passed:?}");
    assert_eq!((sent.code, compared), (0, all_right(300)), "{sent:?}");
    assert_eq!(sent.count("repaired_chunks"), passed.pieces_damaged);
}

#[tokio::test]
async fn small_files_of_a_whole_chunk_through_swaps_at_the_rate_of_the_paper_arrive_right() {
    let place = Place::new();
    for number in 0..16 {
        place.source(&number.to_string(), CHUNK, number);
    }
    let (sent, compared, passed) = through(&place, swaps(BYTES_PER_SWAP_AT_MIT, false), &[]).await;
    assert!(passed.pieces_damaged > 0, "{passed:?}");
    assert_eq!((sent.code, compared), (0, all_right(16)), "{sent:?}");
    assert_eq!(sent.count("repaired_chunks"), passed.pieces_damaged);
}

#[tokio::test]
async fn hashes_made_to_fit_get_past_the_receiver_and_not_past_the_root_that_the_sender_holds() {
    let (sent, compared, passed) = through(&large(), few_swaps(true), &[]).await;
    assert!(passed.hashes_replaced > 0 && passed.hashes_replaced == passed.pieces_damaged, "{passed:?}");
    assert_eq!((sent.code, compared), (0, all_right(1)), "{sent:?}");
    assert!(sent.count("repaired_chunks") > 0);
}

#[tokio::test]
async fn a_tree_under_hashes_made_to_fit_arrives_right() {
    let (sent, compared, passed) = through(&tree(), swaps(BYTES_PER_SWAP_AT_MIT, true), &[]).await;
    assert!(passed.hashes_replaced > 0, "{passed:?}");
    assert_eq!((sent.code, compared), (0, all_right(300)), "{sent:?}");
    assert!(sent.count("repaired_chunks") > 0);
}

#[tokio::test]
async fn hashes_made_to_fit_for_most_chunks_end_in_a_refusal_and_leave_nothing_wrong() {
    let (sent, compared, passed) = through(&large(), swaps(BYTES_PER_SWAP_AT_MIT / 4, true), &[]).await;
    assert!(passed.hashes_replaced > 0, "{passed:?}");
    assert_ne!(sent.code, 0);
    assert_eq!((compared.right, compared.wrong, sent.events("receipt")), (0, 0, 0), "{sent:?}");
}

#[tokio::test]
async fn level_2_finds_both_kinds_as_the_sender_compares_what_the_receiver_heard() {
    for rehashes in [false, true] {
        let every_bytes = BYTES_PER_SWAP_AT_MIT;
        for (place, files, swaps) in [(large(), 1, few_swaps(rehashes)), (tree(), 300, swaps(every_bytes, rehashes))] {
            let (sent, compared, passed) = through(&place, swaps, &LEVEL_2).await;
            assert!(passed.pieces_damaged > 0, "{passed:?}");
            assert_eq!((sent.code, compared), (0, all_right(files)), "{sent:?}");
            assert_eq!(sent.count("repaired_chunks"), passed.pieces_damaged, "{sent:?}");
        }
    }
}

/// Control data that both sides need, each with one bit wrong, names and lengths among them. What each bit of each message
/// comes to is seen in `control_bits.rs`.
#[tokio::test]
async fn a_flipped_bit_of_control_data_is_noticed_and_said_again_on_another_connection() {
    let flips = [
        (Side::Sender, "offer-file", 300),
        (Side::Sender, "commit-file", 40),
        (Side::Sender, "commit-file", 200),
        (Side::Sender, "offer-group", 200),
        (Side::Sender, "pieces", 100),
        (Side::Sender, "commit-group", 100),
        (Side::Receiver, "stored", 100),
        (Side::Receiver, "group-stored", 100),
        (Side::Receiver, "file-receipt", 60),
        (Side::Receiver, "file-receipt", 600),
        (Side::Receiver, "group-receipt", 500),
    ];
    for (from, kind, bit) in flips {
        let place = Place::new();
        place.source("large", 2 * CHUNK + 7, 1);
        place.source("small", 3000, 2);
        let receiving = place.receive();
        let flip = MessageFlip::new(from, kind.parse().unwrap(), 1, bit);
        let gateway = gateway(&receiving.ticket, place.identity(), flip);
        let sent = place.send_within(Duration::from_secs(20), gateway.ticket(), &[]).await;
        receiving.finish().await;
        let (compared, passed) = (place.compare(), gateway.passed());
        assert_eq!((passed.messages_damaged, passed.connections), (1, 2), "{kind} {bit}: {passed:?}");
        assert_eq!((sent.code, compared), (0, all_right(2)), "{kind} {bit}: {sent:?}");
        assert_eq!(sent.events("receipt"), 2, "{kind} {bit}: {sent:?}");
    }
}
