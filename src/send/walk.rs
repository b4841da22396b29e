//! The walk: finds what is to be sent and packs it into work: groups of small files, large files one by one, links in pages.
//!
//! Runs ahead of the transfer by bounded queues, so that a huge file does not keep the small ones waiting and memory
//! does not grow with the tree. Directories are held open; nothing is followed below a source.

mod listed;
mod listings;
mod names;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};

pub use self::listed::PathList;
use self::listed::{ALL_LEVELS, Met};
pub(super) use self::listings::KeptPage;
use self::listings::Listings;
pub(super) use self::names::{FurtherSource, How, NamesPage, Settled, SharedFile, Told, page};
use self::names::{Meeting, Names};
use super::labels::LabelReader;
use super::links::{LinkWork, ReadLink, SourceLink};
use super::{Filters, Observer, Plan, Problem};
use crate::progress::Counters;
use crate::protocol::dry_run::Would;
use crate::protocol::entry::{Attributes, DirectoryEntry, DirectoryTable, Name, NameError, name_hash};
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::labels::{IndexedLabels, Labels};
use crate::protocol::limits::{
    DEPTH_MAX, DIRECTORIES_MAX, DIRECTORY_LABELS_BYTES_MAX, GROUP_BYTES_MAX, GROUP_FILES_MAX, GROUP_NAMES_BYTES_MAX,
    LINKS_MAX, PATH_BYTES_MAX, SMALL_FILE_BYTES_MAX,
};
use crate::seams::disk::{Directory, DirectoryItem, Disk, Kind, Metadata, Reading};

/// Large files listed ahead; each may hold a directory open.
const FILES_AHEAD: usize = 64;
/// Source directories that the files of one group may lie in: each is held open.
const GROUP_SOURCES_MAX: usize = 64;
/// Directories in one group, with those above them.
const GROUP_DIRECTORIES_MAX: usize = DIRECTORIES_MAX - DEPTH_MAX - 1;

/// A directory as the receiver will have it.
#[derive(Debug)]
pub(super) struct Node {
    parent: Option<Arc<Self>>,
    name: Name,
    attributes: Attributes,
    labels: Option<Arc<Labels>>,
    depth: usize,
    path_bytes: usize,
    /// The directory of the source that it lies in, where that is named on the command line: one for each source.
    top: Option<Arc<dyn Directory>>,
}

impl Node {
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn parent(&self) -> Option<&Self> {
        self.parent.as_deref()
    }

    pub(super) fn top(&self) -> Option<&Arc<dyn Directory>> {
        self.top.as_ref()
    }

    /// From the root of the transfer, a slash before every name.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut path = self.parent.as_ref().map_or_else(Vec::new, |parent| parent.path());
        path.push(b'/');
        path.extend_from_slice(self.name.as_bytes());
        path
    }
}

/// A directory of the source, held open.
#[derive(Debug)]
pub(super) struct SourceDirectory {
    pub(super) handle: Arc<dyn Directory>,
    /// The file system that its source lies on, where no other is to be entered.
    only_device: Option<u64>,
    /// As it is shown to people.
    shown: Arc<[u8]>,
    node: Option<Arc<Node>>,
}

/// A regular file of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) directory: Arc<SourceDirectory>,
    pub(super) name: Name,
    /// Position of its directory in the work's table.
    pub(super) place: Option<u32>,
    pub(super) listed: Metadata,
    /// Owner and extended attributes, where any of them are carried.
    pub(super) labels: Option<Arc<Labels>>,
    /// Where it has several names, and they are to be names of one copy.
    pub(super) shared: Option<Arc<SharedFile>>,
}

impl SourceDirectory {
    /// Directories down to it, and the bytes of their names with a slash each.
    fn size(&self) -> (usize, usize) {
        self.node.as_ref().map_or((0, 0), |node| (node.depth, node.path_bytes))
    }

    /// Its own name, where it is not the root of the transfer.
    fn name(&self) -> Option<&[u8]> {
        self.node.as_ref().map(|node| node.name.as_bytes())
    }

