"""Every way to copy that is compared: what a person would type for it, and what must be there for it.

A tool that cannot run here is `Absent`, with the reason, and stands in the tables as such.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field

import servers
import support
from support import MIB, say

GCM = "aes128-gcm@openssh.com"
# The extended attribute with a file's record.
RECORD = "user.careful.origin"


@dataclass
class Tool:
    """A way to copy `source` into the directory `target`, under its own name."""

    name: str
    command: object
    """From source and target to the words of the command."""
    environment: dict = None
    servers: tuple = ()
    """Processes whose children work for it on the receiving side."""
    kind: str = "other"
    """How to read what it says it sent: `rsync` (with --stats), `careful` (with --json), other."""
    prepare: object = None
    """What is done with the source before any time is taken, and undone by what it answers."""

    @property
    def folder(self):
        """A name for a directory."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def run(self, source, target):
        return support.timed_run(self.command(source, target), target, self.environment, self.servers)

    def wait_for_servers(self):
        """What a server still does for this run must not fall into the next one's time."""
        support.wait_until(lambda: not any(support.children(server.pid) for server in self.servers), 10)

    def sent_bytes(self, run):
        """What went to the receiver by the tool's own count, or nothing."""
        if self.kind == "rsync" and (told := re.search(r"Total bytes sent: ([\d,]+)", run.output)):
            return int(told[1].replace(",", ""))
        if self.kind == "careful" and run.output.strip():
            return json.loads(run.output.strip().splitlines()[-1]).get("sent_bytes")
        return None


@dataclass
class Absent:
    """A tool that cannot run here."""

    name: str
    reason: str


@dataclass
class Bench:
    """What tools need that are compared in one place: the programs, a directory, its servers."""

    careful: object
    work: object
    stack: object
    sshd: object = None
    environment: dict = field(default_factory=dict)
    _daemons: dict = field(default_factory=dict)

    def daemon(self, place):
        """The daemon of rsync that serves `place`, started once."""
        if place not in self._daemons:
            self._daemons[place] = servers.start_rsync_daemon(place, self.stack)
        return self._daemons[place]


def start_bench(careful, work, stack):
    """A bench with its sshd."""
    state = support.careful_environment(work)
    sshd = servers.start_sshd(state["XDG_STATE_HOME"], stack)
    return Bench(careful, work, stack, sshd, state)


# Other tools


def cp():
    return Tool("cp -a", lambda source, target: ["cp", "-a", source, target])


def rsync_local(*options):
    name = " ".join(["rsync -a", *options, "local"])
    if not shutil.which("rsync"):
        return Absent(name, "no rsync")
    return Tool(name, lambda source, target: ["rsync", "-a", *options, "--stats", source, f"{target}/"], kind="rsync")


def rsync_daemon(bench, place, *options):
    name = " ".join(["rsync -a", *options]) + ", daemon"
    daemon = bench.daemon(place)
    if isinstance(daemon, str):
        return Absent(name, daemon)

    def command(source, target):
        return ["rsync", "-a", *options, "--stats", source, f"{daemon.address}{target.relative_to(place)}/"]

    return Tool(name, command, daemon.environment, (daemon.process,), "rsync")


def rsync_ssh(bench, *options):
    name = " ".join(["rsync -a", *options]) + ", ssh"
    problem = lacks_ssh(bench, "rsync")
    if problem:
        return Absent(name, problem)

    def command(source, target):
        shell = f"ssh -F {bench.sshd.client_config}"
        return ["rsync", "-a", *options, "--stats", "-e", shell, source, f"bench:{target}/"]

    return Tool(name, command, None, (bench.sshd.process,), "rsync")


def rsync_and_hash(bench):
    """What a careful person does by hand: rsync with --fsync, then both ends hashed at once, the copy after its pages
    were dropped from the cache. Of the hash programs that are here the fastest is taken."""
    hasher = fastest_hash()
    name = f"rsync -a --fsync, ssh, then {hasher} of both ends"
    rsync = rsync_ssh(bench, "--fsync")
    if isinstance(rsync, Absent):
        return Absent(name, rsync.reason)

    def command(source, target):
        copy = shlex.quote(str(target / source.name))
        copying = " ".join(shlex.quote(str(word)) for word in rsync.command(source, target))
        evicting = f"dd of={copy} oflag=nocache conv=notrunc,fdatasync count=0 status=none"
        hashing = f"exec 3< <({hasher} < {shlex.quote(str(source))}); {evicting} && there=$({hasher} < {copy})"
        return ["bash", "-c", f'set -e; {copying}; {hashing}; read -r -u 3 here; [ "$here" = "$there" ]']

    return Tool(name, command, None, rsync.servers, "rsync")


