//! Receipts: the receiver's signed statement about files that are committed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::commit::Committed;
use super::links::CommittedLink;
use crate::outcome::Observer;
use crate::protocol::entry::Attributes;
use crate::protocol::failure::Failure;
use crate::protocol::link::LinkEntry;
use crate::protocol::message::Signed;
use crate::protocol::receipt::{Origin, Proof, Receipt, ReceiptFile, ReceiptKind, Stored};
use crate::wire::identity::{KeyPair, PublicKey};

/// Signs the receipts of one session.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) identity: Arc<KeyPair>,
    pub(super) transfer: [u8; 16],
    /// The receiving directory as it was told to the sender.
    pub(super) directory: Vec<u8>,
    pub(super) sender: PublicKey,
    /// Is told of every receipt, where the person sits at this side.
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// Whether that one must have stored a receipt before it leaves this side: the sender removes its source for it.
    pub(super) stores_first: bool,
}

impl Signer {
    /// Signs for the committed files of one job, each with its path below the destination, the attributes that were asked
    /// for, and the sender's word. Blocks, and fails, as storing the receipt does.
    pub(super) fn sign(
        &self,
        files: impl IntoIterator<Item = (Vec<u8>, Attributes, Committed, Origin)>,
    ) -> Result<Signed, Failure> {
        self.sign_committed(files, ReceiptKind::File)
    }

    /// The same for further names of files.
    pub(super) fn sign_names(
        &self,
        names: impl IntoIterator<Item = (Vec<u8>, Attributes, Committed, Origin)>,
    ) -> Result<Signed, Failure> {
        self.sign_committed(names, ReceiptKind::HardLink)
    }

    fn sign_committed(
        &self,
        files: impl IntoIterator<Item = (Vec<u8>, Attributes, Committed, Origin)>,
        kind: ReceiptKind,
    ) -> Result<Signed, Failure> {
        let mut unchanged = Vec::new();
        let files: Vec<ReceiptFile> = files
            .into_iter()
            .map(|(path, attributes, committed, origin)| {
                unchanged.push(committed.was_equal());
                ReceiptFile {
                    path,
                    attributes,
                    length_bytes: committed.length_bytes(),
                    root: committed.root().0,
                    proof: proof(committed, origin),
                    kind,
                }
            })
            .collect();
        self.sign_files(files, &unchanged)
    }

    /// The same for links, each with whether its target was equal already. What is known of them is known from their directory, through the cache.
    pub(super) fn sign_links<'a>(
        &self,
        links: impl IntoIterator<Item = (Vec<u8>, &'a LinkEntry, CommittedLink, bool)>,
    ) -> Result<Signed, Failure> {
        let mut unchanged = Vec::new();
        let links = links.into_iter().map(|(path, link, committed, was_equal)| {
            unchanged.push(was_equal);
            ReceiptFile {
                path,
                attributes: link.attributes,
                length_bytes: link.target.as_bytes().len() as u64,
                root: link.target.root().0,
                proof: Proof { origin: Origin::FirstRead, stored: Stored::Cache, durable: committed.durable() },
                kind: ReceiptKind::Link,
            }
        });
        let links = links.collect();
        self.sign_files(links, &unchanged)
    }

    fn sign_files(&self, files: Vec<ReceiptFile>, unchanged: &[bool]) -> Result<Signed, Failure> {
        let key = self.identity.public();
        let receipt = Receipt {
            transfer: self.transfer,
            directory: self.directory.clone(),
            time_seconds: now_seconds(),
            receiver: key.0,
            sender: self.sender.0,
            files,
        };
        let signature = self.identity.sign(&receipt.statement());
        if let Some(observer) = &self.observer {
            observer.committed(&receipt, &signature, unchanged);
            if self.stores_first && !observer.stores_receipts() {
                return Err(Failure::ReceiptNotStored);
            }
        }
        Ok(Signed { time_seconds: receipt.time_seconds, key: key.0, signature })
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
