//! A listening receiver and its ticket: one transfer to whoever has it, into one directory, and nothing else.
//!
//! The tests in `tickets` judge what a ticket itself promises: its checksum, its time, its one sender, its version.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;

use careful::cli::receipt_line::from_line;
use careful::connect::ticket::Ticket;
use careful::wire::identity::KeyPair;
use rustix::process::Signal;
use support::{CHUNK, HeldStaging, Place, Ran, Running, run, start, tree};

/// A receiver that waits for a sender, with its ticket.
struct Listening {
    running: Running,
    ticket: String,
}

/// Starts `careful-recv --listen 127.0.0.1:0` with more words, the directory among them.
fn listen(place: &Place, words: &[&str]) -> Listening {
    let mut running = start(&mut place.receiver(&[&["--listen", "127.0.0.1:0"], words].concat()));
    let ticket = running.first_line();
    Listening { running, ticket }
}

impl Listening {
    fn finish(self) -> Ran {
        self.running.finish()
    }
}

fn place_with_tree() -> Place {
    let place = Place::new();
    place.write("src/small", b"small");
    place.write("src/a/b", b"b");
    place.write("src/empty", b"");
    place.random("src/large", 2 * CHUNK + 1, 1);
    place.directory("in");
    place
}

#[test]
fn the_ticket_is_the_only_thing_on_standard_output_and_one_word_that_no_shell_touches() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    let ticket = listening.ticket.clone();
    assert!(ticket.starts_with("careful1"), "{ticket}");
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-.:,+@%/".contains(character);
    assert!(ticket.chars().all(is_plain), "{ticket}");
    place.send(&["src", &ticket]).exits(0);
    assert_eq!(listening.finish().exits(0).stdout, ticket + "\n");
}

#[test]
fn a_ticket_delivers_and_both_sides_end_well() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    let ran = place.send(&["src", &listening.ticket]).exits(0);
    assert_eq!(ran.receipted(), ["src/a/b", "src/empty", "src/large", "src/small"]);
    assert_eq!(support::words(&ran.summary()), support::words_possible(&place.path("in")));
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in/src")));
    assert_eq!(tree(&place.path("in")).len(), 1 + tree(&place.path("src")).len());
}

#[test]
fn both_sides_use_the_ports_they_are_told_and_none_other() {
    let place = place_with_tree();
    let taken = [(); 2].map(|()| std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    let ports = taken.each_ref().map(|socket| socket.local_addr().expect("an address").port());
    let [one, other] = ports.map(|port| port.to_string());
    let on_all = |words: &[&str]| place.receiver(&[&["--listen", "0.0.0.0"], words, &["in"]].concat());
    let ran = run(&mut on_all(&["--port", &one])).exits(10);
    assert!(ran.stderr.contains(&format!("no UDP port of {one} is free")), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "no ticket");

    let [for_receiver, for_sender] = taken;
    drop(for_receiver);
    let mut receiver = start(&mut on_all(&["--port", &one]));
    let ticket = receiver.first_line();
    let addresses = ticket.parse::<Ticket>().expect("a ticket").addresses;
    assert!(addresses.iter().all(|address| address.port() == ports[0]), "{addresses:?}");

    let ran = run(&mut place.sender(&["src/", &ticket, "--port", &other])).exits(35);
    assert!(ran.stderr.contains(&format!("no UDP port of {other} is free")), "{}", ran.stderr);
    drop(for_sender);
    run(&mut place.sender(&["src/", &ticket, "--port", &other])).exits(0);
    receiver.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
}

#[test]
fn the_contents_of_a_directory_and_single_files_land_directly_in_the_directory() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    place.send(&["src/", &listening.ticket]).exits(0);
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
    let listening = listen(&place, &["in", "--replace"]);
    place.write("src/a/b", b"another b");
    place.send(&["src/a/b", &listening.ticket]).exits(0);
    listening.finish().exits(0);
    assert_eq!(place.read("in/b"), b"another b");
}

#[test]
fn the_address_may_be_left_out() {
    let place = place_with_tree();
    let mut running = start(&mut place.receiver(&["--listen", "in"]));
    let ticket = running.first_line();
    place.send(&["src", &ticket]).exits(0);
    running.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in/src")));
}

#[test]
fn the_ticket_can_come_from_standard_input() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    let line = format!("echo '{}' | \"$0\" --json src -", listening.ticket);
    run(&mut place.program("sh", &["-c", &line, env!("CARGO_BIN_EXE_careful-send")])).exits(0);
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in/src")));
}

#[test]
fn as_events_the_ticket_is_the_first() {
    let place = place_with_tree();
    let listening = listen(&place, &["--json", "in"]);
    let event: serde_json::Value = serde_json::from_str(&listening.ticket).expect("an event");
    assert_eq!(event["event"], "ticket");
    place.send(&["src", event["ticket"].as_str().expect("a ticket")]).exits(0);
    listening.finish().exits(0);
}

