//! What is removed beside what is sent: `--delete` at the receiving side.

use clap::Args;

use crate::send::Deletion;

/// Options about what has no source.
#[derive(Clone, Debug, Default, Args)]
pub struct DeletionArguments {
    /// Delete what the directories that were sent hold at the destination and not in the source
    ///
    /// Only after every file was transferred without a failure; after any, nothing is deleted. Only in directories that were
    /// sent: with SRC/ in the destination itself, with SRC in the directory of that name. What --exclude leaves out is kept,
    /// links are removed and never followed, and what is mounted there is not entered. A receiver that listens must have
    /// been started with --allow-delete.
    #[arg(long, conflicts_with = "files_from")]
    pub delete: bool,

    /// With --delete: also delete what --exclude leaves out
    #[arg(long, requires = "delete")]
    pub delete_excluded: bool,

    /// With --delete: if more than N files and directories would go, delete nothing and exit with 25
    #[arg(long, value_name = "N", requires = "delete")]
    pub max_delete: Option<u64>,
}

impl DeletionArguments {
    /// What is to be removed; nothing without `--delete`.
    pub(crate) fn deletion(&self) -> Option<Deletion> {
        self.delete.then_some(Deletion { max: self.max_delete, excluded: self.delete_excluded })
    }
}
