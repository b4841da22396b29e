//! A campaign: every row at every level, so many trials each, and the controls without which nothing is shown.
//!
//! The plan of a trial is drawn from (seed, row, number of the trial) and from nothing else, so the same plan strikes at
//! every level. Trials run on several threads; what they come to does not depend on how many.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::progress::TrialProgress;
use super::report::{Cell, Controls, Counts, Layer, Level, Manifestation, Outcome, Row, RowHead};
use super::rows::{RowSpec, Subjects, rows};
use crate::plan::{Draw, Plan};
use crate::statistics::{lower_bound, upper_bound};
use crate::trial::{Judged, Size, Subject, Trial};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Trials of each row at each level.
    pub trials: u32,
    /// Trials at the full level, if more.
    pub trials_full: u32,
    /// Numbers of the rows; all if empty.
    pub rows: Vec<String>,
    /// Levels; all if empty.
    pub levels: Vec<Level>,
    /// Threads.
    pub jobs: usize,
}

/// One trial that is to be run.
struct Task {
    row: usize,
    level: Level,
    number: u32,
}

/// What came of the trials of one row at one level.
#[derive(Default)]
struct Tally {
    counts: Counts,
    caught_by: BTreeMap<Layer, u32>,
    /// The trial that tells most: the worst end so far.
    example: Option<(Outcome, String)>,
}

impl Campaign {
    /// Rows that were asked for.
    #[must_use]
    pub fn rows(&self) -> Vec<&'static RowSpec> {
        rows().filter(|row| self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row.number)).collect()
    }

    fn trials_at(&self, level: Level) -> u32 {
        if level == Level::FULL { self.trials.max(self.trials_full) } else { self.trials }
    }

    fn levels_of(&self, row: &RowSpec) -> impl Iterator<Item = Level> {
        let wanted = |level: &Level| self.levels.is_empty() || self.levels.contains(level);
        Level::ALL.into_iter().filter(move |level| *level >= row.from && wanted(level))
    }

    /// How many trials [`Self::run`] makes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let of_row = |row: &RowSpec| self.levels_of(row).map(|level| u64::from(self.trials_at(level))).sum::<u64>();
        self.rows().into_iter().map(of_row).sum()
    }

    /// Runs all trials of all rows.
    #[must_use]
    pub fn run(&self, progress: &TrialProgress) -> Vec<Row> {
        let specs = self.rows();
        let mut tasks = Vec::new();
        for (row, spec) in specs.iter().enumerate() {
            for level in self.levels_of(spec) {
                tasks.extend((0..self.trials_at(level)).map(|number| Task { row, level, number }));
            }
        }
        let tallies: Mutex<BTreeMap<(usize, Level), Tally>> = Mutex::default();
        self.in_parallel(&tasks, |task| {
            let spec = specs[task.row];
            progress.at(spec.number, task.level);
            let trial = self.trial(spec, task.level, task.number);
            let line = trial.to_string();
            let judged = trial.run();
            progress.trial_done();
            let mut tallies = tallies.lock().expect("no trial panics while it counts");
            tallies.entry((task.row, task.level)).or_default().add(&judged, line);
        });
        let mut tallies = tallies.into_inner().expect("no trial panics while it counts");
        let rows = specs.iter().enumerate().map(|(number, spec)| {
            let cells = self.levels_of(spec).filter_map(|level| Some((level, tallies.remove(&(number, level))?)));
            row(spec, cells.collect())
        });
        rows.collect()
    }

    /// The trial with this number in the row: the same plan at every level.
    #[must_use]
    pub fn trial(&self, spec: &RowSpec, level: Level, number: u32) -> Trial {
        let mut draw = Draw::new(self.seed_of(spec.number, number));
        let is_large = spec.subjects == Subjects::Large || draw.below(2) == 0;
        let subject = subject(&mut draw, is_large);
        let line = (spec.draw)(&mut draw, &subject);
        let plan: Plan = line.parse().unwrap_or_else(|error| panic!("row {}: {error}", spec.number));
        Trial { level, subject, plan }
    }

    fn seed_of(&self, row: &str, number: u32) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&number.to_le_bytes()).update(row.as_bytes());
        u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer than a seed"))
    }

    /// Runs without faults, and with trouble that harms no byte: nothing may be reported.
    #[must_use]
    pub fn controls(&self, rows: &[Row], progress: &TrialProgress) -> Controls {
        let tasks: Vec<u32> = (0..self.trials.max(self.trials_full)).collect();
        let (clean, benign) = (AtomicUsize::new(0), AtomicUsize::new(0));
        self.in_parallel(&tasks, |&number| {
            let mut draw = Draw::new(self.seed_of("clean", number));
            let is_large = draw.below(2) == 0;
            let subject = subject(&mut draw, is_large);
            for (line, alarms) in [(String::new(), &clean), (benign_trouble(&mut draw), &benign)] {
                let plan = line.parse().expect("benign trouble is a plan");
                let judged = Trial { level: Level::FULL, subject, plan }.run();
                let is_alarm = !matches!(judged.end, Outcome::Masked | Outcome::NotActivated);
                alarms.fetch_add(usize::from(is_alarm), Ordering::Relaxed);
                progress.trial_done();
            }
        });
        let manifestation = rows.iter().filter_map(|row| {
            let weakest = row.cells.first()?;
            let counts = weakest.counts;
            let harmed = counts.silent + counts.refused + counts.hung;
            Some(Manifestation { row: row.head.number.clone(), fired: counts.fired(), harmed })
        });
        Controls {
            clean_runs: tasks.len() as u32,
            clean_alarms: clean.into_inner() as u32,
            benign_runs: tasks.len() as u32,
            benign_alarms: benign.into_inner() as u32,
            manifestation: manifestation.collect(),
            canaries: Vec::new(),
        }
    }

    fn in_parallel<T: Sync>(&self, tasks: &[T], run: impl Fn(&T) + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        run(task);
                    }
                });
            }
        });
    }
}

