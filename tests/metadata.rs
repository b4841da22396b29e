//! What is carried beside content, mode and time, and what never is: links and what stands in their
//! way, extended attributes, ACLs, owners, special mode bits.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use support::{
    CHUNK, Item, Mount, Place, is_root, make_fifo, random_bytes, root_of, run, set_mode, set_modified, skipped, start,
    tree,
};

/// Where a link points to.
fn target_of(place: &Place, name: &str) -> PathBuf {
    place.path(name).read_link().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn links_are_carried_as_links_with_their_own_time() {
    let place = Place::new();
    place.write("src/dir/file", b"content");
    // The longest there are, but XFS takes none longer than 1,023 bytes.
    let takes = |long: &String| symlink(long, place.path("long")).is_ok();
    let long = [4095, 1023].map(|length| "x".repeat(length)).into_iter().find(takes).expect("a long link");
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

/// All extended attributes of a path itself, but for this program's records.
fn attributes_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut list[..]).expect("a list");
    let names = list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let names = names.filter(|name| !name.starts_with(b"user.careful."));
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).expect("a value");
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// Sets an extended attribute; says so where the file system has none.
fn set_attribute(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(error) => {
            skipped(&format!("{name} cannot be set in {}: {error}", path.display()));
            false
        }
    }
}

/// A POSIX ACL as the kernel has it: the owner everything, user 1 to read and write, group and others to read.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 6, 1), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 4, u32::MAX)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [&2_u32.to_le_bytes()[..], &entries.map(entry).concat()].concat()
}

fn owner_of(path: &Path) -> (u32, u32) {
    let metadata = path.symlink_metadata().expect("metadata");
    (metadata.uid(), metadata.gid())
}

fn give(path: &Path, user: u32, group: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(group)).expect("an owner");
}

/// A tree in which files small and large and a directory have attributes of users and ACLs.
fn labelled() -> Option<Place> {
    let place = Place::new();
    place.write("src/dir/small", b"content");
    place.random("src/dir/large", 2 * CHUNK + 5, 1);
    place.write("src/dir/plain", b"plain");
    for name in ["src/dir/small", "src/dir/large", "src/dir"] {
        let path = place.path(name);
        let are_set = set_attribute(&path, "user.comment", name.as_bytes())
            && set_attribute(&path, "user.empty", b"")
            && set_attribute(&path, "user.long", &[7; 1500])
            && set_attribute(&path, "system.posix_acl_access", &acl());
        if !are_set {
            return None;
        }
    }
    set_attribute(&place.path("src/dir"), "system.posix_acl_default", &acl());
    set_modified(&place.path("src/dir"), 7, 8);
    Some(place)
}

#[test]
fn extended_attributes_and_acls_are_carried_where_that_is_asked_for_and_only_then() {
    let Some(place) = labelled() else { return };
    let is_of_user = |name: &[u8]| name.starts_with(b"user.");
    for (options, kept) in [
        (&[][..], [false, false]),
        (&["--xattrs"], [true, false]),
        (&["--acls"], [false, true]),
        (&["-X", "-A"], [true, true]),
    ] {
        let copy = format!("copy{}", options.len() + options.join("").len());
        let ran = place.send(&[&["src/", &copy], options].concat()).exits(0);
        assert_eq!(ran.count("failed_files"), 0);
        for name in ["dir", "dir/small", "dir/large", "dir/plain"] {
            let (source, target) = (place.path("src").join(name), place.path(&copy).join(name));
            let mut wanted = attributes_of(&source);
            wanted.retain(|name, _| kept[usize::from(!is_of_user(name))]);
            assert_eq!(attributes_of(&target), wanted, "{options:?} {name}");
            assert_eq!(Item::of(&target), Item::of(&source), "{options:?} {name}");
        }
    }
}

