//! The baselines of the ladder: right without faults and under what their transport repairs, honest about errors, and
//! silently wrong under every fault of content that no transport can see.

#![expect(
    clippy::disallowed_methods,
    reason = "what lies on the disk is made and looked at from outside, past the doors"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use careful::seams::Environment;
use careful::seams::buffer::Hop;
use careful_faults::atlas::Atlas;
use careful_faults::buffer::FaultyBuffers;
use careful_faults::disk::FaultyDisk;
use careful_faults::halves;
use careful_faults::ladder::{Copied, Level, copy};
use careful_faults::packet::FaultyPackets;
use careful_faults::plan::{Checksum, Place, Plan, Role, Side};
use careful_faults::rig::{Care, Rig, content};
use tempfile::TempDir;

const BASELINES: [Level; 2] = [Level::L0, Level::L1];
const CHUNK: usize = 1 << 20;
/// Three whole chunks and a little.
const LENGTH: usize = 3 * CHUNK + 5;
/// Longest time that one copy may take.
const LIMIT: Duration = Duration::from_secs(60);

type Tree = BTreeMap<String, Vec<u8>>;

/// What one copy came to.
struct Outcome {
    level: Level,
    plan: Arc<Plan>,
    sources: Tree,
    copied: Copied,
    target: Tree,
}

/// One large file, and two small ones in a group: `file`, `first` and `second`.
fn tree() -> Tree {
    let small = |seed| content(seed, 5000);
    [("file", content(1, LENGTH)), ("first", small(2)), ("second", small(3))].map(owned).into()
}

fn alone(length: usize) -> Tree {
    [("file", content(1, length))].map(owned).into()
}

fn owned((name, bytes): (&str, Vec<u8>)) -> (String, Vec<u8>) {
    (name.to_owned(), bytes)
}

fn environment(side: Side, plan: &Arc<Plan>, sources: &Tree) -> Environment {
    let Environment { disk, buffers: _, packets } = Environment::real();
    let atlas = Atlas::new(sources.iter().map(|(name, bytes)| (name.as_bytes(), bytes.as_slice())), CHUNK);
    Environment {
        disk: Arc::new(FaultyDisk::new(disk, side, Arc::clone(plan))),
        buffers: Arc::new(FaultyBuffers::new(Arc::clone(plan), Arc::new(atlas))),
        packets: Arc::new(FaultyPackets::new(packets, side, Arc::clone(plan))),
    }
}

fn run(level: Level, sources: &Tree, plan: &str) -> Outcome {
    let directory: TempDir = tempfile::tempdir().expect("a directory can be made");
    let [source, target] = ["source", "target"].map(|name| directory.path().join(name));
    for (folder, old) in [(&source, None), (&target, Some("old"))] {
        fs::create_dir(folder).expect("a directory can be made");
        for (name, bytes) in sources {
            fs::write(folder.join(name), old.map_or(bytes.as_slice(), str::as_bytes)).expect("a file can be written");
        }
    }
    run_between(level, sources, plan, &source, &target)
}

fn run_between(level: Level, sources: &Tree, plan: &str, source: &Path, target: &Path) -> Outcome {
    let plan: Arc<Plan> = Arc::new(plan.parse().expect("a plan"));
    let runtime = halves::runtime().expect("a runtime can be started");
    let (sender, receiver) = (environment(Side::Sender, &plan, sources), environment(Side::Receiver, &plan, sources));
    let copied = runtime.block_on(async {
        let copied = tokio::time::timeout(LIMIT, copy(level, &sender, &receiver, source, target, None)).await;
        copied.expect("a baseline ends in time").expect("the level is a baseline")
    });
    let read = |item: fs::DirEntry| {
        (item.file_name().to_string_lossy().into_owned(), fs::read(item.path()).expect("the target can be read"))
    };
    let items = fs::read_dir(target).into_iter().flatten();
    let target = items.map(|item| read(item.expect("the target can be listed"))).collect();
    Outcome { level, plan, sources: sources.clone(), copied, target }
}

impl Outcome {
    #[track_caller]
    fn assert_fired(&self) {
        let missing: Vec<String> = self.plan.not_fired().iter().map(ToString::to_string).collect();
        assert!(missing.is_empty(), "never took effect: {missing:?}\nreplay: {} {}", self.level, self.plan);
    }

