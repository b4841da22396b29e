//! Further names of files that are committed: linked under a staging name, read back through it, renamed, flushed.
//!
//! Nothing is remembered of what this transfer committed: a page names a file by its place and its content, and a link is made
//! only to a regular file of that place that holds it. So it makes no difference which connection brought the file, and a
//! sender can link to nothing that it could not have been given a receipt for. **No content or attribute is changed here.**

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use super::commit::{Committed, ReadThrough, Renamed, settle};
use super::directories::Held;
use super::job::{JobError, Session};
use super::links::{STAGING_ATTEMPTS, clear};
use super::staging::{Target, modified};
use super::{failure_of, sync_failed};
use crate::hash::Root;
use crate::protocol::entry::{DirectoryTable, Name};
use crate::protocol::failure::Failure;
use crate::protocol::hard_link::{FurtherName, LinkedFile};
use crate::protocol::limits::{CHUNK_BYTES_DEFAULT, FURTHER_NAMES_MAX, PATH_BYTES_MAX};
use crate::protocol::message::{FromReceiver, IndexedFailure, IndexedName};
use crate::protocol::receipt::{Origin, Stored};
use crate::reading::hash_whole;
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{DiskFile, Metadata};
use crate::wire::stream::Outgoing;
use crate::workers;

/// What Linux says where there is to be no further name: EPERM, EXDEV, EMLINK, EOPNOTSUPP.
const NOT_LINKED: [i32; 4] = [1, 18, 31, 95];

/// Serves a page of further names.
pub(super) async fn serve(
    session: Arc<Session>,
    directories: DirectoryTable,
    files: Vec<LinkedFile>,
    outgoing: &mut Outgoing,
) -> Result<(), JobError> {
    check_limits(&session, &files)?;
    let made = workers::run(move || make_all(&session, &directories, &files)).await?;
    Ok(outgoing.send(&made).await?)
}

/// Whether names may be offered, and so many.
pub(super) fn check_limits(session: &Session, files: &[LinkedFile]) -> Result<(), Failure> {
    let names: usize = files.iter().map(|file| file.names.len()).sum();
    let is_unnamed = files.iter().any(|file| file.names.is_empty());
    let fits = session.kept.hard_links && !is_unnamed && names <= FURTHER_NAMES_MAX;
    if fits { Ok(()) } else { Err(Failure::Protocol) }
}

/// What became of one name before its directory was flushed.
enum Made {
    /// To be receipted with this word.
    Read(Origin),
    Trusted,
}

fn make_all(session: &Session, directories: &DirectoryTable, files: &[LinkedFile]) -> Result<FromReceiver, Failure> {
    let page = Page { session, directories, places: session.directories.resolve(directories, session.rules.umask()) };
    let mut memory = PieceBuffer::unpooled(CHUNK_BYTES_DEFAULT as usize);
    let (mut renamed, mut renamed_as, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut index = 0;
    for file in files {
        let mut linking = page.open(file, &mut memory);
        for name in &file.names {
            let made = linking.as_mut().map_err(|failure| *failure).and_then(|linking| linking.make(name));
            match made {
                Ok((path, made, name)) => {
                    renamed.push(name);
                    renamed_as.push((index, path, file.attributes, made));
                }
                Err(failure) => failed.push(IndexedFailure { index, failure }),
            }
            index += 1;
        }
    }
    let (mut made, mut trusted, mut signable) = (Vec::new(), Vec::new(), Vec::new());
    for ((index, path, attributes, how), settled) in renamed_as.into_iter().zip(settle(renamed)) {
        match (settled, how) {
            (Ok(committed), Made::Read(origin)) => {
                made.push(indexed(index, committed));
                signable.push((path, attributes, committed, origin));
            }
            (Ok(_), Made::Trusted) => trusted.push(index),
            (Err(failure), _) => failed.push(IndexedFailure { index, failure }),
        }
    }
    Ok(FromReceiver::HardLinksMade { made, trusted, failed, signed: session.signer.sign_names(signable)? })
}

fn indexed(index: u32, committed: Committed) -> IndexedName {
    let (stored, durable) = (committed.stored(), committed.durable());
    IndexedName { index, stored, durable, unchanged: committed.was_equal() }
}

/// What the names of one offer share.
struct Page<'a> {
    session: &'a Session,
    directories: &'a DirectoryTable,
    places: Vec<Result<Arc<Held>, Failure>>,
}

/// A file that is getting further names.
struct Linking<'a> {
    page: &'a Page<'a>,
    entry: &'a LinkedFile,
    file: Target,
    itself: Metadata,
    /// What was read through the first of its names, or why it was not; nothing before.
    read: Option<Result<ReadThrough, Failure>>,
    memory: &'a mut PieceBuffer,
}

