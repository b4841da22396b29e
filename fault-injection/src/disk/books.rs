//! What a faulty disk remembers: page caches that know better than their medium, writes not yet flushed, lasting damage.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::sync::{Arc, Weak};

use careful::seams::disk::DiskFile;

use crate::plan::{Place, Strike};

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// A page of the page cache.
pub(super) const PAGE_BYTES: u64 = 4096;

/// The memory of one faulty disk.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Final names by the names of their staging files.
    names: HashMap<OsString, Vec<u8>>,
    /// Pages that the cache holds where the medium holds something else, by offset.
    cached: HashMap<Identity, BTreeMap<u64, Vec<u8>>>,
    /// Files that were written.
    writers: HashMap<Identity, Writer>,
    /// Damage that is there since it was first met.
    lasting: HashMap<Place, Vec<Strike>>,
}

/// A file that was written.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// Not held open: its lock has to go with the program's own handle.
    pub(super) inner: Weak<dyn DiskFile>,
    /// Final name.
    pub(super) file: Vec<u8>,
    pub(super) identity: Identity,
    /// What was there before each write since the last flush, in order; kept only where a flush is to lose it.
    pub(super) unsynced: Vec<(u64, Vec<u8>)>,
}

impl Books {
    pub(super) fn met(&mut self, staging: OsString, name: &[u8]) {
        self.names.entry(staging).or_insert_with(|| name.to_vec());
    }

    pub(super) fn final_name(&self, staging: &OsStr) -> Option<Vec<u8>> {
        self.names.get(staging).cloned()
    }

    /// The page cache has these bytes where the medium has others.
    pub(super) fn cache(&mut self, identity: Identity, offset_bytes: u64, bytes: &[u8]) {
        let pages = self.cached.entry(identity).or_default();
        let mut rest = bytes;
        let mut at = offset_bytes;
        while !rest.is_empty() {
            let room = (PAGE_BYTES - at % PAGE_BYTES) as usize;
            let (page, after) = rest.split_at(room.min(rest.len()));
            pages.insert(at, page.to_vec());
            at += page.len() as u64;
            rest = after;
        }
    }

    /// What was written anew is on the medium as it was written.
    pub(super) fn written(&mut self, identity: Identity, range: Range<u64>) {
        if let Some(pages) = self.cached.get_mut(&identity) {
            pages.retain(|&at, page| at + page.len() as u64 <= range.start || at >= range.end);
        }
    }

    /// Lays what the page cache knows over what was read from the medium.
    pub(super) fn lay_over(&self, identity: Identity, offset_bytes: u64, read: &mut [u8]) {
        let end = offset_bytes + read.len() as u64;
        for (&at, page) in self.cached.get(&identity).into_iter().flatten() {
            let (from, to) = (at.max(offset_bytes), (at + page.len() as u64).min(end));
            if from < to {
                let known = &page[(from - at) as usize..(to - at) as usize];
                read[(from - offset_bytes) as usize..(to - offset_bytes) as usize].copy_from_slice(known);
            }
        }
    }

    /// Notes a write through this handle, and what was there before, if that is kept.
    pub(super) fn note_write(
        &mut self,
        identity: Identity,
        inner: &Arc<dyn DiskFile>,
        file: &[u8],
        before: Option<(u64, Vec<u8>)>,
    ) {
        let new = || Writer { inner: Arc::downgrade(inner), file: file.to_vec(), identity, unsynced: Vec::new() };
        let writer = self.writers.entry(identity).or_insert_with(new);
        if writer.inner.strong_count() == 0 {
            // Another file may have got the inode since.
            *writer = new();
        }
        writer.unsynced.extend(before);
    }

    /// A handle that can write to the file, while the program holds one.
    pub(super) fn writer_of(&self, identity: Identity) -> Option<Arc<dyn DiskFile>> {
        self.writers.get(&identity)?.inner.upgrade()
    }

    pub(super) fn all_writers(&self) -> Vec<Identity> {
        self.writers.keys().copied().collect()
    }

    /// The file and its unsynced writes, which are forgotten.
    pub(super) fn take_unsynced(&mut self, identity: Identity) -> Option<Writer> {
        let writer = self.writers.get_mut(&identity).filter(|writer| writer.inner.strong_count() > 0)?;
        let taken = writer.clone();
        writer.unsynced.clear();
        Some(taken)
    }

    /// Damage at a place that stays once it is there: what is due at the first visit is due ever after.
    pub(super) fn lasting(&mut self, place: &Place, visit: impl FnOnce() -> Vec<Strike>) -> (Vec<Strike>, bool) {
        match self.lasting.get(place) {
            Some(known) => (known.clone(), false),
            None => {
                let due: Vec<Strike> = visit().into_iter().map(Strike::lasting).collect();
                self.lasting.insert(place.clone(), due.clone());
                (due, true)
            }
        }
    }
}
