//! Places: where a fault can strike, and the word for each.
//!
//! A place is logical, chunk 3 of a file between hash and upload, and never a moment or the number of a call among all
//! calls: those change with the threads.

use careful::seams::buffer::Hop;

/// Where a fault can strike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// At the disk door. A visit is a call that begins at the first byte of the chunk: what finishes a short one is not.
    Disk {
        /// What is done there.
        role: Role,
        /// Last component of the file's final name, also where its staging file is meant; `.` for a directory's own.
        file: Vec<u8>,
        /// Number of the chunk; 0 where the whole file is meant.
        chunk: u64,
    },
    /// At the buffer door.
    Buffer {
        /// Between which stages.
        hop: Hop,
        /// Last component of the file's name.
        file: Vec<u8>,
        /// Number of the chunk; 0 for a small file.
        chunk: u64,
    },
    /// At the packet door: a datagram that leaves. They are numbered from 1, and the same number need not be the same
    /// content in another run.
    Packet {
        /// Whose datagram.
        from: Side,
        /// Whether damage is made before the checksum of UDP is computed, so that it fits, or after.
        checksum: Checksum,
    },
    /// In a gateway between the two that both trust: content that passes it.
    Gateway {
        /// Whether the hash that goes with the content is made to fit the damage.
        hashes: Hashes,
        /// Last component of the file's name.
        file: Vec<u8>,
        /// Number of the chunk; 0 for a small file.
        chunk: u64,
    },
    /// In the same gateway: a message of this kind.
    Message {
        /// Who said it.
        from: Side,
        /// Its name in `protocol::message`, small letters with hyphens: `offer-file`.
        kind: String,
    },
}

/// One of the two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The sending half.
    Sender,
    /// The receiving half.
    Receiver,
}

/// What becomes of the checksum of a damaged datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checksum {
    /// Computed over the damage, as relays and network cards do: UDP sees nothing.
    Recomputed,
    /// That of the undamaged datagram: UDP throws it away, unless the damage leaves the sum as it is.
    Kept,
}

/// What becomes of the hash that goes with damaged content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hashes {
    /// Computed over the damage: the next who compares the two sees nothing.
    Recomputed,
    /// That of the undamaged content.
    Kept,
}

/// What the disk is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Listing a directory of the source.
    SourceList,
    /// Looking at a file of the source.
    SourceInspect,
    /// Opening a file of the source.
    SourceOpen,
    /// The read of the source that is sent.
    SourceRead,
    /// A read of the source past the page cache: the second read, and every one after a doubt.
    SourceReadPastCache,
    /// The page of the source in the page cache: wrong from its first cached read on, right on the medium.
    SourceCache,
    /// The source on its medium: wrong for every read.
    SourceMedium,
    /// Opening a directory of the target.
    DirectoryOpen,
    /// Making a directory.
    MakeDirectory,
    /// Looking at what has a name in the target.
    TargetInspect,
    /// Opening what has the final name already.
    TargetOpen,
    /// A read of what has the final name already.
    TargetRead,
    /// Making a staging file.
    StagingCreate,
    /// What an interrupted run left staged, before the next run.
    StagingLeft,
    /// Opening a staging file that is there, for writing.
    StagingOpen,
    /// Taking the lock of a staging file.
    Lock,
    /// Reserving space for a staging file.
    Allocate,
    /// A write into a staging file: what goes wrong here is in the page cache, too.
    StagingWrite,
    /// The way from the page cache to the medium, of one write: the page cache has it right.
    WriteOut,
    /// Taking a chunk from the old target.
    Copy,
    /// Cutting a staging file to its length.
    SetLength,
    /// Setting its mode.
    SetMode,
    /// Setting its time.
    SetModified,
    /// Reading an extended attribute.
    AttributeRead,
    /// Setting or removing an extended attribute.
    SetAttribute,
    /// A flush of a file.
    FileSync,
    /// The medium below a staging file after the next flush: the page cache has it right.
    StoredMedium,
    /// A flush of a whole file system.
    FileSystemSync,
    /// Opening a staging file for reading back.
    ReadBackOpen,
    /// A read of a staging file.
    ReadBack,
    /// A rename; the file is the new name.
    Rename,
    /// A flush of a directory.
    DirectorySync,
    /// Removing a staging file.
    Remove,
    /// Making a symbolic link, or one more name of a file, under a staging name.
    LinkMake,
    /// Opening a symbolic link itself.
    LinkOpen,
    /// Reading where a symbolic link points to.
    LinkRead,
    /// Setting owner or group.
    SetOwner,
}

