//! How a program on another host is started: by the person's own ssh, with their configuration, keys and jump hosts.
//!
//! ssh is run as a list of words, never through a local shell. The remote command is the program's path and `--stdio`,
//! nothing else: keys and tokens go over the pipe, paths and options over the connection. **No secret, no name of a
//! file on a command line.**

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use tokio::net::lookup_host;
use tokio::process::Command;
use tokio::time::timeout;

use crate::protocol::limits::{LOOK_UP_WAIT, SSH_ANSWER_BYTES_MAX};

/// What scp switches off, too, whatever the configuration says: the connection is there for one program.
const FOR_ONE_PROGRAM: [&str; 7] = [
    "-x",
    "-T",
    "-oPermitLocalCommand=no",
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
    "-oForwardAgent=no",
];

/// What carries the packets between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// UDP, and where that is silent the pipe of ssh.
    #[default]
    Auto,
    /// UDP only.
    Quic,
    /// The pipe of ssh only.
    Ssh,
}

/// A program on another host.
#[derive(Clone, Debug)]
pub struct Ssh {
    /// The words of ssh itself, at least one: `ssh`, or what the person puts in its place.
    pub words: Vec<OsString>,
    /// Options for it, passed on.
    pub options: Vec<OsString>,
    /// `[USER@]HOST`, checked (see [`super::operand::Remote`]).
    pub host: String,
    /// The program there, to be found by its shell; a leading `~/` is the home directory.
    pub program: String,
    /// How the files go there.
    pub transport: Transport,
}

impl Ssh {
    /// Starts the program there with `--stdio`.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.begun(&FOR_ONE_PROGRAM);
        command.arg(&self.host).arg(for_shell(&self.program)).arg("--stdio");
        command
    }

    /// ssh with its options, up to the host.
    fn begun(&self, settings: &[&str]) -> Command {
        let (program, words) = self
            .words
            .split_first()
            .map_or((OsStr::new("ssh"), &[][..]), |(program, words)| (program.as_os_str(), words));
        let mut command = Command::new(program);
        command.args(words);
        if self.is_openssh() {
            // The person's own options come first: for ssh, the first value counts.
            command.args(&self.options).args(settings).arg("--");
        } else {
            command.args(&self.options);
        }
        command
    }

    /// Whether it takes OpenSSH's options, as far as its name tells.
    fn is_openssh(&self) -> bool {
        let program = self.words.first().map_or(OsStr::new("ssh"), OsString::as_os_str);
        Path::new(program).file_name() == Some(OsStr::new("ssh"))
    }

    /// Addresses that the host has as seen from here: its own view of them may be that of its private network. None if
    /// ssh would go there by way of another host, or cannot be asked, or takes longer than `LOOK_UP_WAIT`.
    pub async fn addresses_seen(&self) -> Vec<IpAddr> {
        if !self.is_openssh() {
            return Vec::new();
        }
        timeout(LOOK_UP_WAIT, self.look_up()).await.ok().flatten().unwrap_or_default()
    }

    async fn look_up(&self) -> Option<Vec<IpAddr>> {
        let mut command = self.begun(&["-G"]);
        command.arg(&self.host).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let answer = command.output().await.ok()?;
        let text = answer.stdout.get(..answer.stdout.len().min(SSH_ANSWER_BYTES_MAX))?;
        let host = direct_host(std::str::from_utf8(text).ok()?)?;
        let found = lookup_host((host, 0)).await.ok()?;
        Some(found.map(|address: SocketAddr| address.ip()).collect())
    }
}

/// The host that ssh connects to itself, from its own account of its settings.
fn direct_host(settings: &str) -> Option<&str> {
    let value_of = |name: &str| settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let by_another = ["proxyjump", "proxycommand"].iter().any(|name| value_of(name).is_some_and(|way| way != "none"));
    value_of("hostname").filter(|_| !by_another)
}

