//! Owner and extended attributes as they cross the wire, checked as they are read, and what the receiver could not set.
//!
//! Attributes of users and the two POSIX ACLs are carried, **never those of the system, of security modules or of root, and
//! never a record of this program**: those are made where they belong.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::failure::Failure;
use super::keep::Keep;
use super::limits::{ACCOUNT_NAME_BYTES_MAX, LABELS_BYTES_MAX, LABELS_MAX};

/// Attributes of users.
const USER_PREFIX: &[u8] = b"user.";
/// Those that this program makes itself.
const OWN_PREFIX: &[u8] = b"user.careful.";
/// Who may do what with a file or directory beside owner and group, and with what is made in a directory.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// What kind of label an extended attribute is; nothing for one that is never carried.
#[must_use]
pub fn label_kind(name: &[u8]) -> Option<LabelKind> {
    match name {
        _ if ACLS.contains(&name) => Some(LabelKind::Acl),
        _ if name.starts_with(OWN_PREFIX) => None,
        _ if name.starts_with(USER_PREFIX) && name.len() > USER_PREFIX.len() => Some(LabelKind::User),
        _ => None,
    }
}

/// Whether an extended attribute of this name is carried.
#[must_use]
pub fn is_carried(name: &[u8], keep: Keep) -> bool {
    match label_kind(name) {
        Some(LabelKind::User) => keep.xattrs,
        Some(LabelKind::Acl) => keep.acls,
        None => false,
    }
}

/// Kinds of extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// Of a user.
    User,
    /// A POSIX ACL.
    Acl,
}

/// What belongs to a file or directory beside content, mode and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub struct Labels {
    /// Where the owner is carried.
    #[n(0)]
    owner: Option<Owner>,
    /// All that are carried, by name.
    #[n(1)]
    attributes: Vec<ExtendedAttribute>,
}

/// An owner and a group.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Owner {
    /// Number of the user at the sending host.
    #[n(0)]
    pub user: u32,
    /// Number of the group there.
    #[n(1)]
    pub group: u32,
    /// Its name there, where it has one.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub user_name: Option<ByteVec>,
    /// See `user_name`.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub group_name: Option<ByteVec>,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ExtendedAttribute {
    /// With its namespace, as in `user.comment`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// Any bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

/// Why these are no [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// An attribute that is not carried, or twice the same, or an owner that there is not.
    #[error("an owner or extended attribute is not one that is carried")]
    Refused,
    /// More, or longer, than is carried.
    #[error("more extended attributes than are carried")]
    TooLarge,
}

impl Labels {
    /// Checks names and sizes and sorts the attributes by name.
    pub fn new(owner: Option<Owner>, mut attributes: Vec<ExtendedAttribute>) -> Result<Self, LabelsError> {
        attributes.sort_by(|one, other| one.name.cmp(&other.name));
        let is_named_twice = attributes.windows(2).any(|pair| pair[0].name == pair[1].name);
        let is_carried = |attribute: &ExtendedAttribute| {
            attribute.name.len() <= 255 && !attribute.name.contains(&0) && label_kind(&attribute.name).is_some()
        };
        if is_named_twice || !attributes.iter().all(is_carried) || !owner.as_ref().is_none_or(Owner::is_sound) {
            return Err(LabelsError::Refused);
        }
        let labels = Self { owner, attributes };
        if labels.attributes.len() > LABELS_MAX || labels.length_bytes() > LABELS_BYTES_MAX {
            return Err(LabelsError::TooLarge);
        }
        Ok(labels)
    }

    /// Where the owner is carried.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// All that are carried, by name.
    #[must_use]
    pub fn attributes(&self) -> &[ExtendedAttribute] {
        &self.attributes
    }

    /// About what they need in a message.
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        let account = |name: &Option<ByteVec>| name.as_ref().map_or(0, |name| name.len()) + 8;
        let owner = self.owner.as_ref().map_or(0, |owner| account(&owner.user_name) + account(&owner.group_name));
        owner + self.attributes.iter().map(|each| each.name.len() + each.value.len() + 8).sum::<usize>()
    }
}

impl Owner {
    fn is_sound(&self) -> bool {
        let is_name = |name: &Option<ByteVec>| {
            name.as_ref().is_none_or(|name| {
                (1..=ACCOUNT_NAME_BYTES_MAX).contains(&name.len()) && !name.iter().any(|byte| matches!(byte, 0 | b':'))
            })
        };
        // The highest number means "leave it" to the system.
        self.user != u32::MAX && self.group != u32::MAX && is_name(&self.user_name) && is_name(&self.group_name)
    }
}

