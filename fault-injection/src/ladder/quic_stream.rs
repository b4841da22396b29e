//! L1: a copy over QUIC, encrypted and authenticated, lengths first. What a stream delivers is believed.
//!
//! The first stream carries names and lengths, and in the end the receiver's word about each file. Each parcel, a chunk or
//! a group of small files, travels on a stream of its own and is acknowledged there. TLS and transport are `careful`'s.
//! Where a gateway is wanted, [`super::quic_gateway`] stands between the halves. **No hash.**

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use careful::protocol::entry::Name;
use careful::protocol::limits::JOBS_AT_ONCE_MAX;
use careful::seams::Environment;
use careful::seams::buffer::{Parcel, Piece, PieceBuffer};
use careful::wire::WireError;
use careful::wire::endpoint::{Admitted, Connection, Listener, connect};
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};
use tokio::time::timeout;

use super::layout::File;
use super::quic_gateway::Gateway;
use super::source::{Source, not_listed};
use super::target::Target;
use super::{Copied, PATIENCE};
use crate::gateway::tamper::Tamper;

/// Copies the regular files directly in the source directory into the target directory, which must be there; both halves
/// run here, each over its own doors. Ends when the receiver's word about every file came over QUIC, or one step of either
/// half took more than 30 seconds. `through` is what a gateway between them does to content; without it there is none.
pub async fn copy(
    sender: &Environment,
    receiver: &Environment,
    source_directory: &Path,
    target_directory: &Path,
    through: Option<Arc<dyn Tamper>>,
) -> Copied {
    match Source::list(sender, source_directory).await {
        Ok(source) => source.report(both(&source, sender, receiver, target_directory, through, PATIENCE).await),
        Err(error) => not_listed(&error),
    }
}

/// Both halves: the receiver's word about each file, or why there is none.
async fn both(
    source: &Source,
    sender: &Environment,
    receiver: &Environment,
    target_directory: &Path,
    through: Option<Arc<dyn Tamper>>,
    patience: Duration,
) -> Result<Vec<String>, String> {
    let keys = || KeyPair::generate().map_err(|error| format!("make a key: {error}"));
    let (key, receivers_key) = (Arc::new(keys()?), keys()?);
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(receiver.packets.as_ref(), any_port, &receivers_key, Admitted::Key(key.public()));
    let listener = listener.map_err(|error| error.to_string())?;
    let address = listener.local_address().map_err(|error| error.to_string())?;
    let through = through.map(|tamper| Gateway::start(address, receivers_key.public(), Arc::clone(&key), tamper));
    let gateway = through.transpose()?;
    let (address, shown) = match &gateway {
        Some(gateway) => (gateway.address, gateway.key),
        None => (address, receivers_key.public()),
    };
    let sending = async {
        let addresses = [address];
        let connecting = connect(sender.packets.as_ref(), &addresses, &key, &shown);
        let connection = within(patience, connecting).await?;
        let words = send(source, sender, &connection, patience).await;
        // Whatever came of it: the receiver need not wait any more.
        connection.finish().await;
        words
    };
    let receiving = async {
        let accepted = timeout(patience, listener.accept()).await;
        let connection = accepted.ok().flatten().ok_or("nobody connected")?;
        let received = receive(receiver, target_directory, &connection, patience).await;
        if received.is_ok() {
            // The last words are on their way until the sender closes.
            timeout(patience, connection.closed()).await.ok();
        }
        drop(connection);
        received
    };
    match tokio::join!(sending, receiving) {
        (Err(error), Err(cause)) => Err(format!("{error}; the receiver: {cause}")),
        (sent, _) => sent,
    }
}

/// One step, which may take only so long.
async fn within<T>(patience: Duration, step: impl Future<Output = Result<T, WireError>>) -> Result<T, String> {
    match timeout(patience, step).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(elapsed) => Err(elapsed.to_string()),
    }
}

/// The sender: answers the receiver's word about each file.
async fn send(
    source: &Source,
    environment: &Environment,
    connection: &Connection,
    patience: Duration,
) -> Result<Vec<String>, String> {
    let files = &source.layout.files;
    let (mut outgoing, mut incoming) = within(patience, connection.open_job()).await?;
    within(patience, async {
        outgoing.send(&(files.len() as u64)).await?;
        for file in files {
            outgoing.send(&(file.name.clone(), file.length_bytes)).await?;
        }
        Ok(())
    })
    .await?;
    let mut parcels = source.start_reading(environment);
    while let Some(parcel) = parcels.recv().await {
        within(patience, send_parcel(connection, parcel)).await?;
    }
    outgoing.finish();
    let mut words = Vec::with_capacity(files.len());
    for _ in files {
        words.push(within(patience, async { said(incoming.receive().await) }).await?);
    }
    Ok(words)
}

