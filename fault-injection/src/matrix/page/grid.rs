//! The matrix itself: a table whose cells are coloured, patterned and lettered by what came of their trials.

use super::super::report::{Cell, Column, Group, Layer, Level, Outcome, Report, Row};
use super::super::verdict::percent;
use super::{escape, section};

/// The part of the page with legend and table.
pub(super) fn matrix(report: &Report) -> String {
    let body = format!(
        "{}{}<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"matrix\">\n<table class=\"matrix\">\n\
         <caption class=\"unseen\">What came of the faults of each row at each level of checking</caption>\n{}{}{}</table>\n\
         </div>\n",
        legend(report),
        levels(report),
        head(report),
        Group::ALL.map(|group| group_of_rows(report, group)).concat(),
        foot(report)
    );
    section(
        "matrix",
        "The matrix",
        "Each row is a place where a fault strikes; each column is a program, and each checks more than the one to its left. \
         Read along a row: where the colour changes, somebody began to notice. Point at a cell, or press it, to see the \
         numbers and the line that replays it.",
        &body,
    )
}

/// The name that the style knows an end by.
pub(super) const fn class(end: Outcome) -> &'static str {
    match end {
        Outcome::Silent => "silent",
        Outcome::Hung => "hung",
        Outcome::FalseAlarm => "alarm",
        Outcome::Refused => "refused",
        Outcome::Repaired => "repaired",
        Outcome::Masked => "masked",
        Outcome::NotActivated => "none",
    }
}

fn legend(report: &Report) -> String {
    let occurs = |end: &Outcome| report.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.counts.of(*end) > 0);
    let items: String = Outcome::ALL
        .into_iter()
        .filter(occurs)
        .map(|end| {
            let word = if end == Outcome::NotActivated { "not activated" } else { end.word() };
            let class = class(end);
            format!("<li><i class=\"swatch {class}\" aria-hidden=\"true\"></i><b>{word}<span class=\"letter\"> {}</span></b> {}</li>", end.letter(), end.meaning())
        })
        .collect();
    format!("<ul class=\"legend\">{items}</ul>\n")
}

fn levels(report: &Report) -> String {
    let line = |column: &Column| {
        let (name, description) = (escape(&column.name), escape(&column.description));
        format!("<div><dt>{} <b>{name}</b></dt><dd>{description}</dd></div>", column.level)
    };
    format!("<dl class=\"levels\">{}</dl>\n", report.columns.iter().map(line).collect::<String>())
}

fn head(report: &Report) -> String {
    let cells = Level::ALL.map(|level| {
        let name = name(report, level);
        format!("<th scope=\"col\"><span>{level}</span><small>{}</small></th>", escape(name))
    });
    let first = "<th scope=\"col\" class=\"first\">where the fault strikes</th>";
    format!("<thead><tr>{first}{}</tr></thead>\n", cells.concat())
}

fn name(report: &Report, level: Level) -> &str {
    report.columns.iter().find(|column| column.level == level).map_or("", |column| &column.name)
}

