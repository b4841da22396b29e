//! Pull: `careful-recv HOST:SRC... DEST`, with a program in the place of ssh that starts the sender on this host.

mod support;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use careful::cli::receipt_line::from_line;
use careful::wire::identity::PublicKey;
use rustix::process::Signal;
use support::far::{near as place, pull, pulling as command, stand_in};
use support::{
    CHUNK, is_root, kill, run, set_mode, skipped, staging_name, start, tree, wait_for, words, words_possible,
};

const SENDER: &str = env!("CARGO_BIN_EXE_careful-send");

#[test]
fn a_file_and_a_tree_arrive_with_modes_and_times() {
    let place = place();
    place.random("src/large", 3 * CHUNK + 5, 1);
    place.random("src/below/small", 100, 2);
    place.write("src/empty", b"");
    set_mode(&place.path("src/empty"), 0o640);
    place.directory("dst");
    let ran = pull(&place, &["far:src", "dst/"]).exits(0);
    assert_eq!(ran.receipted(), ["src/below/small", "src/empty", "src/large"]);
    assert_eq!(tree(&place.path("dst/src")), tree(&place.path("src")));
    assert_eq!(place.staging_files("dst"), [] as [PathBuf; 0]);
    assert_eq!((ran.count("files"), ran.count("sent_bytes")), (3, 3 * CHUNK as u64 + 105));
    assert_eq!(words(&ran.summary()), words_possible(&place.path("dst")));
    let again = pull(&place, &["far:src", "dst/"]).exits(0);
    assert_eq!((again.count("unchanged_files"), again.count("sent_bytes")), (3, 0), "{again:?}");
}

#[test]
fn the_destination_of_a_pull_is_read_as_that_of_a_push_is() {
    let place = place();
    let rows = [
        ("dir", "there/", "there/dir"),
        ("dir", "there", "there/dir"),
        ("dir/", "there/", "there"),
        ("dir/", "there", "there"),
        ("dir", "new/", "new/dir"),
        ("dir", "new", "new/dir"),
        ("dir/", "new/", "new"),
        ("dir/", "new", "new"),
        ("file", "there/", "there/file"),
        ("file", "there", "there/file"),
        ("file", "new/", "new/file"),
        ("file", "new", "new"),
        ("file", "old", "old"),
        ("dir", "old", ""),
        ("dir/", "old", ""),
        ("file", "old/", ""),
        ("file", "no/such/new", ""),
    ];
    for (row, (source, destination, result)) in rows.into_iter().enumerate() {
        let mut seen = Vec::new();
        for way in ["push", "pull"] {
            let top = format!("{row}-{way}");
            place.random(format!("{top}/dir/a"), 10, 1);
            place.random(format!("{top}/file"), 20, 2);
            place.random(format!("{top}/to/old"), 30, 3);
            place.directory(format!("{top}/to/there"));
            for path in ["dir/a", "dir", "file", "to/old", "to/there"] {
                support::set_modified(&place.path(format!("{top}/{path}")), 1_000_000, 0);
            }
            let [from, to] = [format!("{top}/{source}"), format!("{top}/to/{destination}")];
            let ran = match way {
                "push" => place.send(&[&from, &to]),
                _ => pull(&place, &[&format!("far:{from}"), &to]),
            };
            assert_eq!(ran.code, if result.is_empty() { 11 } else { 0 }, "{source} {destination}: {ran:?}");
            let mut tree = tree(&place.path(format!("{top}/to")));
            // Directories that something was made in have the time of that.
            tree.values_mut().filter(|item| item.kind == 'd').for_each(|item| item.modified = (0, 0));
            seen.push((ran.code, tree, ran.receipted()));
        }
        assert_eq!(seen[0], seen[1], "{source} {destination}");
        if !result.is_empty() {
            assert!(seen[1].1.contains_key(&PathBuf::from(result)), "{source} {destination}: {seen:?}");
        }
    }
}

#[test]
fn several_sources_of_one_host_arrive_together() {
    let place = place();
    place.write("a/one", b"1");
    place.write("b", b"2");
    place.write("c/three", b"3");
    let ran = pull(&place, &["far:a", ":b", "far:c/", "dst"]).exits(0);
    assert_eq!(ran.receipted(), ["a/one", "b", "three"]);
    assert_eq!(place.read("dst/a/one"), b"1");
}

