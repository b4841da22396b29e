//! Images: what a medium may legally hold when the power goes after a prefix of the log.
//!
//! Every entry that no sync covers has its own fate; a model says which combinations there are. Few combinations are all
//! made; of many, the extremes and some drawn by a seed. An image is named by crash point, model, number and seed.

use std::collections::HashSet;
use std::fmt;

use super::content::{Written, scramble};
use super::log::{Operation, Recording};
use super::tree::{Fate, Tree};

/// What a medium promises about writes and changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// M0, the least that POSIX asks for. Each block independently old, new, zeros, garbage or torn; each change of a name,
    /// length, mode or time independently kept or lost; a rename whole or not at all. A sync of a file covers its bytes and
    /// length (fsync its mode and time, too) but no name; a sync of a directory its own names, mode and time.
    Posix,
    /// M1, an ordered journal. Bytes as in M0; all other changes kept as a prefix in their order, which a sync of a file or
    /// directory extends over the last change of that one, its creation included.
    Journal,
    /// M3, a device that lies: as M0, but no sync ever did anything. **Outside of every promise.**
    Lying,
}

impl Model {
    /// Whether the promises are made for media of this kind.
    #[must_use]
    pub fn is_promised(self) -> bool {
        self != Self::Lying
    }
}

impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Posix => "M0",
            Self::Journal => "M1",
            Self::Lying => "M3",
        })
    }
}

/// How many images are made of one crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Up to so many combinations, a write having one fate as a whole, all are made.
    pub exhaustive_max: u64,
    /// Images drawn at random, each block of a write having a fate of its own; made where anything was written, beside all
    /// combinations or the extremes.
    pub random: u64,
    /// For drawing.
    pub seed: u64,
}

/// All images of one crash point under one model.
#[derive(Debug)]
pub struct Images<'a> {
    recording: &'a Recording,
    point: usize,
    model: Model,
    sampling: Sampling,
    items: Vec<Item>,
    /// Changes of names, lengths, modes and times that are not covered, in order.
    open_changes: Vec<usize>,
    open_writes: Vec<usize>,
    /// If all of them are made.
    combinations: Option<u64>,
}

/// Something that was not covered, and can go one way or the other.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// An entry's change: lost or kept.
    Change(usize),
    /// An entry's bytes: one of [`Written::WHOLE`].
    Bytes(usize),
    /// How many of the open changes are kept, from the first on.
    Journal,
}

/// What was drawn for an item.
#[derive(Clone, Copy, Debug)]
enum Drawn {
    /// From 0, lost, to the last, kept.
    Value(usize),
    /// For each block anew.
    Mixed(u64),
}

impl<'a> Images<'a> {
    /// The images of a crash after the first `point` entries.
    ///
    /// # Panics
    /// If the recording is shorter.
    #[must_use]
    pub fn new(recording: &'a Recording, point: usize, model: Model, sampling: Sampling) -> Self {
        assert!(point <= recording.entries.len(), "a crash point lies within its recording");
        let covered = Covered::by_the_syncs(recording, point, model);
        let open = |wanted: fn(&Operation) -> bool, covered: &HashSet<usize>| -> Vec<usize> {
            let is_open = |&index: &usize| wanted(&recording.entries[index].operation) && !covered.contains(&index);
            (0..point).filter(is_open).collect()
        };
        let open_changes = open(Operation::changes_metadata, &covered.changes);
        let open_writes = open(Operation::changes_data, &covered.writes);
        let mut items: Vec<Item> = match model {
            Model::Journal if !open_changes.is_empty() => vec![Item::Journal],
            Model::Journal => Vec::new(),
            Model::Posix | Model::Lying => open_changes.iter().copied().map(Item::Change).collect(),
        };
        items.extend(open_writes.iter().copied().map(Item::Bytes));
        let mut images =
            Self { recording, point, model, sampling, items, open_changes, open_writes, combinations: None };
        let product = images.items.iter().try_fold(1_u64, |all, &item| all.checked_mul(images.ways(item) as u64));
        images.combinations = product.filter(|&all| all <= sampling.exhaustive_max);
        images
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let chosen = self.combinations.unwrap_or(2 + 2 * self.items.len() as u64);
        let random = if self.combinations.is_some() && self.open_writes.is_empty() { 0 } else { self.sampling.random };
        chosen + random
    }

