//! Every built-in scenario shows what it says; one that says something else fails; a bad file is told where and why.

#![expect(clippy::disallowed_methods, reason = "tests write files past the program's own door")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod programs;

use std::path::Path;
use std::process::{Command, Output};

use careful_faults::programs::Programs;
use careful_faults::scenario::{Scenario, Stage, built_in};

fn played(scenario: &Scenario) -> (Result<bool, String>, String) {
    let mut output = Vec::new();
    let programs = Programs::in_folder(programs::program("careful-send").parent().unwrap());
    let met = scenario.play(&mut Stage { output: &mut output, is_coloured: false, programs });
    (met, String::from_utf8(output).unwrap())
}

/// Plays a built-in one; answers what was said.
fn shown(name: &str) -> String {
    let scenario = Scenario::load(name).unwrap();
    let (met, text) = played(&scenario);
    assert_eq!(met, Ok(true), "{text}");
    assert!(text.contains(&scenario.title) && text.contains("Every step came out as the scenario says."), "{text}");
    assert!(!text.contains('\x1b'), "colours are for terminals");
    text
}

#[track_caller]
fn assert_says(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
}

#[test]
fn disk_read_shows_who_sees_a_wrong_read_and_what_nobody_can_know() {
    assert_says(
        &shown("disk-read"),
        &[
            "careful-faults replay 'L4 large 2097157 77: source-read file 1 #1 flip 70000.3'",
            "careful-faults replay 'L5 large 2097157 77: source-medium file 1 #1 flip 70000.3'",
            "first noticed by: second read",
            "first noticed by: read-back",
        ],
    );
}

#[test]
fn copying_mistake_shows_chunks_blocks_and_flushes_gone_astray() {
    assert_says(
        &shown("copying-mistake"),
        &[
            "careful-faults replay 'L1 large 2097157 77: hash-to-upload file 0 #1 exchange'",
            "careful-faults replay 'L3 large 2097157 77: write-out file 1 #1 misdirect 8192 4096 65536'",
            "careful-faults replay 'L4 large 2097157 77: file-sync file 0 #1 swallowed'",
        ],
    );
}

#[test]
fn memory_shows_a_flip_in_every_buffer() {
    let text = shown("memory");
    for buffer in
        ["source-to-hash", "hash-to-upload", "wire-to-verify", "verify-to-stage", "staging-write", "write-out"]
    {
        assert_says(&text, &[&format!("careful-faults replay 'L5 large 2097157 77: {buffer} file 1 #1 flip 70000.3'")]);
    }
}

#[test]
fn network_shows_that_quic_mends_what_udp_delivers_wrong() {
    assert_says(
        &shown("network"),
        &[
            "careful-faults replay 'L0 large 2097157 77: packet-of-sender-under-checksum *40 swap-words 500'",
            "first noticed by: UDP checksum",
            "first noticed by: QUIC encryption",
            "careful-faults relay TICKET --seed 1 --lost 0.01",
            "sender: success, 0 chunks repaired",
        ],
    );
}

#[test]
fn crash_shows_promises_that_hold_and_three_receivers_that_break_them() {
    let text = shown("crash");
    assert_says(&text, &[": 0 promises broken", "I3: /target/added: a receipt, and nothing is there"]);
    assert_eq!([text.matches("      image ").count(), text.matches("silent    I").count()], [3, 3], "{text}");
}

#[test]
fn mit_gateway_shows_that_perfect_hops_deliver_a_wrong_file() {
    assert_says(
        &shown("mit-gateway"),
        &[
            "careful-faults gateway TICKET --identity FILE --seed 1 --swap-every 1000000; a copy over QUIC",
            "bytes differ",
            "--rehash; careful-send",
            "silent  ",
            "repaired  ",
            "refused  ",
        ],
    );
}

#[test]
fn every_built_in_scenario_has_a_name_of_its_own_and_a_title() {
    let mut names: Vec<String> = built_in().into_iter().map(|scenario| scenario.name).collect();
    assert!(built_in().iter().all(|scenario| !scenario.title.is_empty()));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 6);
}

#[test]
fn the_scenario_that_the_readme_begins_with_is_one() {
    let readme = include_str!("../README.md");
    let text = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (met, said) = played(&Scenario::parse("README.md", text).unwrap());
    assert_eq!(met, Ok(true), "{said}");
}

