//! Files that are met under several names: the first one met travels as a file, the others are kept until all files are done.
//!
//! Nothing is held open for them: a directory below a source is opened anew when its turn comes.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Builder, Node, SourceDirectory, SourceFile, attributes_of};
use crate::hash::Root;
use crate::protocol::dry_run::Would;
use crate::protocol::entry::{DirectoryTable, Name};
use crate::protocol::hard_link::{FurtherName, LinkedContent, LinkedFile};
use crate::protocol::keep::Keep;
use crate::protocol::labels::Unset;
use crate::protocol::limits::{FURTHER_NAMES_MAX, HARD_LINKS_MAX};
use crate::protocol::receipt::Proof;
use crate::seams::disk::{Directory, Metadata};
use crate::send::moving;

/// Bytes of a message that a name takes beside itself.
const NAME_BYTES: usize = 32;
/// Bytes of a message that a file takes beside its name.
const FILE_BYTES: usize = 128;

/// One name of a file, and the way to it.
#[derive(Debug)]
pub(in crate::send) struct SourceName {
    node: Option<Arc<Node>>,
    /// What it lies in, where no directory is on the way.
    top: Option<Arc<dyn Directory>>,
    shown: Arc<[u8]>,
    name: Name,
}

impl SourceName {
    fn new(directory: &SourceDirectory, name: &Name) -> Self {
        let node = directory.node.clone();
        let top = node.is_none().then(|| Arc::clone(&directory.handle));
        Self { node, top, shown: Arc::clone(&directory.shown), name: name.clone() }
    }

    /// As it is shown to people.
    pub(in crate::send) fn shown(&self) -> Vec<u8> {
        super::join(&self.shown, self.name.as_bytes())
    }

    /// The file of this name as it was listed, its directory opened.
    pub(in crate::send) fn open(&self, listed: Metadata) -> io::Result<SourceFile> {
        let handle = match (&self.node, &self.top) {
            (Some(node), _) => moving::holder_of(node)?.open_directory(node.name().as_os_str())?,
            (None, Some(top)) => Arc::clone(top),
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let (shown, node) = (Arc::clone(&self.shown), self.node.clone());
        let directory = Arc::new(SourceDirectory { handle, only_device: None, shown, node });
        Ok(SourceFile { directory, name: self.name.clone(), place: None, listed, labels: None, shared: None })
    }
}

/// A file with several names.
#[derive(Debug)]
pub(in crate::send) struct SharedFile {
    /// In the order in which they are met.
    number: usize,
    first: SourceName,
    settled: OnceLock<Settled>,
    /// Whether another of its names was met.
    has_further: AtomicBool,
    is_removed: AtomicBool,
}

/// What became of a file under its first name.
#[derive(Clone, Copy, Debug)]
pub(in crate::send) struct Settled {
    /// What it was when it was read.
    pub(in crate::send) before: Metadata,
    pub(in crate::send) how: How,
}

/// What is known of it by then.
#[derive(Clone, Copy, Debug)]
pub(in crate::send) enum How {
    /// What its receipt says.
    Receipted(Root, Proof, Unset),
    /// It is trusted by length and time.
    Trusted,
    /// In a dry run: what would become of it.
    Foreseen(Would),
}

/// What was told of a further name.
#[derive(Clone, Copy, Debug)]
pub(in crate::send) enum Told {
    Failed,
    Made(Proof),
    Trusted,
    Foreseen,
}

impl SharedFile {
    /// Takes note of what became of it.
    pub(in crate::send) fn settle(&self, settled: Settled) {
        if self.settled.set(settled).is_err() {
            tracing::debug!("a file was committed once more");
        }
    }

    /// What became of it; nothing if it was not transferred.
    pub(in crate::send) fn settled(&self) -> Option<Settled> {
        self.settled.get().copied()
    }

    pub(in crate::send) fn first(&self) -> &SourceName {
        &self.first
    }

    /// Whether its names are to be removed now: they are once.
    pub(in crate::send) fn begin_removing(&self) -> bool {
        !self.is_removed.swap(true, Ordering::Relaxed)
    }
}

/// A name of a file beside its first.
#[derive(Debug)]
pub(in crate::send) struct FurtherSource {
    pub(in crate::send) shared: Arc<SharedFile>,
    pub(in crate::send) place: SourceName,
    /// Once it is told of.
    pub(in crate::send) told: OnceLock<Told>,
}

/// What a name is that the walk met.
pub(super) enum Meeting {
    /// The only one of its file.
    Alone,
    First(Arc<SharedFile>),
    /// It was taken note of.
    Further,
    TooMany,
}

/// The files with several names that the walk met.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By device and inode, those of which more names may come, and how many.
    open: HashMap<(u64, u64), (Arc<SharedFile>, u64)>,
    files: usize,
    further: Vec<Arc<FurtherSource>>,
}

