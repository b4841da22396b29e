//! Development steps. `cargo run -p xtask -- generate` writes what follows from the command-line types: the man pages of
//! the programs ([`man`]) and their completions for three shells ([`completions`]).
//!
//! What is generated is committed, and a test compares it byte by byte: options cannot drift.

#![allow(clippy::disallowed_methods, reason = "a development step, outside the doors of the program")]

mod completions;
mod man;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use careful::cli::arguments::{CheckArguments, RecvArguments, SendArguments};
use clap::CommandFactory;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate"] => generate(),
        _ => Err(io::Error::other("usage: cargo run -p xtask -- generate")),
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

/// The programs whose command lines are described.
fn programs() -> [clap::Command; 3] {
    [SendArguments::command(), RecvArguments::command(), CheckArguments::command()]
}

/// Every file that is generated, from the project's root, with what is to stand in it.
fn generated() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = man::pages()?;
    files.extend(completions::scripts());
    Ok(files)
}

fn generate() -> io::Result<()> {
    for (file, content) in generated()? {
        let path = root().join(file);
        std::fs::write(&path, content)
            .map_err(|error| io::Error::other(format!("writing {}: {error}", path.display())))?;
    }
    Ok(())
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(file: impl AsRef<Path>) -> io::Result<String> {
    let path = root().join(file);
    std::fs::read_to_string(&path).map_err(|error| io::Error::other(format!("reading {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_what_is_committed() {
        for (file, expected) in generated().expect("generated") {
            let found = std::fs::read(root().join(&file)).unwrap_or_default();
            assert!(found == expected, "{} is out of date: cargo run -p xtask -- generate", file.display());
        }
    }
}
