//! What lies is not in what ships: the root package must not know this crate, not even for its tests.

#![expect(clippy::disallowed_methods, reason = "sources are read as text, no transfer is near")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod programs;

const NAMES: [&str; 2] = ["careful-faults", "careful_faults"];
/// Words of plans: they are in every program that can lie.
const MARKERS: [&str; 3] = ["source-read-past-cache", "verify-to-stage", "eio-reverting"];

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

#[test]
fn the_shipped_programs_hold_no_word_of_a_plan() {
    let holds = |program: &Path, marker: &str| {
        let bytes = fs::read(program).expect("a program can be read");
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    };
    for marker in MARKERS {
        assert!(holds(Path::new(env!("CARGO_BIN_EXE_careful-faults")), marker), "{marker} is no marker");
        for name in ["careful-send", "careful-recv"] {
            assert!(!holds(&programs::program(name), marker), "{name} knows {marker}");
        }
    }
}

#[test]
fn the_shipped_package_does_not_depend_on_this_one() {
    let tree = |package: &str| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--locked", "--offline", "--prefix", "none", "--edges", "all", "--package", package]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(tree("careful-faults").contains("careful v"), "the tree is read rightly");
    assert!(!NAMES.iter().any(|name| tree("careful").contains(name)));
}