    /// The path of something in it, as it is shown to people.
    pub(super) fn shown_of(&self, name: &Name) -> Vec<u8> {
        join(&self.shown, name.as_bytes())
    }
}

fn is_within_limits(holder: &SourceDirectory, name: &Name) -> bool {
    let (depth, path_bytes) = holder.size();
    path_bytes + name.as_bytes().len() < PATH_BYTES_MAX && depth < DEPTH_MAX
}

/// From the root of the transfer, a slash before every name.
fn path_of(holder: &SourceDirectory, name: &Name) -> Vec<u8> {
    let mut path = holder.node.as_ref().map_or_else(Vec::new, |node| node.path());
    path.push(b'/');
    path.extend_from_slice(name.as_bytes());
    path
}

impl SourceFile {
    /// Its target is trusted by length and time.
    pub(super) fn is_trusted(&self, before: Metadata) {
        if let Some(shared) = &self.shared {
            shared.settle(Settled { before, how: How::Trusted });
        }
    }

    /// In a dry run: this would become of it.
    pub(super) fn is_foreseen(&self, before: Metadata, would: Would) {
        if let Some(shared) = &self.shared {
            shared.settle(Settled { before, how: How::Foreseen(would) });
        }
    }

    /// Its path as it is shown to people.
    pub(super) fn shown(&self) -> Vec<u8> {
        self.directory.shown_of(&self.name)
    }
}

/// Small files and directories that travel together.
#[derive(Debug)]
pub(super) struct GroupWork {
    pub(super) directories: DirectoryTable,
    pub(super) files: Vec<SourceFile>,
    /// A lost connection ended it once: what was listed may be of long ago.
    pub(super) was_interrupted: bool,
}

/// A file of two chunks or more.
#[derive(Debug)]
pub(super) struct FileWork {
    pub(super) directories: DirectoryTable,
    pub(super) file: SourceFile,
}

/// What the walk found, as it is found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) groups: Mutex<mpsc::Receiver<GroupWork>>,
    pub(super) files: Mutex<mpsc::Receiver<FileWork>>,
    pub(super) links: Mutex<mpsc::Receiver<LinkWork>>,
    walked: watch::Receiver<Option<Arc<Walked>>>,
}

/// What is left of the walk when it is over.
#[derive(Debug)]
pub(super) struct Walked {
    /// All directories, each after the one it lies in.
    pub(super) directories: Vec<Arc<Node>>,
    /// Names of directories, where what has no source is to be removed.
    pub(super) listings: Vec<Listing>,
    /// Further names of files, those of one file after each other.
    pub(super) further_names: Vec<Arc<FurtherSource>>,
    /// Files that have others, of which none was met.
    pub(super) lone_names: Vec<Arc<SharedFile>>,
}

/// The names that a directory of the source holds, as hashes ([`name_hash`]), rising.
#[derive(Debug)]
pub(super) struct Listing {
    /// The directory; the root of the transfer if none.
    pub(super) node: Option<Arc<Node>>,
    pub(super) names: Box<[u64]>,
}

impl Found {
    /// Waits for the end of the walk.
    pub(super) async fn walked(&self) -> Option<Arc<Walked>> {
        let mut walked = self.walked.clone();
        walked.wait_for(Option::is_some).await.ok().and_then(|walked| walked.clone())
    }
}

