//! Further names of files that are committed, as they cross the wire.
//!
//! The first name that the sender met travels as a file. The others follow when every file is done: each page names the
//! file once, by its place and its content, so that a receiver needs to remember nothing of it.

use minicbor::{Decode, Encode};

use super::entry::{Attributes, Name};
use super::message::Hash32;
use super::receipt::Origin;

/// A file that is there, and further names for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LinkedFile {
    /// Position of its directory in the job's table; the receiving directory itself if none.
    #[n(0)]
    pub directory: Option<u32>,
    /// Its name there.
    #[n(1)]
    pub name: Name,
    /// In bytes.
    #[n(2)]
    pub length_bytes: u64,
    /// As it was committed: nothing is set again.
    #[n(3)]
    pub attributes: Attributes,
    /// What it holds; nothing where it is trusted by length and time.
    #[n(4)]
    pub content: Option<LinkedContent>,
    /// One at least.
    #[n(5)]
    pub names: Vec<FurtherName>,
}

/// What the sender knows of the content of a [`LinkedFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LinkedContent {
    /// Of the source.
    #[n(0)]
    pub root: Hash32,
    /// How the sender knows it.
    #[n(1)]
    pub origin: Origin,
}

/// Where the file is to have another name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FurtherName {
    /// Position of the directory in the job's table; the receiving directory itself if none.
    #[n(0)]
    pub directory: Option<u32>,
    /// The name there.
    #[n(1)]
    pub name: Name,
}
