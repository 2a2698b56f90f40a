# SPDX-License-Identifier: MIT
"""ProcessPoolExecutor where it does not do what the standard one does: the tests of CPython that it fails (docs/
conformance.md), answered; and where it does, though a pool does not."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import threading
import weakref
from concurrent.futures import process as standard

import pool_children as children
import pytest
from support import SOON, until

import tutti
from tutti.futures import ProcessPoolExecutor, WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


def still_works(executor):
    return executor.submit(children.square, 3).result(SOON) == 9


# --- what one failure costs -----------------------------------------------------------------------------------


def test_a_call_that_does_not_unpickle_fails_alone(executor):
    other = executor.submit(children.square, 2)
    with pytest.raises(pickle.UnpicklingError, match="on arrival"):
        executor.submit(children.same, children.Unreadable(pickle.UnpicklingError, "on arrival")).result(SOON)
    with pytest.raises(WorkerDied):  # nothing of it could run, and its worker has left
        executor.submit(children.same, children.Unreadable(SystemExit, 3)).result(SOON)
    assert other.result(SOON) == 4 and still_works(executor)


@pytest.mark.parametrize("kind", [pickle.UnpicklingError, SystemExit])
def test_a_result_that_does_not_unpickle_fails_alone(executor, kind):
    other = executor.submit(children.square, 2)
    future = executor.submit(children.Unreadable, kind, 3)
    with pytest.raises(kind) as caught:
        future.result(SOON)
    assert caught.value.args == (3,) and future.done()
    assert other.result(SOON) == 4 and still_works(executor)


def test_a_call_that_does_not_pickle_before_a_shutdown_without_waiting():
    executor = ProcessPoolExecutor(2, fork)
    assert still_works(executor)
    workers = list(executor._processes.values())
    future = executor.submit(children.same, children.Unsendable(pickle.PicklingError, "stays here"))
    executor.shutdown(wait=False)
    with pytest.raises(pickle.PicklingError, match="stays here"):
        future.result(SOON)
    until(lambda: not any(worker.is_alive() for worker in workers))
    until(lambda: not any(thread.name == "tutti-shutdown" for thread in threading.enumerate()))


def test_calls_run_where_no_thread_can_be_started(ctx, monkeypatch):
    """As in a finalizing interpreter. The standard executor needs a second thread, and breaks without."""

    def refuse(*arguments, **keywords):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with ProcessPoolExecutor(2, ctx) as executor:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert list(executor.map(children.square, range(10))) == [x * x for x in range(10)]
        assert still_works(executor)
    monkeypatch.undo()


# --- failures, as concurrent.futures has them -----------------------------------------------------------------


def test_a_call_that_does_not_pickle_is_its_futures_failure(executor):
    for kind in (pickle.PicklingError, ValueError):
        future = executor.submit(children.same, children.Unsendable(kind, "stays here"))
        assert isinstance(future.exception(SOON), kind) and future.done() and not future.cancel()
    assert isinstance(executor.submit(5).exception(SOON), TypeError)
    assert still_works(executor)


@pytest.mark.parametrize("kind", [pickle.PicklingError, SystemExit])
def test_a_result_that_does_not_pickle_fails_with_its_own_exception(executor, kind):
    assert type(executor.submit(children.Unsendable, kind, 3).exception(SOON)) is kind
    assert still_works(executor)


def test_exceptions_that_are_no_exception_leave_the_worker():
    with ProcessPoolExecutor(1, fork) as executor:
        pid = executor.submit(children.pid_of).result(SOON)
        for function, kind in ((children.raise_base_exception, children.Leaving), (children.exit_with, SystemExit)):
            assert type(executor.submit(function, 3).exception(SOON)) is kind
        assert executor.submit(children.pid_of).result(SOON) == pid


def test_the_cause_of_a_failure(executor):
    cause = executor.submit(children.refuse, 1).exception(SOON).__cause__
    assert type(cause) is standard._RemoteTraceback and "in refuse" in cause.tb


def test_a_failing_initializer_is_logged_and_breaks_the_executor(capfd):
    with ProcessPoolExecutor(1, tutti.get_context("spawn"), children.refuse_to_start, ("no such table",)) as executor:
        assert executor._broken is False
        with pytest.raises(standard.BrokenProcessPool):
            executor.submit(children.square, 2).result(SOON)
        until(lambda: executor._broken)
        assert "no such table" in executor._broken
        with pytest.raises(standard.BrokenProcessPool):
            executor.submit(children.square, 2)
    assert "Exception in initializer:" in capfd.readouterr().err


# --- workers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_starts_for_a_call_that_finds_no_idle_one(method, go):
    with ProcessPoolExecutor(3, tutti.get_context(method)) as executor:
        assert executor._processes == {}
        for _ in range(3):
            assert still_works(executor)
        assert len(executor._processes) == 1
        waiting = [executor.submit(children.wait_for, go, 0)]
        until(waiting[0].running)  # one that is just being taken may count as two
        waiting.append(executor.submit(children.wait_for, go, 1))
        started = len(executor._processes)
        waiting += [executor.submit(children.wait_for, go, number) for number in range(2, 6)]
        full = len(executor._processes)
        go.set()
        assert (started, full) == (2, 3)
        assert [future.result(SOON) for future in waiting] == list(range(6))
        assert len(executor._processes) == 3


@pytest.mark.parametrize("inputs, count", [(range(2), 1), (range(5), 2), (iter(range(5)), 3)])
def test_workers_of_a_map(inputs, count):
    with ProcessPoolExecutor(3, tutti.get_context("forkserver")) as executor:
        results = executor.map(children.square, inputs, chunksize=3)
        assert len(executor._processes) == count
        assert sum(results) in (1, 30)


def test_a_worker_that_was_killed_is_replaced_where_they_start_on_demand():
    with ProcessPoolExecutor(3, tutti.get_context("forkserver")) as executor:
        with pytest.raises(WorkerDied):
            executor.submit(children.kill_itself).result(SOON)
        assert still_works(executor)
        assert len(executor._processes) == 1


def test_the_first_call_is_not_cancelled():
    """A worker is being started for it."""
    executor = ProcessPoolExecutor(2, fork)
    futures = [executor.submit(children.square, number) for number in range(50)]
    executor.shutdown(cancel_futures=True)
    assert futures[0].result(SOON) == 0 and all(future.done() for future in futures)


def test_limited_workers_are_not_forked_unless_by_tutti(ctx):
    with pytest.raises(ValueError, match="max_tasks_per_child"):
        ProcessPoolExecutor(1, multiprocessing.get_context("fork"), max_tasks_per_child=3)
    assert ProcessPoolExecutor(1, max_tasks_per_child=3)._mp_context.get_start_method() == "spawn"
    with ProcessPoolExecutor(1, ctx, max_tasks_per_child=2) as executor:
        pids = [executor.submit(children.pid_of).result(SOON) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_results_are_not_kept(executor):
    for value in executor.map(children.Number, range(5)):
        kept = weakref.ref(value)
        del value
        gc.collect()
        assert kept() is None
