//! Claims about the real disk.

#![expect(clippy::disallowed_types, reason = "the judge must not be the accused")]

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::seams::disk::{copy_all, read_full, write_all};

const LENGTHS: [usize; 7] = [0, 1, 4095, 4096, 4097, 4101, 1 << 20];

fn fresh() -> (TempDir, Arc<dyn Directory>) {
    let folder = tempfile::tempdir().unwrap();
    let held = OsDisk.open_directory(folder.path()).unwrap();
    (folder, held)
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// Bytes of which no two blocks are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(31) ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

fn fifo(folder: &TempDir, text: &str) {
    let path = folder.path().join(text);
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn kind_of<T: Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[expect(clippy::print_stderr, reason = "a test that could not test what it claims must be seen")]
fn warn_unless_direct(file: &dyn DiskFile) {
    if !file.reads_device() {
        eprintln!("NOT TESTED: reads past the cache, since they are not proven in the temporary directory");
    }
}

/// A directory in memory, where this machine has one.
#[expect(clippy::print_stderr, reason = "a test that could not test what it claims must be seen")]
fn in_memory() -> Option<TempDir> {
    let found =
        rustix::fs::statfs("/dev/shm").is_ok_and(|found| FLEETING_FILE_SYSTEMS.contains(&(found.f_type as u32)));
    if !found {
        eprintln!("NOT TESTED: files in memory, since /dev/shm is none");
    }
    found.then(|| tempfile::tempdir_in("/dev/shm").unwrap())
}

#[test]
fn a_link_is_never_followed_below_an_open_directory() {
    let (folder, held) = fresh();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("file"), b"x").unwrap();
    symlink("real", folder.path().join("to_directory")).unwrap();
    symlink("file", folder.path().join("to_file")).unwrap();
    symlink("nothing", folder.path().join("dangling")).unwrap();

    assert!(held.open_directory(name("to_directory")).is_err());
    let refused = held.open_file(name("to_file"), Reading::Cached).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    assert!(held.open_file(name("to_file"), Reading::PastCache).is_err());
    assert!(held.open_for_writing(name("to_file"), Writing::Cached).is_err());
    assert_eq!(kind_of(held.create_file(name("dangling"), Writing::Cached)), io::ErrorKind::AlreadyExists);
    assert_eq!(held.metadata_of(name("to_file")).unwrap().kind, Kind::Link);
    assert!(OsDisk.open_append(&folder.path().join("to_file")).is_err());
    assert!(OsDisk.open_append(&folder.path().join("dangling")).is_err());
    assert!(OsDisk.read_private(&folder.path().join("to_file")).is_err());
    assert!(!folder.path().join("nothing").exists());
    held.open_directory(name("real")).unwrap();
    held.open_file(name("file"), Reading::Cached).unwrap();
}

#[test]
fn a_fifo_does_not_block_and_is_refused() {
    let (folder, held) = fresh();
    fifo(&folder, "fifo");
    let began = Instant::now();
    assert_eq!(kind_of(held.open_file(name("fifo"), Reading::PastCache)), io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(held.open_for_writing(name("fifo"), Writing::PastCache)), io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(OsDisk.open_append(&folder.path().join("fifo"))), io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(OsDisk.read_private(&folder.path().join("fifo"))), io::ErrorKind::PermissionDenied);
    assert_eq!(held.metadata_of(name("fifo")).unwrap().kind, Kind::Special);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn sockets_devices_and_directories_are_no_files() {
    let (folder, held) = fresh();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    fs::create_dir(folder.path().join("directory")).unwrap();
    assert_eq!(kind_of(held.open_file(name("socket"), Reading::Cached)), io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(held.open_file(name("directory"), Reading::Cached)), io::ErrorKind::IsADirectory);
    assert_eq!(kind_of(held.open_for_writing(name("directory"), Writing::Cached)), io::ErrorKind::IsADirectory);
    assert_eq!(kind_of(OsDisk.open_append(Path::new("/dev/null"))), io::ErrorKind::InvalidInput);
    let devices = OsDisk.open_directory(Path::new("/dev")).unwrap();
    assert_eq!(kind_of(devices.open_file(name("null"), Reading::Cached)), io::ErrorKind::InvalidInput);
}

#[test]
fn direct_reads_return_every_length_at_every_offset() {
    let (folder, held) = fresh();
    for length in LENGTHS {
        let content = pattern(length);
        let file_name = length.to_string();
        fs::write(folder.path().join(&file_name), &content).unwrap();
        let file = held.open_file(name(&file_name), Reading::PastCache).unwrap();
        warn_unless_direct(&*file);
        for offset in [0, 1, 511, 512, 4095, 4096, 4097, 8192, length.saturating_sub(1), length, length + 5000] {
            for wanted in [0, 1, 512, 4096, 4097, 8192, (1 << 20) + 8192] {
                for shift in [0, 1, 512] {
                    let mut memory = PieceBuffer::unpooled(wanted + shift);
                    let read = read_full(&*file, &mut memory[shift..], offset as u64).unwrap();
                    let start = offset.min(length);
                    let expected = &content[start..length.min(start + wanted)];
                    assert!(memory[shift..shift + read] == *expected, "{length} bytes, {wanted} at {offset} + {shift}");
                }
            }
        }
    }
}

#[test]
fn one_direct_read_crosses_an_odd_end() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("odd"), pattern(4101)).unwrap();
    let file = held.open_file(name("odd"), Reading::PastCache).unwrap();
    assert_eq!(file.read_at(&mut PieceBuffer::unpooled(8192), 0).unwrap(), 4101);
}

