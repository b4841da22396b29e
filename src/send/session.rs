//! One connection at the sender: greet, say what is to be done, run the jobs, say farewell.
//!
//! Several jobs run at once: large files and groups of small ones each have their own, so that neither waits for the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::backlog::{Backlog, put_back, take_back};
use super::job::{JobError, Session};
use super::origin::Told;
use super::room::Room;
use super::source::{self, Uploads};
use super::walk::{self, Found, Walked};
use super::{Ended, Observer, Plan, file, group, hard_links, links, moving, prune};
use crate::connect::ticket;
use crate::jobs::Jobs;
use crate::progress::Counters;
use crate::protocol::entry::Name;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{
    CHUNK_BYTES_MAX, FILES_AT_ONCE, GREETING_TIMEOUT, GROUPS_AT_ONCE, POOL_BYTES, WORKING_EVERY,
};
use crate::protocol::message::{Begin, FromReceiver, FromSender, Ready};
use crate::protocol::terms::Terms;
use crate::seams::Environment;
use crate::seams::buffer::Pool;
use crate::transit;
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::identity::PublicKey;
use crate::wire::pace::Pace;
use crate::wire::stream::{Incoming, Outgoing};
use crate::wire::watch::{Heard, until_stalled};
use crate::wire::{WhoseKey, WireError};
use crate::workers::Workers;

/// Threads that read the source, for each of the two reads.
const READ_THREADS: usize = 2;

/// A session about to be opened on a new connection.
pub(super) struct Opening<'a> {
    pub(super) environment: &'a Environment,
    pub(super) plan: &'a Arc<Plan>,
    pub(super) observer: &'a Arc<dyn Observer>,
    pub(super) counters: &'a Arc<Counters>,
    pub(super) failures: &'a Arc<AtomicU64>,
    pub(super) transfer: [u8; 16],
    pub(super) own_key: PublicKey,
    pub(super) pace: &'a Option<Arc<Pace>>,
}

/// The control stream.
pub(super) type Control = (Outgoing, Incoming);

impl Opening<'_> {
    /// Proves the token and says what is to be done. No name of a file is sent before the receiver has answered.
    pub(super) async fn open(self, connection: Connection, token: &[u8; 16]) -> Result<(Arc<Session>, Control), Ended> {
        let greeted = tokio::time::timeout(GREETING_TIMEOUT, self.greet(&connection, token)).await;
        match greeted {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(JobError::Problem(problem))) => {
                connection.finish().await;
                Err(Ended::Refused(problem.failure))
            }
            Ok(Err(JobError::Wire(error))) => Err(ended(&connection, error).await),
            Err(_) => Err(Ended::Lost),
        }
    }

    async fn greet(&self, connection: &Connection, token: &[u8; 16]) -> Result<(Arc<Session>, Control), JobError> {
        let (mut outgoing, mut incoming) = connection.open_job().await?;
        let proof = ticket::token_proof(token, &connection.exporter()?);
        outgoing.send(&FromSender::Hello { minor: 0, proof }).await?;
        // At once, for a round trip less. Who is asked has proved its key; it reads this only after the proof.
        let begin = self.begin();
        let asked = outgoing.send(&FromSender::Begin(begin.clone())).await;
        match incoming.receive().await? {
            Some(FromReceiver::Welcome { .. }) => {}
            Some(FromReceiver::Refused(failure)) => return Err(failure.into()),
            _ => return Err(Failure::Protocol.into()),
        }
        asked?;
        connection.raise_windows();
        loop {
            match incoming.receive().await? {
                Some(FromReceiver::Ready(ready)) => {
                    let terms = Terms::new(&begin, &ready);
                    let session = self.session(connection, ready, terms)?;
                    return Ok((session, (outgoing, incoming)));
                }
                Some(FromReceiver::Working) => {}
                Some(FromReceiver::Refused(failure)) => return Err(failure.into()),
                _ => return Err(Failure::Protocol.into()),
            }
        }
    }

    fn begin(&self) -> Begin {
        Begin {
            destination: self.plan.destination.clone(),
            single_file: walk::is_single_file(self.environment.disk.as_ref(), &self.plan.sources),
            stored: self.plan.stored,
            no_replace: self.plan.no_replace,
            quick: self.plan.quick,
            record: self.plan.record_copies,
            keep: self.plan.keep,
            delete: self.plan.delete.map(|deletion| self.plan.filters.guards(deletion)),
            dry_run: self.plan.dry_run,
            ..Begin::new(self.transfer)
        }
    }

    fn session(&self, connection: &Connection, ready: Ready, terms: Terms) -> Result<Arc<Session>, Failure> {
        let file_name = match ready.file_name {
            Some(bytes) => Some(Name::new(&bytes).map_err(|_| Failure::Protocol)?),
            None => None,
        };
        if !ready.kept.is_within(self.plan.keep) {
            return Err(Failure::Protocol);
        }
        let jobs: Jobs<dyn Uploads> = Jobs::default();
        let (read, hashing) = source::start_hashing(self.environment, &jobs);
        Ok(Arc::new(Session {
            connection: connection.clone(),
            plan: Arc::clone(self.plan),
            observer: Arc::clone(self.observer),
            counters: Arc::clone(self.counters),
            failures: Arc::clone(self.failures),
            read,
            hashing,
            jobs,
            readers: Workers::start("source", READ_THREADS, 0),
            second_readers: Workers::start("origin", READ_THREADS, CHUNK_BYTES_MAX as usize),
            pool: Pool::new(POOL_BYTES),
            heard: Heard::default(),
            pace: self.pace.clone(),
            transfer: self.transfer,
            terms,
            kept: ready.kept,
            directory: ready.directory,
            own_key: self.own_key,
            file_name,
            room: Room::default(),
            numbers: AtomicU64::new(0),
            proven: AtomicU64::new(0),
            heard_garbled: AtomicBool::new(false),
            told: Told::default(),
        }))
    }
}

