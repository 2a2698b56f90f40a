# SPDX-License-Identifier: MIT
"""What two runs of a part, the standard library's and Tutti's, come to: findings, which fail, and remarks.

A test that passes with the standard library and not with Tutti is a finding, unless docs/conformance.md lists it with a
reason, or it passes each time when it is run again alone.
"""

import fnmatch
import functools
import re
from collections import Counter
from typing import NamedTuple

from launch import ROOT
from parts import METHODS, REACH_TUTTI

REPEATS = 3  # a test that differs is run again so often, alone
MOST_UNSTEADY = 3  # tests of one part that failed once and then passed alone; more of them are a failure
ROW = re.compile(r"^\| `([\w.*]+)` \| (\w+) \| (\w+) \| (.+) \| `([\w./]+)::(\w+)` \|$", re.MULTILINE)


class Difference(NamedTuple):
    """A row of the table in docs/conformance.md: a test that differs."""

    test: str  # * stands for the start method in a class's name
    side: str
    start: str  # or all
    reason: str
    file: str  # our own test of what happens instead
    name: str

    def covers(self, side, part, test):
        starts = (*METHODS, "none") if self.start == "all" else (self.start,)
        return side == self.side and part.start in starts and fnmatch.fnmatchcase(test, self.test)

    def is_answered(self):
        path = ROOT / self.file
        return path.exists() and re.search(rf"^def {self.name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)


@functools.lru_cache
def listed_differences():
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    return [Difference(*row) for row in ROW.findall(text)]


def unanswered():
    """Rows of the table that promise a test of our own that is not there."""
    return [f"docs/conformance.md: {row.test} is answered by {row.file}::{row.name}, which is not there"
            for row in listed_differences() if not row.is_answered()]


# --- comparing ------------------------------------------------------------------------------------------------

def last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def odd_ones(done):
    """The tests of which it matters what the standard library does with them."""
    return [test for test, facts in done.items() if facts["outcome"] != "passed" or facts.get("altered")]


def differing(standard, ours):
    return [test for test, facts in standard.items()
            if facts["outcome"] == "passed" and ours.get(test, {"outcome": "not run"})["outcome"] != "passed"]


def passes_alone(test, again):
    return all(again(test).done.get(test, {}).get("outcome") == "passed" for _ in range(REPEATS))


def untouched(part, done):
    """The classes that are about Tutti's own objects and yet never called into it."""
    calls = Counter()
    for test, facts in done.items():
        calls[test.partition(".")[0]] += facts["calls"]
    return sorted(name for name in REACH_TUTTI[part.suite] & set(calls) if not calls[name])


def about_the_whole(part, standard, ours):
    if not ours.done:
        yield "not one test was run"
    if not any(facts["calls"] for facts in ours.done.values()):
        yield "not one call into the extension: this tested the standard library"
    yield from (f"{name} never called into the extension" for name in untouched(part, ours.done))
    yield from (f"{line['outside']}: {last_line(line['why'])}" for line in ours.whole["outside"]
                if line not in standard.whole["outside"] and not line["why"].startswith("skipped"))
    if ours.whole.get("altered") and not standard.whole.get("altered"):
        yield "processes or threads were left behind"
    yield from (f"{test} left processes or threads behind" for test, facts in ours.done.items()
                if facts.get("altered") and facts["outcome"] != "listed" and not standard.done.get(test, {}).get("altered"))


def compare(part, side, standard, ours, again):
    """The findings that make this part fail, and remarks. `again(test)` runs one test alone.

    Notes in `ours` what has become of the tests that differ.
    """
    findings, remarks, unsteady = [], [], []
    for test in differing(standard.done, ours.done):
        facts = ours.done.setdefault(test, {"outcome": "not run", "why": "", "calls": 0})
        if any(row.covers(side, part, test) for row in listed_differences()):
            facts["outcome"] = "listed"
        elif facts["outcome"] == "failed" and passes_alone(test, again):
            facts["outcome"] = "unsteady"
            unsteady.append(test)
            remarks.append(f"unsteady: {test} ({part}, {side}) failed once, then passed {REPEATS} times alone")
        else:
            findings.append(f"{test} {facts['outcome']}: {last_line(facts['why'])}")
    if len(unsteady) > MOST_UNSTEADY:
        findings.append(f"{len(unsteady)} tests are unsteady, of which {MOST_UNSTEADY} may be: {', '.join(unsteady)}")
    return findings + list(about_the_whole(part, standard, ours)), remarks