/// Starts to walk the sources on a thread of its own.
pub(super) fn start(disk: Arc<dyn Disk>, plan: &Plan, counters: Arc<Counters>, observer: Arc<dyn Observer>) -> Found {
    let (sources, filters, list) = (plan.sources.clone(), plan.filters.clone(), plan.list.clone());
    let (groups, groups_found) = mpsc::channel(2);
    let (files, files_found) = mpsc::channel(FILES_AHEAD);
    let (links, links_found) = mpsc::channel(1);
    let keep = plan.keep;
    let (walked, walked_found) = watch::channel(None);
    let listings = plan.delete.map(|deletion| Listings::new(!deletion.excluded));
    tokio::task::spawn_blocking(move || {
        let mut walk = Walk {
            labels: LabelReader::new(Arc::clone(&disk), keep),
            label_bytes: 0,
            disk,
            filters,
            counters,
            observer,
            groups,
            files,
            links,
            keep,
            builder: Builder::default(),
            page: LinkPage::default(),
            directories: Vec::new(),
            tops: HashSet::new(),
            met: None,
            levels: ALL_LEVELS,
            listings,
            names: keep.hard_links.then(Names::default),
            stopped: false,
        };
        for source in &sources {
            match &list {
                Some(list) => walk.list(source, source.as_os_str().as_bytes(), list),
                None => walk.source(source),
            }
        }
        walk.flush();
        walk.flush_links();
        walk.counters.walk_finished();
        let listings = walk.listings.map(|listings| listings.finish(&walk.tops)).unwrap_or_default();
        let (further_names, lone_names) = walk.names.map(Names::finish).unwrap_or_default();
        let all = Walked { directories: walk.directories, listings, further_names, lone_names };
        // A walk that was stopped has not seen everything: nothing follows from what it did not see.
        if !walk.stopped && walked.send(Some(Arc::new(all))).is_err() {
            tracing::debug!("the transfer ended before the walk");
        }
    });
    Found {
        groups: Mutex::new(groups_found),
        files: Mutex::new(files_found),
        links: Mutex::new(links_found),
        walked: walked_found,
    }
}

/// Packs directories into tables of a message each, with those above them and with their own labels.
pub(super) fn pages(directories: &[Arc<Node>]) -> Vec<(DirectoryTable, Vec<IndexedLabels>)> {
    let mut pages = Vec::new();
    let mut builder = Builder::default();
    let mut labels = Vec::new();
    for node in directories {
        let position = builder.position(Some(node));
        if let (Some(index), Some(own)) = (position, &node.labels) {
            builder.names_bytes += own.length_bytes();
            labels.push(IndexedLabels { index, labels: (**own).clone() });
        }
        if builder.is_full() {
            pages.extend(builder.take().map(|group| (group.directories, std::mem::take(&mut labels))));
        }
    }
    pages.extend(builder.take().map(|group| (group.directories, labels)));
    pages
}

/// The attributes that are carried: suid, sgid and sticky only where that was asked for.
pub(super) fn attributes_of(metadata: &Metadata, keep: Keep) -> Attributes {
    Attributes {
        mode: metadata.mode & if keep.suid { 0o7777 } else { 0o777 },
        modified_seconds: metadata.modified.seconds,
        modified_nanoseconds: metadata.modified.nanoseconds,
    }
}

#[derive(Debug)]
struct Walk {
    disk: Arc<dyn Disk>,
    labels: LabelReader,
    /// Those of directories, which are kept until the end.
    label_bytes: usize,
    filters: Filters,
    counters: Arc<Counters>,
    observer: Arc<dyn Observer>,
    groups: mpsc::Sender<GroupWork>,
    files: mpsc::Sender<FileWork>,
    links: mpsc::Sender<LinkWork>,
    keep: Keep,
    builder: Builder,
    page: LinkPage,
    directories: Vec<Arc<Node>>,
    /// Names that sources have directly below the destination: no two may share one.
    tops: HashSet<Name>,
    /// What was met, where a list is walked by: it may name the same thing twice.
    met: Option<Met>,
    /// How many levels below what is taken next are entered.
    levels: u32,
    /// What the directories hold, where that is to be known in the end.
    listings: Option<Listings>,
    /// Files with several names, where these are to be names of one copy.
    names: Option<Names>,
    stopped: bool,
}

