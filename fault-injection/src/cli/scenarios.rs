//! `careful-faults run`: plays a scenario.

use std::io::IsTerminal;

use super::Done;
use crate::programs::Programs;
use crate::scenario::{Scenario, Stage};

pub(super) fn run(scenario: &str) -> Done {
    let scenario = Scenario::load(scenario).map_err(|error| error.to_string())?;
    let programs = Programs::beside_this()?;
    let mut output = std::io::stdout();
    let is_coloured = output.is_terminal();
    scenario.play(&mut Stage { output: &mut output, is_coloured, programs })
}
