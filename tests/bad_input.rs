//! Wrong words on a command line: each is told what is wrong, with which object, and what to do; nothing is touched.

mod support;

use support::{Place, Ran, run, set_mode};

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
            (&["--bwlimit", "fast", "s", "d"], 2, &["'fast'", "--bwlimit", "a number of KiB a second", "1.5M"]),
            (&["--bwlimit", "0.5", "s", "d"], 2, &["512 bytes a second are too few", "from 1K on, or 0"]),
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
            (&["-J", "gate", "s", "d"], 2, &["-J", "and this is none", "hint: leave them out"]),
            (&["--transport", "ssh", "s", "careful://h/d"], 2, &["--transport", "hint: leave them out"]),
            (&["-n", "--move", "s", "d"], 2, &["--receipts"]),
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
            (&["--listen", "nowhere"], 11, &["cannot receive into nowhere", "No such file", "hint: name a directory"]),
            (&["--listen", "s/file"], 11, &["cannot receive into s/file", "Not a directory"]),
            (
                &["--listen", "192.0.2.7:5", "in"],
                10,
                &["cannot listen on 192.0.2.7:5", "hint: name an address of this host"],
            ),
            (&["--listen", ":99999", "in"], 2, &["':99999'", address]),
            (&["--listen", "example.com:1", "in"], 2, &["'example.com:1'", address]),
            (&["--listen", "--expires", "never", "in"], 2, &["'never'", "as in 90s, 15m, 24h or 7d"]),
            (&["--listen", "--expires", "0s", "in"], 2, &["'0s'", "admits nobody"]),
            (&["--listen", ":4433", "--port", "1-2", "in"], 2, &["4433", "1-2", "give one of the two"]),
        ],
    );
}

#[test]
fn a_standing_receiver_says_what_is_wrong_with_its_list_and_never_starts_with_half_of_it() {
    let place = Place::new();
    place.directory("in");
    let key = run(&mut place.sender(&["key"])).exits(0).stdout.trim().to_owned();
    place.write("nonsense", b"nonsense\n");
    place.write("mistyped", format!("{key}a dir=in\n").as_bytes());
    place.write("nowhere-to", format!("{key} dir=/no/such/place\n").as_bytes());
    place.write("fine", format!("{key} dir={}\n", place.path("in").display()).as_bytes());
    place.write("open", &place.read("fine"));
    set_mode(&place.path("open"), 0o666);
    let stay = &["--listen", "127.0.0.1:0", "--stay", "--allow"][..];
    let cases: &[(&str, i32, &[&str])] = &[
        ("nowhere", 11, &["cannot read nowhere", "No such file", "hint: name a file"]),
        ("nonsense", 2, &["nonsense: line 1: unknown word 'nonsense'", "dir=, replace", "hint: repair the line"]),
        ("mistyped", 2, &["mistyped: line 1: the key is incomplete or has a wrong character"]),
        ("nowhere-to", 11, &["nowhere-to: line 1: the directory /no/such/place", "No such file"]),
        ("open", 11, &["open", "mode 0666 lets others write it", "chmod go-w open"]),
    ];
    for (list, code, words) in cases {
        assert_receiver_told(&place, &[(&[stay, &[list]].concat(), *code, words)]);
    }
    assert_receiver_told(
        &place,
        &[
            (&["--listen", "--stay"], 2, &["--allow <FILE>"]),
            (&["--stay", "--allow", "fine"], 2, &["--listen"]),
            (&["--listen", "--allow", "fine"], 2, &["--stay"]),
            (&["--listen", "--stay", "--allow", "fine", "in"], 2, &["leave DIR out"]),
            (&["--listen", "--stay", "--allow", "fine", "--drain", "soon"], 2, &["'soon'", "as in 90s"]),
            (&["--listen", "--stay", "--allow", "fine", "--memory", "1"], 2, &["one sender alone needs"]),
            (&["--listen", "--stay", "--allow", "fine", "--expires", "1h"], 2, &["--stay", "--expires"]),
        ],
    );
}

