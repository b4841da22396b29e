//! The TOML of a scenario. Every mistake in it is told with file, line and what to do.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::path::Path;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{BUILT_IN, Faults, FileName, FileSpec, Kind, RowNumber, Scenario, Step, SubjectLine, ThreatWord};
use crate::matrix::rows::rows;
use crate::plan::Plan;
use crate::trial::Trial;

/// Why a file is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error(
        "{path} cannot be read: {why}; give the path of a TOML file, or one of those that come with the program: {known}"
    )]
    Unreadable {
        /// As it was given.
        path: String,
        /// What the system says.
        why: String,
        /// Names of those that come with the program.
        known: String,
    },
    /// Something in it is wrong.
    #[error("{origin}, line {line}: {what}")]
    Wrong {
        /// Its path or name.
        origin: String,
        /// From 1.
        line: usize,
        /// What, and what to do.
        what: String,
    },
}

#[expect(clippy::disallowed_methods, reason = "a scenario is no file of a transfer")]
pub(super) fn read(path: &Path) -> Result<Scenario, ScenarioError> {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let scenario = parse(&origin, &text)?;
            Ok(Scenario { name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), ..scenario })
        }
        Err(error) => {
            let known = BUILT_IN.map(|(name, _)| name).join(", ");
            Err(ScenarioError::Unreadable { path: origin, why: error.to_string(), known })
        }
    }
}

pub(super) fn parse(origin: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let wrong = |position: usize, what: String| {
        let line = 1 + text.bytes().take(position).filter(|&byte| byte == b'\n').count();
        ScenarioError::Wrong { origin: origin.to_owned(), line, what }
    };
    let scenario: Scenario = toml::from_str(text)
        .map_err(|error| wrong(error.span().map_or(text.len(), |span| span.start), error.message().to_owned()))?;
    if scenario.steps.is_empty() {
        return Err(wrong(text.len(), "there are no steps; add a `[[steps]]`".to_owned()));
    }
    for step in &scenario.steps {
        step.get_ref().check(&scenario.files).map_err(|what| wrong(step.span().start, what))?;
    }
    Ok(Scenario { name: origin.to_owned(), ..scenario })
}

impl Step {
    /// What it does; only the first if there are several, which [`parse`] refuses.
    pub(super) fn kind(&self) -> Option<Kind<'_>> {
        self.kinds().into_iter().flatten().next()
    }

    fn kinds(&self) -> [Option<Kind<'_>>; 4] {
        [
            self.trial.as_ref().map(Kind::Trial),
            self.crash.as_ref().map(Kind::Crash),
            self.gateway.as_ref().map(Kind::Gateway),
            self.relay.as_ref().map(Kind::Relay),
        ]
    }

    fn check(&self, files: &[FileSpec]) -> Result<(), String> {
        if self.kinds().into_iter().flatten().count() != 1 {
            return Err("a step has exactly one of `trial`, `crash`, `gateway` and `relay`; split it or add one".into());
        }
        match self.kind() {
            Some(Kind::Trial(trial)) => {
                let by_hand = trial.faults.is_some() && trial.row.is_none() && trial.seed.is_none();
                let drawn = trial.faults.is_none() && trial.row.is_some() && trial.seed.is_some();
                if !by_hand && !drawn {
                    return Err("a trial has either `faults`, or `row` and `seed`; give one of the two".into());
                }
                if drawn && trial.subject.is_some() {
                    return Err("a row draws its own subject; take `subject` out".into());
                }
                if trial.expect.is_empty() {
                    return Err("nothing is expected; write `expect = { L1 = \"silent\", L5 = \"repaired\" }`".into());
                }
            }
            Some(Kind::Gateway(_) | Kind::Relay(_)) if files.is_empty() => {
                return Err("the programs have nothing to send; add `[[files]]` with name, length and seed".into());
            }
            _ => {}
        }
        Ok(())
    }
}

/// A value that is written as a word or a line: a mistake in it is told with its own line in the file.
#[derive(Clone, Debug)]
pub(super) struct Written<T>(pub(super) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Reading<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a line in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written<T>, E> {
        text.parse().map(Written).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written<T>, E> {
        self.visit_str(&number.to_string())
    }
}

impl FromStr for ThreatWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "1" | "2" | "3" | "4" | "5" | "gateway" => Ok(Self(word.to_owned())),
            _ => Err(format!("no threat: {word}; write 1 to 5 or \"gateway\"")),
        }
    }
}

impl Display for ThreatWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.as_str() {
            "1" => "threat 1 of the paper: the disk reads wrong",
            "2" => "threat 2 of the paper: the software errs in buffering or copying",
            "3" => "threat 3 of the paper: the processor or the memory errs",
            "4" => "threat 4 of the paper: the network loses, doubles or changes",
            "5" => "threat 5 of the paper: a host crashes part way",
            _ => "the paper's example: the gateway at MIT",
        })
    }
}

impl FromStr for SubjectLine {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let trial = format!("L5 {line}:").parse::<Trial>();
        trial.map(|trial| Self(trial.subject)).map_err(|_| {
            format!(
                "no subject: {line}; write \"large BYTES SEED\" for more than 1048576 bytes (at most 268435456), else \
                 \"small BYTES SEED\""
            )
        })
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        match line.parse::<Plan>() {
            Ok(plan) if plan.entries().is_empty() => Err("no fault in this line; take it out".to_owned()),
            Ok(plan) => Ok(Self(plan.to_string())),
            Err(error) => Err(format!(
                "{error}; write PLACE FILE CHUNK #VISIT FAULT, as in \"write-out file 1 #1 flip 17.3\": \
                 fault-injection/README.md lists places and faults"
            )),
        }
    }
}

impl FromStr for RowNumber {
    type Err = String;

    fn from_str(number: &str) -> Result<Self, String> {
        let row = rows().find(|row| row.number == number);
        row.map(|row| Self(row.number))
            .ok_or_else(|| format!("there is no row {number}; `careful-faults list` names them"))
    }
}

impl FromStr for FileName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "" | "." | ".." => Err(format!("no name of a file: {name:?}; write one like \"large\"")),
            _ if name.contains(['/', '\0']) => Err(format!("no name of a file: {name:?}; take the directory out")),
            _ => Ok(Self(name.to_owned())),
        }
    }
}
