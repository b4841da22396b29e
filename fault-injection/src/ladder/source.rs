//! The reading half of a baseline: the files of a directory, read once through the page cache, through two queues.
//!
//! Between the queues stands nothing: they are there because a program has buffers, and a buffer is a place for a fault.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use careful::protocol::entry::Name;
use careful::protocol::limits::QUEUE_PARCELS;
use careful::reading::read_range;
use careful::seams::Environment;
use careful::seams::buffer::{Hop, Parcel, Piece, PieceBuffer};
use careful::seams::disk::{Directory, DiskFile, Kind, Reading};
use careful::workers;
use tokio::sync::mpsc;

use super::Copied;
use super::layout::{File, Layout};

/// The files of a directory and what went wrong with each.
#[derive(Clone, Debug)]
pub(super) struct Source {
    directory: Arc<dyn Directory>,
    pub(super) layout: Arc<Layout>,
    problems: Arc<Mutex<Vec<Option<String>>>>,
}

impl Source {
    /// Lists the regular files directly in the directory, by name. Whatever else is there is passed over.
    pub(super) async fn list(environment: &Environment, path: &Path) -> io::Result<Self> {
        let (disk, path) = (Arc::clone(&environment.disk), path.to_path_buf());
        workers::run(move || {
            let directory = disk.open_directory(&path)?;
            let mut files = Vec::new();
            for item in directory.items()? {
                let item = item?;
                let found = directory.metadata_of(&item.name)?;
                let name = Name::new(item.name.as_bytes());
                if let (Kind::File, Ok(name)) = (found.kind, name) {
                    files.push(File { name, length_bytes: found.length_bytes });
                }
            }
            files.sort_by(|one, other| one.name.cmp(&other.name));
            let problems = Arc::new(Mutex::new(vec![None; files.len()]));
            Ok(Self { directory, layout: Arc::new(Layout::new(files)), problems })
        })
        .await
    }

    /// Reads all parcels in order; they come out of the queue before the upload. A file that fails is left out from there
    /// on, and so arrives shorter than announced.
    pub(super) fn start_reading(&self, environment: &Environment) -> mpsc::Receiver<Parcel> {
        let (read, to_hash) = environment.buffers.queue(Hop::SourceToHash, QUEUE_PARCELS);
        let (not_hashed, to_upload) = environment.buffers.queue(Hop::HashToUpload, QUEUE_PARCELS);
        tokio::spawn(hand_on(to_hash, not_hashed));
        let source = self.clone();
        tokio::task::spawn_blocking(move || source.read_all(&read));
        to_upload
    }

    fn read_all(&self, queue: &mpsc::Sender<Parcel>) {
        let mut open: Option<(usize, Arc<dyn DiskFile>)> = None;
        for (job, indices) in self.layout.parcels() {
            let read = |index| match self.read_piece(job, index, &mut open) {
                Ok(bytes) => Some(Piece { index, hash: None, bytes: bytes? }),
                Err((file, error)) => {
                    self.note(file, format!("read: {error}"));
                    None
                }
            };
            let pieces: Vec<Piece> = indices.into_iter().filter_map(read).collect();
            // The queue ends early if the upload has.
            if !pieces.is_empty() && queue.blocking_send(Parcel { job, round: 0, pieces }).is_err() {
                return;
            }
        }
    }

    /// One piece, or nothing if its file has failed before. The file of the piece before stays open for this one.
    fn read_piece(
        &self,
        job: u64,
        index: u64,
        open: &mut Option<(usize, Arc<dyn DiskFile>)>,
    ) -> Result<Option<PieceBuffer>, (usize, io::Error)> {
        let spot = self.layout.spot(job, index).expect("the layout knows its own pieces");
        if self.problems()[spot.file].is_some() {
            return Ok(None);
        }
        let at_file = |error| (spot.file, error);
        let file = match open.take() {
            Some((number, file)) if number == spot.file => file,
            _ => {
                let name = self.layout.files[spot.file].name.as_os_str();
                self.directory.open_file(name, Reading::Cached).map_err(at_file)?
            }
        };
        let mut bytes = PieceBuffer::unpooled(spot.length);
        let range = spot.offset_bytes..spot.offset_bytes + spot.length as u64;
        read_range(file.as_ref(), range, &mut bytes).map_err(at_file)?;
        *open = Some((spot.file, file));
        Ok(Some(bytes))
    }

    fn problems(&self) -> MutexGuard<'_, Vec<Option<String>>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong first with a file is what is told.
    fn note(&self, file: usize, problem: String) {
        self.problems()[file].get_or_insert(problem);
    }

    /// What the sender reports in the end: the receiver's word about each file, empty if it is delivered, or why there is
    /// none.
    pub(super) fn report(&self, words: Result<Vec<String>, String>) -> Copied {
        let mut copied = Copied::default();
        for (number, file) in self.layout.files.iter().enumerate() {
            let word = match &words {
                Ok(words) => words.get(number).cloned().unwrap_or_else(|| "no word about it".to_owned()),
                Err(error) => error.clone(),
            };
            let name = file.name.as_os_str().to_string_lossy().into_owned();
            match self.problems()[number].clone().or(Some(word).filter(|word| !word.is_empty())) {
                Some(problem) => copied.failed.push((name, problem)),
                None => copied.delivered.push(name),
            }
        }
        copied
    }
}

/// What is said if not even the source could be listed.
pub(super) fn not_listed(error: &io::Error) -> Copied {
    Copied { delivered: Vec::new(), failed: vec![(".".to_owned(), format!("list: {error}"))] }
}

/// From one queue into the next, until either side is gone.
pub(super) async fn hand_on(mut from: mpsc::Receiver<Parcel>, to: mpsc::Sender<Parcel>) {
    while let Some(parcel) = from.recv().await {
        if to.send(parcel).await.is_err() {
            return;
        }
    }
}
