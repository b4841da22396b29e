//! What a transfer of small files costs, counted and not timed: operations of the disk, flushes, round trips, bytes of messages.
//!
//! A second look at a file, or a second open, is a defect here: with a million files it is an hour. Each number has its reason
//! beside it; who raises one gives another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use careful::protocol::limits::GROUP_FILES_MAX;
use careful_faults::gateway::tamper::{MessageKind, Tamper};
use careful_faults::plan::{Place, Role, Side};
use careful_faults::rig::{Care, Outcome, Rig, content};

/// Too many to be flushed one by one, few enough for one group.
const FILES: usize = 40;
const DIRECTORIES: usize = 4;
const FILE_BYTES: usize = 3000;

fn name(number: usize) -> String {
    format!("file-{number:04}")
}

fn rig_of(files: usize) -> Rig {
    let mut rig = Rig::new();
    for number in 0..files {
        let path = format!("directory-{}/{}", number % DIRECTORIES, name(number));
        rig.add_source(&path, &content(number as u64, FILE_BYTES));
    }
    rig
}

fn run(rig: &Rig) -> Outcome {
    let outcome = rig.run("", Care::FULL);
    outcome.assert_all_right();
    outcome
}

/// What was done with each of the files, and how often.
fn operations(outcome: &Outcome, files: usize) -> Vec<BTreeMap<Role, u64>> {
    // Of what lies beneath the calls these are marks, and no calls.
    let of_medium = [Role::SourceCache, Role::SourceMedium, Role::StoredMedium, Role::WriteOut];
    let census = outcome.plan.census();
    let of_file = |number| {
        let mut operations = BTreeMap::new();
        for (place, visits) in &census {
            if let Place::Disk { role, file, .. } = place
                && !of_medium.contains(role)
                && *file == name(number).as_bytes()
            {
                *operations.entry(*role).or_default() += visits;
            }
        }
        operations
    };
    (0..files).map(of_file).collect()
}

fn visits(outcome: &Outcome, wanted: Role) -> u64 {
    let census = outcome.plan.census();
    let of_role = census.iter().filter(|(place, _)| matches!(place, Place::Disk { role, .. } if *role == wanted));
    of_role.map(|(_, visits)| visits).sum()
}

#[test]
fn a_small_file_costs_these_operations_and_no_more() {
    let expected = BTreeMap::from([
        // Found by the walk; looked at once more when the second read is over, since it must not have changed.
        (Role::SourceInspect, 2),
        // For the read that is sent, and for the second, past the cache. What an open finds is not looked at again.
        (Role::SourceOpen, 2),
        (Role::SourceRead, 1),
        (Role::SourceReadPastCache, 1),
        // Its record, if it has one.
        (Role::AttributeRead, 1),
        // Whether the staging file still has its name once it is locked; its time for the record; its length and names before the
        // rename; the final name after it. In a directory that is made for it there is nothing to be looked for before.
        (Role::TargetInspect, 4),
        (Role::StagingCreate, 1),
        (Role::Lock, 1),
        (Role::StagingWrite, 1),
        // No cut to its length: what is fresh holds nothing else.
        (Role::SetModified, 1),
        (Role::SetAttribute, 1),
        (Role::SetMode, 1),
        (Role::ReadBackOpen, 1),
        (Role::ReadBack, 1),
        (Role::Rename, 1),
    ]);
    for (number, operations) in operations(&run(&rig_of(FILES)), FILES).into_iter().enumerate() {
        assert_eq!(operations, expected, "{}", name(number));
    }
}

#[test]
fn one_flush_serves_a_group_and_none_is_of_a_single_file() {
    let outcome = run(&rig_of(FILES));
    assert_eq!(visits(&outcome, Role::FileSystemSync), 1);
    assert_eq!(visits(&outcome, Role::FileSync), 0);
    // Each directory after the renames and once more when it gets its time; the one above them, for all their names at once,
    // and the one above that.
    let most = DIRECTORIES * 2 + 2;
    let flushes = visits(&outcome, Role::DirectorySync);
    assert!(flushes <= most as u64, "{flushes} flushes of {DIRECTORIES} directories");
}

#[test]
fn one_flush_serves_many_directories() {
    const DIRECTORIES: u64 = 12;
    let mut rig = Rig::new();
    for number in 0..DIRECTORIES {
        rig.add_source(&format!("directory-{number}/file"), &content(number, FILE_BYTES));
    }
    let outcome = run(&rig);
    assert_eq!(visits(&outcome, Role::FileSystemSync), 2, "of the files, and of the directories' attributes");
    // Each after the rename, and those above for all their names at once.
    let flushes = visits(&outcome, Role::DirectorySync);
    assert!(flushes <= DIRECTORIES + 2, "{flushes} flushes of {DIRECTORIES} directories");
    let again = rig.quick().run("", Care::FULL);
    assert!(again.is_complete());
    assert_eq!(visits(&again, Role::FileSystemSync), 1);
    let flushes = visits(&again, Role::DirectorySync);
    assert!(flushes <= 2, "{flushes} flushes where nothing is to be done");
}

