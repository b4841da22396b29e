//! Sealing and verifying without a transfer: files are read past the cache and compared with their records, with a
//! manifest, or with receipts.
//!
//! A walk hands files to a few threads; each file gets a [`Verdict`], told to an [`Observer`]. Records are made by [`seal`] and
//! compared by [`verify`]; **verifying writes nothing, and nothing here replaces a record that the content contradicts.**

mod pace;
mod reading;
mod seal;
mod verify;
mod walk;

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

pub use pace::Pace;
pub use walk::{Sample, SampleError};

use self::reading::Reader;
use self::walk::{Item, Walk};
use crate::hash::Root;
use crate::progress::Counters;
use crate::record::{Content, Record};
use crate::seams::disk::{Disk, Timestamp};

/// Files listed ahead of the threads; each may hold a directory open.
const ITEMS_AHEAD: usize = 64;
/// Most files that may be read at once.
pub const JOBS_MAX: usize = 64;

/// What is to be done with each file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make a record and store it with the file. Records that do not fit are replaced only with `renew`.
    Seal {
        /// Replace records of files that were changed since, and damaged ones.
        renew: bool,
    },
    /// Read twice, and hand the record to the observer instead of storing it.
    List,
    /// Compare with the file's own record.
    Verify,
}

/// How it is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the person wrote them.
    pub paths: Vec<PathBuf>,
    /// What to do.
    pub task: Task,
    /// Files read at once, 1 to [`JOBS_MAX`].
    pub jobs: usize,
    /// How many bytes a second may be read.
    pub pace: Pace,
    /// A part of the files instead of all.
    pub sample: Option<Sample>,
}

/// A file that something else than its own record describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// As the person named it.
    pub path: PathBuf,
    /// BLAKE3 of the whole.
    pub root: Root,
    /// In bytes, where that is known.
    pub length_bytes: Option<u64>,
    /// Time of last modification, where that is known.
    pub modified: Option<Timestamp>,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The content is what the reference says.
    Right(Content),
    /// A record was made; where it was stored with the file, it was read again.
    Sealed(Record),
    /// It has a record that fits: not read.
    AlreadySealed,
    /// Size or time of last modification are not those of the reference, or moved while it was read.
    Changed,
    /// Size and time are those of the reference, the content is not.
    Corrupt {
        /// Where it differs, in bytes, as far as the record tells; the whole file where it does not.
        ranges: Vec<Range<u64>>,
    },
    /// There is nothing to compare with.
    NoRecord,
    /// Its record is damaged: nothing can be said by it.
    DamagedRecord,
    /// Two reads past the cache differ from each other.
    Unstable,
    /// There is no such file.
    Missing,
    /// It could not be read, or its record not stored.
    Failed(String),
}

/// How a file was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadBy {
    /// Whether every read is proven to have come from the device.
    pub from_device: bool,
    /// Whether it read wrong once, and right the second time.
    pub misread: bool,
}

/// Who is told. Called from several threads.
pub trait Observer: Send + Sync + Debug {
    /// What became of a file; with how it was read, if it was.
    fn checked(&self, path: &[u8], verdict: &Verdict, read: Option<ReadBy>);
    /// The entry is no regular file.
    fn skipped(&self, path: &[u8], why: &str);
}

/// Seals or verifies all files below the paths. Blocks until all are done.
pub fn run(disk: &dyn Disk, plan: &Plan, observer: &dyn Observer, counters: &Counters) {
    let (found, items) = mpsc::sync_channel(ITEMS_AHEAD);
    let items = Mutex::new(items);
    let sealed = seal::Sealed::default();
    std::thread::scope(|scope| {
        scope.spawn(|| Walk::new(disk, plan, observer, counters, found).run());
        for _ in 0..plan.jobs.clamp(1, JOBS_MAX) {
            scope.spawn(|| {
                let mut reader = Reader::new(&plan.pace, counters);
                loop {
                    let item: Result<Item, _> = items.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(item) = item else { return };
                    let (verdict, read) = match plan.task {
                        Task::Seal { renew } => seal::seal(&item, renew, &mut reader, &sealed),
                        Task::List => seal::list(&item, &mut reader),
                        Task::Verify => verify::by_record(&item, &mut reader),
                    };
                    counters.files_done(1);
                    observer.checked(&item.shown, &verdict, read);
                }
            });
        }
    });
    for (path, error) in sealed.flush() {
        observer.checked(&path, &Verdict::Failed(format!("its record may not survive a power cut: {error}")), None);
    }
}

/// Compares each file with what is expected of it. Blocks until all are done.
pub fn compare(disk: &dyn Disk, expected: Vec<Expected>, plan: &Plan, observer: &dyn Observer, counters: &Counters) {
    let chosen: Vec<Expected> =
        expected.into_iter().filter(|expected| walk::is_chosen(plan.sample, expected.path.as_os_str())).collect();
    counters.files_found(chosen.len() as u64);
    counters.bytes_found(chosen.iter().filter_map(|expected| expected.length_bytes).sum());
    counters.walk_finished();
    let left = Mutex::new(chosen.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, JOBS_MAX) {
            scope.spawn(|| {
                let mut reader = Reader::new(&plan.pace, counters);
                loop {
                    let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(expected) = next else { return };
                    let (verdict, read) = verify::by_expectation(disk, &expected, &mut reader);
                    counters.files_done(1);
                    observer.checked(expected.path.as_os_str().as_encoded_bytes(), &verdict, read);
                }
            });
        }
    });
}

/// The directory of a file and its name there, for one path.
fn open_parent(
    disk: &dyn Disk,
    path: &std::path::Path,
) -> std::io::Result<(Arc<dyn crate::seams::disk::Directory>, std::ffi::OsString)> {
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((disk.open_directory(parent.unwrap_or(std::path::Path::new(".")))?, name.to_owned()))
}