    /// Whether every combination is among them.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.combinations.is_some()
    }

    /// The number of the image in which all that no sync covered is lost.
    #[must_use]
    pub fn nothing_kept(&self) -> u64 {
        0
    }

    /// The number of the image in which everything is kept: what the host itself saw.
    #[must_use]
    pub fn all_kept(&self) -> u64 {
        self.combinations.map_or(1, |all| all - 1)
    }

    /// The image of this number, from 0: what the host finds when it comes up again.
    #[must_use]
    pub fn tree(&self, number: u64) -> Tree {
        let mut tree = self.recording.initial.clone();
        for (entry, fate) in self.recording.entries.iter().zip(self.fates(number)) {
            tree.apply(entry, fate);
        }
        tree.settle();
        tree
    }

    /// What names an image among all of its recording.
    #[must_use]
    pub fn name(&self, number: u64) -> String {
        format!(
            "point {} of {}, {}, image {number}, seed {}",
            self.point,
            self.recording.entries.len(),
            self.model,
            self.sampling.seed
        )
    }

    /// The whole way to an image: the log up to the crash, and what became of each entry that no sync covered.
    #[must_use]
    pub fn describe(&self, number: u64) -> String {
        let mut lines = String::new();
        for (index, fate) in self.fates(number).into_iter().enumerate() {
            let mut fates = Vec::new();
            if self.open_changes.contains(&index) {
                fates.push(if fate.is_kept { "kept".to_owned() } else { "LOST".to_owned() });
            }
            if self.open_writes.contains(&index) {
                fates.push(format!("bytes {:?}", fate.written));
            }
            let fates = if fates.is_empty() { String::new() } else { format!("   [{}]", fates.join(", ")) };
            lines.push_str(&format!("{index:4}  {}{fates}\n", self.recording.entries[index]));
        }
        lines
    }

    fn fates(&self, number: u64) -> Vec<Fate> {
        let mut fates = vec![Fate::KEPT; self.point];
        for (&item, drawn) in self.items.iter().zip(self.drawn(number)) {
            match (item, drawn) {
                (Item::Change(index), Drawn::Value(value)) => fates[index].is_kept = value > 0,
                (Item::Bytes(index), Drawn::Value(value)) => fates[index].written = Written::WHOLE[value],
                (Item::Bytes(index), Drawn::Mixed(seed)) => fates[index].written = Written::Mixed(seed),
                (Item::Journal, Drawn::Value(kept)) => {
                    self.open_changes.iter().skip(kept).for_each(|&index| fates[index].is_kept = false);
                }
                (Item::Change(_) | Item::Journal, Drawn::Mixed(_)) => {}
            }
        }
        fates
    }

    fn ways(&self, item: Item) -> usize {
        match item {
            Item::Change(_) => 2,
            Item::Bytes(_) => Written::WHOLE.len(),
            Item::Journal => self.open_changes.len() + 1,
        }
    }

    /// One for each item.
    fn drawn(&self, number: u64) -> Vec<Drawn> {
        assert!(number < self.count(), "an image of this crash point");
        let chosen = self.combinations.unwrap_or(2 + 2 * self.items.len() as u64);
        if number >= chosen {
            return self.drawn_at_random(number);
        }
        if self.combinations.is_some() {
            let mut left = number as usize;
            let digit = |&item: &Item| {
                let ways = self.ways(item);
                let value = left % ways;
                left /= ways;
                Drawn::Value(value)
            };
            return self.items.iter().map(digit).collect();
        }
        // None, all, each alone missing, each alone present.
        let (is_kept, other) = match number as usize {
            0 => (false, None),
            1 => (true, None),
            number => (number % 2 == 0, Some(number / 2 - 1)),
        };
        let extreme = |(position, &item): (usize, &Item)| {
            let keeps = is_kept != (other == Some(position));
            Drawn::Value(if keeps { self.ways(item) - 1 } else { 0 })
        };
        self.items.iter().enumerate().map(extreme).collect()
    }

    fn drawn_at_random(&self, number: u64) -> Vec<Drawn> {
        let mut state = scramble(self.sampling.seed ^ scramble((self.point as u64) << 32 | number));
        let draw = |&item: &Item| {
            state = scramble(state);
            match item {
                Item::Bytes(_) if state & 1 == 0 => Drawn::Mixed(state),
                item => Drawn::Value((state >> 8) as usize % self.ways(item)),
            }
        };
        self.items.iter().map(draw).collect()
    }
}

/// Entries whose effect the medium holds for certain.
struct Covered {
    changes: HashSet<usize>,
    writes: HashSet<usize>,
}

impl Covered {
    fn by_the_syncs(recording: &Recording, point: usize, model: Model) -> Self {
        let mut covered = Self { changes: HashSet::new(), writes: HashSet::new() };
        if model == Model::Lying {
            return covered;
        }
        let operations: Vec<&Operation> = recording.entries[..point].iter().map(|entry| &entry.operation).collect();
        for (position, sync) in operations.iter().enumerate() {
            let before = operations[..position].iter().enumerate();
            for (index, operation) in before {
                let is_covered = match sync {
                    Operation::SyncFileSystem => true,
                    Operation::SyncData(inode) => operation.bytes_of() == Some(*inode),
                    Operation::SyncAll(inode) => {
                        let concerned = [operation.bytes_of(), operation.attributes_of(), operation.names_of()];
                        concerned.contains(&Some(*inode))
                    }
                    _ => false,
                };
                let is_journalled = match sync {
                    Operation::SyncData(inode) | Operation::SyncAll(inode) => operation.creates() == Some(*inode),
                    _ => false,
                };
                if is_covered && operation.changes_data() {
                    covered.writes.insert(index);
                }
                if is_covered && operation.changes_metadata() || is_journalled && model == Model::Journal {
                    covered.changes.insert(index);
                }
            }
        }
        if model == Model::Journal
            && let Some(&last) = covered.changes.iter().max()
        {
            // A journal keeps what came before, too.
            covered.changes.extend((0..last).filter(|&index| operations[index].changes_metadata()));
        }
        covered
    }
}

#[cfg(test)]
mod tests;
