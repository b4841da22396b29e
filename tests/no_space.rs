//! Receivers that cannot take what they are sent: no space, no inodes, read-only, no file descriptors.

mod support;

use std::path::Path;

use support::{CHUNK, Mount, Place, run, tree};

#[test]
fn a_large_file_without_space_for_it_fails_before_anything_is_sent() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place.path("d"), "size=8m") else { return };
    let bytes = place.random("file", 12 * CHUNK, 1);
    place.write("d/file", b"the old target");
    let ran = place.send(&["file", "d"]).exits(11);
    assert_eq!(ran.count("sent_bytes"), 0);
    assert!(ran.stderr.contains("no space left at the receiving side") && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(place.read("d/file"), b"the old target");
    assert_eq!(tree(&place.path("d")).len(), 1, "no staging file takes the little space there is");
    mount.change("size=16m");
    place.send(&["file", "d"]).exits(0);
    assert_eq!(place.read("d/file"), bytes);
}

#[test]
fn files_that_still_fit_arrive_beside_a_large_one_that_does_not() {
    let place = Place::new();
    let Some(_mount) = Mount::tmpfs(&place.path("d"), "size=8m") else { return };
    place.random("src/large", 12 * CHUNK, 1);
    place.random("src/fits", 2 * CHUNK, 2);
    place.write("src/small", b"small");
    let ran = place.send(&["src/", "d"]).exits(11);
    assert_eq!(ran.failed(), [("src/large".to_owned(), 11)]);
    assert_eq!(ran.receipted(), ["fits", "small"]);
    assert_eq!(place.read("d/fits"), place.read("src/fits"));
}

#[test]
fn when_space_runs_out_among_small_files_what_arrived_is_right_and_the_rest_says_so() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place.path("d"), "size=8m") else { return };
    for number in 0..24 {
        place.random(format!("src/{number:02}"), CHUNK / 2 + number, number as u64);
        place.write(format!("d/{number:02}"), b"old");
    }
    let ran = place.send(&["src/", "d"]).exits(11);
    let (arrived, failed) = (ran.receipted(), ran.failed());
    assert!(!arrived.is_empty() && !failed.is_empty(), "{ran:?}");
    assert_eq!(arrived.len() + failed.len(), 24);
    assert!(failed.iter().all(|(_, code)| *code == 11), "{ran:?}");
    for number in 0..24 {
        let name = format!("{number:02}");
        let found = place.read(Path::new("d").join(&name));
        let wanted = if arrived.contains(&name) { place.read(Path::new("src").join(&name)) } else { b"old".to_vec() };
        assert!(found == wanted, "{name}");
    }
    assert!(place.staging_files("d").is_empty());
    mount.change("size=32m");
    place.send(&["src/", "d"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("d")));
}

#[test]
fn when_inodes_run_out_what_arrived_is_right_and_the_rest_says_so() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place.path("d"), "size=8m,nr_inodes=12") else { return };
    for number in 0..10 {
        place.write(format!("src/{number}"), b"a");
        place.write(format!("src/directory {number}/b"), b"b");
    }
    let ran = place.send(&["src/", "d"]).exits(11);
    assert!(ran.count("files") > 0 && ran.count("failed_files") > 0, "{ran:?}");
    for path in ran.receipted() {
        assert_eq!(place.read(Path::new("d").join(&path)), place.read(Path::new("src").join(&path)));
    }
    assert!(place.staging_files("d").is_empty());
    mount.change("nr_inodes=100");
    place.send(&["src/", "d"]).exits(0);
    assert_eq!(tree(&place.path("src")), tree(&place.path("d")));
}

#[test]
fn a_read_only_file_system_is_told_as_such_and_nothing_is_sent() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place.path("d"), "size=8m") else { return };
    place.write("d/small", b"old");
    mount.change("ro");
    let before = tree(&place.path("d"));
    place.write("small", b"new");
    place.random("large", 2 * CHUNK, 1);
    place.write("directory/a", b"a");
    for operands in [["small", "d"], ["large", "d"], ["directory", "d"], ["directory", "d/new"], ["small", "d/new"]] {
        let ran = place.send(&operands).exits(11);
        assert!(ran.stderr.contains("read-only"), "{operands:?} {ran:?}");
        assert_eq!(ran.count("files"), 0);
    }
    assert_eq!(place.send(&["large", "d"]).exits(11).count("sent_bytes"), 0);
    assert_eq!(tree(&place.path("d")), before);
}

#[test]
fn with_a_full_table_of_file_descriptors_the_programs_say_so_and_neither_hang_nor_panic() {
    let place = Place::new();
    for number in 0..40 {
        place.random(format!("src/{}/{number}", number % 10), 100, number);
    }
    for number in 0..4 {
        place.random(format!("src/large {number}"), 2 * CHUNK, number);
    }
    for limit in [4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 60] {
        let line = format!("ulimit -n {limit} && exec \"$0\" --json src/ d");
        let ran = run(&mut place.program("sh", &["-c", &line, env!("CARGO_BIN_EXE_careful-send")]));
        assert!(ran.code >= 0 && ran.code != 101, "{limit}: {ran:?}");
        if ran.code == 0 {
            assert_eq!(tree(&place.path("src")), tree(&place.path("d")), "{limit}");
        } else {
            assert!(!ran.stderr.is_empty(), "{limit}: {ran:?}");
        }
        for path in ran.receipted() {
            assert_eq!(place.read(Path::new("d").join(&path)), place.read(Path::new("src").join(&path)), "{limit}");
        }
        if place.has("d") {
            std::fs::remove_dir_all(place.path("d")).expect("removed");
        }
    }
}