#[test]
fn what_does_not_come_is_told_of_in_the_words_of_this_side() {
    let place = place();
    place.write("src/good", b"good");
    place.write("src/line\nbreak", b"good");
    symlink("good", place.path("src/link")).expect("a link");
    support::make_fifo(&place.path("src/fifo"));
    let ran = pull(&place, &["far:src", "far:nothing", "dst"]).exits(23);
    assert_eq!(ran.failed(), [("nothing".to_owned(), 23)]);
    assert_eq!(ran.events_of("error")[0]["error"], "no such file or directory");
    let skipped = ran.events_of("skipped");
    let why = |path: &str| skipped.iter().find(|event| event["path"] == path).expect("an event")["why"].clone();
    assert_eq!((why("src/link"), why("src/fifo")), ("a symbolic link".into(), "a fifo, socket or device".into()));
    assert_eq!((ran.count("files"), ran.count("skipped_files"), ran.count("failed_files")), (2, 2, 1));
    let pushed = place.send(&["src", "nothing", "pushed"]).exits(23);
    assert_eq!(ran.events_of("skipped").len(), pushed.events_of("skipped").len());
    assert_eq!(ran.failed(), pushed.failed());
}

#[test]
fn a_source_that_may_not_be_read_fails_alone_and_says_why() {
    let place = place();
    place.write("src/readable", b"readable");
    place.write("src/closed", b"closed");
    set_mode(&place.path("src/closed"), 0);
    if is_root() {
        // Nothing is closed to root: the sender runs as somebody else.
        const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let mut version = place.program("sh", &["-c", &format!("{NOBODY} '{SENDER}' --version")]);
        set_mode(&place.path("."), 0o755);
        if !version.output().is_ok_and(|output| output.status.success()) {
            return skipped("without setpriv, or where others cannot run the program, root can read everything");
        }
        stand_in(&place, &format!("exec {NOBODY} \"$@\""));
    }
    let ran = pull(&place, &["far:src", "dst"]).exits(23);
    assert_eq!(ran.failed(), [("src/closed".to_owned(), 23)]);
    let error = ran.events_of("error")[0]["error"].clone();
    assert_eq!(error, "permission denied: Permission denied (os error 13)");
    assert_eq!(ran.receipted(), ["src/readable"]);
}

#[test]
fn options_of_the_sending_side_travel() {
    let place = place();
    place.write("src/file", b"content");
    place.write("src/file.bak", b"backup");
    place.write("patterns", b"# none\n- *.bak\n");
    let first_read = pull(&place, &["--origin", "first-read", "--stored=cache", "far:src", "dst"]).exits(0);
    assert_eq!(words(&first_read.events_of("receipt")[0])[..2], ["first-read", "cache"]);
    let quick = pull(&place, &["--quick", "far:src", "dst"]).exits(0);
    assert_eq!((quick.count("trusted_files"), quick.count("files")), (2, 0), "{quick:?}");
    let filtered = pull(&place, &["--exclude-from", "patterns", "far:src", "filtered"]).exits(0);
    assert_eq!(filtered.receipted(), ["src/file"]);
    let filtered = pull(&place, &["--include=file", "--exclude=f*", "far:src", "filtered2"]).exits(0);
    assert_eq!(filtered.receipted(), ["src/file"]);
    place.write("src/file", b"CONTENT");
    let refused = pull(&place, &["--no-replace", "--exclude=*.bak", "far:src", "dst"]).exits(25);
    assert_eq!(refused.failed(), [("src/file".to_owned(), 25)]);
    assert_eq!(place.read("dst/src/file"), b"content");
}

#[test]
fn a_limited_rate_holds_for_small_and_large_files_in_push_and_pull() {
    let place = place();
    place.random("src/large", CHUNK + CHUNK / 2, 1);
    (0..4).for_each(|number| drop(place.random(format!("src/{number}"), CHUNK / 8, number)));
    for (way, from) in [("push", "src"), ("pull", "far:src")] {
        let start = std::time::Instant::now();
        let line = ["--bwlimit=4M", from, way];
        let ran = if way == "push" { place.send(&line) } else { pull(&place, &line) }.exits(0);
        assert_eq!(tree(&place.path(format!("{way}/src"))), tree(&place.path("src")));
        assert_eq!(ran.count("sent_bytes"), 2 * CHUNK as u64);
        // 2 MiB at 4 MiB a second, but for what may go ahead. How much later it is done is the machine's matter.
        assert!(start.elapsed().as_millis() >= 450, "{:?}", start.elapsed());
    }
}