impl Page<'_> {
    fn place(&self, directory: Option<u32>) -> Result<Arc<Held>, Failure> {
        match directory {
            None => Ok(Arc::clone(self.session.directories.root())),
            Some(place) => self.places.get(place as usize).cloned().unwrap_or(Err(Failure::Protocol)),
        }
    }

    fn path(&self, directory: Option<u32>, name: &Name) -> Result<Vec<u8>, Failure> {
        let path = self.directories.path_of(directory, name).ok_or(Failure::Protocol)?;
        if path.len() > PATH_BYTES_MAX { Err(Failure::PathTooLong) } else { Ok(path) }
    }

    /// The file that is to get further names: a regular one, as long as was said.
    fn open<'a>(&'a self, entry: &'a LinkedFile, memory: &'a mut PieceBuffer) -> Result<Linking<'a>, Failure> {
        let file = Target::look(self.place(entry.directory)?, entry.name.clone())?;
        let itself = file.seen.filter(|seen| seen.length_bytes == entry.length_bytes);
        let itself = itself.ok_or(Failure::LinkedFileChanged)?;
        // Without its content it must look like what the sender asked to trust.
        let may_trust = self.session.begin.quick && file.looks_like(entry.length_bytes, entry.attributes);
        if entry.content.is_none() && !may_trust {
            return Err(Failure::LinkedFileChanged);
        }
        Ok(Linking { page: self, entry, file, itself, read: None, memory })
    }
}

impl Linking<'_> {
    /// Gives the file one more name, if it has not got it already.
    fn make(&mut self, name: &FurtherName) -> Result<(Vec<u8>, Made, Renamed), Failure> {
        let path = self.page.path(name.directory, &name.name)?;
        let target = Target::look(self.page.place(name.directory)?, name.name.clone())?;
        let how = self.entry.content.map_or(Made::Trusted, |content| Made::Read(content.origin));
        if target.seen.is_some_and(|seen| seen.same_file(&self.itself)) {
            let read = self.read_through(&target, name.name.as_os_str())?;
            return Ok((path, how, read.has(target)));
        }
        if target.seen.is_some() && !self.page.session.may_replace() {
            return Err(Failure::TargetExists);
        }
        let staging = name.name.staging_of_link();
        let place = Arc::clone(&target.place);
        self.stage(&place, &staging)?;
        let read = self.read_through(&target, &staging);
        read.and_then(|read| read.rename(target, &staging)).map(|renamed| (path, how, renamed)).inspect_err(|_| {
            if let Err(error) = place.directory.remove_file(&staging) {
                tracing::warn!("remove a staged name: {error}");
            }
        })
    }

    /// Links the file under a staging name; whatever has it by then must be the file that was seen.
    fn stage(&self, place: &Held, staging: &OsStr) -> Result<(), Failure> {
        let (directory, name) = (place.directory.as_ref(), self.file.name.as_os_str());
        for _ in 0..STAGING_ATTEMPTS {
            match directory.make_hard_link(self.file.place.directory.as_ref(), name, staging) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear(directory, staging)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::LinkedFileChanged),
                Err(error) if error.raw_os_error().is_some_and(|number| NOT_LINKED.contains(&number)) => {
                    tracing::warn!("make a hard link: {error}");
                    return Err(Failure::HardLinkNotMade);
                }
                Err(error) => return Err(failure_of("make a hard link", &error)),
            }
        }
        Err(Failure::StagingHeld)
    }

    /// What the file holds, read back once through the first of its further names; each must lead to the same file.
    fn read_through(&mut self, target: &Target, name: &OsStr) -> Result<ReadThrough, Failure> {
        let now = target.place.directory.metadata_of(name);
        let now = now.map_err(|error| failure_of("look at a further name", &error))?;
        if !now.unchanged(&self.itself) {
            return Err(Failure::LinkedFileChanged);
        }
        match self.read {
            Some(read) => read,
            None => {
                let read = self.read_back(target, name);
                *self.read.insert(read)
            }
        }
    }

    fn read_back(&mut self, target: &Target, name: &OsStr) -> Result<ReadThrough, Failure> {
        let (session, file) = (self.page.session, self.itself);
        let Some(content) = self.entry.content else {
            return Ok(ReadThrough { file, root: Root::of(&[]), stored: Stored::None });
        };
        let expected = content.root.root();
        let reader = target.place.directory.open_file(name, session.reading());
        let reader = reader.map_err(|error| failure_of("open a further name", &error))?;
        // Flushed first: what was not could be read from nowhere but memory.
        reader.sync_all().map_err(|error| sync_failed(&error))?;
        let mut root = self.root_of(reader.as_ref())?;
        if root != expected {
            // One wrong read may be the reading's own fault.
            root = self.root_of(reader.as_ref())?;
        }
        let is_same = reader.metadata().is_ok_and(|now| now.unchanged(&file));
        match (root == expected, is_same && file.modified == modified(self.entry.attributes)) {
            (true, _) if is_same => {}
            (false, true) => return Err(Failure::StoredMismatch),
            _ => return Err(Failure::LinkedFileChanged),
        }
        let stored = match session.begin.stored {
            Stored::None => Stored::None,
            Stored::Device if reader.reads_device() => Stored::Device,
            Stored::Device | Stored::Cache => Stored::Cache,
        };
        Ok(ReadThrough { file, root, stored })
    }

    fn root_of(&mut self, reader: &dyn DiskFile) -> Result<Root, Failure> {
        hash_whole(reader, self.itself.length_bytes, self.memory).map_err(|error| failure_of("read back", &error))
    }
}
