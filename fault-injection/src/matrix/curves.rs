//! The two curves that the paper argues for and nobody published: goodput against the size of the unit that is sent again,
//! under the paper's gateway; and what each level of the ladder costs.
//!
//! Goodput counts the bytes that come to the gateway, in memory: neither link nor disk has a say. Cost is taken on the real
//! disk, where reading back and flushing cost what they do. **Nothing is judged here.**

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::report::{CostPoint, Curves, GoodputPoint, Level};
use crate::gateway::tamper::{BYTES_PER_SWAP_AT_MIT, ByteSwaps, ContentPlace, Tamper};
use crate::plan::Draw;
use crate::rig::{Care, Cost, Outcome, Rig, content};

/// Name of the file that is sent.
const FILE: &str = "file";

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The gateway swaps one pair of bytes in so many bytes on average.
    pub bytes_per_swap: u64,
    /// Length of the file that `careful` sends through the gateway, in bytes.
    pub chunked_bytes: usize,
    /// Sizes of its chunks, in bytes: powers of two that the protocol allows.
    pub chunks: Vec<u32>,
    /// Transfers of it for each size of chunks.
    pub chunked_repeats: u32,
    /// Lengths of files that L1 copies as a whole, in bytes, until the bytes are right, and how often each is brought
    /// through: how many copies it takes varies as much as its mean, so that the cheap ones are worth many.
    pub whole_files: Vec<(usize, u32)>,
    /// Copies of a whole file after which it is given up.
    pub sends_max: u32,
    /// Length of the file that is copied at each level, in bytes.
    pub cost_bytes: usize,
    /// Copies of it at each level.
    pub cost_repeats: u32,
    /// A level whose first copy takes longer than this is left out: plain UDP without a window that grows may.
    pub cost_patience: Duration,
}

impl Default for Measurement {
    fn default() -> Self {
        Self {
            bytes_per_swap: BYTES_PER_SWAP_AT_MIT,
            chunked_bytes: 16 << 20,
            chunks: (16..=22).map(|power| 1 << power).collect(),
            chunked_repeats: 3,
            whole_files: vec![(1_000_000, 40), (2_000_000, 20), (4_000_000, 8)],
            sends_max: 200,
            cost_bytes: 64 << 20,
            cost_repeats: 3,
            cost_patience: Duration::from_secs(20),
        }
    }
}

/// Measures both at their usual size; takes a minute or two.
#[must_use]
pub fn measure(seed: u64) -> Curves {
    Measurement::default().run(seed)
}

impl Measurement {
    /// Measures both.
    #[must_use]
    pub fn run(&self, seed: u64) -> Curves {
        let mut seeds = Draw::new(seed);
        let mut goodput: Vec<GoodputPoint> =
            self.chunks.iter().map(|&chunk_bytes| self.in_chunks(chunk_bytes, &mut seeds)).collect();
        goodput.extend(self.whole_files.iter().map(|&(length, repeats)| self.as_a_whole(length, repeats, &mut seeds)));
        Curves { goodput, cost: self.cost() }
    }

    /// `careful` with all its checks through the gateway.
    fn in_chunks(&self, chunk_bytes: u32, seeds: &mut Draw) -> GoodputPoint {
        let unit = match chunk_bytes >> 20 {
            0 => format!("{} KiB", chunk_bytes >> 10),
            mebibytes => format!("{mebibytes} MiB"),
        };
        let bytes = content(1, self.chunked_bytes);
        let transfers = (0..self.chunked_repeats).map(|_| {
            let swaps = self.swaps(seeds);
            let outcome = through(&swaps, &bytes, |rig| rig.in_chunks_of(chunk_bytes), Care::FULL);
            Transfer { sent_bytes: swaps.passed_bytes(), is_delivered: outcome.is_all_right(), wall: outcome.cost.wall }
        });
        self.point(unit, u64::from(chunk_bytes), self.chunked_bytes, &transfers.collect::<Vec<_>>())
    }

