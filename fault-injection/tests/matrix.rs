//! The quick matrix: every row at every level, so many trials a cell that each prediction shows, with all controls.

use careful_faults::ladder::Level;
use careful_faults::matrix::campaign::Campaign;
use careful_faults::matrix::progress::TrialProgress;
use careful_faults::matrix::report::Group;
use careful_faults::matrix::{canaries, crashes};

/// Of each row at each level.
const TRIALS: u32 = 20;

#[test]
fn every_row_comes_out_at_every_level_as_theory_says() {
    let campaign = Campaign { seed: 1, trials: TRIALS, trials_full: 0, rows: Vec::new(), levels: Vec::new(), jobs: 8 };
    let progress = TrialProgress::hidden(campaign.size());
    let rows = campaign.run(&progress);
    let mut wrong = Vec::new();
    for row in &rows {
        for cell in &row.cells {
            let is_claim = cell.level == Level::FULL && row.head.group.is_claimed();
            let is_broken = cell.agrees_with_prediction == Some(false)
                || (is_claim && (cell.counts.silent > 0 || cell.counts.hung > 0 || cell.counts.fired() == 0));
            if is_broken {
                let predicted = row.prediction(cell.level);
                let (number, level, counts) = (&row.head.number, cell.level, cell.counts);
                let example = cell.example.as_deref().unwrap_or_default();
                wrong.push(format!("row {number} at {level}: {predicted:?}, {counts:?}\nreplay: {example}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let content = rows.iter().filter(|row| row.head.group == Group::Content);
    let not_shown: Vec<&str> = content.filter(|row| !row.demonstrated).map(|row| row.head.number.as_str()).collect();
    // Resume has no check that could be left out.
    assert_eq!(not_shown, ["29"], "rows that no weaker level missed");
    let controls = campaign.controls(&rows, &progress);
    assert_eq!((controls.clean_runs, controls.clean_alarms, controls.benign_alarms), (TRIALS, 0, 0));
}

#[test]
fn every_canary_is_found_out() {
    let living: Vec<_> = canaries::run(1).into_iter().filter(|canary| !canary.caught).collect();
    assert!(living.is_empty(), "{living:?}");
}

#[test]
fn no_power_cut_leaves_a_false_receipt_and_a_lying_device_does() {
    let rows = crashes::rows(1);
    let [cut, lied] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!(cut.cells[0].counts.silent, 0, "{:?}", cut.cells[0].example);
    assert!(cut.cells[0].counts.repaired > 1000 && lied.cells[0].counts.silent > 0);
}

#[test]
fn a_trial_is_the_same_at_every_level_and_in_every_run() {
    let campaign = Campaign { seed: 3, trials: 1, trials_full: 0, rows: Vec::new(), levels: Vec::new(), jobs: 1 };
    for spec in campaign.rows() {
        let line = |level| campaign.trial(spec, level, 7).to_string().split_off(2);
        assert_eq!(line(Level::L0), line(Level::L5), "row {}", spec.number);
        assert_eq!(line(Level::L0), line(Level::L6), "row {}", spec.number);
    }
}
