//! The matrix as text: for a terminal, and as Markdown for the README.
//!
//! A cell is never broken over lines: where the width is short, its words become letters first and then the titles are cut.
//! Lines that replay a trial are printed whole whatever the width, to be copied. **Control characters of a report that was
//! read from a file do not reach the terminal.**

mod markdown;

use std::fmt::Write;

use super::report::{Cell, Counts, Group, Level, Outcome, Report, Row};
use super::verdict::percent;

pub use markdown::render_markdown;

/// Narrower than this nothing is drawn.
const WIDTH_MIN: usize = 60;
/// Titles should have this much before words are shortened to letters.
const TITLE_WIDTH: usize = 34;
/// Number of a row and the sign of rows that show nothing.
const NUMBER_WIDTH: usize = 5;
/// Before the sums in the last line of the table.
const FOOT: &str = "rows of the claim with silent damage";

/// The table and everything a reader needs beside it, at most `width` columns wide but for lines that replay a trial;
/// with `colour`, in ANSI colours.
#[must_use]
pub fn render(report: &Report, width: usize, colour: bool) -> String {
    let mut table = Table::new(report, width.max(WIDTH_MIN), colour);
    table.matrix();
    table.legend();
    table.rig();
    table.totals();
    table.replays();
    table.verdict();
    table.text
}

/// How a cell is written, from the longest to the shortest.
#[derive(Clone, Copy)]
enum Style {
    /// `repaired 20/20`.
    Counted,
    /// `repaired`, and counts only in mixed cells: `silent 18/20`.
    MixedCounted,
    /// `repaired`, and mixed cells by letter: `S 18/20`.
    MixedByLetter,
    /// All cells by letter, `R`, and `S+` for a mixed one.
    Letters,
}

const STYLES: [Style; 4] = [Style::Counted, Style::MixedCounted, Style::MixedByLetter, Style::Letters];

impl Style {
    /// The cell's words. `!` behind them: not what theory says.
    fn text(self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else { return String::new() };
        let mut text = match cell.counts.dominant() {
            None => Outcome::NotActivated.word().to_owned(),
            Some(end) => self.words(end, &cell.counts),
        };
        if cell.agrees_with_prediction == Some(false) {
            text.push('!');
        }
        text
    }

    fn words(self, end: Outcome, counts: &Counts) -> String {
        let is_mixed = counts.parts().count() > 1;
        // Silence is what the reader looks for: a mixed cell with any of it says so, however seldom it was.
        let end = if counts.silent > 0 { Outcome::Silent } else { end };
        let share = format!("{}/{}", counts.of(end), counts.fired());
        match self {
            Self::Counted => format!("{} {share}", end.word()),
            Self::MixedCounted if is_mixed => format!("{} {share}", end.word()),
            Self::MixedByLetter if is_mixed => format!("{} {share}", end.letter()),
            Self::MixedCounted | Self::MixedByLetter => end.word().to_owned(),
            Self::Letters => format!("{}{}", end.letter(), if is_mixed { "+" } else { "" }),
        }
    }
}

struct Table<'a> {
    report: &'a Report,
    width: usize,
    colour: bool,
    style: Style,
    cell_width: usize,
    text: String,
}

impl<'a> Table<'a> {
    fn new(report: &'a Report, width: usize, colour: bool) -> Self {
        let fits = |style: &Style| {
            let cells = Level::ALL.len() * (widest(report, *style) + 1);
            width.saturating_sub(NUMBER_WIDTH + cells) >= TITLE_WIDTH
        };
        let style = STYLES.into_iter().find(fits).unwrap_or(Style::Letters);
        Self { report, width, colour, style, cell_width: widest(report, style), text: String::new() }
    }

    fn matrix(&mut self) {
        let heads: String = Level::ALL.iter().map(|level| format!(" {level:<0$}", self.cell_width)).collect();
        let title = self.title_width();
        let label = cut("where the fault strikes", title);
        self.line(&format!("{:NUMBER_WIDTH$}{label:title$}{}", "", heads.trim_end()));
        for group in Group::ALL {
            let rows: Vec<&Row> = self.report.rows.iter().filter(|row| row.head.group == group).collect();
            if rows.is_empty() {
                continue;
            }
            self.line("");
            let heading = self.painted(group.heading(), "1");
            self.line(&heading);
            for row in rows {
                self.row(row);
            }
        }
        self.line("");
        let (width, title) = (self.cell_width, self.title_width());
        let silent = Level::ALL.map(|level| {
            let total = self.report.total(level);
            let text = if total.rows == 0 { String::new() } else { format!("{}/{}", total.silent_rows, total.rows) };
            format!(" {text:<width$}")
        });
        let label = cut(FOOT, title);
        self.line(&format!("{:NUMBER_WIDTH$}{label:title$}{}", "", silent.concat().trim_end()));
    }

