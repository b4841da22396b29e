//! Records are restored as they were stored; what is no record is refused.

use proptest::prelude::*;

use super::*;
use crate::chunk::ChunkSize;
use crate::hash::Position;

const MIB: u64 = 1 << 20;

fn record(content: Content) -> Record {
    let modified = Timestamp { seconds: 1_790_000_000, nanoseconds: 999_999_999 };
    Record { content, modified, made_seconds: 1_790_000_001, version: (0, 1) }
}

fn small() -> Record {
    record(Content::whole(MIB, Root([7; 32])))
}

/// A file of zeros.
fn large(length_bytes: u64, chunk_bytes: u32) -> Content {
    let geometry = Geometry::new(length_bytes, ChunkSize::new(chunk_bytes).expect("a size"));
    let values: Vec<_> = geometry.indices().map(|index| PieceHash([index.0 as u8; 32])).collect();
    Content::of_chunks(geometry, &values).expect("two chunks or more")
}

#[test]
fn a_record_has_these_bytes() {
    let bytes = small().to_bytes();
    let mut expected = vec![1];
    expected.extend([7; 32]);
    expected.extend([0x80, 0x80, 0x40]);
    expected.extend([0x80, 0xee, 0x89, 0xab, 0x0d]);
    expected.extend(999_999_999_u32.to_le_bytes());
    expected.extend(1_790_000_001_u32.to_le_bytes());
    expected.extend([0, 1]);
    expected.extend(&blake3::hash(&expected).as_bytes()[..5]);
    assert_eq!(bytes, expected);
}

#[test]
fn the_record_of_a_short_file_fits_into_an_inode_of_ext4() {
    assert_eq!(small().to_bytes().len(), 56);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for record in [small(), record(large(3 * MIB, 64 << 10))] {
        let bytes = record.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::from_bytes(&other), Err(Malformed), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..length]), Err(Malformed));
        }
        assert_eq!(Record::from_bytes(&[&bytes[..], &[0]].concat()), Err(Malformed));
    }
}

/// The bytes with a check that fits.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let check = *blake3::hash(&body).as_bytes();
    body.extend_from_slice(&check[..5]);
    body
}

#[test]
fn what_no_record_can_say_is_malformed_though_its_check_fits() {
    let good = small().to_bytes();
    let body = &good[..good.len() - 5];
    assert_eq!(Record::from_bytes(&sealed(body.to_vec())), Ok(small()));
    let changed = |at: usize, byte: u8| {
        let mut other = body.to_vec();
        other[at] = byte;
        Record::from_bytes(&sealed(other))
    };
    assert_eq!(changed(0, 2), Err(Malformed), "another layout");
    assert_eq!(changed(44, 0x3c), Err(Malformed), "more nanoseconds than a second has");
    let longer = [&body[..35], &[0xc0, 0x00], &body[36..]].concat();
    assert_eq!(Record::from_bytes(&sealed(longer)), Err(Malformed), "a number in a second form");
    let endless = [&body[..33], &[0xff; 11]].concat();
    assert_eq!(Record::from_bytes(&sealed(endless)), Err(Malformed), "a number without an end");
    let large = record(large(3 * MIB, 1 << 20)).to_bytes();
    for logarithm in [1, 19, 21, 22, 63, 64, 255] {
        let mut other = large[..large.len() - 5].to_vec();
        other[52] = logarithm;
        assert_eq!(Record::from_bytes(&sealed(other)), Err(Malformed), "subtrees of 2^{logarithm} bytes");
    }
    let mut other = large[..large.len() - 5].to_vec();
    other[53] ^= 1;
    assert_eq!(Record::from_bytes(&sealed(other)), Err(Malformed), "subtrees of another root");
}

#[test]
fn subtrees_are_as_small_as_their_number_lets_them_be() {
    for (length_bytes, chunk_bytes, bytes, count) in [
        (MIB + 1, 64 << 10, MIB, 2),
        (MIB + 1, 1 << 20, MIB, 2),
        (64 * MIB, 1 << 20, MIB, 64),
        (64 * MIB + 1, 1 << 20, 2 * MIB, 33),
        (64 * MIB + 1, 64 << 10, 2 * MIB, 33),
        (64 * MIB, 4 << 20, 4 * MIB, 16),
        (2048 * MIB, 1 << 20, 32 * MIB, 64),
    ] {
        let subtrees = large(length_bytes, chunk_bytes).subtrees.expect("subtrees");
        assert_eq!((subtrees.bytes, subtrees.values.len()), (bytes, count));
    }
}

#[test]
fn every_chunk_size_gives_the_same_subtrees() {
    let bytes: Vec<u8> = (0..(5 * MIB + 12_345)).map(|place| (place % 251) as u8).collect();
    let content = |chunk_bytes: u32| {
        let geometry = Geometry::new(bytes.len() as u64, ChunkSize::new(chunk_bytes).expect("a size"));
        let value = |index| {
            let range = geometry.range(index).expect("a chunk");
            let position = Position::Chunk { offset_bytes: range.start };
            PieceHash::of(position, &bytes[range.start as usize..range.end as usize])
        };
        Content::of_chunks(geometry, &geometry.indices().map(value).collect::<Vec<_>>()).expect("chunks")
    };
    let expected = content(1 << 20);
    assert_eq!(expected.root, Root::of(&bytes));
    assert_eq!(expected.subtrees.as_ref().map(|subtrees| subtrees.values.len()), Some(6));
    assert_eq!(content(64 << 10), expected);
    assert_eq!(content(512 << 10), expected);
    let written = record(expected);
    assert_eq!(Record::from_bytes(&written.to_bytes()), Ok(written));
}

#[test]
fn a_count_of_values_that_does_not_fit_the_length_gives_nothing() {
    let geometry = Geometry::new(3 * MIB, ChunkSize::new(1 << 20).expect("a size"));
    assert_eq!(Content::of_chunks(geometry, &[PieceHash([0; 32]); 2]), None);
}

proptest! {
    #[test]
    fn any_record_is_restored(
        length_bytes in 0..=MIB, root: [u8; 32], seconds: i64, nanoseconds in 0..1_000_000_000_u32,
        made_seconds: u32, version: (u8, u8),
    ) {
        let content = Content::whole(length_bytes, Root(root));
        let record = Record { content, modified: Timestamp { seconds, nanoseconds }, made_seconds, version };
        prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = Record::from_bytes(&sealed(bytes.clone())) {
            prop_assert_eq!(record.to_bytes(), sealed(bytes));
        }
    }
}
