//! The one line that says all of a plan and replays it: `staging-write FILE CHUNK #1 flip 17.3; packet-of-sender *7 drop`.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

use super::place::{GATEWAYS, HOPS, MESSAGES, PACKETS, Place, ROLES, Role};
use super::{Entry, Fault, Occurrence, Plan};

/// Faults without numbers.
const PLAIN: [(Fault, &str); 14] = [
    (Fault::Lost, "lost"),
    (Fault::Short, "short"),
    (Fault::Interrupted, "eintr"),
    (Fault::Failed, "eio"),
    (Fault::NoSpace, "enospc"),
    (Fault::NoQuota, "edquot"),
    (Fault::FailedKeeping, "eio-keeping"),
    (Fault::FailedReverting, "eio-reverting"),
    (Fault::Swallowed, "swallowed"),
    (Fault::Changed, "changed"),
    (Fault::Drop, "drop"),
    (Fault::Double, "double"),
    (Fault::Exchange, "exchange"),
    (Fault::WrongIndex, "wrong-index"),
];

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
        write!(f, "{} {} {}", self.place, self.occurrence, self.fault)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { role, file, chunk } => write!(f, "{role} {} {chunk}", escape(file)),
            Self::Buffer { hop, file, chunk } => write!(f, "{} {} {chunk}", word_of(&HOPS, hop), escape(file)),
            Self::Packet { from, checksum } => f.write_str(word_of(&PACKETS, &(*from, *checksum))),
            Self::Gateway { hashes, file, chunk } => {
                write!(f, "{} {} {chunk}", word_of(&GATEWAYS, hashes), escape(file))
            }
            Self::Message { from, kind } => write!(f, "{} {kind}", word_of(&MESSAGES, from)),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&ROLES, self))
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(number) => write!(f, "#{number}"),
            Self::Every(number) => write!(f, "*{number}"),
            Self::From(number) => write!(f, "+{number}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Flip { byte, bit } => write!(f, "flip {byte}.{bit}"),
            Self::SwapBytes { byte } => write!(f, "swap {byte}"),
            Self::SwapWords { byte } => write!(f, "swap-words {byte}"),
            Self::Zero { byte, length } => write!(f, "zero {byte} {length}"),
            Self::Stale { byte, length } => write!(f, "stale {byte} {length}"),
            Self::Misdirect { byte, length, to } => write!(f, "misdirect {byte} {length} {to}"),
            Self::Spill { byte, length, to } => write!(f, "spill {byte} {length} {to}"),
            Self::Decay { byte, bit } => write!(f, "decay {byte}.{bit}"),
            Self::Torn { bytes } => write!(f, "torn {bytes}"),
            Self::Truncate { bytes } => write!(f, "truncate {bytes}"),
            Self::Slow { millis } => write!(f, "slow {millis}"),
            Self::WrongHash { bit } => write!(f, "wrong-hash {bit}"),
            Self::Late { packets } => write!(f, "late {packets}"),
            Self::Blackout { packets } => write!(f, "blackout {packets}"),
            Self::TooLong { bytes } => write!(f, "too-long {bytes}"),
            plain => f.write_str(word_of(&PLAIN, &plain)),
        }
    }
}

/// A line that is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub(super) String);

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
        Self::new(entries.map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl FromStr for Entry {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        parse_entry(text).ok_or_else(|| PlanError(text.trim().to_owned()))
    }
}

fn parse_entry(text: &str) -> Option<Entry> {
    let mut words = text.split_whitespace();
    let place = parse_place(&mut words)?;
    let (sign, number) = words.next()?.split_at_checked(1)?;
    let number = number.parse().ok()?;
    let occurrence = match sign {
        "#" => Occurrence::Nth(number),
        "*" => Occurrence::Every(number),
        "+" => Occurrence::From(number),
        _ => return None,
    };
    let fault = parse_fault(&mut words)?;
    words.next().is_none().then_some(Entry { place, occurrence, fault })
}

