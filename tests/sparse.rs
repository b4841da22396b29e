//! `--sparse`: long runs of zeros are holes of the copy, and nothing that lay there before comes through.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk past the program's own door"
)]

mod support;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use support::{CHUNK, Mount, Place, Ran, random_bytes, root_of, set_mode, staging_name};

/// The shortest hole.
const HOLE: usize = 64 << 10;
const LENGTH: usize = 64 * CHUNK;
/// More than its data and what the file system needs of its own.
const FEW: u64 = 4 << 20;

/// Bytes of the disk that a file takes.
fn stored(path: &Path) -> u64 {
    path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display())).blocks() * 512
}

/// Zeros, but for data in the first chunk, across the border of two, in the middle of one, and at the end.
fn sparse_bytes(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH + 4321];
    let data = random_bytes(CHUNK / 4, seed);
    for start in [0, 8 * CHUNK - 1000, 20 * CHUNK + 300_000, LENGTH + 4321 - data.len()] {
        bytes[start..start + data.len()].copy_from_slice(&data);
    }
    bytes
}

fn assert_sparse(place: &Place, ran: Ran, bytes: &[u8], copy: &str) {
    let ran = ran.exits(0);
    assert_eq!(root_of(&place.read(copy)), root_of(bytes));
    assert_eq!(ran.events_of("receipt")[0]["root"], root_of(bytes));
    assert!(stored(&place.path(copy)) < FEW, "{} bytes of the disk", stored(&place.path(copy)));
}

#[test]
fn zeros_of_the_source_are_holes_of_the_copy() {
    let place = Place::new();
    let bytes = sparse_bytes(1);
    // Every byte of the source is written: it has no holes itself.
    place.write("file", &bytes);
    for option in ["--sparse", "-S"] {
        place.directory("d");
        assert_sparse(&place, place.send(&[option, "file", "d"]), &bytes, "d/file");
        assert!(place.staging_files("d").is_empty());
        std::fs::remove_dir_all(place.path("d")).unwrap();
    }
    place.send(&["file", "dense"]).exits(0);
    assert!(stored(&place.path("dense")) >= LENGTH as u64, "without the option every byte has its place");
}

#[test]
fn a_small_file_a_file_of_zeros_and_every_length_are_what_they_were() {
    let place = Place::new();
    let mut lengths = vec![0, 1, 4095, 4096, 65535, 65536, 65537, 300_000, CHUNK - 1, CHUNK];
    lengths.extend([CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 65537]);
    for length in lengths {
        place.write(format!("src/zeros{length}"), &vec![0; length]);
        let mut bytes = vec![0; length];
        bytes.iter_mut().step_by(200_000).for_each(|byte| *byte = 1);
        place.write(format!("src/some{length}"), &bytes);
    }
    place.send(&["--sparse", "src/", "copy"]).exits(0);
    assert_eq!(support::tree(&place.path("src")), support::tree(&place.path("copy")));
    for length in [1, 65536, CHUNK, 2 * CHUNK] {
        // The record may take a block of its own.
        assert!(stored(&place.path(format!("copy/zeros{length}"))) <= 4096, "{length} zeros");
    }
    assert!(stored(&place.path("copy/some1048576")) < 8 * 65536);
}

#[test]
fn memory_file_systems_have_holes_too() {
    let place = Place::new();
    let Some(_mount) = Mount::tmpfs(&place.path("d"), "size=16m") else { return };
    let bytes = sparse_bytes(2);
    place.write("file", &bytes);
    // The whole file would not even fit.
    assert_sparse(&place, place.send(&["--sparse", "file", "d"]), &bytes, "d/file");
    place.send(&["file", "d/dense"]).exits(11);
}

#[test]
fn nothing_that_was_staged_before_shows_through_a_hole() {
    let place = Place::new();
    let bytes = sparse_bytes(3);
    place.write("file", &bytes);
    for (length, what) in [(bytes.len(), "as long"), (bytes.len() / 2, "shorter"), (bytes.len() + CHUNK, "longer")] {
        let staging = Path::new("d").join(staging_name("file"));
        place.random(&staging, length, 9);
        set_mode(&place.path(&staging), 0o600);
        assert_sparse(&place, place.send(&["--sparse", "file", "d"]), &bytes, "d/file");
        assert!(place.staging_files("d").is_empty(), "{what}");
        std::fs::remove_file(place.path("d/file")).unwrap();
    }
    // The same for a small one.
    place.write("small", &vec![0; 200_000]);
    let staging = Path::new("d").join(staging_name("small"));
    place.random(&staging, 250_000, 9);
    set_mode(&place.path(&staging), 0o600);
    place.send(&["--sparse", "small", "d"]).exits(0);
    assert_eq!(place.read("d/small"), vec![0; 200_000]);
    assert!(stored(&place.path("d/small")) <= 4096);
}

#[test]
fn what_an_interrupted_run_left_is_gone_on_with_and_its_holes_are_not_sent_again() {
    let place = Place::new();
    let bytes = sparse_bytes(4);
    place.write("file", &bytes);
    let staging = Path::new("d").join(staging_name("file"));
    // As a run left it that was killed in its middle: reserved or not, the first half is there.
    for reserves in [false, true] {
        place.write(&staging, &[]);
        set_mode(&place.path(&staging), 0o600);
        let file = File::options().write(true).open(place.path(&staging)).unwrap();
        if reserves {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes.len() as u64).unwrap();
            assert!(stored(&place.path(&staging)) >= LENGTH as u64);
        }
        file.set_len(bytes.len() as u64).unwrap();
        for (index, piece) in bytes[..LENGTH / 2].chunks(HOLE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                file.write_all_at(piece, (index * HOLE) as u64).unwrap();
            }
        }
        drop(file);
        let ran = place.send(&["--sparse", "file", "d"]);
        assert_eq!(ran.count("sent_bytes"), (CHUNK + 4321) as u64, "the end, where there is data: {ran:?}");
        assert_sparse(&place, ran, &bytes, "d/file");
        std::fs::remove_file(place.path("d/file")).unwrap();
    }
}

#[test]
fn chunks_that_are_taken_from_the_old_target_get_holes_too() {
    let place = Place::new();
    let mut bytes = sparse_bytes(5);
    place.write("d/file", &bytes);
    bytes[0] ^= 1;
    place.write("file", &bytes);
    let ran = place.send(&["--sparse", "file", "d"]);
    assert_eq!(ran.count("sent_bytes"), CHUNK as u64);
    assert_sparse(&place, ran, &bytes, "d/file");
    assert!(stored(&place.path("file")) >= LENGTH as u64);
}

#[test]
fn an_equal_target_stays_as_it_is() {
    let place = Place::new();
    let bytes = sparse_bytes(6);
    place.write("file", &bytes);
    place.write("d/file", &bytes);
    let ran = place.send(&["--sparse", "file", "d"]).exits(0);
    assert_eq!((ran.count("sent_bytes"), ran.count("unchanged_files")), (0, 1));
    assert!(stored(&place.path("d/file")) >= LENGTH as u64);
}
