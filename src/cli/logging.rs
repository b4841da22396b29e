//! Logs on standard error, as text or JSON Lines, past the progress bar.
//!
//! What is logged may hold names from a disk or from the other side: every finished line is made safe to print here,
//! whatever wrote it. **Nothing is logged per packet.**

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use super::arguments::OutputArguments;
use super::progress::Suspender;
use super::safe_name::{safe_json, safe_text};
use crate::wire::LIBRARY_SILENT;

/// Replaces what `-v` selects, in the syntax of tracing's filters, as in `careful=trace,quinn=debug`.
pub const FILTER_VARIABLE: &str = "CAREFUL_LOG";

/// Starts logging, once a process. The error explains for a person.
pub fn start(output: &OutputArguments, suspender: Suspender) -> Result<(), String> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.is_empty() => {
            EnvFilter::builder().parse(text).map_err(|error| format!("{FILTER_VARIABLE}: {error}"))?
        }
        _ => EnvFilter::new(directives(output)),
    };
    let json = output.log_json;
    let writer = move || LogWriter { suspender: suspender.clone(), json };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = if json { builder.json().try_init() } else { builder.with_target(false).try_init() };
    started.map_err(|error| error.to_string())
}

/// What `-q` and `-v` select: of this program warnings, then more and more; of its libraries errors, then warnings, until
/// `-vvv` everything. A lost link makes them warn of what the program says itself, in better words.
fn directives(output: &OutputArguments) -> String {
    match output.verbose {
        _ if output.quiet => format!("error,{LIBRARY_SILENT}"),
        0 => format!("error,{LIBRARY_SILENT},careful=warn"),
        1 => "warn,careful=info".to_owned(),
        2 => "warn,careful=debug".to_owned(),
        _ => "debug,careful=trace".to_owned(),
    }
}

/// One event, handed over whole by the formatter.
struct LogWriter {
    suspender: Suspender,
    json: bool,
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.suspender.write_to_stderr(&safe_line(line, self.json));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line as it may be printed: one line, whatever was in it.
fn safe_line(line: &[u8], json: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut safe = if json { safe_json(text) } else { safe_text(text) };
    safe.push('\n');
    safe.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_stays_one_line_and_commands_no_terminal() {
        assert_eq!(safe_line(b"WARN a\nERROR b\x1b[2J\xc2\x9b\n", false), b"WARN a\\nERROR b\\x1b[2J\\u{9b}\n");
        let line = safe_line("{\"name\":\"a\u{9b}\u{202e}\"}\n".as_bytes(), true);
        assert_eq!(line, b"{\"name\":\"a\\u009b\\u202e\"}\n");
    }

    #[test]
    fn every_number_of_v_selects_a_valid_filter() {
        for verbose in 0..5 {
            let output = OutputArguments { verbose, ..OutputArguments::default() };
            EnvFilter::builder().parse(directives(&output)).expect("a filter");
        }
    }
}
