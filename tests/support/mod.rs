//! What all tests of the two programs share: a fresh place on a real disk, ways to run the programs, and what to compare.
//!
//! Every wait has a limit, and nothing waits for a time to pass: only for conditions.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk past the program's own door"
)]

pub(crate) mod far;
pub(crate) mod network;
pub(crate) mod schema;
pub(crate) mod ssh_hosts;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use careful::protocol::entry::Name;
use careful::record::ATTRIBUTE;
use careful::seams::disk::Disk;
use careful::seams::os_disk::OsDisk;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::process::{Pid, Signal};
use serde_json::Value;

/// The program's default chunk: what is longer travels by itself, in chunks.
pub(crate) const CHUNK: usize = 1 << 20;
/// No run and no wait takes longer.
const LIMIT: Duration = Duration::from_secs(90);

/// A fresh directory on a real disk, removed in the end, and a fresh state directory for the programs that run in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let fresh = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a fresh directory");
        Self { directory: fresh(), state: fresh() }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// A file with random bytes, the same for the same seed.
    pub(crate) fn random(&self, name: impl AsRef<Path>, length: usize, seed: u64) -> Vec<u8> {
        let bytes = random_bytes(length, seed);
        self.write(name, &bytes);
        bytes
    }

    /// A file, with the directories above it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, bytes).expect("a file");
    }

    pub(crate) fn directory(&self, name: impl AsRef<Path>) {
        std::fs::create_dir_all(self.path(name)).expect("a directory");
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether anything has the name.
    pub(crate) fn has(&self, name: impl AsRef<Path>) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// careful-send, to run here.
    pub(crate) fn sender(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        self.program(env!("CARGO_BIN_EXE_careful-send"), arguments)
    }

    /// careful-recv, to run here.
    pub(crate) fn receiver(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        self.program(env!("CARGO_BIN_EXE_careful-recv"), arguments)
    }

    /// Runs `careful-check --json` to its end.
    pub(crate) fn check(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        run(self.program(env!("CARGO_BIN_EXE_careful-check"), arguments).arg("--json"))
    }

    /// A program to run here. It shares nothing with the person who runs the tests.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).env("XDG_STATE_HOME", self.state.path());
        command.env_remove("RUST_LOG");
        command
    }

    /// Runs `careful-send --json` to its end.
    pub(crate) fn send(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        run(self.sender(arguments).arg("--json"))
    }

    /// All staging files below a directory.
    pub(crate) fn staging_files(&self, directory: impl AsRef<Path>) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = tree(&self.path(directory)).into_keys().collect();
        found.retain(|path| {
            path.file_name().is_some_and(|name| careful::protocol::entry::is_staging_name(name.as_bytes()))
        });
        found
    }
}

/// A program that is running, its outputs read as they come.
pub(crate) struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What a program has printed so far, and the thread that takes it.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Output {
    fn collect(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut part = [0; 4096];
            loop {
                match from.read(&mut part).expect("output") {
                    0 => return,
                    length => collected.lock().expect("no panic").extend_from_slice(&part[..length]),
                }
            }
        });
        Self { bytes, thread }
    }

    fn so_far(&self) -> String {
        String::from_utf8(self.bytes.lock().expect("no panic").clone()).expect("UTF-8")
    }

    fn all(self) -> String {
        self.thread.join().expect("a thread");
        String::from_utf8(self.bytes.lock().expect("no panic").clone()).expect("UTF-8")
    }
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; negative the signal that ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Ran {
    start(command).finish()
}

pub(crate) fn start(command: &mut Command) -> Running {
    start_with_input(command, Stdio::null())
}

