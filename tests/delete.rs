//! `--delete`: what has no source goes, and nothing else; after any failure nothing goes.

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use support::{HeldStaging, Place, Ran, run, skipped, staging_name, start, tree};

fn paths(place: &Place, directory: &str) -> BTreeSet<PathBuf> {
    tree(&place.path(directory)).into_keys().collect()
}

fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

/// Paths that were told to be deleted, in order.
fn deleted(ran: &Ran) -> Vec<String> {
    let path = |event: &serde_json::Value| event["path"].as_str().expect("a path").to_owned();
    let mut deleted: Vec<_> = ran.events_of("deleted").iter().map(path).collect();
    deleted.sort();
    assert_eq!(ran.count("deleted"), deleted.len() as u64);
    deleted
}

#[test]
fn what_has_no_source_goes_with_all_that_is_in_it_and_nothing_beside_the_tree_goes() {
    let place = Place::new();
    place.write("s/kept", b"1");
    place.write("s/dir/kept", b"2");
    place.directory("s/empty");
    for old in ["d/other", "d/s/old", "d/s/dir/old", "d/s/gone/a/b", "d/s/gone/c", "d/s/empty/x", "outside/file"] {
        place.write(old, b"old");
    }
    symlink("../../outside", place.path("d/s/link")).expect("a link");
    let ran = place.send(&["--delete", "s", "d"]).exits(0);
    assert_eq!(paths(&place, "d"), set(&["other", "s", "s/kept", "s/dir", "s/dir/kept", "s/empty"]));
    assert!(place.has("outside/file"), "a link is removed and not followed");
    let gone = ["dir/old", "empty/x", "gone", "gone/a", "gone/a/b", "gone/c", "link", "old"];
    assert_eq!(deleted(&ran), gone.map(|path| format!("s/{path}")));
    assert_eq!(deleted(&place.send(&["--delete", "s", "d"]).exits(0)), [] as [&str; 0]);
    let line = run(&mut place.sender(&["--delete", "s/", "d"])).exits(0).stderr;
    assert!(line.contains("; 6 deleted;"), "with s/ the destination itself is the tree: {line}");
    assert_eq!(paths(&place, "d"), paths(&place, "s"));
}

#[test]
fn directories_keep_the_time_of_their_source_although_names_in_them_went() {
    let place = Place::new();
    place.write("s/dir/kept", b"2");
    place.write("d/s/dir/old", b"old");
    place.send(&["--delete", "s", "d"]).exits(0);
    let time = |path: &str| place.path(path).metadata().expect("a directory").modified().expect("a time");
    assert_eq!(time("d/s/dir"), time("s/dir"));
}

#[test]
fn what_is_deleted_is_what_rsync_deletes() {
    if !Command::new("rsync").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skipped("rsync is not installed");
    }
    let place = Place::new();
    for name in ["s/a/x.o", "s/a/x.c", "s/cache/1", "s/top", "s/new\nline"] {
        place.write(name, b"source");
    }
    let cases: [&[&str]; 6] = [
        &["--delete"],
        &["--delete", "--exclude", "*.o"],
        &["--delete", "--exclude", "/cache", "--exclude", "old/keep"],
        &["--delete", "--delete-excluded", "--exclude", "*.o", "--exclude", "cache/"],
        &["--delete", "--include", "*.c", "--exclude", "old/*"],
        &["--delete", "--min-size", "1G"],
    ];
    for options in cases {
        for target in ["ours", "theirs"] {
            for old in [
                "a/x.o",
                "a/y.o",
                "a/y.c",
                "cache/2",
                "old/keep/1",
                "old/x.c",
                "old/y.o",
                "gone/x.o",
                "gone/z",
                "new\nlines",
            ] {
                place.write(format!("{target}/{old}"), b"old");
            }
        }
        place.send(&[options, &["s/", "ours"]].concat()).exits(0);
        run(&mut place.program("rsync", &[&["-a"], options, &["s/", "theirs"]].concat())).exits(0);
        assert_eq!(paths(&place, "ours"), paths(&place, "theirs"), "{options:?}");
        for target in ["ours", "theirs"] {
            std::fs::remove_dir_all(place.path(target)).expect("a target");
        }
    }
}

