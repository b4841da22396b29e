//! The real disk: Linux system calls through rustix, and the only place in the program that reaches `std::fs`.
//!
//! Below an open directory every open is one component, never through a link. A handle calls itself a device reader
//! only on a file system of [`PROVEN_FILE_SYSTEMS`] *and* where the kernel says that this very file can be read past
//! the cache. After an error nothing is tried again in secret, except where the system lacks the call.
//! **No decision about a transfer is taken here, and no path is joined but that of a spool.**
//!
//! Longer than 400 lines because one file per door shows in one place everything that touches the disk.

#![expect(clippy::disallowed_methods, reason = "this is the one door to the file system")]

mod labels;
mod overlay;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{
    AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom,
    Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::{Errno, retry_on_intr};

use super::buffer::{ALIGNMENT_BYTES, PieceBuffer};
use super::disk::{
    Account, AccountKind, Directory, DirectoryItem, Disk, DiskFile, DiskLink, Items, Kind, Metadata, Reading, Spool,
    Timestamp, Writing,
};
use labels::OsLink;

/// File systems on which a bit flipped on the device under the mounted file system was seen by an O_DIRECT read while
/// the page cache still held the good bytes; by their `statfs` number. A new entry needs that test first, with whole,
/// odd, tiny and compressed files and with memory never touched before. btrfs failed it: it answers from the page cache
/// for such memory and for compressed and inline files, without a word. tmpfs has no device at all.
const PROVEN_FILE_SYSTEMS: [u32; 2] = [
    0xEF53,      // ext2, ext3, ext4 share the number; all three were tested.
    0x5846_5342, // XFS
];

/// File systems of which syncfs(2) writes out everything and was seen to ask the device for a flush, by their `statfs`
/// number. A new entry needs that test first. Of FUSE and network file systems it writes the content to the program or host that
/// keeps it and asks for no flush there; FAT and exFAT do not ask the device for one (`fuse_sync_fs`, `exfat_sync_fs` of Linux
/// 6.18, beside their `fsync`).
const WHOLLY_SYNCED_FILE_SYSTEMS: [u32; 6] = [
    0xEF53,      // ext2, ext3, ext4, all served by the driver of ext4
    0x5846_5342, // XFS
    0x9123_683E, // btrfs
    // It passes a flush on to its upper directory's file system, which FUSE cannot be: it lacks what the kernel asks of one.
    overlay::FILE_SYSTEM,
    FLEETING_FILE_SYSTEMS[0],
    FLEETING_FILE_SYSTEMS[1],
];

/// File systems whose content is gone with the power: tmpfs and ramfs.
const FLEETING_FILE_SYSTEMS: [u32; 2] = [0x0102_1994, 0x8584_58F6];

/// File systems that share no blocks between files: there copy_file_range(2) goes page by page through the cache, and every
/// read past the cache of the same file has to wait for what it left there.
const UNSHARING_FILE_SYSTEMS: [u32; 3] = [0xEF53, FLEETING_FILE_SYSTEMS[0], FLEETING_FILE_SYSTEMS[1]];

/// openat2(2) answers EAGAIN when it cannot rule out a race with a rename: one attempt and four more, then an error.
const OPEN_ATTEMPTS: usize = 5;

/// Largest piece that one `copy_at` hands to the kernel, so that the caller can count and stop.
const KERNEL_COPY_BYTES: u64 = 128 << 20;

/// Largest piece that goes through memory of our own: of a direct read that is not aligned, and of zeros.
const OWN_COPY_BYTES: usize = 1 << 20;

/// What statx(2) counts the space of a file in, in bytes.
const STAT_BLOCK_BYTES: u64 = 512;

/// Largest file that `read_private` takes.
const PRIVATE_LIMIT_BYTES: u64 = 64 << 10;

/// Largest file that `read_trusted` takes.
const TRUSTED_LIMIT_BYTES: u64 = 1 << 20;

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

/// The umask of this process, which is then cleared: from here on every mode is given in full.
#[must_use]
pub fn take_umask() -> u32 {
    rustix::process::umask(Mode::empty()).bits()
}

/// Raises the limit of open files as far as this user may, and answers what it is then.
#[must_use]
pub fn raise_open_files_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { before };
    now.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

impl Disk for OsDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(Arc::new(OsDirectory::new(descriptor)))
    }

    fn inspect(&self, path: &Path) -> io::Result<Metadata> {
        let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
        Ok(metadata_from(&found))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn open_stream(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        #[expect(clippy::disallowed_types, reason = "this is the one door to the file system")]
        let file = std::fs::File::from(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?);
        if file.metadata()?.is_dir() { Err(Errno::ISDIR.into()) } else { Ok(Box::new(file)) }
    }

    fn make_spool(&self, directory: &Path, name: &OsStr) -> io::Result<Box<dyn Spool>> {
        let directory = tempfile::Builder::new().prefix("careful-").tempdir_in(directory)?;
        let path = directory.path().join(single_component(name)?);
        Ok(Box::new(OsSpool { path, _directory: directory }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
        let main = open_at_last(path, flags, private_mode())?;
        let found = metadata_from(&require_regular(&main)?);
        Ok(Arc::new(OsFile { main, role: Role::Appending, found }))
    }

    fn read_private(&self, path: &Path) -> io::Result<Vec<u8>> {
        let main = open_at_last(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let found = look_at(&main)?;
        if let Some(fault) = fault_of_private(path, &metadata_from(&found), found.stx_uid) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, fault));
        }
        read_small(main, &found, PRIVATE_LIMIT_BYTES)
    }

    fn create_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = parent_of(path);
        let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| is_missing(ancestor)).collect();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        private_file(folder, bytes)?.persist_noclobber(path).map_err(|error| error.error)?;
        // The name is safe only when every directory that got a new entry is flushed, the one above a new parent too.
        self.open_directory(folder)?.sync()?;
        missing.into_iter().try_for_each(|made| self.open_directory(parent_of(made))?.sync())
    }

    fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = parent_of(path);
        private_file(folder, bytes)?.persist(path).map_err(|error| error.error)?;
        self.open_directory(folder)?.sync()
    }

    fn read_trusted(&self, path: &Path) -> io::Result<Vec<u8>> {
        let main = open_at_last(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let found = require_regular(&main)?;
        if let Some(fault) = fault_of_trusted(path, &metadata_from(&found), found.stx_uid) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, fault));
        }
        read_small(main, &found, TRUSTED_LIMIT_BYTES)
    }

    fn account_name(&self, account: Account) -> Option<Vec<u8>> {
        labels::account_name(account)
    }

    fn account_number(&self, kind: AccountKind, name: &[u8]) -> Option<u32> {
        labels::account_number(kind, name)
    }
}

