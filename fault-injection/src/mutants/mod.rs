//! Mutants: the program with one named guard removed, each to be found by a run.
//!
//! Whether a check finds what it is there for is shown by taking something away from the program. The mutants stand in
//! a list ([`list`]); all are built at once into a copy of the workspace ([`builder`]); then one process runs the
//! [`mod@detectors`] for each. A guard behind which another one stands is shown harmless alone, and found with both
//! gone.
//! **Nothing of this is in the program: the copy alone can be switched.**

mod builder;
pub mod detectors;
pub mod door;
pub mod list;
pub mod order;
mod trial;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use self::detectors::detectors;
use self::list::{Expected, ListError, Mutant};

/// Longest time that one process may take, for all detectors.
const LIMIT: Duration = Duration::from_secs(240);

/// Where to build and how many processes to run at once.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the workspace.
    pub root: PathBuf,
    /// Cargo's target directory. What is compiled there already is used again.
    pub target: PathBuf,
    /// Processes at once.
    pub jobs: usize,
    /// Only mutants with one of these names; all if there are none.
    pub only: Vec<String>,
}

/// What became of one mutant, or of the program itself, which has no name.
#[derive(Clone, Debug)]
pub struct MutantResult {
    /// The entry of the list.
    pub mutant: Mutant,
    /// What was seen.
    pub outcome: Outcome,
    /// How long its process took.
    pub took: Duration,
}

/// What was seen of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every detector holds.
    Unnoticed,
    /// A detector does not hold.
    Found {
        /// Which.
        detector: String,
        /// What it saw, with the line that replays it where it ran a plan.
        saw: String,
    },
    /// The process ended without a word: an assertion, or a time limit.
    Crashed(String),
    /// The process could not be run: nothing is known.
    NotRun(String),
}

impl MutantResult {
    /// Whether it is as the list says: found, or harmless alone.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        match self.outcome {
            Outcome::Unnoticed => matches!(self.mutant.expected, Expected::Harmless(_)),
            Outcome::Found { .. } | Outcome::Crashed(_) => matches!(self.mutant.expected, Expected::Found(_)),
            Outcome::NotRun(_) => false,
        }
    }
}

impl fmt::Display for MutantResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            if self.mutant.names.is_empty() { "(the program)".to_owned() } else { self.mutant.names.join(" + ") };
        write!(f, "{names} [{}] {:.1} s: ", self.mutant.row, self.took.as_secs_f32())?;
        match (&self.outcome, &self.mutant.expected) {
            (Outcome::Unnoticed, Expected::Harmless(guard)) => write!(f, "harmless behind {guard}"),
            (Outcome::Unnoticed, Expected::Found(_)) => write!(f, "SURVIVED: {}", self.mutant.says),
            (Outcome::Found { detector, saw }, _) => write!(f, "found by {detector}: {saw}"),
            (Outcome::Crashed(words), _) => write!(f, "crashed: {words}"),
            (Outcome::NotRun(words), _) => write!(f, "could not be run: {words}"),
        }
    }
}

/// Why no mutant could be run.
#[derive(Debug)]
pub enum MutantsError {
    /// The list cannot be read.
    List(ListError),
    /// The workspace cannot be copied.
    Copy(io::Error),
    /// An edit does not find its text exactly once.
    Edit(String),
    /// Cargo cannot be started.
    Cargo(io::Error),
    /// The mutated copy does not compile; what the compiler said.
    Compile(String),
}

impl fmt::Display for MutantsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(error) => write!(f, "the list of mutants: {error}"),
            Self::Copy(error) => write!(f, "cannot copy the workspace: {error}"),
            Self::Edit(words) => write!(f, "an edit does not fit the program: {words}"),
            Self::Cargo(error) => write!(f, "cannot start cargo: {error}"),
            Self::Compile(words) => write!(f, "the mutants do not compile:\n{words}"),
        }
    }
}

impl std::error::Error for MutantsError {}

