//! A bad way between the unmodified programs: QUIC mends it, and nothing above it notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod programs;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use careful::connect::ticket::Ticket;
use careful::wire::identity::PublicKey;
use careful_faults::passage::Trouble;
use careful_faults::relay::{Options, Relay, Report, run, ticket_through};
use programs::{Compared, Place, Sent};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn options(target: SocketAddr, trouble: Trouble) -> Options {
    Options { listen: ANY_PORT, target, seed: 1, to_target: trouble.clone(), to_client: trouble }
}

/// Sends a large file and small ones over a way with this trouble, to the receiver's program.
/// Enough for a thousand datagrams, as large as they are on loopback.
const LARGE_BYTES: usize = (20 << 20) + 7;

async fn through(trouble: Trouble) -> (Sent, Compared, Report) {
    let place = Place::new();
    place.source("large", LARGE_BYTES, 1);
    for number in 0..20 {
        place.source(&format!("small/{number}"), 20_000, number);
    }
    let receiving = place.receive();
    let relay = Relay::start(options(receiving.ticket.addresses[0], trouble)).expect("a relay");
    let sent = place.send(&ticket_through(&receiving.ticket, relay.address()), &[]).await;
    assert_eq!(receiving.finish().await, 0, "{sent:?}");
    (sent, place.compare(), relay.report())
}

fn assert_unnoticed(sent: &Sent, compared: Compared) {
    assert_eq!((sent.code, compared), (0, Compared { right: 21, ..Compared::default() }), "{sent:?}");
    assert_eq!(sent.count("repaired_chunks"), 0, "{sent:?}");
    assert_eq!(sent.count("sent_bytes"), LARGE_BYTES as u64 + 20 * 20_000, "{sent:?}");
}

#[tokio::test]
async fn a_relay_without_trouble_changes_nothing() {
    let (sent, compared, report) = through(Trouble::default()).await;
    assert_unnoticed(&sent, compared);
    assert!(report.faults.is_empty() && report.to_target.left > 1000, "{:?}", report.to_target);
}

#[tokio::test]
async fn loss_doubles_lateness_and_flips_that_udp_cannot_see_change_nothing() {
    let trouble = Trouble {
        lost: 0.01,
        doubled: 0.02,
        late: 0.02,
        flipped_with_fresh_checksum: 0.01,
        words_exchanged: 0.01,
        delay: Duration::from_millis(2),
        blackouts: vec![Duration::from_millis(300)..Duration::from_millis(800)],
        ..Trouble::default()
    };
    let (sent, compared, report) = through(trouble).await;
    assert_unnoticed(&sent, compared);
    let counts = report.to_target;
    let all = [counts.lost, counts.doubled, counts.late, counts.flipped_with_fresh_checksum, counts.words_exchanged];
    assert!(all.iter().all(|&count| count > 0), "{counts:?}");
    assert!(report.faults.len() as u64 >= all.iter().sum::<u64>());
}

#[tokio::test]
async fn what_is_flipped_under_its_checksum_the_kernel_throws_away() {
    let trouble = Trouble { flipped_under_checksum: 0.5, ..Trouble::default() };
    let target = UdpSocket::bind(ANY_PORT).await.unwrap();
    let relay = match Relay::start(options(target.local_addr().unwrap(), trouble.clone())) {
        Ok(relay) => relay,
        // Without the right to raw sockets it says so, and does not pretend.
        Err(error) => return assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    };
    let before = checksum_errors();
    let client = UdpSocket::bind(ANY_PORT).await.unwrap();
    let (mut arrived, mut memory) = (0, [0; 2000]);
    for number in 0..100_u8 {
        client.send_to(&[number; 1000], relay.address()).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_all = |arrived| {
        let counts = relay.report().to_target;
        counts.left == 100 && arrived >= 100 - counts.flipped_under_checksum
    };
    while !is_all(arrived) && Instant::now() < deadline {
        // The last ones may all be thrown away: then there is nothing to receive, and all has been.
        let Ok(received) = tokio::time::timeout(Duration::from_millis(20), target.recv_from(&mut memory)).await else {
            continue;
        };
        let (length, _) = received.unwrap();
        assert!(length == 1000 && memory[1..length].iter().all(|&byte| byte == memory[0]), "damage got through");
        arrived += 1;
    }
    assert_eq!(target.try_recv_from(&mut memory).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let counts = relay.report().to_target;
    assert_eq!(counts.entered, 100);
    assert!(counts.flipped_under_checksum > 20, "{counts:?}");
    assert_eq!(arrived, 100 - counts.flipped_under_checksum);
    let noticed = checksum_errors() - before;
    assert!(noticed >= counts.flipped_under_checksum, "the kernel counted {noticed}: {counts:?}");

    let (sent, compared, report) = through(Trouble { flipped_under_checksum: 0.01, ..trouble }).await;
    assert_unnoticed(&sent, compared);
    assert!(report.to_target.flipped_under_checksum > 0);
}

#[tokio::test]
async fn a_relay_that_is_run_announces_a_ticket_through_itself_and_tells_every_fault() {
    let target = UdpSocket::bind(ANY_PORT).await.unwrap();
    let addresses = vec![target.local_addr().unwrap()];
    let ticket = Ticket { receiver: PublicKey([3; 32]), token: [4; 16], expires_seconds: None, addresses };
    let (end, ended) = oneshot::channel();
    let (announce, announced) = oneshot::channel();
    let mut told = Vec::new();
    let running = run(
        options(ticket.addresses[0], Trouble { doubled: 1.0, ..Trouble::default() }),
        Some(ticket.clone()),
        |line| announce.send(line).unwrap(),
        |fault| told.push(fault.to_string()),
        async { ended.await.unwrap() },
    );
    let using = async {
        let through: Ticket = announced.await.unwrap().parse().unwrap();
        assert_eq!(through, ticket_through(&ticket, through.addresses[0]));
        let client = UdpSocket::bind(ANY_PORT).await.unwrap();
        client.send_to(b"there", through.addresses[0]).await.unwrap();
        let mut memory = [0; 9];
        for _ in 0..2 {
            let (length, relay) = target.recv_from(&mut memory).await.unwrap();
            assert_eq!(&memory[..length], b"there");
            target.send_to(b"back", relay).await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(client.recv_from(&mut memory).await.unwrap(), (4, through.addresses[0]));
        }
        end.send(()).unwrap();
    };
    let (report, ()) =
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(running, using) }).await.unwrap();
    assert_eq!(report.unwrap().to_client.left, 4);
    assert_eq!(told, ["to-target #1 doubled", "to-client #1 doubled", "to-client #2 doubled"]);
}

/// Datagrams that this kernel dropped for their checksum so far (proc_net_snmp: InCsumErrors).
fn checksum_errors() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a number of the kernel, no file of a transfer")]
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let mut columns = names.split_whitespace().zip(numbers.split_whitespace());
    columns.find(|(name, _)| *name == "InCsumErrors").unwrap().1.parse().unwrap()
}