fn group_of_rows(report: &Report, group: Group) -> String {
    let rows: String = report.rows.iter().filter(|row| row.head.group == group).map(|row| line(report, row)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let class = if group.is_claimed() { "" } else { " class=\"beside\"" };
    let columns = Level::ALL.len() + 1;
    let heading = group.heading();
    format!(
        "<tbody{class}><tr class=\"group\"><th colspan=\"{columns}\" scope=\"rowgroup\"><span>{heading}</span></th></tr>\n{rows}</tbody>\n"
    )
}

fn line(report: &Report, row: &Row) -> String {
    let head = &row.head;
    let threats: String = head
        .threats
        .iter()
        .map(|threat| format!("<abbr title=\"{}\">{threat:?}</abbr> ", escape(threat.meaning())))
        .collect();
    let doubt = if row.demonstrated || !head.group.is_claimed() {
        ""
    } else {
        "<span class=\"doubt\">not demonstrated: no weaker program was fooled</span>"
    };
    let note =
        if row.note.is_empty() { String::new() } else { format!("<span class=\"note\">{}</span>", escape(&row.note)) };
    let cells = Level::ALL.map(|level| cell(report, row, level)).concat();
    format!(
        "<tr><th scope=\"row\"><div class=\"place\"><span class=\"number\">{}</span><span class=\"what\">{}<small>{} · {threats}\
         </small>{doubt}{note}</span></div></th>{cells}</tr>\n",
        escape(&head.number),
        escape(&head.title),
        escape(&head.place)
    )
}

fn cell(report: &Report, row: &Row, level: Level) -> String {
    let Some(cell) = row.cell(level) else {
        return "<td><span class=\"cell untried\" aria-label=\"not tried\"></span></td>".to_owned();
    };
    let counts = &cell.counts;
    let lines = details(row, cell).join("\n");
    let title = format!("Row {} at {level}, {}", row.head.number, name(report, level));
    let replay = cell.example.as_deref().map_or_else(String::new, |line| format!(" data-replay=\"{}\"", escape(line)));
    let surprise = if cell.agrees_with_prediction == Some(false) { " surprise" } else { "" };
    let broken = if level == Level::FULL && counts.silent > 0 && row.head.group.is_claimed() { " broken" } else { "" };
    let (title, about, lines) = (escape(&title), escape(&row.head.title), escape(&lines));
    format!(
        "<td><button type=\"button\" class=\"cell{surprise}{broken}\" aria-label=\"{title}: {lines}\" title=\"{lines}\" \
         data-title=\"{title}\" data-about=\"{about}\" data-lines=\"{lines}\"{replay}>{}{}</button></td>",
        stripes(cell),
        words(cell)
    )
}

/// One stripe for each end, as wide as its share.
fn stripes(cell: &Cell) -> String {
    let part = |(end, count): (Outcome, u32)| format!("<i class=\"{}\" style=\"flex-grow:{count}\"></i>", class(end));
    let parts: String = cell.counts.parts().map(part).collect();
    let parts = if parts.is_empty() { "<i class=\"none\" style=\"flex-grow:1\"></i>".to_owned() } else { parts };
    format!("<span class=\"stripes\" aria-hidden=\"true\">{parts}</span>")
}

/// The word, its letter for narrow screens, and a share where the cell is mixed. Any silence is what is named.
fn words(cell: &Cell) -> String {
    let counts = &cell.counts;
    let Some(end) = (if counts.silent > 0 { Some(Outcome::Silent) } else { counts.dominant() }) else {
        return "<span class=\"word\" aria-hidden=\"true\">–</span>".to_owned();
    };
    let (letter, word) = (end.letter(), end.word());
    let (class, share) = if counts.parts().count() > 1 {
        ("word mixed", format!("<small>{}/{}</small>", counts.of(end), counts.fired()))
    } else {
        ("word", String::new())
    };
    format!(
        "<span class=\"{class}\" aria-hidden=\"true\"><b class=\"letter\">{letter}</b><span class=\"whole\">{word}</span>{share}</span>"
    )
}

/// What the card says of a cell, line by line.
fn details(row: &Row, cell: &Cell) -> Vec<String> {
    let counts = &cell.counts;
    let fired = counts.fired();
    let mut lines: Vec<String> =
        counts.parts().map(|(end, count)| format!("{} {count} of {fired}: {}", end.word(), end.meaning())).collect();
    if counts.not_activated > 0 {
        lines.push(format!("not activated {}: left out of the count", counts.not_activated));
    }
    if fired > 0 {
        lines.push(format!("silent in at most {} (95 %)", percent(cell.bound_95)));
    }
    let first: Vec<String> = Layer::ALL
        .into_iter()
        .filter_map(|layer| Some((layer, *cell.caught_by.get(&layer)?)))
        .map(|(layer, count)| format!("{} {count}", layer.name()))
        .collect();
    if !first.is_empty() {
        lines.push(format!("caught first by: {}", first.join(", ")));
    }
    let predicted = row.prediction(cell.level).word();
    lines.push(match cell.agrees_with_prediction {
        Some(true) => format!("theory says {predicted}, and so it is"),
        Some(false) => format!("theory says {predicted}, and it is not so"),
        None => format!("theory says {predicted}"),
    });
    lines
}

/// The staircase in numbers.
fn foot(report: &Report) -> String {
    let cells = Level::ALL.map(|level| {
        let total = report.total(level);
        if total.rows == 0 {
            return "<td>–</td>".to_owned();
        }
        format!("<td><b>{}</b> of {}</td>", total.silent_rows, total.rows)
    });
    format!("<tfoot><tr><th scope=\"row\">rows of the claim with silent damage</th>{}</tr></tfoot>\n", cells.concat())
}
