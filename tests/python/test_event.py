# SPDX-License-Identifier: MIT
"""Event."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import sys
import threading
import time

import pytest
from event_children import set_it, wait_and_tell
from support import run, started, until

import tutti


def test_flag():
    event = tutti.Event()
    assert event.is_set() is False
    assert event.wait(0) is False and event.wait(0.01) is False and event.wait(-1) is False
    event.set()
    event.set()
    assert event.is_set() is True
    assert event.wait() is True and event.wait(timeout=0) is True
    event.clear()
    assert event.wait(0.0) is False


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Event has no repr of its own before 3.11")
def test_repr():
    event = tutti.Event()
    assert repr(event) == f"<Event at {id(event):#x} unset>"
    event.set()
    assert repr(event) == f"<Event at {id(event):#x} set>"


def test_between_processes(ctx):
    event, told = ctx.Event(), ctx.Semaphore(0)
    processes = [ctx.Process(target=wait_and_tell, args=(event, told)) for _ in range(3)]
    for process in processes:
        process.start()
    event.set()
    for process in processes:
        process.join()
        process.close()
    assert told.get_value() == 3
    event.clear()
    run(ctx, set_it, event)
    assert event.is_set()


def test_a_copy_is_the_same():
    event = tutti.Event()
    copy = pickle.loads(pickle.dumps(event))
    copy.set()
    assert event.is_set()


def test_a_killed_waiter_holds_up_nobody(ctx):
    event, told = ctx.Event(), ctx.Semaphore(0)
    with started(ctx, wait_and_tell, event, told) as process:
        process.kill()
        process.join()
    begin = time.monotonic()
    event.set()
    assert time.monotonic() - begin < 1
    assert event.wait(0)


def test_set_in_a_signal_handler_while_waiting():
    event = tutti.Event()
    old = signal.signal(signal.SIGALRM, lambda *args: event.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        begin = time.monotonic()
        assert event.wait(20) is True
        assert time.monotonic() - begin < 5
    finally:
        signal.signal(signal.SIGALRM, old)


def test_keyboard_interrupt_works_the_first_time():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        tutti.Event().wait()
    until(lambda: threading.active_count() == 1)


def test_other_threads_run_while_one_waits():
    event = tutti.Event()
    thread = threading.Thread(target=lambda: (time.monotonic(), event.set()))
    thread.start()
    assert event.wait(20)
    thread.join()


def test_awaited_by_two_tasks_and_set_by_another_process(ctx):
    event = ctx.Event()

    async def wait_twice():
        waits = [asyncio.ensure_future(event.wait_async()) for _ in range(2)]
        await asyncio.sleep(0)
        process = ctx.Process(target=set_it, args=(event,))
        process.start()
        try:
            return await asyncio.wait_for(asyncio.gather(*waits), 30)
        finally:
            process.join()
            process.close()

    assert asyncio.run(wait_twice()) == [True, True]


def test_descriptor_is_readable_while_it_is_set():
    event = tutti.Event()
    assert select.select([event], [], [], 0)[0] == []
    event.set()
    assert select.select([event.fileno()], [], [], 20)[0]
    event.clear()
    until(lambda: select.select([event], [], [], 0)[0] == [])