/// A file that does not have its name yet: mode 0600, written and flushed.
fn private_file(folder: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".careful-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// All of a file that may not be longer than the limit.
fn read_small(main: OwnedFd, found: &Statx, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; limit_bytes as usize + 1];
    let file = OsFile { main, role: Role::CachedReading, found: metadata_from(found) };
    let length = super::disk::read_full(&file, &mut bytes, 0)?;
    if length as u64 > limit_bytes {
        let words = format!("it is longer than {} KiB", limit_bytes >> 10);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The directory goes with it.
#[derive(Debug)]
struct OsSpool {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Spool for OsSpool {
    fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> io::Result<Box<dyn io::Write + Send>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, private_mode())?;
        #[expect(clippy::disallowed_types, reason = "this is the one door to the file system")]
        Ok(Box::new(std::fs::File::from(file)))
    }
}

#[derive(Debug)]
struct OsDirectory {
    descriptor: OwnedFd,
    /// What it lies on, once somebody asked.
    file_system: OnceLock<FileSystem>,
}

/// A mounted file system, which the open directory keeps from going away.
#[derive(Clone, Copy, Debug)]
struct FileSystem {
    device: u64,
    /// Its `statfs` number.
    number: u32,
}

impl Directory for OsDirectory {
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        let descriptor = self.open_for_reading(name, OFlags::DIRECTORY)?;
        Ok(Arc::new(Self::new(descriptor)))
    }

    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.descriptor, single_component(name)?, permission_bits(mode))?)
    }

    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>> {
        let main = self.open_for_reading(name, OFlags::NONBLOCK).map_err(without_reader)?;
        let found = require_regular(&main)?;
        let role = match reading {
            Reading::Cached => Role::CachedReading,
            Reading::PastCache => self.past_cache(&main, &found)?,
        };
        Ok(Arc::new(OsFile { main, role, found: metadata_from(&found) }))
    }

    fn create_file(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let main = self.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, private_mode())?;
        self.writable(name, main, writing)
    }

    fn open_for_writing(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let main = self.open(name, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).map_err(without_reader)?;
        self.writable(name, main, writing)
    }

    fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.descriptor, single_component(name)?)?)
    }

    fn open_link(&self, name: &OsStr) -> io::Result<Arc<dyn DiskLink>> {
        let descriptor = self.open(name, OFlags::PATH, Mode::empty())?;
        Ok(Arc::new(OsLink::new(descriptor)?))
    }

    fn make_hard_link(&self, from: &dyn Directory, from_name: &OsStr, name: &OsStr) -> io::Result<()> {
        let (from_name, name) = (single_component(from_name)?, single_component(name)?);
        let from = from.descriptor().ok_or(io::ErrorKind::CrossesDevices)?;
        Ok(rustix::fs::linkat(from, from_name, &self.descriptor, name, AtFlags::empty())?)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor.as_fd())
    }

    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata> {
        let name = single_component(name)?;
        let found = rustix::fs::statx(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
        Ok(metadata_from(&found))
    }

    fn items(&self) -> io::Result<Items> {
        let entries = Dir::read_from(&self.descriptor)?;
        Ok(Box::new(entries.filter_map(|entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name().to_bytes();
            let kind = match entry.file_type() {
                FileType::Unknown => None,
                known => Some(kind_from(known)),
            };
            (name != b"." && name != b"..").then(|| Ok(DirectoryItem { name: OsString::from_vec(name.to_vec()), kind }))
        })))
    }

    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()> {
        let (from, to) = (single_component(from)?, single_component(to)?);
        let held = &self.descriptor;
        if replace {
            return Ok(rustix::fs::renameat(held, from, held, to)?);
        }
        match rustix::fs::renameat_with(held, from, held, to, RenameFlags::NOREPLACE) {
            // The file system cannot promise it in one step. A link never replaces either.
            Err(Errno::INVAL | Errno::NOSYS) => match rustix::fs::linkat(held, from, held, to, AtFlags::empty()) {
                // The file system has no links either, and says so in one of these ways.
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
                linked => {
                    linked?;
                    Ok(rustix::fs::unlinkat(held, from, AtFlags::empty())?)
                }
            },
            other => Ok(other?),
        }
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, single_component(name)?, AtFlags::empty())?)
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, single_component(name)?, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }

    fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.descriptor)?)
    }

    fn can_sync_file_system(&self) -> io::Result<bool> {
        Ok(WHOLLY_SYNCED_FILE_SYSTEMS.contains(&file_system_of(&self.descriptor)?))
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_from(&look_at(&self.descriptor)?))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.descriptor, permission_bits(mode))?)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        set_modified(self.descriptor.as_fd(), modified)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.descriptor)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn is_durable(&self) -> io::Result<bool> {
        let kind = file_system_of(&self.descriptor)?;
        if kind == overlay::FILE_SYSTEM {
            return overlay::is_durable(&self.descriptor);
        }
        Ok(!FLEETING_FILE_SYSTEMS.contains(&kind))
    }
}

