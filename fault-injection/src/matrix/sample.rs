//! A run that never was: every kind of row, cell and control once, for the tests of what is drawn from it.

use std::collections::BTreeMap;

use super::report::{
    Canary, Cell, Column, Controls, CostPoint, Counts, Curves, GoodputPoint, Group, Layer, Level, Manifestation,
    Mutants, Outcome, Prediction, Report, Row, RowHead, SCHEMA, Threat, Verdict,
};

/// Trials in each cell.
const TRIALS: u32 = 20;

/// A run in which everything is as it should be.
pub(crate) fn sample() -> Report {
    let mut report = Report {
        schema: SCHEMA,
        commit: "a4344f7e2c".to_owned(),
        command: "careful-faults matrix --seed 42 --trials 20".to_owned(),
        seed: 42,
        trials: TRIALS,
        started_seconds: 1_760_000_000,
        seconds: 754.2,
        machine: "2 cores, Linux 6.1.0, ext4".to_owned(),
        columns: columns(),
        rows: rows(),
        controls: controls(),
        curves: curves(),
        mutants: Some(Mutants { tried: 24, caught: 23, survivors: vec!["receive/commit.rs: no flush".to_owned()] }),
        verdict: Verdict::default(),
    };
    report.judge();
    report
}

/// The same, but one fault of row 16 passed all checks, and its line holds what a page must not take for its own.
pub(crate) fn spoiled() -> Report {
    let mut report = sample();
    let row = report.rows.iter_mut().find(|row| row.head.number == "16").expect("the sample has a row 16");
    let cell = row.cells.iter_mut().find(|cell| cell.level == Level::L5).expect("every level is there");
    cell.counts = Counts { repaired: 19, silent: 1, ..Counts::default() };
    cell.bound_95 = 0.2488;
    cell.example = Some("staging-write file 1 #1 lose; <script>alert(\"1\")</script> & 'x'".to_owned());
    cell.agrees_with_prediction = Some(false);
    report.judge();
    report
}

fn columns() -> Vec<Column> {
    let texts = [
        ("UDP checksum", "plain datagrams with 16 bits of checksum"),
        ("QUIC", "authenticated encryption on every packet, nothing else"),
        ("chunk and stream hash", "careful with --stored none --origin first-read"),
        ("read-back, cache", "careful with --stored cache --origin first-read"),
        ("read-back, device", "careful with --stored device --origin first-read"),
        ("end to end", "careful with its defaults: the source is read twice as well"),
        ("record", "careful with its defaults, after careful-check seal"),
    ];
    let named = Level::ALL.into_iter().zip(texts);
    named.map(|(level, (name, text))| Column { level, name: name.to_owned(), description: text.to_owned() }).collect()
}