impl Walk {
    /// One operand of the command line.
    fn source(&mut self, path: &Path) {
        let shown = path.as_os_str().as_bytes();
        let ends_in_name = path.file_name().is_some() && !shown.ends_with(b"/") && !shown.ends_with(b"/.");
        if !ends_in_name {
            match self.source_directory(path, shown) {
                Ok(directory) => self.directory(&directory.into()),
                Err(error) => self.missing(shown, &error),
            }
            return;
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default();
        let holder = self.disk.open_directory(parent);
        match holder.and_then(|handle| handle.metadata_of(name).map(|metadata| (handle, metadata))) {
            Ok((handle, metadata)) => {
                let shown = if parent == Path::new(".") && !shown.starts_with(b"./") {
                    Vec::new()
                } else {
                    parent.as_os_str().as_bytes().to_vec()
                };
                let only_device = self.filters.one_file_system.then_some(metadata.device);
                let holder = Arc::new(SourceDirectory { handle, only_device, shown: shown.into(), node: None });
                self.item(&holder, name, Some(metadata.kind), Some(metadata));
            }
            Err(error) => self.missing(shown, &error),
        }
    }

    /// A source whose contents are meant.
    fn source_directory(&self, path: &Path, shown: &[u8]) -> std::io::Result<SourceDirectory> {
        let handle = self.disk.open_directory(path)?;
        let only_device = self.only_device_of(handle.as_ref())?;
        Ok(SourceDirectory { handle, only_device, shown: shown.into(), node: None })
    }

    fn only_device_of(&self, directory: &dyn Directory) -> std::io::Result<Option<u64>> {
        if self.filters.one_file_system { Ok(Some(directory.metadata()?.device)) } else { Ok(None) }
    }

    fn missing(&self, shown: &[u8], error: &std::io::Error) {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Failure::SourceMissing.into(),
            _ => Problem::reading(error),
        };
        self.observer.failed(shown, problem.failure, problem.detail.as_deref());
    }

    /// Everything in a directory: its files first, then what lies deeper.
    fn directory(&mut self, directory: &Arc<SourceDirectory>) {
        let items = match directory.handle.items() {
            Ok(items) => items,
            Err(error) => return self.failed(&directory.shown, &error),
        };
        let mut deeper = Vec::new();
        let mut names = Vec::new();
        for item in items {
            if self.stopped {
                return;
            }
            if let (Ok(item), Some(listings)) = (&item, &self.listings)
                && (listings.with_excluded || self.is_taken(directory, item))
            {
                names.push(name_hash(item.name.as_bytes()));
            }
            self.observer.make_room();
            match item {
                Ok(item) if item.kind == Some(Kind::Directory) => deeper.push(item.name),
                Ok(item) => self.item(directory, &item.name, item.kind, None),
                Err(error) => return self.failed(&directory.shown, &error),
            }
        }
        if let Some(listings) = &mut self.listings {
            listings.complete(directory.node.as_ref(), names);
        }
        for name in deeper {
            self.item(directory, &name, Some(Kind::Directory), None);
        }
    }

