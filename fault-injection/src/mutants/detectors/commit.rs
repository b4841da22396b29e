//! Claims about the commit: its order at the disk door, and what somebody else does meanwhile.

#![expect(clippy::disallowed_methods, reason = "whoever meddles does so from outside, past the doors")]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use careful::protocol::failure::Failure;
use careful::protocol::limits::SYNC_EVERY_BYTES;
use careful::seams::disk::Reading;
use careful::seams::os_disk::OsDisk;

use crate::mutants::door::{OpenFile, Operation, Watch, WatchedDisk};
use crate::mutants::trial::{Trial, staging_name};
use crate::rig::content;

super::table![
    the_order_holds_for_a_large_file,
    the_order_holds_for_a_file_that_is_flushed_on_the_way,
    the_order_holds_for_small_files,
    the_order_holds_for_a_whole_group,
    the_order_holds_in_new_directories,
    the_order_holds_after_an_earlier_run,
    a_wrong_page_of_the_source_is_found,
    a_source_that_changed_behind_both_reads_is_refused,
    a_target_that_appears_at_the_rename_stays,
    a_target_that_was_replaced_meanwhile_stays,
    a_write_that_misses_its_place_voids_every_read_back,
];

const LARGE: usize = (3 << 20) + 5;
const SMALL: usize = 5000;

/// Sends these files; each must be right, and the order must hold.
#[track_caller]
fn in_order(trial: &Trial, files: &[(&str, Vec<u8>)]) {
    for (path, bytes) in files {
        trial.write(&format!("source/{path}"), bytes);
    }
    let (told, order) = trial.transfer_in_order();
    assert_eq!(order.broken(), [""; 0], "the order of the commit is broken");
    for (path, bytes) in files {
        told.assert_right(trial, path, bytes);
    }
    assert_eq!(order.renamed(), files.len(), "every file went through the door");
}

fn the_order_holds_for_a_large_file() {
    in_order(&Trial::new(), &[("file", content(1, LARGE))]);
}

fn the_order_holds_for_a_file_that_is_flushed_on_the_way() {
    // One flush on the way may be overtaken by the last one.
    let length = 4 * usize::try_from(SYNC_EVERY_BYTES).expect("it fits into memory") + (2 << 20);
    in_order(&Trial::new(), &[("file", content(1, length))]);
}

fn the_order_holds_for_small_files() {
    let names = ["file-0", "file-1", "file-2"];
    in_order(&Trial::new(), &names.map(|name| (name, content(name.len() as u64, SMALL))));
}