impl OsDirectory {
    fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, file_system: OnceLock::new() }
    }

    /// Opens one component, never through a link.
    fn open(&self, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let name = single_component(name)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..OPEN_ATTEMPTS {
            match retry_on_intr(|| rustix::fs::openat2(&self.descriptor, name, flags, mode, resolve)) {
                Err(Errno::AGAIN) => {}
                // The kernel has no openat2, or a filter forbids it. With a single component O_NOFOLLOW is as strict.
                Err(Errno::NOSYS | Errno::PERM) => {
                    return Ok(retry_on_intr(|| rustix::fs::openat(&self.descriptor, name, flags, mode))?);
                }
                other => return Ok(other?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens one component for reading, so that its time of last access stays as it is where we may ask for that: only
    /// the owner may.
    fn open_for_reading(&self, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
        match self.open(name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                self.open(name, flags, Mode::empty())
            }
            opened => opened,
        }
    }

    fn writable(&self, name: &OsStr, main: OwnedFd, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let found = require_regular(&main)?;
        let direct = match writing {
            Writing::PastCache if self.can_pass_cache(&main, &found)? => self.open_direct(name, &found),
            Writing::Cached | Writing::PastCache => None,
        };
        Ok(Arc::new(OsFile { main, role: Role::Writing { direct }, found: metadata_from(&found) }))
    }

    /// A second, direct descriptor of the file found under the name. Without one all writes go through the cache,
    /// which is slower but no less safe, so no error is worth stopping for; nor is a name that leads elsewhere by now.
    fn open_direct(&self, name: &OsStr, found: &Statx) -> Option<OwnedFd> {
        let direct = self.open(name, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::DIRECT, Mode::empty()).ok()?;
        let opened = look_at(&direct).ok()?;
        metadata_from(&opened).same_file(&metadata_from(found)).then_some(direct)
    }

    /// Makes the descriptor direct if that is proven to read the device, or else drops what the cache holds of the file.
    fn past_cache(&self, file: &OwnedFd, found: &Statx) -> io::Result<Role> {
        if self.can_pass_cache(file, found)? {
            // Setting the flag on the descriptor itself cannot end up at another file, as a second open could.
            match rustix::fs::fcntl_setfl(file, OFlags::DIRECT) {
                Ok(()) => return Ok(Role::DirectReading),
                Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Only advice: what it does is never claimed, so its failure changes nothing.
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).ok();
        Ok(Role::CachedReading)
    }

    /// Whether direct access to this file is proven to pass the page cache, at our alignment.
    ///
    /// The number of the file system is not enough: ext4 takes O_DIRECT and silently answers from the cache for journalled
    /// data and for data inside the inode. statx tells (Linux 6.1 or newer); where it tells nothing, nothing is proven.
    fn can_pass_cache(&self, file: &OwnedFd, found: &Statx) -> io::Result<bool> {
        let told = found.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let fits = |alignment: u32| alignment != 0 && ALIGNMENT_BYTES.is_multiple_of(alignment as usize);
        Ok(told
            && fits(found.stx_dio_mem_align)
            && fits(found.stx_dio_offset_align)
            && PROVEN_FILE_SYSTEMS.contains(&self.file_system_of(file, found)?))
    }

    /// The `statfs` number of a file's file system: that of the directory, asked for once, unless something else is mounted on
    /// the file.
    fn file_system_of(&self, file: &OwnedFd, found: &Statx) -> io::Result<u32> {
        let own = match self.file_system.get() {
            Some(own) => own,
            None => {
                let device = device_of(&look_at(&self.descriptor)?);
                let number = file_system_of(&self.descriptor)?;
                self.file_system.get_or_init(|| FileSystem { device, number })
            }
        };
        if own.device == device_of(found) { Ok(own.number) } else { file_system_of(file) }
    }
}

#[derive(Debug)]
struct OsFile {
    /// Everything goes through this one, except what [`Role::Writing`] sends past the cache.
    main: OwnedFd,
    role: Role,
    /// What it was when it was opened.
    found: Metadata,
}

/// What a handle was opened for.
#[derive(Debug)]
enum Role {
    CachedReading,
    /// The descriptor has O_DIRECT: it must see aligned reads only.
    DirectReading,
    Writing {
        /// The same file with O_DIRECT.
        direct: Option<OwnedFd>,
    },
    Appending,
}

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let straight = is_aligned(buffer, offset_bytes) && buffer.len().is_multiple_of(ALIGNMENT_BYTES);
        if matches!(self.role, Role::DirectReading) && !straight {
            return self.read_around(buffer, offset_bytes);
        }
        Ok(rustix::io::pread(&self.main, buffer, offset_bytes)?)
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        // The rest behind whole blocks is left to the next call, which finds less than a block and takes the cache.
        let blocks = bytes.len() - bytes.len() % ALIGNMENT_BYTES;
        match &self.role {
            Role::Appending => return Ok(rustix::io::write(&self.main, bytes)?),
            Role::Writing { direct: Some(direct) } if blocks > 0 && is_aligned(bytes, offset_bytes) => {
                match rustix::io::pwrite(direct, &bytes[..blocks], offset_bytes) {
                    // The file can no longer be written past the cache.
                    Err(Errno::INVAL) => {}
                    other => return Ok(other?),
                }
            }
            Role::CachedReading | Role::DirectReading | Role::Writing { .. } => {}
        }
        Ok(rustix::io::pwrite(&self.main, bytes, offset_bytes)?)
    }

    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64> {
        if length_bytes == 0 {
            return Ok(0);
        }
        let may_share = !UNSHARING_FILE_SYSTEMS.contains(&file_system_of(&self.main)?);
        if let Some(source) = from.descriptor().filter(|_| may_share) {
            let (mut read_from, mut write_to) = (offset_bytes, offset_bytes);
            let wanted = length_bytes.min(KERNEL_COPY_BYTES) as usize;
            match rustix::fs::copy_file_range(source, Some(&mut read_from), &self.main, Some(&mut write_to), wanted) {
                // Nothing is also what some file systems answer that cannot do it; the read below tells the end.
                Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                other => return Ok(other? as u64),
            }
        }
        let wanted = memory.len().min(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        match from.read_at(&mut memory[..wanted], offset_bytes)? {
            0 => Ok(0),
            read => Ok(self.write_at(&memory[..read], offset_bytes)? as u64),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.main.as_fd())
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        if look_at(&self.main)?.stx_size > length_bytes {
            self.set_length(length_bytes)?;
        }
        if length_bytes == 0 {
            return Ok(());
        }
        if FLEETING_FILE_SYSTEMS.contains(&file_system_of(&self.main)?) {
            // Memory would be zeroed page by page, only to be written again: as long as all of the transport.
            return self.set_length_within_space(length_bytes);
        }
        match retry_on_intr(|| rustix::fs::fallocate(&self.main, FallocateFlags::empty(), 0, length_bytes)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.set_length(length_bytes),
            other => Ok(other?),
        }
    }

    fn make_hole(&self, range: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length_bytes = range.end.saturating_sub(range.start);
        match retry_on_intr(|| rustix::fs::fallocate(&self.main, flags, range.start, length_bytes)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(range),
            other => Ok(other?),
        }
    }

    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.main, length_bytes))?)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.main)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.main)?)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.main, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_from(&look_at(&self.main)?))
    }

    fn found(&self) -> io::Result<Metadata> {
        Ok(self.found)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.main, permission_bits(mode))?)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        set_modified(self.main.as_fd(), modified)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        // lseek moves the position of the descriptor, which nothing else here uses.
        let range = rustix::fs::seek(&self.main, SeekFrom::Data(offset_bytes))
            .and_then(|start| Ok(start..rustix::fs::seek(&self.main, SeekFrom::Hole(start))?));
        match range {
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL) => {
                let length_bytes = look_at(&self.main)?.stx_size;
                Ok((offset_bytes < length_bytes).then_some(offset_bytes..length_bytes))
            }
            other => Ok(Some(other?)),
        }
    }

    fn reads_device(&self) -> bool {
        matches!(self.role, Role::DirectReading)
    }
}