#[test]
fn a_second_run_brings_an_equal_target_to_the_attributes_of_its_source() {
    let Some(place) = labelled() else { return };
    place.send(&["-X", "-A", "src/", "copy"]).exits(0);
    for name in ["dir/small", "dir/large", "dir"] {
        let path = place.path("src").join(name);
        rustix::fs::removexattr(&path, "user.empty").unwrap();
        rustix::fs::removexattr(&path, "system.posix_acl_access").unwrap();
        set_attribute(&path, "user.comment", b"changed");
    }
    set_attribute(&place.path("copy/dir/plain"), "user.foreign", b"x");
    let ran = place.send(&["-X", "-A", "src/", "copy"]).exits(0);
    assert_eq!(ran.count("unchanged_files"), 3);
    for name in ["dir", "dir/small", "dir/large", "dir/plain"] {
        assert_eq!(
            attributes_of(&place.path("copy").join(name)),
            attributes_of(&place.path("src").join(name)),
            "{name}"
        );
        assert_eq!(Item::of(&place.path("copy").join(name)), Item::of(&place.path("src").join(name)), "{name}");
    }
}

#[test]
fn records_of_the_source_and_attributes_of_the_system_are_not_carried() {
    let place = Place::new();
    place.write("src/file", b"content");
    let path = place.path("src/file");
    if !set_attribute(&path, "user.careful.planted", b"x") || !is_root() {
        return;
    }
    set_attribute(&path, "trusted.planted", b"x");
    place.send(&["-X", "-A", "--owner", "src/", "copy"]).exits(0);
    for name in ["user.careful.planted", "trusted.planted"] {
        let found = rustix::fs::lgetxattr(place.path("copy/file"), name, &mut [0; 10][..]);
        assert_eq!(found, Err(rustix::io::Errno::NODATA), "{name}");
    }
}

#[test]
fn attributes_that_the_receiving_file_system_has_not_are_told_of() {
    let Some(place) = labelled() else { return };
    let Some(_mount) = Mount::ramfs(&place.path("memory")) else { return };
    let ran = place.send(&["-X", "--acls", "src/", "memory/copy"]).exits(23);
    // Each of three has attributes of users, and ACLs.
    assert_eq!(ran.failed().len(), 6, "{ran:?}");
    assert_eq!((ran.count("files"), place.read("memory/copy/dir/small")), (3, b"content".to_vec()));
}

#[test]
fn owners_are_carried_where_that_is_asked_for_links_and_directories_included() {
    if !is_root() {
        return skipped("giving files away needs root");
    }
    let place = Place::new();
    place.write("src/dir/small", b"content");
    place.random("src/dir/large", 2 * CHUNK + 5, 1);
    symlink("small", place.path("src/dir/link")).unwrap();
    let names = ["dir", "dir/small", "dir/large", "dir/link"];
    for (number, name) in (54_321..).zip(names) {
        give(&place.path("src").join(name), number, number + 10);
    }
    set_modified(&place.path("src/dir"), 7, 8);
    place.send(&["-a", "src/", "without"]).exits(0);
    for name in names {
        assert_eq!(owner_of(&place.path("without").join(name)), (0, 0), "{name}");
    }
    // The second run finds targets of other owners, equal but for one.
    for run in 0..2 {
        place.send(&["-a", "--owner", "src/", "copy"]).exits(0);
        for name in names {
            let (source, target) = (place.path("src").join(name), place.path("copy").join(name));
            assert_eq!(owner_of(&target), owner_of(&source), "{name} in run {run}");
            assert_eq!(Item::of(&target), Item::of(&source), "{name} in run {run}");
        }
        give(&place.path("copy/dir/small"), 1, 1);
    }
}

