//! The examples themselves, run as they stand, with the programs that they are about: a PostgreSQL server, restic, Borg,
//! btrfs, sshd, systemd. What is not installed is said. Longer than other files, because each example is a world of its own.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::Signal;
use support::far::{Far, SSHD};
use support::network::{Host, Namespaces};
use support::{
    CHUNK, Item, Mount, Place, Ran, Running, is_root, run, set_mode, set_modified, skipped, start, tree, wait_for,
};

/// The user whom PostgreSQL's server runs as where the tests are root, which it refuses to be: nobody.
const UNPRIVILEGED: u32 = 65534;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Something of the examples, or any other program, with the built programs before all others.
fn command(place: &Place, program: impl AsRef<Path>, words: &[impl AsRef<OsStr>]) -> Command {
    let program = program.as_ref();
    let example = examples().join(program);
    let mut command = place.program(if example.is_file() { &example } else { program }, words);
    let built = Path::new(env!("CARGO_BIN_EXE_careful-send")).parent().expect("a directory");
    let system = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::iter::once(place.path("bin")).chain([built.to_owned()]).chain(std::env::split_paths(&system));
    command.env("PATH", std::env::join_paths(directories).expect("a path")).env("TMPDIR", place.path("tmp"));
    place.directory("tmp");
    // Whatever language the person speaks: one that is not installed makes some of the programs complain.
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// The same, run to its end.
fn example(place: &Place, program: &str, words: &[&str]) -> Ran {
    run(&mut command(place, program, words))
}

/// An example that went well says nothing.
#[track_caller]
fn quietly(ran: &Ran) {
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, "", ""));
}

/// Whether all of these are installed; said loudly where not.
fn installed(programs: &[&str]) -> bool {
    let missing = |program: &&str| !run(Command::new("sh").args(["-c", &format!("command -v {program}")])).code.eq(&0);
    match programs.iter().copied().find(missing) {
        Some(program) => {
            skipped(&format!("{program} is not installed"));
            false
        }
        None => true,
    }
}

/// A program of the place's own, found before all others.
fn stand_in(place: &Place, name: &str, script: &str) {
    place.write(format!("bin/{name}"), format!("#!/bin/sh\n{script}\n").as_bytes());
    set_mode(&place.path(format!("bin/{name}")), 0o755);
}

/// careful-send, which does this first.
fn before_sending(place: &Place, script: &str) {
    stand_in(place, "careful-send", &format!("{script}\nexec {} \"$@\"", env!("CARGO_BIN_EXE_careful-send")));
}

/// Other bytes of the same length and time of modification.
fn rot(path: &Path) {
    let ((seconds, nanoseconds), mut bytes) = (Item::of(path).modified, std::fs::read(path).expect("a file"));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    set_modified(path, seconds, nanoseconds);
}

/// A program that runs beside a test and ends with it, however that ends.
struct Beside {
    running: Option<Running>,
    end: Signal,
}

impl Beside {
    fn new(running: Running, end: Signal) -> Self {
        Self { running: Some(running), end }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal(self.end);
            if !std::thread::panicking() {
                running.finish();
            }
        }
    }
}

/// A standing receiver with one sender, who knows its key already, and its directory `in`.
struct Vault {
    place: Place,
    address: String,
    receiver: Beside,
}

impl Vault {
    fn for_sender(sender: &Place, options: &str) -> Self {
        let place = Place::new();
        place.directory("in");
        set_mode(&place.path("in"), 0o755);
        let key = run(&mut sender.sender(&["key"])).exits(0).stdout;
        place.write("keys", format!("{} dir={} {options}\n", key.trim_end(), place.path("in").display()).as_bytes());
        set_mode(&place.path("keys"), 0o644);
        let words = ["--listen", "127.0.0.1:0", "--stay", "--allow", "keys"];
        let mut receiver = start(&mut place.receiver(&words));
        let line = receiver.first_line();
        let known = sender.state().join("careful/known_peers");
        std::fs::write(&known, format!("{line}\n")).expect("a list");
        set_mode(&known, 0o600);
        let (address, _key) = line.split_once(' ').expect("address and key");
        Self { address: address.to_owned(), place, receiver: Beside::new(receiver, Signal::TERM) }
    }

    fn at(&self, path: &str) -> String {
        format!("careful://{}/{path}", self.address)
    }

    fn end(self) -> Place {
        drop(self.receiver);
        self.place
    }
}