/// A scenario of one step.
fn of_step(step: &str) -> String {
    format!("title = 'T'\nthreat = 1\ntext = 'S'\nclosing = 'C'\n[[steps]]\nsay = 'W'\n{step}\n")
}

fn run(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_careful-faults")).arg("run").arg(path).output().unwrap()
}

#[test]
fn an_expectation_that_is_not_met_exits_1_and_is_told_loudly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    let step = |fault: &str, expected: &str| {
        of_step(&format!("trial = {{ faults = ['{fault}'], expect = {{ {expected} }} }}"))
    };
    let flip = "write-out file 1 #1 flip 17.3";
    for (fault, expected, code, word) in [
        (flip, "L3 = 'silent', L4 = 'repaired'", 0, "silent"),
        (flip, "L3 = 'repaired'", 1, "expected repaired, came out silent"),
        (flip, "L4 = 'refused'", 1, "expected refused, came out repaired"),
        // A fault that never takes effect shows nothing, whatever is expected.
        ("write-out file 77 #1 flip 17.3", "L5 = 'right'", 1, "expected right, came out -"),
    ] {
        std::fs::write(&path, step(fault, expected)).unwrap();
        let output = run(&path);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(word) && text.contains("!!!!") == (code == 1), "{text}");
    }
}

#[test]
fn a_promise_that_holds_where_it_should_break_exits_1() {
    let scenario = of_step("crash = { configuration = 'S', images = 8, expect = 'broken' }");
    let (met, text) = played(&Scenario::parse("own", &scenario).unwrap());
    assert_eq!(met, Ok(false));
    assert_says(&text, &["expected broken, came out held"]);
}

#[test]
fn a_bad_file_is_told_with_its_line_and_what_to_do() {
    let trial = |inner: &str| of_step(&format!("[steps.trial]\n{inner}"));
    let cases = [
        ("title = 'T'\nthreta = 1\n".to_owned(), 2, "unknown field `threta`"),
        ("title = 'T'\nthreat = 6\n".to_owned(), 2, "write 1 to 5 or \"gateway\""),
        (
            trial("faults = [\n 'read-back file 0 #1 eio',\n 'nowhere 1'\n]\nexpect = { L1 = 'silent' }"),
            10,
            "write PLACE",
        ),
        (trial("faults = ['rename file 0 #1 swallowed']\nexpect = { L1 = 'silent' }"), 8, "cannot happen there"),
        (trial("faults = []\nexpect = { L9 = 'silent' }"), 9, "unknown variant `L9`"),
        (trial("faults = []\nexpect = { L1 = 'wrong' }"), 9, "unknown variant `wrong`"),
        (trial("faults = []\nexpect = {}"), 5, "write `expect ="),
        (trial("faults = []\nrow = '16'\nexpect = { L1 = 'silent' }"), 5, "give one of the two"),
        (trial("row = '99'\nseed = 1\nexpect = { L1 = 'silent' }"), 8, "careful-faults list"),
        (trial("subject = 'large 5 1'\nfaults = []\nexpect = { L1 = 'silent' }"), 8, "small BYTES SEED"),
        (of_step("relay = { expect = 'right' }"), 5, "add `[[files]]`"),
        (of_step(""), 5, "exactly one of"),
        ("title = 'T'\nthreat = 1\ntext = 'S'\nclosing = 'C'\nsteps = []\n".to_owned(), 6, "add a `[[steps]]`"),
        ("title = 'T'\ntitle".to_owned(), 2, ""),
    ];
    for (text, line, what) in cases {
        let error = Scenario::parse("own.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("own.toml, line {line}: ")) && error.contains(what), "{error}\n{text}");
    }
}

#[test]
fn a_file_that_is_not_there_and_programs_that_are_not_there_exit_2_and_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&directory.path().join("none.toml"));
    assert_eq!(output.status.code(), Some(2));
    assert_says(&String::from_utf8_lossy(&output.stderr), &["none.toml cannot be read", "mit-gateway"]);

    let programs = Programs::in_folder(directory.path());
    let scenario = Scenario::load("mit-gateway").unwrap();
    let met = scenario.play(&mut Stage { output: &mut Vec::new(), is_coloured: false, programs });
    assert_says(
        &met.unwrap_err(),
        &["careful-send is not beside", "cargo build --release -p careful -p careful-faults"],
    );
}
