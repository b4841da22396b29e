//! One contract for every disk: the same claims hold of the operating system's and of the one in memory, which so is no
//! easier judge than the real one. Longer than 400 lines because its claims are one list.

#![expect(clippy::disallowed_methods, reason = "links are made past the door, which makes none")]
#![expect(clippy::unwrap_used, reason = "each claim is a test, under a name given by a macro")]

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::seams::buffer::PieceBuffer;
use careful::seams::disk::{
    Directory, Disk, DiskFile, Kind, Reading, Timestamp, Writing, copy_all, read_full, write_all,
};
use careful::seams::os_disk::OsDisk;
use careful_faults::crash_disk::MemoryDisk;
use tempfile::TempDir;

/// Makes something of two paths.
type Maker = Box<dyn Fn(&Path, &Path)>;

/// A disk with an empty directory on it, and what no door can make.
struct World {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    link: Maker,
    /// Makes a file of one byte and gives it a second name.
    two_names: Maker,
    _folder: Option<TempDir>,
}

impl World {
    fn real() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            disk: Arc::new(OsDisk),
            path: folder.path().to_path_buf(),
            link: Box::new(|path, target| symlink(target, path).unwrap()),
            two_names: Box::new(|file, second| {
                std::fs::write(file, b"x").unwrap();
                std::fs::hard_link(file, second).unwrap();
            }),
            _folder: Some(folder),
        }
    }

    fn memory() -> Self {
        let disk = MemoryDisk::default();
        disk.put_directory(Path::new("/contract"), 0o700);
        let (linking, hard_linking) = (disk.clone(), disk.clone());
        Self {
            disk: Arc::new(disk),
            path: "/contract".into(),
            link: Box::new(move |path, target| linking.put_link(path, target)),
            two_names: Box::new(move |file, second| {
                hard_linking.put_file(file, b"x", 0o600);
                hard_linking.put_hard_link(second, file);
            }),
            _folder: None,
        }
    }

    fn held(&self) -> Arc<dyn Directory> {
        self.disk.open_directory(&self.path).unwrap()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Makes two tests of each claim.
macro_rules! claims {
    ($($claim:ident),+ $(,)?) => {
        mod of_the_real_disk {
            $(#[test] fn $claim() { super::$claim(&super::World::real()); })+
        }
        mod of_the_disk_in_memory {
            $(#[test] fn $claim() { super::$claim(&super::World::memory()); })+
        }
    };
}

claims!(
    a_link_is_never_followed_below_an_open_directory,
    a_link_in_a_path_is_followed_but_for_the_last_of_a_private_one,
    a_missing_name_is_not_found,
    a_name_is_one_component,
    what_is_no_directory_is_not_opened_as_one_and_a_directory_is_no_file,
    a_file_is_made_only_where_nothing_is_and_belongs_to_its_owner_alone,
    what_was_written_is_read_at_every_offset_and_short_at_the_end,
    a_write_behind_the_end_leaves_zeros,
    what_was_cut_off_reads_as_zeros_when_it_grows_again,
    a_handle_does_only_what_it_was_opened_for,
    a_rename_replaces_only_when_it_may,
    a_rename_of_nothing_changes_nothing,
    an_open_file_survives_the_loss_of_its_name,
    a_replaced_file_stays_what_it_was_to_whoever_holds_it,
    a_lock_belongs_to_one_handle_and_goes_with_it,
    modes_and_times_are_what_was_set,
    an_extended_attribute_is_what_was_set_last_and_leaves_the_time_alone,
    every_change_moves_the_time_of_status_change,
    links_are_counted,
    holes_are_told_from_data,
    space_is_reserved_with_its_length,
    a_copy_takes_the_same_range,
    items_are_all_that_is_there,
    an_appended_line_comes_last,
    a_private_file_is_whole_and_refused_when_open_to_others,
    syncs_are_answered,
);

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn number_of<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn kind_of<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(31) ^ (index >> 8)) as u8).collect()
}

fn make(held: &dyn Directory, text: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = held.create_file(name(text), Writing::Cached).unwrap();
    write_all(file.as_ref(), bytes, 0).unwrap();
    file
}

