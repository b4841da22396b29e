//! The walls of the house: which folder may import what. Compared with the `use` lines and paths of the sources.

#![expect(clippy::disallowed_methods, reason = "reads the sources of the program, not the files of a transfer")]
#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::path::{Path, PathBuf};

/// What a decision that takes time as an argument must not name.
const PURE: &[&str] =
    &["std::fs", "std::net", "std::thread", "Instant::now", "tokio", "quinn", "rustls", "crate::seams"];

/// Folder or file below `src/`, and what must not be named in it.
const WALLS: &[(&str, &[&str])] = &[
    ("bucket.rs", &["std::fs", "std::thread", "tokio", "quinn", "rustix", "rustls", "clap", "std::time::Instant"]),
    ("chunk.rs", &["std::fs", "tokio", "quinn", "rustix", "rustls", "clap", "crate::"]),
    ("hash.rs", &["std::fs", "tokio", "quinn", "rustix", "rustls", "clap", "crate::seams", "crate::wire"]),
    (
        "protocol",
        &[
            "std::fs",
            "std::net",
            "std::thread",
            "std::time::Instant",
            "SystemTime",
            "tokio",
            "quinn",
            "rustix",
            "rustls",
            "clap",
            "indicatif",
            "crate::seams",
            "crate::wire",
            "crate::connect",
            "crate::send",
            "crate::receive",
            "crate::cli",
        ],
    ),
    ("seams", &["crate::protocol", "crate::wire", "crate::connect", "crate::send", "crate::receive", "crate::cli"]),
    (
        "check",
        &[
            "std::fs",
            "tokio",
            "quinn",
            "rustix",
            "rustls",
            "clap",
            "indicatif",
            "crate::wire",
            "crate::connect",
            "crate::send",
            "crate::receive",
            "crate::cli",
        ],
    ),
    (
        "record",
        &[
            "std::fs",
            "tokio",
            "quinn",
            "rustix",
            "rustls",
            "clap",
            "crate::protocol",
            "crate::wire",
            "crate::connect",
            "crate::send",
            "crate::receive",
            "crate::check",
            "crate::cli",
        ],
    ),
    ("wire/congestion/model.rs", PURE),
    ("wire/congestion/delivery.rs", PURE),
    ("wire/congestion/filters.rs", PURE),
    ("wire/congestion/losses.rs", PURE),
    ("wire/congestion/cubic.rs", PURE),
    (
        "wire",
        &["std::fs", "rustix", "clap", "indicatif", "crate::connect", "crate::send", "crate::receive", "crate::cli"],
    ),
    ("connect", &["std::fs", "quinn", "rustls", "rustix", "clap", "crate::send", "crate::receive", "crate::cli"]),
    ("send", &["std::fs", "quinn", "rustls", "rustix", "clap", "indicatif", "crate::receive", "crate::cli"]),
    ("receive", &["std::fs", "quinn", "rustls", "rustix", "clap", "indicatif", "crate::send", "crate::cli"]),
    ("cli", &["std::fs", "quinn", "rustls", "rustix"]),
    ("workers.rs", &["std::fs", "quinn", "crate::protocol", "crate::wire", "crate::send", "crate::receive"]),
    ("reading.rs", &["std::fs", "quinn", "tokio", "crate::protocol", "crate::wire"]),
    ("aloud.rs", &["std::fs", "quinn", "rustix", "crate::wire", "crate::send", "crate::receive", "crate::cli"]),
    ("jobs.rs", &["std::fs", "quinn", "tokio", "crate::protocol", "crate::wire"]),
    ("outcome.rs", &["std::fs", "quinn", "tokio", "clap", "crate::send", "crate::receive", "crate::cli"]),
    (
        "patience.rs",
        &["std::fs", "quinn", "crate::seams", "crate::wire", "crate::send", "crate::receive", "crate::cli"],
    ),
    ("transit.rs", &["std::fs", "quinn", "crate::seams", "crate::wire", "crate::send", "crate::receive"]),
    (
        "progress.rs",
        &[
            "std::fs",
            "quinn",
            "tokio",
            "clap",
            "indicatif",
            "crate::seams",
            "crate::wire",
            "crate::send",
            "crate::receive",
        ],
    ),
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below a path, in order.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let is_source = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
    entries.iter().filter(|path| is_source(path)).flat_map(|path| sources(path)).collect()
}

/// The lines of a file that are program text: no comments, and nothing from its unit tests on.
fn program_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let program = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    program.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn names(line: &str, banned: &str) -> bool {
    line.match_indices(banned).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + banned.len()..].chars().next();
        let is_word = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        !is_word(before) && (banned.ends_with(':') || !is_word(after))
    })
}

#[test]
fn no_folder_names_what_lies_behind_its_wall() {
    let mut broken = Vec::new();
    for (folder, banned) in WALLS {
        for path in sources(&source_root().join(folder)).iter().filter(|path| !is_test_file(path)) {
            for (number, line) in program_lines(path).iter().enumerate() {
                for name in banned.iter().filter(|name| names(line, name)) {
                    broken.push(format!("{}: {name} in line {}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_source_file_belongs_to_a_wall_or_is_the_map() {
    let known: Vec<_> = WALLS.iter().map(|(folder, _)| source_root().join(folder)).collect();
    let free = [source_root().join("lib.rs"), source_root().join("bin")];
    for path in sources(&source_root()) {
        let is_known = known.iter().chain(&free).any(|folder| path.starts_with(folder));
        assert!(is_known, "{} stands behind no wall: add it to the table", path.display());
    }
}

#[test]
fn quinn_is_named_in_the_wire_and_the_packet_seams_alone() {
    for path in sources(&source_root()) {
        let doors = ["seams/packet.rs", "seams/packet", "seams/pipe_packets.rs"];
        let may = doors.iter().chain(&["wire"]).any(|door| path.starts_with(source_root().join(door)));
        assert!(may || !program_lines(&path).iter().any(|line| names(line, "quinn")), "{}", path.display());
    }
}

#[test]
fn only_the_disk_door_touches_the_file_system() {
    for path in sources(&source_root()).iter().filter(|path| !is_test_file(path)) {
        // What lies in its folder is a part of it.
        if path.ends_with("seams/os_disk.rs") || path.starts_with(source_root().join("seams/os_disk")) {
            continue;
        }
        // What the kernel knows of a path of the network is asked for where its sockets are made.
        let is_packet_door = path.ends_with("seams/packet.rs");
        for line in program_lines(path) {
            let may = is_packet_door && line.contains("rustix::net");
            assert!(may || !names(&line, "std::fs") && !names(&line, "rustix"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    for path in sources(&source_root()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} has no head", path.display());
    }
}
