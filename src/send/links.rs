//! Symbolic links of the source: read twice, offered in pages, and made whole or not at all at the other side.
//!
//! A link is as long as a name and lies where names lie: there is no reading of it past the page cache, and its receipt
//! says so. **It is never followed.**

use std::sync::Arc;

use super::Problem;
use super::dry_run::{self, Compared};
use super::job::{JobError, Session};
use super::receipt::{self, Sent};
use super::walk::{SourceDirectory, attributes_of};
use crate::protocol::dry_run::Would;
use crate::protocol::entry::{DirectoryTable, Name};
use crate::protocol::failure::Failure;
use crate::protocol::labels::Labels;
use crate::protocol::link::{LinkEntry, LinkTarget};
use crate::protocol::message::{FromReceiver, FromSender, IndexedLink, Signed};
use crate::protocol::receipt::{Origin, Proof, ReceiptKind, Stored};
use crate::seams::disk::{Directory, Metadata};
use crate::wire::WireError;
use crate::workers;

/// A symbolic link of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceLink {
    pub(super) directory: Arc<SourceDirectory>,
    pub(super) name: Name,
    /// Position of its directory in the work's table.
    pub(super) place: Option<u32>,
    pub(super) read: ReadLink,
    /// Its own owner, where owners are carried.
    pub(super) labels: Option<Labels>,
}

impl SourceLink {
    fn shown(&self) -> Vec<u8> {
        self.directory.shown_of(&self.name)
    }
}

/// What one reading of a link found.
#[derive(Clone, Debug)]
pub(super) struct ReadLink {
    pub(super) target: LinkTarget,
    pub(super) metadata: Metadata,
}

impl ReadLink {
    /// Reads the link of this name.
    pub(super) fn read(directory: &dyn Directory, name: &Name) -> Result<Self, Problem> {
        use std::os::unix::ffi::OsStrExt;
        let read = || {
            let link = directory.open_link(name.as_os_str())?;
            Ok((link.target()?, link.metadata()?))
        };
        let (target, metadata) = read().map_err(|error| Problem::reading(&error))?;
        let target = LinkTarget::new(target.as_bytes()).map_err(|_| Failure::PathTooLong)?;
        Ok(Self { target, metadata })
    }

    fn agrees(&self, other: &Self) -> bool {
        self.target == other.target && self.metadata.unchanged(&other.metadata)
    }
}

/// Links that travel together.
#[derive(Debug)]
pub(super) struct LinkWork {
    pub(super) directories: DirectoryTable,
    pub(super) links: Vec<SourceLink>,
}

/// Sends one page of links. Fails only if the connection does, and then leaves in `work` what is still to be done; what is
/// wrong with a link is told to the observer, once.
pub(super) async fn send(session: &Arc<Session>, work: &mut LinkWork) -> Result<(), WireError> {
    if session.kept.links {
        read_again(session, work).await;
    } else {
        fail_all(session, work, &Failure::LinkNotAccepted.into());
    }
    if work.links.is_empty() {
        return Ok(());
    }
    match offer(session, work).await {
        Ok(()) => Ok(()),
        Err(JobError::Problem(problem)) => {
            fail_all(session, work, &problem);
            Ok(())
        }
        Err(JobError::Wire(error)) => Err(error),
    }
}

fn fail_all(session: &Session, work: &mut LinkWork, problem: &Problem) {
    for link in work.links.drain(..) {
        session.failed(&link.shown(), problem);
    }
}

/// The second reading, right before they are offered: what the walk found must still hold.
async fn read_again(session: &Session, work: &mut LinkWork) {
    let links = std::mem::take(&mut work.links);
    let read = move || {
        let read = |link: SourceLink| {
            let again = ReadLink::read(link.directory.handle.as_ref(), &link.name);
            (link, again)
        };
        links.into_iter().map(read).collect::<Vec<_>>()
    };
    for (link, again) in workers::run(read).await {
        match again {
            Ok(again) if again.agrees(&link.read) => work.links.push(link),
            Ok(_) => session.failed(&link.shown(), &Failure::SourceChanged.into()),
            Err(problem) => session.failed(&link.shown(), &problem),
        }
    }
}

fn entry(session: &Session, link: &SourceLink) -> LinkEntry {
    LinkEntry {
        directory: link.place,
        name: session.target_name(&link.name),
        target: link.read.target.clone(),
        attributes: attributes_of(&link.read.metadata, session.plan.keep),
        labels: link.labels.clone(),
    }
}

async fn offer(session: &Arc<Session>, work: &LinkWork) -> Result<(), JobError> {
    let links: Vec<LinkEntry> = work.links.iter().map(|link| entry(session, link)).collect();
    let meant = session.terms.links(&work.directories, &links);
    let (mut outgoing, mut incoming) = session.connection.open_job().await?;
    let directories = work.directories.clone();
    outgoing.send(&FromSender::OfferLinks { directories, links: links.clone(), meant }).await?;
    if session.plan.dry_run {
        return foresee(session, work, &links, &dry_run::hear(session, &mut incoming, links.len()).await?);
    }
    let (made, failed, signed) = match session.hear(&mut incoming).await? {
        FromReceiver::LinksMade { made, failed, signed } => (made, failed, signed),
        FromReceiver::Refused(failure) => return Err(failure.into()),
        _ => return Err(Failure::Protocol.into()),
    };
    let told = made.iter().map(|made| made.index).chain(failed.iter().map(|failed| failed.index));
    receipt::each_once(links.len(), told)?;
    accept(session, work, &links, &made, &signed)?;
    for failed in &failed {
        session.failed(&work.links[failed.index as usize].shown(), &failed.failure.into());
    }
    session.counters.files_done(made.len() as u64);
    Ok(())
}

/// In a dry run: tells what would become of each link. Its whole content is in the offer.
fn foresee(session: &Session, work: &LinkWork, links: &[LinkEntry], answers: &[Would]) -> Result<(), JobError> {
    for ((link, entry), would) in work.links.iter().zip(links).zip(answers) {
        let path = work.directories.path_of(entry.directory, &entry.name).ok_or(Failure::Protocol)?;
        let told = (&path[..], &link.shown()[..], entry.target.as_bytes().len() as u64);
        match dry_run::tell(session, *would, Compared::Content, told) {
            Ok(()) => session.counters.files_done(1),
            Err(failure) => session.failed(&link.shown(), &failure.into()),
        }
    }
    Ok(())
}

/// Checks the receipt over what was meant.
fn accept(
    session: &Session,
    work: &LinkWork,
    links: &[LinkEntry],
    made: &[IndexedLink],
    signed: &Signed,
) -> Result<(), Failure> {
    if made.is_empty() {
        return Ok(());
    }
    let sent = made.iter().map(|made| {
        let link = &links[made.index as usize];
        Ok(Sent {
            path: work.directories.path_of(link.directory, &link.name).ok_or(Failure::Protocol)?,
            length_bytes: link.target.as_bytes().len() as u64,
            attributes: link.attributes,
            root: link.target.root(),
            proof: Proof { origin: Origin::FirstRead, stored: Stored::Cache, durable: made.durable },
            unchanged: made.unchanged,
            kind: ReceiptKind::Link,
            unset: made.unset,
        })
    });
    receipt::accept(session, &sent.collect::<Result<Vec<_>, Failure>>()?, signed)
}