    /// One name in a directory; its kind where the listing told, what else is known where it was looked at already.
    fn item(&mut self, holder: &Arc<SourceDirectory>, os_name: &OsStr, kind: Option<Kind>, metadata: Option<Metadata>) {
        let metadata = match metadata {
            Some(metadata) => Ok(metadata),
            // What is not taken is not even looked at, where its kind is known.
            None if kind.is_some_and(|kind| !self.takes(holder, os_name, kind)) => return,
            None => holder.handle.metadata_of(os_name),
        };
        if metadata.as_ref().is_ok_and(|metadata| !self.takes(holder, os_name, metadata.kind)) {
            return;
        }
        let shown = join(&holder.shown, os_name.as_bytes());
        let name = match Name::new(os_name.as_bytes()) {
            Ok(name) => name,
            Err(NameError::Reserved) => return self.observer.skipped(&shown, "the name of a staging file"),
            Err(error) => return self.observer.skipped(&shown, &error.to_string()),
        };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return self.failed(&shown, &error),
        };
        if metadata.kind == Kind::File && !self.filters.takes_length(metadata.length_bytes) {
            return;
        }
        match metadata.kind {
            Kind::Link if !self.keep.links => return self.observer.skipped(&shown, "a symbolic link"),
            Kind::Special => return self.observer.skipped(&shown, "a fifo, socket or device"),
            Kind::File | Kind::Directory | Kind::Link => {}
        }
        if !is_within_limits(holder, &name) {
            return self.observer.failed(&shown, Failure::PathTooLong, None);
        }
        if self.met.is_none() && holder.node.is_none() && !self.tops.insert(name.clone()) {
            return self.observer.failed(&shown, Failure::SameTarget, None);
        }
        if metadata.kind == Kind::Directory {
            return self.enter(holder, name, shown, &metadata);
        }
        if !self.met.as_mut().is_none_or(|met| met.is_new_file(&path_of(holder, &name))) {
            return;
        }
        match metadata.kind {
            Kind::Link => self.link(holder, name, &shown),
            _ => self.file(holder, name, metadata),
        }
    }

    /// The directory as the receiver will have it, and whether it was not met before; nothing if it lies too deep.
    fn node(
        &mut self,
        holder: &SourceDirectory,
        name: Name,
        metadata: &Metadata,
        labels: Option<Arc<Labels>>,
    ) -> Option<(Arc<Node>, bool)> {
        if !is_within_limits(holder, &name) {
            return None;
        }
        let path = self.met.is_some().then(|| path_of(holder, &name));
        if let (Some(met), Some(path)) = (&self.met, &path)
            && let Some(node) = met.node(path)
        {
            return Some((node, false));
        }
        let (depth, path_bytes) = holder.size();
        let node = Arc::new(Node {
            parent: holder.node.clone(),
            path_bytes: path_bytes + name.as_bytes().len() + 1,
            name,
            attributes: attributes_of(metadata, self.keep),
            labels,
            depth: depth + 1,
            top: holder.node.is_none().then(|| Arc::clone(&holder.handle)),
        });
        self.directories.push(Arc::clone(&node));
        if let (Some(met), Some(path)) = (&mut self.met, path) {
            met.met_node(path, &node);
        }
        Some((node, true))
    }

    fn enter(&mut self, holder: &SourceDirectory, name: Name, shown: Vec<u8>, metadata: &Metadata) {
        // One whose content is not wanted need not be readable.
        let opened = (self.levels > 0).then(|| holder.handle.open_directory(name.as_os_str()));
        let opened = opened.map(|opened| opened.and_then(|handle| Ok((self.only_device_of(handle.as_ref())?, handle))));
        let opened = match opened.transpose() {
            Ok(opened) => opened,
            Err(error) => return self.failed(&shown, &error),
        };
        let handle = opened.as_ref().map(|(_, handle)| handle.as_ref());
        let labels = self.labels_of_directory(handle, metadata, &shown);
        let Some((node, is_new)) = self.node(holder, name, metadata, labels) else { return };
        if is_new {
            self.builder.position(Some(&node));
            if self.builder.is_full() {
                self.flush();
            }
        }
        let Some((device, handle)) = opened else { return };
        // One that lies on another file system than its source is made all the same, as a place to mount on.
        if device == holder.only_device {
            let only_device = holder.only_device;
            let directory = Arc::new(SourceDirectory { handle, only_device, shown: shown.into(), node: Some(node) });
            self.enter_levels(self.levels, &directory);
        }
    }

    /// Takes what is in a directory, so many levels of it.
    fn enter_levels(&mut self, levels: u32, directory: &Arc<SourceDirectory>) {
        let Some(below) = levels.checked_sub(1) else { return };
        let before = std::mem::replace(&mut self.levels, if levels == ALL_LEVELS { levels } else { below });
        self.directory(directory);
        self.levels = before;
    }

    /// Whether the patterns take it; one of unknown kind may be a directory.
    fn is_taken(&self, directory: &SourceDirectory, item: &DirectoryItem) -> bool {
        let kind = item.kind.or_else(|| Some(directory.handle.metadata_of(&item.name).ok()?.kind));
        kind.is_none_or(|kind| self.takes(directory, &item.name, kind))
    }

    fn takes(&self, holder: &SourceDirectory, name: &OsStr, kind: Kind) -> bool {
        self.filters.takes(holder.node.as_deref(), name.as_bytes(), kind == Kind::Directory)
    }

    /// Labels of a directory; where they cannot be read, or are too many, that is told, and it is sent without.
    fn labels_of_directory(
        &mut self,
        handle: Option<&dyn Directory>,
        metadata: &Metadata,
        shown: &[u8],
    ) -> Option<Arc<Labels>> {
        let labels = match self.labels.read(handle?, metadata) {
            Ok(labels) => labels?,
            Err(problem) => {
                self.observer.failed(shown, problem.failure, problem.detail.as_deref());
                return None;
            }
        };
        self.label_bytes += labels.length_bytes();
        if self.label_bytes > DIRECTORY_LABELS_BYTES_MAX {
            self.observer.failed(shown, Failure::LabelsTooLarge, Some("of all directories together"));
            return None;
        }
        Some(labels)
    }

    /// Labels of a file. One that cannot be opened is told of when it is to be sent.
    fn labels_of_file(
        &mut self,
        directory: &SourceDirectory,
        name: &Name,
        listed: &Metadata,
    ) -> Result<Option<Arc<Labels>>, Problem> {
        if !self.labels.is_wanted() {
            return Ok(None);
        }
        match directory.handle.open_file(name.as_os_str(), Reading::Cached) {
            Ok(file) => self.labels.read(file.as_ref(), listed),
            Err(_) => Ok(None),
        }
    }

    fn file(&mut self, directory: &Arc<SourceDirectory>, name: Name, listed: Metadata) {
        let meeting = self.names.as_mut().map_or(Meeting::Alone, |names| names.meet(directory, &name, &listed));
        let shared = match meeting {
            Meeting::Alone => None,
            Meeting::First(shared) => Some(shared),
            Meeting::Further => return self.counters.files_found(1),
            Meeting::TooMany => {
                self.observer.failed(&directory.shown_of(&name), Failure::TooManyHardLinks, None);
                None
            }
        };
        let labels = match self.labels_of_file(directory, &name, &listed) {
            Ok(labels) => labels,
            Err(problem) => {
                let shown = directory.shown_of(&name);
                return self.observer.failed(&shown, problem.failure, problem.detail.as_deref());
            }
        };
        self.counters.files_found(1);
        self.counters.bytes_found(listed.length_bytes);
        let mut file = SourceFile { directory: Arc::clone(directory), name, place: None, listed, labels, shared };
        if listed.length_bytes <= SMALL_FILE_BYTES_MAX {
            self.builder.add(file);
            if self.builder.is_full() {
                self.flush();
            }
            return;
        }
        let mut alone = Builder::default();
        file.place = alone.position(directory.node.as_ref());
        let directories = alone.take().map(|group| group.directories).unwrap_or_default();
        self.stopped |= self.files.blocking_send(FileWork { directories, file }).is_err();
    }

    fn link(&mut self, directory: &Arc<SourceDirectory>, name: Name, shown: &[u8]) {
        let read = match ReadLink::read(directory.handle.as_ref(), &name) {
            Ok(read) => read,
            Err(problem) => return self.observer.failed(shown, problem.failure, problem.detail.as_deref()),
        };
        let depth = directory.node.as_ref().map_or(0, |node| node.depth);
        if !self.keep.outside_links && read.target.leads_outside(depth) {
            return self.observer.skipped(shown, "a symbolic link that leads out of the destination");
        }
        self.counters.files_found(1);
        let labels = self.labels.owner(&read.metadata).and_then(|owner| Labels::new(Some(owner), Vec::new()).ok());
        self.page.add(SourceLink { directory: Arc::clone(directory), name, place: None, read, labels });
        if self.page.is_full() {
            self.flush_links();
        }
    }

    fn flush_links(&mut self) {
        if let Some(page) = self.page.take() {
            self.stopped |= self.links.blocking_send(page).is_err();
        }
    }

    fn flush(&mut self) {
        if let Some(group) = self.builder.take() {
            self.stopped |= self.groups.blocking_send(group).is_err();
        }
    }

    fn failed(&self, shown: &[u8], error: &std::io::Error) {
        let problem = Problem::reading(error);
        self.observer.failed(shown, problem.failure, problem.detail.as_deref());
    }
}