#[test]
fn holes_and_names_of_one_file_are_kept_as_in_a_push() {
    use std::os::unix::fs::MetadataExt;
    let place = place();
    place.write("src/zeros", &vec![0; 4 * CHUNK]);
    std::fs::hard_link(place.path("src/zeros"), place.path("src/again")).expect("a link");
    place.send(&["-HS", "src/", "pushed"]).exits(0);
    let ran = pull(&place, &["-HS", "far:src/", "pulled"]).exits(0);
    assert_eq!(ran.events_of("receipt").iter().filter(|receipt| receipt["kind"] == "hard-link").count(), 1);
    pull(&place, &["far:src/", "plain"]).exits(0);
    let seen = |directory: &str| {
        let names = ["zeros", "again"].map(|name| place.path(directory).join(name).metadata().expect("a file"));
        let is_one = names[0].ino() == names[1].ino();
        (tree(&place.path(directory)), is_one, names.map(|name| name.blocks() < 64))
    };
    assert_eq!(seen("pulled"), seen("pushed"));
    assert_eq!((seen("pulled").1, seen("pulled").2), (true, [true; 2]));
    assert_eq!((seen("plain").1, seen("plain").2), (false, [false; 2]));
    assert_eq!(seen("plain").0, seen("pulled").0);
}

#[test]
fn receipts_are_kept_and_required_here() {
    let place = place();
    place.write("src/a", b"a");
    place.random("src/large", CHUNK + 1, 1);
    let line = ["--receipts", "receipts", "--require", "origin=recorded", "far:src/", "dst"];
    let ran = pull(&place, &line).exits(42);
    assert_eq!(ran.count("files"), 2);
    let lines = String::from_utf8(place.read("receipts")).expect("UTF-8");
    let mut paths = Vec::new();
    for line in lines.lines() {
        let (receipt, signature) = from_line(line).expect("a receipt");
        assert!(PublicKey(receipt.receiver).verify(&receipt.statement(), &signature));
        paths.extend(receipt.files.iter().map(|file| String::from_utf8(file.path.clone()).expect("UTF-8")));
    }
    paths.sort();
    assert_eq!(paths, ["a", "large"]);
}

#[test]
fn a_sender_that_dies_is_started_again_and_everything_is_counted_once() {
    let place = place();
    for number in 0..20 {
        place.random(format!("src/{number}"), 1000, number);
    }
    place.random("src/large", 64 * CHUNK, 99);
    let mut pulling = start(&mut command(&place, &["far:src/", "dst"]));
    let staging = place.path("dst").join(staging_name("large"));
    wait_for("something to arrive", || staging.metadata().is_ok_and(|file| file.len() > 0) || pulling.has_ended());
    let died = match pulling.started("careful-send") {
        Some(sender) => {
            kill(sender, Signal::KILL);
            true
        }
        None => false,
    };
    let ran = pulling.finish().exits(0);
    assert!(died, "it was over too early to show anything");
    assert_eq!(ran.count("files"), 21);
    assert_eq!(tree(&place.path("dst")), tree(&place.path("src")));
    assert_eq!(place.staging_files("dst"), [] as [PathBuf; 0]);
}

#[test]
fn the_same_command_continues_after_the_receiver_was_killed() {
    let place = place();
    place.random("large", 64 * CHUNK, 1);
    let mut pulling = start(&mut command(&place, &["far:large", "copy"]));
    let staging = place.path(staging_name("copy"));
    wait_for("something to arrive", || staging.metadata().is_ok_and(|file| file.len() > 0) || pulling.has_ended());
    let sender = pulling.started("careful-send");
    pulling.signal(Signal::KILL);
    pulling.finish();
    assert!(!place.has("copy"), "nothing half done is visible");
    if let Some(sender) = sender {
        wait_for("the sender to end with its receiver", || support::bytes_written(sender).is_none());
    }
    pull(&place, &["far:large", "copy"]).exits(0);
    assert_eq!(place.read("copy"), place.read("large"));
}

#[test]
fn an_interrupt_ends_both_sides() {
    let place = place();
    place.random("large", 64 * CHUNK, 1);
    let mut pulling = start(&mut command(&place, &["far:large", "copy"]));
    let staging = place.path(staging_name("copy"));
    wait_for("something to arrive", || staging.metadata().is_ok_and(|file| file.len() > 0) || pulling.has_ended());
    let sender = pulling.started("careful-send").expect("a sender");
    pulling.signal(Signal::INT);
    let ran = pulling.finish().exits(130);
    assert!(ran.stderr.contains("run the same command to continue"), "{ran:?}");
    wait_for("the sender to end with its receiver", || support::bytes_written(sender).is_none());
}

