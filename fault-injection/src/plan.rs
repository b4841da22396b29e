//! Plans: which fault strikes at which place, and which have struck.
//!
//! Places are logical, the second read of chunk 3 of a file, so that threads and time change nothing: a plan prints
//! itself as one line, and that line replays it. A fault counts as fired only when it had an effect. **No fault is made
//! here.**
//!
//! Longer than 400 lines because the words of the line stand beside what they mean.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use careful::seams::buffer::Hop;

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

/// Where a fault can strike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the disk door. A visit is a call that begins at the first byte of the chunk: what finishes a short one is not.
    Disk {
        /// What is done there.
        role: Role,
        /// Last component of the file's final name, also where its staging file is meant; `.` for a directory's own.
        file: Vec<u8>,
        /// Number of the chunk of 1 MiB; 0 where the whole file is meant.
        chunk: u64,
    },
    /// At the buffer door. Counted over all jobs.
    Buffer {
        /// Between which stages.
        hop: Hop,
        /// Number of the chunk in its file, or of the file in its group.
        piece: u64,
    },
    /// At the packet door: a datagram that leaves. They are numbered from 1, and the same number need not be the same
    /// content in another run.
    Packet {
        /// Whose datagram.
        from: Side,
    },
}

/// One of the two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The sending half.
    Sender,
    /// The receiving half.
    Receiver,
}

/// What the disk is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The read of the source that is sent.
    SourceRead,
    /// A read of the source past the page cache: the second read, and every one after a doubt.
    SourceReadPastCache,
    /// Reserving space for a staging file.
    Allocate,
    /// A write into a staging file.
    StagingWrite,
    /// A flush of a file.
    FileSync,
    /// A read of a staging file.
    ReadBack,
    /// A read of what has the final name already.
    TargetRead,
    /// A rename; the file is the new name.
    Rename,
    /// A flush of a directory.
    DirectorySync,
    /// A flush of a whole file system.
    FileSystemSync,
}

/// Which visits to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// Only this one, from 1.
    Nth(u64),
    /// Every one whose number is a multiple of this: 1 means always.
    Every(u64),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One bit is another one. The byte counts from the start of the piece, modulo its length; at a place that is struck
    /// again it is the next bit, so that no two wrong copies agree.
    Flip {
        /// Position of the byte.
        byte: u64,
        /// Number of the bit, 0 to 7.
        bit: u8,
    },
    /// This byte and the next are exchanged.
    SwapBytes {
        /// Position of the first.
        byte: u64,
    },
    /// The first 4096 bytes are zero.
    Zero,
    /// Written right as far as the page cache can tell, one bit wrong on the medium below it.
    FlipOnMedium {
        /// Position of the byte.
        byte: u64,
        /// Number of the bit, 0 to 7.
        bit: u8,
    },
    /// A write that is acknowledged and not made.
    Lost,
    /// Half of what was asked for is read or written.
    Short,
    /// EINTR, nothing done.
    Interrupted,
    /// EIO, nothing done.
    Failed,
    /// ENOSPC, nothing done.
    NoSpace,
    /// A piece or packet is gone.
    Drop,
    /// A piece or packet comes twice.
    Double,
    /// The bytes of this piece and of the one after it are exchanged; at the first visit only, and both have to come.
    Exchange,
    /// A packet leaves after the next one.
    Late,
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

#[derive(Debug, Default)]
struct State {
    visits: HashMap<Place, u64>,
    fired: Vec<Fired>,
}

