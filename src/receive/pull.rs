//! A transfer that the receiver asks for: connect to a sender, ask, receive, hear its reports; again after a loss.
//!
//! The person sits here, so this side tries again, and tells what becomes of each file: commits as it made them, all else
//! as the sender reports it. **The sender is not believed about what this side can know for itself.**

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::asked::Asked;
use super::session::{self, Ending, Policy, Receiver, RootPolicy};
use crate::connect::admission::Admission;
use crate::connect::meeting::{Meeting, Met, NO_UDP};
use crate::connect::ticket;
use crate::outcome::{Ended, Foreseen};
use crate::patience::Patience;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{GREETING_TIMEOUT, NOTICES_MAX, REPORTS_PER_ANSWER};
use crate::protocol::request::{Detail, FromPuller, ListedPaths, Report, Request, ToPuller};
use crate::seams::Environment;
use crate::wire::WireError;
use crate::wire::connection::{CloseReason, Connection};
use crate::wire::identity::{KeyPair, PublicKey};
use crate::wire::stream::{Incoming, Outgoing};

/// How long the reason of a connection's end is waited for.
const REASON_WAIT: Duration = Duration::from_secs(1);

/// What is pulled, and how.
#[derive(Debug)]
pub struct Pull {
    /// The doors.
    pub environment: Environment,
    /// Signs receipts.
    pub identity: Arc<KeyPair>,
    /// What is asked for; its observer is told everything.
    pub asked: Asked,
    /// Options for the sending side, each a whole word.
    pub words: Vec<Vec<u8>>,
    /// Paths below the one source: nothing else is to be sent of it.
    pub list: Option<ListedPaths>,
    /// What the sending host is called where its notices are shown.
    pub host: String,
    /// The umask of the person at this host.
    pub umask: u32,
    /// Files that may be open at once for staging.
    pub open_files_max: usize,
    /// How long to try to connect again after the connection was lost.
    pub retry_for: Duration,
    /// Are made to show what the sender counts.
    pub counters: Arc<Counters>,
}

/// What is kept from one connection to the next.
#[derive(Debug, Default)]
struct Told {
    /// Whose reports were heard: a sender that was started again has another key.
    by: Option<PublicKey>,
    reports: u64,
    notices: u32,
}

