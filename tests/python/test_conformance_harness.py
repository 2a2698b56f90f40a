# SPDX-License-Identifier: MIT
"""What tests/conformance makes of two runs: what differs fails, unless it is listed or passes when it is run again alone."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
MODULES = ("launch", "parts", "pythons", "tree", "verdict")


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("conformance_run", str(FOLDER / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("conformance_run", loader))
    loader.exec_module(module)
    rows = [module.verdict.Difference("A*.listed", "executor", "all", "because", "here.py", "test_it")]
    monkeypatch.setattr(module.verdict, "listed_differences", lambda: rows)
    yield module
    for name in MODULES:
        sys.modules.pop(name, None)


def a_run(harness, outcomes, calls=1, **whole):
    done = {test: {"test": test, "outcome": outcome, "why": "", "calls": calls} for test, outcome in outcomes.items()}
    return harness.Run(done, {"outside": [], **whole})


def again(test):
    return SimpleNamespace(done={test: {"outcome": "failed" if test == "A.never" else "passed"}})


TESTS = [f"A.test_{number}" for number in range(9)] + ["A.never", "Ab.listed"]


def judge(harness, failing, side="executor", outcome="failed", calls=1, **whole):
    standard = a_run(harness, dict.fromkeys(TESTS, "passed"))
    ours = a_run(harness, {test: outcome if test in failing else "passed" for test in TESTS}, calls, **whole)
    part = harness.parts(["concurrent_futures"])[0]
    findings, remarks = harness.verdict.compare(part, side, standard, ours, again)
    return findings, remarks, harness.figures(ours)


def test_a_few_unsteady_tests_are_named_and_not_counted_as_passed(harness):
    findings, remarks, row = judge(harness, ["A.test_1", "A.test_2", "A.test_3"])
    assert findings == []
    assert [line.split()[1] for line in remarks] == ["A.test_1", "A.test_2", "A.test_3"]
    assert (row["run"], row["passed"], row["failed"], row["unsteady"]) == (11, 8, 0, 3)


def test_more_of_them_are_a_failure(harness):
    findings, _, row = judge(harness, [f"A.test_{number}" for number in range(4)])
    assert len(findings) == 1 and "4 tests are unsteady" in findings[0] and "A.test_3" in findings[0]
    assert row["unsteady"] == 4


def test_what_fails_again_has_failed(harness):
    findings, _, row = judge(harness, ["A.never"])
    assert len(findings) == 1 and findings[0].startswith("A.never failed")
    assert (row["passed"], row["failed"], row["unsteady"]) == (10, 1, 0)


@pytest.mark.parametrize("outcome", ["hung", "died", "skipped"])
def test_a_hang_a_death_or_a_skip_is_not_run_again(harness, outcome):
    findings, _, _ = judge(harness, ["A.test_1"], outcome=outcome)
    assert len(findings) == 1 and findings[0].startswith(f"A.test_1 {outcome}")


def test_what_is_listed_differs_on_its_side_only(harness):
    findings, _, row = judge(harness, ["Ab.listed"])
    assert findings == [] and (row["listed"], row["passed"], row["failed"]) == (1, 10, 0)
    findings, _, _ = judge(harness, ["Ab.listed"], side="tutti", outcome="hung")
    assert len(findings) == 1


def test_a_run_of_the_standard_library_is_found_out(harness):
    findings, _, _ = judge(harness, [], calls=0)
    assert findings == ["not one call into the extension: this tested the standard library"]


def test_a_test_that_leaves_something_behind_is_named(harness):
    part, standard = harness.parts(["multiprocessing"])[0], a_run(harness, dict.fromkeys(TESTS, "passed"))
    for allowed in (False, True):
        ours = a_run(harness, dict.fromkeys(TESTS, "passed"))
        ours.done["A.never"]["altered"], standard.done["A.never"]["altered"] = True, allowed
        assert harness.verdict.odd_ones(ours.done) == ["A.never"]
        findings, _ = harness.verdict.compare(part, "tutti", standard, ours, again)
        assert findings == [] if allowed else findings == ["A.never left processes or threads behind"]


def test_what_is_left_behind_is_a_finding(harness):
    findings, _, _ = judge(harness, [], altered=True)
    assert len(findings) == 1 and "left behind" in findings[0]


def test_a_listed_difference_names_a_test_that_is_there(harness, tmp_path):
    rows = [harness.verdict.Difference("A.b", "executor", "all", "why", "tests/python/test_futures.py", name)
            for name in ("test_map", "test_no_such_test")]
    assert [bool(row.is_answered()) for row in rows] == [True, False]
