# SPDX-License-Identifier: MIT
"""What is run: parts, each a suite of CPython's for one start method, in a process of its own; and on which sides."""

from typing import NamedTuple

METHODS = ("fork", "spawn", "forkserver")

# The standard library alone; Tutti's classes in its place; tutti.ProcessPoolExecutor besides.
STANDARD, TUTTI, EXECUTOR = "standard", "tutti", "executor"
SIDES = {
    "multiprocessing": (STANDARD, TUTTI),
    "main_handling": (STANDARD, TUTTI),
    "concurrent_futures": (STANDARD, TUTTI, EXECUTOR),
}

# The modules that an interpreter must have for a suite; some are installed without.
MODULES = {
    "multiprocessing": "test._test_multiprocessing",
    "main_handling": "test.test_multiprocessing_main_handling",
    "concurrent_futures": "test.test_concurrent_futures",
}


class Part(NamedTuple):
    suite: str
    start: str  # "none": the tests that are for no start method

    def __str__(self):
        return f"{self.suite}/{self.start}"


def parts(suites):
    """Those that take long come first."""
    return [Part(suite, start) for suite in SIDES if suite in suites
            for start in (*METHODS, *(("none",) if suite == "concurrent_futures" else ()))]


# The classes that are about Tutti's own objects: each has to reach Tutti, the others may.
REACH_TUTTI = {
    "multiprocessing": {
        *("WithProcessesTest" + name for name in (
            "Lock", "Semaphore", "Condition", "Event", "Barrier", "Queue", "Connection", "Poll", "PicklingConnections",
            "Pool", "PoolWorkerErrors", "PoolWorkerLifetime")),
        "TestSimpleQueue", "TestWait",
    },
    "main_handling": {name + "CmdLineTest" for name in ("Fork", "Spawn", "ForkServer")},
    "concurrent_futures": {f"ProcessPool{start}{name}Test" for start in ("Fork", "Spawn", "Forkserver") for name in (
        "ProcessPoolExecutor", "ExecutorDeadlock", "ProcessPoolShutdown", "Wait", "AsCompleted", "Initializer")},
}
