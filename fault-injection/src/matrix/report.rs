//! A finished run of the matrix: rows are places where a fault strikes, columns are programs that check more and more.
//!
//! Everything a reader needs to judge or repeat the run is in here; the JSON form is stable within one [`SCHEMA`].
//! **Bounds are ready-made numbers**: whoever fills a report computes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::outcome::{Counts, Layer, Outcome, Prediction};
pub use crate::ladder::Level;

/// Version of the JSON form. A report of any other is refused.
pub const SCHEMA: u32 = 1;

/// One run of the whole matrix, or of a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Commit of the program under test.
    pub commit: String,
    /// Command line that makes the run again.
    pub command: String,
    /// Seed that all plans were drawn from.
    pub seed: u64,
    /// Trials planned per cell.
    pub trials: u32,
    /// Start, in seconds since 1970 (UTC).
    pub started_seconds: u64,
    /// Wall time of the run.
    pub seconds: f64,
    /// The machine in one line: cores, memory, kernel, file system.
    pub machine: String,
    /// What each level is, from the weakest to the strongest.
    pub columns: Vec<Column>,
    /// One for each place where a fault strikes.
    pub rows: Vec<Row>,
    /// What shows that the rig itself can be believed.
    pub controls: Controls,
    /// What the checks cost, and what retry of small units is worth.
    pub curves: Curves,
    /// Checks taken out of the program one at a time, if that was run.
    pub mutants: Option<Mutants>,
    /// Made by [`Report::judge`].
    pub verdict: Verdict,
}

impl Report {
    /// The JSON form, for people to read as well. Numbers that are not finite become `null`, which no reader takes; a
    /// fraction may come back changed in its last of 16 digits.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has only names as keys")
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// If it is no JSON, no report, or of another schema.
    pub fn from_json(text: &str) -> Result<Self, Unreadable> {
        let schema: SchemaOnly = serde_json::from_str(text)?;
        if schema.schema != SCHEMA {
            return Err(Unreadable::Schema { found: schema.schema });
        }
        Ok(serde_json::from_str(text)?)
    }
}

/// Looked at first: a report of another schema is to be named as such, not as a missing field.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Neither JSON nor the fields of a report.
    #[error("not a report of the fault matrix")]
    Form(#[from] serde_json::Error),
    /// Made by another version.
    #[error("a report of schema {found}; this program reads schema {SCHEMA}")]
    Schema {
        /// What it says.
        found: u32,
    },
}

/// What a level is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Which one.
    pub level: Level,
    /// Two or three words.
    pub name: String,
    /// One line: what this program checks, and with what options it ran.
    pub description: String,
}

/// One place where a fault strikes, tried at every level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowHead {
    /// Number of the row in the reference, or a word.
    pub number: String,
    /// What goes wrong.
    pub title: String,
    /// Where it strikes.
    pub place: String,
    /// Threats of the paper that it stands for.
    pub threats: Vec<Threat>,
    /// What may be asked of a check here.
    pub group: Group,
}

/// One place where a fault strikes, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which place.
    #[serde(flatten)]
    pub head: RowHead,
    /// What theory says of each level; a level that is not named is open.
    pub predicted: BTreeMap<Level, Prediction>,
    /// What was found, at most one for each level.
    pub cells: Vec<Cell>,
    /// Whether a weaker level was silent with a lower 95 % bound above 0. Else catching it proves nothing.
    pub demonstrated: bool,
    /// Whatever else a reader must know; may be empty.
    pub note: String,
}

impl Row {
    /// What was found at a level; nothing if it was not tried.
    #[must_use]
    pub fn cell(&self, level: Level) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.level == level)
    }

    /// What theory says of a level.
    #[must_use]
    pub fn prediction(&self, level: Level) -> Prediction {
        self.predicted.get(&level).copied().unwrap_or(Prediction::Open)
    }
}

/// The five threats to a file transfer. Saltzer, Reed, Clark 1984.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Threat {
    /// The disk gives back something else than was written.
    T1,
    /// Software errs in buffering or copying.
    T2,
    /// Processor or memory has a transient error.
    T3,
    /// The network changes, loses or doubles.
    T4,
    /// A host crashes part way.
    T5,
}

impl Threat {
    /// A few words for it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::T1 => "the disk gives back something else than was written",
            Self::T2 => "software errs in buffering or copying",
            Self::T3 => "processor or memory has a transient error",
            Self::T4 => "the network changes, loses or doubles",
            Self::T5 => "a host crashes part way",
        }
    }
}

