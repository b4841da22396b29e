//! One connection at the receiver: greeting, destination, then jobs until the sender says it is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::asked::Asked;
use super::destination::{Destination, Making};
use super::directories::Directories;
use super::job::{GROUP_NUMBERS, JobError, MEMORY_UNIT_BYTES, Session};
use super::labels::Rules;
use super::quota::Quota;
use super::receipt::{Signer, now_seconds};
use super::share::Share;
use super::stage::Arrivals;
use super::sync_point::SyncPoints;
use super::{dry_run, file, group, hard_links, links, prune, stage, verify};
use crate::connect::admission::Admission;
use crate::jobs::Jobs;
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::limits::{
    CHUNK_BYTES_MAX, GREETING_TIMEOUT, JOBS_AT_ONCE_MAX, LAST_WORD_WAIT, QUEUE_PARCELS, WORKING_EVERY,
};
use crate::protocol::message::{Begin, FromReceiver, FromSender, Hash32, IndexedFailure, MessageError, Ready};
use crate::protocol::selection::Selection;
use crate::protocol::terms::Terms;
use crate::seams::Environment;
use crate::seams::buffer::{Hop, Parcel, Piece, Pool};
use crate::seams::disk::Directory;
use crate::transit;
use crate::wire::WireError;
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::identity::KeyPair;
use crate::wire::stream::{ChunkStream, Incoming, Outgoing};
use crate::wire::watch::{Heard, until_stalled};
use crate::workers::{self, Workers};

/// Threads of each stage.
const STAGE_THREADS: usize = 2;

/// What the receiving side allows and where it receives.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The directory beneath which everything stays.
    pub root: RootPolicy,
    /// Whether existing targets may be replaced.
    pub replace: bool,
    /// Whether what has no source may be removed.
    pub delete: bool,
    /// The umask of the person at this host.
    pub umask: u32,
    /// Whether modes are carried as they are, past the umask: where the same person started both sides.
    pub exact_modes: bool,
    /// What the sender may bring beside content, mode and time.
    pub allowed: Keep,
    /// How much the transfer may store; nothing for no limit.
    pub quota: Option<Arc<Quota>>,
    /// Memory of the connection.
    pub share: Share,
    /// Whether a record is stored with each copy, where the sender asks for it.
    pub records: bool,
}

impl Policy {
    /// Where the same person started both sides, and so the sender names the directory, targets may be replaced and modes
    /// are carried as they are, with whatever belongs to a file; where the person here fixed a directory, none of it.
    #[must_use]
    pub fn new(root: RootPolicy, umask: u32) -> Self {
        let is_same_person = matches!(root, RootPolicy::NamedBySender | RootPolicy::NamedHere(_));
        Self {
            root,
            replace: is_same_person,
            delete: is_same_person,
            umask,
            exact_modes: is_same_person,
            records: true,
            allowed: if is_same_person { Keep::ALL } else { Keep::HARMLESS },
            quota: None,
            share: Share::FULL,
        }
    }
}

/// Who names the directory.
#[derive(Clone, Debug)]
pub enum RootPolicy {
    /// The sender: the same person started both sides.
    NamedBySender,
    /// The person at this host.
    Fixed(PathBuf),
    /// The person at this host, who lets the sender name a path beneath this directory.
    Beneath(Arc<dyn Directory>),
    /// The person at this host, who started the sender, too, and asked it for what it sends.
    NamedHere(Asked),
}

/// A receiver: what stays the same over all its connections.
#[derive(Debug)]
pub struct Receiver {
    /// The doors.
    pub environment: Environment,
    /// Signs receipts.
    pub identity: Arc<KeyPair>,
    /// Who may send.
    pub admission: Admission,
    /// What may be done.
    pub policy: Policy,
    /// Files that may be open at once for staging.
    pub open_files_max: usize,
}

/// How a connection ended.
#[derive(Debug)]
pub enum Ending {
    /// The sender said that everything is done.
    Done,
    /// It was lost, or the sender left: the same sender may come back.
    Left,
    /// It was ended here.
    Refused(Failure),
}