impl OsFile {
    /// Gives the file this length if there is space now for what it lacks; nothing is reserved.
    fn set_length_within_space(&self, length_bytes: u64) -> io::Result<()> {
        let found = look_at(&self.main)?;
        let lacking_bytes = length_bytes.saturating_sub(found.stx_blocks * STAT_BLOCK_BYTES);
        let space = rustix::fs::fstatvfs(&self.main)?;
        // A file system without a limit tells of no blocks at all.
        if space.f_blocks > 0 && space.f_bavail.saturating_mul(space.f_frsize) < lacking_bytes {
            return Err(Errno::NOSPC.into());
        }
        self.set_length(length_bytes)
    }

    /// Never beyond the end: the length stays.
    fn write_zeros(&self, range: Range<u64>) -> io::Result<()> {
        let end = range.end.min(look_at(&self.main)?.stx_size);
        let zeros = PieceBuffer::unpooled(OWN_COPY_BYTES.min(end.saturating_sub(range.start) as usize));
        let mut at = range.start;
        while at < end {
            let count = (end - at).min(zeros.len() as u64) as usize;
            super::disk::write_all(self, &zeros[..count], at)?;
            at += count as u64;
        }
        Ok(())
    }

    /// A direct read of the whole blocks around what is wanted, copied out.
    fn read_around(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let length_bytes = look_at(&self.main)?.stx_size;
        if buffer.is_empty() || offset_bytes >= length_bytes {
            return Ok(0);
        }
        let skipped = (offset_bytes % ALIGNMENT_BYTES as u64) as usize;
        let start_bytes = offset_bytes - skipped as u64;
        let left_bytes = length_bytes - start_bytes;
        let wanted =
            skipped.saturating_add(buffer.len()).min(OWN_COPY_BYTES).min(left_bytes.try_into().unwrap_or(usize::MAX));
        let mut blocks = PieceBuffer::unpooled(wanted.next_multiple_of(ALIGNMENT_BYTES));
        let read = rustix::io::pread(&self.main, &mut blocks[..], start_bytes)?;
        if read <= skipped && look_at(&self.main)?.stx_size > offset_bytes {
            // An answer of nothing would pass for the end of the file.
            return Err(io::Error::other("a direct read stopped inside a block before the end of the file"));
        }
        let count = read.saturating_sub(skipped).min(buffer.len());
        buffer[..count].copy_from_slice(&blocks[skipped..skipped + count]);
        Ok(count)
    }
}

