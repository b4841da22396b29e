//! The disk door: directories held open, files read and written by position, blocking.
//!
//! The traits lie below the loops that finish short reads and writes ([`read_full`], [`write_all`]), so a faulty twin
//! may answer short or with EINTR. Names are single components; nothing here joins paths or follows a link below a
//! directory that was opened. **No decision is taken here.**

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::buffer::PieceBuffer;

/// What the operator's own paths lead to: the roots of a transfer, key and receipt files.
pub trait Disk: Send + Sync + Debug {
    /// Opens a directory named by the person at this host; links on the way are followed.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;
    /// What is at the path, links followed.
    fn inspect(&self, path: &Path) -> io::Result<Metadata>;
    /// The path without links or `..`.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Opens what the person at this host named for reading from its beginning to its end: a file, or a pipe. Links are
    /// followed.
    fn open_stream(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>>;
    /// Makes a file of this name to keep something in for a while, in a fresh directory of its own that only this user may enter.
    fn make_spool(&self, directory: &Path, name: &OsStr) -> io::Result<Box<dyn Spool>>;
    /// Opens a file to add lines to, made with mode 0600 if it is not there; a link in its place is refused.
    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Reads a whole small file that must be regular, our own, with one link and closed to others (mode & 0o077 = 0).
    fn read_private(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Writes a small file with mode 0600 whole or not at all, durably; fails with `AlreadyExists` if it is there. Missing parents
    /// are made with mode 0700.
    fn create_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// As `create_private`, but in the place of what is there, at once: whoever reads finds the old bytes or the new ones.
    fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Reads a whole file of the operator's that must be regular and that only root or our own user may write
    /// (owner, mode & 0o022 = 0), at most 1 MiB; a link in its place is refused.
    fn read_trusted(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Name of a user or group of this host; nothing if it has none. A disk that is no host's knows no accounts.
    fn account_name(&self, _account: Account) -> Option<Vec<u8>> {
        None
    }
    /// Number of the user or group of this name on this host; nothing if there is none.
    fn account_number(&self, _kind: AccountKind, _name: &[u8]) -> Option<u32> {
        None
    }
}

/// A user or a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Which of the two.
    pub kind: AccountKind,
    /// uid or gid.
    pub number: u32,
}

/// Users and groups have names and numbers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// uid.
    User,
    /// gid.
    Group,
}

/// What an open file or directory has beside its content, its mode of 0o777 and its time: owner, the special bits of its
/// mode, and extended attributes, POSIX ACLs among them. Everything goes by the descriptor, never by a name.
pub trait Labels: Send + Sync + Debug {
    /// Sets owner and group; nothing leaves one as it is. Linux takes suid and sgid off then.
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()>;
    /// Sets permission bits with suid, sgid and sticky (at most 0o7777): for those who asked for exactly that.
    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()>;
    /// Names of all extended attributes; none where the file system has none at all (flistxattr(2)).
    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>>;
    /// The value of an extended attribute; nothing where the file has none of this name, or its file system none at all
    /// (fgetxattr(2)).
    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>>;
    /// Sets an extended attribute, or removes it: without a value the file has none of this name in the end. Content and
    /// time of last modification stay (fsetxattr(2), fremovexattr(2)).
    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()>;
}

/// A symbolic link held open by itself, never followed.
pub trait DiskLink: Send + Sync + Debug {
    /// Where it points to, as it is written there.
    fn target(&self) -> io::Result<OsString>;
    /// The link's own.
    fn metadata(&self) -> io::Result<Metadata>;
    /// Sets the link's own time of last modification.
    fn set_modified(&self, modified: Timestamp) -> io::Result<()>;
    /// Sets the link's own owner and group.
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()>;
}

/// A file to keep something in for a while: removed, with its directory, when this is dropped.
pub trait Spool: Send + Sync + Debug {
    /// Where it is.
    fn path(&self) -> &Path;
    /// Makes the file, mode 0600, for writing from its beginning.
    fn writer(&self) -> io::Result<Box<dyn io::Write + Send>>;
}

/// A directory held open. Every name is one component: not empty, not `.` or `..`, without `/`.
pub trait Directory: Labels {
    /// Opens a directory in this one; never through a link (openat2 with RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS).
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>>;
    /// Makes a directory with this mode (the umask applies).
    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()>;
    /// Opens a regular file for reading; never through a link, never waiting on a fifo.
    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file that must not be there yet, mode 0600, for reading and writing.
    fn create_file(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there for reading and writing; never through a link.
    fn open_for_writing(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a symbolic link to this target under a name that must not be there yet.
    fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()>;
    /// Opens the symbolic link of this name itself; anything else is `InvalidInput`.
    fn open_link(&self, name: &OsStr) -> io::Result<Arc<dyn DiskLink>>;
    /// Gives the file of another directory of the same disk one more name, here, that must not be there yet. A symbolic link
    /// is not followed.
    fn make_hard_link(&self, from: &dyn Directory, from_name: &OsStr, name: &OsStr) -> io::Result<()>;
    /// Where this directory's descriptor is a real one, for `make_hard_link` of another directory of the same disk.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// What has this name; a link is reported as itself.
    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata>;
    /// What is in the directory, in no particular order, without `.` and `..`.
    fn items(&self) -> io::Result<Items>;
    /// Renames within this directory, atomically. Without `replace` an existing `to` is an error (`AlreadyExists`); `Unsupported`
    /// where the file system can promise that in no way.
    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, name: &OsStr) -> io::Result<()>;
    /// Removes the name of an empty directory.
    fn remove_directory(&self, name: &OsStr) -> io::Result<()>;
    /// Flushes the directory itself: its names. fsync(2).
    fn sync(&self) -> io::Result<()>;
    /// Flushes everything on the directory's file system; errors of any file on it count. syncfs(2).
    fn sync_file_system(&self) -> io::Result<()>;
    /// Whether `sync_file_system` is known to be worth a flush of every file and directory there.
    fn can_sync_file_system(&self) -> io::Result<bool>;
    /// The directory's own metadata.
    fn metadata(&self) -> io::Result<Metadata>;
    /// Sets permission bits (at most 0o777).
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    /// Sets the time of last modification.
    fn set_modified(&self, modified: Timestamp) -> io::Result<()>;
    /// Bytes that can still be written on this file system, by an ordinary user.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Whether what is written here can be made to survive a power cut: false on tmpfs and its like.
    fn is_durable(&self) -> io::Result<bool>;
}

/// Items of a directory as they are read.
pub type Items = Box<dyn Iterator<Item = io::Result<DirectoryItem>> + Send>;

/// An open file. Positional, shareable between threads.
pub trait DiskFile: Labels {
    /// One read at the offset; may be short, 0 at the end. Files opened past the cache accept any alignment, but only
    /// 4096-byte aligned buffers, offsets and capacities avoid a copy.
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize>;
    /// One write at the offset; may be short.
    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize>;
    /// Takes up to `length_bytes` at the offset from another file at the same offset: shared or copied inside the kernel where
    /// that may share blocks, else through the memory; returns how many were taken, 0 at the other file's end.
    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64>;
    /// Where this file's descriptor is a real one, for `copy_at` of another file of the same disk.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Reserves space and sets the length. On file systems that cannot reserve it sets the length only; on those in memory it
    /// does so if there is space now, since to reserve there is to write zeros.
    fn allocate(&self, length_bytes: u64) -> io::Result<()>;
    /// Makes a hole of whole blocks in the range, which reads as zeros; the length stays. Where the file system has no
    /// holes, zeros are written.
    fn make_hole(&self, range: Range<u64>) -> io::Result<()>;
    /// Cuts or extends to this length.
    fn set_length(&self, length_bytes: u64) -> io::Result<()>;
    /// Flushes data (fdatasync(2)). After an error the file must not be synced again and believed.
    fn sync_data(&self) -> io::Result<()>;
    /// Flushes data and metadata (fsync(2)). As above.
    fn sync_all(&self) -> io::Result<()>;
    /// Takes the exclusive lock of the file if nobody holds it (flock(2)); it goes with the last handle.
    fn try_lock(&self) -> io::Result<bool>;
    /// Length, kind, times, owner, identity.
    fn metadata(&self) -> io::Result<Metadata>;
    /// The same as it was when the file was opened, which every opening looks at anyway: its identity stays, the rest may
    /// have changed. A disk that does not keep it looks now.
    fn found(&self) -> io::Result<Metadata> {
        self.metadata()
    }
    /// Sets permission bits (at most 0o777).
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    /// Sets the time of last modification.
    fn set_modified(&self, modified: Timestamp) -> io::Result<()>;
    /// The next range at or after the offset that may hold data, ends at a hole or the end of the file; nothing if only
    /// holes follow (lseek(2), SEEK_DATA and SEEK_HOLE).
    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>>;
    /// Whether reads of this handle are proven to come from the device: opened past the cache with O_DIRECT on a file
    /// system where that is known to hold.
    fn reads_device(&self) -> bool;
}

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Through the page cache.
    Cached,
    /// Past the page cache where the file system can; [`DiskFile::reads_device`] tells whether that is proven.
    PastCache,
}

/// How a file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Through the page cache.
    Cached,
    /// Aligned whole blocks past the page cache where the file system can, the rest through it.
    PastCache,
}

