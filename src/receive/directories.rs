//! Directories beneath the destination, made and held open; which of their names are known to be flushed.
//!
//! Every step down is one component from a held descriptor, never through a link. A receipt for a file implies that its
//! directory and every directory above it are durable: also those that an earlier, interrupted run made.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::destination::Destination;
use super::failure_of;
use super::labels::{Rules, Wanted};
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
    /// Whether its own name in its parent was flushed by this process.
    name_is_flushed: AtomicBool,
}

impl Held {
    /// Flushes the names of this directory and of every one above it that this process has not flushed yet.
    pub(super) fn flush_names_above(&self) -> io::Result<()> {
        let Some(parent) = &self.parent else { return Ok(()) };
        parent.flush_names_above()?;
        if !self.name_is_flushed.load(Ordering::Acquire) {
            parent.directory.sync()?;
            self.name_is_flushed.store(true, Ordering::Release);
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
        let parent = destination.parent.as_ref().map(|directory| {
            Arc::new(Held {
                directory: Arc::clone(directory),
                parent: None,
                is_new: false,
                name_is_flushed: AtomicBool::new(true),
            })
        });
        let root = Arc::new(Held {
            directory: Arc::clone(&destination.directory),
            parent,
            is_new: false,
            name_is_flushed: AtomicBool::new(false),
        });
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
        let (parent, name_is_flushed) = (Some(Arc::clone(parent)), AtomicBool::new(false));
        let held = Arc::new(Held { directory, parent, is_new, name_is_flushed });
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
    ) -> Vec<(u32, Failure)> {
        let mut failed = Vec::new();
        let resolved = self.resolve(table, rules.umask());
        let labels: HashMap<u32, &Labels> = labels.iter().map(|each| (each.index, &each.labels)).collect();
        // Deepest first: a directory that loses its owner's rights must not stand in the way of one beneath it.
        let settled = resolved.into_iter().enumerate().rev().map(|(position, held)| {
            let attributes = table.entries()[position].attributes;
            let position = u32::try_from(position).expect("tables are short");
            let wanted = Wanted { attributes, labels: labels.get(&position).copied(), rules, sets_mode: true };
            let settled = held.and_then(|held| {
                let unset = settle(held.directory.as_ref(), wanted).map_err(|error| not_finished(&error))?;
                Ok((held, unset))
            });
            (position, settled)
        });
        // Flushed when all are set: a journal that holds them all is written once.
        for (position, settled) in settled.collect::<Vec<_>>() {
            let done = settled.and_then(|(held, unset)| {
                let flushed = held.directory.sync().and_then(|()| held.flush_names_above());
                flushed.map(|()| unset).map_err(|error| not_finished(&error))
            });
            match done {
                Ok(unset) => failed.extend(unset.failures().map(|failure| (position, failure))),
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

fn settle(directory: &dyn Directory, wanted: Wanted<'_>) -> io::Result<Unset> {
    let found = directory.metadata()?;
    // Only one that was made here has this mode; any other keeps its own.
    let sets_mode = found.mode == working_mode(wanted.attributes) & !wanted.rules.umask();
    wanted.rules.adjust(directory, &found, Wanted { sets_mode, ..wanted })
}

/// While a directory is being filled its owner may do everything in it.
fn working_mode(attributes: Attributes) -> u32 {
    attributes.permissions() | 0o700
}
