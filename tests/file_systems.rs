//! Each file system as source and as target: what arrives is right on all of them, and a receipt says no more than was proved.
//!
//! Root only, on images of their own. **Nothing about speed.**

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk past the program's own door"
)]

mod support;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use careful::record::Record;
use careful::seams::disk::Disk;
use careful::seams::os_disk::OsDisk;
use rustix::fs::FallocateFlags;
use support::{
    CHUNK, Mount, Place, Ran, flip_in_image, make_image, random_bytes, root_of, run, say, set_mode, set_modified,
    staging_name, stored_record, tree, words, words_possible,
};

/// Room for all that a test writes; the least that mkfs.xfs takes is 300 MB.
const IMAGE_BYTES: u64 = 320 << 20;
const LARGE: usize = 5 * CHUNK + 4321;
/// A hole of the source, and a run of zeros that is none.
const HOLE: std::ops::Range<usize> = CHUNK / 2..2 * CHUNK + 70_000;
const ZEROS: std::ops::Range<usize> = 3 * CHUNK..4 * CHUNK;
/// What else is in the tree.
const SMALL: [usize; 7] = [0, 1, 100, 4095, 4096, 4097, 300_000];

/// A file system that is mounted at `disk` of its place.
struct FileSystem {
    place: Place,
    mount: Mount,
    /// What is read from there, and stored there, is proved to come from and to lie on the device.
    reads_device: bool,
    is_durable: bool,
    has_records: bool,
}

/// Whether the running kernel knows the file system. A kernel without it cannot be helped by installing anything.
fn kernel_has(kind: &str) -> bool {
    let knows =
        || std::fs::read_to_string("/proc/filesystems").expect("/proc").lines().any(|line| line.ends_with(kind));
    // It may be there as a module; whether that can be loaded is seen afterwards.
    let has = knows() || (Command::new("modprobe").arg(kind).output().is_ok() && knows());
    if !has {
        say(&format!("NOT TESTED: this kernel has no {kind}"));
    }
    has
}

/// Flushes that the device of a mounted file system was asked for so far: Documentation/block/stat.rst of Linux.
fn flushes(mounted: &Path) -> u64 {
    let source = run(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(mounted)).exits(0).stdout;
    let device = source.trim().trim_start_matches("/dev/");
    let stat = std::fs::read_to_string(format!("/sys/block/{device}/stat")).expect("a block device");
    stat.split_whitespace().nth(15).expect("flushes, since Linux 5.5").parse().expect("a number")
}

impl FileSystem {
    /// In an image, on a device: reads past the cache are proven, and everything else is had.
    fn in_image(maker: &[&str], options: &str) -> Option<Self> {
        let place = Place::new();
        let image = place.path("image");
        let is_made = kernel_has(maker[0].trim_start_matches("mkfs.")) && make_image(&image, IMAGE_BYTES, maker);
        let mount = is_made.then(|| Mount::image_with(&image, &place.path("disk"), options)).flatten()?;
        Some(Self { place, mount, reads_device: true, is_durable: true, has_records: true })
    }

    /// Of `layers/upper` over `lower`, both below the place.
    fn overlay(place: Place, options: &str) -> Option<Self> {
        for name in ["lower", "layers/upper", "layers/work"] {
            place.directory(name);
        }
        let of = |option: &str, layer: &str| format!("{option}={}", place.path(layer).display());
        let layers = [of("lowerdir", "lower"), of("upperdir", "layers/upper"), of("workdir", "layers/work")].join(",");
        let mut command = Command::new("mount");
        command.args(["-t", "overlay", "-o", &(layers + options), "careful-test"]);
        let mount = Mount::of(&place.path("disk"), &mut command)?;
        Some(Self { place, mount, reads_device: false, is_durable: true, has_records: true })
    }

