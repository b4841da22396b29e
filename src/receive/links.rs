//! Symbolic links: made under a staging name, dated, renamed, flushed with their directory, and read once more.
//!
//! Nothing follows them here, so their order among the files does not matter. A link takes the place of a file or of another
//! link by the rule for targets, **never that of a directory**.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::commit::{flush, rename_over};
use super::directories::Held;
use super::failure_of;
use super::job::{JobError, Session};
use super::staging::modified;
use crate::protocol::entry::DirectoryTable;
use crate::protocol::failure::Failure;
use crate::protocol::labels::{Labels, Unset};
use crate::protocol::limits::{LINKS_MAX, PATH_BYTES_MAX};
use crate::protocol::link::LinkEntry;
use crate::protocol::message::{FromReceiver, IndexedFailure, IndexedLink};
use crate::protocol::receipt::Durable;
use crate::seams::disk::{Directory, Kind, Metadata};
use crate::wire::stream::Outgoing;
use crate::workers;

/// Times a staging name is cleared for a link: another run may make its own under it at the same moment.
pub(super) const STAGING_ATTEMPTS: usize = 4;

/// Serves a page of links.
pub(super) async fn serve(
    session: Arc<Session>,
    directories: DirectoryTable,
    links: Vec<LinkEntry>,
    outgoing: &mut Outgoing,
) -> Result<(), JobError> {
    check_limits(&session, &links)?;
    let made = workers::run(move || make_all(&session, &directories, &links)).await?;
    Ok(outgoing.send(&made).await?)
}

pub(super) fn check_limits(session: &Session, links: &[LinkEntry]) -> Result<(), Failure> {
    match session.kept.links {
        false => Err(Failure::LinkNotAccepted),
        true if links.len() > LINKS_MAX => Err(Failure::Protocol),
        true => Ok(()),
    }
}

/// A link under its final name that was flushed with its directory and read again. A receipt is made of nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommittedLink {
    durable: Durable,
    unset: Unset,
}

impl CommittedLink {
    /// Whether it survives a power cut.
    pub(super) fn durable(self) -> Durable {
        self.durable
    }
}

/// A link under its final name, not flushed yet.
struct Made {
    place: Arc<Held>,
    itself: Metadata,
    unchanged: bool,
    unset: Unset,
}

fn make_all(session: &Session, directories: &DirectoryTable, links: &[LinkEntry]) -> Result<FromReceiver, Failure> {
    let places = session.directories.resolve(directories, session.rules.umask());
    let made: Vec<Result<Made, Failure>> = links
        .iter()
        .map(|link| {
            let place = match link.directory {
                None => Arc::clone(session.directories.root()),
                Some(place) => places.get(place as usize).cloned().unwrap_or(Err(Failure::Protocol))?,
            };
            make(session, directories, place, link)
        })
        .collect();
    let mut flushed: HashMap<*const Held, Result<Durable, Failure>> = HashMap::new();
    let (mut done, mut failed, mut signable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (link, made)) in links.iter().zip(made).enumerate() {
        let index = u32::try_from(index).expect("pages are short");
        let settled = made.and_then(|made| {
            let durable = *flushed.entry(Arc::as_ptr(&made.place)).or_insert_with(|| flush(&made.place));
            settle(&made, link, durable?).map(|committed| (committed, made.unchanged))
        });
        match settled {
            Ok((committed, unchanged)) => {
                let unset = committed.unset;
                done.push(IndexedLink { index, durable: committed.durable(), unchanged, unset });
                signable.push((path_of(directories, link)?, link, committed, unchanged));
            }
            Err(failure) => failed.push(IndexedFailure { index, failure }),
        }
    }
    Ok(FromReceiver::LinksMade { made: done, failed, signed: session.signer.sign_links(signable)? })
}

fn path_of(directories: &DirectoryTable, link: &LinkEntry) -> Result<Vec<u8>, Failure> {
    let path = directories.path_of(link.directory, &link.name).ok_or(Failure::Protocol)?;
    if path.len() > PATH_BYTES_MAX { Err(Failure::PathTooLong) } else { Ok(path) }
}

fn make(session: &Session, directories: &DirectoryTable, place: Arc<Held>, link: &LinkEntry) -> Result<Made, Failure> {
    check(session, directories, link)?;
    let (directory, name) = (&place.directory, link.name.as_os_str());
    let seen = look_at(directory.as_ref(), link)?;
    if let Some(seen) = seen {
        if seen.kind == Kind::Link && points_to(directory.as_ref(), link)? {
            let (itself, unset) = adjust(session, directory.as_ref(), name, link, &seen)?;
            return Ok(Made { place, itself, unchanged: true, unset });
        }
        if !session.may_replace() {
            return Err(Failure::TargetExists);
        }
    }
    let staging = link.name.staging_of_link();
    let (itself, unset) = stage(session, directory.as_ref(), &staging, link)?;
    if let Err(failure) = rename_over(directory.as_ref(), &staging, name, seen.as_ref()) {
        if let Err(error) = directory.remove_file(&staging) {
            tracing::warn!("remove a staged link: {error}");
        }
        return Err(failure);
    }
    Ok(Made { place, itself, unchanged: false, unset })
}