fn content(held: &dyn Directory, text: &str) -> Vec<u8> {
    let file = held.open_file(name(text), Reading::Cached).unwrap();
    let mut bytes = vec![0; file.metadata().unwrap().length_bytes as usize + 1];
    let read = read_full(file.as_ref(), &mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
}

fn a_link_is_never_followed_below_an_open_directory(world: &World) {
    (world.link)(&world.at("to_directory"), Path::new("."));
    (world.link)(&world.at("to_nothing"), Path::new("nothing"));
    let held = world.held();
    const LOOP: Option<i32> = Some(40);
    assert_eq!(number_of(held.open_directory(name("to_directory"))), Some(20));
    for link in ["to_directory", "to_nothing"] {
        assert_eq!(number_of(held.open_file(name(link), Reading::Cached)), LOOP);
        assert_eq!(number_of(held.open_file(name(link), Reading::PastCache)), LOOP);
        assert_eq!(number_of(held.open_for_writing(name(link), Writing::Cached)), LOOP);
        assert_eq!(number_of(held.create_file(name(link), Writing::Cached)), Some(17));
        assert_eq!(held.metadata_of(name(link)).unwrap().kind, Kind::Link);
    }
    assert_eq!(held.metadata_of(name("to_nothing")).unwrap().length_bytes, 7);
}

fn a_link_in_a_path_is_followed_but_for_the_last_of_a_private_one(world: &World) {
    (world.link)(&world.at("here"), Path::new("."));
    (world.link)(&world.at("round"), Path::new("round"));
    (world.link)(&world.at("private"), Path::new("file"));
    let held = world.held();
    make(held.as_ref(), "file", b"x").set_mode(0o600).unwrap();
    held.make_directory(name("deep"), 0o700).unwrap();
    let through = world.at("here/./here/deep/../file");
    assert_eq!(world.disk.inspect(&through).unwrap().length_bytes, 1);
    assert_eq!(world.disk.canonical(&through).unwrap(), world.disk.canonical(&world.path).unwrap().join("file"));
    assert_eq!(number_of(world.disk.inspect(&world.at("round"))), Some(40));
    assert_eq!(number_of(world.disk.open_directory(&world.at("file"))), Some(20));
    assert_eq!(number_of(world.disk.inspect(&world.at("file/"))), Some(20));
    assert_eq!(kind_of(world.disk.open_append(&world.at("private"))), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(kind_of(world.disk.read_private(&world.at("private"))), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(world.disk.read_private(&world.at("here/file")).unwrap(), b"x");
}

fn a_missing_name_is_not_found(world: &World) {
    let held = world.held();
    const MISSING: Option<i32> = Some(2);
    assert_eq!(number_of(held.open_file(name("none"), Reading::Cached)), MISSING);
    assert_eq!(number_of(held.open_for_writing(name("none"), Writing::PastCache)), MISSING);
    assert_eq!(number_of(held.open_directory(name("none"))), MISSING);
    assert_eq!(number_of(held.metadata_of(name("none"))), MISSING);
    assert_eq!(number_of(held.remove_file(name("none"))), MISSING);
    assert_eq!(number_of(world.disk.inspect(&world.at("none"))), MISSING);
    assert_eq!(number_of(world.disk.canonical(&world.at("none/deeper"))), MISSING);
    assert_eq!(number_of(world.disk.open_directory(&world.at("none"))), MISSING);
    assert_eq!(number_of(world.disk.read_private(&world.at("none"))), MISSING);
}

fn a_name_is_one_component(world: &World) {
    let held = world.held();
    for wrong in ["", ".", "..", "a/b", "a\0b"] {
        assert_eq!(kind_of(held.create_file(name(wrong), Writing::Cached)), Some(io::ErrorKind::InvalidInput));
        assert_eq!(kind_of(held.rename(name("a"), name(wrong), true)), Some(io::ErrorKind::InvalidInput));
        assert_eq!(kind_of(held.metadata_of(name(wrong))), Some(io::ErrorKind::InvalidInput));
    }
    let long = "n".repeat(255);
    make(held.as_ref(), &long, b"");
    assert_eq!(number_of(held.create_file(name(&format!("{long}n")), Writing::Cached)), Some(36));
}

fn what_is_no_directory_is_not_opened_as_one_and_a_directory_is_no_file(world: &World) {
    let held = world.held();
    make(held.as_ref(), "file", b"");
    held.make_directory(name("directory"), 0o700).unwrap();
    assert_eq!(number_of(held.open_directory(name("file"))), Some(20));
    assert_eq!(number_of(held.open_file(name("directory"), Reading::Cached)), Some(21));
    assert_eq!(number_of(held.open_for_writing(name("directory"), Writing::Cached)), Some(21));
    assert_eq!(number_of(held.remove_file(name("directory"))), Some(21));
    assert_eq!(number_of(held.make_directory(name("directory"), 0o700)), Some(17));
    assert_eq!(number_of(held.make_directory(name("file"), 0o700)), Some(17));
    assert_eq!(held.metadata_of(name("directory")).unwrap().kind, Kind::Directory);
    let below = held.open_directory(name("directory")).unwrap();
    make(below.as_ref(), "below", b"y");
    assert_eq!(world.disk.inspect(&world.at("directory/below")).unwrap().length_bytes, 1);
}

fn a_file_is_made_only_where_nothing_is_and_belongs_to_its_owner_alone(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"first");
    assert_eq!(number_of(held.create_file(name("file"), Writing::Cached)), Some(17));
    let found = held.metadata_of(name("file")).unwrap();
    assert_eq!((found.kind, found.length_bytes, found.mode, found.links), (Kind::File, 5, 0o600, 1));
    assert!(found.is_own && found.same_file(&file.metadata().unwrap()));
    assert!(!found.same_file(&make(held.as_ref(), "other", b"").metadata().unwrap()));
}

fn what_was_written_is_read_at_every_offset_and_short_at_the_end(world: &World) {
    let held = world.held();
    for length in [0, 1, 511, 4095, 4096, 4097, 12_289] {
        for writing in [Writing::Cached, Writing::PastCache] {
            let (text, bytes) = (format!("{length} {writing:?}"), pattern(length));
            let file = held.create_file(name(&text), writing).unwrap();
            write_all(file.as_ref(), &bytes, 0).unwrap();
            for reading in [Reading::Cached, Reading::PastCache] {
                let reader = held.open_file(name(&text), reading).unwrap();
                for offset in [0, 1, 4095, 4096, length.saturating_sub(1), length, length + 9000] {
                    let mut buffer = vec![0xEE; 5000];
                    let read = read_full(reader.as_ref(), &mut buffer, offset as u64).unwrap();
                    let expected = &bytes[offset.min(length)..(offset + 5000).min(length).max(offset.min(length))];
                    assert!(buffer[..read] == *expected, "{length} bytes at {offset}, {writing:?}, {reading:?}");
                }
            }
            assert_eq!(file.read_at(&mut [0; 10], length as u64).unwrap(), 0, "a writer can read, too");
        }
    }
}

fn a_write_behind_the_end_leaves_zeros(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"ab");
    assert_eq!(file.write_at(b"", 50_000).unwrap(), 0, "nothing is written, and nothing grows");
    write_all(file.as_ref(), b"cd", 10_000).unwrap();
    let bytes = content(held.as_ref(), "file");
    assert_eq!(bytes.len(), 10_002);
    assert!(&bytes[..2] == b"ab" && bytes[2..10_000].iter().all(|&byte| byte == 0) && &bytes[10_000..] == b"cd");
}

fn what_was_cut_off_reads_as_zeros_when_it_grows_again(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", &pattern(9000));
    file.set_length(100).unwrap();
    file.set_length(9000).unwrap();
    let bytes = content(held.as_ref(), "file");
    assert!(bytes.len() == 9000 && bytes[..100] == pattern(100) && bytes[100..].iter().all(|&byte| byte == 0));
}

fn a_handle_does_only_what_it_was_opened_for(world: &World) {
    let held = world.held();
    make(held.as_ref(), "file", b"x");
    let reader = held.open_file(name("file"), Reading::Cached).unwrap();
    assert_eq!(number_of(reader.write_at(b"y", 0)), Some(9));
    assert_eq!(number_of(reader.set_length(0)), Some(22));
    assert_eq!(number_of(reader.allocate(10)), Some(9));
    let appending = world.disk.open_append(&world.at("lines")).unwrap();
    assert_eq!(number_of(appending.read_at(&mut [0; 4], 0)), Some(9));
    assert!(!reader.reads_device() && !appending.reads_device());
    reader.set_mode(0o640).unwrap();
    assert_eq!(held.metadata_of(name("file")).unwrap().mode, 0o640, "the mode is the owner's to set, however opened");
}

fn a_rename_replaces_only_when_it_may(world: &World) {
    let held = world.held();
    for text in ["one", "two", "three"] {
        make(held.as_ref(), text, text.as_bytes());
    }
    for text in ["directory", "empty", "full"] {
        held.make_directory(name(text), 0o700).unwrap();
    }
    make(held.open_directory(name("full")).unwrap().as_ref(), "x", b"");
    assert_eq!(number_of(held.rename(name("one"), name("two"), false)), Some(17));
    assert_eq!(number_of(held.rename(name("one"), name("one"), false)), Some(17));
    held.rename(name("one"), name("one"), true).unwrap();
    assert_eq!(number_of(held.rename(name("one"), name("directory"), true)), Some(21));
    assert_eq!(number_of(held.rename(name("directory"), name("one"), true)), Some(20));
    assert_eq!(number_of(held.rename(name("directory"), name("full"), true)), Some(39));
    assert_eq!((content(held.as_ref(), "one"), content(held.as_ref(), "two")), (b"one".to_vec(), b"two".to_vec()));
    held.rename(name("directory"), name("empty"), true).unwrap();
    held.rename(name("one"), name("two"), true).unwrap();
    held.rename(name("three"), name("four"), false).unwrap();
    assert_eq!((content(held.as_ref(), "two"), content(held.as_ref(), "four")), (b"one".to_vec(), b"three".to_vec()));
    assert_eq!(number_of(held.metadata_of(name("one"))), Some(2));
}

fn a_rename_of_nothing_changes_nothing(world: &World) {
    let held = world.held();
    make(held.as_ref(), "there", b"x");
    assert_eq!(number_of(held.rename(name("none"), name("there"), true)), Some(2));
    assert_eq!(number_of(held.rename(name("none"), name("new"), false)), Some(2));
    assert_eq!(content(held.as_ref(), "there"), b"x");
}

fn an_open_file_survives_the_loss_of_its_name(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"still");
    held.remove_file(name("file")).unwrap();
    assert_eq!(file.metadata().unwrap().links, 0);
    write_all(file.as_ref(), b" here", 5).unwrap();
    file.sync_all().unwrap();
    let mut bytes = [0; 20];
    assert_eq!(read_full(file.as_ref(), &mut bytes, 0).unwrap(), 10);
    assert_eq!(&bytes[..10], b"still here");
    assert_eq!(number_of(held.metadata_of(name("file"))), Some(2));
    make(held.as_ref(), "file", b"another");
    assert!(!file.metadata().unwrap().same_file(&held.metadata_of(name("file")).unwrap()));
}

