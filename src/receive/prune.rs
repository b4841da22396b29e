//! What has no source is removed, where the sender asks for that and the person here allows it.
//!
//! Only in directories of the transfer, only names that the sender did not list, never what its patterns guard, never
//! through a link, never on another file system than the directory itself, and never a staging file that somebody holds.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::failure_of;
use super::job::{JobError, Session};
use crate::protocol::entry::{Name, is_staging_name, name_hash};
use crate::protocol::failure::Failure;
use crate::protocol::limits::{DEPTH_MAX, DIRECTORIES_MAX, PRUNE_NAMES_MAX, PRUNED_BYTES_MAX};
use crate::protocol::message::{FromReceiver, KeptNames, PathFailure, Prune};
use crate::protocol::selection::Selection;
use crate::seams::disk::{Directory, DirectoryItem, Kind, Writing};
use crate::wire::stream::Outgoing;
use crate::workers;

/// Messages made ahead of the wire.
const AHEAD: usize = 2;

/// Serves ranges of directories, one after another.
pub(super) async fn serve(session: Arc<Session>, prune: Prune, outgoing: &mut Outgoing) -> Result<(), JobError> {
    let Some(guards) = session.guards.clone() else { return Err(Failure::DeleteNotAllowed.into()) };
    let is_rising = |kept: &KeptNames| kept.hashes.windows(2).all(|pair| pair[0] <= pair[1]);
    let names: usize = prune.kept.iter().map(|kept| kept.hashes.len()).sum();
    if names > PRUNE_NAMES_MAX || prune.kept.len() > DIRECTORIES_MAX + 1 || !prune.kept.iter().all(is_rising) {
        return Err(Failure::Protocol.into());
    }
    let with_path = |kept: KeptNames| prune.directories.path(kept.directory).map(|path| (path, kept));
    let ranges = prune.kept.into_iter().map(with_path).collect::<Option<Vec<_>>>().ok_or(Failure::Protocol)?;
    let (told, mut to_tell) = mpsc::channel(AHEAD);
    let working = tokio::spawn(workers::run(move || {
        let mut pruning = Pruning {
            session,
            guards,
            remove: prune.remove,
            told,
            removed: Vec::new(),
            failed: Vec::new(),
            bytes: 0,
            changed: false,
        };
        for (path, kept) in ranges {
            // Nobody hears any more what is removed: the sender will come again.
            if pruning.told.is_closed() {
                return;
            }
            pruning.range(&path, &kept);
        }
        pruning.tell(true);
    }));
    while let Some(message) = to_tell.recv().await {
        outgoing.send(&message).await?;
    }
    working.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    Ok(())
}

/// Directories while they are gone through.
struct Pruning {
    session: Arc<Session>,
    guards: Arc<Selection>,
    remove: bool,
    told: mpsc::Sender<FromReceiver>,
    removed: Vec<Vec<u8>>,
    failed: Vec<PathFailure>,
    /// Bytes that wait to be told.
    bytes: usize,
    /// Whether anything was removed from the directory.
    changed: bool,
}

impl Pruning {
    /// Goes through one directory, as far as its names lie in the range.
    fn range(&mut self, path: &[Name], kept: &KeptNames) {
        let opened = self.session.directories.open(path);
        let text: Vec<u8> = path.iter().flat_map(|name| [b"/", name.as_bytes()].concat()).collect();
        match opened {
            Ok(Some(directory)) => self.directory(directory.as_ref(), &text, kept),
            // It has gone, and with it what there was to remove.
            Ok(None) => {}
            Err(failure) => self.failed(&text, failure),
        }
    }

    fn directory(&mut self, directory: &dyn Directory, path: &[u8], kept: &KeptNames) {
        self.changed = false;
        let names = directory.items().and_then(|items| {
            let is_without_source = |item: &io::Result<DirectoryItem>| {
                item.as_ref().map_or(true, |item| {
                    let hash = name_hash(item.name.as_bytes());
                    (kept.first..=kept.last).contains(&hash) && kept.hashes.binary_search(&hash).is_err()
                })
            };
            items.filter(is_without_source).collect::<io::Result<Vec<_>>>()
        });
        match names {
            Ok(names) => {
                for item in names {
                    self.item(directory, path, &item, 0);
                }
            }
            Err(error) => self.failed(path, failure_of("list a directory", &error)),
        }
        // Best effort: what is not removed durably comes back with a power cut, and goes with the next run.
        if self.remove
            && self.changed
            && let Err(error) = directory.sync()
        {
            tracing::warn!("flush a directory: {error}");
        }
    }

