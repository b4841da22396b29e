//! Claims about further names of files, and about holes.

use careful::hash::Root;
use careful::protocol::entry::{DirectoryTable, Name};
use careful::protocol::failure::Failure;
use careful::protocol::hard_link::{FurtherName, LinkedContent, LinkedFile};
use careful::protocol::keep::Keep;
use careful::protocol::message::{Begin, FromReceiver, FromSender};
use careful::protocol::receipt::Origin;
use careful::seams::disk::{Disk, Reading, Timestamp};
use careful::seams::os_disk::OsDisk;

use super::evil_sender::{Sender, attributes};
use crate::mutants::trial::{Trial, run, staging_name};
use crate::rig::{Care, Rig, content};

super::table![
    a_hole_hides_nothing_that_was_staged_before,
    one_other_byte_among_zeros_is_no_hole,
    a_further_name_is_given_only_to_content_that_the_sender_knows,
    a_further_name_replaces_nothing_that_may_not_be_replaced,
];

const LARGE: usize = (3 << 20) + 5;
const SMALL: usize = 200_000;

/// Sends this as `file`, with holes, over what an earlier run left staged.
#[track_caller]
fn is_right_with_holes(bytes: &[u8], staged: &[u8]) {
    let mut rig = Rig::in_memory().keeping(Keep { sparse: true, ..Keep::default() });
    rig.add_source("file", bytes);
    if !staged.is_empty() {
        rig.add_target(&staging_name("file"), staged);
    }
    rig.run("", Care::FULL).assert_all_right();
}

fn a_hole_hides_nothing_that_was_staged_before() {
    for length in [LARGE, SMALL] {
        let mut bytes = content(1, length);
        bytes[length / 4..length - length / 4].fill(0);
        is_right_with_holes(&bytes, &content(2, length));
    }
}

fn one_other_byte_among_zeros_is_no_hole() {
    for length in [LARGE, SMALL] {
        let mut bytes = vec![0; length];
        for place in [length / 2, length - 1] {
            bytes[place] = 1;
        }
        is_right_with_holes(&bytes, &[]);
    }
}

/// What becomes of one further name, `further`, for the file `own`, which holds "theirs", by the word of this sender.
fn one_more_name(trial: &Trial, replace: bool, known: &[u8]) -> FromReceiver {
    trial.write("target/own", b"theirs");
    let directory = OsDisk.open_directory(&trial.path("target")).expect("it is there");
    let file = directory.open_file("own".as_ref(), Reading::Cached).expect("it is there");
    let attributes = attributes(0o644);
    let modified = Timestamp { seconds: attributes.modified_seconds, nanoseconds: attributes.modified_nanoseconds };
    file.set_modified(modified).expect("a time can be set");
    let name = |name: &[u8]| Name::new(name).expect("a name");
    let files = vec![LinkedFile {
        directory: None,
        name: name(b"own"),
        length_bytes: 6,
        attributes,
        content: Some(LinkedContent { root: Root::of(known).into(), origin: Origin::FirstRead }),
        names: vec![FurtherName { directory: None, name: name(b"further") }],
    }];
    let directories = DirectoryTable::default();
    run(async {
        let begin = Begin { keep: Keep { hard_links: true, ..Keep::default() }, ..Begin::new([1; 16]) };
        let sender = Sender::begins(trial, replace, begin).await;
        let meant = sender.terms.hard_links(&directories, &files);
        let mut job = sender.job().await;
        job.say(FromSender::OfferHardLinks { directories, files, meant }).await;
        job.hear().await
    })
}

fn a_further_name_is_given_only_to_content_that_the_sender_knows() {
    for (known, is_made) in [(b"theirs", true), (b"others", false)] {
        let trial = Trial::new();
        let answer = one_more_name(&trial, true, known);
        let FromReceiver::HardLinksMade { made, failed, .. } = &answer else { panic!("{answer:?}") };
        assert_eq!((made.len(), failed.len()), (usize::from(is_made), usize::from(!is_made)), "{answer:?}");
        assert_eq!(trial.read("target/further").is_some(), is_made);
    }
}

fn a_further_name_replaces_nothing_that_may_not_be_replaced() {
    let trial = Trial::new();
    trial.write("target/further", b"kept");
    let answer = one_more_name(&trial, false, b"theirs");
    assert_eq!(trial.read("target/further").as_deref(), Some(&b"kept"[..]), "{answer:?}");
    let FromReceiver::HardLinksMade { failed, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(failed[0].failure, Failure::TargetExists);
}
