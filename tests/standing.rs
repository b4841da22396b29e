//! A standing receiver: many senders at once, each known by its key and kept beneath its directory; its list of keys, its
//! signals, and what it tells systemd.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use careful::protocol::message::{Begin, FromReceiver, FromSender};
use careful::seams::os_disk::OsDisk;
use careful::seams::packet::UdpPackets;
use careful::wire::WireError;
use careful::wire::endpoint::{CloseReason, connect};
use careful::wire::identity::{KeyPair, PublicKey, load_or_create};
use rustix::process::Signal;
use support::{CHUNK, HeldStaging, Place, Ran, Running, run, set_mode, start, tree, wait_for};

/// A receiver that stands, with its place: the list `keys`, and below `in` the directories.
struct Standing {
    place: Place,
    running: Running,
    address: String,
    key: String,
    notified: UnixDatagram,
}

/// A sender with a key of its own, and its place.
struct Sender {
    place: Place,
    key: String,
}

impl Sender {
    fn new() -> Self {
        let place = Place::new();
        let key = load_or_create(&OsDisk, &place.state().join("careful/identity")).expect("a key");
        Self { key: key.public().to_string(), place }
    }

    /// With a tree to send.
    fn with_tree(seed: u64) -> Self {
        let sender = Self::new();
        sender.place.write("src/small", format!("small of {seed}").as_bytes());
        sender.place.write("src/a/b", b"b");
        sender.place.random("src/large", 2 * CHUNK + 1, seed);
        sender
    }

    /// Starts to send the tree to the path at the receiver.
    fn start(&self, standing: &Standing, path: &str) -> Running {
        self.start_with(standing, &["src/"], path)
    }

    fn start_with(&self, standing: &Standing, words: &[&str], path: &str) -> Running {
        let to = format!("careful://{}/{path}", standing.address);
        start(self.place.sender(words).args(["--json", "--peer-key", &standing.key, &to]))
    }

    fn send(&self, standing: &Standing, path: &str) -> Ran {
        self.start(standing, path).finish()
    }
}

/// The line of a list that admits a sender into its directory below `in`.
fn line(place: &Place, sender: &Sender, name: &str, options: &str) -> String {
    let directory = place.path("in").join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    set_mode(&directory, 0o755);
    format!("{} dir={} {options}\n", sender.key, directory.display())
}

/// `careful-recv --stay` in this place, which has its list.
fn command(place: &Place, words: &[&str], socket: &Path) -> std::process::Command {
    let mut command = place.receiver(&[&["--listen", "127.0.0.1:0", "--stay", "--allow", "keys"], words].concat());
    command.env("NOTIFY_SOCKET", socket);
    command
}

impl Standing {
    fn start(place: Place, list: &str, words: &[&str]) -> Self {
        write_list(&place, list);
        let socket = place.state().join("notify");
        std::fs::remove_file(&socket).ok();
        let notified = UnixDatagram::bind(&socket).expect("a socket");
        notified.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut running = start(&mut command(&place, words, &socket));
        let line = running.first_line();
        let (address, key) = line.split_once(' ').expect("address and key");
        let standing = Self { address: address.to_owned(), key: key.to_owned(), place, running, notified };
        standing.wait_for_notice("READY=1");
        standing
    }

    /// One sender, admitted into `in/one`.
    fn for_one(sender: &Sender, options: &str, words: &[&str]) -> Self {
        let place = Place::new();
        let list = line(&place, sender, "one", options);
        Self::start(place, &list, words)
    }

    /// Waits until the receiver tells systemd so, and answers all of what it told with it.
    fn wait_for_notice(&self, word: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.notified.recv(&mut bytes).unwrap_or_else(|error| panic!("no {word}: {error}"));
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    }

    /// Replaces the list and has it read.
    fn reload(&mut self, list: &str) {
        write_list(&self.place, list);
        self.running.signal(Signal::HUP);
        self.wait_for_notice("RELOADING=1");
        self.wait_for_notice("READY=1");
    }

