# SPDX-License-Identifier: MIT
"""The awaitable forms: what they wait for, that they neither spin nor block their loop, and what ends them."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import threading
import time

import pytest
from asynchronous_children import (
    SOON,
    get_and_die,
    get_some,
    hold,
    meet,
    notify_when_all_wait,
    take_over,
    wait_at,
    work_off,
)
from support import run, started, until

import tutti
from tutti import _asynchronous, connection, queues

fork = tutti.get_context("fork")


def copy_of(shared):
    """Another handle on the same object, as another process has one."""
    return pickle.loads(pickle.dumps(shared))


def awaited(coroutine):
    """Runs it with a limit; nothing stays registered with the loop afterwards."""

    async def limited():
        return await asyncio.wait_for(coroutine, SOON)

    result = asyncio.run(limited())
    assert not _asynchronous._lines
    return result


async def waiting(coroutine):
    """A task that has come to where it waits."""
    task = asyncio.create_task(coroutine)
    count = len(_asynchronous._lines)
    waiters = sum(len(line.waiters) for line in _asynchronous._lines.values())
    while len(_asynchronous._lines) == count and waiters == sum(
        len(line.waiters) for line in _asynchronous._lines.values()
    ):
        assert not task.done(), task
        await asyncio.sleep(0)
    return task


@pytest.fixture
def laps(monkeypatch):
    """The descriptors for which somebody began to wait."""
    counts = []
    original = _asynchronous.readable

    async def readable(shared, fd, *rest):
        counts.append(fd)
        await original(shared, fd, *rest)

    monkeypatch.setattr(_asynchronous, "readable", readable)
    return counts


# --- closing what is awaited --------------------------------------------------------------------------------


def full_queue(kind=queues.Queue):
    q = kind(1)
    q.put(0)
    return q


def end():
    first, second = connection.Pipe()
    second.first = first  # kept
    return second


CLOSED = {
    "get": (queues.Queue, lambda q: q.get_async(), ValueError),
    "get of a SimpleQueue": (queues.SimpleQueue, lambda q: q.get_async(), ValueError),
    "put": (full_queue, lambda q: q.put_async(1), ValueError),
    "join": (lambda: full_queue(queues.JoinableQueue), lambda q: q.join_async(), ValueError),
    "recv": (end, lambda pipe: pipe.recv_async(), OSError),
}


@pytest.mark.parametrize("case", CLOSED)
@pytest.mark.parametrize("by_a_thread", [False, True])
def test_a_waiter_is_told_that_it_was_closed(case, by_a_thread):
    make, wait, error = CLOSED[case]

    async def main():
        shared = make()
        tasks = [await waiting(wait(shared)) for _ in range(3)]
        fd = next(iter(_asynchronous._lines.values())).fd
        if by_a_thread:
            thread = threading.Thread(target=shared.close)
            thread.start()
            thread.join()
        else:
            shared.close()
        for task in tasks:
            with pytest.raises(error, match="closed"):
                await asyncio.wait_for(task, SOON)
        with pytest.raises(OSError):
            os.fstat(fd)

        # The next object gets the same number, and can be awaited.
        q = queues.Queue()
        assert q.fileno() == fd
        task = await waiting(q.get_async())
        q.put("another")
        assert await asyncio.wait_for(task, SOON) == "another"
        q.close()

    awaited(main())


def test_with_closes_an_end_that_is_awaited():
    async def main():
        first, second = connection.Pipe()
        with second:
            task = await waiting(second.recv_async())
        with pytest.raises(OSError, match="closed"):
            await task

    awaited(main())


def test_a_forked_child_leaves_its_parents_waits_alone():
    async def main():
        q, answers = queues.Queue(), queues.Queue()
        task = await waiting(q.get_async())
        process = fork.Process(target=take_over, args=(q, answers))
        process.start()
        assert await answers.get_async() == "closed"
        process.join()
        process.close()
        q.put("still awaited")
        return await asyncio.wait_for(task, SOON)

    assert awaited(main()) == "still awaited"


# --- neither spinning nor blocking --------------------------------------------------------------------------


def test_recv_does_not_block_the_loop_when_another_was_faster(monkeypatch):
    first, second = connection.Pipe()
    other = copy_of(second)
    poll = connection.PipeEnd.poll

    def poll_and_lose(self, *args):
        ready = poll(self, *args)
        if ready and poll(other, 0):
            monkeypatch.undo()
            other.recv()
        return ready

    monkeypatch.setattr(connection.PipeEnd, "poll", poll_and_lose)

    async def main():
        first.send("for the other")
        threading.Timer(0.5, first.send, ("late",)).start()  # ends a loop that is blocked
        task = asyncio.create_task(second.recv_async())
        await asyncio.sleep(0)
        turns = 0
        while not task.done() and turns < 3:
            await asyncio.sleep(0.01)
            turns += 1
        assert turns == 3 or task.result() == "for the other", "the loop was blocked"
        return await task

    begin = time.monotonic()
    assert awaited(main()) in ("late", "for the other")
    assert time.monotonic() - begin < SOON
    until(lambda: threading.active_count() == 1)


def test_a_receiver_whose_message_was_taken_waits_on():
    async def main():
        first, second = connection.Pipe()
        other = copy_of(second)
        task = await waiting(second.recv_async())
        for number in range(20):
            first.send(number)
            if other.poll(0):
                other.recv()
            await asyncio.sleep(0)
            if task.done():
                break
        else:
            first.send("the last")
        return await asyncio.wait_for(task, SOON)

    awaited(main())


def leave_lit(shared, make_ready, undo):
    """Its descriptor is readable, though another one has undone what made it so."""
    fd = shared.fileno()
    make_ready()
    assert select.select([fd], [], [], SOON)[0]
    undo()


def test_an_event_that_was_cleared_elsewhere_is_no_busy_loop(laps):
    event = tutti.Event()
    other = copy_of(event)

    async def main():
        leave_lit(event, other.set, other.clear)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(event.wait_async(), 0.2)

    awaited(main())
    assert len(laps) <= 5
    laps.clear()

    async def set_later():
        task = await waiting(event.wait_async())
        other.set()
        return await task

    assert awaited(set_later()) is True


@pytest.mark.parametrize("kind", [tutti.Lock, tutti.Semaphore])
def test_a_lock_that_was_taken_elsewhere_is_no_busy_loop(kind, laps):
    lock = kind()
    other = copy_of(lock)

    async def main():
        lock.acquire()
        leave_lit(lock, other.release, other.acquire)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(lock.acquire_async(), 0.2)

    awaited(main())
    assert len(laps) <= 5
    other.release()


def test_room_for_a_small_message_is_no_busy_loop_for_a_large_one(laps):
    q = queues.Queue(max_bytes=1000)
    q.put(b"x" * 600)

    async def main():
        task = await waiting(q.put_async(b"y" * 600))
        await asyncio.sleep(0.2)  # a time in which nothing may happen: there is no event to wait for
        assert not task.done() and len(laps) <= 5
        assert q.get(timeout=SOON) == b"x" * 600
        await asyncio.wait_for(task, SOON)

    awaited(main())
    assert q.get(timeout=SOON) == b"y" * 600
    assert len(laps) <= 10


# --- room -----------------------------------------------------------------------------------------------------


def test_put_waits_for_room_by_the_descriptor(ctx, laps):
    q, answers = ctx.Queue(2), ctx.Queue()

    async def main():
        process = ctx.Process(target=get_some, args=(q, answers))
        process.start()
        for number in range(100):
            await q.put_async(number)
        assert await answers.get_async() == list(range(100))
        process.join()
        process.close()

    awaited(main())
    assert q.room_fileno() in laps


def test_putters_of_two_processes_get_room():
    def put(q, first):
        async def work():
            await asyncio.gather(*(q.put_async(first + number) for number in range(50)))

        asyncio.run(work())

    q = queues.Queue(1)
    processes = [fork.Process(target=put, args=(q, 1000 * i)) for i in (1, 2)]
    for process in processes:
        process.start()
    got = sorted(q.get(timeout=SOON) for _ in range(100))
    for process in processes:
        process.join()
        process.close()
    assert got == [*range(1000, 1050), *range(2000, 2050)]


def test_room_descriptor():
    q = queues.Queue(1)
    fd = q.room_fileno()
    assert select.select([fd], [], [], SOON)[0]
    q.put(1)
    with pytest.raises(queues.Full):
        q.put_nowait(2)
    assert select.select([fd], [], [], 0)[0] == []
    copy_of(q).get()
    assert select.select([fd], [], [], SOON)[0]


def test_shutdown_ends_put_and_get():
    async def main():
        full, empty = full_queue(), queues.Queue()
        tasks = [await waiting(full.put_async(1)), await waiting(empty.get_async())]
        full.shutdown()
        empty.shutdown()
        for task in tasks:
            with pytest.raises(tutti.ShutDown):
                await asyncio.wait_for(task, SOON)

    awaited(main())


# --- join -----------------------------------------------------------------------------------------------------


def test_join(ctx, laps):
    q = ctx.JoinableQueue()

    async def main():
        await q.join_async()  # nothing was put
        for number in range(10):
            q.put(number)
        tasks = [await waiting(q.join_async()) for _ in range(2)]
        process = ctx.Process(target=work_off, args=(q,))
        process.start()
        await asyncio.gather(*tasks)
        process.join()
        process.close()

    awaited(main())
    assert q.qsize() == 0 and laps


def test_done_descriptor():
    q = queues.JoinableQueue()
    fd = q.done_fileno()
    assert select.select([fd], [], [], SOON)[0]
    q.put(1)
    assert q._is_done() is False
    assert select.select([fd], [], [], 0)[0] == []
    other = copy_of(q)
    other.get()
    other.task_done()
    assert select.select([fd], [], [], SOON)[0]
    with pytest.raises(AttributeError):
        queues.Queue().done_fileno()


def test_join_waits_on_for_what_a_killed_getter_had():
    q, gone = queues.JoinableQueue(), tutti.Event()
    q.put("once more")

    async def main():
        task = await waiting(q.join_async())
        run(fork, get_and_die, q, gone, exitcode=-signal.SIGKILL)
        assert await asyncio.wait_for(q.get_async(), SOON) == "once more" and q.redelivered
        assert not task.done()
        q.task_done()
        await task

    awaited(main())


# --- locks and semaphores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tutti.Lock, tutti.Semaphore, tutti.BoundedSemaphore])
def test_tasks_exclude_each_other(make):
    lock, inside, most = make(), [0], [0]

    async def enter():
        async with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            await asyncio.sleep(0)
            inside[0] -= 1

    async def main():
        await asyncio.gather(*(enter() for _ in range(20)))

    awaited(main())
    assert most == [1]
    assert lock.acquire(False)
    lock.release()


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_lock_that_another_process_releases(ctx, kind):
    lock, held, let_go = getattr(ctx, kind)(), ctx.Event(), ctx.Event()

    async def main():
        process = ctx.Process(target=hold, args=(lock, held, let_go))
        process.start()
        await held.wait_async()
        task = await waiting(lock.acquire_async())
        let_go.set()
        assert await task is True
        process.join()
        process.close()

    awaited(main())
    lock.release()


def test_a_holder_that_is_killed():
    lock, held, let_go = tutti.Lock(name="kept"), tutti.Event(), tutti.Event()

    async def main():
        with started(fork, hold, lock, held, let_go) as process:
            await held.wait_async()
            task = await waiting(lock.__aenter__())
            process.kill()
            process.join()
            with pytest.raises(tutti.AbandonedLockError, match="kept"):
                await task
        with pytest.raises(tutti.AbandonedLockError):  # nobody has it: the next is told too
            await lock.acquire_async()
        assert lock.locked()
        lock.release()

    awaited(main())


def test_a_cancelled_acquire_takes_nothing():
    async def main():
        lock = tutti.Lock()
        await lock.acquire_async()
        first, second = [await waiting(lock.acquire_async()) for _ in range(2)]
        first.cancel()
        lock.release()
        assert await second is True
        with pytest.raises(asyncio.CancelledError):
            await first
        lock.release()

    awaited(main())


def test_a_recursive_lock_cannot_be_awaited():
    assert not hasattr(tutti.RLock(), "acquire_async")
    condition = tutti.Condition()
    with condition:
        with pytest.raises(TypeError, match="Lock()"):
            awaited(condition.wait_async())
    lock = tutti.RLock()
    assert select.select([lock], [], [], SOON)[0]


# --- condition ------------------------------------------------------------------------------------------------


def test_condition_notified_by_another_process(ctx, laps):
    lock = ctx.Lock()
    condition = ctx.Condition(lock)

    async def wait():
        async with condition:
            return await condition.wait_async()

    async def main():
        tasks = [await waiting(wait()) for _ in range(5)]
        process = ctx.Process(target=notify_when_all_wait, args=(condition, 5))
        process.start()
        assert await asyncio.gather(*tasks) == [True] * 5
        process.join()
        process.close()

    awaited(main())
    assert not lock.locked()
    assert len(laps) < 100


def test_a_notified_waiter_without_the_lock_keeps_nobody_busy(laps):
    condition = tutti.Condition(tutti.Lock())

    async def wait():
        async with condition:
            return await condition.wait_async()

    async def main():
        tasks = [await waiting(wait()) for _ in range(2)]
        async with condition:
            condition.notify(1)
            await asyncio.sleep(0.2)  # a time in which nothing may happen: there is no event to wait for
            assert len(laps) <= 10
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=SOON)
        assert len(done) == len(rest) == 1
        async with condition:
            condition.notify(1)
        assert await asyncio.gather(*tasks) == [True, True]

    awaited(main())


def test_condition_wait_for():
    condition, things = tutti.Condition(tutti.Lock()), []

    async def take():
        async with condition:
            await condition.wait_for_async(lambda: things)
            return things.pop()

    async def main():
        tasks = [await waiting(take()) for _ in range(3)]
        for number in range(3):
            async with condition:
                things.append(number)
                condition.notify()
        return sorted(await asyncio.gather(*tasks))

    assert awaited(main()) == [0, 1, 2]


def test_a_cancelled_wait_has_the_lock_and_passes_its_notification_on():
    condition = tutti.Condition(tutti.Lock())
    held = []

    async def wait():
        async with condition:
            try:
                return await condition.wait_async()
            except asyncio.CancelledError:
                held.append(condition._lock.locked())
                raise

    async def main():
        first, second = [await waiting(wait()) for _ in range(2)]
        async with condition:
            condition.notify(1)
            first.cancel()
        assert await second is True
        with pytest.raises(asyncio.CancelledError):
            await first
        assert held == [True] and condition._waiters() == 0 and not condition._lock.locked()

    awaited(main())


def test_condition_without_its_lock():
    with pytest.raises(AssertionError, match="acquire"):
        awaited(tutti.Condition(tutti.Lock()).wait_async())


# --- barrier --------------------------------------------------------------------------------------------------


def test_barrier_with_parties_of_other_processes(ctx, laps):
    barrier, indexes = ctx.Barrier(3), ctx.Queue()

    async def party():
        return [await barrier.wait_async() for _ in range(5)]

    async def main():
        process = ctx.Process(target=meet, args=(barrier, indexes, 5))
        process.start()
        own = await asyncio.gather(party(), party())
        process.join()
        process.close()
        return own

    own = awaited(main())
    theirs = [indexes.get(timeout=SOON) for _ in range(5)]
    assert [sorted(indexes) for indexes in zip(theirs, *own)] == [[0, 1, 2]] * 5
    assert len(laps) < 100


def test_more_parties_than_a_round_has():
    barrier = tutti.Barrier(2)

    async def main():
        return await asyncio.gather(*(barrier.wait_async() for _ in range(10)))

    assert sorted(awaited(main())) == [0] * 5 + [1] * 5


def test_barrier_action_runs_once_a_round():
    rounds = []
    barrier = tutti.Barrier(3, lambda: rounds.append(barrier.n_waiting))

    async def party():
        await barrier.wait_async()
        await barrier.wait_async()

    async def main():
        await asyncio.gather(party(), party(), party())

    awaited(main())
    assert rounds == [3, 3]


def test_barrier_whose_action_fails():
    barrier = tutti.Barrier(2, lambda: 1 / 0)

    async def main():
        return await asyncio.gather(barrier.wait_async(), barrier.wait_async(), return_exceptions=True)

    assert sorted(type(error).__name__ for error in awaited(main())) == ["BrokenBarrierError", "ZeroDivisionError"]
    assert barrier.broken


def test_a_party_that_is_cancelled_takes_no_part():
    barrier = tutti.Barrier(2)

    async def main():
        task = await waiting(barrier.wait_async())
        assert barrier.n_waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert barrier.n_waiting == 0 and not barrier.broken
        return await asyncio.gather(barrier.wait_async(), barrier.wait_async())

    assert sorted(awaited(main())) == [0, 1]


def test_barrier_broken_by_time_by_abort_and_by_death():
    async def main():
        barrier = tutti.Barrier(3)
        task = await waiting(barrier.wait_async())
        with pytest.raises(threading.BrokenBarrierError, match="in time"):
            await barrier.wait_async(0.05)
        with pytest.raises(threading.BrokenBarrierError):
            await task
        assert barrier.broken
        barrier.reset()

        task = await waiting(barrier.wait_async())
        copy_of(barrier).abort()
        with pytest.raises(threading.BrokenBarrierError, match="aborted"):
            await task
        barrier.reset()

        task = await waiting(barrier.wait_async())
        with started(fork, wait_at, barrier) as process:
            until(lambda: barrier.n_waiting == 2)
            process.kill()
            process.join()
            with pytest.raises(threading.BrokenBarrierError, match="ended while it waited"):
                await task

    awaited(main())