    /// Every fault fired, everything is reported as delivered, and these files alone are wrong.
    #[track_caller]
    fn assert_silently_wrong(&self, wrong: &[&str]) {
        self.assert_fired();
        assert_eq!(self.copied.failed, [], "replay: {} {}", self.level, self.plan);
        let names: Vec<&String> = self.sources.keys().collect();
        assert_eq!(self.copied.delivered.iter().collect::<Vec<_>>(), names);
        let found: Vec<&String> = names.into_iter().filter(|name| self.target[*name] != self.sources[*name]).collect();
        assert_eq!(found, wrong, "replay: {} {}", self.level, self.plan);
        assert_eq!(self.target.len(), self.sources.len(), "a staging file is left");
    }

    #[track_caller]
    fn assert_all_right(&self) {
        self.assert_silently_wrong(&[]);
    }

    /// Every fault fired, this file alone is reported as failed, with this in the text, and the others are right.
    #[track_caller]
    fn assert_failed(&self, name: &str, text: &str) {
        self.assert_fired();
        let [(failed, why)] = &self.copied.failed[..] else {
            panic!("{:?}\nreplay: {} {}", self.copied.failed, self.level, self.plan)
        };
        assert_eq!(failed, name);
        assert!(why.contains(text), "{why}\nreplay: {} {}", self.level, self.plan);
        for (other, bytes) in self.sources.iter().filter(|(other, _)| *other != name) {
            assert!(self.copied.delivered.contains(other) && self.target[other] == *bytes, "{other}");
        }
        assert_eq!(self.target[name], b"old", "a file that failed is what it was");
    }
}

#[track_caller]
fn both(sources: &Tree, plan: &str, judge: impl Fn(&Outcome)) {
    for level in BASELINES {
        judge(&run(level, sources, plan));
    }
}

#[track_caller]
fn are_silently_wrong(plan: &str, wrong: &[&str]) {
    both(&tree(), plan, |outcome| outcome.assert_silently_wrong(wrong));
}

#[test]
fn without_faults_every_length_arrives_right() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, LENGTH] {
        both(&alone(length), "", Outcome::assert_all_right);
    }
}

#[test]
fn without_faults_many_files_arrive_right() {
    let mut sources: Tree = (0..20).map(|number| (format!("small-{number:02}"), content(number, 3000))).collect();
    sources.insert("empty".to_owned(), Vec::new());
    both(&sources, "", Outcome::assert_all_right);
    sources.extend(tree());
    both(&sources, "", Outcome::assert_all_right);
    both(&Tree::new(), "", Outcome::assert_all_right);
}

#[test]
fn lost_doubled_and_late_packets_change_nothing() {
    both(&tree(), "packet-of-sender *13 drop; packet-of-receiver *5 drop", Outcome::assert_all_right);
    both(&tree(), "packet-of-sender *2 double; packet-of-receiver *2 double", Outcome::assert_all_right);
    both(&tree(), "packet-of-sender *3 late 1; packet-of-receiver *4 late 1", Outcome::assert_all_right);
    both(&tree(), "packet-of-sender #1 drop; packet-of-receiver #1 drop", Outcome::assert_all_right);
    let all = "packet-of-sender *11 drop; packet-of-sender *7 double; packet-of-sender *17 late 1; \
               packet-of-receiver *6 drop; packet-of-receiver *4 double; packet-of-receiver *9 late 1";
    both(&tree(), all, Outcome::assert_all_right);
}

#[test]
fn short_and_interrupted_calls_change_nothing() {
    both(&tree(), "source-read file 1 #1 short; source-read first 0 #1 eintr", Outcome::assert_all_right);
    both(&tree(), "staging-write file 1 #1 short; staging-write first 0 #1 eintr", Outcome::assert_all_right);
}

#[test]
fn a_flipped_bit_in_any_buffer_is_delivered() {
    for hop in ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"] {
        are_silently_wrong(&format!("{hop} file 2 #1 flip 17.3"), &["file"]);
        // Where all is in one group its number is known: the second by name.
        both(&small_ones(), &format!("{hop} second 0 #1 flip 17.3"), |outcome| {
            outcome.assert_silently_wrong(&["second"])
        });
    }
}

