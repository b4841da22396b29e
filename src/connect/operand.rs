//! `[USER@]HOST:PATH`, as scp and rsync read it: a colon before any slash names a host, `./name` never does.
//!
//! What is given to ssh as a host can never be read as an option of it. **No name is looked up here.**

/// A place on another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `[USER@]HOST` as ssh takes it, without the brackets of an IPv6 address. Never empty, never begins with `-`.
    pub host: String,
    /// As it was written; relative paths begin at the home directory there. Never empty: home itself is `.`.
    pub path: Vec<u8>,
}

/// Why an operand that names another host cannot be used. The words are for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperandError {
    /// Nothing before the colon, or nothing after the `@`.
    #[error("the host is missing")]
    NoHost,
    /// It would be read as an option, or not as one word.
    #[error("this is no name of a host or user: it may not begin with '-' nor hold blanks or control characters")]
    BadHost,
    /// `SCHEME://`.
    #[error("addresses with '://' are not understood here")]
    Scheme,
    /// The home directory of another person.
    #[error("'~USER' is not expanded")]
    OthersHome,
}

impl OperandError {
    /// What to do instead.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoHost | Self::BadHost => {
                "write [USER@]HOST:PATH, and ./NAME for a local name that holds a colon; IPv6 addresses stand in brackets"
            }
            Self::Scheme => "write [USER@]HOST:PATH; the port of ssh is given as -o Port=N",
            Self::OthersHome => "write the whole path, or ./~NAME for a directory of that name",
        }
    }
}

impl Remote {
    /// Reads an operand; nothing if it names no other host.
    pub fn read(operand: &[u8]) -> Result<Option<Self>, OperandError> {
        let Some(colon) = colon_of_host(operand) else { return Ok(None) };
        let (host, path) = (&operand[..colon], &operand[colon + 1..]);
        if path.starts_with(b"//") && host.iter().all(u8::is_ascii_alphanumeric) && !host.is_empty() {
            return Err(OperandError::Scheme);
        }
        let host = checked_host(std::str::from_utf8(host).map_err(|_utf8| OperandError::BadHost)?)?;
        Ok(Some(Self { host, path: from_home(path)?.to_vec() }))
    }
}

/// Where the colon stands that ends a host.
fn colon_of_host(operand: &[u8]) -> Option<usize> {
    let first = operand.split(|byte| *byte == b'/').next().unwrap_or_default();
    let address = first.iter().position(|byte| *byte == b'[').filter(|at| *at == 0 || first[at - 1] == b'@');
    let from = match address {
        // The colons of an IPv6 address are not the one that ends it.
        Some(bracket) => bracket + first[bracket..].iter().position(|byte| *byte == b']')?,
        None => 0,
    };
    first[from..].iter().position(|byte| *byte == b':').map(|colon| from + colon)
}

fn checked_host(written: &str) -> Result<String, OperandError> {
    let (user, host) = match written.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, written),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || user.is_some_and(str::is_empty) {
        return Err(OperandError::NoHost);
    }
    for word in user.iter().chain([&host]) {
        let is_odd =
            |letter: char| letter.is_whitespace() || letter.is_control() || "[]'\"`$\\;&|<>()".contains(letter);
        if word.starts_with('-') || word.contains(is_odd) {
            return Err(OperandError::BadHost);
        }
    }
    Ok(match user {
        Some(user) => format!("{user}@{host}"),
        None => host.to_owned(),
    })
}

/// A path that begins at the home directory, as programs started by ssh do.
fn from_home(path: &[u8]) -> Result<&[u8], OperandError> {
    let rest = match path {
        [] | b"~" => return Ok(b"."),
        [b'~', b'/', rest @ ..] => rest,
        [b'~', ..] => return Err(OperandError::OthersHome),
        path => return Ok(path),
    };
    // `~//x` is still below the home directory.
    let below = rest.iter().position(|byte| *byte != b'/').map_or(&b"./"[..], |start| &rest[start..]);
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operand: &str) -> Result<Option<(String, String)>, OperandError> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok(Remote::read(operand.as_bytes())?.map(|remote| (remote.host, text(remote.path))))
    }

    #[test]
    fn a_colon_before_any_slash_names_a_host() {
        for (operand, host, path) in [
            ("host:", "host", "."),
            ("host:a", "host", "a"),
            ("host:a/b:c", "host", "a/b:c"),
            ("host:/srv/in/", "host", "/srv/in/"),
            ("me@host:a", "me@host", "a"),
            ("me@corp@host:a", "me@corp@host", "a"),
            ("[2001:db8::1]:a", "2001:db8::1", "a"),
            ("me@[fe80::1%eth0]:/a", "me@fe80::1%eth0", "/a"),
            ("host:~", "host", "."),
            ("host:~/", "host", "./"),
            ("host:~/a/", "host", "a/"),
            ("host:~//a", "host", "a"),
            ("host:./~a", "host", "./~a"),
            ("host:-a", "host", "-a"),
            ("host:a b'c", "host", "a b'c"),
        ] {
            assert_eq!(read(operand), Ok(Some((host.to_owned(), path.to_owned()))), "{operand}");
        }
        let bytes = Remote::read(b"host:\xff").unwrap().unwrap();
        assert_eq!(bytes.path, b"\xff");
    }

    #[test]
    fn a_slash_first_or_no_colon_is_local() {
        for operand in ["a", "./host:a", "/host:a", "a/b:c", "", "../x:y", "[2001:db8::1", "[a]"] {
            assert_eq!(read(operand), Ok(None), "{operand}");
        }
    }

    #[test]
    fn t3_a_host_that_ssh_could_read_as_an_option_is_refused() {
        for operand in [
            "-oProxyCommand=id:a",
            "me@-oProxyCommand=id:a",
            "-l@host:a",
            "[-oProxyCommand=id]:a",
            "ho st:a",
            "host\n:a",
            "$(id):a",
            "`id`:a",
            "a;b:c",
            "a\u{7f}:b",
            "[[::1]]:a",
        ] {
            assert_eq!(read(operand), Err(OperandError::BadHost), "{operand}");
        }
        assert_eq!(Remote::read(b"\xff:a"), Err(OperandError::BadHost));
        for operand in [":a", "@host:a", "me@:a", "[]:a"] {
            assert_eq!(read(operand), Err(OperandError::NoHost), "{operand}");
        }
    }

    #[test]
    fn what_looks_like_something_else_is_refused_with_a_hint() {
        for (operand, error) in [
            ("ssh://host/a", OperandError::Scheme),
            ("rsync://host/a", OperandError::Scheme),
            ("host:~root/a", OperandError::OthersHome),
        ] {
            assert_eq!(read(operand), Err(error), "{operand}");
            assert!(!error.hint().is_empty());
        }
    }
}