fn a_replaced_file_stays_what_it_was_to_whoever_holds_it(world: &World) {
    let held = world.held();
    let new = make(held.as_ref(), "new", b"new");
    make(held.as_ref(), "target", b"old");
    let old = held.open_file(name("target"), Reading::Cached).unwrap();
    held.rename(name("new"), name("target"), true).unwrap();
    let mut bytes = [0; 3];
    read_full(old.as_ref(), &mut bytes, 0).unwrap();
    assert_eq!((&bytes, old.metadata().unwrap().links), (b"old", 0));
    assert_eq!(content(held.as_ref(), "target"), b"new");
    assert!(new.metadata().unwrap().same_file(&held.metadata_of(name("target")).unwrap()));
}

fn a_lock_belongs_to_one_handle_and_goes_with_it(world: &World) {
    let held = world.held();
    let first = make(held.as_ref(), "file", b"");
    let second = held.open_for_writing(name("file"), Writing::Cached).unwrap();
    let reader = held.open_file(name("file"), Reading::Cached).unwrap();
    assert!(first.try_lock().unwrap() && first.try_lock().unwrap(), "its holder has it already");
    assert!(!second.try_lock().unwrap() && !reader.try_lock().unwrap());
    held.rename(name("file"), name("moved"), true).unwrap();
    assert!(!second.try_lock().unwrap(), "it belongs to the file, not to the name");
    let shared = Arc::clone(&first);
    drop(first);
    assert!(!second.try_lock().unwrap());
    drop(shared);
    assert!(reader.try_lock().unwrap(), "a handle for reading can hold it");
    drop(reader);
    assert!(second.try_lock().unwrap());
}