#[test]
fn exchanged_pieces_are_delivered() {
    for hop in ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"] {
        both(&alone(LENGTH), &format!("{hop} file 1 #1 exchange"), |outcome| outcome.assert_silently_wrong(&["file"]));
        both(&small_ones(), &format!("{hop} first 0 #1 exchange"), |outcome| {
            outcome.assert_silently_wrong(&["first", "second"]);
        });
    }
}

#[test]
fn a_wrong_read_of_the_source_is_delivered() {
    are_silently_wrong("source-read file 1 #1 flip 17.3", &["file"]);
    are_silently_wrong("source-read file 3 #1 zero 0 4096", &["file"]);
    are_silently_wrong("source-read first 0 #1 swap 700", &["first"]);
}

#[test]
fn a_wrong_write_is_delivered() {
    for fault in ["flip 17.3", "swap 700", "zero 0 4096", "lost"] {
        are_silently_wrong(&format!("staging-write file 2 #1 {fault}"), &["file"]);
        are_silently_wrong(&format!("staging-write second 0 #1 {fault}"), &["second"]);
    }
}

#[test]
fn a_bit_that_is_wrong_on_the_medium_is_delivered() {
    are_silently_wrong("write-out file 0 #1 flip 0.7", &["file"]);
    are_silently_wrong("write-out first 0 #1 flip 4999.0", &["first"]);
}

#[test]
fn a_flipped_bit_under_a_fresh_checksum_is_delivered_by_udp_and_not_by_quic() {
    let plan = "packet-of-sender *100 flip 500.3";
    run(Level::L0, &alone(LENGTH), plan).assert_silently_wrong(&["file"]);
    run(Level::L1, &alone(LENGTH), plan).assert_all_right();
}

#[test]
fn a_flipped_offset_under_a_fresh_checksum_is_delivered_by_udp_though_all_lengths_are_right() {
    run(Level::L0, &alone(LENGTH), "packet-of-sender *70 flip 18.2").assert_silently_wrong(&["file"]);
}

#[test]
fn flipped_headers_under_a_fresh_checksum_end_in_some_report() {
    // The number, the kind, job and index of a question; the number of an answer.
    for flip in ["sender *70 flip 0.0", "sender *70 flip 8.0", "sender *70 flip 9.0", "sender *70 flip 13.0"] {
        reports_each_file_once(&format!("packet-of-{flip}"));
    }
    reports_each_file_once("packet-of-receiver *70 flip 0.0");
}

#[track_caller]
fn reports_each_file_once(plan: &str) {
    let Outcome { copied, plan, .. } = run(Level::L0, &tree(), plan);
    let mut names = copied.delivered;
    names.extend(copied.failed.into_iter().map(|(name, _)| name));
    names.sort();
    assert_eq!(names, ["file", "first", "second"], "replay: L0 {plan}");
    assert!(plan.not_fired().is_empty(), "{plan}");
}

#[test]
fn a_piece_that_is_lost_after_it_arrived_is_delivered_as_a_hole() {
    for hop in ["wire-to-verify", "verify-to-stage"] {
        are_silently_wrong(&format!("{hop} file 2 #1 drop"), &["file"]);
        both(&small_ones(), &format!("{hop} second 0 #1 drop"), |outcome| outcome.assert_silently_wrong(&["second"]));
    }
}

#[test]
fn a_piece_that_is_lost_before_it_was_sent_is_missed_by_its_length() {
    for hop in ["source-to-hash", "hash-to-upload"] {
        both(&tree(), &format!("{hop} file 2 #1 drop"), |outcome| {
            outcome.assert_failed("file", "2097157 of 3145733 bytes")
        });
        both(&small_ones(), &format!("{hop} second 0 #1 drop"), |outcome| {
            outcome.assert_failed("second", "only 0 of 5000")
        });
    }
}

#[test]
fn a_doubled_piece_changes_nothing() {
    for hop in ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage"] {
        both(&tree(), &format!("{hop} file 2 #1 double"), Outcome::assert_all_right);
        both(&small_ones(), &format!("{hop} second 0 #1 double"), Outcome::assert_all_right);
    }
}

#[test]
fn a_piece_that_is_lost_before_it_was_sent_is_not_missed_if_another_comes_twice() {
    both(&alone(2 * CHUNK), "hash-to-upload file 0 #1 double; hash-to-upload file 1 #1 drop", |outcome| {
        outcome.assert_silently_wrong(&["file"]);
    });
}