    /// What is known of a source that lies here, with no record.
    fn origin(&self) -> &'static str {
        if self.reads_device { "reread" } else { "first-read" }
    }

    /// How a copy is proved that lies here.
    fn stored(&self) -> [&'static str; 2] {
        [if self.reads_device { "device" } else { "cache" }, if self.is_durable { "yes" } else { "no" }]
    }

    /// All receipts say this, and are as many.
    #[track_caller]
    fn assert_words(ran: &Ran, count: usize, [origin, stored, durable]: [&str; 3]) {
        let receipts = ran.events_of("receipt");
        assert_eq!(receipts.len(), count, "{ran:?}");
        for receipt in receipts {
            assert_eq!(words(&receipt), [origin, stored, durable], "{receipt}");
        }
    }

    fn keeps_every_promise(&self) {
        self.is_flushed_as_a_whole();
        self.takes_a_tree_and_gives_it_back();
        self.sends_only_what_an_interrupted_run_did_not_store();
        self.takes_what_is_equal_from_an_old_target();
        self.is_refused_where_less_is_proved_than_required();
        self.gets_holes();
        self.tells_that_it_is_full();
    }

    /// One flush of the file system may stand for one of each file: where there is a device, it is asked for it.
    fn is_flushed_as_a_whole(&self) {
        let disk = self.place.path("disk");
        let directory = OsDisk.open_directory(&disk).expect("a directory");
        assert!(directory.can_sync_file_system().expect("a file system"));
        if self.place.has("image") {
            self.place.random("disk/unflushed", 5000, 9);
            // An overlay passes it on to what is beneath.
            let on_device = if self.place.has("layers") { self.place.path("layers") } else { disk.clone() };
            let before = flushes(&on_device);
            directory.sync_file_system().expect("a flush");
            assert!(flushes(&on_device) > before, "what was written may be in the cache of the device");
            std::fs::remove_file(disk.join("unflushed")).expect("removed");
        }
    }

    /// Whoever wrote it may have done so just now, in place, and the system have written it out: all that is left to do then
    /// is to ask the device. On btrfs nothing is left to do: nothing is written there without a transaction to be ended.
    fn flushes_what_is_equal(&self) {
        const FILES: u64 = 20;
        for number in 0..FILES {
            self.place.random(format!("equal/{number}"), 5000, number);
        }
        let send = || self.place.send(&["equal/", "disk/equal"]).exits(0);
        // The second may find the times of directories unwritten, the third finds nothing.
        send();
        send();
        let before = flushes(&self.place.path("disk"));
        assert_eq!(send().count("unchanged_files"), FILES);
        let flushed = flushes(&self.place.path("disk")) - before;
        assert!(flushed > 0, "what is called durable may be in the cache of the device");
        std::fs::remove_dir_all(self.place.path("disk/equal")).expect("removed");
    }

    /// There with every check, found unchanged, and back again: with the records of the copy, and without.
    fn takes_a_tree_and_gives_it_back(&self) {
        let place = &self.place;
        let count = write_tree(place, "src");
        let [there, stored_there, durable_there] = words_possible(&place.path("src"));
        let [stored, durable] = self.stored();
        let ran = place.send(&["src/", "disk/copy"]).exits(0);
        Self::assert_words(&ran, count, [there, stored, durable]);
        assert_eq!(tree(&place.path("src")), tree(&place.path("disk/copy")));
        assert_eq!(stored_record(&place.path("disk/copy/large")).is_some(), self.has_records);
        let again = place.send(&["src/", "disk/copy"]).exits(0);
        Self::assert_words(&again, count, [there, stored, durable]);
        assert_eq!((again.count("sent_bytes"), again.count("unchanged_files")), (0, count as u64));
        let origin = if self.has_records { "recorded" } else { self.origin() };
        let back = place.send(&["disk/copy/", "back"]).exits(0);
        Self::assert_words(&back, count, [origin, stored_there, durable_there]);
        assert_eq!(tree(&place.path("src")), tree(&place.path("back")));
        write_tree(place, "disk/own");
        let without = place.send(&["--no-record", "disk/own/", "disk/other"]).exits(0);
        Self::assert_words(&without, count, [self.origin(), stored, durable]);
        assert_eq!(stored_record(&place.path("disk/other/large")), None);
        assert!(place.staging_files("disk").is_empty());
    }

    fn sends_only_what_an_interrupted_run_did_not_store(&self) {
        let place = &self.place;
        let bytes = place.read("src/large");
        let staging = Path::new("disk/resumed").join(staging_name("large"));
        let half = [&bytes[..3 * CHUNK], &random_bytes(CHUNK, 77)[..]].concat();
        place.write(&staging, &half);
        set_mode(&place.path(&staging), 0o600);
        let ran = place.send(&["src/large", "disk/resumed"]).exits(0);
        assert_eq!(ran.count("sent_bytes"), (LARGE - 3 * CHUNK) as u64);
        let [stored, durable] = self.stored();
        Self::assert_words(&ran, 1, [words_possible(&place.path("src"))[0], stored, durable]);
        assert_eq!(root_of(&place.read("disk/resumed/large")), root_of(&bytes));
        assert!(place.staging_files("disk").is_empty());
    }

    fn takes_what_is_equal_from_an_old_target(&self) {
        let place = &self.place;
        let mut bytes = place.read("src/large");
        place.write("disk/old/large", &bytes);
        bytes[4 * CHUNK + 5] ^= 1;
        place.write("changed/large", &bytes);
        let ran = place.send(&["changed/large", "disk/old"]).exits(0);
        assert_eq!(ran.count("sent_bytes"), CHUNK as u64);
        let [stored, durable] = self.stored();
        Self::assert_words(&ran, 1, [words_possible(&place.path("src"))[0], stored, durable]);
        assert_eq!(root_of(&place.read("disk/old/large")), root_of(&bytes));
    }

    fn is_refused_where_less_is_proved_than_required(&self) {
        for (required, is_met) in [("stored=device", self.reads_device), ("durable=yes", self.is_durable)] {
            for source in ["src/large", "src/100"] {
                let ran = self.place.send(&["--require", required, source, "disk/required/"]);
                let ran = ran.exits(if is_met { 0 } else { 42 });
                assert_eq!(!is_met, ran.stderr.contains("proved less than was required"), "{ran:?}");
                assert_eq!(!is_met, ran.stderr.contains("hint: leave out of --require"), "{ran:?}");
            }
        }
    }

    fn gets_holes(&self) {
        let place = &self.place;
        place.send(&["--sparse", "src/large", "disk/sparse"]).exits(0);
        assert_eq!(root_of(&place.read("disk/sparse")), root_of(&place.read("src/large")));
        let (sparse, dense) = (blocks(&place.path("disk/sparse")), LARGE as u64 - HOLE.len() as u64);
        assert!(sparse < dense, "{sparse} bytes of the disk");
    }

    /// What does not fit fails as such, leaves what is there, and fits once there is room.
    fn tells_that_it_is_full(&self) {
        let place = &self.place;
        place.write("disk/full/large", b"old");
        fill(&place.path("disk/filler"));
        let ran = place.send(&["src/large", "disk/full"]).exits(11);
        assert!(ran.stderr.contains("no space left at the receiving side"), "{ran:?}");
        assert_eq!(place.read("disk/full/large"), b"old");
        for number in 0..8 {
            place.random(format!("many/{number}"), CHUNK - number, number as u64);
        }
        let ran = place.send(&["many/", "disk/full"]).exits(11);
        assert!(ran.failed().iter().all(|(_, code)| *code == 11), "{ran:?}");
        assert_eq!(ran.receipted().len() + ran.failed().len(), 8);
        for name in ran.receipted() {
            assert_eq!(place.read(Path::new("disk/full").join(&name)), place.read(Path::new("many").join(&name)));
        }
        std::fs::remove_file(place.path("disk/filler")).expect("removed");
        place.send(&["src/large", "many/", "disk/full"]).exits(0);
        assert_eq!(root_of(&place.read("disk/full/large")), root_of(&place.read("src/large")));
        assert!(place.staging_files("disk").is_empty());
    }

    /// A bit that flips on the device while the page cache still holds the right bytes is seen where a receipt says `device`:
    /// by careful-check, and by the next transfer, which puts it right.
    fn sees_a_flipped_bit_of_the_device(&self) {
        let place = &self.place;
        // Of content that no removed file has left in the image.
        let (large, small) = (place.random("fresh/large", LARGE, 91), place.random("fresh/small", 300_000, 92));
        place.send(&["fresh/", "disk/flipped"]).exits(0);
        for (name, bytes) in [("large", &large), ("small", &small)] {
            assert!(place.read(Path::new("disk/flipped").join(name)) == *bytes);
            flip_in_image(&place.path("image"), &bytes[64 << 10..]);
            assert!(place.read(Path::new("disk/flipped").join(name)) == *bytes, "the page cache knows nothing of it");
        }
        let found = place.check(&["verify", "disk/flipped"]).exits(41);
        let mut corrupt = found.events_of("checked");
        corrupt.retain(|event| event["state"] == "corrupt");
        assert_eq!(corrupt.len(), 2, "{found:?}");
        let ran = place.send(&["fresh/", "disk/flipped"]).exits(0);
        assert_eq!(ran.count("sent_bytes"), (CHUNK + small.len()) as u64);
        place.check(&["verify", "disk/flipped"]).exits(0);
    }
}

