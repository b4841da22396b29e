//! What is sent of a tree: patterns, sizes, lists. rsync is the oracle for names, where it is installed.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use support::{Place, run, skipped, tree};

/// A tree with something for every pattern.
fn place_with_tree() -> Place {
    let place = Place::new();
    for name in [
        "s/top.o",
        "s/top.c",
        "s/a/x.o",
        "s/a/x.c",
        "s/a/b/y.o",
        "s/a/b/deep/z.c",
        "s/a/b/deep/a/x.c",
        "s/cache/1",
        "s/cache/keep/2",
        "s/b",
        "s/x[1]",
        "s/back\\slash",
        "s/*",
        "s/.hidden/x.c",
        "s/-dash",
        "s/new\nline.c",
    ] {
        place.write(name, name.as_bytes());
    }
    place.directory("s/empty/a");
    place
}

/// All paths below a directory; none if it is not there.
fn paths(place: &Place, directory: &str) -> BTreeSet<PathBuf> {
    if place.has(directory) { tree(&place.path(directory)).into_keys().collect() } else { BTreeSet::new() }
}

/// Whether rsync can be asked.
fn has_rsync() -> bool {
    let found = Command::new("rsync").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        skipped("rsync is not installed");
    }
    found
}

/// Sends a source with these options by both programs and compares what arrived.
#[track_caller]
fn assert_as_rsync(place: &Place, options: &[&str], source: &str) {
    for target in ["ours", "theirs"] {
        if place.has(target) {
            std::fs::remove_dir_all(place.path(target)).expect("a target of the last time");
        }
        place.directory(target);
    }
    let ran = place.send(&[options, &[source, "ours/"]].concat()).exits(0);
    assert_eq!(ran.count("skipped_files"), 0);
    let mut command = place.program("rsync", &[&["-a"], options, &[source, "theirs/"]].concat());
    let theirs = run(&mut command).exits(0);
    assert_eq!(paths(place, "ours"), paths(place, "theirs"), "{options:?} {source}: {theirs:?}");
}

#[test]
fn patterns_take_what_rsync_takes() {
    if !has_rsync() {
        return;
    }
    let place = place_with_tree();
    place.write("rules", b"# comment\n\n; another\n+ x.c\n- *.c\ncache/\n");
    place.write("wanted", b"*/\n*.c\n");
    let lines: [&[&str]; 30] = [
        &["--exclude", "*.o"],
        &["--exclude", "x*"],
        &["--exclude", "/a"],
        &["--exclude", "/s/a"],
        &["--exclude", "a/"],
        &["--exclude", "b"],
        &["--exclude", "b/"],
        &["--exclude", "a/b"],
        &["--exclude", "a/*"],
        &["--exclude", "/s/*/b"],
        &["--exclude", "/*/b"],
        &["--exclude", "a/**"],
        &["--exclude", "a/***"],
        &["--exclude", "**/x.c"],
        &["--exclude", "a**x.c"],
        &["--exclude", "/**.c"],
        &["--exclude", "**"],
        &["--exclude", "[tx]*.[!c]"],
        &["--exclude", "[[:alpha:]]"],
        &["--exclude", "?"],
        &["--exclude", "x\\[1]"],
        &["--exclude", "back\\slash"],
        &["--exclude", "back\\\\slas?"],
        &["--exclude", "\\*"],
        &["--include", "keep/", "--include", "2", "--include", "cache/", "--exclude", "cache/*", "--exclude", "*.o"],
        &["--include", "*/", "--include", "*.c", "--exclude", "*"],
        &["--exclude", "*", "--include", "*.c"],
        &["--exclude", "+ x.o", "--exclude", "- *.o", "--include", "- *.c"],
        &["--exclude-from", "rules", "--exclude", ".*"],
        &["--exclude", "top.*", "--include-from", "wanted", "--exclude", "*"],
    ];
    for options in lines {
        assert_as_rsync(&place, options, "s");
        if options.iter().any(|word| word.starts_with('/')) {
            assert_as_rsync(&place, options, "s/");
        }
    }
    assert_as_rsync(&place, &["--exclude", "*.o"], "s/top.o");
}

#[test]
fn sizes_take_what_rsync_takes() {
    if !has_rsync() {
        return;
    }
    let place = Place::new();
    for (name, length) in [("0", 0), ("1023", 1023), ("1024", 1024), ("1025", 1025), ("large", 3 << 20)] {
        place.random(format!("s/{name}"), length, 1);
    }
    for options in
        [&["--min-size=1K"][..], &["--max-size=1K"], &["--min-size=1024", "--max-size=1KiB"], &["--max-size", "1KB"]]
    {
        assert_as_rsync(&place, options, "s/");
    }
}

#[test]
fn what_is_left_out_is_neither_opened_nor_told_of() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("s/secret/file", b"2");
    std::os::unix::fs::symlink("file", place.path("s/link")).expect("a link");
    let ran = place.send(&["--exclude", "link", "--exclude", "secret", "s", "d"]).exits(0);
    assert_eq!(ran.receipted(), ["s/file"]);
    assert_eq!((ran.count("skipped_files"), ran.count("failed_files")), (0, 0));
    assert!(!place.has("d/s/secret"));
}

