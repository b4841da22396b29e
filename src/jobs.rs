//! The jobs under way on one connection, found by the number that their pieces carry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Jobs by number.
#[derive(Debug)]
pub struct Jobs<T: ?Sized>(Arc<Mutex<HashMap<u64, Arc<T>>>>);

impl<T: ?Sized> Clone for Jobs<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Default for Jobs<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: ?Sized> Jobs<T> {
    /// Enters a job until the answer is dropped; nothing if the number is taken.
    #[must_use]
    pub fn register(&self, number: u64, job: Arc<T>) -> Option<Registered<T>> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.contains_key(&number) {
            return None;
        }
        jobs.insert(number, job);
        Some(Registered { jobs: self.clone(), number })
    }

    /// The job with this number, while it is entered.
    #[must_use]
    pub fn find(&self, number: u64) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// All jobs that are entered, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Keeps a job entered.
#[derive(Debug)]
pub struct Registered<T: ?Sized> {
    jobs: Jobs<T>,
    number: u64,
}

impl<T: ?Sized> Drop for Registered<T> {
    fn drop(&mut self) {
        self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}
