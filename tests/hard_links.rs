//! `--hard-links`: several names of one file are names of one copy, each with its own receipt.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::fs::hard_link;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use careful::protocol::entry::Name;
use support::{
    CHUNK, Mount, Place, Ran, is_root, root_of, run, set_mode, set_modified, skipped, start, tree, words_possible,
};

/// Names of each file of a directory that has several: sorted, and in the order of the first.
fn shared(place: &Place, directory: &str) -> Vec<Vec<String>> {
    let mut files: std::collections::BTreeMap<u64, Vec<String>> = std::collections::BTreeMap::new();
    let top = place.path(directory);
    for path in tree(&top).into_keys().filter(|path| top.join(path).is_file()) {
        let inode = top.join(&path).metadata().expect("a file").ino();
        files.entry(inode).or_default().push(path.display().to_string());
    }
    let mut files: Vec<_> = files.into_values().filter(|names| names.len() > 1).collect();
    files.sort();
    files
}

fn link(place: &Place, from: &str, to: &str) {
    hard_link(place.path(from), place.path(to)).expect("a link");
}

/// A small and a large file with several names, in directories before and behind each other, and one with a single name.
fn place() -> Place {
    let place = Place::new();
    place.write("src/small", b"content");
    place.directory("src/a/b");
    place.random("src/a/large", 2 * CHUNK + 5, 1);
    place.write("src/alone", b"alone");
    link(&place, "src/small", "src/a/b/small again");
    link(&place, "src/small", "src/small\nonce more");
    link(&place, "src/a/large", "src/large");
    place
}

fn names() -> Vec<Vec<String>> {
    let names: [&[&str]; 2] = [&["a/b/small again", "small", "small\nonce more"], &["a/large", "large"]];
    names.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect()
}

fn hard_links_receipted(ran: &Ran) -> usize {
    ran.events_of("receipt").iter().filter(|receipt| receipt["kind"] == "hard-link").count()
}

#[test]
fn names_of_one_file_are_names_of_one_copy_and_its_bytes_travel_once() {
    let place = place();
    assert_eq!(shared(&place, "src"), names());
    let bytes = (2 * CHUNK + 5 + 7 + 5) as u64;
    for option in ["-H", "--hard-links"] {
        let ran = place.send(&[option, "--receipts", "receipts", "src/", option.trim_matches('-')]).exits(0);
        let copy = option.trim_matches('-');
        assert_eq!(tree(&place.path("src")), tree(&place.path(copy)));
        assert_eq!(shared(&place, copy), names());
        assert_eq!((ran.count("files"), ran.count("bytes"), ran.count("sent_bytes")), (6, bytes, bytes));
        assert_eq!(hard_links_receipted(&ran), 3);
        for receipt in ran.events_of("receipt") {
            assert_eq!(support::words(&receipt), words_possible(&place.path(copy)), "{receipt}");
            let path = place.path(copy).join(receipt["path"].as_str().unwrap().replace("\\n", "\n"));
            assert_eq!(receipt["root"], root_of(&std::fs::read(path).unwrap()));
        }
        assert!(place.staging_files(copy).is_empty());
    }
    // Receipts of further names are receipts: signed, and of files that can be read again.
    place.check(&["receipt", "receipts"]).exits(0);
}

#[test]
fn the_same_command_finds_everything_in_place() {
    let place = place();
    place.send(&["-H", "src/", "copy"]).exits(0);
    let before = shared(&place, "copy");
    let inode = place.path("copy/large").metadata().unwrap().ino();
    let ran = place.send(&["-H", "src/", "copy"]).exits(0);
    assert_eq!((ran.count("unchanged_files"), ran.count("sent_bytes")), (6, 0));
    assert_eq!((shared(&place, "copy"), place.path("copy/large").metadata().unwrap().ino()), (before, inode));
    let ran = place.send(&["-H", "--quick", "src/", "copy"]).exits(0);
    assert_eq!((ran.count("trusted_files"), ran.count("files")), (6, 0));
    assert_eq!(shared(&place, "copy"), names());
}

