//! Bounds for the probability of an event that was seen some times in some trials: what a count of runs allows to be said.
//!
//! Exact bounds of Clopper and Pearson (The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
//! 1934): the true probability lies beyond one in at most the given share of all experiments, whatever it is. All
//! probabilities are from 0 to 1. They are about faults drawn as ours are drawn, **not about nature's rate**.

/// Chance of being wrong that is allowed where none is named.
const USUAL_ERROR: f64 = 0.05;
/// Terms of a continued fraction after which it is taken as it is; some square roots of the number of trials are enough.
const TERMS_MAX: u32 = 10_000;
/// Halvings of the interval 0 to 1: as many as its numbers have bits, and some for those near 0.
const HALVINGS: u32 = 200;

/// Upper bound, at 95 %, where the event was never seen in so many trials: 1 - 0.05^(1/trials), about 3/trials; 1 for none.
#[must_use]
pub fn zero_failures_bound(trials: u64) -> f64 {
    if trials == 0 { 1.0 } else { -(USUAL_ERROR.ln() / trials as f64).exp_m1() }
}

/// Upper bound that is too low with a chance of at most `error`: the probability at which `events` or fewer in `trials` have
/// just that chance.
///
/// # Panics
/// If there are more events than trials, or `error` does not lie between 0 and 1.
#[must_use]
pub fn upper_bound(events: u64, trials: u64, error: f64) -> f64 {
    check(events, trials, error);
    if events == trials {
        return 1.0;
    }
    // The chance of at most k events in n trials is 1 - I_p(k + 1, n - k) (DLMF 8.17.5).
    root(|probability| beta(probability, events as f64 + 1.0, (trials - events) as f64) - (1.0 - error))
}

/// Lower bound that is too high with a chance of at most `error`: the probability at which `events` or more in `trials` have
/// just that chance.
///
/// # Panics
/// As above.
#[must_use]
pub fn lower_bound(events: u64, trials: u64, error: f64) -> f64 {
    check(events, trials, error);
    if events == 0 {
        return 0.0;
    }
    root(|probability| beta(probability, events as f64, (trials - events) as f64 + 1.0) - error)
}

/// Lower and upper bound together: each is wrong with a chance of at most half of `error`.
///
/// # Panics
/// As above.
#[must_use]
pub fn two_sided_bounds(events: u64, trials: u64, error: f64) -> (f64, f64) {
    (lower_bound(events, trials, error / 2.0), upper_bound(events, trials, error / 2.0))
}

fn check(events: u64, trials: u64, error: f64) {
    assert!(events <= trials, "{events} events in {trials} trials");
    assert!(error > 0.0 && error < 1.0, "a chance of being wrong between 0 and 1, not {error}");
}

/// Where a function that grows from 0 to 1 changes its sign.
fn root(function: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function I_x(a, b), for x from 0 to 1 and positive a and b.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast below the mean; above it the function is mirrored (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below_mean(1.0 - x, b, a);
    }
    beta_below_mean(x, a, b)
}