/// What was heard; a stream that ended says nothing.
pub(super) fn said<M>(heard: Result<Option<M>, WireError>) -> Result<M, WireError> {
    heard?.ok_or(WireError::EndedEarly)
}

/// Sends a parcel and hears that it arrived.
async fn send_parcel(connection: &Connection, parcel: Parcel) -> Result<(), WireError> {
    let (mut outgoing, mut incoming) = connection.open_job().await?;
    let pieces: Vec<(u64, u64)> = parcel.pieces.iter().map(|piece| (piece.index, piece.bytes.len() as u64)).collect();
    outgoing.send(&(parcel.job, pieces)).await?;
    for piece in parcel.pieces {
        outgoing.send_bytes(Bytes::from_owner(piece.bytes)).await?;
    }
    outgoing.finish();
    said::<bool>(incoming.receive().await).map(drop)
}

/// The receiver.
async fn receive(
    environment: &Environment,
    directory: &Path,
    connection: &Connection,
    patience: Duration,
) -> Result<(), String> {
    connection.raise_windows();
    connection.allow_streams(JOBS_AT_ONCE_MAX, 0);
    let (mut outgoing, mut incoming) = within(patience, connection.accept_job()).await?;
    let files = within(patience, announced(&mut incoming)).await?;
    let mut target = Target::start(environment, directory, files).await;
    loop {
        tokio::select! {
            job = within(patience, connection.accept_job()) => {
                let (mut acknowledging, mut incoming) = job?;
                let parcel = within(patience, receive_parcel(&mut incoming, &target)).await?;
                target.take(parcel).await;
                within(patience, acknowledging.send(&true)).await?;
                acknowledging.finish();
            }
            // Its end: every parcel was acknowledged before, so none is on its way.
            end = incoming.receive::<bool>() => {
                end.map_err(|error| error.to_string())?;
                break;
            }
        }
    }
    let words = target.finish().await;
    within(patience, say(&mut outgoing, &words)).await?;
    outgoing.finish();
    Ok(())
}

async fn announced(incoming: &mut Incoming) -> Result<Vec<File>, WireError> {
    let mut files = Vec::new();
    for _ in 0..said::<u64>(incoming.receive().await)? {
        let (name, length_bytes): (Name, u64) = said(incoming.receive().await)?;
        files.push(File { name, length_bytes });
    }
    Ok(files)
}

async fn say(outgoing: &mut Outgoing, words: &[String]) -> Result<(), WireError> {
    for word in words {
        outgoing.send(word).await?;
    }
    Ok(())
}

/// Reads one parcel; a piece that is longer than its place was never announced.
async fn receive_parcel(incoming: &mut Incoming, target: &Target) -> Result<Parcel, WireError> {
    let (job, announced): (u64, Vec<(u64, u64)>) = said(incoming.receive().await)?;
    let mut pieces = Vec::with_capacity(announced.len());
    for (index, length) in announced {
        let spot = target.layout().spot(job, index).ok_or(WireError::TooLong)?;
        let length = usize::try_from(length).ok().filter(|&length| length <= spot.length).ok_or(WireError::TooLong)?;
        let mut bytes = PieceBuffer::unpooled(length);
        incoming.read_exact(&mut bytes).await?;
        pieces.push(Piece { index, hash: None, bytes });
    }
    Ok(Parcel { job, round: 0, pieces })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FaultyPackets;
    use crate::plan::{Plan, Side};

    #[tokio::test]
    async fn a_silent_receiver_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let plan: Arc<Plan> = Arc::new("packet-of-receiver *1 drop".parse().unwrap());
        let sender = Environment::real();
        let packets = FaultyPackets::new(Arc::clone(&sender.packets), Side::Receiver, Arc::clone(&plan));
        let receiver = Environment { packets: Arc::new(packets), ..Environment::real() };
        let source = Source::list(&sender, directory.path()).await.unwrap();
        let words = both(&source, &sender, &receiver, directory.path(), None, Duration::from_millis(200)).await;
        assert!(words.is_err() && plan.not_fired().is_empty(), "{words:?}");
    }
}
