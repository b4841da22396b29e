//! The order of the commit, as it can be seen from the disk door: what must be flushed before what.
//!
//! A watch of the receiver's disk that keeps a clock of its own. A flush covers what had ended before it began. Every
//! break of the order is a line; an order that holds has none. Integrity reference, sections 5.2 and 5.3.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use careful::protocol::entry::is_staging_name;

use super::door::{Identity, OpenFile, Operation, Watch};

/// Writes down when what was done, and where that breaks the order.
#[derive(Debug, Default)]
pub struct Order(Mutex<State>);

/// Number of a step; 0 is before everything.
type Clock = u64;

#[derive(Debug, Default)]
struct State {
    clock: Clock,
    files: HashMap<Identity, File>,
    directories: HashMap<Identity, Directory>,
    root: Option<Identity>,
    broken: Vec<String>,
}

#[derive(Debug, Default)]
struct File {
    written: Vec<(Range<u64>, Clock)>,
    read: Vec<(Range<u64>, Clock)>,
    changed: Clock,
    data_flushed: Clock,
    all_flushed: Clock,
}

#[derive(Debug, Default)]
struct Directory {
    below: HashMap<OsString, Identity>,
    /// When each of its directories was made, and each of its files renamed.
    made: HashMap<OsString, Clock>,
    renamed: HashMap<OsString, Clock>,
    flushed: Clock,
}

impl Order {
    /// The sender has the receipt of the file at this path below the destination.
    pub fn receipt(&self, path: &str) {
        let mut state = self.state();
        let Some(mut at) = state.root else {
            return state.broken.push(format!("a receipt for {path} before anything was opened"));
        };
        let mut broken = Vec::new();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        for component in above.split('/').filter(|component| !component.is_empty()) {
            let Some(directory) = state.directories.get(&at) else { continue };
            if directory.made.get(OsStr::new(component)).is_some_and(|&made| made > directory.flushed) {
                broken.push(format!(
                    "a receipt for {path}, and the name of the new directory {component} is not flushed"
                ));
            }
            at = directory.below.get(OsStr::new(component)).copied().unwrap_or(at);
        }
        let renamed = state.directories.get(&at).map(|place| (place.renamed.get(OsStr::new(name)), place.flushed));
        if let Some((Some(&renamed), flushed)) = renamed
            && renamed > flushed
        {
            broken.push(format!("a receipt for {path}, and its directory is not flushed since the rename"));
        }
        state.broken.extend(broken);
    }

    /// Every break of the order so far.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    /// How many files were renamed so far: an order that nothing went through proves nothing.
    #[must_use]
    pub fn renamed(&self) -> usize {
        self.state().directories.values().map(|directory| directory.renamed.len()).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self, open: &OpenFile) -> &mut File {
        self.files.entry(open.file).or_default()
    }

    /// Looks at what is about to happen.
    fn begin(&mut self, operation: &Operation<'_>) -> Clock {
        self.clock += 1;
        let now = self.clock;
        match operation {
            Operation::Read(open, range) if open.reading.is_some() && is_staging_name(open.name.as_bytes()) => {
                let file = self.file(open);
                let is_loose = |(written, at): &(Range<u64>, Clock)| overlap(written, range) && *at > file.data_flushed;
                let is_broken = file.written.iter().any(is_loose);
                file.read.push((range.clone(), now));
                if is_broken {
                    self.broken.push(format!("{:?} is read back at {} and not flushed", open.name, range.start));
                }
            }
            Operation::OpenDirectory { place, directory } => {
                self.directories.entry(*directory).or_default();
                match place {
                    Some((holder, name)) => {
                        self.directories.entry(*holder).or_default().below.insert((*name).to_owned(), *directory);
                    }
                    None => _ = self.root.get_or_insert(*directory),
                }
            }
            _ => {}
        }
        now
    }