    /// L1 through the gateway, again and again until somebody who looks at both ends finds the bytes right: the paper's
    /// check of the whole file, in its cheapest form.
    fn as_a_whole(&self, length: usize, repeats: u32, seeds: &mut Draw) -> GoodputPoint {
        let bytes = content(1, length);
        let transfers = (0..repeats).map(|_| {
            let mut transfer = Transfer::default();
            for _ in 0..self.sends_max {
                let swaps = self.swaps(seeds);
                let outcome = through(&swaps, &bytes, |rig| rig, Care::from(Level::L1));
                transfer.sent_bytes += swaps.passed_bytes();
                transfer.wall += outcome.cost.wall;
                transfer.is_delivered = outcome.is_all_right();
                if transfer.is_delivered {
                    break;
                }
            }
            transfer
        });
        let unit = format!("whole file of {} MB", length as f64 / 1e6);
        self.point(unit, length as u64, length, &transfers.collect::<Vec<_>>())
    }

    fn swaps(&self, seeds: &mut Draw) -> Arc<Counted> {
        let swaps = ByteSwaps { seed: seeds.below(u64::MAX), every_bytes: self.bytes_per_swap, rehashes: false };
        Arc::new(Counted { swaps, passed_bytes: AtomicU64::new(0) })
    }

    /// A size at which most transfers are given up counts as not delivered: those that came through were lucky, and their
    /// mean would flatter.
    fn point(&self, unit: String, unit_bytes: u64, file_bytes: usize, transfers: &[Transfer]) -> GoodputPoint {
        let swap_rate = 1.0 / self.bytes_per_swap as f64;
        let delivered: Vec<&Transfer> = transfers.iter().filter(|transfer| transfer.is_delivered).collect();
        let sent: u64 = delivered.iter().map(|transfer| transfer.sent_bytes).sum();
        let sends = sent as f64 / (delivered.len() * file_bytes) as f64;
        let measured = (2 * delivered.len() > transfers.len()).then_some(sends);
        GoodputPoint {
            unit,
            unit_bytes,
            swap_rate,
            sends_per_unit_measured: measured,
            sends_per_unit_predicted: (swap_rate * unit_bytes as f64).exp().min(f64::MAX),
            goodput_fraction: measured.map_or(0.0, |sends| 1.0 / sends),
            seconds: median(transfers.iter().map(|transfer| transfer.wall)).as_secs_f64(),
            repeats: transfers.len() as u32,
        }
    }

    /// The same file at every level, without faults. Levels take turns, so that a machine that slows down slows down all.
    fn cost(&self) -> Vec<CostPoint> {
        let bytes = content(1, self.cost_bytes);
        let mut costs: Vec<(Level, Vec<Cost>)> = Level::ALL.map(|level| (level, Vec::new())).into();
        for _ in 0..self.cost_repeats {
            for (level, costs) in &mut costs {
                if costs.first().is_none_or(|first: &Cost| first.wall <= self.cost_patience) {
                    costs.extend(cost_of_copy(*level, &bytes));
                }
            }
        }
        costs.retain(|(_, costs)| costs.first().is_some_and(|first| first.wall <= self.cost_patience));
        let seconds = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall)).as_secs_f64();
        let of_l1 = costs.iter().find(|(level, _)| *level == Level::L1).map_or(0.0, |(_, costs)| seconds(costs));
        let point = |(level, costs): (Level, Vec<Cost>)| CostPoint {
            level,
            seconds_median: seconds(&costs),
            ratio_to_l1: if of_l1 > 0.0 { seconds(&costs) / of_l1 } else { 0.0 },
            cpu_seconds: median(costs.iter().map(|cost| cost.cores)).as_secs_f64(),
        };
        costs.into_iter().map(point).collect()
    }
}

/// Nothing if the copy did not come to be: then there is nothing to compare.
fn cost_of_copy(level: Level, bytes: &[u8]) -> Option<Cost> {
    let mut rig = Rig::new();
    rig.add_source(FILE, bytes);
    rig.settle();
    let outcome = rig.run("", Care::from(level));
    outcome.is_all_right().then_some(outcome.cost)
}

