//! The crash disk: a file system in memory that remembers what was asked of it, and can tell what a power cut may leave.
//!
//! A [`MemoryDisk`] stands behind the disk door and behaves towards the host as a real disk. Beside that it keeps a log; of
//! each prefix of the log, [`Images`] are the states that a medium may legally hold. One recorded run so gives every crash
//! point, without running again. **Permissions are those of a file's owner, not of root**; there are no fifos or devices.

mod content;
mod handles;
mod images;
mod log;
mod tree;
mod world;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::seams::disk::{Directory, Disk, DiskFile, Kind, Metadata, Spool, Writing};

pub use content::{BLOCK_BYTES, Content, Written};
pub use images::{Images, Model, Sampling};
pub use log::{Entry, Made, Recording};
pub use tree::{FileView, Tree};

use handles::{MemoryDirectory, MemoryFile, Role};
use log::Operation;
use tree::{Body, Inode};
use world::World;

// Error numbers of Linux.
const PERM: i32 = 1;
const NOENT: i32 = 2;
const BADF: i32 = 9;
const ACCES: i32 = 13;
const EXIST: i32 = 17;
const NOTDIR: i32 = 20;
const ISDIR: i32 = 21;
const INVAL: i32 = 22;
const NOSPC: i32 = 28;
const NAMETOOLONG: i32 = 36;
const NOTEMPTY: i32 = 39;
const LOOP: i32 = 40;

/// Largest file that `read_private` takes, as the real disk.
const PRIVATE_LIMIT_BYTES: u64 = 64 << 10;

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Syncs that answer ok and do nothing: the doors of a receiver that breaks the order of the commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    /// None: every sync is done.
    #[default]
    None,
    /// Those of directories.
    DirectorySyncs,
    /// Those of files, and of the whole file system, which stand for them.
    FileSyncs,
    /// Those of directories in which a directory was made since.
    SyncsOfNewDirectoryNames,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    world: Arc<World>,
}

impl MemoryDisk {
    /// The disk of a host that comes up with this on it.
    #[must_use]
    pub fn from_tree(tree: Tree) -> Self {
        Self { world: Arc::new(World::new(tree)) }
    }

    /// Puts a directory with this mode there before anything is recorded.
    ///
    /// # Panics
    /// If the path's parent is missing, or something was recorded already.
    pub fn put_directory(&self, path: &Path, mode: u32) {
        self.put(path, Body::Directory(Arc::default()), mode);
    }

    /// Puts a file there, as above.
    ///
    /// # Panics
    /// As above.
    pub fn put_file(&self, path: &Path, bytes: &[u8], mode: u32) {
        self.put(path, Body::File(Arc::new(Content::from_bytes(bytes))), mode);
    }

    /// Puts a symbolic link there, as above.
    ///
    /// # Panics
    /// As above.
    pub fn put_link(&self, path: &Path, target: &Path) {
        self.put(path, Body::Link(target.to_path_buf()), 0o777);
    }

    /// Puts another name of a file there, as above.
    ///
    /// # Panics
    /// As above, or if there is no such file.
    pub fn put_hard_link(&self, path: &Path, file: &Path) {
        let mut inner = self.world.lock();
        let (inode, _) = inner.tree.resolve(file).expect("the file is there");
        inner.put_name(path, inode);
        if let Some(linked) = inner.tree.inodes.get_mut(&inode) {
            linked.links += 1;
        }
        inner.initial = inner.tree.clone();
    }

    fn put(&self, path: &Path, body: Body, mode: u32) {
        let mut inner = self.world.lock();
        let number = inner.tree.next;
        inner.tree.next += 1;
        let time = inner.tick();
        inner.tree.inodes.insert(number, Inode::new(body, mode, time));
        inner.put_name(path, number);
        inner.initial = inner.tree.clone();
    }

    /// Room on the disk, in bytes; what is there counts.
    pub fn limit_space(&self, capacity_bytes: u64) {
        self.world.lock().capacity_bytes = Some(capacity_bytes);
    }

    /// From now on these syncs do nothing.
    pub fn lie_about(&self, lie: Lie) {
        self.world.lock().lie = lie;
    }

    /// Writes a word from outside into the log.
    pub fn mark(&self, words: &str) {
        self.world.lock().commit(Operation::Mark(words.to_owned()));
    }

