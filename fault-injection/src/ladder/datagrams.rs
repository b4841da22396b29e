//! L0: a copy over plain UDP, with numbers, acknowledgements and a window. What the checksum of UDP lets pass is believed.
//!
//! Every datagram of the sender is a question and has a number; an answer repeats the number, and a question without an
//! answer is asked again. First come the files' names and lengths, then their bytes, then the question what became of each
//! file; each of the three only after all of the one before was answered. **No hash, and no control of congestion**: this
//! is for one host.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use careful::seams::Environment;
use careful::seams::buffer::Piece;
use tokio::time::{Instant, timeout_at};

use super::answering::Answering;
use super::source::{Source, not_listed};
use super::udp::Socket;
use super::{Copied, PATIENCE};

/// Bytes of a file in one datagram: few enough for every path.
const BYTES_PER_DATAGRAM: usize = 1024;
/// Questions without an answer at a time.
const WINDOW: u64 = 128;
/// After this long a question is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(30);

/// What a question is about: its first byte after the number.
pub(super) mod kind {
    /// A file: its number, its length, its name.
    pub(in super::super) const FILE: u8 = 0;
    /// Bytes of a piece: job, index, offset in the piece.
    pub(in super::super) const BYTES: u8 = 1;
    /// What became of a file: its number.
    pub(in super::super) const OUTCOME: u8 = 2;
}

/// Copies the regular files directly in the source directory into the target directory, which must be there; both halves
/// run here, each over its own doors. Ends when the receiver answered for every file, or was silent for 30 seconds.
pub async fn copy(
    sender: &Environment,
    receiver: &Environment,
    source_directory: &Path,
    target_directory: &Path,
) -> Copied {
    let source = match Source::list(sender, source_directory).await {
        Ok(source) => source,
        Err(error) => return not_listed(&error),
    };
    let words = async {
        let asking = Socket::bind(sender)?;
        let answering = Socket::bind(receiver)?;
        let asking = Asking::new(asking, answering.address()?, PATIENCE);
        let answering = Answering::new(answering, receiver, target_directory);
        // Whoever answers cannot know that its last answer arrived: it goes on until the other half has ended.
        tokio::select! {
            words = send(&source, sender, asking) => words,
            Err(error) = answering.serve() => Err(error),
        }
    };
    source.report(words.await.map_err(|error: io::Error| error.to_string()))
}

/// The sender: answers the receiver's word about each file.
async fn send(source: &Source, environment: &Environment, mut asking: Asking) -> io::Result<Vec<String>> {
    let files = &source.layout.files;
    for (number, file) in (0_u32..).zip(files) {
        let (number, length) = (number.to_le_bytes(), file.length_bytes.to_le_bytes());
        asking.ask(&[&[kind::FILE], &number, &length, file.name.as_bytes()], None).await?;
    }
    asking.hear_all().await?;
    let mut parcels = source.start_reading(environment);
    while let Some(parcel) = parcels.recv().await {
        for piece in &parcel.pieces {
            asking.ask_to_take(parcel.job, piece).await?;
        }
    }
    asking.hear_all().await?;
    for (position, number) in (0..files.len()).zip(0_u32..) {
        asking.ask(&[&[kind::OUTCOME], &number.to_le_bytes()], Some(position)).await?;
    }
    asking.hear_all().await?;
    Ok((0..files.len()).map(|file| asking.words.remove(&file).unwrap_or_default()).collect())
}

/// Questions and their answers.
#[derive(Debug)]
struct Asking {
    socket: Socket,
    peer: SocketAddr,
    next: u64,
    waiting: BTreeMap<u64, Question>,
    /// The receiver's word about a file, by its number.
    words: HashMap<usize, String>,
    patience: Duration,
    heard: Instant,
}

#[derive(Debug)]
struct Question {
    datagram: Vec<u8>,
    /// Whether the answer is a word about this file.
    about: Option<usize>,
    asked: Instant,
}

impl Asking {
    fn new(socket: Socket, peer: SocketAddr, patience: Duration) -> Self {
        let (waiting, words) = (BTreeMap::new(), HashMap::new());
        Self { socket, peer, next: 0, waiting, words, patience, heard: Instant::now() }
    }

    /// Sends a piece; one without bytes, too, since it is a file.
    async fn ask_to_take(&mut self, job: u64, piece: &Piece) -> io::Result<()> {
        let number = |number: u64| u32::try_from(number).expect("jobs and pieces are counted in 32 bits").to_le_bytes();
        let address = [number(job), number(piece.index)].concat();
        for offset in (0..piece.bytes.len().max(1)).step_by(BYTES_PER_DATAGRAM) {
            let end = piece.bytes.len().min(offset + BYTES_PER_DATAGRAM);
            let body = &piece.bytes[offset..end];
            self.ask(&[&[kind::BYTES], &address, &number(offset as u64), body], None).await?;
        }
        Ok(())
    }

    /// Asks, once there is room in the window.
    async fn ask(&mut self, question: &[&[u8]], about: Option<usize>) -> io::Result<()> {
        while self.waiting.first_key_value().is_some_and(|(oldest, _)| self.next >= oldest + WINDOW) {
            self.hear().await?;
        }
        if self.waiting.is_empty() {
            self.heard = Instant::now();
        }
        let mut datagram = self.next.to_le_bytes().to_vec();
        question.iter().for_each(|part| datagram.extend_from_slice(part));
        self.socket.send(self.peer, &datagram).await?;
        self.waiting.insert(self.next, Question { datagram, about, asked: Instant::now() });
        self.next += 1;
        Ok(())
    }

    /// Waits until everything is answered.
    async fn hear_all(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            self.hear().await?;
        }
        Ok(())
    }

    /// Hears one answer, or asks again what was not answered in time.
    async fn hear(&mut self) -> io::Result<()> {
        let Some(oldest) = self.waiting.values().map(|question| question.asked).min() else { return Ok(()) };
        match timeout_at(oldest + ASK_AGAIN_AFTER, self.socket.receive()).await {
            Ok(received) => {
                let (_, datagram) = received?;
                if let Some((number, word)) = datagram.split_first_chunk()
                    && let Some(question) = self.waiting.remove(&u64::from_le_bytes(*number))
                {
                    self.heard = Instant::now();
                    if let Some(file) = question.about {
                        self.words.insert(file, String::from_utf8_lossy(word).into_owned());
                    }
                }
            }
            Err(_elapsed) if self.heard.elapsed() > self.patience => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the receiver does not answer"));
            }
            Err(_elapsed) => {
                for question in self.waiting.values_mut().filter(|question| question.asked == oldest) {
                    question.asked = Instant::now();
                    self.socket.send(self.peer, &question.datagram).await?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_receiver_is_given_up() {
        let environment = Environment::real();
        let nobody = Socket::bind(&environment).unwrap();
        let socket = Socket::bind(&environment).unwrap();
        let mut asking = Asking::new(socket, nobody.address().unwrap(), Duration::from_millis(100));
        asking.ask(&[&[kind::OUTCOME], &[0; 4]], None).await.unwrap();
        assert_eq!(asking.hear_all().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
