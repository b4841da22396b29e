//! Two hosts on a network in memory, and a connection between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use careful::seams::packet::Packets;
use careful::wire::WireError;
use careful::wire::connection::Connection;
use careful::wire::endpoint::{Admitted, Listener, connect};
use careful::wire::identity::KeyPair;
use careful_faults::network::Network;

pub(crate) const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Both ends of a connection, the sender over this door.
pub(crate) async fn connected(
    network: &Network,
    sender: &dyn Packets,
) -> Result<(Connection, Connection, Listener), WireError> {
    let (sender_key, receiver_key) = (KeyPair::from_seed(&[1; 32]).unwrap(), KeyPair::from_seed(&[2; 32]).unwrap());
    let host = network.host(RECEIVER);
    let any_port = SocketAddr::new(RECEIVER, 0);
    let listener = Listener::bind(host.as_ref(), any_port, &receiver_key, Admitted::Key(sender_key.public())).unwrap();
    let addresses = [listener.local_address().unwrap()];
    let receiver = receiver_key.public();
    let connecting = connect(sender, &addresses, &sender_key, &receiver);
    let (connected, accepted) = tokio::select! {
        both = async { tokio::join!(connecting, listener.accept()) } => both,
        () = tokio::time::sleep(Duration::from_secs(60)) => return Err(WireError::NoAnswer),
    };
    let (connected, accepted) = (connected?, accepted.unwrap());
    accepted.allow_streams(4, 16);
    accepted.raise_windows();
    Ok((connected, accepted, listener))
}
