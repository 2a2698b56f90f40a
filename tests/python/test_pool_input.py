# SPDX-License-Identifier: MIT
"""Pools that are given bad input, and pools that are used in the wrong way."""

from __future__ import annotations

import collections
import functools
import pickle
import threading

import pool_children as children
import pytest
from support import SOON, script, still_works, until

import tutti
from tutti import _tutti
from tutti.pool import MaybeEncodingError, WorkerDied

pytestmark = pytest.mark.timeout(60)
fork = tutti.get_context("fork")


# --- pools that cannot be -------------------------------------------------------------------------------------


def test_arguments_that_cannot_be():
    for error, attempt in (
        (ValueError, lambda: fork.Pool(0)),
        (ValueError, lambda: fork.Pool(-1)),
        (TypeError, lambda: fork.Pool(1.5)),
        (TypeError, lambda: fork.Pool(1, initializer=5)),
        (ValueError, lambda: fork.Pool(1, maxtasksperchild=0)),
        (ValueError, lambda: fork.Pool(1, maxtasksperchild=1.5)),
        (ValueError, lambda: fork.Pool(1, name="n" * 100)),
        (TypeError, lambda: fork.Pool(1, children.configure, 5)),
    ):
        with pytest.raises(error):
            attempt()


def test_an_initializer_that_raises(capfd):
    pool = fork.Pool(2, children.refuse_to_start, ("no such table",))
    for attempt in (
        lambda: pool.apply_async(children.square, (2,)).get(SOON),
        lambda: pool.map_async(children.square, range(5)).get(SOON),
        lambda: pool.imap(children.square, range(5)).next(SOON),
        lambda: pool.imap_unordered(children.square, iter(range(5))).next(SOON),
    ):
        with pytest.raises(tutti.Error, match="RuntimeError: no such table"):
            attempt()
    pool.close()
    pool.join()
    assert "no such table" in capfd.readouterr().err


def test_an_initializer_that_raises_and_callbacks(capfd):
    go, errors = fork.Event(), []
    with fork.Pool(1, children.wait_and_refuse, (go, "no such table")) as pool:
        result = pool.apply_async(children.square, (2,), error_callback=errors.append)
        mapped = pool.map_async(children.square, [2], error_callback=errors.append)
        go.set()
        for broken in (result, mapped):
            with pytest.raises(tutti.Error, match="no such table"):
                broken.get(SOON)
        assert [str(error).partition("no such")[2] for error in errors] == [" table"] * 2
    capfd.readouterr()