#[test]
fn every_example_is_explained_and_no_script_is_faulty() {
    if !installed(&["bash", "shellcheck"]) {
        return;
    }
    let mut scripts = 0;
    for (path, item) in tree(&examples()) {
        if item.kind == 'd' {
            assert!(examples().join(&path).join("README.md").is_file(), "{path:?} is not explained");
        } else if item.mode & 0o100 != 0 {
            let path = examples().join(path);
            run(Command::new("bash").arg("-n").arg(&path)).exits(0);
            run(Command::new("shellcheck").arg(&path)).exits(0);
            assert!(run(&mut Command::new(&path)).code == 2, "{path:?} without a word tells how it is used");
            scripts += 1;
        }
    }
    assert!(scripts >= 9, "{scripts}");
}

#[test]
fn nightly_copies_are_receipted_and_the_receipts_find_what_rotted() {
    if !installed(&["jq"]) {
        return;
    }
    let sender = Place::new();
    sender.random("photos/large", 2 * CHUNK + 1, 1);
    sender.random("photos/a b/small", 1000, 2);
    let vault = Vault::for_sender(&sender, "replace delete");
    let night = || {
        let mut night = command(&sender, "nightly/send-nightly", &["photos/", &vault.at(""), "--delete"]);
        run(night.env("STATE_DIRECTORY", sender.path("state")))
    };
    quietly(&night());
    let receipts = |place: &Place, top: &str| tree(&place.path(top).join("careful-receipts"));
    assert_eq!(tree(&vault.place.path("in/photos")), tree(&sender.path("photos")));
    assert_eq!(receipts(&vault.place, "in").len(), 1);

    sender.random("photos/large", 2 * CHUNK + 1, 3);
    std::fs::remove_file(sender.path("photos/a b/small")).expect("removed");
    sender.random("photos/new", 10, 4);
    quietly(&night());
    assert_eq!(tree(&vault.place.path("in/photos")), tree(&sender.path("photos")));
    assert_eq!(receipts(&vault.place, "in"), receipts(&sender, "state"), "those of both runs");
    assert_eq!(receipts(&vault.place, "in").len(), 2);

    example(&sender, "nightly/is-recent", &["state/status.json", "26"]).exits(0);
    example(&sender, "nightly/is-recent", &["state/status.json", "0"]).exits(2);
    std::fs::rename(sender.path("photos"), sender.path("elsewhere")).expect("renamed");
    let ran = night().exits(23);
    assert!(ran.stderr.contains("photos"), "{ran:?}");
    let ran = example(&sender, "nightly/is-recent", &["state/status.json", "26"]).exits(0);
    assert!(ran.stdout.contains("last success"), "the night before still counts: {ran:?}");

    let place = vault.end();
    let check = |place: &Place| example(place, "nightly/check-receipts", &["in"]);
    quietly(&check(&place));
    rot(&place.path("in/photos/new"));
    let ran = check(&place).exits(41);
    assert!(ran.stderr.contains("photos/new"), "{ran:?}");
}

#[test]
fn a_night_that_still_runs_is_not_doubled() {
    let place = Place::new();
    place.directory("state");
    let lock =
        rustix::fs::open(place.path("state/lock"), OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).expect("a lock");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let mut night = command(&place, "nightly/send-nightly", &["photos", "copy"]);
    let ran = run(night.env("STATE_DIRECTORY", place.path("state"))).exits(75);
    assert!(ran.stderr.contains("state/lock") && !place.has("copy"), "{ran:?}");
}

#[test]
fn systemd_takes_the_units_of_the_night() {
    if !installed(&["systemd-analyze"]) {
        return;
    }
    let place = Place::new();
    for unit in ["careful-nightly.service", "careful-nightly.timer"] {
        let text = std::fs::read_to_string(examples().join("nightly").join(unit)).expect("a unit");
        // The script is not installed where the unit expects it.
        let here = examples().join("nightly/send-nightly");
        place.write(unit, text.replace("/usr/local/bin/send-nightly", here.to_str().expect("UTF-8")).as_bytes());
    }
    let words = ["verify", "--man=no", "careful-nightly.timer", "careful-nightly.service"];
    let ran = run(&mut place.program("systemd-analyze", &words)).exits(0);
    assert!(!ran.stderr.contains("careful-nightly"), "{ran:?}");
}

/// A PostgreSQL server of its own, which listens on a socket in its directory only.
struct Postgresql {
    _server: Beside,
    directory: tempfile::TempDir,
}