    /// What the host sees now.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.world.lock().tree.clone()
    }

    /// What the disk went through up to now.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let inner = self.world.lock();
        Recording { initial: inner.initial.clone(), entries: inner.log.clone() }
    }

    /// The directory a path's last component lies in, and that component.
    fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(MemoryDirectory, &'a OsStr)> {
        let name = path.file_name().ok_or_else(|| errno(ISDIR))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (inode, _) = self.world.lock().tree.resolve(parent)?;
        Ok((MemoryDirectory { world: Arc::clone(&self.world), inode }, name))
    }

    /// Makes the directories that are missing on the way; returns them, deepest first.
    fn make_missing(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let is_missing = |path: &&Path| self.inspect(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let missing: Vec<PathBuf> = folder.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
        for path in missing.iter().rev() {
            let (parent, name) = self.parent_of(path)?;
            parent.make_directory(name, 0o700)?;
        }
        Ok(missing)
    }
}

impl Disk for MemoryDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let inner = self.world.lock();
        let (inode, _) = inner.tree.resolve(path)?;
        inner.tree.names(inode).ok_or_else(|| errno(NOTDIR))?;
        inner.tree.permit(inode, 0o400)?;
        Ok(Arc::new(MemoryDirectory { world: Arc::clone(&self.world), inode }))
    }

    fn inspect(&self, path: &Path) -> io::Result<Metadata> {
        let inner = self.world.lock();
        let (inode, _) = inner.tree.resolve(path)?;
        inner.tree.metadata(inode)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.world.lock().tree.resolve(path)?.1)
    }

    fn open_stream(&self, _path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        // No power cut strikes what a list is read from.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn make_spool(&self, _directory: &Path, _name: &OsStr) -> io::Result<Box<dyn Spool>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let (parent, name) = self.parent_of(path)?;
        let mut inner = self.world.lock();
        let inode = match inner.tree.look_up(parent.inode, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                inner.create(parent.inode, name, Made::File, 0o600)?
            }
            found => found?,
        };
        match inner.tree.inode(inode)?.kind() {
            Kind::File => inner.tree.permit(inode, 0o200)?,
            Kind::Directory => return Err(errno(ISDIR)),
            Kind::Link | Kind::Special => {
                let refused = "it is a symbolic link, which is not followed";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
            }
        }
        let number = inner.opened(inode);
        Ok(Arc::new(MemoryFile { world: Arc::clone(&self.world), inode, number, role: Role::Appending }))
    }

    fn read_private(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (parent, name) = self.parent_of(path)?;
        let inner = self.world.lock();
        let inode = inner.tree.look_up(parent.inode, name)?;
        let found = inner.tree.metadata(inode)?;
        let is_private = found.kind == Kind::File && found.links == 1 && found.mode & 0o077 == 0;
        let content = inner.tree.content(inode).filter(|_| is_private && found.length_bytes <= PRIVATE_LIMIT_BYTES);
        inner.tree.permit(inode, 0o400)?;
        match content {
            Some(content) => Ok(content.to_vec()),
            None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a private file")),
        }
    }

    fn create_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let made = self.make_missing(path.parent().unwrap_or(Path::new(".")))?;
        self.write_private(path, bytes, false)?;
        made.iter().try_for_each(|path| self.parent_of(path)?.0.sync())
    }

    fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write_private(path, bytes, true)
    }

    fn read_trusted(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (parent, name) = self.parent_of(path)?;
        let inner = self.world.lock();
        let inode = inner.tree.look_up(parent.inode, name)?;
        let found = inner.tree.metadata(inode)?;
        let is_trusted = found.kind == Kind::File && found.mode & 0o022 == 0;
        inner.tree.permit(inode, 0o400)?;
        match inner.tree.content(inode).filter(|_| is_trusted) {
            Some(content) => Ok(content.to_vec()),
            None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write it")),
        }
    }
}

impl MemoryDisk {
    /// Written under another name, flushed, renamed, and the directory flushed.
    fn write_private(&self, path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
        let (folder, name) = self.parent_of(path)?;
        let mut temporary = std::ffi::OsString::from(".careful-");
        temporary.push(name);
        let file = folder.create_file(&temporary, Writing::Cached)?;
        careful::seams::disk::write_all(file.as_ref(), bytes, 0)?;
        file.sync_all()?;
        if let Err(error) = folder.rename(&temporary, name, replace) {
            folder.remove_file(&temporary)?;
            return Err(error);
        }
        folder.sync()
    }
}

#[cfg(test)]
mod tests;
