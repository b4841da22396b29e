//! `careful-faults link`: a command that has two hosts with a bad link between them.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use clap::Args;

use super::{Done, tell};
use crate::link::{ADDRESSES, Link, Options};
use crate::passage::{Counts, Trouble};

/// Bytes that the queue of a link holds at least: some packets, however slow and near it is.
const QUEUE_BYTES_MIN: u64 = 16 << 10;

/// What `link` takes.
#[derive(Debug, Args)]
pub(super) struct LinkArguments {
    /// Rate in either direction: bits a second, with kbit, mbit or gbit behind them; without it there is no limit
    #[arg(long, value_parser = rate)]
    rate: Option<u64>,
    /// Time from one host to the other, as in 20ms; a round trip takes twice as long
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// Bytes that wait for their turn under the rate; what comes then is dropped [default: what one round trip carries]
    #[arg(long, value_name = "BYTES")]
    queue: Option<u64>,
    /// Part of the packets that is lost by chance, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    lost: f64,
    /// What the fate of every packet is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bytes of the longest packet
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..))]
    mtu: u16,
    /// What to run; `ip netns exec "$LEFT"` and `ip netns exec "$RIGHT"` run something on either host
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Makes the link, runs the command, and tells what became of the packets.
pub(super) fn link(arguments: &LinkArguments) -> Done {
    let rate = arguments.rate.map(|bits| (bits / 8).max(1));
    let round_trip_bytes = rate.map(|rate| (2.0 * arguments.delay.as_secs_f64() * rate as f64) as u64);
    let queue_bytes = arguments.queue.unwrap_or(round_trip_bytes.unwrap_or_default().max(QUEUE_BYTES_MIN));
    let trouble = Trouble {
        rate_bytes_per_second: rate,
        queue_bytes,
        delay: arguments.delay,
        lost: arguments.lost,
        ..Trouble::default()
    };
    let options = Options { seed: arguments.seed, trouble, mtu_bytes: arguments.mtu };
    let link = Link::start(&options).map_err(|error| format!("make a link (as root): {error}"))?;
    let [left, right] = link.names();
    let (program, words) = arguments.command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(words).env("LEFT", left).env("RIGHT", right);
    command.env("LEFT_ADDRESS", ADDRESSES[0]).env("RIGHT_ADDRESS", ADDRESSES[1]);
    let status = command.status().map_err(|error| format!("run {}: {error}", program.display()))?;
    let [to_right, to_left] = link.counts();
    tell(&format!("to the right: {}\nto the left: {}\n", words_of(&to_right), words_of(&to_left)));
    Ok(status.success())
}

fn words_of(counts: &Counts) -> String {
    let Counts { entered, entered_bytes, left, lost, overflowed, waited, .. } = counts;
    let waited = waited.as_secs_f64() * 1000.0 / (*left).max(1) as f64;
    format!(
        "{entered} packets, {entered_bytes} bytes, {left} arrived, {lost} lost, {overflowed} found the queue full, {waited:.1} ms \
         waited in it on average"
    )
}

/// Bits a second, as in `500mbit`.
fn rate(text: &str) -> Result<u64, String> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let times = match unit {
        "" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err("a rate is a number with kbit, mbit or gbit behind it".to_owned()),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(times)).filter(|&bits| bits > 0);
    number.ok_or_else(|| "a rate is a whole number above 0, as in 500mbit".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1, as in 0.01".to_owned())
}
