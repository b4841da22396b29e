//! The matrix as one HTML file: its style, script and pictures are inside, nothing is fetched, and it works offline.
//!
//! Every string of the report passes [`escape`] on its way into the page, and a content policy forbids the page to fetch or
//! send anything. Without scripts it lacks only the card with the details of a cell, which are then in the cell's title.

mod chart;
mod grid;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::report::{Canary, Level, Outcome, Report};
use super::verdict::percent;

/// Colours, in light and in dark, and the layout from a phone up.
const STYLE: &str = include_str!("style.css");
/// The card of a cell, arrow keys, and buttons that copy.
const SCRIPT: &str = include_str!("script.js");
/// Neither fetches nor sends: whatever a report holds, the page stays by itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
/// Last second of the year 9999: later dates have no usual form.
const DATE_MAX_SECONDS: u64 = 253_402_300_799;

/// The whole page.
#[must_use]
pub fn render(report: &Report) -> String {
    let sections = [
        header(report),
        grid::matrix(report),
        chart::first_layers(report),
        chart::goodput(&report.curves.goodput),
        chart::cost(&report.curves.cost),
        controls(report),
        limits(report),
        reproduce(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>careful: which check catches which fault</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        sections.concat()
    )
}

/// What is shown, how it ended, and the whole in one picture.
fn header(report: &Report) -> String {
    let total = report.total(Level::FULL);
    let (shown, rows) = report.demonstrated();
    let facts = [
        (total.counts.fired().to_string(), "faults took effect with all checks on"),
        (total.counts.silent.to_string(), "of them passed in silence"),
        (percent(total.weakest_bound_95), "at most, in the weakest row, at 95 % confidence"),
        (format!("{shown} of {rows}"), "rows in which a weaker program was fooled"),
    ];
    let facts: String =
        facts.iter().map(|(number, words)| format!("<div><dt>{words}</dt><dd>{}</dd></div>", escape(number))).collect();
    format!(
        "<header>\n<p class=\"over\">careful · fault injection</p>\n<h1>Which check catches which fault?</h1>\n\
         <div class=\"opening\">\n<div>\n<p class=\"lede\">The same faults strike six programs that copy a file, each of which \
         checks more than the one before. A file is wrong in silence when the program says that all is well and the bytes \
         are not.</p>\n\
         <p>The claim under test: <strong>of all the checks, only the one from end to end, which compares the copy read back \
         from the receiving disk with the original, catches every fault that can be placed on the path.</strong> The checks \
         below it find faults earlier and make the repair smaller; they add no safety.</p>\n</div>\n{}</div>\n\
         {}<dl class=\"facts\">{facts}</dl>\n</header>\n",
        chart::staircase(report),
        verdict(report)
    )
}

fn verdict(report: &Report) -> String {
    let reasons = report.reasons();
    let class = if reasons.is_empty() { "ok" } else { "failed" };
    let items: String = reasons.iter().map(|reason| format!("<li>{}</li>", escape(reason))).collect();
    let list = if items.is_empty() { String::new() } else { format!("<ul>{items}</ul>") };
    let replays: String = report
        .broken_claims()
        .map(|(row, cell)| {
            let line = cell.example.as_deref().unwrap_or("no line was kept");
            format!("<p>To replay row {}:</p>{}", escape(&row.head.number), copied(line))
        })
        .collect();
    let sentence = escape(&report.sentence());
    format!("<div class=\"verdict {class}\" role=\"status\"><p>{sentence}</p>{list}{replays}</div>\n")
}

/// What shows that the rig can be believed.
fn controls(report: &Report) -> String {
    let controls = &report.controls;
    let harmed = controls.manifestation.iter().filter(|row| row.harmed > 0).count();
    let harmless = controls.manifestation.iter().filter(|row| row.fired > 0 && row.harmed == 0);
    let harmless: Vec<&str> = harmless.map(|row| row.row.as_str()).collect();
    let alarms = |alarms: u32, runs: u32| format!("{alarms} of {runs} runs raised an alarm");
    let mut items = String::new();
    let clean = alarms(controls.clean_alarms, controls.clean_runs);
    items += &control(controls.clean_alarms == 0 && controls.clean_runs > 0, "No fault at all", &clean, None);
    let benign = alarms(controls.benign_alarms, controls.benign_runs);
    let title = "Trouble that harms no byte: loss, reordering, doubling, a slow disk, a resumed transfer";
    items += &control(controls.benign_alarms == 0 && controls.benign_runs > 0, title, &benign, None);
    let manifest = if harmless.is_empty() {
        format!("harm in {harmed} of {} rows", controls.manifestation.len())
    } else {
        let rows = harmless.join(", ");
        format!("harm in {harmed} of {} rows; none in {rows}", controls.manifestation.len())
    };
    items += &control(harmless.is_empty(), "The same faults with all checks off do harm", &manifest, None);
    items += &controls.canaries.iter().map(canary).collect::<String>();
    if let Some(mutants) = &report.mutants {
        let mut words = format!("{} of {} caught", mutants.caught, mutants.tried);
        for survivor in &mutants.survivors {
            let _infallible = write!(words, "; survived: {survivor}");
        }
        items += &control(mutants.survivors.is_empty(), "Checks taken out of the program one at a time", &words, None);
    }
    section(
        "controls",
        "Can the rig be believed?",
        "An alarm never heard is no alarm, and a fault that does no harm proves nothing. A canary is a program with a check \
         removed: it must be found out.",
        &format!("<ul class=\"controls\">{items}</ul>"),
    )
}

fn canary(canary: &Canary) -> String {
    let end = if canary.caught { "found out" } else { "not found out" };
    let by = if canary.by.is_empty() { String::new() } else { format!(" by {}", canary.by) };
    control(canary.caught, &format!("Canary: {}", canary.name), &format!("{end}{by}"), canary.replay.as_deref())
}

fn control(is_good: bool, title: &str, end: &str, replay: Option<&str>) -> String {
    let (class, sign, word) =
        if is_good { ("good", "✓", "as it must be: ") } else { ("bad", "✗", "not as it must be: ") };
    format!(
        "<li class=\"{class}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span><div><p class=\"title\">\
         <span class=\"unseen\">{word}</span>{}</p><p>{}</p>{}</div></li>",
        escape(title),
        escape(end),
        replay.map(copied).unwrap_or_default()
    )
}

/// What the run does not show.
fn limits(report: &Report) -> String {
    let beside = report.rows.iter().filter(|row| !row.head.group.is_claimed());
    let rows: String = beside
        .map(|row| {
            let counts = row.cell(Level::FULL).map(|cell| cell.counts).unwrap_or_default();
            let (silent, fired) = (counts.of(Outcome::Silent), counts.fired());
            let note = if row.note.is_empty() { String::new() } else { format!(" {}", escape(&row.note)) };
            let (number, title) = (escape(&row.head.number), escape(&row.head.title));
            format!("<li><b>Row {number}</b>, {title}: silent in {silent} of {fired}.{note}</li>")
        })
        .collect();
    let rows = if rows.is_empty() {
        String::new()
    } else {
        format!("<p>No program at either end can catch these, and they are shown beside the others:</p><ul>{rows}</ul>")
    };
    section(
        "limits",
        "What this does not show",
        "",
        &format!(
            "<div class=\"prose\"><p>The bounds speak of faults drawn from this list in this way, not of how often nature \
             makes them. Each cell stands by itself: no rate is pooled over rows. That two different files have no common \
             hash is an argument and not a measurement.</p>{rows}</div>"
        ),
    )
}

fn reproduce(report: &Report) -> String {
    let started = UNIX_EPOCH + Duration::from_secs(report.started_seconds.min(DATE_MAX_SECONDS));
    let lasted = Duration::try_from_secs_f64(report.seconds.round()).unwrap_or_default();
    let facts = [
        ("commit", report.commit.clone()),
        ("seed", report.seed.to_string()),
        ("trials per cell", report.trials.to_string()),
        ("started", humantime::format_rfc3339_seconds(started).to_string()),
        ("lasted", humantime::format_duration(lasted).to_string()),
        ("machine", report.machine.clone()),
    ];
    let facts: String =
        facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value))).collect();
    let body = format!("{}<dl class=\"about\">{facts}</dl>", copied(&report.command));
    section("again", "Make it again", "", &body)
}

/// A part of the page with its heading; `words` is text of ours and may be empty.
fn section(id: &str, heading: &str, words: &str, body: &str) -> String {
    let words = if words.is_empty() { String::new() } else { format!("<p class=\"prose\">{words}</p>\n") };
    format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{words}{body}\n</section>\n")
}

/// A line to be copied.
fn copied(line: &str) -> String {
    format!("<div class=\"copied\"><code>{}</code></div>", escape(line))
}

/// Fit for text and for attributes in double quotes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}
