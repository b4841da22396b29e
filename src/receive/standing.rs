//! A standing receiver: many senders at once, each known by its key, each beneath the one directory of its key.
//!
//! Every connection has its own session, its own memory and its own files: one that stalls, dies or misbehaves holds up no
//! other. A sender that comes back takes the place of its lost connection. **Which keys those are is decided above; nothing
//! here reads their list.**

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::quota::Quota;
use super::session::{self, Ending, Policy, Receiver, RootPolicy};
use super::share::{Lease, Memory};
use crate::connect::admission::Admission;
use crate::connect::allow::{Grant, Grants};
use crate::protocol::limits::{
    CLOSE_WAIT, CONNECTIONS_PER_KEY_MAX, SILENT_AFTER, TRANSFER_KEPT_FOR, TRANSFERS_PER_KEY_MAX,
};
use crate::protocol::message::Begin;
use crate::seams::Environment;
use crate::seams::disk::{Directory, Disk, Kind};
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::endpoint::{Admitted, Listener};
use crate::wire::identity::{KeyPair, PublicKey};
use crate::wire::stream::{Incoming, Outgoing};

/// How often transfers that nobody came back for are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Between two looks whether a connection was heard from.
const LISTEN_EVERY: Duration = Duration::from_millis(20);

/// What stays the same over all connections.
#[derive(Debug)]
pub struct Standing {
    /// The doors.
    pub environment: Environment,
    /// Signs receipts, and is what senders know this receiver by.
    pub identity: Arc<KeyPair>,
    /// The umask of the person at this host.
    pub umask: u32,
    /// Files that one connection may have open at once for staging.
    pub open_files_max: usize,
    /// For all connections.
    pub memory: Memory,
    state: Mutex<State>,
}

/// A key's directory, opened and looked at, and what the key may do there.
#[derive(Debug)]
pub struct Allowed {
    grant: Grant,
    directory: Arc<dyn Directory>,
}

/// Every key that is admitted.
pub type AllowedKeys = HashMap<PublicKey, Arc<Allowed>>;

/// A directory of the list that cannot be received into.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: the directory {}", directory.display())]
pub struct DirectoryError {
    /// Number of its line, from 1.
    pub line: usize,
    /// As it stands there.
    pub directory: PathBuf,
    /// What is wrong with it.
    #[source]
    pub cause: io::Error,
}

/// Opens the directory of every key. From here on it is that directory, whatever its name leads to later.
pub fn open_directories(disk: &dyn Disk, grants: Grants) -> Result<AllowedKeys, DirectoryError> {
    let open = |(key, grant): (PublicKey, Grant)| {
        let directory = open_checked(disk, &grant).map_err(|cause| DirectoryError {
            line: grant.line,
            directory: grant.directory.clone(),
            cause,
        })?;
        Ok((key, Arc::new(Allowed { grant, directory })))
    };
    grants.into_iter().map(open).collect()
}

