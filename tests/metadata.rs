//! What is carried beside content, mode and time, and what never is: links, and what stands in their way.

mod support;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use support::{Item, Place, make_fifo, root_of, run, set_modified, start, tree};

/// Where a link points to.
fn target_of(place: &Place, name: &str) -> PathBuf {
    place.path(name).read_link().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn links_are_carried_as_links_with_their_own_time() {
    let place = Place::new();
    place.write("src/dir/file", b"content");
    let long = "x".repeat(4095);
    let targets = ["file", "nothing", "../dir", "/etc/passwd", "../../../up", ".", "a\nb", &long];
    for (index, target) in targets.iter().enumerate() {
        let link = place.path(format!("src/dir/link{index}"));
        symlink(target, &link).unwrap();
        set_modified(&link, 1_000_000_000 + index as i64, 5);
    }
    set_modified(&place.path("src/dir"), 7, 8);
    for option in ["--links", "-l", "-a"] {
        let ran = place.send(&[option, "src/", "copy"]).exits(0);
        assert_eq!(tree(&place.path("src")), tree(&place.path("copy")), "{option}");
        for (index, target) in targets.iter().enumerate() {
            assert_eq!(target_of(&place, &format!("copy/dir/link{index}")).as_os_str().as_bytes(), target.as_bytes());
        }
        assert_eq!((ran.count("files"), ran.count("links"), ran.count("skipped_files")), (1, 8, 0));
        assert!(place.staging_files("copy").is_empty());
    }
    assert!(place.read("copy/dir/link0") == b"content");
}

#[test]
fn a_receipt_tells_a_link_from_a_file_and_claims_no_more_than_is_known_of_it() {
    let place = Place::new();
    place.write("src/file", b"content");
    symlink("file", place.path("src/link")).unwrap();
    let ran = place.send(&["-a", "--require", "durable=yes", "src/", "copy", "--receipts", "kept"]).exits(0);
    let receipts = ran.events_of("receipt");
    let link = receipts.iter().find(|receipt| receipt["path"] == "link").expect("a receipt");
    assert_eq!((&link["kind"], &link["length"]), (&"link".into(), &4.into()));
    assert_eq!(link["root"], root_of(b"file"));
    assert_eq!((&link["origin"], &link["stored"]), (&"first-read".into(), &"cache".into()));
    let file = receipts.iter().find(|receipt| receipt["path"] == "file").expect("a receipt");
    assert_eq!(file["kind"], serde_json::Value::Null);
    // What holds for all files is not weakened by a link.
    assert_eq!(ran.summary()["stored"], file["stored"]);
    let kept = String::from_utf8(place.read("kept")).unwrap();
    assert_eq!(kept.matches("\"kind\":\"link\"").count(), 1, "{kept}");
}

#[test]
fn without_links_they_are_skipped_and_told_of() {
    let place = Place::new();
    place.write("src/file", b"content");
    symlink("file", place.path("src/link")).unwrap();
    make_fifo(&place.path("src/fifo"));
    let ran = place.send(&["src/", "copy"]).exits(23);
    assert_eq!(ran.count("skipped_files"), 2);
    assert!(!place.has("copy/link") && place.has("copy/file"));
    // What is neither file nor link stays skipped.
    let ran = place.send(&["-a", "src/", "copy"]).exits(23);
    assert_eq!((ran.count("skipped_files"), ran.count("links")), (1, 1));
}

#[test]
fn a_link_that_is_a_source_itself_is_carried_and_not_followed() {
    let place = Place::new();
    place.write("dir/file", b"content");
    symlink("dir", place.path("link")).unwrap();
    place.directory("copy");
    place.send(&["-a", "link", "copy"]).exits(0);
    assert_eq!(target_of(&place, "copy/link"), PathBuf::from("dir"));
}

#[test]
fn links_that_lead_outside_are_left_out_where_that_is_asked_for() {
    let place = Place::new();
    place.write("src/dir/file", b"content");
    for (name, target) in [("in", "../dir/file"), ("up", "../../x"), ("absolute", "/etc/passwd"), ("hidden", "a/../x")]
    {
        symlink(target, place.path("src/dir").join(name)).unwrap();
    }
    let ran = place.send(&["-a", "--safe-links", "src/", "copy"]).exits(23);
    assert_eq!((ran.count("links"), ran.count("skipped_files")), (1, 3));
    assert!(place.has("copy/dir/in") && !place.has("copy/dir/up") && !place.has("copy/dir/absolute"));
    assert!(!place.has("copy/dir/hidden"));
}

#[test]
fn a_link_takes_the_place_of_a_link_or_a_file_and_never_of_a_directory() {
    let place = Place::new();
    place.write("outside/file", b"as it was");
    place.directory("src");
    for name in ["over-link", "over-file", "over-directory", "equal"] {
        symlink("new", place.path("src").join(name)).unwrap();
        set_modified(&place.path("src").join(name), 1_000_000_000, 0);
    }
    place.write("copy/over-directory/kept", b"kept");
    place.write("copy/over-file", b"old");
    symlink(place.path("outside/file"), place.path("copy/over-link")).unwrap();
    symlink("new", place.path("copy/equal")).unwrap();

    let before = tree(&place.path("copy"));
    let ran = place.send(&["-a", "--no-replace", "src/", "copy"]).exits(23);
    let failed: Vec<_> = ran.failed().into_iter().map(|(path, _)| path).collect();
    assert_eq!(failed, ["src/over-directory", "src/over-file", "src/over-link"]);
    assert_eq!((ran.count("links"), ran.count("unchanged_files")), (1, 0));
    assert_eq!(tree(&place.path("copy/over-directory")).len(), 1);
    assert_eq!(before[&PathBuf::from("over-link")], Item::of(&place.path("copy/over-link")));

    let ran = place.send(&["-a", "src/", "copy"]).exits(23);
    assert_eq!(ran.failed(), [("src/over-directory".to_owned(), 25)]);
    for name in ["over-link", "over-file", "equal"] {
        assert_eq!(target_of(&place, &format!("copy/{name}")), PathBuf::from("new"));
        assert_eq!(Item::of(&place.path("copy").join(name)).modified, (1_000_000_000, 0));
    }
    assert_eq!(place.read("copy/over-directory/kept"), b"kept");
    assert_eq!(place.read("outside/file"), b"as it was");
    assert!(place.staging_files("copy").is_empty());
}

#[test]
fn a_link_planted_in_the_target_is_never_followed() {
    let place = Place::new();
    place.write("src/dir/file", b"new");
    symlink("x", place.path("src/dir/link")).unwrap();
    place.write("outside/file", b"as it was");
    place.directory("copy");
    symlink(place.path("outside"), place.path("copy/dir")).unwrap();
    let before = tree(&place.path("outside"));
    let ran = place.send(&["-a", "src/", "copy"]).exits(23);
    assert_eq!(ran.count("files") + ran.count("links"), 0);
    assert_eq!(tree(&place.path("outside")), before);
    assert_eq!(target_of(&place, "copy/dir"), place.path("outside"));
}

#[test]
fn what_a_killed_run_left_under_the_staging_name_of_a_link_is_cleared() {
    let place = Place::new();
    place.write("outside", b"as it was");
    place.directory("src");
    place.directory("copy");
    symlink("new", place.path("src/link")).unwrap();
    let staging = careful::protocol::entry::Name::new(b"link").unwrap().staging_of_link();
    symlink(place.path("outside"), place.path("copy").join(&staging)).unwrap();
    place.send(&["-a", "src/", "copy"]).exits(0);
    assert_eq!(target_of(&place, "copy/link"), PathBuf::from("new"));
    assert_eq!(place.read("outside"), b"as it was");
    assert!(place.staging_files("copy").is_empty());
}

#[test]
fn a_listening_receiver_takes_links_only_as_far_as_it_was_told_to() {
    for (accept, made, code) in [
        (&[][..], &[][..], 23),
        (&["--accept", "links"], &["in"], 23),
        (&["--accept", "outside-links"], &["in", "out"], 0),
    ] {
        let place = Place::new();
        place.write("src/file", b"content");
        symlink("file", place.path("src/in")).unwrap();
        symlink("/etc/passwd", place.path("src/out")).unwrap();
        place.directory("inbox");
        let mut receiver = start(place.receiver(&["--listen", "127.0.0.1:0", "inbox"]).args(accept));
        let ticket = receiver.first_line();
        let ran = place.send(&["-a", "src/", &ticket]).exits(code);
        receiver.finish().exits(0);
        let found: Vec<_> = ["in", "out"].into_iter().filter(|name| place.has(format!("inbox/{name}"))).collect();
        assert_eq!(found, made, "{accept:?}: {ran:?}");
        assert_eq!((ran.count("files"), ran.count("links")), (1, made.len() as u64));
        assert_eq!(ran.failed().len(), 2 - made.len());
    }
}

#[test]
fn more_links_than_one_message_holds_arrive() {
    let place = Place::new();
    for index in 0..1300 {
        let folder = format!("src/{}", index % 70);
        place.directory(&folder);
        symlink(format!("{}-{index}", "t".repeat(index % 900)), place.path(folder).join(index.to_string())).unwrap();
    }
    let ran = place.send(&["-a", "src/", "copy"]).exits(0);
    assert_eq!((ran.count("links"), ran.count("files")), (1300, 0));
    assert_eq!(tree(&place.path("src")), tree(&place.path("copy")));
    for index in 0..1300 {
        let name = format!("{}/{index}", index % 70);
        assert_eq!(target_of(&place, &format!("copy/{name}")), target_of(&place, &format!("src/{name}")));
    }
    // For a person: the last line counts them.
    let ran = run(&mut place.sender(&["-a", "src/", "copy"])).exits(0);
    assert!(ran.stderr.contains("; 1300 links"), "{ran:?}");
}