/// Writes a tree of a large file with a hole and files of few bytes; how many it is.
fn write_tree(place: &Place, name: &str) -> usize {
    let top = Path::new(name);
    for length in SMALL {
        place.random(top.join("below").join(length.to_string()), length, 1);
        place.random(top.join(length.to_string()), length, length as u64);
    }
    let mut bytes = random_bytes(LARGE, 5);
    bytes[ZEROS].fill(0);
    let file = File::create(place.path(top.join("large"))).expect("a file");
    file.set_len(LARGE as u64).expect("a length");
    for part in [0..HOLE.start, HOLE.end..LARGE] {
        file.write_all_at(&bytes[part.clone()], part.start as u64).expect("content");
    }
    2 * SMALL.len() + 1
}

fn blocks(path: &Path) -> u64 {
    path.metadata().expect("a file").blocks() * 512
}

/// Takes all the space but a little, by reserving it.
fn fill(path: &Path) {
    const LEFT_BYTES: u64 = 3 << 20;
    let file = File::create(path).expect("a file");
    let (mut length, mut step) = (0, 64 << 20);
    while step >= 1 << 20 {
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), length, step) {
            Ok(()) => length += step,
            Err(_) => step /= 2,
        }
    }
    file.set_len(length - LEFT_BYTES).expect("a length");
}

