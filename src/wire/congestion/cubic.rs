//! Growth and reduction of a window as CUBIC does it (RFC 9438), for as long as others fill the queue of the path.
//!
//! Whoever shares a queue with TCP gets as much as TCP by behaving as it does. **What is congestion is decided above; no
//! clock, no quinn.**

use std::time::{Duration, Instant};

/// What remains of the window after congestion (RFC 9438, section 4.6).
const REDUCED_TO: f64 = 0.7;
/// Growth in datagrams per second cubed (section 5.1).
const STEEPNESS: f64 = 0.4;

/// A window in bytes, kept as floating point because it grows by parts of a byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cubic {
    window: f64,
    /// The window before the last reduction, which is returned to quickly and passed slowly.
    peak: f64,
    /// From the reduction until then.
    until_peak: Duration,
    began: Instant,
    /// What Reno would have by now (section 4.3).
    reno: f64,
}

impl Cubic {
    /// Goes on from here.
    pub(super) fn starting_at(now: Instant, window: u64) -> Self {
        let window = window as f64;
        Self { window, peak: window, until_peak: Duration::ZERO, began: now, reno: window }
    }

    /// Goes on from here as if it had just been reduced to it.
    pub(super) fn reduced(now: Instant, window: u64, datagram_bytes: u64) -> Self {
        let mut before = Self::starting_at(now, (window as f64 / REDUCED_TO) as u64);
        before.congested(now, 0, datagram_bytes);
        before
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    /// Bytes arrived while the window was made use of.
    pub(super) fn acknowledged(&mut self, now: Instant, bytes: u64, round_trip: Duration, datagram_bytes: u64) {
        let (bytes, datagram) = (bytes as f64, datagram_bytes as f64);
        let seconds = (now.saturating_duration_since(self.began) + round_trip).as_secs_f64();
        let from_peak = seconds - self.until_peak.as_secs_f64();
        let cubic = self.peak + STEEPNESS * from_peak.powi(3) * datagram;
        let target = cubic.clamp(self.window, self.window * 1.5);
        self.window += (target - self.window) / self.window * bytes;
        // As much on average as Reno, which halves: 3 (1 - 0.7) / (1 + 0.7) datagrams a round.
        self.reno += 3.0 * (1.0 - REDUCED_TO) / (1.0 + REDUCED_TO) * datagram * bytes / self.window;
        self.window = self.window.max(self.reno);
    }

    /// So many bytes more at once: nobody else is there to be fair to.
    pub(super) fn raise(&mut self, bytes: u64) {
        self.window += bytes as f64;
        self.peak = self.peak.max(self.window);
        self.reno = self.window;
    }

    /// The path is too full: the window is reduced, but not below this many bytes.
    pub(super) fn congested(&mut self, now: Instant, smallest: u64, datagram_bytes: u64) {
        // Who did not get back to where it was leaves room for newcomers (section 4.7).
        self.peak = if self.window < self.peak { self.window * (1.0 + REDUCED_TO) / 2.0 } else { self.window };
        self.window = (self.window * REDUCED_TO).max(smallest as f64);
        self.reno = self.window;
        self.began = now;
        let distance = (self.peak - self.window).max(0.0) / datagram_bytes as f64;
        self.until_peak = Duration::from_secs_f64((distance / STEEPNESS).cbrt());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// The window after so long, with a whole window acknowledged in each round trip, a tenth at a time.
    fn grown(mut cubic: Cubic, start: Instant, time: Duration) -> u64 {
        let step = ROUND_TRIP / 10;
        let mut passed = Duration::ZERO;
        while passed < time {
            passed += step;
            cubic.acknowledged(start + passed, cubic.window() / 10, ROUND_TRIP, 1000);
        }
        cubic.window()
    }

    #[test]
    fn congestion_leaves_seven_tenths_and_no_less_than_the_least() {
        let now = Instant::now();
        let mut cubic = Cubic::starting_at(now, 1_000_000);
        cubic.congested(now, 4000, 1000);
        assert_eq!(cubic.window(), 700_000);
        cubic.congested(now, 600_000, 1000);
        assert_eq!(cubic.window(), 600_000);
    }

    #[test]
    fn the_peak_is_reached_when_the_formula_says_so() {
        let now = Instant::now();
        let cubic = Cubic::reduced(now, 700_000, 1000);
        // The cube root of 1000 datagrams times 0.3 / 0.4.
        let until_peak = Duration::from_secs_f64(750_f64.cbrt());
        assert!((cubic.until_peak.as_secs_f64() - until_peak.as_secs_f64()).abs() < 0.01, "{cubic:?}");
        let half = grown(cubic, now, until_peak / 2);
        let expected = 1_000_000.0 - 0.4 * (until_peak.as_secs_f64() / 2.0).powi(3) * 1000.0;
        assert!((half as f64 - expected).abs() < 10_000.0, "{half} {expected}");
        let peak = grown(cubic, now, until_peak);
        assert!((990_000..1_020_000).contains(&peak), "{peak}");
    }

    #[test]
    fn whoever_does_not_reach_its_peak_again_aims_lower() {
        let now = Instant::now();
        let mut cubic = Cubic::starting_at(now, 1_000_000);
        cubic.congested(now, 0, 1000);
        cubic.congested(now, 0, 1000);
        assert!((cubic.peak - 595_000.0).abs() < 1.0, "{cubic:?}");
    }

    #[test]
    fn on_a_short_path_it_grows_as_reno_does() {
        let now = Instant::now();
        let cubic = Cubic::starting_at(now, 10_000);
        // 20 round trips of 0.53 datagrams each, where the cube gives 0.4.
        let window = grown(cubic, now, 20 * ROUND_TRIP);
        assert!((19_000..22_000).contains(&window), "{window}");
    }
}
