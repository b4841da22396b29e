//! The commit: rename, flush the directory, look again. Only then is a file [`Committed`].
//!
//! A `ReadBack` is renamed when the sender's root and the receiver's own agree; over the target that was seen at the
//! offer, or onto none. An error after the rename is no receipt, not a lesser one.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use super::directories::Held;
use super::labels::Wanted;
use super::staging::{ReadBack, Staging, Target, record_equal};
use super::sync_point::{self, Unflushed};
use super::{failure_of, sync_failed};
use crate::hash::Root;
use crate::protocol::failure::Failure;
use crate::protocol::labels::Unset;
use crate::protocol::receipt::{Durable, Stored};
use crate::record::Content;
use crate::seams::disk::{Directory, DiskFile, Metadata};

/// A file under its final name, the name not yet flushed.
#[derive(Debug)]
pub(super) struct Renamed {
    target: Target,
    file: Metadata,
    committed: Committed,
}

/// A staging file that kept its name, and why.
#[derive(Debug)]
pub(super) struct NotRenamed {
    pub(super) failure: Failure,
    pub(super) staging: Staging,
}

/// A file under its final name, content and name flushed and looked at once more. A receipt is made of nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Committed {
    length_bytes: u64,
    root: Root,
    stored: Stored,
    durable: Durable,
    was_equal: bool,
    unset: Unset,
}

impl Committed {
    /// In bytes.
    pub(super) fn length_bytes(self) -> u64 {
        self.length_bytes
    }

    /// Of the stored copy.
    pub(super) fn root(self) -> Root {
        self.root
    }

    /// How it was read back.
    pub(super) fn stored(self) -> Stored {
        self.stored
    }

    /// Whether it survives a power cut.
    pub(super) fn durable(self) -> Durable {
        self.durable
    }

    /// Whether the target was equal already.
    pub(super) fn was_equal(self) -> bool {
        self.was_equal
    }

    /// What of its labels could not be set.
    pub(super) fn unset(self) -> Unset {
        self.unset
    }
}

impl ReadBack {
    /// Renames to the final name, if the sender authorised exactly this root.
    pub(super) fn rename(self, authorised: Root) -> Result<Renamed, Box<NotRenamed>> {
        match self.rename_checked(authorised) {
            Ok(file) => {
                let Self { staging, length_bytes, root, stored } = self;
                let (durable, unset) = (Durable::No, staging.unset());
                let committed = Committed { length_bytes, root, stored, durable, was_equal: false, unset };
                Ok(Renamed { target: staging.into_target(), file, committed })
            }
            Err(failure) => Err(Box::new(NotRenamed { failure, staging: self.staging })),
        }
    }

    fn rename_checked(&self, authorised: Root) -> Result<Metadata, Failure> {
        if self.root != authorised {
            return Err(Failure::StoredMismatch);
        }
        self.drop_wrong_record().map_err(|error| failure_of("remove a wrong record", &error))?;
        let file = self.staging.file().metadata().map_err(|error| failure_of("look at a staging file", &error))?;
        if file.length_bytes != self.length_bytes || file.links != 1 {
            return Err(Failure::StagingUnusable);
        }
        rename(self.staging.target(), self.staging_name())?;
        Ok(file)
    }
}

/// Gives what is staged the final name.
fn rename(target: &Target, staging: &OsStr) -> Result<(), Failure> {
    rename_over(target.place.directory.as_ref(), staging, target.name.as_os_str(), target.seen.as_ref())
}

/// Renames within a directory: over what was seen under the new name, or onto none. Onto none it need not look first: such a
/// rename replaces nothing.
pub(super) fn rename_over(
    directory: &dyn Directory,
    from: &OsStr,
    to: &OsStr,
    seen: Option<&Metadata>,
) -> Result<(), Failure> {
    if let Some(seen) = seen {
        match directory.metadata_of(to) {
            Ok(now) if now.kind == seen.kind && now.unchanged(seen) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failure_of("look at a target", &error));
            }
            _ => return Err(Failure::TargetChanged),
        }
    }
    directory.rename(from, to, seen.is_some()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => Failure::TargetChanged,
        io::ErrorKind::Unsupported => Failure::NoSafeRename,
        _ => failure_of("rename to the final name", &error),
    })
}

/// A file that was read back through one of its names: what further names of it are committed with.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadThrough {
    pub(super) file: Metadata,
    pub(super) root: Root,
    pub(super) stored: Stored,
}

impl ReadThrough {
    /// Gives a further name, staged under this one, its place.
    pub(super) fn rename(self, target: Target, staging: &OsStr) -> Result<Renamed, Failure> {
        rename(&target, staging)?;
        Ok(self.renamed(target, false))
    }