fn on_a_proven_device(maker: &[&str]) {
    let Some(disk) = FileSystem::in_image(maker, "rw") else { return };
    disk.keeps_every_promise();
    disk.flushes_what_is_equal();
    disk.sees_a_flipped_bit_of_the_device();
}

#[test]
fn ext4_with_blocks_of_4_kib_keeps_every_promise() {
    on_a_proven_device(&["mkfs.ext4", "-q", "-F", "-b", "4096"]);
}

#[test]
fn ext4_with_blocks_of_1_kib_keeps_every_promise() {
    on_a_proven_device(&["mkfs.ext4", "-q", "-F", "-b", "1024"]);
}

#[test]
fn xfs_keeps_every_promise() {
    on_a_proven_device(&["mkfs.xfs", "-q"]);
}

/// What it calls a direct read may be answered from the page cache, so no word is taken for it.
fn on_btrfs(options: &str) {
    let disk = FileSystem::in_image(&["mkfs.btrfs", "-q"], options);
    if let Some(disk) = disk.map(|disk| FileSystem { reads_device: false, ..disk }) {
        disk.keeps_every_promise();
    }
}

#[test]
fn btrfs_keeps_every_promise_and_claims_no_device() {
    on_btrfs("rw");
}

#[test]
fn btrfs_that_compresses_keeps_every_promise_and_claims_no_device() {
    on_btrfs("compress-force=zstd");
}

#[test]
fn btrfs_without_copying_on_write_keeps_every_promise_and_claims_no_device() {
    on_btrfs("nodatacow");
}

/// Journalled content is read back out of the page cache, whatever was asked for.
#[test]
fn ext4_that_journals_content_keeps_every_promise_and_claims_no_device() {
    let disk = FileSystem::in_image(&["mkfs.ext4", "-q", "-F", "-b", "4096"], "data=journal");
    if let Some(disk) = disk.map(|disk| FileSystem { reads_device: false, ..disk }) {
        disk.keeps_every_promise();
    }
}

