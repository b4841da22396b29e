//! `--dry-run`: changes nothing at either side, and tells what the same command then does.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::far::{near, pull};
use support::{CHUNK, Item, Place, Ran, make_fifo, run, set_modified, staging_name, start, start_with_input, tree};

/// Sources `s` and what is at the destination `d`, a case of each kind.
fn place() -> Place {
    let place = near();
    place.write("s/new", b"new");
    place.write("s/equal", b"equal");
    place.write("s/as-long", b"source");
    place.write("s/longer", b"longer than that");
    place.write("s/dir/below", b"below");
    place.write("s/left.out", b"left out");
    place.directory("s/empty");
    for (name, length) in [("large-new", 2), ("large-equal", 3), ("large-as-long", 2), ("large-longer", 4)] {
        place.random(format!("s/{name}"), length * CHUNK + 7, length as u64);
    }
    symlink("new", place.path("s/link")).expect("a link");
    symlink("new", place.path("s/link-equal")).expect("a link");
    symlink("new", place.path("s/link-other")).expect("a link");
    make_fifo(&place.path("s/fifo"));
    place.write("d/s/equal", b"equal");
    place.write("d/s/as-long", b"target");
    place.write("d/s/longer", b"short");
    place.write("d/s/old", b"has no source");
    place.write("d/s/gone/a", b"has no source");
    place.write("d/s/kept.out", b"guarded");
    place.random("d/s/large-equal", 3 * CHUNK + 7, 3);
    place.random("d/s/large-as-long", 2 * CHUNK + 7, 99);
    place.random("d/s/large-longer", CHUNK + 9, 4);
    symlink("new", place.path("d/s/link-equal")).expect("a link");
    symlink("other", place.path("d/s/link-other")).expect("a link");
    for path in ["s/equal", "d/s/equal", "s/as-long", "d/s/as-long", "s/large-as-long", "d/s/large-as-long"] {
        set_modified(&place.path(path), 1_000_000_000, 5);
    }
    place
}

/// Everything in a place with its content, modes, times and numbers.
fn everything(place: &Place) -> BTreeMap<PathBuf, (Item, u64)> {
    let number = |path: &Path| place.path(path).symlink_metadata().expect("metadata").ino();
    tree(&place.path(".")).into_iter().map(|(path, item)| (path.clone(), (item, number(&path)))).collect()
}

/// What was told of single things: kind and path.
type Told = BTreeSet<(String, String)>;

fn paths_of(ran: &Ran, event: &str) -> impl Iterator<Item = String> {
    let path = |event: serde_json::Value| event["path"].as_str().expect("a path").to_owned();
    ran.events_of(event).into_iter().map(path).collect::<Vec<_>>().into_iter()
}

/// What any run tells beside what it did.
fn told_anyway(ran: &Ran) -> Told {
    let mut told = Told::new();
    for event in ["trusted", "skipped"] {
        told.extend(paths_of(ran, event).map(|path| (event.to_owned(), path)));
    }
    told.extend(ran.failed().into_iter().map(|(path, code)| (format!("failed {code}"), path)));
    told
}

fn foreseen(ran: &Ran) -> Told {
    let event = |event: &serde_json::Value| {
        let word = |field: &str| event[field].as_str().expect("a word").to_owned();
        (word("what"), word("path"))
    };
    ran.events_of("foreseen").iter().map(event).chain(told_anyway(ran)).collect()
}

/// What a true run did, by what it told and by what is there before and after it.
fn done(ran: &Ran, before: &BTreeMap<PathBuf, (Item, u64)>, place: &Place, base: &str) -> Told {
    let after = everything(place);
    let what = |path: String| {
        let there = Path::new(base).join(&path);
        let what = match (before.get(&there), &after[&there]) {
            (None, _) => "new",
            (Some((_, number)), (_, now)) if number == now => "unchanged",
            (Some(_), _) => "replaced",
        };
        (what.to_owned(), path)
    };
    let mut told: Told = paths_of(ran, "receipt").map(what).collect();
    for event in ["deleted", "source-removed"] {
        told.extend(paths_of(ran, event).map(|path| (event.to_owned(), path)));
    }
    told.extend(told_anyway(ran));
    told
}

