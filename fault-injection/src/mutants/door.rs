//! A disk that is watched: a decorator of the disk door that asks a [`Watch`] before it does anything that counts.
//!
//! A watch writes down, strikes at a moment, or shows other bytes than those that lie there. Reads of descriptors
//! inside the kernel are not possible through it, so everything is seen.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::seams::disk::{
    Account, AccountKind, Directory, Disk, DiskFile, DiskLink, Items, Labels, Metadata, Reading, Spool, Timestamp,
    Writing,
};

/// Device and inode.
pub type Identity = (u64, u64);

/// One call that changes something, makes something durable, or reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A directory was opened: by a path of the person if it has no holder.
    OpenDirectory {
        /// In which directory, and its name there.
        place: Option<(Identity, &'a OsStr)>,
        /// Itself.
        directory: Identity,
    },
    /// A directory is made.
    MakeDirectory {
        /// In this one.
        holder: Identity,
        /// With this name.
        name: &'a OsStr,
    },
    /// A file of this length, that was there before, is open for writing.
    TakeOver(&'a OpenFile, u64),
    /// Bytes are read.
    Read(&'a OpenFile, Range<u64>),
    /// Bytes are written, copied or cut off.
    Write(&'a OpenFile, Range<u64>),
    /// Length, mode or time is set.
    Change(&'a OpenFile),
    /// The file is flushed; with its metadata or without.
    SyncFile(&'a OpenFile, bool),
    /// A name becomes another one.
    Rename {
        /// In this directory.
        directory: Identity,
        /// The staging file's name.
        from: &'a OsStr,
        /// The final name.
        to: &'a OsStr,
    },
    /// The names of this directory are flushed.
    SyncDirectory(Identity),
    /// Everything is flushed.
    SyncFileSystem,
}

/// A file as it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// Itself.
    pub file: Identity,
    /// The name it had then.
    pub name: OsString,
    /// How it is read, if it was opened for that alone.
    pub reading: Option<Reading>,
}

/// Who is asked.
pub trait Watch: Send + Sync + Debug {
    /// Does the operation by calling `run` once, or answers in its place.
    fn around(&self, _operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        run()
    }

    /// A file of this length is about to get this final name.
    fn renaming(&self, _file: Identity, _length_bytes: u64, _name: &OsStr) {}

    /// Changes what a read shows.
    fn shown(&self, _file: &OpenFile, _offset_bytes: u64, _bytes: &mut [u8]) {}

    /// Changes what is written.
    fn written(&self, _file: &OpenFile, _offset_bytes: u64, _bytes: &mut [u8]) {}

    /// Where a write lands.
    fn place(&self, _file: &OpenFile, offset_bytes: u64) -> u64 {
        offset_bytes
    }
}

/// The disk.
#[derive(Debug)]
pub struct WatchedDisk {
    inner: Arc<dyn Disk>,
    watch: Arc<dyn Watch>,
}

impl WatchedDisk {
    /// A disk under this watch.
    #[must_use]
    pub fn over(inner: Arc<dyn Disk>, watch: Arc<dyn Watch>) -> Arc<dyn Disk> {
        Arc::new(Self { inner, watch })
    }
}

/// Runs an operation with an answer under the watch.
fn watched<T>(watch: &dyn Watch, operation: &Operation<'_>, mut run: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut answer = None;
    watch.around(operation, &mut || {
        answer = Some(run()?);
        Ok(())
    })?;
    answer.ok_or_else(|| io::Error::other("the watch did not run the operation"))
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.device, metadata.inode)
}

impl Disk for WatchedDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let inner = self.inner.open_directory(path)?;
        let itself = identity(&inner.metadata()?);
        self.watch.around(&Operation::OpenDirectory { place: None, directory: itself }, &mut || Ok(()))?;
        Ok(Arc::new(WatchedDirectory { inner, watch: Arc::clone(&self.watch), itself }))
    }

    fn inspect(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.inspect(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
    }

    fn open_stream(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        self.inner.open_stream(path)
    }

    fn make_spool(&self, directory: &Path, name: &OsStr) -> io::Result<Box<dyn Spool>> {
        self.inner.make_spool(directory, name)
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open_append(path)
    }

    fn read_private(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read_private(path)
    }

    fn create_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.create_private(path, bytes)
    }

    fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.replace_private(path, bytes)
    }

    fn read_trusted(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read_trusted(path)
    }

    fn account_name(&self, account: Account) -> Option<Vec<u8>> {
        self.inner.account_name(account)
    }

    fn account_number(&self, kind: AccountKind, name: &[u8]) -> Option<u32> {
        self.inner.account_number(kind, name)
    }
}

#[derive(Debug)]
struct WatchedDirectory {
    inner: Arc<dyn Directory>,
    watch: Arc<dyn Watch>,
    itself: Identity,
}

impl WatchedDirectory {
    fn wrap(&self, inner: Arc<dyn DiskFile>, name: &OsStr, reading: Option<Reading>) -> io::Result<WatchedFile> {
        let file = identity(&inner.metadata()?);
        Ok(WatchedFile {
            inner,
            watch: Arc::clone(&self.watch),
            open: OpenFile { file, name: name.to_owned(), reading },
        })
    }
}

