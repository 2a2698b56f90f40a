# SPDX-License-Identifier: MIT
"""Results of pools in asyncio."""

from __future__ import annotations

import asyncio
import threading

import pool_children as children
import pytest
from support import SOON, still_works, until

pytestmark = pytest.mark.timeout(60)


def in_loop(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, SOON)

    return asyncio.run(bounded())


def test_one_call(pool):
    async def main():
        result = pool.apply_async(children.square, (7,))
        return await result, await result, await asyncio.gather(*[pool.apply_async(children.square, (x,)) for x in range(50)])

    assert in_loop(main()) == (49, 49, [x * x for x in range(50)])


def test_many_calls(pool):
    async def main():
        return await pool.map_async(children.square, range(50)), await pool.starmap_async(children.add, [(1, 2)])

    assert in_loop(main()) == ([x * x for x in range(50)], [3])


def test_exceptions(pool):
    async def main():
        with pytest.raises(children.Refused):
            await pool.apply_async(children.refuse, (1,))
        with pytest.raises(children.Refused):
            await pool.map_async(children.refuse_if_odd, range(4))

    in_loop(main())


def test_the_loop_goes_on_meanwhile(pool, go):
    async def main():
        waiting = asyncio.ensure_future(awaited(pool.apply_async(children.wait_for, (go, 5))))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        return await waiting

    assert in_loop(main()) == 5


async def awaited(result):
    return await result


def test_cancelling_the_await_cancels_what_has_not_started(pool, go, tmp_path):
    path = str(tmp_path / "ran")

    async def main():
        running = [pool.apply_async(children.wait_for, (go, number)) for number in range(2)]
        until(lambda: all(result._has_started() for result in running))
        waiting = asyncio.ensure_future(awaited(pool.apply_async(children.append, (path,))))
        many = asyncio.ensure_future(awaited(pool.map_async(children.append, [path] * 20, 1)))
        await asyncio.sleep(0)
        for task in (waiting, many):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        go.set()
        return [await result for result in running]

    assert in_loop(main()) == [0, 1]
    assert still_works(pool)
    pool.close()
    pool.join()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_async_for(pool, method):
    async def main():
        return [value async for value in getattr(pool, method)(children.square, iter(range(30)), 4)]

    assert sorted(in_loop(main())) == [x * x for x in range(30)]


def test_async_for_goes_on_after_a_failure(pool):
    async def main():
        results, values, failures = pool.imap(children.refuse_if_odd, range(6)).__aiter__(), [], 0
        while True:
            try:
                values.append(await results.__anext__())
            except StopAsyncIteration:
                return values, failures
            except children.Refused:
                failures += 1

    assert in_loop(main()) == ([0, 2, 4], 3)


def test_a_cancelled_async_for_cancels_the_rest(pool, go, tmp_path):
    path = str(tmp_path / "ran")

    async def main():
        results = pool.imap(children.wait_and_append_both, [(go, path)] * 20)
        wait, waits = results._wait, threading.Event()
        results._wait = lambda seconds: (waits.set(), wait(seconds))[1]
        task = asyncio.ensure_future(results.__anext__())
        assert await asyncio.get_running_loop().run_in_executor(None, waits.wait, SOON)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()

    in_loop(main())
    pool.close()
    pool.join()
    assert not (tmp_path / "ran").exists()  # also those that ran were ended before


def test_two_tasks_read_one_iterator(pool):
    async def read(results):
        return [value async for value in results]

    async def main():
        results = pool.imap(children.square, range(200))
        return await asyncio.gather(read(results), read(results))

    first, second = in_loop(main())
    assert sorted(first + second) == [x * x for x in range(200)]


def test_a_loop_that_is_closed_meanwhile(pool, go):
    loop = asyncio.new_event_loop()
    task = loop.create_task(awaited(pool.apply_async(children.wait_for, (go, 1))))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    go.set()
    assert still_works(pool)
    until(lambda: not any(thread.name == "tutti-callbacks" for thread in threading.enumerate()))
