//! The bar while trials run: how many are done, the row and level at hand, the time left.
//!
//! Hidden where standard error is no terminal, so that logs stay clean. May be shared between threads that run trials.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::Level;

/// Draws a second at most.
const DRAWS_PER_SECOND: u8 = 5;
/// The name of a row gives way where the terminal is narrow.
const TEMPLATE: &str = "{pos}/{len} {bar:24} {eta} left  {wide_msg}";

/// Counts trials on a terminal.
#[derive(Clone, Debug)]
pub struct TrialProgress {
    bar: ProgressBar,
}

impl TrialProgress {
    /// For so many trials in all, on standard error.
    #[must_use]
    pub fn new(trials: u64) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND), trials)
    }

    /// One that draws nothing, for runs that are quiet.
    #[must_use]
    pub fn hidden(trials: u64) -> Self {
        Self::on(ProgressDrawTarget::hidden(), trials)
    }

    fn on(target: ProgressDrawTarget, trials: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(trials), target);
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("the template is well formed"));
        Self { bar }
    }

    /// Says what is being tried now.
    pub fn at(&self, row: &str, level: Level) {
        self.bar.set_message(format!("row {row} at {level}"));
    }

    /// One trial is done.
    pub fn trial_done(&self) {
        self.bar.inc(1);
    }

    /// Trials that will not be run after all.
    pub fn skip(&self, trials: u64) {
        self.bar.set_length(self.bar.length().unwrap_or_default().saturating_sub(trials));
    }

    /// Trials that are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.bar.position()
    }

    /// Runs `write` with the bar out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Clears the line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_counted_and_skipped_ones_leave_the_total() {
        let progress = TrialProgress::hidden(3);
        progress.at("16", Level::L4);
        progress.trial_done();
        progress.clone().trial_done();
        progress.skip(1);
        assert_eq!((progress.done(), progress.bar.length()), (2, Some(2)));
        assert_eq!(progress.bar.message(), "row 16 at L4");
        assert!(progress.bar.is_hidden());
        progress.finish();
    }
}
