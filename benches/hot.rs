//! The functions that run once for every chunk, every 512 chunks, every group of small files, or every packet, each alone on
//! one core.
//!
//! **No disk, no network, no thread here:** what they cost together in a transfer is what `benches/compare` measures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use careful::hash::{PieceHash, Position, Root};
use careful::protocol::entry::{Attributes, DirectoryTable, FileEntry, Name};
use careful::protocol::limits::{CHUNK_BYTES_DEFAULT, GROUP_FILES_MAX, HASHES_PER_MESSAGE_MAX};
use careful::protocol::message::{ChunkHeader, FromReceiver, FromSender, GroupFile, IndexedHash, from_wire, to_wire};
use careful::wire::congestion::model::Model;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Chunks of a file of 2 GiB.
const CHUNKS: usize = 2048;

fn main() {
    divan::main();
}

/// CV of one chunk: four times per byte of a checked transfer.
#[divan::bench]
fn chaining_value_of_a_chunk(bencher: Bencher<'_, '_>) {
    let chunk = bytes_like_random(CHUNK_BYTES_DEFAULT as usize);
    let position = Position::Chunk { offset_bytes: 7 * u64::from(CHUNK_BYTES_DEFAULT) };
    bencher.counter(BytesCount::new(chunk.len())).bench(|| PieceHash::of(black_box(position), black_box(&chunk)));
}

/// Root of a file of 2 GiB from its CVs: once per file and side.
#[divan::bench]
fn root_from_chaining_values(bencher: Bencher<'_, '_>) {
    let values = hashes(CHUNKS);
    bencher.counter(ItemsCount::new(values.len())).bench(|| Root::from_chaining_values(black_box(&values)));
}

/// The longest message about chunks read back, to its bytes.
#[divan::bench]
fn stored_message_to_wire(bencher: Bencher<'_, '_>) {
    let message = stored_message();
    bencher.counter(ItemsCount::new(HASHES_PER_MESSAGE_MAX)).bench(|| to_wire(black_box(&message)));
}

/// The same message from its bytes.
#[divan::bench]
fn stored_message_from_wire(bencher: Bencher<'_, '_>) {
    let wire = to_wire(&stored_message());
    bencher
        .counter(ItemsCount::new(HASHES_PER_MESSAGE_MAX))
        .bench(|| from_wire::<FromReceiver>(black_box(&wire[4..])).expect("what was encoded decodes"));
}

/// The header of a chunk stream to its bytes and back.
#[divan::bench]
fn chunk_header_round_trip(bencher: Bencher<'_, '_>) {
    let header =
        ChunkHeader { job: 3, index: 2047, length_bytes: CHUNK_BYTES_DEFAULT, round: 1, hash: PieceHash([0xa5; 32]) };
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench(|| ChunkHeader::from_bytes(black_box(&black_box(header).to_bytes())));
}

/// What the receiver does with each chunk that arrived: its hash is computed and compared with the one that came with it.
#[divan::bench]
fn verify_of_a_chunk(bencher: Bencher<'_, '_>) {
    let chunk = bytes_like_random(CHUNK_BYTES_DEFAULT as usize);
    let position = Position::Chunk { offset_bytes: 7 * u64::from(CHUNK_BYTES_DEFAULT) };
    let told = PieceHash::of(position, &chunk);
    bencher
        .counter(BytesCount::new(chunk.len()))
        .bench(|| PieceHash::of(black_box(position), black_box(&chunk)) == *black_box(&told));
}

/// The offer of a full group of small files, to its bytes.
#[divan::bench]
fn group_offer_to_wire(bencher: Bencher<'_, '_>) {
    let message = group_offer();
    bencher.counter(ItemsCount::new(GROUP_FILES_MAX)).bench(|| to_wire(black_box(&message)));
}

