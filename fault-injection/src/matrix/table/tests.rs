//! What the text must hold whatever it looks like.

use super::super::sample::{sample, spoiled};
use super::*;

/// The line of a row.
fn line_of<'a>(text: &'a str, number: &str) -> &'a str {
    let is_row = |line: &&str| line.trim_start().split([' ', '?']).next() == Some(number);
    text.lines().find(is_row).unwrap_or_else(|| panic!("no row {number} in\n{text}"))
}

#[test]
fn every_row_is_there_and_every_cell_in_its_column() {
    let report = sample();
    for width in [60, 80, 110, 160] {
        let text = render(&report, width, false);
        for row in &report.rows {
            line_of(&text, &row.head.number);
        }
    }
    let text = render(&report, 110, false);
    assert!(line_of(&text, "16").ends_with("silent   silent   silent   silent   repaired repaired repaired"), "{text}");
    assert!(line_of(&text, "8").contains(" S 4/19   repaired"), "{text}");
    assert!(line_of(&text, "29").contains(" -        -        repaired"), "{text}");
    assert!(text.contains(" 11/11    8/11     5/12"), "{text}");
}

#[test]
fn no_line_is_wider_than_asked_but_those_to_be_copied() {
    for report in [sample(), spoiled()] {
        for width in [60, 72, 80, 110, 120, 200] {
            for colour in [false, true] {
                let text = render(&report, width, colour);
                let is_copied =
                    |line: &&str| ["  again: ", "  row 16 at L5: "].iter().any(|head| line.starts_with(head));
                for line in text.lines().filter(|line| !is_copied(line)) {
                    assert!(printed_width(line) <= width, "{} > {width}: {line}", printed_width(line));
                }
            }
        }
    }
}

#[test]
fn a_silent_cell_with_all_checks_on_is_shown_and_can_be_replayed() {
    let text = render(&spoiled(), 110, false);
    assert!(line_of(&text, "16").ends_with("S 1/20!  repaired"), "{text}");
    assert!(text.contains("\n  row 16 at L5: staging-write file 1 #1 lose; <script>"), "{text}");
    assert!(text.contains("FAILED"), "{text}");
    assert!(!render(&sample(), 110, false).contains("To replay"));
}

#[test]
fn colours_are_there_only_when_asked_for() {
    assert!(!render(&spoiled(), 110, false).contains('\x1b'));
    let coloured = render(&spoiled(), 110, true);
    assert!(coloured.contains("\x1b[1;7;31mS 1/20!\x1b[0m"), "{coloured}");
    assert!(coloured.contains("\x1b[31msilent\x1b[0m"), "{coloured}");
}

#[test]
fn control_characters_of_a_report_do_not_reach_the_terminal() {
    let mut report = spoiled();
    report.rows[0].head.title = "\x1b]0;title\x07".to_owned();
    report.command = "\x1b[2J".to_owned();
    report.controls.canaries[0].name = "a\rb".to_owned();
    let text = render(&report, 110, false);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn wide_terminals_get_counts_and_narrow_ones_letters() {
    assert!(line_of(&render(&sample(), 160, false), "16").ends_with("repaired 20/20"));
    assert!(line_of(&render(&sample(), 60, false), "16").ends_with('R'));
}

#[test]
fn markdown_holds_the_rows_of_the_claim_with_signs_and_footnotes() {
    let text = render_markdown(&sample());
    assert!(text.contains("| 16 | a write is lost, torn or misdirected | ✗ | ✗ | ✗ | ✗ | ✓ | ✓ | ✓ |"), "{text}");
    assert!(text.contains("| 8 | packet changed, checksum as it was | ✗¹ | ✓ |"), "{text}");
    assert!(text.contains("¹ row 8 at L0: 4 silent, 2 refused, 13 repaired"), "{text}");
    assert!(text.contains("| 29 ? | the staging file is edited between attempts | · | · | ✓ |"), "{text}");
    assert!(
        text.contains(
            "cannot know: 1 (the source is wrong on its platter; silent 20 of 20 at L5, silent 0 of 20 at L6), 31 ("
        ),
        "{text}"
    );
    assert!(
        text.contains("Commit a4344f7e2c, seed 42: `careful-faults matrix --seed 42 --trials 20` passed."),
        "{text}"
    );
    assert!(render_markdown(&spoiled()).contains("**failed**"));
}

#[test]
fn markdown_cells_cannot_be_broken_out_of() {
    let mut report = sample();
    report.rows[0].head.title = "a | b\n<b>".to_owned();
    assert!(render_markdown(&report).contains("| 2 | a \\| b &lt;b> |"));
}