#[test]
fn an_owner_that_cannot_be_set_is_told_of_and_the_file_is_there() {
    if !is_root() {
        return skipped("giving files away needs root");
    }
    let place = Place::new();
    place.write("src/file", b"content");
    give(&place.path("src/file"), 54_321, 54_321);
    place.directory("copy");
    give(&place.path("copy"), 65_534, 65_534);
    give(place.state(), 65_534, 65_534);
    set_mode(&place.path("."), 0o755);
    let mut command = place.sender(&["--json", "--owner", "src/", "copy"]);
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    std::os::unix::process::CommandExt::gid(&mut command, 65_534);
    let ran = run(&mut command);
    if ran.stderr.contains("cannot start") {
        return skipped("the programs under test cannot be run by another user");
    }
    let ran = ran.exits(23);
    assert_eq!(ran.failed(), [("file".to_owned(), 23)]);
    assert_eq!((place.read("copy/file"), ran.count("files")), (b"content".to_vec(), 1));
    assert_eq!(owner_of(&place.path("copy/file")), (65_534, 65_534));
}

#[test]
fn special_bits_are_set_with_their_owner_and_never_otherwise() {
    let place = Place::new();
    for (index, name) in ["src/dir/a", "src/dir/b"].into_iter().enumerate() {
        place.write(name, b"content");
        set_mode(&place.path(name), 0o4755 + (index as u32) * 0o2000);
    }
    set_mode(&place.path("src/dir"), 0o3755);
    let modes = |copy: &str| ["dir/a", "dir/b", "dir"].map(|name| Item::of(&place.path(copy).join(name)).mode);
    for options in [&["-a"][..], &["-a", "--owner"]] {
        let copy = format!("copy{}", options.len());
        place.send(&[options, &["src/", &copy]].concat()).exits(0);
        assert_eq!(modes(&copy), [0o755; 3], "{options:?}");
    }
    place.send(&["--suid", "src/", "copy"]).exits(2);
    place.send(&["--owner", "--suid", "src/", "copy"]).exits(0);
    assert_eq!(modes("copy"), modes("src"));
    // What is there already gets them, too.
    set_mode(&place.path("copy/dir/a"), 0o755);
    place.send(&["--owner", "--suid", "src/", "copy"]).exits(0);
    assert_eq!(modes("copy"), modes("src"));
}

#[test]
fn a_listening_receiver_takes_no_labels_unless_it_was_told_to() {
    let Some(place) = labelled() else { return };
    for (accept, kept, code) in [(&[][..], false, 23), (&["--accept", "xattrs,owner,suid"], true, 0)] {
        let inbox = format!("inbox{code}");
        place.directory(&inbox);
        set_mode(&place.path("src/dir/plain"), 0o4755);
        let mut receiver = start(place.receiver(&["--listen", "127.0.0.1:0", &inbox]).args(accept));
        let ticket = receiver.first_line();
        let ran = place.send(&["-X", "--owner", "--suid", "src/", &ticket]).exits(code);
        receiver.finish().exits(0);
        let target = place.path(&inbox).join("dir/small");
        assert_eq!(attributes_of(&target).contains_key(&b"user.comment"[..]), kept);
        assert_eq!(Item::of(&place.path(&inbox).join("dir/plain")).mode & 0o7000 != 0, kept);
        // It is said once, and not file by file.
        assert_eq!(ran.failed().len(), usize::from(!kept), "{ran:?}");
    }
}

#[test]
fn many_attributes_in_many_files_fit_into_the_messages() {
    let place = Place::new();
    for index in 0..300 {
        let name = format!("src/{}/{index}", index % 5);
        place.write(&name, format!("{index}").as_bytes());
        if !set_attribute(&place.path(&name), "user.a", &random_bytes(3000, index)) {
            return;
        }
    }
    for index in 0..5 {
        set_attribute(&place.path(format!("src/{index}")), "user.a", &random_bytes(3000, index));
    }
    place.send(&["-X", "src/", "copy"]).exits(0);
    for path in tree(&place.path("src")).keys() {
        assert_eq!(attributes_of(&place.path("copy").join(path)), attributes_of(&place.path("src").join(path)));
    }
}
