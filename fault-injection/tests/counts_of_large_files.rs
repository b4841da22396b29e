//! What one large file costs with every check on, counted at the doors: each byte is read twice at the source, written once
//! and read back once, lies in one place of memory on its way through each half, and needs few bytes of control data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use careful::seams::buffer::Hop;
use careful_faults::gateway::tamper::Tamper;
use careful_faults::plan::{Place, Plan, Role, Side};
use careful_faults::rig::{Care, Rig};

const CHUNK: usize = 1 << 20;
/// Beyond whole chunks.
const TAIL: usize = 4321;
/// What is done once for each chunk.
const OF_CHUNKS: [Role; 4] = [Role::SourceRead, Role::SourceReadPastCache, Role::StagingWrite, Role::ReadBack];

fn disk(role: Role, chunk: u64) -> Place {
    Place::Disk { role, file: b"file".to_vec(), chunk }
}

/// A run without faults of a file of so many whole chunks and a tail.
fn clean_run(rig: &Rig) -> Arc<Plan> {
    let outcome = rig.run("", Care::FULL);
    outcome.assert_all_right();
    Arc::clone(&outcome.plan)
}

#[test]
fn each_byte_is_read_twice_at_the_source_written_once_and_read_back_once() {
    for chunks in [2, 5] {
        let length = chunks * CHUNK + TAIL;
        let plan = clean_run(&Rig::with_file(length));
        for role in OF_CHUNKS {
            assert_eq!(plan.bytes_moved(role, "file"), length as u64, "{role:?}");
            let visits: Vec<u64> = (0..=chunks as u64).map(|chunk| plan.visits(&disk(role, chunk))).collect();
            assert_eq!(visits, vec![1; chunks + 1], "{role:?}: one call a chunk");
        }
        assert_eq!(plan.bytes_moved(Role::Copy, "file") + plan.bytes_moved(Role::TargetRead, "file"), 0);
    }
}

#[test]
fn what_is_equal_in_the_old_target_is_read_once_copied_once_and_never_sent() {
    let rig = Rig::with_file(5 * CHUNK);
    let mut old = rig.sources()["file"].clone();
    old[2 * CHUNK] ^= 1;
    rig.add_target("file", &old);
    let plan = clean_run(&rig);
    let (length, chunk) = (5 * CHUNK as u64, CHUNK as u64);
    assert_eq!(plan.bytes_moved(Role::SourceRead, "file"), length);
    assert_eq!(plan.bytes_moved(Role::SourceReadPastCache, "file"), length);
    assert_eq!(plan.bytes_moved(Role::Copy, "file"), length - chunk);
    assert_eq!(plan.bytes_moved(Role::StagingWrite, "file"), chunk);
    assert_eq!(plan.bytes_moved(Role::ReadBack, "file"), length);
    // Once to be compared, and once by the copy, which shows no descriptor here and so passes through a read.
    assert_eq!(plan.bytes_moved(Role::TargetRead, "file"), 2 * length - chunk);
}

#[test]
fn no_operation_of_the_disk_but_those_of_its_chunks_comes_more_often_for_a_longer_file() {
    let others = |chunks: usize| {
        let is_other = |place: &Place| match place {
            Place::Disk { role, .. } => !OF_CHUNKS.contains(role) && *role != Role::WriteOut,
            _ => false,
        };
        let census = clean_run(&Rig::with_file(chunks * CHUNK + TAIL)).census();
        // The medium of a source is no operation; it is looked at with each read.
        let of_medium = [Role::SourceCache, Role::SourceMedium, Role::StoredMedium];
        let is_operation = |place: &Place| !matches!(place, Place::Disk { role, .. } if of_medium.contains(role));
        census.into_iter().filter(|(place, _)| is_other(place) && is_operation(place)).collect::<BTreeMap<_, _>>()
    };
    let (short, long) = (others(2), others(9));
    assert_eq!(short, long);
    let of_file = |role| short.get(&disk(role, 0)).copied().unwrap_or(0);
    let once = [Role::StagingCreate, Role::Lock, Role::Allocate, Role::SetLength, Role::ReadBackOpen, Role::Rename];
    for role in once {
        assert_eq!(of_file(role), 1, "{role:?}");
    }
    assert_eq!(of_file(Role::FileSync), 1, "one flush covers all that is shorter than 16 MiB");
    assert_eq!(of_file(Role::SourceOpen), 2, "once through the cache and once past it");
}

#[test]
fn a_chunk_lies_in_one_place_of_memory_from_the_read_to_the_upload_and_from_the_wire_to_the_write() {
    let plan = clean_run(&Rig::with_file(3 * CHUNK + TAIL));
    for chunk in 0..4 {
        let at = |place: &Place| plan.address_at(place).unwrap_or_else(|| panic!("nothing was at {place:?}"));
        let hop = |hop| at(&Place::buffer(hop, "file", chunk));
        let read = at(&disk(Role::SourceRead, chunk));
        assert_eq!([hop(Hop::SourceToHash), hop(Hop::HashToUpload)], [read; 2], "what is hashed is what is sent");
        let written = at(&disk(Role::StagingWrite, chunk));
        assert_eq!(
            [hop(Hop::WireToVerify), hop(Hop::VerifyToStage)],
            [written; 2],
            "what is hashed is what is written"
        );
    }
}

/// Counts bytes of messages by who says them.
#[derive(Debug, Default)]
struct Counting([AtomicU64; 2]);

impl Tamper for Counting {
    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        self.0[from as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        false
    }
}

#[test]
fn a_chunk_costs_its_hash_and_few_bytes_more_of_messages() {
    let said = |chunks: usize| {
        let counting = Arc::new(Counting::default());
        let rig = Rig::with_file(chunks * CHUNK + TAIL).through(Arc::clone(&counting) as Arc<dyn Tamper>);
        clean_run(&rig);
        counting.0.each_ref().map(|bytes| bytes.load(Ordering::Relaxed))
    };
    let ([sender, receiver], [sender_of_more, receiver_of_more]) = (said(2), said(34));
    assert!(sender_of_more.abs_diff(sender) <= 16, "{sender} {sender_of_more}: the hash goes with the content");
    let of_chunk = (receiver_of_more - receiver) as f64 / 32.0;
    assert!((32.0..=64.0).contains(&of_chunk), "{of_chunk} bytes of messages for each chunk that is read back");
}
