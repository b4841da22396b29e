//! Where a transfer goes: the one directory beneath which everything stays.
//!
//! The person at the receiving host names it: as the operand of a listening receiver, or, where the same person started
//! both sides, as the destination of the sender (rsync's rules). **Names from the wire never get here.**

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure_of;
use crate::protocol::entry::Name;
use crate::protocol::failure::Failure;
use crate::protocol::limits::{DEPTH_MAX, PATH_BYTES_MAX};
use crate::seams::disk::{Directory, Disk, Kind, Metadata};

/// Whether a destination that is missing is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Making {
    /// It is, under this umask.
    UnderUmask(u32),
    /// Only looked for: a dry run.
    Nothing,
}

/// The opened destination.
#[derive(Debug)]
pub(super) struct Destination {
    /// Everything is received beneath it.
    pub(super) directory: Arc<dyn Directory>,
    /// The directory that holds it, where it can be opened: its name there must be flushed, too.
    pub(super) parent: Option<Arc<dyn Directory>>,
    /// Name for the one file of the transfer, where the destination names the file itself.
    pub(super) file_name: Option<Name>,
    /// Its path without links.
    pub(super) path: PathBuf,
    /// Whether it is missing, and `directory` the one that would hold it: in a dry run only.
    pub(super) is_to_be_made: bool,
}

impl Destination {
    /// Opens a directory that must be there.
    pub(super) fn existing(disk: &dyn Disk, path: &Path) -> Result<Self, Failure> {
        let directory = disk.open_directory(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::DestinationNotADirectory,
            _ => failure_of("open the destination", &error),
        })?;
        Self::opened(disk, path, directory, None)
    }

    /// Applies rsync's rules to a destination as the sender's person wrote it: an existing directory is received into; a
    /// name that does not exist is the new name of a single file, or else a directory to be made.
    pub(super) fn named(disk: &dyn Disk, path: &Path, single_file: bool, making: Making) -> Result<Self, Failure> {
        let names_directory = path.as_os_str().as_bytes().ends_with(b"/");
        match disk.inspect(path) {
            Ok(Metadata { kind: Kind::Directory, .. }) => Self::existing(disk, path),
            Ok(_) if single_file && !names_directory => Self::for_one_file(disk, path),
            Ok(_) => Err(Failure::DestinationNotADirectory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if single_file && !names_directory {
                    Self::for_one_file(disk, path)
                } else {
                    Self::made(disk, path, making)
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Failure::DestinationNotADirectory),
            Err(error) => Err(failure_of("look at the destination", &error)),
        }
    }

    /// Applies the same rules to a path beneath a directory that is held open: each component is opened in the one before
    /// it, never through a link, and none leads up or out.
    pub(super) fn beneath(
        root: &Arc<dyn Directory>,
        named: &[u8],
        single_file: bool,
        making: Making,
    ) -> Result<Self, Failure> {
        let names_directory = named.ends_with(b"/");
        let mut names = components(named)?;
        let path: PathBuf = names.iter().map(Name::as_os_str).collect();
        let last = names.pop();
        let (mut directory, mut parent) = (Arc::clone(root), None);
        for name in &names {
            let below = directory.open_directory(name.as_os_str()).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Failure::DestinationParentMissing,
                io::ErrorKind::NotADirectory => Failure::DestinationNotADirectory,
                _ => not_through_link(&error),
            })?;
            parent = Some(std::mem::replace(&mut directory, below));
        }
        let found = Self { directory, parent, file_name: None, path, is_to_be_made: false };
        let Some(last) = last else { return Ok(found) };
        let Self { directory, parent, path, .. } = found;
        let is_file_name = match directory.metadata_of(last.as_os_str()) {
            Ok(found) if found.kind == Kind::Directory => false,
            Ok(_) if single_file && !names_directory => true,
            Ok(_) => return Err(Failure::DestinationNotADirectory),
            Err(error) if error.kind() == io::ErrorKind::NotFound && single_file && !names_directory => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if making == Making::Nothing {
                    return Ok(Self { directory, parent, file_name: None, path, is_to_be_made: true });
                }
                make(directory.as_ref(), &last, making)?;
                false
            }
            Err(error) => return Err(failure_of("look at the destination", &error)),
        };
        if is_file_name {
            let path = path.parent().map(Path::to_path_buf).unwrap_or_default();
            return Ok(Self { directory, parent, file_name: Some(last), path, is_to_be_made: false });
        }
        let below = directory.open_directory(last.as_os_str()).map_err(|error| not_through_link(&error))?;
        Ok(Self { directory: below, parent: Some(directory), file_name: None, path, is_to_be_made: false })
    }

    fn for_one_file(disk: &dyn Disk, path: &Path) -> Result<Self, Failure> {
        let (parent, name) = split(path)?;
        let directory = open_parent(disk, &parent)?;
        Self::opened(disk, &parent, directory, Some(name))
    }

    fn made(disk: &dyn Disk, path: &Path, making: Making) -> Result<Self, Failure> {
        let (parent, name) = split(path)?;
        let holder = open_parent(disk, &parent)?;
        if making == Making::Nothing {
            let holding = Self::opened(disk, &parent, holder, None)?;
            return Ok(Self { path: holding.path.join(name.as_os_str()), is_to_be_made: true, ..holding });
        }
        make(holder.as_ref(), &name, making)?;
        let directory =
            holder.open_directory(name.as_os_str()).map_err(|error| failure_of("open the destination", &error))?;
        Self::opened(disk, path, directory, None)
    }

    fn opened(
        disk: &dyn Disk,
        path: &Path,
        directory: Arc<dyn Directory>,
        file_name: Option<Name>,
    ) -> Result<Self, Failure> {
        let path = disk.canonical(path).map_err(|error| failure_of("resolve the destination", &error))?;
        let parent = path.parent().and_then(|parent| disk.open_directory(parent).ok());
        Ok(Self { directory, parent, file_name, path, is_to_be_made: false })
    }
}

