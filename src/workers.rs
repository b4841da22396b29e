//! Threads for disk and hash work, so that none of it runs on the threads that drive QUIC.
//!
//! A pool of [`Workers`] takes tasks over a bounded queue, each with memory of the thread's own; [`run`] is for single
//! operations whose answer is awaited. **No decision is taken here.**

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::seams::buffer::{Parcel, PieceBuffer};

type Task = Box<dyn FnOnce(&mut PieceBuffer) + Send>;

/// A few threads with a queue before them. They end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    queue: mpsc::Sender<Task>,
}

impl Workers {
    /// Starts `threads` threads, each with `memory_bytes` of aligned memory of its own.
    #[must_use]
    pub fn start(name: &str, threads: usize, memory_bytes: usize) -> Self {
        let (queue, tasks) = mpsc::channel::<Task>(threads * 2);
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..threads {
            let tasks = Arc::clone(&tasks);
            spawn(name, move || {
                let mut memory = PieceBuffer::unpooled(memory_bytes);
                loop {
                    let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    let Some(task) = task else { return };
                    task(&mut memory);
                }
            });
        }
        Self { queue }
    }

    /// Hands over a task; waits while the queue is full.
    pub async fn submit(&self, task: impl FnOnce(&mut PieceBuffer) + Send + 'static) {
        // The threads outlive every handle: sending fails only if a task panicked on each of them.
        if self.queue.send(Box::new(task)).await.is_err() {
            tracing::error!("no worker thread is left");
        }
    }
}

/// The threads of a stage, as others see them.
#[derive(Clone, Debug)]
pub struct Stage {
    threads: usize,
    at_work: Arc<AtomicUsize>,
}

impl Stage {
    /// Whether a thread has nothing to do just now. One that panicked never has.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) < self.threads
    }
}

/// A stage: threads that take parcels from a queue, one after another, until the queue closes.
pub fn take_parcels(
    name: &str,
    threads: usize,
    parcels: mpsc::Receiver<Parcel>,
    each: impl Fn(Parcel) + Clone + Send + 'static,
) -> Stage {
    let parcels = Arc::new(Mutex::new(parcels));
    let at_work = Arc::new(AtomicUsize::new(0));
    for _ in 0..threads {
        let (parcels, each, at_work) = (Arc::clone(&parcels), each.clone(), Arc::clone(&at_work));
        spawn(name, move || {
            loop {
                let parcel = parcels.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                let Some(parcel) = parcel else { return };
                at_work.fetch_add(1, Ordering::Relaxed);
                each(parcel);
                at_work.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    Stage { threads, at_work }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    assert!(spawned.is_ok(), "a thread of {name} can be started");
}

/// Runs one blocking operation and waits for its answer.
///
/// # Panics
/// If the operation panics: the panic goes on in the caller.
pub async fn run<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(operation).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => unreachable!("blocking operations are not cancelled: {error}"),
        },
    }
}
