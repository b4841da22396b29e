//! Development steps. `cargo run -p xtask -- man` writes the man pages of the programs.
//!
//! Names, descriptions and options come from the clap types, exit codes from their table, all else from
//! `man/sections/`: options cannot drift, prose stays human. **`man/careful.7` is written by hand** and only checked.

#![allow(clippy::disallowed_methods, reason = "a development step, outside the doors of the program")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use careful::cli::arguments::{RecvArguments, SendArguments};
use careful::cli::exit_code;
use clap::CommandFactory;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["man"] => write_pages(),
        _ => Err(io::Error::other("usage: cargo run -p xtask -- man")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a development step has no report")]
            {
                eprintln!("xtask: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// A page that is made: its file's name, and the program.
fn programs() -> [(&'static str, clap::Command); 2] {
    [("careful-send.1", SendArguments::command()), ("careful-recv.1", RecvArguments::command())]
}

fn manual() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../man")
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).map_err(|error| io::Error::other(format!("reading {}: {error}", path.display())))
}

fn write_pages() -> io::Result<()> {
    for (file, command) in programs() {
        let path = manual().join(file);
        let page = page(command)?;
        std::fs::write(&path, page)
            .map_err(|error| io::Error::other(format!("writing {}: {error}", path.display())))?;
    }
    Ok(())
}

fn page(command: clap::Command) -> io::Result<String> {
    let name = command.get_name().to_owned();
    let section = |part: &str| read(&manual().join(format!("sections/{name}.{part}.roff")));
    let page = clap_mangen::Man::new(command);
    // Without a date and a version, so that the same sources give the same page.
    let mut roff =
        format!(".TH {} 1 \"\" \"careful\" \"Careful file transfer\"\n", name.replace('-', "\\-")).into_bytes();
    page.render_name_section(&mut roff)?;
    roff.extend(section("head")?.bytes());
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    roff.extend(exit_status().bytes());
    roff.extend(section("tail")?.bytes());
    String::from_utf8(roff).map_err(io::Error::other)
}

fn exit_status() -> String {
    let mut roff = ".SH \"EXIT STATUS\"\n".to_owned();
    for code in exit_code::ExitCode::ALL {
        roff += &table_row(code);
    }
    roff
}

/// As the hand-written page has it too.
fn table_row(code: exit_code::ExitCode) -> String {
    format!(".TP\n.B {}\n{}\n", code.number(), code.meaning().replace('-', "\\-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_what_the_command_line_types_and_sections_give() {
        for (file, command) in programs() {
            let expected = page(command).expect("a page");
            let found = read(&manual().join(file)).expect("a page");
            assert!(found == expected, "man/{file} is out of date: cargo run -p xtask -- man");
        }
    }

    #[test]
    fn careful_7_gives_every_exit_code_its_meaning() {
        let page = read(&manual().join("careful.7")).expect("a page");
        for code in exit_code::ExitCode::ALL {
            assert!(page.contains(&table_row(code)), "man/careful.7 lacks:\n{}", table_row(code));
        }
    }

    #[test]
    fn every_option_is_in_its_page_and_hidden_ones_are_not() {
        for (file, command) in programs() {
            let page = read(&manual().join(file)).expect("a page");
            for option in command.get_arguments().filter_map(|argument| argument.get_long().map(|_| argument)) {
                let long = option.get_long().unwrap_or_default().replace('-', "\\-");
                let shown = page.contains(&format!("\\-\\-{long}\\fR"));
                assert_eq!(shown, !option.is_hide_set(), "man/{file}: --{long}");
            }
        }
    }
}