    fn row(&mut self, row: &Row) {
        let title = self.title_width();
        let number = cut(&plain(&row.head.number), NUMBER_WIDTH - 2);
        let sign = if row.demonstrated || !row.head.group.is_claimed() { ' ' } else { '?' };
        let mut line = format!("{number:>3}{sign} {:<title$}", cut(&plain(&row.head.title), title));
        for level in Level::ALL {
            let cell = row.cell(level);
            let text = self.style.text(cell);
            let padding = " ".repeat(self.cell_width.saturating_sub(text.chars().count()));
            line += &format!(" {}{padding}", self.painted(&text, paint(level, row.head.group, cell)));
        }
        self.line(line.trim_end());
    }

    /// What the cells leave, but no more than the titles need.
    fn title_width(&self) -> usize {
        let titles = self.report.rows.iter().map(|row| plain(&row.head.title).chars().count());
        let longest = titles.max().unwrap_or(0).max(FOOT.len());
        self.width.saturating_sub(NUMBER_WIDTH + Level::ALL.len() * (self.cell_width + 1)).min(longest)
    }

    fn legend(&mut self) {
        self.heading("How to read it");
        for column in &self.report.columns {
            let text = format!("{}  {}: {}", column.level, plain(&column.name), plain(&column.description));
            self.item(&text);
        }
        let occurring =
            |end: &Outcome| self.report.rows.iter().flat_map(|row| &row.cells).any(|c| c.counts.of(*end) > 0);
        let ends: Vec<Outcome> = Outcome::ALL.into_iter().filter(occurring).collect();
        for end in ends {
            let name = match self.style {
                Style::Letters | Style::MixedByLetter if end != Outcome::NotActivated => {
                    format!("{}, {}", end.word(), end.letter())
                }
                _ => end.word().to_owned(),
            };
            self.item(&format!("{name}: {}", end.meaning()));
        }
        let trials = self.report.trials;
        self.item(
            &format!(
                "n/m: n of m faults that took effect, of {trials} trials planned per cell; a cell with any silent trial counts \
                 those. !: not what theory says. ?: no weaker level was fooled, so the row shows nothing."
            ),
        );
    }

    fn rig(&mut self) {
        self.heading("Can the rig be believed?");
        let controls = &self.report.controls;
        let harmless = controls.manifestation.iter().filter(|row| row.fired > 0 && row.harmed == 0);
        let harmless: Vec<String> = harmless.map(|row| plain(&row.row)).collect();
        self.item(&format!("clean runs: {} of {} raised an alarm", controls.clean_alarms, controls.clean_runs));
        self.item(&format!(
            "benign trouble (loss, reordering, doubling, slow disk, resume): {} of {} runs raised an alarm",
            controls.benign_alarms, controls.benign_runs
        ));
        let manifest = controls.manifestation.iter().filter(|row| row.harmed > 0).count();
        let which = if harmless.is_empty() { String::new() } else { format!("; no harm in {}", harmless.join(", ")) };
        self.item(&format!("with all checks off: harm in {manifest} of {} rows{which}", controls.manifestation.len()));
        for canary in &controls.canaries {
            let (end, code) = if canary.caught { ("found out", "32") } else { ("LIVES", "1;31") };
            let by = if canary.by.is_empty() { String::new() } else { format!(" by {}", plain(&canary.by)) };
            let end = self.painted(end, code);
            self.item(&format!("canary, {}: {end}{by}", plain(&canary.name)));
        }
        if let Some(mutants) = &self.report.mutants {
            self.item(&format!("mutants: {} of {} caught", mutants.caught, mutants.tried));
            for survivor in &mutants.survivors {
                self.item(&format!("mutant that survived: {}", plain(survivor)));
            }
        }
    }