/// What the end of a connection means for the transfer.
async fn ended(connection: &Connection, error: WireError) -> Ended {
    if error.is_garbled() {
        connection.close(CloseReason::Garbled);
        return Ended::Refused(Failure::Garbled);
    }
    // A stream that ends is often the first sign of a connection that does: its own reason says more.
    let error = match tokio::time::timeout(Duration::from_secs(1), connection.closed()).await {
        Ok(reason) => reason,
        Err(_) => error,
    };
    match error {
        WireError::ClosedByPeer { reason: CloseReason::NotAdmitted } => Ended::Refused(Failure::NotAdmitted),
        WireError::ClosedByPeer { reason: CloseReason::Protocol } => Ended::Refused(Failure::Protocol),
        WireError::ClosedByPeer { reason: CloseReason::Garbled } => Ended::Refused(Failure::Garbled),
        WireError::ClosedByPeer { reason: CloseReason::KeyNotAdmitted }
        | WireError::Refused { whose: WhoseKey::Ours } => Ended::Refused(Failure::KeyNotAdmitted),
        WireError::VersionMismatch => Ended::Refused(Failure::Version),
        WireError::ClosedByPeer { .. } | WireError::ClosedHere => Ended::Lost,
        error if error.is_lost() => Ended::Lost,
        error => Ended::Broken(error),
    }
}

/// Runs jobs over one connection until there is no work left or the connection is lost.
pub(super) async fn drive(
    session: &Arc<Session>,
    control: Control,
    found: &Arc<Found>,
    backlog: &Arc<Backlog>,
) -> Ended {
    let (mut outgoing, mut incoming) = control;
    let connection = session.connection.clone();
    let stalled = until_stalled(&connection, &session.heard);
    tokio::pin!(stalled);
    let mut working = tokio::time::interval(WORKING_EVERY);
    let mut looks = transit::looks();
    let mut work = Box::pin(all_work(Arc::clone(session), Arc::clone(found), Arc::clone(backlog)));
    // A future that is done must not be asked again: whether jobs are still to be waited for goes along.
    let (error, jobs_run) = loop {
        tokio::select! {
            done = &mut work => match done {
                Ok(()) => return end(session, outgoing, incoming).await,
                Err(error) => break (error, false),
            },
            message = incoming.receive() => match session.unless_garbled(message) {
                Ok(Some(FromReceiver::Working)) => session.heard.working(),
                Ok(_) => {
                    session.connection.close(CloseReason::Protocol);
                    return Ended::Refused(Failure::Protocol);
                }
                Err(error) => break (error, true),
            },
            _ = working.tick() => {
                if let Err(error) = outgoing.send(&FromSender::Working).await {
                    break (error, true);
                }
            }
            _ = looks.tick() => session.look(),
            () = &mut stalled => {
                session.connection.close(CloseReason::Stalled);
                break (connection.closed().await, true);
            }
        }
    };
    let mut ended = ended(&connection, error).await;
    if session.heard_garbled.load(Ordering::Relaxed) {
        // Another job may have noticed the end of the connection first.
        ended = Ended::Refused(Failure::Garbled);
    }
    connection.close(CloseReason::GoingAway);
    // Jobs that still run notice the end of the connection by themselves and put their work back.
    let mut over = !jobs_run;
    while !over {
        tokio::select! {
            done = &mut work => {
                tracing::debug!("the jobs ended: {done:?}");
                over = true;
            }
            // One may wait for pieces that got lost.
            _ = looks.tick() => session.look(),
        }
    }
    ended
}