#[test]
fn without_leave_to_replace_equal_targets_are_receipted_and_others_refused() {
    let place = place_with_tree();
    for name in ["small", "large"] {
        let bytes = place.read(Path::new("src").join(name));
        place.write(format!("src/{name} equal"), &bytes);
        place.write(format!("in/{name} equal"), &bytes);
        place.write(format!("in/{name}"), &vec![b'x'; bytes.len()]);
    }
    let before = tree(&place.path("in"));
    let listening = listen(&place, &["in"]);
    let ran = place.send(&["src/", &listening.ticket]).exits(23);
    listening.finish().exits(0);
    assert_eq!(ran.failed(), [("src/large".to_owned(), 25), ("src/small".to_owned(), 25)]);
    assert_eq!(ran.receipted(), ["a/b", "empty", "large equal", "small equal"]);
    for name in ["small", "large"] {
        assert_eq!(tree(&place.path("in"))[Path::new(name)], before[Path::new(name)]);
    }
    let listening = listen(&place, &["in"]);
    place.send(&["src/small", "src/large", &listening.ticket]).exits(25);
    listening.finish().exits(0);
}

#[test]
fn with_leave_to_replace_what_differs_is_replaced_unless_the_sender_forbids_it() {
    let place = place_with_tree();
    place.write("in/small", b"other");
    place.random("in/large", 2 * CHUNK + 1, 9);
    let before = tree(&place.path("in"));
    let listening = listen(&place, &["--replace", "in"]);
    place.send(&["--no-replace", "src/small", "src/large", &listening.ticket]).exits(25);
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("in")), before);
    let listening = listen(&place, &["--replace", "in"]);
    place.send(&["src/", &listening.ticket]).exits(0);
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
}

#[test]
fn the_sender_never_learns_where_the_receiver_keeps_its_files() {
    let place = place_with_tree();
    place.directory("very secret directory");
    let listening = listen(&place, &["very secret directory"]);
    let ran = place.send(&["--receipts", "receipts", "-vv", "src", &listening.ticket]).exits(0);
    listening.finish().exits(0);
    let lines = String::from_utf8(place.read("receipts")).expect("UTF-8");
    assert!(lines.lines().count() > 0);
    for line in lines.lines() {
        let (receipt, _) = from_line(line).expect("a receipt");
        assert_eq!(receipt.directory, b"");
        assert!(receipt.files.iter().all(|file| file.path.starts_with(b"src/")));
    }
    for text in [&lines, &ran.stdout, &ran.stderr] {
        assert!(!text.contains("very secret"), "{text}");
    }
}

#[test]
fn nothing_is_written_through_a_link_below_the_directory() {
    let place = place_with_tree();
    place.directory("outside");
    symlink("../outside", place.path("in/src")).expect("a link");
    let listening = listen(&place, &["--replace", "in"]);
    place.send(&["src", &listening.ticket]).exits(23);
    listening.finish().exits(0);
    assert!(tree(&place.path("outside")).is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_refused_before_a_ticket_is_printed() {
    let place = place_with_tree();
    for directory in ["nothing", "src/small"] {
        let ran = run(&mut place.receiver(&["--listen", "127.0.0.1:0", directory])).exits(11);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(directory), "{ran:?}");
    }
}

#[test]
fn receiving_without_a_way_to_meet_is_a_usage_error() {
    let place = place_with_tree();
    for words in [&["in"][..], &[], &["--listen"], &["--listen", "not an address", "in"]] {
        run(&mut place.receiver(words)).exits(2);
    }
}

#[test]
fn a_waiting_receiver_ends_when_it_is_told_to() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = place_with_tree();
        let mut listening = listen(&place, &["in"]);
        listening.running.signal(signal);
        listening.finish().exits(code);
    }
}

#[test]
fn a_ticket_whose_receiver_is_gone_ends_with_a_code_of_its_own() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    let ticket = listening.ticket.clone();
    place.send(&["src", &ticket]).exits(0);
    listening.finish().exits(0);
    let ran = place.send(&["src", &ticket]).exits(35);
    assert!(ran.summary()["seconds"].as_f64().is_some_and(|seconds| seconds < 20.0), "{ran:?}");
    assert!(ran.stderr.contains("hint: "), "{ran:?}");
}

/// Starts a sender and keeps it in the middle of its transfer by holding the staging file of `large`.
fn sender_held(place: &Place, listening: &Listening) -> (Running, HeldStaging) {
    let held = HeldStaging::new(&place.path("in"), "large");
    let sender = start(&mut place.sender(&["--json", "src/", &listening.ticket]));
    held.wait_until_wanted_by(listening.running.pid());
    (sender, held)
}

#[test]
fn a_sender_that_was_stopped_or_killed_finishes_with_the_same_command() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::KILL, -9)] {
        let place = place_with_tree();
        let listening = listen(&place, &["in"]);
        let (mut sender, held) = sender_held(&place, &listening);
        sender.signal(signal);
        sender.finish().exits(code);
        held.release();
        place.send(&["src/", &listening.ticket]).exits(0);
        listening.finish().exits(0);
        assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
    }
}