    fn received(&self, name: &str) -> std::collections::BTreeMap<PathBuf, support::Item> {
        tree(&self.place.path("in").join(name))
    }

    fn end(mut self) -> (Place, Ran) {
        self.running.signal(Signal::TERM);
        (self.place, self.running.finish())
    }
}

fn write_list(place: &Place, list: &str) {
    place.write("keys", list.as_bytes());
    set_mode(&place.path("keys"), 0o644);
}

/// Starts a sender and stops it in the middle: it has offered `large`, and the receiver waits for its chunks.
fn stopped(sender: &Sender, standing: &Standing, name: &str) -> Running {
    let held = HeldStaging::new(&standing.place.path("in").join(name), "large");
    let mut running = sender.start(standing, "");
    held.wait_until_wanted_by(standing.running.pid());
    running.signal(Signal::STOP);
    held.release();
    running
}

/// Lets a stopped sender go on to its end.
fn go_on(mut running: Running) -> Ran {
    running.signal(Signal::CONT);
    running.finish()
}

/// Most memory that the process ever had, in MiB.
fn peak_memory_mib(process: rustix::process::Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") >> 10
}

#[test]
fn both_programs_print_the_same_key_which_is_made_on_first_use_and_stays() {
    let place = Place::new();
    let first = run(&mut place.sender(&["key"])).exits(0).stdout;
    assert_eq!(run(&mut place.receiver(&["key"])).exits(0).stdout, first);
    first.trim_end().parse::<PublicKey>().expect("a key");
    let mode = place.state().join("careful/identity").metadata().expect("a file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    let event = run(place.sender(&["key"]).arg("--json")).exits(0).events().remove(0);
    assert_eq!((&event["event"], event["key"].as_str()), (&"key".into(), Some(first.trim_end())));
}

#[test]
fn sixty_four_senders_at_once_are_served_whatever_others_do() {
    const SENDERS: usize = 64;
    let senders: Vec<Sender> = (0..SENDERS as u64).map(Sender::with_tree).collect();
    let (stalled, killed, stranger) = (Sender::with_tree(100), Sender::with_tree(101), Sender::with_tree(102));
    let place = Place::new();
    let mut list = line(&place, &stalled, "stalled", "") + &line(&place, &killed, "killed", "");
    for (number, sender) in senders.iter().enumerate() {
        list += &line(&place, sender, &number.to_string(), "");
    }
    let standing = Standing::start(place, &list, &[]);
    let stopped_sender = stopped(&stalled, &standing, "stalled");
    let mut dying = stopped(&killed, &standing, "killed");
    let running: Vec<Running> = senders.iter().map(|sender| sender.start(&standing, "")).collect();
    let refused = stranger.start(&standing, "");
    dying.signal(Signal::KILL);
    dying.finish().exits(-9);
    let ran = refused.finish().exits(5);
    assert!(ran.stderr.contains("key") && ran.stderr.contains("careful-send key"), "{ran:?}");
    for (number, running) in running.into_iter().enumerate() {
        running.finish().exits(0);
        assert_eq!(standing.received(&number.to_string()), tree(&senders[number].place.path("src")), "{number}");
    }
    killed.send(&standing, "").exits(0);
    assert_eq!(standing.received("killed"), tree(&killed.place.path("src")));
    go_on(stopped_sender).exits(0);
    assert_eq!(standing.received("stalled"), tree(&stalled.place.path("src")));
    let peak = peak_memory_mib(standing.running.pid());
    support::say(&format!("the receiver's memory was {peak} MiB at most"));
    assert!(peak < 1024, "the receiver took {peak} MiB");
    let (place, ran) = standing.end();
    ran.exits(0);
    assert_eq!(std::fs::read_dir(place.path("in")).expect("a directory").count(), SENDERS + 2);
}

#[test]
fn a_path_is_taken_by_the_rules_of_every_destination_beneath_the_directory_of_the_key() {
    let sender = Sender::with_tree(1);
    let standing = Standing::for_one(&sender, "", &[]);
    sender.start_with(&standing, &["src"], "").finish().exits(0);
    sender.start_with(&standing, &["src/"], "new").finish().exits(0);
    sender.start_with(&standing, &["src/small"], "new/name").finish().exits(0);
    let ran = sender.start_with(&standing, &["src/small", "--receipts", "receipts"], "new/a/").finish().exits(0);
    assert_eq!(ran.receipted(), ["small"]);
    sender.start_with(&standing, &["src/"], "missing/new").finish().exits(11);
    sender.start_with(&standing, &["src/"], "new/name").finish().exits(11);
    let received = standing.received("one");
    for path in ["src/large", "new/large", "new/name", "new/a/small", "new/a/b"] {
        assert!(received.contains_key(Path::new(path)), "{path}");
    }
    assert!(!received.contains_key(Path::new("missing")));
    let receipts = String::from_utf8(sender.place.read("receipts")).expect("UTF-8");
    let (receipt, _) = careful::cli::receipt_line::from_line(receipts.trim_end()).expect("a receipt");
    assert_eq!(receipt.directory, b"new/a");
    standing.end().1.exits(0);
}

#[test]
fn no_path_leads_out_of_the_directory_of_the_key() {
    let sender = Sender::with_tree(1);
    let standing = Standing::for_one(&sender, "replace", &[]);
    standing.place.directory("outside");
    symlink("../../outside", standing.place.path("in/one/link")).expect("a link");
    symlink(standing.place.path("outside"), standing.place.path("in/one/absolute")).expect("a link");
    let secret = careful::protocol::entry::Name::new(b"x").expect("a name").staging();
    let before = tree(&standing.place.path("in"));
    let long = "a".repeat(256);
    let deep = "a/".repeat(129);
    for path in [
        "..",
        "../..",
        "../other",
        "a/../../outside",
        "/etc",
        "//",
        ".",
        "./a",
        "a/.",
        "a/..",
        "link",
        "link/",
        "link/a",
        "absolute",
        "absolute/x",
        &long,
        &deep,
        secret.to_str().expect("text"),
    ] {
        let ran = sender.start_with(&standing, &["src/"], path).finish();
        assert!([11, 23].contains(&ran.code), "{path}: {ran:?}");
    }
    let ran = sender.start_with(&standing, &["src/small"], "link").finish();
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(tree(&standing.place.path("in")), before);
    assert!(tree(&standing.place.path("outside")).is_empty());
    standing.end().1.exits(0);
}

#[test]
fn a_link_put_in_the_place_of_the_directory_later_leads_nowhere() {
    let sender = Sender::with_tree(1);
    let standing = Standing::for_one(&sender, "", &[]);
    standing.place.directory("outside");
    std::fs::rename(standing.place.path("in/one"), standing.place.path("in/moved")).expect("a rename");
    symlink("../outside", standing.place.path("in/one")).expect("a link");
    sender.send(&standing, "").exits(0);
    assert!(tree(&standing.place.path("outside")).is_empty());
    assert_eq!(standing.received("moved"), tree(&sender.place.path("src")));
    standing.end().1.exits(0);
}

#[test]
fn what_exists_and_differs_is_replaced_only_with_leave_on_the_line() {
    let sender = Sender::with_tree(1);
    let mut standing = Standing::for_one(&sender, "", &[]);
    standing.place.write("in/one/small", b"other");
    let ran = sender.start_with(&standing, &["src/small"], "").finish().exits(25);
    assert_eq!(ran.failed(), [("src/small".to_owned(), 25)]);
    assert_eq!(standing.place.read("in/one/small"), b"other");
    let list = line(&standing.place, &sender, "one", "replace");
    standing.reload(&list);
    sender.send(&standing, "").exits(0);
    assert_eq!(standing.received("one"), tree(&sender.place.path("src")));
    standing.end().1.exits(0);
}

#[test]
fn nothing_is_removed_and_no_link_made_without_leave_on_the_line() {
    let sender = Sender::with_tree(1);
    symlink("small", sender.place.path("src/link")).expect("a link");
    let mut standing = Standing::for_one(&sender, "", &[]);
    standing.place.write("in/one/extra", b"extra");
    let before = standing.received("one");
    let ran = sender.start_with(&standing, &["--delete", "src/"], "").finish();
    assert!(ran.code != 0 && standing.received("one") == before, "{ran:?}");
    sender.start_with(&standing, &["--links", "src/"], "").finish().exits(23);
    assert!(!standing.place.has("in/one/link") && standing.place.has("in/one/extra"));
    let list = line(&standing.place, &sender, "one", "delete accept=links");
    standing.reload(&list);
    sender.start_with(&standing, &["--links", "--delete", "src/"], "").finish().exits(0);
    assert!(standing.place.has("in/one/link") && !standing.place.has("in/one/extra"));
    standing.end().1.exits(0);
}

#[test]
fn one_transfer_stores_no_more_than_its_line_lets_it() {
    let sender = Sender::new();
    for number in 0..4 {
        sender.place.random(format!("src/large {number}"), 2 * CHUNK, number);
    }
    for number in 0..100 {
        sender.place.random(format!("src/small {number:2}"), 60_000, 10 + number);
    }
    let standing = Standing::for_one(&sender, "max-bytes=5MiB", &[]);
    let ran = sender.send(&standing, "");
    assert!([11, 23].contains(&ran.code), "{ran:?}");
    assert!(ran.failed().iter().all(|(_, code)| *code == 11) && !ran.failed().is_empty(), "{ran:?}");
    assert!(ran.stderr.contains("max-bytes"), "{ran:?}");
    let stored: u64 = ran.events_of("receipt").iter().filter_map(|event| event["length"].as_u64()).sum();
    let on_disk: u64 = standing
        .received("one")
        .keys()
        .map(|path| standing.place.path("in/one").join(path).metadata().expect("metadata").len())
        .sum();
    assert!(stored > 0 && stored == on_disk && on_disk <= 5 << 20, "{stored} {on_disk}");
    // The next transfer has an account of its own.
    sender.start_with(&standing, &["src/large 0", "src/large 1"], "again/").finish().exits(0);
    standing.end().1.exits(0);
}

#[test]
fn a_sender_that_was_killed_finishes_at_once_with_the_same_command() {
    let sender = Sender::with_tree(1);
    let standing = Standing::for_one(&sender, "", &[]);
    let mut dying = stopped(&sender, &standing, "one");
    dying.signal(Signal::KILL);
    dying.finish().exits(-9);
    let ran = sender.send(&standing, "").exits(0);
    assert!(ran.summary()["seconds"].as_f64().is_some_and(|seconds| seconds < 25.0), "{ran:?}");
    assert_eq!(standing.received("one"), tree(&sender.place.path("src")));
    standing.end().1.exits(0);
}

#[test]
fn two_transfers_of_one_key_run_side_by_side_and_the_same_one_takes_its_own_place() {
    let sender = Sender::with_tree(1);
    let standing = Standing::for_one(&sender, "", &[]);
    let key = load_or_create(&OsDisk, &sender.place.state().join("careful/identity")).expect("a key");
    let receiver = standing.key.parse::<PublicKey>().expect("a key");
    let address = [standing.address.parse().expect("an address")];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let come = async |transfer: u8, destination: &[u8]| {
            let connection = connect(&UdpPackets, &address, &key, &receiver).await.expect("a connection");
            let (mut outgoing, mut incoming) = connection.open_job().await.expect("a stream");
            outgoing.send(&FromSender::Hello { minor: 0, proof: [0; 32] }).await.expect("sent");
            let Ok(Some(FromReceiver::Welcome { .. })) = incoming.receive().await else { panic!("not welcome") };
            let begin = Begin { destination: destination.to_vec(), ..Begin::new([transfer; 16]) };
            outgoing.send(&FromSender::Begin(begin)).await.expect("sent");
            loop {
                match incoming.receive().await.expect("an answer") {
                    Some(FromReceiver::Ready(_)) => return (connection, outgoing, incoming),
                    Some(FromReceiver::Working) => {}
                    other => panic!("not ready: {other:?}"),
                }
            }
        };
        let first = come(1, b"").await;
        let beside = come(2, b"").await;
        assert!(!first.0.is_closed());
        let again = come(1, b"").await;
        assert!(
            matches!(first.0.closed().await, WireError::ClosedByPeer { reason: CloseReason::Replaced }),
            "the old connection is closed"
        );
        assert!(!beside.0.is_closed() && !again.0.is_closed());
    });
    standing.end().1.exits(0);
}