#[test]
fn a_read_past_the_cache_sees_what_was_written_and_synced() {
    let (_folder, held) = fresh();
    for writing in [Writing::Cached, Writing::PastCache] {
        let file_name = format!("{writing:?}");
        let content = pattern(300_001);
        let staged = held.create_file(name(&file_name), writing).unwrap();
        write_all(&*staged, &content, 0).unwrap();
        staged.sync_all().unwrap();
        let file = held.open_file(name(&file_name), Reading::PastCache).unwrap();
        warn_unless_direct(&*file);
        let mut memory = PieceBuffer::unpooled(content.len());
        assert_eq!(read_full(&*file, &mut memory, 0).unwrap(), content.len());
        assert!(memory[..] == content[..]);
        assert!(!staged.reads_device());
        assert_eq!(staged.metadata().unwrap().mode & 0o077, 0);
    }
}

#[test]
fn writing_past_the_cache_takes_any_alignment() {
    let (folder, held) = fresh();
    let file = held.create_file(name("file"), Writing::PastCache).unwrap();
    file.allocate(64 << 10).unwrap();
    let mut expected = vec![0; 64 << 10];
    let writes =
        [(0, 0, 8192), (4096, 0, 4101), (8192, 1, 4096), (100, 0, 4096), (12_288, 0, 100), (20_480, 0, 20_480)];
    for (round, (offset, shift, length)) in writes.into_iter().enumerate() {
        let mut memory = PieceBuffer::unpooled(shift + length);
        memory.fill(round as u8 + 1);
        write_all(&*file, &memory[shift..], offset as u64).unwrap();
        expected[offset..offset + length].fill(round as u8 + 1);
        let mut seen = vec![0; expected.len()];
        assert_eq!(read_full(&*file, &mut seen, 0).unwrap(), expected.len());
        assert!(seen == expected, "write {round}");
    }
    drop(file);
    let again = held.open_for_writing(name("file"), Writing::PastCache).unwrap();
    write_all(&*again, &PieceBuffer::unpooled(4096), 0).unwrap();
    expected[..4096].fill(0);
    assert!(fs::read(folder.path().join("file")).unwrap() == expected);
}

#[test]
fn whole_aligned_blocks_are_written_past_the_cache() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("probe"), b"x").unwrap();
    let probe = held.open_file(name("probe"), Reading::PastCache).unwrap();
    warn_unless_direct(&*probe);
    if probe.reads_device() {
        let file = held.create_file(name("file"), Writing::PastCache).unwrap();
        // A direct write takes the whole blocks and leaves the rest to the next call.
        assert_eq!(file.write_at(&PieceBuffer::unpooled(4101), 0).unwrap(), 4096);
        assert_eq!(file.write_at(&PieceBuffer::unpooled(5), 4096).unwrap(), 5);
        assert_eq!(file.metadata().unwrap().length_bytes, 4101);
    }
}

