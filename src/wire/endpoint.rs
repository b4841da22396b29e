//! The two ends: a listener that greets strangers, and a connector that tries a receiver's addresses. Both at once: `call`.
//!
//! Until its key is proved a stranger costs little memory and a bounded time, and none keeps another waiting.
//! **Who is admitted beyond the key is decided above.**

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime};
use rustls::sign::CertifiedKey;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::call::Calls;
use super::connection::wait_idle;
pub use super::connection::{CloseReason, Connection};
use super::identity::{KeyPair, PublicKey};
use super::transport::{
    Door, Path, ServerConfigs, certified_key, client_config, endpoint_config, provider, server_configs,
};
use super::verifier::KeyVerifier;
use super::{WhoseKey, WireError};
use crate::protocol::limits::{GREETING_TIMEOUT, GREETINGS_AT_ONCE, NEXT_ADDRESS_AFTER};
use crate::seams::packet::Packets;

/// A name for TLS, which wants one; nothing looks it up or compares it.
const NO_NAME: &str = "peer.invalid";

/// Whose handshake may succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Nobody's: the other side's key is not known yet.
    Nobody,
    /// The owner of this key.
    Key(PublicKey),
    /// The owner of one of these keys.
    Keys(HashSet<PublicKey>),
    /// Whoever proves to hold the key it shows; the token decides afterwards.
    AnyKey,
}

/// A socket that waits for connections and, where the other side's addresses are known, calls there itself.
#[derive(Debug)]
pub struct Listener {
    pub(super) endpoint: Endpoint,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) verifier: Arc<KeyVerifier>,
    configs: ServerConfigs,
    door: Door,
    pub(super) greetings: Mutex<JoinSet<Result<Connection, WireError>>>,
    pub(super) calls: Calls,
    /// Another socket, on which the same side is waited for.
    beside: Option<Box<Self>>,
}

impl Listener {
    /// Listens at this address; port 0 lets the system choose. Must be called within a tokio runtime.
    pub fn bind(
        packets: &dyn Packets,
        address: SocketAddr,
        key: &KeyPair,
        admitted: Admitted,
    ) -> Result<Self, WireError> {
        Self::bind_as(packets, address, certified_key(key)?, admitted)
    }

    pub(super) fn bind_as(
        packets: &dyn Packets,
        address: SocketAddr,
        key: Arc<CertifiedKey>,
        admitted: Admitted,
    ) -> Result<Self, WireError> {
        let verifier = Arc::new(KeyVerifier::new(admitted, provider().signature_verification_algorithms));
        let configs = server_configs(Arc::clone(&key), Arc::clone(&verifier))?;
        let endpoint = endpoint(packets, address, Some(configs.of_nobody()))?;
        Ok(Self {
            endpoint,
            key,
            verifier,
            configs,
            door: Door::of(packets),
            greetings: Mutex::new(JoinSet::new()),
            calls: Calls::new(),
            beside: None,
        })
    }

    /// Both at once: connections of either are accepted here, and closed here.
    #[must_use]
    pub fn with(self, beside: Self) -> Self {
        Self { beside: Some(Box::new(beside)), ..self }
    }

    /// Where the socket is bound.
    pub fn local_address(&self) -> Result<SocketAddr, WireError> {
        self.endpoint.local_addr().map_err(WireError::Socket)
    }

    pub(super) fn path_to(&self, address: SocketAddr) -> Path {
        Path::to(address, self.door)
    }

    /// From now on only the owner of this key gets through its handshake. Connections already given out stay.
    pub fn admit_only(&self, key: PublicKey) {
        self.admit(Admitted::Key(key));
    }

    /// From now on only these get through their handshake. Connections already given out stay.
    pub fn admit(&self, admitted: Admitted) {
        self.verifier.admit(admitted);
    }

    /// Turns every stranger away at once for as long as somebody waits here, and gives up handshakes under way;
    /// connections already given out stay. Ends when the listener is closed.
    pub async fn refuse_all(&self) {
        self.greetings.lock().await.shutdown().await;
        while let Some(incoming) = self.endpoint.accept().await {
            incoming.refuse();
        }
    }

