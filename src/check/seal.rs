//! Makes records: a file is read twice past the cache, by handles of their own, and sealed if both reads agree.
//!
//! A record that is there is never replaced by one of other content: who means to do that touches the file first. A record
//! that was stored is read again, and flushed with all others of its file system in the end; at once where that cannot be.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::reading::Reader;
use super::verify::unread;
use super::walk::Item;
use super::{ReadBy, Verdict};
use crate::record::{self, Found, Record};
use crate::seams::disk::{Directory, DiskFile, Metadata, Reading};

/// File systems that hold new records, by device.
#[derive(Debug, Default)]
pub(super) struct Sealed(Mutex<HashMap<u64, Example>>);

/// A file that was sealed there.
#[derive(Debug)]
struct Example {
    directory: Arc<dyn Directory>,
    shown: Vec<u8>,
}

impl Sealed {
    fn note(&self, item: &Item, file: &Metadata) {
        let mut sealed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let example = || Example { directory: Arc::clone(&item.directory), shown: item.shown.clone() };
        sealed.entry(file.device).or_insert_with(example);
    }

    /// Flushes all; answers what could not be, by a file that was sealed there.
    pub(super) fn flush(self) -> Vec<(Vec<u8>, io::Error)> {
        let sealed = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let flush = |Example { directory, shown }| directory.sync_file_system().err().map(|error| (shown, error));
        sealed.into_values().filter_map(flush).collect()
    }
}

/// Seals a file that has no record yet; with `renew` also one that was changed since, or whose record is damaged.
pub(super) fn seal(item: &Item, renew: bool, reader: &mut Reader<'_>, sealed: &Sealed) -> (Verdict, Option<ReadBy>) {
    let (file, before) = match open(item) {
        Ok(open) => open,
        Err(error) => return (unread(&error), None),
    };
    match record::find(file.as_ref(), &before) {
        Found::Fits(_) => return (Verdict::AlreadySealed, None),
        Found::Stale(_) if !renew => return (Verdict::Changed, None),
        Found::Damaged if !renew => return (Verdict::DamagedRecord, None),
        Found::Nothing | Found::Stale(_) | Found::Damaged => {}
    }
    let (verdict, read) = read_twice(item, file.as_ref(), &before, reader);
    let Verdict::Sealed(record) = verdict else { return (verdict, read) };
    let stored = record::store(file.as_ref(), &record).and_then(|()| {
        // Without its parts, where there was no room for them, it is the same record.
        match record::find(file.as_ref(), &file.metadata()?) {
            Found::Fits(found) if found.content.root == record.content.root => {
                if item.directory.can_sync_file_system()? { Ok(()) } else { file.sync_all() }
            }
            Found::Stale(_) => Err(io::Error::other("it was changed meanwhile")),
            _ => Err(io::Error::other("the record that was stored reads otherwise")),
        }
    });
    match stored {
        Ok(()) => {
            sealed.note(item, &before);
            (Verdict::Sealed(record), read)
        }
        Err(error) => (Verdict::Failed(format!("its record could not be stored: {error}")), read),
    }
}

/// The record of a file, stored nowhere.
pub(super) fn list(item: &Item, reader: &mut Reader<'_>) -> (Verdict, Option<ReadBy>) {
    match open(item) {
        Ok((file, before)) => read_twice(item, file.as_ref(), &before, reader),
        Err(error) => (unread(&error), None),
    }
}

fn open(item: &Item) -> io::Result<(Arc<dyn DiskFile>, Metadata)> {
    let file = item.directory.open_file(&item.name, Reading::PastCache)?;
    let before = file.metadata()?;
    Ok((file, before))
}

fn read_twice(
    item: &Item,
    file: &dyn DiskFile,
    before: &Metadata,
    reader: &mut Reader<'_>,
) -> (Verdict, Option<ReadBy>) {
    let mut read = || {
        let first = reader.read(file, before.length_bytes)?;
        let (again, now) = open(item)?;
        if !now.unchanged(before) {
            return Ok::<_, io::Error>(None);
        }
        let second = reader.read(again.as_ref(), before.length_bytes)?;
        let after = item.directory.metadata_of(&item.name)?;
        let from_device = file.reads_device() && again.reads_device();
        Ok(after.unchanged(before).then_some((first, second, from_device)))
    };
    match read() {
        Ok(Some((first, second, from_device))) => {
            let read = Some(ReadBy { from_device, misread: false });
            let agree = first == second;
            (if agree { Verdict::Sealed(Record::new(second, before.modified)) } else { Verdict::Unstable }, read)
        }
        Ok(None) => (Verdict::Changed, None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (Verdict::Changed, None),
        Err(error) => (unread(&error), None),
    }
}
