//! One state of the file system: inodes and names. What the host sees, and what a medium holds, are both such trees.
//!
//! One function applies an operation, with a fate: kept as a whole it is what the host sees; less than that is what a
//! medium may have of it. **Nothing here is refused**: what may be asked for is decided by the handles.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::seams::disk::{Kind, Metadata, Timestamp};

use super::content::{Content, Written};
use super::log::{Entry, InodeNumber, Made, Operation};
use super::{ACCES, LOOP, NOENT, NOTDIR, errno};

/// Inode of `/`.
pub(super) const ROOT: InodeNumber = 2;
/// Number of the one user, and of the one group.
pub(super) const OWNER: u32 = 1000;
/// Number of the device.
const DEVICE: u64 = 0x4D45;
/// Links followed in one path before it is called a loop, as in Linux.
const LINKS_FOLLOWED_MAX: usize = 40;
/// Where the clock of a new disk stands, in seconds since 1970. It moves by one at each change.
const CLOCK_START_SECONDS: i64 = 1_700_000_000;

/// What became of one operation on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Whether names, length, mode and time are as asked for.
    pub(super) is_kept: bool,
    /// What was made of the bytes.
    pub(super) written: Written,
}

impl Fate {
    /// What the host sees, and what a sync makes sure of.
    pub(super) const KEPT: Self = Self { is_kept: true, written: Written::New };
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Arc<Content>),
    Directory(Arc<BTreeMap<OsString, InodeNumber>>),
    Link(PathBuf),
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) body: Body,
    pub(super) mode: u32,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) links: u64,
    /// Extended attributes.
    pub(super) extended: BTreeMap<OsString, Arc<[u8]>>,
}

impl Inode {
    pub(super) fn new(body: Body, mode: u32, time: Timestamp) -> Self {
        Self { body, mode, modified: time, changed: time, links: 1, extended: BTreeMap::new() }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Link(_) => Kind::Link,
        }
    }

    fn content_mut(&mut self) -> Option<&mut Content> {
        if let Body::File(content) = &mut self.body { Some(Arc::make_mut(content)) } else { None }
    }
}

/// A state of the whole file system.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) inodes: BTreeMap<InodeNumber, Inode>,
    pub(super) next: InodeNumber,
    pub(super) seconds: i64,
}

/// A regular file as it is seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct FileView<'a> {
    /// Its bytes.
    pub content: &'a Arc<Content>,
    /// Permission bits.
    pub mode: u32,
    /// Time of last modification.
    pub modified: Timestamp,
}

impl Default for Tree {
    fn default() -> Self {
        let time = Timestamp { seconds: CLOCK_START_SECONDS, nanoseconds: 0 };
        let root = Inode::new(Body::Directory(Arc::default()), 0o755, time);
        Self { inodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, seconds: CLOCK_START_SECONDS }
    }
}