fn through(swaps: &Arc<Counted>, bytes: &[u8], shape: impl FnOnce(Rig) -> Rig, care: Care) -> Outcome {
    let mut rig = shape(Rig::in_memory()).through(Arc::clone(swaps) as Arc<dyn Tamper>);
    rig.add_source(FILE, bytes);
    rig.run("", care)
}

/// What it took to bring one file through, or to give it up.
#[derive(Clone, Copy, Debug, Default)]
struct Transfer {
    sent_bytes: u64,
    is_delivered: bool,
    wall: Duration,
}

/// The paper's gateway, with a count of the content that came to it.
#[derive(Debug)]
struct Counted {
    swaps: ByteSwaps,
    passed_bytes: AtomicU64,
}

impl Counted {
    fn passed_bytes(&self) -> u64 {
        self.passed_bytes.load(Ordering::Relaxed)
    }
}

impl Tamper for Counted {
    fn content(&self, place: &ContentPlace<'_>, bytes: &mut [u8]) -> u64 {
        self.passed_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.swaps.content(place, bytes)
    }
}

/// The middle one, the longer of two; zero if there is none.
fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One swap in 64 KiB on average: chunks of 64 KiB take e sends, chunks of 1 MiB never come through.
    fn tiny() -> Measurement {
        Measurement {
            bytes_per_swap: 65_536,
            chunked_bytes: 2 << 20,
            chunks: vec![64 << 10, 1 << 20],
            chunked_repeats: 1,
            whole_files: vec![(40_000, 3), (1_000_000, 1)],
            sends_max: 20,
            cost_bytes: 3_000_000,
            cost_repeats: 1,
            cost_patience: Duration::from_secs(20),
        }
    }

    #[test]
    fn small_units_come_through_at_about_the_predicted_number_of_sends_and_large_ones_never() {
        let points = Measurement { cost_repeats: 0, ..tiny() }.run(1).goodput;
        let units: Vec<&str> = points.iter().map(|point| point.unit.as_str()).collect();
        assert_eq!(units, ["64 KiB", "1 MiB", "whole file of 0.04 MB", "whole file of 1 MB"]);
        let small = &points[0];
        let sends = small.sends_per_unit_measured.unwrap();
        assert!((small.sends_per_unit_predicted - 1.0_f64.exp()).abs() < 1e-9, "{small:?}");
        // 32 chunks: a mean of 2.7 with a standard error of 0.4.
        assert!((1.5..4.5).contains(&sends) && small.goodput_fraction == 1.0 / sends, "{small:?}");
        assert!(points[2].sends_per_unit_measured.is_some(), "{points:?}");
        for hopeless in [&points[1], &points[3]] {
            assert_eq!((hopeless.sends_per_unit_measured, hopeless.goodput_fraction), (None, 0.0));
            assert!(hopeless.sends_per_unit_predicted > 1e6 && hopeless.sends_per_unit_predicted.is_finite());
        }
    }

    #[test]
    fn every_level_has_its_cost_and_l1_is_the_measure_of_all() {
        let points = Measurement { chunks: Vec::new(), whole_files: Vec::new(), ..tiny() }.run(1).cost;
        assert_eq!(points.iter().map(|point| point.level).collect::<Vec<_>>(), Level::ALL);
        assert!(points.iter().all(|point| point.seconds_median > 0.0 && point.ratio_to_l1 > 0.0), "{points:?}");
        assert_eq!(points[Level::L1 as usize].ratio_to_l1, 1.0);
    }

    #[test]
    fn a_level_that_takes_too_long_is_left_out() {
        let hurried =
            Measurement { cost_patience: Duration::ZERO, chunks: Vec::new(), whole_files: Vec::new(), ..tiny() };
        assert!(hurried.run(1).cost.is_empty());
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let median_of = |millis: &[u64]| median(millis.iter().map(|&millis| Duration::from_millis(millis)));
        assert_eq!(median_of(&[3, 1, 2]), Duration::from_millis(2));
        assert_eq!(median_of(&[]), Duration::ZERO);
    }
}