#[test]
fn one_file_system_makes_the_place_of_a_mount_and_does_not_enter_it() {
    let place = Place::new();
    place.write("s/file", b"1");
    let Some(_mount) = support::Mount::tmpfs(&place.path("s/mount"), "size=1m") else { return };
    place.write("s/mount/beyond", b"2");
    place.send(&["-x", "s", "d"]).exits(0);
    assert!(place.has("d/s/mount") && !place.has("d/s/mount/beyond"));
    place.send(&["s", "e"]).exits(0);
    assert!(place.has("e/s/mount/beyond"));
}

/// Sends what a list names by both programs and compares what arrived. The names that both do not find are the same.
#[track_caller]
fn assert_list_as_rsync(place: &Place, list: &[u8], options: &[&str], code: i32) {
    place.write("list", list);
    for target in ["ours", "theirs"] {
        if place.has(target) {
            std::fs::remove_dir_all(place.path(target)).expect("a target of the last time");
        }
        place.directory(target);
    }
    let words = [options, &["--files-from", "list", "s", "ours/"]].concat();
    let ran = place.send(&words).exits(code);
    let theirs =
        run(&mut place.program("rsync", &[&["-a"], options, &["--files-from", "list", "s", "theirs/"]].concat()));
    assert_eq!(theirs.code, code, "{theirs:?}");
    assert_eq!(paths(place, "ours"), paths(place, "theirs"), "{options:?} {}: {ran:?}", list.escape_ascii());
}

#[test]
fn a_list_takes_what_rsync_takes() {
    if !has_rsync() {
        return;
    }
    let place = place_with_tree();
    assert_list_as_rsync(&place, b"a/x.o\na/b/deep/z.c\na/x.o\ntop.c\n./a//x.c\n/b\n", &[], 0);
    assert_list_as_rsync(&place, b"a\nempty\ncache/\na/b/y.o\n", &[], 0);
    assert_list_as_rsync(&place, b"a/b\na/b/deep\na/b/deep/z.c\n", &["-r"], 0);
    assert_list_as_rsync(&place, b"a/b/deep/z.c\na/b/\na/\n", &[], 0);
    assert_list_as_rsync(&place, b"# no\n; no\n\ntop.c\r\nnowhere\ntop.o/x\n-dash\n", &[], 23);
    assert_list_as_rsync(&place, b".\n", &[], 0);
    assert_list_as_rsync(&place, b"new\nline.c\0top.c\0x[1]\0", &["-0"], 0);
    assert_list_as_rsync(&place, b"a/x.o\na/x.c\ntop.o\ncache/1\n", &["--exclude", "*.o", "--exclude", "/cache"], 0);
    assert_list_as_rsync(&place, b"a\ncache\n", &["-r", "--exclude", "*.o", "--exclude", "keep/"], 0);
    assert_list_as_rsync(&place, b"", &[], 0);
}

#[test]
fn a_list_never_leads_out_of_its_source_or_through_a_link() {
    let place = place_with_tree();
    place.write("outside/file", b"secret");
    std::os::unix::fs::symlink("../outside", place.path("s/link")).expect("a link");
    place.write("list", b"../outside/file\na/../../outside/file\nlink/file\nlink\ntop.c\n");
    let ran = place.send(&["--files-from", "list", "s", "d"]).exits(23);
    let failed: Vec<String> = ran.failed().into_iter().map(|(path, _)| path).collect();
    assert_eq!(failed, ["s/../outside/file", "s/a/../../outside/file", "s/link/file"]);
    assert_eq!(ran.count("skipped_files"), 1, "the link itself");
    assert_eq!(paths(&place, "d"), BTreeSet::from([PathBuf::from("top.c")]));
}

#[test]
fn a_list_may_come_from_a_pipe_and_name_more_than_a_group_holds() {
    let place = Place::new();
    let mut list = Vec::new();
    for number in 0..700 {
        let name = format!("d{}/f{number}", number % 7);
        place.write(format!("s/{name}"), name.as_bytes());
        list.extend_from_slice(name.as_bytes());
        list.push(b'\n');
    }
    place.write("list", &list);
    let line = format!("cat list | {} --json --files-from - s d", env!("CARGO_BIN_EXE_careful-send"));
    let ran = run(&mut place.program("sh", &["-c", &line])).exits(0);
    assert_eq!(ran.count("files"), 700);
    assert_eq!(paths(&place, "d"), paths(&place, "s"));
    place.send(&["--files-from", "list", "--stored", "none", "s", "e"]).exits(0);
    let fifo = format!("{} --json --files-from <(cat list) s f", env!("CARGO_BIN_EXE_careful-send"));
    assert_eq!(run(&mut place.program("bash", &["-c", &fifo])).exits(0).count("files"), 700);
}
