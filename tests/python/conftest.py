# SPDX-License-Identifier: MIT
"""What all tests share: the start methods, and a count of everything that a test might leave behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from multiprocessing import forkserver

import pool_children as children
import pytest
from process_children import nothing
from support import until

import tutti
from tutti import _tutti

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(params=METHODS)
def ctx(request):
    """Each start method's context."""
    return tutti.get_context(request.param)


@pytest.fixture(scope="session", autouse=True)
def helpers():
    """What is started once and kept: the resource tracker, the fork servers (the standard library's and ours), a heap."""
    kept = tutti.RawValue("q")
    forkserver.ensure_running()
    for method in METHODS:
        process = tutti.get_context(method).Process(target=nothing)
        process.start()
        process.join()
        process.close()
    yield kept


def descriptors() -> dict[str, str]:
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[entry] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            pass  # that of the listing itself
    return found


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def in_use() -> dict[str, object]:
    """Everything of this process and its arena that must be the same before and after a test."""
    gc.collect()
    _tutti._settle_forks()
    _tutti._arena_sweep()
    usage = _tutti._arena_usage()
    return {
        "live blocks": usage["live_blocks"],
        "members": usage["members"],
        "descriptors": descriptors(),
        "threads": threads(),
        "Python threads": threading.active_count(),
        "children": len(multiprocessing.active_children()),
    }


@pytest.fixture(autouse=True)
def leaks(helpers):
    """Fails a test that leaves anything behind: exactly, after what is on its way has arrived."""
    before = in_use()
    yield
    deadline = time.monotonic() + 5
    while (after := in_use()) != before and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert after == before


# --- pools ----------------------------------------------------------------------------------------------------

fork = tutti.get_context("fork")


@pytest.fixture
def pool():
    with fork.Pool(2) as pool:
        yield pool


@pytest.fixture
def executor():
    with tutti.ProcessPoolExecutor(2, mp_context=fork) as executor:
        yield executor


@pytest.fixture
def go():
    """Holds calls up until it is set, at the test's end at the latest."""
    gate = children.Gate(fork.Event())
    yield gate
    gate.set()
    del gate.event  # a fixture's value lives longer than the test


@pytest.fixture
def busy(go, executor):
    """An executor whose two workers run something until `go` is set."""
    running = [executor.submit(children.wait_for, go, number) for number in range(2)]
    until(lambda: all(future.running() for future in running))
    yield executor
    go.set()