#[test]
fn several_groups_need_no_more_flushes_than_there_are_groups() {
    let files = GROUP_FILES_MAX * 3;
    let outcome = run(&rig_of(files));
    let flushes = visits(&outcome, Role::FileSystemSync);
    assert!((1..=3).contains(&flushes), "{flushes} flushes");
    assert_eq!(visits(&outcome, Role::FileSync), 0);
}

#[test]
fn a_small_file_that_is_there_already_costs_these_operations_and_no_more() {
    let rig = rig_of(FILES);
    run(&rig);
    let outcome = run(&rig);
    let expected = BTreeMap::from([
        (Role::SourceInspect, 2),
        (Role::SourceOpen, 2),
        (Role::SourceRead, 1),
        (Role::SourceReadPastCache, 1),
        // The source's record, and the target's.
        (Role::AttributeRead, 2),
        // What has the final name; whether it is still what was read; its time for the record; the final name once more.
        (Role::TargetInspect, 4),
        // One handle for the read, the attributes and the flush.
        (Role::TargetOpen, 1),
        (Role::TargetRead, 1),
        // What an earlier run may have left staged.
        (Role::ReadBackOpen, 1),
    ]);
    let mut operations = operations(&outcome, FILES);
    let flushes: u64 = operations.iter_mut().filter_map(|of_file| of_file.remove(&Role::FileSync)).sum();
    assert_eq!(flushes, 1, "of one, for the device of all");
    for (number, operations) in operations.into_iter().enumerate() {
        assert_eq!(operations, expected, "{}", name(number));
    }
    assert_eq!(visits(&outcome, Role::FileSystemSync), 1);
}

#[test]
fn with_quick_a_file_that_looks_the_same_is_looked_at_and_never_opened() {
    let rig = rig_of(FILES);
    run(&rig);
    let rig = rig.quick();
    let outcome = rig.run("", Care::FULL);
    let expected = BTreeMap::from([
        // By the walk.
        (Role::SourceInspect, 1),
        (Role::TargetInspect, 1),
    ]);
    for (number, operations) in operations(&outcome, FILES).into_iter().enumerate() {
        assert_eq!(operations, expected, "{}", name(number));
    }
    assert_eq!(visits(&outcome, Role::FileSystemSync), 0);
}

/// Counts what passes a gateway and changes nothing.
#[derive(Debug, Default)]
struct Counting {
    messages: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
}

impl Tamper for Counting {
    fn message(&self, from: Side, bytes: &mut [u8]) -> bool {
        let side = usize::from(from == Side::Receiver);
        let working = "working".parse().expect("it is a kind of message");
        // What is said every few seconds, while something else takes long, is no round trip.
        if MessageKind::of(from, bytes) != Some(working) {
            self.messages[side].fetch_add(1, Ordering::Relaxed);
            self.bytes[side].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        false
    }
}

impl Counting {
    fn of(rig: Rig) -> ([u64; 2], [u64; 2]) {
        let counting = Arc::new(Self::default());
        let through: Arc<dyn Tamper> = Arc::<Self>::clone(&counting);
        let rig = rig.through(through);
        let outcome = rig.run("", Care::FULL);
        outcome.assert_all_right();
        let read = |numbers: &[AtomicU64; 2]| [0, 1].map(|side: usize| numbers[side].load(Ordering::Relaxed));
        (read(&counting.messages), read(&counting.bytes))
    }
}

#[test]
fn a_group_takes_three_round_trips_and_a_file_few_bytes_of_messages() {
    let ([few_said, few_heard], [few_bytes, few_bytes_back]) = Counting::of(rig_of(FILES));
    let ([said, heard], [bytes, bytes_back]) = Counting::of(rig_of(2 * FILES));
    // Offer and answer, pieces and what was read back, commit and receipt: the same for 40 files as for 80.
    assert_eq!([said, heard], [few_said, few_heard]);
    // Begin, offer, pieces, commit, directories, end; each has one answer, and so has the hello, which a gateway says itself.
    assert_eq!([said, heard], [6, 7]);
    // Offer: name, length, mode, time, root: 9 + 40 bytes or so. Pieces: number and hash, 38. Commit: number, root, origin and
    // the hash of what is meant, 76.
    let per_file = (bytes - few_bytes) / FILES as u64;
    assert!(per_file <= 190, "{per_file} bytes said for each file");
    // What was read back, 38; what was proved, a few.
    let per_file = (bytes_back - few_bytes_back) / FILES as u64;
    assert!(per_file <= 60, "{per_file} bytes answered for each file");
}

#[test]
fn what_has_no_source_is_asked_for_of_many_directories_with_one_message() {
    let rig = rig_of(FILES).deleting();
    for number in 0..DIRECTORIES {
        rig.add_target(&format!("directory-{number}/old"), b"old");
    }
    let ([said, heard], _) = Counting::of(rig);
    let ([said_without, heard_without], _) = Counting::of(rig_of(FILES));
    assert_eq!([said, heard], [said_without + 1, heard_without + 1]);
}
