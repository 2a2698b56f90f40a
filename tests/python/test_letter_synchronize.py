# SPDX-License-Identifier: MIT
"""Letter mode's locks: what multiprocessing does, with Tutti's objects inside."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import warnings
from multiprocessing import synchronize as standard

import pytest
from letter_children import pass_on, use_all
from lock_children import take_and_die
from support import run

import tutti
from tutti import _letter_synchronize as letter

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"]


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def standard_ctx(request):
    return multiprocessing.get_context(request.param)


@pytest.mark.parametrize("name", KINDS)
def test_classes_replace_those_of_the_same_name(name):
    cls = getattr(letter, name)
    assert issubclass(cls, getattr(standard, name)) and issubclass(cls, getattr(tutti, name))
    assert cls.__name__ == name
    with pytest.raises(TypeError, match="ctx"):
        cls()
    assert issubclass(letter.Barrier, standard.Barrier)


def make_all(ctx):
    return [getattr(letter, name)(ctx=ctx) for name in KINDS] + [letter.Barrier(1, ctx=ctx)]


def test_all_kinds_in_a_child(standard_ctx):
    shared = make_all(standard_ctx)
    run(standard_ctx, use_all, *shared)
    assert shared[5].is_set()
    assert all(type(one).__module__ == "tutti._letter_synchronize" for one in shared)


def test_a_child_passes_on_what_it_got(standard_ctx):
    shared = make_all(standard_ctx)
    run(standard_ctx, pass_on, standard_ctx.get_start_method(), *shared)
    assert shared[5].is_set()


def test_pickled_only_while_spawning(standard_ctx):
    for one in make_all(standard_ctx):
        name = type(one).__name__
        with pytest.raises(
            RuntimeError, match=f"^{name} objects should only be shared between processes through inheritance$"
        ):
            pickle.dumps(one)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_of_the_fork_context_to_another(method):
    lock = letter.Lock(ctx=multiprocessing.get_context("fork"))
    process = multiprocessing.get_context(method).Process(target=print, args=(lock,))
    with pytest.raises(RuntimeError, match="A SemLock created in a fork context is being shared with a process in a spawn"):
        process.start()
    process._popen = None


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_after_a_death_the_acquire_succeeds_with_a_warning(name, standard_ctx):
    lock = getattr(letter, name)(ctx=standard_ctx)
    run(standard_ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    with pytest.warns(RuntimeWarning, match=r"was held by pid \d+ .*killed"):
        assert lock.acquire() is True
    lock.release()
    run(standard_ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    with pytest.warns(RuntimeWarning):
        with lock:
            assert lock._is_mine()
    assert not lock.locked()


def test_the_warning_names_the_signal(standard_ctx):
    lock = letter.Lock(ctx=standard_ctx)
    process = standard_ctx.Process(target=take_and_die, args=(lock,))
    process.start()
    process.join()
    with pytest.warns(RuntimeWarning, match=r"killed by signal 9 \(SIGKILL\)"):
        lock.acquire()
    lock.release()
    process.close()


def test_where_warnings_are_errors_nobody_holds_it(standard_ctx):
    lock = letter.Lock(ctx=standard_ctx)
    run(standard_ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            lock.acquire()
    assert not lock._is_mine()
    with pytest.warns(RuntimeWarning):
        lock.acquire()
    lock.release()


def test_values():
    ctx = multiprocessing.get_context("fork")
    with pytest.raises(OSError, match="Invalid argument"):
        letter.Semaphore(-1, ctx=ctx)
    with pytest.raises(OverflowError):
        letter.Semaphore(2**31, ctx=ctx)
    with pytest.raises(OSError, match="Invalid argument"):
        letter.BoundedSemaphore(0, ctx=ctx)
    with pytest.raises(TypeError):
        letter.Semaphore("1", ctx=ctx)


def test_names():
    assert letter.Lock(ctx=multiprocessing.get_context("fork"))._semlock.name is None
    lock = letter.Lock(ctx=multiprocessing.get_context("spawn"))
    name = lock._semlock.name
    assert name == lock._semlock.name and os.path.exists(f"/dev/shm/sem.{name[1:]}")
    del lock
    assert not os.path.exists(f"/dev/shm/sem.{name[1:]}")