fn open_checked(disk: &dyn Disk, grant: &Grant) -> io::Result<Arc<dyn Directory>> {
    let directory = disk.open_directory(&grant.directory)?;
    let found = directory.metadata()?;
    if found.kind != Kind::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if found.mode & 0o022 != 0 {
        let path = grant.directory.display();
        let words = format!("mode {:04o} lets others write into it; run `chmod go-w {path}`", found.mode);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    Ok(directory)
}

/// What a standing receiver is told while it runs.
#[derive(Debug)]
pub enum Order {
    /// From now on these keys are admitted. Connections of a key that is none of them are closed; those of one whose line
    /// changed as well, to come back under the new one.
    Admit(AllowedKeys),
    /// Take nobody new, let those that are there finish for so long, then close them: they can go on later. Said again, it
    /// shortens the time.
    Drain(Duration),
}

#[derive(Debug, Default)]
struct State {
    allowed: AllowedKeys,
    serving: HashMap<u64, Connection>,
    connections: u64,
    transfers: HashMap<(PublicKey, [u8; 16]), Arc<Transfer>>,
}

/// One transfer over all its connections.
#[derive(Debug)]
struct Transfer {
    quota: Option<Arc<Quota>>,
    /// Held while a connection is served: the next one waits until the files of the last are let go of.
    turn: tokio::sync::Mutex<()>,
    current: Mutex<Current>,
}

/// The connection that counts.
#[derive(Debug)]
struct Current {
    number: u64,
    connection: Option<Connection>,
    since: Instant,
}

impl Transfer {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Nobody is admitted yet.
    #[must_use]
    pub fn new(
        environment: Environment,
        identity: Arc<KeyPair>,
        umask: u32,
        open_files_max: usize,
        memory: Memory,
    ) -> Self {
        Self { environment, identity, umask, open_files_max, memory, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves whoever is admitted, until it is told to drain. Returns how many connections had to be closed unfinished.
    pub async fn serve(self: &Arc<Self>, listener: &Listener, mut orders: mpsc::Receiver<Order>) -> usize {
        let mut tasks = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let time = loop {
            tokio::select! {
                Some(connection) = listener.accept() => {
                    if let Some(guest) = self.enter(connection) {
                        tasks.spawn(guest.stay());
                    }
                }
                order = orders.recv() => match order {
                    Some(Order::Admit(allowed)) => self.admit(listener, allowed),
                    Some(Order::Drain(time)) => break time,
                    None => break Duration::ZERO,
                },
                Some(ended) = tasks.join_next() => told_of_panic(ended),
                _ = sweep.tick() => self.forget_old(),
            }
        };
        self.drain(listener, &mut orders, &mut tasks, time).await
    }

    async fn drain(
        &self,
        listener: &Listener,
        orders: &mut mpsc::Receiver<Order>,
        tasks: &mut JoinSet<()>,
        time: Duration,
    ) -> usize {
        let mut deadline = Instant::now() + time;
        let refusing = listener.refuse_all();
        tokio::pin!(refusing);
        tracing::info!("draining: {} connections have {time:?} to finish", tasks.len());
        while !tasks.is_empty() {
            tokio::select! {
                ended = timeout_at(deadline, tasks.join_next()) => match ended {
                    Ok(Some(ended)) => told_of_panic(ended),
                    Ok(None) => {}
                    Err(_elapsed) => break,
                },
                () = &mut refusing => break,
                Some(order) = orders.recv() => match order {
                    Order::Drain(time) => deadline = deadline.min(Instant::now() + time),
                    Order::Admit(allowed) => self.admit(listener, allowed),
                },
            }
        }
        let unfinished = tasks.len();
        listener.close().await;
        // Each ends by itself once its connection is closed, and lets go of its files.
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_WAIT, ended).await.is_err() {
            tracing::warn!("connections did not end in time");
        }
        unfinished
    }

    /// From now on these keys are admitted, as [`Order::Admit`] says. The table first, then the door, then those who are inside:
    /// nobody slips through between them.
    pub fn admit(&self, listener: &Listener, allowed: AllowedKeys) {
        let mut state = self.state();
        let mut kept = AllowedKeys::with_capacity(allowed.len());
        let mut changed = HashMap::new();
        for (key, new) in allowed {
            match state.allowed.get(&key) {
                Some(old) if is_same(old, &new) => kept.insert(key, Arc::clone(old)),
                _ => {
                    changed.insert(key, CloseReason::GoingAway);
                    kept.insert(key, new)
                }
            };
        }
        for key in state.allowed.keys().filter(|key| !kept.contains_key(*key)) {
            changed.insert(*key, CloseReason::KeyNotAdmitted);
        }
        listener.admit(Admitted::Keys(kept.keys().copied().collect::<HashSet<_>>()));
        state.allowed = kept;
        state.transfers.retain(|(key, _), _| !changed.contains_key(key));
        for connection in state.serving.values() {
            if let Some(reason) = changed.get(&connection.peer_key()) {
                tracing::info!("the list of keys changed: closing a connection of {}", connection.peer_key());
                connection.close(*reason);
            }
        }
    }

    /// Finds the place of a new connection; one that has none is closed.
    fn enter(self: &Arc<Self>, connection: Connection) -> Option<Guest> {
        let key = connection.peer_key();
        let mut state = self.state();
        let Some(allowed) = state.allowed.get(&key).map(Arc::clone) else {
            connection.close(CloseReason::KeyNotAdmitted);
            return None;
        };
        let of_key = state.serving.values().filter(|other| other.peer_key() == key).count();
        let lease = if of_key < CONNECTIONS_PER_KEY_MAX { self.memory.lease() } else { None };
        let Some(lease) = lease else {
            tracing::warn!("no room for a further connection of {key}");
            connection.close(CloseReason::Busy);
            return None;
        };
        state.connections += 1;
        let number = state.connections;
        state.serving.insert(number, connection.clone());
        Some(Guest { standing: Arc::clone(self), number, connection, allowed, lease })
    }

    /// The transfer of this number and key, remembered or begun.
    fn transfer(&self, key: PublicKey, begin: &Begin, grant: &Grant) -> Arc<Transfer> {
        let mut state = self.state();
        let name = (key, begin.transfer);
        if let Some(transfer) = state.transfers.get(&name) {
            return Arc::clone(transfer);
        }
        let of_key = state.transfers.iter().filter(|((other, _), _)| *other == key);
        if of_key.clone().count() >= TRANSFERS_PER_KEY_MAX {
            let idle = of_key.filter(|(_, transfer)| transfer.current().connection.is_none());
            if let Some(oldest) = idle.min_by_key(|(_, transfer)| transfer.current().since).map(|(name, _)| *name) {
                state.transfers.remove(&oldest);
            }
        }
        let current = Current { number: 0, connection: None, since: Instant::now() };
        let transfer = Arc::new(Transfer {
            quota: grant.max_bytes.map(|bytes| Arc::new(Quota::new(bytes))),
            turn: tokio::sync::Mutex::default(),
            current: Mutex::new(current),
        });
        state.transfers.insert(name, Arc::clone(&transfer));
        transfer
    }

    /// A sender that was killed says nothing any more, and its files are held until its connection is given up. When the same
    /// key comes again, most likely with the same command, its other connections have to be heard from, or are closed: one
    /// that lives in spite of its silence comes back and goes on.
    async fn close_silent(&self, key: PublicKey, except: u64) {
        let others: Vec<(Connection, u64)> = {
            let state = self.state();
            let of_key = state.serving.iter().filter(|(number, other)| **number < except && other.peer_key() == key);
            of_key.map(|(_, other)| (other.clone(), other.received_bytes())).collect()
        };
        let deadline = Instant::now() + SILENT_AFTER;
        for (other, heard) in others {
            while other.received_bytes() == heard && !other.is_closed() && Instant::now() < deadline {
                tokio::time::sleep(LISTEN_EVERY).await;
            }
            if other.received_bytes() == heard {
                tracing::info!("an older connection of {key} is silent: closing it");
                other.close(CloseReason::Replaced);
            }
        }
    }

    fn forget_old(&self) {
        self.state().transfers.retain(|_, transfer| {
            let current = transfer.current();
            current.connection.is_some() || current.since.elapsed() < TRANSFER_KEPT_FOR
        });
    }
}

/// Whether a line means the same as before: the same leave, for the same directory and not only the same name of one.
fn is_same(old: &Allowed, new: &Allowed) -> bool {
    let is_same_directory =
        || matches!((old.directory.metadata(), new.directory.metadata()), (Ok(old), Ok(new)) if old.same_file(&new));
    Grant { line: new.grant.line, ..old.grant.clone() } == new.grant && is_same_directory()
}

fn told_of_panic(ended: Result<(), JoinError>) {
    if let Err(panic) = ended {
        tracing::error!("a connection ended badly: {panic}");
    }
}

/// A connection that found its place.
#[derive(Debug)]
struct Guest {
    standing: Arc<Standing>,
    number: u64,
    connection: Connection,
    allowed: Arc<Allowed>,
    lease: Lease,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.standing.state().serving.remove(&self.number);
    }
}

impl Guest {
    /// From the greeting to the end of the connection.
    async fn stay(self) {
        let standing = &self.standing;
        let grant = &self.allowed.grant;
        let policy = Policy {
            replace: grant.replace,
            delete: grant.delete,
            allowed: grant.accept,
            share: self.lease.share,
            ..Policy::new(RootPolicy::Beneath(Arc::clone(&self.allowed.directory)), standing.umask)
        };
        let mut receiver = Receiver {
            environment: standing.environment.clone(),
            identity: Arc::clone(&standing.identity),
            admission: Admission::by_key(self.connection.peer_key()),
            policy,
            open_files_max: standing.open_files_max,
        };
        let Some((outgoing, mut incoming)) = session::greet(&receiver, &self.connection).await else { return };
        let begin = match session::hear_begin(&mut incoming).await {
            Ok(begin) => begin,
            Err(error) => {
                session::refuse(&self.connection, outgoing, error).await;
                return;
            }
        };
        let key = self.connection.peer_key();
        let transfer = standing.transfer(key, &begin, grant);
        receiver.policy.quota = transfer.quota.clone();
        let (name, line) = ((key, begin.transfer), grant.line);
        tracing::info!("line {line} of the list of keys: a sender came");
        let Some(ending) = self.take_turn(&receiver, &transfer, (outgoing, incoming), begin).await else { return };
        tracing::info!("line {line} of the list of keys: {ending:?}");
        if !matches!(ending, Ending::Left) {
            self.standing.state().transfers.remove(&name);
        }
    }

    /// Serves the connection once the one it takes the place of is over; nothing if it was replaced itself before.
    async fn take_turn(
        &self,
        receiver: &Receiver,
        transfer: &Transfer,
        control: (Outgoing, Incoming),
        begin: Begin,
    ) -> Option<Ending> {
        let old = {
            let mut current = transfer.current();
            // Numbers grow: of two that come at once the later one counts, whichever is here first.
            if current.number > self.number {
                self.connection.close(CloseReason::Replaced);
                return None;
            }
            current.number = self.number;
            current.connection.replace(self.connection.clone())
        };
        if let Some(old) = old {
            old.close(CloseReason::Replaced);
        }
        let _turn = transfer.turn.lock().await;
        if transfer.current().number != self.number {
            return None;
        }
        self.standing.close_silent(self.connection.peer_key(), self.number).await;
        let ending = session::serve_begun(receiver, &self.connection, control, begin).await;
        let mut current = transfer.current();
        if current.number == self.number {
            current.connection = None;
            current.since = Instant::now();
        }
        Some(ending)
    }
}
