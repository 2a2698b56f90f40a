# SPDX-License-Identifier: MIT
"""Pools: what every method gives, under each start method."""

from __future__ import annotations

import functools
import multiprocessing
import operator
import os
import pickle
import threading
import time

import pool_children as children
import pytest
from support import SOON, until

import tutti
from tutti import pool as pools

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


# --- one call -------------------------------------------------------------------------------------------------


def test_apply(pool):
    assert pool.apply(children.square, (7,)) == 49
    assert pool.apply(children.add, [1, 2, 3]) == 6
    assert pool.apply(children.add, (1,), {"b": 2, "more": 3}) == 6
    assert pool.apply(children.add, args=(1,), kwds={"b": 5}) == 6
    assert pool.apply(children.pid_of) != os.getpid()


def test_apply_async(pool):
    go = fork.Event()
    result = pool.apply_async(children.wait_for, (go, "value"))
    assert isinstance(result, pools.AsyncResult) and pools.ApplyResult is pools.AsyncResult
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(tutti.TimeoutError):
        result.get(timeout=0.02)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0)
    assert result.wait(0.02) is None and not result.ready()
    go.set()
    result.wait(SOON)
    assert result.ready() and result.successful()
    assert [result.get(), result.get(timeout=0)] == ["value", "value"]


def test_a_failed_call(pool):
    result = pool.apply_async(children.refuse, (5,), {"why": "it is five"})
    result.wait(SOON)
    assert result.ready() and not result.successful()
    for _ in range(2):
        with pytest.raises(children.Refused) as caught:
            result.get(SOON)
        assert (caught.value.number, caught.value.why) == (5, "it is five")
    cause = caught.value.__cause__
    assert isinstance(cause, pools.RemoteTraceback)
    assert "in refuse" in str(cause) and "pool_children.py" in str(cause)


def test_every_kind_of_function(pool):
    number = children.Number(40)
    calls = [
        (len, "four", 4),
        (int, "12", 12),
        (str.upper, "abc", "ABC"),
        (operator.neg, 5, -5),
        (children.Number, 3, children.Number(3)),
        (number.plus, 2, 42),
        (children.Number.named, 1, ("Number", 1)),
        (children.Number.negative, 1, -1),
        (children.Outer.Inner.twice, 4, 8),
        (children.Callable(), 1, ("called", 1)),
        (functools.partial(children.add, 10), 5, 15),
        (functools.partial(children.add, more=1), 5, 6),
        ([1, 2, 3].index, 3, 2),
    ]
    for function, argument, value in calls:
        assert pool.apply_async(function, (argument,)).get(SOON) == value
        assert pool.map(function, [argument] * 3) == [value] * 3


def test_more_functions_than_the_catalogue_has_places(pool):
    results = [pool.apply_async(function, (1,)) for function in children.FUNCTIONS]
    assert [result.get(SOON) for result in results] == [(number, 1) for number in range(300)]
    assert [pool.map(function, [2])[0] for function in reversed(children.FUNCTIONS)] == [(n, 2) for n in reversed(range(300))]


def test_a_name_that_is_bound_anew_in_the_worker():
    with fork.Pool(1) as pool:
        assert pool.apply(children.rebound, (1,)) == ("old", 1)
        pool.apply(children.rebind)
        assert pool.apply(children.rebound, (2,)) == ("new", 2)  # by its name, as pickle has it


def test_a_name_that_is_bound_anew_in_the_owner(pool):
    old = children.rebound
    assert pool.apply(old, (1,)) == ("old", 1)
    children.rebind()
    try:
        assert pool.apply(old, (1,)) == ("old", 1)  # by value: by its name another one would come
        assert pool.apply(children.rebound, (1,)) == ("old", 1)  # what the name is in a worker
    finally:
        children.rebind(False)
    assert pool.apply(old, (2,)) == ("old", 2)


# --- many calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_map(pool, chunksize):
    assert pool.map(children.square, range(50), chunksize) == [x * x for x in range(50)]
    assert pool.map(children.square, iter(range(7)), chunksize=chunksize) == [x * x for x in range(7)]
    assert pool.starmap(children.add, [(x, x) for x in range(50)], chunksize) == [2 * x for x in range(50)]
    assert pool.starmap(children.add, ([x, 1, 2] for x in range(7)), chunksize) == [x + 3 for x in range(7)]


def test_map_runs_in_all_workers():
    with fork.Pool(3) as pool:
        started, go = fork.Semaphore(0), fork.Event()
        result = pool.starmap_async(children.count_and_wait, [(started, go)] * 3, chunksize=1)
        assert all(started.acquire(timeout=SOON) for _ in range(3))
        go.set()
        assert len(set(result.get(SOON))) == 3