/// A file of two or three chunks, or one of a group; lengths at no round number.
fn subject(draw: &mut Draw, is_large: bool) -> Subject {
    let (size, length_bytes) = match is_large {
        true => (Size::Large, (1 << 20) + 65_536 + draw.below(2 << 20)),
        false => (Size::Small, 70_000 + draw.below(200_000)),
    };
    Subject { size, length_bytes, seed: draw.below(1 << 32) }
}

/// Trouble that harms no byte.
fn benign_trouble(draw: &mut Draw) -> String {
    match draw.below(4) {
        0 => "packet-of-sender *11 drop; packet-of-receiver *7 drop".to_owned(),
        1 => "packet-of-sender *5 double; packet-of-sender *7 late 4; packet-of-receiver *6 late 2".to_owned(),
        2 => "source-read file 0 #1 slow 20; staging-write file 0 #1 slow 20; read-back file 0 #1 slow 20; \
              file-sync file 0 #1 slow 30"
            .to_owned(),
        _ => "source-read file 0 #1 eintr; source-read file 0 #2 short; staging-write file 0 #1 short; \
              read-back file 0 #1 eintr; read-back file 0 #2 short"
            .to_owned(),
    }
}

impl Tally {
    fn add(&mut self, judged: &Judged, line: String) {
        self.counts.add(judged.end, 1);
        if matches!(judged.end, Outcome::Repaired | Outcome::Refused) {
            *self.caught_by.entry(judged.caught_by).or_default() += 1;
        }
        // `Outcome` is ordered from the worst on.
        if self.example.as_ref().is_none_or(|(end, _)| judged.end < *end) {
            self.example = Some((judged.end, line));
        }
    }

    fn cell(self, level: Level, spec: &RowSpec) -> Cell {
        let (silent, fired) = (u64::from(self.counts.silent), u64::from(self.counts.fired()));
        Cell {
            level,
            counts: self.counts,
            caught_by: self.caught_by,
            bound_95: if fired == 0 { 1.0 } else { upper_bound(silent, fired, 0.05) },
            example: self.example.map(|(_, line)| line),
            agrees_with_prediction: spec.predicted[level as usize].agrees(&self.counts),
        }
    }
}

fn row(spec: &RowSpec, tallies: Vec<(Level, Tally)>) -> Row {
    let cells: Vec<Cell> = tallies.into_iter().map(|(level, tally)| tally.cell(level, spec)).collect();
    let is_silent = |cell: &Cell| {
        let (silent, fired) = (u64::from(cell.counts.silent), u64::from(cell.counts.fired()));
        cell.level < Level::FULL && fired > 0 && lower_bound(silent, fired, 0.05) > 0.0
    };
    Row {
        head: RowHead {
            number: spec.number.to_owned(),
            title: spec.title.to_owned(),
            place: spec.place.to_owned(),
            threats: spec.threats.to_vec(),
            group: spec.group,
        },
        predicted: Level::ALL.into_iter().zip(spec.predicted).collect(),
        demonstrated: cells.iter().any(is_silent),
        cells,
        note: spec.note.to_owned(),
    }
}
