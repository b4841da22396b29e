//! Push by ssh: a real ssh, and a real sshd that it starts itself, without any port.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use support::far::Far;
use support::{CHUNK, Place, kill, random_bytes, run, set_mode, staging_name, start, tree, wait_for};

#[test]
fn a_file_and_a_tree_arrive_with_modes_and_times() {
    let Some(far) = Far::new() else { return };
    far.place.random("src/large", 3 * CHUNK + 5, 1);
    far.place.random("src/below/small", 100, 2);
    far.place.write("src/empty", b"");
    set_mode(&far.place.path("src/empty"), 0o640);
    far.place.directory("dst");
    let ran = far.send(&["src", &far.at("dst/")]).exits(0);
    assert_eq!(ran.count("files"), 3);
    assert_eq!(tree(&far.place.path("dst/src")), tree(&far.place.path("src")));
    assert_eq!(far.place.staging_files("dst"), [] as [PathBuf; 0]);
    let ran = far.send(&["src", &far.at("dst/")]).exits(0);
    assert_eq!(ran.count("unchanged_files"), 3, "the same command again finds nothing to do: {ran:?}");
}

#[test]
fn what_is_pulled_arrives_and_what_has_no_source_goes() {
    let Some(far) = Far::new() else { return };
    far.place.random("src/large", 3 * CHUNK + 5, 1);
    far.place.random("src/below/small", 100, 2);
    far.place.write("dst/src/old", b"old");
    let dry = far.pull(&["-n", "--delete", &far.at("src"), "dst"]).exits(0);
    assert_eq!(dry.events_of("foreseen").len(), 3);
    assert!(far.place.has("dst/src/old") && !far.place.has("dst/src/large"));
    let ran = far.pull(&["--delete", &far.at("src"), "dst"]).exits(0);
    assert_eq!((ran.count("files"), ran.count("deleted")), (2, 1));
    assert_eq!(tree(&far.place.path("dst/src")), tree(&far.place.path("src")));
}

#[test]
fn the_destination_is_read_as_that_of_a_local_copy_is() {
    let Some(far) = Far::new() else { return };
    let rows = [
        ("dir", "there/", "there/dir"),
        ("dir/", "there/", "there"),
        ("dir", "new", "new/dir"),
        ("dir/", "new", "new"),
        ("file", "there/", "there/file"),
        ("file", "there", "there/file"),
        ("file", "new", "new"),
        ("file", "old", "old"),
    ];
    for (source, destination, result) in rows {
        let mut trees = Vec::new();
        for by_ssh in [true, false] {
            let top = format!("{by_ssh}-{}-{}", source.len(), destination.replace('/', "_"));
            far.place.random(format!("{top}/dir/a"), 10, 1);
            far.place.random(format!("{top}/file"), 20, 2);
            far.place.random(format!("{top}/to/old"), 30, 3);
            far.place.directory(format!("{top}/to/there"));
            let [from, to] = [format!("{top}/{source}"), format!("{top}/to/{destination}")];
            match by_ssh {
                true => far.send(&[&from, &far.at(&to)]).exits(0),
                false => far.place.send(&[&from, &to]).exits(0),
            };
            assert!(far.place.has(format!("{top}/to/{result}")), "{source} {destination}");
            let names: Vec<_> = tree(&far.place.path(format!("{top}/to")))
                .into_iter()
                .map(|(path, item)| (path, item.kind, item.mode, item.root))
                .collect();
            trees.push(names);
        }
        assert_eq!(trees[0], trees[1], "{source} {destination}");
    }
}

#[test]
fn the_same_command_continues_after_ssh_was_killed() {
    let Some(far) = Far::new() else { return };
    let bytes = far.place.random("large", 64 * CHUNK, 3);
    let to = far.at("copy");
    let mut words = vec!["large", &to, "--retry-for", "0s"];
    let mut sending = start(&mut far.command(env!("CARGO_BIN_EXE_careful-recv"), &words));
    let staging = far.place.path(staging_name("copy"));
    wait_for("something to arrive", || {
        staging.metadata().is_ok_and(|staging| staging.len() > 0) || sending.has_ended()
    });
    if let Some(ssh) = sending.started("ssh") {
        kill(ssh, Signal::KILL);
    }
    let ran = sending.finish();
    assert!(ran.code == 10 || ran.code == 0, "{ran:?}");
    assert!(ran.code == 0 || !far.place.has("copy"), "nothing half done is visible");
    words.truncate(2);
    far.send(&words).exits(0);
    assert_eq!(far.place.read("copy"), bytes);
    wait_for("the far program to let go", || far.place.staging_files("").is_empty());
}

#[test]
fn a_transfer_goes_on_by_itself_after_ssh_was_killed() {
    let Some(far) = Far::new() else { return };
    let bytes = far.place.random("large", 64 * CHUNK, 4);
    let to = far.at("copy");
    let mut sending = start(&mut far.command(env!("CARGO_BIN_EXE_careful-recv"), &["large", &to]));
    let staging = far.place.path(staging_name("copy"));
    wait_for("something to arrive", || {
        staging.metadata().is_ok_and(|staging| staging.len() > 0) || sending.has_ended()
    });
    if let Some(ssh) = sending.started("ssh") {
        kill(ssh, Signal::KILL);
    }
    sending.finish().exits(0);
    assert_eq!(far.place.read("copy"), bytes);
}

