//! Receipts at the sender: made anew from what the sender itself knows, and the receiver's signature checked over that.

use super::job::Session;
use crate::hash::Root;
use crate::protocol::entry::Attributes;
use crate::protocol::failure::Failure;
use crate::protocol::labels::Unset;
use crate::protocol::message::Signed;
use crate::protocol::receipt::{Proof, Receipt, ReceiptFile, ReceiptKind};
use crate::wire::identity::PublicKey;

/// What the sender holds a committed file to be.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) path: Vec<u8>,
    pub(super) length_bytes: u64,
    pub(super) attributes: Attributes,
    pub(super) root: Root,
    pub(super) proof: Proof,
    /// Whether the target was equal already.
    pub(super) unchanged: bool,
    /// What it is.
    pub(super) kind: ReceiptKind,
    /// What of its labels the receiver could not set.
    pub(super) unset: Unset,
}

/// Checks the receiver's signature over exactly these files and tells the observer.
pub(super) fn accept(session: &Session, files: &[Sent], signed: &Signed) -> Result<(), Failure> {
    let receipt = Receipt {
        transfer: session.transfer,
        directory: session.directory.clone(),
        time_seconds: signed.time_seconds,
        receiver: signed.key,
        sender: session.own_key.0,
        files: files
            .iter()
            .map(|file| ReceiptFile {
                path: file.path.clone(),
                length_bytes: file.length_bytes,
                root: file.root.0,
                proof: file.proof,
                attributes: file.attributes,
                kind: file.kind,
            })
            .collect(),
    };
    if !PublicKey(signed.key).verify(&receipt.statement(), &signed.signature) {
        return Err(Failure::ReceiptInvalid);
    }
    let unchanged: Vec<bool> = files.iter().map(|file| file.unchanged).collect();
    session.observer.committed(&receipt, &signed.signature, &unchanged);
    session.counters.committed_files(files.len() as u64);
    for file in files {
        for failure in file.unset.failures() {
            session.observer.failed(&file.path, failure, None);
        }
    }
    Ok(())
}

/// Whether each of so many entries of an offer is told of exactly once.
pub(super) fn each_once(count: usize, told: impl Iterator<Item = u32>) -> Result<(), Failure> {
    let mut is_told = vec![false; count];
    for index in told {
        let told = is_told.get_mut(index as usize).ok_or(Failure::Protocol)?;
        if std::mem::replace(told, true) {
            return Err(Failure::Protocol);
        }
    }
    if is_told.contains(&false) { Err(Failure::Protocol) } else { Ok(()) }
}
