# SPDX-License-Identifier: MIT
"""Pools whose workers are killed: it costs the task that ran there, and nothing else."""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import random
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool

import pool_children as children
import pytest
from support import SOON, script, until

import tutti
from tutti import _workers
from tutti.pool import WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


def died(result):
    with pytest.raises(WorkerDied) as caught:
        result.get(SOON)
    return caught.value


# --- what a death costs ---------------------------------------------------------------------------------------


def test_a_killed_worker_fails_its_task_alone(pool):
    started, go = fork.Semaphore(0), fork.Event()
    others = [pool.apply_async(children.count_and_wait, (started, go))]
    assert started.acquire(timeout=SOON)
    victim = pool.apply_async(children.kill_itself)
    others += [pool.apply_async(children.square, (number,)) for number in range(20)]
    error = died(victim)
    go.set()
    assert others[0].get(SOON) > 0
    assert [other.get(SOON) for other in others[1:]] == [x * x for x in range(20)]
    assert isinstance(error, BrokenProcessPool) and isinstance(error, BrokenExecutor) and isinstance(error, RuntimeError)
    assert (error.task, error.signal, error.exitcode) == ("kill_itself", signal.SIGKILL, None)
    assert error.pid not in (os.getpid(), *[worker.pid for worker in pool._pool]) and str(error.pid) in str(error)
    assert "kill_itself" in str(error) and "SIGKILL" in str(error)
    assert victim.ready() and not victim.successful()


def test_the_error_survives_pickle(pool):
    for error in (died(pool.apply_async(children.kill_itself)), died(pool.apply_async(children.leave, (7,)))):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is WorkerDied and vars(copy) == vars(error) and str(copy) == str(error)


@pytest.mark.parametrize("function, argument, code", [(children.leave, 7, 7), (children.leave, 0, 0), (children.exit_with, 3, 3)])
def test_a_worker_that_leaves_in_its_task(pool, function, argument, code):
    error = died(pool.apply_async(function, (argument,)))
    assert (error.task, error.signal, error.exitcode) == (function.__name__, None, code)
    assert f"exit code {code}" in str(error)
    assert pool.map(children.square, range(5)) == [0, 1, 4, 9, 16]


def test_a_worker_that_crashes(pool):
    error = died(pool.apply_async(children.crash))
    assert error.signal == signal.SIGSEGV and "SIGSEGV" in str(error)
    assert pool.apply(children.square, (3,)) == 9


def test_killed_from_outside(pool):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
        ready = fork.Event()
        result = pool.apply_async(children.hang_and_tell, (ready,))
        assert ready.wait(SOON)
        pids = [worker.pid for worker in pool._pool]
        os.kill(pids[0], number)
        os.kill(pids[1], number)
        error = died(result)
        assert error.signal == number and error.pid in pids
    assert pool.apply(children.square, (3,)) == 9


def test_the_names_in_errors(pool):
    number = children.Number(3)
    assert died(pool.apply_async(number.kill, ())).task == "Number.kill"
    assert died(pool.apply_async(children.Killer())).task == "Killer"


@pytest.mark.parametrize("chunksize", [1, 2])
def test_a_death_in_map(pool, chunksize):
    values = pool.map(children.kill_if_odd, [0, 2, 3, 5, 6, 8], chunksize, return_exceptions=True)
    assert values[:2] + values[4:] == [0, 2, 6, 8] and all(type(value) is WorkerDied for value in values[2:4])
    with pytest.raises(WorkerDied):
        pool.map(children.kill_if_odd, range(4), chunksize)
    seen = []
    results = pool.imap(children.kill_if_odd, [0, 2, 3, 5, 6, 8], chunksize)
    for _ in range(6):
        try:
            seen.append(results.next(SOON))
        except WorkerDied:
            seen.append(None)
    assert seen == [0, 2, None, None, 6, 8]


def test_an_error_callback_is_told_of_a_death(pool):
    errors = []
    pool.apply_async(children.kill_itself, error_callback=errors.append)
    until(lambda: errors)
    assert type(errors[0]) is WorkerDied


# --- workers that do nothing ----------------------------------------------------------------------------------


def test_idle_workers_killed(pool):
    for _ in range(3):
        assert pool.map(children.square, range(4)) == [0, 1, 4, 9]
        children.kill_all([pool._pool[0].pid])
        assert [pool.apply_async(children.square, (number,)).get(SOON) for number in range(8)] == [x * x for x in range(8)]
        children.kill_all([worker.pid for worker in pool._pool])
        assert pool.map(children.square, range(4), 1) == [0, 1, 4, 9]


def test_all_workers_killed_at_once_in_their_tasks():
    with fork.Pool(4) as pool:
        started, go = fork.Semaphore(0), fork.Event()
        results = [pool.apply_async(children.count_and_wait, (started, go)) for _ in range(4)]
        later = [pool.apply_async(children.square, (number,)) for number in range(20)]
        assert all(started.acquire(timeout=SOON) for _ in range(4))
        children.kill_all([worker.pid for worker in pool._pool])
        assert {died(result).signal for result in results} == {signal.SIGKILL}
        assert [result.get(SOON) for result in later] == [x * x for x in range(20)]


