//! What a receiver answers in a dry run: what a true run would do with each entry of an offer, as far as it can be known
//! before anything is written.
//!
//! The offers are those of a true run. The answer to one is a list of [`Would`], one for each entry in its order; nothing
//! of a true run follows. Of a large file the sender may be asked for the root first:
//!
//! ```text
//! group   > OfferGroup  < Would
//! links   > OfferLinks  < Would
//! names   > OfferHardLinks  < Would       (unchanged: a name of the file that has the first name now)
//! file    > OfferFile   < Would [Claim]  > Working ... Claim  < Working ... Would
//! page    > FinishDirectories  < Finished       (what stands in the way of directories)
//! prune   > Prune (to count)  < Pruned ...
//! ```
//!
//! Each `Working` on a job's own stream stands for [`CLAIM_WORD_EVERY_BYTES`] of the file that were read.

use minicbor::{Decode, Encode};

use super::failure::Failure;
use super::limits::CLAIM_WORD_EVERY_BYTES;

/// What would become of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Would {
    /// Nothing has its name: it would be made.
    #[n(0)]
    New,
    /// Something that differs has its name, and would be replaced.
    #[n(1)]
    Replaced,
    /// What has its name was read and is equal.
    #[n(2)]
    Unchanged,
    /// The target has the same length and time, and that is trusted.
    #[n(3)]
    Trusted,
    /// No.
    #[n(4)]
    Refused(#[n(0)] Failure),
    /// The target is as long as the large file: claim the root, and the answer follows.
    #[n(5)]
    Claim,
}

/// How many words a side may say at most while it reads a file of this length.
#[must_use]
pub fn words_while_reading(length_bytes: u64) -> u64 {
    length_bytes / CLAIM_WORD_EVERY_BYTES + 1
}
