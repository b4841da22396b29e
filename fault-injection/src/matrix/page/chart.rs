//! The pictures beside the matrix: the staircase, who is first, goodput against the unit of retry, what the checks cost.
//!
//! Bars are elements with a width in percent, so that their words stay readable on a phone; the curve is SVG. Each has its
//! numbers in words too.

use std::fmt::Write;

use super::super::report::{CostPoint, Counts, GoodputPoint, Layer, Level, Report, Row};
use super::{escape, section};

/// Measures of the curve's picture.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 60.0;
/// Straight pieces between two measured sizes.
const PIECES: u32 = 24;
/// Marks of measured points, by rate of swaps.
const MARKS: usize = 3;

/// Rows with silent damage at each level: the claim in one picture.
pub(super) fn staircase(report: &Report) -> String {
    let totals = Level::ALL.map(|level| (level, report.total(level)));
    let most = totals.iter().map(|(_, total)| total.rows).max().unwrap_or(0).max(1);
    let steps: String = totals
        .iter()
        .map(|(level, total)| {
            let share = f64::from(total.silent_rows) / f64::from(most);
            let class = if total.silent_rows == 0 { " class=\"zero\"" } else { "" };
            let number = if total.rows == 0 { "–".to_owned() } else { total.silent_rows.to_string() };
            format!(
                "<li{class}><span class=\"step\" style=\"--share:{share:.3}\"><b>{number}</b></span>\
                 <span class=\"level\">{level}</span></li>"
            )
        })
        .collect();
    format!(
        "<figure class=\"staircase\"><ol aria-label=\"rows with silent damage at each level\">{steps}</ol>\
         <figcaption>Rows in which a wrong file was reported as right, from the weakest program to the strongest</figcaption>\
         </figure>\n"
    )
}

/// Which layer was first to notice, for each row of the claim, with all checks on.
pub(super) fn first_layers(report: &Report) -> String {
    let rows: String = report.claimed_rows().map(first_layer_bar).collect();
    let occurs = |layer: &Layer| {
        let mut cells = report.claimed_rows().filter_map(|row| row.cell(Level::FULL));
        cells.any(|cell| shares(cell.counts, &cell.caught_by).iter().any(|(found, _)| found == layer))
    };
    let legend: String = Layer::ALL
        .into_iter()
        .filter(occurs)
        .map(|layer| format!("<li><i class=\"swatch {}\" aria-hidden=\"true\"></i>{}</li>", class(layer), layer.name()))
        .collect();
    section(
        "first",
        "Who catches it first",
        "With all checks on, the lower ones still earn their keep: a fault that is found early costs little. Each bar is the \
         trials of one row, by the first check that noticed.",
        &format!("<ul class=\"legend short\">{legend}</ul><ul class=\"bars\">{rows}</ul>"),
    )
}

fn first_layer_bar(row: &Row) -> String {
    let Some(cell) = row.cell(Level::FULL) else { return String::new() };
    let shares = shares(cell.counts, &cell.caught_by);
    if shares.is_empty() {
        return String::new();
    }
    let parts: String = shares
        .iter()
        .map(|(layer, count)| {
            let (class, name) = (class(*layer), layer.name());
            format!(
                "<i class=\"{class}\" style=\"flex-grow:{count}\" title=\"{name}: {count}\"><span>{name}</span></i>"
            )
        })
        .collect();
    let words: Vec<String> = shares.iter().map(|(layer, count)| format!("{} {count}", layer.name())).collect();
    format!(
        "<li><span class=\"label\"><b>{}</b> {}</span><span class=\"bar\" role=\"img\" aria-label=\"{}\">{parts}</span></li>",
        escape(&row.head.number),
        escape(&row.head.title),
        escape(&words.join(", "))
    )
}

/// Trials by who noticed first; those that nobody noticed are what is left.
fn shares(counts: Counts, caught_by: &std::collections::BTreeMap<Layer, u32>) -> Vec<(Layer, u32)> {
    let mut shares: Vec<(Layer, u32)> = caught_by
        .iter()
        .filter(|(layer, count)| **layer != Layer::Nobody && **count > 0)
        .map(|(l, c)| (*l, *c))
        .collect();
    let noticed = shares.iter().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
    let left = counts.fired().saturating_sub(noticed);
    if left > 0 {
        shares.push((Layer::Nobody, left));
    }
    shares
}

/// The name that the style knows a layer by.
const fn class(layer: Layer) -> &'static str {
    match layer {
        Layer::UdpChecksum => "by-udp",
        Layer::Aead => "by-aead",
        Layer::ChunkCheck => "by-chunk",
        Layer::SecondRead => "by-second",
        Layer::Record => "by-record",
        Layer::ReadBack => "by-back",
        Layer::CommitCheck => "by-commit",
        Layer::DiskError => "by-disk",
        Layer::Nobody => "by-nobody",
    }
}

