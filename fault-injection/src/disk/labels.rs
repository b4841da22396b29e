//! Owners, labels and links of the faulty disk: what can fail there, and nothing that lies.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use careful::seams::disk::{DiskLink, Labels, Metadata, Timestamp};

use super::file::FaultyFile;
use super::{FaultyDirectory, World};
use crate::plan::Role;

/// Owner, special bits and labels can fail and take long, and nothing else.
macro_rules! labels {
    ($type:ty, $name:ident) => {
        impl Labels for $type {
            fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
                self.world.operation(Role::SetOwner, &self.$name)?;
                self.inner.set_owner(user, group)
            }

            fn set_mode_with_special_bits(&self, mode: u32) -> io::Result<()> {
                self.world.operation(Role::SetMode, &self.$name)?;
                self.inner.set_mode_with_special_bits(mode)
            }

            fn extended_attribute_names(&self) -> io::Result<Vec<OsString>> {
                self.world.operation(Role::AttributeRead, &self.$name)?;
                self.inner.extended_attribute_names()
            }

            fn extended_attribute(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
                self.world.operation(Role::AttributeRead, &self.$name)?;
                self.inner.extended_attribute(name)
            }

            fn set_extended_attribute(&self, name: &OsStr, value: Option<&[u8]>) -> io::Result<()> {
                self.world.operation(Role::SetAttribute, &self.$name)?;
                self.inner.set_extended_attribute(name, value)
            }
        }
    };
}

labels!(FaultyDirectory, name);
labels!(FaultyFile, file);

/// A link held open by itself.
#[derive(Debug)]
pub(super) struct FaultyLink {
    pub(super) inner: Arc<dyn DiskLink>,
    pub(super) world: Arc<World>,
    pub(super) name: Vec<u8>,
}

impl DiskLink for FaultyLink {
    fn target(&self) -> io::Result<OsString> {
        self.world.operation(Role::LinkRead, &self.name)?;
        self.inner.target()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.world.operation(self.world.role(Role::SourceInspect, Role::TargetInspect), &self.name)?;
        self.inner.metadata()
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.world.operation(Role::SetModified, &self.name)?;
        self.inner.set_modified(modified)
    }

    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.world.operation(Role::SetOwner, &self.name)?;
        self.inner.set_owner(user, group)
    }
}
