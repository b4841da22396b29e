//! The exit codes: one number, one meaning, one table, for the programs, `--help` and the man pages.
//!
//! rsync's numbers where the meaning is equal. **A number, once released, never gets another meaning.**

use crate::protocol::failure::Failure;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Every file has a receipt as good as was asked for.
    Success = 0,
    /// Anything that no other code names.
    Other = 1,
    /// Wrong arguments; the number that clap uses.
    Usage = 2,
    /// The other side could not be started, or did not admit this one.
    NotAdmitted = 5,
    /// The connection was lost and did not come back in time.
    Network = 10,
    /// A disk failed, or is full or read-only.
    FileIo = 11,
    /// The two sides do not understand each other.
    Protocol = 12,
    /// Some files did not go through.
    Partial = 23,
    /// A source vanished or changed while it was read.
    SourceChanged = 24,
    /// Nothing was replaced that may not be.
    Refused = 25,
    /// The other side stalled.
    Timeout = 30,
    /// There never was a connection.
    NotConnected = 35,
    /// Content differed and could not be repaired.
    Mismatch = 40,
    /// A source differs from its record.
    RecordMismatch = 41,
    /// Verified, but proved less than `--require` asks for.
    WeakerThanRequired = 42,
    /// A staging file cannot be used.
    StagingUnusable = 43,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// All of them, by number.
    pub const ALL: [Self; 18] = [
        Self::Success,
        Self::Other,
        Self::Usage,
        Self::NotAdmitted,
        Self::Network,
        Self::FileIo,
        Self::Protocol,
        Self::Partial,
        Self::SourceChanged,
        Self::Refused,
        Self::Timeout,
        Self::NotConnected,
        Self::Mismatch,
        Self::RecordMismatch,
        Self::WeakerThanRequired,
        Self::StagingUnusable,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// Those that say more than any number of failed files, the gravest first.
    const GRAVEST_FIRST: [Self; 4] =
        [Self::RecordMismatch, Self::Mismatch, Self::WeakerThanRequired, Self::StagingUnusable];

    /// The number that the calling process sees.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// One line for `--help` and the man pages, without a full stop.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "every file has a receipt as good as was asked for",
            Self::Other => "any other error",
            Self::Usage => "wrong arguments",
            Self::NotAdmitted => "the other side could not be started, or refused ticket or key",
            Self::Network => "connection lost; the same command continues",
            Self::FileIo => "a disk failed, or is full or read-only",
            Self::Protocol => "the two sides do not understand each other (versions included)",
            Self::Partial => {
                "some files were not transferred (unreadable, not permitted, or of a type that is skipped)"
            }
            Self::SourceChanged => "a source vanished or changed while it was read",
            Self::Refused => "refused: every target exists and differs or is not regular, or too much to delete",
            Self::Timeout => "the other side stalled",
            Self::NotConnected => "could not connect",
            Self::Mismatch => "content differed and could not be repaired (or reads of a source kept disagreeing)",
            Self::RecordMismatch => "a source differs from its recorded hash",
            Self::WeakerThanRequired => "content verified, but less was proved than --require asks for",
            Self::StagingUnusable => "a staging file is not usable, or another transfer holds it",
            Self::Interrupted => "ended by SIGINT; the same command continues",
            Self::Terminated => "ended by SIGTERM; the same command continues",
        }
    }

    /// The code of a transfer in which this alone went wrong. What concerns one entry of a tree (a permission, a name)
    /// is partial; what concerns a whole file system (no space, a failing disk) is file I/O.
    #[must_use]
    pub fn of(failure: Failure) -> Self {
        match failure {
            Failure::TargetExists
            | Failure::TargetNotRegular
            | Failure::TargetChanged
            | Failure::LinkedFileChanged
            | Failure::DeleteNotAllowed
            | Failure::TooManyToDelete => Self::Refused,
            Failure::NoSpace
            | Failure::ReadOnly
            | Failure::TargetIo
            | Failure::SyncFailed
            | Failure::NoSafeRename
            | Failure::TooManyOpenFiles
            | Failure::NotDurable
            | Failure::SourceIo
            | Failure::ReceiptNotStored
            | Failure::DestinationNotADirectory
            | Failure::DestinationParentMissing
            | Failure::OverQuota => Self::FileIo,
            Failure::PermissionDenied
            | Failure::NameTooLong
            | Failure::NameRefused
            | Failure::NotADirectory
            | Failure::SourceDenied
            | Failure::SourceMissing
            | Failure::SourceNotRegular
            | Failure::TooLarge
            | Failure::PathTooLong
            | Failure::NotRecorded
            | Failure::RecordDamaged
            | Failure::LinkNotAccepted
            | Failure::HardLinkNotMade
            | Failure::LinkedFileFailed
            | Failure::TooManyHardLinks
            | Failure::OwnerNotSet
            | Failure::XattrsNotSet
            | Failure::AclsNotSet
            | Failure::LabelsTooLarge
            | Failure::NotAccepted
            | Failure::LinkLeadsOutside
            | Failure::NotDeleted
            | Failure::SourceNotRemoved
            | Failure::NotSent
            | Failure::SameTarget => Self::Partial,
            Failure::StagingUnusable | Failure::StagingHeld => Self::StagingUnusable,
            Failure::StoredMismatch | Failure::ArrivedMismatch | Failure::SourceUnstable | Failure::SpoolDamaged => {
                Self::Mismatch
            }
            Failure::SourceVanished | Failure::SourceChanged | Failure::RecordStale => Self::SourceChanged,
            Failure::SourceCorrupt => Self::RecordMismatch,
            Failure::ReceiptInvalid
            | Failure::Garbled
            | Failure::Protocol
            | Failure::Version
            | Failure::RequestNotUnderstood
            | Failure::NotAskedFor => Self::Protocol,
            Failure::NotAdmitted | Failure::KeyNotAdmitted => Self::NotAdmitted,
            Failure::WeakerThanRequired => Self::WeakerThanRequired,
        }
    }

    /// The code of a whole transfer: `failures` one per file that did not go through (skipped types as
    /// [`Failure::SourceNotRegular`]), `any_succeeded` whether any file did.
    pub fn of_files(failures: impl Iterator<Item = Failure>, any_succeeded: bool) -> Self {
        let mut failures = failures.peekable();
        // Found when everything was transferred, and so never among others: rsync's number for it.
        if failures.peek() == Some(&Failure::TooManyToDelete) {
            return Self::Refused;
        }
        Self::combine(failures.map(Self::of), any_succeeded)
    }

    /// The code of many that went wrong each by itself; `any_succeeded` whether anything went well.
    pub(super) fn of_all(codes: impl Iterator<Item = Self>, any_succeeded: bool) -> Self {
        Self::combine(codes, any_succeeded)
    }

    fn combine(codes: impl Iterator<Item = Self>, any_succeeded: bool) -> Self {
        let codes: std::collections::HashSet<Self> = codes.collect();
        if let Some(gravest) = Self::GRAVEST_FIRST.into_iter().find(|code| codes.contains(code)) {
            return gravest;
        }
        let mut distinct = codes.into_iter();
        match (distinct.next(), distinct.next()) {
            (None, _) => Self::Success,
            (Some(Self::Refused), None) if any_succeeded => Self::Partial,
            (Some(only), None) => only,
            (Some(_), Some(_)) => Self::Partial,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// The table as `--help` shows it.
#[must_use]
pub fn help_table() -> String {
    let mut table = "Exit codes:\n".to_owned();
    for code in ExitCode::ALL {
        table += &format!("  {:>3}  {}\n", code.number(), code.meaning());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_files(failures: &[Failure], any_succeeded: bool) -> u8 {
        ExitCode::of_files(failures.iter().copied(), any_succeeded).number()
    }

    #[test]
    fn the_table_lists_every_number_once_and_rising() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 5, 10, 11, 12, 23, 24, 25, 30, 35, 40, 41, 42, 43, 130, 143]);
        let table = help_table();
        assert!(numbers.iter().all(|number| table.contains(&format!("\n  {number:>3}  "))));
    }

    #[test]
    fn nothing_failed_is_success() {
        assert_eq!(of_files(&[], true), 0);
        assert_eq!(of_files(&[], false), 0);
    }

    #[test]
    fn a_single_file_without_space_is_file_io() {
        assert_eq!(of_files(&[Failure::NoSpace], false), 11);
        assert_eq!(of_files(&[Failure::NoSpace, Failure::SyncFailed], true), 11);
    }

    #[test]
    fn a_vanished_file_among_good_ones_is_24() {
        assert_eq!(of_files(&[Failure::SourceVanished], true), 24);
        assert_eq!(of_files(&[Failure::SourceChanged, Failure::SourceVanished], false), 24);
    }

    #[test]
    fn an_unreadable_file_or_a_skipped_type_is_partial() {
        assert_eq!(of_files(&[Failure::SourceDenied], true), 23);
        assert_eq!(of_files(&[Failure::SourceDenied], false), 23);
        assert_eq!(of_files(&[Failure::SourceNotRegular], true), 23);
    }

    #[test]
    fn partial_wins_over_changed_and_over_any_other_mix() {
        assert_eq!(of_files(&[Failure::SourceVanished, Failure::SourceDenied], true), 23);
        assert_eq!(of_files(&[Failure::NoSpace, Failure::SourceVanished], true), 23);
        assert_eq!(of_files(&[Failure::NoSpace, Failure::Protocol], false), 23);
    }

    #[test]
    fn refused_is_partial_unless_every_file_was_refused() {
        assert_eq!(of_files(&[Failure::TargetExists, Failure::TargetNotRegular], false), 25);
        assert_eq!(of_files(&[Failure::TargetExists], true), 23);
        assert_eq!(of_files(&[Failure::TargetExists, Failure::SourceVanished], false), 23);
    }

    #[test]
    fn too_many_to_delete_is_25_although_all_was_transferred() {
        assert_eq!(of_files(&[Failure::TooManyToDelete], true), 25);
        assert_eq!(of_files(&[Failure::NotDeleted], true), 23);
    }

    #[test]
    fn the_gravest_code_wins_in_the_order_of_the_table() {
        use ExitCode as Code;
        let order = [
            Code::RecordMismatch,
            Code::Mismatch,
            Code::WeakerThanRequired,
            Code::StagingUnusable,
            Code::Partial,
            Code::SourceChanged,
        ];
        for (index, graver) in order.iter().enumerate() {
            for lesser in &order[index..] {
                assert_eq!(Code::combine([*lesser, *graver].into_iter(), true), *graver);
            }
            assert_eq!(
                Code::combine([Code::FileIo, Code::Refused, *graver].into_iter(), true),
                if index < 4 { *graver } else { Code::Partial }
            );
        }
    }

    #[test]
    fn a_session_that_was_refused_or_not_understood_has_its_own_code() {
        assert_eq!(of_files(&[Failure::NotAdmitted], false), 5);
        assert_eq!(of_files(&[Failure::Version], false), 12);
        assert_eq!(of_files(&[Failure::WeakerThanRequired], true), 42);
        assert_eq!(of_files(&[Failure::StagingHeld], true), 43);
        assert_eq!(of_files(&[Failure::StoredMismatch], true), 40);
    }
}
