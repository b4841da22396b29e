//! Names and attributes as they cross the wire: a path is a list of checked components, never a string to be joined.
//!
//! A [`Name`] that exists is safe to hand to a directory: this is the one place where names from the other side are
//! judged. **Nothing here touches a file system.**

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use minicbor::{Decode, Encode};

use super::labels::Labels;
use super::limits::{DEPTH_MAX, DIRECTORIES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// First bytes of the name of every staging file.
const STAGING_PREFIX: &[u8] = b".careful-";
/// Sets the staging names of links apart from those of files: no byte of a file's name is like it.
const LINK_MARK: &[u8] = b"/link";
/// Hexadecimal digits of the hash in a staging file's name.
const STAGING_HASH_DIGITS: usize = 16;

/// One component of a path: 1 to 255 bytes, not `.` or `..`, without `/` and NUL, and not the name of a staging file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(OsString);

impl Name {
    /// Checks a component.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        match bytes {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            _ if bytes.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
            _ if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Separator),
            _ if is_staging_name(bytes) => Err(NameError::Reserved),
            _ => Ok(Self(OsString::from_vec(bytes.to_vec()))),
        }
    }

    /// For calls on a directory.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Name of the staging file of the target with this name, in the same directory. Derived from the target's name
    /// alone, so that a later run finds it; at most 255 bytes.
    #[must_use]
    pub fn staging(&self) -> OsString {
        self.staging_by(blake3::hash(self.as_bytes()))
    }

    /// Name under which a link of this name is made before it is renamed: another one than that of a file, since what a
    /// killed run left there is to be cleared and not to be continued.
    #[must_use]
    pub fn staging_of_link(&self) -> OsString {
        self.staging_by(blake3::hash(&[self.as_bytes(), LINK_MARK].concat()))
    }

    fn staging_by(&self, hash: blake3::Hash) -> OsString {
        let digest = hash.to_hex();
        let mut staging = STAGING_PREFIX.to_vec();
        staging.extend_from_slice(&digest.as_bytes()[..STAGING_HASH_DIGITS]);
        staging.push(b'-');
        let room = NAME_BYTES_MAX - staging.len();
        staging.extend_from_slice(&self.as_bytes()[..self.as_bytes().len().min(room)]);
        OsString::from_vec(staging)
    }
}

/// Whether these are the bytes of a staging file's name.
#[must_use]
pub fn is_staging_name(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(STAGING_PREFIX) else { return false };
    let Some((digest, rest)) = rest.split_at_checked(STAGING_HASH_DIGITS) else { return false };
    digest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && rest.first() == Some(&b'-')
}

/// A name as [`Prune`](super::message::Prune) holds it: the first 8 bytes of its BLAKE3 hash, little-endian. Two names of one
/// hash keep each other: that errs towards what is there.
#[must_use]
pub fn name_hash(name: &[u8]) -> u64 {
    u64::from_le_bytes(*blake3::hash(name).as_bytes().first_chunk().expect("32 bytes hold 8"))
}

/// Why bytes are no [`Name`] or a table no [`DirectoryTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes.
    #[error("a name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("a name is . or ..")]
    Dots,
    /// More bytes than a component or a path may have.
    #[error("a name is too long")]
    TooLong,
    /// Holds `/` or NUL.
    #[error("a name holds a slash or a zero byte")]
    Separator,
    /// The name of a staging file.
    #[error("a name is reserved for staging files")]
    Reserved,
    /// More directories, or deeper nesting, than allowed; or a parent that does not come before.
    #[error("a list of directories is malformed")]
    Table,
}

impl<C> Encode<C> for Name {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Name {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _context: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(decoder.bytes()?).map_err(minicbor::decode::Error::custom)
    }
}

/// Mode and time of a file or directory, as they are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attributes {
    /// Permission bits, at most 0o777; with suid, sgid and sticky only where that was asked for.
    #[n(0)]
    pub mode: u32,
    /// Last modification, seconds since 1970.
    #[n(1)]
    pub modified_seconds: i64,
    /// And nanoseconds, below 1,000,000,000.
    #[n(2)]
    pub modified_nanoseconds: u32,
}

impl Attributes {
    /// The permission bits that may be set: never more than 0o777, whatever was sent.
    #[must_use]
    pub fn permissions(self) -> u32 {
        self.mode & 0o777
    }

    /// Suid, sgid and sticky, for those who asked for them.
    #[must_use]
    pub fn special_bits(self) -> u32 {
        self.mode & 0o7000
    }
}

/// One directory of a [`DirectoryTable`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryEntry {
    /// Position in the table of the directory it lies in, before its own; the receiving directory itself if none.
    #[n(0)]
    pub parent: Option<u32>,
    /// Its own name.
    #[n(1)]
    pub name: Name,
    /// What it is to have in the end.
    #[n(2)]
    pub attributes: Attributes,
}

