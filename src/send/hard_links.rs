//! Further names of files: offered when every file is done, so that each is a name of something that is committed.
//!
//! Where the first name failed the others fail, too. **No source is removed here but by [`moving`]**, and of a file with
//! several names none before all are receipted: what is left would be two files in the next run.

use std::sync::Arc;

use super::Problem;
use super::dry_run::{self, Compared};
use super::job::{JobError, Session};
use super::moving::{self, Receipted};
use super::receipt::{self, Sent};
use super::source::check_unchanged;
use super::walk::{self, FurtherSource, How, NamesPage, Settled, SharedFile, Told, Walked};
use crate::protocol::dry_run::Would;
use crate::protocol::failure::Failure;
use crate::protocol::hard_link::{FurtherName, LinkedFile};
use crate::protocol::labels::Unset;
use crate::protocol::message::{FromReceiver, FromSender, IndexedName, Signed};
use crate::protocol::receipt::{Proof, ReceiptKind};
use crate::wire::WireError;
use crate::workers;

/// Sends all that are still to be sent. Fails only if the connection does.
pub(super) async fn send(session: &Arc<Session>, walked: &Walked) -> Result<(), WireError> {
    let all = &walked.further_names;
    let open: Vec<Arc<FurtherSource>> = all.iter().filter(|name| name.told.get().is_none()).cloned().collect();
    let mut open = &look_again(session, open).await[..];
    while !open.is_empty() {
        let page = walk::page(open, session.plan.keep);
        open = &open[page.names.len()..];
        match offer(session, &page).await {
            Ok(()) => {}
            Err(JobError::Problem(problem)) => page.names.iter().for_each(|name| fail(session, name, &problem)),
            Err(JobError::Wire(error)) => return Err(error),
        }
    }
    remove_sources(session, walked).await;
    Ok(())
}

/// Tells that a name failed, once.
fn fail(session: &Session, name: &FurtherSource, problem: &Problem) {
    if name.told.set(Told::Failed).is_ok() {
        session.failed(&name.place.shown(), problem);
    }
}

/// The names that are still what the walk found; the others are told of.
async fn look_again(session: &Arc<Session>, names: Vec<Arc<FurtherSource>>) -> Vec<Arc<FurtherSource>> {
    let session = Arc::clone(session);
    let look = move || {
        let look = |name: &FurtherSource| {
            if !session.kept.hard_links {
                return Err(Failure::NotAccepted.into());
            }
            let Settled { before, .. } = name.shared.settled().ok_or(Failure::LinkedFileFailed)?;
            let source = name.place.open(before).map_err(|error| Problem::reading(&error))?;
            check_unchanged(&source, &before)
        };
        let is_good = |name: &Arc<FurtherSource>| match look(name) {
            Ok(()) => true,
            Err(problem) => {
                fail(&session, name, &problem);
                false
            }
        };
        names.into_iter().filter(is_good).collect()
    };
    workers::run(look).await
}

async fn offer(session: &Arc<Session>, page: &NamesPage) -> Result<(), JobError> {
    let (directories, files) = (page.directories.clone(), page.files.clone());
    let meant = session.terms.hard_links(&directories, &files);
    let (mut outgoing, mut incoming) = session.connection.open_job().await?;
    outgoing.send(&FromSender::OfferHardLinks { directories, files, meant }).await?;
    if session.plan.dry_run {
        return foresee(session, page, &dry_run::hear(session, &mut incoming, page.names.len()).await?);
    }
    let (made, trusted, failed, signed) = match session.hear(&mut incoming).await? {
        FromReceiver::HardLinksMade { made, trusted, failed, signed } => (made, trusted, failed, signed),
        FromReceiver::Refused(failure) => return Err(failure.into()),
        _ => return Err(Failure::Protocol.into()),
    };
    let named = made.iter().map(|made| made.index).chain(trusted.iter().copied());
    receipt::each_once(page.names.len(), named.chain(failed.iter().map(|failed| failed.index)))?;
    // To trust its file by length and time is for the receiver only where this side does.
    let is_trusted = |&index: &u32| matches!(how(page, index), Some(How::Trusted));
    if !trusted.iter().all(is_trusted) {
        return Err(Failure::Protocol.into());
    }
    accept(session, page, &made, &signed)?;
    for failed in &failed {
        fail(session, &page.names[failed.index as usize], &failed.failure.into());
    }
    for index in trusted {
        tell_trusted(session, &page.names[index as usize]);
    }
    Ok(())
}

fn how(page: &NamesPage, index: u32) -> Option<How> {
    Some(page.names.get(index as usize)?.shared.settled()?.how)
}

fn tell_trusted(session: &Session, name: &FurtherSource) {
    if name.told.set(Told::Trusted).is_ok() {
        session.observer.trusted(&name.place.shown());
        session.counters.files_done(1);
    }
}

/// Every further name of the page with its file.
fn entries(page: &NamesPage) -> Vec<(&LinkedFile, &FurtherName)> {
    page.files.iter().flat_map(|file| file.names.iter().map(move |name| (file, name))).collect()
}