/// The list of keys.
mod list {
    use super::*;

    fn refused(place: &Place, code: i32) -> Ran {
        let ran = run(&mut command(place, &[], Path::new("/nonexistent"))).exits(code);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("keys"), "{ran:?}");
        ran
    }

    #[test]
    fn a_list_that_cannot_be_used_is_refused_at_the_start_with_its_line() {
        let sender = Sender::new();
        let place = Place::new();
        let good = line(&place, &sender, "one", "");
        for bad in ["nonsense", &good, "careful-key1aaaa dir=/tmp", &format!("{} dir=relative", sender.key)] {
            write_list(&place, &format!("# senders\n{good}\n{bad}\n"));
            assert!(refused(&place, 2).stderr.contains("line 4"), "{bad}");
        }
        write_list(&place, &format!("{} dir={}/missing\n", sender.key, place.path("in").display()));
        assert!(refused(&place, 11).stderr.contains("line 1"));
        write_list(&place, &good);
        for (path, mode) in [("keys", 0o664), ("keys", 0o646), ("in/one", 0o775), ("in/one", 0o757)] {
            let before = place.path(path).metadata().expect("metadata").permissions();
            set_mode(&place.path(path), mode);
            let ran = refused(&place, 11);
            assert!(ran.stderr.contains("chmod go-w"), "{ran:?}");
            std::fs::set_permissions(place.path(path), before).expect("a mode");
        }
        std::fs::rename(place.path("keys"), place.path("real")).expect("a rename");
        refused(&place, 11);
        symlink("real", place.path("keys")).expect("a link");
        refused(&place, 11);
    }

    #[test]
    fn a_key_that_is_taken_out_loses_its_connection_and_comes_in_no_more() {
        let (one, other) = (Sender::with_tree(1), Sender::with_tree(2));
        let place = Place::new();
        let lines = [line(&place, &one, "one", ""), line(&place, &other, "other", "")];
        let mut standing = Standing::start(place, &lines.concat(), &[]);
        let (lost, kept) = (stopped(&one, &standing, "one"), stopped(&other, &standing, "other"));
        standing.reload(&lines[1]);
        let ran = go_on(lost).exits(5);
        assert!(ran.stderr.contains("does not admit"), "{ran:?}");
        go_on(kept).exits(0);
        one.send(&standing, "").exits(5);
        standing.reload(&lines.concat());
        one.send(&standing, "").exits(0);
        assert_eq!(standing.received("one"), tree(&one.place.path("src")));
        standing.end().1.exits(0);
    }

    #[test]
    fn a_line_that_changes_moves_its_sender_under_the_new_one_at_once() {
        let sender = Sender::with_tree(1);
        let mut standing = Standing::for_one(&sender, "", &[]);
        let running = stopped(&sender, &standing, "one");
        let list = line(&standing.place, &sender, "elsewhere", "");
        standing.reload(&list);
        go_on(running).exits(0);
        assert!(standing.received("elsewhere").contains_key(Path::new("large")));
        assert!(!standing.received("one").contains_key(Path::new("large")));
        standing.end().1.exits(0);
    }

    #[test]
    fn a_bad_list_does_not_take_the_place_of_a_good_one_and_an_empty_one_admits_nobody() {
        let sender = Sender::with_tree(1);
        let mut standing = Standing::for_one(&sender, "", &[]);
        standing.reload("nonsense\n");
        sender.send(&standing, "").exits(0);
        standing.reload("# nobody\n");
        sender.send(&standing, "").exits(5);
        let (_, ran) = standing.end();
        let ran = ran.exits(0);
        assert!(ran.stderr.contains("line 1") && ran.stderr.contains("stays in force"), "{ran:?}");
    }
}

