//! `careful-faults relay` and `careful-faults gateway`: bad company between two unmodified programs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use careful::connect::ticket::Ticket;
use careful::seams::os_disk::OsDisk;
use careful::seams::packet::UdpPackets;
use careful::wire::identity::load_or_create;
use clap::Args;

use super::{Done, say, tell};
use crate::gateway;
use crate::gateway::tamper::{BYTES_PER_SWAP_AT_MIT, ByteSwaps};
use crate::halves;
use crate::passage::Trouble;
use crate::relay;

/// What `relay` takes.
#[derive(Debug, Args)]
pub(super) struct RelayArguments {
    /// The receiver's ticket, as `careful-recv --listen` prints it
    ticket: Ticket,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// What the fate of every datagram is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Part of the datagrams that is lost, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    lost: f64,
    /// Part that comes twice
    #[arg(long, default_value_t = 0.0)]
    doubled: f64,
    /// Part that comes late
    #[arg(long, default_value_t = 0.0)]
    late: f64,
    /// Part in which a bit is flipped, with a checksum that fits: UDP is blind to it
    #[arg(long, default_value_t = 0.0)]
    flipped: f64,
    /// Part in which two words of 16 bits change places: the checksum of UDP stays right by itself
    #[arg(long, default_value_t = 0.0)]
    words_exchanged: f64,
    /// Part in which a bit is flipped under the old checksum: the kernel throws it away (needs root)
    #[arg(long, default_value_t = 0.0)]
    flipped_under_checksum: f64,
    /// Time that every datagram takes longer, in milliseconds
    #[arg(long, default_value_t = 0)]
    delay: u64,
}

/// What `gateway` takes.
#[derive(Debug, Args)]
pub(super) struct GatewayArguments {
    /// The receiver's ticket, as `careful-recv --listen` prints it
    ticket: Ticket,
    /// The sender's identity, which the gateway is trusted with: `~/.local/state/careful/identity` of who sends
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// What the places of the swaps are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One pair of bytes is swapped in so many bytes on average
    #[arg(long, default_value_t = BYTES_PER_SWAP_AT_MIT, value_name = "BYTES")]
    swap_every: u64,
    /// Also announce hashes that fit what was swapped
    #[arg(long)]
    rehash: bool,
}

pub(super) fn relay(arguments: RelayArguments) -> Done {
    let Some(&target) = arguments.ticket.addresses.first() else { return Err("the ticket has no address".to_owned()) };
    let trouble = Trouble {
        lost: arguments.lost,
        doubled: arguments.doubled,
        late: arguments.late,
        flipped_with_fresh_checksum: arguments.flipped,
        words_exchanged: arguments.words_exchanged,
        flipped_under_checksum: arguments.flipped_under_checksum,
        delay: Duration::from_millis(arguments.delay),
        ..Trouble::default()
    };
    let options = relay::Options {
        listen: arguments.listen,
        target,
        seed: arguments.seed,
        to_target: trouble.clone(),
        to_client: trouble,
    };
    let announce = |ticket: String| say(&format!("{ticket}\n"));
    let running =
        relay::run(options, Some(arguments.ticket), announce, |fault| tell(&format!("{fault}\n")), interrupted());
    let report = runtime()?.block_on(running).map_err(|error| error.to_string())?;
    tell(&format!("to the receiver: {:?}\nto the sender: {:?}\n", report.to_target, report.to_client));
    Ok(true)
}

pub(super) fn gateway(arguments: GatewayArguments) -> Done {
    let identity = load_or_create(&OsDisk, &arguments.identity).map_err(|error| error.to_string())?;
    let swaps =
        ByteSwaps { seed: arguments.seed, every_bytes: arguments.swap_every.max(1), rehashes: arguments.rehash };
    let options =
        gateway::Options { listen: arguments.listen, upstream: arguments.ticket, identity, tamper: Arc::new(swaps) };
    let announce = |ticket: &Ticket| say(&format!("{ticket}\n"));
    let running = gateway::run(Arc::new(UdpPackets), options, announce, interrupted());
    let passed = runtime()?.block_on(running).map_err(|error| error.to_string())?;
    tell(&format!(
        "{} pieces passed, {} bytes; {} damaged by {} swaps, {} hashes made to fit\n",
        passed.pieces, passed.content_bytes, passed.pieces_damaged, passed.swaps, passed.hashes_replaced
    ));
    Ok(true)
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    halves::runtime().map_err(|error| format!("start: {error}"))
}

/// Until Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