pub(crate) fn start_with_input(command: &mut Command, input: Stdio) -> Running {
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = Output::collect(child.stdout.take().expect("a pipe"));
    let stderr = Output::collect(child.stderr.take().expect("a pipe"));
    Running { child, stdout, stderr }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The first line on standard output, without its end, once it is there.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = None;
        wait_for("a line", || {
            let ended = self.has_ended();
            line = self.stdout.so_far().split_once('\n').map(|(line, _)| line.to_owned());
            assert!(line.is_some() || !ended, "it ended without a line: {}", self.stderr.so_far());
            line.is_some()
        });
        line.expect("a line")
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Sends a signal, if the program has not ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            kill(self.pid(), signal);
        }
    }

    /// The careful-recv that this careful-send started, once it runs; nothing if all is over before.
    pub(crate) fn receiver(&mut self) -> Option<Pid> {
        self.started("careful-recv")
    }

    /// A child process that runs this program, once it does; nothing if all is over before.
    pub(crate) fn started(&mut self, program: &str) -> Option<Pid> {
        let mut found = None;
        wait_for("the child to start", || {
            found = children(self.pid(), program).first().copied();
            found.is_some() || self.has_ended()
        });
        found
    }

    pub(crate) fn finish(mut self) -> Ran {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() < deadline => pause(),
                None => {
                    self.child.kill().expect("a child");
                    self.child.wait().expect("a child");
                    panic!("still running after {LIMIT:?}");
                }
            }
        };
        let code = status.code().unwrap_or_else(|| -status.signal().expect("a code or a signal"));
        let ran = Ran { code, stdout: self.stdout.all(), stderr: self.stderr.all() };
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        ran.assert_events_are_described();
        ran
    }
}

impl Ran {
    /// What was put out with --json is what the schema says, in every run of every test. Many events of a kind look alike:
    /// the first are enough. A line that a killed program did not finish is none.
    fn assert_events_are_described(&self) {
        let events = schema::Schema::of(schema::EVENTS);
        let whole = self.stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines().take(100).filter(|line| line.starts_with("{\"event\"")) {
            let event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if let Err(why) = events.judged(&event) {
                panic!("{why}: {line}");
            }
        }
    }

    /// The same run, once its exit code is the right one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// All events of a run with --json, one a line.
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(event).collect()
    }

    /// All events of one kind.
    pub(crate) fn events_of(&self, kind: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == kind);
        events
    }

    /// The summary: the last event, and the only one of its kind, with the code that the program ended with.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let events = self.events();
        let last = events.last().unwrap_or_else(|| panic!("no event: {self:?}")).clone();
        assert_eq!(last["event"], "summary", "{self:?}");
        assert_eq!(self.events_of("summary").len(), 1, "{self:?}");
        assert_eq!(last["exit"], self.code, "{self:?}");
        last
    }

    #[track_caller]
    pub(crate) fn count(&self, field: &str) -> u64 {
        self.summary()[field].as_u64().unwrap_or_else(|| panic!("no number {field}: {self:?}"))
    }

    /// Paths of all receipts, in order.
    pub(crate) fn receipted(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.events_of("receipt").iter().map(|event| event["path"].as_str().expect("a path").to_owned()).collect();
        paths.sort();
        paths
    }

    /// Paths and codes of all files that failed, in order. What concerns the transfer as a whole is none of them.
    pub(crate) fn failed(&self) -> Vec<(String, u64)> {
        let failed = |event: &Value| {
            let path = event.get("path")?.as_str().expect("a path").to_owned();
            Some((path, event["code"].as_u64().expect("a code")))
        };
        let mut failed: Vec<_> = self.events_of("error").iter().filter_map(failed).collect();
        failed.sort();
        failed
    }
}

/// Origin, stored and durable as the file system allows them for a copy within this directory.
pub(crate) fn words_possible(directory: &Path) -> [&'static str; 3] {
    let kind = rustix::fs::statfs(directory).expect("a file system").f_type as u64;
    match kind {
        // ext4, XFS
        0xEF53 | 0x5846_5342 => ["reread", "device", "yes"],
        // tmpfs, ramfs
        0x0102_1994 | 0x8584_58F6 => {
            say(&format!("{} is in memory: weaker words are expected", directory.display()));
            ["first-read", "cache", "no"]
        }
        // overlayfs: whether it is durable depends on what is beneath, and on whether that can be seen from here.
        0x794C_7630 => {
            say(&format!("{} is an overlay: weaker words are expected", directory.display()));
            let is_durable = OsDisk.open_directory(directory).and_then(|directory| directory.is_durable());
            ["first-read", "cache", if is_durable.expect("a directory") { "yes" } else { "no" }]
        }
        _ => {
            say(&format!("{} is of kind {kind:#x}: weaker words are expected", directory.display()));
            ["first-read", "cache", "yes"]
        }
    }
}

