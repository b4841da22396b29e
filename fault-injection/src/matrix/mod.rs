//! The matrix of faults: what a finished run looks like, and how a person sees it.
//!
//! [`report`] is the data, as JSON and in memory; [`verdict`] is what follows from it; [`table`] draws it on a terminal and
//! for the README, [`page`] as one HTML file; [`progress`] is the bar while trials run. **Nothing here runs a trial.**

mod outcome;
pub mod page;
pub mod progress;
pub mod report;
#[cfg(test)]
pub(crate) mod sample;
pub mod table;
pub mod verdict;