    /// Removes what has this name, with all that is in it; answers whether it is gone, or would be.
    fn item(&mut self, holder: &dyn Directory, path: &[u8], item: &DirectoryItem, depth: usize) -> bool {
        let path = [path, b"/", item.name.as_bytes()].concat();
        let kind = match item.kind.map_or_else(|| holder.metadata_of(&item.name).map(|found| found.kind), Ok) {
            Ok(kind) => kind,
            Err(error) => return self.not_removed(&path, &error),
        };
        if !self.guards.takes(&path, kind == Kind::Directory) {
            return false;
        }
        if kind == Kind::Directory {
            return self.tree(holder, &path, item, depth);
        }
        if kind == Kind::File && is_staging_name(item.name.as_bytes()) && is_held(holder, item) {
            return false;
        }
        if !self.may_remove(&path) {
            return false;
        }
        match if self.remove { holder.remove_file(&item.name) } else { Ok(()) } {
            Ok(()) => self.removed(path),
            Err(error) => self.not_removed(&path, &error),
        }
    }

    fn tree(&mut self, holder: &dyn Directory, path: &[u8], item: &DirectoryItem, depth: usize) -> bool {
        let opened = holder.open_directory(&item.name).and_then(|directory| {
            let is_same = directory.metadata()?.device == holder.metadata()?.device;
            Ok((directory, is_same))
        });
        let directory = match opened {
            // A mount, or a tree deeper than any that was received: somebody else's.
            Ok((_, is_same)) if !is_same || depth >= DEPTH_MAX => {
                self.failed(path, Failure::NotDeleted);
                return false;
            }
            Ok((directory, _)) => directory,
            Err(error) => return self.not_removed(path, &error),
        };
        let items = match directory.items().and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(items) => items,
            Err(error) => return self.not_removed(path, &error),
        };
        // One by one: what cannot go does not hold up the others.
        let left = items.iter().filter(|item| !self.item(directory.as_ref(), path, item, depth + 1)).count();
        if left > 0 {
            return false;
        }
        if !self.may_remove(path) {
            return false;
        }
        match if self.remove { holder.remove_directory(&item.name) } else { Ok(()) } {
            Ok(()) => self.removed(path.to_vec()),
            Err(error) => self.not_removed(path, &error),
        }
    }

    /// Where the person here set a limit it is kept to here: the sender counts first, and is not believed.
    fn may_remove(&mut self, path: &[u8]) -> bool {
        let may = !self.remove || self.session.asked.as_ref().is_none_or(|asked| asked.may_delete());
        if !may {
            self.failed(path, Failure::TooManyToDelete);
        }
        may
    }

    fn removed(&mut self, path: Vec<u8>) -> bool {
        self.changed = true;
        if let (true, Some(observer)) = (self.remove, &self.session.signer.observer) {
            observer.deleted(path.strip_prefix(b"/").unwrap_or(&path));
        }
        self.bytes += path.len() + 8;
        self.removed.push(path);
        self.tell_if_full();
        true
    }

    fn not_removed(&mut self, path: &[u8], error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::NotFound {
            // Somebody else was faster.
            return true;
        }
        self.failed(path, failure_of("remove", error));
        false
    }

    fn failed(&mut self, path: &[u8], failure: Failure) {
        self.bytes += path.len() + 16;
        let path = path.strip_prefix(b"/").unwrap_or(path).to_vec();
        self.failed.push(PathFailure { path, failure });
        self.tell_if_full();
    }

    fn tell_if_full(&mut self) {
        if self.bytes >= PRUNED_BYTES_MAX {
            self.bytes = 0;
            self.tell(false);
        }
    }

    fn tell(&mut self, is_last: bool) {
        let removed = std::mem::take(&mut self.removed);
        let removed =
            removed.into_iter().map(|path| path.strip_prefix(b"/").unwrap_or(&path).to_vec().into()).collect();
        let message = FromReceiver::Pruned { removed, failed: std::mem::take(&mut self.failed), is_last };
        if self.told.blocking_send(message).is_err() {
            tracing::debug!("directories were pruned after the session's end");
        }
    }
}

/// Whether another transfer holds the staging file; one that cannot be asked is taken to be held.
fn is_held(holder: &dyn Directory, item: &DirectoryItem) -> bool {
    let file = holder.open_for_writing(&item.name, Writing::Cached);
    !file.and_then(|file| file.try_lock()).unwrap_or(false)
}
