//! The programs that measure, in tiny sizes: they run, they notice a copy that is wrong, and the page of figures says what its
//! runs say. **No time is judged here.**

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use support::{Place, Ran, is_root, run, set_mode, skipped};

/// The sizes of every case of `compare`, so small that all of them together take seconds.
const TINY: [&str; 15] = [
    "--runs",
    "1",
    "--pause",
    "0",
    "--big-mib",
    "2",
    "--small-files",
    "12",
    "--growth",
    "5",
    "10",
    "--names",
    "12",
    "--tmpfs",
    "/dev/shm",
];

/// A program of `benches/`; nothing, said loudly, where no Python is installed.
fn bench(place: &Place, name: &str, words: &[impl AsRef<OsStr>]) -> Option<Ran> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name);
    if run(&mut place.program("python3", &["--version"])).code != 0 {
        skipped("python3 is not installed");
        return None;
    }
    let mut command = place.program("python3", &[program]);
    command.args(words);
    Some(run(&mut command))
}

/// What every one of them takes: where the programs lie, and a directory to work in.
fn common(place: &Place, careful: &Path) -> Vec<String> {
    place.directory("work");
    let words = ["--careful".as_ref(), careful, "--work".as_ref(), &place.path("work")];
    words.map(|word: &Path| word.to_str().expect("plain names").to_owned()).to_vec()
}

fn careful() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_careful-send"))
}

fn with<'a>(words: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    words.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

const CASES: [&str; 7] = ["large", "tmpfs", "small", "growth", "names", "again", "changed"];

#[test]
fn every_case_is_measured_kept_and_not_measured_again() {
    let place = Place::new();
    let kept = place.path("kept");
    let mut words = common(&place, &careful());
    words.extend(["--json".to_owned(), kept.to_str().expect("plain names").to_owned(), "--case".to_owned()]);
    words.extend(CASES.map(str::to_owned));
    words.extend(TINY.map(str::to_owned));
    let Some(first) = bench(&place, "compare", &words) else { return };
    let first = first.exits(0);
    assert!(first.stdout.contains("## Goals"), "{}", first.stdout);

    let again = bench(&place, "compare", &words).expect("python3").exits(0);
    assert_eq!(again.stderr.matches("not measured again").count(), CASES.len(), "{}", again.stderr);
    let files = CASES.map(|case| kept.join(format!("{case}.json")).to_str().expect("plain names").to_owned());
    let shown = bench(&place, "compare", &with(&["--from".to_owned()], &files.each_ref().map(String::as_str)));
    let shown = shown.expect("python3").exits(0);
    assert_eq!((&*again.stdout, &*shown.stdout), (&*first.stdout, &*first.stdout), "tables are a function of the runs");
}

#[test]
fn a_copy_that_is_wrong_is_told_and_fails() {
    let place = Place::new();
    // One that is right in the trial of one line, and wrong afterwards.
    let liar = "#!/bin/sh\nfor word; do from=$to; to=$word; done\ncp -a \"$from\" \"$to\"\n\
                [ -d \"$from\" ] && rm \"$to/source/d000/f000000\"\necho '{\"sent_bytes\":0}'\n";
    for name in ["careful-send", "careful-recv"] {
        place.write(name, liar.as_bytes());
        set_mode(&place.path(name), 0o755);
    }
    let words = common(&place, &place.path("careful-send"));
    let Some(ran) = bench(&place, "compare", &with(&words, &[&["--case", "growth"][..], &TINY].concat())) else {
        return;
    };
    let ran = ran.exits(1);
    assert!(ran.stderr.contains("WRONG: careful-send: Only in "), "{}", ran.stderr);
    assert!(ran.stdout.contains("**wrong**"), "{}", ran.stdout);
}

#[test]
fn the_page_of_figures_and_the_readme_say_what_the_kept_runs_say() {
    let place = Place::new();
    let Some(checked) = bench(&place, "compare", &["--check"]) else { return };
    checked.exits(0);
}

#[test]
fn the_other_measurements_run() {
    let place = Place::new();
    let words = common(&place, &careful());
    let tiny = [("memory", ["--big-mib", "2", "--empty-files", "20"]), ("kill", ["--rounds", "1", "--mib", "2"])];
    for (name, sizes) in tiny {
        let Some(ran) = bench(&place, name, &with(&words, &sizes)) else { return };
        ran.exits(0);
    }
    if !is_root() {
        return skipped("perf samples the machine as root");
    }
    let sizes = ["--big-mib", "2", "--small-files", "12", "--case", "large", "small"];
    let profile = bench(&place, "profile", &with(&words, &sizes)).expect("python3");
    if profile.code == 2 {
        return skipped(&profile.stderr);
    }
    assert!(profile.exits(0).stdout.contains("| **together**"));
}