#[test]
fn rename_without_replace_keeps_what_is_there() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("staging"), b"new").unwrap();
    fs::write(folder.path().join("target"), b"old").unwrap();
    let refused = held.rename(name("staging"), name("target"), false);
    assert_eq!(kind_of(refused), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(folder.path().join("target")).unwrap(), b"old");
    held.rename(name("staging"), name("target"), true).unwrap();
    assert_eq!(fs::read(folder.path().join("target")).unwrap(), b"new");
    held.rename(name("target"), name("elsewhere"), false).unwrap();
    assert!(!folder.path().join("target").exists());
    held.sync().unwrap();
    held.remove_file(name("elsewhere")).unwrap();
    assert_eq!(kind_of(held.metadata_of(name("elsewhere"))), io::ErrorKind::NotFound);
}

#[test]
fn an_append_handle_appends() {
    let (folder, _held) = fresh();
    let path = folder.path().join("receipts");
    for line in [b"one\n", b"two\n"] {
        let file = OsDisk.open_append(&path).unwrap();
        write_all(&*file, line, 0).unwrap();
        file.sync_all().unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    assert_eq!(OsDisk.inspect(&path).unwrap().mode, 0o600);
}

#[test]
fn a_private_file_open_to_others_is_refused() {
    let (folder, _held) = fresh();
    let path = folder.path().join("identity");
    assert_eq!(kind_of(OsDisk.read_private(&path)), io::ErrorKind::NotFound);
    fs::write(&path, b"secret").unwrap();
    for mode in [0o644, 0o640, 0o604, 0o602, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = OsDisk.read_private(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let text = refused.to_string();
        assert!(text.contains(&format!("mode {mode:04o}")) && text.contains("chmod 600"), "{text}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(OsDisk.read_private(&path).unwrap(), b"secret");
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    assert_eq!(kind_of(OsDisk.read_private(&path)), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_private_file_is_read_up_to_its_limit() {
    let (folder, _held) = fresh();
    let path = folder.path().join("limit");
    for (length, fits) in [(0, true), (65_536, true), (65_537, false)] {
        fs::write(&path, pattern(length)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(OsDisk.read_private(&path).is_ok_and(|bytes| bytes == pattern(length)), fits, "{length}");
    }
}

#[test]
fn a_private_file_of_somebody_else_is_refused() {
    let (folder, _held) = fresh();
    let found = |is_own| Metadata { is_own, mode: 0o600, ..OsDisk.inspect(folder.path()).unwrap() };
    let file = |is_own| Metadata { kind: Kind::File, links: 1, length_bytes: 1, ..found(is_own) };
    assert_eq!(fault_of_private(folder.path(), &file(true), 7), None);
    assert!(fault_of_private(folder.path(), &file(false), 7).unwrap().contains("owned by user 7"));
}

#[test]
fn create_private_never_overwrites() {
    let (folder, _held) = fresh();
    let path = folder.path().join("state/careful/identity");
    OsDisk.create_private(&path, b"first").unwrap();
    assert_eq!(kind_of(OsDisk.create_private(&path, b"second")), io::ErrorKind::AlreadyExists);
    assert_eq!(OsDisk.read_private(&path).unwrap(), b"first");
    for parent in ["state", "state/careful"] {
        assert_eq!(OsDisk.inspect(&folder.path().join(parent)).unwrap().mode, 0o700);
    }
    let left = OsDisk.open_directory(&folder.path().join("state/careful")).unwrap().items().unwrap().count();
    assert_eq!(left, 1, "nothing but the file is left behind");
}

#[test]
fn a_second_lock_is_refused_until_the_first_goes() {
    let (_folder, held) = fresh();
    let first = held.create_file(name("staging"), Writing::PastCache).unwrap();
    let second = held.open_for_writing(name("staging"), Writing::PastCache).unwrap();
    assert!(first.try_lock().unwrap());
    assert!(first.try_lock().unwrap(), "the holder may ask again");
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn next_data_skips_a_hole() {
    let (_folder, held) = fresh();
    let file = held.create_file(name("sparse"), Writing::Cached).unwrap();
    file.set_length(3 << 20).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    write_all(&*file, &[1], 1 << 20).unwrap();
    let data = file.next_data(0).unwrap().unwrap();
    assert!(data.contains(&(1 << 20)) && data.end < 3 << 20 && data.start > 0, "{data:?}");
    assert_eq!(file.next_data(data.end).unwrap(), None);
    assert_eq!(file.next_data(4 << 20).unwrap(), None);
    file.set_length(0).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
}

#[test]
fn memory_is_not_filled_with_zeros_beforehand_but_must_be_there() {
    let Some(folder) = in_memory() else { return };
    let held = OsDisk.open_directory(folder.path()).unwrap();
    let file = held.create_file(name("x"), Writing::PastCache).unwrap();
    file.allocate(8 << 20).unwrap();
    let path = folder.path().join("x");
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 << 20);
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    let space = rustix::fs::statvfs(folder.path()).unwrap();
    if space.f_blocks > 0 {
        let too_long = (space.f_blocks + 1) * space.f_frsize;
        assert_eq!(kind_of(file.allocate(too_long)), io::ErrorKind::StorageFull);
        // What the file has already is not asked for again.
        write_all(file.as_ref(), &pattern(1 << 20), 0).unwrap();
        file.allocate(1 << 20).unwrap();
    }
}

#[test]
fn allocate_sets_the_length_and_cuts() {
    let (_folder, held) = fresh();
    let file = held.create_file(name("file"), Writing::Cached).unwrap();
    for length in [0, 1, 4096, 1 << 20, 4097, 1, 0] {
        file.allocate(length).unwrap();
        assert_eq!(file.metadata().unwrap().length_bytes, length);
    }
}

#[test]
fn copy_at_copies_a_range() {
    let (folder, held) = fresh();
    let mut memory = PieceBuffer::unpooled(1 << 20);
    let content = pattern(3_000_001);
    fs::write(folder.path().join("old"), &content).unwrap();
    for reading in [Reading::Cached, Reading::PastCache] {
        let old = held.open_file(name("old"), reading).unwrap();
        for range in [0..0, 0..3_000_001, 4096..8192, 1..2, 5000..2_500_000, 3_000_000..3_000_001] {
            let file_name = format!("{reading:?} {range:?}");
            let file = held.create_file(name(&file_name), Writing::PastCache).unwrap();
            copy_all(&*file, &*old, range.start as u64..range.end as u64, &mut memory).unwrap();
            let mut seen = vec![0; range.len()];
            read_full(&*file, &mut seen, range.start as u64).unwrap();
            assert!(seen == content[range.clone()], "{range:?}");
            assert_eq!(file.copy_at(&*old, 3_000_001, 10, &mut memory).unwrap(), 0, "the end of the other file");
        }
    }
}

/// A file of which the kernel knows nothing.
#[derive(Debug)]
struct Foreign(OsFile);

impl crate::seams::disk::Labels for Foreign {
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.0.set_owner(user, group)
    }
    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode_with_special_bits(mode)
    }
    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
        self.0.extended_attribute_names()
    }

    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        self.0.extended_attribute(name)
    }

    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        self.0.set_extended_attribute(name, value)
    }
}

impl DiskFile for Foreign {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset_bytes)
    }
    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset_bytes)
    }
    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64> {
        self.0.copy_at(from, offset_bytes, length_bytes, memory)
    }
    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.0.allocate(length_bytes)
    }
    fn make_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.0.make_hole(range)
    }
    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        self.0.set_length(length_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode(mode)
    }
    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.0.set_modified(modified)
    }
    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        self.0.next_data(offset_bytes)
    }
    fn reads_device(&self) -> bool {
        self.0.reads_device()
    }
}