/// Signals and what systemd is told.
mod service {
    use super::*;

    #[test]
    fn what_runs_when_it_is_told_to_end_may_finish_and_nobody_new_comes_in() {
        let sender = Sender::with_tree(1);
        let mut standing = Standing::for_one(&sender, "", &[]);
        let running = stopped(&sender, &standing, "one");
        standing.running.signal(Signal::TERM);
        standing.wait_for_notice("STOPPING=1");
        // The notice comes before the door closes: whoever knocks in between is let in, and then refused.
        wait_for("the door to close", || sender.start_with(&standing, &["src/small"], "late").finish().code == 35);
        assert!(!standing.running.has_ended());
        go_on(running).exits(0);
        standing.running.finish().exits(0);
        assert!(tree(&standing.place.path("in/one")).contains_key(Path::new("large")));
    }

    #[test]
    fn what_is_not_finished_in_time_goes_on_with_the_next_receiver_of_the_same_key() {
        let sender = Sender::with_tree(1);
        let mut standing = Standing::for_one(&sender, "", &["--drain", "0s"]);
        let running = stopped(&sender, &standing, "one");
        standing.running.signal(Signal::TERM);
        let ran = standing.running.finish().exits(0);
        assert!(ran.stderr.contains("unfinished"), "{ran:?}");
        let mut again = standing.place.receiver(&["--listen", &standing.address, "--stay", "--allow", "keys"]);
        let mut next = start(&mut again);
        assert_eq!(next.first_line(), format!("{} {}", standing.address, standing.key));
        go_on(running).exits(0);
        next.signal(Signal::TERM);
        next.finish().exits(0);
        assert_eq!(tree(&standing.place.path("in/one")), tree(&sender.place.path("src")));
    }

