# SPDX-License-Identifier: MIT
"""Pools whose tasks, initializers, callbacks and inputs misbehave: it costs them, and nobody else."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import threading
import time

import hostile_children as hostile
import pool_children as children
import pytest
from support import SOON, still_works, until

import tutti
from tutti import _workers
from tutti.pool import MaybeEncodingError, WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


def outcome(pool, function, *arguments):
    """What a call comes to; others before and after it must not notice."""
    before = [pool.apply_async(children.square, (number,)) for number in range(8)]
    result = pool.apply_async(function, arguments)
    after = [pool.apply_async(children.square, (number,)) for number in range(8)]
    try:
        value = result.get(SOON)
    except Exception as error:
        value = error
    assert [other.get(SOON) for other in before + after] == [number**2 for number in range(8)] * 2
    return value


# --- descriptors and forks ------------------------------------------------------------------------------------


def test_tasks_that_close_all_descriptors(ctx):
    with ctx.Pool(2) as pool:
        for _ in range(4):
            assert outcome(pool, hostile.close_descriptors) == "closed"
        assert outcome(pool, hostile.large, 5_000_000) == bytes(5_000_000)
        assert type(outcome(pool, children.kill_itself)) is WorkerDied
        assert still_works(pool)


class Said:
    """What children print, which nobody waits for. Not by capfd: what is written while that empties its file is lost."""

    def __init__(self, path):
        self.path = path

    def text(self, expected, count=1):
        """All of it once something has come so often."""
        until(lambda: self.path.read_text().count(expected) >= count)
        return self.path.read_text()


@contextlib.contextmanager
def listening(tmp_path, monkeypatch):
    """In the test itself: pytest sets sys.stderr anew before it."""
    path = tmp_path / "said"
    with open(path, "a", encoding="utf-8") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield Said(path)


@pytest.mark.parametrize("function", [hostile.fork_and_return, hostile.fork_and_raise, hostile.fork_and_exit])
def test_tasks_that_fork(tmp_path, monkeypatch, function):
    """The child that comes back is no worker: only its parent's result counts, and the child ends."""
    with listening(tmp_path, monkeypatch) as said, fork.Pool(1) as pool:
        worker = pool._pool[0].pid
        for _ in range(3):
            assert outcome(pool, function) == worker
        assert set(pool.map(children.pid_of, range(50), 1)) == {worker}
    expected = {"fork_and_return": "end it by os._exit()", "fork_and_raise": "the child's", "fork_and_exit": ""}
    assert (said.text(expected[function.__name__]) == "") == (function is hostile.fork_and_exit)


def test_a_chunk_that_forks(tmp_path, monkeypatch):
    with listening(tmp_path, monkeypatch) as said, fork.Pool(1) as pool:
        worker = pool._pool[0].pid
        assert pool.map(hostile.fork_and_return, range(4), 4) == [worker] * 4
        assert still_works(pool)
    assert said.text("RuntimeError", 4).count("RuntimeError") == 4  # one for each child: none has gone on with the chunk


def test_a_forked_child_never_takes_a_task(capfd, tmp_path):
    with fork.Pool(1) as pool:
        worker = pool._pool[0].pid
        results = [pool.apply_async(hostile.fork_at_first, (str(tmp_path / "mark"),)) for _ in range(100)]
        assert {result.get(SOON) for result in results} == {worker}
    capfd.readouterr()


def test_an_initializer_that_forks(tmp_path, monkeypatch):
    with listening(tmp_path, monkeypatch) as said, fork.Pool(1, hostile.fork_and_return) as pool:
        worker = pool._pool[0].pid
        assert set(pool.map(children.pid_of, range(50), 1)) == {worker}
        assert said.text("end it by os._exit()")


def test_a_child_that_outlives_its_worker():
    """Nobody waits for it, though it has all that the worker had."""
    pool = fork.Pool(1)
    left = outcome(pool, hostile.leave_a_child, 60)
    try:
        assert type(outcome(pool, children.kill_itself)) is WorkerDied
        pool.close()
        pool.join()
        assert children.alive(left)
    finally:
        os.kill(left, 9)