#[test]
fn copy_at_copies_from_a_file_without_descriptor() {
    let (folder, held) = fresh();
    let mut memory = PieceBuffer::unpooled(1 << 20);
    let content = pattern(2_500_001);
    fs::write(folder.path().join("old"), &content).unwrap();
    let main = OwnedFd::from(fs::File::open(folder.path().join("old")).unwrap());
    let found = metadata_from(&look_at(&main).unwrap());
    let old = Foreign(OsFile { main, role: Role::CachedReading, found });
    let file = held.create_file(name("new"), Writing::PastCache).unwrap();
    copy_all(&*file, &old, 0..2_500_001, &mut memory).unwrap();
    assert!(fs::read(folder.path().join("new")).unwrap() == content);
    assert_eq!(file.copy_at(&old, 2_500_001, 10, &mut memory).unwrap(), 0);
}

#[test]
fn names_of_more_than_one_component_are_refused() {
    let (folder, held) = fresh();
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/b"), b"x").unwrap();
    for bad in ["", ".", "..", "/", "a/b", "a/", "/a", "../x", "a\0b"].map(name) {
        let good = name("a");
        let refusals = [
            kind_of(held.open_directory(bad)),
            kind_of(held.make_directory(bad, 0o755)),
            kind_of(held.open_file(bad, Reading::Cached)),
            kind_of(held.create_file(bad, Writing::Cached)),
            kind_of(held.open_for_writing(bad, Writing::Cached)),
            kind_of(held.metadata_of(bad)),
            kind_of(held.make_link(bad, good)),
            kind_of(held.open_link(bad)),
            kind_of(held.make_hard_link(held.as_ref(), bad, good)),
            kind_of(held.make_hard_link(held.as_ref(), good, bad)),
            kind_of(held.rename(bad, good, true)),
            kind_of(held.rename(good, bad, true)),
            kind_of(held.remove_file(bad)),
        ];
        assert_eq!(refusals, [io::ErrorKind::InvalidInput; 13], "{bad:?}");
    }
}