def test_a_stopped_worker_that_is_killed(pool):
    pids = [worker.pid for worker in pool._pool]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    results = [pool.apply_async(children.square, (number,)) for number in range(10)]
    children.kill_all(pids)
    values = []
    for number, result in enumerate(results):
        try:
            values.append(result.get(SOON) == number * number)
        except WorkerDied:
            values.append(None)
    assert values.count(None) <= 2 and values.count(True) >= 8


def test_a_worker_that_cannot_be_started(pool, monkeypatch):
    """The system may refuse a process for a while: nobody waits for ever, and the pool recovers."""
    start, refusals = fork.Process.start, []

    def refuse(process):
        if len(refusals) < 2:
            refusals.append(process)
            raise BlockingIOError("no more processes")
        start(process)

    monkeypatch.setattr(fork.Process, "start", refuse)
    children.kill_all([worker.pid for worker in pool._pool])
    outcomes = []
    for number in range(10):
        try:
            outcomes.append(pool.apply_async(children.square, (number,)).get(5))
        except (OSError, tutti.Error) as error:
            outcomes.append(error)
    assert len(refusals) == 2 and outcomes[-3:] == [49, 64, 81]
    until(lambda: pool.apply(children.square, (2,)) == 4 and len(pool._pool) == 2)


# --- running again --------------------------------------------------------------------------------------------


def test_a_killed_task_runs_again(pool, tmp_path):
    path = str(tmp_path / "runs")
    assert pool.apply_async(children.die_at_first, (path, "value"), retries=1).get(SOON) == "value"
    assert os.path.getsize(path) == 2


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_it_runs_so_often(pool, tmp_path, retries):
    path = str(tmp_path / "runs")
    error = died(pool.apply_async(children.die_always, (path,), retries=retries))
    assert os.path.getsize(path) == retries + 1
    assert f"run {retries + 1} time" in str(error)


def test_an_exception_is_not_run_again(pool, tmp_path):
    path = str(tmp_path / "runs")
    with pytest.raises(children.Refused):
        pool.apply_async(children.append_and_refuse, (path,), retries=5).get(SOON)
    assert os.path.getsize(path) == 1


def test_running_again_in_map(pool, tmp_path):
    jobs = [(str(tmp_path / str(number)), number) for number in range(6)]
    assert pool.starmap(children.die_at_first, jobs, 1, retries=1) == list(range(6))
    jobs = [(str(tmp_path / f"other {number}"), number) for number in range(6)]
    assert list(pool.imap(children.die_at_first_of, jobs, retries=1)) == list(range(6))
    assert all(os.path.getsize(path) == 2 for path, _ in jobs)


def test_a_hundred_random_kills():
    kills, tasks = 100, 20  # so many of each kill
    runs = mmap.mmap(-1, kills * tasks)  # a byte for each
    chance = random.Random(7)
    results = []
    with fork.Pool(3, children.keep, (runs,)) as pool:
        for _ in range(kills):
            first = len(results)
            results += [pool.apply_async(children.counted_square, (first + n,), retries=20) for n in range(tasks)]
            results[first + chance.randrange(tasks)].wait(0.05)
            until(lambda: results[first].wait(0.001) or any(worker.is_alive() for worker in pool._pool))
            chance.choice([worker for worker in pool._pool if worker.is_alive()]).kill()
        assert [result.get(SOON) for result in results] == [(number, number**2) for number in range(kills * tasks)]
        assert pool.map(children.square, range(10)) == [x * x for x in range(10)]
    counts = runs[:]
    runs.close()
    assert min(counts) >= 1 and sum(counts) > kills * tasks, "no kill hit a task"


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_kills_while_results_are_read(method):
    count, stop = 400, threading.Event()
    with fork.Pool(2) as pool:

        def kill():
            while not stop.wait(0.03):
                workers = pool._pool
                if workers:  # else all are being replaced
                    random.choice(workers).kill()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            results = list(getattr(pool, method)(children.slow_square, range(count), 5, retries=50))
        finally:
            stop.set()
            thread.join()
    assert sorted(results) == [(number, number * number) for number in range(count)]
    assert method == "imap_unordered" or results == sorted(results)


# --- limits of time -------------------------------------------------------------------------------------------


def test_a_task_that_runs_too_long(pool):
    result = pool.apply_async(children.hang, task_timeout=0.3)
    others = [pool.apply_async(children.square, (number,), task_timeout=30) for number in range(20)]
    assert [other.get(SOON) for other in others] == [x * x for x in range(20)]
    error = died(result)
    assert "ran longer than 0.3 s" in str(error) and error.task == "hang" and error.signal == signal.SIGKILL
    assert pool.map(children.square, range(4)) == [0, 1, 4, 9]