fn is_aligned(bytes: &[u8], offset_bytes: u64) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES) && offset_bytes.is_multiple_of(ALIGNMENT_BYTES as u64)
}

/// Second guard behind the parsing of names: what reaches the system is one component.
fn single_component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name must be a single component"));
    }
    Ok(name)
}

/// Opens the operator's path; links on the way are followed, one in the last place is refused.
fn open_at_last(path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::open(path, flags, mode)).map_err(|error| match error {
        Errno::LOOP => io::Error::new(io::ErrorKind::PermissionDenied, "it is a symbolic link, which is not followed"),
        other => without_reader(other.into()),
    })
}

/// Opening a socket, or a fifo that nobody reads, answers ENXIO: said as what it is.
fn without_reader(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) { not_regular() } else { error }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn require_regular(file: &OwnedFd) -> io::Result<Statx> {
    let found = look_at(file)?;
    match metadata_from(&found).kind {
        Kind::File => Ok(found),
        Kind::Directory => Err(Errno::ISDIR.into()),
        Kind::Link | Kind::Special => Err(not_regular()),
    }
}

/// What is wrong with a private file, and the command that repairs it. There is no way to ask for leniency.
fn fault_of_private(path: &Path, found: &Metadata, owner: u32) -> Option<String> {
    let file = path.display();
    if found.kind != Kind::File {
        Some("not a regular file".to_owned())
    } else if !found.is_own {
        let user = own_user();
        Some(format!("owned by user {owner}, not by user {user}; run `chown {user} {file}` if it is yours"))
    } else if found.links != 1 {
        Some(format!("it has {} names; run `cp -p {file} {file}.new && mv {file}.new {file}`", found.links))
    } else if found.mode & 0o077 != 0 {
        Some(format!("mode {:04o} opens it to others; run `chmod 600 {file}`", found.mode))
    } else if found.length_bytes > PRIVATE_LIMIT_BYTES {
        Some(format!("{} bytes long, more than 64 KiB", found.length_bytes))
    } else {
        None
    }
}

