# SPDX-License-Identifier: MIT
"""Condition: multiprocessing's semantics; deaths and signals."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time

import pytest
from condition_children import hold_and_die, notify_and_die, sleep_on, waiters
from support import run, started, until

import tutti


@pytest.fixture(params=["Lock", "RLock"])
def new(request):
    """Makes a condition; a fixture's own value would outlive the count of what is left."""
    return lambda: tutti.Condition(getattr(tutti, request.param)())


def test_the_lock_must_be_held(new):
    condition = new()
    for call in (lambda: condition.wait(), lambda: condition.wait(0.1)):
        with pytest.raises(AssertionError, match=r"^must acquire\(\) condition before using wait\(\)$"):
            call()
    for call in (condition.notify, condition.notify_all, lambda: condition.notify(3)):
        with pytest.raises(AssertionError, match="^lock is not owned$"):
            call()
    with pytest.raises(AssertionError):
        condition.wait_for(lambda: False, 0.1)


def test_another_threads_lock_is_not_mine(new):
    condition = new()
    thread = threading.Thread(target=condition.acquire)
    thread.start()
    thread.join()
    with pytest.raises(AssertionError):
        condition.notify()
    with pytest.raises(AssertionError):
        condition.wait(0)


def test_default_lock_is_an_rlock():
    condition = tutti.Condition()
    assert type(condition._lock) is tutti.RLock
    with condition, condition:
        assert repr(condition) == "<Condition(<RLock(MainProcess, 2)>, 0)>"


def test_a_wait_that_times_out(new):
    condition = new()
    with condition:
        for timeout in (0, -1, 0.02):
            begin = time.monotonic()
            assert condition.wait(timeout) is False
            assert time.monotonic() - begin < 5
        assert condition._lock._is_mine()
        assert waiters(condition) == 0


def test_all_levels_are_given_up_and_taken_again():
    condition, woken = tutti.Condition(), tutti.Semaphore(0)
    thread = threading.Thread(target=sleep_on, args=(condition, woken))
    with condition, condition, condition:
        assert condition.wait(0.01) is False
        assert condition._lock._count() == 3
    thread.start()
    until(lambda: waiters(condition) == 1)
    with condition, condition:
        condition.notify()
    thread.join()
    assert woken.get_value() == 1


@pytest.mark.parametrize("number, expected", [(1, 1), (2, 2), (0, 0), (-5, 0), (100, 3), (2**70, 3)])
def test_notify_wakes_that_many(new, number, expected):
    condition = new()
    woken = tutti.Semaphore(0)
    threads = [threading.Thread(target=sleep_on, args=(condition, woken)) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: waiters(condition) == 3)
    with condition:
        condition.notify(n=number)
    until(lambda: woken.get_value() == expected)
    until(lambda: waiters(condition) == 3 - expected)
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()
    assert woken.get_value() == 3


def test_notify_without_waiters_is_not_kept(new):
    condition = new()
    with condition:
        condition.notify()
        condition.notify_all()
        assert condition.wait(0.01) is False
    with condition:
        with pytest.raises(TypeError):
            condition.notify("1")


def test_wait_for(new):
    condition = new()
    state = []
    with condition:
        assert condition.wait_for(lambda: "at once") == "at once"
        assert condition.wait_for(lambda: 0, timeout=0.02) == 0
    thread = threading.Thread(target=lambda: (condition.acquire(), state.append(7), condition.notify(), condition.release()))
    with condition:
        thread.start()
        assert condition.wait_for(lambda: state, timeout=20) == [7]
    thread.join()


def test_between_processes(ctx):
    condition, woken = ctx.Condition(), ctx.Semaphore(0)
    processes = [ctx.Process(target=sleep_on, args=(condition, woken)) for _ in range(3)]
    for process in processes:
        process.start()
    until(lambda: waiters(condition) == 3)
    with condition:
        condition.notify(2)
    until(lambda: woken.get_value() == 2)
    with condition:
        condition.notify_all()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    assert woken.get_value() == 3


def test_the_lock_is_taken_by_its_own_methods():
    """Also by those of a class in Python, with what they return and raise."""
    calls = []

    class Watched(tutti.Lock):
        def acquire(self, block=True, timeout=None):
            calls.append(("acquire", block, timeout))
            return super().acquire(block, timeout)

        def release(self):
            calls.append("release")
            super().release()

        def __enter__(self):
            calls.append("enter")
            return super().__enter__()

        def __exit__(self, *args):
            calls.append(args[0])
            return super().__exit__(*args)

    condition = tutti.Condition(Watched())
    assert condition.acquire(timeout=1) is True and condition.acquire(False) is False
    condition.release()
    with pytest.raises(LookupError), condition as entered:
        assert entered is True
        raise LookupError
    assert calls == [("acquire", True, 1), ("acquire", False, None), "release", "enter", LookupError]
    for wrong in ((1, 2, 3), range(20)):
        with pytest.raises(TypeError, match="acquire"):
            condition.acquire(*wrong)
    with pytest.raises(ValueError, match="released too many times"):
        condition.release()


def test_a_lock_that_is_none():
    for wrong in (3, "lock", threading.Lock(), tutti.Semaphore()):
        with pytest.raises(TypeError, match="needs a Lock or an RLock"):
            tutti.Condition(wrong)


def test_a_copy_is_the_same(new):
    condition = new()
    copy = pickle.loads(pickle.dumps(condition))
    woken = tutti.Semaphore(0)
    thread = threading.Thread(target=sleep_on, args=(copy, woken))
    thread.start()
    until(lambda: waiters(condition) == 1)
    with condition:
        condition.notify()
    thread.join()
    assert type(copy._lock) is type(condition._lock) and woken.get_value() == 1


