//! Scenarios: scripted demonstrations, each a TOML file with a text that says what to see.
//!
//! A scenario is a list of steps, and each step says what must come of it: **a demonstration is a test**, and one that
//! shows something else fails. There are four kinds of steps: a trial at some levels of the ladder, power cuts, and the real
//! programs through a gateway or a relay.

mod file;
mod play;
mod programs;
mod quic_alone;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::crash_disk::Lie;
use crate::ladder::Level;
use crate::matrix::report::Outcome;
use crate::trial::Subject;
pub use file::ScenarioError;
use file::Written;
pub use play::Stage;

/// Those that come with the program: name and file.
const BUILT_IN: [(&str, &str); 6] = [
    ("disk-read", include_str!("../scenarios/disk-read.toml")),
    ("copying-mistake", include_str!("../scenarios/copying-mistake.toml")),
    ("memory", include_str!("../scenarios/memory.toml")),
    ("network", include_str!("../scenarios/network.toml")),
    ("crash", include_str!("../scenarios/crash.toml")),
    ("mit-gateway", include_str!("../scenarios/mit-gateway.toml")),
];

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its file's name without the ending.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a line.
    pub title: String,
    /// Which threat of the paper.
    threat: Written<ThreatWord>,
    /// What to see; for people.
    pub text: String,
    /// What was shown; for people.
    pub closing: String,
    /// What trials transfer, unless a step says otherwise.
    #[serde(default)]
    subject: Option<Written<SubjectLine>>,
    /// What the real programs transfer.
    #[serde(default)]
    files: Vec<FileSpec>,
    steps: Vec<Spanned<Step>>,
}

impl Scenario {
    /// The one that comes with the program by this name, or that of this file.
    ///
    /// # Errors
    /// If there is neither, or the file is no scenario: says where, and what to do.
    pub fn load(name_or_path: &str) -> Result<Self, ScenarioError> {
        match BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Self::parse(name, text),
            None => file::read(Path::new(name_or_path)),
        }
    }

    /// The scenario of this text; `origin` names it where something is wrong with it.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(origin: &str, text: &str) -> Result<Self, ScenarioError> {
        file::parse(origin, text)
    }
}

/// Those that come with the program.
#[must_use]
pub fn built_in() -> Vec<Scenario> {
    BUILT_IN.iter().map(|(name, text)| file::parse(name, text).expect("tests play every one of them")).collect()
}

/// `1` to `5`, or `gateway`.
#[derive(Clone, Debug)]
struct ThreatWord(String);

/// `large 2097157 77`.
#[derive(Clone, Copy, Debug)]
struct SubjectLine(Subject);

/// Faults of a plan, as text: it is parsed anew for each level.
#[derive(Clone, Debug)]
struct Faults(String);

/// Number of a row of the matrix.
#[derive(Clone, Copy, Debug)]
struct RowNumber(&'static str);

/// A file that the real programs transfer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSpec {
    name: Written<FileName>,
    /// In bytes.
    length: u32,
    seed: u64,
}

/// One component.
#[derive(Clone, Debug)]
struct FileName(String);

/// One step: a sentence, and one of the others.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    say: String,
    trial: Option<TrialStep>,
    crash: Option<CrashStep>,
    gateway: Option<GatewayStep>,
    relay: Option<RelayStep>,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Trial(&'a TrialStep),
    Crash(&'a CrashStep),
    Gateway(&'a GatewayStep),
    Relay(&'a RelayStep),
}

/// The same plan at some levels: either faults by hand, or a plan that a row of the matrix draws from a seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialStep {
    subject: Option<Written<SubjectLine>>,
    faults: Option<Vec<Written<Faults>>>,
    row: Option<Written<RowNumber>>,
    seed: Option<u64>,
    expect: BTreeMap<Level, Expected>,
}

/// Power cuts at every step of a transfer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrashStep {
    configuration: ConfigurationName,
    /// What the receiver forgets to flush.
    forgets: Option<Forgotten>,
    /// Images of each crash point; all, if there are no more than that.
    #[serde(default = "images_default")]
    images: u64,
    #[serde(default)]
    seed: u64,
    expect: Promises,
}

const fn images_default() -> u64 {
    200
}

/// [`crate::crash::Configuration`] by its name in the reference.
#[derive(Clone, Copy, Debug, Deserialize)]
enum ConfigurationName {
    F8,
    S,
    N,
    D20,
    L,
}

/// [`Lie`] by what it does.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Forgotten {
    DirectoryFlush,
    FileFlush,
    NameOfNewDirectory,
}

impl From<Forgotten> for Lie {
    fn from(forgotten: Forgotten) -> Self {
        match forgotten {
            Forgotten::DirectoryFlush => Self::DirectorySyncs,
            Forgotten::FileFlush => Self::FileSyncs,
            Forgotten::NameOfNewDirectory => Self::SyncsOfNewDirectoryNames,
        }
    }
}

/// Whether the promises hold in every image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Promises {
    Held,
    Broken,
}

/// The real programs through a gateway that ends QUIC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayStep {
    /// Who copies through it.
    #[serde(default)]
    copier: Copier,
    #[serde(default)]
    seed: u64,
    /// Without it nothing is swapped.
    swap_every_bytes: Option<u64>,
    /// Whether hashes are made to fit.
    #[serde(default)]
    rehash: bool,
    /// More arguments of careful-send.
    #[serde(default)]
    arguments: Vec<String>,
    expect: Expected,
}

/// Who copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Copier {
    /// careful-send and careful-recv.
    #[default]
    Careful,
    /// A copy over the same connections that compares nothing.
    QuicAlone,
}

/// The real programs through a relay of their datagrams. Shares are 0 to 1, each way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayStep {
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    lost: f64,
    #[serde(default)]
    doubled: f64,
    #[serde(default)]
    late: f64,
    /// One bit, under a checksum that fits.
    #[serde(default)]
    flipped: f64,
    /// Two words, and the checksum fits by itself.
    #[serde(default)]
    words_exchanged: f64,
    #[serde(default)]
    delay_milliseconds: u64,
    #[serde(default)]
    arguments: Vec<String>,
    expect: Expected,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    /// Reported as right, and the bytes are wrong.
    Silent,
    /// Somebody noticed, and the bytes are right in the end.
    Repaired,
    /// Somebody noticed, and it ended in an error with nothing wrong under a final name.
    Refused,
    /// The bytes are right, noticed or not.
    Right,
}

impl Expected {
    fn is_met_by(self, end: Outcome) -> bool {
        match self {
            Self::Silent => end == Outcome::Silent,
            Self::Repaired => end == Outcome::Repaired,
            Self::Refused => end == Outcome::Refused,
            Self::Right => matches!(end, Outcome::Repaired | Outcome::Masked),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Repaired => "repaired",
            Self::Refused => "refused",
            Self::Right => "right",
        }
    }
}