/// Greets a new connection: nothing else is heard or said before the token was proved. Closes it otherwise.
pub async fn greet(receiver: &Receiver, connection: &Connection) -> Option<(Outgoing, Incoming)> {
    let greeting = async {
        let (mut outgoing, mut incoming) = connection.accept_job().await.ok()?;
        let proof = match incoming.receive().await {
            Ok(Some(FromSender::Hello { proof, .. })) => proof,
            Err(error) => {
                close_if_garbled(connection, &error);
                return None;
            }
            _ => return None,
        };
        let exporter = connection.exporter().ok()?;
        match receiver.admission.admit(connection.peer_key(), &exporter, &proof, now_seconds()) {
            Ok(()) => {
                outgoing.send(&FromReceiver::Welcome { minor: 0 }).await.ok()?;
                Some((outgoing, incoming))
            }
            Err(failure) => {
                outgoing.send(&FromReceiver::Refused(failure)).await.ok()?;
                outgoing.finish();
                // The sender closes once it has read why.
                connection.closed().await;
                None
            }
        }
    };
    let greeted = tokio::time::timeout(GREETING_TIMEOUT, greeting).await.ok().flatten();
    if greeted.is_none() {
        connection.close(CloseReason::NotAdmitted);
    }
    greeted
}

/// Serves a greeted connection to its end.
pub async fn serve(receiver: &Receiver, connection: Connection, control: (Outgoing, Incoming)) -> Ending {
    let (outgoing, mut incoming) = control;
    match hear_begin(&mut incoming).await {
        Ok(begin) => serve_begun(receiver, &connection, (outgoing, incoming), begin).await,
        Err(error) => refuse(&connection, outgoing, error).await,
    }
}

/// What the sender asks for, once it was greeted.
pub(super) async fn hear_begin(incoming: &mut Incoming) -> Result<Begin, JobError> {
    let message = tokio::time::timeout(GREETING_TIMEOUT, incoming.receive()).await;
    match message.map_err(|_| Failure::Protocol)?? {
        Some(FromSender::Begin(begin)) => Ok(begin),
        _ => Err(Failure::Protocol.into()),
    }
}

/// Serves a connection whose sender has said what it wants.
pub(super) async fn serve_begun(
    receiver: &Receiver,
    connection: &Connection,
    control: (Outgoing, Incoming),
    begun: Begin,
) -> Ending {
    let (mut outgoing, mut incoming) = control;
    match begin(receiver, connection, &mut outgoing, begun).await {
        Ok(session) => run(session, connection, &mut outgoing, &mut incoming).await,
        Err(error) => refuse(connection, outgoing, error).await,
    }
}

/// Ends a session that did not come to be.
pub(super) async fn refuse(connection: &Connection, mut outgoing: Outgoing, error: JobError) -> Ending {
    match error {
        JobError::Failed(failure) => {
            if outgoing.send(&FromReceiver::Refused(failure)).await.is_ok() {
                outgoing.finish();
                let read = tokio::time::timeout(GREETING_TIMEOUT, connection.closed()).await;
                tracing::debug!("the refused sender closed: {read:?}");
            }
            connection.close(CloseReason::Done);
            Ending::Refused(failure)
        }
        JobError::Wire(error) => {
            close_if_garbled(connection, &error);
            left(&error)
        }
    }
}

/// What was damaged once may be anything else's fault: the sender is to come back and say it again.
fn close_if_garbled(connection: &Connection, error: &WireError) {
    if error.is_garbled() {
        connection.close(CloseReason::Garbled);
    }
}

fn left(error: &WireError) -> Ending {
    tracing::info!("the connection ended: {error}");
    Ending::Left
}

