# SPDX-License-Identifier: MIT
"""What tests/conformance/run makes of two runs: a test that passes when it is run again alone is unsteady, not passed."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "conformance"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    loader = importlib.machinery.SourceFileLoader("conformance_run", str(FOLDER / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("conformance_run", loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "passes_alone", lambda program, method, test, name: test != "A.never")
    return module


def a_run(outcomes):
    done = {test: {"test": test, "outcome": outcome, "why": "", "calls": 1} for test, outcome in outcomes.items()}
    return done, {"outside": [], "calls": len(done)}


def judge(harness, failing):
    tests = [f"A.test_{number}" for number in range(9)] + ["A.never"]
    standard = a_run(dict.fromkeys(tests, "passed"))
    ours = a_run({test: "failed" if test in failing else "passed" for test in tests})
    python = SimpleNamespace(version="3.0")
    findings, remarks = harness.compare(python, "fork", None, standard, ours)
    return findings, remarks, harness.row(python, "fork", "tutti", *ours, 1.0)


def test_a_few_unsteady_tests_are_named_and_not_counted_as_passed(harness):
    findings, remarks, row = judge(harness, ["A.test_1", "A.test_2", "A.test_3"])
    assert findings == []
    assert [line.split()[1] for line in remarks] == ["A.test_1", "A.test_2", "A.test_3"]
    assert (row["run"], row["passed"], row["failed"], row["unsteady"]) == (10, 7, 0, 3)


def test_more_of_them_are_a_failure(harness):
    findings, _, row = judge(harness, [f"A.test_{number}" for number in range(4)])
    assert len(findings) == 1 and "4 tests are unsteady" in findings[0] and "A.test_3" in findings[0]
    assert row["unsteady"] == 4


def test_what_fails_again_has_failed(harness):
    findings, _, row = judge(harness, ["A.never"])
    assert len(findings) == 1 and findings[0].startswith("A.never failed")
    assert (row["passed"], row["failed"], row["unsteady"]) == (9, 1, 0)