    /// The next connection whose handshake is done, whoever called; nothing once the listener is closed. The future may
    /// be dropped at any time, but handshakes begin only while somebody waits here. Up to `GREETINGS_AT_ONCE` run at
    /// once, each at most `GREETING_TIMEOUT`; the next wait for their turn. Those that fail are only logged.
    pub async fn accept(&self) -> Option<Connection> {
        loop {
            let next = match &self.beside {
                None => self.next().await,
                Some(beside) => tokio::select! {
                    next = self.next() => next,
                    // Its end is not the end of this one.
                    Some(next) = beside.next() => Some(next),
                },
            };
            match next? {
                Ok(connection) => return Some(connection),
                Err(error) => tracing::debug!(?error, "a handshake failed"),
            }
        }
    }

    /// As [`Self::accept`], with every handshake that failed.
    pub(super) async fn next(&self) -> Option<Result<Connection, WireError>> {
        let mut greetings = self.greetings.lock().await;
        loop {
            tokio::select! {
                called = self.calls.answered() => return Some(called),
                Some(outcome) = greetings.join_next() => match flat(outcome) {
                    // The key may have been excluded while its handshake ran.
                    Ok(connection) if !self.verifier.admits(connection.peer_key()) => {
                        connection.close(CloseReason::NotAdmitted);
                    }
                    outcome => return Some(outcome),
                },
                incoming = self.endpoint.accept(), if greetings.len() < GREETINGS_AT_ONCE => {
                    self.greet(incoming?, &mut greetings);
                }
            }
        }
    }

    /// From now on strangers are turned away at their first packet, or no longer. Connections already given out stay.
    pub(super) fn turn_away(&self, everybody: bool) {
        self.endpoint.set_server_config((!everybody).then(|| self.configs.of_nobody()));
    }

    /// Every `Incoming` is answered in one way: dropped it would stay in quinn's memory.
    fn greet(&self, incoming: Incoming, greetings: &mut JoinSet<Result<Connection, WireError>>) {
        if !incoming.remote_address_validated() && greetings.len() >= GREETINGS_AT_ONCE / 2 {
            // Under load a stranger has to show that its address is its own.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            return;
        }
        let path = self.path_to(incoming.remote_address());
        match incoming.accept_with(Arc::new(self.configs.of(path))) {
            Ok(connecting) => {
                greetings.spawn(async move {
                    let quic =
                        timeout(GREETING_TIMEOUT, connecting).await.map_err(|_elapsed| WireError::NoAnswer)??;
                    Connection::new(quic)
                });
            }
            Err(error) => tracing::debug!(?error, "a handshake could not begin"),
        }
    }

    /// Closes every connection that is still open and the socket; waits at most `CLOSE_WAIT` for the last packets. Not
    /// needed where the other side ended every connection: dropping the listener is then enough, and some 80 ms faster.
    pub async fn close(&self) {
        for endpoint in
            [Some(&self.endpoint), self.beside.as_ref().map(|beside| &beside.endpoint)].into_iter().flatten()
        {
            endpoint.close((CloseReason::GoingAway as u32).into(), b"");
        }
        wait_idle(&self.endpoint).await;
        if let Some(beside) = &self.beside {
            wait_idle(&beside.endpoint).await;
        }
    }
}

/// Connects to the owner of the key `receiver` at the first of its addresses that leads there; a further address is
/// tried when the one before failed or took too long. All together take at most `GREETING_TIMEOUT`.
///
/// Whether the receiver admits **this** side's key is not yet known: it shows in the first answer on a stream.
pub async fn connect(
    packets: &dyn Packets,
    addresses: &[SocketAddr],
    key: &KeyPair,
    receiver: &PublicKey,
) -> Result<Connection, WireError> {
    connect_as(packets, addresses, certified_key(key)?, &Admitted::Key(*receiver)).await
}

/// The key of whoever answers first at one of these addresses, and proves to hold it: for a person to compare. The
/// connection is closed again; nothing was said on it.
pub async fn key_at(packets: &dyn Packets, addresses: &[SocketAddr], key: &KeyPair) -> Result<PublicKey, WireError> {
    let connection = connect_as(packets, addresses, certified_key(key)?, &Admitted::AnyKey).await?;
    let found = connection.peer_key();
    connection.finish().await;
    Ok(found)
}

