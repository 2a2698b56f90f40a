# SPDX-License-Identifier: MIT
"""Lock and RLock: multiprocessing's semantics, and what a death does (own mode)."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time

import pytest
from lock_children import count_up, hold_argument, raise_while_holding, release, take, take_and_die, take_and_wait
from support import run, started, until

import tutti


@pytest.fixture(params=["Lock", "RLock"])
def kind(request):
    return getattr(tutti, request.param)


def in_thread(function, *args):
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)))
    thread.start()
    thread.join()
    return result[0]


# --- as multiprocessing ---------------------------------------------------------------------------------------


def test_names_are_the_classes_themselves(kind):
    assert isinstance(kind(), kind)
    assert type(kind()) is kind
    assert getattr(tutti.synchronize, kind.__name__) is kind
    assert kind.__module__ == "tutti.synchronize"


def test_acquire_and_release(kind):
    lock = kind()
    assert lock.acquire() is True
    assert lock.locked()
    assert in_thread(lock.acquire, False) is False
    assert in_thread(lock.acquire, True, 0.01) is False
    assert lock.release() is None
    assert not lock.locked()


def test_with(kind):
    lock = kind()
    with lock as entered:
        assert entered is True
        assert lock.locked()
    assert not lock.locked()


def test_lock_is_not_recursive_and_rlock_is():
    lock, rlock = tutti.Lock(), tutti.RLock()
    assert lock.acquire() and not lock.acquire(block=False)
    lock.release()
    assert rlock.acquire() and rlock.acquire(block=False)
    rlock.release()
    assert in_thread(rlock.acquire, False) is False
    rlock.release()
    assert not rlock.locked()


def test_released_too_often():
    with pytest.raises(ValueError, match="^semaphore or lock released too many times$"):
        tutti.Lock().release()
    with pytest.raises(AssertionError, match="^attempt to release recursive lock not owned by thread$"):
        tutti.RLock().release()


def test_any_thread_may_release_a_lock_but_not_an_rlock():
    lock, rlock = tutti.Lock(), tutti.RLock()
    in_thread(lock.acquire)
    lock.release()
    rlock.acquire()
    with pytest.raises(AssertionError):
        raise in_thread(lambda: pytest.raises(AssertionError, rlock.release).value)
    rlock.release()


@pytest.mark.parametrize("timeout", [-1, -0.5, 0, False, 1e-9, 0.001])
def test_short_timeouts(kind, timeout):
    lock = kind()
    lock.acquire()
    assert in_thread(lock.acquire, True, timeout) is False
    assert in_thread(lambda: lock.acquire(timeout=timeout)) is False
    lock.release()


@pytest.mark.parametrize("timeout", [1e300, float("inf"), 10**9, 2**63, 9.3e9])
def test_huge_timeouts(kind, timeout):
    lock = kind()
    assert lock.acquire(True, timeout)
    thread = threading.Thread(target=lambda: (lock.acquire(True, timeout), lock.release()))
    thread.start()
    lock.release()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("timeout", ["1", b"1", [], object()])
def test_timeouts_that_are_no_numbers(kind, timeout):
    with pytest.raises(TypeError):
        kind().acquire(True, timeout)


def test_timeout_is_not_looked_at_without_blocking(kind):
    assert kind().acquire(False, "whatever") is True


def test_timeout_that_is_not_a_number_at_all(kind):
    with pytest.raises(ValueError, match="NaN"):
        kind().acquire(True, float("nan"))


def test_wrong_arguments(kind):
    lock = kind()
    for wrong in (lambda: lock.acquire(1, 2, 3), lambda: lock.acquire(blocking=True), lambda: lock.acquire(1, block=1)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        kind("a name")
    with pytest.raises(TypeError):
        kind(name=7)
    with pytest.raises(ValueError, match="too long"):
        kind(name="x" * 40)


def test_without_init(kind):
    lock = kind.__new__(kind)
    for method in (lock.acquire, lock.release, lock.locked, lock._handle):
        with pytest.raises(ValueError, match="__init__"):
            method()
    with pytest.raises(RuntimeError, match="twice"):
        kind().__init__()


def test_attributes_and_subclasses(kind):
    class Named(kind):
        def __init__(self, label):
            super().__init__(name=label)
            self.label = label

    lock = Named("x")
    lock.more = 1
    with lock:
        assert lock.label == "x" and lock.more == 1


def test_repr_of_lock(ctx):
    lock = ctx.Lock()
    assert repr(lock) == "<Lock(owner=None)>"
    lock.acquire()
    assert repr(lock) == "<Lock(owner=MainProcess)>"
    lock.release()
    in_thread(lock.acquire)
    assert repr(lock) == "<Lock(owner=SomeOtherThread)>"
    lock.release()
    run(ctx, take, lock)
    assert repr(lock) == "<Lock(owner=SomeOtherProcess)>"


def test_repr_of_rlock(ctx):
    lock = ctx.RLock()
    assert repr(lock) == "<RLock(None, 0)>"
    with lock, lock:
        assert repr(lock) == "<RLock(MainProcess, 2)>"
        thread = threading.Thread(target=lambda: texts.append(repr(lock)), name="T")
        texts = []
        thread.start()
        thread.join()
        assert texts == ["<RLock(SomeOtherThread, nonzero)>"]
    run(ctx, take, lock)
    assert repr(lock) == "<RLock(SomeOtherProcess, nonzero)>"


def test_repr_names_a_thread_that_is_not_the_main_one(kind):
    lock = kind()

    def look():
        with lock:
            return repr(lock)

    texts = []
    thread = threading.Thread(target=lambda: texts.append(look()), name="T1")
    thread.start()
    thread.join()
    assert "MainProcess|T1" in texts[0]


def test_semlock_facade():
    lock, rlock = tutti.Lock(), tutti.RLock()
    assert (lock._semlock.kind, lock._semlock.maxvalue, rlock._semlock.kind) == (1, 1, 0)
    with lock, rlock, rlock:
        assert lock._semlock._is_mine() and lock._semlock._count() == 1 and lock._semlock._is_zero()
        assert rlock._semlock._is_mine() and rlock._semlock._count() == 2 and rlock._semlock._get_value() == 0
    assert not lock._semlock._is_mine() and lock._semlock._get_value() == 1
    assert isinstance(lock._semlock.handle, int)


def test_exclusion_between_processes(ctx):
    lock, value = ctx.Lock(), ctx.RawValue("q", 0)
    processes = [ctx.Process(target=count_up, args=(lock, value, 2000)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        process.close()
    assert value.value == 6000


def test_keyboard_interrupt_works_the_first_time(kind):
    lock = kind()
    lock.acquire()
    caught = []

    def wait():
        try:
            lock2.acquire()
        except KeyboardInterrupt as error:
            caught.append(error)

    lock2 = kind()
    holder = threading.Thread(target=lock2.acquire)
    holder.start()
    holder.join()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    wait()
    assert len(caught) == 1 and time.monotonic() - begin < 5
    until(lambda: threading.active_count() == 1)


def test_a_handler_that_raises_nothing_does_not_end_the_wait(kind):
    lock, calls = kind(), []
    holder = threading.Thread(target=lock.acquire)
    holder.start()
    holder.join()
    old = signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        begin = time.monotonic()
        assert lock.acquire(timeout=0.3) is False
        assert 0.29 < time.monotonic() - begin < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(calls) >= 2


# --- a death --------------------------------------------------------------------------------------------------


def test_acquire_tells_and_holds(kind, ctx):
    lock = kind(name="gate")
    run(ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    assert lock.locked()
    with pytest.raises(tutti.AbandonedLockError, match=r'"gate" was held by pid \d+ .*killed.* You hold it now'):
        lock.acquire()
    assert lock._is_mine()
    lock.release()
    assert lock.acquire(False)
    lock.release()


def test_the_signal_is_named_if_it_is_known(kind, ctx):
    lock = kind()
    process = ctx.Process(target=take_and_die, args=(lock,))
    process.start()
    process.join()
    with pytest.raises(tutti.AbandonedLockError, match=r"killed by signal 9 \(SIGKILL\)"):
        lock.acquire(False)
    process.close()


def test_with_tells_and_holds_not(kind, ctx):
    lock = kind()
    run(ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(tutti.AbandonedLockError, match="Nobody holds it now"):
            with lock:
                pytest.fail("entered")
        assert not lock._is_mine()
    with lock.repairing() as died:
        assert isinstance(died, tutti.AbandonedLockError)
        assert lock._is_mine()
    with lock.repairing() as died:
        assert died is None
    with lock:
        pass


def test_a_repair_that_fails_leaves_it_abandoned(kind, ctx):
    lock = kind()
    run(ctx, take_and_die, lock, exitcode=-signal.SIGKILL)
    with pytest.raises(ZeroDivisionError):
        with lock.repairing():
            1 // 0
    with pytest.raises(tutti.AbandonedLockError):
        lock.acquire()
    lock.release()


def test_a_waiter_is_told(kind, ctx):
    lock, held = kind(), ctx.Event()
    with started(ctx, take_and_wait, lock, held) as process:
        assert held.wait(30)
        threading.Timer(0.05, process.kill).start()
        begin = time.monotonic()
        with pytest.raises(tutti.AbandonedLockError):
            lock.acquire(timeout=20)
        assert time.monotonic() - begin < 2
        lock.release()
        until(lambda: threading.active_count() == 1)


def test_a_clean_exit_is_no_death(kind, ctx):
    lock = kind()
    run(ctx, take, lock)
    assert lock.locked()
    assert lock.acquire(timeout=0.2) is False
    if kind is tutti.Lock:
        lock.release()
        assert not lock.locked()


def test_an_exception_is_a_clean_exit(kind, ctx):
    lock = kind()
    run(ctx, raise_while_holding, lock, exitcode=3)
    assert lock.acquire(timeout=0.2) is False


def test_hand_over(ctx):
    lock = ctx.Lock()
    lock.acquire()
    run(ctx, release, lock)
    assert not lock.locked()


def fork_and_exit(lock, method):
    if method == "fork":
        pid = os.fork()
        if pid == 0:
            lock.acquire()
            os._exit(0)
        os.waitpid(pid, 0)


def test_a_bare_exit_counts_as_killed(kind):
    lock = kind()
    fork_and_exit(lock, "fork")
    with pytest.raises(tutti.AbandonedLockError):
        lock.acquire()
    lock.release()


def test_a_stopped_holder_is_waited_for_in_time(kind, ctx):
    lock, held = kind(), ctx.Event()
    with started(ctx, take_and_wait, lock, held) as process:
        assert held.wait(30)
        os.kill(process.pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert lock.acquire(timeout=0.3) is False and lock.acquire(False) is False
        assert time.monotonic() - begin < 2


# --- travelling -----------------------------------------------------------------------------------------------


def test_a_copy_is_the_same_lock(kind):
    lock = kind(name="x")
    lock.note = "kept"
    copy = pickle.loads(pickle.dumps(lock))
    assert type(copy) is kind and copy.note == "kept"
    with lock:
        assert copy.locked()
    assert not copy.locked()


def test_a_copy_of_what_is_gone():
    lock = tutti.Lock()
    text = pickle.dumps(lock)
    del lock
    with pytest.raises(tutti.StaleHandleError, match="gone"):
        pickle.loads(text)


def test_a_handle_of_another_kind():
    lock = tutti.Lock()
    with pytest.raises(TypeError, match="of a lock, not of a"):
        tutti.Event._open(lock._handle())
    for wrong in (b"", b"x" * 15, "x" * 16, None):
        with pytest.raises(TypeError):
            tutti.Lock._open(wrong)
    with pytest.raises((tutti.StaleHandleError, OSError)):
        tutti.Lock._open(b"\xff" * 16)


def test_an_argument_that_nobody_else_keeps(ctx):
    go = ctx.Event()
    processes = [ctx.Process(target=hold_argument, args=(ctx.Lock(), go)) for _ in range(5)]
    for process in processes:
        process.start()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    processes.clear()