/// Number, title, place, threats, group, ends at L0 to L6 (by letter), who is first at L5.
type Line = (&'static str, &'static str, &'static str, &'static [Threat], Group, &'static str, Layer);

const LINES: &[Line] = &[
    (
        "2",
        "one read of the source is wrong",
        "bus or drive memory",
        &[Threat::T1],
        Group::Content,
        "SSSSSRR",
        Layer::SecondRead,
    ),
    (
        "3",
        "the source's page is wrong in memory",
        "source page cache",
        &[Threat::T2, Threat::T3],
        Group::Content,
        "SSSSSRR",
        Layer::SecondRead,
    ),
    (
        "4",
        "a buffer changes before it is hashed",
        "source to hash",
        &[Threat::T2, Threat::T3],
        Group::Content,
        "SSSSSRR",
        Layer::SecondRead,
    ),
    (
        "5",
        "a buffer changes after it was hashed",
        "hash to send",
        &[Threat::T2, Threat::T3],
        Group::Content,
        "SSRRRRR",
        Layer::ChunkCheck,
    ),
    ("8", "packet changed, checksum as it was", "wire", &[Threat::T4], Group::Content, "mRRRRRR", Layer::Aead),
    (
        "9",
        "packet changed, checksum made anew",
        "wire, behind a relay",
        &[Threat::T4],
        Group::Content,
        "SRRRRRR",
        Layer::Aead,
    ),
    (
        "11",
        "a relay that ends QUIC swaps bytes",
        "gateway",
        &[Threat::T2, Threat::T4],
        Group::Content,
        "SSRRRRR",
        Layer::ChunkCheck,
    ),
    (
        "13",
        "a buffer changes after the chunk check",
        "verify to stage",
        &[Threat::T2, Threat::T3],
        Group::Content,
        "SSSRRRR",
        Layer::ReadBack,
    ),
    (
        "16",
        "a write is lost, torn or misdirected",
        "receiver's drive",
        &[Threat::T1, Threat::T2],
        Group::Content,
        "SSSSRRR",
        Layer::ReadBack,
    ),
    (
        "17",
        "a write fails, and the error is reported",
        "receiver's drive",
        &[Threat::T1],
        Group::Content,
        "SXXXXXX",
        Layer::DiskError,
    ),
    (
        "23",
        "power fails after the rename",
        "target directory",
        &[Threat::T5],
        Group::Commit,
        "SSMMMMM",
        Layer::CommitCheck,
    ),
    (
        "29",
        "the staging file is edited between attempts",
        "staging file",
        &[Threat::T2],
        Group::Commit,
        "--RRRRR",
        Layer::ReadBack,
    ),
    (
        "1",
        "the source is wrong on its platter",
        "source disk",
        &[Threat::T1],
        Group::NobodyCan,
        "SSSSSSX",
        Layer::Nobody,
    ),
    (
        "31",
        "a drive lies about flush, then power fails",
        "receiver's drive",
        &[Threat::T1, Threat::T5],
        Group::NobodyCan,
        "SSSSSSS",
        Layer::Nobody,
    ),
];

fn rows() -> Vec<Row> {
    LINES.iter().map(row).collect()
}

fn row((number, title, place, threats, group, ends, first): &Line) -> Row {
    let ends: Vec<char> = ends.chars().collect();
    let cells = Level::ALL.into_iter().zip(&ends).map(|(level, end)| cell(number, level, *end, *first)).collect();
    let predicted = Level::ALL.into_iter().zip(&ends).map(|(level, end)| (level, prediction(*end))).collect();
    let head = RowHead {
        number: (*number).to_owned(),
        title: (*title).to_owned(),
        place: (*place).to_owned(),
        threats: threats.to_vec(),
        group: *group,
    };
    let demonstrated = ends[..5].iter().any(|end| "Sm".contains(*end));
    Row { head, predicted, cells, demonstrated, note: String::new() }
}

fn prediction(end: char) -> Prediction {
    match end {
        'S' | 'm' => Prediction::Silent,
        'R' | 'X' => Prediction::Caught,
        'M' => Prediction::Harmless,
        _ => Prediction::Open,
    }
}

fn cell(number: &str, level: Level, end: char, first: Layer) -> Cell {
    let mut counts = Counts::default();
    match end {
        'S' => counts.add(Outcome::Silent, TRIALS),
        'R' => counts.add(Outcome::Repaired, TRIALS),
        'X' => counts.add(Outcome::Refused, TRIALS),
        'M' => counts.add(Outcome::Masked, TRIALS),
        'm' => counts = Counts { silent: 4, repaired: 13, refused: 2, not_activated: 1, ..counts },
        _ => counts.add(Outcome::NotActivated, TRIALS),
    }
    let caught = counts.repaired + counts.refused;
    let bound_95 = match end {
        'S' => 1.0,
        'm' => 0.4557,
        '-' => 1.0,
        _ => 0.1391,
    };
    Cell {
        level,
        counts,
        caught_by: if caught > 0 { BTreeMap::from([(first, caught)]) } else { BTreeMap::new() },
        bound_95,
        example: (end != '-').then(|| format!("row {number} {level} seed 42/3: staging-write file 1 #1 flip 17.3")),
        agrees_with_prediction: prediction(end).agrees(&counts),
    }
}

fn controls() -> Controls {
    let canary = |name: &str, by: &str| Canary {
        name: name.to_owned(),
        caught: true,
        by: by.to_owned(),
        replay: Some(format!("canary {name} seed 42")),
    };
    let harmed = LINES.iter().map(|line| Manifestation { row: line.0.to_owned(), fired: TRIALS, harmed: TRIALS });
    Controls {
        clean_runs: 100,
        clean_alarms: 0,
        benign_runs: 60,
        benign_alarms: 0,
        manifestation: harmed.collect(),
        canaries: vec![canary("no comparison after the read-back", "row 16"), canary("no second read", "row 4")],
    }
}

fn curves() -> Curves {
    let units = [("16 KiB", 14), ("64 KiB", 16), ("256 KiB", 18), ("1 MiB", 20), ("4 MiB", 22)];
    let goodput = units.into_iter().map(|(unit, power)| {
        let unit_bytes = 1_u64 << power;
        let predicted = rounded((unit_bytes as f64 * 1e-6).exp());
        let measured = (power < 22).then(|| rounded(predicted * 1.03));
        GoodputPoint {
            unit: unit.to_owned(),
            unit_bytes,
            swap_rate: 1e-6,
            sends_per_unit_measured: measured,
            sends_per_unit_predicted: predicted,
            goodput_fraction: measured.map_or(0.0, |sends| rounded(1.0 / sends)),
            seconds: rounded(1.5 * predicted),
            repeats: 5,
        }
    });
    let cost = Level::ALL.into_iter().zip([1.1, 2.0, 2.1, 2.5, 2.9, 3.2, 3.1]).map(|(level, seconds)| CostPoint {
        level,
        seconds_median: seconds,
        ratio_to_l1: seconds / 2.0,
        cpu_seconds: rounded(seconds * 1.4),
    });
    Curves { goodput: goodput.collect(), cost: cost.collect() }
}

/// To three decimals, as a person would write it.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
