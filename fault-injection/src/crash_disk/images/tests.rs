//! What may be left, told by small sequences whose legal outcomes are known.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use careful::seams::disk::{Directory, Disk, DiskFile, Timestamp, Writing, write_all};

use super::super::{MemoryDisk, Tree};
use super::*;

const ALL: Sampling = Sampling { exhaustive_max: 100_000, random: 0, seed: 1 };

fn disk_with_old_target() -> (MemoryDisk, Arc<dyn Directory>) {
    let disk = MemoryDisk::default();
    disk.put_file(Path::new("/target"), b"old", 0o644);
    let root = disk.open_directory(Path::new("/")).unwrap();
    (disk, root)
}

fn stage(root: &dyn Directory) -> Arc<dyn DiskFile> {
    let file = root.create_file("staging".as_ref(), Writing::Cached).unwrap();
    write_all(file.as_ref(), b"new", 0).unwrap();
    file
}

fn shown(tree: &Tree) -> String {
    let mut files: Vec<String> = tree
        .paths()
        .into_iter()
        .map(|(path, _)| path)
        .map(|path| {
            let text = tree.file(&path).map_or_else(
                || "directory".to_owned(),
                |file| {
                    let bytes = file.content.to_vec();
                    let known = [&b"old"[..], b"new", b"\0\0\0", b""].contains(&&bytes[..]);
                    let text = if known { String::from_utf8_lossy(&bytes).replace('\0', "0") } else { "?".to_owned() };
                    format!("{text}:{:o}", file.mode)
                },
            );
            format!("{}={text}", path.display())
        })
        .collect();
    files.sort();
    files.join(" ")
}

/// Every outcome at the end.
fn outcomes(disk: &MemoryDisk, model: Model) -> BTreeSet<String> {
    let recording = disk.recording();
    let images = Images::new(&recording, recording.entries().len(), model, ALL);
    assert!(images.is_exhaustive());
    (0..images.count()).map(|number| shown(&images.tree(number))).collect()
}

