//! What the contract of all disks cannot ask of the real one: limits, permissions of an owner, lies, marks.

use careful::seams::disk::{Reading, write_all};

use super::*;

fn root(disk: &MemoryDisk) -> Arc<dyn Directory> {
    disk.open_directory(Path::new("/")).unwrap()
}

fn number_of<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_full_disk_refuses_and_room_is_there_again_when_the_last_handle_goes() {
    let disk = MemoryDisk::default();
    disk.limit_space(3 * BLOCK_BYTES as u64);
    let root = root(&disk);
    let file = root.create_file("file".as_ref(), Writing::Cached).unwrap();
    file.allocate(2 * BLOCK_BYTES as u64).unwrap();
    assert_eq!(root.free_bytes().unwrap(), BLOCK_BYTES as u64);
    write_all(file.as_ref(), &[1; 2 * BLOCK_BYTES], 0).unwrap();
    assert_eq!(number_of(file.write_at(&[1; 2 * BLOCK_BYTES], 2 * BLOCK_BYTES as u64)), Some(NOSPC));
    assert_eq!(file.metadata().unwrap().length_bytes, 2 * BLOCK_BYTES as u64, "what was refused left nothing");
    assert_eq!(number_of(file.allocate(4 * BLOCK_BYTES as u64)), Some(NOSPC));
    root.remove_file("file".as_ref()).unwrap();
    assert_eq!(root.free_bytes().unwrap(), BLOCK_BYTES as u64, "it is still held");
    drop(file);
    assert_eq!(root.free_bytes().unwrap(), 3 * BLOCK_BYTES as u64);
}

#[test]
fn an_owner_may_do_what_the_mode_says_and_may_change_the_mode() {
    let disk = MemoryDisk::default();
    disk.put_file(Path::new("/file"), b"x", 0o444);
    disk.put_directory(Path::new("/closed"), 0o555);
    let root = root(&disk);
    assert_eq!(number_of(root.open_for_writing("file".as_ref(), Writing::Cached)), Some(ACCES));
    root.open_file("file".as_ref(), Reading::Cached).unwrap().set_mode(0o200).unwrap();
    assert_eq!(number_of(root.open_file("file".as_ref(), Reading::Cached)), Some(ACCES));
    let closed = root.open_directory("closed".as_ref()).unwrap();
    assert_eq!(number_of(closed.create_file("new".as_ref(), Writing::Cached)), Some(ACCES));
    closed.set_mode(0o755).unwrap();
    closed.create_file("new".as_ref(), Writing::Cached).unwrap();
    closed.set_mode(0o600).unwrap();
    assert_eq!(number_of(closed.metadata_of("new".as_ref())), Some(ACCES));
}

#[test]
fn a_sync_that_is_lied_about_leaves_no_entry() {
    for (lie, expected) in [
        (Lie::None, [true, true, true, true]),
        (Lie::DirectorySyncs, [true, true, false, false]),
        (Lie::FileSyncs, [false, false, true, true]),
        (Lie::SyncsOfNewDirectoryNames, [true, true, false, true]),
    ] {
        let disk = MemoryDisk::default();
        disk.lie_about(lie);
        let root = root(&disk);
        root.make_directory("made".as_ref(), 0o755).unwrap();
        let made = root.open_directory("made".as_ref()).unwrap();
        let file = made.create_file("file".as_ref(), Writing::Cached).unwrap();
        let grows = |sync: &dyn Fn() -> io::Result<()>| {
            let before = disk.recording().entries().len();
            sync().unwrap();
            disk.recording().entries().len() > before
        };
        let synced =
            [grows(&|| file.sync_all()), grows(&|| file.sync_data()), grows(&|| root.sync()), grows(&|| made.sync())];
        assert_eq!(synced, expected, "{lie:?}");
    }
}

#[test]
fn marks_lie_between_the_entries_and_change_nothing() {
    let disk = MemoryDisk::default();
    root(&disk).make_directory("made".as_ref(), 0o755).unwrap();
    disk.mark("first");
    let recording = disk.recording();
    assert_eq!(recording.marks_before(1).count(), 0);
    assert_eq!(recording.marks_before(2).collect::<Vec<_>>(), ["first"]);
    assert!(recording.entries()[0].is_change() && !recording.entries()[1].is_change());
    assert_eq!(recording.initial().paths().len(), 0);
}

#[test]
fn a_host_that_comes_up_again_goes_on_with_what_was_left() {
    let disk = MemoryDisk::default();
    let file = root(&disk).create_file("file".as_ref(), Writing::Cached).unwrap();
    assert!(file.try_lock().unwrap());
    let again = MemoryDisk::from_tree(disk.tree());
    let reopened = root(&again).open_for_writing("file".as_ref(), Writing::Cached).unwrap();
    assert!(reopened.try_lock().unwrap(), "no lock survives a crash");
    write_all(reopened.as_ref(), b"x", 0).unwrap();
    let new = root(&again).create_file("new".as_ref(), Writing::Cached).unwrap();
    assert!(!new.metadata().unwrap().same_file(&reopened.metadata().unwrap()));
    assert_eq!(file.metadata().unwrap().length_bytes, 0, "they are two disks from now on");
    assert_eq!(again.recording().entries().len(), 2);
}
