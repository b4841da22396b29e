//! The sync point: one flush of a file system serves all groups and pages of directories that wait for one at the same time.
//!
//! A flush counts for what was written before it began. The system tells an error of a flush once, to whoever asks first, and
//! names no file: so nothing counts that was written before such a flush ended, whoever it was that asked.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::sync_failed;
use crate::protocol::failure::Failure;
use crate::seams::disk::Directory;

/// Up to this many are flushed one by one: flushing the whole file system could mean other people's data.
const FLUSH_ONE_BY_ONE_MAX: usize = 8;

type Flush = Box<dyn Fn() -> Result<(), Failure> + Send + Sync>;

/// The file systems that one session writes to, by device.
#[derive(Debug, Default)]
pub(super) struct SyncPoints(Mutex<HashMap<u64, Arc<SyncPoint>>>);

/// A file system and its flushes, one after another.
struct SyncPoint {
    /// All flushes go through the same handle: it learns of every error since it was opened.
    flush: Flush,
    /// Whether they are worth a flush of everything on it.
    reach_all: bool,
    state: Mutex<State>,
    ended: Condvar,
}

impl Debug for SyncPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SyncPoint").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    /// Flushes that have begun, and those that have ended: one more at most has begun.
    begun: u64,
    ended: u64,
    /// Callers that wait for one.
    waiting: u64,
    failed: u64,
    failure: Option<Failure>,
}

/// A moment before the first write that a flush is to cover.
#[derive(Clone, Debug)]
pub(super) struct Unflushed {
    point: Arc<SyncPoint>,
    /// Flushes that had failed by then.
    failed: u64,
}

impl SyncPoints {
    /// To be asked before the first write to the file system with this device number, on which the directory lies.
    pub(super) fn before_writing(&self, device: u64, directory: &Arc<dyn Directory>) -> Unflushed {
        self.unflushed(device, || {
            let reach_all = directory.can_sync_file_system().unwrap_or(false);
            let directory = Arc::clone(directory);
            let flush = move || directory.sync_file_system().map_err(|error| sync_failed(&error));
            SyncPoint::new(Box::new(flush), reach_all)
        })
    }

    fn unflushed(&self, device: u64, point: impl FnOnce() -> SyncPoint) -> Unflushed {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let point = points.entry(device).or_insert_with(|| Arc::new(point()));
        Unflushed { point: Arc::clone(point), failed: point.state().failed }
    }
}

/// Whether [`flush_all`] is to serve as many as these, rather than each its own flush.
pub(super) fn serves<'a>(mut all: impl ExactSizeIterator<Item = Option<&'a Unflushed>>) -> bool {
    all.len() > FLUSH_ONE_BY_ONE_MAX && all.all(|unflushed| unflushed.is_some_and(|each| each.point.reach_all))
}

/// Flushes everything that was written since, each file system once. Blocks.
pub(super) fn flush_all(all: impl Iterator<Item = Unflushed>) -> Result<(), Failure> {
    let mut flushed: Vec<Unflushed> = Vec::new();
    for unflushed in all {
        if flushed.iter().any(|other| Arc::ptr_eq(&other.point, &unflushed.point)) {
            unflushed.outcome()?;
        } else {
            unflushed.flush()?;
            flushed.push(unflushed);
        }
    }
    Ok(())
}

impl Unflushed {
    /// Flushes everything that was written to the file system so far, or waits for a flush that begins after this call. Blocks.
    fn flush(&self) -> Result<(), Failure> {
        let point = self.point.as_ref();
        let mut state = point.state();
        let wanted = state.begun + 1;
        while state.ended < wanted {
            if state.begun > state.ended {
                state.waiting += 1;
                state = point.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                continue;
            }
            state.begun += 1;
            drop(state);
            // What is not answered at all has failed, and must not keep the others waiting.
            let mut running = Running { point, flushed: Err(Failure::SyncFailed) };
            running.flushed = (point.flush)();
            drop(running);
            state = point.state();
        }
        drop(state);
        self.outcome()
    }

