//! QUIC over the network in memory, by a clock that jumps: it moves right what is asked of it through every trouble, and
//! what the checksum of UDP lets through its own encryption throws away.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod endpoints;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use careful::connect::meeting::Meeting;
use careful::hash::PieceHash;
use careful::progress::Counters;
use careful::protocol::failure::Failure;
use careful::protocol::message::ChunkHeader;
use careful::protocol::receipt::Receipt;
use careful::receive::listen::Waiting;
use careful::seams::Environment;
use careful::seams::packet::Packets;
use careful::send::{self, Ended, Observer};
use careful::wire::WireError;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::identity::KeyPair;
use careful_faults::halves;
use careful_faults::network::{Arrivals, Network};
use careful_faults::passage::{Counts, Injected, Trouble};
use careful_faults::rig::content;
use quinn::udp::{RecvMeta, Transmit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::endpoints::{RECEIVER, SENDER, connected};

const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const CHUNK: usize = 1 << 20;

/// Moves chunks of 1 MiB; fails unless each arrives as it was.
async fn move_chunks(sender: &Connection, receiver: &Connection, count: u64) {
    let sending = async {
        for index in 0..count {
            let header = ChunkHeader { job: 1, index, length_bytes: CHUNK as u32, round: 0, hash: PieceHash([9; 32]) };
            sender.send_chunk(header, Bytes::from(content(index, CHUNK))).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..count {
            let mut chunk = receiver.accept_chunk().await.unwrap();
            let header = chunk.header().await.unwrap();
            let mut bytes = vec![0; CHUNK];
            chunk.body_into(&mut bytes).await.unwrap();
            assert!(bytes == content(header.index, CHUNK), "chunk {} is another", header.index);
        }
    };
    tokio::join!(sending, receiving);
}

/// What one run came to, from sender to receiver.
#[derive(Debug, PartialEq)]
struct Ran {
    counts: Counts,
    arrivals: Arrivals,
    /// In both directions.
    faults: Vec<Injected>,
    took: Duration,
}

/// Longer than any datagram of these tests waits and travels.
const UNDER_WAY_MAX: Duration = Duration::from_secs(1);

/// Moves chunks through ways with this trouble in both directions.
async fn through(seed: u64, trouble: Trouble, count: u64) -> Ran {
    let network = Network::new(seed);
    network.set_both_ways(SENDER, RECEIVER, &trouble);
    let host = network.host(SENDER);
    let (sender, receiver, _listener) = connected(&network, host.as_ref()).await.unwrap();
    let start = Instant::now();
    move_chunks(&sender, &receiver, count).await;
    let took = start.elapsed();
    // What was sent in vain is still under way.
    sleep(UNDER_WAY_MAX).await;
    let (counts, arrivals) = network.counts(SENDER, RECEIVER);
    Ran { counts, arrivals, faults: network.take_faults(), took }
}

/// A way that is slow and drops nothing by itself: what is damaged arrives.
fn near() -> Trouble {
    Trouble {
        delay: Duration::from_millis(5),
        rate_bytes_per_second: Some(20_000_000),
        queue_bytes: 4 << 20,
        ..Trouble::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_without_trouble_loses_nothing() {
    let ran = through(1, Trouble::default(), 10).await;
    assert!(ran.arrivals.delivered_bytes > 4 << 20);
    assert_eq!(
        (ran.counts.entered, ran.arrivals.checksum_wrong, ran.arrivals.delivered_damaged),
        (ran.counts.left, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn lost_datagrams_are_sent_again() {
    let ran = through(1, Trouble { lost: 0.02, ..near() }, 10).await;
    assert!(ran.counts.lost > 10, "{:?}", ran.counts);
}

#[tokio::test(start_paused = true)]
async fn what_a_chunk_lost_goes_before_chunks_begun_later() {
    let network = Network::new(1);
    let host = network.host(SENDER);
    network.set_both_ways(SENDER, RECEIVER, &near());
    let (sender, receiver, _listener) = connected(&network, host.as_ref()).await.unwrap();
    // Each needs 3 ms, and a round trip takes 10: something of the first ones gets lost while others still have much to say.
    let (chunks, length) = (16_u64, 64 << 10);
    let blackout = network.now() + Duration::from_millis(6)..network.now() + Duration::from_millis(7);
    network.set_way(SENDER, RECEIVER, Trouble { blackouts: vec![blackout], ..near() });
    let mut sending = JoinSet::new();
    for index in 0..chunks {
        let header = ChunkHeader { job: 1, index, length_bytes: length as u32, round: 0, hash: PieceHash([9; 32]) };
        let (sender, body) = (sender.clone(), Bytes::from(content(index, length)));
        sending.spawn(async move { sender.send_chunk(header, body).await.unwrap() });
    }
    let mut receiving = JoinSet::new();
    for _ in 0..chunks {
        let mut chunk = receiver.accept_chunk().await.unwrap();
        receiving.spawn(async move {
            let header = chunk.header().await.unwrap();
            chunk.body_into(&mut vec![0; length]).await.unwrap();
            header.index
        });
    }
    let mut whole = Vec::new();
    while let Some(index) = receiving.join_next().await {
        whole.push(index.unwrap());
    }
    let lost = network.counts(SENDER, RECEIVER).0.in_blackout;
    assert!(lost > 0);
    assert!(whole.is_sorted(), "an earlier one waited for all that came later: {whole:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_a_connection_is_gone_at_once_and_the_other_side_hears_of_it() {
    let network = Network::new(1);
    let host = network.host(SENDER);
    network.set_both_ways(SENDER, RECEIVER, &Trouble { delay: Duration::from_millis(200), ..Trouble::default() });
    let (sender, receiver, _listener) = connected(&network, host.as_ref()).await.unwrap();
    let before = network.now();
    sender.finish().await;
    assert!(network.now() - before < Duration::from_millis(10), "{:?}", network.now() - before);
    let error = receiver.closed().await;
    assert!(matches!(error, WireError::ClosedByPeer { reason: CloseReason::Done }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn doubled_datagrams_are_taken_once() {
    let ran = through(1, Trouble { doubled: 0.2, ..near() }, 10).await;
    assert!(ran.counts.doubled > 100, "{:?}", ran.counts);
}

#[tokio::test(start_paused = true)]
async fn late_datagrams_find_their_place() {
    let ran = through(1, Trouble { late: 0.05, late_by: 7, ..near() }, 10).await;
    assert!(ran.counts.late > 20, "{:?}", ran.counts);
}

#[tokio::test(start_paused = true)]
async fn a_flip_under_the_checksum_never_arrives_at_quic() {
    let ran = through(1, Trouble { flipped_under_checksum: 0.02, ..near() }, 10).await;
    assert!(ran.counts.flipped_under_checksum > 10, "{:?}", ran.counts);
    assert_eq!(ran.arrivals.checksum_wrong, ran.counts.flipped_under_checksum);
    assert_eq!(ran.arrivals.delivered_damaged, 0);
}

#[tokio::test(start_paused = true)]
async fn exchanged_words_and_a_fresh_checksum_get_past_udp_and_not_past_quic() {
    let trouble = Trouble { words_exchanged: 0.02, flipped_with_fresh_checksum: 0.02, ..near() };
    let ran = through(1, trouble, 10).await;
    assert!(ran.counts.words_exchanged > 5 && ran.counts.flipped_with_fresh_checksum > 5, "{:?}", ran.counts);
    assert_eq!(ran.arrivals.checksum_wrong, 0);
    assert_eq!(ran.arrivals.delivered_damaged, ran.counts.words_exchanged + ran.counts.flipped_with_fresh_checksum);
}

#[tokio::test(start_paused = true)]
async fn where_every_datagram_is_damaged_under_a_fresh_checksum_quic_believes_none() {
    let network = Network::new(1);
    network.set_way(SENDER, RECEIVER, Trouble { flipped_with_fresh_checksum: 1.0, ..near() });
    let host = network.host(SENDER);
    let error = connected(&network, host.as_ref()).await.unwrap_err();
    assert!(matches!(error, WireError::NoAnswer), "{error:?}");
    let (_, arrivals) = network.counts(SENDER, RECEIVER);
    assert!(arrivals.delivered_damaged >= 3 && arrivals.delivered == arrivals.delivered_damaged, "{arrivals:?}");
}

#[tokio::test(start_paused = true)]
async fn all_troubles_together_change_nothing() {
    let trouble = Trouble {
        lost: 0.01,
        doubled: 0.05,
        late: 0.02,
        flipped_under_checksum: 0.005,
        flipped_with_fresh_checksum: 0.005,
        words_exchanged: 0.005,
        blackouts: vec![Duration::from_millis(200)..Duration::from_secs(2)],
        mtu_bytes: Some(1400),
        ..near()
    };
    let Ran { counts, .. } = through(1, trouble, 8).await;
    let all = [counts.lost, counts.doubled, counts.late, counts.in_blackout, counts.too_long, counts.words_exchanged];
    assert!(all.iter().all(|&count| count > 0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_blackout_of_ten_seconds_is_outlived() {
    let blackout = Duration::from_secs(1)..Duration::from_secs(11);
    let ran =
        through(1, Trouble { rate_bytes_per_second: Some(2_000_000), blackouts: vec![blackout], ..near() }, 8).await;
    assert!(ran.counts.in_blackout > 0 && ran.took > Duration::from_secs(10), "{:?} {:?}", ran.counts, ran.took);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_swallows_long_datagrams_carries_shorter_ones() {
    // Larger ones pass at first: quinn finds them, and has to find out that they no longer do.
    let network = Network::new(1);
    let host = network.host(SENDER);
    network.set_both_ways(SENDER, RECEIVER, &near());
    let (sender, receiver, _listener) = connected(&network, host.as_ref()).await.unwrap();
    move_chunks(&sender, &receiver, 4).await;
    let (before, arrivals) = network.counts(SENDER, RECEIVER);
    assert!(arrivals.delivered_bytes / before.left > 2000, "long datagrams were found to pass: {arrivals:?}");
    network.set_both_ways(SENDER, RECEIVER, &Trouble { mtu_bytes: Some(1300), ..near() });
    move_chunks(&sender, &receiver, 4).await;
    assert!(network.counts(SENDER, RECEIVER).0.too_long > 0);
}

#[tokio::test(start_paused = true)]
async fn a_nat_that_binds_anew_does_not_break_the_connection() {
    let network = Network::new(1);
    network.set_both_ways(SENDER, RECEIVER, &Trouble { rate_bytes_per_second: Some(1_000_000), ..near() });
    let rebind = Duration::from_secs(2);
    let host = network.host_behind_nat(SENDER, OUTSIDE, vec![rebind]);
    let (sender, receiver, _listener) = connected(&network, host.as_ref()).await.unwrap();
    move_chunks(&sender, &receiver, 4).await;
    assert!(network.now() > rebind, "{:?}", network.now());
    let (_, answers) = network.counts(RECEIVER, SENDER);
    assert!(answers.nobody_there > 0, "answers to the old port were lost: {answers:?}");
}

#[tokio::test(start_paused = true)]
async fn quic_fills_a_rate_and_never_exceeds_it() {
    let rate = 1_000_000;
    let delay = Duration::from_millis(10);
    let ran = through(1, Trouble { rate_bytes_per_second: Some(rate), delay, ..Trouble::default() }, 8).await;
    let goodput = 8.0 * CHUNK as f64 / ran.took.as_secs_f64();
    assert!((0.85..1.0).contains(&(goodput / rate as f64)), "{goodput} bytes a second, {:?}", ran.counts);
}

/// Sends datagrams of 1000 bytes over bare sockets, ten in one call; answers for each arrival its number and its time.
async fn bare(seed: u64, trouble: Trouble, count: u32) -> Vec<(u32, Duration)> {
    let network = Network::new(seed);
    network.set_way(SENDER, RECEIVER, trouble);
    let to = SocketAddr::new(RECEIVER, 7);
    let receiving = network.host(RECEIVER).socket(to).unwrap();
    let sending = network.host(SENDER).socket(SocketAddr::new(SENDER, 0)).unwrap();
    let numbers: Vec<u32> = (0..count).collect();
    for ten in numbers.chunks(10) {
        let contents: Vec<u8> = ten.iter().flat_map(|number| number.to_le_bytes().repeat(250)).collect();
        let transmit =
            Transmit { destination: to, ecn: None, contents: &contents, segment_size: Some(1000), src_ip: None };
        sending.try_send(&transmit).unwrap();
    }
    let mut arrived = Vec::new();
    let mut memory = vec![0; 1500];
    loop {
        let mut meta = [RecvMeta::default()];
        let receive = std::future::poll_fn(|context| {
            receiving.poll_recv(context, &mut [std::io::IoSliceMut::new(&mut memory)], &mut meta)
        });
        if tokio::time::timeout(Duration::from_secs(5), receive).await.is_err() {
            return arrived;
        }
        assert_eq!(meta[0].len, 1000);
        arrived.push((u32::from_le_bytes(memory[..4].try_into().unwrap()), network.now()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_to_the_millisecond() {
    let trouble = Trouble { rate_bytes_per_second: Some(1_000_000), queue_bytes: 10 << 20, ..Trouble::default() };
    let arrived = bare(1, trouble, 2000).await;
    assert_eq!(arrived.len(), 2000);
    for (number, at) in arrived {
        let expected = Duration::from_millis(u64::from(number) + 1);
        assert!(at >= expected && at <= expected + Duration::from_millis(2), "{number} at {at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_deliveries_and_another_gives_others() {
    let trouble =
        || Trouble { lost: 0.1, doubled: 0.1, late: 0.1, flipped_under_checksum: 0.1, queue_bytes: 2 << 20, ..near() };
    let first = bare(1, trouble(), 1000).await;
    assert!((700..1000).contains(&first.len()), "{}", first.len());
    assert_eq!(first, bare(1, trouble(), 1000).await);
    assert_ne!(first, bare(2, trouble(), 1000).await);
}

#[tokio::test(start_paused = true)]
async fn datagrams_of_one_call_have_each_their_own_fate() {
    let arrived = bare(1, Trouble { lost: 0.5, ..Trouble::default() }, 1000).await;
    let calls_hit_in_part = (0..100).filter(|call| {
        let of_call = arrived.iter().filter(|(number, _)| number / 10 == *call).count();
        (1..10).contains(&of_call)
    });
    assert!(calls_hit_in_part.count() > 90);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_had_by_one_socket_at_a_time_and_by_no_other_host() {
    let network = Network::new(1);
    let host: Arc<dyn Packets> = network.host(SENDER);
    let address = SocketAddr::new(SENDER, 9);
    let socket = host.socket(address).unwrap();
    assert_eq!(host.socket(address).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    drop(socket);
    host.socket(address).unwrap();
    let foreign = host.socket(SocketAddr::new(RECEIVER, 9)).unwrap_err();
    assert_eq!(foreign.kind(), std::io::ErrorKind::AddrNotAvailable);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run_of_quic_to_the_last_datagram_and_another_another() {
    // Datagrams as most networks take them: how many quinn takes in at a time goes by the true clock where each takes long.
    let mtu_bytes = Some(1500);
    let trouble =
        || Trouble { lost: 0.02, doubled: 0.02, late: 0.02, flipped_under_checksum: 0.01, mtu_bytes, ..near() };
    let first = through(1, trouble(), 4).await;
    assert!(first.faults.len() > 50 && first.arrivals.checksum_wrong > 0, "{first:?}");
    for _ in 0..3 {
        assert_eq!(first, through(1, trouble(), 4).await);
    }
    assert_ne!(first, through(2, trouble(), 4).await);
}

/// Writes down what the sender is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, words: String) {
        self.0.lock().unwrap().push(words);
    }
}

impl Observer for Told {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        self.note(format!("failed {}: {failure}", String::from_utf8_lossy(path)));
    }

    fn skipped(&self, _path: &[u8], why: &str) {
        self.note(format!("skipped: {why}"));
    }

    fn trusted(&self, path: &[u8]) {
        self.note(format!("trusted {}", String::from_utf8_lossy(path)));
    }

    fn committed(&self, receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {
        for file in &receipt.files {
            self.note(format!("committed {}", String::from_utf8_lossy(&file.path)));
        }
    }

    fn notice(&self, words: &str) {
        self.note(words.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_transfer_runs_over_the_network_by_the_real_clock() {
    let network = Network::new(1);
    let trouble = Trouble { lost: 0.01, doubled: 0.02, late: 0.02, words_exchanged: 0.01, ..Trouble::default() };
    network.set_both_ways(SENDER, RECEIVER, &trouble);
    let environment = |host| Environment { packets: network.host(host), ..Environment::real() };
    let place = tempfile::tempdir().unwrap();
    let (source, target) = (place.path().join("source"), place.path().join("target"));
    let bytes = content(1, (5 << 20) + 7);
    let disk = environment(SENDER).disk;
    // The program's own way to make a file with the directory above it.
    disk.create_private(&source, &bytes).unwrap();

    let waiting = Waiting { first: Duration::from_secs(20), again: Duration::from_secs(10) };
    let any_port = SocketAddr::new(RECEIVER, 0);
    let (ticket, receiving) = halves::receive(environment(RECEIVER), any_port, halves::same_person(), waiting);

    let plan = send::Plan {
        retry_for: Duration::from_secs(20),
        ..send::Plan::new(vec![source], target.as_os_str().as_encoded_bytes().to_vec())
    };
    let told = Arc::new(Told::default());
    let sender_key = Arc::new(KeyPair::generate().unwrap());
    let observer: Arc<dyn Observer> = Arc::clone(&told) as Arc<dyn Observer>;
    let counters = Arc::new(Counters::default());
    let sending =
        send::run(environment(SENDER), plan, Meeting::Ticket(ticket), sender_key, observer, Arc::clone(&counters));
    let ended = tokio::time::timeout(Duration::from_secs(60), sending).await.unwrap();
    assert!(matches!(ended, Ended::Complete), "{ended:?} {told:?}");
    receiving.await.unwrap();
    assert_eq!(*told.0.lock().unwrap(), ["committed target"]);
    #[expect(clippy::disallowed_methods, reason = "what lies on the disk is looked at past the program's own door")]
    let copied = std::fs::read(&target).unwrap();
    assert!(copied == bytes);
    assert_eq!(counters.snapshot().repaired_chunks, 0);
    let (counts, arrivals) = network.counts(SENDER, RECEIVER);
    assert!(counts.lost > 0 && arrivals.delivered_damaged > 0, "{counts:?} {arrivals:?}");
}
