"""Which stage of a transfer a sample of `perf` belongs to: one table from process, thread, system call and symbol.

A sample is told by what the programs themselves name: their threads bear the name of their stage (`workers.rs`), the
kernel's half of a call chain names the system call, and what is left by then is told by the innermost function. What no
row fits is `UNASSIGNED`, and is shown: a share that grows means that a row is missing here.
"""

import re
from dataclasses import dataclass

SENDER, RECEIVER, KERNEL = "careful-send", "careful-recv", "kernel"
SIDES = (SENDER, RECEIVER, KERNEL)
UNASSIGNED = "unassigned"


@dataclass
class Sample:
    """What one tick of the profiler found."""

    side: str
    """One of `SIDES`: the kernel's own threads, and its interrupts on an idle core, are a side of their own."""
    thread: str
    function: str
    """Innermost function."""
    chain: list
    """Functions of the kernel from the innermost to the outermost, empty outside of the kernel."""
    seconds: float
    """Core-seconds that the sample stands for."""

    def system_call(self):
        """The kernel's function for the call, or nothing: a page fault or an interrupt is none."""
        for inner, outer in zip(self.chain, self.chain[1:]):
            if outer == "do_syscall_64" and not inner.startswith(("exit_to_user_mode", "x64_sys_call")):
                return re.sub(r"^(__x64_|__se_|__do_)?_*sys_|^ksys_", "", inner)
        return ""


@dataclass
class Row:
    """A stage, and the samples that it takes: every pattern that is given has to be found."""

    stage: str
    side: str = ""
    thread: str = ""
    call: str = ""
    chain: str = ""
    function: str = ""

    def takes(self, sample):
        found = (
            (self.side, sample.side),
            (self.thread, sample.thread),
            (self.call, sample.system_call()),
            (self.function, sample.function),
        )
        if not all(re.search(pattern, word) for pattern, word in found if pattern):
            return False
        return not self.chain or any(re.search(self.chain, word) for word in sample.chain)


def calls(words):
    """A pattern for any of these system calls, by their whole names."""
    return f"^({words.replace(' ', '|')})$"


READ = calls("pread64 preadv preadv2 read")
WRITE = calls("pwrite64 pwritev pwritev2 write fallocate copy_file_range ftruncate")
PAST_CACHE = "iomap_dio_rw|blkdev_direct_IO|btrfs_direct_(read|write)|generic_file_direct_write|fadvise"
FILE_SYSTEM = "ext4|xfs|btrfs|shmem|iomap|ovl_|fallocate"
NAMES = (
    "open|stat|getdents|close|rename|link|unlink|mkdir|fchmod|fchown|utimensat|xattr|flock|fcntl|lseek|dup|access"
    "|fadvise|cachestat|ioctl|umask|getcwd"
)
LIFE = (
    "execve|exit|clone|vfork|mprotect|wait4|prctl|rt_sig|set_robust|socket|bind|getrandom|prlimit|sysinfo|pipe"
)
WAITING = calls(
    "futex epoll_wait epoll_pwait epoll_pwait2 epoll_ctl sched_yield poll ppoll clock_nanosleep nanosleep write read"
)
BLAKE3 = "blake3|Root::of|PieceHash"
AES = "aes|gcm|aead|GCM|AES|EVP_AEAD|ghash|iv_len"
ENTROPY = "jent_|jitter|rol64|xoshiro128|uint32rotl|le32_to_ptr|entropy|chacha20|ctr_drbg|CTR_DRBG|[Kk]eccak"
CURVES = "25519|p256|sha(256|512)|mlkem|MLKEM|hkdf|bignum"
QUIC = "quinn|rustls|bytes::|VarInt|binary_heap|btree|[Ss]ip[Hh]ash|webpki|tinyvec|slab|sendmsg|recvmmsg"
AWS_LC = "^(ring_|CRYPTO_|EVP_|OPENSSL_|EC_|BN_|CBB_|CBS_|FIPS|BORINGSSL|fiat_)"
COPIES = "memmove|memcpy|memset|memcmp|bcmp"
ALLOCATOR = "malloc|_int_free|free$|calloc|realloc|unlink_chunk|__rdl_|__rust_|alloc::(alloc|raw_vec)"
LOCKS = "^syscall$|futex|[Cc]ondvar|[Mm]utex|parking_lot|[Ss]emaphore|Notify"
TASKS = "tokio|mio::|park|waker|futures|Future|mpsc|clock_gettime|Instant|Timespec|epoll"
INTERRUPTS = "sysvec_|asm_common_interrupt|irqentry_exit|softirq"
KERNEL_DISK = "kernel threads: write-out, journal, disk"
KERNEL_OTHER = "kernel threads: interrupts, network, other"

