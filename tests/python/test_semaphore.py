# SPDX-License-Identifier: MIT
"""Semaphore and BoundedSemaphore."""

from __future__ import annotations

import pickle
import signal
import threading
import warnings

import pytest
from semaphore_children import give, take, take_and_die
from support import run

import tutti


@pytest.fixture(params=["Semaphore", "BoundedSemaphore"])
def kind(request):
    return getattr(tutti, request.param)


def test_counting(kind):
    semaphore = kind(2)
    assert semaphore.get_value() == 2
    assert semaphore.acquire() is True and semaphore.acquire() is True
    assert semaphore.acquire(False) is False and semaphore.acquire(timeout=0.01) is False
    assert semaphore.get_value() == 0 and semaphore.locked()
    semaphore.release()
    assert semaphore.get_value() == 1 and not semaphore.locked()
    with semaphore:
        assert semaphore.get_value() == 0
    semaphore.release()


def test_bounds():
    semaphore, bounded = tutti.Semaphore(), tutti.BoundedSemaphore()
    semaphore.release()
    assert semaphore.get_value() == 2
    with pytest.raises(ValueError, match="^semaphore or lock released too many times$"):
        bounded.release()
    assert bounded.get_value() == 1


def test_repr(kind):
    text = repr(kind(3))
    assert text == ("<Semaphore(value=3)>" if kind is tutti.Semaphore else "<BoundedSemaphore(value=3, maxvalue=3)>")


@pytest.mark.parametrize("value", [-1, 2**31, 2**62])
def test_values_that_cannot_be(kind, value):
    with pytest.raises(ValueError, match="value must be from 0"):
        kind(value)
    with pytest.raises(TypeError):
        kind("1")


def test_facade():
    semaphore, bounded = tutti.Semaphore(1), tutti.BoundedSemaphore(5)
    assert semaphore._semlock.maxvalue == 2**31 - 1 and bounded._semlock.maxvalue == 5
    with semaphore:
        assert semaphore._semlock._is_zero() and semaphore._semlock._count() == 1 and semaphore._semlock._is_mine()
    assert semaphore._semlock._count() == 0


def test_a_copy_is_the_same(kind):
    semaphore = kind(1)
    copy = pickle.loads(pickle.dumps(semaphore))
    semaphore.acquire()
    assert copy.acquire(False) is False
    assert repr(copy) == repr(semaphore)
    copy.release()


def test_between_processes(kind, ctx):
    semaphore = getattr(ctx, kind.__name__)(3)
    run(ctx, take, semaphore, 2)
    assert semaphore.get_value() == 1
    run(ctx, give, semaphore, 2)
    assert semaphore.get_value() == 3


def test_a_killed_process_gives_back_and_the_taker_is_warned(kind, ctx):
    semaphore = kind(2, name="seats")
    run(ctx, take_and_die, semaphore, 2, exitcode=-signal.SIGKILL)
    with pytest.warns(RuntimeWarning, match="seats"):
        assert semaphore.acquire(timeout=5) is True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert semaphore.acquire(timeout=5) is True
    assert semaphore.acquire(False) is False
    give(semaphore, 2)


def test_a_clean_exit_gives_nothing_back(kind, ctx):
    semaphore = kind(1)
    run(ctx, take, semaphore)
    assert semaphore.acquire(timeout=0.3) is False


def test_where_warnings_are_errors_the_permit_is_given_back(kind, ctx):
    semaphore = kind(1)
    run(ctx, take_and_die, semaphore, 1, exitcode=-signal.SIGKILL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            with semaphore:
                pytest.fail("entered")
    assert semaphore.acquire(False)
    semaphore.release()


def test_many_threads(kind):
    semaphore, inside, most = kind(3), [], []

    def work():
        for _ in range(200):
            with semaphore:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 3 and semaphore.get_value() == 3