    #[test]
    fn systemd_hears_of_every_step_and_when_a_reload_began() {
        let sender = Sender::new();
        let mut standing = Standing::for_one(&sender, "", &[]);
        standing.running.signal(Signal::HUP);
        let told = standing.wait_for_notice("RELOADING=1");
        assert!(told.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told}");
        let told = standing.wait_for_notice("READY=1");
        assert!(told.contains("STATUS=1 keys are admitted"), "{told}");
        standing.running.signal(Signal::INT);
        standing.wait_for_notice("STOPPING=1");
        standing.running.finish().exits(0);
    }

    #[test]
    fn a_socket_that_was_passed_is_taken_over() {
        let sender = Sender::with_tree(1);
        let place = Place::new();
        write_list(&place, &line(&place, &sender, "one", ""));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address").to_string();
        let script =
            "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" --listen --stay --allow keys $1";
        let pass = |more: &str| {
            let passed = std::os::fd::OwnedFd::from(socket.try_clone().expect("a socket"));
            let mut command = place.program("sh", &["-c", script, env!("CARGO_BIN_EXE_careful-recv"), more]);
            support::start_with_input(&mut command, passed.into())
        };
        let mut running = pass("");
        let line = running.first_line();
        let (printed, key) = line.split_once(' ').expect("address and key");
        assert_eq!(printed, address);
        let to = format!("careful://{address}/");
        run(sender.place.sender(&["src/"]).args(["--peer-key", key, &to])).exits(0);
        running.signal(Signal::TERM);
        running.finish().exits(0);
        assert_eq!(tree(&place.path("in/one")), tree(&sender.place.path("src")));
    }
}

