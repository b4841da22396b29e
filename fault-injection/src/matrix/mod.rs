//! The matrix of faults: what a finished run looks like, and how a person sees it.
//!
//! [`report`] is the data, as JSON and in memory; [`verdict`] is what follows from it. **Nothing here runs a trial.**

mod outcome;
pub mod report;
#[cfg(test)]
pub(crate) mod sample;
pub mod verdict;