/// In a dry run: tells what would become of each name, which also depends on what would become of its file.
fn foresee(session: &Session, page: &NamesPage, answers: &[Would]) -> Result<(), JobError> {
    for ((source, (_, entry)), would) in page.names.iter().zip(entries(page)).zip(answers) {
        let Some(Settled { how: How::Foreseen(first), .. }) = source.shared.settled() else { continue };
        let would = match (would, first) {
            (Would::Unchanged, Would::Trusted) => {
                tell_trusted(session, source);
                continue;
            }
            // It is a name of what has the first name now, and that goes.
            (Would::Unchanged, Would::New | Would::Replaced) => Would::Replaced,
            (would, _) => *would,
        };
        let path = page.directories.path_of(entry.directory, &entry.name).ok_or(Failure::Protocol)?;
        // The content goes once, with the first name.
        let told = (&path[..], &source.place.shown()[..], 0);
        match dry_run::tell(session, would, Compared::Content, told) {
            Ok(()) if source.told.set(Told::Foreseen).is_ok() => session.counters.files_done(1),
            Ok(()) => {}
            Err(failure) => fail(session, source, &failure.into()),
        }
    }
    Ok(())
}

/// Checks the receipt over what was meant.
fn accept(session: &Session, page: &NamesPage, made: &[IndexedName], signed: &Signed) -> Result<(), Failure> {
    let entries = entries(page);
    let sent = made.iter().map(|made| {
        let (file, name) = entries[made.index as usize];
        let Some(How::Receipted(root, first, _)) = how(page, made.index) else { return Err(Failure::ReceiptInvalid) };
        Ok(Sent {
            path: page.directories.path_of(name.directory, &name.name).ok_or(Failure::Protocol)?,
            length_bytes: file.length_bytes,
            attributes: file.attributes,
            root,
            proof: Proof { origin: first.origin, stored: made.stored, durable: made.durable },
            unchanged: made.unchanged,
            kind: ReceiptKind::HardLink,
            unset: Unset::default(),
        })
    });
    let sent = sent.collect::<Result<Vec<_>, Failure>>()?;
    if sent.is_empty() {
        return Ok(());
    }
    receipt::accept(session, &sent, signed)?;
    for (made, sent) in made.iter().zip(&sent) {
        if page.names[made.index as usize].told.set(Told::Made(sent.proof)).is_err() {
            tracing::debug!("a further name was made once more");
        }
    }
    session.counters.files_done(made.len() as u64);
    Ok(())
}

/// Removes files all of whose names have their receipts, where that was asked for; in a dry run that is told.
async fn remove_sources(session: &Arc<Session>, walked: &Walked) {
    if !session.plan.move_sources {
        return;
    }
    let named = walked.further_names.chunk_by(|one, other| Arc::ptr_eq(&one.shared, &other.shared));
    let named = named.map(|names| (Arc::clone(&names[0].shared), names.to_vec()));
    for (shared, names) in named.chain(walked.lone_names.iter().map(|shared| (Arc::clone(shared), Vec::new()))) {
        if session.plan.dry_run {
            tell_removed(session, &shared, &names);
            continue;
        }
        let receipted = workers::run(move || receipted_names(&shared, &names)).await;
        moving::remove_sources(session, receipted).await;
    }
}

fn tell_removed(session: &Session, shared: &SharedFile, names: &[Arc<FurtherSource>]) {
    let is_foreseen = |name: &Arc<FurtherSource>| matches!(name.told.get(), Some(Told::Foreseen));
    if let Some(Settled { before, .. }) = shared.settled()
        && names.iter().all(is_foreseen)
        && shared.begin_removing()
    {
        let shown = names.iter().map(|name| name.place.shown()).chain([shared.first().shown()]);
        dry_run::tell_names_removed(session, shown, before.length_bytes);
    }
}

/// All names of a file, the first one last, with what was proved of each; none unless all have a receipt.
fn receipted_names(shared: &SharedFile, names: &[Arc<FurtherSource>]) -> Vec<Receipted> {
    let Some(Settled { before, how: How::Receipted(root, proof, unset) }) = shared.settled() else { return Vec::new() };
    let proved = names.iter().map(|name| match name.told.get() {
        Some(Told::Made(proof)) => Some((&name.place, *proof)),
        Some(Told::Failed | Told::Trusted | Told::Foreseen) | None => None,
    });
    let Some(proved) = proved.collect::<Option<Vec<_>>>() else { return Vec::new() };
    if !shared.begin_removing() {
        return Vec::new();
    }
    // One whose directory cannot be opened any more is not there to be removed.
    let receipted = proved
        .into_iter()
        .chain([(shared.first(), proof)])
        .filter_map(|(place, proof)| Some(Receipted { source: place.open(before).ok()?, before, root, proof, unset }));
    let receipted: Vec<Receipted> = receipted.collect();
    if receipted.iter().all(Receipted::proves_all) { receipted } else { Vec::new() }
}
