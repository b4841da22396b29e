//! A trial: one transfer at one level under one plan, said by one line that runs it again.
//!
//! `L4 large 2097157 77: write-out file 1 #1 flip 17.3` copies one file of so many bytes, drawn from seed 77, at level L4.
//! **A trial decides nothing**: it is run in a rig and judged from outside.

use std::fmt;
use std::io;
use std::str::FromStr;

use careful::protocol::entry::Name;
use careful::protocol::failure::Failure;
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::seams::disk::{Writing, read_full, write_all};

use crate::ladder::Level;
use crate::matrix::report::{Layer, Outcome as End};
use crate::plan::{Place, Plan, Role, damage};
use crate::rig::{Care, Ending, Outcome, Rig, Verdict, content};

/// Name of the file that is struck.
pub const FILE: &str = "file";
/// How many more files are in its group, if it is a small one.
const OTHERS: u64 = 2;

/// What is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Whether it travels alone in chunks, or in a group with others.
    pub size: Size,
    /// Length of the file that is struck, in bytes.
    pub length_bytes: u64,
    /// What the content is drawn from; an even one means that there is an old target to replace.
    pub seed: u64,
}

/// How a file travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Each chunk by itself.
    Large,
    /// Whole, in a group.
    Small,
}

impl Subject {
    /// Number of pieces that the file travels in.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        match self.size {
            Size::Large => self.length_bytes.div_ceil(u64::from(CHUNK_BYTES_DEFAULT)),
            Size::Small => 1,
        }
    }

    /// Length of one of them, in bytes.
    #[must_use]
    pub fn piece_bytes(&self, piece: u64) -> u64 {
        let chunk_bytes = u64::from(CHUNK_BYTES_DEFAULT);
        self.length_bytes.saturating_sub(piece * chunk_bytes).min(chunk_bytes)
    }

    fn rig(&self) -> Rig {
        let mut rig = Rig::in_memory();
        rig.add_source(FILE, &content(self.seed, self.length_bytes as usize));
        if self.size == Size::Small {
            for number in 0..OTHERS {
                let name = format!("other-{number}");
                rig.add_source(&name, &content(!self.seed - number, 3000 + number as usize));
            }
        }
        if self.seed.is_multiple_of(2) {
            rig.add_target(FILE, b"old");
        }
        rig
    }
}

/// See the module.
#[derive(Debug)]
pub struct Trial {
    /// Which checks are made.
    pub level: Level,
    /// What is transferred.
    pub subject: Subject,
    /// Which faults strike.
    pub plan: Plan,
}

/// What a trial came to.
#[derive(Debug)]
pub struct Judged {
    /// In one word.
    pub end: End,
    /// Who noticed first.
    pub caught_by: Layer,
    /// What was broken, if anything was; for people.
    pub why: Vec<String>,
}

impl Trial {
    /// Runs it once.
    ///
    /// # Panics
    /// If the rig cannot be set up.
    #[must_use]
    pub fn run(self) -> Judged {
        let rig = self.subject.rig();
        if let Some(error) = leave_staging(&rig, &self.plan).err() {
            return Judged { end: End::NotActivated, caught_by: Layer::Nobody, why: vec![error.to_string()] };
        }
        judge(&rig.run_plan(self.plan, Care::from(self.level)))
    }
}

/// Where the plan has something for what an interrupted run left: runs one that is interrupted, and damages that.
fn leave_staging(rig: &Rig, plan: &Plan) -> io::Result<()> {
    let is_left = |place: &Place| matches!(place, Place::Disk { role: Role::StagingLeft, .. });
    if !plan.has(|entry| is_left(&entry.place)) {
        return Ok(());
    }
    let interrupted = rig.run(&format!("rename {FILE} 0 #1 eio"), Care::FULL);
    interrupted.assert_fired();
    let name = Name::new(FILE.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?.staging();
    let staged = rig.target_directory()?.open_for_writing(&name, Writing::Cached)?;
    for entry in plan.entries().iter().filter(|entry| is_left(&entry.place)) {
        let Place::Disk { chunk, .. } = &entry.place else { continue };
        let start = chunk * u64::from(CHUNK_BYTES_DEFAULT);
        let mut piece = vec![0; CHUNK_BYTES_DEFAULT as usize];
        let read = read_full(staged.as_ref(), &mut piece, start)?;
        for strike in plan.visit(&entry.place) {
            if damage(strike, &mut piece[..read]).is_some() {
                plan.took_effect(strike);
            }
        }
        write_all(staged.as_ref(), &piece[..read], start)?;
    }
    Ok(())
}

/// What is to be thought of a run, from outside.
#[must_use]
pub fn judge(outcome: &Outcome) -> Judged {
    let why = outcome.broken_promises();
    let verdicts = outcome.verdicts();
    let is_refused =
        verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::RefusedAndKept(_) | Verdict::RefusedAndRight(_)));
    let repaired = outcome.counters.repaired;
    // A damaged message is no repair but another connection, of which the person is told.
    let said_again = !outcome.notices.is_empty();
    let noticed = repaired.arrival + repaired.stored + repaired.source + repaired.lost > 0 || said_again;
    let end = if outcome.plan.fired().is_empty() && !outcome.plan.entries().is_empty() {
        End::NotActivated
    } else if outcome.ended.is_none() {
        End::Hung
    } else if !why.is_empty() {
        End::Silent
    } else if is_refused || !outcome.is_complete() || !outcome.strays().is_empty() {
        // A file under a name that nobody sent, where that breaks no promise: whatever else came right, this was not wanted.
        End::Refused
    } else if noticed || outcome.caught_in_transit() != Layer::Nobody {
        End::Repaired
    } else {
        End::Masked
    };
    Judged { end, caught_by: layer(outcome, end), why }
}

