//! The matrix in Markdown: one sign a cell, counts in footnotes, what made it in the caption.

use super::super::report::{Cell, Group, Level, Outcome, Report, Row};
use super::super::verdict::percent;

/// The rows of the claim as a table of signs. Rows beside the claim are named below it.
#[must_use]
pub fn render_markdown(report: &Report) -> String {
    let mut notes = Vec::new();
    let mut text = head();
    for group in Group::ALL.into_iter().filter(|group| group.is_claimed()) {
        for row in report.rows.iter().filter(|row| row.head.group == group) {
            text += &line(row, &mut notes);
        }
    }
    text.push('\n');
    text += "✓ caught · ✗ silently wrong · ○ no harm done · ! hung, nothing claimed · `·` the fault never took effect · \
             – not tried · ? no weaker level was fooled\n";
    for (index, note) in notes.iter().enumerate() {
        text += &format!("<br>{} {note}\n", superscript(index + 1));
    }
    text += &beside(report);
    text += &caption(report);
    text
}

fn head() -> String {
    let levels: String = Level::ALL.iter().map(|level| format!(" {level} |")).collect();
    let rule = " :-: |".repeat(Level::ALL.len());
    format!("| # | where the fault strikes |{levels}\n| --- | --- |{rule}\n")
}

fn line(row: &Row, notes: &mut Vec<String>) -> String {
    let doubt = if row.demonstrated { "" } else { " ?" };
    let mut line = format!("| {}{doubt} | {} |", escaped(&row.head.number), escaped(&row.head.title));
    for level in Level::ALL {
        line += &format!(" {} |", row.cell(level).map_or_else(|| "–".to_owned(), |cell| sign(row, cell, notes)));
    }
    line.push('\n');
    line
}

/// The sign of the worst that happened, and a footnote where more than one thing did.
fn sign(row: &Row, cell: &Cell, notes: &mut Vec<String>) -> String {
    let counts = &cell.counts;
    let sign = if counts.silent > 0 {
        "✗"
    } else if counts.hung > 0 {
        "!"
    } else if counts.fired() == 0 {
        "·"
    } else if counts.masked == counts.fired() {
        "○"
    } else {
        "✓"
    };
    if counts.parts().count() < 2 {
        return sign.to_owned();
    }
    let parts: Vec<String> = counts.parts().map(|(end, count)| format!("{count} {}", end.word())).collect();
    notes.push(format!("row {} at {}: {}", escaped(&row.head.number), cell.level, parts.join(", ")));
    format!("{sign}{}", superscript(notes.len()))
}

fn beside(report: &Report) -> String {
    let rows = report.rows.iter().filter(|row| !row.head.group.is_claimed());
    let named = rows.map(|row| {
        let silent = [Level::FULL, Level::L6].into_iter().filter_map(|level| {
            let counts = row.cell(level)?.counts;
            Some(format!("silent {} of {} at {level}", counts.of(Outcome::Silent), counts.fired()))
        });
        let silent: Vec<String> = silent.collect();
        format!("{} ({}; {})", escaped(&row.head.number), escaped(&row.head.title), silent.join(", "))
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        String::new()
    } else {
        format!("\nWhat a transfer alone cannot know: {}.\n", named.join(", "))
    }
}

fn caption(report: &Report) -> String {
    let total = report.total(Level::FULL);
    let end = if report.reasons().is_empty() { "passed" } else { "**failed**" };
    format!(
        "\nCommit {}, seed {}: `{}` {end}. At L5 {} faults took effect, {} silent; no row misses more than {} (95 %).\n",
        escaped(&report.commit),
        report.seed,
        escaped(&report.command).replace('`', "'"),
        total.counts.fired(),
        total.counts.silent,
        percent(total.weakest_bound_95)
    )
}

/// Without what ends a cell or begins a tag.
fn escaped(text: &str) -> String {
    let mut clean = String::new();
    for character in text.chars() {
        match character {
            '|' => clean += "\\|",
            '<' => clean += "&lt;",
            c if c.is_control() => clean.push(' '),
            c => clean.push(c),
        }
    }
    clean
}

fn superscript(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    number.to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect()
}
