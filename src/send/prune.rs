//! `--delete`: lets the receiver remove what has no source, once everything was transferred.
//!
//! Fails closed: after any failure nothing is removed, and with a limit everything is counted before anything goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Deletion;
use super::job::Session;
use super::walk::{KeptPage, Walked};
use crate::outcome::Foreseen;
use crate::protocol::failure::Failure;
use crate::protocol::limits::PRUNE_NAMES_MAX;
use crate::protocol::message::{FromReceiver, FromSender, Prune};
use crate::protocol::request::NOTHING_DELETED;
use crate::wire::WireError;

/// Has every directory that was listed pruned. Fails only if the connection does.
pub(super) async fn run(session: &Arc<Session>, walked: &Walked, deletion: Deletion) -> Result<(), WireError> {
    if session.failures.load(Ordering::Relaxed) > 0 {
        session.observer.notice(NOTHING_DELETED);
        return Ok(());
    }
    if let Some(max) = deletion.max {
        let count = go_through(session, walked, Pass::Count).await?;
        if count > max {
            let detail = format!("{count} to delete, at most {max} permitted");
            session.observer.failed(b".", Failure::TooManyToDelete, Some(&detail));
            return Ok(());
        }
    }
    let pass = if session.plan.dry_run { Pass::Foresee } else { Pass::Remove };
    go_through(session, walked, pass).await?;
    Ok(())
}

/// What directories are gone through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// To know how much there is.
    Count,
    /// To tell what there is: a dry run.
    Foresee,
    Remove,
}

/// Has every directory that was listed gone through, many with one message: on a long way a round trip for each would take
/// longer than the transfer. Answers how many entries had no source.
async fn go_through(session: &Session, walked: &Walked, pass: Pass) -> Result<u64, WireError> {
    let mut page = KeptPage::default();
    let mut count = 0;
    for listing in &walked.listings {
        for range in ranges(&listing.names) {
            if !page.has_room_for(range.2.len()) {
                count += prune(session, &mut page, pass).await?;
            }
            page.add(listing.node.as_ref(), range);
        }
    }
    Ok(count + prune(session, &mut page, pass).await?)
}

/// Has the directories of a page pruned: answers how many entries had no source.
async fn prune(session: &Session, page: &mut KeptPage, pass: Pass) -> Result<u64, WireError> {
    let Some((directories, kept)) = page.take() else { return Ok(0) };
    let prune = Prune { directories, kept, remove: pass == Pass::Remove };
    let (mut outgoing, mut incoming) = session.connection.open_job().await?;
    let meant = session.terms.prune(&prune);
    outgoing.send(&FromSender::Prune { prune, meant }).await?;
    let mut count = 0;
    loop {
        let heard = session.unless_garbled(incoming.receive().await)?;
        session.heard.message();
        match heard {
            Some(FromReceiver::Pruned { removed, failed, is_last }) => {
                count += removed.len() as u64;
                // What was only counted is told when it is done.
                for path in &removed {
                    match pass {
                        Pass::Count => {}
                        Pass::Foresee => session.observer.foreseen(Foreseen::Deleted, path, 0),
                        Pass::Remove => session.observer.deleted(path),
                    }
                }
                for failed in failed.into_iter().filter(|_| pass != Pass::Count) {
                    session.observer.failed(&failed.path, failed.failure, Some("deleting what has no source"));
                }
                if is_last {
                    return Ok(count);
                }
            }
            Some(FromReceiver::Refused(failure)) => {
                session.observer.failed(b".", failure, Some("deleting what has no source"));
                return Ok(count);
            }
            _ => return Err(WireError::EndedEarly),
        }
    }
}

/// Cuts hashes that rise into what a message holds: each part with the range that it speaks for, which together are all there is.
fn ranges(names: &[u64]) -> Vec<(u64, u64, &[u64])> {
    let mut ranges = Vec::new();
    let (mut first, mut rest) = (0, names);
    while rest.len() > PRUNE_NAMES_MAX {
        let (part, after) = rest.split_at(PRUNE_NAMES_MAX);
        let last = part[part.len() - 1];
        ranges.push((first, last, part));
        // Names of one hash may lie on both sides of the cut.
        rest = &after[after.partition_point(|hash| *hash <= last)..];
        let Some(next) = last.checked_add(1) else { return ranges };
        first = next;
    }
    ranges.push((first, u64::MAX, rest));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_listing_speak_for_every_hash_once() {
        for count in [0, 1, PRUNE_NAMES_MAX - 1, PRUNE_NAMES_MAX, PRUNE_NAMES_MAX + 1, 3 * PRUNE_NAMES_MAX + 7] {
            let names: Vec<u64> = (0..count as u64).map(|number| number * 1000).collect();
            let ranges = ranges(&names);
            assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, u64::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            assert!(ranges.iter().all(|(first, last, kept)| kept.iter().all(|hash| first <= hash && hash <= last)));
            assert_eq!(ranges.iter().map(|(_, _, kept)| kept.len()).sum::<usize>(), count);
        }
    }

    #[test]
    fn names_of_one_hash_at_a_cut_and_the_last_of_all_hashes_are_no_trap() {
        let same = vec![7; 3 * PRUNE_NAMES_MAX];
        assert_eq!(ranges(&same).iter().map(|range| (range.0, range.1)).collect::<Vec<_>>(), [(0, 7), (8, u64::MAX)]);
        let last = vec![u64::MAX; 2 * PRUNE_NAMES_MAX];
        assert_eq!(ranges(&last).iter().map(|range| (range.0, range.1)).collect::<Vec<_>>(), [(0, u64::MAX)]);
    }
}