#[test]
fn t3_nothing_of_a_source_or_an_option_reaches_the_remote_command_line() {
    let place = place();
    stand_in(&place, "printf '%s\\n' \"$@\" >> words; exec \"$@\"");
    for name in ["a b;c", "$(touch evil)", "-oProxyCommand=id", "'quoted'"] {
        place.write(format!("src/{name}"), b"content");
        pull(&place, &["--chunk-size=64KiB", &format!("far:src/{name}"), "dst/"]).exits(0);
        assert_eq!(place.read(format!("dst/{name}")), b"content");
    }
    let expected = format!("{SENDER}\n--stdio\n").repeat(4);
    assert_eq!(String::from_utf8(place.read("words")).expect("UTF-8"), expected);
    assert!(!place.has("evil"));
}

#[test]
fn what_cannot_be_pulled_says_what_to_do() {
    let place = place();
    place.write("file", b"content");
    place.write("long", &vec![b'a'; 200 << 10]);
    for (words, code, hint) in [
        (&["far:file", "other:file", "dst"][..], 2, "run careful-recv once for each"),
        (&["file", "dst"], 2, "careful-send SRC... DEST is enough"),
        (&["far:file"], 2, "where to?"),
        (&["far:file", "far:dst"], 2, "run careful-send on the host of the sources"),
        (&["--exclude-from=missing", "far:file", "dst"], 2, "cannot read the patterns"),
        (&["--files-from=missing", "far:file", "dst"], 2, "cannot read the list missing"),
        (&["--files-from=long", "far:file", "dst"], 2, "longer than the 128 KiB"),
        (&["--files-from=file", "far:file", ":other", "dst"], 2, "--files-from goes with one SRC"),
        (&["--move", "far:file", "dst"], 2, "--receipts"),
        (&["--move", "--receipts=r", "--stored=cache", "far:file", "dst"], 2, "--move needs the whole proof"),
        (&["--move", "--receipts=r", "--delete", "far:file", "dst"], 2, "--delete"),
        (&["--max-delete=1", "far:file", "dst"], 2, "--delete"),
        (&["--bwlimit=slow", "far:file", "dst"], 2, "a number of KiB a second"),
        (&["-", "dst"], 2, "standard input) cannot be pulled"),
        (&["--listen", "dst", "--delete"], 2, "--delete is asked of the sender"),
        (&["--listen", "dst", "--dry-run"], 2, "--dry-run is asked of the sender"),
        (&["--listen", "dst", "--files-from=file"], 2, "options of the sender's command line"),
        (&["--listen", "dst", "--quick"], 2, "asked of the sender"),
        (&["--remote-path=/nowhere/careful-send", "far:file", "dst"], 5, "--remote-path"),
        (&["far:file", "no/such/dst"], 11, "create the directory"),
    ] {
        let ran = match words[0] {
            "--listen" => run(&mut place.receiver(words)),
            word if word.starts_with("--remote-path") => {
                run(place.receiver(&["--json", "--ssh", "./ssh-here"]).args(words))
            }
            _ => pull(&place, words),
        };
        assert_eq!(ran.code, code, "{words:?}: {ran:?}");
        assert!(ran.stderr.contains(hint), "{words:?}: {ran:?}");
    }
}

