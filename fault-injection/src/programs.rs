//! Where the unmodified programs lie that a run starts: the ones built with this one, beside it.

use std::path::{Path, PathBuf};

/// `careful-send` and `careful-recv` in one folder.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those of this build, beside the program that runs; whether they are there is not looked at.
    ///
    /// # Errors
    /// If this program cannot be found.
    pub fn beside_this() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("where this program lies: {error}"))?;
        Ok(Self::in_folder(own.parent().unwrap_or(&own)))
    }

    /// Those of this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where the program of this name lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether they are there.
    ///
    /// # Errors
    /// If not; says how to get them.
    pub fn check(&self) -> Result<(), String> {
        let is_missing = |name: &&&str| !self.path(name).is_file();
        match ["careful-send", "careful-recv"].iter().find(is_missing) {
            None => Ok(()),
            Some(missing) => Err(format!(
                "this runs the real programs, and {missing} is not beside this one in {}; build all three with \
                 `cargo build --release -p careful -p careful-faults` and run target/release/careful-faults",
                self.folder.display()
            )),
        }
    }
}
