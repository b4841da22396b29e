//! Crash tests: one recorded transfer, and of every instant of it all that a power cut may leave.
//!
//! The receiver's disk is cut off before and after every entry of its log; every image is judged from outside, and from
//! some of them the same transfer is run again. A crash of the sender leaves the receiver's disk as its host sees it, which
//! is the image with everything kept, and is always among those run again; what it leaves of the sender's own disk is
//! judged at the end of the log, since **the sender's disk may not be changed at all**. Every second run starts a new
//! sender, too, so each is also a crash of both hosts at one instant.

mod configuration;
mod judge;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::runtime::Runtime;

use self::judge::{Broken, Judge};
use crate::crash_disk::{Images, MemoryDisk, Model, Recording, Sampling, Tree};
use crate::halves;

pub use configuration::Configuration;
pub use judge::Invariant;

/// Transfers under way at once: most of one is waiting.
const RUNS_AT_ONCE: usize = 8;

/// How much is looked at.
#[derive(Clone, Debug)]
pub struct Options {
    /// What media are thought of. Transfers are run again on images of the first.
    pub models: Vec<Model>,
    /// Images of each crash point.
    pub sampling: Sampling,
    /// Images of each crash point from which the transfer is run again; with nothing and with everything kept come first.
    pub resumes: u64,
    /// Of how many of these runs the crash points are looked at, too: crashes during recovery.
    pub recoveries: u64,
    /// Images of each crash point of a recovery.
    pub recovery_sampling: Sampling,
    /// As `resumes`, for crash points of a recovery.
    pub recovery_resumes: u64,
}

impl Options {
    /// Every combination up to ten thousand, both models of the promise, a few runs from each crash point.
    #[must_use]
    pub fn thorough(seed: u64) -> Self {
        Self {
            models: vec![Model::Posix, Model::Journal],
            sampling: Sampling { exhaustive_max: 10_000, random: 64, seed },
            resumes: 4,
            recoveries: 0,
            recovery_sampling: Sampling { exhaustive_max: 64, random: 16, seed },
            recovery_resumes: 1,
        }
    }

    /// Images only: no transfer is run again.
    #[must_use]
    pub fn without_resumes(self) -> Self {
        Self { resumes: 0, recoveries: 0, ..self }
    }
}

/// A promise that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// On which kind of medium; violations under [`Model::Lying`] are outside of every promise.
    pub model: Model,
    /// What was seen.
    pub what: String,
    /// Names configuration, crash point, model, image and seed.
    pub replay: String,
    /// The log up to the crash, with what became of every entry that no sync covered.
    pub way: String,
}

/// What was looked at, and what did not hold.
#[derive(Clone, Debug, Default)]
pub struct CrashReport {
    /// Name of the configuration.
    pub configuration: String,
    /// Crash points of the receiver's disk: before the first entry of its log and after each.
    pub points: u64,
    /// Of these, how many had all their images made, under the first model.
    pub exhaustive_points: u64,
    /// Images judged, under each model.
    pub images: BTreeMap<Model, u64>,
    /// Transfers that were run again from an image.
    pub resumes: u64,
    /// Of all transfers that were run again, how many found a staging file with other bytes than the source's.
    pub over_damage: u64,
    /// Of `resumes`, how many were cut off again at every crash point.
    pub recoveries: u64,
    /// Crash points, images and third transfers of those.
    pub recovery_points: u64,
    /// See `recovery_points`.
    pub recovery_images: u64,
    /// See `recovery_points`.
    pub recovery_resumes: u64,
    /// How often a promise did not hold, by model and promise.
    pub broken: BTreeMap<(Model, Invariant), u64>,
    /// The first of each kind.
    pub violations: Vec<Violation>,
}

impl CrashReport {
    /// Images judged in the first place, under all models.
    #[must_use]
    pub fn images(&self) -> u64 {
        self.images.values().sum()
    }

    /// How often this promise did not hold under this model.
    #[must_use]
    pub fn broken(&self, model: Model, invariant: Invariant) -> u64 {
        self.broken.get(&(model, invariant)).copied().unwrap_or_default()
    }

    /// How often any promise did not hold where it is made.
    #[must_use]
    pub fn broken_promises(&self) -> u64 {
        self.broken.iter().filter(|((model, _), _)| model.is_promised()).map(|(_, count)| count).sum()
    }