def fastest_hash():
    """The program that hashes fastest from a pipe or file, of those that are here; sha1sum is everywhere."""
    content = bytes(64 * MIB)
    times = {}
    for program in ("b3sum", "xxh128sum", "xxhsum", "sha1sum"):
        if shutil.which(program):
            start = time.monotonic()
            subprocess.run([program], input=content, stdout=subprocess.DEVNULL, check=True)
            times[program] = time.monotonic() - start
    say("hashes of 64 MiB: " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in times.items()))
    return min(times, key=times.get)


def scp(bench, *options):
    name = " ".join(["scp", *options]) if options else "scp"
    problem = lacks_ssh(bench, "scp")
    if problem:
        return Absent(name, problem)

    def command(source, target):
        recursive = ["-r"] if source.is_dir() else []
        return ["scp", "-q", *recursive, *options, "-F", bench.sshd.client_config, source, f"bench:{target}/"]

    return Tool(name, command, None, (bench.sshd.process,))


def lacks_ssh(bench, program):
    if not shutil.which(program):
        return f"no {program}"
    return bench.sshd if isinstance(bench.sshd, str) else None


# careful-send


def careful(bench, *options):
    name = " ".join(["careful-send", *options])

    def command(source, target):
        return [bench.careful, "--json", *options, source, f"{target}/"]

    return Tool(name, command, bench.environment, kind="careful")


def careful_with_record(bench):
    """The source has a record of its origin, made before (careful-check seal), and is read once."""
    check = bench.careful.with_name("careful-check")
    records = {}

    def seal(source):
        if source not in records:
            subprocess.run([check, "seal", source], env=bench.environment, check=True, stdout=subprocess.DEVNULL)
            records[source] = os.getxattr(source, RECORD)
        os.setxattr(source, RECORD, records[source])
        return lambda: os.removexattr(source, RECORD)

    name = "careful-send, source has a record"
    if not check.exists():
        return Absent(name, "no careful-check beside careful-send")
    tool = careful(bench)
    tool.name, tool.prepare = name, seal
    return tool


def careful_ssh(bench):
    """The other end is started by ssh; content goes over QUIC."""
    name = "careful-send, ssh-started"
    if isinstance(bench.sshd, str):
        return Absent(name, bench.sshd)

    def command(source, target):
        shell = f"ssh -F {bench.sshd.client_config}"
        receiver = bench.careful.with_name("careful-recv")
        return [bench.careful, "--json", "--ssh", shell, "--remote-path", receiver, source, f"bench:{target}/"]

    return Tool(name, command, bench.environment, (bench.sshd.process,), "careful")


# Which of them work


def those_that_work(tools, work):
    """The tools that can copy one small file, and why the others are absent. What is made only once (keys, identities)
    is made by this, outside of any time."""
    here, absent = [], {}
    trial = work / "trial"
    trial.mkdir(exist_ok=True)
    source = trial / "source"
    source.write_text("one line\n")
    for tool in tools:
        if isinstance(tool, Absent):
            absent[tool.name] = tool.reason
            continue
        if not shutil.which(str(tool.command(source, trial)[0])):
            absent[tool.name] = f"no {tool.command(source, trial)[0]}"
            continue
        target = trial / tool.folder
        target.mkdir(exist_ok=True)
        run = tool.run(source, target)
        tool.wait_for_servers()
        if run.exit == 0 and not support.differences(source, target / "source"):
            here.append(tool)
        elif tool.kind == "careful":
            support.stop(f"{tool.name} cannot copy one line: exit code {run.exit}: {run.last_words()}")
        else:
            absent[tool.name] = f"exit code {run.exit}: {run.last_words()}"
    return here, absent


def versions(careful_program):
    """The first line that each program says about itself."""
    asked = {
        "cp": ["cp", "--version"],
        "rsync": ["rsync", "--version"],
        "ssh": ["ssh", "-V"],
        "qcp": ["qcp", "--version"],
        "careful-send": [str(careful_program), "--version"],
    }
    lines = {name: support.first_line(*command) for name, command in asked.items()}
    return {name: line for name, line in lines.items() if line}