#[test]
fn ext4_claims_the_device_only_of_files_that_do_not_lie_within_their_inode() {
    let maker = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "inline_data"];
    let Some(FileSystem { place, mount: _mount, .. }) = FileSystem::in_image(&maker, "rw") else { return };
    place.random("src/within", 50, 1);
    place.random("src/beside", 5000, 2);
    let ran = place.send(&["--no-record", "src/", "disk/copy"]).exits(0);
    let stored = |name: &str| {
        let receipts = ran.events_of("receipt");
        receipts.into_iter().find(|receipt| receipt["path"] == name).map(|receipt| receipt["stored"].clone())
    };
    assert_eq!((stored("within"), stored("beside")), (Some("cache".into()), Some("device".into())), "{ran:?}");
}

/// Blocks of 1 KiB give all attributes of a file less than the hashes of 64 parts need.
#[test]
fn a_record_without_room_for_the_parts_of_its_file_is_stored_without_them() {
    let Some(disk) = FileSystem::in_image(&["mkfs.ext4", "-q", "-F", "-b", "1024"], "rw") else { return };
    let place = &disk.place;
    place.random("file", 70 * CHUNK, 1);
    place.send(&["file", "disk/"]).exits(0);
    let record = Record::from_bytes(&stored_record(&place.path("disk/file")).expect("a record")).expect("a record");
    assert_eq!((record.content.length_bytes, record.content.subtrees), (70 * CHUNK as u64, None));
    let back = place.send(&["disk/file", "back"]).exits(0);
    assert_eq!(words(&back.summary())[0], "recorded");
}

#[test]
fn tmpfs_keeps_every_promise_and_claims_neither_device_nor_durability() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place.path("disk"), "size=64m") else { return };
    FileSystem { place, mount, reads_device: false, is_durable: false, has_records: true }.keeps_every_promise();
}

#[test]
fn an_overlay_keeps_every_promise_and_is_as_durable_as_what_is_beneath() {
    let place = Place::new();
    let image = place.path("image");
    if !make_image(&image, IMAGE_BYTES, &["mkfs.ext4", "-q", "-F"]) {
        return;
    }
    let Some(_beneath) = Mount::image(&image, &place.path("layers")) else { return };
    if let Some(disk) = FileSystem::overlay(place, "") {
        disk.keeps_every_promise();
    }
}

#[test]
fn an_overlay_in_memory_claims_no_durability() {
    let place = Place::new();
    let Some(_beneath) = Mount::tmpfs(&place.path("layers"), "size=64m") else { return };
    if let Some(disk) = FileSystem::overlay(place, "") {
        FileSystem { is_durable: false, ..disk }.keeps_every_promise();
    }
}

#[test]
fn an_overlay_that_flushes_nothing_claims_no_durability() {
    if let Some(FileSystem { place, mount: _mount, .. }) = FileSystem::overlay(Place::new(), ",volatile") {
        place.random("file", 5000, 1);
        let ran = place.send(&["--require", "durable=yes", "file", "disk/"]).exits(42);
        assert_eq!(words(&ran.events_of("receipt")[0])[2], "no");
    }
}

#[test]
fn an_overlay_whose_upper_directory_is_out_of_sight_claims_no_durability() {
    if let Some(FileSystem { place, mount: _mount, .. }) = FileSystem::overlay(Place::new(), "") {
        place.random("file", 5000, 1);
        let Some(_veil) = Mount::tmpfs(&place.path("layers"), "size=1m") else { return };
        let ran = place.send(&["file", "disk/"]).exits(0);
        assert_eq!(words(&ran.events_of("receipt")[0])[2], "no");
    }
}

#[test]
fn a_target_in_the_lower_layer_of_an_overlay_is_replaced_kept_and_dated_like_any_other() {
    let place = Place::new();
    let Some(_lower) = Mount::tmpfs(&place.path("lower"), "size=64m") else { return };
    let bytes = place.random("lower/large", LARGE, 1);
    place.random("lower/equal", LARGE, 2);
    place.random("lower/small", 5000, 3);
    let Some(FileSystem { place, mount: _mount, .. }) = FileSystem::overlay(place, "") else { return };
    for name in ["large", "equal", "small"] {
        place.write(Path::new("src").join(name), &place.read(Path::new("lower").join(name)));
        set_mode(&place.path("src").join(name), 0o640);
        set_modified(&place.path("src").join(name), 1_700_000_000, 5);
    }
    let mut changed = bytes.clone();
    changed[CHUNK] ^= 1;
    place.write("src/large", &changed);
    let ran = place.send(&["src/", "disk/"]).exits(0);
    assert_eq!((ran.count("sent_bytes"), ran.count("unchanged_files")), (CHUNK as u64, 2));
    assert_eq!(tree(&place.path("src")), tree(&place.path("disk")));
    assert!(place.read("lower/large") == bytes, "the lower layer stays as it is");
}