#[test]
fn items_lists_everything_once() {
    let (folder, held) = fresh();
    let mut expected: Vec<_> = (0..1000).map(|number| (format!("file {number}").into(), Some(Kind::File))).collect();
    for (file_name, _) in &expected {
        fs::write(folder.path().join::<&OsString>(file_name), b"").unwrap();
    }
    fs::create_dir(folder.path().join("directory")).unwrap();
    symlink("anywhere", folder.path().join("link")).unwrap();
    fifo(&folder, "fifo");
    let odd = OsStr::from_bytes(b"not \xff unicode");
    fs::write(folder.path().join(odd), b"").unwrap();
    expected.push(("directory".into(), Some(Kind::Directory)));
    expected.push(("link".into(), Some(Kind::Link)));
    expected.push(("fifo".into(), Some(Kind::Special)));
    expected.push((odd.to_owned(), Some(Kind::File)));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    for _ in 0..2 {
        let mut seen: Vec<_> = held
            .items()
            .unwrap()
            .map(|item| {
                item.map(|item| (item.name.clone(), item.kind.or(Some(held.metadata_of(&item.name).unwrap().kind))))
            })
            .collect::<io::Result<_>>()
            .unwrap();
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        assert!(seen == expected);
    }
}

#[test]
fn metadata_tells_mode_times_and_identity() {
    let (folder, held) = fresh();
    held.make_directory(name("below"), 0o700).unwrap();
    let below = held.open_directory(name("below")).unwrap();
    let file = below.create_file(name("file"), Writing::Cached).unwrap();
    write_all(&*file, b"12345", 0).unwrap();
    let modified = Timestamp { seconds: -5, nanoseconds: 123_456_789 };
    file.set_modified(modified).unwrap();
    file.set_mode(0o640).unwrap();
    below.set_modified(modified).unwrap();
    below.set_mode(0o750).unwrap();

    let found = file.metadata().unwrap();
    assert_eq!((found.kind, found.length_bytes, found.mode, found.links), (Kind::File, 5, 0o640, 1));
    assert!(found.is_own && found.modified == modified && found.changed.seconds > 0);
    assert_eq!(below.metadata_of(name("file")).unwrap(), found);
    let canonical = OsDisk.canonical(&folder.path().join("below/../below/file")).unwrap();
    assert_eq!(OsDisk.inspect(&canonical).unwrap(), found);
    let above = below.metadata().unwrap();
    assert_eq!((above.kind, above.mode, above.modified), (Kind::Directory, 0o750, modified));
    assert!(!above.same_file(&found));
    let standard = fs::metadata(folder.path().join("below/file")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::dev(&standard), found.device);
}

