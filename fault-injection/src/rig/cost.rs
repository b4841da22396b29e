//! What a run costs: time on the wall, and of all cores of this process.

#![expect(clippy::disallowed_methods, reason = "the kernel's books of this process are no file of a transfer")]

use std::fs;
use std::time::{Duration, Instant};

/// What `/proc/self/stat` counts in: 1/100 s on every machine this runs on (proc(5), `USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// Words in `/proc/self/stat` after the program's name and before the time in the program itself (proc(5)).
const WORDS_BEFORE: usize = 11;

/// What a run cost, both ends together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time on the wall.
    pub wall: Duration,
    /// Time of all cores in this process, within the program and the kernel, in steps of 10 ms. It includes whatever else the
    /// process did at that time.
    pub cores: Duration,
}

/// Measures a [`Cost`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    started: Instant,
    cores: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { cores: cores(), started: Instant::now() }
    }

    pub(super) fn read(self) -> Cost {
        Cost { wall: self.started.elapsed(), cores: cores().saturating_sub(self.cores) }
    }
}

/// Time of all cores so far; zero where the kernel does not tell.
fn cores() -> Duration {
    let books = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may hold anything, blanks and brackets too, and ends with the last bracket.
    let words = books.rsplit_once(')').map_or("", |(_, words)| words).split_whitespace();
    let ticks = words.skip(WORDS_BEFORE).take(2).filter_map(|word| word.parse::<u32>().ok());
    TICK * ticks.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_and_waiting_is_wall_time_alone() {
        let watch = Stopwatch::start();
        let mut hasher = blake3::Hasher::new();
        while watch.read().cores < Duration::from_millis(50) {
            hasher.update(&[7; 65536]);
        }
        assert!(watch.read().wall >= Duration::from_millis(10), "{:?} {}", watch.read(), hasher.finalize());
    }
}