    /// Whether no flush failed since the first write: such a failure may have been of what was written here.
    fn outcome(&self) -> Result<(), Failure> {
        let state = self.point.state();
        if state.failed > self.failed { Err(state.failure.unwrap_or(Failure::SyncFailed)) } else { Ok(()) }
    }
}

/// A flush that has begun.
struct Running<'a> {
    point: &'a SyncPoint,
    flushed: Result<(), Failure>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.point.state();
        if let Err(failure) = self.flushed {
            state.failed += 1;
            state.failure = Some(failure);
        }
        state.ended += 1;
        self.point.ended.notify_all();
    }
}

impl SyncPoint {
    fn new(flush: Flush, reach_all: bool) -> Self {
        Self { flush, reach_all, state: Mutex::default(), ended: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn point(
        points: &SyncPoints,
        device: u64,
        flush: impl Fn() -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Unflushed {
        points.unflushed(device, || SyncPoint::new(Box::new(flush), true))
    }

    #[test]
    fn one_flush_serves_many_where_it_reaches_all() {
        let points = SyncPoints::default();
        let reached = point(&points, 1, || Ok(()));
        let not_reached = points.unflushed(2, || SyncPoint::new(Box::new(|| Ok(())), false));
        let many = || vec![Some(&reached); FLUSH_ONE_BY_ONE_MAX];
        assert!(!serves(many().into_iter()), "few: others may have much to be written");
        assert!(serves([many(), vec![Some(&reached)]].concat().into_iter()));
        assert!(!serves([many(), vec![Some(&not_reached)]].concat().into_iter()), "one would be left out");
        assert!(!serves([many(), vec![None]].concat().into_iter()));
    }

    #[test]
    fn a_flush_serves_all_that_waited_for_the_one_before_it() {
        const CALLERS: u64 = 5;
        let flushes = Arc::new(AtomicU64::new(0));
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let counted = Arc::clone(&flushes);
        let points = SyncPoints::default();
        let unflushed = point(&points, 1, move || {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                begun.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            Ok(())
        });
        thread::scope(|scope| {
            scope.spawn(|| unflushed.flush().unwrap());
            has_begun.recv().unwrap();
            // What these wrote, the flush under way may have missed: it does not serve them.
            for _ in 0..CALLERS {
                scope.spawn(|| unflushed.flush().unwrap());
            }
            while unflushed.point.state().waiting < CALLERS {
                thread::yield_now();
            }
            go_on.send(()).unwrap();
        });
        assert_eq!(flushes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_was_written_before_a_failed_flush_ended_does_not_count() {
        let points = SyncPoints::default();
        let flushes = AtomicU64::new(0);
        let written = point(&points, 1, move || match flushes.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Failure::NoSpace),
            _ => Ok(()),
        });
        let written_too = point(&points, 1, || unreachable!("there is a sync point for this device"));
        assert_eq!(written.flush(), Err(Failure::NoSpace));
        assert_eq!(written_too.flush(), Err(Failure::NoSpace), "the error is told once, and may be of these bytes");
        assert_eq!(point(&points, 1, || Ok(())).flush(), Ok(()), "written afterwards");
    }

    #[test]
    fn a_flush_that_ends_in_a_panic_keeps_nobody_waiting() {
        let points = SyncPoints::default();
        let flushes = AtomicU64::new(0);
        let written = point(&points, 1, move || {
            assert!(flushes.fetch_add(1, Ordering::SeqCst) > 0, "the first is not answered");
            Ok(())
        });
        let other = written.clone();
        assert!(thread::spawn(move || other.flush()).join().is_err());
        assert_eq!(written.flush(), Err(Failure::SyncFailed));
    }

    #[test]
    fn each_file_system_is_flushed_once() {
        let points = SyncPoints::default();
        let flushes = Arc::new(AtomicU64::new(0));
        let unflushed = |device| {
            let counted = Arc::clone(&flushes);
            point(&points, device, move || {
                counted.fetch_add(1 << (8 * device), Ordering::SeqCst);
                Ok(())
            })
        };
        flush_all([1, 2, 1, 1, 2].map(unflushed).into_iter()).unwrap();
        assert_eq!(flushes.load(Ordering::SeqCst), 0x01_01_00);
    }
}
