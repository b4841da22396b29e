//! The matrix of faults: every row at every level, what came of it, and how a person sees it.
//!
//! [`rows`] says where faults strike, [`campaign`] runs the trials; [`report`] is the data, as JSON and in memory;
//! [`verdict`] is what follows from it; [`table`] draws it on a terminal and for the README, [`page`] as one HTML file;
//! [`progress`] is the bar while trials run.

pub mod campaign;
pub mod canaries;
pub mod crashes;
pub mod curves;
mod outcome;
pub mod page;
pub mod progress;
pub mod report;
pub mod rows;
#[cfg(test)]
pub(crate) mod sample;
pub mod table;
pub mod verdict;