async fn all_work(session: Arc<Session>, found: Arc<Found>, backlog: Arc<Backlog>) -> Result<(), WireError> {
    let mut workers = JoinSet::new();
    for _ in 0..FILES_AT_ONCE {
        workers.spawn(send_files(Arc::clone(&session), Arc::clone(&found), Arc::clone(&backlog)));
    }
    for _ in 0..GROUPS_AT_ONCE {
        workers.spawn(send_groups(Arc::clone(&session), Arc::clone(&found), Arc::clone(&backlog)));
    }
    workers.spawn(send_links(Arc::clone(&session), Arc::clone(&found), Arc::clone(&backlog)));
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        outcome = outcome.and(ended);
    }
    outcome?;
    let Some(walked) = found.walked().await else { return Ok(()) };
    hard_links::send(&session, &walked).await?;
    if let Some(deletion) = session.plan.delete {
        prune::run(&session, &walked, deletion).await?;
    }
    finish_directories(&session, &walked).await?;
    if !session.plan.dry_run {
        moving::remove_directories(&session, &walked).await;
    }
    Ok(())
}

async fn send_files(session: Arc<Session>, found: Arc<Found>, backlog: Arc<Backlog>) -> Result<(), WireError> {
    loop {
        let next = async { found.files.lock().await.recv().await };
        let Some(work) = next_work(&session, &backlog.files, next).await? else { return Ok(()) };
        if let Err(error) = file::send(&session, &work).await {
            put_back(&backlog.files, work);
            return Err(error);
        }
    }
}

async fn send_groups(session: Arc<Session>, found: Arc<Found>, backlog: Arc<Backlog>) -> Result<(), WireError> {
    loop {
        let next = async { found.groups.lock().await.recv().await };
        let Some(mut work) = next_work(&session, &backlog.groups, next).await? else { return Ok(()) };
        if let Err(error) = group::send(&session, &mut work).await {
            put_back(&backlog.groups, work);
            return Err(error);
        }
    }
}

async fn send_links(session: Arc<Session>, found: Arc<Found>, backlog: Arc<Backlog>) -> Result<(), WireError> {
    loop {
        let next = async { found.links.lock().await.recv().await };
        let Some(mut work) = next_work(&session, &backlog.links, next).await? else { return Ok(()) };
        if let Err(error) = links::send(&session, &mut work).await {
            put_back(&backlog.links, work);
            return Err(error);
        }
    }
}

/// What was interrupted comes first; a lost connection ends the wait for what the walk finds.
async fn next_work<T>(
    session: &Session,
    backlog: &Mutex<Vec<T>>,
    next: impl Future<Output = Option<T>>,
) -> Result<Option<T>, WireError> {
    if let Some(work) = take_back(backlog) {
        return Ok(Some(work));
    }
    tokio::select! {
        work = next => Ok(work),
        error = session.connection.closed() => Err(error),
    }
}

/// Every file is done: directories get their modes and times, those deepest in the tree first.
async fn finish_directories(session: &Session, walked: &Walked) -> Result<(), WireError> {
    for (page, labels) in walk::pages(&walked.directories).into_iter().rev() {
        let (mut outgoing, mut incoming) = session.connection.open_job().await?;
        let meant = session.terms.page(&page, &labels);
        outgoing.send(&FromSender::FinishDirectories { directories: page.clone(), meant, labels }).await?;
        let failed = match session.unless_garbled(incoming.receive().await)? {
            Some(FromReceiver::Finished(failed)) => failed,
            Some(FromReceiver::Refused(failure)) => {
                session.observer.failed(b".", failure, Some("finishing directories"));
                continue;
            }
            _ => return Err(WireError::EndedEarly),
        };
        session.heard.message();
        for failed in failed {
            let entry = page.entries().get(failed.index as usize);
            // One that is not in the page is told of all the same: something failed.
            let path = entry.and_then(|entry| page.path_of(entry.parent, &entry.name)).unwrap_or_else(|| b".".to_vec());
            session.observer.failed(&path, failed.failure, Some("of the directory"));
        }
    }
    Ok(())
}

/// The last words: after them the receiver has nothing open any more.
async fn end(session: &Session, mut outgoing: Outgoing, mut incoming: Incoming) -> Ended {
    session.observer.all_told().await;
    let farewell = async {
        outgoing.send(&FromSender::End).await?;
        loop {
            match incoming.receive().await? {
                Some(FromReceiver::Ended) => return Ok::<(), WireError>(()),
                Some(FromReceiver::Working) => {}
                _ => return Err(WireError::EndedEarly),
            }
        }
    };
    // Every receipt is here already: whatever happens now, the transfer is complete.
    match tokio::time::timeout(GREETING_TIMEOUT, farewell).await {
        Ok(Ok(())) => tracing::debug!("the receiver ended, too"),
        other => tracing::debug!("the receiver did not end in order: {other:?}"),
    }
    session.connection.clone().finish().await;
    Ended::Complete
}
