//! Which key is expected of a standing receiver: from the file of known peers, from an option, or from the person.
//!
//! Nothing is learned without a person who says yes at a terminal, and only a key whose owner proved to hold it. A key that is
//! not the known one is an error, and nothing here can make it none. **No entry is ever changed or removed.**

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::exit_code::ExitCode;
use super::identity::state_file;
use super::reach::Stop;
use super::report::{Report, with_causes};
use crate::connect::known_peers::{find, with_entry};
use crate::connect::standing::{Standing, StandingAddress};
use crate::protocol::limits::LOCK_WAIT;
use crate::seams::Environment;
use crate::seams::disk::{Disk, DiskFile};
use crate::wire::endpoint;
use crate::wire::identity::{KeyPair, PublicKey};

/// Between two looks at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(20);

const HINT_UNKNOWN: &str = "compare it with what `careful-recv key` prints over there; then give it with --peer-key KEY, or add \
                            the line HOST:PORT KEY to careful/known_peers in $XDG_STATE_HOME (~/.local/state)";
const HINT_REPAIR: &str =
    "repair the file, or remove the line that is wrong; until then no receiver is believed to be known";

/// The receiver at this address, with the key it has to prove. `given` is that of the option.
pub(super) async fn standing(
    environment: &Environment,
    report: &Report,
    own: &KeyPair,
    address: StandingAddress,
    given: Option<PublicKey>,
) -> Result<Standing, Stop> {
    let disk = environment.disk.as_ref();
    let path = state_file("known_peers");
    let known = match &path {
        Some(path) => look_up(disk, path, &address)?,
        None => None,
    };
    match (known, given) {
        (Some((key, place)), Some(given)) if key != given => Err(Stop(
            format!("--peer-key is not the key that {place} has for {address}"),
            Some("find out which of the two is right; if the receiver's key was changed, remove that line"),
            ExitCode::NotAdmitted,
        )),
        (Some((receiver, pinned_by)), _) => Ok(Standing { address, receiver, pinned_by }),
        (None, Some(receiver)) => Ok(Standing { address, receiver, pinned_by: "--peer-key".to_owned() }),
        (None, None) => {
            let receiver = first_contact(environment, report, own, &address).await?;
            if let Some(path) = path {
                remember(disk, &path, &address, &receiver)?;
            }
            Ok(Standing { address, receiver, pinned_by: "the answer given at the terminal".to_owned() })
        }
    }
}

/// The known key and its place; a file that cannot be read or has a fault answers nothing.
fn look_up(disk: &dyn Disk, path: &Path, address: &StandingAddress) -> Result<Option<(PublicKey, String)>, Stop> {
    let text = read(disk, path)?.unwrap_or_default();
    match find(&text, &address.to_string()) {
        Ok(found) => Ok(found.map(|known| (known.key, format!("line {} of {}", known.line, path.display())))),
        Err(error) => {
            Err(Stop(format!("{} cannot be used: {error}", path.display()), Some(HINT_REPAIR), ExitCode::NotAdmitted))
        }
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Stop> {
    match disk.read_private(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Stop(format!("{} cannot be read: {error}", path.display()), Some(HINT_REPAIR), ExitCode::NotAdmitted))
        }
    }
}

/// Shows the key of whoever answers, and asks. Without a terminal the answer is no.
async fn first_contact(
    environment: &Environment,
    report: &Report,
    own: &KeyPair,
    address: &StandingAddress,
) -> Result<PublicKey, Stop> {
    let unreachable = |error: &dyn std::error::Error| {
        let words = format!("cannot reach the receiver {address}: {}", with_causes(error));
        Stop(words, Some("does it run, and is UDP let through?"), ExitCode::NotConnected)
    };
    let addresses = address.resolve().await.map_err(|error| unreachable(&error))?;
    let packets = environment.packets.as_ref();
    let key = endpoint::key_at(packets, &addresses, own).await.map_err(|error| unreachable(&error))?;
    let text = key.to_string();
    let question = format!(
        "the receiver {address} is not known here. It shows the key\n  {text}\nIs that what `careful-recv key` prints there? Type \
         yes to go on: "
    );
    match report.ask(&question).as_deref() {
        Some("yes") => Ok(key),
        Some(_) => Err(Stop(format!("{address} was not accepted"), Some(HINT_UNKNOWN), ExitCode::NotAdmitted)),
        None => {
            let words = format!("the receiver {address} is not known here; it shows the key {text}");
            Err(Stop(words, Some(HINT_UNKNOWN), ExitCode::NotAdmitted))
        }
    }
}

/// Adds an entry. Of two processes at once one waits for the other, and finds what that one wrote.
fn remember(disk: &dyn Disk, path: &Path, address: &StandingAddress, key: &PublicKey) -> Result<(), Stop> {
    let failed = |error: io::Error| {
        let words = format!("cannot add {address} to {}: {error}", path.display());
        Stop(words, Some("give the key with --peer-key instead"), ExitCode::FileIo)
    };
    let _lock = lock(disk, &path.with_extension("lock")).map_err(failed)?;
    match look_up(disk, path, address)? {
        Some((known, _)) if known == *key => return Ok(()),
        Some((_, place)) => {
            let words = format!("meanwhile {place} has another key for {address}");
            return Err(Stop(words, Some("find out which of the two is right"), ExitCode::NotAdmitted));
        }
        None => {}
    }
    let day: String = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect();
    match read(disk, path)? {
        None => disk.create_private(path, &with_entry(b"", &address.to_string(), key, &day)),
        Some(text) => disk.replace_private(path, &with_entry(&text, &address.to_string(), key, &day)),
    }
    .map_err(failed)
}

fn lock(disk: &dyn Disk, path: &Path) -> io::Result<std::sync::Arc<dyn DiskFile>> {
    let file = disk.open_append(path)?;
    let until = Instant::now() + LOCK_WAIT;
    while !file.try_lock()? {
        if Instant::now() > until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds it"));
        }
        std::thread::sleep(LOCK_POLL);
    }
    Ok(file)
}
