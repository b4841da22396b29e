//! Owners, special mode bits, extended attributes and symbolic links of the real disk, and names of accounts.
//!
//! Everything goes by the descriptor of the thing itself: a name that leads elsewhere by now cannot be touched.
//! **What may be set is not decided here.**

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::{OsDirectory, OsFile, look_at, metadata_from};
use crate::seams::disk::{Account, AccountKind, DiskLink, Kind, Labels, Metadata, Timestamp};

/// Room for an extended attribute at first, and the most that Linux lets one hold; so long may the list of their names be, too.
const ATTRIBUTE_ROOM_BYTES: usize = 4 << 10;
const ATTRIBUTE_MAX_BYTES: usize = 64 << 10;

impl Labels for OsDirectory {
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        set_owner(self.descriptor.as_fd(), user, group)
    }

    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.descriptor, Mode::from_raw_mode(mode & 0o7777))?)
    }

    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
        attribute_names(self.descriptor.as_fd())
    }

    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        attribute(self.descriptor.as_fd(), name)
    }

    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        set_attribute(self.descriptor.as_fd(), name, value)
    }
}

impl Labels for OsFile {
    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        set_owner(self.main.as_fd(), user, group)
    }

    fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.main, Mode::from_raw_mode(mode & 0o7777))?)
    }

    fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
        attribute_names(self.main.as_fd())
    }

    fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        attribute(self.main.as_fd(), name)
    }

    fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
        set_attribute(self.main.as_fd(), name, value)
    }
}

fn owner(user: Option<u32>, group: Option<u32>) -> io::Result<(Option<Uid>, Option<Gid>)> {
    // This number means "leave it" to the system.
    if user == Some(u32::MAX) || group == Some(u32::MAX) {
        return Err(Errno::INVAL.into());
    }
    Ok((user.map(Uid::from_raw), group.map(Gid::from_raw)))
}

fn set_owner(file: BorrowedFd<'_>, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    let (user, group) = owner(user, group)?;
    Ok(rustix::fs::fchown(file, user, group)?)
}

fn attribute_names(file: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut list = vec![0; ATTRIBUTE_MAX_BYTES];
    let length = match rustix::fs::flistxattr(file, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    list.truncate(length);
    let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
}

fn attribute(file: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; ATTRIBUTE_ROOM_BYTES];
    let mut found = rustix::fs::fgetxattr(file, name, &mut value[..]);
    if found == Err(Errno::RANGE) {
        value.resize(ATTRIBUTE_MAX_BYTES, 0);
        found = rustix::fs::fgetxattr(file, name, &mut value[..]);
    }
    match found {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_attribute(file: BorrowedFd<'_>, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
    match value {
        Some(value) => Ok(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())?),
        None => match rustix::fs::fremovexattr(file, name) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        },
    }
}

/// A symbolic link: a descriptor that stands for the link itself.
#[derive(Debug)]
pub(super) struct OsLink {
    descriptor: OwnedFd,
}

impl OsLink {
    /// Takes a descriptor opened with O_PATH and O_NOFOLLOW, if it is that of a link.
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        match metadata_from(&look_at(&descriptor)?).kind {
            Kind::Link => Ok(Self { descriptor }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a symbolic link")),
        }
    }
}

impl DiskLink for OsLink {
    fn target(&self) -> io::Result<OsString> {
        let target = rustix::fs::readlinkat(&self.descriptor, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_from(&look_at(&self.descriptor)?))
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
        let times = Timestamps { last_access, last_modification };
        Ok(rustix::fs::utimensat(&self.descriptor, "", &times, AtFlags::EMPTY_PATH)?)
    }

    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let (user, group) = owner(user, group)?;
        Ok(rustix::fs::chownat(&self.descriptor, "", user, group, AtFlags::EMPTY_PATH)?)
    }
}

/// By the host's own sources of names (nsswitch); what cannot be looked up has no name.
pub(super) fn account_name(account: Account) -> Option<Vec<u8>> {
    let name = match account.kind {
        AccountKind::User => nix::unistd::User::from_uid(account.number.into()).ok().flatten()?.name,
        AccountKind::Group => nix::unistd::Group::from_gid(account.number.into()).ok().flatten()?.name,
    };
    Some(name.into_bytes())
}

/// As [`account_name`], the other way round.
pub(super) fn account_number(kind: AccountKind, name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?;
    match kind {
        AccountKind::User => Some(nix::unistd::User::from_name(name).ok().flatten()?.uid.as_raw()),
        AccountKind::Group => Some(nix::unistd::Group::from_name(name).ok().flatten()?.gid.as_raw()),
    }
}