def test_several_threads_are_told_of_a_broken_pool(capfd):
    go, told = fork.Event(), []
    with fork.Pool(1, children.wait_and_refuse, (go, "Ж" * 300)) as pool:  # longer than the text that is kept
        result = pool.apply_async(children.square, (2,), error_callback=told.append)
        plain, mapped = pool.apply_async(children.square, (2,)), pool.map_async(children.square, range(9))

        def get():
            try:
                plain.get(SOON)
            except tutti.Error as error:
                told.append(error)

        threads = [threading.Thread(target=get) for _ in range(4)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(SOON)
        with pytest.raises(tutti.Error, match="Ж"):
            result.get(SOON)
        until(mapped.ready)
        assert not mapped.successful() and len(told) == 5
        del told[:]
    capfd.readouterr()


def test_a_broken_pool_can_be_terminated(capfd):
    with fork.Pool(2, children.refuse_to_start, ("no such table",)) as pool:
        with pytest.raises(tutti.Error):
            pool.apply_async(children.square, (2,)).get(SOON)
    capfd.readouterr()


@pytest.mark.parametrize("code", [0, 3])
def test_an_initializer_that_leaves(code):
    log = fork.Queue()
    pool = fork.Pool(2, children.tell_and_leave, (log, code))
    with pytest.raises(tutti.Error, match="before they are ready.*exit code %d" % code):
        pool.apply_async(children.square, (2,)).get(SOON)
    pool.close()
    pool.join()
    assert 2 <= log.qsize() < 20  # workers were not started for ever


def test_an_initializer_that_cannot_be_sent():
    with pytest.raises(TypeError, match="lock"):
        tutti.get_context("spawn").Pool(1, children.same, (threading.Lock(),))


# --- what does not travel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [children.not_sendable, children.raise_not_sendable, children.no_repr])
def test_outcomes_that_cannot_be_sent(pool, function):
    others = [pool.apply_async(children.square, (number,)) for number in range(5)]
    result = pool.apply_async(function)
    with pytest.raises(MaybeEncodingError):
        result.get(SOON)
    assert [other.get(SOON) for other in others] == [0, 1, 4, 9, 16] and still_works(pool)


def test_outcomes_in_a_map_that_cannot_be_sent(pool):
    for values in (
        pool.map(children.kind_of_trouble, range(6), 1, return_exceptions=True),
        list(pool.imap(children.kind_of_trouble, range(6), return_exceptions=True)),
    ):
        assert [values[0], *values[4:]] == [0, 4, 5]
        assert type(values[1]) is children.Refused
        assert type(values[2]) is MaybeEncodingError and type(values[3]) is MaybeEncodingError
    with pytest.raises(MaybeEncodingError):
        pool.map(children.not_sendable, range(4), 2)
    assert still_works(pool)


def test_arguments_that_cannot_be_sent(pool):
    for attempt in (
        lambda: pool.apply(lambda it=(x for x in ()): 1),
        lambda: pool.apply_async(children.same, (threading.Lock(),)),
        lambda: pool.apply_async(children.same, (), {"value": threading.Lock()}),
        lambda: pool.map(children.same, [1, 2, threading.Lock()]),
        lambda: pool.map(functools.partial(children.same, threading.Lock()), [1, 2]),
        lambda: list(pool.imap(children.same, [1, 2, threading.Lock()])),
    ):
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="cannot be pickled"):
            attempt()
        assert still_works(pool)


def test_inputs_before_one_that_cannot_be_sent(pool):
    results = pool.imap(children.square, [2, 3, threading.Lock(), 4])
    assert [results.next(SOON), results.next(SOON)] == [4, 9]
    with pytest.raises(TypeError, match="cannot be pickled"):
        results.next(SOON)
    assert results.next(SOON) == 16
    with pytest.raises(StopIteration):
        results.next(SOON)


@pytest.mark.parametrize("method", ["imap", "imap_unordered", "map"])
def test_an_input_that_cannot_be_sent_fails_alone(pool, method):
    inputs = [1, threading.Lock(), 3, threading.Lock(), 5]
    results = list(getattr(pool, method)(children.same, inputs, 1, return_exceptions=True))
    assert len(results) == 5 and sum(isinstance(result, TypeError) for result in results) == 2
    assert [result for result in results if not isinstance(result, TypeError)] == [1, 3, 5] or method == "imap_unordered"


def test_an_iterator_is_not_read_before_somebody_asks_for_results(pool):
    taken = []

    def inputs():
        for number in range(1000):
            taken.append(number)
            yield number

    results = pool.imap(children.same, inputs())
    assert 2 <= len(taken) <= 5  # what keeps two workers busy
    assert list(results) == list(range(1000))


def test_outcomes_that_do_not_arrive(pool):
    others = [pool.apply_async(children.square, (number,)) for number in range(5)]
    with pytest.raises(children.Refused, match="at its arrival"):
        pool.apply_async(children.not_receivable).get(SOON)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        pool.apply_async(children.raise_not_receivable).get(SOON)
    assert [other.get(SOON) for other in others] == [0, 1, 4, 9, 16]
    with pytest.raises(children.Refused, match="at its arrival"):
        pool.map(children.not_receivable, range(4), 2)
    results = pool.imap(children.not_receivable_if_odd, range(4))
    seen = []
    for _ in range(4):
        try:
            seen.append(results.next(SOON))
        except children.Refused:
            seen.append(None)
    assert seen == [0, None, 2, None] and still_works(pool)