def test_too_long_and_again(pool, tmp_path):
    path = str(tmp_path / "runs")
    assert pool.apply_async(children.hang_at_first, (path, 5), task_timeout=0.3, retries=1).get(SOON) == 5
    assert os.path.getsize(path) == 2


def test_too_long_in_map(pool):
    values = pool.map(children.hang_if_odd, [0, 1, 2], 1, task_timeout=0.3, return_exceptions=True)
    assert values[::2] == [0, 2] and "ran longer" in str(values[1])
    values = list(pool.imap(children.hang_if_odd, iter([0, 1, 2]), task_timeout=0.3, return_exceptions=True))
    assert values[::2] == [0, 2] and "ran longer" in str(values[1])


def test_the_time_in_the_queue_does_not_count(pool):
    go = fork.Event()
    blockers = [pool.apply_async(children.wait_for, (go,)) for _ in range(2)]
    result = pool.apply_async(children.square, (3,), task_timeout=0.5)
    end = time.monotonic() + 1
    until(lambda: time.monotonic() > end or result.ready())
    assert not result.ready()
    go.set()
    assert result.get(SOON) == 9 and [blocker.get(SOON) for blocker in blockers] == [None, None]


@pytest.mark.parametrize("task_timeout", [0, -1, float("nan")])
def test_limits_that_cannot_be(pool, task_timeout):
    with pytest.raises(ValueError):
        pool.apply_async(children.square, (2,), task_timeout=task_timeout)
    with pytest.raises(ValueError):
        pool.map(children.square, [2], task_timeout=task_timeout)


def test_retries_that_cannot_be(pool):
    for submit in (pool.apply_async, lambda function, arguments, **options: pool.map(function, arguments, **options)):
        with pytest.raises((OverflowError, ValueError)):
            submit(children.square, (2,), retries=-1)
        with pytest.raises(TypeError):
            submit(children.square, (2,), retries="two")
    with pytest.raises(TypeError, match="wrong"):
        pool.map(children.square, [2], wrong=1)
    assert pool.apply_async(children.square, (2,), retries=2**40).get(SOON) == 4


# --- the end --------------------------------------------------------------------------------------------------


def test_workers_that_ignore_sigterm_are_killed(monkeypatch):
    monkeypatch.setattr(_workers, "_PATIENCE", 1.0)
    pool = fork.Pool(6, children.ignore_sigterm)
    started, go = fork.Semaphore(0), fork.Event()
    results = [pool.apply_async(children.count_and_wait, (started, go)) for _ in range(6)]
    assert all(started.acquire(timeout=SOON) for _ in range(6))
    start = time.monotonic()
    pool.terminate()
    assert time.monotonic() - start < 4, "each of them was waited for in turn"
    assert {died(result).signal for result in results} == {signal.SIGKILL}


def test_an_owner_that_is_killed_takes_its_idle_workers_along(tmp_path):
    output = script(
        tmp_path,
        """
        import os, signal, subprocess, sys, tutti

        if __name__ == "__main__":
            pid = os.fork()
            if pid == 0:
                pool = tutti.get_context("fork").Pool(2)
                pool.map(len, ["four"] * 4)
                print(*[worker.pid for worker in pool._pool], flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(pid, 0)
        """,
    )
    pids = [int(pid) for pid in output.split()]
    assert len(pids) == 2
    until(lambda: not any(children.alive(pid) for pid in pids))


def test_deaths_leave_nothing_in_the_arena():
    before = children.live_blocks()
    with fork.Pool(2) as pool:
        for _ in range(10):
            results = [pool.apply_async(children.kill_if_odd, (number,)) for number in range(6)]
            for result in results[1::2]:
                died(result)
            assert [result.get(SOON) for result in results[::2]] == [0, 2, 4]
        del results, result
        until(lambda: (pool.apply(children.same), children.live_blocks())[1] < before + 30)
    gc.collect()  # an exception that was caught refers to its result, by the frames of its traceback
    until(lambda: children.live_blocks() == before)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_an_owner_that_is_killed_takes_its_busy_workers_along(method, tmp_path):
    output = script(
        tmp_path,
        f"""
        import os, signal, subprocess, sys, time
        import tutti

        def alive(pid):
            try:
                with open(f"/proc/{{pid}}/stat") as file:
                    return file.read().rpartition(")")[2].split()[0] != "Z"
            except FileNotFoundError:
                return False

        def compute(queue):
            queue.put(os.getpid())
            while True:
                sum(range(1000))

        def own(queue):
            pool = tutti.get_context({method!r}).Pool(2)
            pool.map(compute, [queue] * 2, 1)

        if __name__ == "__main__":
            queue = tutti.SimpleQueue()
            owner = tutti.get_context("fork").Process(target=own, args=(queue,))
            owner.start()
            pids = [queue.get() for _ in range(2)]
            owner.kill()
            owner.join()
            end = time.monotonic() + 20
            while any(map(alive, pids)) and time.monotonic() < end:
                time.sleep(0.01)
            print(any(map(alive, pids)))
        """,
    )
    assert output == "False\n"
