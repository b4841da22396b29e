//! The bar on a terminal: looks at the counters ten times a second and draws.
//!
//! Lives in a thread of its own, so nothing that moves data ever waits for a terminal. **Off a terminal, with `--quiet`
//! or with `--json` there is none**: see [`wanted`].

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::arguments::OutputArguments;
use crate::progress::{Counters, Phase};

/// Between two looks at the counters.
const EVERY: Duration = Duration::from_millis(100);
/// Draws a second at most.
const DRAWS_PER_SECOND: u8 = 10;
/// While the whole is not known, there is no time left to tell.
const TEMPLATE_WALKING: &str = "{prefix:22} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {msg}";
/// Once it is.
const TEMPLATE: &str = "{prefix:22} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}";

/// Whether a bar is to be shown: standard error is a terminal, and neither silence nor JSON was asked for.
#[must_use]
pub fn wanted(output: &OutputArguments) -> bool {
    !output.quiet && !output.json && std::io::stderr().is_terminal()
}

/// Starts drawing. Where the thread cannot be started there is no bar, which harms nothing.
#[must_use]
pub fn start(counters: Arc<Counters>) -> ProgressDisplay {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    ProgressDisplay::start_on(target, counters)
}

/// A bar that is being drawn; dropping it clears the line.
#[derive(Debug)]
pub struct ProgressDisplay {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    fn start_on(target: ProgressDrawTarget, counters: Arc<Counters>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let stop = Arc::new(AtomicBool::new(false));
        let looker = Looker { bar: bar.clone(), counters, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || looker.run()).ok();
        Self { bar, stop, thread }
    }

    /// For whoever else writes to the terminal.
    #[must_use]
    pub fn suspender(&self) -> Suspender {
        Suspender { bar: Some(self.bar.clone()) }
    }

    /// Runs `write` with the bar out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Stops drawing and clears the line.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic over there concerns the bar alone.
            thread.join().ok();
        }
        self.bar.finish_and_clear();
    }
}

/// Takes the bar out of the way while something else is written; without a bar it just writes.
#[derive(Clone, Debug, Default)]
pub struct Suspender {
    bar: Option<ProgressBar>,
}

impl Suspender {
    /// Runs `write` with the bar out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Writes to standard error, whole. Errors are dropped: there is nowhere left to tell them.
    pub(crate) fn write_to_stderr(&self, bytes: &[u8]) {
        self.suspend(|| std::io::stderr().lock().write_all(bytes)).ok();
    }
}

/// The thread's side.
struct Looker {
    bar: ProgressBar,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
}

impl Looker {
    fn run(self) {
        let mut shown: Option<(Phase, bool)> = None;
        while !self.stop.load(Ordering::Acquire) {
            self.look(&mut shown);
            std::thread::park_timeout(EVERY);
        }
    }

    fn look(&self, shown: &mut Option<(Phase, bool)>) {
        let counted = self.counters.snapshot();
        let phase = counted.phase();
        if *shown != Some((phase, counted.walk_finished)) {
            let template = if counted.walk_finished { TEMPLATE } else { TEMPLATE_WALKING };
            self.bar.set_style(ProgressStyle::with_template(template).expect("the templates are fixed and tested"));
            self.bar.set_prefix(phase.words());
            if shown.is_none_or(|(before, _)| before != phase) {
                self.bar.reset_eta();
            }
            *shown = Some((phase, counted.walk_finished));
        }
        let more = if counted.walk_finished { "" } else { "+" };
        self.bar.set_length(counted.bytes_found);
        self.bar.set_position(counted.position(phase));
        self.bar.set_message(format!("{}/{}{more} files", counted.files_done, counted.files_found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [TEMPLATE, TEMPLATE_WALKING] {
            ProgressStyle::with_template(template).expect("a template");
        }
    }

    #[test]
    fn a_display_ends_when_it_is_told_to_and_its_suspender_outlives_it() {
        let counters = Arc::new(Counters::default());
        let display = ProgressDisplay::start_on(ProgressDrawTarget::hidden(), Arc::clone(&counters));
        let suspender = display.suspender();
        counters.bytes_found(10);
        assert_eq!(display.suspend(|| 1), 1);
        display.finish();
        assert_eq!(suspender.suspend(|| 2), 2);
    }

    #[test]
    fn a_look_shows_phase_position_and_files() {
        let counters = Arc::new(Counters::default());
        let bar = ProgressBar::hidden();
        let looker = Looker { bar: bar.clone(), counters: Arc::clone(&counters), stop: Arc::default() };
        counters.files_found(3);
        counters.bytes_found(100);
        counters.sent_bytes(40);
        counters.files_done(1);
        let mut shown = None;
        looker.look(&mut shown);
        assert_eq!((bar.prefix().as_str(), bar.message().as_str()), ("sending", "1/3+ files"));
        counters.walk_finished();
        looker.look(&mut shown);
        assert_eq!((bar.message().as_str(), bar.position(), bar.length()), ("1/3 files", 40, Some(100)));
    }
}
