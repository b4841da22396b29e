//! Work that was under way when a connection was lost: it is simply offered again on the next one.

use std::sync::{Mutex, PoisonError};

use super::links::LinkWork;
use super::walk::{FileWork, GroupWork};

/// Work that a lost connection interrupted.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) groups: Mutex<Vec<GroupWork>>,
    pub(super) files: Mutex<Vec<FileWork>>,
    pub(super) links: Mutex<Vec<LinkWork>>,
}

/// For the next connection.
pub(super) fn put_back<T>(backlog: &Mutex<Vec<T>>, work: T) {
    backlog.lock().unwrap_or_else(PoisonError::into_inner).push(work);
}

/// What the last connection left.
pub(super) fn take_back<T>(backlog: &Mutex<Vec<T>>) -> Option<T> {
    backlog.lock().unwrap_or_else(PoisonError::into_inner).pop()
}