impl Directory for WatchedDirectory {
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        let inner = self.inner.open_directory(name)?;
        let itself = identity(&inner.metadata()?);
        let operation = Operation::OpenDirectory { place: Some((self.itself, name)), directory: itself };
        self.watch.around(&operation, &mut || Ok(()))?;
        Ok(Arc::new(Self { inner, watch: Arc::clone(&self.watch), itself }))
    }

    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let operation = Operation::MakeDirectory { holder: self.itself, name };
        self.watch.around(&operation, &mut || self.inner.make_directory(name, mode))
    }

    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.wrap(self.inner.open_file(name, reading)?, name, Some(reading))?))
    }

    fn create_file(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.wrap(self.inner.create_file(name, writing)?, name, None)?))
    }

    fn open_for_writing(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.wrap(self.inner.open_for_writing(name, writing)?, name, None)?;
        let length_bytes = file.inner.metadata()?.length_bytes;
        self.watch.around(&Operation::TakeOver(&file.open, length_bytes), &mut || Ok(()))?;
        Ok(Arc::new(file))
    }

    fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        self.inner.make_link(name, target)
    }

    fn open_link(&self, name: &OsStr) -> io::Result<Arc<dyn DiskLink>> {
        self.inner.open_link(name)
    }

    fn make_hard_link(&self, from: &dyn Directory, from_name: &OsStr, name: &OsStr) -> io::Result<()> {
        self.inner.make_hard_link(from, from_name, name)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata> {
        self.inner.metadata_of(name)
    }

    fn items(&self) -> io::Result<Items> {
        self.inner.items()
    }

    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()> {
        let operation = Operation::Rename { directory: self.itself, from, to };
        if let Ok(file) = self.inner.metadata_of(from) {
            self.watch.renaming(identity(&file), file.length_bytes, to);
        }
        self.watch.around(&operation, &mut || self.inner.rename(from, to, replace))
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.inner.remove_file(name)
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        self.inner.remove_directory(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.watch.around(&Operation::SyncDirectory(self.itself), &mut || self.inner.sync())
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.watch.around(&Operation::SyncFileSystem, &mut || self.inner.sync_file_system())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.inner.metadata()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.inner.set_mode(mode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.inner.set_modified(modified)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }

    fn can_sync_file_system(&self) -> io::Result<bool> {
        self.inner.can_sync_file_system()
    }

    fn is_durable(&self) -> io::Result<bool> {
        self.inner.is_durable()
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn DiskFile>,
    watch: Arc<dyn Watch>,
    open: OpenFile,
}

impl WatchedFile {
    fn change(&self, run: impl Fn() -> io::Result<()>) -> io::Result<()> {
        self.watch.around(&Operation::Change(&self.open), &mut || run())
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let operation = Operation::Read(&self.open, offset_bytes..offset_bytes + buffer.len() as u64);
        let read = watched(self.watch.as_ref(), &operation, || self.inner.read_at(buffer, offset_bytes))?;
        self.watch.shown(&self.open, offset_bytes, &mut buffer[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        let operation = Operation::Write(&self.open, offset_bytes..offset_bytes + bytes.len() as u64);
        // Aligned like the original, so that the write takes the same way.
        let mut written = careful::seams::buffer::PieceBuffer::unpooled(bytes.len());
        written.copy_from_slice(bytes);
        self.watch.written(&self.open, offset_bytes, &mut written);
        let place = self.watch.place(&self.open, offset_bytes);
        watched(self.watch.as_ref(), &operation, || self.inner.write_at(&written, place))
    }

    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64> {
        // The other file is a watched one, too, and shows no descriptor: its bytes pass through its reads.
        let operation = Operation::Write(&self.open, offset_bytes..offset_bytes + length_bytes);
        watched(self.watch.as_ref(), &operation, || self.inner.copy_at(from, offset_bytes, length_bytes, memory))
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.change(|| self.inner.allocate(length_bytes))
    }

    fn make_hole(&self, range: Range<u64>) -> io::Result<()> {
        let operation = Operation::Write(&self.open, range.clone());
        self.watch.around(&operation, &mut || self.inner.make_hole(range.clone()))
    }

    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        self.change(|| self.inner.set_length(length_bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch.around(&Operation::SyncFile(&self.open, false), &mut || self.inner.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.watch.around(&Operation::SyncFile(&self.open, true), &mut || self.inner.sync_all())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.inner.metadata()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.change(|| self.inner.set_mode(mode))
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.change(|| self.inner.set_modified(modified))
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset_bytes)
    }

    fn reads_device(&self) -> bool {
        self.inner.reads_device()
    }
}

impl Labels for WatchedDirectory {
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.inner.set_owner(user, group)
    }

    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
        self.inner.set_mode_with_special_bits(mode)
    }

    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
        self.inner.extended_attribute_names()
    }

    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        self.inner.extended_attribute(name)
    }

    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        self.inner.set_extended_attribute(name, value)
    }
}

impl Labels for WatchedFile {
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.change(|| self.inner.set_owner(user, group))
    }

    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
        self.change(|| self.inner.set_mode_with_special_bits(mode))
    }

    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
        self.inner.extended_attribute_names()
    }

    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        self.inner.extended_attribute(name)
    }

    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        self.change(|| self.inner.set_extended_attribute(name, value))
    }
}
