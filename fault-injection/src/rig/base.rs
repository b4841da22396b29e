//! Where a rig keeps its files: a fresh directory of the real disk, or a disk in memory.

#![expect(clippy::disallowed_methods, reason = "what lies on the disk is looked at from outside, past the doors")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::seams::disk::{Disk, Kind};
use careful::seams::os_disk::OsDisk;
use tempfile::TempDir;

use crate::crash_disk::MemoryDisk;

/// Files by their paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// A source directory and a target directory.
#[derive(Debug)]
pub(super) enum Base {
    Real(TempDir),
    Memory(MemoryDisk),
}

impl Base {
    pub(super) fn real() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for name in ["source", "target"] {
            fs::create_dir(directory.path().join(name)).expect("a directory can be made");
        }
        Self::Real(directory)
    }

    pub(super) fn memory() -> Self {
        let disk = MemoryDisk::default();
        for name in ["/source", "/target"] {
            disk.put_directory(Path::new(name), 0o755);
        }
        Self::Memory(disk)
    }

    /// The disk without any fault.
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        match self {
            Self::Real(_) => Arc::new(OsDisk),
            Self::Memory(disk) => Arc::new(disk.clone()),
        }
    }

    /// Path of `source` or `target`.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        match self {
            Self::Real(directory) => directory.path().join(name),
            Self::Memory(_) => Path::new("/").join(name),
        }
    }

    /// Puts a file there, and the directories on the way.
    pub(super) fn put(&self, directory: &str, name: &str, bytes: &[u8]) {
        let path = self.directory(directory).join(name);
        match self {
            Self::Real(_) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).expect("a directory can be made");
                }
                fs::write(path, bytes).expect("a file can be written");
            }
            Self::Memory(disk) => {
                let above = path.ancestors().skip(1).filter(|above| disk.inspect(above).is_err());
                for missing in above.collect::<Vec<_>>().into_iter().rev() {
                    disk.put_directory(missing, 0o755);
                }
                disk.put_file(&path, bytes, 0o644);
            }
        }
    }

    /// Gives a file there a further name, in a directory that is there.
    pub(super) fn link(&self, directory: &str, name: &str, file: &str) {
        let [path, file] = [name, file].map(|name| self.directory(directory).join(name));
        match self {
            Self::Real(_) => fs::hard_link(file, path).expect("a link can be made"),
            Self::Memory(disk) => disk.put_hard_link(&path, &file),
        }
    }

    /// Every file below a directory.
    pub(super) fn files(&self, directory: &str) -> Files {
        let top = self.directory(directory);
        match self {
            Self::Real(_) => files_below(&top),
            Self::Memory(disk) => {
                let tree = disk.tree();
                let paths = tree.paths().into_iter().filter(|(_, kind)| *kind == Kind::File);
                let named = paths.filter_map(|(path, _)| {
                    let name = path.strip_prefix(&top).ok()?.to_string_lossy().into_owned();
                    Some((name, tree.file(&path)?.content.to_vec()))
                });
                named.collect()
            }
        }
    }
}

fn files_below(directory: &Path) -> Files {
    let mut found = Files::new();
    for item in fs::read_dir(directory).expect("a directory can be listed") {
        let path = item.expect("a directory can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files_below(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).expect("a file can be read"));
        }
    }
    found
}