def test_map_async(pool):
    go = fork.Event()
    result = pool.starmap_async(children.wait_for, [(go, x) for x in range(10)], 2)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(tutti.TimeoutError):
        result.get(0.02)
    result.wait(0.02)
    go.set()
    result.wait(SOON)
    assert result.ready() and result.successful() and result.get(SOON) == list(range(10))
    assert pool.map_async(children.square, range(5)).get(SOON) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("chunksize", [1, 4])
def test_map_of_which_some_fail(pool, chunksize):
    result = pool.map_async(children.refuse_if_odd, range(8), chunksize)
    result.wait(SOON)
    assert result.ready() and not result.successful()
    with pytest.raises(children.Refused) as caught:
        result.get(SOON)
    assert caught.value.number == 1  # the first of them
    with pytest.raises(children.Refused):
        pool.map(children.refuse_if_odd, range(8), chunksize)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_exceptions_as_values(pool, chunksize):
    for values in (
        pool.map(children.refuse_if_odd, range(8), chunksize, return_exceptions=True),
        pool.map_async(children.refuse_if_odd, range(8), chunksize, return_exceptions=True).get(SOON),
        list(pool.imap(children.refuse_if_odd, range(8), chunksize, return_exceptions=True)),
        list(pool.imap(children.refuse_if_odd, iter(range(8)), chunksize, return_exceptions=True)),
    ):
        assert [value for value in values if isinstance(value, int)] == [0, 2, 4, 6]
        assert [error.number for error in values[1::2]] == [1, 3, 5, 7]
    unordered = list(pool.imap_unordered(children.refuse_if_odd, range(8), chunksize, return_exceptions=True))
    assert sorted(getattr(value, "number", value) for value in unordered) == list(range(8))
    assert pool.starmap(children.refuse, [(1,), (2,)], return_exceptions=True)[1].number == 2


@pytest.mark.parametrize("chunksize", [1, 7])
def test_imap(pool, chunksize):
    for inputs in (range(50), iter(range(50))):
        results = pool.imap(children.square, inputs, chunksize)
        assert iter(results) is results and isinstance(results, pools.IMapIterator)
        assert next(results) == 0 and results.next() == 1 and results.next(SOON) == 4
        assert list(results) == [x * x for x in range(3, 50)]
        for _ in range(2):
            with pytest.raises(StopIteration):
                results.next(SOON)
    for inputs in (range(50), iter(range(50))):
        assert sorted(pool.imap_unordered(children.square, inputs, chunksize)) == [x * x for x in range(50)]


def test_imap_in_time_or_not(pool):
    go = fork.Event()
    results = pool.imap(functools.partial(children.wait_for, go), range(3))
    for timeout in (0, 0.02, -1):
        with pytest.raises(tutti.TimeoutError):
            results.next(timeout)
    go.set()
    assert [results.next(SOON) for _ in range(3)] == [0, 1, 2]


def test_next_takes_its_timeout_by_name(pool):
    assert pool.imap(children.square, [3]).next(timeout=SOON) == 9


def test_imap_unordered_gives_what_is_there(pool):
    go = fork.Event()
    results = pool.imap_unordered(children.call, [(children.wait_for, go, "late"), (children.same, "early")])
    assert results.next(SOON) == "early"
    go.set()
    assert results.next(SOON) == "late"


@pytest.mark.parametrize("chunksize", [1, 4])
def test_imap_goes_on_after_a_failure(pool, chunksize):
    results = pool.imap(children.refuse_if_odd, range(8), chunksize)
    seen = []
    for _ in range(8):
        try:
            seen.append(results.next(SOON))
        except children.Refused as error:
            seen.append(-error.number)
    assert seen == [0, -1, 2, -3, 4, -5, 6, -7]
    assert next(results, "end") == "end"


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("buffersize, chunksize", [(1, 1), (5, 1), (8, 3)])
def test_inputs_are_taken_when_they_are_needed(pool, method, buffersize, chunksize):
    taken, most = 0, 0

    def inputs():
        nonlocal taken
        for number in range(60):
            taken += 1
            yield number

    seen = []
    for value in getattr(pool, method)(children.square, inputs(), chunksize, buffersize=buffersize):
        most = max(most, taken - len(seen))
        seen.append(value)
    assert sorted(seen) == [x * x for x in range(60)]
    assert 0 < most <= buffersize