/// The same offer from its bytes, with every check of its names.
#[divan::bench]
fn group_offer_from_wire(bencher: Bencher<'_, '_>) {
    let wire = to_wire(&group_offer());
    bencher
        .counter(ItemsCount::new(GROUP_FILES_MAX))
        .bench(|| from_wire::<FromSender>(black_box(&wire[4..])).expect("what was encoded decodes"));
}

/// What the control of congestion does for a MiB: 722 packets sent, one in a hundred lost, the others acknowledged ten at a time,
/// on a path of 500 Mbit/s and 100 ms that is full.
#[divan::bench]
fn control_of_congestion_for_a_mib(bencher: Bencher<'_, '_>) {
    let mut path = FullPath::new();
    bencher.counter(ItemsCount::new(PACKETS_PER_MIB)).bench_local(|| path.carry(PACKETS_PER_MIB));
}

const PACKET_BYTES: u64 = 1452;
const PACKETS_PER_MIB: usize = 722;
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// At 500 Mbit/s.
const EVERY_PACKET: Duration = Duration::from_nanos(23_232);

/// A sender that always has as much under way as its model of the path allows, and time that goes on with each packet.
struct FullPath {
    model: Model,
    now: Instant,
    out: VecDeque<Instant>,
    acknowledged: u64,
}

impl FullPath {
    fn new() -> Self {
        let now = Instant::now();
        let mut path = Self {
            model: Model::new(now, PACKET_BYTES, 32 * PACKET_BYTES),
            now,
            out: VecDeque::new(),
            acknowledged: 0,
        };
        // Past the exploration of the path.
        path.carry(400 * PACKETS_PER_MIB);
        path
    }

    fn carry(&mut self, packets: usize) {
        for _ in 0..packets {
            self.now += EVERY_PACKET;
            while (self.out.len() as u64 + 1) * PACKET_BYTES < self.model.window() {
                self.model.sent(self.now);
                self.out.push_back(self.now);
            }
            if self.out.front().is_none_or(|sent| *sent + ROUND_TRIP > self.now) {
                continue;
            }
            let sent = self.out.pop_front().expect("it was looked at");
            self.acknowledged += 1;
            if self.acknowledged.is_multiple_of(100) {
                self.model.lost(self.now, sent, PACKET_BYTES);
                continue;
            }
            self.model.acknowledged(self.now, sent, PACKET_BYTES, ROUND_TRIP);
            if self.acknowledged.is_multiple_of(10) {
                self.model.acknowledgement_ended(self.now, self.out.len() as u64 * PACKET_BYTES, false);
            }
        }
    }
}

fn group_offer() -> FromSender {
    let attributes = Attributes { mode: 0o644, modified_seconds: 1_700_000_000, modified_nanoseconds: 123_456_789 };
    let files = hashes(GROUP_FILES_MAX)
        .into_iter()
        .enumerate()
        .map(|(number, hash)| GroupFile {
            entry: FileEntry {
                directory: None,
                name: Name::new(format!("f{number:06}").as_bytes()).expect("one component"),
                length_bytes: 8_100,
                attributes,
                labels: None,
            },
            root: Some(Root(hash.0).into()),
        })
        .collect();
    FromSender::OfferGroup { directories: DirectoryTable::default(), files, meant: Root([0xa5; 32]).into() }
}

fn stored_message() -> FromReceiver {
    let chunks = hashes(HASHES_PER_MESSAGE_MAX)
        .into_iter()
        .zip(0..)
        .map(|(hash, index)| IndexedHash::new(index, hash))
        .collect();
    FromReceiver::Stored { round: 1, chunks }
}

fn hashes(count: usize) -> Vec<PieceHash> {
    (0..count as u64).map(|index| PieceHash(Root::of(&index.to_le_bytes()).0)).collect()
}

/// Different bytes on every run of eight: nothing here depends on their values, but zeros would leave doubt.
fn bytes_like_random(length: usize) -> Vec<u8> {
    (0..length as u64 / 8).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}
