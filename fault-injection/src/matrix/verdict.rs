//! What follows from a report: totals, and whether the claim held.
//!
//! A stored verdict is never believed against the cells: [`Report::reasons`] looks again. **No rate is pooled over rows**,
//! which would hide a weak one: the bound of a level is that of its weakest cell.

use super::report::{Cell, Counts, Level, Report, Row, Verdict};

/// What one level came to, over the rows that belong to the claim.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// Trials by their end.
    pub counts: Counts,
    /// Rows in which at least one trial was silent.
    pub silent_rows: u32,
    /// Rows in which a fault took effect.
    pub rows: u32,
    /// Highest upper 95 % bound of any of these cells, 0 to 1; 0 if there is none.
    pub weakest_bound_95: f64,
}

impl Report {
    /// Rows that belong to the claim.
    pub fn claimed_rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.head.group.is_claimed())
    }

    /// Sums of one level over the rows that belong to the claim.
    #[must_use]
    pub fn total(&self, level: Level) -> Total {
        let mut total = Total::default();
        for cell in self.claimed_rows().filter_map(|row| row.cell(level)) {
            for outcome in super::report::Outcome::ALL {
                total.counts.add(outcome, cell.counts.of(outcome));
            }
            if cell.counts.fired() > 0 {
                total.rows += 1;
                total.silent_rows += u32::from(cell.counts.silent > 0);
                total.weakest_bound_95 = total.weakest_bound_95.max(cell.bound_95);
            }
        }
        total
    }

    /// Rows of the claim that some weaker level missed, and all rows of the claim.
    #[must_use]
    pub fn demonstrated(&self) -> (usize, usize) {
        (self.claimed_rows().filter(|row| row.demonstrated).count(), self.claimed_rows().count())
    }

    /// Cells of rows of the claim at the full level in which at least one trial was silent.
    pub fn broken_claims(&self) -> impl Iterator<Item = (&Row, &Cell)> {
        let cells = self.claimed_rows().filter_map(|row| Some((row, row.cell(Level::FULL)?)));
        cells.filter(|(_, cell)| cell.counts.silent > 0)
    }

    /// Puts the verdict that follows from everything else in here.
    pub fn judge(&mut self) {
        self.verdict = Verdict::default();
        let reasons = self.reasons();
        self.verdict = Verdict { ok: reasons.is_empty(), reasons };
    }

    /// Every reason why the run shows nothing or the contrary: those found now, and those stored that are not among them.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = self.silent_reasons();
        reasons.extend(self.rig_reasons());
        reasons.extend(self.prediction_reasons());
        let stored = self.verdict.reasons.iter().filter(|reason| !reasons.contains(reason)).cloned();
        let stored: Vec<String> = stored.collect();
        reasons.extend(stored);
        reasons
    }

    /// The verdict in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let total = self.total(Level::FULL);
        let (fired, rows) = (total.counts.fired(), total.rows);
        match self.reasons().len() {
            0 => format!(
                "OK: of {fired} faults in {rows} rows none passed all checks in silence; no row misses more than {} (95\u{a0}%).",
                percent(total.weakest_bound_95)
            ),
            1 => "FAILED, for one reason.".to_owned(),
            many => format!("FAILED, for {many} reasons."),
        }
    }

    /// The claim itself: what was silent, what hung, and where nothing was tried.
    fn silent_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.claimed_rows().next().is_none() {
            reasons.push("no row of the claim was tried".to_owned());
        }
        for row in self.claimed_rows() {
            let name = format!("row {} ({})", row.head.number, row.head.title);
            let counts = row.cell(Level::FULL).map(|cell| cell.counts).unwrap_or_default();
            let (silent, hung, fired) = (counts.silent, counts.hung, counts.fired());
            if fired == 0 {
                reasons.push(format!("{name}: no fault took effect with all checks on, which proves nothing"));
            }
            if silent > 0 {
                reasons.push(format!("{name}: {silent} of {fired} silent with all checks on"));
            }
            if hung > 0 {
                reasons.push(format!("{name}: {hung} of {fired} hung with all checks on"));
            }
        }
        reasons
    }

    /// The rig: alarms without a fault, and canaries that live.
    fn rig_reasons(&self) -> Vec<String> {
        let controls = &self.controls;
        let mut reasons = Vec::new();
        for (runs, alarms, kind) in [
            (controls.clean_runs, controls.clean_alarms, "clean"),
            (controls.benign_runs, controls.benign_alarms, "benign"),
        ] {
            match (runs, alarms) {
                (0, _) => reasons.push(format!("no {kind} run was made, so nothing is known of false alarms")),
                (_, 0) => {}
                _ => reasons.push(format!("{alarms} of {runs} {kind} runs raised an alarm")),
            }
        }
        if controls.canaries.is_empty() {
            reasons.push("no canary was run, so nothing shows that the rig can see".to_owned());
        }
        let living = controls.canaries.iter().filter(|canary| !canary.caught);
        reasons.extend(living.map(|canary| format!("canary not found out: {}", canary.name)));
        reasons
    }

    /// Theory: a cell that contradicts it means that the rig or the theory is wrong.
    fn prediction_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for row in &self.rows {
            for cell in row.cells.iter().filter(|cell| cell.agrees_with_prediction == Some(false)) {
                let (level, predicted) = (cell.level, row.prediction(cell.level).word());
                let found: Vec<String> =
                    cell.counts.parts().map(|(outcome, count)| format!("{} {count}", outcome.word())).collect();
                let found = found.join(", ");
                reasons.push(format!("row {} at {level}: predicted {predicted}, found {found}", row.head.number));
            }
        }
        reasons
    }
}

