# SPDX-License-Identifier: MIT
"""Calls that are cancelled while they run: their worker is killed, and nobody else notices."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time

import pool_children as children
import pytest
from support import SOON, still_works, until

import tutti

pytestmark = pytest.mark.timeout(60)


def begun(pool, **options):
    result = pool.apply_async(children.hang, **options)
    until(result._has_started)
    return result


def test_a_running_call(pool):
    before = {worker.pid for worker in pool._pool}
    result = begun(pool, retries=3)
    assert not result.cancel()
    assert result.cancel(running=True)
    with pytest.raises(concurrent.futures.CancelledError, match="while it ran, and its worker"):
        result.get(SOON)
    assert result.ready() and not result.successful()
    assert not result.cancel(running=True)
    assert still_works(pool)
    assert len({worker.pid for worker in pool._pool} - before) == 1


def test_the_others_never_notice(pool, go):
    other = pool.apply_async(children.wait_for, (go, 7))
    until(other._has_started)
    result = begun(pool)
    waiting = [pool.apply_async(children.square, (number,)) for number in range(20)]
    assert result.cancel(running=True)
    assert [each.get(SOON) for each in waiting] == [number * number for number in range(20)]
    go.set()
    assert other.get(SOON) == 7


def test_one_that_waits_costs_no_worker(pool, go):
    for _ in range(2):
        until(pool.apply_async(children.wait_for, (go,))._has_started)
    pids = {worker.pid for worker in pool._pool}
    result = pool.apply_async(children.square, (2,))
    assert result.cancel(running=True)
    with pytest.raises(concurrent.futures.CancelledError, match="before it started"):
        result.get(SOON)
    go.set()
    assert still_works(pool) and {worker.pid for worker in pool._pool} == pids


def test_one_that_is_done(pool):
    result = pool.apply_async(children.square, (3,))
    result.wait(SOON)
    assert not result.cancel(running=True)
    assert result.get() == 9


def test_the_error_callback_is_told(pool):
    errors = []
    result = begun(pool, error_callback=errors.append)
    assert result.cancel(running=True)
    result.wait(SOON)
    assert [type(error) for error in errors] == [concurrent.futures.CancelledError]


def test_a_map(pool, tmp_path):
    path = str(tmp_path / "ran")
    result = pool.map_async(children.append_and_hang, [path] * 20, 1)
    until(lambda: (tmp_path / "ran").exists() and (tmp_path / "ran").stat().st_size == 2)
    result.cancel(running=True)
    with pytest.raises(concurrent.futures.CancelledError):
        result.get(SOON)
    assert (tmp_path / "ran").stat().st_size == 2
    assert still_works(pool)


def test_a_future(executor):
    future = executor.submit(children.hang)
    until(future.running)
    assert not future.cancel()
    assert future.cancel(running=True)
    assert future.cancelled() and future.done() and not future.running()
    assert future.cancel() and future.cancel(running=True)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(SOON)
    assert executor.submit(children.square, 4).result(SOON) == 16


def test_who_waits_for_a_future_is_told(executor):
    future, called = executor.submit(children.hang), []
    future.add_done_callback(called.append)
    until(future.running)
    assert future.cancel(running=True)
    assert concurrent.futures.wait([future], SOON)[0] == {future}
    until(lambda: called == [future])


async def awaited(result):
    return await result


@pytest.mark.parametrize("start", ["apply", "map"])
def test_cancelling_the_await_ends_what_runs(pool, start):
    async def main():
        result = begun(pool) if start == "apply" else pool.map_async(children.hang, range(10), 1)
        waiting = asyncio.ensure_future(awaited(result))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return result

    before = time.monotonic()
    result = asyncio.run(main())
    with pytest.raises(concurrent.futures.CancelledError):
        result.get(SOON)
    assert time.monotonic() - before < SOON
    assert still_works(pool)


def test_a_timeout_of_asyncio_ends_the_work(pool):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(awaited(pool.apply_async(children.hang)), 0.2)

    asyncio.run(main())
    assert still_works(pool)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_by_each_start_method(method):
    with tutti.get_context(method).Pool(1) as pool:
        result = begun(pool)
        assert result.cancel(running=True)
        with pytest.raises(concurrent.futures.CancelledError):
            result.get(SOON)
        assert pool.apply(children.square, (5,)) == 25
