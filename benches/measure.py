"""Runs the tools of a case in turn and keeps everything that was seen of every run.

Within each repetition every tool runs once, and each repetition begins with another one, so that whatever changes
meanwhile meets them all. Of each run two times are taken: until the program ended, and until a sync of the target's
file system after it, when the data are safe whatever the tool did about that. Every copy is compared with its source.
"""

import json
import shutil
import time
from dataclasses import dataclass

import disk
import support
import tools
from support import say

# ext4 gives out inodes slowly for five seconds after they were deleted: no run may begin within them.
AFTER_DELETING_SECONDS = 6


@dataclass
class Measurement:
    """A case while it is measured."""

    case: object
    bench: object
    options: object
    place: object
    failures: list
    begun: dict
    """What is kept of its first repetitions, or nothing."""

    def run(self):
        """Everything that is to be kept of the case."""
        case = self.case
        listed = case.tools(self.bench, self.place)
        here, absent = tools.those_that_work(listed, self.place)
        machine = support.machine_facts(self.place)
        runs, limits = list(self.begun.get("runs", [])), dict(self.begun.get("limits", {}))
        for number, point in enumerate(case.points):
            say(f"{case.title}, {point.label}: making it")
            place = self.place / f"point-{number}"
            place.mkdir()
            source = place / "source"
            point.make(source)
            runs += self.measure_point(point, place, source, here, limits.setdefault(point.label, []))
            delete(place, self.options)
        return {
            "case": case.name,
            "title": case.title,
            "baseline": case.baseline,
            "tools": [tool.name for tool in listed],
            "absent": absent,
            "machine": machine,
            "versions": tools.versions(self.bench.careful),
            "limits": limits,
            "points": [described(point) for point in case.points],
            "runs": runs,
        }

    def measure_point(self, point, place, source, here, limits):
        """Its further runs; what the disk alone takes in each repetition is added to the limits."""
        case, results = self.case, []
        shared = None
        if case.one_target:
            shared = place / "target"
            shared.mkdir()
            point.fill(source, shared / source.name)
        for repetition in range(repetitions(self.begun), self.options.runs):
            if not case.one_target:
                limits.append(disk.limits(place, point.content_bytes))
            made = []
            shift = repetition % len(here)
            for tool in here[shift:] + here[:shift]:
                target = shared or place / f"{repetition}-{tool.folder}"
                if not shared:
                    support.need_space(place, point.content_bytes)
                    target.mkdir()
                    if point.fill:
                        point.fill(source, target)
                    made.append(target)
                result = self.measure_once(tool, point, source, target)
                results.append({"tool": tool.name, "point": point.label, "repetition": repetition, **result})
                if case.rest == "run":
                    delete(made.pop(), self.options)
            if case.rest == "repetition":
                for target in made:
                    shutil.rmtree(target)
                rest_after_deleting(place, self.options)
        return results

    def measure_once(self, tool, point, source, target):
        undo = tool.prepare(source) if tool.prepare else None
        # A checked transfer reads its source past the page cache, which may drop it there: each tool finds it cached.
        support.read_once(source)
        support.sync_file_system(target)
        time.sleep(self.options.pause)
        support.touch_memory(point.content_bytes)
        run = tool.run(source, target)
        tool.wait_for_servers()
        if undo:
            undo()
        problems = support.differences(source, target / source.name)
        if run.exit != 0:
            problems.insert(0, f"exit code {run.exit}: {run.last_words()}")
        if problems:
            self.failures.append(f"{tool.name}: {problems[0]} ({len(problems)} in all)")
        wrong = "  WRONG" if problems else ""
        say(f"  {point.label}, {tool.name}: {run.seconds:.2f} s, synced {run.seconds_synced:.2f} s{wrong}")
        return {
            "seconds": round(run.seconds, 4),
            "seconds_synced": round(run.seconds_synced, 4),
            "cpu_seconds": round(run.cpu_seconds, 2),
            "peak_mib": run.peak_mib,
            "sent_bytes": None if problems else tool.sent_bytes(run),
            "proof": proof(tool, run),
            "problems": problems[:10],
        }


def repetitions(kept):
    """How many times each tool ran already."""
    return 1 + max((run["repetition"] for run in kept.get("runs", [])), default=-1)


def proof(tool, run):
    """What careful-send says that it proved."""
    if tool.kind != "careful" or not run.output.strip():
        return None
    summary = json.loads(run.output.strip().splitlines()[-1])
    return {word: summary.get(word) for word in ("origin", "stored", "durable")}


def described(point):
    return {
        "label": point.label,
        "files": point.files,
        "content_bytes": point.content_bytes,
        "changed_bytes": point.changed_bytes,
    }


def delete(path, options):
    """Removes a tree, and lets the file system come to rest."""
    shutil.rmtree(path)
    rest_after_deleting(path.parent, options)


def rest_after_deleting(place, options):
    support.sync_file_system(place)
    time.sleep(min(AFTER_DELETING_SECONDS, 3 * options.pause))