fn an_extended_attribute_is_what_was_set_last_and_leaves_the_time_alone(world: &World) {
    let held = world.held();
    let file = held.create_file(name("a"), Writing::Cached).unwrap();
    let (first, second) = (name("user.careful.test"), name("user.careful.other"));
    let before = file.metadata().unwrap();
    assert_eq!(file.extended_attribute(first).unwrap(), None);
    file.set_extended_attribute(first, None).unwrap();
    for value in [&b"one"[..], b"", &[7; 1000], b"two"] {
        file.set_extended_attribute(first, Some(value)).unwrap();
        assert_eq!(file.extended_attribute(first).unwrap().as_deref(), Some(value));
    }
    assert_eq!(file.extended_attribute(second).unwrap(), None);
    // It belongs to the file and not to a handle or a name.
    held.rename(name("a"), name("b"), false).unwrap();
    let reader = held.open_file(name("b"), Reading::PastCache).unwrap();
    assert_eq!(reader.extended_attribute(first).unwrap().as_deref(), Some(&b"two"[..]));
    file.set_extended_attribute(first, None).unwrap();
    assert_eq!(reader.extended_attribute(first).unwrap(), None);
    assert_eq!(file.metadata().unwrap().modified, before.modified);
}

fn modes_and_times_are_what_was_set(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"");
    held.make_directory(name("directory"), 0o700).unwrap();
    let directory = held.open_directory(name("directory")).unwrap();
    assert_eq!(directory.metadata().unwrap().mode, 0o700);
    for mode in [0o640, 0o7777] {
        file.set_mode(mode).unwrap();
        directory.set_mode(mode).unwrap();
        assert_eq!(file.metadata().unwrap().mode, mode & 0o777);
        assert_eq!(directory.metadata().unwrap().mode, mode & 0o777);
    }
    for modified in [Timestamp { seconds: 0, nanoseconds: 999_999_999 }, Timestamp { seconds: 1 << 31, nanoseconds: 1 }]
    {
        file.set_modified(modified).unwrap();
        directory.set_modified(modified).unwrap();
        assert_eq!(held.metadata_of(name("file")).unwrap().modified, modified);
        assert_eq!(directory.metadata().unwrap().modified, modified);
    }
    write_all(file.as_ref(), b"x", 0).unwrap();
    assert_ne!(file.metadata().unwrap().modified.seconds, 1 << 31, "a write sets it anew");
}

