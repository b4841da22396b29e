//! Makes the filters and the list of a transfer from the command line: opens the files that it names, and explains what is
//! wrong in them.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::arguments::{RuleWord, SelectionArguments};
use super::exit_code::ExitCode;
use super::reach::Stop;
use crate::protocol::limits::{GUARD_BYTES_MAX, REQUEST_BYTES_MAX, RULES_FILE_BYTES_MAX};
use crate::protocol::request::ListedPaths;
use crate::protocol::selection::Selection;
use crate::seams::disk::Disk;
use crate::send::{Filters, PathList};

/// The filters that these arguments ask for.
pub(super) fn filters(arguments: &SelectionArguments, deletes: bool, disk: &dyn Disk) -> Result<Filters, Stop> {
    let mut selection = Selection::default();
    for word in &arguments.rules.0 {
        match word {
            RuleWord::Pattern(include, pattern) => {
                selection.add(*include, pattern.as_bytes()).map_err(|error| {
                    let option = if *include { "--include" } else { "--exclude" };
                    usage(format!("{option} '{}': {error}", pattern.display()), None)
                })?;
            }
            RuleWord::File(include, path) => {
                let text = read(disk, path)?;
                selection
                    .add_lines(*include, &text)
                    .map_err(|(line, error)| usage(format!("{}, line {line}: {error}", path.display()), None))?;
            }
        }
    }
    if let (Some(least), Some(most)) = (arguments.min_size, arguments.max_size)
        && least > most
    {
        let hint = Some("exchange the two");
        return Err(usage(format!("--min-size {least} is more than --max-size {most}: nothing would be sent"), hint));
    }
    let guards: usize = selection.patterns().map(|pattern| pattern.written.len()).sum();
    if deletes && guards > GUARD_BYTES_MAX {
        let words = format!("--delete goes with patterns of {GUARD_BYTES_MAX} bytes in all, and these have {guards}");
        return Err(usage(words, Some("say more with fewer patterns, or send without --delete")));
    }
    Ok(Filters {
        selection,
        min_bytes: arguments.min_size,
        max_bytes: arguments.max_size,
        one_file_system: arguments.one_file_system,
    })
}

/// The list of paths, where there is one, opened.
pub(super) fn list(arguments: &SelectionArguments, recursive: bool, disk: &dyn Disk) -> Result<Option<PathList>, Stop> {
    let Some(path) = &arguments.files_from else { return Ok(None) };
    Ok(Some(PathList::new(open_list(path, disk)?, arguments.from0, recursive)))
}

/// The same, read whole, for another host.
pub(super) fn list_to_send(
    arguments: &SelectionArguments,
    recursive: bool,
    disk: &dyn Disk,
) -> Result<Option<ListedPaths>, Stop> {
    let Some(path) = &arguments.files_from else { return Ok(None) };
    let mut bytes = Vec::new();
    open_list(path, disk)?
        .take(REQUEST_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read_list(path, &error))?;
    if bytes.len() > REQUEST_BYTES_MAX {
        let words = format!("the list {} is longer than the 128 KiB that a request can hold", path.display());
        return Err(usage(
            words,
            Some("say it with --include and --exclude, or run careful-send with the list over there"),
        ));
    }
    Ok(Some(ListedPaths { bytes, zero: arguments.from0, recursive }))
}

fn open_list(path: &Path, disk: &dyn Disk) -> Result<Box<dyn Read + Send>, Stop> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    disk.open_stream(path).map_err(|error| cannot_read_list(path, &error))
}

fn cannot_read_list(path: &Path, error: &std::io::Error) -> Stop {
    let hint = Some("name a file with one path a line, or - for standard input");
    usage(format!("cannot read the list {}: {error}", path.display()), hint)
}

/// The words with every file of patterns in the place of its name: on another host it would be another file.
pub(super) fn spelled_out(words: &[Vec<u8>], disk: &dyn Disk) -> Result<Vec<Vec<u8>>, Stop> {
    let mut spelled = Vec::new();
    for word in words {
        let files = [(&b"--exclude-from="[..], &b"--exclude="[..]), (b"--include-from=", b"--include=")];
        match files.iter().find_map(|(option, single)| Some((word.strip_prefix(*option)?, single))) {
            None => spelled.push(word.clone()),
            Some((path, single)) => {
                let text = read(disk, Path::new(OsStr::from_bytes(path)))?;
                spelled.extend(Selection::lines(&text).map(|(_, line)| [*single, line].concat()));
            }
        }
    }
    Ok(spelled)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, Stop> {
    let mut text = Vec::new();
    let read = disk.open_stream(path).and_then(|file| file.take(RULES_FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) => {
            let words = format!("cannot read the patterns in {}: {error}", path.display());
            Err(usage(words, Some("name a file with one pattern a line")))
        }
        Ok(_) if text.len() as u64 > RULES_FILE_BYTES_MAX => {
            Err(usage(format!("{} holds more than 1 MiB of patterns", path.display()), None))
        }
        Ok(_) => Ok(text),
    }
}

fn usage(words: String, hint: Option<&'static str>) -> Stop {
    Stop(words, hint, ExitCode::Usage)
}