/// Packs files and directories into one piece of work.
#[derive(Debug, Default)]
struct Builder {
    table: Vec<DirectoryEntry>,
    positions: HashMap<usize, u32>,
    /// Keeps the nodes alive whose addresses are in `positions`.
    nodes: Vec<Arc<Node>>,
    sources: HashSet<usize>,
    files: Vec<SourceFile>,
    bytes: u64,
    names_bytes: usize,
}

impl Builder {
    fn position(&mut self, node: Option<&Arc<Node>>) -> Option<u32> {
        let node = node?;
        if let Some(position) = self.positions.get(&Arc::as_ptr(node).addr()) {
            return Some(*position);
        }
        let parent = self.position(node.parent.as_ref());
        let position = u32::try_from(self.table.len()).expect("tables are short");
        self.names_bytes += node.name.as_bytes().len() + 32;
        self.table.push(DirectoryEntry { parent, name: node.name.clone(), attributes: node.attributes });
        self.positions.insert(Arc::as_ptr(node).addr(), position);
        self.nodes.push(Arc::clone(node));
        Some(position)
    }

    fn add(&mut self, mut file: SourceFile) {
        file.place = self.position(file.directory.node.as_ref());
        self.bytes += file.listed.length_bytes;
        self.names_bytes += file.name.as_bytes().len() + 80;
        self.names_bytes += file.labels.as_ref().map_or(0, |labels| labels.length_bytes());
        self.sources.insert(Arc::as_ptr(&file.directory).addr());
        self.files.push(file);
    }