def test_arguments_that_do_not_arrive(pool):
    """They unpickle in the worker: the task fails there, and the worker goes on."""
    for attempt in (
        lambda: pool.apply(children.same, (children.NotReceivable(),)),
        lambda: pool.map(children.same, [children.NotReceivable()] * 2),
    ):
        with pytest.raises(children.Refused, match="at its arrival"):
            attempt()
    assert still_works(pool)


def test_a_function_that_is_not_there_in_the_worker():
    with fork.Pool(1) as pool:
        children.came_later = function = children.named_function("came_later")
        try:
            with pytest.raises(AttributeError, match="came_later"):
                pool.apply(function, (1,))
        finally:
            del children.came_later
        assert still_works(pool)


# --- functions and arguments ----------------------------------------------------------------------------------


def test_functions_that_cannot_be_called(pool):
    for function in (None, 5, "square"):
        with pytest.raises(TypeError, match="not callable"):
            pool.apply(function, (1,))
        with pytest.raises(TypeError, match="not callable"):
            pool.map(function, [1])
    assert still_works(pool)


def test_arguments_of_the_wrong_kind(pool):
    for error, attempt in (
        (TypeError, lambda: pool.apply()),
        (TypeError, lambda: pool.apply_async()),
        (TypeError, lambda: pool.apply_async(children.square, 5)),
        (TypeError, lambda: pool.apply_async(children.square, (2,), wrong=1)),
        (TypeError, lambda: pool.map(children.square, 5)),
        (TypeError, lambda: pool.map(children.square, [2], "two")),
        (TypeError, lambda: pool.imap(children.square, 5)),
        (TypeError, lambda: pool.imap(children.square, [2], wrong=1)),
        (TypeError, lambda: pool.starmap(children.add, [5])),
        (TypeError, lambda: pool.starmap(children.add, [5, 6], 2)),
        (TypeError, lambda: pool.apply(children.square)),
        (TypeError, lambda: pool.apply(children.add, (1,), {5: 1})),
        (TypeError, lambda: pool.imap(children.square, [2]).next("soon")),
    ):
        with pytest.raises(error):
            attempt()
        assert still_works(pool)


def test_keywords(pool):
    assert pool.apply(children.add, (1,), None) == 1
    assert pool.apply(children.add, (1,), collections.OrderedDict(b=2, more=3)) == 6
    assert pool.apply(children.add, (1,), collections.defaultdict(int, b=2)) == 3


def test_keywords_in_a_mapping_that_is_no_dict(pool):
    assert pool.apply(children.add, (1,), collections.UserDict(b=2)) == 3  # as f(**mapping)


@pytest.mark.parametrize("keywords", [0, 1, 5, "text", [1]], ids=repr)
def test_keywords_that_are_none(pool, keywords):
    with pytest.raises(TypeError):
        pool.apply(children.add, (1, 2), keywords)
    assert still_works(pool)


@pytest.mark.parametrize("chunksize", [0, -1])
def test_sizes_of_chunks_that_cannot_be(pool, chunksize):
    for method in (pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match="Chunksize must be 1"):
            method(children.square, [1], chunksize)
    if chunksize == 0:
        assert pool.map(children.square, [1, 2], chunksize) == [1, 4]
    with pytest.raises(ValueError):
        pool.imap(children.square, [1], buffersize=chunksize)


def test_nothing_to_do(pool):
    for empty in ([], (), iter(()), {}, ""):
        assert pool.map(children.square, empty) == [] and pool.starmap(children.square, empty) == []
        assert list(pool.imap(children.square, empty)) == [] and list(pool.imap_unordered(children.square, empty)) == []
    values = []
    result = pool.map_async(children.square, [], callback=values.append)
    assert result.get(SOON) == [] and result.ready() and result.successful() and values == [[]]


