//! The ladder: the same copy with more and more of it checked, so that each check can be seen to be needed.
//!
//! The upper levels are `careful` itself with checks switched off. The two lowest are programs of their own, here, written
//! as by somebody who trusts the layer below: [`datagrams`] and [`quic_stream`]. Both read, queue and write through the same
//! doors as `careful`, in pieces of the same numbers, so that one line of a plan strikes the same content at every level.
//! They copy the regular files directly in a directory. **They hash nothing, read nothing back, and leave directories,
//! links, modes and times alone.**

mod answering;
pub mod datagrams;
mod layout;
mod quic_gateway;
pub mod quic_stream;
mod source;
mod target;
mod udp;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use careful::protocol::receipt::{Origin, Stored};
use careful::seams::Environment;
use serde::{Deserialize, Serialize};

use crate::gateway::tamper::Tamper;

/// How long one half of a baseline waits for the other without hearing from it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a copy is checked, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// UDP and its checksum.
    L0,
    /// QUIC alone.
    L1,
    /// Hashes of what is sent and of what arrives.
    L2,
    /// The stored copy is read back, the page cache may answer.
    L3,
    /// The stored copy is read back from the device.
    L4,
    /// And the source is read a second time, past its page cache.
    L5,
    /// And the source was sealed before anything struck: it is compared with its record instead of read a second time.
    L6,
}

impl Level {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 7] = [Self::L0, Self::L1, Self::L2, Self::L3, Self::L4, Self::L5, Self::L6];
    /// All checks that need nothing made before: the level that makes the claim.
    pub const FULL: Self = Self::L5;

    /// What it is, in a few words.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::L0 => "plain UDP with its checksum",
            Self::L1 => "QUIC alone",
            Self::L2 => "chunk and stream hashes",
            Self::L3 => "read-back through the page cache",
            Self::L4 => "read-back from the device",
            Self::L5 => "read-back from the device, second read of the source",
            Self::L6 => "read-back from the device, record of the source",
        }
    }

    /// What it checks beyond the level below.
    #[must_use]
    pub fn checks(self) -> &'static str {
        match self {
            Self::L0 => "16 bits of each datagram, from socket to socket; the number of bytes that arrived",
            Self::L1 => "each packet, by authenticated encryption, from connection to connection",
            Self::L2 => "each chunk, from the sender's hash stage to the receiver's verify stage",
            Self::L3 => "the stored copy as the page cache has it",
            Self::L4 => "the stored copy as the device has it",
            Self::L5 => "the first read of the source and its way to the hash stage",
            Self::L6 => "the source itself, from when it was sealed to when it is sent",
        }
    }

    /// How `careful` reads the copy back at this level; nothing for a baseline, which is another program.
    #[must_use]
    pub fn stored(self) -> Option<Stored> {
        match self {
            Self::L0 | Self::L1 => None,
            Self::L2 => Some(Stored::None),
            Self::L3 => Some(Stored::Cache),
            Self::L4 | Self::L5 | Self::L6 => Some(Stored::Device),
        }
    }

    /// What vouches for the source at this level; for a baseline its one read.
    #[must_use]
    pub fn origin(self) -> Origin {
        match self {
            Self::L0 | Self::L1 | Self::L2 | Self::L3 | Self::L4 => Origin::FirstRead,
            Self::L5 => Origin::Reread,
            Self::L6 => Origin::Recorded,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["L0", "L1", "L2", "L3", "L4", "L5", "L6"][*self as usize])
    }
}

/// A word that is no level; holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLevel(String);

impl fmt::Display for NoLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no level of the ladder, L0 to L6: {:?}", self.0)
    }
}

impl std::error::Error for NoLevel {}

impl FromStr for Level {
    type Err = NoLevel;

    fn from_str(word: &str) -> Result<Self, NoLevel> {
        Self::ALL.into_iter().find(|level| level.to_string() == word).ok_or_else(|| NoLevel(word.to_owned()))
    }
}

/// Copies by the baseline of this level, as [`datagrams::copy`] and [`quic_stream::copy`] do; nothing is done, nor
/// answered, at a level that is `careful` itself. `through` is what a gateway between the halves does to content. A datagram
/// has none: what ends UDP and makes its checksum anew is the relay, at the packet door.
pub async fn copy(
    level: Level,
    sender: &Environment,
    receiver: &Environment,
    source_directory: &Path,
    target_directory: &Path,
    through: Option<Arc<dyn Tamper>>,
) -> Option<Copied> {
    match level {
        Level::L0 => Some(datagrams::copy(sender, receiver, source_directory, target_directory).await),
        Level::L1 => Some(quic_stream::copy(sender, receiver, source_directory, target_directory, through).await),
        Level::L2 | Level::L3 | Level::L4 | Level::L5 | Level::L6 => None,
    }
}

/// What a baseline says it did. Each file is in one of the two lists; names that are not Unicode are shown as well as they
/// can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files reported as delivered.
    pub delivered: Vec<String>,
    /// Files reported as failed, with why; `.` if the source could not even be listed.
    pub failed: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_reads_back_from_its_own_word() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for word in ["", "L7", "l0", "L0 ", "0"] {
            assert_eq!(word.parse::<Level>(), Err(NoLevel(word.to_owned())));
        }
    }

    #[test]
    fn no_level_checks_less_than_the_one_below() {
        assert!(Level::ALL.is_sorted());
        for pair in Level::ALL.windows(2) {
            assert!(pair[0].stored() <= pair[1].stored() && pair[0].origin() <= pair[1].origin());
            assert_ne!(pair[0].checks(), pair[1].checks());
        }
    }
}
