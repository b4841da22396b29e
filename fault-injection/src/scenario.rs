//! Scenarios: scripted demonstrations, each a TOML file with a text that says what to see.

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its file's name without the ending.
    pub name: String,
    /// What it shows, in a line.
    pub title: String,
}

/// Those that come with the program.
#[must_use]
pub fn built_in() -> Vec<Scenario> {
    Vec::new()
}
