//! Hosts that a person reaches by ssh as at home: a listening sshd, names, people with home directories, `~/.ssh/config`.
//!
//! Each is a network namespace; what lies in `/etc` and in home directories is of its own, too. Root only.
//! **No option of ours says how a host is reached**: only ssh's own configuration does.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use super::far::SSHD;
use super::network::{Host, Namespaces};
use super::{Place, Ran, bytes_written, kill, run, skipped, wait_for};

/// Everybody there is, with their shell. All are the superuser by another name, so that each may write in the place.
const PEOPLE: [(&str, &str); 5] = [
    ("root", "/bin/sh"),
    ("friend", "/bin/sh"),
    ("bash", "/bin/bash"),
    ("fish", "/usr/bin/fish"),
    ("zsh", "/usr/bin/zsh"),
];

/// The hosts, and a place with the home directories `one`, `middle`, `other`, and beneath `people` those of the other people.
pub(crate) struct SshHosts {
    pub(crate) place: Place,
    pub(crate) namespaces: Namespaces,
    servers: Vec<Child>,
}

impl SshHosts {
    /// `one`, and `other`, where an sshd listens. Nothing, said loudly, where that cannot be had.
    pub(crate) fn pair() -> Option<Self> {
        let hosts = Self::of(Namespaces::pair()?, &["10.77.0.1 one", "10.77.0.2 other"])?;
        hosts.serving(&[Host::Other])
    }

    /// As [`Self::pair`] with the host `middle` between, where an sshd listens, too.
    pub(crate) fn row() -> Option<Self> {
        let hosts = Self::of(Namespaces::row()?, &["10.77.0.1 one", "10.77.0.2 middle", "10.78.0.2 other"])?;
        hosts.serving(&[Host::Middle, Host::Other])
    }

    fn of(namespaces: Namespaces, names: &[&str]) -> Option<Self> {
        let shells = PEOPLE.iter().map(|(_, shell)| *shell);
        if let Some(missing) = shells.chain([SSHD]).find(|program| !std::path::Path::new(program).exists()) {
            skipped(&format!("there is no {missing} here"));
            return None;
        }
        // Tried before anything depends on it.
        if !namespaces.firewall(Host::One, &[]) {
            return None;
        }
        // Where no sshd was ever started as a service, this directory is missing, which sshd of root insists on.
        std::fs::create_dir_all("/run/sshd").expect("a directory for sshd");
        let place = Place::new();
        place.write("etc/hosts", format!("127.0.0.1 localhost\n{}\n", names.join("\n")).as_bytes());
        let hosts = Self { place, namespaces, servers: Vec::new() };
        for host in [Host::One, Host::Middle, Host::Other] {
            hosts.furnish(host);
        }
        let config = "Host *\n StrictHostKeyChecking accept-new\n BatchMode yes\n LogLevel ERROR\n";
        hosts.place.write("one/.ssh/config", config.as_bytes());
        hosts.make_key("one/.ssh/id_ed25519");
        // No agent and no key of hers at the middle: who goes on from there shows the one of the first host.
        std::fs::copy(hosts.place.path("one/.ssh/id_ed25519.pub"), hosts.place.path("etc/authorized_keys"))
            .expect("a key");
        Some(hosts)
    }

    /// Home directories, and who lives there.
    fn furnish(&self, host: Host) {
        let home = name(host);
        let all = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let mut passwd: String =
            all.lines().filter(|line| !line.starts_with("root:")).flat_map(|line| [line, "\n"]).collect();
        for (person, shell) in PEOPLE {
            let directory = if person == "root" { home.to_owned() } else { format!("people/{person}") };
            self.place.directory(&directory);
            let directory = self.place.path(directory);
            // The first line of a number gives its name.
            let line = format!("{person}:*:0:0:{person}:{}:{shell}\n", directory.display());
            passwd = if person == "root" { line + &passwd } else { passwd + &line };
        }
        self.place.write(format!("etc/{home}.passwd"), passwd.as_bytes());
        self.make_key(&format!("etc/{home}.host_key"));
        let at = self.place.path("etc").display().to_string();
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_careful-recv"));
        let programs = programs.parent().expect("a directory").display();
        let state = self.place.path(home).join("state");
        let server = format!(
            "Port 22\nHostKey {at}/{home}.host_key\nAuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PidFile none\nLogLevel ERROR\nSetEnv \"XDG_STATE_HOME={}\" \"PATH={programs}:/usr/bin:/bin\"\n",
            state.display(),
        );
        self.place.write(format!("etc/{home}.sshd_config"), server.as_bytes());
    }