# --- inputs that raise ----------------------------------------------------------------------------------------


def half_way(count):
    yield from range(count)
    raise children.Refused(count, "half way")


def test_an_iterator_that_raises(pool):
    with pytest.raises(children.Refused, match="half way"):
        pool.map(children.square, half_way(5))
    for method in (pool.imap, pool.imap_unordered):
        for options in ({}, {"buffersize": 2}):
            results, seen = method(children.square, half_way(5), **options), []
            with pytest.raises(children.Refused, match="half way"):
                for value in results:
                    seen.append(value)
            assert sorted(seen) == [0, 1, 4, 9, 16]
            assert next(results, "end") == "end"
    with pytest.raises(children.Refused, match="half way"):
        next(pool.imap(children.square, half_way(0)))
    assert still_works(pool)


def test_join_after_an_iterator_that_raises():
    pool = fork.Pool(1)
    results = pool.imap(children.square, half_way(5), buffersize=1)
    pool.close()
    pool.join()
    with pytest.raises(children.Refused, match="half way"):
        list(results)


def test_an_iterator_that_uses_its_own_results(pool):
    def inputs():
        yield 1
        yield next(results)

    results = pool.imap(children.square, inputs(), buffersize=1)
    assert next(results) == 1
    with pytest.raises(ValueError):
        next(results)
    assert still_works(pool)


# --- tasks ----------------------------------------------------------------------------------------------------


def test_a_recursion_without_end(pool):
    with pytest.raises(RecursionError):
        pool.apply_async(children.endless).get(SOON)
    assert still_works(pool)


def test_stop_iteration_of_a_task(pool):
    with pytest.raises(StopIteration):
        pool.apply_async(children.raise_stop_iteration, (2,)).get(SOON)
    with pytest.raises(StopIteration):
        pool.map(children.raise_stop_iteration, range(5), 1)
    assert type(pool.map(children.raise_stop_iteration, range(5), 1, return_exceptions=True)[2]) is StopIteration


def test_exceptions_that_are_no_exception(pool):
    with pytest.raises(KeyboardInterrupt, match="of the function's own"):
        pool.apply_async(children.raise_keyboard_interrupt).get(SOON)
    with pytest.raises(WorkerDied) as caught:
        pool.apply_async(children.raise_base_exception).get(SOON)
    assert caught.value.exitcode == 1 and still_works(pool)


def test_tasks_that_print(tmp_path):
    output = script(
        tmp_path,
        """
        import sys, tutti

        def tell(number):
            print("number", number)
            return number

        if __name__ == "__main__":
            print("before")
            with tutti.get_context("fork").Pool(2) as pool:
                pool.map(tell, range(20))
                pool.close()
                pool.join()
            print("after")
        """,
    )
    lines = output.splitlines()
    assert lines.count("before") == 1 and lines.count("after") == 1
    assert sorted(line for line in lines if line[:6] == "number") == sorted(f"number {number}" for number in range(20))


@pytest.mark.parametrize("of", [list, iter])
def test_large_inputs_are_copied_only_a_few_ahead(pool, of):
    mb = 1 << 20
    results = pool.imap(children.length, of([bytes(4 * mb)] * 40))
    assert results.next(SOON) == 4 * mb
    assert _tutti._arena_usage()["live_bytes"] < 48 * mb
    assert list(results) == [4 * mb] * 39
    assert pool.map(children.length, [bytes(4 * mb)] * 40, 1) == [4 * mb] * 40


def test_large_inputs_of_a_stream_that_nobody_reads_are_run(pool, tmp_path):
    path = str(tmp_path / "ran")
    pool.imap(functools.partial(children.append_once, path), [bytes(4 << 20)] * 30)
    pool.close()
    pool.join()
    assert (tmp_path / "ran").stat().st_size == 30
