//! The files below the paths that were named, all or a sample of them. Links are not followed, staging files left out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Observer, Plan, Task, Verdict, open_parent};
use crate::progress::Counters;
use crate::protocol::entry::is_staging_name;
use crate::protocol::limits::DEPTH_MAX;
use crate::seams::disk::{Directory, Disk, Kind};

/// Seconds of a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A regular file.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) name: OsString,
    /// As it is shown to people.
    pub(super) shown: Vec<u8>,
}

/// One of so many parts of all files; which one follows from the day, and on as many days in a row each part has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    parts: u64,
    turn: u64,
}

/// A text is no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sample is a part of the files in percent, more than 0% and at most 100%, as in 5%")]
pub struct SampleError;

impl Sample {
    /// One part of so many on the day of this number.
    #[must_use]
    pub fn of_day(parts: u64, day: u64) -> Self {
        Self { parts: parts.max(1), turn: day % parts.max(1) }
    }

    /// Whether the file's turn is today. By its path, so that each run of a day means the same files.
    fn has(self, path: &OsStr) -> bool {
        let hash = *blake3::hash(path.as_bytes()).as_bytes();
        let first = hash.first_chunk().expect("a hash is longer");
        u64::from_le_bytes(*first) % self.parts == self.turn
    }
}

impl FromStr for Sample {
    type Err = SampleError;

    /// Of today, by the clock of this host in UTC. `5%` is one of 20 parts.
    fn from_str(text: &str) -> Result<Self, SampleError> {
        let percent: f64 = text.strip_suffix('%').and_then(|number| number.parse().ok()).ok_or(SampleError)?;
        if !(percent > 0.0001 && percent <= 100.0) {
            return Err(SampleError);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1,000,000")]
        let parts = (100.0 / percent).ceil() as u64;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self::of_day(parts, now.as_secs() / DAY_SECONDS))
    }
}

pub(super) fn is_chosen(sample: Option<Sample>, path: &OsStr) -> bool {
    sample.is_none_or(|sample| sample.has(path))
}

pub(super) struct Walk<'a> {
    disk: &'a dyn Disk,
    plan: &'a Plan,
    observer: &'a dyn Observer,
    counters: &'a Counters,
    found: SyncSender<Item>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        plan: &'a Plan,
        observer: &'a dyn Observer,
        counters: &'a Counters,
        found: SyncSender<Item>,
    ) -> Self {
        Self { disk, plan, observer, counters, found }
    }

    pub(super) fn run(self) {
        for path in &self.plan.paths {
            self.path(path);
        }
        self.counters.walk_finished();
    }

    fn path(&self, path: &Path) {
        let shown = path.as_os_str().as_bytes();
        let is_directory = self.disk.inspect(path).is_ok_and(|found| found.kind == Kind::Directory);
        if is_directory {
            match self.disk.open_directory(path) {
                Ok(directory) => self.directory(&directory, shown, 0),
                Err(error) => self.failed(shown, &error),
            }
            return;
        }
        match open_parent(self.disk, path) {
            Ok((directory, name)) => self.item(&directory, &name, shown.to_vec(), 0),
            Err(error) => self.failed(shown, &error),
        }
    }

    fn directory(&self, directory: &Arc<dyn Directory>, shown: &[u8], depth: usize) {
        let items = match directory.items() {
            Ok(items) => items,
            Err(error) => return self.failed(shown, &error),
        };
        for item in items {
            match item {
                Ok(item) => {
                    let separator: &[u8] = if shown.ends_with(b"/") { b"" } else { b"/" };
                    self.item(directory, &item.name, [shown, separator, item.name.as_bytes()].concat(), depth + 1);
                }
                Err(error) => return self.failed(shown, &error),
            }
        }
    }

    fn item(&self, directory: &Arc<dyn Directory>, name: &OsStr, shown: Vec<u8>, depth: usize) {
        let found = match directory.metadata_of(name) {
            Ok(found) => found,
            Err(error) => return self.failed(&shown, &error),
        };
        match found.kind {
            Kind::File if is_staging_name(name.as_bytes()) => {}
            Kind::File if is_chosen(self.plan.sample, OsStr::from_bytes(&shown)) => {
                self.counters.files_found(1);
                let reads = if self.plan.task == Task::Verify { 1 } else { 2 };
                self.counters.bytes_found(found.length_bytes.saturating_mul(reads));
                let item = Item { directory: Arc::clone(directory), name: name.to_owned(), shown };
                // Nobody is left to take it only if every thread panicked.
                self.found.send(item).ok();
            }
            Kind::File => {}
            Kind::Directory if depth >= DEPTH_MAX => {
                self.observer.checked(&shown, &Verdict::Failed("too deep".to_owned()), None);
            }
            Kind::Directory => match directory.open_directory(name) {
                Ok(deeper) => self.directory(&deeper, &shown, depth),
                Err(error) => self.failed(&shown, &error),
            },
            Kind::Link => self.observer.skipped(&shown, "a symbolic link"),
            Kind::Special => self.observer.skipped(&shown, "a fifo, socket or device"),
        }
    }

    fn failed(&self, shown: &[u8], error: &std::io::Error) {
        self.observer.checked(shown, &super::verify::unread(error), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_turn_once_in_as_many_days_as_there_are_parts() {
        for number in 0..500 {
            let path = OsString::from(format!("directory/file {number}"));
            let turns = (20_000..20_020).filter(|&day| Sample::of_day(20, day).has(&path)).count();
            assert_eq!(turns, 1);
        }
    }

    #[test]
    fn a_run_every_seventh_day_meets_all_parts_of_25_and_10_percent_and_one_of_15() {
        let met = |percent: &str| {
            let parts = percent.parse::<Sample>().unwrap().parts;
            (0..parts).map(|week| Sample::of_day(parts, 7 * week).turn).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((met("25%"), met("10%"), met("15%")), (4, 10, 1));
    }

    #[test]
    fn a_day_means_about_its_part_of_the_files() {
        let chosen = (0..10_000).filter(|number| Sample::of_day(20, 7).has(OsStr::new(&format!("{number}")))).count();
        assert!((400..600).contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_sample_is_written_in_percent() {
        let parts = |text: &str| text.parse::<Sample>().map(|sample| sample.parts);
        assert_eq!((parts("5%"), parts("100%"), parts("30%"), parts("0.1%")), (Ok(20), Ok(1), Ok(4), Ok(1000)));
        for text in ["", "%", "5", "0%", "-5%", "101%", "NaN%", "inf%", "five%", "0.00001%"] {
            assert_eq!(parts(text), Err(SampleError), "{text}");
        }
    }
}
