# SPDX-License-Identifier: MIT
"""ProcessPoolExecutor: deaths of workers, bad arguments, and its end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError, as_completed
from concurrent.futures.process import BrokenProcessPool

import pool_children as children
import pytest
from support import SOON, script, until

import tutti
from tutti.futures import ProcessPoolExecutor, WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


# --- deaths ---------------------------------------------------------------------------------------------------


def test_a_death_breaks_one_future(executor):
    others = [executor.submit(children.square, number) for number in range(10)]
    victim = executor.submit(children.kill_itself)
    others += [executor.submit(children.square, number) for number in range(10)]
    with pytest.raises(BrokenProcessPool) as caught:
        victim.result(SOON)
    assert type(caught.value) is WorkerDied and caught.value.signal == signal.SIGKILL
    assert victim.exception() is caught.value and victim.done() and not victim.cancelled()
    assert [other.result(SOON) for other in others] == [x * x for x in range(10)] * 2
    assert executor.submit(children.square, 3).result(SOON) == 9
    with pytest.raises(WorkerDied):
        list(executor.map(children.kill_if_odd, range(4)))


def test_options(executor, tmp_path):
    path = str(tmp_path / "runs")
    assert executor.options(retries=1).submit(children.die_at_first, path, 5).result(SOON) == 5
    assert os.path.getsize(path) == 2
    error = executor.options(task_timeout=0.3).submit(children.hang).exception(SOON)
    assert type(error) is WorkerDied and "ran longer than 0.3 s" in str(error)
    path = str(tmp_path / "others")
    both = executor.options(retries=2, task_timeout=0.3)
    assert both.submit(children.hang_at_first, path, value=5).result(SOON) == 5
    with pytest.raises(TypeError):
        executor.options(wrong=1)


def test_an_initializer_that_raises(capfd):
    with ProcessPoolExecutor(2, fork, children.refuse_to_start, ("no such table",)) as executor:
        with pytest.raises(BrokenProcessPool, match="no such table"):
            executor.submit(children.square, 2).result(SOON)
        with pytest.raises(BrokenProcessPool, match="no such table"):
            executor.submit(children.square, 2).result(SOON)
    capfd.readouterr()


def test_initializers(ctx):
    with ProcessPoolExecutor(2, ctx, children.configure, ("set",), max_tasks_per_child=3) as executor:
        assert list(executor.map(children.configured, range(10))) == ["set"] * 10


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_contexts_of_the_standard_library(method):
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as executor:
        assert executor.submit(children.square, 3).result(SOON) == 9
        with pytest.raises(WorkerDied):
            executor.submit(children.leave, 7).result(SOON)
        assert list(executor.map(children.square, range(3))) == [0, 1, 4]


def test_arguments_that_cannot_be(executor):
    for error, options in (
        (ValueError, {"max_workers": 0}),
        (ValueError, {"max_workers": -1}),
        (TypeError, {"initializer": 5}),
        (TypeError, {"max_tasks_per_child": "two"}),
        (ValueError, {"max_tasks_per_child": 0}),
    ):
        with pytest.raises(error):
            ProcessPoolExecutor(**options)
    with pytest.raises(TypeError):
        executor.submit()
    for unsendable in ((x for x in ()), threading.Lock()):
        with pytest.raises((AttributeError, TypeError), match="cannot be pickled"):
            executor.submit(children.same, unsendable).result(SOON)
    assert executor.submit(children.square, 3).result(SOON) == 9


# --- the end --------------------------------------------------------------------------------------------------


def test_shutdown_waits(tmp_path):
    path = tmp_path / "runs"
    executor = ProcessPoolExecutor(2, fork)
    futures = [executor.submit(children.append, str(path)) for _ in range(30)]
    executor.shutdown()
    assert path.read_text() == "x" * 30 and all(future.done() for future in futures)
    for attempt in (
        lambda: executor.submit(children.square, 2),
        lambda: executor.map(children.square, [2]),
        lambda: executor.options(retries=1).submit(children.square, 2),
    ):
        with pytest.raises(RuntimeError, match="after shutdown"):
            attempt()
    executor.shutdown()


def test_shutdown_of_one_that_never_started():
    executor = ProcessPoolExecutor()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(children.square, 2)


def test_shutdown_without_waiting(go):
    executor = ProcessPoolExecutor(2, fork)
    futures = [executor.submit(children.wait_for, go, number) for number in range(10)]
    executor.shutdown(wait=False)
    assert not futures[0].done()
    with pytest.raises(RuntimeError):
        executor.submit(children.square, 2)
    go.set()
    assert [future.result(SOON) for future in futures] == list(range(10))


def test_shutdown_again_and_again(go):
    for _ in range(20):
        executor = ProcessPoolExecutor(1, fork)
        futures = [executor.submit(children.square, number) for number in range(5)]
        for wait_for_it in (False, False, True):
            executor.shutdown(wait=wait_for_it)
        assert [future.result(0) for future in futures] == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("wait_for_it", [True, False])
def test_shutdown_that_cancels(go, wait_for_it):
    executor = ProcessPoolExecutor(1, fork)
    running = executor.submit(children.wait_for, go, 5)
    until(running.running)
    waiting = [executor.submit(children.square, number) for number in range(5)]
    waiting[0].add_done_callback(lambda future: None)
    thread = threading.Thread(target=executor.shutdown, args=(wait_for_it,), kwargs={"cancel_futures": True})
    thread.start()
    until(lambda: all(future.cancelled() for future in waiting))
    assert not running.done()
    go.set()
    thread.join(SOON)
    assert running.result(SOON) == 5
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result(SOON)


@pytest.mark.parametrize("end, number", [("terminate_workers", signal.SIGTERM), ("kill_workers", signal.SIGKILL)])
def test_workers_are_ended(end, number):
    executor = ProcessPoolExecutor(2, fork)
    futures = [executor.submit(children.hang) for _ in range(4)]
    until(lambda: sum(future.running() for future in futures) == 2)
    getattr(executor, end)()
    errors = []
    for future in futures:
        try:
            errors.append(future.exception(SOON).signal)
        except CancelledError:
            errors.append("cancelled")
    assert sorted(errors, key=str) == [number, number, "cancelled", "cancelled"]
    with pytest.raises(RuntimeError):
        executor.submit(children.square, 2)
    getattr(executor, end)()
    executor.shutdown()
    getattr(ProcessPoolExecutor(1, fork), end)()


def test_an_executor_that_is_dropped(tmp_path):
    """What was submitted is run, and its workers end, without a warning."""
    path = tmp_path / "runs"
    executor = ProcessPoolExecutor(1, fork)
    for _ in range(5):
        executor.submit(children.append, str(path))
    workers = executor._started._pool
    del executor
    gc.collect()
    until(lambda: path.exists() and path.read_text() == "x" * 5)
    until(lambda: not any(worker.is_alive() for worker in workers))


@pytest.mark.parametrize("method, shutdown", [("fork", ""), ("spawn", ""), ("fork", "executor.shutdown(wait=False)")])
def test_the_interpreters_exit_runs_what_is_pending(tmp_path, method, shutdown):
    path = tmp_path / "runs"
    text = """
        from tutti import get_context
        from tutti.futures import ProcessPoolExecutor

        def append(path):
            with open(path, "a") as file:
                file.write("x")

        if __name__ == "__main__":
            executor = ProcessPoolExecutor(2, get_context(METHOD))
            for _ in range(30):
                executor.submit(append, PATH)
            executor.submit(append, PATH).add_done_callback(lambda future: print("called", future.exception()))
            SHUTDOWN
    """
    filled = text.replace("METHOD", repr(method)).replace("PATH", repr(str(path))).replace("SHUTDOWN", shutdown)
    assert script(tmp_path, filled) == "called None\n"
    assert path.read_text() == "x" * 31


def test_processes_forked_beside_an_executor_end(executor):
    """They inherit it, and it is none of theirs."""
    assert executor.submit(children.square, 3).result(SOON) == 9
    process = fork.Process(target=children.square, args=(3,))
    process.start()
    process.join(10)
    code = process.exitcode
    process.kill()
    process.join()
    process.close()
    assert code == 0
    with pytest.raises(WorkerDied):
        executor.submit(children.leave, 3).result(SOON)  # a worker that leaves, and one that is forked later
    assert executor.submit(children.square, 3).result(SOON) == 9


def test_executors_beside_each_other():
    with ProcessPoolExecutor(1, fork) as one, ProcessPoolExecutor(1, fork) as two:
        for number in range(3):
            assert one.submit(children.square, number).result(SOON) == number**2
            assert two.submit(children.square, number).result(SOON) == number**2


def test_many_threads_submit(executor):
    futures, failures = [], []

    def submit(start):
        try:
            futures.extend([executor.submit(children.square, number) for number in range(start, start + 50)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=submit, args=(50 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert failures == []
    assert sorted(future.result(SOON) for future in as_completed(futures, SOON)) == [x * x for x in range(300)]


INTERRUPTED = """
import os, signal, threading, time, tutti

def wait(seconds):
    time.sleep(seconds)

if __name__ == "__main__":
    begun = time.monotonic()
    executor = tutti.ProcessPoolExecutor(2, mp_context=tutti.get_context("fork"))
    try:
        with executor:
            futures = [executor.submit(wait, 0.2) for _ in range(500)]
            futures[0].result()
            {interrupt}
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - begun < 20, all(future.done() for future in futures))
"""


@pytest.mark.parametrize(
    "interrupt",
    [
        "os.kill(os.getpid(), signal.SIGINT)",  # in the block
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()",  # in the wait at its end
    ],
)
def test_an_interrupt_ends_the_executor_at_once(interrupt, tmp_path):
    assert script(tmp_path, INTERRUPTED.format(interrupt=interrupt)) == "interrupted True True\n"