#[test]
fn after_any_failure_nothing_is_deleted() {
    let place = Place::new();
    place.write("s/kept", b"1");
    place.write("d/old", b"old");
    let ran = place.send(&["--delete", "s/", "nowhere", "d"]).exits(23);
    assert_eq!(deleted(&ran), [] as [&str; 0]);
    assert!(ran.stderr.contains("nothing was deleted, because not everything was transferred"), "{ran:?}");
    assert_eq!(paths(&place, "d"), set(&["kept", "old"]));
}

#[test]
fn what_is_skipped_keeps_its_target() {
    let place = Place::new();
    place.write("s/kept", b"1");
    symlink("kept", place.path("s/link")).expect("a link");
    place.write("d/link", b"of another run");
    place.write("d/old", b"old");
    place.send(&["--delete", "s/", "d"]).exits(23);
    assert_eq!(paths(&place, "d"), set(&["kept", "link"]));
}

#[test]
fn more_than_max_delete_deletes_nothing() {
    let place = Place::new();
    place.write("s/kept", b"1");
    for old in ["d/a", "d/b/c"] {
        place.write(old, b"old");
    }
    let ran = place.send(&["--delete", "--max-delete", "2", "s/", "d"]).exits(25);
    assert!(ran.stderr.contains("3 to delete, at most 2 permitted") && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(paths(&place, "d"), set(&["a", "b", "b/c", "kept"]));
    let ran = place.send(&["--delete", "--max-delete", "3", "s/", "d"]).exits(0);
    assert_eq!(deleted(&ran), ["a", "b", "b/c"]);
}

#[test]
fn a_directory_of_more_names_than_a_message_holds_keeps_each_of_them() {
    let place = Place::new();
    for name in 0..40_000 {
        for top in ["s", "d"] {
            place.write(format!("{top}/x{name}"), b"");
        }
    }
    for name in 0..9_000 {
        place.write(format!("d/a name that is long enough for many messages {name}"), b"");
    }
    // What is left out is not sent, and keeps its target.
    let ran = place.send(&["--delete", "--exclude", "x*", "s/", "d"]).exits(0);
    assert_eq!(ran.count("deleted"), 9_000);
    assert_eq!(paths(&place, "d").len(), 40_000);
}

#[test]
fn a_staging_file_goes_unless_somebody_holds_it() {
    let place = Place::new();
    place.write("s/kept", b"1");
    place.write("d/.careful-0123456789abcdef-left", b"staged");
    let held = HeldStaging::new(&place.path("d"), "held");
    place.send(&["--delete", "s/", "d"]).exits(0);
    assert_eq!(paths(&place, "d"), BTreeSet::from([PathBuf::from("kept"), staging_name("held").into()]));
    held.release();
    place.send(&["--delete", "s/", "d"]).exits(0);
    assert_eq!(paths(&place, "d"), set(&["kept"]));
}

#[test]
fn what_is_mounted_at_the_destination_is_not_entered() {
    let place = Place::new();
    place.write("s/kept", b"1");
    let Some(_mount) = support::Mount::tmpfs(&place.path("d/old/mount"), "size=1m") else { return };
    place.write("d/old/mount/precious", b"2");
    place.write("d/old/other", b"3");
    let ran = place.send(&["--delete", "s/", "d"]).exits(23);
    assert_eq!(ran.failed(), [("old/mount".to_owned(), 23)]);
    assert_eq!(paths(&place, "d"), set(&["kept", "old", "old/mount", "old/mount/precious"]));
}

#[test]
fn a_listening_receiver_must_have_allowed_it() {
    let place = Place::new();
    place.write("s/kept", b"1");
    place.write("d/old", b"old");
    for (options, code) in
        [(&["--listen", "127.0.0.1:0", "d"][..], 25), (&["--allow-delete", "--listen", "127.0.0.1:0", "d"], 0)]
    {
        let mut receiver = start(&mut place.receiver(options));
        let ticket = receiver.first_line();
        let ran = place.send(&["--delete", "s/", &ticket]).exits(code);
        assert_eq!(place.has("d/old"), code != 0);
        assert_eq!(place.has("d/kept"), code == 0, "refused before anything is transferred");
        if code != 0 {
            assert!(ran.stderr.contains("--allow-delete"), "{ran:?}");
        }
        receiver.finish();
    }
}
