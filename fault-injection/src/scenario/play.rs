//! Plays a scenario for a person: each step with the line that makes it again, what came of it, and who noticed first.

use std::io::Write;
use std::time::Duration;

use toml::Spanned;

use super::programs::{Came, Hosts};
use super::{
    ConfigurationName, Copier, CrashStep, Expected, GatewayStep, Kind, Promises, RelayStep, Scenario, Step, TrialStep,
};
use crate::crash::{Configuration, CrashReport, Options, enumerate};
use crate::crash_disk::{Lie, Sampling};
use crate::gateway::tamper::ByteSwaps;
use crate::ladder::Level;
use crate::matrix::campaign::Campaign;
use crate::matrix::report::{Layer, Outcome};
use crate::matrix::rows::rows;
use crate::passage::Trouble;
use crate::programs::Programs;
use crate::trial::{Size, Subject, Trial};

/// What a trial transfers where nothing else is said: two chunks and a bit.
const SUBJECT: Subject = Subject { size: Size::Large, length_bytes: 2_097_157, seed: 77 };
/// Columns of text.
const WIDTH: usize = 100;

/// Where a scenario is played.
pub struct Stage<'a> {
    /// Takes all that is said; a reader that left is no error.
    pub output: &'a mut dyn Write,
    /// Whether outcomes are coloured.
    pub is_coloured: bool,
    /// Which `careful-send` and `careful-recv` are run.
    pub programs: Programs,
}

/// How something is painted on a terminal.
#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Faint,
    Red,
    Yellow,
    Green,
}

impl Stage<'_> {
    fn say(&mut self, text: &str) {
        self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()).ok();
    }

    fn paint(&self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Faint => "2",
            Paint::Red => "1;31",
            Paint::Yellow => "33",
            Paint::Green => "32",
        };
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The word of an outcome, as wide as the widest.
    fn word(&self, end: Outcome) -> String {
        let paint = match end {
            Outcome::Silent | Outcome::Hung => Paint::Red,
            Outcome::Refused | Outcome::FalseAlarm | Outcome::NotActivated => Paint::Yellow,
            Outcome::Repaired | Outcome::Masked => Paint::Green,
        };
        self.paint(&format!("{:<8}", end.word()), paint)
    }

    fn replay(&mut self, line: &str) {
        let line = self.paint(&format!("      {line}\n"), Paint::Faint);
        self.say(&line);
    }

    /// Says so if something else came of it than was to be; answers whether it is as it should be.
    fn judge(&mut self, expected: &str, came: &str, is_met: bool) -> bool {
        if !is_met {
            let line = format!("  !!!!  NOT AS THE SCENARIO SAYS: expected {expected}, came out {came}\n");
            let line = self.paint(&line, Paint::Red);
            self.say(&line);
        }
        is_met
    }
}

impl Scenario {
    /// Plays it; answers whether every step came out as it says.
    ///
    /// # Errors
    /// If the real programs are needed and are not there, or cannot be run.
    ///
    /// # Panics
    /// If a rig cannot be set up.
    pub fn play(&self, stage: &mut Stage<'_>) -> Result<bool, String> {
        let needs_programs = |step: &Step| matches!(step.kind(), Some(Kind::Gateway(_) | Kind::Relay(_)));
        if self.steps().any(needs_programs) {
            stage.programs.check()?;
        }
        let title = stage.paint(&self.title, Paint::Bold);
        stage.say(&format!("{title}\n({})\n\n{}\n", self.threat.0, filled(&self.text, "")));
        let (count, mut not_met) = (self.steps.len(), 0);
        for (position, step) in self.steps().enumerate() {
            let head = stage.paint(&format!("{} of {count}", position + 1), Paint::Bold);
            stage.say(&format!("\n{head}\n{}\n", filled(&step.say, "  ")));
            let is_met = match step.kind() {
                Some(Kind::Trial(trial)) => self.trial(trial, stage),
                Some(Kind::Crash(crash)) => power_cuts(crash, stage),
                Some(Kind::Gateway(gateway)) => self.gateway(gateway, stage)?,
                Some(Kind::Relay(relay)) => self.relay(relay, stage)?,
                None => true,
            };
            not_met += usize::from(!is_met);
        }
        stage.say(&format!("\n{}\n\n", filled(&self.closing, "")));
        if not_met > 0 {
            let line = format!("{not_met} of {count} steps came out otherwise than the scenario says.\n");
            let line = stage.paint(&line, Paint::Red);
            stage.say(&line);
        } else {
            stage.say("Every step came out as the scenario says.\n");
        }
        Ok(not_met == 0)
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(Spanned::get_ref)
    }

