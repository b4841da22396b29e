//! What lies is not in what ships: the root package must not know this crate, not even for its tests.

#![expect(clippy::disallowed_methods, reason = "sources are read as text, no transfer is near")]

use std::fs;
use std::path::{Path, PathBuf};

const NAMES: [&str; 2] = ["careful-faults", "careful_faults"];

#[test]
fn the_root_package_never_names_this_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the root's directory");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the root's manifest can be read");
    let mut section = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if section.contains("dependencies") {
            let is_named = NAMES.iter().any(|name| line.contains(name)) || line.contains("fault-injection");
            assert!(!is_named, "{section} names this crate: {line}");
        }
    }
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "build.rs", "examples"] {
        collect(&root.join(folder), &mut sources);
    }
    assert!(sources.len() > 20, "the root's sources were found");
    for source in sources {
        let text = fs::read_to_string(&source).expect("a source can be read");
        assert!(!NAMES.iter().any(|name| text.contains(name)), "{} names this crate", source.display());
    }
}

fn collect(path: &Path, sources: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for item in fs::read_dir(path).expect("a directory of sources can be listed") {
            collect(&item.expect("a directory of sources can be listed").path(), sources);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") && path.is_file() {
        sources.push(path.to_path_buf());
    }
}
