//! The staging file: where bytes wait beside their target until they are proven.
//!
//! `Staging` is being written, `Flushed` may be read back, `ReadBack` may be renamed; each consumes the one before. After
//! a failed write or sync the staging file is dead: the value is dropped, never synced again; what is really there may be
//! found by a later run, by its hash alone.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::directories::Held;
use super::labels::{Rules, Wanted};
use super::sync_point::{self, SyncPoints, Unflushed};
use super::{failure_of, sync_failed};
use crate::hash::Root;
use crate::protocol::entry::{Attributes, Name};
use crate::protocol::failure::Failure;
use crate::protocol::labels::Unset;
use crate::protocol::limits::LOCK_WAIT;
use crate::protocol::receipt::Stored;
use crate::record::{self, Content, Found, Record};
use crate::seams::disk::{Directory, DiskFile, Kind, Metadata, Reading, Timestamp, Writing};

/// Mode of a staging file until it gets that of its target.
const WRITABLE_MODE: u32 = 0o600;
/// Without this bit even its owner cannot open a file for reading.
const OWNER_READS: u32 = 0o400;

/// A final name and what was there when it was offered.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) place: Arc<Held>,
    pub(super) name: Name,
    /// The regular file that had the name, if any: only this one may be replaced.
    pub(super) seen: Option<Metadata>,
}

impl Target {
    /// Looks at what has the name. Anything but a regular file is refused, and never followed.
    pub(super) fn look(place: Arc<Held>, name: Name) -> Result<Self, Failure> {
        let seen = look_at(place.directory.as_ref(), &name)?;
        Ok(Self { place, name, seen })
    }

    /// The same for a name that this session has not committed. In a directory that it made it does not look: neither opening
    /// what is staged nor renaming it onto no name replaces what somebody else put there since.
    pub(super) fn look_first(place: Arc<Held>, name: Name) -> Result<Self, Failure> {
        if place.is_new { Ok(Self { place, name, seen: None }) } else { Self::look(place, name) }
    }

    /// Whether a file with this length and time is there already.
    pub(super) fn looks_like(&self, length_bytes: u64, attributes: Attributes) -> bool {
        self.seen.is_some_and(|seen| looks_like(&seen, length_bytes, attributes))
    }

    /// Whether a staging file of an earlier run may hold something.
    pub(super) fn has_staging(&self) -> bool {
        self.place.directory.metadata_of(&self.name.staging()).is_ok_and(|found| found.length_bytes > 0)
    }

    /// Opens the target that was seen for reading.
    pub(super) fn open_seen(&self, reading: Reading) -> Result<Arc<dyn DiskFile>, Failure> {
        let seen = self.seen.ok_or(Failure::TargetChanged)?;
        open_seen(self.place.directory.as_ref(), &self.name, &seen, reading)
    }
}

/// The regular file that has the name, if any has it. Anything else is refused, and never followed.
pub(super) fn look_at(directory: &dyn Directory, name: &Name) -> Result<Option<Metadata>, Failure> {
    match directory.metadata_of(name.as_os_str()) {
        Ok(metadata) if metadata.kind == Kind::File => Ok(Some(metadata)),
        Ok(_) => Err(Failure::TargetNotRegular),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure_of("look at a target", &error)),
    }
}

/// Whether what was seen has this length and time.
pub(super) fn looks_like(seen: &Metadata, length_bytes: u64, attributes: Attributes) -> bool {
    seen.length_bytes == length_bytes && seen.modified == modified(attributes)
}

/// Opens the file that was seen under the name for reading.
pub(super) fn open_seen(
    directory: &dyn Directory,
    name: &Name,
    seen: &Metadata,
    reading: Reading,
) -> Result<Arc<dyn DiskFile>, Failure> {
    let file = directory.open_file(name.as_os_str(), reading).map_err(|error| failure_of("open a target", &error))?;
    let now = file.found().map_err(|error| failure_of("look at a target", &error))?;
    if now.unchanged(seen) { Ok(file) } else { Err(Failure::TargetChanged) }
}

/// A staging file that is being written.
#[derive(Debug)]
pub(super) struct Staging {
    target: Target,
    name: OsString,
    file: Arc<dyn DiskFile>,
    /// Whether it was made by this run, and so holds nothing beyond what was written to it.
    is_fresh: bool,
    /// Where its writes are to be flushed, if that is done together with others.
    unflushed: Option<Unflushed>,
    /// Opened before a mode was set under which it could not be.
    reader: OnceLock<Arc<dyn DiskFile>>,
    /// Root of the record that was stored with it.
    recorded: Mutex<Option<Root>>,
    /// What of its labels could not be set.
    unset: Mutex<Unset>,
}

