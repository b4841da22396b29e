//! The receiver of L0: answers questions, puts bytes together to pieces, and hands these on.
//!
//! A question may come any number of times and in any order; one with bytes is taken once. What cannot be understood has
//! no answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::path::Path;

use careful::protocol::entry::Name;
use careful::seams::Environment;
use careful::seams::buffer::{Parcel, Piece, PieceBuffer};

use super::datagrams::kind;
use super::layout::File;
use super::target::Target;
use super::udp::Socket;

/// The receiver at work.
#[derive(Debug)]
pub(super) struct Answering<'a> {
    socket: Socket,
    environment: &'a Environment,
    directory: &'a Path,
    /// As announced, by number.
    files: BTreeMap<u32, File>,
    /// Made once all files were announced.
    target: Option<Target>,
    /// Numbers of questions with bytes that were taken: what comes twice is taken once.
    taken: HashSet<u64>,
    /// Pieces that arrived in part, by job and index, with the bytes that arrived.
    parts: HashMap<(u64, u64), (PieceBuffer, usize)>,
    /// Pieces that wait for the others of their group, by job.
    groups: BTreeMap<u64, Vec<Piece>>,
    /// What became of each file, once it was asked.
    words: Option<Vec<String>>,
}

impl<'a> Answering<'a> {
    /// A receiver that writes into this directory.
    pub(super) fn new(socket: Socket, environment: &'a Environment, directory: &'a Path) -> Self {
        Self {
            socket,
            environment,
            directory,
            files: BTreeMap::new(),
            target: None,
            taken: HashSet::new(),
            parts: HashMap::new(),
            groups: BTreeMap::new(),
            words: None,
        }
    }

    /// Answers until it is dropped, or its socket fails.
    pub(super) async fn serve(mut self) -> io::Result<Infallible> {
        loop {
            let (peer, question) = self.socket.receive().await?;
            // What makes no sense has no answer, and will be asked again.
            if let Some(word) = self.answer(&question).await {
                let number = question.iter().take(8);
                let answer: Vec<u8> = number.chain(word.as_bytes()).copied().collect();
                self.socket.send(peer, &answer).await?;
            }
        }
    }

    async fn answer(&mut self, question: &[u8]) -> Option<String> {
        let (number, rest) = question.split_first_chunk::<8>()?;
        let (&kind, rest) = rest.split_first()?;
        match kind {
            kind::FILE => self.announced(rest),
            kind::BYTES => self.arrived(u64::from_le_bytes(*number), rest).await,
            kind::OUTCOME => self.outcome(rest).await,
            _ => None,
        }
    }

    fn announced(&mut self, rest: &[u8]) -> Option<String> {
        let (number, rest) = rest.split_first_chunk()?;
        let (length, name) = rest.split_first_chunk()?;
        let file = File { name: Name::new(name).ok()?, length_bytes: u64::from_le_bytes(*length) };
        self.files.insert(u32::from_le_bytes(*number), file);
        Some(String::new())
    }

    async fn arrived(&mut self, question: u64, rest: &[u8]) -> Option<String> {
        let (job, rest) = rest.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (offset, bytes) = rest.split_first_chunk()?;
        let [job, index, offset] = [job, index, offset].map(|number| u64::from(u32::from_le_bytes(*number)));
        let offset = usize::try_from(offset).ok()?;
        self.start().await;
        let layout = self.target.as_ref()?.layout();
        let length = layout.spot(job, index)?.length;
        if offset + bytes.len() > length {
            return None;
        }
        let together = layout.pieces_together(job);
        if self.taken.insert(question) {
            let (buffer, filled) = self.parts.entry((job, index)).or_insert_with(|| (PieceBuffer::unpooled(length), 0));
            buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
            *filled += bytes.len();
            if *filled >= length {
                let (bytes, _) = self.parts.remove(&(job, index))?;
                let group = self.groups.entry(job).or_default();
                group.push(Piece { index, hash: None, bytes });
                if group.len() >= together {
                    self.hand_over(job).await;
                }
            }
        }
        Some(String::new())
    }

    async fn hand_over(&mut self, job: u64) {
        if let (Some(target), Some(pieces)) = (&mut self.target, self.groups.remove(&job)) {
            target.take(Parcel { job, round: 0, pieces }).await;
        }
    }

    async fn outcome(&mut self, rest: &[u8]) -> Option<String> {
        let number = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
        self.start().await;
        for job in self.groups.keys().copied().collect::<Vec<_>>() {
            self.hand_over(job).await;
        }
        if let Some(target) = self.target.take() {
            self.words = Some(target.finish().await);
        }
        self.words.as_ref()?.get(number).cloned()
    }

    /// Makes the target of all files that were announced, unless there is one, or it is finished.
    async fn start(&mut self) {
        if self.target.is_none() && self.words.is_none() {
            let files = self.files.values().cloned().collect();
            self.target = Some(Target::start(self.environment, self.directory, files).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_makes_no_sense_has_no_answer() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::real();
        let mut answering = Answering::new(Socket::bind(&environment).unwrap(), &environment, directory.path());
        let number = [0; 8];
        let file = |name: &[u8]| [&number[..], &[kind::FILE], &[0; 4], &[3, 0, 0, 0, 0, 0, 0, 0], name].concat();
        let bytes = |place: [u8; 12], body: &[u8]| [&number[..], &[kind::BYTES], &place, body].concat();
        for name in [&b""[..], b"..", b"a/b"] {
            assert_eq!(answering.answer(&file(name)).await, None);
        }
        assert_eq!(answering.answer(&file(b"file")).await.as_deref(), Some(""));
        for place in [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(answering.answer(&bytes(place, b"x")).await, None, "no such piece");
        }
        assert_eq!(answering.answer(&bytes([0; 12], b"long")).await, None, "beyond the end of the piece");
        for cut in [&[][..], &[0; 7], &[0; 8], &[9; 9], &bytes([0; 12], b"abc")[..20]] {
            assert_eq!(answering.answer(cut).await, None);
        }
        assert_eq!(answering.answer(&bytes([0; 12], b"abc")).await.as_deref(), Some(""));
    }
}