/// The word as a shell reads it back, whichever shell. A leading `~/` is left to the shell.
fn for_shell(program: &str) -> String {
    let (home, rest) = match program.strip_prefix("~/") {
        Some(rest) => ("~/", rest),
        None => ("", program),
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,@%".contains(letter);
    if !rest.is_empty() && rest.chars().all(is_plain) {
        return program.to_owned();
    }
    // Neither may stand within the quotes: fish reads a backslash there before a quote, other shells do not.
    let quoted = rest.chars().map(|letter| match letter {
        '\'' | '\\' => format!("'\\{letter}'"),
        letter => letter.to_string(),
    });
    format!("{home}'{}'", quoted.collect::<String>())
}

/// The words of a command as a person writes it for `--ssh`: blanks part them, unless within quotes. Nothing if a quote
/// is not closed or there is no word at all.
#[must_use]
pub fn words(written: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in written.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then(|| words.into_iter().map(OsString::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(command: &str, host: &str, program: &str) -> Ssh {
        let options = vec!["-p".into(), "2222".into()];
        Ssh {
            words: words(command).unwrap(),
            options,
            host: host.to_owned(),
            program: program.to_owned(),
            transport: Transport::Auto,
        }
    }

    fn line(ssh: &Ssh) -> Vec<String> {
        let command = ssh.command();
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn t3_the_remote_command_holds_the_program_and_one_option() {
        let line = line(&ssh("/usr/bin/ssh -v", "me@host", "careful-recv"));
        assert_eq!(line[..4], ["/usr/bin/ssh", "-v", "-p", "2222"]);
        assert_eq!(line[line.len() - 4..], ["--", "me@host", "careful-recv", "--stdio"]);
        assert!(FOR_ONE_PROGRAM.iter().all(|setting| line.contains(&(*setting).to_owned())));
    }

    #[test]
    fn another_program_in_the_place_of_ssh_gets_no_option_of_openssh() {
        let line = line(&ssh("my-ssh", "host", "/opt/careful-recv"));
        assert_eq!(line, ["my-ssh", "-p", "2222", "host", "/opt/careful-recv", "--stdio"]);
    }

    #[test]
    fn the_program_reaches_the_far_shell_as_one_word() {
        for (program, word) in [
            ("careful-recv", "careful-recv"),
            ("/opt/a-b/careful_recv.1", "/opt/a-b/careful_recv.1"),
            ("~/bin/careful-recv", "~/bin/careful-recv"),
            ("~/my bin/careful-recv", "~/'my bin/careful-recv'"),
            ("a b; rm -rf $HOME", "'a b; rm -rf $HOME'"),
            ("it's", "'it'\\''s'"),
            ("a\\'b", "'a'\\\\''\\''b'"),
            ("", "''"),
        ] {
            assert_eq!(for_shell(program), word);
        }
    }

    #[test]
    fn words_are_parted_at_blanks_outside_of_quotes() {
        for (written, expected) in [
            ("ssh", &["ssh"][..]),
            ("  ssh  -p 22 ", &["ssh", "-p", "22"]),
            ("ssh -o 'ProxyCommand=nc %h %p' -i \"my key\"", &["ssh", "-o", "ProxyCommand=nc %h %p", "-i", "my key"]),
            ("a'b'\"c\" ''", &["abc", ""]),
        ] {
            assert_eq!(words(written).unwrap(), expected, "{written}");
        }
        assert_eq!([words(""), words("  "), words("ssh 'a")], [None, None, None]);
    }

    #[test]
    fn a_host_behind_another_is_not_looked_up_from_here() {
        assert_eq!(direct_host("user me\nhostname a.example\nport 22\n"), Some("a.example"));
        assert_eq!(direct_host("hostname a.example\nproxyjump none\n"), Some("a.example"));
        assert_eq!(direct_host("hostname a.example\nproxyjump b.example\n"), None);
        assert_eq!(direct_host("hostname a.example\nproxycommand nc %h %p\n"), None);
        assert_eq!(direct_host("user me\n"), None);
    }
}