impl Postgresql {
    fn new() -> Option<Self> {
        let programs = std::fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
            versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").is_file())
        });
        let Some(programs) = programs else {
            skipped("PostgreSQL is not installed");
            return None;
        };
        let directory = tempfile::tempdir().expect("a fresh directory");
        let unprivileged = |program: &str| {
            let program = programs.join(program);
            if !is_root() {
                return Command::new(program);
            }
            let mut command = Command::new("setpriv");
            let (user, group) = (format!("--reuid={UNPRIVILEGED}"), format!("--regid={UNPRIVILEGED}"));
            command.args([&user, &group, "--clear-groups"]).arg(program);
            command
        };
        if is_root() {
            std::os::unix::fs::chown(directory.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("an owner");
        }
        let data = directory.path().join("data");
        let mut initdb = unprivileged("initdb");
        initdb.current_dir(directory.path()).args(["-A", "trust", "-U", "admin", "--locale=C", "--no-sync", "-D"]);
        run(initdb.arg(&data)).exits(0);
        let mut server = unprivileged("postgres");
        server.current_dir(directory.path()).args(["-c", "listen_addresses=", "-c", "fsync=off", "-D"]).arg(&data);
        let server = start(server.arg("-k").arg(directory.path()));
        // At once, without waiting for anybody.
        let started = Self { _server: Beside::new(server, Signal::QUIT), directory };
        let place = Place::new();
        wait_for("the server", || run(&mut started.on(command(&place, "pg_isready", &["-q"]))).code == 0);
        Some(started)
    }

    /// The same command, for this server.
    fn on(&self, mut command: Command) -> Command {
        command.env("PGHOST", self.directory.path()).env("PGUSER", "admin").env("PGDATABASE", "postgres");
        command
    }
}

/// Who may read everything, and of the last table no row: pg_dump stops there, after it has written the others.
const DATABASE: &str = "create database shop; \\c shop
    create table a_orders as select n, md5(n::text) as word from generate_series(1, 20000) n;
    create table z_secrets as select 1 as n;
    create role reader login; grant select on all tables in schema public to reader;";
const BREAK: &str = "alter table z_secrets enable row level security;";

