//! Detectors: short runs, each of which claims one thing that must hold, and fails where it does not.
//!
//! All hold in the program as it is. Each takes well under a second, but for those with a file of more than 64 MiB.
//! A claim that fails panics with what it saw and, where a plan was run, with the line that replays it.

mod commit;
mod content;
mod evil_pulled;
mod evil_receiver;
mod evil_sender;
mod links;
mod records;
mod resume;
mod small;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest time that one detector may take.
pub const LIMIT: Duration = Duration::from_secs(45);

/// One claim.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// The claim.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub run: fn(),
}

/// Holds, or what was seen instead.
pub type Verdict = Result<(), String>;

impl Detector {
    /// Runs it on a thread of its own. One that does not end in time does not hold.
    pub fn look(&self) -> Verdict {
        let (verdict, when_done) = mpsc::channel();
        let run = self.run;
        let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| words_of(panic.as_ref()));
            // Nobody waits any more after the limit.
            verdict.send(outcome).ok();
        });
        assert!(spawned.is_ok(), "a thread can be started");
        when_done.recv_timeout(LIMIT).unwrap_or_else(|_| Err(format!("did not end within {LIMIT:?}")))
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

/// All of them, the quick ones first.
#[must_use]
pub fn detectors() -> Vec<Detector> {
    [
        small::DETECTORS,
        evil_receiver::DETECTORS,
        evil_sender::DETECTORS,
        evil_pulled::DETECTORS,
        links::DETECTORS,
        content::DETECTORS,
        records::DETECTORS,
        resume::DETECTORS,
        commit::DETECTORS,
    ]
    .concat()
}

/// A table of detectors by their names.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        /// The claims of this file.
        pub(super) const DETECTORS: &[super::Detector] =
            &[$(super::Detector { name: stringify!($name), run: $name }),*];
    };
}
use table;
