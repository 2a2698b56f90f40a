# SPDX-License-Identifier: MIT
"""Runs a part of the suites in a tree's interpreter, in a session of its own. What hangs is killed and named."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "conformance"
SUITE = Path(__file__).with_name("suite.py")
SILENCE = 90  # seconds without a word from the suite: the test hangs

_running = set()


def stop(*_):
    for process in _running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(143)


class Run(NamedTuple):
    done: dict  # what each test did: {name: facts}
    whole: dict  # what is known of all: outside, altered, processor (seconds)
    seconds: float = 0


def _lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _wait_or_kill(process, path):
    """Waits for the suite; after a long silence it and all that it has started are killed. Says whether they were."""
    size, heard = -1, time.monotonic()
    while process.poll() is None:
        now_size = path.stat().st_size if path.exists() else 0
        if now_size != size:
            size, heard = now_size, time.monotonic()
        if time.monotonic() - heard > SILENCE:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.1)
    return False


def _once(program, part, path, output, wanted):
    """Runs what is wanted; says why it ended, if it hung or died."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "TUTTI_CONFORMANCE_CALLS": str(path.with_suffix(".calls"))}
    process = subprocess.Popen([program, SUITE, *part, path, *wanted], stdin=subprocess.DEVNULL, stdout=output,
                               stderr=output, cwd=WORK, start_new_session=True, env=environment)
    _running.add(process)
    hung = _wait_or_kill(process, path)
    _running.discard(process)
    return ("hung", f"no word for {SILENCE} s") if hung else ("died", f"the interpreter ended with {process.returncode}")


def run_part(program, part, wanted, name):
    """The Run of a part. A test that hangs or dies costs itself: the others are run."""
    path = WORK / f"{name}-{part.suite}-{part.start}.jsonl"
    log, begun = path.with_suffix(".log"), time.monotonic()
    for old in (path, path.with_suffix(".calls")):
        old.unlink(missing_ok=True)
    done, outside, last = {}, [], {}
    with open(log, "wb") as output:
        while "ended" not in last:
            known = len(done)
            outcome, why = _once(program, part, path, output, [*wanted, *("-" + test for test in done)])
            lines = _lines_of(path)
            done.update((line["test"], line) for line in lines if "test" in line)
            last = lines[-1] if lines else {}
            begun_ones = [line["begins"] for line in lines if "begins" in line and line["begins"] not in done]
            if begun_ones:
                done[begun_ones[-1]] = {"test": begun_ones[-1], "outcome": outcome, "why": why, "calls": 0}
            elif "ended" not in last or outcome == "hung":  # between two tests, or at its exit
                outside.append({"outside": "the run", "why": f"{why}, see {log}"})
            if len(done) == known:
                break
    outside += [line for line in lines if "outside" in line]
    whole = {"outside": outside, "altered": last.get("altered"), "processor": last.get("processor", 0)}
    return Run(done, whole, time.monotonic() - begun)
