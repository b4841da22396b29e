//! What is transferred, to what, over which disk: the worlds whose every crash point is looked at.

use std::path::{Path, PathBuf};

use careful::protocol::entry::Name;
use careful::protocol::keep::Keep;

use crate::crash_disk::{Lie, MemoryDisk};
use crate::rig::content;

/// The directory that is sent.
pub(super) const SOURCE: &str = "/source/";
const MIB: usize = 1 << 20;

/// A source with its content, and what had its name at the receiver.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Below source and destination.
    pub(super) path: PathBuf,
    pub(super) new: Version,
    pub(super) old: Option<Version>,
}

/// Bytes and mode of a file.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// A transfer: what is sent, what is there, and whether the receiver's disk obeys.
#[derive(Clone, Debug)]
pub struct Configuration {
    name: &'static str,
    pub(super) files: Vec<File>,
    /// Paths that are further names of others.
    links: Vec<(&'static str, &'static str)>,
    /// Directories that are at the receiver already.
    old_directories: Vec<&'static str>,
    /// Directories below the source, each after the one it lies in, with their modes.
    directories: Vec<(&'static str, u32)>,
    /// What an earlier run staged for some of the files.
    leftovers: Vec<(PathBuf, Version)>,
    /// Made by the receiver if it is not `/target`.
    pub(super) destination: PathBuf,
    lie: Lie,
}

impl Configuration {
    /// Every one there is.
    #[must_use]
    pub fn all() -> [Self; 6] {
        [Self::large(), Self::small(), Self::nested(), Self::group(), Self::leftover(), Self::hard_links()]
    }

    /// F8: one large file of three chunks and a bit, replacing an old one of another length; not even its owner may write to it.
    #[must_use]
    pub fn large() -> Self {
        let file = File {
            path: "large".into(),
            new: Version { bytes: content(1, 3 * MIB + 4097), mode: 0o440 },
            old: Some(Version { bytes: content(2, 2 * MIB + 1), mode: 0o604 }),
        };
        Self::of("F8", vec![file])
    }

    /// S: one small file under a new name, and one that replaces another; not even its owner may write to it.
    #[must_use]
    pub fn small() -> Self {
        let added = File { path: "added".into(), new: Version { bytes: content(3, 10_000), mode: 0o644 }, old: None };
        let replaced = File {
            path: "replaced".into(),
            new: Version { bytes: content(4, 4096), mode: 0o444 },
            old: Some(Version { bytes: content(5, 4096), mode: 0o600 }),
        };
        Self::of("S", vec![added, replaced])
    }

    /// N: two small files in new directories, below a destination that has to be made.
    #[must_use]
    pub fn nested() -> Self {
        let file = |path: &str, seed| File {
            path: path.into(),
            new: Version { bytes: content(seed, 700), mode: 0o644 },
            old: None,
        };
        Self {
            directories: vec![("one", 0o755), ("one/two", 0o700)],
            destination: "/target/made".into(),
            ..Self::of("N", vec![file("one/first", 6), file("one/two/second", 7)])
        }
    }

    /// D20: twenty small files in nested new directories, one of which nobody may write to, and one that replaces another:
    /// one group, with one sync point for all.
    #[must_use]
    pub fn group() -> Self {
        let folders = ["", "first/", "first/below/", "second/"];
        let file = |index: usize| {
            let version = |seed| Version { bytes: content(seed, 300 * index), mode: 0o644 };
            let path = PathBuf::from(format!("{}file{index:02}", folders[index % folders.len()]));
            File { path, new: version(10 + index as u64), old: (index == 8).then(|| version(99)) }
        };
        Self {
            directories: vec![("first", 0o755), ("first/below", 0o555), ("second", 0o700)],
            ..Self::of("D20", (0..20).map(file).collect())
        }
    }

    /// L: a small file that is there already, beside what an earlier run staged for it; nobody may write to either.
    #[must_use]
    pub fn leftover() -> Self {
        let version = |seed| Version { bytes: content(seed, 5000), mode: 0o444 };
        let file = File { path: "present".into(), new: version(8), old: Some(version(8)) };
        Self { leftovers: vec![("present".into(), version(9))], ..Self::of("L", vec![file]) }
    }

    /// H: a small file with a further name in another directory, where another file has that name; and a third one that is new.
    #[must_use]
    pub fn hard_links() -> Self {
        let version = |seed| Version { bytes: content(seed, 5000), mode: 0o644 };
        let file = |path: &str, old: Option<u64>| File { path: path.into(), new: version(40), old: old.map(version) };
        Self {
            directories: vec![("one", 0o755), ("two", 0o755)],
            links: vec![("one/further", "first"), ("two/third", "first")],
            old_directories: vec!["one"],
            ..Self::of("H", vec![file("first", Some(41)), file("one/further", Some(42)), file("two/third", None)])
        }
    }

    fn of(name: &'static str, files: Vec<File>) -> Self {
        Self {
            name,
            files,
            directories: Vec::new(),
            links: Vec::new(),
            old_directories: Vec::new(),
            leftovers: Vec::new(),
            destination: "/target".into(),
            lie: Lie::None,
        }
    }

    /// The same, with a receiver's disk on which these syncs do nothing.
    #[must_use]
    pub fn with_lie(self, lie: Lie) -> Self {
        Self { lie, ..self }
    }

    /// As in the reference where it is named there: F8, S, N, D20, L, H.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The sender's disk.
    pub(super) fn sender(&self) -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.put_directory(Path::new(SOURCE), 0o755);
        for (path, mode) in &self.directories {
            disk.put_directory(&Path::new(SOURCE).join(path), *mode);
        }
        for File { path, new, .. } in &self.files {
            let source = Path::new(SOURCE).join(path);
            match self.links.iter().find(|(name, _)| Path::new(name) == path) {
                Some((_, file)) => disk.put_hard_link(&source, &Path::new(SOURCE).join(file)),
                None => disk.put_file(&source, &new.bytes, new.mode),
            }
        }
        disk
    }

    /// The receiver's disk before the first transfer.
    pub(super) fn receiver(&self) -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.put_directory(Path::new("/target"), 0o755);
        for path in &self.old_directories {
            disk.put_directory(&self.destination.join(path), 0o755);
        }
        for (path, old) in self.files.iter().filter_map(|file| Some((&file.path, file.old.as_ref()?))) {
            disk.put_file(&self.destination.join(path), &old.bytes, old.mode);
        }
        for (path, staged) in &self.leftovers {
            let name = Name::new(path.as_os_str().as_encoded_bytes()).expect("a name");
            disk.put_file(&self.destination.join(name.staging()), &staged.bytes, staged.mode);
        }
        disk.lie_about(self.lie);
        disk
    }

    /// What the transfer is asked to carry.
    pub(super) fn keep(&self) -> Keep {
        Keep { hard_links: !self.links.is_empty(), ..Keep::default() }
    }

    /// Further names at the receiver, and the names of their files.
    pub(super) fn target_links(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        self.links.iter().map(|(name, file)| (self.destination.join(name), self.destination.join(file)))
    }

    /// Directories that may be at the receiver.
    pub(super) fn target_directories(&self) -> impl Iterator<Item = PathBuf> {
        let made = self.directories.iter().map(|(path, _)| self.destination.join(path));
        [PathBuf::from("/target"), self.destination.clone()].into_iter().chain(made)
    }
}