/// What a sender believes about its receiver.
mod known_peers {
    use super::*;

    fn file(sender: &Sender) -> PathBuf {
        sender.place.state().join("careful/known_peers")
    }

    fn write(sender: &Sender, text: &str) {
        std::fs::write(file(sender), text).expect("a file");
        set_mode(&file(sender), 0o600);
    }

    fn send(sender: &Sender, standing: &Standing, words: &[&str]) -> Ran {
        let to = format!("careful://{}/", standing.address);
        run(sender.place.sender(words).args(["src/", &to]))
    }

    #[test]
    fn without_a_terminal_an_unknown_receiver_is_refused_with_its_key_and_nothing_is_learned() {
        let sender = Sender::with_tree(1);
        let standing = Standing::for_one(&sender, "", &[]);
        let ran = send(&sender, &standing, &[]).exits(5);
        assert!(ran.stderr.contains(&standing.key) && ran.stderr.contains("hint: "), "{ran:?}");
        assert!(!file(&sender).exists());
        assert!(standing.received("one").is_empty());
        send(&sender, &standing, &["--peer-key", &standing.key]).exits(0);
        assert!(!file(&sender).exists(), "an option is for one run");
        standing.end().1.exits(0);
    }

    #[test]
    fn a_known_receiver_needs_no_word_and_another_key_is_a_hard_error_that_names_the_line() {
        let sender = Sender::with_tree(1);
        let standing = Standing::for_one(&sender, "", &[]);
        write(&sender, &format!("# mine\n{} {} 2026-11-22\n", standing.address, standing.key));
        send(&sender, &standing, &[]).exits(0);
        let other = KeyPair::generate().expect("a key").public().to_string();
        let ran = send(&sender, &standing, &["--peer-key", &other]).exits(5);
        assert!(ran.stderr.contains("line 2 of "), "{ran:?}");
        let wrong = format!("# mine\n\n{} {other}\n", standing.address);
        write(&sender, &wrong);
        for words in [&[][..], &["--peer-key", &standing.key]] {
            let ran = send(&sender, &standing, words).exits(5);
            let names_it = ran.stderr.contains("line 3 of ") && ran.stderr.contains("known_peers");
            assert!(names_it && ran.stderr.contains("hint: "), "{ran:?}");
        }
        assert_eq!(std::fs::read_to_string(file(&sender)).expect("a file"), wrong);
        standing.end().1.exits(0);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_never_taken_for_an_empty_one() {
        let sender = Sender::with_tree(1);
        let standing = Standing::for_one(&sender, "", &[]);
        let good = format!("{} {}\n", standing.address, standing.key);
        for bad in
            [good.trim_end().to_owned(), format!("{good}{good}"), format!("x\n{good}"), good.replace('\n', "\r\n")]
        {
            write(&sender, &bad);
            let ran = send(&sender, &standing, &[]).exits(5);
            assert!(ran.stderr.contains("known_peers") && ran.stderr.contains("line "), "{ran:?}");
            assert_eq!(std::fs::read_to_string(file(&sender)).expect("a file"), bad);
        }
        write(&sender, &good);
        set_mode(&file(&sender), 0o666);
        send(&sender, &standing, &[]).exits(5);
        set_mode(&file(&sender), 0o600);
        send(&sender, &standing, &[]).exits(0);
        standing.end().1.exits(0);
    }

    #[test]
    fn at_a_terminal_the_person_is_asked_and_only_yes_is_yes() {
        let sender = Sender::with_tree(1);
        let standing = Standing::for_one(&sender, "", &[]);
        let line = format!("{} src/ careful://{}/", env!("CARGO_BIN_EXE_careful-send"), standing.address);
        let answer = |answer: &str| {
            let script = format!("printf '{answer}\\n' | script -qec '{line}' /dev/null");
            run(&mut sender.place.program("sh", &["-c", &script]))
        };
        if run(&mut sender.place.program("sh", &["-c", "command -v script"])).code != 0 {
            support::say("script(1) is not there: nobody is asked at a terminal");
            return;
        }
        for word in ["no", "y", "Yes", ""] {
            answer(word).exits(5);
            assert!(!file(&sender).exists());
        }
        let ran = answer("yes").exits(0);
        assert!(ran.stdout.contains(&standing.key), "{ran:?}");
        let learned = std::fs::read_to_string(file(&sender)).expect("a file");
        assert!(learned.starts_with(&format!("{} {} 20", standing.address, standing.key)), "{learned}");
        let mode = file(&sender).metadata().expect("metadata").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        send(&sender, &standing, &[]).exits(0);
        standing.end().1.exits(0);
    }
}
