//! Claims about records: of a source, and of a copy.

use std::ffi::OsStr;

use careful::hash::Root;
use careful::protocol::failure::Failure;
use careful::protocol::receipt::{Origin, Stored};
use careful::record::{self, Content, Found, Record};
use careful::seams::disk::{Reading, Timestamp};

use crate::rig::{Care, Rig, Verdict, content};

super::table![
    a_source_that_differs_from_its_record_is_refused,
    a_file_of_another_time_has_another_content,
    a_damaged_record_is_none,
    a_copy_never_has_a_record_of_other_content,
];

/// Three whole chunks and a little; and what travels in a group.
const LENGTHS: [usize; 2] = [(3 << 20) + 5, 5000];

fn a_source_that_differs_from_its_record_is_refused() {
    let sealed = Care::Careful { origin: Origin::Recorded, stored: Stored::Device };
    for length in LENGTHS {
        let rig = Rig::with_file(length);
        rig.add_target("file", b"old");
        let outcome = rig.run("source-medium file 0 #1 flip 17.3", sealed);
        outcome.assert_fired();
        outcome.assert_verdict("file", &Verdict::RefusedAndKept(Failure::SourceCorrupt));
    }
}

fn some_record() -> Record {
    Record::new(Content::whole(5, Root::of(b"right")), Timestamp { seconds: 1, nanoseconds: 2 })
}

fn a_file_of_another_time_has_another_content() {
    let rig = Rig::with_file(5);
    let file = rig.source_directory().and_then(|source| source.open_file(OsStr::new("file"), Reading::Cached));
    let now = file.and_then(|file| file.metadata()).expect("a file that was made");
    let record = Record { modified: now.modified, ..some_record() };
    assert!(record.fits(&now));
    let other = Timestamp { nanoseconds: now.modified.nanoseconds ^ 1, ..now.modified };
    assert!(!Record { modified: other, ..record }.fits(&now));
}

fn a_damaged_record_is_none() {
    let bytes = some_record().to_bytes();
    for place in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[place / 8] ^= 1 << (place % 8);
        assert!(Record::from_bytes(&damaged).is_err(), "bit {place}");
    }
}

fn a_copy_never_has_a_record_of_other_content() {
    for length in LENGTHS {
        let rig = Rig::with_file(length);
        let outcome = rig.run("verify-to-stage file 0 #1 wrong-hash 77", Care::FULL);
        outcome.assert_fired();
        let copy = rig.target_directory().and_then(|target| target.open_file(OsStr::new("file"), Reading::Cached));
        // Who refuses the file has left no record either.
        let Ok(copy) = copy else { continue };
        let now = copy.metadata().expect("what a copy is");
        if let Found::Fits(record) = record::find(copy.as_ref(), &now) {
            assert_eq!(record.content.root, Root::of(&content(1, length)), "replay: {}", outcome.plan);
        }
    }
}
