//! The writing half of a baseline: pieces through two queues into staging files, which are flushed and renamed in the end.
//!
//! What arrived is counted against what was announced; what was written is believed. Staging files have the names that
//! `careful` gives them, and one of a copy that failed is left and written over by the next. **Every file stays open to the
//! end**: this is for trees that a test makes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use careful::protocol::limits::QUEUE_PARCELS;
use careful::seams::Environment;
use careful::seams::buffer::{Hop, Parcel};
use careful::seams::disk::{Directory, DiskFile, Writing, write_all};
use careful::workers;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::layout::{File, Layout, Spot};
use super::source::hand_on;

/// A receiver at work.
#[derive(Debug)]
pub(super) struct Target {
    layout: Arc<Layout>,
    /// Bytes that came over the wire, by file.
    arrived_bytes: Vec<u64>,
    queue: mpsc::Sender<Parcel>,
    writing: JoinHandle<Staged>,
}

/// The staging files, or why there is none.
#[derive(Debug)]
struct Staged {
    layout: Arc<Layout>,
    directory: Result<Arc<dyn Directory>, String>,
    files: HashMap<usize, Result<Arc<dyn DiskFile>, String>>,
}

impl Target {
    /// Makes the staging files. What goes wrong is told in the end.
    pub(super) async fn start(environment: &Environment, path: &Path, files: Vec<File>) -> Self {
        let layout = Arc::new(Layout::new(files));
        let (queue, to_verify) = environment.buffers.queue(Hop::WireToVerify, QUEUE_PARCELS);
        let (not_verified, to_stage) = environment.buffers.queue(Hop::VerifyToStage, QUEUE_PARCELS);
        tokio::spawn(hand_on(to_verify, not_verified));
        let (disk, path, staged) = (Arc::clone(&environment.disk), path.to_path_buf(), Arc::clone(&layout));
        let staged = workers::run(move || {
            let directory = disk.open_directory(&path).map_err(|error| format!("open the directory: {error}"));
            Staged::new(staged, directory)
        })
        .await;
        let writing = tokio::task::spawn_blocking(move || staged.write(to_stage));
        Self { arrived_bytes: vec![0; layout.files.len()], layout, queue, writing }
    }

    /// How the files are cut.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes what came over the wire.
    pub(super) async fn take(&mut self, parcel: Parcel) {
        for piece in &parcel.pieces {
            if let Some(spot) = self.layout.spot(parcel.job, piece.index) {
                self.arrived_bytes[spot.file] += piece.bytes.len() as u64;
            }
        }
        // The queue ends early only with its writer's panic, which the end tells.
        self.queue.send(parcel).await.ok();
    }

    /// Once everything arrived: waits for the writes, flushes, renames. A word for each file: why it failed, or nothing.
    pub(super) async fn finish(self) -> Vec<String> {
        let Self { layout, arrived_bytes, queue, writing } = self;
        drop(queue);
        match writing.await {
            Ok(staged) => workers::run(move || staged.commit(&arrived_bytes)).await,
            Err(error) => vec![format!("write: {error}"); layout.files.len()],
        }
    }
}

impl Staged {
    fn new(layout: Arc<Layout>, directory: Result<Arc<dyn Directory>, String>) -> Self {
        let stage = |file: &File| {
            let directory = directory.clone()?;
            create(directory.as_ref(), file).map_err(|error| format!("make a staging file: {error}"))
        };
        let files = layout.files.iter().map(stage).enumerate().collect();
        Self { layout, directory, files }
    }

    fn write(mut self, mut queue: mpsc::Receiver<Parcel>) -> Self {
        while let Some(parcel) = queue.blocking_recv() {
            for piece in parcel.pieces {
                if let Some(Spot { file, offset_bytes, .. }) = self.layout.spot(parcel.job, piece.index)
                    && let Some(slot) = self.files.get_mut(&file)
                    && let Ok(staging) = slot
                    && let Err(error) = write_all(staging.as_ref(), &piece.bytes, offset_bytes)
                {
                    *slot = Err(format!("write: {error}"));
                }
            }
        }
        self
    }

    fn commit(&self, arrived_bytes: &[u64]) -> Vec<String> {
        let directory = match &self.directory {
            Ok(directory) => directory.as_ref(),
            Err(error) => return vec![error.clone(); self.layout.files.len()],
        };
        let committed = |(number, file): (usize, &File)| {
            let staging = self.files.get(&number).ok_or("never staged")?.as_ref().map_err(Clone::clone)?;
            let (arrived, announced) = (arrived_bytes[number], file.length_bytes);
            // More means that something came twice, and a second write of it is harmless.
            if arrived < announced {
                return Err(format!("only {arrived} of {announced} bytes arrived"));
            }
            staging.sync_all().map_err(|error| format!("flush: {error}"))?;
            let renamed = directory.rename(&file.name.staging(), file.name.as_os_str(), true);
            renamed.map_err(|error| format!("rename: {error}"))
        };
        let words: Vec<Result<(), String>> = self.layout.files.iter().enumerate().map(committed).collect();
        let flushed = directory.sync().map_err(|error| format!("flush the directory: {error}"));
        words.into_iter().map(|word| word.and(flushed.clone()).err().unwrap_or_default()).collect()
    }
}

/// An empty staging file, with room for a large file.
fn create(directory: &dyn Directory, file: &File) -> io::Result<Arc<dyn DiskFile>> {
    let name = file.name.staging();
    let staging = match directory.create_file(&name, Writing::Cached) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_emptied(directory, &name)?,
        created => created?,
    };
    if file.is_large() {
        staging.allocate(file.length_bytes)?;
    }
    Ok(staging)
}

fn open_emptied(directory: &dyn Directory, name: &OsStr) -> io::Result<Arc<dyn DiskFile>> {
    let staging = directory.open_for_writing(name, Writing::Cached)?;
    staging.set_length(0)?;
    Ok(staging)
}
