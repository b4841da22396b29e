//! Faults: what goes wrong, where it can, and the bytes it leaves.

use super::place::{Place, Role};
use super::{Entry, Occurrence, Strike};

/// What goes wrong. Positions count from the start of the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// One bit is another one; the byte modulo the length of the piece. At a place that is struck again it is the next
    /// bit, so that no two wrong copies agree.
    Flip {
        /// Position of the byte.
        byte: u64,
        /// Number of the bit, 0 to 7.
        bit: u8,
    },
    /// This byte and the next are exchanged: what the gateway at MIT did.
    SwapBytes {
        /// Position of the first.
        byte: u64,
    },
    /// This 16-bit word and the next are exchanged: a sum of such words does not see it (RFC 1071).
    SwapWords {
        /// Position of the first.
        byte: u64,
    },
    /// These bytes are zero.
    Zero {
        /// Position of the first.
        byte: u64,
        /// How many.
        length: u64,
    },
    /// These bytes are what was there before: part of a write that was not made.
    Stale {
        /// Position of the first.
        byte: u64,
        /// How many.
        length: u64,
    },
    /// A block went to another offset of the file, and its own keeps what it had; read, it comes from there.
    Misdirect {
        /// Position of the first byte in the piece.
        byte: u64,
        /// How many.
        length: u64,
        /// Offset in the file.
        to: u64,
    },
    /// A block was written where it should be, and to another offset, too.
    Spill {
        /// Position of the first byte in the piece.
        byte: u64,
        /// How many.
        length: u64,
        /// Offset in the file.
        to: u64,
    },
    /// Only so many bytes of a write were made.
    Torn {
        /// How many.
        bytes: u64,
    },
    /// A write that is acknowledged and not made.
    Lost,
    /// A piece or packet ends after so many bytes.
    Truncate {
        /// How many.
        bytes: u64,
    },
    /// Half of what was asked for is read or written.
    Short,
    /// EINTR, nothing done.
    Interrupted,
    /// EIO, nothing done.
    Failed,
    /// ENOSPC, nothing done.
    NoSpace,
    /// EDQUOT, nothing done.
    NoQuota,
    /// A flush fails with EIO; nothing written since the last one is on the medium, while the page cache keeps it and
    /// calls it clean: ext4 and XFS (Rebello et al., ATC 2020).
    FailedKeeping,
    /// A flush fails with EIO, and the page cache goes back to what the medium holds: Btrfs (the same).
    FailedReverting,
    /// As [`Self::FailedKeeping`], but nobody is told.
    Swallowed,
    /// It takes longer by so many milliseconds.
    Slow {
        /// How many.
        millis: u64,
    },
    /// Somebody else writes into the source just before.
    Changed,
    /// One bit of what was read is another one on the medium from now on.
    Decay {
        /// Position of the byte.
        byte: u64,
        /// Number of the bit, 0 to 7.
        bit: u8,
    },
    /// A piece or packet is gone.
    Drop,
    /// A piece or packet comes twice.
    Double,
    /// The bytes of this piece and of the one after it are exchanged; at the first visit only, and both have to come.
    Exchange,
    /// What the piece must hash to is wrong in this bit.
    WrongHash {
        /// Number of the bit, 0 to 255.
        bit: u8,
    },
    /// The piece says that it is the next one.
    WrongIndex,
    /// A packet leaves after so many others.
    Late {
        /// How many.
        packets: u64,
    },
    /// This packet and those after it are gone, so many in all.
    Blackout {
        /// How many.
        packets: u64,
    },
    /// The packet is gone if it is longer than this: a path with a smaller MTU that says nothing (RFC 2923).
    TooLong {
        /// Longest datagram that gets through, in bytes.
        bytes: u64,
    },
}

impl Fault {
    /// Whether the bytes differ after it, and nothing else.
    #[must_use]
    pub fn is_of_content(self) -> bool {
        matches!(self, Self::Flip { .. } | Self::SwapBytes { .. } | Self::SwapWords { .. } | Self::Zero { .. })
    }

    fn is_error(self) -> bool {
        matches!(self, Self::Interrupted | Self::Failed | Self::NoSpace | Self::NoQuota)
    }

    /// Whether what was written before a flush is not there after it.
    #[must_use]
    pub fn loses_at_sync(self) -> bool {
        matches!(self, Self::FailedKeeping | Self::FailedReverting | Self::Swallowed)
    }
}

