"""What the scripts here share: test data, runs that are timed and watched, comparing trees, facts about the machine.

Python standard library only, Linux only.
"""

import ctypes
import mmap
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MIB = 1 << 20
BLOCK_BYTES = 4 * MIB
# Of memory, beside what the content takes in the page cache: for the programs themselves.
PROGRAMS_BYTES = 256 * MIB
# A program that takes longer hangs: it is killed, and the run is wrong.
RUN_LIMIT_SECONDS = 3600


def say(text):
    """Progress: on standard error, so that the tables can be redirected."""
    print(text, file=sys.stderr, flush=True)


def stop(text):
    """Ends the script: it cannot do what it was called for."""
    say(f"{Path(sys.argv[0]).name}: {text}")
    sys.exit(2)


def die_on_signals():
    """Lets a signal end the script through its `finally` blocks: servers are stopped, directories removed."""

    def handler(number, _frame):
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def add_common_options(parser):
    """`--careful` and `--work`, the same in every script."""
    parser.add_argument(
        "--careful",
        type=Path,
        default=TARGET / "release" / "careful-send",
        metavar="PROGRAM",
        help="careful-send, with careful-recv beside it (default: %(default)s)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="where sources and copies are made, in a fresh directory that is removed at the end (default: the build's "
        "target directory)",
    )


def careful_program(path):
    """The program as an absolute path, or the end of the script."""
    path = path.absolute()
    for program in (path, path.with_name("careful-recv")):
        if not os.access(program, os.X_OK):
            stop(f"{program} is not there: cargo build --release, or name careful-send with --careful")
    return path


@contextmanager
def work_directory(parent):
    """A fresh directory in `parent`, removed at the end, whatever happens."""
    parent = (parent or TARGET).absolute()
    parent.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="careful-bench-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def careful_environment(work):
    """The environment with an identity of its own: the person's stays untouched."""
    return {**os.environ, "XDG_STATE_HOME": str(work / "state")}


# Sources


def random_file(path, length_bytes, seed):
    """Writes a file that no file system can compress or deduplicate; the same seed gives the same bytes."""
    generator = random.Random(seed)
    with open(path, "wb") as file:
        for start in range(0, length_bytes, BLOCK_BYTES):
            file.write(generator.randbytes(min(BLOCK_BYTES, length_bytes - start)))


def random_files(directory, count, least_bytes, most_bytes, seed, directories=100):
    """Writes `count` random files, evenly into `directories` directories; answers their bytes."""
    generator = random.Random(seed)
    total_bytes = 0
    for number in range(count):
        place = directory / f"d{number % directories:03}"
        if number < directories:
            place.mkdir(parents=True)
        content = generator.randbytes(generator.randint(least_bytes, most_bytes))
        (place / f"f{number:06}").write_bytes(content)
        total_bytes += len(content)
    return total_bytes


def read_once(path):
    """Brings a file or a tree into the page cache."""
    subprocess.run(["find", path, "-type", "f", "-exec", "cat", "{}", "+"], stdout=subprocess.DEVNULL, check=True)


def touch_memory(content_bytes):
    """Takes memory for the content and for programs and gives it back, at most half of what is available. In a virtual
    machine, memory that was not used for a while has been given back to the host, and whoever touches it first waits for
    it: no tool should pay for that.
    """
    length_bytes = min(content_bytes + PROGRAMS_BYTES, available_bytes() // 2)
    mmap.mmap(-1, length_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def available_bytes():
    """What programs can take without swapping, as the kernel estimates it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def files_below(path):
    """All files of a tree, or the file itself."""
    if not path.is_dir():
        yield path
        return
    for directory, _, names in os.walk(path):
        for name in names:
            yield Path(directory, name)


# Disks


def sync_file_system(path):
    """Flushes the file system that holds `path`, as `sync --file-system` does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs", str(path))
    finally:
        os.close(descriptor)


def need_space(path, needed_bytes):
    """Ends the script if there is too little space for what it is about to write."""
    free_bytes = shutil.disk_usage(path).free
    if free_bytes < needed_bytes * 1.05 + 256 * MIB:
        stop(f"{path}: {gib(needed_bytes)} are needed, {gib(free_bytes)} are free: fewer runs, or --work elsewhere")


def differences(source, target):
    """What differs between two files or trees in names, types and bytes, in the words of `diff`; empty if nothing."""
    command = ["diff", "--recursive", "--brief", "--no-dereference", source, target]
    environment = {**os.environ, "LC_ALL": "C"}
    compared = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    problems = (compared.stdout + compared.stderr).splitlines()
    return problems or ([f"{target}: not compared"] if compared.returncode else [])


# Runs


@dataclass
class Run:
    """One timed run of a program."""

    exit: int = 0
    seconds: float = 0.0
    seconds_synced: float = 0.0
    cpu_seconds: float = 0.0
    """Busy time of all cores, whoever used them: true only on a quiet machine."""
    peak_mib: dict = field(default_factory=dict)
    """Largest resident size of any one process by side, `sending` and `receiving`."""
    output: str = ""
    errors: str = ""

    def last_words(self):
        """The last line of the program's standard error."""
        return (self.errors.strip().splitlines() or ["no message"])[-1]


def timed_run(command, place, environment=None, servers=()):
    """Runs `command`, then syncs the file system of `place`; both are timed. `servers` are processes whose children
    work for the run on the receiving side."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        busy = busy_seconds()
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, cwd=place
        )
        peaks = Peaks(process.pid, servers)
        # A wait with a timeout of its own would look only every 50 ms, and that would be in the numbers.
        limit = threading.Timer(RUN_LIMIT_SECONDS, process.kill)
        limit.start()
        try:
            exit_code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            seconds = time.monotonic() - start
            limit.cancel()
            peaks.stop()
        sync_file_system(place)
        seconds_synced = time.monotonic() - start
        cpu_seconds = busy_seconds() - busy
        return Run(
            exit_code, seconds, seconds_synced, cpu_seconds, peaks.mib(), read_all(output), read_all(errors)
        )


def read_all(file):
    """Everything a program wrote, as text."""
    file.seek(0)
    return file.read().decode(errors="replace")


class Peaks:
    """Watches the resident sizes of a process and of all its descendants.

    The kernel keeps the peak of each (VmHWM), so that only what happens after the last look, at most `EVERY_SECONDS`
    before a process ends, is missed. The rusage of a child would not do: it starts with the peak of the Python process
    that forked it. To search for new processes, through all threads, takes a millisecond of the cores that the tool runs
    on: it is done at times that lie further and further apart, and a process that lives between two of them is missed.
    """

    EVERY_SECONDS = 0.01
    # The next search is when the run has lasted so many times as long.
    SEARCH_AFTER = 1.5

    def __init__(self, process_id, servers=()):
        self.process_id = process_id
        self.servers = [server.pid for server in servers]
        self.kib = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self):
        """Ends the watch."""
        self.ended.set()
        self.thread.join()

    def mib(self):
        """The peaks by side."""
        return {side: round(kib / 1024, 1) for side, kib in self.kib.items()}

    def _watch(self):
        start, search_at, found = time.monotonic(), 0, {}
        while not self.ended.wait(self.EVERY_SECONDS):
            if time.monotonic() >= search_at:
                found = self._search()
                search_at = start + self.SEARCH_AFTER * (time.monotonic() - start)
            for process_id, side in found.items():
                self._look(process_id, side)

    def _search(self):
        """The processes by the side that they must be of, nothing if their names tell it."""
        own = dict.fromkeys([self.process_id, *descendants(self.process_id)])
        return own | {child: "receiving" for server in self.servers for child in descendants(server)}

    def _look(self, process_id, side):
        name, kib = name_and_peak(process_id)
        if kib:
            side = side or ("receiving" if name == "careful-recv" else "sending")
            self.kib[side] = max(self.kib.get(side, 0), kib)


def name_and_peak(process_id):
    """Name of a process and the peak of its resident size in KiB; nothing if it is gone."""
    try:
        with open(f"/proc/{process_id}/status", errors="replace") as status:
            words = dict(line.split(":", 1) for line in status if line.startswith(("Name:", "VmHWM:")))
    except OSError:
        return "", 0
    return words.get("Name", "").strip(), int(words.get("VmHWM", "0").split()[0])


def children(process_id):
    """The living children of a process, by whichever of its threads they were started."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{process_id}/task"):
            found += map(int, Path(f"/proc/{process_id}/task/{thread}/children").read_text().split())
    except OSError:
        pass
    return found


def descendants(process_id):
    """Children, their children, and so on."""
    for child in children(process_id):
        yield child
        yield from descendants(child)


def processes_with(setting):
    """The living processes that have this `NAME=value` in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                environment = Path("/proc", entry, "environ").read_bytes()
            except OSError:
                continue
            if setting.encode() in environment.split(b"\0"):
                found.append(int(entry))
    return found


def wait_until(condition, seconds):
    """Whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# The machine


def busy_seconds():
    """Core-seconds since the start of the machine in which something ran."""
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / os.sysconf("SC_CLK_TCK")


def machine_facts(place):
    """What a reader must know to judge the numbers: words and values in order."""
    usage = shutil.disk_usage(place)
    device, mount, kind = file_system(place)
    return {
        "CPU": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": gib(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": f"{kind} on {device} (at {mount})",
        "disk free": f"{gib(usage.free)} of {gib(usage.total)}",
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "commit": commit(),
    }


def processor():
    """Model of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(place):
    """Device, mount point and type of the file system that holds a path."""
    place = place.resolve()
    best = ("?", "/", "?")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        mount = before.split()[4].encode().decode("unicode_escape")
        kind, device = after.split()[:2]
        if place.is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (device, mount, kind)
    return best


def commit():
    """Of the project, with a star if anything differs from it that is measured or measures: documents do not count."""
    answer = first_line("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    measured = ["src", "benches", "fault-injection", "Cargo.toml", "Cargo.lock"]
    changed = first_line("git", "-C", str(ROOT), "status", "--porcelain", "--", *measured)
    return "unknown" if answer is None else answer + ("*" if changed else "")


def first_line(*command):
    """The first line that a program prints, on whichever output; nothing if there is no such program or it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return None if done.returncode != 0 else (lines or [""])[0]


def gib(count_bytes):
    """A size for a person."""
    return f"{count_bytes / 2**30:.1f} GiB"


def print_facts(facts):
    """As a Markdown list."""
    for word, value in facts.items():
        print(f"- {word}: {value}")


def print_table(header, rows):
    """As Markdown, numbers to the right: every column but the first."""
    widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, None, *rows]:
        if row is None:
            cells = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        else:
            cells = [str(row[0]).ljust(widths[0]), *(str(c).rjust(w) for c, w in zip(row[1:], widths[1:]))]
        print("| " + " | ".join(cells) + " |")
