//! A copy that trusts QUIC, through a gateway: the same connections and chunks as the real programs, and nothing compared.
//!
//! Each connection for itself is perfect, so it ends well whatever the gateway did. **It ignores the hashes that it sends.**

use bytes::Bytes;
use careful::connect::ticket::{Ticket, token_proof};
use careful::hash::{PieceHash, Position};
use careful::protocol::limits::CHUNK_BYTES_DEFAULT;
use careful::protocol::message::{ChunkHeader, FromReceiver, FromSender};
use careful::seams::packet::UdpPackets;
use careful::wire::WireError;
use careful::wire::connection::Connection;
use careful::wire::endpoint::{Admitted, Listener, connect};
use careful::wire::identity::{KeyPair, random_bytes};
use careful::wire::stream::{Incoming, Outgoing};

use super::programs::Hosts;
use crate::gateway::Gateway;
use crate::halves::ANY_PORT;

/// Chunks under way at once.
const CHUNKS_AT_ONCE: u32 = 16;

/// Copies every file through the gateway that `between` starts before the receiver of this ticket.
pub(super) async fn copy(
    hosts: &Hosts,
    between: impl FnOnce(&Ticket) -> Result<Gateway, String>,
) -> Result<Gateway, String> {
    let told = |error: WireError| format!("copy over QUIC: {error}");
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let token = random_bytes().map_err(|error| error.to_string())?;
    let listener = Listener::bind(&UdpPackets, ANY_PORT, &key, Admitted::AnyKey).map_err(told)?;
    let addresses = vec![listener.local_address().map_err(told)?];
    let ticket = Ticket { receiver: key.public(), token, expires_seconds: None, addresses };
    let gateway = between(&ticket)?;
    let (sent, received) = tokio::join!(send(hosts, gateway.ticket()), receive(hosts, &listener));
    // The connections stay open until both sides are done.
    let _connections = (sent.map_err(told)?, received.map_err(told)?);
    Ok(gateway)
}

type Open = (Connection, Outgoing, Incoming);

async fn send(hosts: &Hosts, ticket: &Ticket) -> Result<Open, WireError> {
    let key = KeyPair::generate().map_err(|_| WireError::ClosedHere)?;
    let sender = connect(&UdpPackets, &ticket.addresses, &key, &ticket.receiver).await?;
    let (mut outgoing, mut incoming) = sender.open_job().await?;
    let proof = token_proof(&ticket.token, &sender.exporter()?);
    outgoing.send(&FromSender::Hello { minor: 0, proof }).await?;
    let Some(FromReceiver::Welcome { .. }) = incoming.receive().await? else { return Err(WireError::EndedEarly) };
    for (job, (_, bytes)) in hosts.files().iter().enumerate() {
        for (index, chunk) in bytes.chunks(CHUNK_BYTES_DEFAULT as usize).enumerate() {
            let hash = PieceHash::of(Position::WholeFile, chunk);
            let length_bytes = chunk.len() as u32;
            let header = ChunkHeader { job: job as u64, index: index as u64, length_bytes, round: 0, hash };
            sender.send_chunk(header, Bytes::copy_from_slice(chunk)).await?;
        }
    }
    Ok((sender, outgoing, incoming))
}

async fn receive(hosts: &Hosts, listener: &Listener) -> Result<Open, WireError> {
    let receiver = listener.accept().await.ok_or(WireError::EndedEarly)?;
    let (mut outgoing, mut incoming) = receiver.accept_job().await?;
    let Some(FromSender::Hello { .. }) = incoming.receive().await? else { return Err(WireError::EndedEarly) };
    receiver.raise_windows();
    receiver.allow_streams(1, CHUNKS_AT_ONCE);
    outgoing.send(&FromReceiver::Welcome { minor: 0 }).await?;
    let mut copies: Vec<Vec<u8>> = hosts.files().iter().map(|(_, bytes)| vec![0; bytes.len()]).collect();
    let chunks: usize = copies.iter().map(|copy| copy.chunks(CHUNK_BYTES_DEFAULT as usize).count()).sum();
    for _ in 0..chunks {
        let mut chunk = receiver.accept_chunk().await?;
        let header = chunk.header().await?;
        let start = header.index as usize * CHUNK_BYTES_DEFAULT as usize;
        let copy = copies.get_mut(header.job as usize);
        let place = copy.and_then(|copy| copy.get_mut(start..start + header.length_bytes as usize));
        chunk.body_into(place.ok_or(WireError::EndedEarly)?).await?;
    }
    for ((name, _), copy) in hosts.files().iter().zip(&copies) {
        hosts.put("target", name, copy).map_err(|_| WireError::EndedEarly)?;
    }
    Ok((receiver, outgoing, incoming))
}
