//! How much one transfer may store, over all its connections.
//!
//! What counts is what is stored or reserved: a file's length from the moment space is taken for it, once, however often it
//! is offered again. What was given up half done stays counted, since it stays on the disk. **Announced totals count for
//! nothing.**

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::protocol::failure::Failure;
use crate::protocol::limits::COUNTED_FILES_MAX;

/// The account of one transfer.
#[derive(Debug)]
pub struct Quota {
    max_bytes: u64,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    charged_bytes: u64,
    /// Files that are not committed, and what was charged for them.
    open: HashMap<Vec<u8>, u64>,
}

impl Quota {
    /// For a transfer that may store so many bytes.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, account: Mutex::default() }
    }

    /// Charges the bytes of a file before space is taken for it. Fails with [`Failure::OverQuota`], and then charges nothing.
    pub(super) fn charge(&self, path: Vec<u8>, bytes: u64) -> Result<(), Failure> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let before = account.open.get(&path).copied().unwrap_or(0);
        // Its staging file may still be as long as it was.
        let charged = before.max(bytes);
        let total = (account.charged_bytes - before).checked_add(charged).ok_or(Failure::OverQuota)?;
        if total > self.max_bytes {
            return Err(Failure::OverQuota);
        }
        account.charged_bytes = total;
        // Beyond the limit a file that is offered again is charged again: rather too much than too little.
        if account.open.len() < COUNTED_FILES_MAX || before > 0 {
            account.open.insert(path, charged);
        }
        Ok(())
    }

    /// The file is committed: it is charged for good.
    pub(super) fn settle(&self, path: &[u8]) {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).open.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(quota: &Quota, path: &str, bytes: u64) -> Result<(), Failure> {
        quota.charge(path.as_bytes().to_vec(), bytes)
    }

    #[test]
    fn the_limit_itself_may_be_stored_and_no_byte_more() {
        let quota = Quota::new(100);
        assert_eq!(charge(&quota, "a", 101), Err(Failure::OverQuota));
        assert_eq!(charge(&quota, "a", 60), Ok(()));
        assert_eq!(charge(&quota, "b", 41), Err(Failure::OverQuota));
        assert_eq!(charge(&quota, "b", 40), Ok(()));
        assert_eq!(charge(&quota, "c", 1), Err(Failure::OverQuota));
        assert_eq!(charge(&quota, "c", 0), Ok(()));
        assert_eq!(charge(&quota, "d", u64::MAX), Err(Failure::OverQuota));
    }

    #[test]
    fn a_file_that_is_offered_again_counts_once_until_it_is_committed() {
        let quota = Quota::new(100);
        for _ in 0..10 {
            assert_eq!(charge(&quota, "a", 60), Ok(()));
        }
        assert_eq!(charge(&quota, "a", 10), Ok(()));
        assert_eq!(charge(&quota, "b", 41), Err(Failure::OverQuota));
        quota.settle(b"a");
        assert_eq!(charge(&quota, "a", 41), Err(Failure::OverQuota));
        assert_eq!(charge(&quota, "a", 40), Ok(()));
    }
}