# The first row that takes a sample has it. Its place in this list is its place in the table that is printed.
ROWS = [
    Row(KERNEL_DISK, KERNEL, thread="^(kworker|jbd2|kblockd|xfs|btrfs|dio|loop|kswapd|kcompactd)"),
    Row(KERNEL_OTHER, KERNEL),
    Row("source read", SENDER, thread="^source$", call=READ),
    Row("second read", SENDER, thread="^origin$", call=READ),
    Row("second read", SENDER, call=READ, chain=PAST_CACHE),
    Row("source read", SENDER, call=READ, chain=FILE_SYSTEM),
    Row("hash: source", SENDER, thread="^hash$", function=BLAKE3),
    Row("hash: second read", SENDER, thread="^origin$", function=BLAKE3),
    Row("hash: source", SENDER, function=BLAKE3),
    Row("hash: check of what arrives", RECEIVER, thread="^verify$", function=BLAKE3),
    Row("hash: what is read back", RECEIVER, function=BLAKE3),
    Row("random numbers", function=ENTROPY),
    Row("keys and handshake", function=CURVES),
    Row("encryption", SENDER, function=AES),
    Row("decryption", RECEIVER, function=AES),
    Row("UDP system calls: sending", call=calls("sendmsg sendmmsg sendto")),
    Row("UDP system calls: receiving", call=calls("recvmsg recvmmsg recvfrom")),
    Row("QUIC: copies of bytes", thread="^tokio|^careful", function=COPIES),
    Row("congestion control", function="wire::congestion|wire::fixed_window|[Cc]ubic|ieee754_pow"),
    Row("QUIC: everything else", function=QUIC),
    Row("QUIC: everything else", function=AWS_LC),
    Row("write", RECEIVER, call=WRITE, chain=FILE_SYSTEM),
    Row("flush", RECEIVER, call=calls("fsync fdatasync syncfs sync_file_range")),
    Row("read-back", RECEIVER, call=READ, chain=FILE_SYSTEM),
    Row("names and attributes", call=NAMES),
    Row("start and end of the programs", call=LIFE),
    Row("start and end of the programs", chain="execve|do_exit|ret_from_fork"),
    Row("start and end of the programs", function="^(_dl_|do_lookup|check_match|strcmp$|_start|elf_)"),
    Row("memory: page faults, mapping", chain="page_fault"),
    Row("memory: page faults, mapping", call=calls("mmap munmap madvise brk mremap")),
    Row("memory: allocator", function=ALLOCATOR),
    Row("waiting and waking", call=WAITING),
    Row("waiting and waking", function=LOCKS),
    Row("waiting and waking", function=TASKS),
    Row("interrupts during other work", chain=INTERRUPTS),
    Row("copies of bytes elsewhere", function=COPIES),
    Row("decisions, messages, names", function="careful|minicbor|serde|core::|alloc::|std::|hashbrown|tracing|clap"),
    Row("system calls: other", chain="do_syscall_64"),
]


def stage_of(sample):
    """The stage of the first row that takes the sample."""
    return next((row.stage for row in ROWS if row.takes(sample)), UNASSIGNED)


def order():
    """All stages in the order of the table."""
    return list(dict.fromkeys([row.stage for row in ROWS] + [UNASSIGNED]))


# What perf wrote


# Names of the kernel's own threads that work for the transfer. Others (of memory management, of the machine's
# supervision) run whether or not something is copied: they are counted with the other processes.
KERNEL_THREADS = re.compile(
    r"^(kworker|jbd2|kblockd|xfs|btrfs|dio|loop|kswapd|kcompactd|ksoftirqd|rcu|irq/|migration)"
)
# What a process is called before it becomes one of the programs.
STARTERS = ("perf", "perf-exec", "env")
IDLE = re.compile(r"safe_halt|default_idle|intel_idle|acpi_idle|mwait_idle|cpuidle|^poll_idle")
HEAD = re.compile(
    r"^\s*(?P<thread>.*?)\s+(?P<process>\d+)/(?P<number>\d+)\s+(?P<time>[\d.]+):\s+(?P<period>\d+)\s*(?P<rest>.*)$"
)
NAMED = re.compile(r"PERF_RECORD_COMM(?P<exec> exec)?: (?P<name>.*):(?P<process>\d+)/(?P<number>\d+)$")
FRAME = re.compile(r"^\s+[0-9a-f]+ (?P<function>.*)$")


class Reading:
    """The samples of one recording, and how many core-seconds belonged to others."""

    def __init__(self, leaves, chains):
        """`leaves` and `chains` are two prints of one recording, without and with call chains: perf prints the
        innermost function of a sample only where it prints no chain."""
        self.programs = {}
        self.samples = []
        self.other_seconds = 0.0
        self.times = []
        for head, function, chain in zip(*self._parts(leaves, chains), strict=True):
            self._take(head, function, chain)

    def _parts(self, leaves, chains):
        heads, functions = [], []
        for line in leaves.splitlines():
            if "PERF_RECORD_" not in line and (head := HEAD.match(line)):
                heads.append(head)
                functions.append(head["rest"].split(" ", 1)[-1] if head["rest"] else "")
        blocks = []
        for line in chains.splitlines():
            if named := NAMED.search(line):
                if named["exec"] or named["process"] == named["number"]:
                    self.programs[named["process"]] = named["name"]
            elif "PERF_RECORD_" in line:
                continue
            elif frame := FRAME.match(line):
                blocks[-1].append(re.sub(r"\.(isra|constprop|part|cold)\.?\d*.*$", "", frame["function"]))
            elif HEAD.match(line):
                blocks.append([])
        return heads, functions, blocks

    def elapsed_seconds(self):
        """From the first sample of either program to the last: perf itself takes up to a second longer."""
        return max(self.times) - min(self.times) if self.times else 0.0

    def _take(self, head, function, chain):
        seconds = int(head["period"]) / 1e9
        thread, program = head["thread"], self.programs.get(head["process"], "")
        if head["process"] == "0":
            # The word for a halted core is a function of the kernel like any other.
            if not IDLE.search(function):
                self.samples.append(Sample(KERNEL, thread, function, chain, seconds))
        elif program in (SENDER, RECEIVER) and thread not in STARTERS:
            self.samples.append(Sample(program, thread, function, chain, seconds))
            self.times.append(float(head["time"]))
        elif KERNEL_THREADS.match(thread):
            self.samples.append(Sample(KERNEL, thread, function, chain, seconds))
        else:
            self.other_seconds += seconds
