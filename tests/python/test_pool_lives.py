# SPDX-License-Identifier: MIT
"""Pools: their workers, their end, and each start method."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pool_children as children
import pytest
from support import SOON, script, until

import tutti
from tutti import _machine
from tutti import pool as pools

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


# --- its workers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 4])
def test_each_worker_is_initialized(processes):
    log = fork.Queue()
    with fork.Pool(processes, children.configure, ("set", log)) as pool:
        pids = {log.get(timeout=SOON) for _ in range(processes)}
        assert pool.map(children.configured, range(20), 1) == ["set"] * 20
        assert pids == {worker.pid for worker in pool._pool} and log.empty()


def test_so_many_calls_for_each_worker():
    log = fork.Queue()
    with fork.Pool(2, children.configure, (5, log), maxtasksperchild=3) as pool:
        results = [pool.apply_async(children.pid_of) for _ in range(30)]
        pids = [result.get(SOON) for result in results]
        assert pool.apply(children.configured) == 5
    counts = [pids.count(pid) for pid in set(pids)]
    assert max(counts) <= 3 and len(counts) >= 10
    assert log.qsize() >= 10


def test_default_number_of_workers():
    with fork.Pool() as pool:
        assert 1 <= len(pool._pool) <= len(os.sched_getaffinity(0))
        assert pool.apply(children.square, (2,)) == 4


def test_a_call_may_make_a_pool_of_its_own(pool):
    assert pool.apply_async(children.nested, (4,)).get(SOON) == [0, 1, 4, 9]


# --- the end --------------------------------------------------------------------------------------------------


def test_close_and_join_run_what_was_submitted(tmp_path):
    path = tmp_path / "runs"
    pool = fork.Pool(2)
    results = [pool.apply_async(children.append, (str(path),)) for _ in range(20)]
    mapped = pool.map_async(children.append, [str(path)] * 20, 3)
    pool.close()
    pool.join()
    assert path.read_text() == "x" * 40
    assert [result.get(0) for result in results] == ["x"] * 20 and mapped.get(0) == ["x"] * 20
    pool.join()
    pool.close()
    pool.terminate()


@pytest.mark.parametrize("options", [{}, {"buffersize": 2}, {"chunksize": 4}], ids=repr)
def test_join_runs_what_imap_has_left_unread(tmp_path, options):
    path = tmp_path / "runs"
    pool = fork.Pool(2)
    results = pool.imap(children.append, (str(path) for _ in range(100)), **options)
    assert next(results) == "x"
    pool.close()
    pool.join()
    assert path.read_text() == "x" * 100
    assert list(results) == ["x"] * 99


def test_join_runs_what_nobody_holds(tmp_path):
    path = tmp_path / "runs"
    pool = fork.Pool(2)
    pool.imap_unordered(children.append, (str(path) for _ in range(50)), buffersize=3)
    pool.map_async(children.append, [str(path)] * 50)
    pool.close()
    pool.join()
    assert path.read_text() == "x" * 100


def test_leaving_the_block_terminates():
    go = fork.Event()
    with fork.Pool(2) as pool:
        workers = pool._pool
        results = [pool.apply_async(children.wait_for, (go,)) for _ in range(6)]
        until(lambda: sum(result._has_started() for result in results) == 2)
    assert all(not worker.is_alive() for worker in workers)
    outcomes = []
    for result in results:
        with pytest.raises(Exception) as caught:
            result.get(SOON)
        outcomes.append(caught.type.__name__)
    assert sorted(outcomes) == ["CancelledError"] * 4 + ["WorkerDied"] * 2
    with pytest.raises(ValueError, match="not running"):
        pool.__enter__()


def test_terminate_wakes_those_who_wait():
    pool = fork.Pool(1)
    outcomes = []

    def wait(result):
        try:
            outcomes.append(result.get(SOON))
        except Exception as error:
            outcomes.append(type(error).__name__)

    results = [pool.apply_async(children.hang), pool.apply_async(children.hang), pool.map_async(children.hang, [1])]
    until(results[0]._has_started)
    threads = [threading.Thread(target=wait, args=(result,)) for result in results]
    for thread in threads:
        thread.start()
    pool.terminate()
    for thread in threads:
        thread.join(SOON)
    assert sorted(outcomes) == ["CancelledError", "CancelledError", "WorkerDied"]


def test_terminate_while_another_thread_joins():
    for _ in range(10):
        pool = fork.Pool(1)
        result = pool.apply_async(children.hang)
        until(result._has_started)
        pool.close()
        thread = threading.Thread(target=pool.join)
        thread.start()
        pool.terminate()
        thread.join(SOON)
        assert not thread.is_alive()
        with pytest.raises(tutti.pool.WorkerDied):
            result.get(SOON)


def test_two_threads_join():
    for _ in range(10):
        pool = fork.Pool(1)
        go, failures = fork.Event(), []

        def join(pool=pool, failures=failures):
            try:
                pool.join()
            except BaseException as error:
                failures.append(error)

        result = pool.apply_async(children.wait_for, (go, 5))
        pool.close()
        threads = [threading.Thread(target=join) for _ in range(3)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(SOON)
        assert not any(thread.is_alive() for thread in threads) and failures == []
        assert result.get(SOON) == 5


def test_several_pools_at_once():
    with fork.Pool(1, name="one") as one, fork.Pool(2, name="two") as two, fork.Pool(1) as three:
        results = [pool.map_async(children.square, range(20)) for pool in (one, two, three) * 3]
        assert [result.get(SOON) for result in results] == [[x * x for x in range(20)]] * 9
        assert "pool_size=2" in repr(two) and "RUN" in repr(two)


def test_many_threads_use_one_pool(pool):
    failures = []

    def use(start):
        try:
            for number in range(start, start + 50):
                assert pool.apply(children.square, (number,)) == number * number
            assert pool.map(children.square, range(start, start + 50)) == [x * x for x in range(start, start + 50)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(100 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert failures == [] and not any(thread.is_alive() for thread in threads)


# --- other start methods --------------------------------------------------------------------------------------


def try_everything(pool):
    assert pool.apply(children.add, (1,), {"b": 2}) == 3
    assert pool.map(children.square, range(20)) == [x * x for x in range(20)]
    assert pool.starmap(children.add, [(1, 2), (3, 4)]) == [3, 7]
    assert list(pool.imap(children.square, iter(range(20)), 3)) == [x * x for x in range(20)]
    assert sorted(pool.imap_unordered(children.square, range(5))) == [0, 1, 4, 9, 16]
    assert pool.map(children.configured, range(4), 1) == ["set"] * 4
    with pytest.raises(children.Refused):
        pool.apply(children.refuse, (1,))
    with pytest.raises(pools.WorkerDied):
        pool.apply(children.kill_itself)
    assert pool.map(children.configured, range(4), 1) == ["set"] * 4


def test_every_start_method(ctx):
    with ctx.Pool(2, children.configure, ("set",)) as pool:
        try_everything(pool)
        pool.close()
        pool.join()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_contexts_of_the_standard_library(method):
    with pools.Pool(2, children.configure, ("set",), context=multiprocessing.get_context(method)) as pool:
        try_everything(pool)


def test_shared_objects_in_arguments(ctx):
    queue, lock, value = ctx.Queue(), ctx.Lock(), ctx.Value("i", 0)
    with ctx.Pool(2, children.keep, (value,)) as pool:
        pool.starmap(children.put_into, [(queue, x) for x in range(10)])
        pool.starmap(children.increase_kept, [(lock, 50)] * 4, chunksize=1)
        assert sorted(queue.get(timeout=SOON)[1] for _ in range(10)) == list(range(10))
        assert pool.apply(children.same, (queue,)).qsize() == 0
        assert value.value == 200


def test_large_arrays():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10 * 2**20 // 8, dtype="f8").reshape(1024, -1)
    with fork.Pool(2) as pool:
        twice = pool.apply_async(children.twice_as_big, (array,)).get(SOON)
        assert twice.nbytes == 10 * 2**20 and numpy.array_equal(twice, array * 2)
        for result in pool.imap(children.twice_as_big, (array + number for number in range(4)), buffersize=2):
            assert result.shape == array.shape
        made = pool.map(children.array_of, [10**6, 3], 1)
        assert numpy.array_equal(made[0], numpy.arange(10**6)) and made[1].tolist() == [0, 1, 2]


def test_the_module_has_what_multiprocessing_has():
    standard = multiprocessing.pool
    assert all(hasattr(pools, name) for name in ("Pool", "ThreadPool", "AsyncResult", "MapResult", "IMapIterator", "RUN"))
    assert pools.ThreadPool is standard.ThreadPool and pools.MaybeEncodingError is standard.MaybeEncodingError
    with tutti.Pool(1) as pool:
        assert isinstance(pool, pools.Pool) and pool.apply(children.square, (3,)) == 9
    assert pools.AsyncResult[int].__origin__ is pools.AsyncResult


def test_a_program_that_ends_with_an_open_pool(tmp_path):
    output = script(
        tmp_path,
        """
        import threading, tutti

        def wait(path):
            threading.Event().wait()

        if __name__ == "__main__":
            pool = tutti.get_context("fork").Pool(2)
            print(pool.apply(len, ("four",)))
            result = pool.apply_async(wait, (1,))
        """,
        "-Wignore::ResourceWarning",
    )
    assert output == "4\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_program_that_has_its_children_reaped_by_itself(tmp_path, method):
    """Nobody can tell then how a worker ended; that it has is enough for its pool's end."""
    text = """
        import signal
        import tutti

        if __name__ == "__main__":
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            context = tutti.get_context(METHOD)
            with context.Pool(2) as pool:
                print(pool.map(abs, [-1, 2]))
                pool.close()
                pool.join()
            with tutti.ProcessPoolExecutor(2, context) as executor:
                print(executor.submit(abs, -3).result())
    """
    assert script(tmp_path, text.replace("METHOD", repr(method))) == "[1, 2]\n3\n"


# --- how many -------------------------------------------------------------------------------------------------


def test_the_default_size_knows_quotas_and_the_most_there_can_be(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(1000)), raising=False)
    monkeypatch.setattr(_machine, "_control_groups", lambda: [str(tmp_path / "outer/inner"), str(tmp_path / "outer"), str(tmp_path)])
    (tmp_path / "outer/inner").mkdir(parents=True)
    assert _machine.default_count() == 256
    (tmp_path / "outer/inner/cpu.max").write_text("max 100000\n")
    (tmp_path / "outer/cpu.max").write_text("250000 100000\n")
    assert _machine.default_count() == 3  # of the group above, rounded up
    (tmp_path / "outer/inner/cpu.max").write_text("50000 100000\n")
    assert _machine.default_count() == 1
    (tmp_path / "outer/inner/cpu.max").write_text("nonsense")
    assert _machine.default_count() == 3


def test_control_groups_are_this_processs_and_those_above():
    groups = _machine._control_groups()
    assert groups[-1] == "/sys/fs/cgroup" and all(inner.startswith(outer) for inner, outer in zip(groups, groups[1:]))