/// What may be asked of a check in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Bytes are changed: the full check must catch it.
    Content,
    /// Names, crashes, control data: check, commit and retry together must leave no false claim.
    Commit,
    /// No program at either end can know. Shown beside the others and not part of the claim.
    NobodyCan,
}

impl Group {
    /// In the order they are shown.
    pub const ALL: [Self; 3] = [Self::Content, Self::Commit, Self::NobodyCan];

    /// Heading over its rows.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Content => "Content: bytes are changed",
            Self::Commit => "Commit: names, crashes, control data",
            Self::NobodyCan => "Beside the claim: what a transfer alone cannot know",
        }
    }

    /// Whether silence at the full level breaks the claim.
    #[must_use]
    pub const fn is_claimed(self) -> bool {
        !matches!(self, Self::NobodyCan)
    }
}

/// What came of the trials of one row at one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// At which level.
    pub level: Level,
    /// How many trials ended how.
    pub counts: Counts,
    /// Who noticed first, in the trials in which somebody did.
    pub caught_by: BTreeMap<Layer, u32>,
    /// Upper 95 % bound of the rate of silent trials among those that took effect, 0 to 1; 1 if none did.
    pub bound_95: f64,
    /// Line that replays a telling trial: a silent one if there is one.
    pub example: Option<String>,
    /// See [`Prediction::agrees`].
    pub agrees_with_prediction: Option<bool>,
}

/// What shows that the rig itself can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Controls {
    /// Runs without any fault.
    pub clean_runs: u32,
    /// Those of them in which anything was reported or repaired.
    pub clean_alarms: u32,
    /// Runs with trouble that harms no byte: loss, reordering, doubling, a slow disk, a resumed transfer.
    pub benign_runs: u32,
    /// Those of them that ended in an error.
    pub benign_alarms: u32,
    /// The same faults with all checks off.
    pub manifestation: Vec<Manifestation>,
    /// Programs with a check removed, which must be found out.
    pub canaries: Vec<Canary>,
}

/// The faults of one row with all checks off: they must do harm, else catching them proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifestation {
    /// Number of the row.
    pub row: String,
    /// Trials whose fault took effect.
    pub fired: u32,
    /// Those of them that ended with a wrong or a lost file.
    pub harmed: u32,
}

/// A program with a check removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// What was removed.
    pub name: String,
    /// Whether it was found out.
    pub caught: bool,
    /// By which row, or by what; may be empty.
    pub by: String,
    /// Line that replays it.
    pub replay: Option<String>,
}

/// What the checks cost, and what retry of small units is worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// A relay that swaps bytes at a steady rate, against the size of the unit that is sent again.
    pub goodput: Vec<GoodputPoint>,
    /// The same transfer at each level, without faults.
    pub cost: Vec<CostPoint>,
}

/// One size of the unit of retry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoodputPoint {
    /// The size in words, `64 KiB`, or `whole file`.
    pub unit: String,
    /// The size.
    pub unit_bytes: u64,
    /// Swaps per byte.
    pub swap_rate: f64,
    /// How often a unit was sent on average; nothing if the transfer was given up.
    pub sends_per_unit_measured: Option<f64>,
    /// How often theory says, `exp(swap_rate * unit_bytes)`; finite (`f64::MAX` stands for never).
    pub sends_per_unit_predicted: f64,
    /// Bytes of the file by bytes sent, 0 to 1; 0 if given up.
    pub goodput_fraction: f64,
    /// Wall time, median of the repeats.
    pub seconds: f64,
    /// How many transfers.
    pub repeats: u32,
}

/// What one level costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostPoint {
    /// Which one.
    pub level: Level,
    /// Wall time, median of the repeats.
    pub seconds_median: f64,
    /// That by the one of L1.
    pub ratio_to_l1: f64,
    /// Time of all cores at both ends together.
    pub cpu_seconds: f64,
}

/// Checks taken out of the program one at a time, and whether the tests noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutants {
    /// How many.
    pub tried: u32,
    /// How many of them were noticed.
    pub caught: u32,
    /// The others, by place and change.
    pub survivors: Vec<String>,
}

/// What the run shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the claim held and the rig can be believed.
    pub ok: bool,
    /// Every reason why not; empty if `ok`.
    pub reasons: Vec<String>,
}
