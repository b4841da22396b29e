//! The observer of a sender that serves a request: passes on what it is told, in order and once, over as many connections
//! as it takes.
//!
//! A report is kept until the receiver has heard it. **Commits are not passed on: the receiver made them.**

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{interval, timeout};

use super::Observer;
use crate::connect::request::RequestStream;
use crate::outcome::Foreseen;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{
    GREETING_TIMEOUT, PROGRESS_EVERY, REPORT_PATH_BYTES_MAX, REPORTS_AHEAD, REPORTS_WAITING_MAX,
};
use crate::protocol::receipt::Receipt;
use crate::protocol::request::{Detail, FromPuller, Progress, Report, ToPuller};
use crate::wire::WireError;
use crate::wire::connection::CloseReason;

/// How long the walk sleeps at most before it looks for room again.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// Passes on to the receiver what a transfer tells.
#[derive(Debug)]
pub struct Reporter {
    log: Arc<Log>,
}

/// Reports that the receiver has not heard yet.
#[derive(Debug, Default)]
struct Log {
    waiting: Mutex<Waiting>,
    grown: Notify,
    heard: Notify,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Number of the first.
    first: u64,
    reports: VecDeque<Report>,
}

impl Waiting {
    fn end(&self) -> u64 {
        self.first + self.reports.len() as u64
    }
}

impl Log {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, report: Report) {
        self.waiting().reports.push_back(report);
        self.grown.notify_one();
    }

    /// The receiver says that it has heard so many, of which `told` were told to it.
    fn hear(&self, heard: u64, told: u64) -> Result<(), Stopped> {
        let mut waiting = self.waiting();
        if heard < waiting.first || heard > told {
            return Err(Stopped::Broken);
        }
        let gone = usize::try_from(heard - waiting.first).map_err(|_| Stopped::Broken)?;
        waiting.reports.drain(..gone);
        waiting.first = heard;
        drop(waiting);
        self.heard.notify_waiters();
        self.room.notify_all();
        Ok(())
    }

    fn report(&self, number: u64) -> Option<Report> {
        let waiting = self.waiting();
        let place = usize::try_from(number.checked_sub(waiting.first)?).ok()?;
        waiting.reports.get(place).cloned()
    }

    fn is_empty(&self) -> bool {
        self.waiting().reports.is_empty()
    }

    fn is_overfull(&self) -> bool {
        self.waiting().reports.len() > REPORTS_WAITING_MAX
    }
}

impl Reporter {
    /// Passes reports on over the streams as they come, always over the newest. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(streams: mpsc::Receiver<RequestStream>, counters: Arc<Counters>) -> Self {
        let log = Arc::new(Log::default());
        tokio::spawn(pass_on(Arc::clone(&log), streams, counters));
        Self { log }
    }
}

/// Says on a stream that nothing has gone over yet that its request is not served.
pub async fn refuse(stream: RequestStream, failure: Failure) {
    let RequestStream { connection, mut outgoing, mut incoming, .. } = stream;
    let telling = async {
        outgoing.send(&ToPuller::Report(Report::Refused(failure))).await?;
        incoming.receive::<FromPuller>().await
    };
    let told = timeout(GREETING_TIMEOUT, telling).await;
    tracing::debug!("refused the request: {failure}: {told:?}");
    connection.finish().await;
}

async fn pass_on(log: Arc<Log>, mut streams: mpsc::Receiver<RequestStream>, counters: Arc<Counters>) {
    let mut stream = streams.recv().await;
    while let Some(current) = stream.take() {
        let connection = current.connection.clone();
        let passing = pass_on_over(&log, current, &counters);
        stream = tokio::select! {
            ended = passing => {
                if let Err(error) = &ended {
                    tracing::debug!("reports are no longer passed on over this connection: {error}");
                }
                if matches!(ended, Err(Stopped::Broken)) {
                    connection.close(CloseReason::Protocol);
                }
                streams.recv().await
            }
            newer = streams.recv() => newer,
        };
    }
}

/// Why no more goes over one stream.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the receiver does not keep to the protocol, or hears nothing")]
    Broken,
}

async fn pass_on_over(log: &Log, stream: RequestStream, counters: &Counters) -> Result<(), Stopped> {
    let RequestStream { mut outgoing, mut incoming, heard, .. } = stream;
    let all = log.waiting().end();
    log.hear(heard, all)?;
    let mut told = heard;
    let mut shown = Progress::default();
    let mut progress = interval(PROGRESS_EVERY);
    loop {
        while let Some(report) = log.report(told) {
            if report == Report::Complete {
                // The last word comes after the last numbers.
                outgoing.send(&ToPuller::Progress(counters.snapshot().into())).await?;
            }
            outgoing.send(&ToPuller::Report(report)).await?;
            told += 1;
        }
        tokio::select! {
            message = incoming.receive() => match message? {
                Some(FromPuller::Heard(heard)) => log.hear(heard, told)?,
                Some(FromPuller::Request(_)) => return Err(Stopped::Broken),
                None => return Ok(()),
            },
            () = log.grown.notified() => {}
            _ = progress.tick() => {
                let now = counters.snapshot().into();
                if now != shown {
                    outgoing.send(&ToPuller::Progress(now)).await?;
                    shown = now;
                }
            }
        }
        if log.is_overfull() {
            return Err(Stopped::Broken);
        }
    }
}