    /// A name that the file had already.
    pub(super) fn has(self, target: Target) -> Renamed {
        self.renamed(target, true)
    }

    fn renamed(self, target: Target, was_equal: bool) -> Renamed {
        let Self { file, root, stored } = self;
        let (length_bytes, durable, unset) = (file.length_bytes, Durable::No, Unset::default());
        Renamed { target, file, committed: Committed { length_bytes, root, stored, durable, was_equal, unset } }
    }
}

/// Flushes the directories of all these files, each once, and every directory above them that is not known to be
/// flushed; then looks at each file again under its final name.
pub(super) fn settle(renamed: Vec<Renamed>) -> Vec<Result<Committed, Failure>> {
    let mut flushed: HashMap<*const Held, Result<Durable, Failure>> = HashMap::new();
    let places: Vec<Arc<Held>> = renamed.iter().map(|renamed| Arc::clone(&renamed.target.place)).collect();
    for place in &places {
        flushed.entry(Arc::as_ptr(place)).or_insert_with(|| flush(place));
    }
    renamed
        .into_iter()
        .map(|Renamed { target, file, committed }| {
            let durable = flushed[&Arc::as_ptr(&target.place)]?;
            let found = target.place.directory.metadata_of(target.name.as_os_str());
            let found = found.map_err(|error| failure_of("look at a committed file", &error))?;
            if !found.same_file(&file) || found.length_bytes != committed.length_bytes {
                return Err(Failure::TargetChanged);
            }
            Ok(Committed { durable, ..committed })
        })
        .collect()
}

/// A target that is equal already and was read back for it: flushed as it is, with the attributes it should have.
pub(super) fn confirm(
    target: &Target,
    file: Arc<dyn DiskFile>,
    wanted: Wanted<'_>,
    content: &Content,
    records: bool,
    stored: Stored,
) -> Result<Committed, Failure> {
    let equal = Equal::adjust(target.clone(), file, wanted, content, records, stored)?;
    settle(vec![equal.flush()?]).pop().unwrap_or(Err(Failure::NotDurable))
}

/// A target that is equal already, with the attributes it should have. Neither is known to be flushed.
#[derive(Debug)]
pub(super) struct Equal {
    file: Arc<dyn DiskFile>,
    found: Renamed,
}

impl Equal {
    /// Gives an equal target, open as `file`, the attributes it should have.
    pub(super) fn adjust(
        target: Target,
        file: Arc<dyn DiskFile>,
        wanted: Wanted<'_>,
        content: &Content,
        records: bool,
        stored: Stored,
    ) -> Result<Self, Failure> {
        let seen = target.seen.ok_or(Failure::TargetChanged)?;
        let adjust = || {
            let unset = wanted.rules.adjust(file.as_ref(), &seen, wanted)?;
            if seen.is_own && records {
                record_equal(file.as_ref(), &seen, content)?;
            }
            Ok(unset)
        };
        let unset = adjust().map_err(|error| failure_of("set mode and time", &error))?;
        let (length_bytes, root, durable) = (seen.length_bytes, content.root, Durable::No);
        let committed = Committed { length_bytes, root, stored, durable, was_equal: true, unset };
        Ok(Self { file, found: Renamed { target, file: seen, committed } })
    }

    /// Flushes it by itself.
    pub(super) fn flush(self) -> Result<Renamed, Failure> {
        self.file.sync_all().map_err(|error| sync_failed(&error))?;
        Ok(self.found)
    }

    /// Flushes many at once: one sync point for each file system they lie on. Its failure names no file, so none counts.
    ///
    /// Where all that somebody else wrote is out, a file system may not ask its device at such a point, as XFS whose log has
    /// nothing new. The flush of a file does, for all of them.
    pub(super) fn flush_together(all: Vec<(Self, Unflushed)>) -> Result<Vec<Renamed>, Failure> {
        let (all, unflushed): (Vec<Self>, Vec<_>) = all.into_iter().unzip();
        sync_point::flush_all(unflushed.into_iter())?;
        let one_of_each: BTreeMap<u64, &Self> = all.iter().map(|equal| (equal.found.file.device, equal)).collect();
        for equal in one_of_each.into_values() {
            equal.file.sync_all().map_err(|error| sync_failed(&error))?;
        }
        Ok(all.into_iter().map(|equal| equal.found).collect())
    }
}

/// Flushes a directory, and every one above it whose name is not known to be flushed.
pub(super) fn flush(place: &Held) -> Result<Durable, Failure> {
    if let Err(error) = place.flush() {
        tracing::warn!("flush a directory: {error}");
        return Err(Failure::NotDurable);
    }
    match place.directory.is_durable() {
        Ok(true) => Ok(Durable::Yes),
        Ok(false) | Err(_) => Ok(Durable::No),
    }
}