    fn totals(&mut self) {
        self.heading("Totals over the rows of the claim");
        for level in Level::ALL {
            let total = self.report.total(level);
            if total.rows == 0 {
                continue;
            }
            let ends: Vec<String> =
                total.counts.parts().map(|(end, count)| format!("{} {count}", end.word())).collect();
            let unfired = total.counts.not_activated;
            let unfired = if unfired > 0 { format!("; {unfired} not activated") } else { String::new() };
            // Where some were silent the weakest row is a row of silence, and its bound says nothing.
            let bound = if total.counts.silent == 0 {
                format!("; no row silent in more than {} (95\u{a0}%)", percent(total.weakest_bound_95))
            } else {
                String::new()
            };
            self.item(&format!("{level}  {}{unfired}{bound}", ends.join(", ")));
        }
        let (shown, rows) = self.report.demonstrated();
        self.item(&format!("{shown} of {rows} rows demonstrated: a weaker level was fooled by the same faults"));
    }

    /// Printed whole whatever the width: a line that is broken replays nothing.
    fn replays(&mut self) {
        let lines: Vec<String> = self.report.broken_claims().map(|(row, cell)| replay(row, cell)).collect();
        if lines.is_empty() {
            return;
        }
        self.heading("To replay what was silent with all checks on");
        for line in lines {
            self.line(&format!("  {line}"));
        }
    }

    fn verdict(&mut self) {
        self.heading("Verdict");
        let report = self.report;
        self.item(&format!(
            "commit {}, seed {}, {} s on {}",
            plain(&report.commit),
            report.seed,
            report.seconds.round(),
            plain(&report.machine)
        ));
        self.line(&format!("  again: {}", plain(&report.command)));
        let reasons = report.reasons();
        for reason in &reasons {
            self.item(&format!("- {}", plain(reason)));
        }
        let code = if reasons.is_empty() { "1;32" } else { "1;31" };
        let sentence = self.painted(&report.sentence(), code);
        self.item(&sentence);
    }

    fn heading(&mut self, text: &str) {
        let heading = self.painted(text, "1");
        self.line("");
        self.line(&heading);
    }

    fn line(&mut self, text: &str) {
        self.text += text;
        self.text.push('\n');
    }

    /// A line below a heading, broken between words; what does not fit on it is set in further.
    fn item(&mut self, text: &str) {
        let (first, next) = (2, 6);
        let _infallible = write!(self.text, "{:first$}", "");
        let mut column = first;
        for (index, word) in text.split(' ').enumerate() {
            let width = printed_width(word);
            if index > 0 && column + 1 + width > self.width {
                let _infallible = write!(self.text, "\n{:next$}", "");
                column = next;
            } else if index > 0 {
                self.text.push(' ');
                column += 1;
            }
            self.text += word;
            column += width;
        }
        self.text.push('\n');
    }

    fn painted(&self, text: &str, code: &str) -> String {
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Line that replays the telling trial of a cell.
fn replay(row: &Row, cell: &Cell) -> String {
    let line = cell.example.as_deref().map_or_else(|| "no line was kept".to_owned(), plain);
    format!("row {} at {}: {line}", plain(&row.head.number), cell.level)
}

/// Width of the widest cell and of the heads.
fn widest(report: &Report, style: Style) -> usize {
    let cells = report.rows.iter().flat_map(|row| &row.cells).map(|cell| style.text(Some(cell)).chars().count());
    // The last line of the table holds two numbers of rows.
    let rows = report.rows.len().to_string().len();
    cells.max().unwrap_or(0).max(2 * rows + 1)
}

/// ANSI code of a cell. Silence with all checks on is the one thing that must be seen from across the room.
fn paint(level: Level, group: Group, cell: Option<&Cell>) -> &'static str {
    let Some(counts) = cell.map(|cell| &cell.counts) else { return "" };
    if counts.silent > 0 {
        return if level == Level::FULL && group.is_claimed() { "1;7;31" } else { "31" };
    }
    match counts.dominant() {
        Some(Outcome::Repaired) => "32",
        Some(Outcome::Refused) => "38;5;148",
        Some(Outcome::Hung) => "35",
        Some(Outcome::FalseAlarm) => "33",
        Some(Outcome::Masked | Outcome::Silent | Outcome::NotActivated) | None => "2",
    }
}

/// Without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// At most `width` characters, with a sign where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Characters that take room: all but ANSI codes.
fn printed_width(text: &str) -> usize {
    let mut is_code = false;
    let visible = text.chars().filter(|c| match (*c, is_code) {
        ('\x1b', _) => {
            is_code = true;
            false
        }
        (c, true) => {
            is_code = c != 'm';
            false
        }
        _ => true,
    });
    visible.count()
}

#[cfg(test)]
mod tests;