    /// Writes down what happened since `began`.
    fn end(&mut self, operation: &Operation<'_>, began: Clock) {
        self.clock += 1;
        let now = self.clock;
        match operation {
            // What is found there may have been written by anybody, and never flushed.
            Operation::TakeOver(open, length_bytes) => self.file(open).written.push((0..*length_bytes, now)),
            Operation::Write(open, range) => self.file(open).written.push((range.clone(), now)),
            Operation::Change(open) => self.file(open).changed = now,
            Operation::SyncFile(open, is_whole) => {
                let file = self.file(open);
                file.data_flushed = file.data_flushed.max(began);
                if *is_whole {
                    file.all_flushed = file.all_flushed.max(began);
                }
            }
            Operation::SyncFileSystem => {
                for file in self.files.values_mut() {
                    file.data_flushed = file.data_flushed.max(began);
                    file.all_flushed = file.all_flushed.max(began);
                }
            }
            Operation::SyncDirectory(directory) => {
                let directory = self.directories.entry(*directory).or_default();
                directory.flushed = directory.flushed.max(began);
            }
            Operation::MakeDirectory { holder, name } => {
                self.directories.entry(*holder).or_default().made.insert((*name).to_owned(), now);
            }
            Operation::Rename { directory, to, .. } => {
                self.directories.entry(*directory).or_default().renamed.insert((*to).to_owned(), now);
            }
            Operation::Read(..) | Operation::OpenDirectory { .. } => {}
        }
    }

    /// What a file must have behind it when it gets its final name.
    fn check_rename(&mut self, file: Identity, length_bytes: u64, name: &OsStr) {
        let Some(file) = self.files.get(&file) else { return };
        let last_write = file.written.iter().map(|&(_, at)| at).max().unwrap_or(0);
        if last_write.max(file.changed) > file.all_flushed {
            self.broken.push(format!("{name:?} is renamed and not flushed since it was last changed"));
        }
        for (range, at) in &file.written {
            // What was cut off meanwhile need not be read.
            let range = &(range.start.min(length_bytes)..range.end.min(length_bytes));
            let later = file.written.iter().filter(|(other, then)| then > at && covers(other, range));
            let is_read_back = covered(range, file.read.iter().filter(|(_, then)| then > at).map(|(read, _)| read));
            if later.count() == 0 && !is_read_back {
                self.broken.push(format!("{name:?} is renamed and {range:?} not read back since it was written"));
            }
        }
    }
}

impl Watch for Order {
    fn around(&self, operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let began = self.state().begin(operation);
        run()?;
        self.state().end(operation, began);
        Ok(())
    }

    fn renaming(&self, file: Identity, length_bytes: u64, name: &OsStr) {
        self.state().check_rename(file, length_bytes, name);
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

fn covers(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start <= other.start && other.end <= one.end
}

/// Whether the pieces together hold the whole range.
fn covered<'a>(range: &Range<u64>, pieces: impl Iterator<Item = &'a Range<u64>>) -> bool {
    let mut pieces: Vec<_> = pieces.filter(|piece| overlap(piece, range)).collect();
    pieces.sort_by_key(|piece| piece.start);
    let reach = |until: u64, piece: &&Range<u64>| if piece.start <= until { until.max(piece.end) } else { until };
    pieces.iter().fold(range.start, reach) >= range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Identity = (1, 2);
    const ROOT: Identity = (1, 1);

    fn step(order: &Order, operation: &Operation<'_>) {
        order.around(operation, &mut || Ok(())).expect("a step that is only written down");
    }

    /// A whole commit without the steps of these numbers.
    fn broken_without(left_out: &[usize]) -> Vec<String> {
        let order = Order::default();
        let name = careful::protocol::entry::Name::new(b"x").expect("a name").staging();
        let staging = OpenFile { file: FILE, name: name.clone(), reading: None };
        let reader = OpenFile { reading: Some(careful::seams::disk::Reading::PastCache), ..staging.clone() };
        let rename = Operation::Rename { directory: ROOT, from: &name, to: OsStr::new("x") };
        step(&order, &Operation::OpenDirectory { place: None, directory: ROOT });
        let steps = [
            Operation::Write(&staging, 0..10),
            Operation::SyncFile(&staging, true),
            Operation::Read(&reader, 0..10),
            rename,
            Operation::SyncDirectory(ROOT),
        ];
        for (number, operation) in steps.iter().enumerate().filter(|(number, _)| !left_out.contains(number)) {
            if number == 3 {
                order.renaming(FILE, 10, OsStr::new("x"));
            }
            step(&order, operation);
        }
        order.receipt("x");
        order.broken()
    }

    #[test]
    fn a_whole_commit_breaks_nothing_and_each_step_left_out_breaks_the_order() {
        assert_eq!(broken_without(&[]), [""; 0]);
        for left_out in [1, 2, 4] {
            assert!(!broken_without(&[left_out]).is_empty(), "{left_out}");
        }
    }

    #[test]
    fn pieces_cover_a_range_only_without_a_gap() {
        assert!(covered(&(2..9), [0..5, 5..10].iter()));
        assert!(!covered(&(2..9), [0..5, 6..10].iter()));
        assert!(covered(&(3..3), [].iter()));
    }
}