    fn is_full(&self) -> bool {
        // One more file with its whole path must always fit.
        self.files.len() >= GROUP_FILES_MAX
            || self.bytes >= GROUP_BYTES_MAX
            || self.sources.len() >= GROUP_SOURCES_MAX
            || self.table.len() >= GROUP_DIRECTORIES_MAX
            || self.names_bytes >= GROUP_NAMES_BYTES_MAX
    }

    fn take(&mut self) -> Option<GroupWork> {
        let Self { table, files, .. } = std::mem::take(self);
        if table.is_empty() && files.is_empty() {
            return None;
        }
        let directories = DirectoryTable::new(table).expect("the walk keeps the limits of a table");
        Some(GroupWork { directories, files, was_interrupted: false })
    }
}

/// Packs links into one piece of work.
#[derive(Debug, Default)]
struct LinkPage {
    builder: Builder,
    links: Vec<SourceLink>,
}

impl LinkPage {
    fn add(&mut self, mut link: SourceLink) {
        link.place = self.builder.position(link.directory.node.as_ref());
        self.builder.names_bytes += link.name.as_bytes().len() + link.read.target.as_bytes().len() + 80;
        self.builder.names_bytes += link.labels.as_ref().map_or(0, Labels::length_bytes);
        self.builder.sources.insert(Arc::as_ptr(&link.directory).addr());
        self.links.push(link);
    }

    fn is_full(&self) -> bool {
        self.links.len() >= LINKS_MAX || self.builder.is_full()
    }

    fn take(&mut self) -> Option<LinkWork> {
        let Self { mut builder, links } = std::mem::take(self);
        let directories = builder.take().map(|group| group.directories).unwrap_or_default();
        (!links.is_empty()).then_some(LinkWork { directories, links })
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        _ if directory.ends_with(b"/") => [directory, name].concat(),
        _ => [directory, b"/", name].concat(),
    }
}

/// For a source that is one file: whether it is.
pub(super) fn is_single_file(disk: &dyn Disk, sources: &[PathBuf]) -> bool {
    let [source] = sources else { return false };
    disk.inspect(source).is_ok_and(|found| found.kind == Kind::File)
}
