//! The observer of a run: writes down what the sender tells.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use careful::protocol::failure::Failure;
use careful::protocol::receipt::{Receipt, ReceiptFile};
use careful::send::Observer;
use careful::wire::identity::PublicKey;

/// Writes down what the sender tells.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Words>);

/// What was told, by names below the source.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) receipts: HashMap<String, ReceiptFile>,
    pub(super) failures: HashMap<String, Failure>,
    pub(super) notices: Vec<String>,
}

impl Told {
    /// All of it so far.
    pub(super) fn take(&self) -> Words {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Told {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit_once("/source/").map_or(path.as_ref(), |(_, name)| name);
        self.lock().failures.insert(name.to_owned(), failure);
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.notice(&format!("skipped {}: {why}", String::from_utf8_lossy(path)));
    }

    fn trusted(&self, path: &[u8]) {
        self.notice(&format!("trusted {}", String::from_utf8_lossy(path)));
    }

    fn committed(&self, receipt: &Receipt, signature: &[u8; 64], _unchanged: &[bool]) {
        let is_signed = PublicKey(receipt.receiver).verify(&receipt.statement(), signature);
        for file in receipt.files.iter().filter(|_| is_signed) {
            let name = String::from_utf8_lossy(&file.path).into_owned();
            self.lock().receipts.insert(name, file.clone());
        }
    }

    fn notice(&self, words: &str) {
        self.lock().notices.push(words.to_owned());
    }
}
