//! How the other host is reached by ssh: the same options for push and pull, most of them ssh's own, as scp takes them.

use std::ffi::OsString;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::connect::operand::Remote;
use crate::connect::ssh::{self, Ssh, Transport};

/// How ssh is called, and what it starts.
#[derive(Clone, Debug, Args)]
pub struct RemoteArguments {
    /// The command that is run as ssh, with its options
    ///
    /// Blanks part its words, except within quotes. A command of another name than ssh gets no options but those given
    /// here and by -J, -i, -o, -4 and -6; the host and the command there follow.
    #[arg(short = 'e', long = "ssh", alias = "rsh", value_name = "COMMAND", default_value = "ssh")]
    pub ssh: SshCommand,

    /// Reach the host by way of another one, as ssh -J
    #[arg(short = 'J', value_name = "HOST")]
    pub jump: Option<OsString>,

    /// File with the key to log in with, as ssh -i
    #[arg(short = 'i', value_name = "FILE")]
    pub login_key: Vec<OsString>,

    /// An option of ssh's configuration, as in -o Port=2222
    #[arg(short = 'o', value_name = "OPTION")]
    pub ssh_option: Vec<OsString>,

    /// Let ssh use IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6_only")]
    pub ipv4_only: bool,

    /// Let ssh use IPv6 only
    #[arg(short = '6')]
    pub ipv6_only: bool,

    /// What carries the files to the other host
    #[arg(long, value_name = "HOW", value_enum, default_value_t = TransportChoice::Auto)]
    pub transport: TransportChoice,

    /// Where the program lies on the other host
    ///
    /// As a path or a name that the shell there finds; a leading ~/ is the home directory there.
    #[arg(long, value_name = "PROGRAM")]
    pub remote_path: Option<String>,
}

impl RemoteArguments {
    /// Whether any of it was asked for.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.ssh.0 != ["ssh"]
            || self.jump.is_some()
            || !self.login_key.is_empty()
            || !self.ssh_option.is_empty()
            || self.ipv4_only
            || self.ipv6_only
            || self.transport != TransportChoice::Auto
            || self.remote_path.is_some()
    }

    /// How `program` is started on the host that the operand names, unless `--remote-path` says otherwise.
    #[must_use]
    pub fn ssh_to(&self, remote: &Remote, program: &str) -> Ssh {
        let mut options = Vec::new();
        let mut option = |letter: &str, value: Option<&OsString>| {
            options.push(letter.into());
            options.extend(value.cloned());
        };
        self.jump.iter().for_each(|host| option("-J", Some(host)));
        self.login_key.iter().for_each(|file| option("-i", Some(file)));
        self.ssh_option.iter().for_each(|setting| option("-o", Some(setting)));
        [(self.ipv4_only, "-4"), (self.ipv6_only, "-6")]
            .iter()
            .filter(|(wanted, _)| *wanted)
            .for_each(|(_, letter)| option(letter, None));
        let program = self.remote_path.clone().unwrap_or_else(|| program.to_owned());
        Ssh { words: self.ssh.0.clone(), options, host: remote.host.clone(), program, transport: self.transport.into() }
    }
}

/// Value of `--transport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportChoice {
    /// UDP in either direction; where it is silent for three seconds, the ssh connection
    Auto,
    /// UDP only, else exit code 35
    Quic,
    /// The ssh connection only
    Ssh,
}

impl From<TransportChoice> for Transport {
    fn from(choice: TransportChoice) -> Self {
        match choice {
            TransportChoice::Auto => Self::Auto,
            TransportChoice::Quic => Self::Quic,
            TransportChoice::Ssh => Self::Ssh,
        }
    }
}

/// Value of `--ssh`: a program and the first of its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshCommand(pub Vec<OsString>);

impl FromStr for SshCommand {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        ssh::words(written).map(Self).ok_or_else(|| "there is no command in it, or a quote is not closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        remote: RemoteArguments,
    }

    fn ssh(line: &[&str]) -> Result<Ssh, clap::Error> {
        let line = Line::try_parse_from(["program"].iter().chain(line))?;
        let remote = Remote::read(b"me@host:dir").expect("an operand").expect("a host");
        Ok(line.remote.ssh_to(&remote, "careful-recv"))
    }

    #[test]
    fn without_options_it_is_ssh_and_the_program_of_the_other_half() {
        let ssh = ssh(&[]).expect("arguments");
        assert_eq!((ssh.words, ssh.options.len()), (vec!["ssh".into()], 0));
        assert_eq!((ssh.host.as_str(), ssh.program.as_str()), ("me@host", "careful-recv"));
    }

    #[test]
    fn options_of_ssh_are_passed_on() {
        let line = [
            "-J",
            "gate",
            "-i",
            "key",
            "-o",
            "Port=22",
            "-o",
            "User=x",
            "-6",
            "--remote-path",
            "~/bin/c r",
            "--transport",
            "ssh",
        ];
        let ssh = ssh(&line).expect("arguments");
        assert_eq!(ssh.options, ["-J", "gate", "-i", "key", "-o", "Port=22", "-o", "User=x", "-6"]);
        assert_eq!((ssh.program.as_str(), ssh.transport), ("~/bin/c r", Transport::Ssh));
    }

    #[test]
    fn another_command_may_stand_for_ssh() {
        for option in ["-e", "--ssh", "--rsh"] {
            assert_eq!(ssh(&[option, "my-ssh -p '2 2'"]).expect("arguments").words, ["my-ssh", "-p", "2 2"]);
        }
        for wrong in [&["-e", ""][..], &["-e", "ssh 'a"], &["-4", "-6"]] {
            ssh(wrong).expect_err("no arguments");
        }
    }
}
