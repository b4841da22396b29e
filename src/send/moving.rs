//! `--move`: a source is removed once its copy has a receipt that is on disk here and proves all there is to prove.
//!
//! Only files, only those that are still what was read, and in the end the directories that this left empty. A source
//! with a lesser receipt, or none, stays. **This is the only place where the sending half touches a source.**

use std::io;
use std::sync::Arc;

use super::Problem;
use super::job::Session;
use super::source::check_unchanged;
use super::walk::{How, Node, Settled, SourceFile, Walked};
use crate::hash::Root;
use crate::protocol::failure::Failure;
use crate::protocol::labels::Unset;
use crate::protocol::receipt::{Durable, Origin, Proof, Stored};
use crate::seams::disk::{Directory, Metadata};
use crate::workers;

/// A source whose copy has a receipt that was told to the observer.
#[derive(Debug)]
pub(super) struct Receipted {
    pub(super) source: SourceFile,
    /// What it was when it was read.
    pub(super) before: Metadata,
    pub(super) root: Root,
    pub(super) proof: Proof,
    /// What of its labels the receiver could not set: then there is something that only the source has.
    pub(super) unset: Unset,
}

impl Receipted {
    /// Whether nothing that the source has is left unproved.
    pub(super) fn proves_all(&self) -> bool {
        self.proof.origin >= Origin::Reread
            && self.proof.stored == Stored::Device
            && self.proof.durable == Durable::Yes
            && self.unset == Unset::default()
    }
}

/// Removes these sources, where that was asked for. Of one with several names it is only noted that it has its receipt.
pub(super) async fn remove_sources(session: &Arc<Session>, receipted: Vec<Receipted>) {
    let has_one_name = |file: &Receipted| match &file.source.shared {
        Some(shared) => {
            let (root, proof, unset) = (file.root, file.proof, file.unset);
            shared.settle(Settled { before: file.before, how: How::Receipted(root, proof, unset) });
            false
        }
        None => file.proves_all(),
    };
    let receipted: Vec<_> = receipted.into_iter().filter(has_one_name).collect();
    let is_less_kept = !session.plan.keep.words_beyond(session.kept).is_empty();
    if !session.plan.move_sources || is_less_kept || receipted.is_empty() {
        return;
    }
    let session = Arc::clone(session);
    workers::run(move || {
        let is_stored = session.observer.stores_receipts();
        for file in receipted {
            let shown = file.source.shown();
            let removed = if is_stored { remove(&file) } else { Err(Failure::ReceiptNotStored.into()) };
            match removed {
                Ok(()) => session.observer.source_removed(&shown),
                Err(problem) => session.observer.failed(&shown, problem.failure, problem.detail.as_deref()),
            }
        }
    })
    .await;
}

fn remove(file: &Receipted) -> Result<(), Problem> {
    // Whoever wrote to it since it was read keeps what was written.
    check_unchanged(&file.source, &file.before)?;
    let removed = file.source.directory.handle.remove_file(file.source.name.as_os_str());
    removed.map_err(|error| not_removed(&error))
}

fn not_removed(error: &io::Error) -> Problem {
    Problem { failure: Failure::SourceNotRemoved, detail: Some(error.to_string()) }
}

/// Removes the directories of the sources that are empty by now, the deepest first. One that is not stays.
pub(super) async fn remove_directories(session: &Arc<Session>, walked: &Arc<Walked>) {
    if !session.plan.move_sources {
        return;
    }
    let (session, walked) = (Arc::clone(session), Arc::clone(walked));
    workers::run(move || {
        for node in walked.directories.iter().rev() {
            let removed = holder_of(node).and_then(|holder| holder.remove_directory(node.name().as_os_str()));
            match removed {
                Ok(()) => {}
                Err(error) if is_in_use(&error) => {}
                Err(error) => {
                    let path = node.path();
                    session.observer.failed(&path[1..], Failure::SourceNotRemoved, Some(&error.to_string()));
                }
            }
        }
    })
    .await;
}

/// Something is in it or mounted on it, or somebody else was faster.
fn is_in_use(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::ResourceBusy | ErrorKind::NotFound)
}

/// The directory that this one lies in, opened name by name from where its source was named.
pub(super) fn holder_of(node: &Node) -> io::Result<Arc<dyn Directory>> {
    match (node.parent(), node.top()) {
        (Some(parent), _) => holder_of(parent)?.open_directory(parent.name().as_os_str()),
        (None, Some(top)) => Ok(Arc::clone(top)),
        (None, None) => Err(io::ErrorKind::NotFound.into()),
    }
}
