//! The gateway of the paper for L1: ends its QUIC on both sides and stores each parcel whole before it sends it on.
//!
//! As in [`crate::gateway`], both ends trust it on purpose, and a [`Tamper`] says what it does to content. Here nobody but
//! the tamperer can know: L1 has no hash. **Names, lengths and acknowledgements pass as they came.**

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use careful::protocol::entry::Name;
use careful::protocol::limits::JOBS_AT_ONCE_MAX;
use careful::seams::packet::UdpPackets;
use careful::wire::WireError;
use careful::wire::endpoint::{Admitted, Connection, Listener, connect};
use careful::wire::identity::{KeyPair, PublicKey};
use careful::wire::stream::{Incoming, Outgoing};
use tokio::task::JoinHandle;

use super::layout::{File, Layout};
use super::quic_stream::said;
use crate::gateway::tamper::{ContentPlace, Tamper};

/// A gateway for one connection, until it is dropped.
pub(super) struct Gateway {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What it shows to the sender.
    pub(super) key: PublicKey,
    task: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    /// Starts one in front of this receiver; to the receiver it shows the sender's own key.
    pub(super) fn start(
        upstream: SocketAddr,
        receiver: PublicKey,
        identity: Arc<KeyPair>,
        tamper: Arc<dyn Tamper>,
    ) -> Result<Self, String> {
        let key = KeyPair::generate().map_err(|error| format!("make a key: {error}"))?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bound = Listener::bind(&UdpPackets, any_port, &key, Admitted::Key(identity.public()));
        let listener = bound.map_err(|error| error.to_string())?;
        let address = listener.local_address().map_err(|error| error.to_string())?;
        let task = tokio::spawn(async move {
            let Some(downstream) = listener.accept().await else { return };
            let Ok(upstream) = connect(&UdpPackets, &[upstream], &identity, &receiver).await else { return };
            // Both ends have limits of their own for how long they wait: what breaks off here ends in their errors.
            if forward(&downstream, &upstream, tamper.as_ref()).await.is_ok() {
                downstream.closed().await;
            }
            upstream.finish().await;
        });
        Ok(Self { address, key: key.public(), task })
    }
}

/// Forwards a whole copy; ends when the receiver's words are on their way to the sender.
async fn forward(downstream: &Connection, upstream: &Connection, tamper: &dyn Tamper) -> Result<(), WireError> {
    downstream.raise_windows();
    downstream.allow_streams(JOBS_AT_ONCE_MAX, 0);
    let (mut to_sender, mut from_sender) = downstream.accept_job().await?;
    let (mut to_receiver, mut from_receiver) = upstream.open_job().await?;
    let layout = forward_announced(&mut from_sender, &mut to_receiver).await?;
    loop {
        tokio::select! {
            job = downstream.accept_job() => {
                let (mut acknowledging, mut parcel) = job?;
                let acknowledged = forward_parcel(&layout, &mut parcel, upstream, tamper).await?;
                acknowledging.send(&acknowledged).await?;
                acknowledging.finish();
            }
            // Its end: every parcel was acknowledged before, so none is on its way.
            end = from_sender.receive::<bool>() => {
                end?;
                break;
            }
        }
    }
    to_receiver.finish();
    for _ in &layout.files {
        to_sender.send(&said::<String>(from_receiver.receive().await)?).await?;
    }
    to_sender.finish();
    Ok(())
}

async fn forward_announced(from: &mut Incoming, to: &mut Outgoing) -> Result<Layout, WireError> {
    let count: u64 = said(from.receive().await)?;
    to.send(&count).await?;
    let mut files = Vec::new();
    for _ in 0..count {
        let (name, length_bytes): (Name, u64) = said(from.receive().await)?;
        to.send(&(name.clone(), length_bytes)).await?;
        files.push(File { name, length_bytes });
    }
    Ok(Layout::new(files))
}

/// Stores a parcel, lets it be struck, sends it on; answers the receiver's acknowledgement.
async fn forward_parcel(
    layout: &Layout,
    from: &mut Incoming,
    upstream: &Connection,
    tamper: &dyn Tamper,
) -> Result<bool, WireError> {
    let (job, announced): (u64, Vec<(u64, u64)>) = said(from.receive().await)?;
    let mut pieces = Vec::with_capacity(announced.len());
    for &(index, length) in &announced {
        let spot = layout.spot(job, index).ok_or(WireError::TooLong)?;
        let length = usize::try_from(length).ok().filter(|&length| length <= spot.length).ok_or(WireError::TooLong)?;
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).await?;
        let path = layout.files[spot.file].name.as_bytes();
        // A baseline sends nothing twice.
        tamper.content(&ContentPlace { path, offset_bytes: spot.offset_bytes, pass: 1 }, &mut bytes);
        pieces.push(bytes);
    }
    let (mut to_receiver, mut acknowledged) = upstream.open_job().await?;
    to_receiver.send(&(job, announced)).await?;
    for bytes in pieces {
        to_receiver.send_bytes(Bytes::from(bytes)).await?;
    }
    to_receiver.finish();
    said(acknowledged.receive().await)
}