#[test]
fn without_the_option_each_name_gets_a_copy_and_with_it_copies_become_names() {
    let place = place();
    for option in ["-r", "-a"] {
        place.send(&[option, "src/", "copy"]).exits(0);
        assert_eq!(shared(&place, "copy"), [] as [Vec<String>; 0], "{option}");
    }
    // Not where nothing may be replaced: these are other files.
    let kept = place.send(&["-H", "--no-replace", "src/", "copy"]).exits(23);
    assert_eq!((kept.failed().len(), kept.count("unchanged_files")), (3, 3));
    assert_eq!(shared(&place, "copy"), [] as [Vec<String>; 0]);

    let ran = place.send(&["-H", "src/", "copy"]).exits(0);
    assert_eq!((ran.count("sent_bytes"), ran.count("unchanged_files")), (0, 3));
    assert_eq!((shared(&place, "copy"), tree(&place.path("copy"))), (names(), tree(&place.path("src"))));
}

#[test]
fn a_name_that_is_new_or_leads_to_something_else_becomes_one_of_the_file() {
    for option in ["--checked", "--quick"] {
        let place = place();
        place.send(&["-H", "src/", "copy"]).exits(0);
        // Now of another file, of none, and of one with other bytes.
        std::fs::remove_file(place.path("copy/large")).unwrap();
        link(&place, "copy/alone", "copy/large");
        link(&place, "src/small", "src/added");
        place.write("src/a/b/small again", b"changed");
        set_modified(&place.path("src/small"), 1_000_000_000, 5);
        let options: &[&str] =
            if option == "--quick" { &["-H", option, "src/", "copy"] } else { &["-H", "src/", "copy"] };
        place.send(options).exits(0);
        assert_eq!(shared(&place, "copy"), shared(&place, "src"), "{option}");
        assert_eq!(tree(&place.path("copy")), tree(&place.path("src")), "{option}");
        assert_eq!(place.path("copy/alone").metadata().unwrap().nlink(), 1);
    }
}

#[test]
fn names_are_joined_only_within_the_transfer() {
    let place = place();
    let ran = place.send(&["-H", "src/alone", "src/small", "src/large", "copy/"]).exits(0);
    assert_eq!((ran.count("files"), hard_links_receipted(&ran)), (3, 0));
    let ran = place.send(&["-H", "--exclude", "small*", "src/", "filtered"]).exits(0);
    assert_eq!((shared(&place, "filtered").len(), hard_links_receipted(&ran)), (1, 1));
    // Different sources, one destination.
    place.write("one/file", b"x");
    place.directory("two");
    link(&place, "one/file", "two/file");
    place.send(&["-H", "one", "two", "both"]).exits(0);
    assert_eq!(shared(&place, "both"), [["one/file", "two/file"]]);
}

#[test]
fn where_the_file_failed_its_other_names_fail_and_say_why() {
    let place = place();
    // The first name that is met: names of a directory come before what lies deeper.
    place.directory("copy/large");
    let ran = place.send(&["-H", "src/", "copy"]).exits(23);
    assert_eq!(ran.failed(), [("src/a/large".to_owned(), 23), ("src/large".to_owned(), 25)]);
    let said = ran.events_of("error");
    assert!(said.iter().any(|error| error["error"].to_string().contains("another name of")), "{said:?}");
    assert!(!place.has("copy/a/large"));
    assert_eq!((ran.count("files"), shared(&place, "copy").len()), (4, 1));

    std::fs::remove_dir(place.path("copy/large")).unwrap();
    place.send(&["-H", "src/", "copy"]).exits(0);
    assert_eq!(shared(&place, "copy"), names());
}

