//! `--listen [ADDR:PORT] DIR`: which of the words is the address and which the directory.
//!
//! An option with a value that may be absent takes the word after it, whatever it is. So: with no operand left, a value
//! that is no address is the directory. **No name is looked up and no directory opened here.**

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::safe_name::safe_os;

/// Where to wait, and what to receive into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenPlan {
    /// Unspecified address: all of this host's. Port 0: any free one.
    pub address: SocketAddr,
    /// As it was written.
    pub directory: PathBuf,
}

impl ListenPlan {
    /// `value` is that of `--listen`, `operand` the positional DIR. The error explains for a person.
    pub(crate) fn new(value: Option<&OsStr>, operand: Option<&OsString>) -> Result<Self, String> {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        match (value, operand) {
            (None, None) => Err("--listen needs the directory to receive into, as in: --listen DIR".to_owned()),
            (None, Some(directory)) => Ok(Self { address: any, directory: directory.into() }),
            (Some(value), None) => match address(value) {
                None => Ok(Self { address: any, directory: value.into() }),
                Some(_) => Err(format!(
                    "--listen needs the directory to receive into: '{0}' is read as an address, and a directory of that \
                     name is written ./{0}",
                    safe_os(value)
                )),
            },
            (Some(value), Some(directory)) => match address(value) {
                Some(address) => Ok(Self { address, directory: directory.into() }),
                None => Err(format!(
                    "'{}' is no address to listen on: it can be ADDR:PORT with a numeric address ([ADDR]:PORT for \
                     IPv6), ADDR, or PORT",
                    safe_os(value)
                )),
            },
        }
    }
}

/// `ADDR:PORT`, `[ADDR]:PORT`, `ADDR`, `[ADDR]`, `:PORT` or `PORT`.
fn address(value: &OsStr) -> Option<SocketAddr> {
    let text = value.to_str()?;
    let digits = text.strip_prefix(':').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), digits.parse().ok()?));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(value: Option<&str>, operand: Option<&str>) -> Result<(String, String), String> {
        let plan = ListenPlan::new(value.map(OsStr::new), operand.map(OsString::from).as_ref())?;
        Ok((plan.address.to_string(), plan.directory.display().to_string()))
    }

    fn expect(value: Option<&str>, operand: Option<&str>, address: &str, directory: &str) {
        assert_eq!(plan(value, operand), Ok((address.to_owned(), directory.to_owned())));
    }

    #[test]
    fn a_lone_word_that_is_no_address_is_the_directory() {
        expect(Some("in"), None, "[::]:0", "in");
        expect(Some("./4433"), None, "[::]:0", "./4433");
        expect(Some("host:4433"), None, "[::]:0", "host:4433");
        expect(None, Some("in"), "[::]:0", "in");
    }

    #[test]
    fn every_form_of_an_address_is_understood() {
        for (text, address) in [
            ("127.0.0.1:4433", "127.0.0.1:4433"),
            ("[::1]:4433", "[::1]:4433"),
            ("4433", "[::]:4433"),
            (":4433", "[::]:4433"),
            ("0", "[::]:0"),
            ("10.0.0.1", "10.0.0.1:0"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
        ] {
            expect(Some(text), Some("in"), address, "in");
        }
    }

    #[test]
    fn an_address_without_a_directory_and_two_directories_are_refused() {
        for (value, operand) in
            [(None, None), (Some("4433"), None), (Some("in"), Some("out")), (Some("70000"), Some("in"))]
        {
            plan(value, operand).expect_err("not a plan");
        }
        assert!(plan(Some("4433"), None).expect_err("no directory").contains("./4433"));
    }
}
