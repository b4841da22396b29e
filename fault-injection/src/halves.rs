//! How the rigs start the real receiver: a listener, its ticket, and one transfer. What runs over other doors or under another
//! policy says so; the rest is the same everywhere.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use careful::connect::admission::Admission;
use careful::connect::ticket::Ticket;
use careful::receive::listen::{Waiting, one_transfer};
use careful::receive::{Policy, Receiver, RootPolicy};
use careful::seams::Environment;
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::KeyPair;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The secret of every ticket here.
pub const TOKEN: [u8; 16] = [7; 16];
/// Any free port of this host.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Files that may be open at once for staging.
const OPEN_FILES_MAX: usize = 256;

/// A runtime with two threads, whatever the machine has.
///
/// # Errors
/// If its threads cannot be started.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A listener at this address, for a receiver with this key, and the ticket to it.
///
/// # Panics
/// If no socket can be bound.
#[must_use]
pub fn listen(environment: &Environment, address: SocketAddr, key: &KeyPair) -> (Ticket, Listener) {
    let listener = Listener::bind(environment.packets.as_ref(), address, key, Admitted::AnyKey);
    let listener = listener.expect("a socket can be bound");
    let addresses = vec![listener.local_address().expect("a bound socket has an address")];
    (Ticket { receiver: key.public(), token: TOKEN, expires_seconds: None, addresses }, listener)
}

/// What the same person allows who started both sides.
#[must_use]
pub fn same_person() -> Policy {
    Policy::new(RootPolicy::NamedBySender, 0o022)
}

/// The real receiver over these doors, for one transfer: the ticket to it, and its end.
///
/// # Panics
/// If no socket can be bound, or outside of a runtime.
#[must_use]
pub fn receive(
    environment: Environment,
    address: SocketAddr,
    policy: Policy,
    waiting: Waiting,
) -> (Ticket, JoinHandle<()>) {
    let key = || KeyPair::generate().expect("a key can be made");
    let (ticket, listener) = listen(&environment, address, &key());
    let receiver = Arc::new(Receiver {
        environment,
        identity: Arc::new(key()),
        admission: Admission::new(TOKEN, None),
        policy,
        open_files_max: OPEN_FILES_MAX,
    });
    let receiving = tokio::spawn(async move {
        one_transfer(receiver, &listener, waiting).await;
        listener.close().await;
    });
    (ticket, receiving)
}