/// The directories that a job needs, every parent before its children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
#[cbor(transparent)]
pub struct DirectoryTable(#[n(0)] Vec<DirectoryEntry>);

impl DirectoryTable {
    /// Checks order, depth, path lengths and that no directory appears twice.
    pub fn new(entries: Vec<DirectoryEntry>) -> Result<Self, NameError> {
        if entries.len() > DIRECTORIES_MAX {
            return Err(NameError::Table);
        }
        let mut sizes: Vec<(usize, usize)> = Vec::with_capacity(entries.len());
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        for entry in &entries {
            let (depth, path_bytes) = match entry.parent {
                None => (0, 0),
                Some(parent) => *sizes.get(parent as usize).ok_or(NameError::Table)?,
            };
            let size = (depth + 1, path_bytes + entry.name.as_bytes().len() + 1);
            if size.0 > DEPTH_MAX || !seen.insert((entry.parent, &entry.name)) {
                return Err(NameError::Table);
            }
            if size.1 > PATH_BYTES_MAX {
                return Err(NameError::TooLong);
            }
            sizes.push(size);
        }
        Ok(Self(entries))
    }

    /// The directories, parents first.
    #[must_use]
    pub fn entries(&self) -> &[DirectoryEntry] {
        &self.0
    }

    /// Names from the receiving directory down to this directory; nothing for a number outside the table.
    #[must_use]
    pub fn path(&self, directory: Option<u32>) -> Option<Vec<Name>> {
        let mut names = Vec::new();
        let mut next = directory;
        while let Some(position) = next {
            let entry = self.0.get(position as usize)?;
            names.push(entry.name.clone());
            next = entry.parent;
        }
        names.reverse();
        Some(names)
    }
}

impl DirectoryTable {
    /// The names down to an entry joined by slashes, as receipts and people name it; nothing for a number outside the
    /// table. Never used to open anything.
    #[must_use]
    pub fn path_of(&self, directory: Option<u32>, name: &Name) -> Option<Vec<u8>> {
        let mut path = Vec::new();
        for component in self.path(directory)? {
            path.extend_from_slice(component.as_bytes());
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        Some(path)
    }
}

impl<'b, C> Decode<'b, C> for DirectoryTable {
    fn decode(decoder: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let entries = Vec::<DirectoryEntry>::decode(decoder, context)?;
        Self::new(entries).map_err(minicbor::decode::Error::custom)
    }
}

/// A file as it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileEntry {
    /// Position of its directory in the job's table; the receiving directory itself if none.
    #[n(0)]
    pub directory: Option<u32>,
    /// Its name there.
    #[n(1)]
    pub name: Name,
    /// In bytes.
    #[n(2)]
    pub length_bytes: u64,
    /// What it is to have in the end.
    #[n(3)]
    pub attributes: Attributes,
    /// Owner and extended attributes, where any of them are carried.
    #[n(4)]
    pub labels: Option<Labels>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_components_are_refused() {
        let long = [b'a'; 256];
        for (bytes, error) in [
            (&b""[..], NameError::Empty),
            (b".", NameError::Dots),
            (b"..", NameError::Dots),
            (b"/", NameError::Separator),
            (b"a/b", NameError::Separator),
            (b"/etc", NameError::Separator),
            (b"..\0", NameError::Separator),
            (&long, NameError::TooLong),
            (b".careful-0123456789abcdef-x", NameError::Reserved),
        ] {
            assert_eq!(Name::new(bytes), Err(error));
        }
    }

    #[test]
    fn any_other_bytes_are_a_name() {
        for bytes in [&b"a"[..], b"...", b" ", b"-rf", b"\xff\xfe", b"a\nb", b".careful", b"\\", b"C:", &[b'a'; 255]] {
            assert_eq!(Name::new(bytes).expect("a name").as_bytes(), bytes);
        }
    }

    #[test]
    fn a_staging_name_is_a_component_tells_its_target_and_is_reserved() {
        for bytes in [&b"a"[..], &[b'x'; 255], b"\xff"] {
            let name = Name::new(bytes).expect("a name");
            let staging = name.staging();
            assert!(staging.as_bytes().len() <= NAME_BYTES_MAX);
            assert!(is_staging_name(staging.as_bytes()));
            assert_eq!(Name::new(staging.as_bytes()), Err(NameError::Reserved));
        }
        let twin = |bytes: &[u8]| Name::new(bytes).expect("a name").staging();
        assert_ne!(twin(&[b'x'; 254]), twin(&[b'x'; 255]), "names that differ stage apart");
        let of_link = Name::new(b"a").expect("a name").staging_of_link();
        assert!(is_staging_name(of_link.as_bytes()));
        assert_ne!(of_link, twin(b"a"));
    }

    fn directory(parent: Option<u32>, name: &str) -> DirectoryEntry {
        let attributes = Attributes { mode: 0o755, modified_seconds: 0, modified_nanoseconds: 0 };
        DirectoryEntry { parent, name: Name::new(name.as_bytes()).expect("a name"), attributes }
    }

    #[test]
    fn a_parent_after_its_child_a_twin_and_too_deep_a_nest_are_refused() {
        assert_eq!(DirectoryTable::new(vec![directory(Some(0), "a")]), Err(NameError::Table));
        assert_eq!(DirectoryTable::new(vec![directory(Some(9), "a")]), Err(NameError::Table));
        assert_eq!(DirectoryTable::new(vec![directory(None, "a"), directory(None, "a")]), Err(NameError::Table));
        let nest = |depth: u32| (0..depth).map(|level| directory(level.checked_sub(1), "d")).collect::<Vec<_>>();
        assert!(DirectoryTable::new(nest(128)).is_ok());
        assert_eq!(DirectoryTable::new(nest(129)), Err(NameError::Table));
    }

    #[test]
    fn a_path_runs_from_the_receiving_directory_down() {
        let table = DirectoryTable::new(vec![directory(None, "a"), directory(Some(0), "b")]).expect("a table");
        let names: Vec<_> =
            table.path(Some(1)).expect("in the table").iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(names, [b"a", b"b"]);
        assert_eq!(table.path(None), Some(Vec::new()));
        assert_eq!(table.path(Some(2)), None);
    }
}