#[test]
fn a_name_takes_the_place_of_a_file_and_of_nothing_else() {
    let place = place();
    place.write("outside/kept", b"as it was");
    place.directory("copy/a/b/small again");
    place.directory("copy/a");
    symlink(place.path("outside/kept"), place.path("copy/a/large")).unwrap();
    let ran = place.send(&["-H", "src/", "copy"]).exits(23);
    assert_eq!(ran.failed(), [("src/a/b/small again".to_owned(), 25), ("src/a/large".to_owned(), 25)]);
    assert_eq!(place.read("outside/kept"), b"as it was");
    assert!(place.path("copy/a/large").is_symlink() && place.path("copy/a/b/small again").is_dir());
    assert_eq!(shared(&place, "copy"), [["small", "small\nonce more"]]);
    assert!(place.staging_files("copy").is_empty());
}

#[test]
fn what_a_killed_run_left_under_a_staging_name_is_no_obstacle() {
    let place = place();
    place.write("copy/something else", b"x");
    let staging = |name: &str| Name::new(name.as_bytes()).unwrap().staging_of_link();
    link(&place, "copy/something else", &format!("copy/{}", staging("small").display()));
    place.directory("copy/a/b");
    place.write(PathBuf::from("copy/a/b").join(staging("small again")), b"");
    place.write(PathBuf::from("copy/a").join(staging("large")), b"");
    place.write(PathBuf::from("copy").join(staging("small\nonce more")), b"");
    place.send(&["-H", "src/", "copy"]).exits(0);
    assert_eq!(shared(&place, "copy").len(), 2 + usize::from(place.has(PathBuf::from("copy").join(staging("small")))));
    assert_eq!(place.read("copy/something else"), b"x");
}

#[test]
fn where_no_hard_link_can_be_made_that_is_said_and_the_rest_is_done() {
    let place = place();
    let Some(_mount) = Mount::tmpfs(&place.path("copy/a"), "size=16m") else { return };
    let ran = place.send(&["-H", "src/", "copy"]).exits(23);
    assert_eq!(ran.failed(), [("src/a/b/small again".to_owned(), 23), ("src/a/large".to_owned(), 23)]);
    let said = ran.events_of("error");
    assert!(said.iter().all(|error| error["error"].to_string().contains("makes no hard link")), "{said:?}");
    assert!(ran.stderr.contains("leave out --hard-links"), "{}", ran.stderr);
    assert_eq!(shared(&place, "copy"), [["small", "small\nonce more"]]);
    assert!(place.staging_files("copy").is_empty());
}

#[test]
fn a_file_is_moved_with_all_its_names_or_with_none() {
    let place = place();
    if words_possible(&place.path("")) != ["reread", "device", "yes"] {
        return skipped("no receipt proves everything on this file system, so nothing is moved");
    }
    let ran = place.send(&["-H", "--move", "--receipts", "r", "src", "copy/"]).exits(0);
    assert_eq!(ran.count("removed_sources"), 6);
    assert!(!place.has("src"));
    assert_eq!(shared(&place, "copy/src"), names());

    // Names that are not sent keep no other from being moved.
    let place = self::place();
    let ran = place.send(&["-H", "--move", "--receipts", "r", "--exclude=small?*", "src/", "copy/"]).exits(0);
    assert_eq!((ran.count("removed_sources"), shared(&place, "src").len()), (4, 1));

    let place = self::place();
    place.directory("copy/a/b/small again");
    let ran = place.send(&["-H", "--move", "--receipts", "r", "src/", "copy/"]).exits(23);
    assert_eq!(ran.count("removed_sources"), 3);
    assert_eq!(shared(&place, "src"), names()[..1]);
    std::fs::remove_dir(place.path("copy/a/b/small again")).unwrap();
    place.send(&["-H", "--move", "--receipts", "r", "src/", "copy/"]).exits(0);
    assert_eq!((tree(&place.path("src")).len(), shared(&place, "copy")), (0, names()));
}

/// What is foreseen, with the path: in the order of the paths.
fn foreseen(ran: &Ran) -> Vec<(String, String)> {
    let word = |event: &serde_json::Value, field: &str| event[field].as_str().expect("a word").to_owned();
    let mut all: Vec<_> =
        ran.events_of("foreseen").iter().map(|event| (word(event, "what"), word(event, "path"))).collect();
    all.sort();
    all
}