impl Staging {
    /// Makes the target's staging file, or takes over the one of an earlier run; one holder at a time. Blocks for up to
    /// [`LOCK_WAIT`] while another process holds it: a killed run needs a moment to let go.
    ///
    /// It is made for somebody who waits for it only: the connection that replaced a lost one may have committed the file
    /// meanwhile, and what is made then would stay.
    pub(super) fn open(
        target: Target,
        writing: Writing,
        rules: &Rules,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Self, Failure> {
        let name = target.name.staging();
        let patience = Instant::now() + LOCK_WAIT;
        let mut was_opened_up = false;
        loop {
            if !is_wanted() {
                return Err(Failure::StagingHeld);
            }
            let mut is_taken_over = false;
            let directory = &target.place.directory;
            let file = match directory.create_file(&name, writing) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    is_taken_over = true;
                    match directory.open_for_writing(&name, writing) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !was_opened_up => {
                            open_up(&target, &name, patience)?;
                            was_opened_up = true;
                            continue;
                        }
                        Err(error) if is_not_ours(&error) => return Err(Failure::StagingUnusable),
                        opened => opened,
                    }
                }
                created => created,
            };
            let file = file.map_err(|error| failure_of("open a staging file", &error))?;
            let is_there = lock_before(file.as_ref(), patience)?
                && match is_still_there(&target, &name, file.as_ref()) {
                    // A run that ended between its last flush and the rename may have given it to the owner of its target.
                    // What others may write to is not gone on with: it is begun anew.
                    Err(Failure::StagingUnusable) if rules.may_be_of_others() && Instant::now() < patience => {
                        directory.remove_file(&name).map_err(|error| failure_of("remove a staging file", &error))?;
                        false
                    }
                    found => found?,
                };
            if is_there {
                if is_taken_over {
                    make_usable(file.as_ref()).map_err(|error| failure_of("open a staging file", &error))?;
                    // It may be that of other content.
                    record::remove(file.as_ref()).map_err(|error| failure_of("remove a record", &error))?;
                }
                let (reader, recorded, unset) = (OnceLock::new(), Mutex::new(None), Mutex::default());
                let (is_fresh, unflushed) = (!is_taken_over, None);
                return Ok(Self { target, name, file, is_fresh, unflushed, reader, recorded, unset });
            }
        }
    }

    /// For writing.
    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Whether it may hold more than what was written to it.
    pub(super) fn may_be_longer(&self) -> bool {
        !self.is_fresh
    }

    /// The target it is for.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Sets the attributes that the committed file is to have, and stores a record of this content, if there is to be one.
    /// Where its mode will forbid to open it for reading back, that is done before.
    pub(super) fn set_attributes(
        &self,
        wanted: Wanted<'_>,
        reading: Reading,
        content: Option<&Content>,
    ) -> io::Result<()> {
        let mode = wanted.rules.permissions(wanted.attributes);
        if mode & OWNER_READS == 0 && self.reader.get().is_none() {
            let reader = self.target.place.directory.open_file(&self.name, reading)?;
            self.reader.get_or_init(|| reader);
        }
        self.file.set_modified(modified(wanted.attributes))?;
        if let Some(content) = content {
            self.store_record(content)?;
        }
        if wanted.labels.is_some() {
            // By an earlier flush its mode may forbid to set attributes.
            make_usable(self.file.as_ref())?;
        }
        let unset = wanted.rules.apply(self.file.as_ref(), wanted)?;
        *self.unset.lock().unwrap_or_else(PoisonError::into_inner) = unset;
        Ok(())
    }

    /// What of its labels could not be set.
    pub(super) fn unset(&self) -> Unset {
        *self.unset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record with the time that the file system made of the one it was given. It counts only under the final name.
    fn store_record(&self, content: &Content) -> io::Result<()> {
        let record = Record::new(content.clone(), self.file.metadata()?.modified);
        let stored = match record::store(self.file.as_ref(), &record) {
            // By an earlier flush it has the mode of its target, under which its owner may not write.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.file.set_mode(WRITABLE_MODE)?;
                record::store(self.file.as_ref(), &record)
            }
            stored => stored,
        };
        let root = keep_going(stored)?.map(|()| content.root);
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = root;
        Ok(())
    }

    /// Cuts to the exact length, sets the attributes and flushes everything.
    pub(super) fn flush(
        self,
        length_bytes: u64,
        wanted: Wanted<'_>,
        reading: Reading,
        content: Option<&Content>,
    ) -> Result<Flushed, Failure> {
        let prepare = || {
            self.file.set_length(length_bytes)?;
            self.set_attributes(wanted, reading, content)
        };
        prepare().map_err(|error| failure_of("finish a staging file", &error))?;
        self.file.sync_all().map_err(|error| sync_failed(&error))?;
        Ok(Flushed { staging: self, length_bytes })
    }

    /// To be called before it is written to, if it will be flushed together with others.
    pub(super) fn before_writing(&mut self, points: &SyncPoints) -> io::Result<()> {
        if self.unflushed.is_none() {
            let device = self.file.found()?.device;
            self.unflushed = Some(points.before_writing(device, &self.target.place.directory));
        }
        Ok(())
    }

    /// The moment before it was written to, if that was told.
    pub(super) fn unflushed(&self) -> Option<&Unflushed> {
        self.unflushed.as_ref()
    }

    /// Flushes many at once, whose lengths and attributes are set: one sync point for each file system they lie on. Its
    /// failure names no file, so none counts.
    pub(super) fn flush_together(mut all: Vec<(Self, u64)>) -> Result<Vec<Flushed>, Failure> {
        let unflushed: Option<Vec<Unflushed>> = all.iter_mut().map(|(staging, _)| staging.unflushed.take()).collect();
        sync_point::flush_all(unflushed.ok_or(Failure::SyncFailed)?.into_iter())?;
        Ok(all.into_iter().map(|(staging, length_bytes)| Flushed { staging, length_bytes }).collect())
    }

    /// The target, once the staging file has its name.
    pub(super) fn into_target(self) -> Target {
        self.target
    }

    /// Opens the staging file a second time, for reading what is on the disk.
    pub(super) fn reader(&self, reading: Reading) -> Result<Arc<dyn DiskFile>, Failure> {
        let opened = match self.reader.get() {
            Some(reader) => Ok(Arc::clone(reader)),
            None => self.target.place.directory.open_file(&self.name, reading),
        };
        let opened = opened.and_then(|reader| {
            let same = reader.found()?.same_file(&self.file.found()?);
            Ok((reader, same))
        });
        match opened {
            Ok((reader, true)) => Ok(reader),
            Ok((_, false)) => Err(Failure::StagingUnusable),
            Err(error) => Err(failure_of("open a staging file for reading back", &error)),
        }
    }

    /// Gives the staging file up for good: there is nothing in it to come back for.
    pub(super) fn discard(self) {
        if let Err(error) = self.target.place.directory.remove_file(&self.name) {
            tracing::warn!("remove a staging file: {error}");
        }
    }
}

