"""What is compared: for each case its sources, its tools, and what a target holds before the run."""

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import figures
import support
import tools
from support import MIB

FILES_PER_DIRECTORY = 100
# Nothing begins on a page, a block or a chunk.
ODD_BYTES = 12_345
CHANGED_REGIONS = 20


@dataclass
class Point:
    """One measurement of a case with each of its tools: most cases have one."""

    label: str
    make: object
    """Makes the source at a path."""
    files: int
    content_bytes: int
    changed_bytes: int = 0
    fill: object = None
    """Fills a target before the run, from the source; without it the target is an empty directory."""


@dataclass
class Case:
    """A question."""

    name: str
    title: str
    points: list
    tools: object
    """From the bench and the directory of the case to its tools, in the order of the tables."""
    baseline: str
    """What ratios are to."""
    rest: str
    """When copies are removed: after each `run` (few inodes each, and little room), each `repetition`, or at the end of
    the `point` (many inodes: a file system may give out those just deleted slowly)."""
    parent: Path = None
    """Where; nothing: on the disk that `--work` names."""
    one_target: bool = False
    """Whether all tools meet the same target, which none of them changes."""


RSYNC_DAEMON = "rsync -a, daemon"
RSYNC_SSH = "rsync -a, ssh"
RSYNC_LOCAL = "rsync -a local"


def all_cases(options):
    """All cases by name, in the order of the page."""
    cases = [large(options), tmpfs(options), small(options), growth(options), names(options), again(options)]
    cases.append(changed(options))
    return {case.name: case for case in cases}


def large(options):
    def every(bench, place):
        return [
            tools.cp(),
            tools.rsync_daemon(bench, place),
            tools.rsync_ssh(bench),
            tools.rsync_ssh(bench, "--fsync"),
            tools.rsync_and_hash(bench),
            tools.scp(bench),
            tools.scp(bench, "-c", tools.GCM),
            tools.careful(bench),
            tools.careful_with_record(bench),
            tools.careful_ssh(bench),
        ]

    title = f"One file of {options.big_mib} MiB"
    return Case("large", title, [big_file(options.big_mib)], every, RSYNC_DAEMON, "repetition")


def tmpfs(options):
    def every(bench, place):
        gcm = tools.scp(bench, "-c", tools.GCM)
        return [tools.cp(), tools.rsync_daemon(bench, place), gcm, tools.careful(bench)]

    title = f"One file of {options.big_mib} MiB on tmpfs"
    return Case("tmpfs", title, [big_file(options.big_mib)], every, RSYNC_DAEMON, "run", options.tmpfs)


def small(options):
    def every(bench, place):
        return [
            tools.cp(),
            tools.rsync_daemon(bench, place),
            tools.rsync_ssh(bench),
            tools.rsync_ssh(bench, "--fsync"),
            tools.scp(bench),
            tools.careful(bench),
            tools.careful_ssh(bench),
        ]

    title = f"{options.small_files:,} files of 0.2 to 16 KB"
    return Case("small", title, [small_files(options.small_files)], every, RSYNC_SSH, "point")


def growth(options):
    def every(bench, _place):
        return [tools.rsync_ssh(bench), tools.careful(bench)]

    points = [even_files(count, 1024) for count in options.growth]
    return Case("growth", "More and more files of 1 KB", points, every, RSYNC_SSH, "point")


def names(options):
    def every(bench, _place):
        return [
            tools.rsync_local(),
            tools.rsync_ssh(bench),
            tools.careful(bench, "--quick"),
            tools.careful(bench),
        ]

    point = even_files(options.names, 64)
    point.fill = copy_with_times
    title = f"A tree of {options.names:,} names, nothing to do"
    return Case("names", title, [point], every, RSYNC_LOCAL, "point", one_target=True)


def again(options):
    def every(bench, place):
        return [
            tools.rsync_local(),
            tools.rsync_daemon(bench, place),
            tools.rsync_ssh(bench),
            tools.careful(bench, "--quick"),
            tools.careful(bench),
        ]

    point = small_files(options.small_files)
    point.fill = copy_with_times
    title = f"The same {options.small_files:,} files once more, nothing to do"
    return Case("again", title, [point], every, RSYNC_LOCAL, "point", one_target=True)


def changed(options):
    def every(bench, _place):
        return [
            tools.rsync_ssh(bench),
            tools.rsync_ssh(bench, "--inplace"),
            tools.careful(bench),
            tools.careful(bench, *figures.SMALL_CHUNKS.split()),
        ]

    length_bytes = options.big_mib * MIB
    share = length_bytes // 100
    one = [(length_bytes // 3 + ODD_BYTES, share)]
    # As much again, in pieces that begin and end anywhere.
    step = length_bytes // CHANGED_REGIONS
    many = [(number * step + ODD_BYTES, share // CHANGED_REGIONS) for number in range(CHANGED_REGIONS)]
    points = []
    for label, regions in ((figures.ONE_REGION, one), (f"{CHANGED_REGIONS} regions", many)):
        point = big_file(options.big_mib)
        point.label = label
        point.changed_bytes = sum(length for _, length in regions)
        point.fill = old_version(regions)
        points.append(point)
    title = f"1 % of a file of {options.big_mib} MiB changed in place"
    return Case("changed", title, points, every, RSYNC_SSH, "run")


# Sources


def big_file(mib):
    def make(path):
        support.need_space(path.parent, mib * MIB)
        support.random_file(path, mib * MIB, seed=1)

    return Point(f"{mib} MiB", make, 1, mib * MIB)


def small_files(count):
    def make(path):
        support.random_files(path, count, 200, 16_000, seed=2)

    # The mean length: exact enough for what is derived from it.
    return Point(f"{count:,} files", make, count, count * 8_100)


def even_files(count, length_bytes):
    directories = max(1, count // FILES_PER_DIRECTORY)

    def make(path):
        support.random_files(path, count, length_bytes, length_bytes, seed=3, directories=directories)

    return Point(f"{count:,}", make, count, count * length_bytes)


# Targets


def copy_with_times(source, target):
    """The target has everything already."""
    subprocess.run(["cp", "-a", source, target], check=True)


def old_version(regions):
    """The target has the file as it was before some regions of it changed."""

    def fill(source, target):
        copy = target / source.name
        shutil.copyfile(source, copy)
        generator = random.Random(4)
        with open(copy, "r+b") as file:
            for start, length in regions:
                file.seek(start)
                file.write(generator.randbytes(length))
        hour_ago = source.stat().st_mtime - 3600
        os.utime(copy, (hour_ago, hour_ago))

    return fill
