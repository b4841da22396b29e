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
use crate::seams::disk::{Directory, Disk, Kind, Metadata};

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
    pub(super) fn named(disk: &dyn Disk, path: &Path, single_file: bool, umask: u32) -> Result<Self, Failure> {
        let names_directory = path.as_os_str().as_bytes().ends_with(b"/");
        match disk.inspect(path) {
            Ok(Metadata { kind: Kind::Directory, .. }) => Self::existing(disk, path),
            Ok(_) if single_file && !names_directory => Self::for_one_file(disk, path),
            Ok(_) => Err(Failure::DestinationNotADirectory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if single_file && !names_directory {
                    Self::for_one_file(disk, path)
                } else {
                    Self::made(disk, path, umask)
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Failure::DestinationNotADirectory),
            Err(error) => Err(failure_of("look at the destination", &error)),
        }
    }

    fn for_one_file(disk: &dyn Disk, path: &Path) -> Result<Self, Failure> {
        let (parent, name) = split(path)?;
        let directory = open_parent(disk, &parent)?;
        Self::opened(disk, &parent, directory, Some(name))
    }

    fn made(disk: &dyn Disk, path: &Path, umask: u32) -> Result<Self, Failure> {
        let (parent, name) = split(path)?;
        let holder = open_parent(disk, &parent)?;
        holder.make_directory(name.as_os_str(), 0o777 & !umask).map_err(|error| match error.kind() {
            // Something is there that could not be looked through: a dangling link.
            io::ErrorKind::AlreadyExists => Failure::DestinationNotADirectory,
            _ => failure_of("make the destination", &error),
        })?;
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
        Ok(Self { directory, parent, file_name, path })
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
