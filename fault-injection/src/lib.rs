//! Faults for `careful`, entered from outside: a faulty twin of each door, and a rig that runs both real halves over them.
//!
//! A [`plan`] says which fault strikes at which place. [`disk`], [`buffer`] and [`packet`] are decorators of the doors of
//! the same names and do what the plan says; without a plan for a place they pass everything on. [`rig`] runs a transfer
//! and judges it from outside. **Nothing of this is in the shipped programs, and their package never names this one.**

pub mod atlas;
pub mod buffer;
pub mod disk;
pub mod packet;
pub mod plan;
pub mod rig;
