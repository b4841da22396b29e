"""The page of figures, the part of the README that quotes it, and the tables on standard output.

All of it is a function of the kept runs, so that `compare --check` can tell whether the page says what they say.
"""

import importlib.util

import figures
import stages
import support
from figures import GIB, MIB, Figures
from support import say

PAGE = support.ROOT / "docs" / "performance.md"
README = support.ROOT / "README.md"
QUOTE_STARTS = "<!-- figures of docs/performance.md, written by benches/compare -->\n"
QUOTE_ENDS = "<!-- end of figures -->\n"
QUESTIONS = {
    "large": "How long for one large file",
    "tmpfs": "How much CPU, with no disk in the way",
    "small": "How long for many small files",
    "growth": "What happens with more and more files",
    "names": "What does a large tree cost where nothing is to do",
    "again": "How long for nothing to do",
    "changed": "How long where little of a large file changed",
    "links": "How much of a bad link is used",
    "far": "How long for many files over a long link",
    "profile": "Where the CPU time goes",
}
# Facts that are about one moment, not about the machine.
MOMENTARY = ("load before", "disk free")


def print_tables(measured):
    """Everything on standard output."""
    print("".join(lines(measured, with_plots=False)), end="")


def write(measured, path, readme):
    """The page, its plots and its data in the directory beside it that bears its name, and the README's part."""
    import plots

    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in measured.items():
        (folder / f"{name}.json").write_text(figures.as_json(case))
        plots.draw(name, case, folder / f"{name}.svg")
    path.write_text("".join(lines(measured, with_plots=True)))
    if readme:
        before, _, after = parted(readme.read_text())
        readme.write_text(before + QUOTE_STARTS + quote(measured) + QUOTE_ENDS + after)
    say(f"written: {path}, and {folder}/")


def check(measured):
    """The exit code: whether page and README are what the data give."""
    if not measured and not PAGE.exists():
        quoted = f"](docs/{PAGE.name})" in README.read_text()
        say("no page of figures yet" + (", and README.md names it" if quoted else ""))
        return 1 if quoted else 0
    wrong = 0
    if PAGE.read_text() != "".join(lines(measured, with_plots=True)):
        say("docs/performance.md is not what its data give: benches/compare --from docs/performance/*.json --page …")
        wrong = 1
    if parted(README.read_text())[1] != quote(measured):
        say("README.md does not quote docs/performance.md: benches/compare --from … --page … --readme README.md")
        wrong = 1
    for name in measured:
        if not (PAGE.with_suffix("") / f"{name}.svg").exists():
            say(f"the plot of {name} is not there")
            wrong = 1
    return wrong


def parted(text):
    """What stands before the quoted figures, they themselves, and what follows."""
    before, start, rest = text.partition(QUOTE_STARTS)
    quoted, end, after = rest.partition(QUOTE_ENDS)
    if not (start and end):
        support.stop("README.md has no place for figures: the two comments around them are gone")
    return before, quoted, after