/// exFAT through FUSE at `disk` of the place.
fn exfat_through_fuse(place: &Place) -> Option<Mount> {
    let image = place.path("image");
    if !kernel_has("fuseblk") || !make_image(&image, 64 << 20, &["mkfs.exfat"]) {
        return None;
    }
    let attached = run(Command::new("losetup").args(["--find", "--show"]).arg(&image));
    let device = attached.exits(0).stdout.trim().to_owned();
    let mount = Mount::of(&place.path("disk"), Command::new("mount.exfat-fuse").arg(&device));
    // It goes when nobody uses it any more.
    run(Command::new("losetup").args(["--detach", &device])).exits(0);
    mount
}

/// syncfs(2) hands the program behind FUSE what is written, and never asks it for a flush.
#[test]
fn small_files_on_fuse_are_each_flushed_to_the_device() {
    const FILES: u64 = 20;
    let place = Place::new();
    let Some(_mount) = exfat_through_fuse(&place) else { return };
    let disk = place.path("disk");
    assert!(!OsDisk.open_directory(&disk).unwrap().can_sync_file_system().unwrap());
    for number in 0..FILES {
        place.random(format!("src/{number}"), 5000, number);
        // It can rename onto what is there only.
        place.write(format!("disk/{number}"), b"");
    }
    let before = flushes(&disk);
    let ran = place.send(&["src/", "disk/"]).exits(0);
    assert_eq!(ran.count("sent_bytes"), FILES * 5000);
    let flushed = flushes(&disk) - before;
    assert!(flushed >= FILES, "{flushed} flushes for {FILES} files that are called durable");
}

/// Neither extended attributes nor reserving, holes, modes, links, or a rename that does not replace.
#[test]
fn a_file_system_that_has_next_to_nothing_takes_what_it_can_and_says_what_it_cannot() {
    let place = Place::new();
    let Some(_mount) = exfat_through_fuse(&place) else { return };
    let large = place.random("src/large", LARGE, 1);
    place.random("src/small", 5000, 2);
    place.write("src/empty", b"");
    let ran = place.send(&["src/", "disk/"]).exits(11);
    assert_eq!(ran.failed(), ["empty", "large", "small"].map(|name| (format!("src/{name}"), 11)));
    assert!(ran.stderr.contains("can neither rename without replacing nor make a hard link"), "{ran:?}");
    assert!(ran.stderr.contains("hint: choose a destination on another file system, or make an empty file"), "{ran:?}");
    for name in ["large", "small", "empty"] {
        assert!(!place.has(Path::new("disk").join(name)), "nothing is there without a receipt");
        place.write(Path::new("disk").join(name), b"");
    }
    let ran = place.send(&["src/", "disk/"]).exits(0);
    assert_eq!(ran.count("sent_bytes"), 5000, "what was staged of the large file is kept");
    FileSystem::assert_words(&ran, 3, [words_possible(&place.path("src"))[0], "cache", "yes"]);
    let back = place.send(&["disk/", "back"]).exits(0);
    assert_eq!(words(&back.summary())[0], "first-read");
    assert!(place.read("back/large") == large && place.read("back/small") == place.read("src/small"));
    let again = place.send(&["--sparse", "src/", "disk/"]).exits(0);
    assert_eq!((again.count("sent_bytes"), again.count("unchanged_files")), (0, 3));
    place.random("src/too-large", 80 * CHUNK, 3);
    place.write("disk/too-large", b"old");
    place.send(&["src/too-large", "disk/"]).exits(11);
    assert_eq!(place.read("disk/too-large"), b"old");
}
