//! Other hosts: one that a real ssh reaches, without any port, as the sshd is started by ssh itself; and one for which a program
//! in the place of ssh stands, that runs the command here.

use std::path::Path;
use std::process::Command;

use super::{Place, Ran, is_root, run, set_mode, skipped};

/// The ssh server.
pub(crate) const SSHD: &str = "/usr/sbin/sshd";

/// A place with an ssh that reaches `far`, which is this host: its home directory is that of the person who runs the tests.
pub(crate) struct Far {
    pub(crate) place: Place,
}

impl Far {
    /// Nothing, said loudly, where there is no sshd.
    pub(crate) fn new() -> Option<Self> {
        Self::by(&Command::new(SSHD))
    }

    /// As [`Self::new`], with an sshd that is started by this command, to which its arguments are added.
    pub(crate) fn by(sshd: &Command) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            skipped("there is no sshd here, so nothing can be sent by ssh");
            return None;
        }
        if is_root() {
            // Where no sshd was ever started as a service, this directory is missing, which sshd of root insists on.
            std::fs::create_dir_all("/run/sshd").expect("a directory for sshd");
        }
        let place = Place::new();
        place.directory("ssh");
        for name in ["host_key", "login_key"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.path("ssh").join(name));
            run(&mut command).exits(0);
        }
        std::fs::copy(place.path("ssh/login_key.pub"), place.path("ssh/authorized_keys")).expect("a copy");
        let at = place.path("ssh").display().to_string();
        let programs = Path::new(env!("CARGO_BIN_EXE_careful-send")).parent().expect("a directory").display();
        let server = format!(
            "HostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
             LogLevel ERROR\nSetEnv XDG_STATE_HOME={at} PATH={programs}:/usr/bin:/bin\n"
        );
        place.write("ssh/sshd_config", server.as_bytes());
        let words = std::iter::once(sshd.get_program()).chain(sshd.get_args());
        let sshd = words.map(|word| word.to_str().expect("UTF-8")).collect::<Vec<_>>().join(" ");
        let client = format!(
            "Host far\n ProxyCommand {sshd} -i -f {at}/sshd_config\n IdentityFile {at}/login_key\n IdentitiesOnly yes\n \
             StrictHostKeyChecking no\n UserKnownHostsFile {at}/known_hosts\n LogLevel ERROR\n BatchMode yes\n"
        );
        place.write("ssh/config", client.as_bytes());
        Some(Self { place })
    }

    pub(crate) fn ssh(&self) -> String {
        format!("ssh -F '{}'", self.place.path("ssh/config").display())
    }

    /// `far:` and the path of something in the place.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("far:{}", self.place.path(name).display())
    }

    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = self.place.sender(&["--json", "--ssh", &self.ssh(), "--remote-path", program]);
        command.args(words);
        command
    }

    /// Pulls from it, to the end.
    pub(crate) fn pull(&self, words: &[&str]) -> Ran {
        let sender = env!("CARGO_BIN_EXE_careful-send");
        let mut command = self.place.receiver(&["--json", "--ssh", &self.ssh(), "--remote-path", sender]);
        run(command.args(words))
    }

    pub(crate) fn send(&self, words: &[&str]) -> Ran {
        run(&mut self.command(env!("CARGO_BIN_EXE_careful-recv"), words))
    }

    /// Sends a file with this shell script in the place of careful-recv.
    pub(crate) fn send_to_script(&self, script: &str) -> Ran {
        self.place.write("file", b"content");
        self.place.write("ssh/script", format!("#!/bin/sh\n{script}\n").as_bytes());
        let path = self.place.path("ssh/script");
        set_mode(&path, 0o755);
        run(&mut self.command(path.to_str().expect("a path"), &["file", &self.at("copy")]))
    }
}

/// A place with a stand-in for ssh: it drops the host and runs the command here.
pub(crate) fn near() -> Place {
    let place = Place::new();
    stand_in(&place, "exec \"$@\"");
    place
}

/// Another stand-in.
pub(crate) fn stand_in(place: &Place, script: &str) {
    place.write("ssh-here", format!("#!/bin/sh\nhost=$1\nshift\n{script}\n").as_bytes());
    set_mode(&place.path("ssh-here"), 0o755);
}

/// careful-recv, to pull by the stand-in.
pub(crate) fn pulling(place: &Place, words: &[&str]) -> Command {
    let sender = env!("CARGO_BIN_EXE_careful-send");
    let mut command = place.receiver(&["--json", "--ssh", "./ssh-here", "--remote-path", sender]);
    command.args(words);
    command
}

/// Pulls by the stand-in, to the end.
pub(crate) fn pull(place: &Place, words: &[&str]) -> Ran {
    run(&mut pulling(place, words))
}
