//! Standard input as the source.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;

use crate::protocol::entry::Name;

/// Options about standard input as the source (`-`).
#[derive(Clone, Debug, Args)]
pub struct InputArguments {
    /// With - as SRC: name of the file, where DEST does not give it one
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub stdin_name: OsString,

    /// With - as SRC: directory to keep standard input in until it is sent
    ///
    /// By default that of TMPDIR, or /tmp. It needs as much room as comes in.
    #[arg(long, value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,

    /// With - as SRC: send an empty standard input, too
    ///
    /// Without it nothing is sent, as an empty input is mostly that of a program that failed.
    #[arg(long)]
    pub allow_empty: bool,
}

impl InputArguments {
    /// Whether standard input is what is to be sent.
    pub(crate) fn is_source(sources: &[OsString]) -> bool {
        sources.iter().any(|source| source == "-")
    }

    /// Why it cannot be with these operands and options, for a person.
    pub(crate) fn contradiction(
        &self,
        (sources, destination): (&[OsString], &OsStr),
        others: bool,
    ) -> Result<(), String> {
        if !Self::is_source(sources) {
            return Ok(());
        }
        if sources.len() > 1 {
            return Err("- (standard input) goes alone; write ./- for a file of that name".to_owned());
        }
        if destination == "-" {
            return Err("standard input cannot be both the source and the ticket".to_owned());
        }
        if others {
            return Err("--files-from, --delete and --move need a SRC that is not standard input".to_owned());
        }
        Name::new(self.stdin_name.as_bytes()).map(|_| ()).map_err(|error| format!("--stdin-name: {error}"))
    }
}
