//! Congestion control over the network in memory, by a clock that jumps: how much of a link is used, what queues, what is sent
//! twice, and what is left to others.
//!
//! The figures of one seed are the same in every run. **What they are on real links, this cannot show.**

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "the figures themselves, for whoever asks with --nocapture")]

mod endpoints;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use careful::hash::PieceHash;
use careful::protocol::message::ChunkHeader;
use careful::seams::packet::{Congestion, Controlled};
use careful_faults::network::Network;
use careful_faults::passage::Trouble;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::endpoints::{RECEIVER, SENDER, connected};

/// Small, so that what is under way at the end of a measurement is little.
const CHUNK: usize = 32 << 10;
/// UDP payload of an Ethernet packet.
const DATAGRAM: usize = 1472;

/// A link that all share who send.
#[derive(Clone, Copy, Debug)]
struct Link {
    megabits: u64,
    round_trip: Duration,
    /// What may wait before it, in bandwidth-delay products.
    queue: f64,
    lost: f64,
    /// What may wait before packets are marked, likewise.
    marked_from: Option<f64>,
}

impl Link {
    fn bytes_per_second(&self) -> f64 {
        self.megabits as f64 * 125_000.0
    }

    fn network(&self) -> Network {
        let back = Trouble { delay: self.round_trip / 2, mtu_bytes: Some(DATAGRAM), ..Trouble::default() };
        let product = self.bytes_per_second() * self.round_trip.as_secs_f64();
        let there = Trouble {
            rate_bytes_per_second: Some(self.bytes_per_second() as u64),
            queue_bytes: (product * self.queue) as u64,
            lost: self.lost,
            marked_from_bytes: self.marked_from.map(|from| (product * from) as u64),
            ..back.clone()
        };
        let network = Network::new(1);
        network.set_way(SENDER, RECEIVER, there);
        network.set_way(RECEIVER, SENDER, back);
        network
    }
}

/// What arrived of one flow, in bytes of content.
type Arrived = Arc<AtomicU64>;

/// Moves so many chunks; the bytes that it took on the wire.
async fn flow(network: &Network, congestion: Congestion, chunks: u64, arrived: &Arrived) -> u64 {
    let door = Controlled { inner: network.host(SENDER), congestion };
    let (sender, receiver, _listener) = connected(network, &door).await.unwrap();
    receiver.allow_streams(4, 256);
    let sending = async {
        let body = Bytes::from(vec![7; CHUNK]);
        for index in 0..chunks {
            let header = ChunkHeader { job: 1, index, length_bytes: CHUNK as u32, round: 0, hash: PieceHash([9; 32]) };
            sender.send_chunk(header, body.clone()).await.unwrap();
        }
    };
    let receiving = async {
        let mut tasks = JoinSet::new();
        for _ in 0..chunks {
            let mut chunk = receiver.accept_chunk().await.unwrap();
            let arrived = Arc::clone(arrived);
            tasks.spawn(async move {
                chunk.header().await.unwrap();
                chunk.body_into(&mut vec![0; CHUNK]).await.unwrap();
                arrived.fetch_add(CHUNK as u64, Ordering::Relaxed);
            });
        }
        tasks.join_all().await;
    };
    tokio::join!(sending, receiving);
    sender.sent_bytes()
}

/// What was measured of one sender alone, from its first packet to the last.
#[derive(Clone, Copy, Debug)]
struct Alone {
    /// Content that arrived, as a share of what the link carries.
    share: f64,
    /// Bytes on the wire for each byte of content.
    sent: f64,
    /// Time in the queue, in round trips of the empty link, on average.
    queued: f64,
    /// Packets that found the queue full.
    dropped: u64,
    /// Packets that were marked.
    marked: u64,
}

/// One flow on a link, of as much as that carries in so many seconds.
async fn alone(link: Link, congestion: Congestion, seconds: u64) -> Alone {
    let network = link.network();
    let chunks = link.bytes_per_second() as u64 * seconds / CHUNK as u64;
    let content = (chunks * CHUNK as u64) as f64;
    let sent = flow(&network, congestion, chunks, &Arrived::default()).await;
    let (counts, _) = network.counts(SENDER, RECEIVER);
    Alone {
        share: content / link.bytes_per_second() / network.now().as_secs_f64(),
        sent: sent as f64 / content,
        queued: counts.waited.as_secs_f64() / counts.left as f64 / link.round_trip.as_secs_f64(),
        dropped: counts.overflowed,
        marked: counts.marked,
    }
}