impl Place {
    /// The place at the disk door.
    #[must_use]
    pub fn disk(role: Role, file: &str, chunk: u64) -> Self {
        Self::Disk { role, file: file.as_bytes().to_vec(), chunk }
    }

    /// The place at the buffer door.
    #[must_use]
    pub fn buffer(hop: Hop, file: &str, chunk: u64) -> Self {
        Self::Buffer { hop, file: file.as_bytes().to_vec(), chunk }
    }

    /// Whether it is in a gateway: there must be one for anything to strike there.
    #[must_use]
    pub fn is_in_gateway(&self) -> bool {
        matches!(self, Self::Gateway { .. } | Self::Message { .. })
    }

    /// The file it is about.
    #[must_use]
    pub fn file(&self) -> Option<&[u8]> {
        match self {
            Self::Disk { file, .. } | Self::Buffer { file, .. } | Self::Gateway { file, .. } => Some(file),
            Self::Packet { .. } | Self::Message { .. } => None,
        }
    }
}

pub(super) const ROLES: [(Role, &str); 37] = [
    (Role::SourceList, "source-list"),
    (Role::SourceInspect, "source-inspect"),
    (Role::SourceOpen, "source-open"),
    (Role::SourceRead, "source-read"),
    (Role::SourceReadPastCache, "source-read-past-cache"),
    (Role::SourceCache, "source-cache"),
    (Role::SourceMedium, "source-medium"),
    (Role::DirectoryOpen, "directory-open"),
    (Role::MakeDirectory, "make-directory"),
    (Role::TargetInspect, "target-inspect"),
    (Role::TargetOpen, "target-open"),
    (Role::TargetRead, "target-read"),
    (Role::StagingCreate, "staging-create"),
    (Role::StagingLeft, "staging-left"),
    (Role::StagingOpen, "staging-open"),
    (Role::Lock, "lock"),
    (Role::Allocate, "allocate"),
    (Role::StagingWrite, "staging-write"),
    (Role::WriteOut, "write-out"),
    (Role::Copy, "copy"),
    (Role::SetLength, "set-length"),
    (Role::SetMode, "set-mode"),
    (Role::SetModified, "set-modified"),
    (Role::AttributeRead, "attribute-read"),
    (Role::SetAttribute, "set-attribute"),
    (Role::FileSync, "file-sync"),
    (Role::StoredMedium, "stored-medium"),
    (Role::FileSystemSync, "file-system-sync"),
    (Role::ReadBackOpen, "read-back-open"),
    (Role::ReadBack, "read-back"),
    (Role::Rename, "rename"),
    (Role::DirectorySync, "directory-sync"),
    (Role::Remove, "remove"),
    (Role::LinkMake, "link-make"),
    (Role::LinkOpen, "link-open"),
    (Role::LinkRead, "link-read"),
    (Role::SetOwner, "set-owner"),
];

pub(super) const HOPS: [(Hop, &str); 4] = [
    (Hop::SourceToHash, "source-to-hash"),
    (Hop::HashToUpload, "hash-to-upload"),
    (Hop::WireToVerify, "wire-to-verify"),
    (Hop::VerifyToStage, "verify-to-stage"),
];

pub(super) const PACKETS: [((Side, Checksum), &str); 4] = [
    ((Side::Sender, Checksum::Recomputed), "packet-of-sender"),
    ((Side::Receiver, Checksum::Recomputed), "packet-of-receiver"),
    ((Side::Sender, Checksum::Kept), "packet-of-sender-under-checksum"),
    ((Side::Receiver, Checksum::Kept), "packet-of-receiver-under-checksum"),
];

pub(super) const MESSAGES: [(Side, &str); 2] =
    [(Side::Sender, "message-of-sender"), (Side::Receiver, "message-of-receiver")];

/// Content that passes a gateway.
pub(super) const GATEWAYS: [(Hashes, &str); 2] = [(Hashes::Kept, "gateway"), (Hashes::Recomputed, "rehashing-gateway")];