fn every_change_moves_the_time_of_status_change(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"x");
    let early = Timestamp { seconds: 10, nanoseconds: 0 };
    file.set_modified(early).unwrap();
    let found = file.metadata().unwrap();
    assert_eq!(found.modified, early);
    assert!(found.changed.seconds > 1_600_000_000, "it cannot be set back");
    assert!(found.unchanged(&file.metadata().unwrap()));
}

fn links_are_counted(world: &World) {
    (world.two_names)(&world.at("file"), &world.at("second"));
    let held = world.held();
    assert_eq!(held.metadata_of(name("file")).unwrap().links, 2);
    assert!(held.metadata_of(name("file")).unwrap().same_file(&held.metadata_of(name("second")).unwrap()));
    held.rename(name("file"), name("second"), true).unwrap();
    assert_eq!(content(held.as_ref(), "file"), b"x", "a rename of a file onto itself does nothing");
    held.remove_file(name("file")).unwrap();
    assert_eq!(held.metadata_of(name("second")).unwrap().links, 1);
    assert_eq!(content(held.as_ref(), "second"), b"x");
}

fn holes_are_told_from_data(world: &World) {
    let held = world.held();
    let file = held.create_file(name("file"), Writing::Cached).unwrap();
    file.set_length(1 << 20).unwrap();
    write_all(file.as_ref(), &[1; 4096], 512 << 10).unwrap();
    file.sync_all().unwrap();
    let data = file.next_data(0).unwrap().expect("something was written");
    assert!(data.start <= 512 << 10 && data.end >= (512 << 10) + 4096, "what was written is never called a hole");
    assert!(data.end <= 1 << 20);
    let within = file.next_data((512 << 10) + 100).unwrap().expect("there is more");
    assert_eq!(within.start, (512 << 10) + 100, "a range begins where it was asked for");
    assert_eq!(file.next_data(1 << 20).unwrap(), None);
    assert_eq!(file.next_data(1 << 30).unwrap(), None);
    assert_eq!(make(held.as_ref(), "empty", b"").next_data(0).unwrap(), None);
    assert_eq!(make(held.as_ref(), "whole", &[1; 5000]).next_data(0).unwrap(), Some(0..5000));
}