def test_an_endless_input(pool):
    def numbers():
        number = 0
        while True:
            yield number
            number += 1

    for results in (pool.imap(children.square, numbers()), pool.imap(children.square, numbers(), buffersize=2)):
        assert [next(results) for _ in range(100)] == [x * x for x in range(100)]


# --- callbacks ------------------------------------------------------------------------------------------------


def test_a_callback_is_called_before_get_returns(pool):
    for submit, value in (
        (lambda call: pool.apply_async(children.square, (3,), callback=call), 9),
        (lambda call: pool.map_async(children.square, range(4), callback=call), [0, 1, 4, 9]),
        (lambda call: pool.starmap_async(children.add, [(1, 2)], callback=call), [3]),
    ):
        calls = []

        def call(result, calls=calls):
            threading.Event().wait(0.05)  # longer than the result needs
            calls.append((result, threading.current_thread() is threading.main_thread()))

        result = submit(call)
        assert result.get(SOON) == value
        assert calls == [(value, False)]


def test_an_error_callback(pool):
    for submit in (
        lambda **calls: pool.apply_async(children.refuse, (3,), **calls),
        lambda **calls: pool.map_async(children.refuse, [3, 4], **calls),
        lambda **calls: pool.starmap_async(children.refuse, [(3, "x"), (4, "y")], **calls),
    ):
        values, errors = [], []
        result = submit(callback=values.append, error_callback=errors.append)
        result.wait(SOON)
        assert [error.number for error in errors] == [3] and values == []
        with pytest.raises(children.Refused):
            result.get(SOON)
    errors = []
    assert pool.apply_async(children.square, (3,), error_callback=errors.append).get(SOON) == 9
    assert errors == []


def test_callbacks_are_called_though_nobody_asks(pool):
    values, errors = [], []
    for number in range(200):
        pool.apply_async(children.refuse_if_odd, (number,), callback=values.append, error_callback=errors.append)
    until(lambda: len(values) + len(errors) == 200)
    assert sorted(values) == list(range(0, 200, 2)) and sorted(error.number for error in errors) == list(range(1, 200, 2))


def test_a_callback_that_raises_stops_no_other(pool, monkeypatch):
    reported, values = [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    def fail(value):
        raise Exception("a callback's own", value)

    bad = pool.apply_async(children.square, (3,), callback=fail)
    good = pool.apply_async(children.square, (4,), callback=values.append)
    assert (bad.get(SOON), good.get(SOON), values) == (9, 16, [16])
    until(lambda: len(reported) == 1)
    assert reported[0].args == ("a callback's own", 9)
    assert bad.successful()


def test_a_callback_submits_further_calls(pool):
    results = []

    def go_on(value):
        results.append(value)
        if value < 1000:
            pool.apply_async(children.add, (value, value), callback=go_on)

    pool.apply_async(children.add, (1,), callback=go_on)
    until(lambda: results and results[-1] >= 1000)
    assert results == [2**power for power in range(11)]


def test_join_waits_for_callbacks():
    calls = []
    with fork.Pool(2) as pool:
        for number in range(20):
            pool.apply_async(children.square, (number,), callback=calls.append)
        pool.close()
        pool.join()
        assert sorted(calls) == [x * x for x in range(20)]


def test_callbacks_are_not_held_up_by_a_long_call(pool):
    go = fork.Event()
    late = pool.apply_async(children.wait_for, (go,), callback=lambda value: None)
    start = time.monotonic()
    for number in range(100):
        assert pool.apply_async(children.square, (number,), callback=lambda value: None).get(SOON) == number * number
    took = time.monotonic() - start
    go.set()
    late.get(SOON)
    assert took < 8, "each waited for a pause of the thread that calls callbacks"


def test_results_are_read_beside_calls_with_callbacks(pool):
    """Each such call wakes the thread that waits for results with callbacks, and no other."""
    read, called = [], []

    def read_all():
        read.append(pool.map(children.pause_and_square, range(60), 1))
        read.append(list(pool.imap(children.pause_and_square, range(60))))
        read.append(sorted(pool.imap_unordered(children.pause_and_square, range(60))))

    mapped = pool.map_async(children.pause_and_square, range(20), 1, callback=called.append)
    reader = threading.Thread(target=read_all)
    reader.start()
    results = []
    while reader.is_alive():
        results.append(pool.apply_async(children.square, (3,), callback=called.append))
        results[-1].get(SOON)
    reader.join()
    assert read == [[x * x for x in range(60)]] * 3
    assert mapped.get(SOON) == [x * x for x in range(20)]
    assert len(called) == len(results) + 1