fn parse_place(words: &mut SplitWhitespace<'_>) -> Option<Place> {
    let first = words.next()?;
    if let Some((from, checksum)) = value_of(&PACKETS, first) {
        return Some(Place::Packet { from, checksum });
    }
    let second = words.next()?;
    if let Some(from) = value_of(&MESSAGES, first) {
        return Some(Place::Message { from, kind: second.to_owned() });
    }
    let (file, chunk) = (unescape(second)?, words.next()?.parse().ok()?);
    if let Some(role) = value_of(&ROLES, first) {
        return Some(Place::Disk { role, file, chunk });
    }
    match value_of(&HOPS, first) {
        Some(hop) => Some(Place::Buffer { hop, file, chunk }),
        None => value_of(&GATEWAYS, first).map(|hashes| Place::Gateway { hashes, file, chunk }),
    }
}

fn parse_fault(words: &mut SplitWhitespace<'_>) -> Option<Fault> {
    let word = words.next()?;
    if let Some(plain) = value_of(&PLAIN, word) {
        return Some(plain);
    }
    if word == "flip" || word == "decay" {
        let (byte, bit) = words.next()?.split_once('.')?;
        let (byte, bit) = (byte.parse().ok()?, bit.parse().ok()?);
        return Some(if word == "flip" { Fault::Flip { byte, bit } } else { Fault::Decay { byte, bit } });
    }
    let mut number = || words.next()?.parse::<u64>().ok();
    Some(match word {
        "swap" => Fault::SwapBytes { byte: number()? },
        "swap-words" => Fault::SwapWords { byte: number()? },
        "zero" => Fault::Zero { byte: number()?, length: number()? },
        "stale" => Fault::Stale { byte: number()?, length: number()? },
        "misdirect" => Fault::Misdirect { byte: number()?, length: number()?, to: number()? },
        "spill" => Fault::Spill { byte: number()?, length: number()?, to: number()? },
        "torn" => Fault::Torn { bytes: number()? },
        "truncate" => Fault::Truncate { bytes: number()? },
        "slow" => Fault::Slow { millis: number()? },
        "wrong-hash" => Fault::WrongHash { bit: u8::try_from(number()?).ok()? },
        "late" => Fault::Late { packets: number()? },
        "blackout" => Fault::Blackout { packets: number()? },
        "too-long" => Fault::TooLong { bytes: number()? },
        _ => return None,
    })
}

fn word_of<T: PartialEq>(table: &[(T, &'static str)], wanted: &T) -> &'static str {
    table.iter().find(|(value, _)| value == wanted).map_or("?", |(_, word)| word)
}

fn value_of<T: Copy>(table: &[(T, &'static str)], wanted: &str) -> Option<T> {
    table.iter().find(|(_, word)| *word == wanted).map(|(value, _)| *value)
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
        let line = "source-read a%20b%3b%ff 2 #1 flip 17.3; write-out large 0 *2 flip 0.7; \
                    wire-to-verify x 3 #1 exchange; verify-to-stage x 0 #2 swap 9; packet-of-receiver *7 late 3; \
                    directory-sync . 0 +1 eio; staging-write x 1 #1 misdirect 4096 4096 8192; \
                    gateway x 1 #2 swap-words 8; rehashing-gateway x 0 #1 swap 3; message-of-receiver stored #1 flip 7.3; \
                    packet-of-sender-under-checksum #9 zero 0 512; hash-to-upload x 0 #1 wrong-hash 255";
        let plan: Plan = line.parse().unwrap();
        assert_eq!(plan.to_string(), line);
        let again: Plan = plan.to_string().parse().unwrap();
        assert_eq!(plan.entries, again.entries);
    }

    #[test]
    fn every_word_stands_for_one_thing() {
        let mut words: Vec<&str> = PLAIN.iter().map(|(_, word)| *word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), PLAIN.len());
        for (role, word) in ROLES {
            assert_eq!(value_of(&ROLES, word), Some(role));
        }
    }

    #[test]
    fn lines_that_are_no_plan_are_refused() {
        for line in [
            "nowhere 1 #1 drop",
            "source-read a 1 #1",
            "source-read a 1 #0 short",
            "source-read a 1 #1 drop",
            "read-back a 1 *1 eintr",
            "read-back a 1 +1 eintr",
            "packet-of-sender #1 lost",
            "source-to-hash a 1 #1 flip 3.8",
            "source-to-hash a 1 #1 drop drop",
            "source-to-hash 1 #1 drop",
            "source-read %f 1 #1 short",
            "write-out a 1 #1 eio",
            "rename a 0 #1 swallowed",
            "message-of-sender offer-file #1 drop",
        ] {
            assert!(line.parse::<Plan>().is_err(), "{line}");
        }
    }
}