fn space_is_reserved_with_its_length(world: &World) {
    let held = world.held();
    assert!(held.free_bytes().unwrap() > 1 << 20);
    let file = make(held.as_ref(), "file", b"abc");
    file.allocate(100_000).unwrap();
    let bytes = content(held.as_ref(), "file");
    assert!(bytes.len() == 100_000 && &bytes[..3] == b"abc" && bytes[3..].iter().all(|&byte| byte == 0));
    file.allocate(2).unwrap();
    assert_eq!(content(held.as_ref(), "file"), b"ab");
    file.allocate(0).unwrap();
    assert_eq!(file.metadata().unwrap().length_bytes, 0);
}

fn a_copy_takes_the_same_range(world: &World) {
    let held = world.held();
    let bytes = pattern(3 << 20);
    let mut memory = PieceBuffer::unpooled(1 << 20);
    make(held.as_ref(), "from", &bytes);
    let from = held.open_file(name("from"), Reading::Cached).unwrap();
    let into = held.create_file(name("to"), Writing::PastCache).unwrap();
    copy_all(into.as_ref(), from.as_ref(), 4096..(3 << 20), &mut memory).unwrap();
    let copied = content(held.as_ref(), "to");
    assert!(copied[..4096].iter().all(|&byte| byte == 0) && copied[4096..] == bytes[4096..]);
    assert_eq!(into.copy_at(from.as_ref(), 3 << 20, 10, &mut memory).unwrap(), 0, "nothing behind the end");
    let error = copy_all(into.as_ref(), from.as_ref(), 0..(3 << 20) + 1, &mut memory);
    assert_eq!(kind_of(error), Some(io::ErrorKind::UnexpectedEof));
}

fn items_are_all_that_is_there(world: &World) {
    (world.link)(&world.at("link"), Path::new("file"));
    let held = world.held();
    make(held.as_ref(), "file", b"");
    held.make_directory(name("directory"), 0o700).unwrap();
    let mut items: Vec<_> = held.items().unwrap().map(|item| item.unwrap()).collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let found: Vec<_> = items.iter().map(|item| (item.name.to_str().unwrap(), item.kind)).collect();
    let expected = [("directory", Kind::Directory), ("file", Kind::File), ("link", Kind::Link)];
    assert_eq!(found, expected.map(|(text, kind)| (text, Some(kind))));
}

fn an_appended_line_comes_last(world: &World) {
    let path = world.at("lines");
    let first = world.disk.open_append(&path).unwrap();
    let second = world.disk.open_append(&path).unwrap();
    for (file, line) in [(&first, b"one\n"), (&second, b"two\n"), (&first, b"six\n")] {
        write_all(file.as_ref(), line, 0).unwrap();
    }
    let held = world.held();
    assert_eq!(content(held.as_ref(), "lines"), b"one\ntwo\nsix\n");
    assert_eq!(held.metadata_of(name("lines")).unwrap().mode, 0o600);
}

fn a_private_file_is_whole_and_refused_when_open_to_others(world: &World) {
    let path = world.at("new/deeper/key");
    world.disk.create_private(&path, b"secret").unwrap();
    assert_eq!(world.disk.read_private(&path).unwrap(), b"secret");
    assert_eq!(kind_of(world.disk.create_private(&path, b"other")), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(world.disk.read_private(&path).unwrap(), b"secret");
    let folder = world.disk.open_directory(&world.at("new/deeper")).unwrap();
    assert_eq!(folder.items().unwrap().count(), 1, "nothing else is left");
    assert_eq!((folder.metadata().unwrap().mode, folder.metadata_of(name("key")).unwrap().mode), (0o700, 0o600));
    folder.open_file(name("key"), Reading::Cached).unwrap().set_mode(0o640).unwrap();
    assert_eq!(kind_of(world.disk.read_private(&path)), Some(io::ErrorKind::PermissionDenied));
    make(folder.as_ref(), "long", &[0; (64 << 10) + 1]);
    let long = world.disk.read_private(&world.at("new/deeper/long"));
    assert_eq!(kind_of(long), Some(io::ErrorKind::PermissionDenied));
}

fn syncs_are_answered(world: &World) {
    let held = world.held();
    let file = make(held.as_ref(), "file", b"x");
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    held.open_file(name("file"), Reading::Cached).unwrap().sync_all().unwrap();
    held.sync().unwrap();
    held.sync_file_system().unwrap();
    held.is_durable().unwrap();
}
