//! Faults for `careful`, entered from outside: a faulty twin of each door, and rigs that run both real halves over them.
//!
//! A [`plan`] says which fault strikes at which place. [`disk`], [`buffer`] and [`packet`] are decorators of the doors of
//! the same names and do what the plan says; without a plan for a place they pass everything on. [`halves`] starts a
//! receiver over them, [`rig`] runs a transfer and judges it from outside. [`crash_disk`] is a disk in memory that can tell
//! what a power cut may leave, and [`crash`] looks at all of that for every instant of a transfer. [`network`] is a network
//! in memory; [`relay`] and [`gateway`] stand between the real [`programs`], outside of both, [`link`] is a bad link under
//! them and any other tool, and [`memory`] flips bits in their memory. [`ladder`] has programs that check less, run over the same doors; a [`trial`] is one run at one level,
//! and [`matrix`] makes many and shows what they came to, and [`random`] strikes anywhere; [`statistics`] says what a count
//! of runs proves; [`mutants`] are the program with one guard taken out, each of which must be found. **Nothing of this is
//! in the shipped programs, and their package never names this one.**

pub mod atlas;
pub mod buffer;
pub mod checksum;
pub mod cli;
pub mod crash;
pub mod crash_disk;
pub mod disk;
pub mod gateway;
pub mod halves;
pub mod ladder;
pub mod link;
pub mod matrix;
pub mod memory;
pub mod mutants;
pub mod network;
pub mod packet;
pub mod passage;
pub mod plan;
pub mod programs;
pub mod random;
pub mod relay;
pub mod rig;
pub mod scenario;
pub mod statistics;
pub mod trial;
