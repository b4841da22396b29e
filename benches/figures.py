"""What the runs of a case come to: medians, ratios, limits, and whether the goals are reached.

Everything here is a function of what was kept of the runs: the same files give the same figures.
"""

import json
import statistics
from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20
MEMORY_MAX_MIB = 256
# Between two sizes of a series that is called flat: medians of few runs differ by as much.
FLAT = 1.10
# Of a packet: all of it, and what content can have of that. The rest are the headers of IP and UDP (28), and what QUIC adds: short
# header with identifier and number (11), proof (16), and head of the frame (7).
PACKET_BYTES = 1500
CONTENT_BYTES = PACKET_BYTES - 28 - 11 - 16 - 7
# Cases that `link` measures.
OF_LINKS = ("links", "far")
# What of a link content can take at most.
CONTENT_SHARE_MAX = CONTENT_BYTES / PACKET_BYTES
# The tool that reads its source only once.
WITH_RECORD = "careful-send, source has a record"
# Of the case where little changed: how careful-send is called for changes in many places.
ONE_REGION = "one region"
SMALL_CHUNKS = "--chunk-size 64KiB"


def load(paths):
    """Cases by name, of the files that `--json` wrote."""
    found = [json.loads(path.read_text()) for path in paths]
    return {case["case"]: case for case in found}


def as_json(case):
    """A case as it is kept: a line for each run."""
    runs = case.get("runs", [])
    head = json.dumps({**case, "runs": []} if "runs" in case else case, indent=1, ensure_ascii=False)
    lines = ",\n".join("  " + json.dumps(run, ensure_ascii=False) for run in runs)
    return head.replace('"runs": []', f'"runs": [\n{lines}\n ]') + "\n"


@dataclass
class Figures:
    """The runs of a case, asked by tool and point."""

    case: dict

    def points(self):
        return self.case["points"]

    def tools(self):
        """Those that ran, in the order of the tables."""
        ran = {run["tool"] for run in self.case["runs"]}
        return [tool for tool in self.case["tools"] if tool in ran]

    def careful(self):
        """The tools that are this project's."""
        return [tool for tool in self.tools() if tool.startswith("careful")]

    def runs(self, tool, point):
        return [run for run in self.case["runs"] if (run["tool"], run["point"]) == (tool, point)]

    def is_wrong(self, tool, point):
        """Whether a run of it failed or copied wrong: then nothing of it counts."""
        return any(run["problems"] for run in self.runs(tool, point))

    def values(self, tool, point, word):
        """One figure of every run; nothing of a tool that was wrong or that has no such figure."""
        runs = self.runs(tool, point)
        values = [] if self.is_wrong(tool, point) else [run[word] for run in runs]
        return [] if None in values else values

    def median(self, tool, point, word="seconds_synced"):
        values = self.values(tool, point, word)
        return statistics.median(values) if values else None

    def ratio(self, tool, point, word="seconds_synced", to=None):
        """To the baseline, or to another tool."""
        own, other = self.median(tool, point, word), self.median(to or self.case["baseline"], point, word)
        return own / other if own is not None and other else None

    def peak(self, tool, point, side):
        """The largest of all runs, in MiB."""
        peaks = [run["peak_mib"].get(side, 0) for run in self.runs(tool, point)]
        return max(peaks, default=0)

    def cores(self):
        return int(self.case["machine"]["cores"])

    def disk(self, point, word):
        """What the disk alone took, in seconds (median of the repetitions); nothing where it was not measured."""
        values = [limits[word] for limits in self.case.get("limits", {}).get(point, []) if limits]
        return statistics.median(values) if values else None

    def limits(self, tool, point):
        """What the run cannot be faster than, in seconds: what the disk alone takes for the same reads and writes, and
        the CPU time it used spread over all cores."""
        found = {}
        disk = self.disk(point, "beside_one_read" if tool == WITH_RECORD else "beside_two_reads")
        if disk:
            found["disk"] = disk
        cpu = self.median(tool, point, "cpu_seconds")
        if cpu:
            found["CPU"] = cpu / self.cores()
        return found


# Goals


@dataclass
class Goal:
    """A row of the table of goals."""

    question: str
    goal: str
    measured: str
    reached: bool
    limit: str = ""
    distance: str = ""


def goals(measured):
    """Every goal that the measured cases answer."""
    rows = []
    for name, answer in ANSWERS.items():
        if name in measured:
            rows += answer(measured[name] if name in OF_LINKS else Figures(measured[name]))
    return rows + memory(measured)


def at_most(question, goal, figures, tool, point, to=None):
    """A goal about a ratio of times."""
    ratio = figures.ratio(tool, point, to=to)
    if ratio is None:
        return []
    seconds = figures.median(tool, point)
    limits = figures.limits(tool, point)
    told = ", ".join(f"{word} {limit:.2f} s" for word, limit in limits.items())
    nearest = max(limits.values(), default=None)
    return [
        Goal(
            question,
            f"≤ {goal:.2f} of {to or figures.case['baseline']}",
            f"{ratio:.2f} ({seconds:.2f} s)",
            round(ratio, 2) <= goal,
            told,
            f"{seconds / nearest:.2f} ×" if nearest else "",
        )
    ]