def need_plots():
    """Ends the script where plots cannot be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        support.stop("--page draws with matplotlib: pip install matplotlib, or the package python3-matplotlib")


# The page


def lines(measured, with_plots):
    yield "# Performance\n\n"
    if with_plots:
        yield "Written by `benches/compare` from the runs that are kept in [`performance/`](performance); not edited by "
        yield "hand.\n[`benches/README.md`](../benches/README.md) says how runs are made and what the numbers mean.\n\n"
    yield from machine(measured)
    yield from goals(measured)
    for name, question in QUESTIONS.items():
        if name not in measured:
            continue
        yield f"\n## {question}\n"
        if with_plots:
            yield f"\n![{question}: the table below as a picture](performance/{name}.svg)\n"
        if name in figures.OF_LINKS:
            yield ABOUT_LINKS[name]
            yield from links(measured[name])
        elif name == "profile":
            yield from profile(measured[name])
        else:
            yield from case_tables(Figures(measured[name]))


def machine(measured):
    """Facts that all cases share, and those in which some differ."""
    facts = {}
    for name, case in measured.items():
        for word, value in {**case["machine"], **case.get("versions", {})}.items():
            if word not in MOMENTARY:
                facts.setdefault(word, {}).setdefault(value, []).append(name)
    for word, values in facts.items():
        if len(values) == 1:
            yield f"- {word}: {next(iter(values))}\n"
        else:
            yield f"- {word}: " + "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items()) + "\n"


def goals(measured):
    rows = figures.goals(measured)
    if not rows:
        return
    yield "\n## Goals\n\n"
    yield from table(
        ["question", "goal", "measured", "reached", "limits", "of the nearest limit"],
        [
            [row.question, row.goal, row.measured, "yes" if row.reached else "**no**", row.limit, row.distance]
            for row in rows
        ],
    )
    yield LIMITS


LIMITS = """
Seconds are until everything is durable. Limits: *disk* is what the disk alone takes, past the page cache, to write as much
once and to read it twice at the same time (the second read of the source, the read-back; with a record once), in the median
of the same repetitions; *CPU* is the CPU time of the run spread over all cores; *content* is what of a link it can take at
most, {content} of the {packet} bytes of a packet, the rest being the headers of IP and UDP and what QUIC adds. What follows is how
far the run is from the slower of them.
""".format(content=figures.CONTENT_BYTES, packet=figures.PACKET_BYTES)


def case_tables(shown):
    """A table for each point, or one for all where a point is only another size."""
    if shown.case["case"] == "growth":
        yield from growth_table(shown)
        return
    for point in shown.points():
        label = point["label"]
        heading = shown.case["title"] if len(shown.points()) == 1 else f"{shown.case['title']}: {label}"
        yield f"\n{heading}; {settings_of(shown.case)}.\n\n"
        changed = point["changed_bytes"]
        header = ["tool", "to exit", "until durable (least-most)", "ratio", "CPU", "peak MiB, sending", "receiving"]
        header += ["sent MiB", "of what changed"] if changed else ["MB/s" if point["files"] == 1 else "a file"]
        rows = [row_of(shown, tool, point) for tool in shown.tools()]
        blank = [""] * (len(header) - 2)
        rows += [[name, f"not here: {reason}", *blank] for name, reason in shown.case["absent"].items()]
        yield from table(header, rows)
        yield from notes(shown, point)


def row_of(shown, tool, point):
    label = point["label"]
    if shown.is_wrong(tool, label):
        return [tool, "**wrong**"] + [""] * (7 if point["changed_bytes"] else 6)
    durable = shown.values(tool, label, "seconds_synced")
    ratio = shown.ratio(tool, label)
    row = [bold(tool), f"{shown.median(tool, label, 'seconds'):.2f} s"]
    row.append(f"{shown.median(tool, label):.2f} s ({min(durable):.2f}-{max(durable):.2f})")
    row.append(f"{ratio:.2f}" if ratio else "")
    row.append(cpu_of(shown, tool, point))
    for side in ("sending", "receiving"):
        peak = shown.peak(tool, label, side)
        row.append(f"{peak:.0f}" if peak else "-")
    if not point["changed_bytes"]:
        seconds = shown.median(tool, label)
        if point["files"] == 1:
            return [*row, f"{point['content_bytes'] / seconds / 1e6:.0f}"]
        return [*row, f"{seconds / point['files'] * 1e6:.0f} µs"]
    sent = shown.median(tool, label, "sent_bytes")
    return [*row, *(["-", "-"] if sent is None else [f"{sent / MIB:.1f}", f"{sent / point['changed_bytes']:.2f}"])]


def bold(tool):
    return f"**{tool}**" if tool.startswith("careful") else tool


def cpu_of(shown, tool, point):
    """Core-seconds: for a GiB of one file, else of the run."""
    cpu = shown.median(tool, point["label"], "cpu_seconds")
    if point["files"] == 1:
        return f"{cpu / (point['content_bytes'] / GIB):.2f} core-s/GiB"
    return f"{cpu:.2f} core-s"


def notes(shown, point):
    yield f"\nRatios are to {shown.case['baseline']}."
    words = ("write", "read", "beside_one_read", "beside_two_reads")
    write, read, beside_one, beside_two = (shown.disk(point["label"], word) for word in words)
    if write:
        yield f" The disk alone, in the same minutes: {write:.2f} s to write as much and flush it, {read:.2f} s to read it,"
        yield f" {beside_one:.2f} s for both at once, {beside_two:.2f} s for one write and two reads."
    yield "\n"


def settings_of(*cases):
    runs = dict.fromkeys(str(1 + max((run["repetition"] for run in case["runs"]), default=0)) for case in cases)
    return f"medians of {' and '.join(runs)}, tools in turn"


def growth_table(shown):
    yield f"\n{shown.case['title']}; {settings_of(shown.case)}; until durable, and peaks of both sides in MiB.\n\n"
    header = ["tool"]
    for point in shown.points():
        header += [f"{point['label']} files", "MiB"]
    rows = []
    for tool in shown.tools():
        row = [bold(tool)]
        for point in shown.points():
            seconds = shown.median(tool, point["label"])
            peaks = [shown.peak(tool, point["label"], side) for side in ("sending", "receiving")]
            row += ["**wrong**" if seconds is None else f"{seconds / point['files'] * 1e6:.0f} µs"]
            row.append(" + ".join(f"{peak:.0f}" for peak in peaks))
        rows.append(row)
    yield from table(header, rows)


ABOUT_LINKS = {
    "links": """
