//! What a standing receiver is started with, and what tells a sender which key to expect of one.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;

use crate::cli::safe_name::safe_os;
use crate::protocol::limits::STANDING_PORT;
use crate::receive::share::Share;
use crate::wire::identity::PublicKey;

/// What a standing receiver is started with.
#[derive(Clone, Debug, Args)]
pub struct StandingArguments {
    /// Stay, and serve many senders at once, each known by its key
    ///
    /// Needs --listen and --allow; prints its address and key instead of a ticket. SIGHUP reads the list of keys again, SIGTERM
    /// ends in order. Without an address it takes the socket that systemd passes, or else listens on all addresses, port
    /// 29984.
    #[arg(long, requires_all = ["listen_on", "allow"], conflicts_with_all = ["replace", "expires", "allow_delete", "accept"])]
    pub stay: bool,

    /// The list of keys that may send, each with its directory
    ///
    /// One line a key, as `careful-send key` prints it, with dir=DIRECTORY and, where wanted, replace, delete, accept=LIST and
    /// max-bytes=SIZE. # begins a comment. A bad line makes the whole list unusable.
    #[arg(long, value_name = "FILE", requires = "stay")]
    pub allow: Option<PathBuf>,

    /// The most memory that all senders together may take up here
    ///
    /// It decides how many are served at once: 64 and some with the default. The next are asked to come again.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = memory, requires = "stay")]
    pub memory: usize,

    /// How long transfers may still run after SIGTERM
    ///
    /// What is not finished by then is closed, and goes on where it was when its sender comes again.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::duration, requires = "stay")]
    pub drain: Duration,
}

/// A standing receiver as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingPlan {
    /// Where to listen; nothing for the socket that systemd passes, or else for the usual port.
    pub address: Option<SocketAddr>,
    /// The list of keys.
    pub allow: PathBuf,
    /// Bytes for all connections together.
    pub memory_bytes: usize,
    /// How long transfers may run on once it is told to end.
    pub drain: Duration,
}

impl StandingArguments {
    /// What was called for, if a standing receiver was: `value` is that of `--listen`. The error explains for a person.
    pub(super) fn plan(
        &self,
        value: Option<&OsStr>,
        directory: Option<&OsStr>,
    ) -> Result<Option<StandingPlan>, String> {
        let Some(allow) = self.allow.as_ref().filter(|_| self.stay) else { return Ok(None) };
        if directory.is_some() {
            return Err("with --stay the directories stand in the list of keys: leave DIR out".to_owned());
        }
        let no_address = |value: &OsStr| {
            format!("'{}' is no address to listen on: it can be ADDR:PORT, ADDR or PORT", safe_os(value))
        };
        let address = value.map(|value| address(value).ok_or_else(|| no_address(value))).transpose()?;
        let (memory_bytes, drain) = (self.memory, self.drain);
        Ok(Some(StandingPlan { address, allow: allow.clone(), memory_bytes, drain }))
    }
}

/// `ADDR:PORT`, `ADDR`, `:PORT` or `PORT`; without a port the usual one.
fn address(value: &OsStr) -> Option<SocketAddr> {
    let text = value.to_str()?;
    let digits = text.strip_prefix(':').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), digits.parse().ok()?));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, STANDING_PORT)))
}

/// Bytes of memory; the error explains for a person.
fn memory(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|_| "not a size, as in 2GiB".to_owned())?;
    let least = Share::LEAST.bytes();
    usize::try_from(size.as_u64())
        .ok()
        .filter(|bytes| *bytes >= least)
        .ok_or_else(|| format!("one sender alone needs {}MiB", least.div_ceil(1 << 20)))
}

/// What tells a sender which key to expect of a standing receiver.
#[derive(Clone, Debug, Args)]
pub struct PeerArguments {
    /// The key of the standing receiver, as `careful-recv key` prints it there
    ///
    /// For this run only. A key that is known already under this name must be the same.
    #[arg(long, value_name = "KEY")]
    pub peer_key: Option<PublicKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_usual_one() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:29984"),
            ("::1", "[::1]:29984"),
            ("[::1]", "[::1]:29984"),
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("[::1]:0", "[::1]:0"),
            (":7", "[::]:7"),
            ("7", "[::]:7"),
        ] {
            assert_eq!(address(OsStr::new(text)), expected.parse().ok(), "{text}");
        }
        for text in ["in", "host:7", "", "70000", "192.0.2.1:70000"] {
            assert_eq!(address(OsStr::new(text)), None, "{text}");
        }
    }

    #[test]
    fn memory_is_enough_for_one_sender_at_least() {
        assert_eq!(memory("2GiB"), Ok(2 << 30));
        for text in ["0", "27MiB", "-1", "much"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
