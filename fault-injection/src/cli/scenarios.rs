//! `careful-faults run`: plays a scenario.

use std::io::IsTerminal;

use super::Done;
use crate::scenario::{Scenario, Stage};

pub(super) fn run(scenario: &str) -> Done {
    let scenario = Scenario::load(scenario).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| format!("where this program lies: {error}"))?;
    let programs = program.parent().unwrap_or(&program).to_owned();
    let mut output = std::io::stdout();
    let is_coloured = output.is_terminal();
    scenario.play(&mut Stage { output: &mut output, is_coloured, programs })
}