impl Names {
    /// Takes note of the name of a file.
    pub(super) fn meet(&mut self, directory: &SourceDirectory, name: &Name, listed: &Metadata) -> Meeting {
        let Some(others) = listed.links.checked_sub(1).filter(|&others| others > 0) else { return Meeting::Alone };
        let identity = (listed.device, listed.inode);
        let is_full = self.open.len() >= HARD_LINKS_MAX;
        match self.open.get_mut(&identity) {
            Some(_) if self.further.len() >= HARD_LINKS_MAX => Meeting::TooMany,
            Some((shared, left)) => {
                shared.has_further.store(true, Ordering::Relaxed);
                let place = SourceName::new(directory, name);
                self.further.push(Arc::new(FurtherSource { shared: Arc::clone(shared), place, told: OnceLock::new() }));
                *left -= 1;
                if *left == 0 {
                    self.open.remove(&identity);
                }
                Meeting::Further
            }
            None if is_full => Meeting::TooMany,
            None => {
                self.files += 1;
                let shared = Arc::new(SharedFile {
                    number: self.files,
                    first: SourceName::new(directory, name),
                    settled: OnceLock::new(),
                    has_further: AtomicBool::new(false),
                    is_removed: AtomicBool::new(false),
                });
                self.open.insert(identity, (Arc::clone(&shared), others));
                Meeting::First(shared)
            }
        }
    }

    /// All further names, those of one file after each other; and files of which no other name was met.
    pub(super) fn finish(mut self) -> (Vec<Arc<FurtherSource>>, Vec<Arc<SharedFile>>) {
        self.further.sort_by_key(|name| name.shared.number);
        let mut lone: Vec<Arc<SharedFile>> = self.open.into_values().map(|(shared, _)| shared).collect();
        lone.retain(|shared| !shared.has_further.load(Ordering::Relaxed));
        lone.sort_by_key(|shared| shared.number);
        (self.further, lone)
    }
}

/// Further names that travel together.
#[derive(Debug)]
pub(in crate::send) struct NamesPage {
    pub(in crate::send) directories: DirectoryTable,
    pub(in crate::send) files: Vec<LinkedFile>,
    /// All of all files, in their order.
    pub(in crate::send) names: Vec<Arc<FurtherSource>>,
}

/// Packs the first of these names, as many as fit, whose files are settled and stand after each other.
pub(in crate::send) fn page(names: &[Arc<FurtherSource>], keep: Keep) -> NamesPage {
    let mut builder = Builder::default();
    let mut files: Vec<LinkedFile> = Vec::new();
    let mut taken: Vec<Arc<FurtherSource>> = Vec::new();
    for name in names {
        let is_same = taken.last().is_some_and(|last| Arc::ptr_eq(&last.shared, &name.shared));
        if !is_same {
            files.extend(linked_file(&name.shared, &mut builder, keep));
        }
        let Some(file) = files.last_mut() else { continue };
        let further =
            FurtherName { directory: builder.position(name.place.node.as_ref()), name: name.place.name.clone() };
        builder.names_bytes += further.name.as_bytes().len() + NAME_BYTES;
        file.names.push(further);
        taken.push(Arc::clone(name));
        if taken.len() >= FURTHER_NAMES_MAX || builder.is_full() {
            break;
        }
    }
    let directories = builder.take().map(|group| group.directories).unwrap_or_default();
    NamesPage { directories, files, names: taken }
}

fn linked_file(shared: &SharedFile, builder: &mut Builder, keep: Keep) -> Option<LinkedFile> {
    let Settled { before, how } = shared.settled()?;
    let content = match how {
        How::Receipted(root, proof, _) => Some(LinkedContent { root: root.into(), origin: proof.origin }),
        How::Trusted | How::Foreseen(_) => None,
    };
    builder.names_bytes += shared.first.name.as_bytes().len() + FILE_BYTES;
    Some(LinkedFile {
        directory: builder.position(shared.first.node.as_ref()),
        name: shared.first.name.clone(),
        length_bytes: before.length_bytes,
        attributes: attributes_of(&before, keep),
        content,
        names: Vec::new(),
    })
}