pub(super) async fn connect_as(
    packets: &dyn Packets,
    addresses: &[SocketAddr],
    key: Arc<CertifiedKey>,
    receiver: &Admitted,
) -> Result<Connection, WireError> {
    // One socket for all: it may have to be of a certain port.
    let own = own_address(addresses);
    let endpoint = match endpoint(packets, own, None) {
        // Without IPv6 on this host the addresses of IPv4 are left.
        Err(_) if own.ip() == Ipv6Addr::UNSPECIFIED => endpoint(packets, (Ipv4Addr::UNSPECIFIED, 0).into(), None),
        bound => bound,
    }?;
    let deadline = Instant::now() + GREETING_TIMEOUT;
    let mut addresses = addresses.iter();
    let mut attempts = JoinSet::new();
    let mut failed = WireError::NoAnswer;
    loop {
        if let Some(address) = addresses.next() {
            let (endpoint, path) = (endpoint.clone(), Path::to(*address, Door::of(packets)));
            let connecting = call(&endpoint, path, *address, Arc::clone(&key), receiver.clone());
            attempts.spawn(async move { Connection::new(connecting?.await?) });
        }
        // The attempts that lose are dropped with their set, which ends them.
        let outcome = tokio::select! {
            outcome = timeout_at(deadline, attempts.join_next()) => outcome,
            () = sleep(NEXT_ADDRESS_AFTER), if addresses.len() > 0 => continue,
        };
        match outcome.map(|outcome| outcome.map(flat)) {
            Ok(Some(Ok(connection))) => return Ok(connection),
            Ok(Some(Err(error))) => failed = more_telling(failed, error),
            Ok(None) if addresses.len() == 0 => return Err(failed),
            Ok(None) => {}
            Err(_elapsed) => return Err(failed),
        }
    }
}

/// Begins a handshake with the owner of such a key.
pub(super) fn call(
    endpoint: &Endpoint,
    path: Path,
    address: SocketAddr,
    key: Arc<CertifiedKey>,
    peer: Admitted,
) -> Result<quinn::Connecting, WireError> {
    let verifier = KeyVerifier::new(peer, provider().signature_verification_algorithms);
    let config = client_config(key, Arc::new(verifier), path)?;
    Ok(endpoint.connect_with(config, address, NO_NAME)?)
}

fn endpoint(packets: &dyn Packets, address: SocketAddr, server: Option<ServerConfig>) -> Result<Endpoint, WireError> {
    let socket = packets.socket(address).map_err(WireError::Socket)?;
    let config = endpoint_config(packets.carrier(), packets.endpoint_seed())?;
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime)).map_err(WireError::Socket)
}

/// Where the socket that talks to a peer with these addresses is bound: never wider than needed. One for IPv6 reaches IPv4,
/// too.
fn own_address(peer: &[SocketAddr]) -> SocketAddr {
    let addresses = || peer.iter().map(|address| address.ip().to_canonical());
    let address: IpAddr = match (addresses().any(|ip| ip.is_ipv6()), addresses().all(|ip| ip.is_loopback())) {
        (false, true) => Ipv4Addr::LOCALHOST.into(),
        (false, false) => Ipv4Addr::UNSPECIFIED.into(),
        (true, true) if addresses().all(|ip| ip.is_ipv6()) => Ipv6Addr::LOCALHOST.into(),
        (true, _) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(address, 0)
}

/// Of the failures of several addresses the one that helps most: who answered and refused says more than who did not.
pub(super) fn more_telling(one: WireError, other: WireError) -> WireError {
    let weight = |error: &WireError| match error {
        WireError::VersionMismatch => 4,
        WireError::Refused { whose: WhoseKey::Ours } => 3,
        WireError::Refused { whose: WhoseKey::Theirs } => 2,
        WireError::NoAnswer => 0,
        _ => 1,
    };
    if weight(&other) >= weight(&one) { other } else { one }
}

/// A task that panicked is one attempt that failed.
fn flat(outcome: Result<Result<Connection, WireError>, JoinError>) -> Result<Connection, WireError> {
    outcome.unwrap_or_else(|error| Err(WireError::Crypto(error.to_string())))
}
