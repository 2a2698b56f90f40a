# SPDX-License-Identifier: MIT
"""Barrier."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time

import pytest
from barrier_children import meet
from support import started, until

import tutti


def in_threads(count, function):
    results = []

    def call():
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return results


def test_all_parties_meet_and_get_different_numbers():
    barrier = tutti.Barrier(4)
    assert isinstance(barrier, threading.Barrier)
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (4, 0, False)
    for _ in range(20):
        assert sorted(in_threads(4, barrier.wait)) == [0, 1, 2, 3]


def test_one_runs_the_action_before_any_is_released():
    log = []
    barrier = tutti.Barrier(3, action=lambda: log.append("action"))
    in_threads(3, lambda: (barrier.wait(), log.append("released")))
    assert log == ["action"] + ["released"] * 3


def test_an_action_that_raises():
    barrier = tutti.Barrier(2, lambda: 1 // 0)
    results = in_threads(2, barrier.wait)
    assert sorted(type(result).__name__ for result in results) == ["BrokenBarrierError", "ZeroDivisionError"]
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken


def test_abort_and_reset():
    barrier = tutti.Barrier(2)
    thread = threading.Thread(target=lambda: results.append(pytest.raises(threading.BrokenBarrierError, barrier.wait)))
    results = []
    thread.start()
    until(lambda: barrier.n_waiting == 1)
    barrier.abort()
    thread.join()
    assert barrier.broken and len(results) == 1
    with pytest.raises(threading.BrokenBarrierError, match="aborted"):
        barrier.wait()
    barrier.reset()
    assert sorted(in_threads(2, barrier.wait)) == [0, 1]


def test_reset_sends_those_away_that_wait():
    barrier = tutti.Barrier(3)
    thread = threading.Thread(target=lambda: results.append(pytest.raises(threading.BrokenBarrierError, barrier.wait)))
    results = []
    thread.start()
    until(lambda: barrier.n_waiting == 1)
    barrier.reset()
    thread.join()
    assert len(results) == 1 and not barrier.broken


def test_timeouts_break_it():
    barrier = tutti.Barrier(2)
    with pytest.raises(threading.BrokenBarrierError, match="not all 2 parties came in time"):
        barrier.wait(0.02)
    assert barrier.broken
    barrier = tutti.Barrier(2, timeout=0.02)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0)


@pytest.mark.parametrize("parties", [0, -1, -(2**40)])
def test_no_parties(parties):
    with pytest.raises(ValueError, match="^parties must be > 0$"):
        tutti.Barrier(parties)
    with pytest.raises(TypeError):
        tutti.Barrier("2")
    with pytest.raises(ValueError):
        tutti.Barrier(2**40)


def test_between_processes(ctx):
    barrier = ctx.Barrier(3)
    processes = [ctx.Process(target=meet, args=(barrier, 5)) for _ in range(2)]
    for process in processes:
        process.start()
    meet(barrier, 5)
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()


def act():
    pass


def test_a_copy_is_the_same_and_keeps_action_and_timeout():
    barrier = tutti.Barrier(2, act, 0.02)
    copy = pickle.loads(pickle.dumps(barrier))
    assert copy._action is act and copy.parties == 2
    with pytest.raises(threading.BrokenBarrierError):
        copy.wait()
    assert barrier.broken


def test_a_killed_party_breaks_it(ctx):
    barrier = ctx.Barrier(3, name="start")
    with started(ctx, meet, barrier) as process:
        until(lambda: barrier.n_waiting == 1)
        threading.Timer(0.05, process.kill).start()
        begin = time.monotonic()
        with pytest.raises(threading.BrokenBarrierError, match=f"pid {process.pid}"):
            barrier.wait(20)
        assert time.monotonic() - begin < 3
        until(lambda: threading.active_count() == 1)


def test_keyboard_interrupt_does_not_break_it():
    barrier = tutti.Barrier(2)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        barrier.wait()
    assert not barrier.broken and barrier.n_waiting == 0
    until(lambda: threading.active_count() == 1)


def test_one_party_too_many_whose_time_is_up():
    begun, go_on = threading.Event(), threading.Event()

    def act():
        begun.set()
        assert go_on.wait(20)

    barrier = tutti.Barrier(2, act)
    results = []
    threads = [threading.Thread(target=lambda: results.append(barrier.wait()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    with pytest.raises(threading.BrokenBarrierError, match="action runs on"):
        barrier.wait(0.05)
    assert not barrier.broken
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1]


def test_an_interrupt_that_another_thread_took_ends_the_wait():
    barrier, tell = tutti.Barrier(2), threading.Event()

    def take_signal():
        assert tell.wait(20)
        until(lambda: barrier.n_waiting == 1)
        signal.raise_signal(signal.SIGINT)  # the handler runs in the main thread, which sleeps on

    thread = threading.Thread(target=take_signal, daemon=True)
    thread.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tell.set()
        barrier.wait(10)
    assert time.monotonic() - begin < 8
    assert not barrier.broken and barrier.n_waiting == 0
    thread.join()


def test_an_action_that_waits_elsewhere():
    inner = tutti.Barrier(2)
    outer = tutti.Barrier(2, lambda: inner.wait(20))
    thread = threading.Thread(target=lambda: inner.wait(20), daemon=True)
    thread.start()
    assert sorted(in_threads(2, outer.wait)) == [0, 1]
    thread.join()


def test_a_handler_that_raises_nothing_does_not_end_the_wait():
    barrier, calls = tutti.Barrier(2), []
    old = signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
    thread = threading.Thread(target=lambda: (until(lambda: len(calls) > 3), barrier.wait()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        thread.start()
        barrier.wait(20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        thread.join()
    assert len(calls) > 3
