//! Directories beneath the destination, made and held open; which of their names are known to be flushed.
//!
//! Every step down is one component from a held descriptor, never through a link. A receipt for a file implies that its
//! directory and every directory above it are durable: also those that an earlier, interrupted run made.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::destination::Destination;
use super::failure_of;
use super::labels::{Rules, Wanted};
use super::sync_point::{self, SyncPoints, Unflushed};
use crate::protocol::entry::{Attributes, DirectoryTable, Name};
use crate::protocol::failure::Failure;
use crate::protocol::labels::{IndexedLabels, Labels, Unset};
use crate::seams::disk::Directory;

/// Directories held open beyond those in use.
const HELD_MAX: usize = 128;

/// A directory held open, with the way up.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) directory: Arc<dyn Directory>,
    parent: Option<Arc<Self>>,
    /// Whether this session made it: nothing was in it then.
    pub(super) is_new: bool,
    /// Which one of those that its parent holds it is, from 1.
    number: u64,
    /// How many it holds itself, and how many of their names this process has flushed: one flush is for all there are.
    holds: AtomicU64,
    flushed: AtomicU64,
}

impl Held {
    /// Of a directory that is there, with its name.
    fn new(directory: Arc<dyn Directory>, parent: Option<Arc<Self>>, is_new: bool) -> Self {
        let number = parent.as_ref().map_or(0, |parent| 1 + parent.holds.fetch_add(1, Ordering::AcqRel));
        Self { directory, parent, is_new, number, holds: AtomicU64::new(0), flushed: AtomicU64::new(0) }
    }

    /// Flushes this directory, and the names of it and of every one above it that this process has not flushed yet.
    pub(super) fn flush(&self) -> io::Result<()> {
        let holds = self.holds.load(Ordering::Acquire);
        self.directory.sync()?;
        self.flushed.fetch_max(holds, Ordering::AcqRel);
        self.flush_names_above()
    }

    fn flush_names_above(&self) -> io::Result<()> {
        match &self.parent {
            Some(parent) if parent.flushed.load(Ordering::Acquire) < self.number => parent.flush(),
            Some(parent) => parent.flush_names_above(),
            None => Ok(()),
        }
    }
}

/// A directory with the attributes it should have. They are not known to be flushed.
struct Settled {
    held: Arc<Held>,
    unset: Unset,
    unflushed: Unflushed,
}

impl Settled {
    fn new(held: Arc<Held>, wanted: Wanted<'_>, points: &SyncPoints) -> io::Result<Self> {
        let found = held.directory.metadata()?;
        let unflushed = points.before_writing(found.device, &held.directory);
        // Only one that was made here has this mode; any other keeps its own.
        let sets_mode = found.mode == working_mode(wanted.attributes) & !wanted.rules.umask();
        let unset = wanted.rules.adjust(held.directory.as_ref(), &found, Wanted { sets_mode, ..wanted })?;
        Ok(Self { held, unset, unflushed })
    }