#[test]
fn a_dry_run_foresees_what_becomes_of_each_name_and_makes_none() {
    let place = place();
    let line = ["-n", "-H", "src/", "copy"];
    let all = place.send(&line).exits(0);
    assert_eq!((foreseen(&all).len(), place.has("copy")), (6, false));
    assert!(foreseen(&all).iter().all(|(what, _)| what == "new"));
    let lengths = all.events_of("foreseen").iter().filter_map(|event| event["length"].as_u64()).sum::<u64>();
    assert_eq!(lengths, (2 * CHUNK + 5 + 7 + 5) as u64, "each content goes once");
    place.send(&["-H", "src/", "copy"]).exits(0);
    assert!(foreseen(&place.send(&line).exits(0)).iter().all(|(what, _)| what == "unchanged"));
    assert_eq!(place.send(&["-n", "-H", "--quick", "src/", "copy"]).exits(0).count("trusted_files"), 6);

    place.write("copy/small", b"changed");
    std::fs::remove_file(place.path("copy/a/large")).unwrap();
    place.directory("copy/a/large");
    let before = tree(&place.path("copy"));
    let ran = place.send(&["-n", "-H", "--move", "--receipts", "r", "src/", "copy"]).exits(23);
    assert_eq!(ran.failed(), [("src/a/large".to_owned(), 25)]);
    let told: Vec<_> = foreseen(&ran).into_iter().map(|(what, path)| format!("{what} {path}")).collect();
    let expected = [
        "replaced a/b/small again",
        "replaced small",
        "replaced small\\nonce more",
        "source-removed src/a/b/small again",
        "source-removed src/alone",
        "source-removed src/small",
        "source-removed src/small\\nonce more",
        "unchanged alone",
        "unchanged large",
    ];
    assert_eq!(told, expected);
    assert_eq!((tree(&place.path("copy")), shared(&place, "src")), (before, names()));
}

#[test]
fn further_names_are_no_leftovers_to_delete() {
    let place = place();
    place.send(&["-H", "src/", "copy"]).exits(0);
    link(&place, "copy/small", "copy/a/old name");
    let ran = place.send(&["-H", "--delete", "src/", "copy"]).exits(0);
    assert_eq!(ran.count("deleted"), 1);
    assert_eq!((shared(&place, "copy"), tree(&place.path("copy"))), (names(), tree(&place.path("src"))));
}

#[test]
fn a_listening_receiver_needs_no_word_for_it() {
    let place = place();
    place.directory("in");
    let mut listening = start(&mut place.receiver(&["--listen", "127.0.0.1:0", "in"]));
    let ticket = listening.first_line();
    place.send(&["-H", "src/", ticket.trim()]).exits(0);
    listening.finish().exits(0);
    assert_eq!(shared(&place, "in"), names());
}

#[test]
fn names_of_files_that_only_their_owner_may_not_read_are_kept_by_root() {
    if !is_root() {
        return skipped("only root reads what its owner may not");
    }
    let place = place();
    set_mode(&place.path("src/small"), 0);
    place.send(&["-H", "src/", "copy"]).exits(0);
    assert_eq!(shared(&place, "copy"), names());
    assert_eq!(place.path("copy/a/b/small again").metadata().unwrap().mode() & 0o7777, 0);
}

#[test]
fn a_page_holds_512_names_and_more_follow() {
    let place = Place::new();
    place.write("src/first", b"x");
    place.directory("src/names");
    for number in 0..1300 {
        link(&place, "src/first", &format!("src/names/{number}"));
    }
    let ran = run(place.sender(&["-H", "src/", "copy"]).arg("--json")).exits(0);
    assert_eq!((ran.count("files"), ran.count("sent_bytes")), (1301, 1));
    assert_eq!(place.path("copy/first").metadata().unwrap().nlink(), 1301);
}