/// Whether the link may be made at all.
pub(super) fn check(session: &Session, directories: &DirectoryTable, link: &LinkEntry) -> Result<(), Failure> {
    let depth = directories.path(link.directory).ok_or(Failure::Protocol)?.len();
    if link.target.leads_outside(depth) && !session.kept.outside_links {
        return Err(Failure::LinkLeadsOutside);
    }
    path_of(directories, link).map(drop)
}

/// What has the link's name, if it is something that a link may replace.
pub(super) fn look_at(directory: &dyn Directory, link: &LinkEntry) -> Result<Option<Metadata>, Failure> {
    match directory.metadata_of(link.name.as_os_str()) {
        Ok(found) if matches!(found.kind, Kind::Link | Kind::File) => Ok(Some(found)),
        Ok(_) => Err(Failure::TargetNotRegular),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure_of("look at a target", &error)),
    }
}

/// Makes the link under its staging name, with its own time and owner.
fn stage(
    session: &Session,
    directory: &dyn Directory,
    staging: &OsString,
    link: &LinkEntry,
) -> Result<(Metadata, Unset), Failure> {
    for _ in 0..STAGING_ATTEMPTS {
        match directory.make_link(staging, OsStr::from_bytes(link.target.as_bytes())) {
            Ok(()) => {
                let made = directory.metadata_of(staging).map_err(|error| failure_of("look at a link", &error))?;
                return adjust(session, directory, staging, link, &made);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear(directory, staging)?,
            Err(error) => return Err(failure_of("make a link", &error)),
        }
    }
    Err(Failure::StagingHeld)
}

/// What an earlier run left under the staging name of a link is a link: there is nothing in it to keep.
pub(super) fn clear(directory: &dyn Directory, staging: &OsStr) -> Result<(), Failure> {
    match directory.metadata_of(staging) {
        Ok(Metadata { kind: Kind::Link | Kind::File, .. }) => match directory.remove_file(staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure_of("remove a staged link", &error)),
            _ => Ok(()),
        },
        Ok(_) => Err(Failure::StagingUnusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failure_of("look at a staged link", &error)),
    }
}

/// Sets the link's own time and owner, by a descriptor of the link itself: a name may lead elsewhere by now.
fn adjust(
    session: &Session,
    directory: &dyn Directory,
    name: &OsStr,
    link: &LinkEntry,
    seen: &Metadata,
) -> Result<(Metadata, Unset), Failure> {
    let set = || {
        let opened = directory.open_link(name)?;
        let found = opened.metadata()?;
        let mut unset = Unset::default();
        if !found.same_file(seen) {
            return Ok((found, unset));
        }
        if found.is_own && found.modified != modified(link.attributes) {
            opened.set_modified(modified(link.attributes))?;
        }
        if let Some(owner) = link.labels.as_ref().and_then(Labels::owner) {
            unset.owner = !session.rules.set_owner(opened.as_ref(), owner)?;
        }
        Ok((found, unset))
    };
    let (found, unset) = set().map_err(|error: io::Error| failure_of("date a link", &error))?;
    if found.same_file(seen) { Ok((found, unset)) } else { Err(Failure::TargetChanged) }
}

/// Whether the link that has its name is the same one.
pub(super) fn points_to(directory: &dyn Directory, link: &LinkEntry) -> Result<bool, Failure> {
    let target = directory.open_link(link.name.as_os_str()).and_then(|opened| opened.target());
    let target = target.map_err(|error| failure_of("read a link", &error))?;
    Ok(target.as_bytes() == link.target.as_bytes())
}

/// Its directory is flushed: the link under the final name must be the one that was made, and point to where it should.
fn settle(made: &Made, link: &LinkEntry, durable: Durable) -> Result<CommittedLink, Failure> {
    let read = || {
        let opened = made.place.directory.open_link(link.name.as_os_str())?;
        Ok((opened.metadata()?, opened.target()?))
    };
    let (found, target) = read().map_err(|error: io::Error| failure_of("read a link", &error))?;
    if !found.same_file(&made.itself) {
        return Err(Failure::TargetChanged);
    }
    if target.as_bytes() != link.target.as_bytes() {
        return Err(Failure::StoredMismatch);
    }
    Ok(CommittedLink { durable, unset: made.unset })
}
