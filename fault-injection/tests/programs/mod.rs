//! The unmodified programs, run from outside in a fresh place: built once, found beside this test's own program.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![expect(clippy::disallowed_methods, reason = "tests look at the disk past the program's own door")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use careful::connect::ticket::Ticket;
use careful::seams::os_disk::OsDisk;
use careful::wire::identity::{KeyPair, load_or_create};
use careful_faults::rig::content;
use serde_json::Value;
use tempfile::TempDir;

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A program of the root package, built as this test was.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let test = std::env::current_exe().expect("a test is a program");
        let folder = test.parent().and_then(Path::parent).expect("tests lie in the folder `deps` of a profile");
        let is_release = folder.ends_with("release");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "careful", "--bins"]).args(is_release.then_some("--release"));
        build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
        build.arg("--target-dir").arg(folder.parent().expect("a profile lies in a target directory"));
        assert!(build.status().expect("cargo can be run").success(), "the programs can be built");
        folder.to_owned()
    });
    folder.join(name)
}

/// A fresh directory with `source` and `target` in it, and a state directory for the programs.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a fresh directory"));
        for name in ["source", "target", "state-of-sender", "state-of-receiver"] {
            std::fs::create_dir(place.path(name)).expect("a directory");
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of the source that looks random, another for each seed.
    pub(crate) fn source(&self, name: &str, length: usize, seed: u64) {
        let path = self.path("source").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content(seed, length)).expect("a file");
    }

    /// The sender's identity, as its program finds it.
    pub(crate) fn identity(&self) -> KeyPair {
        let path = self.path("state-of-sender/careful/identity");
        load_or_create(&OsDisk, &path).expect("an identity")
    }

    /// Files of the source that are under the target's names, and those that are there and wrong.
    pub(crate) fn compare(&self) -> Compared {
        let (sources, targets) = (tree(&self.path("source")), tree(&self.path("target/source")));
        let mut compared = Compared::default();
        for (path, bytes) in &sources {
            match targets.get(path) {
                Some(found) if found == bytes => compared.right += 1,
                Some(_) => compared.wrong += 1,
                None => compared.missing += 1,
            }
        }
        compared.unknown = targets.keys().filter(|path| !sources.contains_key(*path)).count();
        compared
    }

    /// A receiver that waits for one sender.
    pub(crate) fn receive(&self) -> Receiving {
        let mut command = Command::new(program("careful-recv"));
        command.args(["--listen", "127.0.0.1:0"]).arg(self.path("target"));
        command.env("XDG_STATE_HOME", self.path("state-of-receiver"));
        let mut running = Running::start(&mut command);
        let mut output = BufReader::new(running.output.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let ticket = line.trim_end().parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        Receiving { running, _output: output, ticket }
    }

    /// Sends the source to this ticket; answers when the sender has ended.
    pub(crate) async fn send(&self, ticket: &Ticket, arguments: &[&str]) -> Sent {
        let sent = self.send_within(LIMIT, ticket, arguments).await;
        assert!(sent.code >= 0, "still running after {LIMIT:?}: {sent:?}");
        sent
    }

    /// As [`Self::send`]; a sender that runs on after this time is killed.
    pub(crate) async fn send_within(&self, limit: Duration, ticket: &Ticket, arguments: &[&str]) -> Sent {
        let mut command = Command::new(program("careful-send"));
        command.arg("--json").args(arguments).arg(self.path("source")).arg(ticket.to_string());
        command.env("XDG_STATE_HOME", self.path("state-of-sender"));
        tokio::task::spawn_blocking(move || {
            let mut running = Running::start(&mut command);
            let mut output = running.output.take().expect("a pipe");
            let reading = std::thread::spawn(move || text(&mut output));
            let (code, stderr) = running.finish(limit);
            let events = reading.join().expect("no panic").lines().map(serde_json::from_str).collect();
            Sent { code, events: serde_json::Result::expect(events, "events"), stderr }
        })
        .await
        .expect("no panic")
    }
}

/// What lies at the receiver, against the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) missing: usize,
    /// Names that the source does not have, staging files among them.
    pub(crate) unknown: usize,
}

fn tree(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(items) = std::fs::read_dir(&directory) else { continue };
        for item in items {
            let path = item.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(top).expect("below the top").to_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// careful-recv, waiting.
pub(crate) struct Receiving {
    running: Running,
    /// Open as long as the program runs.
    _output: BufReader<ChildStdout>,
    pub(crate) ticket: Ticket,
}

impl Receiving {
    /// Its exit code, once it has ended; -1 if it had to be killed.
    pub(crate) async fn finish(self) -> i32 {
        tokio::task::spawn_blocking(move || self.running.finish(LIMIT).0).await.expect("no panic")
    }
}

/// How careful-send ended.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Its exit code; -1 if it had to be killed.
    pub(crate) code: i32,
    events: Vec<Value>,
    pub(crate) stderr: String,
}

impl Sent {
    /// A number of the summary.
    #[track_caller]
    pub(crate) fn count(&self, field: &str) -> u64 {
        let summary = self.events.last().unwrap_or_else(|| panic!("no event: {self:?}"));
        summary[field].as_u64().unwrap_or_else(|| panic!("no number {field}: {self:?}"))
    }

    /// How many events of a kind there were.
    pub(crate) fn events(&self, kind: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == kind).count()
    }
}

/// A program that is killed if it is left.
struct Running {
    child: Child,
    output: Option<ChildStdout>,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut errors: ChildStderr = child.stderr.take().expect("a pipe");
        let errors = std::thread::spawn(move || text(&mut errors));
        Self { output: child.stdout.take(), errors: Some(errors), child }
    }

    /// Exit code and standard error; the code is -1 if the program had to be killed after this time.
    fn finish(mut self, limit: Duration) -> (i32, String) {
        let deadline = Instant::now() + limit;
        while self.child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                self.child.kill().expect("a child");
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().expect("a child").code().unwrap_or(-1);
        let errors = self.errors.take().map(|errors| errors.join().expect("no panic")).unwrap_or_default();
        (code, errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails only if the program has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("UTF-8");
    text
}