impl Pull {
    /// Runs the transfer to its end. `meeting` is the way to the sender, `key` this side's.
    pub async fn run(&self, mut meeting: Meeting, key: &KeyPair) -> Ended {
        let mut patience = Patience::new(self.retry_for);
        let mut told = Told::default();
        loop {
            let before = self.counters.snapshot();
            let ended = match meeting.connect(&self.environment, key).await {
                Ok(met) => {
                    let ended = self.over(met, &mut meeting, &mut told).await;
                    let now = self.counters.snapshot();
                    let arrived = (now.read_back_bytes + now.reused_bytes)
                        .saturating_sub(before.read_back_bytes + before.reused_bytes);
                    patience.was_connected(now.files_done, arrived);
                    ended
                }
                Err(error) => Ended::Unreachable(error),
            };
            match patience.after(ended, meeting.starts_neighbour(), self.asked.observer.as_ref(), Instant::now()) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(ended) => {
                    meeting.finish().await;
                    return ended;
                }
            }
        }
    }

    /// One connection.
    async fn over(&self, met: Met, meeting: &mut Meeting, told: &mut Told) -> Ended {
        let Met { connection, token, fell_back } = met;
        if fell_back {
            self.asked.observer.notice(NO_UDP);
        }
        if told.by.replace(connection.peer_key()).is_some_and(|before| before != connection.peer_key()) {
            told.reports = 0;
            self.asked.observer.started_over();
            self.counters.starts_over();
        }
        let work = self.ask_and_receive(&connection, token, told);
        let ended = tokio::select! {
            ended = work => ended,
            () = meeting.ended() => Ended::Lost,
        };
        connection.close(CloseReason::GoingAway);
        ended
    }

    async fn ask_and_receive(&self, connection: &Connection, token: [u8; 16], told: &mut Told) -> Ended {
        let (outgoing, incoming) = match self.ask(connection, &token, told.reports).await {
            Ok(stream) => stream,
            Err(error) => return ended_by(connection, error).await,
        };
        let receiver = Receiver {
            environment: self.environment.clone(),
            identity: Arc::clone(&self.identity),
            admission: Admission::new(token, None),
            policy: self.policy(),
            open_files_max: self.open_files_max,
        };
        let serving = async {
            match session::greet(&receiver, connection).await {
                Some(control) => session::serve(&receiver, connection.clone(), control).await,
                None => Ending::Left,
            }
        };
        let hearing = self.hear(outgoing, incoming, told);
        let (mut serving, mut hearing) = (std::pin::pin!(serving), std::pin::pin!(hearing));
        tokio::select! {
            heard = &mut hearing => match heard {
                // Only the farewell is missing: nothing that happens now changes what was told.
                Ok(None) => {
                    let ending = timeout(GREETING_TIMEOUT, serving).await;
                    tracing::debug!("after the last report: {ending:?}");
                    if self.asked.all_is_sent {
                        let observer = &self.asked.observer;
                        self.asked.unanswered().into_iter().for_each(|path| observer.failed(path, Failure::NotSent, None));
                    }
                    Ended::Complete
                }
                Ok(Some(failure)) => Ended::Refused(failure),
                Err(error) => self.without_reports(connection, error, serving).await,
            },
            ending = &mut serving => match ending {
                Ending::Refused(failure) => Ended::Refused(failure),
                // The sender hears that its last report was heard before it says farewell.
                Ending::Done => Ended::Lost,
                Ending::Left => ended_by(connection, WireError::EndedEarly).await,
            },
        }
    }

    /// The request stream ended: the other stream tells why, if it is not only this one.
    async fn without_reports(
        &self,
        connection: &Connection,
        error: WireError,
        serving: std::pin::Pin<&mut impl Future<Output = Ending>>,
    ) -> Ended {
        match timeout(REASON_WAIT, serving).await {
            Ok(Ending::Refused(failure)) => Ended::Refused(failure),
            _ => ended_by(connection, error).await,
        }
    }

    fn policy(&self) -> Policy {
        let policy = Policy::new(RootPolicy::NamedHere(self.asked.clone()), self.umask);
        let Asked { no_replace, records, keep, .. } = self.asked;
        Policy { replace: !no_replace, records, allowed: keep, delete: self.asked.delete.is_some(), ..policy }
    }

    async fn ask(
        &self,
        connection: &Connection,
        token: &[u8; 16],
        heard: u64,
    ) -> Result<(Outgoing, Incoming), WireError> {
        let asking = async {
            let (mut outgoing, incoming) = connection.open_job().await?;
            let proof = ticket::token_proof(token, &connection.exporter()?);
            let bytes = |words: &[Vec<u8>]| words.iter().map(|word| word.clone().into()).collect();
            let (sources, words) = (bytes(&self.asked.sources), bytes(&self.words));
            let list = self.list.clone();
            outgoing.send(&FromPuller::Request(Request { minor: 0, proof, heard, sources, words, list })).await?;
            Ok((outgoing, incoming))
        };
        timeout(GREETING_TIMEOUT, asking).await.unwrap_or(Err(WireError::NoAnswer))
    }

    /// Plays the reports until the last one: nothing after [`Report::Complete`], or why the request is not served.
    async fn hear(
        &self,
        mut outgoing: Outgoing,
        mut incoming: Incoming,
        told: &mut Told,
    ) -> Result<Option<Failure>, WireError> {
        loop {
            match incoming.receive().await? {
                Some(ToPuller::Progress(progress)) => self.counters.show(&progress),
                Some(ToPuller::Report(report)) if report.is_within_limits() => {
                    let ended = self.play(&report, told);
                    told.reports += 1;
                    if ended.is_some() || told.reports.is_multiple_of(REPORTS_PER_ANSWER) {
                        outgoing.send(&FromPuller::Heard(told.reports)).await?;
                    }
                    match ended {
                        Some(Played::Complete) => {
                            outgoing.finish();
                            return Ok(None);
                        }
                        Some(Played::Refused(failure)) => return Ok(Some(failure)),
                        None => {}
                    }
                }
                Some(ToPuller::Report(_)) => return Ok(Some(Failure::Protocol)),
                None => return Err(WireError::EndedEarly),
            }
        }
    }

    fn play(&self, report: &Report, told: &mut Told) -> Option<Played> {
        let observer = self.asked.observer.as_ref();
        if let Report::Failed { path, .. } | Report::Skipped { path, .. } | Report::Trusted(path) = report {
            self.asked.reported(path);
        }
        match report {
            Report::Failed { path, failure, detail } => {
                self.asked.failed();
                observer.failed(path, *failure, detail.and_then(Detail::words).as_deref());
            }
            Report::Skipped { path, why } => {
                let words = why.and_then(Detail::words);
                observer.skipped(path, words.as_deref().unwrap_or("not carried"));
            }
            Report::Trusted(path) => observer.trusted(path),
            Report::SourceRemoved(path) if self.asked.moves => observer.source_removed(path),
            Report::WouldRemoveSource { path, length_bytes } if self.asked.dry_run && self.asked.moves => {
                observer.foreseen(Foreseen::SourceRemoved, path, *length_bytes);
            }
            Report::WouldDelete(path) if self.asked.dry_run && self.asked.delete.is_some() => {
                observer.foreseen(Foreseen::Deleted, path, 0);
            }
            // It says that it did what nobody asked it to do.
            Report::SourceRemoved(_) | Report::WouldRemoveSource { .. } | Report::WouldDelete(_) => {
                return Some(Played::Refused(Failure::Protocol));
            }
            Report::Notice { path, words } => self.notice(path, *words, &mut told.notices),
            Report::Complete => return Some(Played::Complete),
            Report::Refused(failure) => return Some(Played::Refused(*failure)),
        }
        None
    }
}