def large_goals(figures):
    point = figures.points()[0]["label"]
    rows = []
    for tool, goal in (
        ("careful-send", 0.90),
        ("careful-send, ssh-started", 0.90),
        (WITH_RECORD, 0.65),
    ):
        rows += at_most(f"{point} on disk, {tool}", goal, figures, tool, point)
    return rows


def tmpfs_goals(figures):
    point = figures.points()[0]
    own = figures.median("careful-send", point["label"])
    if own is None:
        return []
    others = {
        tool: figures.median(tool, point["label"]) for tool in figures.tools() if tool.startswith(("rsync", "scp"))
    }
    slower = all(seconds is None or own < seconds for seconds in others.values())
    rate = point["content_bytes"] / own / 1e9
    cpu = figures.limits("careful-send", point["label"])["CPU"]
    return [
        Goal(
            f"{point['label']} on tmpfs",
            "≥ 1.0 GB/s, faster than " + " and ".join(others),
            f"{rate:.2f} GB/s, {'faster' if slower else 'not faster'}",
            slower and rate >= 1.0,
            f"CPU {cpu:.2f} s",
            f"{own / cpu:.2f} ×",
        )
    ]


def small_goals(figures):
    point = figures.points()[0]["label"]
    return at_most(f"{point} of 0.2 to 16 KB", 1.00, figures, "careful-send", point)


def growth_goals(figures):
    per_file, peaks = [], []
    for point in figures.points():
        seconds = figures.median("careful-send", point["label"])
        if seconds is None:
            return []
        per_file.append(seconds / point["files"] * 1e6)
        peaks.append(max(figures.peak("careful-send", point["label"], side) for side in ("sending", "receiving")))
    labels = " / ".join(point["label"] for point in figures.points())
    return [
        Goal(
            f"{labels} files of 1 KB: time a file",
            "flat or falling",
            " / ".join(f"{value:.0f} µs" for value in per_file),
            all(after <= before * FLAT for before, after in zip(per_file, per_file[1:])),
        ),
        Goal(
            f"{labels} files of 1 KB: peak memory",
            f"flat, ≤ {MEMORY_MAX_MIB} MiB",
            " / ".join(f"{value:.0f} MiB" for value in peaks),
            max(peaks) <= MEMORY_MAX_MIB and peaks[-1] <= peaks[-2 if len(peaks) > 1 else -1] * FLAT + 1,
        ),
    ]


def names_goals(figures):
    point = figures.points()[0]
    rows = []
    for tool in figures.careful():
        peak = max(figures.peak(tool, point["label"], side) for side in ("sending", "receiving"))
        seconds = figures.median(tool, point["label"])
        if seconds is not None:
            question = f"{point['label']} names, nothing to do, {tool}"
            told = f"{peak:.0f} MiB ({seconds:.2f} s)"
            rows.append(Goal(question, f"≤ {MEMORY_MAX_MIB} MiB", told, peak <= MEMORY_MAX_MIB))
    return rows


def again_goals(figures):
    point = figures.points()[0]["label"]
    question = f"{point} once more, --quick"
    return at_most(question, 1.20, figures, "careful-send --quick", point)


def changed_goals(figures):
    rows = []
    for point in figures.points():
        label = point["label"]
        # Whoever knows that changes are small and many has smaller chunks sent.
        tool, where = "careful-send", f"1 % changed in {label}"
        if label != ONE_REGION:
            tool, where = f"{tool} {SMALL_CHUNKS}", f"{where}, {SMALL_CHUNKS}"
        rows += at_most(f"{where}: time", 0.50, figures, tool, label)
        sent = figures.median(tool, label, "sent_bytes")
        if sent is not None:
            ratio = sent / point["changed_bytes"]
            told = f"{ratio:.2f} ({sent / MIB:.1f} MiB)"
            rows.append(Goal(f"{where}: bytes sent", "≤ 1.10 of what changed", told, ratio <= 1.10))
    return rows


def links_goals(links):
    rows = []
    for case in links["cases"]:
        middle = link_medians(case).get("careful-send")
        if not middle:
            rows.append(Goal(link_title(case), "a copy that is right", "none", False))
            continue
        if case["beside_tcp"]:
            queue_limit_ms = 2 * case["delay_milliseconds"]
            goal = f"30 to 70 % each, queue < {queue_limit_ms:.0f} ms"
            told = f"{100 * middle['share']:.0f} and {100 * middle['beside']:.0f} %, {middle['queued']:.0f} ms"
            shares = (middle["share"], middle["beside"])
            reached = all(0.3 <= share <= 0.7 for share in shares) and middle["queued"] < queue_limit_ms
            rows.append(Goal(link_title(case), goal, told, reached))
            continue
        least, wire = LINK_GOALS.get((case["bits_per_second"], case["lost"]), (None, None))
        goal = " and ".join(
            [*([f"≥ {100 * least:.0f} % of the link"] if least else []), *([f"≤ {wire:.2f} on the wire"] if wire else [])]
        )
        shares = f"{100 * middle['share']:.1f} % content, {100 * middle['packets_share']:.1f} % with headers"
        told = f"{shares}, {middle['wire']:.3f} on the wire"
        reached = (not least or middle["share"] >= least) and (not wire or middle["wire"] <= wire)
        rows.append(Goal(link_title(case), goal or "none", told, reached, *content_limit(middle)))
    return rows