/// The same in a push and in a pull: exit code, what is left at both sides, and what was told.
#[track_caller]
fn assert_as_in_a_push(words: &[&str], sources: usize, prepare: impl Fn(&support::Place)) {
    let mut seen = Vec::new();
    for way in ["push", "pull"] {
        let place = place();
        prepare(&place);
        let options = words.len() - 1 - sources;
        let place_of = |index: usize, word: &str| match index {
            index if (options..options + sources).contains(&index) && way == "pull" => format!("far:{word}"),
            _ => word.to_owned(),
        };
        let words: Vec<String> = words.iter().enumerate().map(|(index, word)| place_of(index, word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = if way == "push" { place.send(&words) } else { pull(&place, &words) };
        let told = |event: &str| {
            let paths =
                ran.events_of(event).into_iter().map(|event| event["path"].as_str().expect("a path").to_owned());
            paths.collect::<std::collections::BTreeSet<_>>()
        };
        let told = [told("deleted"), told("source-removed"), told("receipt"), told("skipped")];
        let counts = ["files", "deleted", "removed_sources", "failed_files"].map(|count| ran.count(count));
        let left = |top: &str| {
            let mut tree = if place.has(top) { tree(&place.path(top)) } else { Default::default() };
            // The two places were not made at the same time.
            tree.values_mut().for_each(|item| item.modified = (0, 0));
            tree
        };
        seen.push((ran.code, counts, told, ran.failed(), left("s"), left("d")));
    }
    assert_eq!(seen[0], seen[1], "{words:?}");
}

fn sources(place: &support::Place) {
    for (path, content) in [("s/a", "a"), ("s/dir/b", "b"), ("s/dir/deep/c", "c"), ("s/x.bak", "x"), ("t/e", "e")] {
        place.write(path, content.as_bytes());
    }
    place.random("s/large", 2 * CHUNK + 1, 1);
    place.directory("s/empty");
    for old in ["d/old", "d/s/old", "d/s/dir/old", "d/s/gone/f", "d/s/y.bak", "d/t/old"] {
        place.write(old, b"old");
    }
}

#[test]
fn what_has_no_source_is_deleted_as_in_a_push() {
    for words in [
        &["--delete", "s", "d"][..],
        &["--delete", "s/", "d/s"],
        &["--delete", "--exclude=*.bak", "s", "d"],
        &["--delete", "--delete-excluded", "--exclude=*.bak", "s", "d"],
        &["--delete", "--max-delete=2", "s", "d"],
        &["--delete", "--max-delete=5", "s", "d"],
    ] {
        assert_as_in_a_push(words, 1, sources);
    }
    assert_as_in_a_push(&["--delete", "s", "t", "d"], 2, sources);
    // After a failure nothing goes.
    assert_as_in_a_push(&["--delete", "s", "nothing", "d"], 2, sources);
    let place = place();
    sources(&place);
    let ran = pull(&place, &["--delete", "far:s", "far:nothing", "d"]).exits(23);
    assert!(ran.stderr.contains("far: nothing was deleted, because not everything was transferred"), "{ran:?}");
}

#[test]
fn sources_are_moved_as_in_a_push_and_only_with_receipts_that_are_stored() {
    let probe = place();
    if words_possible(&probe.path("")) != ["reread", "device", "yes"] {
        return skipped("no receipt proves everything on this file system, so nothing is moved");
    }
    for words in [
        &["--move", "--receipts", "receipts", "s", "d"][..],
        &["--move", "--receipts", "receipts", "s/", "d/s"],
        &["--move", "--receipts", "receipts", "--exclude=*.bak", "s", "d"],
        &["--move", "--receipts", "receipts", "--no-replace", "s", "d"],
    ] {
        assert_as_in_a_push(words, 1, |place| {
            sources(place);
            place.write("d/s/a", b"another");
        });
    }
    // Every write to this file fails: the receipt is not stored, and nothing goes.
    let place = place();
    sources(&place);
    let before = tree(&place.path("s"));
    let ran = pull(&place, &["--move", "--receipts", "/dev/full", "far:s", "d"]);
    assert_eq!(ran.code, 11, "{ran:?}");
    assert_eq!((ran.count("removed_sources"), tree(&place.path("s"))), (0, before));
}

#[test]
fn a_list_is_read_here_and_sent_there() {
    let with_list = |list: &'static [u8]| {
        move |place: &support::Place| {
            sources(place);
            place.write("list", list);
        }
    };
    let lists = [&b"a\ndir/b\n\n# none\nnothing\n"[..], b"dir/\nempty\n", b"./dir/deep/c\n../t/e\n", b".\n", b""];
    for list in lists {
        assert_as_in_a_push(&["--files-from", "list", "s", "d"], 1, with_list(list));
    }
    assert_as_in_a_push(&["-r", "--files-from", "list", "s", "d"], 1, with_list(b"dir"));
    assert_as_in_a_push(&["-0", "--files-from", "list", "s", "d"], 1, with_list(b"a\0dir/b\0"));
    let place = place();
    sources(&place);
    place.write("list", b"dir/b\n");
    #[expect(clippy::disallowed_types, reason = "what a shell gives a program as its standard input")]
    let input = std::fs::File::open(place.path("list")).expect("a list").into();
    let running = support::start_with_input(&mut command(&place, &["--files-from=-", "far:s", "d"]), input);
    assert_eq!(running.finish().exits(0).receipted(), ["dir/b"]);
}

#[test]
fn what_the_far_side_notices_is_shown_here_under_its_name() {
    let place = place();
    place.write("src/stale", b"content");
    place.check(&["seal", "src"]).exits(0);
    place.write("src/stale", b"other content");
    let ran = pull(&place, &["far:src", "dst"]).exits(0);
    assert!(ran.stderr.contains("far: 'src/stale' was changed since its record was made"), "{ran:?}");
}
