//! The faulty disk: a decorator of the disk door that does what the plan says and passes everything else on.
//!
//! It lies below the loops that finish short reads and writes, so it may answer short. What the medium holds under a
//! page cache that knows better is kept per file: reads through the cache see the good bytes, reads past it the bad ones.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use careful::protocol::entry::Name;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::seams::buffer::PieceBuffer;
use careful::seams::disk::{Directory, Disk, DiskFile, Items, Metadata, Reading, Timestamp, Writing};

use crate::plan::{Fault, Place, Plan, Role, Side, Strike, damage};

/// A disk that a plan strikes.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    world: Arc<World>,
}

impl FaultyDisk {
    /// The disk of one side.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>, side: Side, plan: Arc<Plan>) -> Self {
        Self { inner, world: Arc::new(World { side, plan, medium: Mutex::default() }) }
    }
}

/// What all handles of one disk share.
#[derive(Debug)]
struct World {
    side: Side,
    plan: Arc<Plan>,
    /// Bits that are wrong on the medium while the page cache has them right.
    medium: Mutex<HashMap<Identity, Vec<WrongByte>>>,
}

/// Device and inode.
type Identity = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct WrongByte {
    offset_bytes: u64,
    difference: u8,
}

/// Staging files begin with this.
const STAGING_PREFIX: &[u8] = b".careful-";

impl World {
    /// The final name that a name stands for.
    fn logical(&self, name: &OsStr) -> Vec<u8> {
        let is_staging_of = |file: &[u8]| Name::new(file).is_ok_and(|file| file.staging() == name);
        let found = self.plan.files().find(|file| is_staging_of(file));
        found.unwrap_or(name.as_bytes()).to_vec()
    }

    fn reading_role(&self, name: &OsStr, reading: Reading) -> Role {
        match (self.side, reading) {
            (Side::Sender, Reading::Cached) => Role::SourceRead,
            (Side::Sender, Reading::PastCache) => Role::SourceReadPastCache,
            (Side::Receiver, _) if name.as_bytes().starts_with(STAGING_PREFIX) => Role::ReadBack,
            (Side::Receiver, _) => Role::TargetRead,
        }
    }

    /// A visit to a place that can only fail.
    fn operation(&self, role: Role, file: Vec<u8>) -> io::Result<()> {
        let due = self.plan.visit(&Place::Disk { role, file, chunk: 0 });
        due.into_iter().try_for_each(|strike| self.fail(strike))
    }

    fn fail(&self, strike: Strike) -> io::Result<()> {
        let number = match strike.fault {
            Fault::Interrupted => 4,
            Fault::Failed => 5,
            Fault::NoSpace => 28,
            _ => return Ok(()),
        };
        self.plan.took_effect(strike);
        Err(io::Error::from_raw_os_error(number))
    }

    fn medium(&self) -> MutexGuard<'_, HashMap<Identity, Vec<WrongByte>>> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(
        self: &Arc<Self>,
        inner: Arc<dyn DiskFile>,
        role: Role,
        name: &OsStr,
        cached: bool,
    ) -> io::Result<FaultyFile> {
        let found = inner.metadata()?;
        let identity = (found.device, found.inode);
        Ok(FaultyFile { inner, world: Arc::clone(self), role, file: self.logical(name), cached, identity })
    }
}

