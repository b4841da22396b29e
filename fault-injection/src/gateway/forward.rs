//! Takes messages, small files and chunks off one side, hands each to the tamperer, and puts them onto the other.
//!
//! What is given up on one side is given up on the other: a stream that is dropped here is reset there. **What a message
//! means is looked at only as far as the bytes behind it have to be found.**

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use careful::hash::{PieceHash, Position, Root};
use careful::protocol::entry::FileEntry;
use careful::protocol::message::{ChunkHeader, FromSender, Hash32, IndexedHash, from_wire, to_wire};
use careful::wire::WireError;
use careful::wire::stream::{ChunkStream, Incoming, Outgoing};

use super::{Job, Session};
use crate::plan::Side;

/// Both directions of a job by themselves: one may end, or be given up, while the other still speaks.
pub(super) async fn forward_job(session: Arc<Session>, ((to_sender, from_sender), (to_receiver, from_receiver)): Job) {
    let (sent, answered) = tokio::join!(
        forward_from_sender(&session, from_sender, to_receiver),
        forward_from_receiver(&session, from_receiver, to_sender),
    );
    // What was given up on one side was given up on the other when its stream was dropped.
    sent.and(answered).ok();
}

/// A small file of a group, as it was offered.
struct Offered {
    path: Vec<u8>,
    length_bytes: u64,
}

async fn forward_from_sender(session: &Session, mut from: Incoming, mut to: Outgoing) -> Result<(), WireError> {
    let mut offered = Vec::new();
    while let Some(message) = from.receive_unchecked().await? {
        match from_wire::<FromSender>(&message) {
            Ok(FromSender::Pieces(list)) => {
                forward_pieces(session, list, &offered, &mut from, &mut to).await?;
                continue;
            }
            Ok(FromSender::OfferGroup { directories, files, .. }) => {
                let path = |file: &FileEntry| directories.path_of(file.directory, &file.name);
                let files = files.into_iter().map(|file| Offered {
                    path: path(&file.entry).unwrap_or_default(),
                    length_bytes: file.entry.length_bytes,
                });
                offered = files.collect();
            }
            Ok(FromSender::OfferFile { job, directories, file, chunk_bytes, .. }) => {
                let path = directories.path_of(file.directory, &file.name).unwrap_or_default();
                let mut files = session.files.lock().unwrap_or_else(PoisonError::into_inner);
                files.insert(job, (path, chunk_bytes));
            }
            // Whatever it is, whether it is of the protocol at all is for the receiver to say.
            _ => {}
        }
        to.send_bytes(session.through.pass_on(Side::Sender, message)).await?;
    }
    to.finish();
    Ok(())
}

/// The bytes of small files follow the message that lists them. Their roots went ahead with the offer, before there was
/// anything to damage: only the list can be made to fit.
async fn forward_pieces(
    session: &Session,
    mut list: Vec<IndexedHash>,
    offered: &[Offered],
    from: &mut Incoming,
    to: &mut Outgoing,
) -> Result<(), WireError> {
    let through = &session.through;
    let mut pieces = Vec::with_capacity(list.len());
    for announced in &mut list {
        let file = offered.get(announced.index as usize).ok_or(WireError::EndedEarly)?;
        let mut bytes = vec![0; file.length_bytes as usize];
        from.read_exact(&mut bytes).await?;
        if through.tamper_content(&file.path, 0, &mut bytes) {
            announced.hash = Hash32::from(Root::of(&bytes));
        }
        pieces.push(bytes);
    }
    let message = to_wire(&FromSender::Pieces(list)).split_off(4);
    to.send_bytes(through.pass_on(Side::Sender, message)).await?;
    for bytes in pieces {
        to.send_bytes(Bytes::from(bytes)).await?;
    }
    Ok(())
}

async fn forward_from_receiver(session: &Session, mut from: Incoming, mut to: Outgoing) -> Result<(), WireError> {
    while let Some(message) = from.receive_unchecked().await? {
        to.send_bytes(session.through.pass_on(Side::Receiver, message)).await?;
    }
    to.finish();
    Ok(())
}

pub(super) async fn forward_chunk(session: &Session, mut chunk: ChunkStream) -> Result<(), WireError> {
    let header = chunk.header().await?;
    let mut bytes = vec![0; header.length_bytes as usize];
    chunk.body_into(&mut bytes).await?;
    let file = session.files.lock().unwrap_or_else(PoisonError::into_inner).get(&header.job).cloned();
    let (path, chunk_bytes) = file.unwrap_or_default();
    let offset_bytes = header.index * u64::from(chunk_bytes);
    let hash = match session.through.tamper_content(&path, offset_bytes, &mut bytes) {
        true => PieceHash::of(Position::Chunk { offset_bytes }, &bytes),
        false => header.hash,
    };
    session.upstream.send_chunk(ChunkHeader { hash, ..header }, Bytes::from(bytes)).await
}
