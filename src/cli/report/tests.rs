//! What the report prints, byte for byte, and what it must never print.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::protocol::entry::Attributes;
use crate::protocol::receipt::{Durable, Origin, Proof, Stored};

/// Keeps what was written, for two owners.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
    }

    fn events(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A closed pipe.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

fn file(path: &[u8], length_bytes: u64) -> ReceiptFile {
    let attributes = Attributes { mode: 0o644, modified_seconds: 0, modified_nanoseconds: 0 };
    ReceiptFile { path: path.to_vec(), length_bytes, root: [0; 32], proof: FULL, attributes, kind: ReceiptKind::File }
}

const FULL: Proof = Proof { origin: Origin::Reread, stored: Stored::Device, durable: Durable::Yes };

fn report(json: bool, quiet: bool) -> (Report, Kept, Kept) {
    let (data, messages) = (Kept::default(), Kept::default());
    let output = OutputArguments { json, quiet, ..OutputArguments::default() };
    let report =
        Report::to("careful-send", &output, Suspender::default(), Box::new(data.clone()), Box::new(messages.clone()));
    (report, data, messages)
}

/// Every method once, with a name as hostile as can be.
fn say_everything(report: &Report, name: &[u8]) {
    report.file_failed(name, Failure::NoSpace, Some("detail \u{9b}\x1b[2J"));
    report.skipped(name, "a symbolic link\n");
    report.receipt(&file(name, 1), "00");
    report.trusted(name);
    report.notice("notice\r");
    report.error("error\x07", Some("hint\u{202e}"));
    report.ticket("ticket\n");
    report.summary(&Summary::default());
}

#[test]
fn a_failed_file_is_named_with_its_cause_and_the_next_step() {
    let (report, data, messages) = report(false, false);
    report.file_failed(b"a\nb", Failure::NoSpace, None);
    report.file_failed(b"c", Failure::NoSpace, Some("quota"));
    assert_eq!(
        messages.text(),
        "careful-send: 'a\\nb': no space left at the receiving side\n\
         hint: make room, then run the same command again: what has arrived is kept\n\
         careful-send: 'c': no space left at the receiving side: quota\n"
    );
    assert_eq!(data.text(), "");
}

#[test]
fn json_has_one_event_a_line_with_exact_names_and_the_summary_last() {
    let (report, data, _) = report(true, false);
    report.receipt(&file(b"a/b", 3), "ff");
    report.file_failed(b"\xff", Failure::SourceVanished, None);
    report.skipped(b"l", "a symbolic link");
    report.summary(&Summary { files: 1, bytes: 3, exit: ExitCode::Partial, ..Summary::default() });
    let events = data.events();
    assert_eq!(
        events[..3],
        [
            json!({"event": "receipt", "path": "a/b", "length": 3, "root": "ff",
                   "origin": "reread", "stored": "device", "durable": "yes"}),
            json!({"event": "error", "path": "\\xff", "path_bytes": "/w==", "code": 24, "error": "the source vanished"}),
            json!({"event": "skipped", "path": "l", "why": "a symbolic link"}),
        ]
    );
    for (field, value) in [("event", json!("summary")), ("files", json!(1)), ("bytes", json!(3)), ("exit", json!(23))] {
        assert_eq!(events[3][field], value);
    }
}

#[test]
fn quiet_leaves_errors_and_json_alone() {
    let (report, _, messages) = report(false, true);
    report.notice("not said");
    report.summary(&Summary::default());
    assert_eq!(messages.text(), "");
    report.error("said", None);
    assert_eq!(messages.text(), "careful-send: said\n");
    let (report, data, _) = self::report(true, true);
    report.summary(&Summary::default());
    assert_eq!(data.events().len(), 1);
}

#[test]
fn the_ticket_stands_alone_on_standard_output() {
    let (report, data, messages) = report(false, true);
    report.ticket("careful1abc");
    assert_eq!((data.text().as_str(), messages.text().as_str()), ("careful1abc\n", ""));
    let (report, data, _) = self::report(true, false);
    report.ticket("careful1abc");
    assert_eq!(data.events(), [json!({"event": "ticket", "ticket": "careful1abc"})]);
}

#[test]
fn no_output_ever_holds_an_unsafe_character() {
    let name = "\x1b]52;c;x\x07\n\r\u{9b}\u{202e}\u{2028}\\".as_bytes();
    for json in [false, true] {
        let (report, data, messages) = report(json, false);
        say_everything(&report, &[name, b"\x9b\xff"].concat());
        let printed = data.text() + &messages.text();
        let unsafe_one = printed.chars().find(|character| {
            (character.is_control() && *character != '\n') || "\u{202e}\u{2028}".contains(*character)
        });
        assert_eq!(unsafe_one, None, "{printed:?}");
        let lines = if json { 7 } else { 1 };
        assert_eq!(data.text().lines().count(), lines, "{}", data.text());
        assert!(messages.text().lines().all(|line| line.starts_with("careful-send: ") || line.starts_with("hint: ")));
    }
}

#[test]
fn closed_outputs_stop_nothing() {
    let output = OutputArguments { json: true, ..OutputArguments::default() };
    let report = Report::to("careful-send", &output, Suspender::default(), Box::new(Closed), Box::new(Closed));
    say_everything(&report, b"a");
}