    fn trial(&self, step: &TrialStep, stage: &mut Stage<'_>) -> bool {
        let mut is_all_met = true;
        for (&level, &expected) in &step.expect {
            let trial = self.trial_at(step, level);
            let line = trial.to_string();
            let judged = trial.run();
            let noticed = match (judged.caught_by, judged.end) {
                (Layer::Nobody, Outcome::Silent) => "; nobody noticed".to_owned(),
                (Layer::Nobody, _) => String::new(),
                (layer, _) => format!("; first noticed by: {}", layer.name()),
            };
            let word = stage.word(judged.end);
            stage.say(&format!("  {level}  {word}  {}{noticed}\n", judged.end.meaning()));
            stage.replay(&format!("careful-faults replay '{line}'"));
            is_all_met &= stage.judge(expected.word(), judged.end.word(), expected.is_met_by(judged.end));
        }
        is_all_met
    }

    fn trial_at(&self, step: &TrialStep, level: Level) -> Trial {
        if let (Some(wanted), Some(seed)) = (&step.row, step.seed) {
            let campaign = Campaign { seed, trials: 1, trials_full: 0, rows: Vec::new(), levels: Vec::new(), jobs: 1 };
            let row = rows().find(|row| row.number == wanted.0.0).expect("its number was looked up when it was read");
            return campaign.trial(row, level, 0);
        }
        let subject = step.subject.as_ref().or(self.subject.as_ref()).map_or(SUBJECT, |subject| subject.0.0);
        let faults: Vec<&str> = step.faults.iter().flatten().map(|faults| faults.0.0.as_str()).collect();
        let plan = faults.join("; ").parse().expect("each of its lines was a plan when it was read");
        Trial { level, subject, plan }
    }

    fn gateway(&self, step: &GatewayStep, stage: &mut Stage<'_>) -> Result<bool, String> {
        let swaps = step.swap_every_bytes.map(|every_bytes| ByteSwaps {
            seed: step.seed,
            every_bytes: every_bytes.max(1),
            rehashes: step.rehash,
        });
        let hosts = Hosts::new(&self.files)?;
        let came = match step.copier {
            Copier::Careful => hosts.through_gateway(&stage.programs, swaps, &step.arguments),
            Copier::QuicAlone => hosts.quic_alone_through_gateway(swaps),
        }?;
        let rehash = if step.rehash { " --rehash" } else { "" };
        let swapping = step.swap_every_bytes.map_or_else(
            || "a gateway that swaps nothing".to_owned(),
            |every| {
                let seed = step.seed;
                format!("careful-faults gateway TICKET --identity FILE --seed {seed} --swap-every {every}{rehash}")
            },
        );
        let copier = match step.copier {
            Copier::Careful => sent_by(&step.arguments),
            Copier::QuicAlone => "a copy over QUIC that compares nothing".to_owned(),
        };
        stage.replay(&format!("{swapping}; {copier}"));
        Ok(told(&came, step.expect, stage))
    }

