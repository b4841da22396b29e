//! Man pages. Names, descriptions and options come from the clap types, exit codes from their table, all else from
//! `man/sections/`: prose stays human. **`man/careful.7` is written by hand** and only checked.

use std::io;
use std::path::PathBuf;

use careful::cli::exit_code::ExitCode;

use super::{programs, read};

/// The page of every program.
pub(super) fn pages() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    programs().into_iter().map(|command| Ok((file(&command), page(command)?))).collect()
}

fn file(command: &clap::Command) -> PathBuf {
    PathBuf::from(format!("man/{}.1", command.get_name()))
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let name = command.get_name().to_owned();
    let section = |part: &str| read(format!("man/sections/{name}.{part}.roff"));
    let commands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    let page = clap_mangen::Man::new(command);
    // Without a date and a version, so that the same sources give the same page.
    let mut roff =
        format!(".TH {} 1 \"\" \"careful\" \"Careful file transfer\"\n", name.replace('-', "\\-")).into_bytes();
    page.render_name_section(&mut roff)?;
    roff.extend(section("head")?.bytes());
    page.render_description_section(&mut roff)?;
    if commands.is_empty() {
        roff.extend(options(&page)?.bytes());
    }
    for command in commands {
        roff.extend(section_of(command)?.bytes());
    }
    roff.extend(exit_status().bytes());
    roff.extend(section("tail")?.bytes());
    Ok(roff)
}

/// As clap makes them, without the breaks around an empty line that is one itself: formatters warn of those.
fn options(page: &clap_mangen::Man) -> io::Result<String> {
    let mut roff = Vec::new();
    page.render_options_section(&mut roff)?;
    let roff = String::from_utf8(roff).map_err(io::Error::other)?;
    Ok(roff.replace("\n.br\n\n.br\n", "\n\n"))
}

/// What a command of a program does, and its options.
fn section_of(command: clap::Command) -> io::Result<String> {
    let name = command.get_name().to_uppercase();
    let page = clap_mangen::Man::new(command);
    let mut roff = Vec::new();
    page.render_description_section(&mut roff)?;
    let about = String::from_utf8(roff).map_err(io::Error::other)?;
    let about = about.replacen(".SH DESCRIPTION", &format!(".SH {name}"), 1);
    Ok(about + &options(&page)?.replacen(".SH OPTIONS", ".SS Options", 1))
}

fn exit_status() -> String {
    let mut roff = ".SH \"EXIT STATUS\"\n".to_owned();
    for code in ExitCode::ALL {
        roff += &table_row(code);
    }
    roff
}

/// As the hand-written page has it too.
fn table_row(code: ExitCode) -> String {
    format!(".TP\n.B {}\n{}\n", code.number(), code.meaning().replace('-', "\\-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn careful_7_gives_every_exit_code_its_meaning() {
        let page = read("man/careful.7").expect("a page");
        for code in ExitCode::ALL {
            assert!(page.contains(&table_row(code)), "man/careful.7 lacks:\n{}", table_row(code));
        }
    }

    #[test]
    fn every_option_is_in_its_page_and_hidden_ones_are_not() {
        for command in programs() {
            let page = read(file(&command)).expect("a page");
            let all = command.get_subcommands().flat_map(clap::Command::get_arguments).chain(command.get_arguments());
            for option in all.filter_map(|argument| argument.get_long().map(|_| argument)) {
                let long = option.get_long().unwrap_or_default().replace('-', "\\-");
                let shown = page.contains(&format!("\\-\\-{long}\\fR"));
                assert_eq!(shown, !option.is_hide_set(), "{}: --{long}", command.get_name());
            }
        }
    }
}