/// As long as a path in a report may be: what is longer is shown by its beginning.
fn shown(path: &[u8]) -> Vec<u8> {
    path[..path.len().min(REPORT_PATH_BYTES_MAX)].to_vec()
}

impl Observer for Reporter {
    fn failed(&self, path: &[u8], failure: Failure, detail: Option<&str>) {
        self.log.add(Report::Failed { path: shown(path), failure, detail: detail.and_then(Detail::of) });
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.log.add(Report::Skipped { path: shown(path), why: Detail::of(why) });
    }

    fn trusted(&self, path: &[u8]) {
        self.log.add(Report::Trusted(shown(path)));
    }

    fn committed(&self, _receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {}

    /// What becomes of files and of what has no source the receiver sees for itself, but not in a dry run what it is asked to count.
    fn foreseen(&self, what: Foreseen, path: &[u8], length_bytes: u64) {
        match what {
            Foreseen::New | Foreseen::Replaced | Foreseen::Unchanged => {}
            Foreseen::Deleted => self.log.add(Report::WouldDelete(shown(path))),
            Foreseen::SourceRemoved => self.log.add(Report::WouldRemoveSource { path: shown(path), length_bytes }),
        }
    }

    fn source_removed(&self, path: &[u8]) {
        self.log.add(Report::SourceRemoved(shown(path)));
    }

    /// A receiver that asked for a move sends no receipt before that is on its disk.
    fn stores_receipts(&self) -> bool {
        true
    }

    /// What happens to connections, for which there are no words between the sides, the receiver sees for itself.
    fn notice(&self, words: &str) {
        self.notice_about(b"", words);
    }

    fn notice_about(&self, path: &[u8], words: &str) {
        tracing::info!("{words}");
        if let Some(words) = Detail::of(words) {
            self.log.add(Report::Notice { path: shown(path), words });
        }
    }

    fn make_room(&self) {
        let mut waiting = self.log.waiting();
        while waiting.reports.len() >= REPORTS_AHEAD {
            let looked = self.log.room.wait_timeout(waiting, LOOK_FOR_ROOM);
            waiting = looked.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn all_told(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.log.add(Report::Complete);
        Box::pin(async {
            let all_heard = async {
                loop {
                    let heard = self.log.heard.notified();
                    if self.log.is_empty() {
                        return;
                    }
                    heard.await;
                }
            };
            if timeout(GREETING_TIMEOUT, all_heard).await.is_err() {
                tracing::debug!("the receiver did not hear the last report");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_forgotten_and_nothing_else() {
        let log = Log::default();
        for path in [b"a", b"b", b"c"] {
            log.add(Report::Trusted(path.to_vec()));
        }
        assert!(log.hear(4, 3).is_err(), "more than there is");
        assert!(log.hear(3, 2).is_err(), "more than was told");
        log.hear(2, 3).expect("right");
        assert_eq!((log.report(1), log.report(2)), (None, Some(Report::Trusted(b"c".to_vec()))));
        assert!(log.hear(1, 3).is_err(), "less than before");
        log.hear(3, 3).expect("right");
        assert!(log.is_empty() && log.report(3).is_none());
    }

    #[test]
    fn the_walk_waits_until_reports_are_heard() {
        let log = Arc::new(Log::default());
        let reporter = Reporter { log: Arc::clone(&log) };
        let all = 2 * REPORTS_AHEAD;
        let walk = std::thread::spawn(move || {
            for _ in 0..all {
                reporter.make_room();
                reporter.skipped(b"a", "a symbolic link");
            }
        });
        let mut heard = 0;
        while heard < all as u64 {
            let end = log.waiting().end();
            assert!(log.waiting().reports.len() <= REPORTS_AHEAD);
            // Only full logs are heard at first, so that the walk has to wait.
            if end - heard == REPORTS_AHEAD as u64 {
                log.hear(end, end).expect("right");
                heard = end;
            }
            std::thread::yield_now();
        }
        walk.join().expect("no panic");
        assert!(log.is_empty() && !log.is_overfull());
    }

    #[test]
    fn a_path_longer_than_a_report_may_be_is_shown_by_its_beginning() {
        let reporter = Reporter { log: Arc::default() };
        reporter.failed(&vec![b'a'; 3 * REPORT_PATH_BYTES_MAX], Failure::SourceMissing, Some("not ours"));
        let report = reporter.log.report(0).expect("a report");
        assert!(report.is_within_limits());
        assert!(matches!(report, Report::Failed { detail: None, .. }));
    }
}