impl Entry {
    /// Whether the fault can be made at the place; and EINTR for ever would only ever be tried again.
    pub(super) fn is_possible(&self) -> bool {
        let counts = !matches!(self.occurrence, Occurrence::Nth(0) | Occurrence::Every(0) | Occurrence::From(0));
        let is_first = self.fault != Fault::Exchange || self.occurrence == Occurrence::Nth(1);
        let ends =
            self.fault != Fault::Interrupted || matches!(self.occurrence, Occurrence::Nth(_) | Occurrence::Every(2..));
        let bit_exists = !matches!(self.fault, Fault::Flip { bit: 8.., .. } | Fault::Decay { bit: 8.., .. });
        counts && is_first && ends && bit_exists && self.fits()
    }

    fn fits(&self) -> bool {
        let fault = self.fault;
        match &self.place {
            Place::Packet { .. } => {
                matches!(
                    fault,
                    Fault::Drop
                        | Fault::Double
                        | Fault::Late { .. }
                        | Fault::Blackout { .. }
                        | Fault::TooLong { .. }
                        | Fault::Truncate { .. }
                ) || fault.is_of_content()
            }
            Place::Buffer { .. } => {
                matches!(
                    fault,
                    Fault::Drop
                        | Fault::Double
                        | Fault::Exchange
                        | Fault::Truncate { .. }
                        | Fault::WrongHash { .. }
                        | Fault::WrongIndex
                        | Fault::Slow { .. }
                ) || fault.is_of_content()
            }
            Place::Gateway { .. } => fault.is_of_content(),
            Place::Message { .. } => matches!(fault, Fault::Flip { .. }),
            Place::Disk { role, .. } => fits_disk(*role, fault),
        }
    }
}

fn fits_disk(role: Role, fault: Fault) -> bool {
    let fails = fault.is_error() && fault != Fault::Interrupted || matches!(fault, Fault::Slow { .. });
    match role {
        Role::SourceRead => {
            matches!(fault, Fault::Short | Fault::Interrupted | Fault::Misdirect { .. } | Fault::Changed)
                || fails
                || fault.is_of_content()
        }
        Role::SourceReadPastCache | Role::ReadBack | Role::TargetRead => {
            matches!(fault, Fault::Short | Fault::Interrupted | Fault::Misdirect { .. })
                || (role == Role::ReadBack && matches!(fault, Fault::Decay { .. }))
                || fails
                || fault.is_of_content()
        }
        Role::SourceCache | Role::SourceMedium | Role::StoredMedium | Role::StagingLeft => fault.is_of_content(),
        Role::StagingWrite => matches!(fault, Fault::Short | Fault::Interrupted) || fails || is_of_writing(fault),
        Role::WriteOut => is_of_writing(fault),
        Role::FileSync | Role::FileSystemSync => fails || fault.loses_at_sync(),
        _ => fails,
    }
}

fn is_of_writing(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Lost | Fault::Torn { .. } | Fault::Stale { .. } | Fault::Misdirect { .. } | Fault::Spill { .. }
    ) || fault.is_of_content()
}

/// Makes the fault in these bytes, if it is one of content; answers the position of the last byte that is different now.
pub(crate) fn damage(strike: Strike, bytes: &mut [u8]) -> Option<usize> {
    if bytes.is_empty() {
        return None;
    }
    let length = bytes.len();
    let position = |byte: u64| usize::try_from(byte % length as u64).expect("a position in memory");
    match strike.fault {
        Fault::Flip { byte, bit } => {
            let position = position(byte);
            bytes[position] ^= 1 << ((u64::from(bit) + strike.visit - 1) % 8);
            Some(position)
        }
        Fault::SwapBytes { byte } => {
            let first = position(byte);
            let second = (first + 1) % length;
            bytes.swap(first, second);
            (bytes[first] != bytes[second]).then_some(first.max(second))
        }
        Fault::SwapWords { byte } => {
            // Words are where the checksum has them: at even positions.
            let first = position(byte) / 2 * 2;
            let (one, other) = bytes.get_mut(first..first + 4)?.split_at_mut(2);
            one.swap_with_slice(other);
            (one != other).then_some(first + 3)
        }
        Fault::Zero { byte, length: count } => {
            let range = range_of(byte, count, length)?;
            let last = bytes[range.clone()].iter().rposition(|&byte| byte != 0);
            bytes[range.clone()].fill(0);
            last.map(|last| range.start + last)
        }
        _ => None,
    }
}

/// The part of a piece of this length that the fault is about, if it has any.
pub(crate) fn range_of(byte: u64, count: u64, length: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(byte).ok().filter(|&start| start < length)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Some(start..start.saturating_add(count).min(length))
}