def far_goals(far):
    """Many files over a long link: against rsync, over whichever control of TCP it is faster."""
    rows = []
    for case in far["cases"]:
        middles = link_medians(case)
        question = f"{link_title(case)}, {link_content(case)}"
        others = {tool: middle["seconds"] for tool, middle in middles.items() if tool.startswith("rsync")}
        if "careful-send" not in middles or not others:
            rows.append(Goal(question, "a copy that is right", "none", False))
            continue
        nearest = min(others, key=others.get)
        middle = middles["careful-send"]
        ratio = middle["seconds"] / others[nearest]
        told = f"{ratio:.2f} ({middle['seconds']:.1f} s)"
        rows.append(Goal(question, f"≤ 1.00 of {nearest}", told, round(ratio, 2) <= 1, *content_limit(middle)))
    return rows


def content_limit(middle):
    """What content can have of a link, and how far a run is from it."""
    return f"content {100 * CONTENT_SHARE_MAX:.1f} %", f"{CONTENT_SHARE_MAX / middle['share']:.2f} ×"


# By rate and loss: the least share of the link for content, the most bytes on the wire for each byte of the file.
LINK_GOALS = {
    (500_000_000, 0): (0.90, None),
    (500_000_000, 0.001): (None, 1.10),
    (500_000_000, 0.01): (0.80, 1.10),
    (500_000_000, 0.03): (None, 1.10),
    (1_000_000_000, 0): (0.94, None),
}


def link_title(case):
    """The link in words that need no other row."""
    rate = f"{case['bits_per_second'] / 1e6:g} Mbit/s, {2 * case['delay_milliseconds']:g} ms"
    if case["queue_kib"]:
        rate += f", a queue of {case['queue_kib']} KiB"
    if case["beside_tcp"]:
        return f"{rate}, beside one flow of TCP cubic"
    return f"{rate}, {100 * case['lost']:g} % lost" if case["lost"] else f"{rate}, no loss"


def link_content(case):
    """What is copied over a link."""
    files = case.get("files", 1)
    return f"{case['mib']} MiB" + (f" in {files:,} files" if files > 1 else "")


def link_medians(case):
    """Medians of every figure by tool, of the runs that copied right or were cut; tools without one are left out."""
    by_tool = {}
    for run in case["runs"]:
        if run["right"] or was_cut(run):
            by_tool.setdefault(run["tool"], []).append(run)
    return {
        tool: {
            word: statistics.median(run[word] for run in runs)
            for word, value in runs[0].items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and all(word in run for run in runs)
        }
        for tool, runs in by_tool.items()
    }


def was_cut(run):
    """Whether a run over a link reached its limit, and that is neither right nor wrong."""
    return run.get("cut", False) and run["right"] is None


def link_seconds(case, runs, middle):
    """How long a tool took over a link, and how many of its runs say nothing about that."""
    cut, failed = sum(was_cut(run) for run in runs), sum(run["right"] is False for run in runs)
    words = [f"{middle['seconds']:.1f} s"] if cut + failed < len(runs) else []
    if cut:
        part = "" if cut == len(runs) else f"{cut} of {len(runs)} "
        words.append(f"{part}cut after {case['limit_seconds']:g} s")
    if failed:
        words.append(f"{failed} of {len(runs)} failed")
    return ", ".join(words)


def memory(measured):
    """The largest process of any case."""
    largest = (0, "")
    for name, case in measured.items():
        parts = case["cases"] if name in OF_LINKS else [case]
        for run in [run for part in parts for run in part.get("runs", []) if isinstance(run, dict)]:
            if run["tool"].startswith("careful"):
                for side, mib in run.get("peak_mib", {}).items():
                    largest = max(largest, (mib, f"{name}, {side}"))
    if not largest[0]:
        return []
    told = f"{largest[0]:.0f} MiB ({largest[1]})"
    return [Goal("peak memory of each side, any case", f"≤ {MEMORY_MAX_MIB} MiB", told, largest[0] <= MEMORY_MAX_MIB)]


ANSWERS = {
    "large": large_goals,
    "tmpfs": tmpfs_goals,
    "small": small_goals,
    "growth": growth_goals,
    "names": names_goals,
    "again": again_goals,
    "changed": changed_goals,
    "links": links_goals,
    "far": far_goals,
}