    fn make_key(&self, name: &str) {
        let mut command = Command::new("ssh-keygen");
        let path = self.place.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        run(command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path)).exits(0);
    }

    fn serving(mut self, at: &[Host]) -> Option<Self> {
        for host in at {
            let mut sshd = Command::new(SSHD);
            sshd.args(["-D", "-e", "-f"]).arg(self.place.path(format!("etc/{}.sshd_config", name(*host))));
            let mut sshd = self.on(*host, &sshd);
            let server = sshd.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("sshd");
            let process = Pid::from_child(&server);
            self.servers.push(server);
            wait_for("sshd to listen", || listens(process));
        }
        Some(self)
    }

    /// The same command, to be run on a host by its superuser, at home. Its process is the program itself.
    pub(crate) fn on(&self, host: Host, command: &Command) -> Command {
        let home = self.place.path(name(host));
        let [passwd, hosts] = [format!("etc/{}.passwd", name(host)), "etc/hosts".to_owned()];
        let mut at_home = Command::new("sh");
        // On the host the file systems are those of this process alone.
        at_home.args([
            "-ec",
            "mount --bind \"$1\" /etc/passwd; mount --bind \"$2\" /etc/hosts; shift 2; exec \"$@\"",
            "sh",
        ]);
        at_home.arg(self.place.path(passwd)).arg(self.place.path(hosts));
        at_home.arg(command.get_program()).args(command.get_args()).current_dir(&home);
        at_home.env("XDG_STATE_HOME", home.join("state")).env("HOME", &home);
        at_home.env_remove("SSH_AUTH_SOCK").env_remove("RUST_LOG");
        self.namespaces.on(host, &at_home)
    }

    /// `careful-send --json` on the first host.
    pub(crate) fn push(&self, words: &[&str]) -> Command {
        self.on(Host::One, self.place.sender(&["--json"]).args(words))
    }

    /// `careful-recv --json` on the first host.
    pub(crate) fn pull(&self, words: &[&str]) -> Command {
        self.on(Host::One, self.place.receiver(&["--json"]).args(words))
    }

    /// Adds to the person's configuration of ssh on the first host, before what is there: the first value counts.
    pub(crate) fn configure(&self, words: &str) {
        let before = self.place.read("one/.ssh/config");
        self.place.write("one/.ssh/config", &[words.as_bytes(), b"\n", &before].concat());
    }

    /// From now on this is the address that a name has.
    pub(crate) fn set_address(&self, of: &str, address: &str) {
        let before = String::from_utf8(self.place.read("etc/hosts")).expect("names");
        let others: String = before.lines().filter(|line| !line.ends_with(of)).flat_map(|line| [line, "\n"]).collect();
        // It stays the same file, which is what is mounted.
        self.place.write("etc/hosts", format!("{others}{address} {of}\n").as_bytes());
    }

    /// Adds rules to the firewall of a host, in its chains `in` and `out`.
    #[track_caller]
    pub(crate) fn firewall(&self, host: Host, rules: &[&str]) {
        assert!(self.namespaces.firewall(host, rules), "there was a firewall before");
    }

    /// Processes on a host that run this program.
    pub(crate) fn running(&self, host: Host, program: &str) -> Vec<Pid> {
        let mut all = self.namespaces.processes(host);
        all.retain(|process| {
            std::fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|running| running.ends_with(program))
        });
        all
    }

    /// What serves those who have logged in to a host.
    pub(crate) fn sessions(&self, host: Host) -> Vec<Pid> {
        let mut all = self.running(host, "sshd");
        // Newer servers have a program of its own for each.
        all.extend(self.running(host, "sshd-session"));
        all.retain(|process| !self.servers.iter().any(|server| Pid::from_child(server) == *process));
        all
    }

    /// Bytes that the receivers on a host have written together by now.
    pub(crate) fn written(&self, host: Host) -> u64 {
        self.running(host, "careful-recv").into_iter().filter_map(bytes_written).sum()
    }

    /// Runs a command of a shell on a host.
    pub(crate) fn shell(&self, host: Host, script: &str) -> Ran {
        run(&mut self.on(host, Command::new("sh").args(["-ec", script])))
    }
}

impl Drop for SshHosts {
    fn drop(&mut self) {
        for host in self.namespaces.hosts() {
            self.namespaces.processes(host).into_iter().for_each(|process| kill(process, Signal::KILL));
        }
        for server in &mut self.servers {
            server.wait().ok();
        }
    }
}

/// The home directory of a host's superuser, and the name of the host.
fn name(host: Host) -> &'static str {
    match host {
        Host::One => "one",
        Host::Middle => "middle",
        Host::Other => "other",
    }
}

/// Whether anybody listens at ssh's port where this process lives (proc(5): the port in hexadecimal, 0A is LISTEN).
fn listens(process: Pid) -> bool {
    let sockets = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|address| address.ends_with(":0016")) && words.nth(1) == Some("0A")
    })
}