#[test]
fn after_kill_9_of_the_receiver_a_new_ticket_finishes_the_work() {
    let place = place_with_tree();
    let mut listening = listen(&place, &["in"]);
    let (mut sender, held) = sender_held(&place, &listening);
    listening.running.signal(Signal::KILL);
    listening.finish().exits(-9);
    sender.signal(Signal::TERM);
    sender.finish().exits(143);
    held.release();
    let listening = listen(&place, &["in"]);
    place.send(&["src/", &listening.ticket]).exits(0);
    listening.finish().exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
}

#[test]
fn a_receiver_that_does_not_hold_the_key_it_should_is_not_talked_to() {
    let place = place_with_tree();
    let listening = listen(&place, &["in"]);
    let mut ticket: Ticket = listening.ticket.parse().expect("a ticket");
    ticket.receiver = KeyPair::generate().expect("a key").public();
    let ran = place.send(&["src", &ticket.to_string()]).exits(5);
    assert!(ran.stderr.contains("key") && ran.stderr.contains("hint: "), "{ran:?}");
    assert!(tree(&place.path("in")).is_empty());
    place.send(&["src", &listening.ticket]).exits(0);
    listening.finish().exits(0);
}

/// What a ticket promises.
mod tickets {
    use super::*;

    #[test]
    fn a_sender_with_another_token_than_the_tickets_is_not_admitted() {
        let place = place_with_tree();
        let listening = listen(&place, &["in"]);
        let mut ticket: Ticket = listening.ticket.parse().expect("a ticket");
        ticket.token[3] ^= 1;
        let ran = place.send(&["src", &ticket.to_string()]).exits(5);
        assert!(ran.stderr.contains("not admitted") && ran.stderr.contains("hint: "), "{ran:?}");
        assert!(tree(&place.path("in")).is_empty());
        place.send(&["src", &listening.ticket]).exits(0);
        listening.finish().exits(0);
    }

    #[test]
    fn a_ticket_with_a_typo_is_a_usage_error_wherever_it_is() {
        let place = place_with_tree();
        let listening = listen(&place, &["in"]);
        let before = tree(&place.path("."));
        let ticket = listening.ticket.clone();
        // Behind the word that says what it is: a typo in that makes it a local name.
        for place_of_typo in (8..ticket.len()).step_by(7) {
            let mut typo = ticket.clone().into_bytes();
            typo[place_of_typo] = if typo[place_of_typo] == b'a' { b'b' } else { b'a' };
            let typo = String::from_utf8(typo).expect("ASCII");
            let ran = place.send(&["src", &typo]).exits(2);
            assert!(ran.stderr.contains("ticket") && ran.stderr.contains("hint: "), "{ran:?}");
        }
        for short in [&ticket[..ticket.len() - 1], &ticket[..ticket.len() / 2], &format!("{ticket}a")] {
            place.send(&["src", short]).exits(2);
        }
        assert_eq!(tree(&place.path(".")), before);
        place.send(&["src", &ticket]).exits(0);
        listening.finish().exits(0);
    }

    #[test]
    fn a_ticket_that_has_expired_is_not_admitted() {
        let place = place_with_tree();
        let listening = listen(&place, &["--expires", "1s", "in"]);
        let ticket = listening.ticket.clone();
        let ran = listening.finish().exits(30);
        assert!(ran.stderr.contains("nobody came"), "{ran:?}");
        let ran = place.send(&["src", &ticket]).exits(5);
        assert!(ran.stderr.contains("expired") && ran.stderr.contains("hint: "), "{ran:?}");
        assert!(tree(&place.path("in")).is_empty());
    }

    #[test]
    fn a_ticket_of_a_later_version_is_named_as_such() {
        let place = place_with_tree();
        let listening = listen(&place, &["in"]);
        let later = listening.ticket.replacen("careful1", "careful2", 1);
        let ran = place.send(&["src", &later]).exits(12);
        assert!(ran.stderr.contains("version") && ran.stderr.contains("hint: "), "{ran:?}");
        place.send(&["src", &listening.ticket]).exits(0);
        listening.finish().exits(0);
    }

    #[test]
    fn a_ticket_serves_one_sender_and_another_is_not_admitted() {
        let place = place_with_tree();
        let listening = listen(&place, &["in"]);
        let (sender, held) = sender_held(&place, &listening);
        let stranger = Place::new();
        stranger.write("src/small", b"a stranger's");
        let ran = stranger.send(&["src/", &listening.ticket]).exits(5);
        assert!(ran.stderr.contains("not admitted"), "{ran:?}");
        held.release();
        sender.finish().exits(0);
        listening.finish().exits(0);
        assert_eq!(tree(&place.path("src")), tree(&place.path("in")));
    }
}
