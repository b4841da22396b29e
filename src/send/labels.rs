//! Owners and extended attributes of the source, as far as they are to be carried.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::Problem;
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::labels::{ExtendedAttribute, Labels, LabelsError, Owner, is_carried};
use crate::seams::disk::{self, Account, AccountKind, Disk, Metadata};

/// Names of accounts that are remembered; a tree with more owners asks again.
const NAMES_REMEMBERED: usize = 1024;

/// Reads labels, and remembers the names of accounts.
#[derive(Debug)]
pub(super) struct LabelReader {
    disk: Arc<dyn Disk>,
    keep: Keep,
    names: HashMap<Account, Option<Vec<u8>>>,
}

impl LabelReader {
    /// For what is to be carried.
    pub(super) fn new(disk: Arc<dyn Disk>, keep: Keep) -> Self {
        Self { disk, keep, names: HashMap::new() }
    }

    /// Whether anything is to be read of files and directories.
    pub(super) fn is_wanted(&self) -> bool {
        self.keep.has_labels()
    }

    /// What belongs to an open file or directory; nothing if nothing is to be carried.
    pub(super) fn read(&mut self, of: &dyn disk::Labels, metadata: &Metadata) -> Result<Option<Arc<Labels>>, Problem> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let attributes = self.attributes(of).map_err(|error| Problem::reading(&error))?;
        let labels = Labels::new(self.owner(metadata), attributes).map_err(|error| match error {
            LabelsError::TooLarge => Failure::LabelsTooLarge,
            LabelsError::Refused => Failure::SourceIo,
        })?;
        Ok(Some(Arc::new(labels)))
    }

    fn attributes(&self, of: &dyn disk::Labels) -> io::Result<Vec<ExtendedAttribute>> {
        if !self.keep.xattrs && !self.keep.acls {
            return Ok(Vec::new());
        }
        let mut attributes = Vec::new();
        for name in of.extended_attribute_names()? {
            // One that was removed meanwhile is none.
            if is_carried(name.as_bytes(), self.keep)
                && let Some(value) = of.extended_attribute(&name)?
            {
                attributes.push(ExtendedAttribute { name: name.as_bytes().to_vec(), value });
            }
        }
        Ok(attributes)
    }

    /// The owner, where that is to be carried.
    pub(super) fn owner(&mut self, metadata: &Metadata) -> Option<Owner> {
        let Metadata { user, group, .. } = *metadata;
        self.keep.owner.then(|| Owner {
            user,
            group,
            user_name: self.name(Account { kind: AccountKind::User, number: user }).map(Into::into),
            group_name: self.name(Account { kind: AccountKind::Group, number: group }).map(Into::into),
        })
    }

    fn name(&mut self, account: Account) -> Option<Vec<u8>> {
        if self.names.len() >= NAMES_REMEMBERED {
            self.names.clear();
        }
        self.names.entry(account).or_insert_with(|| self.disk.account_name(account)).clone()
    }
}
