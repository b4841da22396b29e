//! Copies on one host: what arrives, what is carried, where it lands, and what is refused or skipped.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::{
    CHUNK, Item, Place, make_fifo, random_bytes, root_of, run, set_mode, set_modified, skipped, tree, words,
    words_possible,
};

#[test]
fn every_length_around_a_leaf_and_a_chunk_arrives_with_the_root_that_b3sum_prints() {
    let place = Place::new();
    let lengths = [0, 1, 1023, 1024, 1025, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1];
    for length in lengths {
        place.random(format!("src/{length}"), length, length as u64);
    }
    let ran = place.send(&["src/", "copy"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy")));
    let receipts = ran.events_of("receipt");
    assert_eq!(receipts.len(), lengths.len());
    for length in lengths {
        let name = length.to_string();
        let receipt = receipts.iter().find(|receipt| receipt["path"] == name.as_str()).expect("a receipt");
        assert_eq!(receipt["length"], length as u64);
        assert_eq!(receipt["root"], root_of(&random_bytes(length, length as u64)), "{length}");
        assert_eq!(words(receipt), words_possible(&place.path("copy")), "{length}");
    }
    assert_eq!(ran.count("sent_bytes"), lengths.iter().sum::<usize>() as u64);
    assert!(place.staging_files("copy").is_empty());
}

#[test]
fn each_length_arrives_as_the_only_file_too() {
    for length in [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        let place = Place::new();
        let bytes = place.random("a", length, 7);
        let ran = place.send(&["a", "b"]).exits(0);
        assert_eq!(place.read("b"), bytes);
        assert_eq!(ran.events_of("receipt")[0]["root"], root_of(&bytes));
        assert_eq!(words(&ran.summary()), words_possible(&place.path(".")));
    }
}

#[test]
fn a_tree_arrives_with_its_empty_files_and_directories() {
    let place = Place::new();
    place.write("src/empty file", b"");
    place.write("src/a/b/c/deep", b"deep");
    place.directory("src/empty/directory");
    place.random("src/a/large", 2 * CHUNK + 5, 1);
    place.send(&["src", "copy"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy/src")));
    assert_eq!(Item::of(&place.path("src")), Item::of(&place.path("copy/src")));
}

#[test]
fn a_thousand_small_files_around_a_large_one_arrive() {
    let place = Place::new();
    for number in 0..1000 {
        place.random(format!("src/{}/{number}", number % 7), number, number as u64);
    }
    place.random("src/3/large", 5 * CHUNK, 1);
    let ran = place.send(&["src/", "copy"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy")));
    assert_eq!((ran.count("files"), ran.events_of("receipt").len()), (1001, 1001));
}

#[test]
fn any_name_that_the_file_system_takes_arrives() {
    let place = Place::new();
    let names: [&[u8]; 9] = [
        b"\xff\xfe not UTF-8",
        b"line\nbreak",
        b"\x1b[31mred\x07",
        b"-rf",
        b" ",
        b"\\x41",
        "é\u{202e}txt".as_bytes(),
        &[b'x'; 255],
        b".careful-but-not-staging",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let path = Path::new("src").join(OsStr::from_bytes(name));
        place.random(&path, if number % 2 == 0 { 10 } else { CHUNK + 1 }, number as u64);
    }
    let ran = place.send(&["src/", "copy"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy")));
    assert_eq!(ran.events_of("receipt").len(), names.len());
    let raw = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
    assert!(!ran.stdout.contains(raw) && !ran.stderr.contains(raw), "{ran:?}");
}

#[test]
fn a_hostile_name_never_reaches_standard_error_raw() {
    let place = Place::new();
    let name = OsStr::from_bytes(b"a\x1b[2J\nb\x9b\xc2\x9bc");
    place.directory("src");
    make_fifo(&place.path("src").join(name));
    let ran = run(&mut place.sender(&["src", "copy"])).exits(23);
    assert!(ran.stderr.contains(r"a\x1b[2J\nb\x9b\u{9b}c"), "{ran:?}");
    assert!(!ran.stderr.contains(|character: char| character.is_control() && character != '\n'), "{ran:?}");
}

#[test]
fn modes_are_carried_without_suid_sgid_and_sticky() {
    let place = Place::new();
    let files = [
        ("0644", 0o644, 0o644),
        ("0600", 0o600, 0o600),
        ("0755", 0o755, 0o755),
        ("0666", 0o666, 0o666),
        ("0444", 0o444, 0o444),
        ("suid", 0o4755, 0o755),
        ("sgid", 0o2755, 0o755),
    ];
    for (name, mode, _) in files {
        for (size, length) in [("small", 1), ("large", CHUNK + 1)] {
            let path = format!("src/{name} {size}");
            place.random(&path, length, 3);
            set_mode(&place.path(path), mode);
        }
    }
    place.write("src/closed/a", b"a");
    set_mode(&place.path("src/closed"), 0o555);
    place.directory("src/sticky");
    set_mode(&place.path("src/sticky"), 0o1777);
    place.send(&["src", "copy"]).exits(0);
    for (name, _, wanted) in files {
        for size in ["small", "large"] {
            let item = Item::of(&place.path(format!("copy/src/{name} {size}")));
            assert_eq!(item.mode, wanted, "{name} {size}");
        }
    }
    assert_eq!(Item::of(&place.path("copy/src/closed")).mode, 0o555);
    assert_eq!(Item::of(&place.path("copy/src/sticky")).mode, 0o777);
    // So that the places can be removed by anybody.
    set_mode(&place.path("src/closed"), 0o755);
    set_mode(&place.path("copy/src/closed"), 0o755);
}

#[test]
fn times_are_carried_to_the_nanosecond_for_files_and_directories() {
    let place = Place::new();
    place.write("src/old/small", b"a");
    place.random("src/large", CHUNK + 1, 1);
    place.directory("src/empty");
    for (path, seconds, nanoseconds) in [
        ("src/old/small", 1, 999_999_999),
        ("src/large", 1_700_000_000, 123_456_789),
        ("src/empty", 1_000_000_000, 5),
        ("src/old", -86_400, 1),
        ("src", 4_000_000_000, 0),
    ] {
        set_modified(&place.path(path), seconds, nanoseconds);
    }
    place.send(&["src", "copy"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy/src")));
    assert_eq!(Item::of(&place.path("copy/src")).modified, (4_000_000_000, 0));
}

#[test]
fn links_fifos_and_sockets_are_skipped_and_reported_and_the_rest_arrives() {
    let place = Place::new();
    place.write("src/file", b"file");
    place.write("outside", b"outside");
    symlink("file", place.path("src/link")).expect("a link");
    symlink("../outside", place.path("src/link out")).expect("a link");
    symlink("nowhere", place.path("src/dangling")).expect("a link");
    make_fifo(&place.path("src/fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(place.path("src/socket")).expect("a socket");
    let ran = place.send(&["src/", "copy"]).exits(23);
    let mut skipped: Vec<_> = ran.events_of("skipped").iter().map(|event| event["path"].to_string()).collect();
    skipped.sort();
    assert_eq!(
        skipped,
        [r#""src/dangling""#, r#""src/fifo""#, r#""src/link out""#, r#""src/link""#, r#""src/socket""#]
    );
    assert!(ran.stderr.contains("skipped 'src/fifo'") && ran.stderr.contains("skipped 'src/link'"), "{ran:?}");
    assert_eq!((ran.count("skipped_files"), ran.count("failed_files"), ran.count("files")), (5, 0, 1));
    assert_eq!(tree(&place.path("copy")).len(), 1);
    assert_eq!(place.read("copy/file"), b"file");
}

#[test]
fn a_source_that_is_itself_a_link_or_a_fifo_is_skipped() {
    let place = Place::new();
    place.write("file", b"file");
    symlink("file", place.path("link")).expect("a link");
    make_fifo(&place.path("fifo"));
    for source in ["link", "fifo"] {
        let ran = place.send(&[source, "copy/"]).exits(23);
        assert_eq!(ran.count("skipped_files"), 1);
        assert!(!place.has(Path::new("copy").join(source)));
    }
}

#[test]
fn files_that_are_hard_linked_at_the_source_arrive_each() {
    let place = Place::new();
    let bytes = place.random("src/large", CHUNK + 1, 1);
    place.write("src/small", b"small");
    std::fs::hard_link(place.path("src/large"), place.path("src/large 2")).expect("a link");
    std::fs::hard_link(place.path("src/small"), place.path("src/small 2")).expect("a link");
    place.send(&["src/", "copy"]).exits(0);
    assert_eq!(place.read("copy/large"), bytes);
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy")));
}

/// A place with a directory `dir` (a file, a directory with a file), a file `file`, and an existing directory `d`.
fn place_for_rules() -> Place {
    let place = Place::new();
    place.write("dir/a", b"a");
    place.write("dir/sub/b", b"b");
    place.write("file", b"file");
    place.directory("d");
    place
}

#[track_caller]
fn assert_lands(sources: &[&str], destination: &str, expected: &[&str]) {
    let place = place_for_rules();
    let operands: Vec<&str> = sources.iter().copied().chain([destination]).collect();
    let before = tree(&place.path("."));
    place.send(&operands).exits(0);
    let mut new: Vec<_> = tree(&place.path(".")).into_keys().filter(|path| !before.contains_key(path)).collect();
    new.sort();
    assert_eq!(new, expected.iter().map(Path::new).collect::<Vec<_>>(), "{operands:?}");
}

#[test]
fn a_directory_lands_in_an_existing_directory_under_its_name() {
    for destination in ["d", "d/"] {
        assert_lands(&["dir"], destination, &["d/dir", "d/dir/a", "d/dir/sub", "d/dir/sub/b"]);
    }
}

#[test]
fn with_a_trailing_slash_the_contents_land_in_an_existing_directory() {
    for (source, destination) in [("dir/", "d"), ("dir/", "d/"), ("dir/.", "d"), ("./dir//", "d")] {
        assert_lands(&[source], destination, &["d/a", "d/sub", "d/sub/b"]);
    }
}

#[test]
fn a_directory_lands_in_a_new_directory_under_its_name_as_with_rsync() {
    for destination in ["new", "new/"] {
        assert_lands(&["dir"], destination, &["new", "new/dir", "new/dir/a", "new/dir/sub", "new/dir/sub/b"]);
    }
}

#[test]
fn with_a_trailing_slash_the_contents_land_in_a_new_directory() {
    for destination in ["new", "new/"] {
        assert_lands(&["dir/"], destination, &["new", "new/a", "new/sub", "new/sub/b"]);
    }
}

#[test]
fn a_file_lands_in_an_existing_directory_under_its_name() {
    for destination in ["d", "d/", "./d/."] {
        assert_lands(&["file"], destination, &["d/file"]);
    }
}

#[test]
fn a_file_takes_a_new_name_that_does_not_exist() {
    assert_lands(&["file"], "new", &["new"]);
    assert_lands(&["dir/sub/b"], "d/new", &["d/new"]);
}

#[test]
fn a_file_lands_in_a_new_directory_that_is_named_with_a_slash() {
    assert_lands(&["file"], "new/", &["new", "new/file"]);
}

#[test]
fn several_sources_land_together_in_a_directory_new_or_not() {
    assert_lands(&["dir", "file"], "d", &["d/dir", "d/dir/a", "d/dir/sub", "d/dir/sub/b", "d/file"]);
    assert_lands(&["dir/a", "file"], "new", &["new", "new/a", "new/file"]);
    assert_lands(&["dir/", "file"], "new", &["new", "new/a", "new/file", "new/sub", "new/sub/b"]);
}

#[test]
fn several_sources_do_not_land_in_a_file() {
    let place = place_for_rules();
    place.write("f", b"f");
    place.send(&["dir/a", "file", "f"]).exits(11);
    assert_eq!(place.read("f"), b"f");
}

#[test]
fn a_link_to_a_directory_is_followed_where_the_person_names_it_as_destination() {
    let place = place_for_rules();
    symlink("d", place.path("link")).expect("a link");
    place.send(&["file", "link"]).exits(0);
    assert_eq!(place.read("d/file"), b"file");
    place.send(&["dir", "link/"]).exits(0);
    assert_eq!(place.read("d/dir/a"), b"a");
}

#[test]
fn a_link_below_the_destination_is_never_followed() {
    let place = place_for_rules();
    place.directory("outside");
    symlink(place.path("outside"), place.path("d/dir")).expect("a link");
    let ran = place.send(&["dir", "file", "d"]).exits(23);
    assert_eq!(ran.receipted(), ["file"]);
    assert!(tree(&place.path("outside")).is_empty());
}

#[test]
fn two_sources_of_one_name_are_refused_and_the_first_arrives() {
    let place = Place::new();
    for (length, seed) in [(5, 1), (CHUNK + 1, 2)] {
        let first = place.random("a/same", length, seed);
        place.random("b/same", length, seed + 10);
        place.write("other", b"other");
        let ran = place.send(&["a/same", "b/same", "other", "d"]).exits(23);
        assert_eq!(ran.failed(), [("b/same".to_owned(), 23)]);
        assert_eq!(place.read("d/same"), first);
        assert_eq!(place.read("d/other"), b"other");
    }
    let ran = place.send(&["a/", "b/", "d"]).exits(23);
    assert_eq!(ran.failed(), [("b/same".to_owned(), 23)]);
}

#[test]
fn a_file_that_may_not_be_read_fails_alone() {
    let place = Place::new();
    place.write("src/readable", b"readable");
    place.write("src/closed", b"closed");
    place.random("src/closed large", CHUNK + 1, 1);
    place.write("src/closed directory/a", b"a");
    for path in ["src/closed", "src/closed large", "src/closed directory"] {
        set_mode(&place.path(path), 0);
    }
    let arguments = ["--json", "src/", "copy"];
    let mut command = if support::is_root() {
        // Nothing is closed to root: the program runs as somebody else.
        const NOBODY: u32 = 65534;
        for path in [place.path("."), place.path("src"), place.state().to_owned()] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("an owner");
        }
        let sender = place.sender(&arguments);
        let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(OsStr::new);
        let words: Vec<&OsStr> = as_nobody.into_iter().chain([sender.get_program()]).chain(sender.get_args()).collect();
        let mut command = place.program("setpriv", &words);
        let mut version = place.program("setpriv", &as_nobody);
        if !version.arg(sender.get_program()).arg("--version").output().is_ok_and(|output| output.status.success()) {
            return skipped("without setpriv, or where others cannot run the program, root can read everything");
        }
        command.env("HOME", place.state());
        command
    } else {
        place.sender(&arguments)
    };
    let ran = run(&mut command).exits(23);
    let closed = ["src/closed", "src/closed directory", "src/closed large"].map(|path| (path.to_owned(), 23));
    assert_eq!(ran.failed(), closed);
    assert_eq!(ran.receipted(), ["readable"]);
    assert_eq!(place.read("copy/readable"), b"readable");
    assert!(!place.has("copy/closed") && !place.has("copy/closed large"));
    set_mode(&place.path("src/closed directory"), 0o755);
}

#[test]
fn a_destination_that_is_no_directory_is_refused() {
    let place = place_for_rules();
    place.write("taken", b"taken");
    for operands in [["dir", "taken"], ["dir/", "taken"], ["file", "taken/"], ["file", "taken/below"]] {
        let ran = place.send(&operands).exits(11);
        assert!(ran.stderr.contains("not a directory"), "{ran:?}");
        assert_eq!(place.read("taken"), b"taken");
    }
}

#[test]
fn a_destination_whose_parent_is_missing_is_refused_with_a_hint() {
    let place = place_for_rules();
    for operands in [["dir", "no/such"], ["file", "no/such"], ["file", "no/such/"]] {
        let ran = place.send(&operands).exits(11);
        assert!(ran.stderr.contains("does not exist") && ran.stderr.contains("hint: "), "{ran:?}");
        assert!(!place.has("no"));
    }
}

#[test]
fn a_destination_inside_a_source_is_a_usage_error() {
    let place = place_for_rules();
    symlink("dir/sub", place.path("link")).expect("a link");
    for destination in ["dir", "dir/sub", "dir/new", "dir/sub/new", "./d/../dir/sub", "link"] {
        let before = tree(&place.path("."));
        for source in ["dir", "dir/", "../dir"] {
            let mut command = place.sender(&[source, destination, "--json"]);
            if source == "../dir" {
                command = place.sender(&["../dir", &format!("../{destination}"), "--json"]);
                command.current_dir(place.path("d"));
            }
            let ran = run(&mut command).exits(2);
            assert!(ran.stderr.contains("inside the source"), "{source} {destination}: {ran:?}");
        }
        assert_eq!(tree(&place.path(".")), before);
    }
}

#[test]
fn a_source_that_is_not_there_fails_alone() {
    let place = place_for_rules();
    let ran = place.send(&["nothing", "file", "nothing/either", "file/below", "d"]).exits(23);
    let failed = ["file/below", "nothing", "nothing/either"].map(|path| (path.to_owned(), 23));
    assert_eq!(ran.failed(), failed);
    assert_eq!(place.read("d/file"), b"file");
    let ran = place.send(&["nothing", "d"]).exits(23);
    assert!(ran.stderr.contains("'nothing': no such file or directory"), "{ran:?}");
}

#[test]
fn wrong_arguments_are_a_usage_error_that_touches_nothing() {
    let place = place_for_rules();
    let before = tree(&place.path("."));
    let lines: [&[&str]; 6] = [
        &[],
        &["file"],
        &["--no-such-option", "file", "d"],
        &["--stored", "disk", "file", "d"],
        &["--require", "stored", "file", "d"],
        &["file", "rsync://host/d"],
    ];
    for line in lines {
        let ran = run(&mut place.sender(line)).exits(2);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{ran:?}");
    }
    assert_eq!(tree(&place.path(".")), before);
}

#[test]
fn a_colon_is_part_of_a_local_name_behind_a_slash() {
    let place = place_for_rules();
    place.send(&["file", "./host:d"]).exits(0);
    assert_eq!(place.read("host:d"), b"file");
}

#[test]
fn a_file_with_the_name_of_a_staging_file_is_skipped() {
    let place = Place::new();
    place.write(Path::new("src").join(support::staging_name("a")), b"somebody's");
    place.write("src/a", b"a");
    let ran = place.send(&["src/", "copy"]).exits(23);
    assert_eq!((ran.count("skipped_files"), ran.receipted()), (1, vec!["a".to_owned()]));
    assert_eq!(tree(&place.path("copy")).len(), 1);
}

#[test]
fn what_lies_too_deep_fails_and_the_rest_arrives() {
    let place = Place::new();
    place.write("src/near", b"near");
    let deep = ["d"; 140].join("/");
    place.write(Path::new("src").join(deep).join("far"), b"far");
    let ran = place.send(&["src/", "copy"]).exits(23);
    assert_eq!(ran.receipted(), ["near"]);
    assert!(ran.stderr.contains("too long or too deep"), "{ran:?}");
    let names = ["x".repeat(250), "y".repeat(250)].join("/");
    let mut long = place.path("long");
    // Longer than one call takes: made step by step.
    for _ in 0..7 {
        long.push(&names);
        std::fs::create_dir_all(&long).expect("directories");
    }
    std::fs::write(long.join("far"), b"far").expect("a file");
    place.send(&["long", "copy"]).exits(0);
    assert_eq!(tree(&place.path("long")), tree(&place.path("copy/long")));
}
