# SPDX-License-Identifier: MIT
"""What a call may be given with it: retry_on, memory, progress; and what is told of a dead worker's memory."""

from __future__ import annotations

import asyncio
import os
import pickle

import pool_children as children
import pytest
from support import SOON, still_works

import tutti
from tutti import _machine, _progress

pytestmark = pytest.mark.timeout(60)

MB = 1 << 20


# --- retries after exceptions ---------------------------------------------------------------------------------


def test_retry_on(pool, tmp_path):
    path = str(tmp_path / "calls")
    assert pool.apply(children.fail_until, (path, 3), retries=2, retry_on=ConnectionError) == 3


def test_no_more_often_than_retries(pool, tmp_path):
    path = str(tmp_path / "calls")
    with pytest.raises(ConnectionError, match="call 3"):
        pool.apply(children.fail_until, (path, 9), retries=2, retry_on=(OSError, ValueError))
    assert os.path.getsize(path) == 3


def test_other_exceptions_are_not_retried(pool, tmp_path):
    path = str(tmp_path / "calls")
    with pytest.raises(KeyError):
        pool.apply(children.fail_until, (path, 9, KeyError), retries=5, retry_on=ConnectionError)
    with pytest.raises(ConnectionError):
        pool.apply(children.fail_until, (path, 9), retries=5)
    assert os.path.getsize(path) == 2


def test_a_death_counts_as_one_of_the_retries(pool, tmp_path):
    path = str(tmp_path / "calls")
    with pytest.raises(ConnectionError):
        pool.apply(children.die_then_fail, (path,), retries=2, retry_on=ConnectionError)
    assert os.path.getsize(path) == 3


def test_retry_on_in_a_map_and_an_executor(pool, executor, tmp_path):
    path = str(tmp_path / "calls")
    assert pool.starmap(children.fail_until, [(path, 3)], retries=2, retry_on=ConnectionError) == [3]
    options = executor.options(retries=2, retry_on=ConnectionError)
    assert options.submit(children.fail_until, path, 6).result(SOON) == 6


@pytest.mark.parametrize("kinds", [1, "OSError", (OSError, 3), KeyboardInterrupt, [OSError]])
def test_retry_on_takes_exceptions_only(pool, kinds):
    with pytest.raises(TypeError, match="retry_on is a class of exceptions"):
        pool.apply(children.same, (1,), retries=1, retry_on=kinds)
    assert still_works(pool)


# --- memory ---------------------------------------------------------------------------------------------------


def test_a_call_that_takes_too_much_memory(pool):
    with pytest.raises(MemoryError, match=rf"allocate\(\) needed more than its memory={50 * MB} bytes"):
        pool.apply(children.allocate, (300 * MB,), memory=50 * MB)
    assert pool.apply(children.allocate, (20 * MB,), memory=50 * MB) == 20 * MB
    assert pool.apply(children.allocate, (100 * MB,)) == 100 * MB  # the limit went with its call


def test_memory_in_maps(pool, executor):
    results = pool.map(children.allocate, [MB, 300 * MB, MB], 1, memory=50 * MB, return_exceptions=True)
    assert results[0] == results[2] == MB and isinstance(results[1], MemoryError)
    with pytest.raises(MemoryError):
        executor.options(memory=50 * MB).submit(children.allocate, 300 * MB).result(SOON)


@pytest.mark.parametrize("memory", [0, -1, 1.5, "1 GB"])
def test_memory_is_a_number_of_bytes(pool, memory):
    with pytest.raises(ValueError, match="memory is a number of bytes above 0"):
        pool.apply(children.same, (1,), memory=memory)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_memory_of_a_dead_worker(method):
    """Of a child the system knows it; of the fork server's child it is what was seen last."""
    with tutti.get_context(method).Pool(1) as pool:
        with pytest.raises(tutti.WorkerDied) as caught:
            pool.apply(children.allocate_and_die, (120 * MB,))
    error = caught.value
    assert error.peak_memory is not None and f"{error.peak_memory / 1e6:.0f} MB in memory" in str(error)
    if method == "fork":
        assert error.peak_memory > 120 * MB
    assert pickle.loads(pickle.dumps(error)).peak_memory == error.peak_memory


