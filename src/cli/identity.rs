//! The identity of the person's programs on this host: one key, made on first use, under the XDG state directory.

use std::path::PathBuf;
use std::sync::Arc;

use etcetera::{BaseStrategy, choose_base_strategy};

use super::report::Report;
use crate::seams::disk::Disk;
use crate::wire::identity::{IdentityError, KeyPair, load_or_create};

/// Loads the key, or makes it. Where there is no place for one, a key for this run alone does, and the person is told; a
/// key file that others can read is an error.
pub(super) fn identity(disk: &dyn Disk, report: &Report) -> Result<Arc<KeyPair>, IdentityError> {
    let Some(path) = path() else {
        report.notice("no home directory: receipts are signed with a key for this run alone");
        return Ok(Arc::new(KeyPair::generate()?));
    };
    match load_or_create(disk, &path) {
        Ok(key) => Ok(Arc::new(key)),
        Err(IdentityError::Create { path, cause }) => {
            let path = path.display();
            report
                .notice(&format!("cannot create {path} ({cause}): receipts are signed with a key for this run alone"));
            Ok(Arc::new(KeyPair::generate()?))
        }
        Err(error) => Err(error),
    }
}

/// `$XDG_STATE_HOME/careful/identity`, by default `~/.local/state/careful/identity`.
fn path() -> Option<PathBuf> {
    let state = choose_base_strategy().ok()?.state_dir()?;
    Some(state.join("careful").join("identity"))
}