impl Tree {
    /// The regular file at a path of names alone, seen from outside: no link followed, no permission asked.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<FileView<'_>> {
        let inode = path.iter().filter(|name| *name != "/").try_fold(ROOT, |holder, name| self.child(holder, name))?;
        let Inode { body: Body::File(content), mode, modified, .. } = self.inodes.get(&inode)? else { return None };
        Some(FileView { content, mode: *mode, modified: *modified })
    }

    /// Everything below `/` that is reachable, by path.
    #[must_use]
    pub fn paths(&self) -> Vec<(PathBuf, Kind)> {
        let mut found = Vec::new();
        let mut directories = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, inode)) = directories.pop() {
            for (name, &child) in self.names(inode).into_iter().flatten() {
                let Some(kind) = self.inodes.get(&child).map(Inode::kind) else { continue };
                if kind == Kind::Directory {
                    directories.push((path.join(name), child));
                }
                found.push((path.join(name), kind));
            }
        }
        found
    }

    pub(super) fn inode(&self, inode: InodeNumber) -> io::Result<&Inode> {
        self.inodes.get(&inode).ok_or_else(|| errno(NOENT))
    }

    pub(super) fn names(&self, inode: InodeNumber) -> Option<&BTreeMap<OsString, InodeNumber>> {
        if let Body::Directory(names) = &self.inodes.get(&inode)?.body { Some(names) } else { None }
    }

    pub(super) fn content(&self, inode: InodeNumber) -> Option<&Arc<Content>> {
        if let Body::File(content) = &self.inodes.get(&inode)?.body { Some(content) } else { None }
    }

    fn child(&self, holder: InodeNumber, name: &OsStr) -> Option<InodeNumber> {
        self.names(holder)?.get(name).copied()
    }

    /// The inode under a name, as its owner finds it.
    pub(super) fn look_up(&self, holder: InodeNumber, name: &OsStr) -> io::Result<InodeNumber> {
        let names = self.names(holder).ok_or_else(|| errno(NOTDIR))?;
        self.permit(holder, 0o100)?;
        names.get(name).copied().ok_or_else(|| errno(NOENT))
    }

    /// Fails unless the owner has these of its permission bits.
    pub(super) fn permit(&self, inode: InodeNumber, bits: u32) -> io::Result<()> {
        if self.inode(inode)?.mode & bits == bits { Ok(()) } else { Err(errno(ACCES)) }
    }

    /// Where a path leads, links followed, and what it is without them.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<(InodeNumber, PathBuf)> {
        let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
        let mut left = parts(path);
        if left.is_empty() {
            return Err(errno(NOENT));
        }
        let mut way: Vec<(OsString, InodeNumber)> = Vec::new();
        let mut followed = 0;
        while let Some(part) = left.pop() {
            let here = way.last().map_or(ROOT, |&(_, inode)| inode);
            if part == "/" {
                way.clear();
            } else if part == ".." {
                way.pop();
            } else if part != "." {
                let inode = self.look_up(here, &part)?;
                if let Body::Link(target) = &self.inode(inode)?.body {
                    followed += 1;
                    if followed > LINKS_FOLLOWED_MAX {
                        return Err(errno(LOOP));
                    }
                    left.extend(parts(target));
                } else {
                    way.push((part, inode));
                }
            }
        }
        let inode = way.last().map_or(ROOT, |&(_, inode)| inode);
        let canonical = std::iter::once(OsString::from("/")).chain(way.into_iter().map(|(name, _)| name)).collect();
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") && self.names(inode).is_none() {
            return Err(errno(NOTDIR));
        }
        Ok((inode, canonical))
    }

    pub(super) fn metadata(&self, number: InodeNumber) -> io::Result<Metadata> {
        let inode = self.inode(number)?;
        let length_bytes = match &inode.body {
            Body::File(content) => content.length_bytes(),
            Body::Directory(_) => 4096,
            Body::Link(target) => target.as_os_str().len() as u64,
        };
        Ok(Metadata {
            kind: inode.kind(),
            length_bytes,
            mode: inode.mode,
            modified: inode.modified,
            changed: inode.changed,
            device: DEVICE,
            inode: number,
            links: inode.links,
            is_own: true,
            user: OWNER,
            group: OWNER,
        })
    }

    /// Applies an entry as far as its fate lets it. An inode is there from its creation on, with or without a name.
    pub(super) fn apply(&mut self, entry: &Entry, fate: Fate) {
        let Entry { operation, time } = entry;
        self.seconds = time.seconds;
        match operation {
            Operation::Create { directory, name, inode, made, mode } => {
                let body = match made {
                    Made::File => Body::File(Arc::default()),
                    Made::Directory => Body::Directory(Arc::default()),
                    Made::Link(target) => Body::Link(target.clone()),
                };
                self.next = inode + 1;
                self.inodes.insert(*inode, Inode::new(body, *mode, *time));
                self.change_names(*directory, *time, fate, |names| {
                    names.insert(name.clone(), *inode);
                });
            }
            Operation::Link { directory, name, inode } => {
                if let Some(linked) = self.inodes.get_mut(inode).filter(|_| fate.is_kept) {
                    linked.links += 1;
                    linked.changed = *time;
                }
                self.change_names(*directory, *time, fate, |names| {
                    names.insert(name.clone(), *inode);
                });
            }
            Operation::Rename { directory, from, to, inode } => {
                if fate.is_kept
                    && let Some(replaced) = self.child(*directory, to).and_then(|old| self.inodes.get_mut(&old))
                {
                    replaced.links = replaced.links.saturating_sub(1);
                    replaced.changed = *time;
                }
                self.change_names(*directory, *time, fate, |names| {
                    // It is moved from whatever name it has: an earlier rename of it may have been lost.
                    if names.get(from) == Some(inode) {
                        names.remove(from);
                    } else {
                        names.retain(|_, found| found != inode);
                    }
                    names.insert(to.clone(), *inode);
                });
            }
            Operation::Remove { directory, name } => {
                if fate.is_kept
                    && let Some(removed) = self.child(*directory, name).and_then(|old| self.inodes.get_mut(&old))
                {
                    removed.links = removed.links.saturating_sub(1);
                    removed.changed = *time;
                }
                self.change_names(*directory, *time, fate, |names| {
                    names.remove(name);
                });
            }
            _ => self.apply_to_inode(operation, *time, fate),
        }
    }

    fn change_names(
        &mut self,
        directory: InodeNumber,
        time: Timestamp,
        fate: Fate,
        change: impl FnOnce(&mut BTreeMap<OsString, InodeNumber>),
    ) {
        if let Some(inode) = self.inodes.get_mut(&directory).filter(|_| fate.is_kept)
            && let Body::Directory(names) = &mut inode.body
        {
            change(Arc::make_mut(names));
            (inode.modified, inode.changed) = (time, time);
        }
    }

    fn apply_to_inode(&mut self, operation: &Operation, time: Timestamp, fate: Fate) {
        let Some(number) = operation.bytes_of().or_else(|| operation.attributes_of()) else { return };
        let is_write = operation.changes_data() && fate.written != Written::Old;
        let takes_effect = is_write || fate.is_kept && operation.changes_metadata();
        let Some(inode) = self.inodes.get_mut(&number).filter(|_| takes_effect) else { return };
        match operation {
            Operation::Write { first, blocks, end_bytes, extends, .. } => {
                if let Some(content) = inode.content_mut() {
                    if *extends && fate.is_kept {
                        content.extend_to(*end_bytes);
                    }
                    content.write(*first, blocks, fate.written);
                }
                inode.modified = time;
            }
            Operation::SetLength { length_bytes, reserves, .. } => {
                if let Some(content) = inode.content_mut() {
                    content.set_length(*length_bytes);
                    if *reserves {
                        content.reserve(*length_bytes);
                    }
                }
                inode.modified = time;
            }
            Operation::SetMode { mode, .. } => inode.mode = *mode,
            Operation::SetModified { modified, .. } => inode.modified = *modified,
            Operation::SetExtended { name, value: Some(value), .. } => {
                inode.extended.insert(name.clone(), Arc::clone(value));
            }
            Operation::SetExtended { name, value: None, .. } => {
                inode.extended.remove(name);
            }
            _ => return,
        }
        inode.changed = time;
    }

    /// What a host finds that came up again: what has no name is gone, links are counted anew.
    pub(super) fn settle(&mut self) {
        let mut links: HashMap<InodeNumber, u64> = HashMap::from([(ROOT, 1)]);
        let mut directories = vec![ROOT];
        while let Some(directory) = directories.pop() {
            for &child in self.names(directory).into_iter().flat_map(BTreeMap::values) {
                let count = links.entry(child).or_default();
                *count += 1;
                if *count == 1 {
                    directories.push(child);
                }
            }
        }
        self.inodes.retain(|number, _| links.contains_key(number));
        for (number, inode) in &mut self.inodes {
            inode.links = links[number];
            if let Body::File(content) = &mut inode.body {
                // A file that is as it was stays shared with the tree it was in.
                if content.holds_behind_end() {
                    Arc::make_mut(content).settle();
                }
            }
        }
    }
}
