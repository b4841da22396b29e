//! The link between two hosts: a transfer of the unmodified programs over it meets the rate, the delay and the losses that
//! were asked for.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so loudly")]

mod programs;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use careful_faults::passage::{Passage, Trouble};
use programs::{Place, program};

/// The receiver on the right, the sender on the left.
const TRANSFER: &str = r#"
mkfifo "$PLACE/ticket"
ip netns exec "$RIGHT" "$RECEIVER" --listen "$RIGHT_ADDRESS:0" "$PLACE/target" > "$PLACE/ticket" &
exec 3< "$PLACE/ticket"
read -r ticket <&3
ip netns exec "$LEFT" "$SENDER" --quiet "$PLACE/source" "$ticket" && wait $!
"#;

const BYTES: usize = 1 << 20;

/// Runs the transfer over such a link; nothing, said loudly, where there can be none.
fn transfer(place: &Place, arguments: &[&str]) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a link needs root");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_careful-faults"));
    command.arg("link").args(arguments).args(["--", "sh", "-ec", TRANSFER]);
    command.env("PLACE", place.path("")).env("XDG_STATE_HOME", place.path("state-of-sender"));
    command.env("SENDER", program("careful-send")).env("RECEIVER", program("careful-recv"));
    Some(command.output().expect("a program that can be run"))
}

/// Packets that entered to the right, and those of them that were lost.
#[track_caller]
fn to_the_right(output: &Output) -> (u64, u64) {
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find(|line| line.starts_with("to the right: ")).unwrap_or_else(|| panic!("{told}"));
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[3])
}

#[test]
fn a_copy_over_a_lossy_link_is_right_and_every_loss_is_that_of_the_seed() {
    let place = Place::new();
    place.source("file", BYTES, 1);
    let Some(output) = transfer(&place, &["--lost", "0.05", "--seed", "7", "--delay", "1ms"]) else { return };
    assert!(output.status.success(), "{output:?}");
    assert_eq!((place.compare().right, place.compare().unknown), (1, 0));
    let (entered, lost) = to_the_right(&output);
    let mut model = Passage::new(7, "to-right", Trouble { lost: 0.05, ..Trouble::default() });
    (0..entered).for_each(|_| model.enter(Duration::ZERO, Vec::new(), ()));
    assert!(lost > 0, "{output:?}");
    assert_eq!(lost, model.counts().lost);
}

#[test]
fn no_copy_is_faster_than_rate_and_delay_of_its_link() {
    let place = Place::new();
    place.source("file", BYTES, 1);
    let started = Instant::now();
    let Some(output) = transfer(&place, &["--rate", "16mbit", "--delay", "30ms"]) else { return };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.compare().right, 1);
    // The content by the rate, and the round trip that greets.
    let least = Duration::from_secs_f64(BYTES as f64 * 8.0 / 16e6) + 2 * Duration::from_millis(30);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
}

#[test]
fn a_command_that_fails_fails_the_link_and_leaves_no_host() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a link needs root");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_careful-faults"));
    let output = command.args(["link", "--", "sh", "-c", "echo $LEFT; exit 3"]).output().expect("a program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let name = String::from_utf8(output.stdout).expect("UTF-8");
    let hosts = Command::new("ip").args(["netns", "list"]).output().expect("ip");
    let hosts = String::from_utf8(hosts.stdout).expect("UTF-8");
    assert!(name.starts_with("careful-link-") && !hosts.contains(name.trim_end()), "{name} in {hosts}");
}