impl Disk for FaultyDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let inner = self.inner.open_directory(path)?;
        Ok(Arc::new(FaultyDirectory { inner, world: Arc::clone(&self.world) }))
    }

    fn inspect(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.inspect(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
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
}

#[derive(Debug)]
struct FaultyDirectory {
    inner: Arc<dyn Directory>,
    world: Arc<World>,
}

impl Directory for FaultyDirectory {
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        let inner = self.inner.open_directory(name)?;
        Ok(Arc::new(Self { inner, world: Arc::clone(&self.world) }))
    }

    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        self.inner.make_directory(name, mode)
    }

    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>> {
        let role = self.world.reading_role(name, reading);
        let inner = self.inner.open_file(name, reading)?;
        Ok(Arc::new(self.world.wrap(inner, role, name, reading == Reading::Cached)?))
    }

    fn create_file(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.create_file(name, writing)?;
        Ok(Arc::new(self.world.wrap(inner, Role::StagingWrite, name, true)?))
    }

    fn open_for_writing(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.open_for_writing(name, writing)?;
        Ok(Arc::new(self.world.wrap(inner, Role::StagingWrite, name, true)?))
    }

    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata> {
        self.inner.metadata_of(name)
    }

    fn items(&self) -> io::Result<Items> {
        self.inner.items()
    }

    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()> {
        self.world.operation(Role::Rename, to.as_bytes().to_vec())?;
        self.inner.rename(from, to, replace)
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.inner.remove_file(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.world.operation(Role::DirectorySync, b".".to_vec())?;
        self.inner.sync()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.world.operation(Role::FileSystemSync, b".".to_vec())?;
        self.inner.sync_file_system()
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

    fn is_durable(&self) -> io::Result<bool> {
        self.inner.is_durable()
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    world: Arc<World>,
    role: Role,
    /// Final name.
    file: Vec<u8>,
    /// Whether reads of this handle see the page cache.
    cached: bool,
    identity: Identity,
}

impl FaultyFile {
    /// What is due at a call that begins at this offset; errors are made at once.
    fn begin(&self, offset_bytes: u64) -> io::Result<Vec<Strike>> {
        let chunk_bytes = u64::from(CHUNK_BYTES_DEFAULT);
        if !offset_bytes.is_multiple_of(chunk_bytes) {
            return Ok(Vec::new());
        }
        let (file, chunk) = (self.file.clone(), offset_bytes / chunk_bytes);
        let due = self.world.plan.visit(&Place::Disk { role: self.role, file, chunk });
        due.iter().try_for_each(|&strike| self.world.fail(strike))?;
        Ok(due)
    }

    /// How much of a call of this length is made.
    fn shortened(&self, due: &[Strike], length: usize) -> usize {
        let short = due.iter().find(|strike| strike.fault == Fault::Short && length > 1);
        short.map_or(length, |&strike| {
            self.world.plan.took_effect(strike);
            length / 2
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.world.operation(Role::FileSync, self.file.clone())
    }

    /// What was written anew is on the medium as it was written.
    fn written(&self, range: Range<u64>) {
        if let Some(wrong) = self.world.medium().get_mut(&self.identity) {
            wrong.retain(|byte| !range.contains(&byte.offset_bytes));
        }
    }

    /// A write whose bytes differ from what was handed over.
    fn write_damaged(&self, bytes: &[u8], offset_bytes: u64, due: &[Strike]) -> io::Result<usize> {
        // Aligned like the original, so that the write takes the same way.
        let mut damaged = PieceBuffer::unpooled(bytes.len());
        damaged.copy_from_slice(bytes);
        let effects: Vec<_> = due.iter().filter_map(|&strike| Some((strike, damage(strike, &mut damaged)?))).collect();
        let written = self.inner.write_at(&damaged, offset_bytes)?;
        self.written(offset_bytes..offset_bytes + written as u64);
        for (strike, position) in effects.into_iter().filter(|&(_, position)| position < written) {
            self.world.plan.took_effect(strike);
            if matches!(strike.fault, Fault::FlipOnMedium { .. }) {
                let difference = bytes[position] ^ damaged[position];
                let wrong = WrongByte { offset_bytes: offset_bytes + position as u64, difference };
                self.world.medium().entry(self.identity).or_default().push(wrong);
            }
        }
        Ok(written)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let due = self.begin(offset_bytes)?;
        let room = self.shortened(&due, buffer.len());
        let read = self.inner.read_at(&mut buffer[..room], offset_bytes)?;
        if self.cached
            && let Some(wrong) = self.world.medium().get(&self.identity)
        {
            for byte in wrong {
                let position = byte.offset_bytes.checked_sub(offset_bytes).filter(|&position| position < read as u64);
                if let Some(position) = position {
                    buffer[position as usize] ^= byte.difference;
                }
            }
        }
        for strike in due {
            if damage(strike, &mut buffer[..read]).is_some() {
                self.world.plan.took_effect(strike);
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        let due = self.begin(offset_bytes)?;
        let bytes = &bytes[..self.shortened(&due, bytes.len())];
        if let Some(&strike) = due.iter().find(|strike| strike.fault == Fault::Lost) {
            self.world.plan.took_effect(strike);
            return Ok(bytes.len());
        }
        if due.iter().any(|strike| strike.fault != Fault::Short) {
            return self.write_damaged(bytes, offset_bytes, &due);
        }
        let written = self.inner.write_at(bytes, offset_bytes)?;
        self.written(offset_bytes..offset_bytes + written as u64);
        Ok(written)
    }

    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64) -> io::Result<u64> {
        // The other file is a faulty one, too, and shows no descriptor: its bytes pass through its reads.
        let copied = self.inner.copy_at(from, offset_bytes, length_bytes)?;
        self.written(offset_bytes..offset_bytes + copied);
        Ok(copied)
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.world.operation(Role::Allocate, self.file.clone())?;
        self.inner.allocate(length_bytes)
    }

    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        self.inner.set_length(length_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()?;
        self.inner.sync_all()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
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

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset_bytes)
    }

    fn reads_device(&self) -> bool {
        self.inner.reads_device()
    }
}