/// The three words of a receipt or a summary.
pub(crate) fn words(event: &Value) -> [&str; 3] {
    ["origin", "stored", "durable"].map(|field| event[field].as_str().unwrap_or("none at all"))
}

/// What lies beneath a directory, by path: kind, mode, time of modification, and the bytes of files.
pub(crate) fn tree(top: &Path) -> BTreeMap<PathBuf, Item> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(top.join(&directory))
            .unwrap_or_else(|error| panic!("{}: {error}", top.join(&directory).display()));
        for entry in entries {
            let path = directory.join(entry.expect("an entry").file_name());
            let item = Item::of(&top.join(&path));
            if item.kind == 'd' {
                open.push(path.clone());
            }
            found.insert(path, item);
        }
    }
    found
}

/// One entry of a [`tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// As ls shows it, `?` for what is neither file, directory nor link.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) modified: (i64, i64),
    pub(crate) root: Option<blake3::Hash>,
}

impl Item {
    pub(crate) fn of(path: &Path) -> Self {
        let metadata = path.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kind = match metadata.file_type() {
            kind if kind.is_file() => '-',
            kind if kind.is_dir() => 'd',
            kind if kind.is_symlink() => 'l',
            _ => '?',
        };
        let root = (kind == '-').then(|| blake3::hash(&std::fs::read(path).expect("a file")));
        Self { kind, mode: metadata.mode() & 0o7777, modified: (metadata.mtime(), metadata.mtime_nsec()), root }
    }
}

/// The name of the staging file of a target.
pub(crate) fn staging_name(target: &str) -> OsString {
    Name::new(target.as_bytes()).expect("a name").staging()
}

/// Bytes that no run of the same length and seed gets otherwise.
pub(crate) fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A number below the limit, the same for the same seed.
pub(crate) fn random_below(limit: u64, seed: u64) -> u64 {
    let bytes = random_bytes(8, seed ^ 0x5eed_0000_0000);
    u64::from_le_bytes(bytes.try_into().expect("8 bytes")) % limit
}

pub(crate) fn root_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The bytes of the record that is stored with a file.
pub(crate) fn stored_record(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let length = rustix::fs::getxattr(path, ATTRIBUTE, &mut bytes[..]).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Sets the time of modification, of a directory, too.
pub(crate) fn set_modified(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
}

pub(crate) fn modified(path: &Path) -> SystemTime {
    path.symlink_metadata().expect("metadata").modified().expect("a time")
}

pub(crate) fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
}

/// Holds the staging file of a target as another transfer would: who wants it waits for a few seconds.
pub(crate) struct HeldStaging {
    file: rustix::fd::OwnedFd,
    path: PathBuf,
}

impl HeldStaging {
    /// Makes the staging file and locks it.
    pub(crate) fn new(directory: &Path, target: &str) -> Self {
        let path = directory.join(staging_name(target));
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).expect("a staging file");
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
        Self { file, path }
    }

    /// Waits until the process has the file open, and so has decided that it is what it wants.
    pub(crate) fn wait_until_wanted_by(&self, process: Pid) {
        wait_for("the staging file to be opened", || {
            let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
            open.flatten().any(|entry| entry.path().read_link().is_ok_and(|file| file == self.path))
        });
    }

    pub(crate) fn release(self) {
        rustix::fs::flock(&self.file, FlockOperation::Unlock).expect("an unlock");
    }
}

pub(crate) fn kill(process: Pid, signal: Signal) {
    // It may be gone: then there is nothing to do.
    rustix::process::kill_process(process, signal).ok();
}

/// Bytes that the process has handed to write calls (on Linux without what went into sockets); nothing once it is gone.
pub(crate) fn bytes_written(process: Pid) -> Option<u64> {
    // One that has ended, and that nobody has asked for yet, has no program any more.
    std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
    let counters = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    counters.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

fn children(parent: Pid, program: &str) -> Vec<Pid> {
    let parent = parent.to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // pid (name) state parent …
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(&parent)
            // Between fork and exec it is still a copy of its parent.
            && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with(program))
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Waits for a condition, with a limit.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        pause();
    }
}

