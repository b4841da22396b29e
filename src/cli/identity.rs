//! The identity of the person's programs on this host: one key, made on first use, under the XDG state directory.

use std::path::PathBuf;
use std::sync::Arc;

use etcetera::{BaseStrategy, choose_base_strategy};

use super::exit_code::ExitCode;
use super::report::{Report, with_causes};
use crate::seams::disk::Disk;
use crate::seams::os_disk::OsDisk;
use crate::wire::identity::{IdentityError, KeyPair, load_or_create};

/// Loads the key, or makes it. Where there is no place for one, a key for this run alone does, and the person is told; a
/// key file that others can read is an error.
pub(super) fn identity(disk: &dyn Disk, report: &Report) -> Result<Arc<KeyPair>, IdentityError> {
    let Some(path) = state_file("identity") else {
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

/// The same where others know this side by its key: then there is no other to do with.
pub(super) fn lasting_identity(disk: &dyn Disk) -> Result<Arc<KeyPair>, String> {
    let path = state_file("identity").ok_or("no home directory to keep a key in: set HOME or XDG_STATE_HOME")?;
    load_or_create(disk, &path).map(Arc::new).map_err(|error| with_causes(&error))
}

/// `careful-send key` and `careful-recv key`: prints the public half.
pub(super) fn print_key(report: &Report) -> ExitCode {
    match lasting_identity(&OsDisk) {
        Ok(key) => {
            report.key(&key.public().to_string());
            ExitCode::Success
        }
        Err(words) => {
            report.error(&words, None);
            ExitCode::FileIo
        }
    }
}

/// `$XDG_STATE_HOME/careful/NAME`, by default in `~/.local/state/careful/`.
pub(super) fn state_file(name: &str) -> Option<PathBuf> {
    let state = choose_base_strategy().ok()?.state_dir()?;
    Some(state.join("careful").join(name))
}