/// A staging file, complete and flushed after its last write.
#[derive(Debug)]
pub(super) struct Flushed {
    staging: Staging,
    length_bytes: u64,
}

impl Flushed {
    /// Something has to be written again.
    pub(super) fn write_again(self) -> Staging {
        self.staging
    }

    /// In bytes.
    pub(super) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// For opening a reader.
    pub(super) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Every byte was read back since the flush, or since a flush that covered it, and hashes to this root.
    pub(super) fn read_back(self, root: Root, stored: Stored) -> ReadBack {
        ReadBack { staging: self.staging, length_bytes: self.length_bytes, root, stored }
    }
}

/// A staging file whose content is known from the disk.
#[derive(Debug)]
pub(super) struct ReadBack {
    pub(super) staging: Staging,
    pub(super) length_bytes: u64,
    pub(super) root: Root,
    pub(super) stored: Stored,
}

impl ReadBack {
    /// Something has to be written again.
    pub(super) fn write_again(self) -> Staging {
        self.staging
    }

    /// Removes the record that was stored with it unless it is one of what was read back: it was made of the hashes that were
    /// announced, and a copy is no worse for having none.
    pub(super) fn drop_wrong_record(&self) -> io::Result<()> {
        let mut recorded = self.staging.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.is_some_and(|recorded| recorded != self.root) {
            tracing::warn!("a record does not fit what was read back, and is removed");
            record::remove(self.staging.file.as_ref())?;
            self.staging.file.sync_all()?;
            *recorded = None;
        }
        Ok(())
    }

    /// Name of the staging file.
    pub(super) fn staging_name(&self) -> &OsString {
        &self.staging.name
    }
}

