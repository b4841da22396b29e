//! What the jobs of one connection share, and what ends one that does not end well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::origin::Told;
use super::room::Room;
use super::source::Uploads;
use super::{Observer, Plan, Problem};
use crate::jobs::Jobs;
use crate::progress::Counters;
use crate::protocol::entry::Name;
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::message::FromReceiver;
use crate::protocol::terms::Terms;
use crate::seams::buffer::{Parcel, Pool};
use crate::wire::WireError;
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::identity::PublicKey;
use crate::wire::pace::Pace;
use crate::wire::stream::Incoming;
use crate::wire::watch::Heard;
use crate::workers::{Stage, Workers};

/// What one job ends with when it does not end well.
#[derive(Debug)]
pub(super) enum JobError {
    /// This file, or group, cannot be transferred.
    Problem(Problem),
    /// The stream cannot be used any more.
    Wire(WireError),
}

impl From<Problem> for JobError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        Self::Problem(failure.into())
    }
}

impl From<WireError> for JobError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// What all jobs of one connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) plan: Arc<Plan>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) counters: Arc<Counters>,
    /// What failed so far, in the whole transfer.
    pub(super) failures: Arc<AtomicU64>,
    pub(super) jobs: Jobs<dyn Uploads>,
    /// Queue of pieces that were read.
    pub(super) read: tokio::sync::mpsc::Sender<Parcel>,
    /// What they come to next.
    pub(super) hashing: Stage,
    pub(super) readers: Workers,
    pub(super) second_readers: Workers,
    pub(super) pool: Pool,
    pub(super) heard: Heard,
    /// The rate that content keeps to, in the whole transfer.
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) transfer: [u8; 16],
    pub(super) terms: Terms,
    /// What is carried beside content, mode and time.
    pub(super) kept: Keep,
    /// The receiving directory as the receiver told it.
    pub(super) directory: Vec<u8>,
    pub(super) own_key: PublicKey,
    /// New name of the single file.
    pub(super) file_name: Option<Name>,
    /// For large files under way.
    pub(super) room: Room,
    /// Jobs so far.
    pub(super) numbers: AtomicU64,
    /// See [`Session::proven_pieces`].
    pub(super) proven: AtomicU64,
    /// Whether something that the receiver said arrived damaged.
    pub(super) heard_garbled: AtomicBool,
    pub(super) told: Told,
}

impl Session {
    /// The number of a new job.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets every job look whether pieces got lost between the stages. What goes at a slow pace takes the other side as long: that
    /// is no stall.
    pub(super) fn look(&self) {
        if self.pace.as_ref().is_some_and(|pace| pace.has_passed()) {
            self.heard.message();
        }
        let is_idle = self.hashing.is_idle();
        self.jobs.all().iter().for_each(|job| job.look(is_idle));
    }

    /// Chunks, and small files, that were proven on this connection, whether or not their file was committed. Complete
    /// once its jobs are over.
    pub(super) fn proven_pieces(&self) -> u64 {
        self.proven.load(Ordering::Relaxed)
    }

    /// A job is over, and so many of its pieces were proven.
    pub(super) fn proved(&self, pieces: u64) {
        self.proven.fetch_add(pieces, Ordering::Relaxed);
    }

    /// The name that the receiver is to give a file of the top level.
    pub(super) fn target_name(&self, name: &Name) -> Name {
        self.file_name.as_ref().unwrap_or(name).clone()
    }

    /// Tells that a file failed.
    pub(super) fn failed(&self, path: &[u8], problem: &Problem) {
        self.counters.files_done(1);
        self.observer.failed(path, problem.failure, problem.detail.as_deref());
    }

    /// The next message of a job.
    pub(super) async fn hear(&self, incoming: &mut Incoming) -> Result<FromReceiver, JobError> {
        let message: Option<FromReceiver> = self.unless_garbled(incoming.receive().await)?;
        self.heard.message();
        message.ok_or(JobError::Wire(WireError::EndedEarly))
    }

    /// Ends the connection if what came arrived damaged: everything under way is offered again on another.
    pub(super) fn unless_garbled<T>(&self, heard: Result<T, WireError>) -> Result<T, WireError> {
        if heard.as_ref().is_err_and(WireError::is_garbled) {
            self.heard_garbled.store(true, Ordering::Relaxed);
            self.connection.close(CloseReason::Garbled);
        }
        heard
    }

    /// The receiver stopped listening in the middle of a job: its last word says why.
    pub(super) async fn why_unwanted(&self, incoming: &mut Incoming) -> JobError {
        loop {
            match self.hear(incoming).await {
                Ok(FromReceiver::Refused(failure)) => return failure.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}