def test_a_kill_for_want_of_memory_is_told(pool, monkeypatch):
    """The system's counter is put forward: to make it kill would take a whole machine's memory."""
    kills = _machine.count_memory_kills()
    monkeypatch.setattr(_machine, "count_memory_kills", lambda: kills + 1)
    with pytest.raises(tutti.WorkerDied, match="probably the out-of-memory killer"):
        pool.apply(children.kill_itself)
    with pytest.raises(tutti.WorkerDied) as caught:
        pool.apply(children.kill_itself)  # the counter has not risen again
    assert "out-of-memory" not in str(caught.value)


def test_an_own_exit_is_no_kill_for_memory(pool, monkeypatch):
    kills = _machine.count_memory_kills()
    monkeypatch.setattr(_machine, "count_memory_kills", lambda: kills + 1)
    with pytest.raises(tutti.WorkerDied) as caught:
        pool.apply(children.leave, (3,))
    assert "out-of-memory" not in str(caught.value)


# --- progress -------------------------------------------------------------------------------------------------


def test_a_function_is_told_the_progress(pool):
    told = []
    assert pool.map(children.square, range(4), 1, progress=lambda *news: told.append(news)) == [0, 1, 4, 9]
    assert told == [(done, 4) for done in range(1, 5)]


class Bar:
    """Takes the place of tqdm."""

    made: list[Bar] = []

    def __init__(self, total=None):
        self.total, self.done, self.closed = total, 0, False
        self.made.append(self)

    def update(self, count):
        self.done += count

    def close(self):
        self.closed = True


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_a_class_like_tqdm(pool, method):
    Bar.made.clear()
    results = getattr(pool, method)(children.square, list(range(10)), 3, progress=Bar)
    assert sorted(results) == [x * x for x in range(10)]
    (bar,) = Bar.made
    assert (bar.total, bar.done, bar.closed) == (10, 10, True)


def test_failures_are_progress(pool):
    told = []
    with pytest.raises(children.Refused):
        pool.map(children.refuse_if_odd, range(4), 1, progress=lambda done, total: told.append(done))
    assert told == [1, 2, 3, 4]
    results = pool.imap(children.refuse_if_odd, range(4), progress=lambda done, total: told.append(done))
    assert next(results) == 0
    with pytest.raises(children.Refused):
        next(results)
    assert results.next(SOON) == 2 and len(told) == 4 + 3


def test_an_iterator_has_no_total(pool):
    told = []
    list(pool.imap(children.square, (x for x in range(3)), progress=lambda *news: told.append(news)))
    assert told == [(1, None), (2, None), (3, None)]


def test_progress_in_an_async_for(pool):
    async def main():
        results = pool.imap(children.square, range(4), progress=Bar)
        return [value async for value in results]

    Bar.made.clear()
    assert asyncio.run(asyncio.wait_for(main(), SOON)) == [0, 1, 4, 9]
    (bar,) = Bar.made
    assert (bar.done, bar.closed) == (4, True)


def test_the_report_ends_with_inputs_that_raise(pool):
    def inputs():
        yield 1
        raise LookupError("no more")

    Bar.made.clear()
    results = pool.imap(children.square, inputs(), progress=Bar)
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)
    (bar,) = Bar.made
    assert (bar.done, bar.closed) == (1, True)


def test_without_tqdm_a_line_is_written(pool, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    assert pool.map(children.square, range(5), progress=True) == [0, 1, 4, 9, 16]
    assert capsys.readouterr().err.startswith("5/5 done, ")


@pytest.mark.parametrize("progress", [1.5, "yes", [1]])
def test_progress_of_another_kind(pool, progress):
    with pytest.raises(TypeError, match="progress is True, a class such as tqdm"):
        pool.map(children.square, range(3), progress=progress)
    assert still_works(pool)


def test_no_progress_where_nobody_looks_on(pool):
    with pytest.raises(TypeError, match="'progress'"):
        pool.map_async(children.square, range(3), progress=True)


def test_a_terminal_is_written_over(monkeypatch, capsys):
    line = _progress._Line(3)
    monkeypatch.setattr(line, "_shown", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line.update(1)
    line.close()
    assert capsys.readouterr().err.count("\r1/3 done") == 2