# --- room -----------------------------------------------------------------------------------------------------


def test_tasks_that_fill_the_disk(tmp_path):
    with fork.Pool(2, hostile.limit_files, (1 << 20,)) as pool:
        error = outcome(pool, hostile.fill, str(tmp_path / "full"))
        assert isinstance(error, OSError) and "File too large" in str(error)
        error = outcome(pool, hostile.fill, "/dev/full")
        assert isinstance(error, OSError) and "No space left" in str(error)
        # A result is no file, though it lies in one.
        assert outcome(pool, hostile.large, 20 << 20) == bytes(20 << 20)


def test_a_task_that_eats_all_memory():
    with fork.Pool(2, hostile.limit_memory, (256 << 20,)) as pool:
        assert type(outcome(pool, hostile.eat)) is MemoryError
        assert still_works(pool)


def test_a_task_that_keeps_all_memory():
    """What follows in that worker has no room; it is told so, and the worker goes on."""
    with fork.Pool(1, hostile.limit_memory, (256 << 20,)) as pool:
        assert pool.apply_async(hostile.eat_all).get(SOON) == "full"
        with pytest.raises((MemoryError, MaybeEncodingError, tutti.Error)):
            pool.apply_async(hostile.large, (20 << 20,)).get(SOON)
        pool.apply_async(hostile.give_back).get(SOON)
        assert outcome(pool, hostile.large, 20 << 20) == bytes(20 << 20)


# --- values ---------------------------------------------------------------------------------------------------


def test_tasks_that_return_themselves(pool):
    assert outcome(pool, hostile.itself) is hostile.itself
    value = outcome(pool, hostile.list_of_itself)
    assert value[0] == 1 and value[1] is value


def test_results_that_are_too_deep(pool):
    error = outcome(pool, hostile.nested, 100_000)
    assert type(error) is MaybeEncodingError and "RecursionError" in str(error)


def test_a_recursion_that_exhausts_the_stack(pool):
    error = outcome(pool, hostile.exhaust_the_stack)
    assert isinstance(error, (WorkerDied, RecursionError))  # by version: Python's limit, or the end of C's stack


def test_a_task_that_prints_where_nothing_can_be_printed(pool):
    error = outcome(pool, hostile.print_without_stdout)
    assert type(error) is ValueError and "closed file" in str(error)


# --- those that do not end ------------------------------------------------------------------------------------


def test_an_initializer_that_hangs():
    pool = fork.Pool(2, hostile.hang)
    result = pool.apply_async(children.square, (2,))
    with pytest.raises(tutti.TimeoutError):
        result.get(0.2)
    pool.terminate()
    pool.join()
    with pytest.raises(Exception, match="cancelled"):
        result.get(SOON)


def test_an_initializer_that_hangs_in_one_worker():
    with fork.Pool(2, hostile.hang_if_first, (fork.Semaphore(1),)) as pool:
        assert [pool.apply_async(children.square, (number,)).get(SOON) for number in range(20)] == [x * x for x in range(20)]


def test_terminate_ends_a_join_that_waits_for_an_initializer():
    pool = fork.Pool(1, hostile.hang)
    result = pool.apply_async(children.square, (2,))
    pool.close()
    thread = threading.Thread(target=pool.join)
    thread.start()
    pool.terminate()
    thread.join(SOON)
    assert not thread.is_alive() and result.ready()


def test_tasks_that_ignore_sigterm(monkeypatch):
    monkeypatch.setattr(_workers, "_PATIENCE", 0.5)
    ready = fork.Semaphore(0)
    pool = fork.Pool(2)
    results = [pool.apply_async(hostile.ignore_sigterm_and_hang, (ready,)) for _ in range(2)]
    assert all(ready.acquire(timeout=SOON) for _ in results)
    begun = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - begun < SOON
    for result in results:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            result.get(SOON)