    /// Flushes many with all names in them by one sync point for each file system they lie on. Its failure names no directory.
    fn flush_together(all: &[(u32, Self)]) -> Result<(), Failure> {
        let holds: Vec<u64> = all.iter().map(|(_, settled)| settled.held.holds.load(Ordering::Acquire)).collect();
        sync_point::flush_all(all.iter().map(|(_, settled)| settled.unflushed.clone()))?;
        for ((_, settled), holds) in all.iter().zip(holds) {
            settled.held.flushed.fetch_max(holds, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// All directories of one session.
#[derive(Debug)]
pub(super) struct Directories {
    root: Arc<Held>,
    /// Whether the root is only the directory that would hold the receiving one: nothing is there, and nothing is made.
    is_to_be_made: bool,
    held: Mutex<HashMap<Vec<Name>, Arc<Held>>>,
}

impl Directories {
    /// Starts with the destination.
    pub(super) fn new(destination: &Destination) -> Self {
        let parent = destination.parent.clone().map(|parent| Arc::new(Held::new(parent, None, false)));
        let root = Arc::new(Held::new(Arc::clone(&destination.directory), parent, false));
        Self { root, is_to_be_made: destination.is_to_be_made, held: Mutex::new(HashMap::new()) }
    }

    /// The directory to receive into.
    pub(super) fn root(&self) -> &Arc<Held> {
        assert!(!self.is_to_be_made, "a dry run makes nothing");
        &self.root
    }

    /// Opens all directories of the table, making those that are missing with their mode, widened so that the owner can
    /// fill them until [`Directories::finish`]. A directory that cannot be had fails, with everything beneath it.
    pub(super) fn resolve(&self, table: &DirectoryTable, umask: u32) -> Vec<Result<Arc<Held>, Failure>> {
        assert!(!self.is_to_be_made, "a dry run makes nothing");
        let mut resolved: Vec<Result<Arc<Held>, Failure>> = Vec::with_capacity(table.entries().len());
        for (position, entry) in table.entries().iter().enumerate() {
            let parent = match entry.parent {
                None => Ok(Arc::clone(&self.root)),
                Some(parent) => resolved[parent as usize].clone(),
            };
            let position = u32::try_from(position).expect("tables are short");
            resolved.push(parent.and_then(|parent| {
                let path = table.path(Some(position)).ok_or(Failure::Protocol)?;
                self.open_or_make(path, &parent, &entry.name, entry.attributes, umask)
            }));
        }
        resolved
    }

    /// Opens a directory that may be there, making none; nothing if it is not.
    pub(super) fn open(&self, path: &[Name]) -> Result<Option<Arc<dyn Directory>>, Failure> {
        if self.is_to_be_made {
            return Ok(None);
        }
        let mut directory = Arc::clone(&self.root.directory);
        for name in path {
            directory = match directory.open_directory(name.as_os_str()) {
                Ok(below) => below,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(not_opened(&error)),
            };
        }
        Ok(Some(directory))
    }

    fn open_or_make(
        &self,
        path: Vec<Name>,
        parent: &Arc<Held>,
        name: &Name,
        attributes: Attributes,
        umask: u32,
    ) -> Result<Arc<Held>, Failure> {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&path) {
            return Ok(Arc::clone(held));
        }
        let name = name.as_os_str();
        let mut is_new = false;
        let directory = match parent.directory.open_directory(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match parent.directory.make_directory(name, working_mode(attributes) & !umask) {
                    Ok(()) => is_new = true,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(failure_of("make a directory", &error)),
                }
                parent.directory.open_directory(name)
            }
            opened => opened,
        };
        let directory = directory.map_err(|error| not_opened(&error))?;
        let held = Arc::new(Held::new(directory, Some(Arc::clone(parent)), is_new));
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= HELD_MAX {
            all.clear();
        }
        all.insert(path, Arc::clone(&held));
        Ok(held)
    }

    /// Gives the directories their final mode and time and flushes them. The mode of a directory changes only if it is the
    /// one that [`Directories::resolve`] made it with: what was there before keeps its own.
    pub(super) fn finish(
        &self,
        table: &DirectoryTable,
        labels: &[IndexedLabels],
        rules: &Rules,
        points: &SyncPoints,
    ) -> Vec<(u32, Failure)> {
        let (mut settled, mut failed) = (Vec::new(), Vec::new());
        let resolved = self.resolve(table, rules.umask());
        let labels: HashMap<u32, &Labels> = labels.iter().map(|each| (each.index, &each.labels)).collect();
        // Deepest first: a directory that loses its owner's rights must not stand in the way of one beneath it.
        for (position, held) in resolved.into_iter().enumerate().rev() {
            let attributes = table.entries()[position].attributes;
            let position = u32::try_from(position).expect("tables are short");
            let wanted = Wanted { attributes, labels: labels.get(&position).copied(), rules, sets_mode: true };
            match held.and_then(|held| Settled::new(held, wanted, points).map_err(|error| not_finished(&error))) {
                Ok(directory) => settled.push((position, directory)),
                Err(failure) => failed.push((position, failure)),
            }
        }
        // Flushed when all are set: a journal that holds them all is written once.
        let together = sync_point::serves(settled.iter().map(|(_, settled)| Some(&settled.unflushed)));
        let flushed_together = together.then(|| Settled::flush_together(&settled));
        for (position, Settled { held, unset, .. }) in settled {
            let flushed = match flushed_together {
                None => held.flush().map_err(|error| not_finished(&error)),
                Some(Ok(())) => held.flush_names_above().map_err(|error| not_finished(&error)),
                Some(Err(failure)) => Err(failure),
            };
            match flushed {
                Ok(()) => failed.extend(unset.failures().map(|failure| (position, failure))),
                Err(failure) => failed.push((position, failure)),
            }
        }
        failed
    }
}

fn not_finished(error: &io::Error) -> Failure {
    failure_of("finish a directory", error)
}

fn not_opened(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        // A link or a file has the name: ELOOP, ENOTDIR.
        Some(40 | 20) => Failure::NotADirectory,
        _ => failure_of("open a directory", error),
    }
}

/// While a directory is being filled its owner may do everything in it.
fn working_mode(attributes: Attributes) -> u32 {
    attributes.permissions() | 0o700
}
