//! What the page must hold, and what must never be in it.

use super::super::report::Report;
use super::super::sample::{sample, spoiled};
use super::*;

/// Beginnings of what a browser would fetch or follow.
const OUTSIDE: [&str; 9] =
    ["http://", "https://", "src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest", "<link"];

/// Every name of an element that is opened must be closed, in order.
fn assert_balanced(page: &str) {
    const EMPTY: [&str; 2] = ["!doctype", "meta"];
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let script = page.find("<script>").unwrap()..page.rfind("</script>").unwrap();
    let mut open = Vec::new();
    let is_inside = |range: &std::ops::Range<usize>, at: usize| range.start < at && at < range.end;
    for (at, _) in page.match_indices('<').filter(|(at, _)| !is_inside(&style, *at) && !is_inside(&script, *at)) {
        let tag = &page[at + 1..at + page[at..].find('>').unwrap()];
        let name = tag.split([' ', '>']).next().unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "at {}", &page[at.saturating_sub(120)..at]);
        } else if !tag.ends_with('/') && !EMPTY.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn nothing_is_fetched_from_outside() {
    for report in [sample(), spoiled()] {
        let page = render(&report);
        for outside in OUTSIDE {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn every_row_is_there_with_a_cell_for_every_level() {
    let report = sample();
    let page = render(&report);
    for row in &report.rows {
        assert!(page.contains(&format!("<span class=\"number\">{}</span>", row.head.number)), "{}", row.head.number);
    }
    assert_eq!(page.matches("<button type=\"button\" class=\"cell").count(), Level::ALL.len() * report.rows.len());
    for column in &report.columns {
        assert!(page.contains(&escape(&column.description)));
    }
}

#[test]
fn every_element_that_is_opened_is_closed() {
    let mut empty = sample();
    empty.rows.clear();
    empty.curves = super::super::report::Curves::default();
    empty.columns.clear();
    empty.mutants = None;
    empty.controls = super::super::report::Controls::default();
    for report in [sample(), spoiled(), empty] {
        assert_balanced(&render(&report));
    }
}

/// Puts the same words into every string of a report, by way of its JSON form.
fn filled_with(words: &str, value: &mut serde_json::Value, key: &str) {
    // These are names that the program gives; anything else in their place is no report.
    const KNOWN: [&str; 5] = ["level", "group", "threats", "predicted", "caught_by"];
    match value {
        serde_json::Value::String(text) if !KNOWN.contains(&key) => *text = words.to_owned(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| filled_with(words, item, key)),
        serde_json::Value::Object(fields) if !KNOWN.contains(&key) => {
            fields.iter_mut().for_each(|(name, field)| filled_with(words, field, name));
        }
        _ => {}
    }
}

#[test]
fn no_string_of_a_report_becomes_a_part_of_the_page() {
    let mut value: serde_json::Value = serde_json::from_str(&spoiled().to_json()).unwrap();
    filled_with("<script>alert(\"1\")</script> & 'x'", &mut value, "");
    let report = Report::from_json(&value.to_string()).unwrap();
    let page = render(&report);
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("data-replay=\"&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;\""));
    assert_balanced(&page);
}

#[test]
fn a_silent_cell_with_all_checks_on_is_marked_and_can_be_replayed() {
    let good = render(&sample());
    assert!(
        good.contains("class=\"verdict ok\"") && !good.contains("class=\"cell broken") && !good.contains(" broken\"")
    );
    let bad = render(&spoiled());
    assert!(bad.contains("class=\"verdict failed\""));
    assert_eq!(bad.matches(" broken\"").count(), 1);
    assert!(bad.contains("To replay row 16:</p><div class=\"copied\"><code>staging-write file 1 #1 lose;"));
}

#[test]
fn mixed_cells_have_stripes_by_share() {
    let page = render(&sample());
    let stripes = "<i class=\"silent\" style=\"flex-grow:4\"></i><i class=\"refused\" style=\"flex-grow:2\"></i>\
                   <i class=\"repaired\" style=\"flex-grow:13\"></i>";
    assert!(page.contains(stripes));
    assert!(page.contains("<small>4/19</small>"));
}

#[test]
fn numbers_that_no_run_can_give_do_not_stop_the_page() {
    let mut report = sample();
    report.started_seconds = u64::MAX;
    report.seconds = f64::NAN;
    for point in &mut report.curves.goodput {
        point.unit_bytes = 0;
        point.swap_rate = 0.0;
        point.sends_per_unit_predicted = f64::MAX;
    }
    for point in &mut report.curves.cost {
        point.seconds_median = 0.0;
        point.cpu_seconds = 0.0;
    }
    assert_balanced(&render(&report));
}

#[test]
fn the_curve_has_a_mark_for_every_size_that_got_through() {
    let page = render(&sample());
    assert_eq!(page.matches("<circle class=\"mark\" cx=").count(), 4 + 1, "four sizes and the legend");
    assert_eq!(page.matches("<path class=\"cross\"").count(), 1);
    assert_eq!(page.matches("<polyline class=\"predicted\"").count(), 1);
}

#[test]
fn who_is_first_adds_up_to_the_faults_that_took_effect() {
    let page = render(&sample());
    assert!(page.contains("aria-label=\"second read 20\""));
    assert!(page.contains("aria-label=\"nobody 20\""), "masked faults were noticed by nobody");
}
