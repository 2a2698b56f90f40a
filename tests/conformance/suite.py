# SPDX-License-Identifier: MIT
"""Runs inside a tree's interpreter: chosen tests of CPython's multiprocessing suite, one JSON line each.

Arguments: the start method, the file to append to, and then names of test classes, or of single tests as
Class.test, or of tests to leave out as -Class.test. Each test has a line when it begins and one when it has
ended, so that whoever started this knows which one it hangs or dies in. The last line has what is known only
at the end.
"""

import importlib
import json
import sys
import time
import unittest


class Record(unittest.TestResult):
    """Tells of each test as it goes. Failing subtests count as one failure of their test."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.calls = calls_into_tutti()

    def tell(self, **facts):
        self.file.write(json.dumps(facts) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.why, self.begun, self.calls = "passed", "", time.monotonic(), calls_into_tutti()
        self.tell(begins=name_of(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.tell(test=name_of(test), outcome=self.outcome, why=self.why, calls=calls_into_tutti() - self.calls,
                  seconds=round(time.monotonic() - self.begun, 2))

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


def name_of(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def calls_into_tutti():
    """How often this process has called into the extension; 0 where there is none."""
    extension = sys.modules.get("tutti._tutti")
    return extension.call_count() if extension else 0


def replaced():
    """Which names of the standard library's modules are Tutti's here."""
    found = []
    for module in ("synchronize", "queues", "connection", "pool"):
        names = vars(importlib.import_module("multiprocessing." + module))
        found += [f"{module}.{name}" for name, value in names.items()
                  if isinstance(value, type) and value.__module__.partition(".")[0] == "tutti"]
    return sorted(found)


def chosen(module, wanted):
    loader = unittest.TestLoader()
    left_out = {name[1:] for name in wanted if name.startswith("-")}
    for name in wanted:
        class_name, _, test = name.partition(".")
        kind = getattr(module, class_name, None)
        if kind is not None:  # an older Python has fewer
            tests = [kind(test)] if test else loader.loadTestsFromTestCase(kind)
            yield unittest.TestSuite(test for test in tests if name_of(test) not in left_out)


def main(method, path, *wanted):
    module = importlib.import_module(f"test.test_multiprocessing_{method}")
    with open(path, "a", encoding="utf-8") as file:
        result = Record(file)
        unittest.TestSuite(chosen(module, wanted)).run(result)
        support = importlib.import_module("test.support")
        result.tell(ended=True, altered=bool(support.environment_altered), replaced=replaced(),
                    calls=calls_into_tutti())


if __name__ == "__main__":
    main(*sys.argv[1:])