    /// The violations, each with the line that names it and the way to it.
    #[must_use]
    pub fn listing(&self) -> String {
        let shown = |violation: &Violation| {
            let Violation { invariant, what, replay, way, .. } = violation;
            format!("{invariant:?}: {what}\nreplay: {replay}\n{way}\n")
        };
        self.violations.iter().map(shown).collect()
    }
}

/// Records one transfer of the configuration and looks at all its crash points. `progress` is called after each.
///
/// # Panics
/// If the two halves of a transfer cannot be set up.
pub fn enumerate(
    configuration: &Configuration,
    options: &Options,
    progress: &mut dyn FnMut(&CrashReport),
) -> CrashReport {
    let runtime = halves::runtime().expect("a runtime can be started");
    let (sender, receiver) = (configuration.sender(), configuration.receiver());
    let judge = Judge::new(configuration, &sender.tree(), &receiver.tree());
    let report = CrashReport { configuration: configuration.name().to_owned(), ..CrashReport::default() };
    let mut explorer = Explorer { configuration, options, runtime, judge, report, progress };
    let (destination, keep) = (&configuration.destination, configuration.keep());
    let told = explorer.runtime.block_on(transfer::run(&sender, &receiver, destination, keep));
    let ended = explorer.judge.end(&receiver.tree(), &told).and_then(|()| untouched(&sender));
    let model = options.models.first().copied().unwrap_or(Model::Posix);
    explorer.note(ended, model, || (format!("{}, the first transfer", configuration.name()), String::new()));
    explorer.first_order(&receiver.recording());
    let Explorer { report, runtime, .. } = explorer;
    // A half that hangs is left behind.
    runtime.shutdown_background();
    report
}

/// I13: whatever crashes, the source is as it was, since its disk was asked for nothing.
fn untouched(sender: &MemoryDisk) -> Result<(), Broken> {
    match sender.recording().entries().iter().find(|entry| entry.is_change()) {
        Some(entry) => Err((Invariant::I13, format!("the source's disk was changed: {entry}"))),
        None => Ok(()),
    }
}

struct Explorer<'a> {
    configuration: &'a Configuration,
    options: &'a Options,
    runtime: Runtime,
    judge: Judge,
    report: CrashReport,
    progress: &'a mut dyn FnMut(&CrashReport),
}

/// What one crash point is looked at with.
struct Look<'a> {
    /// Files whose receipts had left before.
    promised: BTreeSet<PathBuf>,
    /// Where this recording comes from.
    origin: &'a str,
}

