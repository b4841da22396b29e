"""A picture for each question, as SVG: bars for tools, curves where something grows. The same data give the same bytes.

Needs matplotlib, which nothing else here does.
"""

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

import figures
import stages
from figures import GIB, Figures

# Text stays text, ids are the same each time.
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "careful",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
    }
)
OWN, OTHER, LINE = "#0b6e4f", "#b8c4ce", "#444444"
# Of the tools that are not this project's, where each is a curve.
CURVES = ["#8896a5", "#c98b2b", "#7d5ba6", "#b04a5a", "#4a7fb0"]
WIDTH_INCHES = 8.0


def draw(name, case, path):
    """The picture of a case."""
    figure = DRAWINGS[name](case)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def color_of(tool):
    return OWN if tool.startswith("careful") else OTHER


def bars(case):
    """Seconds until everything is durable, a bar for each tool, with the spread of its runs."""
    shown = Figures(case)
    points = shown.points()
    tools = shown.tools()
    height = 0.9 + len(points) * (0.5 + 0.34 * len(tools))
    figure, all_axes = pyplot.subplots(len(points), 1, figsize=(WIDTH_INCHES, height), squeeze=False)
    for axes, point in zip(all_axes[:, 0], points):
        label = point["label"]
        ran = [tool for tool in tools if shown.values(tool, label, "seconds_synced")]
        for place, tool in enumerate(ran):
            values = shown.values(tool, label, "seconds_synced")
            middle = shown.median(tool, label)
            axes.barh(place, middle, color=color_of(tool), height=0.7)
            axes.plot([min(values), max(values)], [place, place], color=LINE, linewidth=1)
            axes.annotate(
                worth(shown, tool, point),
                (max(values), place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_yticks(range(len(ran)), ran)
        axes.invert_yaxis()
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
        axes.set_title(case["title"] if len(points) == 1 else f"{case['title']}: {label}", loc="left", fontsize=10)
        disk = shown.disk(label, "beside_two_reads")
        if disk:
            axes.axvline(disk, color=LINE, linestyle=":", linewidth=1)
            axes.annotate(
                "disk alone: one write, two reads",
                (disk, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=7,
                color=LINE,
                va="bottom",
            )
    figure.supxlabel("seconds until everything is durable (median; line: least to most)", fontsize=10)
    return figure


def worth(shown, tool, point):
    """What stands at the end of a bar."""
    seconds = shown.median(tool, point["label"])
    if point["changed_bytes"]:
        sent = shown.median(tool, point["label"], "sent_bytes")
        return f"{seconds:.2f} s" + (f", {sent / figures.MIB:.1f} MiB sent" if sent is not None else "")
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def rates(case):
    """GB a second, and core-seconds for each GiB."""
    shown = Figures(case)
    point = shown.points()[0]
    label = point["label"]
    ran = [tool for tool in shown.tools() if shown.values(tool, label, "seconds_synced")]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(WIDTH_INCHES, 1.2 + 0.34 * len(ran)), sharey=True)
    for place, tool in enumerate(ran):
        rate = point["content_bytes"] / shown.median(tool, label) / 1e9
        cpu = shown.median(tool, label, "cpu_seconds") / (point["content_bytes"] / GIB)
        for axes, value in ((left, rate), (right, cpu)):
            axes.barh(place, value, color=color_of(tool), height=0.7)
            axes.annotate(
                f"{value:.2f}", (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
            )
    left.set_yticks(range(len(ran)), ran)
    left.invert_yaxis()
    for axes, words in ((left, "GB/s"), (right, "core-seconds per GiB, both ends")):
        axes.margins(x=0.16)
        axes.set_xlabel(words)
    left.set_title(case["title"], loc="left", fontsize=10)
    return figure


def growth(case):
    """Time and memory over the number of files."""
    shown = Figures(case)
    counts = [point["files"] for point in shown.points()]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(WIDTH_INCHES, 3.2))
    others = iter(CURVES)
    for tool in shown.tools():
        color = OWN if tool.startswith("careful") else next(others)
        per_file = [(shown.median(tool, p["label"]) or float("nan")) / p["files"] * 1e6 for p in shown.points()]
        left.plot(counts, per_file, marker="o", color=color, label=tool)
        for side, style in (("sending", "-"), ("receiving", "--")):
            peaks = [shown.peak(tool, point["label"], side) for point in shown.points()]
            right.plot(counts, peaks, style, marker="o", color=color, label=f"{tool}, {side}")
    left.set_ylabel("microseconds a file, until durable")
    right.set_ylabel("peak MiB")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("files of 1 KB")
        axes.legend(frameon=False, fontsize=8)
    return figure


def links(case):
    """Share of the link over loss, for links that differ in nothing else; bars for the others."""
    curve = [part for part in case["cases"] if part["bits_per_second"] == 500_000_000 and not part["beside_tcp"]]
    rest = [part for part in case["cases"] if part not in curve]
    figure, all_axes = pyplot.subplots(1, 2, figsize=(WIDTH_INCHES, 3.4), width_ratios=(3, 2))
    left, right = all_axes
    tools = list(dict.fromkeys(run["tool"] for part in case["cases"] for run in part["runs"]))
    colors = colors_of(tools)
    # Losses by place, not by value: no loss has no place on a scale of powers.
    for tool in tools:
        shares = [100 * figures.link_medians(part).get(tool, {}).get("share", float("nan")) for part in curve]
        left.plot(range(len(curve)), shares, marker="o", color=colors[tool], label=tool)
    left.set_xticks(range(len(curve)), [f"{100 * part['lost']:g} %" for part in curve])
    left.set_xlabel("packets lost at random (500 Mbit/s, 100 ms)")
    left.set_ylabel("% of the link")
    left.set_ylim(0, 100)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    share_bars(right, rest, colors, [short(figures.link_title(part)) for part in rest])
    right.set_ylabel("% of the link (dash: left to TCP)")
    return figure


def far(case):
    """Share of the link, by what is copied."""
    figure, axes = pyplot.subplots(figsize=(WIDTH_INCHES, 3.4))
    colors = colors_of(list(dict.fromkeys(run["tool"] for part in case["cases"] for run in part["runs"])))
    share_bars(axes, case["cases"], colors, [figures.link_content(part) for part in case["cases"]])
    axes.set_ylabel("% of the link")
    axes.set_xlabel(figures.link_title(case["cases"][0]))
    handles = [axes.bar(0, 0, color=color, label=tool) for tool, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def share_bars(axes, parts, colors, titles):
    """Bars of each tool for each part of a case."""
    width = 0.8 / max(1, len(colors))
    for place, part in enumerate(parts):
        for number, (tool, color) in enumerate(colors.items()):
            middle = figures.link_medians(part).get(tool, {})
            where = place + (number - (len(colors) - 1) / 2) * width
            axes.bar(where, 100 * middle.get("share", 0), width, color=color)
            if part["beside_tcp"]:
                axes.plot([where], [100 * middle.get("beside", 0)], marker="_", color=LINE)
    axes.set_xticks(range(len(parts)), titles, fontsize=8)
    axes.set_ylim(0, 100)


def short(title):
    """A title in lines that fit under a bar."""
    for words in (", beside", ", a queue", ", no loss"):
        title = title.replace(words, "," + "\n" + words[2:])
    return title.replace(" of TCP", "\nof TCP")


def colors_of(tools):
    """This project's tool first in its own colour, its variants lighter."""
    others = iter(CURVES * 2)
    return {tool: OWN if tool == "careful-send" else next(others) for tool in tools}


def profile(case):
    """Core-seconds by stage and side."""
    parts = case["profiles"]
    figure, all_axes = pyplot.subplots(
        1, len(parts), figsize=(WIDTH_INCHES, 5.2), squeeze=False, sharey=True, width_ratios=[1] * len(parts)
    )
    shown = [
        stage
        for stage in stages.order()
        if any(sum(part["stages"].get(stage, {}).values()) > 0.02 * whole(part) for part in parts)
    ]
    colors = dict(zip(stages.SIDES, (OWN, "#6fb98f", OTHER)))
    for axes, part in zip(all_axes[0], parts):
        lefts = [0.0] * len(shown)
        for side in stages.SIDES:
            values = [part["stages"].get(stage, {}).get(side, 0) for stage in shown]
            axes.barh(range(len(shown)), values, left=lefts, color=colors[side], height=0.75, label=side)
            lefts = [left + value for left, value in zip(lefts, values)]
        axes.set_title(part["title"], fontsize=8, loc="left")
        axes.set_xlabel(f"core-seconds per {part['unit']}", fontsize=8)
    all_axes[0][0].set_yticks(range(len(shown)), shown, fontsize=8)
    all_axes[0][0].invert_yaxis()
    figure.legend(
        *all_axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    return figure


def whole(part):
    return sum(sum(sides.values()) for sides in part["stages"].values())


DRAWINGS = {
    "large": bars,
    "tmpfs": rates,
    "small": bars,
    "growth": growth,
    "names": bars,
    "again": bars,
    "changed": bars,
    "links": links,
    "far": far,
    "profile": profile,
}
