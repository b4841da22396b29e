"""The servers that other tools copy to: a daemon of rsync and an sshd, on free ports and with own keys. They listen on
127.0.0.1, or on the far host of a link.

They end with the stack that they were started in. Nothing under the home directory is read or written. Where a server
cannot be had, the words why stand in its place.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import support

HERE = "127.0.0.1"
# As /proc/net/tcp writes the state.
LISTENING = "0A"


@dataclass
class Daemon:
    """A daemon of rsync: its own protocol, no encryption."""

    process: subprocess.Popen
    address: str
    """Of its one module; what follows is a path below the directory that it serves."""
    environment: dict
    """With the password, which only this run knows."""


def start_rsync_daemon(served, servers):
    """A daemon that serves one directory; or why there is none."""
    rsync = shutil.which("rsync")
    if not rsync:
        return "no rsync"
    place = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="careful-bench-")))
    password = os.urandom(16).hex()
    secrets = place / "secrets"
    secrets.touch(mode=0o600)
    secrets.write_text(f"bench:{password}\n")
    config = place / "rsyncd.conf"
    lines = ["use chroot = no", "reverse lookup = no", f"pid file = {place}/pid", f"log file = {place}/log"]
    if os.geteuid() == 0:
        lines += ["uid = root", "gid = root"]
    lines += ["[bench]", f"path = {served}", "read only = no", "auth users = bench", f"secrets file = {secrets}"]
    config.write_text("\n".join(lines) + "\n")

    def command(port):
        return [rsync, "--daemon", "--no-detach", f"--config={config}", f"--address={HERE}", f"--port={port}"]

    process, port = start_server(command, servers)
    if process is None:
        return "the daemon did not start"
    return Daemon(process, f"rsync://bench@{HERE}:{port}/bench/", {**os.environ, "RSYNC_PASSWORD": password})


@dataclass
class Sshd:
    """An ssh server."""

    process: subprocess.Popen
    client_config: Path
    """Of the client, for the host `bench`."""


def find_sshd():
    """The program of the ssh server: often where only root looks."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def lacks_sshd():
    """Why no ssh server can be had, or nothing."""
    here = find_sshd() and shutil.which("ssh") and shutil.which("ssh-keygen")
    return None if here else "no ssh, sshd or ssh-keygen"


def start_sshd(state, servers, address=HERE, there=()):
    """A private ssh server, and the client's configuration for it; or why there is none. What it starts finds careful's
    keys in `state`. `there` are words before a command that run it on the host that has the address."""
    if reason := lacks_sshd():
        return reason
    place = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="careful-bench-")))
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
    shutil.copy(place / "user_key.pub", place / "authorized_keys")
    make_separation_directory()
    config = place / "sshd_config"
    config.write_text(SSHD_CONFIG.format(place=place, state=state, address=address))

    def command(port):
        return [*there, find_sshd(), "-D", "-e", "-f", config, "-p", str(port)]

    process, port = start_server(command, servers)
    if process is None:
        return "sshd did not start"
    key = " ".join((place / "host_key.pub").read_text().split()[:2])
    (place / "known_hosts").write_text(f"[{address}]:{port} {key}\n")
    client = place / "ssh_config"
    client.write_text(SSH_CONFIG.format(place=place, address=address, port=port, user=getpass.getuser()))
    return Sshd(process, client)


SSHD_CONFIG = """\
ListenAddress {address}
HostKey {place}/host_key
AuthorizedKeysFile {place}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
LogLevel ERROR
SetEnv XDG_STATE_HOME={state}
"""

SSH_CONFIG = """\
Host bench
HostName {address}
Port {port}
User {user}
IdentityFile {place}/user_key
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile {place}/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
BatchMode yes
"""


def make_separation_directory():
    """Where sshd runs as root it wants this directory, which a machine without a running sshd may lack. It stays: by now
    another sshd may want it, too."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def start_server(command, servers):
    """Starts a server on a port that is free here and waits until it listens; it ends with the stack. Another process
    may take the port between choice and use, hence some attempts. On a host of a link, every port is free."""
    for _ in range(5):
        with socket.create_server((HERE, 0)) as chosen:
            port = chosen.getsockname()[1]
        process = subprocess.Popen(
            command(port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        servers.callback(end, process)
        settled = support.wait_until(lambda: process.poll() is not None or listens(process, port), 5)
        if settled and process.poll() is None:
            return process, port
    return None, 0


def listens(process, port):
    """Whether something listens on a port of the host that a process is on. Nothing is sent: a link that is measured
    carries no packet for it."""
    try:
        sockets = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(
        own.endswith(f":{port:04X}") and state == LISTENING for own, _, state in (line.split()[1:4] for line in sockets)
    )


def end(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