#[test]
fn errors_of_the_disk_are_reported_and_the_other_files_delivered() {
    for (plan, name, text) in [
        ("source-read file 1 #1 eio", "file", "read: "),
        ("source-read first 0 #1 eio", "first", "read: "),
        ("allocate file 0 #1 enospc", "file", "make a staging file: "),
        ("staging-write file 2 #1 enospc", "file", "write: "),
        ("staging-write second 0 #1 eio", "second", "write: "),
        ("file-sync first 0 #1 eio", "first", "flush: "),
        ("rename file 0 #1 eio", "file", "rename: "),
    ] {
        both(&tree(), plan, |outcome| outcome.assert_failed(name, text));
    }
}

#[test]
fn a_directory_that_is_not_flushed_fails_all_its_files() {
    both(&tree(), "directory-sync . 0 #1 eio", |outcome| {
        outcome.assert_fired();
        assert_eq!(outcome.copied.delivered, [""; 0]);
        assert!(outcome.copied.failed.iter().all(|(_, why)| why.contains("flush the directory")));
        assert_eq!(outcome.copied.failed.len(), 3);
    });
}

#[test]
fn a_staging_file_of_an_earlier_copy_is_written_over() {
    for level in BASELINES {
        let directory = tempfile::tempdir().unwrap();
        let [source, target] = ["source", "target"].map(|name| directory.path().join(name));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&target).unwrap();
        let sources = tree();
        for (name, bytes) in &sources {
            fs::write(source.join(name), bytes).unwrap();
        }
        let all_fail = "rename file 0 #1 eio; rename first 0 #1 eio; rename second 0 #1 eio";
        let outcome = run_between(level, &sources, all_fail, &source, &target);
        outcome.assert_fired();
        assert_eq!((outcome.copied.failed.len(), outcome.target.len()), (3, 3));
        run_between(level, &sources, "", &source, &target).assert_all_right();
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    for level in BASELINES {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let sources = alone(3);
        fs::write(directory.path().join("file"), &sources["file"]).unwrap();
        let outcome = run_between(level, &sources, "", directory.path(), &missing);
        assert_eq!(outcome.copied.delivered, [""; 0]);
        assert!(outcome.copied.failed[0].1.contains("open the directory"), "{:?}", outcome.copied);
        let outcome = run_between(level, &sources, "", &missing, directory.path());
        assert_eq!((outcome.copied.delivered.len(), outcome.copied.failed[0].0.as_str()), (0, "."));
    }
}

#[test]
fn the_baselines_visit_the_places_that_careful_visits() {
    let hops = [Hop::SourceToHash, Hop::HashToUpload, Hop::WireToVerify, Hop::VerifyToStage];
    let mut places: Vec<Place> =
        hops.into_iter().flat_map(|hop| (0..4).map(move |chunk| Place::buffer(hop, "file", chunk))).collect();
    for role in [Role::SourceRead, Role::StagingWrite] {
        places.extend((0..4).map(|chunk| Place::disk(role, "file", chunk)));
        places.push(Place::disk(role, "first", 0));
    }
    for role in [Role::FileSync, Role::Rename] {
        places.extend(["file", "first"].map(|name| Place::disk(role, name, 0)));
    }
    places.push(Place::disk(Role::Allocate, "file", 0));
    places.push(Place::disk(Role::DirectorySync, ".", 0));
    places.extend([Side::Sender, Side::Receiver].map(|from| Place::Packet { from, checksum: Checksum::Recomputed }));
    // A baseline does not look at a final name first: its staging file is known only where the plan has the name.
    let plan = "rename file 0 #9 eio; rename first 0 #9 eio; rename second 0 #9 eio";
    let mut rig = Rig::new();
    tree().iter().for_each(|(name, bytes)| rig.add_source(name, bytes));
    let careful = ("careful".to_owned(), rig.run(plan, Care::FULL).plan);
    let baselines = BASELINES.map(|level| (level.to_string(), run(level, &tree(), plan).plan));
    for (program, plan) in [careful].into_iter().chain(baselines) {
        let missed: Vec<&Place> = places.iter().filter(|place| plan.visits(place) == 0).collect();
        assert!(missed.is_empty(), "{program} never comes to {missed:?}");
    }
}

/// Two files in one group.
fn small_ones() -> Tree {
    tree().into_iter().filter(|(name, _)| name != "file").collect()
}