/// What kind of thing a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A fifo, socket or device.
    Special,
}

/// A point in time as file systems keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Since 1970, may be negative.
    pub seconds: i64,
    /// 0..1,000,000,000.
    pub nanoseconds: u32,
}

/// What is known of a file or directory without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// In bytes.
    pub length_bytes: u64,
    /// Permission bits with suid, sgid and sticky: mode & 0o7777.
    pub mode: u32,
    /// Time of last modification.
    pub modified: Timestamp,
    /// Time of last status change: moves with every write, even where `modified` was set back.
    pub changed: Timestamp,
    /// Number of its device and its inode there: the identity of the file.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Number of hard links.
    pub links: u64,
    /// Whether it belongs to the user who runs this program.
    pub is_own: bool,
    /// Number of its owner.
    pub user: u32,
    /// Number of its group.
    pub group: u32,
}

impl Metadata {
    /// Whether both are the same file, whatever its content.
    #[must_use]
    pub fn same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }

    /// Whether nothing tells that the content changed between the two: same file, length and times.
    #[must_use]
    pub fn unchanged(&self, other: &Self) -> bool {
        self.same_file(other) && self.length_bytes == other.length_bytes && self.modified == other.modified
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryItem {
    /// One component.
    pub name: OsString,
    /// What it is, where the file system tells with the name.
    pub kind: Option<Kind>,
}

/// Reads until the buffer is full or the file ends; returns the bytes read. EINTR is retried.
pub fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset_bytes + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all bytes at the offset. EINTR is retried; a write of nothing is `WriteZero`.
pub fn write_all(file: &dyn DiskFile, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset_bytes + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes the whole range from the other file, where the system cannot do it by itself through the memory: at least a block of
/// it. EINTR is retried; the other file ending early is `UnexpectedEof`.
pub fn copy_all(
    file: &dyn DiskFile,
    from: &dyn DiskFile,
    range: Range<u64>,
    memory: &mut PieceBuffer,
) -> io::Result<()> {
    let mut offset_bytes = range.start;
    while offset_bytes < range.end {
        match file.copy_at(from, offset_bytes, range.end - offset_bytes, memory.whole_blocks_mut()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => offset_bytes += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