/// Builds the mutants and runs each; the first result is that of the program itself, with no mutant on.
///
/// # Errors
/// If the mutants cannot be built. A mutant that is not found is a result.
pub fn run(options: &Options) -> Result<Vec<MutantResult>, MutantsError> {
    let listed = list::mutants().map_err(MutantsError::List)?;
    let program = builder::build(&options.root, &options.target, &listed)?;
    let none = Mutant {
        names: Vec::new(),
        row: "none".to_owned(),
        says: "the program as it is".to_owned(),
        expected: Expected::Harmless("every guard".to_owned()),
        edits: Vec::new(),
    };
    let is_wanted =
        |mutant: &Mutant| options.only.is_empty() || mutant.names.iter().any(|name| options.only.contains(name));
    // Those that run all detectors take longest: they go first.
    let mut wanted: Vec<Mutant> = [none].into_iter().chain(listed.into_iter().filter(is_wanted)).collect();
    wanted.sort_by_key(|mutant| matches!(mutant.expected, Expected::Found(_)));
    let results: Vec<Mutex<Option<MutantResult>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
    let next = Mutex::new(wanted.iter().zip(&results));
    let scratch = options.target.join("mutants/scratch");
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let work = next.lock().ok().and_then(|mut next| next.next());
                    let Some((mutant, result)) = work else { return };
                    let began = Instant::now();
                    let outcome = run_one(&program, mutant, &scratch);
                    let outcome = outcome.unwrap_or_else(|error| Outcome::NotRun(error.to_string()));
                    let done = MutantResult { mutant: mutant.clone(), outcome, took: began.elapsed() };
                    if let Ok(mut result) = result.lock() {
                        *result = Some(done);
                    }
                }
            });
        }
    });
    Ok(results.into_iter().filter_map(|result| result.into_inner().ok().flatten()).collect())
}

/// One process: the detector that is to find the mutant first, then the others, until one does not hold.
fn run_one(program: &Path, mutant: &Mutant, scratch: &Path) -> io::Result<Outcome> {
    #[expect(clippy::disallowed_methods, reason = "a place for what a killed process leaves behind")]
    std::fs::create_dir_all(scratch)?;
    let place = tempfile::tempdir_in(scratch)?;
    let first = match &mutant.expected {
        Expected::Found(detector) => Some(detector),
        Expected::Harmless(_) => None,
    };
    let mut process = Command::new(program)
        .args(first)
        .env(builder::SWITCH, mutant.names.join(","))
        .env("TMPDIR", place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match process.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => thread::park_timeout(Duration::from_millis(10)),
        }
    };
    if status.is_none() {
        process.kill()?;
        process.wait()?;
    }
    let mut said = String::new();
    if let Some(mut output) = process.stdout.take() {
        output.read_to_string(&mut said)?;
    }
    let broken = said.lines().find_map(|line| line.strip_prefix("broken ")?.split_once(": "));
    Ok(match (broken, status) {
        (Some((detector, saw)), _) => Outcome::Found { detector: detector.to_owned(), saw: saw.to_owned() },
        (None, Some(status)) if status.success() => Outcome::Unnoticed,
        (None, Some(status)) => Outcome::Crashed(status.to_string()),
        (None, None) => Outcome::Crashed(format!("did not end within {LIMIT:?}")),
    })
}

/// Runs detectors: those that are named, then all others, until one does not hold. Each has a line on standard output.
#[must_use]
pub fn detect(named: impl Iterator<Item = String>) -> ExitCode {
    let first: Vec<String> = named.collect();
    let mut all = detectors();
    all.sort_by_key(|detector| !first.iter().any(|name| name == detector.name));
    for detector in all {
        let verdict = detector.look();
        let line = match &verdict {
            Ok(()) => format!("holds {}\n", detector.name),
            Err(words) => format!("broken {}: {}\n", detector.name, words.replace('\n', " | ")),
        };
        if io::stdout().write_all(line.as_bytes()).is_err() || verdict.is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_holds_in_the_program_as_it_is() {
        let look =
            |detector: detectors::Detector| detector.look().err().map(|words| format!("{}: {words}", detector.name));
        let broken: Vec<String> = detectors().into_iter().filter_map(look).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
