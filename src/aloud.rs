//! Hashing a large file in a dry run, where nothing else happens: with a word from time to time, which the other side is told,
//! so that it does not take this one for dead.
//!
//! **What the words are is not known here.**

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::chunk::{ChunkIndex, Geometry};
use crate::hash::{Position, Root};
use crate::protocol::limits::CLAIM_WORD_EVERY_BYTES;
use crate::reading::hash_range;
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::DiskFile;
use crate::workers;

/// A file that is being hashed.
#[derive(Debug)]
pub(crate) struct Aloud {
    words: mpsc::Receiver<()>,
    hashing: JoinHandle<io::Result<Root>>,
}

impl Aloud {
    /// Hashes the file, which has this geometry of two chunks or more. Must be called within a tokio runtime.
    pub(crate) fn start(file: Arc<dyn DiskFile>, geometry: Geometry) -> Self {
        let (told, words) = mpsc::channel(1);
        Self { words, hashing: tokio::spawn(workers::run(move || hash(file.as_ref(), geometry, &told))) }
    }

    /// Resolves each time that [`CLAIM_WORD_EVERY_BYTES`] more were read; to nothing when all were, or none can be any more.
    pub(crate) async fn word(&mut self) -> Option<()> {
        self.words.recv().await
    }

    /// The root.
    pub(crate) async fn root(self) -> io::Result<Root> {
        drop(self.words);
        self.hashing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

fn hash(file: &dyn DiskFile, geometry: Geometry, told: &mpsc::Sender<()>) -> io::Result<Root> {
    let mut memory = PieceBuffer::unpooled(geometry.chunk_size().bytes() as usize);
    let (mut hashes, mut until_word) = (Vec::new(), CLAIM_WORD_EVERY_BYTES);
    for index in 0..geometry.count() {
        let range = geometry.range(ChunkIndex(index)).expect("it is below their count");
        if range.end >= until_word {
            until_word += CLAIM_WORD_EVERY_BYTES;
            // If nobody listens any more, nobody wants the hash.
            told.blocking_send(()).map_err(|_closed| io::ErrorKind::Interrupted)?;
        }
        let position = Position::Chunk { offset_bytes: range.start };
        hashes.push(hash_range(file, range, position, &mut memory)?);
    }
    Root::from_chaining_values(&hashes).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