/// DLMF 8.17.22, from the front by Lentz's method (modified by Thompson and Barnett).
fn beta_below_mean(x: f64, a: f64, b: f64) -> f64 {
    let log_factor = a * x.ln() + b * (-x).ln_1p() - (log_gamma(a) + log_gamma(b) - log_gamma(a + b));
    let not_zero = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let (mut value, mut numerator, mut denominator) = (1.0, 1.0, 0.0);
    for term in 0..TERMS_MAX {
        let m = f64::from(term / 2);
        let coefficient = match term {
            0 => 1.0,
            _ if term % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        denominator = 1.0 / not_zero(1.0 + coefficient * denominator);
        numerator = not_zero(1.0 + coefficient / numerator);
        let change: f64 = numerator * denominator;
        value *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    // The fraction began with 1 + 1/(...): what is wanted is the second summand.
    (log_factor.exp() / a) * (value - 1.0)
}

/// Logarithm of the gamma function for positive x: Stirling's series (DLMF 5.11.1), after steps upwards to where six terms of
/// it are exact to the last bits.
fn log_gamma(x: f64) -> f64 {
    const ENOUGH: f64 = 16.0;
    const SERIES: [f64; 6] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let (mut x, mut product) = (x, 1.0);
    while x < ENOUGH {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = SERIES.iter().rev().fold(0.0, |sum, term| sum * square + term) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn no_event_in_many_trials_has_the_published_bound() {
        for (trials, percent, tolerance) in
            [(300, 0.994, 5e-4), (1000, 0.299, 5e-4), (3000, 0.0998, 5e-5), (10_000, 0.02995, 5e-6)]
        {
            is_near(zero_failures_bound(trials) * 100.0, percent, tolerance);
        }
        is_near(zero_failures_bound(1), 0.95, 1e-12);
        is_near(zero_failures_bound(0), 1.0, 0.0);
    }

    #[test]
    fn the_bound_for_no_event_is_the_general_one() {
        for trials in [1, 2, 10, 300, 3000, 100_000, 10_000_000] {
            let bound = zero_failures_bound(trials);
            is_near(upper_bound(0, trials, 0.05), bound, bound * 1e-7);
        }
    }

    #[test]
    fn two_sided_bounds_are_the_published_ones() {
        for (events, trials, lower, upper) in [
            (5, 10, 0.1871, 0.8129),
            (1, 20, 0.0013, 0.2487),
            (0, 10, 0.0, 0.3085),
            (10, 10, 0.6915, 1.0),
            (1, 10, 0.0025, 0.4450),
            (3, 10, 0.0667, 0.6525),
            (50, 100, 0.3983, 0.6017),
            (0, 100, 0.0, 0.0362),
        ] {
            let (found_lower, found_upper) = two_sided_bounds(events, trials, 0.05);
            is_near(found_lower, lower, 6e-5);
            is_near(found_upper, upper, 6e-5);
        }
        is_near(lower_bound(1, 20, 0.025), 0.00127, 5e-6);
    }

    #[test]
    fn at_its_bound_an_observation_has_just_the_chance_that_was_allowed() {
        // Summed term by term, with no beta function; by logarithms, since the first term may be far too small for a number.
        let chance_of_at_most = |events: u64, trials: u64, probability: f64| {
            let odds = probability.ln() - (-probability).ln_1p();
            let first = trials as f64 * (-probability).ln_1p();
            let next = |logarithm: f64, k: u64| logarithm + odds + ((trials - k) as f64 / (k + 1) as f64).ln();
            let terms = (0..events).scan(first, |logarithm, k| {
                *logarithm = next(*logarithm, k);
                Some(logarithm.exp())
            });
            first.exp() + terms.sum::<f64>()
        };
        for trials in [1, 2, 7, 40, 333] {
            for events in 0..trials {
                let upper = upper_bound(events, trials, 0.05);
                is_near(chance_of_at_most(events, trials, upper), 0.05, 1e-9);
                let lower = lower_bound(events + 1, trials, 0.01);
                is_near(1.0 - chance_of_at_most(events, trials, lower), 0.01, 1e-9);
            }
        }
    }

    #[test]
    fn bounds_mirror_each_other_and_grow_with_the_events() {
        for (events, trials) in [(0, 1), (3, 10), (17, 1000), (999, 1000), (250_000, 500_000)] {
            is_near(upper_bound(events, trials, 0.05), 1.0 - lower_bound(trials - events, trials, 0.05), 1e-12);
        }
        let uppers: Vec<f64> = (0..=50).map(|events| upper_bound(events, 50, 0.05)).collect();
        assert!(uppers.is_sorted() && uppers[50] == 1.0);
    }

    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials() {
        let mut logarithm = 0.0_f64;
        for n in 1..200 {
            is_near(log_gamma(f64::from(n)), logarithm, 1e-12 * logarithm.max(1.0));
            logarithm += f64::from(n).ln();
        }
        is_near(log_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-14);
    }
}
