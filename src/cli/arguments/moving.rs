//! What happens to the sources: `--move`.

use clap::Args;

use super::{OriginChoice, ResultArguments, SendingArguments, StoredChoice};
use crate::protocol::receipt::{Durable, Origin, Stored};

/// Options about what becomes of the sources.
#[derive(Clone, Debug, Default, Args)]
pub struct MovingArguments {
    /// Remove each source file once its receipt is stored
    ///
    /// The receipt must be flushed to the file of --receipts, which is needed with it, and prove all there is: origin reread or
    /// recorded, stored=device, durable=yes; a file with less stays, and is an error (42). A file that changed after it was read
    /// stays. Directories that are empty in the end are removed, but not a SRC with a trailing slash. Links stay.
    #[arg(long = "move", requires = "receipts", conflicts_with_all = ["delete", "quick"])]
    pub move_sources: bool,
}

impl MovingArguments {
    /// What every receipt must prove; with `--move` all there is.
    pub(crate) fn required(&self, results: &ResultArguments) -> Option<super::Requirement> {
        if !self.move_sources {
            return results.require;
        }
        let asked = results.require.unwrap_or_default();
        let origin = asked.origin.max(Some(Origin::Reread));
        Some(super::Requirement { origin, stored: Some(Stored::Device), durable: Some(Durable::Yes) })
    }

    /// Why sources could never be removed with what is asked of the sending side, for a person.
    pub(crate) fn contradiction(&self, sending: &SendingArguments) -> Result<(), String> {
        let proves_too_little = sending.stored != StoredChoice::Device || sending.origin == OriginChoice::FirstRead;
        if self.move_sources && proves_too_little {
            return Err("--move needs the whole proof: leave out --stored and --origin first-read".to_owned());
        }
        Ok(())
    }
}