# --- callbacks and inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError, RuntimeError])
def test_callbacks_that_raise_anything(pool, monkeypatch, error):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_type))

    def refuse(_):
        raise error("the callback's")

    assert pool.apply_async(children.square, (3,), callback=refuse).get(SOON) == 9
    assert pool.map_async(children.square, range(3), callback=refuse).get(SOON) == [0, 1, 4]
    with pytest.raises(children.Refused):
        pool.apply_async(children.refuse, (1,), error_callback=refuse).get(SOON)
    until(lambda: told == [error] * 3)
    assert still_works(pool)


@pytest.mark.parametrize("end", ["terminate", "close and join"])
@pytest.mark.parametrize("kind", ["callback", "error_callback"])
def test_callbacks_that_end_the_pool(kind, end):
    pool, ended = fork.Pool(2), threading.Event()
    others = [pool.apply_async(children.square, (number,)) for number in range(8)]

    def end_it(_):
        if end == "terminate":
            pool.terminate()
        else:
            pool.close()
            pool.join()
        ended.set()

    function = children.square if kind == "callback" else children.refuse
    pool.apply_async(function, (3,), **{kind: end_it})
    assert ended.wait(SOON)
    pool.join()
    if end == "close and join":
        assert [other.get(SOON) for other in others] == [number**2 for number in range(8)]
    assert all(other.ready() for other in others)


def test_a_done_callback_that_shuts_down(go):
    executor, ended = tutti.ProcessPoolExecutor(1, mp_context=fork), threading.Event()
    future = executor.submit(children.wait_for, go, 5)

    def shut_down(_):
        executor.shutdown()
        ended.set()

    future.add_done_callback(shut_down)
    go.set()
    assert ended.wait(SOON) and future.result(SOON) == 5
    executor.shutdown()


def test_inputs_that_use_the_pool_which_reads_them(pool):
    def asking():
        yield 1
        yield pool.apply(children.square, (5,))

    assert list(pool.imap(children.square, asking(), buffersize=1)) == [1, 625]


@pytest.mark.parametrize("end", ["terminate", "close"])
def test_inputs_that_end_the_pool(end):
    pool, seen = fork.Pool(2), []

    def ending():
        yield 1
        getattr(pool, end)()
        yield 2

    try:
        seen.extend(pool.imap(children.square, ending(), buffersize=1))
    except ValueError as error:
        assert end == "terminate" and "Pool not running" in str(error)
    assert end == "terminate" or seen == [1, 4]
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_inputs_that_exit(pool, method):
    with pytest.raises(SystemExit):
        list(getattr(pool, method)(children.square, (sys.exit(3) if number == 3 else number for number in range(5))))
    assert still_works(pool)


# --- a missing guard ------------------------------------------------------------------------------------------

UNGUARDED = {
    "Pool": """
        with tutti.get_context(METHOD).Pool(1) as pool:
            print(pool.apply_async(abs, (-1,)).get(30))
    """,
    "executor": """
        with tutti.ProcessPoolExecutor(1, mp_context=tutti.get_context(METHOD)) as executor:
            print(executor.submit(abs, -1).result(30))
    """,
    "installed": """
        tutti.install()
        with multiprocessing.get_context(METHOD).Pool(1) as pool:
            print(pool.apply_async(abs, (-1,)).get(30))
    """,
}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("kind", UNGUARDED)
def test_a_main_module_without_its_guard(tmp_path, method, kind):
    """Each worker would be a program that starts workers: it is refused and told, and few are started in all."""
    path, log = tmp_path / "unguarded.py", tmp_path / "log"
    begin = f"import multiprocessing, os, tutti\nMETHOD = {method!r}\nopen({str(log)!r}, 'a').write('x')\n"
    path.write_text(begin + textwrap.dedent(UNGUARDED[kind]))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1 and done.stdout == ""
    assert "if __name__ == '__main__':" in done.stderr  # what to write
    assert re.search(r"BrokenPool: .*before they are ready", done.stderr)
    assert len(log.read_text()) < 20