/// What each level costs without faults.
pub(super) fn cost(points: &[CostPoint]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let most = points.iter().map(|point| point.seconds_median.max(point.cpu_seconds)).fold(f64::MIN_POSITIVE, f64::max);
    let bars: String = points
        .iter()
        .map(|point| {
            let (wall, cpu) = (100.0 * point.seconds_median / most, 100.0 * point.cpu_seconds / most);
            format!(
                "<li><span class=\"label\"><b>{}</b> {:.2} s<small>{:.2} × L1 · {:.2} s of processor time</small></span>\
                 <span class=\"pair\" aria-hidden=\"true\"><i class=\"wall\" style=\"width:{wall:.1}%\"></i>\
                 <i class=\"cpu\" style=\"width:{cpu:.1}%\"></i></span></li>",
                point.level, point.seconds_median, point.ratio_to_l1, point.cpu_seconds
            )
        })
        .collect();
    let legend = "<ul class=\"legend short\"><li><i class=\"swatch wall\" aria-hidden=\"true\"></i>time from start to exit, \
                  median</li><li><i class=\"swatch cpu\" aria-hidden=\"true\"></i>time of all cores, both ends together</li>\
                  </ul>";
    section(
        "cost",
        "What the checks cost",
        "The same file at each level, without faults.",
        &format!("{legend}<ul class=\"bars cost\">{bars}</ul>"),
    )
}

/// Goodput of a transfer through a relay that swaps bytes, against the size of what is sent again.
pub(super) fn goodput(points: &[GoodputPoint]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let series = by_rate(points);
    let legend: String = series
        .iter()
        .enumerate()
        .map(|(index, series)| {
            let words = rate(series[0].swap_rate);
            let mark = mark(index, 8.0, 8.0);
            format!("<li><svg class=\"key\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{mark}</svg>{words}</li>")
        })
        .collect();
    let legend =
        format!("{legend}<li><i class=\"swatch line\" aria-hidden=\"true\"></i>predicted: exp(−rate × size)</li>");
    let body = format!(
        "<ul class=\"legend short\">{legend}</ul><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"goodput, picture and numbers\"><figure class=\"curve\">{}</figure>{}</div>",
        picture(&Frame::of(points), &series),
        numbers(points)
    );
    section(
        "goodput",
        "Why the unit of retry is small",
        "A relay between the two ends swaps bytes inside the data, where neither UDP nor QUIC can see it. Every unit that \
         arrives wrong is sent again. The larger the unit, the smaller the share of what is sent that counts; a whole file \
         would never get through.",
        &body,
    )
}

/// Series of one rate each, sizes ascending.
fn by_rate(points: &[GoodputPoint]) -> Vec<Vec<&GoodputPoint>> {
    let mut sorted: Vec<&GoodputPoint> = points.iter().collect();
    sorted.sort_by(|a, b| a.swap_rate.total_cmp(&b.swap_rate).then(a.unit_bytes.cmp(&b.unit_bytes)));
    sorted.chunk_by(|a, b| a.swap_rate == b.swap_rate).map(<[_]>::to_vec).collect()
}

/// A rate as a person says it.
fn rate(swaps_per_byte: f64) -> String {
    if swaps_per_byte > 0.0 { format!("one swap in {:.0} bytes", 1.0 / swaps_per_byte) } else { "no swaps".to_owned() }
}

/// Where sizes and shares lie in the picture.
struct Frame {
    first: f64,
    last: f64,
}

impl Frame {
    fn of(points: &[GoodputPoint]) -> Self {
        let logs = points.iter().map(|point| (point.unit_bytes.max(1) as f64).log2());
        let (first, last) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| (low.min(log), high.max(log)));
        // Room beside the outermost points; also keeps a single size from a width of nothing.
        Self { first: first - 0.6, last: last + 0.6 }
    }

    fn x(&self, bytes: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (bytes.max(1.0).log2() - self.first) / (self.last - self.first)
    }

    fn y(share: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
    }
}