#[test]
fn a_standing_receiver_that_cannot_be_meant_is_told_from_one_that_does_not_answer() {
    let place = Place::new();
    place.write("s/file", b"1");
    let key = run(&mut place.sender(&["key"])).exits(0).stdout.trim().to_owned();
    let wrong_key = format!("{key}a");
    assert_told(
        &place,
        &[
            (&["s", "careful://"], 2, &["there is no host", "careful://HOST[:PORT]/PATH"]),
            (&["s", "careful://host:99999/x"], 2, &["the port is no number from 1 to 65535"]),
            (&["--peer-key", "abc", "s", "careful://host/x"], 2, &["not a key: one begins with careful-key1"]),
            (&["--peer-key", &wrong_key, "s", "careful://host/x"], 2, &["incomplete or has a wrong character"]),
            (&["--peer-key", &key, "s", "d"], 2, &["the destination is not careful://HOST/PATH"]),
        ],
    );
}

#[test]
fn careful_check_says_what_it_cannot_check_and_why() {
    let place = Place::new();
    place.write("s/file", b"1");
    let sample = "more than 0% and at most 100%, as in 5%";
    assert_all_told(
        &place,
        |arguments| run(&mut place.program(env!("CARGO_BIN_EXE_careful-check"), arguments)),
        &[
            (&[], 2, &["Usage: careful-check <COMMAND>"]),
            (&["frobnicate", "s"], 2, &["'frobnicate'"]),
            (&["seal"], 2, &["<PATH>..."]),
            (&["verify", "nowhere"], 24, &["'nowhere': no such file"]),
            (&["verify", "--sample", "0%", "s"], 2, &["'0%'", sample]),
            (&["verify", "--sample", "500%", "s"], 2, &["'500%'", sample]),
            (&["verify", "--rate", "fast", "s"], 2, &["'fast'", "not a size, as in 50MB"]),
            (&["verify", "--jobs", "0", "s"], 2, &["a number from 1 to 64"]),
            (&["verify", "--manifest", "nowhere"], 11, &["cannot read nowhere", "No such file"]),
            (&["verify", "--manifest", "s/file"], 23, &["line 1 is not a line of b3sum"]),
            (&["verify", "--manifest", "s/file", "s"], 2, &["--manifest", "cannot be used with"]),
            (&["seal", "--manifest", "s/file", "s"], 11, &["cannot write s/file", "hint: remove the old list"]),
            (&["receipt", "nowhere"], 11, &["cannot read nowhere", "No such file"]),
            (&["receipt", "s/file"], 12, &["s/file line 1: not a receipt"]),
        ],
    );
    assert_eq!(place.read("s/file"), b"1");
}

#[test]
fn deleting_moving_and_standard_input_say_what_they_need() {
    let place = Place::new();
    place.write("s/file", b"1");
    assert_told(
        &place,
        &[
            (&["--max-delete", "3", "s", "d"], 2, &["--delete"]),
            (&["--delete", "--max-delete", "few", "s", "d"], 2, &["--max-delete", "few"]),
            (&["--delete-excluded", "s", "d"], 2, &["--delete"]),
            (&["--delete", "--files-from", "list", "s", "d"], 2, &["--files-from", "--delete"]),
            (&["--move", "s", "d"], 2, &["--receipts"]),
            (&["--move", "--receipts", "r", "--quick", "s", "d"], 2, &["--quick", "--move"]),
            (&["--move", "--receipts", "r", "--delete", "s", "d"], 2, &["--delete", "--move"]),
            (&["--move", "--receipts", "r", "--stored", "cache", "s", "d"], 2, &["--move needs the whole proof"]),
            (&["-", "s", "d"], 2, &["standard input) goes alone", "./-"]),
            (&["-", "-"], 2, &["both the source and the ticket"]),
            (&["--move", "--receipts", "r", "-", "d"], 2, &["a SRC that is not standard input"]),
            (&["--stdin-name", "a/b", "-", "d"], 2, &["--stdin-name", "slash"]),
            (&["--spool-dir", "nowhere", "-", "d"], 11, &["nowhere", "--spool-dir"]),
        ],
    );
}
