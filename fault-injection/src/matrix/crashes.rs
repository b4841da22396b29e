//! Rows of power cuts: what all images of every crash point of a transfer came to.
//!
//! A cell counts images. The weaker program that shows that a fault here is fatal is not a level of the ladder but a
//! receiver whose disk breaks the order of the commit: see [`super::canaries`].

use std::collections::BTreeMap;

use super::report::{Cell, Counts, Group, Layer, Level, Outcome, Prediction, Row, RowHead, Threat};
use crate::crash::{Configuration, Options, enumerate};
use crate::crash_disk::{Model, Sampling};
use crate::statistics::upper_bound;

/// Power cuts at every step of every configuration, and the same with a device that lies about its flushes.
#[must_use]
pub fn rows(seed: u64) -> Vec<Row> {
    let sampling = Sampling { exhaustive_max: 1_000, random: 32, seed };
    let promised = Options { sampling, resumes: 1, ..Options::thorough(seed) };
    let lying = Options { models: vec![Model::Lying], ..promised.clone() }.without_resumes();
    let (mut right, mut broken, mut resumed) = (0, 0, 0);
    let mut example = None;
    for configuration in Configuration::all() {
        let report = enumerate(&configuration, &promised, &mut |_| {});
        right += report.images() - report.broken_promises().min(report.images());
        broken += report.broken_promises();
        resumed += report.resumes;
        example = example.or_else(|| report.violations.first().map(|violation| violation.replay.clone()));
    }
    let cut = row(
        ("23, 25-27", "power cut at every step, names and bytes not yet flushed lost", Group::Commit),
        cell((right, broken), example, Prediction::Caught),
        Prediction::Caught,
        format!(
            "All images that a power cut may leave (POSIX minimum and ordered journal); {resumed} transfers run again."
        ),
    );
    let report = enumerate(&Configuration::small(), &lying, &mut |_| {});
    let silent: u64 = report.broken.values().sum();
    let replay = report.violations.first().map(|violation| violation.replay.clone());
    let lied = row(
        ("31", "device that lies about its flushes, then a power cut", Group::NobodyCan),
        cell((report.images().saturating_sub(silent), silent), replay, Prediction::Silent),
        Prediction::Silent,
        "The promise is: if the device honours a flush.".to_owned(),
    );
    vec![cut, lied]
}

fn cell((right, silent): (u64, u64), example: Option<String>, predicted: Prediction) -> Cell {
    let capped = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let mut counts = Counts::default();
    counts.add(Outcome::Repaired, capped(right));
    counts.add(Outcome::Silent, capped(silent));
    Cell {
        level: Level::FULL,
        counts,
        caught_by: BTreeMap::from([(Layer::CommitCheck, capped(right))]),
        bound_95: upper_bound(silent, right + silent, 0.05),
        example,
        agrees_with_prediction: predicted.agrees(&counts),
    }
}

fn row((number, title, group): (&str, &str, Group), cell: Cell, predicted: Prediction, note: String) -> Row {
    Row {
        head: RowHead {
            number: number.to_owned(),
            title: title.to_owned(),
            place: "any operation of the receiver's disk; each image is one trial".to_owned(),
            threats: vec![Threat::T5],
            group,
        },
        predicted: BTreeMap::from([(Level::FULL, predicted)]),
        cells: vec![cell],
        // Shown by the canaries: the same cuts with one flush left out.
        demonstrated: true,
        note,
    }
}