fn set(outcomes: &[&str]) -> BTreeSet<String> {
    outcomes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rename_is_whole_or_not_at_all_and_the_replaced_file_comes_back_with_its_name() {
    let (disk, root) = disk_with_old_target();
    stage(root.as_ref()).sync_all().unwrap();
    root.sync().unwrap();
    root.rename("staging".as_ref(), "target".as_ref(), true).unwrap();
    let expected = set(&["/staging=new:600 /target=old:644", "/target=new:600"]);
    assert_eq!(outcomes(&disk, Model::Posix), expected);
    assert_eq!(outcomes(&disk, Model::Journal), expected);
    root.sync().unwrap();
    assert_eq!(outcomes(&disk, Model::Posix), set(&["/target=new:600"]));
}

#[test]
fn without_a_sync_of_the_file_the_new_name_may_hold_anything() {
    let (disk, root) = disk_with_old_target();
    stage(root.as_ref());
    root.rename("staging".as_ref(), "target".as_ref(), true).unwrap();
    root.sync().unwrap();
    let expected = set(&["/target=new:600", "/target=:600", "/target=000:600", "/target=?:600"]);
    assert_eq!(outcomes(&disk, Model::Posix), expected);
    // The journal keeps the length that came before the rename, but not the bytes.
    let expected = set(&["/target=new:600", "/target=000:600", "/target=?:600"]);
    assert_eq!(outcomes(&disk, Model::Journal), expected);
}

#[test]
fn a_synced_file_without_a_synced_name_is_lost_under_posix_and_kept_by_a_journal() {
    let (disk, root) = disk_with_old_target();
    stage(root.as_ref()).sync_all().unwrap();
    assert_eq!(outcomes(&disk, Model::Posix), set(&["/target=old:644", "/staging=new:600 /target=old:644"]));
    assert_eq!(outcomes(&disk, Model::Journal), set(&["/staging=new:600 /target=old:644"]));
}

#[test]
fn fdatasync_covers_bytes_and_length_but_neither_mode_nor_time() {
    let (disk, root) = disk_with_old_target();
    let file = stage(root.as_ref());
    root.sync().unwrap();
    file.set_mode(0o640).unwrap();
    file.sync_data().unwrap();
    let expected = set(&["/staging=new:600 /target=old:644", "/staging=new:640 /target=old:644"]);
    assert_eq!(outcomes(&disk, Model::Posix), expected);
    file.set_modified(Timestamp { seconds: 5, nanoseconds: 0 }).unwrap();
    file.sync_all().unwrap();
    assert_eq!(outcomes(&disk, Model::Posix), set(&["/staging=new:640 /target=old:644"]));
    let recording = disk.recording();
    let tree = Images::new(&recording, recording.entries().len(), Model::Posix, ALL).tree(0);
    assert_eq!(tree.file(Path::new("/staging")).unwrap().modified.seconds, 5);
}

#[test]
fn a_file_in_a_directory_whose_name_was_not_synced_is_lost_with_it() {
    let (disk, root) = disk_with_old_target();
    root.make_directory("made".as_ref(), 0o755).unwrap();
    let made = root.open_directory("made".as_ref()).unwrap();
    stage(made.as_ref()).sync_all().unwrap();
    made.sync().unwrap();
    let both = set(&["/target=old:644", "/made/staging=new:600 /made=directory /target=old:644"]);
    assert_eq!(outcomes(&disk, Model::Posix), both);
    root.sync().unwrap();
    assert_eq!(outcomes(&disk, Model::Posix).len(), 1);
}

#[test]
fn a_sync_of_the_file_system_covers_everything_before_it() {
    let (disk, root) = disk_with_old_target();
    stage(root.as_ref()).set_mode(0o640).unwrap();
    root.sync_file_system().unwrap();
    assert_eq!(outcomes(&disk, Model::Posix), set(&["/staging=new:640 /target=old:644"]));
    assert!(outcomes(&disk, Model::Lying).contains("/target=old:644"), "a device that lies has done nothing");
}

#[test]
fn a_cut_of_a_file_is_kept_or_lost_and_its_bytes_come_back_only_when_lost() {
    let (disk, root) = disk_with_old_target();
    let file = root.open_for_writing("target".as_ref(), Writing::Cached).unwrap();
    file.set_length(0).unwrap();
    file.set_length(3).unwrap();
    let expected = set(&["/target=old:644", "/target=:644", "/target=000:644"]);
    assert_eq!(outcomes(&disk, Model::Posix), expected);
}

#[test]
fn a_journal_never_leaves_what_posix_could_not() {
    let (disk, root) = disk_with_old_target();
    let file = stage(root.as_ref());
    file.set_mode(0o640).unwrap();
    file.sync_data().unwrap();
    root.rename("staging".as_ref(), "target".as_ref(), true).unwrap();
    write_all(root.create_file("staging".as_ref(), Writing::Cached).unwrap().as_ref(), b"old", 0).unwrap();
    root.remove_file("staging".as_ref()).unwrap();
    let recording = disk.recording();
    for point in 0..=recording.entries().len() {
        let of = |model| {
            let images = Images::new(&recording, point, model, ALL);
            (0..images.count()).map(|number| shown(&images.tree(number))).collect::<BTreeSet<_>>()
        };
        assert!(of(Model::Journal).is_subset(&of(Model::Posix)), "at {point}");
    }
}

#[test]
fn beyond_the_limit_the_extremes_and_the_drawn_ones_are_made() {
    let (disk, root) = disk_with_old_target();
    let file = stage(root.as_ref());
    file.set_mode(0o640).unwrap();
    let recording = disk.recording();
    let few = Sampling { exhaustive_max: 3, random: 50, seed: 7 };
    let images = Images::new(&recording, recording.entries().len(), Model::Posix, few);
    assert!(!images.is_exhaustive());
    // Creation, length and bytes, mode: four items.
    assert_eq!(images.count(), 2 + 8 + 50);
    assert_eq!(shown(&images.tree(images.nothing_kept())), "/target=old:644");
    assert_eq!(shown(&images.tree(images.all_kept())), "/staging=new:640 /target=old:644");
    assert_eq!(shown(&images.tree(4)), "/staging=:640 /target=old:644", "the length alone is missing");
    assert_eq!(shown(&images.tree(3)), "/staging=:600 /target=old:644", "the creation alone is there");
    let drawn: BTreeSet<String> = (10..60).map(|number| shown(&images.tree(number))).collect();
    assert!(drawn.len() >= 5, "{drawn:?}");
    assert!(images.describe(4).contains("LOST") && images.name(4).contains("image 4, seed 7"));
}

#[test]
fn all_kept_is_what_the_host_saw() {
    let (disk, root) = disk_with_old_target();
    let file = stage(root.as_ref());
    write_all(file.as_ref(), &[7; 9000], 100).unwrap();
    file.set_length(5000).unwrap();
    root.rename("staging".as_ref(), "target".as_ref(), true).unwrap();
    let recording = disk.recording();
    let images = Images::new(&recording, recording.entries().len(), Model::Posix, ALL);
    let (image, seen) = (images.tree(images.all_kept()), disk.tree());
    assert_eq!(image.paths(), seen.paths());
    let of = |tree: &Tree| tree.file(Path::new("/target")).map(|file| (file.content.to_vec(), file.modified)).unwrap();
    assert!(of(&image) == of(&seen));
}
