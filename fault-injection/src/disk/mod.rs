//! The faulty disk: a decorator of the disk door that does what the plan says and passes everything else on.
//!
//! It lies below the loops that finish short reads and writes, so it may answer short. It decorates any disk, a real one
//! as well as one in memory; what a page cache knows better than the medium below it is kept beside it ([`Books`]).

mod books;
mod file;
mod flush;
mod labels;

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful::protocol::entry::{Name, is_staging_name};
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::seams::disk::{
    Account, AccountKind, Directory, Disk, DiskFile, DiskLink, Items, Metadata, Reading, Spool, Timestamp, Writing,
};

use crate::plan::{Fault, Place, Plan, Role, Side, Strike};
use books::{Books, Identity};
use file::FaultyFile;
use labels::FaultyLink;

/// A check that one side pretends to make: for canaries, which a campaign must find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cheat {
    /// The read-back sees the page cache, and says that it does not.
    ReadsThroughCache,
    /// The read-back sees what the program meant to write.
    NeverReadsBack,
    /// The second read of the source sees the page cache, and says that it does not.
    SecondReadThroughCache,
}

/// A disk that a plan strikes.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    world: Arc<World>,
}

impl FaultyDisk {
    /// The disk of one side, large files in chunks of 1 MiB.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>, side: Side, plan: Arc<Plan>) -> Self {
        let chunk_bytes = u64::from(CHUNK_BYTES_DEFAULT);
        let world = World { side, plan, chunk_bytes, cheat: None, books: Mutex::default() };
        Self { inner, world: Arc::new(world) }
    }

    /// The same disk under a program that pretends to make a check.
    #[must_use]
    pub fn cheating(self, cheat: Option<Cheat>) -> Self {
        let World { side, plan, chunk_bytes, .. } = &*self.world;
        let (side, plan, chunk_bytes) = (*side, Arc::clone(plan), *chunk_bytes);
        Self { world: Arc::new(World { side, plan, chunk_bytes, cheat, books: Mutex::default() }), ..self }
    }
}

/// What all handles of one disk share.
#[derive(Debug)]
struct World {
    side: Side,
    plan: Arc<Plan>,
    chunk_bytes: u64,
    cheat: Option<Cheat>,
    books: Mutex<Books>,
}

impl World {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The final name that a name stands for: one that was met, that it ends with, or that is in the plan.
    fn logical(&self, name: &OsStr) -> Vec<u8> {
        let is_of = |file: &[u8]| Name::new(file).is_ok_and(|file| file.staging() == name);
        // A long name is cut off in that of its staging file.
        let whole = || name.as_bytes().splitn(3, |&byte| byte == b'-').nth(2).filter(|file| is_of(file));
        let planned = || self.plan.entries().iter().filter_map(|entry| entry.place.file()).find(|file| is_of(file));
        let met = self.books().final_name(name);
        met.unwrap_or_else(|| whole().or_else(planned).unwrap_or(name.as_bytes()).to_vec())
    }

    /// A final name that is looked at before its staging file makes the latter known.
    fn met(&self, name: &OsStr) {
        if self.side == Side::Receiver
            && !is_staging_name(name.as_bytes())
            && let Ok(valid) = Name::new(name.as_bytes())
        {
            self.books().met(valid.staging(), name.as_bytes());
        }
    }

    /// A visit to a place that can fail or take long, and nothing else.
    fn operation(&self, role: Role, file: &[u8]) -> io::Result<Vec<Strike>> {
        self.begin(&Place::Disk { role, file: file.to_vec(), chunk: 0 })
    }

    /// What is due at this visit; errors are made at once, the rest is for the caller.
    fn begin(&self, place: &Place) -> io::Result<Vec<Strike>> {
        let due = self.plan.visit(place);
        for &strike in &due {
            let number = match strike.fault {
                Fault::Slow { millis } => {
                    std::thread::sleep(Duration::from_millis(millis));
                    self.plan.took_effect(strike);
                    continue;
                }
                Fault::Interrupted => 4,
                Fault::Failed => 5,
                Fault::NoSpace => 28,
                Fault::NoQuota => 122,
                _ => continue,
            };
            self.plan.took_effect(strike);
            return Err(io::Error::from_raw_os_error(number));
        }
        Ok(due)
    }

    /// Role of what is done at either side.
    fn role(&self, at_sender: Role, at_receiver: Role) -> Role {
        match self.side {
            Side::Sender => at_sender,
            Side::Receiver => at_receiver,
        }
    }

    fn reading_role(&self, name: &OsStr, reading: Reading) -> Role {
        match (self.side, reading) {
            (Side::Sender, Reading::Cached) => Role::SourceRead,
            (Side::Sender, Reading::PastCache) => Role::SourceReadPastCache,
            (Side::Receiver, _) if is_staging_name(name.as_bytes()) => Role::ReadBack,
            (Side::Receiver, _) => Role::TargetRead,
        }
    }

    /// Whether a read that should go past the page cache does not.
    fn sees_cache(&self, role: Role) -> bool {
        match self.cheat {
            Some(Cheat::ReadsThroughCache | Cheat::NeverReadsBack) => role == Role::ReadBack,
            Some(Cheat::SecondReadThroughCache) => role == Role::SourceReadPastCache,
            None => false,
        }
    }