/// Who noticed first, along the path of the data.
fn layer(outcome: &Outcome, end: End) -> Layer {
    let repaired = outcome.counters.repaired;
    let failure = outcome.verdicts().into_iter().find_map(|(_, verdict)| match verdict {
        Verdict::RefusedAndKept(failure) | Verdict::RefusedAndRight(failure) => Some(failure),
        _ => None,
    });
    if matches!(outcome.ended, Some(Ending::Baseline(_))) {
        return if end == End::Refused { Layer::DiskError } else { outcome.caught_in_transit() };
    }
    match failure {
        Some(Failure::ArrivedMismatch) => Layer::ChunkCheck,
        Some(Failure::StoredMismatch) => Layer::ReadBack,
        Some(Failure::SourceUnstable) => Layer::SecondRead,
        Some(Failure::SourceCorrupt) => Layer::Record,
        Some(Failure::SourceIo | Failure::TargetIo | Failure::SyncFailed | Failure::NoSpace | Failure::NotDurable) => {
            Layer::DiskError
        }
        Some(_) => Layer::CommitCheck,
        None if repaired.arrival + repaired.lost > 0 => Layer::ChunkCheck,
        None if repaired.source > 0 => Layer::SecondRead,
        None if repaired.stored > 0 => Layer::ReadBack,
        None if !outcome.notices.is_empty() => Layer::CommitCheck,
        None => outcome.caught_in_transit(),
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.level, self.subject, self.plan)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.size {
            Size::Large => "large",
            Size::Small => "small",
        };
        write!(f, "{size} {} {}", self.length_bytes, self.seed)
    }
}

/// A line that is no trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTrial(String);

impl fmt::Display for NoTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no trial (LEVEL large|small BYTES SEED: PLAN): {}", self.0)
    }
}

impl std::error::Error for NoTrial {}

impl FromStr for Trial {
    type Err = NoTrial;

    fn from_str(line: &str) -> Result<Self, NoTrial> {
        let no_trial = || NoTrial(line.to_owned());
        let (head, plan) = line.split_once(':').ok_or_else(no_trial)?;
        let plan = plan.parse().map_err(|error| NoTrial(format!("{line}: {error}")))?;
        let [level, size, length, seed] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(no_trial());
        };
        let size = match size {
            "large" => Size::Large,
            "small" => Size::Small,
            _ => return Err(no_trial()),
        };
        let length_bytes: u64 = length.parse().map_err(|_| no_trial())?;
        let is_large = length_bytes > u64::from(CHUNK_BYTES_DEFAULT);
        if is_large != (size == Size::Large) || length_bytes > LENGTH_MAX {
            return Err(no_trial());
        }
        let subject = Subject { size, length_bytes, seed: seed.parse().map_err(|_| no_trial())? };
        Ok(Self { level: level.parse().map_err(|_| no_trial())?, subject, plan })
    }
}

/// Longest file of a trial, in bytes: it is kept in memory several times.
const LENGTH_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_reads_back_from_its_own_line() {
        let line = "L4 large 2097157 77: write-out file 1 #1 flip 17.3; rename file 0 #1 eio";
        assert_eq!(line.parse::<Trial>().unwrap().to_string(), line);
        for wrong in
            ["", "L4 large 5 1: ", "L9 large 2097157 1: ", "L4 small 2097157 1: ", "L4 small 5: ", "L4 small 5 1"]
        {
            assert!(wrong.parse::<Trial>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_exchanged_under_the_old_checksum_are_noticed_by_nobody_below_quic() {
        let run = |level: &str| {
            let line = format!("{level} large 1100000 1: packet-of-sender-under-checksum *20 swap-words 500");
            let judged = line.parse::<Trial>().unwrap().run();
            (judged.end, judged.caught_by)
        };
        assert_eq!(run("L0"), (End::Silent, Layer::Nobody));
        assert_eq!(run("L1"), (End::Repaired, Layer::Aead));
    }
}