#[test]
fn only_a_whole_dump_replaces_the_one_before_it() {
    let Some(postgresql) = Postgresql::new() else { return };
    let place = Place::new();
    let sql = |database: &str, words: &str| {
        place.write("sql", words.as_bytes());
        run(&mut postgresql.on(command(&place, "psql", &["-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "sql"])))
            .exits(0)
    };
    sql("postgres", DATABASE);
    let dump = || {
        let mut dump = postgresql.on(command(&place, "postgresql/dump-and-send", &["shop", "vault/"]));
        run(dump.env("PGUSER", "reader"))
    };
    quietly(&dump());

    sql("postgres", "create database again");
    let mut restore = postgresql.on(command(&place, "pg_restore", &["-d", "again", "vault/shop.dump"]));
    run(&mut restore).exits(0);
    let content = "\\pset format unaligned\nselect * from a_orders order by n; select * from z_secrets";
    assert_eq!(sql("again", content).stdout, sql("shop", content).stdout);

    let good = place.read("vault/shop.dump");
    sql("shop", BREAK);
    let ran = dump().exits(1);
    assert!(ran.stderr.contains("row-level security"), "{ran:?}");
    assert_eq!(place.read("vault/shop.dump"), good);
    assert!(tree(&place.path("tmp")).is_empty(), "no half dump is left");

    // What README.md of the example warns of: through a pipe the half dump is taken for the whole.
    let pipe = "set -o pipefail; pg_dump shop | careful-send --quiet - vault/shop.sql";
    sql("shop", "alter table z_secrets disable row level security;");
    run(postgresql.on(command(&place, "bash", &["-c", pipe])).env("PGUSER", "reader")).exits(0);
    let whole = place.read("vault/shop.sql");
    sql("shop", BREAK);
    let ran = run(postgresql.on(command(&place, "bash", &["-c", pipe])).env("PGUSER", "reader")).exits(1);
    assert!(!ran.stderr.contains("careful-send"), "{ran:?}");
    let half = place.read("vault/shop.sql");
    assert!(half.len() > 1000 && half.len() < whole.len(), "{} of {}", half.len(), whole.len());
}

#[test]
fn a_snapshot_is_sent_as_it_was_whatever_changes_meanwhile_and_is_gone_in_the_end() {
    if !is_root() {
        skipped("mounting needs root");
        return;
    }
    if !installed(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let place = Place::new();
    let image = place.path("image");
    run(Command::new("truncate").args(["--size", "256M"]).arg(&image)).exits(0);
    run(Command::new("mkfs.btrfs").arg("-q").arg(&image)).exits(0);
    let Some(_mount) = Mount::image(&image, &place.path("disk")) else { return };
    let at = |name: &str| place.path("disk/files").join(name);
    run(Command::new("btrfs").args(["subvolume", "create"]).arg(place.path("disk/files"))).exits(0);
    let words = place.random("disk/files/words", 3 * CHUNK, 1);
    place.random("disk/files/below/index", 5000, 2);
    let before = tree(&place.path("disk/files"));
    // The original changes right before the snapshot is sent.
    before_sending(&place, "echo other >disk/files/words; rm disk/files/below/index");
    quietly(&example(&place, "snapshot/send-snapshot", &["disk/files", "copy"]));
    assert_eq!(tree(&place.path("copy")), before);
    assert_eq!(place.read("copy/words"), words);
    assert!(!at(".careful-snapshot").exists());

    // One that a killed run left is not sent, and a run that fails leaves none.
    let left = at(".careful-snapshot");
    run(Command::new("btrfs").args(["subvolume", "snapshot", "-r"]).args([&place.path("disk/files"), &left])).exits(0);
    place.write("disk/files/newer", b"newer");
    before_sending(&place, "");
    let words = ["disk/files", "copy", "--no-replace"];
    let ran = example(&place, "snapshot/send-snapshot", &words).exits(23);
    assert!(ran.stderr.contains("words"), "{ran:?}");
    assert!(!left.exists());
    assert_eq!(place.read("copy/newer"), b"newer");
}

/// A tree with two files to back up, one of them new with every call.
fn files_to_back_up(place: &Place, seed: u64) {
    place.random("files/large", 3 * CHUNK, 1);
    place.random(format!("files/{seed}"), 300_000, seed);
}

#[test]
fn a_copy_of_a_restic_repository_can_be_restored_from_and_needs_no_leave_to_replace() {
    if !installed(&["restic"]) {
        return;
    }
    let sender = Place::new();
    let vault = Vault::for_sender(&sender, "");
    let restic = |words: &[&str]| {
        let mut restic = command(&sender, "restic", &[&["-q", "--no-cache"], words].concat());
        run(restic.env("RESTIC_PASSWORD", "a word")).exits(0)
    };
    let copy = vault.place.path("in/restic");
    let copy = copy.to_str().expect("UTF-8");
    restic(&["init", "-r", "repository"]);
    for seed in [7, 8] {
        files_to_back_up(&sender, seed);
        restic(&["backup", "-r", "repository", "files"]);
        // What a backup that runs meanwhile, or was killed, leaves.
        sender.write("repository/locks/0123", b"a lock");
        sender.write("repository/data/00/0123-tmp-456", b"half a pack");
        quietly(&example(&sender, "repositories/send-restic", &["repository", &vault.at("restic")]));
        std::fs::remove_file(sender.path("repository/locks/0123")).expect("removed");
        restic(&["check", "--read-data", "-r", copy]);
    }
    // A backup that is made while the copy is: its snapshot is left to the next run, as its data may not be there.
    let backup = "restic -q --no-cache -r repository --password-command 'echo a word' backup bin";
    let script =
        format!("case \"$*\" in *--files-from*) {backup} ;; esac; exec {} \"$@\"", env!("CARGO_BIN_EXE_careful-send"));
    stand_in(&sender, "careful-send", &script);
    quietly(&example(&sender, "repositories/send-restic", &["repository", &vault.at("restic")]));
    std::fs::remove_file(sender.path("bin/careful-send")).expect("removed");
    let snapshots = |top: &Path| tree(&top.join("snapshots")).len();
    assert_eq!((snapshots(&sender.path("repository")), snapshots(Path::new(copy))), (3, 2));
    restic(&["check", "--read-data", "-r", copy]);
    restic(&["restore", "-r", copy, "latest", "--target", "restored"]);
    assert_eq!(tree(&sender.path("restored/files")), tree(&sender.path("files")));

    restic(&["forget", "--keep-last", "1", "--prune", "-r", "repository"]);
    let ran = example(&sender, "repositories/send-restic", &["--delete", "repository", &vault.at("restic")]);
    assert!(ran.code != 0 && ran.stderr.contains("--allow-delete"), "this key may not delete: {ran:?}");
    restic(&["check", "--read-data", "-r", copy]);
    quietly(&example(&sender, "repositories/send-restic", &["--delete", "repository", "with leave"]));
    quietly(&example(&sender, "repositories/send-restic", &["--delete", "repository", "with leave"]));
    restic(&["check", "--read-data", "-r", "with leave"]);
    let names = |top: &Path| tree(top).into_keys().filter(|path| !path.ends_with("0123-tmp-456")).collect::<Vec<_>>();
    assert_eq!(names(&sender.path("with leave")), names(&sender.path("repository")));
}

#[test]
fn a_copy_of_a_borg_repository_is_whole_and_without_its_lock() {
    if !installed(&["borg"]) {
        return;
    }
    let place = Place::new();
    let borg = |mut command: Command| {
        command.env("BORG_PASSPHRASE", "a word").env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
        run(command.env("BORG_BASE_DIR", place.path("borg")))
    };
    let send = || borg(command(&place, "repositories/send-borg", &["repository", "vault/copy"]));
    borg(command(&place, "borg", &["init", "-e", "repokey", "repository"])).exits(0);
    place.directory("vault");
    for seed in [7, 8] {
        files_to_back_up(&place, seed);
        borg(command(&place, "borg", &["create", &format!("repository::{seed}"), "files"])).exits(0);
        quietly(&send());
        assert!(!place.has("vault/copy/lock.exclusive") && !place.has("vault/copy/lock.roster"));
        borg(command(&place, "borg", &["check", "--verify-data", "vault/copy"])).exits(0);
    }
    // Interrupted in the middle of the segments, the copy is what it was.
    files_to_back_up(&place, 9);
    borg(command(&place, "borg", &["create", "repository::9", "files"])).exits(0);
    let built = env!("CARGO_BIN_EXE_careful-send");
    before_sending(
        &place,
        &format!("case \"$*\" in *--delete*) exit 10 ;; esac; exec {built} --max-size 100000 \"$@\""),
    );
    send().exits(10);
    std::fs::remove_file(place.path("bin/careful-send")).expect("removed");
    borg(command(&place, "borg", &["check", "--verify-data", "vault/copy"])).exits(0);
    // At another host, which does not know that the original is ahead.
    let list = "BORG_BASE_DIR=$PWD/there exec borg list --short vault/copy";
    let archives = borg(command(&place, "sh", &["-c", list])).exits(0).stdout;
    assert_eq!(archives, "7\n8\n");
    borg(command(&place, "borg", &["delete", "repository::7"])).exits(0);
    borg(command(&place, "borg", &["compact", "repository"])).exits(0);
    quietly(&send());
    borg(command(&place, "borg", &["check", "--verify-data", "vault/copy"])).exits(0);
    place.directory("restored");
    let mut extract = command(&place, "borg", &["extract", "../vault/copy::9"]);
    extract.current_dir(place.path("restored"));
    borg(extract).exits(0);
    assert_eq!(tree(&place.path("restored/files")), tree(&place.path("files")));
}

#[test]
fn two_remote_hosts_send_to_each_other_and_the_files_do_not_pass_this_one() {
    let Some(hosts) = Namespaces::pair() else { return };
    let Some(source) = Far::by(&hosts.on(Host::One, &Command::new(SSHD))) else { return };
    let Some(target) = Far::by(&hosts.on(Host::Other, &Command::new(SSHD))) else { return };
    let place = Place::new();
    // ssh knows both hosts: each is `far` in a file of its own.
    let script = format!(
        "PATH=/usr/bin:/bin; case $2 in source) exec {} far \"$3\" ;; target) exec {} far \"$3\" ;; esac",
        source.ssh(),
        target.ssh()
    );
    stand_in(&place, "ssh", &script);
    source.place.random("it's here/large", 5 * CHUNK + 1, 1);
    source.place.random("it's here/small", 100, 2);
    let at = |host: &str, far: &Far, name: &str| format!("{host}:{}", far.place.path(name).display());
    target.place.directory("to there");
    let words = [at("source", &source, "it's here"), at("target", &target, "to there")];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    quietly(&example(&place, "two-remotes/send-between", &words));
    assert_eq!(tree(&target.place.path("to there/it's here")), tree(&source.place.path("it's here")));
    // Without a network between the two nothing is left to send by.
    let missing = at("source", &source, "missing");
    let ran = example(&place, "two-remotes/send-between", &[&missing, words[1], "10.77.0.2"]).exits(23);
    assert!(ran.stderr.contains("missing"), "{ran:?}");
}

#[test]
fn a_scrub_is_silent_until_a_copy_rots() {
    let place = Place::new();
    place.random("source/a", 5000, 1);
    place.random("source/b", 2 * CHUNK, 2);
    place.send(&["source", "vault/"]).exits(0);
    quietly(&example(&place, "scrub/scrub", &["vault"]));
    quietly(&example(&place, "scrub/scrub", &["vault", "100%"]));
    rot(&place.path("vault/source/b"));
    let ran = example(&place, "scrub/scrub", &["vault", "100%"]).exits(41);
    assert!(ran.stderr.contains("vault/source/b") && !ran.stderr.contains("source/a"), "{ran:?}");
}
