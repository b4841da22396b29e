//! Modes, owners and extended attributes of what is received: what may be set is set, looked at again, and what could not be
//! is told.
//!
//! Everything goes by the descriptor of the thing itself. **Special mode bits are set for no other owner than the one that was
//! carried with them**: a program that is set-user-ID for its owner at the source must not become one for whoever copies it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use minicbor::bytes::ByteVec;

use super::staging::modified;
use crate::protocol::entry::Attributes;
use crate::protocol::keep::Keep;
use crate::protocol::labels::{LabelKind, Labels, Owner, Unset, is_carried, label_kind};
use crate::seams::disk::{self, AccountKind, Directory, Disk, DiskFile, DiskLink, Metadata, Timestamp};

/// Numbers of accounts that are remembered.
const NUMBERS_REMEMBERED: usize = 1024;

/// What was found by kind and name.
type Numbers = HashMap<(AccountKind, Vec<u8>), Option<u32>>;

/// How attributes and labels become those of a file here.
#[derive(Debug)]
pub(super) struct Rules {
    disk: Arc<dyn Disk>,
    /// Taken off the modes that are carried.
    umask: u32,
    kept: Keep,
    numbers: Mutex<Numbers>,
}

/// What can be given to another owner: a file, a directory, or a link itself.
pub(super) trait Owned {
    /// Its own metadata.
    fn look(&self) -> io::Result<Metadata>;
    /// Gives it away.
    fn give(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()>;
}

/// A file or directory held open.
pub(super) trait Held: disk::Labels + Owned {
    /// Sets permission bits, never more.
    fn set_permissions(&self, mode: u32) -> io::Result<()>;
    /// Sets the time of last modification.
    fn date(&self, modified: Timestamp) -> io::Result<()>;
}

impl Owned for dyn DiskFile + '_ {
    fn look(&self) -> io::Result<Metadata> {
        self.metadata()
    }

    fn give(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.set_owner(user, group)
    }
}

impl Held for dyn DiskFile + '_ {
    fn set_permissions(&self, mode: u32) -> io::Result<()> {
        self.set_mode(mode)
    }

    fn date(&self, modified: Timestamp) -> io::Result<()> {
        self.set_modified(modified)
    }
}

impl Owned for dyn Directory + '_ {
    fn look(&self) -> io::Result<Metadata> {
        self.metadata()
    }

    fn give(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.set_owner(user, group)
    }
}

impl Held for dyn Directory + '_ {
    fn set_permissions(&self, mode: u32) -> io::Result<()> {
        self.set_mode(mode)
    }

    fn date(&self, modified: Timestamp) -> io::Result<()> {
        self.set_modified(modified)
    }
}

impl Owned for dyn DiskLink + '_ {
    fn look(&self) -> io::Result<Metadata> {
        self.metadata()
    }

    fn give(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.set_owner(user, group)
    }
}

impl Rules {
    pub(super) fn new(disk: Arc<dyn Disk>, umask: u32, kept: Keep) -> Self {
        Self { disk, umask, kept, numbers: Mutex::default() }
    }

    /// The permission bits that a file gets.
    pub(super) fn permissions(&self, attributes: Attributes) -> u32 {
        attributes.permissions() & !self.umask
    }

    /// Taken off the modes of directories that are made.
    pub(super) fn umask(&self) -> u32 {
        self.umask
    }

    /// Whether a staging file that an earlier run left may have the owner of its target already.
    pub(super) fn may_be_of_others(&self) -> bool {
        self.kept.owner
    }

    /// What is there already: its mode, time and labels are changed only if it is our own, or if it can be given the owner
    /// that was carried.
    pub(super) fn adjust(
        &self,
        held: &(impl Held + ?Sized),
        found: &Metadata,
        wanted: Wanted<'_>,
    ) -> io::Result<Unset> {
        if !self.is_ours(held, found, wanted)? {
            return Ok(wanted.labels.map_or(Unset::default(), |labels| Unset::all_of(labels, self.kept)));
        }
        let keeps_mode = !wanted.sets_mode || found.mode == self.permissions(wanted.attributes);
        let is_right = wanted.labels.is_none() && keeps_mode;
        let unset = if is_right { Unset::default() } else { self.apply(held, wanted)? };
        if found.modified != modified(wanted.attributes) {
            held.date(modified(wanted.attributes))?;
        }
        Ok(unset)
    }

    fn is_ours(&self, held: &(impl Held + ?Sized), found: &Metadata, wanted: Wanted<'_>) -> io::Result<bool> {
        let owner = wanted.labels.and_then(Labels::owner).filter(|_| self.kept.owner);
        match owner {
            _ if found.is_own => Ok(true),
            Some(owner) => self.set_owner(held, owner),
            None => Ok(false),
        }
    }