    fn relay(&self, step: &RelayStep, stage: &mut Stage<'_>) -> Result<bool, String> {
        let trouble = Trouble {
            lost: step.lost,
            doubled: step.doubled,
            late: step.late,
            flipped_with_fresh_checksum: step.flipped,
            words_exchanged: step.words_exchanged,
            delay: Duration::from_millis(step.delay_milliseconds),
            ..Trouble::default()
        };
        let came = Hosts::new(&self.files)?.through_relay(&stage.programs, step.seed, &trouble, &step.arguments)?;
        stage.replay(&format!(
            "careful-faults relay TICKET --seed {} --lost {} --doubled {} --late {} --flipped {} --words-exchanged {} \
             --delay {}; {}",
            step.seed,
            step.lost,
            step.doubled,
            step.late,
            step.flipped,
            step.words_exchanged,
            step.delay_milliseconds,
            sent_by(&step.arguments)
        ));
        Ok(told(&came, step.expect, stage))
    }
}

fn sent_by(arguments: &[String]) -> String {
    let arguments: Vec<&str> = ["careful-send"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    arguments.join(" ")
}

/// Tells what the real programs came to.
fn told(came: &Came, expected: Expected, stage: &mut Stage<'_>) -> bool {
    for line in &came.lines {
        stage.say(&format!("  {line}\n"));
    }
    let word = stage.word(came.end);
    let meaning = match came.end {
        Outcome::Masked => "the bytes are right, and no check had anything to repair",
        end => end.meaning(),
    };
    stage.say(&format!("  {word}  {meaning}\n"));
    stage.judge(expected.word(), came.end.word(), expected.is_met_by(came.end))
}

fn power_cuts(step: &CrashStep, stage: &mut Stage<'_>) -> bool {
    let configuration = match step.configuration {
        ConfigurationName::F8 => Configuration::large(),
        ConfigurationName::S => Configuration::small(),
        ConfigurationName::N => Configuration::nested(),
        ConfigurationName::D20 => Configuration::group(),
        ConfigurationName::L => Configuration::leftover(),
    };
    let sampling = Sampling { exhaustive_max: step.images, random: step.images.min(16), seed: step.seed };
    let options = Options { sampling, resumes: 1, ..Options::thorough(step.seed) };
    // What a receiver that forgets comes to is told by the images alone.
    let (configuration, options) = match step.forgets {
        Some(forgotten) => (configuration.with_lie(Lie::from(forgotten)), options.without_resumes()),
        None => (configuration, options),
    };
    let report = enumerate(&configuration, &options, &mut |_| {});
    stage.say(&format!(
        "  {} crash points ({} with all their images), {} images judged, {} transfers run again: {} promises broken\n",
        report.points,
        report.exhaustive_points,
        report.images(),
        report.resumes,
        report.broken_promises()
    ));
    tell_violation(&report, step.seed, stage);
    let came = if report.broken_promises() == 0 { Promises::Held } else { Promises::Broken };
    let word = |promises| if promises == Promises::Held { "held" } else { "broken" };
    stage.judge(word(step.expect), word(came), step.expect == came)
}

fn tell_violation(report: &CrashReport, seed: u64, stage: &mut Stage<'_>) {
    match report.violations.iter().find(|violation| violation.model.is_promised()) {
        Some(violation) => {
            let word = stage.word(Outcome::Silent);
            stage.say(&format!("  {word}  {:?}: {}\n", violation.invariant, violation.what));
            stage.replay(&format!("image {}", violation.replay));
        }
        None => stage.replay(&format!("all configurations, more images: careful-faults crash --seed {seed}")),
    }
}

/// The text in lines of at most [`WIDTH`] columns; an empty line stays one.
fn filled(text: &str, indent: &str) -> String {
    let mut filled = String::new();
    for paragraph in text.trim().split("\n\n") {
        if !filled.is_empty() {
            filled.push_str("\n\n");
        }
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let width = word.chars().count();
            if column > 0 && column + 1 + width > WIDTH {
                filled.push('\n');
                column = 0;
            }
            let before = if column == 0 { indent } else { " " };
            filled.push_str(before);
            filled.push_str(word);
            column += before.len() + width;
        }
    }
    filled
}
