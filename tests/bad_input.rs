//! Wrong words on a command line: each is told what is wrong, with which object, and what to do; nothing is touched.

mod support;

use support::{Place, Ran, run};

/// Arguments, exit code, and what standard error must hold.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[track_caller]
fn assert_told(place: &Place, cases: &[Case<'_>]) {
    assert_all_told(place, |arguments| run(&mut place.sender(arguments)), cases);
}

#[track_caller]
fn assert_receiver_told(place: &Place, cases: &[Case<'_>]) {
    assert_all_told(place, |arguments| run(&mut place.receiver(arguments)), cases);
}

#[track_caller]
fn assert_all_told(place: &Place, run: impl Fn(&[&str]) -> Ran, cases: &[Case<'_>]) {
    for (arguments, code, words) in cases {
        let ran = run(arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {ran:?}");
        for word in *words {
            assert!(ran.stderr.contains(word), "{arguments:?}: no {word:?} in {}", ran.stderr);
        }
        assert!(!place.has("d"), "{arguments:?} touched the destination");
    }
}

#[test]
fn wrong_filters_are_usage_errors_that_name_the_place() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("rules", b"fine\n[broken\n");
    place.write("long", &vec![b'a'; 2 << 20]);
    assert_told(
        &place,
        &[
            (&["--exclude", "a[", "s", "d"], 2, &["--exclude 'a['", "a [ is not closed", "write \\["]),
            (&["--include", "[[:x:]]", "s", "d"], 2, &["--include '[[:x:]]'", "alnum"]),
            (&["--exclude", "", "s", "d"], 2, &["--exclude ''", "empty"]),
            (&["--exclude-from", "rules", "s", "d"], 2, &["rules, line 2", "not closed"]),
            (&["--exclude-from", "nowhere", "s", "d"], 2, &["nowhere", "No such file", "hint: "]),
            (&["--exclude-from", "s", "s", "d"], 2, &["cannot read the patterns in s", "directory"]),
            (&["--exclude-from", "long", "s", "d"], 2, &["long", "more than 1 MiB"]),
            (&["--min-size", "much", "s", "d"], 2, &["--min-size", "a size is a number"]),
            (
                &["--min-size", "2", "--max-size", "1", "s", "d"],
                2,
                &["--min-size 2", "nothing would be sent", "hint: "],
            ),
        ],
    );
}

#[test]
fn wrong_lists_are_usage_errors_that_say_what_goes_together() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("list", b"file\n");
    assert_told(
        &place,
        &[
            (
                &["--files-from", "nowhere", "s", "d"],
                2,
                &["the list nowhere", "No such file", "hint: ", "standard input"],
            ),
            (&["--files-from", "s", "s", "d"], 2, &["the list s", "directory", "hint: "]),
            (&["--files-from", "list", "s", "s", "d"], 2, &["--files-from goes with one SRC"]),
            (&["--files-from", "-", "s", "-"], 2, &["standard input cannot be both"]),
            (&["-0", "s", "d"], 2, &["--files-from"]),
        ],
    );
    // Here the place to go to is made before the source is looked at.
    let ran = run(&mut place.sender(&["--files-from", "list", "s/file", "e/"])).exits(23);
    assert!(ran.stderr.contains("no such file or directory"), "{ran:?}");
}

#[test]
fn a_value_of_the_wrong_kind_is_a_usage_error_that_says_what_it_can_be() {
    let place = Place::new();
    place.write("s/file", b"1");
    let ports = "not a UDP port from 1 to 65535, as in 50000";
    let chunk = "a chunk is a power of two from 64KiB to 4MiB";
    let form = "is not of the form WORD=VALUE";
    assert_told(
        &place,
        &[
            (&["--chunk-size", "100", "s", "d"], 2, &["'100'", "--chunk-size", chunk]),
            (&["--chunk-size", "96KiB", "s", "d"], 2, &["'96KiB'", chunk]),
            (&["--chunk-size", "much", "s", "d"], 2, &["'much'", "not a size, as in 256KiB"]),
            (&["--stored", "disk", "s", "d"], 2, &["'disk'", "--stored", "device, cache, none"]),
            (&["--origin", "sure", "s", "d"], 2, &["'sure'", "--origin", "auto, recorded, reread, first-read"]),
            (&["--transport", "tcp", "s", "h:d"], 2, &["'tcp'", "--transport", "auto, quic, ssh"]),
            (&["--require", "stored=disk", "s", "d"], 2, &["'disk' is no value of stored", "none, cache, device"]),
            (&["--require", "durable", "s", "d"], 2, &["'durable'", form, "as in origin=reread"]),
            (&["--require", "", "s", "d"], 2, &[form]),
            (&["--stored", "none", "--require", "stored=device", "s", "d"], 2, &["can never reach"]),
            (&["--retry-for", "soon", "s", "d"], 2, &["'soon'", "--retry-for", "as in 90s, 15m, 24h or 7d"]),
            (&["--retry-for", "5", "s", "d"], 2, &["'5'", "a number and a unit"]),
            (&["--port", "0", "s", "d"], 2, &["'0'", "--port", ports]),
            (&["--port", "70000", "s", "d"], 2, &["'70000'", ports]),
            (&["--port", "20-10", "s", "d"], 2, &["'20-10'", ports]),
            (&["--no-such-option", "s", "d"], 2, &["'--no-such-option'", "--help"]),
            (&["-q", "-v", "s", "d"], 2, &["--quiet", "--verbose"]),
            (&["-4", "-6", "s", "h:d"], 2, &["'-4'", "'-6'"]),
            (&["--ssh", "", "s", "h:d"], 2, &["--ssh", "there is no command in it"]),
            (&["--ssh", "ssh 'a", "s", "h:d"], 2, &["--ssh", "a quote is not closed"]),
        ],
    );
}

#[test]
fn a_destination_that_cannot_be_is_told_with_what_to_write() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("t/other", b"2");
    let cut_ticket = format!("careful1{}", "a".repeat(100));
    let host = &["hint: write [USER@]HOST:PATH, and ./NAME for a local name that holds a colon"];
    assert_told(
        &place,
        &[
            (&[], 2, &["SRC... DEST"]),
            (&["s"], 2, &["one operand is not enough: SRC... DEST"]),
            (&["s", ""], 2, &["without a name"]),
            (&["", "d"], 2, &["without a name"]),
            (&["s", "--", "-host:d"], 2, &["'-host:d'", "may not begin with '-'", host[0]]),
            (&["s", ":d"], 2, &["':d'", "the host is missing", host[0]]),
            (&["s", "@h:d"], 2, &["'@h:d'", "the host is missing", host[0]]),
            (&["s", "us er@h:d"], 2, &["nor hold blanks", host[0]]),
            (&["s", "http://host/x"], 2, &["'http://host/x'", "://", "hint: "]),
            (&["s", "h:~other/x"], 2, &["'~USER' is not expanded", "hint: write the whole path"]),
            (&["s", &cut_ticket], 2, &["incomplete or has a wrong character", "hint: copy the ticket again, whole"]),
            (&["s", "-"], 2, &["no ticket on standard input", "hint: ", "careful-recv --listen", "./-"]),
            (&["s", "d/a/b"], 11, &["directory that is to hold the destination", "hint: create the directory"]),
            (&["s", "s/inside"], 2, &["the destination s/inside lies inside the source s", "hint: "]),
            (&["s/file", "s", "t/other"], 11, &["not a directory", "hint: several sources"]),
            (&["--ssh", "/no/such/ssh", "s", "h:d"], 5, &["/no/such/ssh is not there", "hint: "]),
        ],
    );
    assert_eq!(place.read("t/other"), b"2");
}

#[test]
fn files_of_our_own_that_cannot_be_written_stop_the_run_before_it_begins() {
    let place = Place::new();
    place.write("s/file", b"1");
    assert_told(
        &place,
        &[
            (&["--receipts", "no/such/file", "s", "d"], 11, &["no/such/file", "No such file", "hint: name a file"]),
            (&["--receipts", "s", "s", "d"], 11, &["cannot open s for receipts", "hint: name a file"]),
            (&["--status", "s", "s", "d"], 11, &["cannot write the status to s", "hint: name a file"]),
            (&["--status", "s/file", "s", "d"], 2, &["s/file", "holds something else", "hint: "]),
        ],
    );
    assert_eq!(place.read("s/file"), b"1");
}

#[test]
fn a_source_that_is_not_there_is_named_and_the_others_go_through() {
    let place = Place::new();
    place.write("s/file", b"1");
    let ran = run(&mut place.sender(&["nowhere", "s", "d"])).exits(23);
    assert!(ran.stderr.contains("'nowhere': no such file or directory\nhint: check the name"), "{ran:?}");
    assert_eq!(place.read("d/s/file"), b"1");
}

#[test]
fn a_receiver_that_cannot_listen_says_why() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.directory("in");
    let address = "is no address to listen on: it can be ADDR:PORT";
    assert_receiver_told(
        &place,
        &[
            (&["--listen"], 2, &["--listen needs the directory to receive into"]),
            (&["--listen", "nowhere"], 11, &["cannot receive into nowhere", "No such file"]),
            (&["--listen", "s/file"], 11, &["cannot receive into s/file", "Not a directory"]),
            (&["--listen", "192.0.2.7:5", "in"], 10, &["cannot listen on 192.0.2.7:5"]),
            (&["--listen", ":99999", "in"], 2, &["':99999'", address]),
            (&["--listen", "example.com:1", "in"], 2, &["'example.com:1'", address]),
            (&["--listen", "--expires", "never", "in"], 2, &["'never'", "as in 90s, 15m, 24h or 7d"]),
            (&["--listen", "--expires", "0s", "in"], 2, &["'0s'", "admits nobody"]),
            (&["--listen", ":4433", "--port", "1-2", "in"], 2, &["4433", "1-2", "give one of the two"]),
        ],
    );
}