/// Between two looks at a condition.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(1));
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test could not be run; where every test must run, that is a failure.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "may not be skipped here: {why}");
    say(&format!("SKIPPED: {why}"));
}

#[expect(clippy::print_stderr, reason = "a test that did less than its name claims must say so")]
pub(crate) fn say(words: &str) {
    eprintln!("{words}");
}

/// Makes an ext4 file system in an image file of so many bytes; false, said loudly, where that cannot be done.
pub(crate) fn make_ext4(image: &Path, length: u64) -> bool {
    make_image(image, length, &["mkfs.ext4", "-q", "-F", "-b", "4096"])
}

/// Makes a file system in an image file of so many bytes by this program and its options; false, said loudly, where that
/// cannot be done.
pub(crate) fn make_image(image: &Path, length: u64, maker: &[&str]) -> bool {
    File::create(image).and_then(|file| file.set_len(length)).expect("an image");
    succeeds(Command::new(maker[0]).args(&maker[1..]).arg(image))
}

/// Runs a program of the system to its end; false, said loudly, where it cannot be run or fails.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        other => {
            skipped(&format!("{command:?} failed: {other:?}"));
            false
        }
    }
}

/// Flips a bit in the middle of the one place in the image that holds these bytes, a block at least: under a mounted file
/// system, too, which knows nothing of it.
pub(crate) fn flip_in_image(image: &Path, bytes: &[u8]) {
    // The smallest block of a file system.
    const BLOCK: usize = 1024;
    let content = std::fs::read(image).expect("an image");
    let mut places = content.chunks(BLOCK).enumerate().filter(|(_, block)| *block == &bytes[..BLOCK]);
    let (block, _) = places.next().expect("the bytes are in the image");
    assert!(places.next().is_none(), "the bytes are in one place only");
    let at = block * BLOCK + BLOCK / 2;
    let image = File::options().write(true).open(image).expect("an image");
    image.write_all_at(&[content[at] ^ 0x10], at as u64).expect("an image");
}

/// A file system, mounted below a place and unmounted in the end. Root only.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// One in memory; nothing, said loudly, where mounting is not permitted.
    pub(crate) fn tmpfs(directory: &Path, options: &str) -> Option<Self> {
        Self::in_memory("tmpfs", directory, options)
    }

    /// One in memory that has no extended attributes.
    pub(crate) fn ramfs(directory: &Path) -> Option<Self> {
        Self::in_memory("ramfs", directory, "mode=755")
    }

    fn in_memory(kind: &str, directory: &Path, options: &str) -> Option<Self> {
        Self::of(directory, Command::new("mount").args(["-t", kind, "-o", options, "careful-test"]))
    }

    /// The file system in an image file; nothing, said loudly, where mounting is not permitted.
    pub(crate) fn image(image: &Path, directory: &Path) -> Option<Self> {
        Self::image_with(image, directory, "rw")
    }

    /// The same with options of mount(8).
    pub(crate) fn image_with(image: &Path, directory: &Path, options: &str) -> Option<Self> {
        Self::of(directory, Command::new("mount").args(["-o", &format!("loop,{options}")]).arg(image))
    }

    /// What is mounted by this command, which gets the directory as its last argument.
    pub(crate) fn of(directory: &Path, command: &mut Command) -> Option<Self> {
        if !is_root() {
            skipped("mounting needs root");
            return None;
        }
        std::fs::create_dir_all(directory).expect("a directory");
        succeeds(command.arg(directory)).then(|| Self(directory.to_owned()))
    }

    /// Everything is in the image afterwards, and nothing of it in memory.
    pub(crate) fn unmount(self) {
        let status = Command::new("umount").arg(&self.0).status().expect("umount");
        assert!(status.success());
        std::mem::forget(self);
    }

    /// Mounts it anew with other options: `ro`, another size.
    pub(crate) fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status().expect("mount");
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whatever a failed test left open must not keep it mounted.
        if let Ok(status) = Command::new("umount").arg("-l").arg(&self.0).status() {
            assert!(status.success() || std::thread::panicking(), "umount");
        }
    }
}
