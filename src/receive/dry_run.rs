//! A dry run: answers what would become of each entry, by the comparisons of a true run. **Nothing is made, changed or
//! removed on this side**: every job comes here and to none of the modules that write.
//!
//! What only writing finds, as a full disk, is not known before.

use std::collections::HashSet;
use std::sync::Arc;

use super::failure_of;
use super::file::{self, Offer};
use super::group::{self, root_of};
use super::job::{JobError, Session};
use super::staging::{look_at, looks_like, open_seen};
use super::{hard_links, links, prune};
use crate::aloud::Aloud;
use crate::chunk::Geometry;
use crate::hash::Root;
use crate::outcome::Foreseen;
use crate::protocol::dry_run::{Would, words_while_reading};
use crate::protocol::entry::{DirectoryTable, FileEntry, Name};
use crate::protocol::failure::Failure;
use crate::protocol::hard_link::{FurtherName, LinkedFile};
use crate::protocol::link::LinkEntry;
use crate::protocol::message::{FromReceiver, FromSender, GroupFile, IndexedFailure};
use crate::seams::buffer::PieceBuffer;
use crate::seams::disk::{Directory, DiskFile, Kind, Metadata, Reading};
use crate::wire::stream::{Incoming, Outgoing};
use crate::workers;

/// Serves the job that this message opens.
pub(super) async fn serve(
    session: Arc<Session>,
    message: FromSender,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Result<(), JobError> {
    match message {
        FromSender::OfferGroup { directories, files, .. } => {
            group::check_limits(&files)?;
            let answers = workers::run(move || small_files(&session, &directories, &files)).await;
            Ok(outgoing.send(&FromReceiver::Would(answers)).await?)
        }
        FromSender::OfferFile { job, directories, file, chunk_bytes, .. } => {
            large_file(session, Offer { job, directories, file, chunk_bytes }, outgoing, incoming).await
        }
        FromSender::OfferLinks { directories, links, .. } => {
            links::check_limits(&session, &links)?;
            let answers = workers::run(move || all_links(&session, &directories, &links)).await;
            Ok(outgoing.send(&FromReceiver::Would(answers)).await?)
        }
        FromSender::OfferHardLinks { directories, files, .. } => {
            hard_links::check_limits(&session, &files)?;
            let answers = workers::run(move || all_names(&session, &directories, &files)).await;
            Ok(outgoing.send(&FromReceiver::Would(answers)).await?)
        }
        FromSender::FinishDirectories { directories, .. } => {
            let failed = workers::run(move || in_the_way(&session, &directories)).await;
            Ok(outgoing.send(&FromReceiver::Finished(failed)).await?)
        }
        FromSender::Prune { prune, .. } if !prune.remove => prune::serve(session, prune, outgoing).await,
        _ => Err(Failure::Protocol.into()),
    }
}

/// What has a name, and the directory that it lies in.
struct There {
    directory: Arc<dyn Directory>,
    seen: Metadata,
}

impl There {
    /// For comparing; nothing for a target that may not be read, which is replaced like one that differs.
    fn open(&self, session: &Session, name: &Name) -> Result<Option<Arc<dyn DiskFile>>, Failure> {
        match open_seen(self.directory.as_ref(), name, &self.seen, Reading::PastCache) {
            Err(Failure::PermissionDenied) if session.may_replace() => Ok(None),
            opened => opened.map(Some),
        }
    }
}

/// The directory of an entry; nothing if it would have to be made.
fn holder(
    session: &Session,
    table: &DirectoryTable,
    directory: Option<u32>,
) -> Result<Option<Arc<dyn Directory>>, Failure> {
    session.directories.open(&table.path(directory).ok_or(Failure::Protocol)?)
}

fn there(session: &Session, table: &DirectoryTable, entry: &FileEntry) -> Result<Option<There>, Failure> {
    Session::offered_path(table, entry)?;
    let Some(directory) = holder(session, table, entry.directory)? else { return Ok(None) };
    let seen = look_at(directory.as_ref(), &entry.name)?;
    Ok(seen.map(|seen| There { directory, seen }))
}

/// An answer that was found, or why there is none but no.
fn or_refused(would: Result<Would, Failure>) -> Would {
    would.unwrap_or_else(Would::Refused)
}

/// Space is taken for a file that is new or replaces another, as far as that is counted.
fn charged(session: &Session, table: &DirectoryTable, entry: &FileEntry, would: Would) -> Result<Would, Failure> {
    session.charge(&Session::offered_path(table, entry)?, entry.length_bytes)?;
    Ok(would)
}

/// Where the person sits at this side, they are told here: this side knows for itself.
fn tell(session: &Session, table: &DirectoryTable, entry: (Option<u32>, &Name, u64), would: Would) {
    let (directory, name, length_bytes) = entry;
    let what = match would {
        Would::New => Foreseen::New,
        Would::Replaced => Foreseen::Replaced,
        Would::Unchanged => Foreseen::Unchanged,
        Would::Trusted | Would::Refused(_) | Would::Claim => return,
    };
    if let (Some(observer), Some(path)) = (&session.signer.observer, table.path_of(directory, name)) {
        observer.foreseen(what, &path, length_bytes);
    }
}

fn small_files(session: &Session, table: &DirectoryTable, files: &[GroupFile]) -> Vec<Would> {
    let mut names = HashSet::with_capacity(files.len());
    let mut memory = PieceBuffer::unpooled(0);
    let answer = |file: &GroupFile| {
        let entry = &file.entry;
        if !names.insert((entry.directory, entry.name.clone())) {
            return Would::Refused(Failure::SameTarget);
        }
        let would = or_refused(small_file(session, table, file, &mut memory));
        tell(session, table, (entry.directory, &entry.name, entry.length_bytes), would);
        would
    };
    files.iter().map(answer).collect()
}

fn small_file(
    session: &Session,
    table: &DirectoryTable,
    file: &GroupFile,
    memory: &mut PieceBuffer,
) -> Result<Would, Failure> {
    let entry = &file.entry;
    let Some(there) = there(session, table, entry)? else { return charged(session, table, entry, Would::New) };
    if session.begin.quick && looks_like(&there.seen, entry.length_bytes, entry.attributes) {
        return Ok(Would::Trusted);
    }
    if let Some(root) = file.root
        && there.seen.length_bytes == entry.length_bytes
        && let Some(file) = there.open(session, &entry.name)?
        && root_of(file.as_ref(), entry.length_bytes, memory)? == root.root()
    {
        return Ok(Would::Unchanged);
    }
    if !session.may_replace() {
        return Err(Failure::TargetExists);
    }
    charged(session, table, entry, Would::Replaced)
}

async fn large_file(
    session: Arc<Session>,
    offer: Offer,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Result<(), JobError> {
    let geometry = file::geometry_of(&offer)?;
    let _hashes = session.memory_of_hashes(geometry.count()).await;
    let offer = Arc::new(offer);
    let (would, there) = {
        let (session, offer) = (Arc::clone(&session), Arc::clone(&offer));
        workers::run(move || at_first_sight(&session, &offer)).await?
    };
    let Offer { directories, file, .. } = offer.as_ref();
    let entry = (file.directory, &file.name, file.length_bytes);
    outgoing.send(&FromReceiver::Would(vec![would])).await?;
    let Some(there) = there else {
        tell(&session, directories, entry, would);
        return Ok(());
    };
    let Some(claimed) = hear_claim(&session, incoming, file.length_bytes).await? else { return Ok(()) };
    let found = match there.open(&session, &file.name)? {
        Some(target) => Some(hash_aloud(target, geometry, outgoing).await?),
        None => None,
    };
    let would = match found {
        Some(root) if root == claimed => Would::Unchanged,
        _ if !session.may_replace() => return Err(Failure::TargetExists.into()),
        _ => charged(&session, directories, file, Would::Replaced)?,
    };
    tell(&session, directories, entry, would);
    Ok(outgoing.send(&FromReceiver::Would(vec![would])).await?)
}

/// What name, length and time tell; and the target, where it has to be compared.
fn at_first_sight(session: &Session, offer: &Offer) -> Result<(Would, Option<There>), Failure> {
    let (table, entry) = (&offer.directories, &offer.file);
    let Some(there) = there(session, table, entry)? else {
        return Ok((charged(session, table, entry, Would::New)?, None));
    };
    if session.begin.quick && looks_like(&there.seen, entry.length_bytes, entry.attributes) {
        Ok((Would::Trusted, None))
    } else if there.seen.length_bytes == entry.length_bytes {
        Ok((Would::Claim, Some(there)))
    } else if session.may_replace() {
        Ok((charged(session, table, entry, Would::Replaced)?, None))
    } else {
        Err(Failure::TargetExists)
    }
}

/// The root that the sender claims, after as many words as its reading may take; nothing if it gives the file up.
async fn hear_claim(session: &Session, incoming: &mut Incoming, length_bytes: u64) -> Result<Option<Root>, JobError> {
    for _ in 0..=words_while_reading(length_bytes) {
        let message: Option<FromSender> = incoming.receive().await?;
        session.heard.message();
        match message.ok_or(Failure::Protocol)? {
            FromSender::Working => {}
            FromSender::Claim(root) => return Ok(Some(Root(root))),
            FromSender::GiveUp(_) => return Ok(None),
            _ => return Err(Failure::Protocol.into()),
        }
    }
    Err(Failure::Protocol.into())
}

/// The root of a target of this geometry, past the cache. The sender hears that this side reads.
async fn hash_aloud(target: Arc<dyn DiskFile>, geometry: Geometry, outgoing: &mut Outgoing) -> Result<Root, JobError> {
    let mut hashing = Aloud::start(target, geometry);
    while hashing.word().await.is_some() {
        outgoing.send(&FromReceiver::Working).await?;
    }
    Ok(hashing.root().await.map_err(|error| failure_of("read what is there", &error))?)
}

fn all_links(session: &Session, table: &DirectoryTable, links: &[LinkEntry]) -> Vec<Would> {
    let answer = |entry: &LinkEntry| {
        let would = or_refused(link(session, table, entry));
        tell(session, table, (entry.directory, &entry.name, entry.target.as_bytes().len() as u64), would);
        would
    };
    links.iter().map(answer).collect()
}

fn link(session: &Session, table: &DirectoryTable, entry: &LinkEntry) -> Result<Would, Failure> {
    links::check(session, table, entry)?;
    let Some(directory) = holder(session, table, entry.directory)? else { return Ok(Would::New) };
    match links::look_at(directory.as_ref(), entry)? {
        None => Ok(Would::New),
        Some(seen) if seen.kind == Kind::Link && links::points_to(directory.as_ref(), entry)? => Ok(Would::Unchanged),
        Some(_) if session.may_replace() => Ok(Would::Replaced),
        Some(_) => Err(Failure::TargetExists),
    }
}

fn all_names(session: &Session, table: &DirectoryTable, files: &[LinkedFile]) -> Vec<Would> {
    let mut answers = Vec::new();
    for file in files {
        let linked = seen(session, table, file.directory, &file.name).ok().flatten();
        answers.extend(file.names.iter().map(|name| or_refused(further_name(session, table, linked, name))));
    }
    answers
}

fn seen(
    session: &Session,
    table: &DirectoryTable,
    directory: Option<u32>,
    name: &Name,
) -> Result<Option<Metadata>, Failure> {
    match holder(session, table, directory)? {
        Some(directory) => look_at(directory.as_ref(), name),
        None => Ok(None),
    }
}

/// Whether it is a name of this file already; the sender knows whether that stays the same one.
fn further_name(
    session: &Session,
    table: &DirectoryTable,
    linked: Option<Metadata>,
    name: &FurtherName,
) -> Result<Would, Failure> {
    match seen(session, table, name.directory, &name.name)? {
        None => Ok(Would::New),
        Some(seen) if linked.is_some_and(|linked| linked.same_file(&seen)) => Ok(Would::Unchanged),
        Some(_) if session.may_replace() => Ok(Would::Replaced),
        Some(_) => Err(Failure::TargetExists),
    }
}

/// Directories whose names are taken by something else.
fn in_the_way(session: &Session, table: &DirectoryTable) -> Vec<IndexedFailure> {
    let places = 0..u32::try_from(table.entries().len()).expect("tables are short");
    let failure = |index| Some(IndexedFailure { index, failure: holder(session, table, Some(index)).err()? });
    // Deepest first, as a true run finishes them.
    places.rev().filter_map(failure).collect()
}
