//! Open directories and files of a memory disk. What Linux refuses to a file's owner is refused here, with its number.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use careful::seams::disk::{
    Directory, DirectoryItem, DiskFile, DiskLink, Items, Labels, Metadata, Reading, Timestamp, Writing,
};

use super::log::{InodeNumber, Made, Operation};
use super::tree::{Body, OWNER, Tree};
use super::world::World;
use super::{BADF, EXIST, INVAL, ISDIR, LOOP, NAMETOOLONG, NOENT, NOTDIR, NOTEMPTY, PERM, errno};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Largest piece copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// A directory held open.
#[derive(Debug)]
pub(super) struct MemoryDirectory {
    pub(super) world: Arc<World>,
    pub(super) inode: InodeNumber,
}

impl MemoryDirectory {
    fn open(&self, name: &OsStr, bits: u32, role: Role) -> io::Result<Arc<dyn DiskFile>> {
        let name = single_component(name)?;
        let mut inner = self.world.lock();
        let inode = inner.tree.look_up(self.inode, name)?;
        match inner.tree.inode(inode)?.body {
            Body::File(_) => {}
            Body::Directory(_) => return Err(errno(ISDIR)),
            Body::Link(_) => return Err(errno(LOOP)),
        }
        inner.tree.permit(inode, bits)?;
        let number = inner.opened(inode);
        Ok(Arc::new(MemoryFile { world: Arc::clone(&self.world), inode, number, role }))
    }
}

impl Directory for MemoryDirectory {
    fn open_directory(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        let name = single_component(name)?;
        let inner = self.world.lock();
        let inode = inner.tree.look_up(self.inode, name)?;
        match inner.tree.inode(inode)?.body {
            Body::Directory(_) => {}
            Body::File(_) | Body::Link(_) => return Err(errno(NOTDIR)),
        }
        inner.tree.permit(inode, 0o400)?;
        Ok(Arc::new(Self { world: Arc::clone(&self.world), inode }))
    }

    fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let name = single_component(name)?;
        self.world.lock().create(self.inode, name, Made::Directory, mode & 0o777).map(drop)
    }

    fn open_file(&self, name: &OsStr, reading: Reading) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name, 0o400, Role::Reading(reading))
    }

    fn create_file(&self, name: &OsStr, _writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        let name = single_component(name)?;
        let mut inner = self.world.lock();
        let inode = inner.create(self.inode, name, Made::File, 0o600)?;
        let number = inner.opened(inode);
        Ok(Arc::new(MemoryFile { world: Arc::clone(&self.world), inode, number, role: Role::Writing }))
    }

    fn open_for_writing(&self, name: &OsStr, _writing: Writing) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name, 0o600, Role::Writing)
    }

    fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        let name = single_component(name)?;
        self.world.lock().create(self.inode, name, Made::Link(target.into()), 0o777).map(drop)
    }

    fn open_link(&self, name: &OsStr) -> io::Result<Arc<dyn DiskLink>> {
        let name = single_component(name)?;
        let mut inner = self.world.lock();
        let inode = inner.tree.look_up(self.inode, name)?;
        if !matches!(inner.tree.inode(inode)?.body, Body::Link(_)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a symbolic link"));
        }
        let number = inner.opened(inode);
        Ok(Arc::new(MemoryLink { world: Arc::clone(&self.world), inode, number }))
    }

    fn make_hard_link(&self, from: &dyn Directory, from_name: &OsStr, name: &OsStr) -> io::Result<()> {
        let (from_name, name) = (single_component(from_name)?, single_component(name)?);
        // Which directory of this disk it is tells its inode.
        let from = from.metadata()?.inode;
        self.world.lock().link(from, from_name, self.inode, name)
    }

    fn metadata_of(&self, name: &OsStr) -> io::Result<Metadata> {
        let name = single_component(name)?;
        let inner = self.world.lock();
        inner.tree.metadata(inner.tree.look_up(self.inode, name)?)
    }

    fn items(&self) -> io::Result<Items> {
        let inner = self.world.lock();
        let names = inner.tree.names(self.inode).ok_or_else(|| errno(NOTDIR))?;
        let item = |(name, &inode): (&OsString, &InodeNumber)| {
            let kind = Some(inner.tree.inode(inode)?.kind());
            Ok(DirectoryItem { name: name.clone(), kind })
        };
        let items: Vec<io::Result<DirectoryItem>> = names.iter().map(item).collect();
        Ok(Box::new(items.into_iter()))
    }

    fn rename(&self, from: &OsStr, to: &OsStr, replace: bool) -> io::Result<()> {
        let (from, to) = (single_component(from)?, single_component(to)?);
        let mut inner = self.world.lock();
        let inode = inner.tree.look_up(self.inode, from)?;
        inner.tree.permit(self.inode, 0o300)?;
        let replaced = inner.tree.look_up(self.inode, to).ok();
        if let Some(replaced) = replaced {
            if !replace {
                return Err(errno(EXIST));
            }
            if replaced == inode {
                return Ok(());
            }
            may_replace(&inner.tree, replaced, inode)?;
        }
        inner.commit(Operation::Rename { directory: self.inode, from: from.into(), to: to.into(), inode });
        if let Some(replaced) = replaced {
            inner.forget_if_unused(replaced);
        }
        Ok(())
    }

    fn remove_directory(&self, _name: &OsStr) -> io::Result<()> {
        // The transfers whose power is cut remove no directory.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        let name = single_component(name)?;
        let mut inner = self.world.lock();
        let inode = inner.tree.look_up(self.inode, name)?;
        inner.tree.permit(self.inode, 0o300)?;
        if inner.tree.names(inode).is_some() {
            return Err(errno(ISDIR));
        }
        inner.commit(Operation::Remove { directory: self.inode, name: name.into() });
        inner.forget_if_unused(inode);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.world.lock().sync(Operation::SyncAll(self.inode));
        Ok(())
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.world.lock().sync(Operation::SyncFileSystem);
        Ok(())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.world.lock().tree.metadata(self.inode)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.world.lock().set_mode(self.inode, mode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.world.lock().set_modified(self.inode, modified)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.world.lock().free_bytes())
    }

    fn can_sync_file_system(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn is_durable(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// An open file; its inode lives at least as long.
#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) world: Arc<World>,
    pub(super) inode: InodeNumber,
    /// Who holds a lock.
    pub(super) number: u64,
    pub(super) role: Role,
}

/// What a handle was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Reading(Reading),
    Writing,
    Appending,
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.world.lock().closed(self.inode, self.number);
    }
}

