//! Counts failures on their way to the observer: what may only be done after a transfer without any asks here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Observer;
use crate::outcome::Foreseen;
use crate::protocol::failure::Failure;
use crate::protocol::receipt::Receipt;

/// An observer that counts what fails.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn Observer>,
    failures: Arc<AtomicU64>,
}

impl Watched {
    /// Tells everything on; counts failures there.
    pub(super) fn new(inner: Arc<dyn Observer>, failures: Arc<AtomicU64>) -> Self {
        Self { inner, failures }
    }
}

impl Observer for Watched {
    fn failed(&self, path: &[u8], failure: Failure, detail: Option<&str>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.inner.failed(path, failure, detail);
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.inner.skipped(path, why);
    }

    fn trusted(&self, path: &[u8]) {
        self.inner.trusted(path);
    }

    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], unchanged: &[bool]) {
        self.inner.committed(receipt, signature, unchanged);
    }

    fn foreseen(&self, what: Foreseen, path: &[u8], length_bytes: u64) {
        self.inner.foreseen(what, path, length_bytes);
    }

    fn deleted(&self, path: &[u8]) {
        self.inner.deleted(path);
    }

    fn source_removed(&self, path: &[u8]) {
        self.inner.source_removed(path);
    }

    fn stores_receipts(&self) -> bool {
        self.inner.stores_receipts()
    }

    fn notice(&self, words: &str) {
        self.inner.notice(words);
    }

    fn notice_about(&self, path: &[u8], words: &str) {
        self.inner.notice_about(path, words);
    }

    fn started_over(&self) {
        self.inner.started_over();
    }

    fn make_room(&self) {
        self.inner.make_room();
    }

    fn all_told(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.all_told()
    }
}
