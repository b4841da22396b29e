//! `careful-faults run`: plays a scenario.

use super::Done;

pub(super) fn run(scenario: &str) -> Done {
    Err(format!("there is no scenario {scenario}"))
}
