//! What went through the doors: how many bytes of each file, and where in memory they lay.
//!
//! A census of calls says how often a place was visited; this says how much was moved there, and whether it was copied on its
//! way from one place to the next. **Nothing here strikes.**

use std::collections::HashMap;

use super::{Place, Plan, Role};

/// Of one run.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    bytes: HashMap<(Role, Vec<u8>), u64>,
    addresses: HashMap<Place, usize>,
}

impl Plan {
    /// So many bytes of a file were read or written in this role.
    pub(crate) fn moved(&self, role: Role, file: &[u8], bytes: usize) {
        *self.state().traffic.bytes.entry((role, file.to_vec())).or_default() += bytes as u64;
    }

    /// What is at this place lies there in memory.
    pub(crate) fn lies_in(&self, place: Place, memory: &[u8]) {
        self.state().traffic.addresses.insert(place, memory.as_ptr().addr());
    }

    /// How many bytes of the file, named by its last component, were read or written in this role so far.
    #[must_use]
    pub fn bytes_moved(&self, role: Role, file: &str) -> u64 {
        self.state().traffic.bytes.get(&(role, file.as_bytes().to_vec())).copied().unwrap_or(0)
    }

    /// Where in memory lay what was at this place last; nothing if nothing ever was. What is read or written lies where the
    /// caller has it.
    #[must_use]
    pub fn address_at(&self, place: &Place) -> Option<usize> {
        self.state().traffic.addresses.get(place).copied()
    }
}
