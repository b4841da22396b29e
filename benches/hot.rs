//! The functions that run once for every chunk or every 512 chunks, each alone on one core.
//!
//! **No disk, no network, no thread here:** what they cost together in a transfer is what `benches/compare` measures.

use careful::hash::{PieceHash, Position, Root};
use careful::protocol::limits::{CHUNK_BYTES_DEFAULT, HASHES_PER_MESSAGE_MAX};
use careful::protocol::message::{ChunkHeader, FromReceiver, IndexedHash, from_wire, to_wire};
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