/// A share of 1 in percent, with two digits that say something, rounded up: a bound must not flatter. No line breaks before
/// the sign.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value.is_nan() || value <= 0.0 {
        return "0\u{a0}%".to_owned();
    }
    // As many decimals as the second significant digit needs; beyond six nobody reads them.
    let decimals = (1.0 - value.log10().floor()).clamp(0.0, 6.0);
    let scale = 10_f64.powf(decimals);
    // A value that is exact in decimal must not be pushed up by its binary form.
    let rounded = (value * scale - 1e-9).ceil() / scale;
    format!("{rounded}\u{a0}%")
}

#[cfg(test)]
mod tests {
    use super::super::report::{Outcome, Prediction};
    use super::super::sample::{sample, spoiled};
    use super::*;

    #[test]
    fn a_run_without_blemish_is_ok() {
        let report = sample();
        assert_eq!(report.reasons(), Vec::<String>::new());
        assert!(report.verdict.ok);
        assert!(report.sentence().starts_with("OK"), "{}", report.sentence());
    }

    #[test]
    fn a_silent_cell_with_all_checks_on_fails_the_verdict_and_is_named() {
        let report = spoiled();
        assert!(!report.verdict.ok);
        assert!(report.reasons().iter().any(|reason| reason.contains("row 16") && reason.contains("1 of 20 silent")));
        assert!(report.sentence().starts_with("FAILED"));
        assert_eq!(report.broken_claims().count(), 1);
    }

    #[test]
    fn a_stored_verdict_is_not_believed_against_its_cells() {
        let mut report = spoiled();
        report.verdict = Verdict { ok: true, reasons: Vec::new() };
        assert!(report.sentence().starts_with("FAILED"));
    }

    #[test]
    fn a_stored_reason_is_kept() {
        let mut report = sample();
        report.verdict = Verdict { ok: false, reasons: vec!["the disk was full".to_owned()] };
        assert_eq!(report.reasons(), ["the disk was full"]);
    }

    #[test]
    fn silence_in_a_row_that_nobody_can_catch_does_not_fail_the_verdict() {
        let report = sample();
        let beside = report.rows.iter().filter(|row| !row.head.group.is_claimed());
        let silent: u32 = beside.filter_map(|row| row.cell(Level::FULL)).map(|cell| cell.counts.silent).sum();
        assert!(silent > 0, "the sample must have such a row");
        assert!(report.verdict.ok);
    }

    #[test]
    fn a_rig_that_cannot_see_fails_the_verdict() {
        let without = |change: fn(&mut Report)| {
            let mut report = sample();
            change(&mut report);
            report.judge();
            report.verdict.reasons
        };
        assert_eq!(without(|report| report.controls.canaries[0].caught = false).len(), 1);
        assert_eq!(without(|report| report.controls.canaries.clear()).len(), 1);
        assert_eq!(without(|report| report.controls.clean_alarms = 1).len(), 1);
        assert_eq!(without(|report| report.controls.benign_runs = 0).len(), 1);
        assert_eq!(without(|report| report.rows[0].cells.clear()).len(), 1);
        assert_eq!(without(|report| report.rows[0].cells[0].agrees_with_prediction = Some(false)).len(), 1);
        assert_eq!(without(|report| report.rows.clear()).len(), 1);
    }

    #[test]
    fn a_prediction_is_compared_only_where_a_fault_took_effect() {
        let mut counts = Counts::default();
        counts.add(Outcome::NotActivated, 5);
        assert_eq!(Prediction::Caught.agrees(&counts), None);
        counts.add(Outcome::Masked, 2);
        assert_eq!(Prediction::Caught.agrees(&counts), Some(false));
        assert_eq!(Prediction::Harmless.agrees(&counts), Some(true));
        assert_eq!(Prediction::Silent.agrees(&counts), Some(false));
        counts.add(Outcome::Refused, 1);
        assert_eq!(Prediction::Caught.agrees(&counts), Some(true));
        assert_eq!(Prediction::Harmless.agrees(&counts), Some(false));
        counts.add(Outcome::Silent, 1);
        assert_eq!(Prediction::Caught.agrees(&counts), Some(false));
        assert_eq!(Prediction::Silent.agrees(&counts), Some(true));
        assert_eq!(Prediction::Open.agrees(&counts), None);
    }

    #[test]
    fn of_two_ends_that_are_equally_frequent_the_worse_one_stands_for_the_cell() {
        let counts = Counts { repaired: 3, silent: 3, not_activated: 9, ..Counts::default() };
        assert_eq!(counts.dominant(), Some(Outcome::Silent));
        assert_eq!(Counts { not_activated: 9, ..Counts::default() }.dominant(), None);
    }

    #[test]
    fn percentages_are_rounded_up() {
        let words = [0.0, 1.0, 0.139_11, 0.009_94, 0.000_299_5, 0.5].map(|share| percent(share).replace('\u{a0}', " "));
        assert_eq!(words, ["0 %", "100 %", "14 %", "1 %", "0.03 %", "50 %"]);
    }

    #[test]
    fn json_keeps_everything_and_refuses_another_schema() {
        for report in [sample(), spoiled()] {
            assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
        }
        let other = Report { schema: 2, ..sample() }.to_json();
        assert!(matches!(Report::from_json(&other), Err(super::super::report::Unreadable::Schema { found: 2 })));
        assert!(Report::from_json("{}").is_err());
    }
}