fn the_order_holds_for_a_whole_group() {
    let names: Vec<String> = (0..12).map(|number| format!("file-{number}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), content(3, SMALL))).collect();
    in_order(&Trial::new(), &files);
}

fn the_order_holds_in_new_directories() {
    in_order(&Trial::new(), &["a/x", "a/b/y", "c/z"].map(|name| (name, content(4, SMALL))));
}

fn the_order_holds_after_an_earlier_run() {
    for length in [LARGE, SMALL] {
        let trial = Trial::new();
        let bytes = content(1, length);
        trial.write(&format!("target/{}", staging_name("file")), &bytes);
        in_order(&trial, &[("file", bytes)]);
    }
}

/// The page cache has a bit of every file wrong, always the same one.
#[derive(Debug)]
struct WrongPage(u64);

impl Watch for WrongPage {
    fn shown(&self, file: &OpenFile, offset_bytes: u64, bytes: &mut [u8]) {
        let place = self.0.checked_sub(offset_bytes).filter(|&place| place < bytes.len() as u64);
        if let (Some(Reading::Cached), Some(place)) = (file.reading, place) {
            bytes[place as usize] ^= 4;
        }
    }
}

fn a_wrong_page_of_the_source_is_found() {
    for (length, position) in [(SMALL, 17), (LARGE, (1 << 20) + 17)] {
        let trial = Trial::new();
        let bytes = content(1, length);
        trial.write("source/file", &bytes);
        let sender = WatchedDisk::over(Arc::new(OsDisk), Arc::new(WrongPage(position)));
        trial.transfer(sender, Arc::new(OsDisk)).assert_right(&trial, "file", &bytes);
    }
}

/// Adds a byte to the source once its last second read is done.
#[derive(Debug)]
struct Appender {
    source: PathBuf,
    second_reads_left: AtomicU64,
}

impl Watch for Appender {
    fn around(&self, operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        run()?;
        if let Operation::Read(OpenFile { reading: Some(Reading::PastCache), .. }, _) = operation
            && self.second_reads_left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let longer = [fs::read(&self.source)?, vec![1]].concat();
            fs::write(&self.source, longer)?;
        }
        Ok(())
    }
}

fn a_source_that_changed_behind_both_reads_is_refused() {
    let trial = Trial::new();
    trial.write("source/file", &content(1, LARGE));
    let watch = Appender { source: trial.path("source/file"), second_reads_left: AtomicU64::new(4) };
    let told = trial.transfer(WatchedDisk::over(Arc::new(OsDisk), Arc::new(watch)), Arc::new(OsDisk));
    told.assert_failed("file", Failure::SourceChanged);
}

/// Puts another file under the final name, once: at the rename itself, or at the last flush before it.
#[derive(Debug)]
struct Intruder {
    target: PathBuf,
    at_rename: bool,
    strikes: AtomicBool,
}

impl Watch for Intruder {
    fn around(&self, operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let is_moment = match operation {
            Operation::Rename { .. } => self.at_rename,
            Operation::SyncFile(_, true) => !self.at_rename,
            _ => false,
        };
        if is_moment && self.strikes.swap(false, Ordering::SeqCst) {
            fs::write(&self.target, "of somebody else")?;
        }
        run()
    }
}

#[track_caller]
fn the_intruder_stays(file: &str, at_rename: bool, old: Option<&[u8]>) {
    for length in [SMALL, LARGE] {
        let (trial, target) = (Trial::new(), format!("target/{file}"));
        trial.write(&format!("source/{file}"), &content(1, length));
        if let Some(old) = old {
            trial.write(&target, old);
        }
        let intruder = Arc::new(Intruder { target: trial.path(&target), at_rename, strikes: true.into() });
        let receiver = WatchedDisk::over(Arc::new(OsDisk), Arc::clone(&intruder) as Arc<dyn Watch>);
        let told = trial.transfer(Arc::new(OsDisk), receiver);
        assert!(!intruder.strikes.load(Ordering::SeqCst), "nobody came");
        told.assert_failed(file, Failure::TargetChanged);
        assert_eq!(trial.read(&target).as_deref(), Some(&b"of somebody else"[..]), "it was overwritten");
    }
}

fn a_target_that_appears_at_the_rename_stays() {
    the_intruder_stays("file", true, None);
    // In a directory that the receiver makes nothing is looked for before.
    the_intruder_stays("new directory/file", true, None);
}

fn a_target_that_was_replaced_meanwhile_stays() {
    the_intruder_stays("file", false, Some(b"old"));
}

/// Number of the chunk whose write lands elsewhere: the last, so far behind the first that this one is flushed and read
/// back before.
const ASTRAY: u64 = 71;

/// Sends the first write of one chunk to the place of the first chunk, after that one was read back: the sender's first
/// read of the chunk waits for that.
#[derive(Debug, Default)]
struct Misdirection {
    first_is_read: Mutex<bool>,
    when_read: Condvar,
    has_struck: AtomicBool,
}

/// At the receiver.
impl Watch for Misdirection {
    fn around(&self, operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        run()?;
        if let Operation::Read(_, range) = operation
            && range.start == 0
        {
            *self.first_is_read.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.when_read.notify_all();
        }
        Ok(())
    }

    fn place(&self, _file: &OpenFile, offset_bytes: u64) -> u64 {
        if offset_bytes == ASTRAY << 20 && !self.has_struck.swap(true, Ordering::SeqCst) { 0 } else { offset_bytes }
    }
}

/// At the sender.
#[derive(Debug)]
struct Late(Arc<Misdirection>);

impl Watch for Late {
    fn around(&self, operation: &Operation<'_>, run: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if let Operation::Read(OpenFile { reading: Some(Reading::Cached), .. }, range) = operation
            && range.start == ASTRAY << 20
        {
            let is_read = self.0.first_is_read.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.0.when_read.wait_timeout_while(is_read, Duration::from_secs(15), |is_read| !*is_read);
            let (is_read, _) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(*is_read, "nothing is read back before the file is whole");
        }
        run()
    }
}

fn a_write_that_misses_its_place_voids_every_read_back() {
    let trial = Trial::new();
    let bytes = content(1, ((ASTRAY as usize) << 20) + (1 << 20));
    trial.write("source/file", &bytes);
    let watch = Arc::new(Misdirection::default());
    let receiver = WatchedDisk::over(Arc::new(OsDisk), Arc::clone(&watch) as Arc<dyn Watch>);
    let sender = WatchedDisk::over(Arc::new(OsDisk), Arc::new(Late(Arc::clone(&watch))));
    let told = trial.transfer(sender, receiver);
    assert!(watch.has_struck.load(Ordering::SeqCst), "the write never went astray");
    told.assert_right(&trial, "file", &bytes);
}
