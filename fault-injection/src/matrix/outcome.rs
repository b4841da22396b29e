//! How one trial ended, who noticed first, and what theory said: the words that a cell of the matrix is made of.

use serde::{Deserialize, Serialize};

/// How one trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Reported as right, and the bytes are wrong: the one thing that must not be.
    Silent,
    /// Did not end in time, or died. No claim was made.
    Hung,
    /// An error or a detection without a fault.
    FalseAlarm,
    /// Caught, and ended in an error; the target is old or absent.
    Refused,
    /// Caught, and the bytes are right in the end.
    Repaired,
    /// The bytes are right, and nobody noticed anything.
    Masked,
    /// The fault never took effect: the trial does not count.
    NotActivated,
}

impl Outcome {
    /// From the worst to the emptiest.
    pub const ALL: [Self; 7] =
        [Self::Silent, Self::Hung, Self::FalseAlarm, Self::Refused, Self::Repaired, Self::Masked, Self::NotActivated];

    /// The word in a cell.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Hung => "hung",
            Self::FalseAlarm => "alarm",
            Self::Refused => "refused",
            Self::Repaired => "repaired",
            Self::Masked => "masked",
            Self::NotActivated => "-",
        }
    }

    /// Stands for the word where there is no room; no two have the same.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Silent => 'S',
            Self::Hung => 'H',
            Self::FalseAlarm => 'A',
            Self::Refused => 'X',
            Self::Repaired => 'R',
            Self::Masked => 'M',
            Self::NotActivated => '-',
        }
    }

    /// What the word means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Silent => "reported as right, and the bytes are wrong",
            Self::Hung => "did not end in time, nothing claimed",
            Self::FalseAlarm => "an alarm although the file was right",
            Self::Refused => "caught, ended in an error, the old file is untouched",
            Self::Repaired => "caught, and the bytes are right in the end",
            Self::Masked => "the bytes are right, nobody noticed",
            Self::NotActivated => "the fault never took effect",
        }
    }
}

/// How many trials ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// [`Outcome::Repaired`].
    pub repaired: u32,
    /// [`Outcome::Refused`].
    pub refused: u32,
    /// [`Outcome::Masked`].
    pub masked: u32,
    /// [`Outcome::Silent`].
    pub silent: u32,
    /// [`Outcome::FalseAlarm`].
    pub false_alarm: u32,
    /// [`Outcome::NotActivated`].
    pub not_activated: u32,
    /// [`Outcome::Hung`].
    pub hung: u32,
}

impl Counts {
    /// How many ended so.
    #[must_use]
    pub const fn of(&self, outcome: Outcome) -> u32 {
        match outcome {
            Outcome::Silent => self.silent,
            Outcome::Hung => self.hung,
            Outcome::FalseAlarm => self.false_alarm,
            Outcome::Refused => self.refused,
            Outcome::Repaired => self.repaired,
            Outcome::Masked => self.masked,
            Outcome::NotActivated => self.not_activated,
        }
    }

    /// Adds trials that ended so.
    pub const fn add(&mut self, outcome: Outcome, trials: u32) {
        let count = match outcome {
            Outcome::Silent => &mut self.silent,
            Outcome::Hung => &mut self.hung,
            Outcome::FalseAlarm => &mut self.false_alarm,
            Outcome::Refused => &mut self.refused,
            Outcome::Repaired => &mut self.repaired,
            Outcome::Masked => &mut self.masked,
            Outcome::NotActivated => &mut self.not_activated,
        };
        *count = count.saturating_add(trials);
    }

    /// Trials whose fault took effect.
    #[must_use]
    pub const fn fired(&self) -> u32 {
        let caught = self.repaired.saturating_add(self.refused).saturating_add(self.false_alarm);
        caught.saturating_add(self.masked).saturating_add(self.silent).saturating_add(self.hung)
    }

    /// The most frequent end of those that took effect, the worse one of two; nothing if none did.
    #[must_use]
    pub fn dominant(&self) -> Option<Outcome> {
        let ends = Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::NotActivated);
        // Of equal counts the last one is taken, and the list begins with the worst.
        ends.rev().max_by_key(|outcome| self.of(*outcome)).filter(|outcome| self.of(*outcome) > 0)
    }

    /// Ends that occurred among those that took effect, the worst first.
    pub fn parts(&self) -> impl Iterator<Item = (Outcome, u32)> + '_ {
        let ends = Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::NotActivated);
        ends.map(|outcome| (outcome, self.of(outcome))).filter(|(_, count)| *count > 0)
    }
}

/// Who notices a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The kernel, by UDP's 16 bits.
    UdpChecksum,
    /// QUIC's authenticated encryption.
    Aead,
    /// The chunk's hash on arrival.
    ChunkCheck,
    /// The second read of the source.
    SecondRead,
    /// The record of the source.
    Record,
    /// The copy read back.
    ReadBack,
    /// Commit, receipt, names and identities.
    CommitCheck,
    /// An error that the disk itself reported.
    DiskError,
    /// Nobody.
    Nobody,
}

impl Layer {
    /// Along the path of the data.
    pub const ALL: [Self; 9] = [
        Self::UdpChecksum,
        Self::Aead,
        Self::ChunkCheck,
        Self::SecondRead,
        Self::Record,
        Self::ReadBack,
        Self::CommitCheck,
        Self::DiskError,
        Self::Nobody,
    ];

    /// Two or three words for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UdpChecksum => "UDP checksum",
            Self::Aead => "QUIC encryption",
            Self::ChunkCheck => "chunk check",
            Self::SecondRead => "second read",
            Self::Record => "record",
            Self::ReadBack => "read-back",
            Self::CommitCheck => "commit check",
            Self::DiskError => "disk error",
            Self::Nobody => "nobody",
        }
    }
}

/// What theory says of one level in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// Never silent, and somebody notices.
    Caught,
    /// Wrong bytes are reported as right.
    Silent,
    /// Nothing comes of it: the bytes are right, noticed or not.
    Harmless,
    /// Nothing is said.
    Open,
}

impl Prediction {
    /// Whether what was found is what was said; nothing if no fault took effect or nothing was said.
    #[must_use]
    pub const fn agrees(self, counts: &Counts) -> Option<bool> {
        if counts.fired() == 0 {
            return None;
        }
        match self {
            Self::Caught => Some(counts.silent == 0 && counts.masked < counts.fired()),
            Self::Silent => Some(counts.silent > 0),
            Self::Harmless => Some(counts.silent == 0 && counts.refused == 0 && counts.hung == 0),
            Self::Open => None,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Silent => "silent",
            Self::Harmless => "harmless",
            Self::Open => "open",
        }
    }
}