    /// Sets owner, extended attributes of users, mode and ACLs, in this order: a new owner takes special bits away, a mode
    /// may forbid to set attributes, and an ACL is part of the mode.
    pub(super) fn apply(&self, held: &(impl Held + ?Sized), wanted: Wanted<'_>) -> io::Result<Unset> {
        let mode = self.permissions(wanted.attributes);
        let Some(labels) = wanted.labels else {
            return held.set_permissions(mode).map(|()| Unset::default());
        };
        let mut unset = Unset::default();
        if let Some(owner) = labels.owner() {
            unset.owner = !self.set_owner(held, owner)?;
        }
        unset.xattrs = !self.set_attributes(held, labels, LabelKind::User)?;
        if wanted.sets_mode {
            self.set_mode(held, mode, wanted.attributes, self.kept.owner && !unset.owner && labels.owner().is_some())?;
        }
        unset.acls = !self.set_attributes(held, labels, LabelKind::Acl)?;
        Ok(unset)
    }

    fn set_mode(
        &self,
        held: &(impl Held + ?Sized),
        permissions: u32,
        attributes: Attributes,
        owner_is_set: bool,
    ) -> io::Result<()> {
        let special = if self.kept.suid && owner_is_set { attributes.special_bits() } else { 0 };
        match special {
            0 => held.set_permissions(permissions),
            special => held.set_mode_with_special_bits(permissions | special),
        }
    }

    /// Whether owner and group are as they should be in the end.
    pub(super) fn set_owner(&self, held: &(impl Owned + ?Sized), owner: &Owner) -> io::Result<bool> {
        if !self.kept.owner {
            // The sender was told, and tells it once.
            return Ok(true);
        }
        let (user, group) = self.numbers_of(owner);
        let is_right = |found: Metadata| found.user == user && found.group == group;
        if is_right(held.look()?) {
            return Ok(true);
        }
        if let Err(error) = held.give(Some(user), Some(group)) {
            refused(&error)?;
            // Who is not root may give a file to another of their own groups.
            held.give(None, Some(group)).or_else(|error| refused(&error))?;
        }
        Ok(is_right(held.look()?))
    }

    /// By name where this host knows it, else by number.
    fn numbers_of(&self, owner: &Owner) -> (u32, u32) {
        let number = |kind, name: &Option<ByteVec>, number| {
            name.as_ref().and_then(|name| self.number(kind, name)).unwrap_or(number)
        };
        let user = number(AccountKind::User, &owner.user_name, owner.user);
        (user, number(AccountKind::Group, &owner.group_name, owner.group))
    }

    fn number(&self, kind: AccountKind, name: &[u8]) -> Option<u32> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() >= NUMBERS_REMEMBERED {
            numbers.clear();
        }
        let key = (kind, name.to_vec());
        *numbers.entry(key).or_insert_with(|| self.disk.account_number(kind, name))
    }

    /// Whether the extended attributes of this kind are exactly those that are wanted in the end.
    fn set_attributes(&self, held: &(impl Held + ?Sized), labels: &Labels, kind: LabelKind) -> io::Result<bool> {
        let is_of_kind = |name: &[u8]| label_kind(name) == Some(kind);
        let wanted = labels.attributes().iter().filter(|wanted| is_of_kind(&wanted.name));
        let is_kept = match kind {
            LabelKind::User => self.kept.xattrs,
            LabelKind::Acl => self.kept.acls,
        };
        if !is_kept {
            return Ok(true);
        }
        let mut is_complete = true;
        for found in held.extended_attribute_names()? {
            let is_wanted = labels.attributes().iter().any(|wanted| wanted.name == found.as_bytes());
            if is_of_kind(found.as_bytes()) && is_carried(found.as_bytes(), self.kept) && !is_wanted {
                is_complete &= is_set(held.set_extended_attribute(&found, None))?;
            }
        }
        for wanted in wanted {
            let name = OsStr::from_bytes(&wanted.name);
            if held.extended_attribute(name)?.as_deref() != Some(&wanted.value[..]) {
                is_complete &= is_set(held.set_extended_attribute(name, Some(&wanted.value)))?
                    // A file system may take what it then does not keep.
                    && held.extended_attribute(name)?.as_deref() == Some(&wanted.value[..]);
            }
        }
        Ok(is_complete)
    }
}

/// What a file or directory is to have in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) attributes: Attributes,
    pub(super) labels: Option<&'a Labels>,
    pub(super) rules: &'a Rules,
    /// Whether its mode is to be set; an ACL changes it all the same.
    pub(super) sets_mode: bool,
}

fn is_set(set: io::Result<()>) -> io::Result<bool> {
    match set {
        Ok(()) => Ok(true),
        Err(error) => refused(&error).map(|()| false),
    }
}

/// What a file system or the system refuses is told of; anything else is a failure of the disk.
fn refused(error: &io::Error) -> io::Result<()> {
    // E2BIG, ERANGE: longer than this file system takes. EINVAL: an account or an ACL that it does not take.
    const SIZES: [i32; 2] = [7, 34];
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::Unsupported
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded => {}
        _ if error.raw_os_error().is_some_and(|number| SIZES.contains(&number)) => {}
        _ => return Err(io::Error::new(error.kind(), error.to_string())),
    }
    tracing::debug!("an owner or extended attribute is not set: {error}");
    Ok(())
}