impl Pull {
    /// A notice of the other host, under its name; of any number of them only some.
    fn notice(&self, path: &[u8], words: Detail, notices: &mut u32) {
        let Some(words) = words.words() else { return };
        *notices = notices.saturating_add(1);
        let (observer, host) = (&self.asked.observer, &self.host);
        match *notices {
            NOTICES_MAX.. if *notices > NOTICES_MAX => {}
            NOTICES_MAX => observer.notice(&format!("{host}: further notices are not shown")),
            _ if path.is_empty() => observer.notice(&format!("{host}: {words}")),
            _ => observer.notice(&format!("{host}: '{}' {words}", String::from_utf8_lossy(path))),
        }
    }
}

/// A report after which there is no other.
enum Played {
    Complete,
    Refused(Failure),
}

/// What the end of a connection means for the transfer.
async fn ended_by(connection: &Connection, error: WireError) -> Ended {
    if error.is_garbled() {
        connection.close(CloseReason::Garbled);
        return Ended::Refused(Failure::Garbled);
    }
    // A stream that ends is often the first sign of a connection that does: its own reason says more.
    let error = timeout(REASON_WAIT, connection.closed()).await.unwrap_or(error);
    match error {
        WireError::ClosedByPeer { reason: CloseReason::NotAdmitted } => Ended::Refused(Failure::NotAdmitted),
        WireError::ClosedByPeer { reason: CloseReason::Protocol } => Ended::Refused(Failure::Protocol),
        WireError::ClosedByPeer { reason: CloseReason::Garbled } => Ended::Refused(Failure::Garbled),
        WireError::VersionMismatch => Ended::Refused(Failure::Version),
        WireError::Refused { .. } | WireError::Crypto(_) | WireError::Message(_) => Ended::Broken(error),
        _ => Ended::Lost,
    }
}