#[test]
fn a_new_file_is_never_made_over_another() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("file"), b"x").unwrap();
    for writing in [Writing::Cached, Writing::PastCache] {
        assert_eq!(kind_of(held.create_file(name("file"), writing)), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(kind_of(held.make_directory(name("file"), 0o755)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind_of(held.open_for_writing(name("none"), Writing::Cached)), io::ErrorKind::NotFound);
}

#[test]
fn memory_is_neither_durable_nor_proven() {
    let Some(folder) = in_memory() else { return };
    assert!(!OsDisk.open_directory(folder.path()).unwrap().is_durable().unwrap());
    fs::write(folder.path().join("file"), pattern(5000)).unwrap();
    let held = OsDisk.open_directory(folder.path()).unwrap();
    let file = held.open_file(name("file"), Reading::PastCache).unwrap();
    assert!(!file.reads_device());
    let mut bytes = vec![0; 8192];
    assert_eq!(read_full(&*file, &mut bytes, 0).unwrap(), 5000);
    let staged = held.create_file(name("staged"), Writing::PastCache).unwrap();
    write_all(&*staged, &bytes, 0).unwrap();
}

#[test]
fn a_directory_syncs_and_knows_its_free_space() {
    let (_folder, held) = fresh();
    held.sync().unwrap();
    held.sync_file_system().unwrap();
    assert!(held.free_bytes().unwrap() > 0);
}

#[test]
fn a_link_is_read_and_dated_itself_and_never_what_it_leads_to() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("file"), b"x").unwrap();
    let before = held.metadata_of(name("file")).unwrap();
    held.make_link(name("link"), name("file")).unwrap();
    assert_eq!(kind_of(held.make_link(name("link"), name("other"))), io::ErrorKind::AlreadyExists);
    let link = held.open_link(name("link")).unwrap();
    let time = Timestamp { seconds: 7, nanoseconds: 8 };
    link.set_modified(time).unwrap();
    assert_eq!(link.target().unwrap(), "file");
    assert_eq!((link.metadata().unwrap().kind, link.metadata().unwrap().modified), (Kind::Link, time));
    assert_eq!(held.metadata_of(name("file")).unwrap(), before);
    assert_eq!(kind_of(held.open_link(name("file"))), io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(held.open_link(name("none"))), io::ErrorKind::NotFound);
}

#[test]
fn one_more_name_of_a_file_is_made_across_directories_and_never_of_what_a_link_leads_to() {
    let (folder, held) = fresh();
    fs::write(folder.path().join("file"), b"x").unwrap();
    held.make_directory(name("deeper"), 0o755).unwrap();
    let deeper = held.open_directory(name("deeper")).unwrap();
    deeper.make_hard_link(held.as_ref(), name("file"), name("twin")).unwrap();
    let twin = deeper.metadata_of(name("twin")).unwrap();
    assert!(twin.same_file(&held.metadata_of(name("file")).unwrap()) && twin.links == 2);
    held.make_link(name("link"), name("file")).unwrap();
    deeper.make_hard_link(held.as_ref(), name("link"), name("of-link")).unwrap();
    assert_eq!(deeper.metadata_of(name("of-link")).unwrap().kind, Kind::Link);
}

#[test]
fn a_read_leaves_the_time_of_last_access() {
    let (folder, held) = fresh();
    let path = folder.path().join("file");
    fs::write(&path, b"x").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    // Accessed before it was modified: even a file system that seldom notes it would note a read now.
    fs::File::open(&path).unwrap().set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    let file = held.open_file(name("file"), Reading::Cached).unwrap();
    assert_eq!(read_full(&*file, &mut [0; 2], 0).unwrap(), 1);
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
}

#[test]
fn extended_attributes_are_listed_those_of_directories_too() {
    let (_folder, held) = fresh();
    let file = held.create_file(name("file"), Writing::Cached).unwrap();
    let names_of = |labels: &dyn crate::seams::disk::Labels| {
        let mut names = labels.extended_attribute_names().unwrap();
        names.retain(|name| name.as_bytes().starts_with(b"user."));
        names.sort();
        names
    };
    if let Err(error) = file.set_extended_attribute(name("user.b"), Some(b"")) {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        return;
    }
    file.set_extended_attribute(name("user.a"), Some(&[1; 3000])).unwrap();
    held.set_extended_attribute(name("user.c"), Some(b"3")).unwrap();
    assert_eq!(names_of(file.as_ref()), ["user.a", "user.b"]);
    assert_eq!(names_of(held.as_ref()), ["user.c"]);
    assert_eq!(held.extended_attribute(name("user.c")).unwrap().as_deref(), Some(&b"3"[..]));
    assert_eq!(held.extended_attribute(name("user.a")).unwrap(), None);
}

#[test]
fn a_hole_reads_as_zeros_and_leaves_the_length() {
    let (_folder, held) = fresh();
    let file = held.create_file(name("file"), Writing::Cached).unwrap();
    write_all(&*file, &[1; 3 * 4096], 0).unwrap();
    file.make_hole(4096..2 * 4096).unwrap();
    let mut seen = vec![9; 3 * 4096];
    assert_eq!(read_full(&*file, &mut seen, 0).unwrap(), seen.len());
    assert!(seen[..4096] == [1; 4096] && seen[4096..8192] == [0; 4096] && seen[8192..] == [1; 4096]);
}
