# SPDX-License-Identifier: MIT
"""Runs inside a tree's interpreter: one part of CPython's tests, one JSON line for each.

Arguments: the suite, the start method, the file to append to, and then names of test classes, or of single tests as
Class.test (none: all of the part), or of tests to leave out as -Class.test. Each test has a line when it begins and one
when it has ended, so that whoever started this knows which one it hangs or dies in. The last line has what is known
only at the end.
"""

import gc
import importlib
import json
import os
import resource
import sys
import threading
import time
import unittest

PATIENCE = 10  # seconds for an executor to end
# How a class of tests says which start method it is for; one that does not say is for none of them.
SAYS_ITS_START = {"main_handling": "start_method", "concurrent_futures": "ctx"}


class Record(unittest.TestResult):
    """Tells of each test as it goes. Failing subtests count as one failure of their test."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def tell(self, **facts):
        self.file.write(json.dumps(facts) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.why, self.begun, self.calls = "passed", "", time.monotonic(), calls_into_tutti()
        self.threads = threading.active_count()
        self.tell(begins=name_of(test))

    def clear_up(self):
        """What a failed test has left open, in a cycle with its exception, is not to be the next one's trouble."""
        gc.collect()
        deadline = time.monotonic() + PATIENCE
        while threading.active_count() > self.threads and time.monotonic() < deadline:
            time.sleep(0.01)

    def stopTest(self, test):
        super().stopTest(test)
        if self.outcome == "failed":
            self.clear_up()
        self.tell(test=name_of(test), outcome=self.outcome, why=self.why, calls=calls_into_tutti() - self.calls,
                  seconds=round(time.monotonic() - self.begun, 2), altered=has_altered())

    def failed(self, test, error):
        self.outcome, self.why = "failed", self._exc_info_to_string(error, test)
        if not isinstance(test, unittest.TestCase) or not hasattr(test, "_testMethodName"):
            self.tell(outside=str(test), why=self.why)  # setUpClass, tearDownModule

    def addError(self, test, err):
        self.failed(test, err)

    def addFailure(self, test, err):
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed(test, err)

    def addUnexpectedSuccess(self, test):
        self.outcome, self.why = "failed", "unexpected success"

    def addSkip(self, test, reason):
        self.outcome, self.why = "skipped", reason
        if not hasattr(test, "_testMethodName"):
            self.tell(outside=str(test), why="skipped: " + reason)


def has_altered():
    """Whether processes or threads were left behind since this was asked."""
    support = importlib.import_module("test.support")
    altered, support.environment_altered = bool(support.environment_altered), False
    return altered


def name_of(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def calls_into_tutti():
    """How often this process has called into the extension, and the interpreters that it started and that have ended."""
    extension = sys.modules.get("tutti._tutti")
    count = extension.call_count() if extension else 0
    left = os.environ["TUTTI_CONFORMANCE_CALLS"]
    if os.path.exists(left):
        with open(left, encoding="ascii") as file:
            count += sum(map(int, file))
    return count


# --- which tests ----------------------------------------------------------------------------------------------

def each_test(tests):
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def of_suite(suite, start):
    """The tests of a suite that are for this start method."""
    if suite == "multiprocessing":
        return each_test(unittest.defaultTestLoader.loadTestsFromName(f"test.test_multiprocessing_{start}"))
    name = {"main_handling": "test_multiprocessing_main_handling"}.get(suite, "test_concurrent_futures")
    tests = each_test(unittest.defaultTestLoader.loadTestsFromName("test." + name))
    return (test for test in tests if getattr(test, SAYS_ITS_START[suite], "none") == start)


def chosen(tests, wanted):
    left_out = {name[1:] for name in wanted if name.startswith("-")}
    named = {name for name in wanted if not name.startswith("-")}
    for test in tests:
        name = name_of(test)
        if name not in left_out and (not named or name in named or type(test).__name__ in named):
            yield test


def processor_time():
    """Seconds of this process and its children that have been waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(suite, start, path, *wanted):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # some tests crash a child
    tests = unittest.TestSuite(chosen(of_suite(suite, start), wanted))
    with open(path, "a", encoding="utf-8") as file:
        result = Record(file)
        tests.run(result)
        result.tell(ended=True, altered=has_altered(), processor=processor_time())


if __name__ == "__main__":
    main(*sys.argv[1:])
