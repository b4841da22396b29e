//! What all handles of one memory disk share: what its host sees, the log, who holds what open and locked.
//!
//! Every change goes through [`Inner::commit`], so the log and what the host sees cannot part.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use careful::seams::disk::Timestamp;

use super::content::BLOCK_BYTES;
use super::handles::single_component;
use super::log::{Entry, InodeNumber, Made, Operation};
use super::tree::{Body, Fate, Inode, Tree};
use super::{EXIST, Lie, NOENT, NOSPC, PERM, errno};

/// Room on a disk that was not limited, in bytes.
const CAPACITY_BYTES: u64 = 1 << 40;

/// What all handles of one disk share.
#[derive(Debug, Default)]
pub(super) struct World(Mutex<Inner>);

impl World {
    pub(super) fn new(tree: Tree) -> Self {
        Self(Mutex::new(Inner { initial: tree.clone(), tree, ..Inner::default() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) initial: Tree,
    /// What the host sees.
    pub(super) tree: Tree,
    pub(super) log: Vec<Entry>,
    pub(super) lie: Lie,
    pub(super) capacity_bytes: Option<u64>,
    /// Handles of each inode, and of all that ever were.
    open: HashMap<InodeNumber, usize>,
    handles: u64,
    /// The handle that holds an inode's lock.
    locks: HashMap<InodeNumber, u64>,
}

impl Inner {
    pub(super) fn tick(&mut self) -> Timestamp {
        self.tree.seconds += 1;
        Timestamp { seconds: self.tree.seconds, nanoseconds: 0 }
    }

    /// Writes an operation into the log, and lets it take effect.
    pub(super) fn commit(&mut self, operation: Operation) {
        let entry = Entry { operation, time: self.tick() };
        self.tree.apply(&entry, Fate::KEPT);
        self.log.push(entry);
    }

    pub(super) fn sync(&mut self, operation: Operation) {
        let directory = match &operation {
            Operation::SyncAll(inode) if self.tree.names(*inode).is_some() => Some(*inode),
            _ => None,
        };
        let is_ignored = match self.lie {
            Lie::None => false,
            Lie::DirectorySyncs => directory.is_some(),
            Lie::FileSyncs => directory.is_none(),
            Lie::SyncsOfNewDirectoryNames => directory.is_some_and(|directory| self.has_new_directories(directory)),
        };
        if !is_ignored {
            self.commit(operation);
        }
    }

    /// Whether names of directories were made in this one since it was synced.
    fn has_new_directories(&self, holder: InodeNumber) -> bool {
        let since = self.log.iter().rev().map(|entry| &entry.operation);
        let is_sync = |operation: &&Operation| {
            matches!(operation, Operation::SyncFileSystem)
                || matches!(operation, Operation::SyncAll(inode) if *inode == holder)
        };
        since.take_while(|operation| !is_sync(operation)).any(|operation| {
            matches!(operation, Operation::Create { directory, made: Made::Directory, .. } if *directory == holder)
        })
    }

    pub(super) fn create(
        &mut self,
        directory: InodeNumber,
        name: &OsStr,
        made: Made,
        mode: u32,
    ) -> io::Result<InodeNumber> {
        let name = single_component(name)?;
        match self.tree.look_up(directory, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return Err(found.err().unwrap_or_else(|| errno(EXIST))),
        }
        self.tree.permit(directory, 0o300)?;
        let inode = self.tree.next;
        self.commit(Operation::Create { directory, name: name.to_owned(), inode, made, mode });
        Ok(inode)
    }

    /// Gives a file one more name.
    pub(super) fn link(
        &mut self,
        from: InodeNumber,
        from_name: &OsStr,
        directory: InodeNumber,
        name: &OsStr,
    ) -> io::Result<()> {
        let inode = self.tree.look_up(from, from_name)?;
        if self.tree.names(inode).is_some() {
            return Err(errno(PERM));
        }
        match self.tree.look_up(directory, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return Err(found.err().unwrap_or_else(|| errno(EXIST))),
        }
        self.tree.permit(directory, 0o300)?;
        self.commit(Operation::Link { directory, name: name.to_owned(), inode });
        Ok(())
    }

    /// Without an offset at the end.
    pub(super) fn write(&mut self, inode: InodeNumber, bytes: &[u8], offset_bytes: Option<u64>) -> io::Result<()> {
        let content = self.tree.content(inode).ok_or_else(|| errno(NOENT))?;
        let offset_bytes = offset_bytes.unwrap_or_else(|| content.length_bytes());
        let end_bytes = offset_bytes + bytes.len() as u64;
        let first = (offset_bytes / BLOCK_BYTES as u64) as usize;
        let count = end_bytes.div_ceil(BLOCK_BYTES as u64) as usize - first;
        let more = content.space_with(first, count) - content.space_bytes();
        let (blocks, extends) = (content.blocks_of_write(bytes, offset_bytes), end_bytes > content.length_bytes());
        if more > self.free_bytes() {
            return Err(errno(NOSPC));
        }
        self.commit(Operation::Write { inode, first, blocks, end_bytes, extends });
        Ok(())
    }

    /// What changes nothing is not done, and can so be neither kept nor lost.
    pub(super) fn set_length(&mut self, inode: InodeNumber, length_bytes: u64, reserves: bool) -> io::Result<()> {
        let content = self.tree.content(inode).ok_or_else(|| errno(NOENT))?;
        if reserves && length_bytes.saturating_sub(content.space_bytes()) > self.free_bytes() {
            return Err(errno(NOSPC));
        }
        if content.length_bytes() != length_bytes {
            self.commit(Operation::SetLength { inode, length_bytes, reserves });
        }
        Ok(())
    }

    pub(super) fn set_mode(&mut self, inode: InodeNumber, mode: u32) -> io::Result<()> {
        let mode = mode & 0o777;
        if self.tree.inode(inode)?.mode != mode {
            self.commit(Operation::SetMode { inode, mode });
        }
        Ok(())
    }

    pub(super) fn set_modified(&mut self, inode: InodeNumber, modified: Timestamp) -> io::Result<()> {
        if self.tree.inode(inode)?.modified != modified {
            self.commit(Operation::SetModified { inode, modified });
        }
        Ok(())
    }

    /// As Linux has it for the attributes of users: whoever may not write to the file by its mode may not set one.
    pub(super) fn set_extended(&mut self, inode: InodeNumber, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        self.tree.permit(inode, 0o200)?;
        let value: Option<Arc<[u8]>> = value.map(Into::into);
        if self.tree.inode(inode)?.extended.get(name) != value.as_ref() {
            self.commit(Operation::SetExtended { inode, name: name.to_owned(), value });
        }
        Ok(())
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let is_file = |inode: &Inode| if let Body::File(content) = &inode.body { content.space_bytes() } else { 0 };
        let used: u64 = self.tree.inodes.values().map(is_file).sum();
        self.capacity_bytes.unwrap_or(CAPACITY_BYTES).saturating_sub(used)
    }

    /// Counts a new handle; its number.
    pub(super) fn opened(&mut self, inode: InodeNumber) -> u64 {
        *self.open.entry(inode).or_default() += 1;
        self.handles += 1;
        self.handles
    }

    pub(super) fn closed(&mut self, inode: InodeNumber, handle: u64) {
        if self.locks.get(&inode) == Some(&handle) {
            self.locks.remove(&inode);
        }
        if let Some(count) = self.open.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&inode);
            }
        }
        self.forget_if_unused(inode);
    }

    /// An inode without name and handle is gone, and its space is free.
    pub(super) fn forget_if_unused(&mut self, inode: InodeNumber) {
        let is_unnamed = self.tree.inodes.get(&inode).is_some_and(|inode| inode.links == 0);
        if is_unnamed && !self.open.contains_key(&inode) {
            self.tree.inodes.remove(&inode);
        }
    }

    pub(super) fn try_lock(&mut self, inode: InodeNumber, handle: u64) -> bool {
        *self.locks.entry(inode).or_insert(handle) == handle
    }

    /// Before anything is recorded.
    pub(super) fn put_name(&mut self, path: &Path, inode: InodeNumber) {
        assert!(self.log.is_empty(), "a disk is filled before anything is recorded");
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let (holder, _) = self.tree.resolve(parent).expect("the parent is there");
        let Some(Inode { body: Body::Directory(names), .. }) = self.tree.inodes.get_mut(&holder) else { return };
        Arc::make_mut(names).insert(name.to_owned(), inode);
    }
}
