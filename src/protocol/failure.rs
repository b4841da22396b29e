//! The fixed table of what can go wrong with a file or a session, as both sides name it to each other.
//!
//! Only these numbers cross the wire: **no path, no text of the operating system**. The words are our own on each side.

use minicbor::{Decode, Encode};

/// Why a file, or a whole session, could not be finished. The numbers are part of the protocol and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum Failure {
    /// The target exists and may not be replaced.
    #[n(0)]
    #[error("the target exists, differs, and may not be replaced")]
    TargetExists,
    /// Something else than a regular file has the target's name.
    #[n(1)]
    #[error("the target is not a regular file")]
    TargetNotRegular,
    /// The target is not the one that was there when the transfer of this file began.
    #[n(2)]
    #[error("the target was changed by somebody else meanwhile")]
    TargetChanged,
    /// The receiving user may not write there.
    #[n(3)]
    #[error("permission denied at the receiving side")]
    PermissionDenied,
    /// The receiving file system is full, or a quota is.
    #[n(4)]
    #[error("no space left at the receiving side")]
    NoSpace,
    /// The receiving file system is mounted read-only.
    #[n(5)]
    #[error("the receiving file system is read-only")]
    ReadOnly,
    /// The receiving file system does not take a name this long.
    #[n(6)]
    #[error("a name is too long for the receiving file system")]
    NameTooLong,
    /// The name is one of a staging file, or no single component.
    #[n(7)]
    #[error("the name is not allowed")]
    NameRefused,
    /// A directory on the way is something else at the receiving side.
    #[n(8)]
    #[error("a directory of the path is no directory at the receiving side")]
    NotADirectory,
    /// A staging file is there that cannot be used: not ours, not regular, or linked twice.
    #[n(9)]
    #[error("a staging file is there that is not usable")]
    StagingUnusable,
    /// Another transfer holds the staging file.
    #[n(10)]
    #[error("another transfer to the same target is under way")]
    StagingHeld,
    /// Reading or writing failed at the receiving side.
    #[n(11)]
    #[error("the receiving disk failed to read or write")]
    TargetIo,
    /// A flush failed at the receiving side; nothing written since is believed.
    #[n(12)]
    #[error("the receiving disk failed to flush")]
    SyncFailed,
    /// The process has no file descriptor left.
    #[n(13)]
    #[error("too many open files")]
    TooManyOpenFiles,
    /// Content stored under the final name, but its name could not be flushed.
    #[n(14)]
    #[error("content is right, but it could not be established that its name is durable")]
    NotDurable,
    /// What was read back kept differing from what was sent.
    #[n(15)]
    #[error("the stored copy kept differing from what was sent")]
    StoredMismatch,
    /// What arrived kept differing from what was sent.
    #[n(16)]
    #[error("what arrived kept differing from what was read")]
    ArrivedMismatch,
    /// Reads of the source kept disagreeing.
    #[n(17)]
    #[error("reads of the source kept disagreeing with each other")]
    SourceUnstable,
    /// The source is not there any more.
    #[n(18)]
    #[error("the source vanished")]
    SourceVanished,
    /// The source changed while it was read.
    #[n(19)]
    #[error("the source changed while it was read")]
    SourceChanged,
    /// The source may not be read.
    #[n(20)]
    #[error("permission denied")]
    SourceDenied,
    /// The source is no regular file or directory.
    #[n(21)]
    #[error("not a regular file or directory")]
    SourceNotRegular,
    /// The source could not be read.
    #[n(22)]
    #[error("the source could not be read")]
    SourceIo,
    /// Longer than the largest file this program moves.
    #[n(23)]
    #[error("the file is too large")]
    TooLarge,
    /// A path deeper or longer than this program moves.
    #[n(24)]
    #[error("the path is too long or too deep")]
    PathTooLong,
    /// The receipt does not hold what its file needs.
    #[n(25)]
    #[error("the receipt is not valid")]
    ReceiptInvalid,
    /// The other side broke the protocol.
    #[n(26)]
    #[error("the other side broke the protocol")]
    Protocol,
    /// The token was wrong, used or expired, or the key was another one.
    #[n(27)]
    #[error("not admitted: the ticket was used by somebody else, or has expired")]
    NotAdmitted,
    /// The other side speaks no version that this one knows.
    #[n(28)]
    #[error("the two sides are of versions that do not fit")]
    Version,
    /// The directory to receive into cannot be used.
    #[n(29)]
    #[error("the destination is not a directory")]
    DestinationNotADirectory,
    /// Its parent is not there.
    #[n(30)]
    #[error("the directory that is to hold the destination does not exist")]
    DestinationParentMissing,
    /// A weaker result than was asked for with `--require`.
    #[n(31)]
    #[error("proved less than was required")]
    WeakerThanRequired,
    /// Two sources would become one target.
    #[n(32)]
    #[error("another source of this transfer has the same target")]
    SameTarget,
    /// A source that was named is not there.
    #[n(33)]
    #[error("no such file or directory")]
    SourceMissing,
    /// Something that was said about it, its name or attributes perhaps, is not what the other side meant.
    #[n(34)]
    #[error("control data arrived otherwise than it was sent")]
    Garbled,
    /// The receiving side takes no symbolic links.
    #[n(40)]
    #[error("the receiver takes no symbolic links")]
    LinkNotAccepted,
    /// A symbolic link may lead out of the receiving directory, and the receiving side takes none that do.
    #[n(41)]
    #[error("the receiver takes no links that lead out of its directory")]
    LinkLeadsOutside,
    /// Owner or group could not be set.
    #[n(42)]
    #[error("its owner or group could not be set")]
    OwnerNotSet,
    /// Extended attributes of users could not be set.
    #[n(43)]
    #[error("its extended attributes could not be set")]
    XattrsNotSet,
    /// ACLs could not be set.
    #[n(44)]
    #[error("its ACLs could not be set")]
    AclsNotSet,
    /// More of owner and extended attributes than is carried.
    #[n(70)]
    #[error("it has more extended attributes than are carried")]
    LabelsTooLarge,
    /// Something that was to be carried is nothing that the receiving side takes.
    #[n(71)]
    #[error("not all that was asked for is taken by the receiver")]
    NotAccepted,
    /// The receiving file system gives this file no further name here: it has none at all, too many, or both lie on different ones.
    #[n(72)]
    #[error("the receiving file system makes no hard link here")]
    HardLinkNotMade,
    /// The file that this is another name of was not transferred.
    #[n(73)]
    #[error("the file that it is another name of was not transferred")]
    LinkedFileFailed,
    /// The file that this is to be another name of is not what was committed.
    #[n(74)]
    #[error("the file that it is another name of was changed at the receiver meanwhile")]
    LinkedFileChanged,
    /// More hard links than are kept in mind.
    #[n(75)]
    #[error("these are more hard links than can be kept in mind: it was sent as a file of its own")]
    TooManyHardLinks,
    /// The receiving file system can give a new name in no way that never replaces one that appears meanwhile.
    #[n(76)]
    #[error("the receiving file system can neither rename without replacing nor make a hard link")]
    NoSafeRename,
    /// The sender's key is not, or no longer, among those that a standing receiver admits.
    #[n(50)]
    #[error("the receiver does not admit this sender's key")]
    KeyNotAdmitted,
    /// More than the receiving side lets one transfer of this sender store.
    #[n(51)]
    #[error("more than the receiver lets one transfer of this sender store")]
    OverQuota,
    /// The source is not what its record says, though its length and time are.
    #[n(45)]
    #[error("the source differs from its record, with size and time unchanged")]
    SourceCorrupt,
    /// A record was demanded, and the source has none.
    #[n(46)]
    #[error("the source has no record of its origin")]
    NotRecorded,
    /// A record was demanded, and that of the source is older than its last change.
    #[n(47)]
    #[error("the source was changed since its record was made")]
    RecordStale,
    /// A record was demanded, and that of the source is damaged.
    #[n(48)]
    #[error("the record of the source is damaged")]
    RecordDamaged,
    /// The receiver does not let this sender remove anything.
    #[n(35)]
    #[error("the receiver does not allow --delete")]
    DeleteNotAllowed,
    /// More would be removed than `--max-delete` permits.
    #[n(36)]
    #[error("more would be deleted than --max-delete permits")]
    TooManyToDelete,
    /// Something in the way of removing it: a mount, or a tree too deep.
    #[n(37)]
    #[error("could not be deleted")]
    NotDeleted,
    /// The receipt could not be stored, and so the source stays.
    #[n(38)]
    #[error("the source was left in place: its receipt could not be stored")]
    ReceiptNotStored,
    /// The spool of standard input does not hold what came in.
    #[n(39)]
    #[error("what was spooled of standard input was read back otherwise than it came in")]
    SpoolDamaged,
    /// A copy is receipted, and its source could not be removed.
    #[n(65)]
    #[error("transferred, but the source could not be removed")]
    SourceNotRemoved,
    /// Options in a request that this version does not know.
    #[n(60)]
    #[error("the request holds what the other side does not understand")]
    RequestNotUnderstood,
    /// Something was offered that was not asked for, or less carefully than it was.
    #[n(61)]
    #[error("the other side offers what was not asked for")]
    NotAskedFor,
    /// The sender says that all is done, and neither sent this source nor said why not.
    #[n(62)]
    #[error("it was asked for, and was neither sent nor reported")]
    NotSent,
}

/// What can be done about a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Run the same command again: it may pass, and continues where it was.
    RunAgain,
    /// A person has to change something first.
    NeedsPerson,
    /// Some part of a machine needs repair.
    NeedsRepair,
}

impl Failure {
    /// What can be done about it.
    #[must_use]
    pub fn remedy(self) -> Remedy {
        match self {
            Self::StagingHeld
            | Self::TargetChanged
            | Self::LinkedFileFailed
            | Self::LinkedFileChanged
            | Self::SourceChanged
            | Self::SourceVanished
            | Self::NotDurable
            | Self::TooManyOpenFiles => Remedy::RunAgain,
            Self::TargetIo
            | Self::SyncFailed
            | Self::StoredMismatch
            | Self::ArrivedMismatch
            | Self::SourceUnstable
            | Self::SourceIo
            | Self::SourceCorrupt
            | Self::ReceiptInvalid
            | Self::Garbled
            | Self::Protocol => Remedy::NeedsRepair,
            _ => Remedy::NeedsPerson,
        }
    }
}