fn picture(frame: &Frame, series: &[Vec<&GoodputPoint>]) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"share of what is sent that counts, falling with the \
         size of the unit of retry; the numbers are in the table below\">"
    );
    for percent in [0, 25, 50, 75, 100] {
        let y = Frame::y(f64::from(percent) / 100.0);
        let (end, text) = (WIDTH - RIGHT, LEFT - 8.0);
        let _infallible = write!(
            svg,
            "<line class=\"rule\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{text}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            y + 4.0
        );
    }
    let mut named = Vec::new();
    for point in series.iter().flatten().filter(|point| {
        let is_new = !named.contains(&point.unit_bytes);
        named.push(point.unit_bytes);
        is_new
    }) {
        let (x, y) = (frame.x(point.unit_bytes as f64), HEIGHT - BOTTOM + 22.0);
        let unit = escape(&point.unit);
        let _infallible =
            write!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{unit}</text>");
    }
    let (middle, low) = (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 12.0);
    let _infallible = write!(
        svg,
        "<text class=\"axis\" x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">size of the unit that is sent again</text>\
         <text class=\"axis\" x=\"{LEFT}\" y=\"14\">share of the bytes sent that counts</text>"
    );
    for (index, series) in series.iter().enumerate() {
        svg += &predicted(frame, series);
        svg += &series.iter().map(|point| measured(frame, index, point)).collect::<String>();
    }
    svg + "</svg>"
}

/// The curve through what theory says of the measured sizes. Its logarithm is straight in the size.
fn predicted(frame: &Frame, series: &[&GoodputPoint]) -> String {
    let mut places = Vec::new();
    for pair in series.windows(2).filter(|pair| 0 < pair[0].unit_bytes && pair[0].unit_bytes < pair[1].unit_bytes) {
        let (from, to) = (pair[0], pair[1]);
        let ends = [from, to].map(|point| (point.unit_bytes as f64, point.sends_per_unit_predicted.ln()));
        for piece in 0..=PIECES {
            // Even steps on the axis, which is logarithmic.
            let part = f64::from(piece) / f64::from(PIECES);
            let bytes = ends[0].0 * (ends[1].0 / ends[0].0).powf(part);
            let way = (bytes - ends[0].0) / (ends[1].0 - ends[0].0);
            let share = (-(ends[0].1 + (ends[1].1 - ends[0].1) * way)).exp();
            places.push(format!("{:.1},{:.1}", frame.x(bytes), Frame::y(share)));
        }
    }
    if places.is_empty() {
        String::new()
    } else {
        format!("<polyline class=\"predicted\" points=\"{}\"/>", places.join(" "))
    }
}

fn measured(frame: &Frame, index: usize, point: &GoodputPoint) -> String {
    let (x, y) = (frame.x(point.unit_bytes as f64), Frame::y(point.goodput_fraction));
    if point.sends_per_unit_measured.is_none() {
        let cross = format!("M{:.1} {:.1}l10 10m0 -10l-10 10", x - 5.0, y - 5.0);
        let text =
            format!("<text class=\"value\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">given up</text>", y - 12.0);
        return format!("<path class=\"cross\" d=\"{cross}\"/>{text}");
    }
    let share = 100.0 * point.goodput_fraction;
    let text = format!("<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{share:.0} %</text>", x + 10.0, y - 8.0);
    format!("{}{text}", mark(index, x, y))
}

/// A disc, a square or a triangle.
fn mark(index: usize, x: f64, y: f64) -> String {
    match index % MARKS {
        0 => format!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\"/>"),
        1 => format!("<rect class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\"/>", x - 5.0, y - 5.0),
        _ => format!("<path class=\"mark\" d=\"M{x:.1} {:.1}l6 11h-12z\"/>", y - 7.0),
    }
}

/// The same in numbers.
fn numbers(points: &[GoodputPoint]) -> String {
    let rows: String = points
        .iter()
        .map(|point| {
            let measured = point.sends_per_unit_measured.map_or_else(|| "given up".to_owned(), sends);
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{measured}</td><td>{}</td><td>{:.1} %</td><td>{:.2} s</td><td>{}</td></tr>",
                escape(&point.unit),
                rate(point.swap_rate),
                sends(point.sends_per_unit_predicted),
                100.0 * point.goodput_fraction,
                point.seconds,
                point.repeats
            )
        })
        .collect();
    format!(
        "<table class=\"numbers\"><thead><tr><th scope=\"col\">unit</th><th scope=\"col\">relay</th><th scope=\"col\">sends, measured</th>\
         <th scope=\"col\">predicted</th><th scope=\"col\">counts</th><th scope=\"col\">took</th>\
         <th scope=\"col\">repeats</th></tr></thead><tbody>{rows}</tbody></table>"
    )
}

/// Sends per unit, short even where there would be no end.
fn sends(sends: f64) -> String {
    if sends >= f64::MAX {
        "no end".to_owned()
    } else if sends >= 10_000.0 {
        format!("{sends:.1e}")
    } else {
        format!("{sends:.3}")
    }
}
