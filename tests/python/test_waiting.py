# SPDX-License-Identifier: MIT
"""Nobody waits with the interpreter's lock: other threads go on while a call is held up by a stopped process."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import threading
import time

import pytest
from support import started, until

import tutti
from tutti import queues

SOON = 10  # seconds until the stopped process is killed: a thread that is held up with the lock goes on then


@pytest.fixture
def watched():
    """``feed(pid)``: kills that process unless fed again in time, whatever this interpreter does."""
    reader, writer = os.pipe()
    watchdog = os.fork()
    if watchdog == 0:
        os.close(writer)
        pid = 0
        while True:
            ready = select.select([reader], [], [], SOON)[0]
            data = os.read(reader, 4) if ready else b""
            if not ready and pid:
                os.kill(pid, signal.SIGKILL)
            elif ready and not data:
                os._exit(0)
            pid = int.from_bytes(data, "little")
    os.close(reader)
    yield lambda pid: os.write(writer, pid.to_bytes(4, "little"))
    os.close(writer)
    os.waitpid(watchdog, 0)


def finish_items(q, rounds):
    while True:
        q.put(1)
        q.get()
        q.task_done()  # looks through all that are unfinished, most of the time that this loop takes
        rounds.value += 1


def stop(process):
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def unfinished(count):
    q = queues.JoinableQueue()
    q.put_many([0] * count)
    for _ in range(count):
        q.get()
    return q


@contextlib.contextmanager
def finishing(q):
    """A process in finish_items(), and the count of its rounds."""
    ctx = tutti.get_context("fork")
    rounds = ctx.RawValue("Q")
    with started(ctx, finish_items, q, rounds) as process:
        yield process, rounds


def held_up(process, rounds, q, feed):
    """Stops it in the middle of an operation that holds task_done() up. The thread that is in there."""
    for _ in range(500):
        feed(process.pid)
        seen = rounds.value
        until(lambda: rounds.value != seen)  # else it may be stopped again where it was, and again
        stop(process)
        begin = time.monotonic()
        thread = threading.Thread(target=q.task_done)
        thread.start()
        thread.join(0.5)
        assert time.monotonic() - begin < SOON / 2, "the interpreter stood still"
        if thread.is_alive():
            return thread
        os.kill(process.pid, signal.SIGCONT)
    pytest.fail("never stopped in the middle of an operation")


def test_task_done_leaves_the_interpreter_to_others(watched):
    q = unfinished(2000)
    with finishing(q) as (process, rounds):
        thread = held_up(process, rounds, q, watched)
        begin, turns = time.monotonic(), 0
        while turns < 10:
            threading.Event().wait(0.001)
            turns += 1
        assert thread.is_alive() and time.monotonic() - begin < SOON / 2
        watched(0)
        os.kill(process.pid, signal.SIGCONT)
        thread.join(SOON)
        assert not thread.is_alive()


def test_a_try_leaves_the_interpreter_to_others(watched):
    q = unfinished(2000)
    state = {"calls": 0, "inside": False, "stop": False}

    def call():
        while not state["stop"]:
            state["calls"] += 1
            state["inside"] = True
            with pytest.raises(queue.Empty, match="stopped"):
                q.get_nowait()
            state["inside"] = False

    with finishing(q) as (process, rounds):
        held = held_up(process, rounds, q, watched)
        thread = threading.Thread(target=call)
        thread.start()
        best = 0
        while best < 5 and state["calls"] < 40:
            number, turns = state["calls"], 0
            while state["inside"] and state["calls"] == number:
                threading.Event().wait(0.001)
                turns += 1
            best = max(best, turns)
            watched(process.pid)
            threading.Event().wait(0)
        state["stop"] = True
        thread.join(SOON)
        watched(0)
        os.kill(process.pid, signal.SIGCONT)
        held.join(SOON)
        assert best >= 5, "this thread had no turn while the other one was in get_nowait()"
        until(lambda: threading.active_count() == 1)


def test_the_shortest_time_is_enough_for_what_is_there():
    queue, lock, event, semaphore = tutti.Queue(), tutti.Lock(), tutti.Event(), tutti.Semaphore(1)
    event.set()
    for _ in range(200):
        queue.put("there")
        assert queue.get(timeout=1e-9) == "there"
        assert lock.acquire(timeout=1e-9)
        lock.release()
        assert semaphore.acquire(timeout=1e-9)
        semaphore.release()
        assert event.wait(1e-9)