/// What is wrong with a file of the operator's that others must not write, and the command that repairs it.
fn fault_of_trusted(path: &Path, found: &Metadata, owner: u32) -> Option<String> {
    let file = path.display();
    if !found.is_own && owner != 0 {
        let user = own_user();
        Some(format!("owned by user {owner}, neither root nor user {user}: whoever owns it decides who may send"))
    } else if found.mode & 0o022 != 0 {
        Some(format!("mode {:04o} lets others write it; run `chmod go-w {file}`", found.mode))
    } else {
        None
    }
}

/// The directory a path's last component lies in.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_missing(path: &Path) -> bool {
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE);
    !path.as_os_str().is_empty() && matches!(found, Err(Errno::NOENT))
}

fn private_mode() -> Mode {
    Mode::RUSR | Mode::WUSR
}

/// Permissions only: suid, sgid and sticky are never set on behalf of anybody.
fn permission_bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777)
}

fn look_at(file: &OwnedFd) -> io::Result<Statx> {
    Ok(rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN)?)
}

fn file_system_of(file: &OwnedFd) -> io::Result<u32> {
    // The numbers have 32 bits; the field is wider and signed on some machines.
    Ok(rustix::fs::fstatfs(file)?.f_type as u32)
}

fn set_modified(file: BorrowedFd<'_>, modified: Timestamp) -> io::Result<()> {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access, last_modification })?)
}

fn metadata_from(found: &Statx) -> Metadata {
    let mode = u32::from(found.stx_mode);
    Metadata {
        kind: kind_from(FileType::from_raw_mode(mode)),
        length_bytes: found.stx_size,
        mode: mode & 0o7777,
        modified: timestamp_from(&found.stx_mtime),
        changed: timestamp_from(&found.stx_ctime),
        device: device_of(found),
        inode: found.stx_ino,
        links: found.stx_nlink.into(),
        is_own: found.stx_uid == own_user(),
        user: found.stx_uid,
        group: found.stx_gid,
    }
}

fn device_of(found: &Statx) -> u64 {
    rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor)
}

/// The user this process acts as. Nothing here changes that, so it is asked for once and not with every look at a file.
fn own_user() -> u32 {
    static OWN_USER: OnceLock<u32> = OnceLock::new();
    *OWN_USER.get_or_init(|| rustix::process::geteuid().as_raw())
}

fn timestamp_from(time: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

fn kind_from(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            Kind::Special
        }
    }
}

#[cfg(test)]
mod tests;