/// The components of a path that the sender names beneath its directory: relative, and each one a name.
fn components(named: &[u8]) -> Result<Vec<Name>, Failure> {
    if named.starts_with(b"/") || named.len() > PATH_BYTES_MAX {
        return Err(Failure::NameRefused);
    }
    let parts = named.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let names: Result<Vec<Name>, _> = parts.map(Name::new).collect();
    names.ok().filter(|names| names.len() <= DEPTH_MAX).ok_or(Failure::NameRefused)
}

fn make(holder: &dyn Directory, name: &Name, making: Making) -> Result<(), Failure> {
    let Making::UnderUmask(umask) = making else { return Err(Failure::Protocol) };
    holder.make_directory(name.as_os_str(), 0o777 & !umask).map_err(|error| match error.kind() {
        // Something is there that could not be looked through: a dangling link.
        io::ErrorKind::AlreadyExists => Failure::DestinationNotADirectory,
        _ => failure_of("make the destination", &error),
    })
}

/// Opening a link as a directory fails in ways of its own, and none of them is a fault of the disk.
fn not_through_link(error: &io::Error) -> Failure {
    match failure_of("open the destination", error) {
        Failure::PermissionDenied => Failure::PermissionDenied,
        _ => Failure::DestinationNotADirectory,
    }
}

fn open_parent(disk: &dyn Disk, parent: &Path) -> Result<Arc<dyn Directory>, Failure> {
    disk.open_directory(parent).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::DestinationParentMissing,
        io::ErrorKind::NotADirectory => Failure::DestinationNotADirectory,
        _ => failure_of("open the directory of the destination", &error),
    })
}

/// The directory that holds the path's last component, and that component.
fn split(path: &Path) -> Result<(PathBuf, Name), Failure> {
    let name = path.file_name().ok_or(Failure::DestinationNotADirectory)?;
    let name = Name::new(name.as_bytes()).map_err(|_| Failure::NameRefused)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}