async fn begin(
    receiver: &Receiver,
    connection: &Connection,
    outgoing: &mut Outgoing,
    begin: Begin,
) -> Result<Arc<Session>, JobError> {
    connection.raise_windows_to(receiver.policy.share.window_bytes);
    connection.allow_streams(JOBS_AT_ONCE_MAX + 1, receiver.policy.share.chunk_streams());
    let guards = guards(&receiver.policy, &begin)?;
    if let RootPolicy::NamedHere(asked) = &receiver.policy.root {
        asked.is_answered_by(&begin)?;
    }
    let (disk, policy) = (Arc::clone(&receiver.environment.disk), receiver.policy.clone());
    let (named, single_file) = (begin.destination.clone(), begin.single_file);
    let making = if begin.dry_run { Making::Nothing } else { Making::UnderUmask(policy.umask) };
    let destination = workers::run(move || match &policy.root {
        RootPolicy::Fixed(_) if !named.is_empty() => Err(Failure::Protocol),
        RootPolicy::Fixed(path) => Destination::existing(disk.as_ref(), path),
        RootPolicy::Beneath(root) => Destination::beneath(root, &named, single_file, making),
        RootPolicy::NamedBySender => Destination::named(disk.as_ref(), &path_from(named), single_file, making),
        RootPolicy::NamedHere(_) if !named.is_empty() => Err(Failure::NotAskedFor),
        RootPolicy::NamedHere(asked) => Destination::named(disk.as_ref(), &asked.destination, single_file, making),
    })
    .await?;
    // Where the sender's person may not know this host's directories, they are not told.
    let told = match receiver.policy.root {
        RootPolicy::NamedBySender | RootPolicy::Beneath(_) | RootPolicy::NamedHere(_) => bytes_of(&destination.path),
        RootPolicy::Fixed(_) => Vec::new(),
    };
    let file_name = destination.file_name.as_ref().map(|name| name.as_bytes().to_vec().into());
    let ready = Ready { file_name, directory: told, kept: begin.keep.and(receiver.policy.allowed) };
    let session = session(receiver, connection, begin, &destination, &ready, guards);
    outgoing.send(&FromReceiver::Ready(ready)).await?;
    Ok(session)
}

/// What guards against removing, where that is asked for and allowed. Said before anything is transferred.
fn guards(policy: &Policy, begin: &Begin) -> Result<Option<Arc<Selection>>, Failure> {
    match &begin.delete {
        None => Ok(None),
        Some(_) if !policy.delete => Err(Failure::DeleteNotAllowed),
        Some(patterns) => {
            let guards = Selection::of_patterns(patterns).map_err(|_| Failure::Protocol)?;
            Ok(Some(Arc::new(guards)))
        }
    }
}

fn session(
    receiver: &Receiver,
    connection: &Connection,
    begin: Begin,
    destination: &Destination,
    ready: &Ready,
    guards: Option<Arc<Selection>>,
) -> Arc<Session> {
    let jobs: Jobs<dyn Arrivals> = Jobs::default();
    let buffers = &receiver.environment.buffers;
    let (arrived, to_verify) = buffers.queue(Hop::WireToVerify, QUEUE_PARCELS);
    let (checked, to_stage) = buffers.queue(Hop::VerifyToStage, QUEUE_PARCELS);
    verify::start(STAGE_THREADS, jobs.clone(), to_verify, checked);
    let staging = stage::start(STAGE_THREADS, jobs.clone(), to_stage);
    let policy = &receiver.policy;
    let asked = match &policy.root {
        RootPolicy::NamedHere(asked) => Some(asked),
        RootPolicy::NamedBySender | RootPolicy::Fixed(_) | RootPolicy::Beneath(_) => None,
    };
    Arc::new(Session {
        signer: Signer {
            identity: Arc::clone(&receiver.identity),
            transfer: begin.transfer,
            directory: ready.directory.clone(),
            sender: connection.peer_key(),
            observer: asked.map(|asked| Arc::clone(&asked.observer)),
            stores_first: asked.is_some_and(|asked| asked.moves),
        },
        asked: asked.cloned(),
        asked_names: asked.and_then(|asked| asked.names(destination.file_name.as_ref())),
        connection: connection.clone(),
        terms: Terms::new(&begin, ready),
        records: begin.record && receiver.policy.records,
        kept: ready.kept,
        begin,
        directories: Directories::new(destination),
        jobs,
        arrived,
        staging,
        readers: Workers::start("read-back", STAGE_THREADS, CHUNK_BYTES_MAX as usize),
        copiers: Workers::start("copy", STAGE_THREADS, CHUNK_BYTES_MAX as usize),
        sync_points: SyncPoints::default(),
        heard: Heard::default(),
        rules: Rules::new(
            Arc::clone(&receiver.environment.disk),
            if policy.exact_modes { 0 } else { policy.umask },
            ready.kept,
        ),
        replace: policy.replace,
        guards,
        pool: Pool::new(policy.share.pool_bytes),
        quota: policy.quota.clone(),
        chunk_streams: policy.share.chunk_streams(),
        groups_memory: Arc::new(Semaphore::new(policy.share.groups_bytes / MEMORY_UNIT_BYTES)),
        groups_memory_bytes: policy.share.groups_bytes,
        hashes: Arc::new(Semaphore::new(policy.share.hashes)),
        hashes_max: policy.share.hashes,
        descriptors: Arc::new(Semaphore::new(receiver.open_files_max)),
        descriptors_max: receiver.open_files_max,
        groups: AtomicU64::new(0),
    })
}