def test_a_copy_without_its_lock():
    condition = tutti.Condition()
    copy = tutti.Condition._open(condition._handle())
    with pytest.raises(ValueError):
        copy.wait(0)
    with pytest.raises(TypeError):
        copy._rebuilt(3)


def test_a_killed_waiter_holds_up_nobody(ctx):
    condition, woken = ctx.Condition(), ctx.Semaphore(0)
    with started(ctx, sleep_on, condition, woken) as process:
        until(lambda: waiters(condition) == 1)
        process.kill()
        process.join()
        thread = threading.Thread(target=sleep_on, args=(condition, woken))
        thread.start()
        until(lambda: waiters(condition) >= 1 and thread.is_alive())
        begin = time.monotonic()
        while thread.is_alive():
            with condition:
                condition.notify()
            assert time.monotonic() - begin < 5
        thread.join()


def test_a_killed_notifier_is_told_of_by_the_lock(ctx):
    condition, ready = ctx.Condition(), ctx.Event()
    run(ctx, hold_and_die, condition, ready, exitcode=-signal.SIGKILL)
    with pytest.raises(tutti.AbandonedLockError):
        condition.acquire()
    condition.release()


def test_keyboard_interrupt_ends_the_wait_with_the_lock_held(new):
    condition = new()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with condition:
        with pytest.raises(KeyboardInterrupt):
            condition.wait()
        assert condition._lock._is_mine()
        assert waiters(condition) == 0
    until(lambda: threading.active_count() == 1)


class Interrupted(Exception):
    pass


class interrupting:
    """``with interrupting() as raised``: SIGALRM raises Interrupted in the main thread, and `raised` grows."""

    def __enter__(self):
        def handler(*args):
            self.raised.append(1)
            raise Interrupted(len(self.raised))

        self.raised = []
        self.old = signal.signal(signal.SIGALRM, handler)
        return self.raised

    def __exit__(self, *args):
        signal.signal(signal.SIGALRM, self.old)


def hold_and_interrupt(condition, raised, out):
    with condition:  # when the main thread waits
        condition.notify()
        threading.Event().wait(0.05)  # the main thread takes the lock again by now; if not, it is another test
        os.kill(os.getpid(), signal.SIGALRM)
        until(lambda: raised)
        if out.wait(0.2):
            raised.append("it came out without the lock")


def test_an_interrupt_while_the_lock_is_taken_again_is_kept_until_it_is_held(new):
    condition, out = new(), threading.Event()
    with interrupting() as raised:
        thread = threading.Thread(target=hold_and_interrupt, args=(condition, raised, out), daemon=True)
        with condition:
            thread.start()
            with pytest.raises(Interrupted):
                condition.wait(20)  # the other thread notifies, and keeps the lock
            out.set()
            assert condition._lock._is_mine() and condition._lock._count() == 1
            assert waiters(condition) == 0
        thread.join()
        assert raised == [1]
    assert not condition._lock.locked()


def test_an_interrupt_in_wait_for_leaves_with_the_lock_held(new):
    condition, out = new(), threading.Event()
    with interrupting() as raised:
        thread = threading.Thread(target=hold_and_interrupt, args=(condition, raised, out), daemon=True)
        with condition:
            thread.start()
            with pytest.raises(Interrupted):
                condition.wait_for(lambda: False, 20)
            out.set()
            assert condition._lock._is_mine() and condition._lock._count() == 1
        thread.join()
    assert not condition._lock.locked()


def hold_until(condition, raised, out):
    with condition:
        condition.notify()
        threading.Event().wait(0.05)
        for number in range(2):
            os.kill(os.getpid(), signal.SIGALRM)
            until(lambda: len(raised) == number + 1)
        assert out.wait(20)


def test_a_second_interrupt_gives_the_lock_up(new):
    condition, out = new(), threading.Event()
    with interrupting() as raised:
        thread = threading.Thread(target=hold_until, args=(condition, raised, out), daemon=True)
        condition.acquire()
        thread.start()
        with pytest.raises(Interrupted) as error:
            condition.wait(20)
        assert not condition._lock._is_mine() and condition._lock.locked()
        assert error.value.args == (2,) and error.value.__context__.args == (1,)
        out.set()
        thread.join()
    with condition:
        assert waiters(condition) == 0


def test_a_handler_that_raises_nothing_loses_no_notification(new):
    condition = new()
    calls = []
    old = signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
    try:
        for _ in range(20):
            thread = threading.Thread(target=notify_once, args=(condition,))
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            with condition:
                thread.start()
                assert condition.wait(20) is True
            signal.setitimer(signal.ITIMER_REAL, 0)
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert calls


def notify_once(condition):
    until(lambda: waiters(condition) == 1)
    threading.Event().wait(0.005)
    with condition:
        condition.notify()


def test_cycles_are_collected():
    condition = tutti.Condition()
    condition.itself = condition
    condition._lock.condition = condition


def test_a_waiter_whose_notifier_died_with_the_lock_is_told_and_holds_it(ctx):
    condition = ctx.Condition()
    with started(ctx, notify_and_die, condition):
        with condition:
            with pytest.raises(tutti.AbandonedLockError, match="You hold it now"):
                condition.wait(30)
            assert condition._lock._is_mine() and condition._lock._count() == 1
    assert not condition._lock.locked()
