//! Every setting of quinn and rustls, spelled out: an update of theirs must not change ours.
//!
//! Before its greeting a stranger gets one stream and little memory; [`RECEIVE_WINDOW`] and the streams are raised
//! afterwards. **No resumption, tickets, early data or SNI: a resumed handshake would skip the verifier.**

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::ControllerFactory;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, ValidationTokenConfig, VarInt};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, version};

use super::WireError;
use super::congestion;
use super::fixed_window::FixedWindow;
use super::identity::{KeyPair, PublicKey};
use super::verifier::KeyVerifier;
use crate::protocol::limits::{
    IDLE_TIMEOUT, INCOMING_BUFFER_BYTES, INCOMING_BUFFERS_BYTES, INCOMING_MAX, KEEP_ALIVE_EVERY, PIPE_WINDOW_BYTES,
    PROTOCOL_VERSION, RECEIVE_WINDOW_BYTES, RECEIVE_WINDOW_GREETING_BYTES, SEND_WINDOW_BYTES, STREAM_WINDOW_BYTES,
};
use crate::seams::packet::{Carrier, Congestion, Packets, PathKnowledge};
use crate::seams::pipe_packets::PIPE_PACKET_BYTES_MAX;

/// Largest UDP payload in bytes: below the 16 KiB that quinn's packets may have, and four make just one send of 65,507 bytes.
const DATAGRAM_BYTES_MAX: u16 = 16_376;
/// What every path carries (RFC 9000, section 14).
const DATAGRAM_BYTES_MIN: u16 = 1200;
/// First congestion window on loopback in bytes: the default one holds not even two of its datagrams.
const LOOPBACK_FIRST_WINDOW_BYTES: u64 = 256 << 10;
/// First congestion window elsewhere in bytes: 32 datagrams, as servers of QUIC and content networks on TCP commonly send them.
/// RFC 6928 allows ten, of 2013; what follows is paced over a round trip all the same, and a queue or a loss ends the growth.
const FIRST_WINDOW_BYTES: u64 = 32 * DATAGRAM_BYTES_MIN as u64;
/// UDP payload of an Ethernet packet: looked for where the host knows nothing of the way.
const DATAGRAM_BYTES_ETHERNET: u16 = 1472;
/// What precedes an Ed25519 seed in PKCS#8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Connection window after the greeting.
pub(super) const RECEIVE_WINDOW: VarInt = VarInt::from_u32(RECEIVE_WINDOW_BYTES);

/// What is known of the way to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Within this host: datagrams of [`DATAGRAM_BYTES_MAX`] certainly pass.
    Loopback,
    /// Little: small datagrams first, larger ones as far as they are found to pass.
    Network {
        /// How it is decided how much may be under way.
        congestion: Congestion,
        /// Longer datagrams, in bytes, are not tried.
        datagram_bytes_max: u16,
    },
    /// Byte streams, which lose nothing: the largest packets, and a window that is no judgement of a network.
    Pipe,
}

impl Path {
    pub(super) fn to(address: SocketAddr, door: Door) -> Self {
        match door.carrier {
            Carrier::Pipe => Self::Pipe,
            Carrier::Udp if address.ip().to_canonical().is_loopback() => Self::Loopback,
            Carrier::Udp => {
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let known = (door.knowledge)(address).unwrap_or(DATAGRAM_BYTES_ETHERNET);
                let datagram_bytes_max = known.clamp(DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_MAX);
                Self::Network { congestion: door.congestion, datagram_bytes_max }
            }
        }
    }
}

/// What a packet door says of the ways that begin at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    carrier: Carrier,
    congestion: Congestion,
    knowledge: PathKnowledge,
}

impl Door {
    pub(super) fn of(packets: &dyn Packets) -> Self {
        let (carrier, congestion) = (packets.carrier(), packets.congestion());
        Self { carrier, congestion, knowledge: packets.path_knowledge() }
    }
}

/// Settings of a socket, whoever it talks to; `seed` as the packet door says.
pub(super) fn endpoint_config(carrier: Carrier, seed: Option<[u8; 32]>) -> Result<EndpointConfig, WireError> {
    let datagram_bytes_max = match carrier {
        Carrier::Udp => DATAGRAM_BYTES_MAX,
        Carrier::Pipe => PIPE_PACKET_BYTES_MAX,
    };
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(datagram_bytes_max).map_err(|error| WireError::Crypto(error.to_string()))?;
    config.grease_quic_bit(true);
    config.rng_seed(seed);
    Ok(config)
}