/// Takes jobs and chunks until the sender ends the session or is lost.
async fn run(
    session: Arc<Session>,
    connection: &Connection,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Ending {
    let mut tasks = JoinSet::new();
    tasks.spawn(accept_chunks(Arc::clone(&session), connection.clone()));
    let mut working = tokio::time::interval(WORKING_EVERY);
    let mut looks = transit::looks();
    let stalled = until_stalled(connection, &session.heard);
    tokio::pin!(stalled);
    let ending = loop {
        tokio::select! {
            job = connection.accept_job() => match job {
                Ok((outgoing, incoming)) => {
                    tasks.spawn(serve_job(Arc::clone(&session), outgoing, incoming));
                }
                Err(error) => break left(&error),
            },
            message = incoming.receive() => match message {
                Ok(Some(FromSender::Working)) => session.heard.working(),
                Ok(Some(FromSender::End)) => break end(connection, outgoing).await,
                Ok(_) => break Ending::Refused(Failure::Protocol),
                Err(error) => {
                    close_if_garbled(connection, &error);
                    break left(&error);
                }
            },
            _ = working.tick() => {
                if let Err(error) = outgoing.send(&FromReceiver::Working).await {
                    break left(&error);
                }
            }
            _ = looks.tick() => session.look(),
            () = &mut stalled => {
                connection.close(CloseReason::Stalled);
                break Ending::Left;
            }
        }
    };
    if matches!(ending, Ending::Refused(_)) {
        connection.close(CloseReason::Protocol);
    }
    tasks.shutdown().await;
    ending
}

async fn end(connection: &Connection, outgoing: &mut Outgoing) -> Ending {
    if let Err(error) = outgoing.send(&FromReceiver::Ended).await {
        return left(&error);
    }
    // The sender closes the connection when it has read the last word; if it cannot, everything is committed all the same.
    if tokio::time::timeout(LAST_WORD_WAIT, connection.closed()).await.is_err() {
        connection.close(CloseReason::Done);
    }
    Ending::Done
}

async fn serve_job(session: Arc<Session>, mut outgoing: Outgoing, mut incoming: Incoming) {
    let connection = session.connection.clone();
    let done = first_message(session, &mut outgoing, &mut incoming).await;
    match done {
        Ok(()) => outgoing.finish(),
        Err(JobError::Failed(failure)) => {
            if outgoing.send(&FromReceiver::Refused(failure)).await.is_ok() {
                outgoing.finish();
            }
        }
        Err(JobError::Wire(error)) => {
            tracing::debug!("a job ended: {error}");
            close_if_garbled(&connection, &error);
        }
    }
}

async fn first_message(
    session: Arc<Session>,
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
) -> Result<(), JobError> {
    let message: Option<FromSender> = incoming.receive().await?;
    session.heard.message();
    let message = message.ok_or(Failure::Protocol)?;
    check(&session, &message)?;
    if session.begin.dry_run {
        return dry_run::serve(session, message, outgoing, incoming).await;
    }
    match message {
        FromSender::OfferGroup { directories, files, .. } => {
            group::serve(session, directories, files, outgoing, incoming).await
        }
        FromSender::OfferFile { job, directories, file, chunk_bytes, .. } => {
            file::serve(session, file::Offer { job, directories, file, chunk_bytes }, outgoing, incoming).await
        }
        FromSender::OfferLinks { directories, links, .. } => links::serve(session, directories, links, outgoing).await,
        FromSender::OfferHardLinks { directories, files, .. } => {
            hard_links::serve(session, directories, files, outgoing).await
        }
        FromSender::FinishDirectories { directories: table, labels, .. } => {
            let finish = move || session.directories.finish(&table, &labels, &session.rules, &session.sync_points);
            let failed = workers::run(finish).await;
            let failed = failed.into_iter().map(|(index, failure)| IndexedFailure { index, failure }).collect();
            Ok(outgoing.send(&FromReceiver::Finished(failed)).await?)
        }
        FromSender::Prune { prune, .. } => prune::serve(session, prune, outgoing).await,
        _ => Err(Failure::Protocol.into()),
    }
}

/// Whether what opens a job is what the sender meant, and lies beneath what was asked for.
fn check(session: &Session, message: &FromSender) -> Result<(), JobError> {
    match message {
        FromSender::OfferGroup { directories, files, meant } => {
            as_meant(session.terms.group(directories, files), *meant)?;
            session.was_asked_for(directories, files.iter().map(|file| (file.entry.directory, &file.entry.name)))?;
        }
        FromSender::OfferFile { job, directories, file, chunk_bytes, meant } if *job < GROUP_NUMBERS => {
            as_meant(session.terms.file(*job, directories, file, *chunk_bytes), *meant)?;
            session.was_asked_for(directories, std::iter::once((file.directory, &file.name)))?;
        }
        FromSender::OfferLinks { directories, links, meant } => {
            as_meant(session.terms.links(directories, links), *meant)?;
            session.was_asked_for(directories, links.iter().map(|link| (link.directory, &link.name)))?;
        }
        FromSender::OfferHardLinks { directories, files, meant } => {
            as_meant(session.terms.hard_links(directories, files), *meant)?;
            let names = files.iter().flat_map(|file| file.names.iter().map(|name| (name.directory, &name.name)));
            let linked = files.iter().map(|file| (file.directory, &file.name));
            session.was_asked_for(directories, linked.chain(names))?;
        }
        FromSender::FinishDirectories { directories, meant, labels } => {
            as_meant(session.terms.page(directories, labels), *meant)?;
            session.was_asked_for(directories, std::iter::empty())?;
        }
        FromSender::Prune { prune, meant } => {
            as_meant(session.terms.prune(prune), *meant)?;
            session.may_prune(prune)?;
        }
        _ => return Err(Failure::Protocol.into()),
    }
    Ok(())
}

/// An offer that is not the one that was meant is damaged like a message whose check does not fit.
fn as_meant(told: Hash32, meant: Hash32) -> Result<(), WireError> {
    if told == meant { Ok(()) } else { Err(MessageError::Garbled.into()) }
}

async fn accept_chunks(session: Arc<Session>, connection: Connection) {
    let mut chunks = JoinSet::new();
    while let Ok(stream) = connection.accept_chunk().await {
        chunks.spawn(take_chunk(Arc::clone(&session), stream));
        while chunks.try_join_next().is_some() {}
    }
}

/// Takes one chunk off its stream and hands it to the verify stage.
async fn take_chunk(session: Arc<Session>, mut stream: ChunkStream) {
    let header = match stream.header().await {
        Ok(header) => header,
        Err(error) => return close_if_garbled(&session.connection, &error),
    };
    let accepted = session.jobs.find(header.job).and_then(|job| job.accept(header.index, header.round));
    // Not wanted: its job is over, or the chunk is there already.
    let Some(length) = accepted.filter(|&length| length == header.length_bytes as usize) else {
        return stream.refuse();
    };
    let mut bytes = session.pool.lend(length).await;
    if let Err(error) = stream.body_into(&mut bytes).await {
        tracing::debug!("a chunk did not arrive: {error}");
        if let Some(job) = session.jobs.find(header.job) {
            job.arrived_bad(header.index, header.round);
        }
        return;
    }
    if let Some(job) = session.jobs.find(header.job) {
        job.arrived(header.index, header.round);
    }
    let piece = Piece { index: header.index, hash: Some(header.hash), bytes };
    let parcel = Parcel { job: header.job, round: header.round, pieces: vec![piece] };
    if session.arrived.send(parcel).await.is_err() {
        tracing::debug!("a chunk arrived after the session's end");
    }
}

fn path_from(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn bytes_of(path: &std::path::Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}