#[test]
fn a_missing_program_is_told_with_how_to_get_it() {
    let Some(far) = Far::new() else { return };
    far.place.write("file", b"content");
    let ran = run(&mut far.command("careful-recv-that-is-not-there", &["file", &far.at("copy")])).exits(5);
    assert!(ran.stderr.contains("there is no program careful-recv-that-is-not-there at far"), "{ran:?}");
    assert!(ran.stderr.contains("hint: install careful there too, or say with --remote-path"), "{ran:?}");
}

#[test]
fn another_version_is_told_with_both_numbers() {
    let Some(far) = Far::new() else { return };
    for script in [&format!("echo careful0{}; cat", "a".repeat(100)), "read line; echo careful-version-0; exit 12"] {
        let ran = far.send_to_script(script).exits(12);
        assert!(ran.stderr.contains("speaks version 0 of the protocol, this side version 1"), "{ran:?}");
        assert!(ran.stderr.contains("hint: install the same version"), "{ran:?}");
    }
    let mut answering = far.place.receiver(&["--stdio"]);
    let mut answering = answering.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    answering = answering.stderr(std::process::Stdio::null());
    let mut answering = answering.spawn().expect("careful-recv");
    let mut input = answering.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, b"careful-caller-2 whatever\n").expect("a line");
    let answered = answering.wait_with_output().expect("an end");
    assert_eq!(answered.stdout, b"careful-version-1\n");
    assert_eq!(answered.status.code(), Some(12));
}

#[test]
fn what_the_far_shell_prints_is_shown_and_does_not_disturb() {
    let Some(far) = Far::new() else { return };
    let program = env!("CARGO_BIN_EXE_careful-recv");
    let script = format!("echo Welcome to far; printf 'red \\033[31m alert\\n' >&2; exec {program} \"$@\"");
    let ran = far.send_to_script(&script).exits(0);
    assert!(ran.stderr.contains("ssh: Welcome to far\n"), "{ran:?}");
    assert!(ran.stderr.contains("ssh: red ") && !ran.stderr.contains('\u{1b}'), "{ran:?}");
    assert_eq!(far.place.read("copy"), b"content");
    let ran = far.send_to_script("while echo noise; do :; done").exits(5);
    assert!(ran.stderr.contains("`ssh HOST true` should print nothing"), "{ran:?}");
}

#[test]
fn a_login_that_fails_is_told_in_the_words_of_ssh() {
    let Some(far) = Far::new() else { return };
    far.place.write("file", b"content");
    let none = far.place.path("ssh/no_such_key");
    let key = format!("IdentityFile={}", none.display());
    let ssh = format!("{} -o '{key}' -o IdentityAgent=none", far.ssh());
    std::fs::remove_file(far.place.path("ssh/login_key")).expect("a file");
    let ran = run(&mut far.place.sender(&["--ssh", &ssh, "file", &far.at("copy")])).exits(5);
    assert!(ran.stderr.contains("ssh: ") && ran.stderr.contains("Permission denied"), "{ran:?}");
    assert!(ran.stderr.contains("ssh to far failed"), "{ran:?}");
}

#[test]
fn t3_a_host_that_begins_with_a_dash_never_reaches_ssh() {
    let place = Place::new();
    place.write("file", b"content");
    let witness = place.path("witness");
    let host = format!("-oProxyCommand=touch {}:copy", witness.display()).replace('/', "_");
    for operand in [host.as_str(), "me@-oProxyCommand=id:copy", "ho st:copy", ":copy"] {
        let ran = run(&mut place.sender(&["--ssh", "touch witness", "--", "file", operand])).exits(2);
        assert!(ran.stderr.contains("hint:"), "{ran:?}");
    }
    assert!(!place.has("witness"));
}

#[test]
fn t3_no_name_and_no_secret_stands_on_a_command_line() {
    let Some(far) = Far::new() else { return };
    let odd = "a name; $(with) 'signs' `of` \"shells\"\n-oX";
    far.place.write(odd, &random_bytes(1000, 5));
    let seen = far.place.path("ssh/seen");
    let program = env!("CARGO_BIN_EXE_careful-recv");
    let script = format!("printf '%s|' \"$@\" \"$SSH_ORIGINAL_COMMAND\" > '{}'; exec {program} \"$@\"", seen.display());
    far.send_to_script(&script).exits(0);
    let script = far.place.path("ssh/script");
    run(&mut far.command(script.to_str().expect("a path"), &[odd, &far.at(&format!("to {odd}"))])).exits(0);
    assert_eq!(std::fs::read(seen).expect("a file"), b"--stdio||");
    assert_eq!(far.place.read(format!("to {odd}")), far.place.read(odd));
}

#[test]
fn nothing_is_left_running_when_the_sender_is_killed() {
    let Some(far) = Far::new() else { return };
    far.place.random("large", 64 * CHUNK, 6);
    let to = far.at("copy");
    let mut sending = start(&mut far.command(env!("CARGO_BIN_EXE_careful-recv"), &["large", &to]));
    let staging = far.place.path(staging_name("copy"));
    wait_for("something to arrive", || {
        staging.metadata().is_ok_and(|staging| staging.len() > 0) || sending.has_ended()
    });
    sending.signal(Signal::KILL);
    sending.finish();
    wait_for("the far program to end", || !runs_a_receiver_with(far.place.path("ssh").as_path()));
}

/// Whether a careful-recv of this place still runs: it is known by the state directory that only this sshd gives it.
fn runs_a_receiver_with(state: &Path) -> bool {
    let wanted = format!("XDG_STATE_HOME={}", state.display());
    let processes = std::fs::read_dir("/proc").expect("processes");
    processes.filter_map(Result::ok).any(|process| {
        let is_receiver = std::fs::read(process.path().join("comm")).is_ok_and(|name| name == b"careful-recv\n");
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        is_receiver && environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    })
}
