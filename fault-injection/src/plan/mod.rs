//! Plans: which fault strikes at which place, and which have struck.
//!
//! Places are logical, the second read of chunk 3 of a file, so that threads and time change nothing: a plan prints
//! itself as one line, and that line replays it. A fault counts as fired only when it had an effect. **No fault is made
//! here.**

mod drawn;
mod fault;
mod line;
mod place;
mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use careful::seams::buffer::Hop;

pub use drawn::Draw;
pub use fault::Fault;
pub(crate) use fault::{damage, range_of};
pub use line::PlanError;
pub use place::{Checksum, Hashes, Place, Role, Side};

/// Faults of one run, and what became of them.
#[derive(Debug, Default)]
pub struct Plan {
    entries: Vec<Entry>,
    state: Mutex<State>,
}

/// One fault at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Which of the visits to that place.
    pub occurrence: Occurrence,
    /// What.
    pub fault: Fault,
}

/// Which visits to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// Only this one, from 1.
    Nth(u64),
    /// Every one whose number is a multiple of this: 1 means always.
    Every(u64),
    /// This one and all after it.
    From(u64),
}

/// A fault that had an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// As planned.
    pub entry: Entry,
    /// At which visit of its place.
    pub visit: u64,
}

/// A fault that is due now. The twin makes it and then says so by [`Plan::took_effect`].
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// What is to be done.
    pub fault: Fault,
    /// Number of the visit, from 1.
    pub visit: u64,
    entry: usize,
}

impl Strike {
    /// The same strike where the damage is there once and stays: it looks the same at every visit.
    #[must_use]
    pub(crate) fn lasting(self) -> Self {
        Self { visit: 1, ..self }
    }
}

#[derive(Debug, Default)]
struct State {
    visits: HashMap<Place, u64>,
    fired: Vec<Fired>,
    traffic: traffic::Traffic,
}

impl Plan {
    /// A plan of these faults.
    pub fn new(entries: Vec<Entry>) -> Result<Self, PlanError> {
        match entries.iter().find(|entry| !entry.is_possible()) {
            Some(entry) => Err(PlanError(format!("cannot happen there: {entry}"))),
            None => Ok(Self { entries, state: Mutex::default() }),
        }
    }

    /// What is planned.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Counts a visit to this place and tells what is due at it.
    pub fn visit(&self, place: &Place) -> Vec<Strike> {
        let mut state = self.state();
        let visits = state.visits.entry(place.clone()).or_default();
        *visits += 1;
        let visit = *visits;
        let is_due = |entry: &Entry| entry.place == *place && entry.occurrence.includes(visit);
        let due = self.entries.iter().enumerate().filter(|(_, entry)| is_due(entry));
        due.map(|(position, entry)| Strike { fault: entry.fault, visit, entry: position }).collect()
    }

    /// The fault was made, and something is different for it.
    pub fn took_effect(&self, strike: Strike) {
        let fired = Fired { entry: self.entries[strike.entry].clone(), visit: strike.visit };
        self.state().fired.push(fired);
    }

    /// Every fault that took effect so far, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.state().fired.clone()
    }

    /// Entries that never took effect.
    #[must_use]
    pub fn not_fired(&self) -> Vec<Entry> {
        let fired = self.fired();
        let is_missing = |entry: &&Entry| !fired.iter().any(|fired| fired.entry == **entry);
        self.entries.iter().filter(is_missing).cloned().collect()
    }

    /// How often this place was visited so far.
    #[must_use]
    pub fn visits(&self, place: &Place) -> u64 {
        self.state().visits.get(place).copied().unwrap_or(0)
    }

    /// Every place that was visited so far, and how often: where a fault could have struck.
    #[must_use]
    pub fn census(&self) -> BTreeMap<Place, u64> {
        self.state().visits.iter().map(|(place, &visits)| (place.clone(), visits)).collect()
    }

    /// Whether anything is planned that this holds of.
    pub(crate) fn has(&self, wanted: impl Fn(&Entry) -> bool) -> bool {
        self.entries.iter().any(wanted)
    }

    /// Pieces that are to exchange their bytes with the next at this hop: file and chunk.
    pub(crate) fn exchanged(&self, hop: Hop) -> impl Iterator<Item = (&[u8], u64)> {
        let planned = self.entries.iter().filter(|entry| entry.fault == Fault::Exchange);
        planned.filter_map(move |entry| match &entry.place {
            Place::Buffer { hop: at, file, chunk } if *at == hop => Some((file.as_slice(), *chunk)),
            _ => None,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occurrence {
    fn includes(self, visit: u64) -> bool {
        match self {
            Self::Nth(number) => visit == number,
            Self::Every(number) => visit.is_multiple_of(number),
            Self::From(number) => visit >= number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_due_at_its_visits_alone_and_fires_when_told_so() {
        let plan: Plan =
            "source-to-hash f 1 #2 zero 0 9; source-to-hash f 1 *3 drop; source-to-hash f 1 +5 double".parse().unwrap();
        let place = Place::buffer(Hop::SourceToHash, "f", 1);
        let due: Vec<Vec<Fault>> =
            (0..6).map(|_| plan.visit(&place).iter().map(|strike| strike.fault).collect()).collect();
        let zero = Fault::Zero { byte: 0, length: 9 };
        let expected =
            [vec![], vec![zero], vec![Fault::Drop], vec![], vec![Fault::Double], vec![Fault::Drop, Fault::Double]];
        assert_eq!(due, expected);
        assert!(plan.fired().is_empty());
        assert_eq!(plan.not_fired().len(), 3);
        let other = Place::buffer(Hop::SourceToHash, "f", 2);
        assert!(plan.visit(&other).is_empty());
        assert_eq!(plan.census(), BTreeMap::from([(place, 6), (other, 1)]));
    }

    #[test]
    fn damage_that_changes_nothing_is_no_effect() {
        let strike = |fault| Strike { fault, visit: 1, entry: 0 };
        assert_eq!(damage(strike(Fault::SwapBytes { byte: 0 }), &mut [7, 7]), None);
        assert_eq!(damage(strike(Fault::SwapWords { byte: 0 }), &mut [1, 2, 1, 2]), None);
        assert_eq!(damage(strike(Fault::SwapWords { byte: 0 }), &mut [1, 2, 3]), None);
        assert_eq!(damage(strike(Fault::Zero { byte: 0, length: 512 }), &mut [0; 10]), None);
        assert_eq!(damage(strike(Fault::Zero { byte: 10, length: 1 }), &mut [1; 10]), None);
        assert_eq!(damage(strike(Fault::Flip { byte: 5, bit: 0 }), &mut []), None);
        let mut bytes = [1, 2, 3];
        assert_eq!(damage(strike(Fault::SwapBytes { byte: 1 }), &mut bytes), Some(2));
        assert_eq!(damage(strike(Fault::Flip { byte: 3, bit: 7 }), &mut bytes), Some(0));
        assert_eq!(damage(strike(Fault::Zero { byte: 1, length: 9 }), &mut bytes), Some(2));
        assert_eq!(bytes, [129, 0, 0]);
        let mut words = [1, 2, 3, 4, 5];
        assert_eq!(damage(strike(Fault::SwapWords { byte: 1 }), &mut words), Some(3));
        assert_eq!(words, [3, 4, 1, 2, 5]);
    }
}
