//! Receipts: the receiver's signed statement about files that are committed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::commit::Committed;
use crate::protocol::entry::Attributes;
use crate::protocol::message::Signed;
use crate::protocol::receipt::{Origin, Proof, Receipt, ReceiptFile};
use crate::wire::identity::{KeyPair, PublicKey};

/// Signs the receipts of one session.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) identity: Arc<KeyPair>,
    pub(super) transfer: [u8; 16],
    /// The receiving directory as it was told to the sender.
    pub(super) directory: Vec<u8>,
    pub(super) sender: PublicKey,
}

impl Signer {
    /// Signs for the committed files of one job, each with its path below the destination, the attributes that were asked
    /// for, and the sender's word.
    pub(super) fn sign(&self, files: impl IntoIterator<Item = (Vec<u8>, Attributes, Committed, Origin)>) -> Signed {
        let files = files.into_iter().map(|(path, attributes, committed, origin)| ReceiptFile {
            path,
            attributes,
            length_bytes: committed.length_bytes(),
            root: committed.root().0,
            proof: proof(committed, origin),
        });
        let key = self.identity.public();
        let receipt = Receipt {
            transfer: self.transfer,
            directory: self.directory.clone(),
            time_seconds: now_seconds(),
            receiver: key.0,
            sender: self.sender.0,
            files: files.collect(),
        };
        let signature = self.identity.sign(&receipt.statement());
        Signed { time_seconds: receipt.time_seconds, key: key.0, signature }
    }
}

/// The three words.
pub(super) fn proof(committed: Committed, origin: Origin) -> Proof {
    Proof { origin, stored: committed.stored(), durable: committed.durable() }
}

/// By this host's clock; a clock before 1970 reads as 1970.
pub(super) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
