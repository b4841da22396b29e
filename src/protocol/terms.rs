//! What both sides agreed on, as one hash: the sender computes it from what it means, the receiver from what it was told.
//!
//! A name, a length, a mode or a time that changed anywhere between the two, in a gateway that takes messages apart and
//! makes them anew or in the memory of either side, gives another hash: the receiver makes nothing for such an offer, and
//! renames nothing under such a name. Bytes are not in it: they have their root.

use minicbor::Encode;

use super::entry::{Attributes, DirectoryTable, FileEntry};
use super::hard_link::LinkedFile;
use super::labels::{IndexedLabels, Labels};
use super::link::LinkEntry;
use super::message::{Begin, GroupFile, Hash32, Prune, Ready};
use crate::hash::Root;

/// What was said when the session began: destination and options of the sender, the answer of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cbor(transparent)]
pub struct Terms(#[n(0)] Hash32);

impl Terms {
    /// Of this beginning, as this side sees it.
    #[must_use]
    pub fn new(begin: &Begin, ready: &Ready) -> Self {
        Self(hash(b"careful terms, version 1\0", (begin, ready)))
    }

    /// The offer of a group: compared before anything is looked at or made for it.
    #[must_use]
    pub fn group(self, directories: &DirectoryTable, files: &[GroupFile]) -> Hash32 {
        hash(b"careful group, version 1\0", (self, directories, files))
    }

    /// The offer of a large file, likewise: its job, the directories on the way, itself and the size of its chunks.
    #[must_use]
    pub fn file(self, job: u64, directories: &DirectoryTable, file: &FileEntry, chunk_bytes: u32) -> Hash32 {
        hash(b"careful file, version 1\0", (self, job, directories, file, chunk_bytes))
    }

    /// A page of links, likewise.
    #[must_use]
    pub fn links(self, directories: &DirectoryTable, links: &[LinkEntry]) -> Hash32 {
        hash(b"careful links, version 1\0", (self, directories, links))
    }

    /// A page of further names, likewise.
    #[must_use]
    pub fn hard_links(self, directories: &DirectoryTable, files: &[LinkedFile]) -> Hash32 {
        hash(b"careful hard links, version 1\0", (self, directories, files))
    }

    /// A page of finished directories, likewise.
    #[must_use]
    pub fn page(self, directories: &DirectoryTable, labels: &[IndexedLabels]) -> Hash32 {
        hash(b"careful page, version 1\0", (self, directories, labels))
    }

    /// What may be removed, likewise.
    #[must_use]
    pub fn prune(self, prune: &Prune) -> Hash32 {
        hash(b"careful prune, version 1\0", (self, prune))
    }

    /// A file of the session, compared once more right before its rename: its path below the receiving directory, joined by
    /// slashes, its length, mode and time, and its labels.
    #[must_use]
    pub fn entry(self, path: &[u8], length_bytes: u64, attributes: Attributes, labels: Option<&Labels>) -> Hash32 {
        let path = minicbor::bytes::ByteVec::from(path.to_vec());
        hash(b"careful entry, version 1\0", (self, path, length_bytes, attributes, labels))
    }
}

/// BLAKE3 of a fixed prefix, so that one kind is never taken for another, and the values as CBOR, which separates them.
fn hash(context: &[u8], values: impl Encode<()>) -> Hash32 {
    let mut bytes = context.to_vec();
    minicbor::encode(values, &mut bytes).expect("encoding into memory cannot fail");
    Root::of(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::keep::Keep;
    use crate::protocol::receipt::Stored;

    const ATTRIBUTES: Attributes = Attributes { mode: 0o644, modified_seconds: 7, modified_nanoseconds: 8 };

    fn begin() -> Begin {
        Begin { destination: b"/d".to_vec(), ..Begin::new([1; 16]) }
    }

    fn ready() -> Ready {
        Ready { file_name: None, directory: b"/d".to_vec(), kept: Keep::default() }
    }

    #[test]
    fn whatever_was_agreed_on_is_part_of_every_entry() {
        let entry = |begin: &Begin, ready: &Ready| Terms::new(begin, ready).entry(b"a/b", 3, ATTRIBUTES, None);
        let whole = entry(&begin(), &ready());
        let changes: [fn(&mut Begin); 10] = [
            |begin| begin.transfer[0] ^= 1,
            |begin| begin.destination[1] ^= 1,
            |begin| begin.single_file = true,
            |begin| begin.stored = Stored::Cache,
            |begin| begin.no_replace = true,
            |begin| begin.quick = true,
            |begin| begin.record = false,
            |begin| begin.keep.links = true,
            |begin| begin.delete = Some(Vec::new()),
            |begin| begin.dry_run = true,
        ];
        for change in changes {
            let mut other = begin();
            change(&mut other);
            assert_ne!(entry(&other, &ready()), whole);
        }
        assert_ne!(entry(&begin(), &Ready { file_name: Some(b"x".to_vec().into()), ..ready() }), whole);
        assert_ne!(entry(&begin(), &Ready { kept: Keep::ALL, ..ready() }), whole);
        assert_ne!(entry(&begin(), &Ready { directory: b"/e".to_vec(), ..ready() }), whole);
    }

    #[test]
    fn path_length_mode_and_time_are_part_of_an_entry() {
        let terms = Terms::new(&begin(), &ready());
        let whole = terms.entry(b"a/b", 3, ATTRIBUTES, None);
        assert_ne!(terms.entry(b"a/c", 3, ATTRIBUTES, None), whole);
        assert_ne!(terms.entry(b"a/b", 2, ATTRIBUTES, None), whole);
        assert_ne!(terms.entry(b"a/b", 3, Attributes { mode: 0o640, ..ATTRIBUTES }, None), whole);
        assert_ne!(terms.entry(b"a/b", 3, Attributes { modified_seconds: 6, ..ATTRIBUTES }, None), whole);
        assert_ne!(terms.entry(b"a/b", 3, Attributes { modified_nanoseconds: 9, ..ATTRIBUTES }, None), whole);
    }
}