impl Explorer<'_> {
    fn first_order(&mut self, recording: &Recording) {
        let origin = self.configuration.name().to_owned();
        let points = recording.entries().len() as u64 + 1;
        for point in 0..=recording.entries().len() {
            let promised = recording.marks_before(point).map(PathBuf::from).collect();
            let look = Look { promised, origin: &origin };
            self.report.points += 1;
            for &model in &self.options.models {
                let images = Images::new(recording, point, model, self.options.sampling);
                *self.report.images.entry(model).or_default() += images.count();
                let is_first = Some(&model) == self.options.models.first();
                self.report.exhaustive_points += u64::from(is_first && images.is_exhaustive());
                self.judge_all(&look, &images, model);
                let resumes = if is_first { self.options.resumes } else { 0 };
                let resumed = self.run_again(&look, &images, chosen(&images, resumes, point as u64), model);
                self.report.resumes += resumed.len() as u64;
                // Recoveries are spread evenly over the crash points, each from another of the images.
                let due = (point as u64 + 1) * self.options.recoveries / points;
                if self.report.recoveries < due && !resumed.is_empty() {
                    let (number, recording) = &resumed[point % resumed.len()];
                    self.recovery(&look, &images.name(*number), recording, model);
                }
            }
            (self.progress)(&self.report);
        }
    }

    fn judge_all(&mut self, look: &Look<'_>, images: &Images<'_>, model: Model) {
        for number in 0..images.count() {
            let held = self.judge.state(&images.tree(number), &look.promised);
            self.note(held, model, || named(look, images, number));
        }
    }

    /// Cuts off the run that followed a crash at each of its own crash points.
    fn recovery(&mut self, first: &Look<'_>, name: &str, recording: &Recording, model: Model) {
        self.report.recoveries += 1;
        let origin = format!("{}: {name}, run again", first.origin);
        for point in 0..=recording.entries().len() {
            let again = recording.marks_before(point).map(PathBuf::from);
            let promised = first.promised.iter().cloned().chain(again).collect();
            let look = Look { promised, origin: &origin };
            let images = Images::new(recording, point, model, self.options.recovery_sampling);
            self.report.recovery_points += 1;
            self.report.recovery_images += images.count();
            self.judge_all(&look, &images, model);
            let numbers = chosen(&images, self.options.recovery_resumes, point as u64);
            self.report.recovery_resumes += self.run_again(&look, &images, numbers, model).len() as u64;
        }
    }

    /// Runs the transfer again on these images, each with a new sender, several at a time. What damage an image has must
    /// never be believed.
    fn run_again(
        &mut self,
        look: &Look<'_>,
        images: &Images<'_>,
        numbers: BTreeSet<u64>,
        model: Model,
    ) -> Vec<(u64, Recording)> {
        let mut recordings = Vec::new();
        let numbers: Vec<u64> = numbers.into_iter().collect();
        for numbers in numbers.chunks(RUNS_AT_ONCE) {
            let disks = |&number: &u64| (self.configuration.sender(), MemoryDisk::from_tree(images.tree(number)));
            let disks: Vec<(MemoryDisk, MemoryDisk)> = numbers.iter().map(disks).collect();
            let is_damaged = |(_, receiver): &&(MemoryDisk, MemoryDisk)| self.judge.has_damage(&receiver.tree());
            self.report.over_damage += disks.iter().filter(is_damaged).count() as u64;
            let all = self.runtime.block_on(async {
                let (destination, keep) = (&self.configuration.destination, self.configuration.keep());
                let run = |(sender, receiver): (MemoryDisk, MemoryDisk)| {
                    let destination = destination.clone();
                    tokio::spawn(async move { transfer::run(&sender, &receiver, &destination, keep).await })
                };
                let running: Vec<_> = disks.iter().cloned().map(run).collect();
                let mut all = Vec::new();
                for one in running {
                    all.push(one.await.expect("a transfer does not panic"));
                }
                all
            });
            for ((&number, (sender, receiver)), told) in numbers.iter().zip(&disks).zip(&all) {
                let recording = receiver.recording();
                let ended = self.judge.end(&receiver.tree(), told).and_then(|()| untouched(sender));
                // What was promised is there whatever the medium made of the rest.
                let held = ended.and_then(|()| self.judge.end(&bare(&recording, model), told));
                self.note(held, model, || {
                    let (replay, way) = named(look, images, number);
                    let entries = recording.entries().iter().map(|entry| format!("      {entry}\n"));
                    (format!("{replay}, run again"), way + "run again:\n" + &entries.collect::<String>())
                });
                recordings.push((number, recording));
            }
        }
        recordings
    }

    fn note(&mut self, held: Result<(), Broken>, model: Model, name: impl FnOnce() -> (String, String)) {
        let Err((invariant, what)) = held else { return };
        let count = self.report.broken.entry((model, invariant)).or_default();
        *count += 1;
        if *count == 1 {
            let (replay, way) = name();
            self.report.violations.push(Violation { invariant, model, what, replay, way });
        }
    }
}

/// The end of a recording with nothing kept that was not synced.
fn bare(recording: &Recording, model: Model) -> Tree {
    let few = Sampling { exhaustive_max: 0, random: 0, seed: 0 };
    let images = Images::new(recording, recording.entries().len(), model, few);
    images.tree(images.nothing_kept())
}

fn named(look: &Look<'_>, images: &Images<'_>, number: u64) -> (String, String) {
    (format!("{}: {}", look.origin, images.name(number)), images.describe(number))
}

/// So many images: with nothing kept, with everything kept, and some spread over all, from those drawn at random on.
fn chosen(images: &Images<'_>, wanted: u64, seed: u64) -> BTreeSet<u64> {
    let (ends, count) = ([images.nothing_kept(), images.all_kept()], images.count());
    let rest = wanted.saturating_sub(ends.len() as u64);
    let spread = (0..rest).map(|part| count - 1 - (count * part + seed % count) / rest);
    ends.into_iter().take(wanted as usize).chain(spread).collect()
}