What a link costs once, however long the file: three round trips until content begins (handshake, greeting, offer), about five
until the rate, which triples from 32 datagrams on and doubles from four mebibytes on, fills a link of 500 Mbit/s and 100 ms, and
three until the copy is read back to its end, named, receipted, and both sides know that nothing follows.
""",
    "far": """
Each file, or group of small files, takes three round trips: offer and answer, content and what was read back, commit and receipt.
Those of others overlap with them.
""",
}


def links(measured):
    runs = measured["settings"]["runs"]
    for case in measured["cases"]:
        yield f"\n{figures.link_title(case)}; {figures.link_content(case)}; medians of {runs}, tools in turn.\n\n"
        header = ["tool", "until its end", "content, of the link", "with headers", "on the wire", "left to TCP"]
        header += ["in the queue", "peak MiB"]
        middles = figures.link_medians(case)
        rows = []
        for tool in case["tools"]:
            of_tool = [run for run in case["runs"] if run["tool"] == tool]
            if tool in case["absent"]:
                cells = [f"not here: {case['absent'][tool]}", *[""] * 6]
            elif tool not in middles:
                cells = [f"**failed**: {of_tool[0].get('words', 'other bytes')}", *[""] * 6]
            else:
                cells = link_cells(case, of_tool, middles[tool])
            rows.append([bold(tool), *cells])
        yield from table(header, rows)


def link_cells(case, runs, middle):
    """Behind the name of a tool."""
    peaks = [max(run["peak_mib"].values()) for run in runs if run.get("peak_mib")]
    return [
        figures.link_seconds(case, runs, middle),
        *(percent(middle[word]) if word in middle else "" for word in ("share", "packets_share")),
        f"{middle['wire']:.3f}" if "wire" in middle else "",
        percent(middle["beside"]) if "beside" in middle else "",
        f"{middle['queued']:.1f} ms",
        f"{max(peaks):.0f}" if peaks else "",
    ]


def profile(measured):
    for case in measured["profiles"]:
        yield f"\n{case['title']}; core-seconds per {case['unit']}, sampled ({case['runs']} runs).\n\n"
        rows, whole = [], sum(sum(sides.values()) for sides in case["stages"].values())
        for stage, sides in case["stages"].items():
            value = sum(sides.values())
            cells = [f"{sides[side]:.3f}" if sides[side] else "" for side in stages.SIDES]
            rows.append([stage, *cells, f"{value:.3f}", percent(value / whole)])
        sums = [sum(sides[side] for sides in case["stages"].values()) for side in stages.SIDES]
        rows.append(["**together**", *(f"{value:.3f}" for value in sums), f"{whole:.3f}", percent(1)])
        yield from table(["stage", *stages.SIDES, "together", "share"], rows)


def percent(share):
    return f"{100 * share:.1f} %"


def table(header, rows):
    """A Markdown table: columns but the first to the right."""
    yield "| " + " | ".join(header) + " |\n"
    yield "| --- |" + " ---: |" * (len(header) - 1) + "\n"
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |\n"


# The README's part


def quote(measured):
    """What the README quotes of the page."""
    shown = [Figures(measured[name]) for name in ("large", "small") if name in measured]
    facts = shown[0].case["machine"]
    kind = facts["file system"].split()[0]
    commits = " and ".join(dict.fromkeys(case.case["machine"]["commit"] for case in shown))
    text = f"""\
{facts["cores"]} cores, both ends on one machine and one {kind} disk, source in the page cache, defaults everywhere; seconds until
everything is durable (exit and `sync`), {settings_of(*(each.case for each in shown))}. The rsync daemon neither encrypts nor reads anything
back. At commit {commits}.

"""
    header = [""]
    for case in shown:
        header += [case.case["title"].replace("One file", "one file"), f"to {case.case['baseline']}"]
    names = list(dict.fromkeys(tool for case in shown for tool in case.tools()))
    rows = []
    for tool in names:
        row = [bold(tool)]
        for case in shown:
            label = case.points()[0]["label"]
            seconds = case.median(tool, label) if tool in case.tools() else None
            row += ["", ""] if seconds is None else [f"{seconds:.2f} s", f"{case.ratio(tool, label):.2f}"]
        rows.append(row)
    text += "".join(table(header, rows))
    return text + REST


REST = """
[`docs/performance.md`](docs/performance.md) has all figures: in memory, growth, changed files, bad links, CPU by stage, how
far each is from what disk, CPU or link allow, and the machine. [`benches/`](benches/) says how to take them.
"""