    fn opening_role(&self, name: &OsStr) -> Role {
        self.role(
            Role::SourceOpen,
            if is_staging_name(name.as_bytes()) { Role::ReadBackOpen } else { Role::TargetOpen },
        )
    }

    fn wrap(
        self: &Arc<Self>,
        inner: Arc<dyn DiskFile>,
        role: Role,
        name: &OsStr,
        cached: bool,
    ) -> io::Result<FaultyFile> {
        let found = inner.metadata()?;
        let identity: Identity = (found.device, found.inode);
        let file = self.logical(name);
        Ok(FaultyFile { inner, world: Arc::clone(self), role, file, cached, identity, foreign_writer: None })
    }
}

impl Disk for FaultyDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.world.operation(self.world.role(Role::SourceOpen, Role::DirectoryOpen), b".")?;
        let inner = self.inner.open_directory(path)?;
        Ok(Arc::new(FaultyDirectory { inner, world: Arc::clone(&self.world), name: b".".to_vec() }))
    }

    fn inspect(&self, path: &Path) -> io::Result<Metadata> {
        self.world.operation(self.world.role(Role::SourceInspect, Role::TargetInspect), b".")?;
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
struct FaultyDirectory {
    inner: Arc<dyn Directory>,
    world: Arc<World>,
    /// Last component; `.` for the one a transfer begins with.
    name: Vec<u8>,
}

impl FaultyDirectory {
    /// Somebody else's way to write into a source, where the plan has one.
    fn foreign_writer(&self, name: &OsStr) -> Option<Arc<dyn DiskFile>> {
        let is_wanted = self.world.plan.has(|entry| {
            entry.fault == Fault::Changed
                && entry.place.file() == Some(name.as_bytes())
                && self.world.side == Side::Sender
        });
        is_wanted.then(|| self.inner.open_for_writing(name, Writing::Cached).ok()).flatten()
    }
}

impl Directory for FaultyDirectory {
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        self.world.operation(self.world.role(Role::SourceOpen, Role::DirectoryOpen), name.as_bytes())?;
        let inner = self.inner.open_directory(name)?;
        Ok(Arc::new(Self { inner, world: Arc::clone(&self.world), name: name.as_bytes().to_vec() }))
    }

    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        self.world.operation(Role::MakeDirectory, name.as_bytes())?;
        self.inner.make_directory(name, mode)
    }

    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>> {
        self.world.met(name);
        self.world.operation(self.world.opening_role(name), &self.world.logical(name))?;
        let role = self.world.reading_role(name, reading);
        let inner = self.inner.open_file(name, reading)?;
        let is_cached = reading == Reading::Cached || self.world.sees_cache(role);
        let file = self.world.wrap(inner, role, name, is_cached)?;
        Ok(Arc::new(file.with_foreign_writer(self.foreign_writer(name))))
    }

    fn create_file(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        self.world.operation(Role::StagingCreate, &self.world.logical(name))?;
        let inner = self.inner.create_file(name, writing)?;
        Ok(Arc::new(self.world.wrap(inner, Role::StagingWrite, name, true)?))
    }

    fn open_for_writing(&self, name: &OsStr, writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        self.world.operation(Role::StagingOpen, &self.world.logical(name))?;
        let inner = self.inner.open_for_writing(name, writing)?;
        Ok(Arc::new(self.world.wrap(inner, Role::StagingWrite, name, true)?))
    }

    fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        self.world.operation(Role::LinkMake, &self.world.logical(name))?;
        self.inner.make_link(name, target)
    }

    fn open_link(&self, name: &OsStr) -> io::Result<Arc<dyn DiskLink>> {
        self.world.met(name);
        let name_of_target = self.world.logical(name);
        self.world.operation(Role::LinkOpen, &name_of_target)?;
        let inner = self.inner.open_link(name)?;
        Ok(Arc::new(FaultyLink { inner, world: Arc::clone(&self.world), name: name_of_target }))
    }

    fn make_hard_link(&self, from: &dyn Directory, from_name: &OsStr, name: &OsStr) -> io::Result<()> {
        self.world.operation(Role::LinkMake, &self.world.logical(name))?;
        self.inner.make_hard_link(from, from_name, name)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata> {
        self.world.met(name);
        let role = self.world.role(Role::SourceInspect, Role::TargetInspect);
        self.world.operation(role, &self.world.logical(name))?;
        self.inner.metadata_of(name)
    }

    fn items(&self) -> io::Result<Items> {
        self.world.operation(self.world.role(Role::SourceList, Role::TargetInspect), &self.name)?;
        self.inner.items()
    }

    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()> {
        self.world.operation(Role::Rename, to.as_bytes())?;
        self.inner.rename(from, to, replace)
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.world.operation(Role::Remove, &self.world.logical(name))?;
        self.inner.remove_file(name)
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        self.world.operation(Role::Remove, &self.world.logical(name))?;
        self.inner.remove_directory(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.world.operation(Role::DirectorySync, &self.name)?;
        self.inner.sync()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        let due = self.world.operation(Role::FileSystemSync, b".")?;
        let writers = self.world.books().all_writers();
        flush::flush(&self.world, &writers, &due, || self.inner.sync_file_system())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.world.operation(self.world.role(Role::SourceInspect, Role::TargetInspect), &self.name)?;
        self.inner.metadata()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.world.operation(Role::SetMode, &self.name)?;
        self.inner.set_mode(mode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.world.operation(Role::SetModified, &self.name)?;
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