/// Options and operands, where receipts' paths begin, and what is changed first.
type Case<'a> = (&'a [&'a str], &'a str, fn(&Place));

const CASES: &[Case<'_>] = &[
    (&["s", "d"], "d", |_| {}),
    (&["s/", "d/s"], "d/s", |_| {}),
    (&["s", "missing"], "missing", |_| {}),
    (&["s", "missing/"], "missing", |_| {}),
    (&["s/new", "s/equal", "d/s"], "d/s", |_| {}),
    (&["s/new", "d/s/renamed"], "d/s", |_| {}),
    (&["s/large-as-long", "d/s/large-equal"], "d/s", |_| {}),
    (&["--links", "s", "d"], "d", |_| {}),
    (&["--links", "--no-replace", "s", "d"], "d", |_| {}),
    (&["--quick", "s", "d"], "d", |_| {}),
    (&["--quick", "--require", "durable=yes", "s", "d"], "d", |_| {}),
    (&["--exclude", "*.out", "--max-size", "2M", "s", "d"], "d", |_| {}),
    (&["s", "no/such/d"], "d", |_| {}),
    (&["s", "d/s/equal"], "d", |_| {}),
    (&["s", "nothing", "d"], "d", |_| {}),
    // Something else has the name.
    (&["--links", "s", "d"], "d", |place| {
        place.write("d/s/new/in", b"a directory");
        place.write("d/s/dir", b"a file");
        place.write("d/s/empty", b"a file");
        place.write("d/s/link/in", b"a directory");
        place.write("d/s/large-new/in", b"a directory");
    }),
    // What an earlier run left is taken over.
    (&["s", "d"], "d", |place| {
        place.write(Path::new("d/s").join(staging_name("new")), b"ne");
        place.write(Path::new("d/s").join(staging_name("large-new")), b"large");
    }),
];

/// The same words for push or pull: in a pull the sources are far.
fn words_of(way: &str, words: &[&str]) -> Vec<String> {
    let is_source = |word: &str| way == "pull" && (["s", "nothing"].contains(&word) || word.starts_with("s/"));
    words.iter().map(|word| if is_source(word) { format!("far:{word}") } else { (*word).to_owned() }).collect()
}

