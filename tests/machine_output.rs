//! What scripts read: every event and every receipt that a program puts out is what the schemas in `docs/` say, and every field
//! that they name is put out.

mod support;

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::Value;
use support::schema::{EVENTS, RECEIPT, Schema};
use support::{CHUNK, Place, run, set_mode, start};

#[test]
fn the_judge_refuses_what_it_should() {
    let text = r##"{"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/small"}, "b": {"const": 1}},
        "$defs": {"small": {"type": "integer", "minimum": 0, "maximum": 9}}}"##;
    let schema = Schema::of(text);
    let judged = |value: Value| schema.judged(&value).map_err(drop);
    assert_eq!(judged(serde_json::json!({ "a": 3 })), Ok(["a".to_owned()].into()));
    for wrong in [
        serde_json::json!({}),
        serde_json::json!([]),
        serde_json::json!({ "a": 10 }),
        serde_json::json!({ "a": -1 }),
        serde_json::json!({ "a": "3" }),
        serde_json::json!({ "a": 3, "b": 2 }),
        serde_json::json!({ "a": 3, "c": 2 }),
    ] {
        assert_eq!(judged(wrong.clone()), Err(()), "{wrong}");
    }
}

/// Every kind of event, once at least.
#[test]
fn events_are_what_the_schema_says_and_all_that_it_says() {
    let place = Place::new();
    place.write("src/small", b"small");
    place.write("src/line\nbreak", b"a");
    place.random("src/large", 2 * CHUNK + 1, 1);
    symlink("small", place.path("src/link\n")).expect("a link");
    place.directory("in");
    let mut listening = start(&mut place.receiver(&["--json", "--listen", "127.0.0.1:0", "in"]));
    let ticket: Value = serde_json::from_str(&listening.first_line()).expect("an event");
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    place.write("keys", b"");
    set_mode(&place.path("keys"), 0o600);
    let mut standing = start(&mut place.receiver(&["--json", "--listen", "127.0.0.1:0", "--stay", "--allow", "keys"]));
    standing.first_line();
    standing.signal(Signal::TERM);
    let mut schema = Schema::of(EVENTS);
    for ran in [
        standing.finish().exits(0),
        run(&mut place.receiver(&["--json", "key"])).exits(0),
        run(&mut place.sender(&["--json", "key"])).exits(0),
        place.send(&["src/", "no\nthing", &ticket]).exits(23),
        listening.finish().exits(0),
        place.send(&["--quick", "src/", "in"]).exits(23),
        place.send(&["--links", "src/", "copies"]).exits(0),
        {
            place.write("copies/no\nlonger", b"a");
            place.send(&["--links", "--delete", "src/", "copies"]).exits(0)
        },
        {
            place.write("mo\nved", b"a");
            place.send(&["--move", "--receipts", "receipts", "mo\nved", "copies"]).exits(0)
        },
        {
            place.write("copies/no\nsource", b"a");
            place.send(&["--links", "--delete", "-n", "src/", "copies"]).exits(0)
        },
        place.send(&["src", "no/such"]).exits(11),
        place.send(&["src", &ticket[..ticket.len() - 1]]).exits(2),
        run(&mut place.receiver(&["--json", "--listen", "127.0.0.1:0", "no/such"])).exits(11),
    ] {
        let events = ran.events();
        events.iter().for_each(|event| schema.assert_holds(event));
        let last = events.last().unwrap_or_else(|| panic!("no event: {ran:?}"));
        assert!(["summary", "end"].contains(&last["event"].as_str().expect("a word")), "{ran:?}");
        assert_eq!((&last["schema"], &last["exit"]), (&1.into(), &ran.code.into()), "{ran:?}");
    }
    place.send(&["src/small", "copy"]).exits(0);
    for ran in [place.check(&["seal", "src"]).exits(0), {
        let before = support::modified(&place.path("src/small"));
        place.write("src/small", b"SMALL");
        let since = before.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        support::set_modified(&place.path("src/small"), since.as_secs() as i64, since.subsec_nanos().into());
        place.check(&["verify", "src"]).exits(41)
    }] {
        ran.events().iter().for_each(|event| schema.assert_holds(event));
        let last = ran.events().pop().expect("an event");
        assert_eq!((&last["event"], &last["exit"]), (&"check".into(), &ran.code.into()), "{ran:?}");
    }
    schema.assert_all_seen();
}

#[test]
fn receipts_are_what_the_schema_says_and_all_that_it_says() {
    let place = Place::new();
    place.write("src/line\nbreak", b"a");
    place.random("src/large", 2 * CHUNK + 1, 1);
    symlink("large", place.path("src/link")).expect("a link");
    place.send(&["--links", "--receipts", "receipts", "src/", "d\ne"]).exits(0);
    let lines = String::from_utf8(place.read("receipts")).expect("UTF-8");
    let mut schema = Schema::of(RECEIPT);
    lines.lines().for_each(|line| schema.assert_holds(&serde_json::from_str(line).expect("JSON")));
    assert_eq!(lines.lines().count(), 3);
    schema.assert_all_seen();
}