impl MemoryFile {
    fn writable(&self, number: i32) -> io::Result<()> {
        if matches!(self.role, Role::Reading(_)) { Err(errno(number)) } else { Ok(()) }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        if self.role == Role::Appending {
            return Err(errno(BADF));
        }
        let content = self.world.lock().tree.content(self.inode).cloned();
        Ok(content.ok_or_else(|| errno(NOENT))?.read(buffer, offset_bytes))
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        self.writable(BADF)?;
        if !bytes.is_empty() {
            let offset = if self.role == Role::Appending { None } else { Some(offset_bytes) };
            self.world.lock().write(self.inode, bytes, offset)?;
        }
        Ok(bytes.len())
    }

    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64> {
        let wanted = length_bytes.min(COPY_BYTES).min(memory.len() as u64) as usize;
        let read = from.read_at(&mut memory[..wanted], offset_bytes)?;
        Ok(self.write_at(&memory[..read], offset_bytes)? as u64)
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.writable(BADF)?;
        self.world.lock().set_length(self.inode, length_bytes, true)
    }

    fn make_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.writable(BADF)?;
        // Holes are kept as blocks of zeros: what reads cannot tell them apart.
        let end = range.end.min(self.metadata()?.length_bytes);
        let zeros = vec![0; end.saturating_sub(range.start) as usize];
        careful::seams::disk::write_all(self, &zeros, range.start)
    }

    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        self.writable(INVAL)?;
        self.world.lock().set_length(self.inode, length_bytes, false)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.world.lock().sync(Operation::SyncData(self.inode));
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.world.lock().sync(Operation::SyncAll(self.inode));
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(self.world.lock().try_lock(self.inode, self.number))
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.world.lock().tree.metadata(self.inode)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.world.lock().set_mode(self.inode, mode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.world.lock().set_modified(self.inode, modified)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        let inner = self.world.lock();
        Ok(inner.tree.content(self.inode).ok_or_else(|| errno(NOENT))?.next_data(offset_bytes))
    }

    fn reads_device(&self) -> bool {
        self.role == Role::Reading(Reading::PastCache)
    }
}

/// A symbolic link held open by itself.
#[derive(Debug)]
struct MemoryLink {
    world: Arc<World>,
    inode: InodeNumber,
    number: u64,
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.world.lock().closed(self.inode, self.number);
    }
}

impl DiskLink for MemoryLink {
    fn target(&self) -> io::Result<OsString> {
        match &self.world.lock().tree.inode(self.inode)?.body {
            Body::Link(target) => Ok(target.into()),
            Body::File(_) | Body::Directory(_) => Err(errno(INVAL)),
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.world.lock().tree.metadata(self.inode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.world.lock().set_modified(self.inode, modified)
    }

    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        set_owner(user, group)
    }
}

/// There is one user, who is not root.
macro_rules! labels {
    ($type:ty) => {
        impl Labels for $type {
            fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
                set_owner(user, group)
            }

            fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
                if mode & 0o7000 == 0 { self.set_mode(mode) } else { Err(errno(PERM)) }
            }

            fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
                Ok(self.world.lock().tree.inode(self.inode)?.extended.keys().cloned().collect())
            }

            fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
                Ok(self.world.lock().tree.inode(self.inode)?.extended.get(name).map(|value| value.to_vec()))
            }

            fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
                self.world.lock().set_extended(self.inode, name, value)
            }
        }
    };
}

labels!(MemoryDirectory);
labels!(MemoryFile);

fn set_owner(user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    if user.or(group).is_none_or(|_| user.unwrap_or(OWNER) == OWNER && group.unwrap_or(OWNER) == OWNER) {
        Ok(())
    } else {
        Err(errno(PERM))
    }
}

/// Only a directory replaces a directory, and only an empty one.
fn may_replace(tree: &Tree, replaced: InodeNumber, inode: InodeNumber) -> io::Result<()> {
    match (tree.names(inode), tree.names(replaced)) {
        (Some(_), Some(names)) if !names.is_empty() => Err(errno(NOTEMPTY)),
        (Some(_), None) => Err(errno(NOTDIR)),
        (None, Some(_)) => Err(errno(ISDIR)),
        _ => Ok(()),
    }
}

/// As the real disk: what is no single component is refused before the system would.
pub(super) fn single_component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_encoded_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name must be a single component"));
    }
    if bytes.len() > NAME_BYTES_MAX { Err(errno(NAMETOOLONG)) } else { Ok(name) }
}