/// Removes what an earlier run staged for a target that needs nothing any more. What another transfer holds, or is not
/// ours, stays.
pub(super) fn remove_leftover(target: &Target) {
    let (directory, name) = (&target.place.directory, target.name.staging());
    // For reading: it may have the mode of its target already, and forbid its owner to write.
    if let Ok(file) = directory.open_file(&name, Reading::Cached)
        && let Ok(true) = file.try_lock()
        && let Ok(true) = is_still_there(target, &name, file.as_ref())
        && let Err(error) = directory.remove_file(&name)
    {
        tracing::warn!("remove a staging file: {error}");
    }
}

/// Adds a record to a target that was there already, equal and open as `file`. One that says the same content gets the
/// new time, if it had fitted before; any other stays as it is.
pub(super) fn record_equal(file: &dyn DiskFile, seen: &Metadata, content: &Content) -> io::Result<()> {
    let now = file.metadata()?;
    let stored = match record::find(file, &now) {
        Found::Nothing => record::store(file, &Record::new(content.clone(), now.modified)),
        Found::Stale(record) if record.fits(seen) && record.content.root == content.root => {
            record::store(file, &Record { modified: now.modified, ..record })
        }
        Found::Fits(_) | Found::Stale(_) | Found::Damaged => Ok(()),
    };
    keep_going(stored).map(drop)
}

/// Where there can be no record there is none: the copy is no worse for it.
fn keep_going(stored: io::Result<()>) -> io::Result<Option<()>> {
    match stored {
        Err(error) if record::is_refused(&error) => {
            tracing::debug!("no record is stored: {error}");
            Ok(None)
        }
        stored => stored.map(Some),
    }
}

/// The time as the disk takes it.
pub(super) fn modified(attributes: Attributes) -> Timestamp {
    Timestamp { seconds: attributes.modified_seconds, nanoseconds: attributes.modified_nanoseconds }
}

fn lock_before(file: &dyn DiskFile, patience: Instant) -> Result<bool, Failure> {
    loop {
        match file.try_lock() {
            Ok(true) => return Ok(true),
            Ok(false) if Instant::now() >= patience => return Err(Failure::StagingHeld),
            // There is no wait with a time limit for flock: look again soon.
            Ok(false) => std::thread::park_timeout(std::time::Duration::from_millis(20)),
            Err(error) => return Err(failure_of("lock a staging file", &error)),
        }
    }
}

/// A run that ended between its last flush and the rename left the staging file with the mode of its target, which may
/// forbid even the owner to write. Changed under the lock only: whoever holds that may be about to commit the file.
fn open_up(target: &Target, name: &OsString, patience: Instant) -> Result<(), Failure> {
    let directory = &target.place.directory;
    let file = match directory.open_file(name, Reading::Cached) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // It forbids to read, too: nobody can take it over, so it is begun anew.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_own_file(target, name) => {
            return directory.remove_file(name).map_err(|error| failure_of("remove a staging file", &error));
        }
        opened => opened.map_err(|_| Failure::StagingUnusable)?,
    };
    if lock_before(file.as_ref(), patience)? && is_still_there(target, name, file.as_ref())? {
        file.set_mode(WRITABLE_MODE).map_err(|error| failure_of("open a staging file", &error))?;
    }
    Ok(())
}

fn is_own_file(target: &Target, name: &OsString) -> bool {
    let found = target.place.directory.metadata_of(name);
    found.is_ok_and(|found| matches!(found, Metadata { kind: Kind::File, is_own: true, links: 1, .. }))
}

/// A run that ended late may have left it with the mode of its target, which need not let its owner read and write.
fn make_usable(file: &dyn DiskFile) -> io::Result<()> {
    let is_usable = file.metadata()?.mode & WRITABLE_MODE == WRITABLE_MODE;
    if is_usable { Ok(()) } else { file.set_mode(WRITABLE_MODE) }
}

/// The file that was locked must still have the name: whoever held it before may have renamed it.
fn is_still_there(target: &Target, name: &OsString, file: &dyn DiskFile) -> Result<bool, Failure> {
    let held = file.found().map_err(|error| failure_of("look at a staging file", &error))?;
    match target.place.directory.metadata_of(name) {
        Ok(found) if !found.same_file(&held) => Ok(false),
        Ok(found) if found.is_own && found.links == 1 => Ok(true),
        Ok(_) => Err(Failure::StagingUnusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failure_of("look at a staging file", &error)),
    }
}

/// A link, a directory, a fifo or a foreign file has the staging file's name.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(40)
}
