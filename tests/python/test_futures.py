# SPDX-License-Identifier: MIT
"""ProcessPoolExecutor: what those of concurrent.futures do, and what a worker's death costs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import sys
import threading
import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, as_completed, wait
from concurrent.futures.process import _RemoteTraceback

import pool_children as children
import pytest
from support import SOON, until

import tutti
from tutti.futures import ProcessPoolExecutor, WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")
TimedOut = concurrent.futures.TimeoutError


# --- futures --------------------------------------------------------------------------------------------------


def test_submit_and_result(executor):
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(children.add, 1, 2, more=3)
    assert isinstance(future, concurrent.futures.Future)
    assert [future.result(SOON), future.result(timeout=0), future.exception(SOON)] == [6, 6, None]
    assert (future.done(), future.running(), future.cancelled(), future.cancel()) == (True, False, False, False)
    assert executor.submit(children.pid_of).result(SOON) != os.getpid()


def test_a_future_that_fails(executor):
    future = executor.submit(children.refuse, 5)
    error = future.exception(SOON)
    assert type(error) is children.Refused and error.number == 5
    with pytest.raises(children.Refused) as caught:
        future.result(SOON)
    assert caught.value is error and isinstance(error.__cause__, _RemoteTraceback) and "in refuse" in str(error.__cause__)
    assert (future.done(), future.running(), future.cancelled(), future.cancel()) == (True, False, False, False)


def test_a_future_that_is_not_done(busy, go):
    future = busy.submit(children.wait_for, go, 5)
    for timeout in (0, 0.02, -1):
        with pytest.raises(TimedOut):
            future.result(timeout)
        with pytest.raises(TimedOut):
            future.exception(timeout=timeout)
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    go.set()
    assert future.result(SOON) == 5


@pytest.mark.parametrize("made", [False, True], ids=["as a task", "as a full future"])
def test_cancel(busy, go, tmp_path, made):
    path = tmp_path / "runs"
    future, running = busy.submit(children.append, str(path)), busy.submit(children.square, 3)
    calls = []
    if made:
        future.add_done_callback(calls.append)
    assert future.cancel() and future.cancelled() and future.done() and not future.running()
    assert future.cancel()
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask(SOON)
    go.set()
    assert running.result(SOON) == 9 and not path.exists()
    assert calls == [future] * made


def test_what_runs_cannot_be_cancelled(executor, go):
    future = executor.submit(children.wait_for, go, 5)
    until(future.running)
    assert not future.cancel() and not future.cancelled() and not future.done()
    go.set()
    assert future.result(SOON) == 5 and not future.running()


def test_done_callbacks(executor, go, monkeypatch):
    calls, reported = [], []
    logger = logging.getLogger("concurrent.futures")
    monkeypatch.setattr(logger, "exception", lambda *arguments: reported.append(str(sys.exc_info()[1])))

    def fail(future):
        calls.append("raised")
        raise Exception("a callback's own")

    future = executor.submit(children.wait_for, go, 5)
    future.add_done_callback(lambda done: calls.append(done.result()))
    future.add_done_callback(fail)
    future.add_done_callback(lambda done: calls.append(done is future))
    assert calls == []
    go.set()
    assert future.result(SOON) == 5
    until(lambda: len(calls) == 3)
    assert calls == [5, "raised", True]
    future.add_done_callback(lambda done: calls.append("at once"))
    assert calls[3:] == ["at once"]
    assert reported == ["a callback's own"]


def test_done_callbacks_of_every_end(executor, go):
    outcomes = []

    def note(future):
        outcomes.append("cancelled" if future.cancelled() else type(future.exception()).__name__)

    for function in (children.refuse, children.square, children.kill_itself):
        executor.submit(function, 2).add_done_callback(note)
    until(lambda: len(outcomes) == 3)
    assert sorted(outcomes) == ["NoneType", "Refused", "WorkerDied"]


def test_a_callback_that_was_added_before_result_returns(executor):
    for _ in range(50):
        calls = []
        future = executor.submit(children.square, 3)
        future.add_done_callback(calls.append)
        assert future.result(SOON) == 9
        until(lambda calls=calls: calls)
        assert calls == [calls[0]] and calls[0].done()


def test_a_future_in_many_threads(executor, go):
    future, seen = executor.submit(children.wait_for, go, 5), []
    uses = [
        lambda: seen.append(future.result(SOON)),
        lambda: seen.append(wait([future], SOON).done.pop().result()),
        lambda: seen.append(next(as_completed([future], SOON)).result()),
        lambda: future.add_done_callback(lambda done: seen.append(done.result())),
    ]
    threads = [threading.Thread(target=use) for use in uses * 5]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(SOON)
    until(lambda: len(seen) == 20)
    assert seen == [5] * 20


def test_what_a_future_shows(busy):
    future = busy.submit(children.square, 2)
    assert "pending" in repr(future) and "Future" in repr(future)
    future.cancel()
    assert "cancelled" in repr(future)


# --- wait, as_completed, asyncio ------------------------------------------------------------------------------


def test_wait(executor, go):
    late = [executor.submit(children.wait_for, go, number) for number in range(1)]
    early = [executor.submit(children.square, number) for number in range(5)]
    done, pending = wait(early + late, timeout=0)
    assert late[0] in pending and done | pending == {*early, *late}
    done, pending = wait(early + late, SOON, FIRST_COMPLETED)
    assert done and done <= set(early)
    assert wait(early, SOON, ALL_COMPLETED) == (set(early), set())
    failed = executor.submit(children.refuse, 1)
    done, pending = wait([failed, *late], SOON, FIRST_EXCEPTION)
    assert (done, pending) == ({failed}, set(late))
    go.set()
    assert wait([*early, *late, failed], SOON).not_done == set()


def test_as_completed(executor, go):
    late = executor.submit(children.wait_for, go, "late")
    early = [executor.submit(children.square, number) for number in range(10)]
    seen = []
    for future in as_completed([late, *early], SOON):
        seen.append(future.result())
        if len(seen) == 10:
            assert "late" not in seen
            go.set()
    assert seen[10:] == ["late"] and sorted(seen[:10]) == [x * x for x in range(10)]
    go.clear()
    with pytest.raises(TimedOut):
        list(as_completed([executor.submit(children.wait_for, go, 1)], 0.05))


def test_short_calls_are_told_of_while_a_long_one_runs(executor, go):
    late = executor.submit(children.wait_for, go)
    late.add_done_callback(lambda future: None)
    start = time.monotonic()
    for number in range(100):
        future = executor.submit(children.slow_square, number)
        assert wait([future], SOON).done == {future}
    assert time.monotonic() - start < 8, "each waited for a pause of the thread that tells"


def test_a_short_call_beside_very_many_long_ones(go):
    with ProcessPoolExecutor(66, mp_context=fork) as executor:
        late = [executor.submit(children.wait_for, go) for _ in range(65)]
        for future in late:
            future.add_done_callback(lambda done: None)
        early, told = executor.submit(children.slow_square, 3), threading.Event()
        early.add_done_callback(lambda done: told.set())
        try:
            assert told.wait(5), "only the oldest calls are looked at"
        finally:
            go.set()


def test_asyncio(executor):
    async def use():
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, children.square, number) for number in range(50)]
        assert await asyncio.wait_for(asyncio.gather(*calls), SOON) == [x * x for x in range(50)]
        with pytest.raises(children.Refused):
            await asyncio.wait_for(loop.run_in_executor(executor, children.refuse, 1), SOON)
        with pytest.raises(WorkerDied):
            await asyncio.wait_for(loop.run_in_executor(executor, children.kill_itself), SOON)
        assert await asyncio.wait_for(asyncio.wrap_future(executor.submit(children.square, 9)), SOON) == 81

    asyncio.run(use())


def test_asyncio_cancels(busy, go, tmp_path):
    path = tmp_path / "runs"

    async def use():
        call = asyncio.get_running_loop().run_in_executor(busy, children.append, str(path))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(use())
    go.set()
    assert busy.submit(children.square, 3).result(SOON) == 9 and not path.exists()


# --- map ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map(executor, chunksize):
    assert list(executor.map(children.square, range(20), chunksize=chunksize)) == [x * x for x in range(20)]
    assert list(executor.map(children.add, range(5), iter(range(9)), chunksize=chunksize)) == [0, 2, 4, 6, 8]
    assert list(executor.map(children.square, [], chunksize=chunksize)) == []
    assert list(executor.map(children.square, range(20), timeout=SOON, chunksize=chunksize)) == [x * x for x in range(20)]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_ends_at_the_first_failure(executor, chunksize):
    results = executor.map(children.refuse_if_odd, range(8), chunksize=chunksize)
    assert next(results) == 0
    with pytest.raises(children.Refused) as caught:
        next(results)
    assert caught.value.number == 1
    with pytest.raises(StopIteration):
        next(results)


def test_map_in_time_or_not(executor, go):
    results = executor.map(children.wait_for, [go] * 2, timeout=0.1)
    with pytest.raises(TimedOut):
        list(results)
    go.set()
    assert executor.submit(children.square, 3).result(SOON) == 9


def test_map_submits_at_once(executor, tmp_path):
    path = tmp_path / "runs"
    results = executor.map(children.append, [str(path)] * 10)
    until(lambda: path.exists() and len(path.read_text()) == 10)
    assert list(results) == ["x"] * 10


@pytest.mark.parametrize("chunksize, buffersize", [(1, 1), (1, 4), (3, 9)])
def test_map_takes_inputs_when_they_are_needed(executor, chunksize, buffersize):
    taken, seen, most = 0, 0, 0

    def inputs():
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for number, value in enumerate(executor.map(children.square, inputs(), chunksize=chunksize, buffersize=buffersize)):
        most = max(most, taken - seen)
        assert value == number * number
        seen += 1
    assert seen == 50 and 0 < most <= buffersize


def test_map_that_is_given_up(busy, go, tmp_path):
    path = tmp_path / "runs"
    results = busy.map(children.wait_and_append, [go] * 10, [str(path)] * 10)
    with pytest.raises(TimedOut):
        next(busy.map(children.wait_and_append, [go], [str(path)], timeout=0.05))
    results.close()  # a generator that has not begun
    go.set()
    assert busy.submit(children.square, 3).result(SOON) == 9


def test_map_with_bad_input(executor):
    for error, options in (
        (ValueError, {"chunksize": 0}),
        (ValueError, {"chunksize": -1}),
        (ValueError, {"buffersize": 0}),
        (TypeError, {"buffersize": 1.5}),
    ):
        with pytest.raises(error):
            executor.map(children.square, [1], **options)
    with pytest.raises(TypeError):
        executor.map(children.square, 5)

    def half_way():
        yield 1
        raise children.Refused(1, "half way")

    with pytest.raises(children.Refused, match="half way"):
        list(executor.map(children.square, half_way()))
    with pytest.raises(TypeError, match="cannot be pickled"):
        list(executor.map(children.same, [1, threading.Lock()]))


@pytest.mark.parametrize("chunksize", [1, 2])
def test_stop_iteration_of_a_task_does_not_end_map_in_silence(executor, chunksize):
    results, seen = executor.map(children.raise_stop_iteration, range(5), chunksize=chunksize), []
    with pytest.raises(RuntimeError, match="StopIteration"):
        for value in results:
            seen.append(value)
    assert seen == [0, 1]