fn transport_config(path: Path) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery
        .upper_bound(match path {
            Path::Network { datagram_bytes_max, .. } => datagram_bytes_max,
            Path::Loopback | Path::Pipe => DATAGRAM_BYTES_MAX,
        })
        .interval(Duration::from_secs(600))
        .black_hole_cooldown(Duration::from_secs(60))
        .minimum_change(20);
    // On loopback the smallest size is raised too, or an overflow of a socket buffer would look like a path that takes
    // small datagrams only. Elsewhere that would keep a connection from being made at all.
    let (datagram_bytes, discovery) = match path {
        Path::Loopback => (DATAGRAM_BYTES_MAX, None),
        Path::Network { .. } => (DATAGRAM_BYTES_MIN, Some(discovery)),
        Path::Pipe => (PIPE_PACKET_BYTES_MAX, None),
    };

    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_GREETING_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .send_fairness(false)
        .initial_mtu(datagram_bytes)
        .min_mtu(datagram_bytes)
        .mtu_discovery_config(discovery)
        .pad_to_mtu(false)
        .ack_frequency_config(None)
        .congestion_controller_factory(controllers(path))
        .packet_threshold(3)
        .time_threshold(9.0 / 8.0)
        .persistent_congestion_threshold(3)
        .initial_rtt(Duration::from_millis(333))
        .keep_alive_interval(Some(KEEP_ALIVE_EVERY))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT.as_millis() as u32))))
        .crypto_buffer_size(16 << 10)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .enable_segmentation_offload(true)
        .allow_spin(false);
    config
}

/// How much may be under way at once.
fn controllers(path: Path) -> Arc<dyn ControllerFactory + Send + Sync> {
    match path {
        Path::Loopback => congestion::controllers(Congestion::Cubic, LOOPBACK_FIRST_WINDOW_BYTES),
        Path::Network { congestion, .. } => congestion::controllers(congestion, FIRST_WINDOW_BYTES),
        Path::Pipe => Arc::new(FixedWindow { bytes: PIPE_WINDOW_BYTES }),
    }
}

/// Settings of a side that is connected to, for whatever path; they share keys and the secret of retry tokens.
#[derive(Debug)]
pub(super) struct ServerConfigs(quinn::ServerConfig);

impl ServerConfigs {
    pub(super) fn of(&self, path: Path) -> quinn::ServerConfig {
        let mut config = self.0.clone();
        config.transport_config(Arc::new(transport_config(path)));
        config
    }

    /// Before it is known who comes: what a connection gets is decided when it begins.
    pub(super) fn of_nobody(&self) -> quinn::ServerConfig {
        self.of(Path::Network { congestion: Congestion::default(), datagram_bytes_max: DATAGRAM_BYTES_MIN })
    }
}

/// Makes those settings.
pub(super) fn server_configs(key: Arc<CertifiedKey>, verifier: Arc<KeyVerifier>) -> Result<ServerConfigs, WireError> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(crypto)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    tls.alpn_protocols = vec![application_protocol()];
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(|error| WireError::Crypto(error.to_string()))?;

    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES)
        .retry_token_lifetime(Duration::from_secs(15))
        .validation_token_config(tokens)
        .migration(true);
    Ok(ServerConfigs(config))
}

/// Settings of a side that connects.
pub(super) fn client_config(
    key: Arc<CertifiedKey>,
    verifier: Arc<KeyVerifier>,
    path: Path,
) -> Result<quinn::ClientConfig, WireError> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(crypto)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    tls.alpn_protocols = vec![application_protocol()];
    tls.resumption = Resumption::disabled();
    tls.enable_early_data = false;
    tls.enable_sni = false;
    let tls = QuicClientConfig::try_from(tls).map_err(|error| WireError::Crypto(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport_config(path)));
    Ok(config)
}

/// The key pair as TLS wants it: the public key in the place of a certificate.
pub(super) fn certified_key(key: &KeyPair) -> Result<Arc<CertifiedKey>, WireError> {
    certified(key.public(), key)
}

/// A public key that claims to belong to the secret one; only a test gives another.
pub(super) fn certified(public: PublicKey, key: &KeyPair) -> Result<Arc<CertifiedKey>, WireError> {
    let seed = key.seed().map_err(|error| WireError::Crypto(error.to_string()))?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from([&PKCS8_PREFIX[..], &seed].concat()));
    let signing = provider().key_provider.load_private_key(private).map_err(crypto)?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_spki().to_vec())], signing)))
}

/// The algorithms, AES-128-GCM before the others.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3);
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// Name of the protocol in the handshake: sides of different major versions do not get past it.
fn application_protocol() -> Vec<u8> {
    format!("careful/{PROTOCOL_VERSION}").into_bytes()
}

fn crypto(error: rustls::Error) -> WireError {
    WireError::Crypto(error.to_string())
}