/// Shares of a link of two flows, the second of which comes later.
async fn beside(link: Link, [first, second]: [Congestion; 2], later: Duration, seconds: u64) -> [f64; 2] {
    let network = link.network();
    let arrived = [Arrived::default(), Arrived::default()];
    tokio::select! {
        _ = flow(&network, first, u64::MAX, &arrived[0]) => unreachable!("it sends for ever"),
        () = async {
            sleep(later).await;
            flow(&network, second, u64::MAX, &arrived[1]).await;
        } => unreachable!("it sends for ever"),
        () = sleep(later + Duration::from_secs(seconds)) => {}
    }
    arrived.map(|arrived| {
        arrived.load(Ordering::Relaxed) as f64 / link.bytes_per_second() / (later.as_secs() + seconds) as f64
    })
}

const NEAR: Link =
    Link { megabits: 20, round_trip: Duration::from_millis(20), queue: 1.0, lost: 0.0, marked_from: None };
const FAR: Link = Link { round_trip: Duration::from_millis(100), ..NEAR };

/// Each length of queue, and each share that is lost by chance.
async fn grid(link: Link, queues: [f64; 3]) {
    for queue in queues {
        for lost in [0.0, 0.01, 0.03] {
            let link = Link { queue, lost, ..link };
            let alone = alone(link, Congestion::Careful, 8).await;
            println!("{link:?} {alone:.3?}");
            assert!(alone.share > 0.80, "{link:?} {alone:?}");
            assert!(alone.sent < 1.10 + lost, "{link:?} {alone:?}");
            assert!(alone.queued < 0.5, "{link:?} {alone:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_link_is_used_and_its_queue_kept_short() {
    grid(NEAR, [0.5, 1.0, 4.0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_link_is_used_and_its_queue_kept_short() {
    grid(FAR, [0.25, 1.0, 4.0]).await;
}

#[tokio::test(start_paused = true)]
async fn where_one_in_a_hundred_is_lost_by_chance_it_sends_many_times_what_cubic_does() {
    let link = Link { lost: 0.01, ..FAR };
    let (careful, cubic) = (alone(link, Congestion::Careful, 8).await, alone(link, Congestion::Cubic, 2).await);
    assert!(careful.share > 4.0 * cubic.share, "{careful:?} {cubic:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_deep_queue_it_waits_a_fraction_of_what_cubic_does() {
    let link = Link { queue: 4.0, ..NEAR };
    let (careful, cubic) = (alone(link, Congestion::Careful, 8).await, alone(link, Congestion::Cubic, 8).await);
    assert!(careful.queued * 4.0 < cubic.queued, "{careful:?} {cubic:?}");
}

#[tokio::test(start_paused = true)]
async fn a_router_that_marks_is_answered_before_its_queue_is_full() {
    for link in [NEAR, FAR] {
        let silent = alone(Link { queue: 4.0, ..link }, Congestion::Careful, 8).await;
        for marked_from in [0.25, 0.5, 1.0] {
            let link = Link { queue: 4.0, marked_from: Some(marked_from), ..link };
            let alone = alone(link, Congestion::Careful, 8).await;
            println!("{link:?} {alone:.3?}");
            assert!(alone.marked > 0 && alone.dropped == 0, "{link:?} {alone:?}");
            assert!(alone.queued < silent.queued && alone.share > 0.85, "{link:?} {alone:?} {silent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beside_cubic_each_gets_a_fair_share() {
    let link = Link { round_trip: Duration::from_millis(40), ..NEAR };
    for pair in [[Congestion::Careful, Congestion::Cubic], [Congestion::Cubic, Congestion::Careful]] {
        let shares = beside(link, pair, Duration::from_secs(3), 40).await;
        println!("{pair:?} {shares:.3?}");
        assert!(shares.iter().all(|share| (0.30..0.70).contains(share)), "{pair:?} {shares:?}");
        assert!(shares.iter().sum::<f64>() > 0.85, "{shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_its_kind_share_a_link_fairly() {
    let link = Link { round_trip: Duration::from_millis(40), ..NEAR };
    let shares = beside(link, [Congestion::Careful; 2], Duration::from_secs(3), 30).await;
    println!("{shares:.3?}");
    assert!(shares.iter().all(|share| (0.30..0.70).contains(share)), "{shares:?}");
    assert!(shares.iter().sum::<f64>() > 0.85, "{shares:?}");
}