fn go(place: &Place, way: &str, words: &[&str]) -> Ran {
    if way == "push" { place.send(words) } else { pull(place, words) }
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_the_true_run_does() {
    for (row, (words, base, change)) in CASES.iter().enumerate() {
        for way in ["push", "pull"] {
            let place = place();
            change(&place);
            let words = words_of(way, words);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let go = |words: &[&str]| go(&place, way, words);
            let before = everything(&place);
            let dry = go(&[&["--dry-run"], &words[..]].concat());
            assert_eq!(everything(&place), before, "row {row}, {way}: something changed");
            assert_eq!(dry.events_of("receipt"), [] as [serde_json::Value; 0]);
            let ran = go(&words);
            assert_eq!(dry.code, ran.code, "row {row}, {way}: {dry:?}");
            if ran.code == 11 {
                // Nothing is received: what the walk has told by then is chance.
                assert_eq!(dry.events_of("foreseen"), [] as [serde_json::Value; 0], "row {row}, {way}");
            } else {
                let did = done(&ran, &before, &place, base);
                assert_eq!(foreseen(&dry), did, "row {row}, {way}: {words:?}");
            }
        }
    }
}

#[test]
fn what_would_be_deleted_or_removed_is_told_and_stays() {
    let cases: [Case<'_>; 5] = [
        (&["--delete", "s", "d"], "d", |_| {}),
        (&["--delete", "--exclude", "*.out", "s", "d"], "d", |_| {}),
        (&["--delete", "--max-delete", "2", "s", "d"], "d", |_| {}),
        (&["--delete", "s", "d"], "d", |place| place.write("d/s/new/in", b"a directory")),
        (&["--move", "--receipts", "receipts", "s/", "d/s"], "d/s", |_| {}),
    ];
    for (row, (words, base, change)) in cases.into_iter().enumerate() {
        for way in ["push", "pull"] {
            let place = place();
            change(&place);
            let words = [&["--links", "--exclude=fifo"], words].concat();
            let words = words_of(way, &words);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let before = everything(&place);
            let dry = go(&place, way, &[&["-n"], &words[..]].concat());
            assert_eq!(everything(&place), before, "row {row}, {way}: something changed");
            let ran = go(&place, way, &words);
            assert_eq!(foreseen(&dry), done(&ran, &before, &place, base), "row {row}, {way}: {words:?}");
            assert_eq!(dry.code, ran.code, "row {row}, {way}: {dry:?}");
        }
    }
}

#[test]
fn a_receiver_that_listens_says_no_as_in_a_true_run() {
    let place = place();
    let before = everything(&place);
    let listen = |words: &[&str]| {
        let mut receiver = start(&mut place.receiver(&[&["--listen", "127.0.0.1:0"], words].concat()));
        let ticket = receiver.first_line();
        (receiver, ticket)
    };
    let (receiver, ticket) = listen(&["d"]);
    let ran = place.send(&["--dry-run", "--links", "s", &ticket]).exits(23);
    receiver.finish().exits(0);
    let failed: Vec<String> = ran.failed().into_iter().map(|(path, _)| path).collect();
    let expected =
        ["s/as-long", "s/large-as-long", "s/large-longer", "s/link", "s/link-equal", "s/link-other", "s/longer"];
    assert_eq!(failed, expected, "{ran:?}");
    let (receiver, ticket) = listen(&["d", "--replace"]);
    place.send(&["--dry-run", "--delete", "s", &ticket]).exits(25);
    receiver.finish();
    assert_eq!(everything(&place), before);
}

#[test]
fn for_a_person_there_is_a_line_for_each_file_and_one_in_the_end() {
    let place = place();
    let ran =
        run(&mut place.sender(&["-n", "--delete", "--exclude=large-*", "--exclude=fifo", "--links", "s/", "d/s"]));
    let ran = ran.exits(0);
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    let expected = [
        "delete    gone",
        "delete    gone/a",
        "delete    kept.out",
        "delete    old",
        "new       dir/below",
        "new       left.out",
        "new       link",
        "new       new",
        "replace   as-long",
        "replace   link-other",
        "replace   longer",
    ];
    assert_eq!(lines, expected);
    let last = "careful-send: dry run: 7 files, 44 B would be sent (3 replaced); 2 unchanged; 4 would be deleted; nothing was \
                changed; ";
    assert!(ran.stderr.starts_with(last), "{}", ran.stderr);
    let verbose = run(&mut place.sender(&["-n", "-v", "s/equal", "d/s"])).exits(0);
    assert_eq!(verbose.stdout, "unchanged equal\n");
    let quiet = run(&mut place.sender(&["-n", "-q", "s/new", "d/s"])).exits(0);
    assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
}

#[test]
fn standard_input_is_not_read_and_the_run_says_so() {
    let place = near();
    let mut command = place.sender(&["-n", "-", "d"]);
    // Nobody ever writes to it or closes it before the end.
    let running = start_with_input(&mut command, Stdio::piped());
    let ran = running.finish().exits(0);
    assert!(ran.stderr.contains("standard input is not read in a dry run"), "{ran:?}");
    assert!(ran.stderr.contains("nothing was changed"), "{ran:?}");
    assert!(!place.has("d"));
}

#[test]
fn a_dry_run_is_no_success_for_the_status_file_and_keeps_no_receipts() {
    let place = near();
    place.write("s", b"1");
    place.send(&["--status", "status", "--receipts", "receipts", "-n", "s", "d"]).exits(0);
    let status = || serde_json::from_slice::<serde_json::Value>(&place.read("status")).expect("JSON");
    assert_eq!((&status()["last_success"], &status()["dry_run"]), (&serde_json::Value::Null, &true.into()));
    assert!(!place.has("receipts") && !place.has("d"));
    place.send(&["--status", "status", "s", "d"]).exits(0);
    assert_eq!(status()["dry_run"], false);
    let success = status()["last_success"].clone();
    assert!(success.is_string());
    place.send(&["--status", "status", "-n", "s", "d"]).exits(0);
    assert_eq!(status()["last_success"], success);
}