impl Plan {
    /// A plan of these faults.
    pub fn new(entries: Vec<Entry>) -> Result<Self, PlanError> {
        match entries.iter().find(|entry| !entry.is_possible()) {
            Some(entry) => Err(PlanError(format!("cannot happen there: {entry}"))),
            None => Ok(Self { entries, state: Mutex::default() }),
        }
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

    /// Final names that the plan has something for.
    pub(crate) fn files(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter_map(|entry| match &entry.place {
            Place::Disk { file, .. } => Some(file.as_slice()),
            Place::Buffer { .. } | Place::Packet { .. } => None,
        })
    }

    /// Pieces that are to exchange their bytes with the next at this hop.
    pub(crate) fn exchanged(&self, hop: Hop) -> Vec<u64> {
        let planned = self.entries.iter().filter(|entry| entry.fault == Fault::Exchange);
        let piece = |entry: &Entry| match entry.place {
            Place::Buffer { hop: at, piece } if at == hop => Some(piece),
            _ => None,
        };
        planned.filter_map(piece).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The place at the disk door.
    #[must_use]
    pub fn disk(role: Role, file: &str, chunk: u64) -> Self {
        Self::Disk { role, file: file.as_bytes().to_vec(), chunk }
    }
}

impl Occurrence {
    fn includes(self, visit: u64) -> bool {
        match self {
            Self::Nth(number) => visit == number,
            Self::Every(number) => visit.is_multiple_of(number),
        }
    }
}

impl Entry {
    /// Whether the fault can be made at the place; and EINTR for ever would only ever be tried again.
    fn is_possible(&self) -> bool {
        use Fault::{Double, Drop, Exchange, Failed, Flip, Interrupted, Late, NoSpace, Short, SwapBytes, Zero};
        let counts = !matches!(self.occurrence, Occurrence::Nth(0) | Occurrence::Every(0));
        let is_first = self.fault != Exchange || self.occurrence == Occurrence::Nth(1);
        let ends = self.fault != Interrupted || self.occurrence != Occurrence::Every(1);
        let fits = match (&self.place, self.fault) {
            (Place::Packet { .. }, fault) => matches!(fault, Flip { .. } | Drop | Double | Late),
            (Place::Buffer { .. }, fault) => {
                matches!(fault, Flip { .. } | SwapBytes { .. } | Zero | Drop | Double | Exchange)
            }
            (Place::Disk { role, .. }, fault) => match role {
                Role::SourceRead | Role::SourceReadPastCache | Role::ReadBack | Role::TargetRead => {
                    matches!(fault, Flip { .. } | SwapBytes { .. } | Zero | Short | Interrupted | Failed)
                }
                Role::StagingWrite => !matches!(fault, Drop | Double | Exchange | Late),
                Role::Allocate => matches!(fault, Failed | NoSpace),
                Role::FileSync | Role::Rename | Role::DirectorySync | Role::FileSystemSync => {
                    matches!(fault, Failed | NoSpace)
                }
            },
        };
        let bit_exists = !matches!(fault_bit(self.fault), Some(8..));
        counts && is_first && ends && fits && bit_exists
    }
}

fn fault_bit(fault: Fault) -> Option<u8> {
    match fault {
        Fault::Flip { bit, .. } | Fault::FlipOnMedium { bit, .. } => Some(bit),
        _ => None,
    }
}

/// Makes the fault in these bytes, if it is one of content; answers the position of the last byte that is different now.
pub(crate) fn damage(strike: Strike, bytes: &mut [u8]) -> Option<usize> {
    let position = |byte: u64| usize::try_from(byte % bytes.len() as u64).ok();
    if bytes.is_empty() {
        return None;
    }
    match strike.fault {
        Fault::Flip { byte, bit } | Fault::FlipOnMedium { byte, bit } => {
            let position = position(byte)?;
            bytes[position] ^= 1 << ((u64::from(bit) + strike.visit - 1) % 8);
            Some(position)
        }
        Fault::SwapBytes { byte } => {
            let first = position(byte)?;
            let second = (first + 1) % bytes.len();
            bytes.swap(first, second);
            (bytes[first] != bytes[second]).then_some(first.max(second))
        }
        Fault::Zero => {
            let end = bytes.len().min(4096);
            let last = bytes[..end].iter().rposition(|&byte| byte != 0);
            bytes[..end].fill(0);
            last
        }
        _ => None,
    }
}

const ROLES: [(Role, &str); 10] = [
    (Role::SourceRead, "source-read"),
    (Role::SourceReadPastCache, "source-read-past-cache"),
    (Role::Allocate, "allocate"),
    (Role::StagingWrite, "staging-write"),
    (Role::FileSync, "file-sync"),
    (Role::ReadBack, "read-back"),
    (Role::TargetRead, "target-read"),
    (Role::Rename, "rename"),
    (Role::DirectorySync, "directory-sync"),
    (Role::FileSystemSync, "file-system-sync"),
];

const HOPS: [(Hop, &str); 4] = [
    (Hop::SourceToHash, "source-to-hash"),
    (Hop::HashToUpload, "hash-to-upload"),
    (Hop::WireToVerify, "wire-to-verify"),
    (Hop::VerifyToStage, "verify-to-stage"),
];

const SIDES: [(Side, &str); 2] = [(Side::Sender, "packet-of-sender"), (Side::Receiver, "packet-of-receiver")];

/// Faults without a position.
const PLAIN_FAULTS: [(Fault, &str); 10] = [
    (Fault::Zero, "zero"),
    (Fault::Lost, "lost"),
    (Fault::Short, "short"),
    (Fault::Interrupted, "eintr"),
    (Fault::Failed, "eio"),
    (Fault::NoSpace, "enospc"),
    (Fault::Drop, "drop"),
    (Fault::Double, "double"),
    (Fault::Exchange, "exchange"),
    (Fault::Late, "late"),
];

fn word_of<T: PartialEq>(table: &[(T, &'static str)], wanted: &T) -> &'static str {
    table.iter().find(|(value, _)| value == wanted).map_or("?", |(_, word)| word)
}

fn value_of<T: Copy>(table: &[(T, &'static str)], wanted: &str) -> Option<T> {
    table.iter().find(|(_, word)| *word == wanted).map(|(value, _)| *value)
}

/// The one line that replays the plan: `staging-write FILE CHUNK #1 flip 17.3; packet-of-sender *7 drop`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, entry) in self.entries.iter().enumerate() {
            write!(f, "{}{entry}", if position == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Disk { role, file, chunk } => write!(f, "{} {} {chunk}", word_of(&ROLES, role), escape(file))?,
            Place::Buffer { hop, piece } => write!(f, "{} {piece}", word_of(&HOPS, hop))?,
            Place::Packet { from } => write!(f, "{}", word_of(&SIDES, from))?,
        }
        match self.occurrence {
            Occurrence::Nth(number) => write!(f, " #{number}")?,
            Occurrence::Every(number) => write!(f, " *{number}")?,
        }
        match self.fault {
            Fault::Flip { byte, bit } => write!(f, " flip {byte}.{bit}"),
            Fault::FlipOnMedium { byte, bit } => write!(f, " flip-on-medium {byte}.{bit}"),
            Fault::SwapBytes { byte } => write!(f, " swap {byte}"),
            fault => write!(f, " {}", word_of(&PLAIN_FAULTS, &fault)),
        }
    }
}

/// A line that is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(String);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no plan: {}", self.0)
    }
}

impl std::error::Error for PlanError {}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(line: &str) -> Result<Self, PlanError> {
        let entries = line.split(';').filter(|entry| !entry.trim().is_empty());
        let parsed = entries.map(|entry| parse_entry(entry).ok_or_else(|| PlanError(entry.trim().to_owned())));
        Self::new(parsed.collect::<Result<_, _>>()?)
    }
}

fn parse_entry(text: &str) -> Option<Entry> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let place = if let Some(role) = value_of(&ROLES, first) {
        Place::Disk { role, file: unescape(words.next()?)?, chunk: words.next()?.parse().ok()? }
    } else if let Some(hop) = value_of(&HOPS, first) {
        Place::Buffer { hop, piece: words.next()?.parse().ok()? }
    } else {
        Place::Packet { from: value_of(&SIDES, first)? }
    };
    let occurrence = words.next()?;
    let occurrence = match occurrence.strip_prefix('#') {
        Some(number) => Occurrence::Nth(number.parse().ok()?),
        None => Occurrence::Every(occurrence.strip_prefix('*')?.parse().ok()?),
    };
    let fault = words.next()?;
    let mut bit_position = || {
        let (byte, bit) = words.next()?.split_once('.')?;
        Some((byte.parse().ok()?, bit.parse().ok()?))
    };
    let fault = match fault {
        "flip" => bit_position().map(|(byte, bit)| Fault::Flip { byte, bit })?,
        "flip-on-medium" => bit_position().map(|(byte, bit)| Fault::FlipOnMedium { byte, bit })?,
        "swap" => Fault::SwapBytes { byte: words.next()?.parse().ok()? },
        word => value_of(&PLAIN_FAULTS, word)?,
    };
    words.next().is_none().then_some(Entry { place, occurrence, fault })
}

/// One word, whatever the name: all but letters, digits, `.`, `_` and `-` as `%` and two hexadecimal digits.
fn escape(name: &[u8]) -> String {
    let mut word = String::new();
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => word.push(char::from(byte)),
            _ => word.push_str(&format!("%{byte:02x}")),
        }
    }
    word
}

fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            name.push(first);
            rest = after;
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_from_its_own_line() {
        let line = "source-read a%20b%3b%ff 2 #1 flip 17.3; staging-write large 0 *2 flip-on-medium 0.7; \
                    wire-to-verify 3 #1 exchange; verify-to-stage 0 #2 swap 9; packet-of-receiver *7 late; \
                    directory-sync . 0 #1 eio";
        let plan: Plan = line.parse().unwrap();
        assert_eq!(plan.to_string(), line);
        let again: Plan = plan.to_string().parse().unwrap();
        assert_eq!(plan.entries, again.entries);
    }

    #[test]
    fn lines_that_are_no_plan_are_refused() {
        for line in [
            "nowhere 1 #1 drop",
            "source-read a 1 #1",
            "source-read a 1 #0 short",
            "source-read a 1 #1 drop",
            "read-back a 1 *1 eintr",
            "packet-of-sender #1 zero",
            "source-to-hash 1 #1 flip 3.8",
            "source-to-hash 1 #1 drop drop",
            "source-read %f 1 #1 short",
        ] {
            assert!(line.parse::<Plan>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_fault_is_due_at_its_visit_alone_and_fires_when_told_so() {
        let plan: Plan = "source-to-hash 1 #2 zero; source-to-hash 1 *3 drop".parse().unwrap();
        let place = Place::Buffer { hop: Hop::SourceToHash, piece: 1 };
        let due: Vec<Vec<Fault>> =
            (0..6).map(|_| plan.visit(&place).iter().map(|strike| strike.fault).collect()).collect();
        assert_eq!(due, [vec![], vec![Fault::Zero], vec![Fault::Drop], vec![], vec![], vec![Fault::Drop]]);
        assert!(plan.fired().is_empty());
        assert_eq!(plan.not_fired().len(), 2);
        let other = Place::Buffer { hop: Hop::SourceToHash, piece: 2 };
        assert!(plan.visit(&other).is_empty());
        assert_eq!((plan.visits(&place), plan.visits(&other)), (6, 1));
    }

    #[test]
    fn damage_that_changes_nothing_is_no_effect() {
        let strike = |fault| Strike { fault, visit: 1, entry: 0 };
        assert_eq!(damage(strike(Fault::SwapBytes { byte: 0 }), &mut [7, 7]), None);
        assert_eq!(damage(strike(Fault::Zero), &mut [0; 10]), None);
        assert_eq!(damage(strike(Fault::Flip { byte: 5, bit: 0 }), &mut []), None);
        let mut bytes = [1, 2, 3];
        assert_eq!(damage(strike(Fault::SwapBytes { byte: 1 }), &mut bytes), Some(2));
        assert_eq!(damage(strike(Fault::Flip { byte: 3, bit: 7 }), &mut bytes), Some(0));
        assert_eq!(bytes, [129, 3, 2]);
    }
}
