# SPDX-License-Identifier: MIT
"""Pools that end in unusual ways, are interrupted, or forked."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import warnings

import pool_children as children
import pytest
from support import SOON, run, script, still_works, until

import tutti

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


# --- the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_nothing_goes_in_after_the_end(end):
    pool = fork.Pool(1)
    getattr(pool, end)()
    for attempt in (
        lambda: pool.apply(children.square, (1,)),
        lambda: pool.apply_async(children.square, (1,)),
        lambda: pool.map(children.square, [1]),
        lambda: pool.map_async(children.square, [1]),
        lambda: pool.starmap(children.square, [(1,)]),
        lambda: pool.imap(children.square, [1]),
        lambda: pool.imap_unordered(children.square, [1]),
        lambda: pool.__enter__(),
    ):
        with pytest.raises(ValueError, match="Pool not running"):
            attempt()
    pool.join()


def test_join_without_close(pool):
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    assert still_works(pool)


def test_terminate_twice():
    pool = fork.Pool(2)
    pool.terminate()
    pool.terminate()
    pool.close()
    pool.join()
    assert "TERMINATE" in repr(pool)


def test_terminate_gives_back_what_nobody_reads():
    before = children.live_blocks()
    pool = fork.Pool(1)
    pool.imap(children.square, iter(range(5000)))
    pool.map_async(children.square, range(100))
    pool.terminate()
    gc.collect()
    assert children.live_blocks() <= before + 10 and "TERMINATE" in repr(pool)


def test_terminate_in_a_callback():
    pool = fork.Pool(2)
    ended = threading.Event()

    def end(value):
        pool.terminate()
        ended.set()

    result = pool.apply_async(children.square, (3,), callback=end)
    other = pool.apply_async(children.hang)
    assert result.get(SOON) == 9 and ended.wait(SOON)
    with pytest.raises(Exception, match="hang|cancelled"):
        other.get(SOON)
    pool.join()


def test_results_outlive_their_pool():
    with fork.Pool(1) as pool:
        result, mapped = pool.apply_async(children.square, (3,)), pool.map_async(children.square, range(3))
        results = pool.imap(children.square, range(3))
        pool.close()
        pool.join()
    del pool
    gc.collect()
    assert result.get(SOON) == 9 and mapped.get(SOON) == [0, 1, 4] and list(results) == [0, 1, 4]


def test_a_pool_that_was_not_closed():
    pool = fork.Pool(2)
    workers = pool._pool
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
        gc.collect()
    until(lambda: not any(worker.is_alive() for worker in workers))


def test_a_pool_that_is_dropped_with_tasks_under_way():
    pool = fork.Pool(2)
    workers = pool._pool
    for _ in range(10):
        pool.apply_async(children.hang)
    iterator = pool.imap(children.hang, range(100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del pool, iterator
        gc.collect()
    until(lambda: not any(worker.is_alive() for worker in workers))


def test_a_result_keeps_its_pool():
    result = fork.Pool(1).apply_async(children.square, (3,))
    gc.collect()
    assert result.get(SOON) == 9
    with pytest.warns(ResourceWarning):
        del result
        gc.collect()


def test_a_pool_does_not_travel(pool):
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)
    with pytest.raises(NotImplementedError):
        pool.apply(children.same, (pool,))


# --- interrupts -----------------------------------------------------------------------------------------------


@pytest.fixture
def interrupt():
    """Ctrl-C for this process, again and again from a thread until it is stopped."""
    stop, threads = threading.Event(), []

    def start():
        threads.append(threading.Thread(target=lambda: stop.wait(0.1) or os.kill(os.getpid(), signal.SIGINT)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("wait", ["get", "wait", "map", "next", "iterate", "join"])
def test_an_interrupt_ends_the_wait_and_not_the_pool(wait, interrupt):
    go = fork.Event()
    pool = fork.Pool(2)
    result = pool.apply_async(children.wait_for, (go, 5))
    mapped = pool.starmap_async(children.wait_for, [(go, x) for x in range(4)])
    results = pool.imap(children.call, [(children.wait_for, go, x) for x in range(4)])
    workers = pool._pool
    if wait == "join":
        pool.close()
    waits = {
        "get": result.get,
        "wait": result.wait,
        "map": mapped.get,
        "next": lambda: results.next(SOON),
        "iterate": lambda: next(results),
        "join": pool.join,
    }
    with pytest.raises(KeyboardInterrupt):
        interrupt()
        waits[wait]()
    go.set()
    assert result.get(SOON) == 5 and mapped.get(SOON) == [0, 1, 2, 3] and list(results) == [0, 1, 2, 3]
    if wait != "join":
        assert still_works(pool) and pool._pool == workers
        pool.close()
    pool.join()


def test_an_interrupt_of_all_processes(tmp_path):
    """As from a terminal: the workers leave it to their owner."""
    output = script(
        tmp_path,
        """
        import os, signal, threading, tutti

        def wait(event):
            event.wait()
            return os.getppid()

        def meet(barrier):
            barrier.wait(30)

        if __name__ == "__main__":
            os.setpgrp()
            event = tutti.Event()
            with tutti.get_context("fork").Pool(2) as pool:
                pids = [worker.pid for worker in pool._pool]
                pool.map(meet, [tutti.Barrier(2)] * 2, 1)
                result = pool.apply_async(wait, (event,))
                try:
                    os.killpg(0, signal.SIGINT)
                    result.get(30)
                except KeyboardInterrupt:
                    print("interrupted")
                event.set()
                print(result.get(30) == os.getpid(), pids == [worker.pid for worker in pool._pool])
        """,
    )
    assert output == "interrupted\nTrue True\n"


# --- forks ----------------------------------------------------------------------------------------------------


def test_a_forked_child_leaves_its_parents_pool_alone(pool):
    go, outcome = fork.Event(), fork.Queue()
    running = [pool.apply_async(children.wait_for, (go, number)) for number in range(2)]
    waiting = pool.apply_async(children.wait_for, (go, 5))
    until(lambda: all(result._has_started() for result in running))
    run(fork, children.use_inherited, pool, waiting, outcome)
    go.set()
    assert [result.get(SOON) for result in (*running, waiting)] == [0, 1, 5]
    assert outcome.get(timeout=1) == "done"
    assert still_works(pool)


@pytest.mark.parametrize("end", ["terminate", "__exit__", "close and join", "del"])
def test_a_forked_child_that_ends_its_parents_pool(pool, end):
    go = fork.Event()
    result = pool.apply_async(children.wait_for, (go, 5))
    until(result._has_started)
    workers = [worker.pid for worker in pool._pool]
    run(fork, children.end_inherited, pool, end)
    go.set()
    assert result.get(SOON) == 5
    assert [worker.pid for worker in pool._pool] == workers and still_works(pool)


def test_a_forked_child_may_have_a_pool_of_its_own(pool):
    outcome = fork.Queue()
    assert still_works(pool)
    process = fork.Process(target=children.nested_and_tell, args=(outcome,))
    process.start()
    assert outcome.get(timeout=SOON) == [0, 1, 4]
    process.join(SOON)
    assert process.exitcode == 0
    process.close()
    assert still_works(pool)


def test_a_pool_opened_by_a_thread_and_used_by_another():
    pools = []
    thread = threading.Thread(target=lambda: pools.append(fork.Pool(1)))
    thread.start()
    thread.join()
    with pools[0] as pool:
        assert still_works(pool)


def test_two_threads_read_one_iterator(pool):
    """As multiprocessing's: each result goes to one of them."""
    results, seen, failures = pool.imap(children.slow_square, range(200)), [], []

    def read():
        try:
            seen.extend(results)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert failures == [] and sorted(seen) == [(x, x * x) for x in range(200)]