impl<'b, C> Decode<'b, C> for Labels {
    fn decode(decoder: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        #[derive(Decode)]
        struct Unchecked {
            #[n(0)]
            owner: Option<Owner>,
            #[n(1)]
            attributes: Vec<ExtendedAttribute>,
        }
        let Unchecked { owner, attributes } = Unchecked::decode(decoder, context)?;
        Self::new(owner, attributes).map_err(minicbor::decode::Error::custom)
    }
}

/// Labels of the directory with this number.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexedLabels {
    /// In the table.
    #[n(0)]
    pub index: u32,
    /// Its own.
    #[n(1)]
    pub labels: Labels,
}

/// What of an entry's labels could not be set, or was not there any more when it was looked at again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Unset {
    /// Owner or group; with them suid, sgid and sticky.
    #[n(0)]
    pub owner: bool,
    /// Extended attributes of users.
    #[n(1)]
    pub xattrs: bool,
    /// ACLs.
    #[n(2)]
    pub acls: bool,
}

impl Unset {
    /// Whatever there is of these labels, as far as it is kept.
    #[must_use]
    pub fn all_of(labels: &Labels, kept: Keep) -> Self {
        let has = |kind| labels.attributes.iter().any(|attribute| label_kind(&attribute.name) == Some(kind));
        Self {
            owner: kept.owner && labels.owner.is_some(),
            xattrs: kept.xattrs && has(LabelKind::User),
            acls: kept.acls && has(LabelKind::Acl),
        }
    }

    /// As failures, one for each kind.
    pub fn failures(self) -> impl Iterator<Item = Failure> {
        let each = [
            (self.owner, Failure::OwnerNotSet),
            (self.xattrs, Failure::XattrsNotSet),
            (self.acls, Failure::AclsNotSet),
        ];
        each.into_iter().filter_map(|(is_unset, failure)| is_unset.then_some(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &[u8], length: usize) -> ExtendedAttribute {
        ExtendedAttribute { name: name.to_vec(), value: vec![7; length] }
    }

    fn owner(user: u32, group: u32, name: Option<&[u8]>) -> Owner {
        Owner { user, group, user_name: name.map(|name| name.to_vec().into()), group_name: None }
    }

    #[test]
    fn attributes_of_the_system_of_root_and_of_this_program_are_never_carried() {
        for name in [
            &b"security.capability"[..],
            b"security.selinux",
            b"trusted.overlay.opaque",
            b"system.nfs4_acl",
            b"user.careful.origin",
            b"user.",
            b"user",
            b"",
            b"USER.a",
            b"user.a\0b",
        ] {
            assert_eq!(
                Labels::new(None, vec![attribute(name, 1)]),
                Err(LabelsError::Refused),
                "{}",
                name.escape_ascii()
            );
        }
        for name in [&b"user.a"[..], b"user.caref", b"system.posix_acl_access", b"system.posix_acl_default"] {
            assert!(Labels::new(None, vec![attribute(name, 1)]).is_ok());
        }
    }

    #[test]
    fn too_many_too_long_and_twice_the_same_are_refused() {
        let name = |index: usize| format!("user.{index}").into_bytes();
        let many = |count: usize| (0..count).map(|index| attribute(&name(index), 0)).collect::<Vec<_>>();
        assert!(Labels::new(None, many(LABELS_MAX)).is_ok());
        assert_eq!(Labels::new(None, many(LABELS_MAX + 1)), Err(LabelsError::TooLarge));
        assert_eq!(Labels::new(None, vec![attribute(b"user.a", LABELS_BYTES_MAX)]), Err(LabelsError::TooLarge));
        assert_eq!(Labels::new(None, vec![attribute(b"user.a", 1); 2]), Err(LabelsError::Refused));
    }

    #[test]
    fn an_owner_that_means_something_else_is_refused() {
        for wrong in
            [owner(u32::MAX, 0, None), owner(0, u32::MAX, None), owner(1, 1, Some(b"")), owner(1, 1, Some(b"a:b"))]
        {
            assert_eq!(Labels::new(Some(wrong), Vec::new()), Err(LabelsError::Refused));
        }
        assert!(Labels::new(Some(owner(0, 7, Some(b"root"))), Vec::new()).is_ok());
    }

    #[test]
    fn what_was_written_is_read_and_checked() {
        let labels = Labels::new(Some(owner(5, 6, Some(b"a"))), vec![attribute(b"user.b", 2), attribute(b"user.a", 0)]);
        let labels = labels.expect("labels");
        assert_eq!(labels.attributes()[0].name, b"user.a");
        let bytes = minicbor::to_vec(&labels).expect("encoding into memory cannot fail");
        assert_eq!(minicbor::decode::<Labels>(&bytes).expect("labels"), labels);
        let hostile = Labels { owner: None, attributes: vec![attribute(b"security.capability", 1)] };
        let bytes = minicbor::to_vec(&hostile).expect("encoding into memory cannot fail");
        assert!(minicbor::decode::<Labels>(&bytes).is_err());
    }
}
