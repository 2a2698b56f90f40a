# SPDX-License-Identifier: MIT
"""What a started process was given lives until it has it; what its parent closes ends in time."""

from __future__ import annotations

import gc
import os
import queue
import threading

import pytest
from lifetimes_children import Killer, close_and_wait, get_one, send_and_wait
from support import run, script, started, until

import tutti
from tutti import _letter_queues, _letter_synchronize, _tutti, connection

SOON = 20
fork = tutti.get_context("fork")


@pytest.fixture(params=["spawn", "forkserver"])
def pickling(request):
    """The contexts whose processes get everything pickled."""
    return tutti.get_context(request.param)


# --- what travels to a process that is being started ----------------------------------------------------------


@pytest.mark.parametrize("kind", [tutti.Queue, tutti.JoinableQueue, tutti.SimpleQueue])
def test_a_queue_that_is_closed_right_after_the_start(pickling, kind):
    q = kind(ctx=pickling)
    q.put("one")
    process = pickling.Process(target=get_one, args=(q,))
    process.start()
    q.close()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("kind", [_letter_queues.Queue, _letter_queues.JoinableQueue, _letter_queues.SimpleQueue])
def test_a_queue_to_the_letter_that_is_closed_right_after_the_start(pickling, kind):
    q = kind(ctx=pickling)
    q.put("one")
    process = pickling.Process(target=get_one, args=(q,))
    process.start()
    q.close()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


def test_a_semaphore_to_the_letter_that_is_dropped_right_after_the_start(pickling):
    process = pickling.Process(target=_letter_synchronize.Lock.acquire, args=(_letter_synchronize.Lock(ctx=pickling),))
    process.start()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


def test_an_end_of_a_pipe_that_is_closed_right_after_the_start(pickling):
    here, there = connection.Pipe()
    process = pickling.Process(target=send_and_wait, args=(there,))
    process.start()
    there.close()
    assert here.poll(SOON) and here.recv() == "hello"
    here.send("go")
    assert here.poll(SOON)  # the process is not joined yet
    with pytest.raises(EOFError):
        here.recv()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


def test_an_end_that_the_child_closes_is_closed(pickling):
    """Though the parent still has the process object."""
    here, there = connection.Pipe()
    event = pickling.Event()
    process = pickling.Process(target=close_and_wait, args=(there, event))
    process.start()
    del there
    gc.collect()
    assert here.poll(SOON)
    with pytest.raises(EOFError):
        here.recv()
    event.set()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("first", [True, False])
def test_a_child_that_is_killed_before_it_has_everything(pickling, first):
    """Nobody waits for its end: who waits for the end of the pipe finds it dead."""
    here, there = connection.Pipe()
    process = pickling.Process(target=print, args=(Killer(), there) if first else (there, Killer()))
    process.start()
    there.close()
    assert here.poll(SOON)
    with pytest.raises(EOFError):
        here.recv()
    process.join(SOON)
    process.close()


def refuse():
    raise TypeError("cannot be pickled")


class Refuser:
    def __reduce__(self):
        refuse()


def test_a_start_that_fails_keeps_nothing(pickling):
    here, there = connection.Pipe()
    process = pickling.Process(target=print, args=(there, Refuser()))
    with pytest.raises(TypeError, match="cannot be pickled"):
        process.start()
    there.close()
    assert here.poll()
    with pytest.raises(EOFError):
        here.recv()


def test_a_fork_during_a_start_does_not_end_it(pickling):
    """The forked child has copies of the process object, and drops them."""
    q = pickling.Queue()
    q.put("one")
    process = pickling.Process(target=get_one, args=(q,))
    process.start()
    run(fork, gc.collect)
    q.close()
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


def test_the_escort_of_nothing():
    escort = _tutti._escort_open(None)
    lock = tutti.Lock()
    _tutti._escort_take(escort, lock._handle())
    _tutti._escort_close(escort)
    _tutti._escort_close(escort)
    _tutti._escort_follow(escort, os.getpid())
    with pytest.raises(tutti.StaleHandleError, match="escort"):
        _tutti._escort_take(escort, lock._handle())
    with pytest.raises(TypeError, match="16 bytes"):
        _tutti._escort_take(escort, b"short")
    for number in (-1, 1 << 64, "one"):
        with pytest.raises((OverflowError, TypeError)):
            _tutti._escort_close(number)


# --- forks ----------------------------------------------------------------------------------------------------

SLOW_FORK = """
    import os, time
    os.register_at_fork(after_in_child=lambda: time.sleep(0.5))  # before that of tutti
    import tutti
"""


def test_an_end_that_is_closed_right_after_a_fork_is_closed_when_the_child_has_it(tmp_path):
    """Though the parent does nothing but wait."""
    script(
        tmp_path,
        SLOW_FORK
        + """
    fork = tutti.get_context("fork")
    here, there = fork.Pipe()

    def child():
        there.close()
        try:
            here.recv()
        except EOFError:
            os._exit(7)

    process = fork.Process(target=child)
    process.start()
    there.close()
    process.join(20)
    code = process.exitcode
    process.kill()
    assert code == 7, code
    """,
    )


def test_a_child_that_is_stopped_at_once_delays_a_close_but_a_little(tmp_path):
    script(
        tmp_path,
        """
    import os, signal, time
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGSTOP))
    import tutti
    from tutti import _tutti

    lock, event = tutti.Lock(), tutti.Event()
    pid = os.fork()
    if pid == 0:
        os._exit(not (lock.acquire(False) and event.set() is None))
    os.waitpid(pid, os.WUNTRACED)
    start = time.monotonic()
    del lock  # waits, in vain
    del event  # does not wait again
    assert time.monotonic() - start < 10
    os.kill(pid, signal.SIGCONT)
    assert os.waitpid(pid, 0)[1] == 0
    assert _tutti._settle_forks() == 0
    """,
    )


def test_two_threads_fork_at_once(tmp_path):
    script(
        tmp_path,
        """
    import asyncio, concurrent.futures.thread, logging, multiprocessing.util, os, threading  # whose hooks take locks
    both = threading.Barrier(2, timeout=20)
    os.register_at_fork(before=lambda: both.wait() if armed else None)  # registered before: called after that of tutti
    armed = False
    import tutti
    from tutti import _tutti

    lock = tutti.Lock()

    def fork_one():
        pid = os.fork()
        if pid == 0:
            os._exit(not lock.acquire(False) or lock.release() is not None or descriptors() > before)
        codes.append(os.waitpid(pid, 0)[1])

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        before, codes, armed = descriptors(), [], True
        threads = [threading.Thread(target=fork_one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        armed = False
        assert codes == [0, 0], codes
        assert _tutti._settle_forks() == 0
        assert descriptors() == before
    """,
        "-Wignore::DeprecationWarning",  # newer Pythons warn of a fork beside threads, which is what this is about
    )


NO_DESCRIPTORS = (
    SLOW_FORK
    + """
    import resource
    from tutti import _tutti

    lock = tutti.Lock()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    pid = os.fork()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for descriptor in taken:
        os.close(descriptor)
    if pid == 0:
        os._exit(not lock.acquire(False))
    del lock
    assert os.waitpid(pid, 0)[1] == 0
    assert _tutti._settle_forks() == 0
    """
)


def test_a_fork_without_a_descriptor_left(tmp_path):
    script(tmp_path, NO_DESCRIPTORS)


def test_a_fork_without_memory_keeps_everything_and_says_so(tmp_path):
    pytest.importorskip("_testcapi", reason="it makes memory run out")
    script(
        tmp_path,
        """
    import os, sys, time
    import _testcapi
    told = []
    sys.unraisablehook = lambda what: told.append(what.exc_type)
    os.register_at_fork(after_in_child=lambda: time.sleep(0.5))
    os.register_at_fork(before=_testcapi.remove_mem_hooks)  # called after that of tutti
    import tutti
    from tutti import _tutti
    os.register_at_fork(before=lambda: _testcapi.set_nomemory(0, 1))  # called before it

    lock = tutti.Lock()
    pid = os.fork()
    if pid == 0:
        os._exit(not lock.acquire(False))
    del lock
    assert os.waitpid(pid, 0)[1] == 0
    assert MemoryError in told, told
    assert _tutti._settle_forks() == 1
    """,
    )


# --- a fork beside a thread that is in a call -----------------------------------------------------------------


class Busy:
    """A thread inside a call of an object, in the kernel; a child that was forked meanwhile runs ``first``, and on."""

    def __init__(self, call, first):
        self.thread = threading.Thread(target=call)
        self.thread.start()
        task = f"/proc/self/task/{self.thread.native_id}/stat"
        until(lambda: open(task).read().rsplit(")", 1)[1].split()[0] == "S")
        self.ready, self.go = tutti.Event(), tutti.Event()
        self.first = first
        self.context = started(fork, self.child)

    def child(self):
        self.first()
        self.ready.set()
        self.go.wait(60)

    def __enter__(self):
        self.context.__enter__()
        assert self.ready.wait(SOON)
        return self

    def __exit__(self, *exception):
        self.context.__exit__(*exception)
        self.thread.join(SOON)


def test_a_child_closes_an_end_that_a_thread_of_its_parent_is_inside():
    here, there = connection.Pipe()

    def close_both():
        here.close()
        there.close()

    with Busy(here.recv, close_both) as busy:
        there.send("wake up")
        busy.thread.join(SOON)
        here.close()
        assert there.poll(5)
        with pytest.raises(EOFError):
            there.recv()
    there.close()


def test_a_child_closes_a_queue_that_a_thread_of_its_parent_is_inside():
    before = _tutti._arena_usage()["live_blocks"]
    q = tutti.Queue()
    each = _tutti._arena_usage()["live_blocks"] - before
    with Busy(q.get, q.close) as busy:
        q.put("wake up")
        busy.thread.join(SOON)
        there = _tutti._arena_usage()["live_blocks"]
        q.close()
        assert _tutti._arena_usage()["live_blocks"] <= there - each


def test_an_object_that_was_closed_beside_a_call_goes_in_the_child():
    here, there = connection.Pipe()

    def receive():
        with pytest.raises(EOFError):
            here.recv()

    with Busy(receive, there.close) as busy:
        here.close()  # the thread is inside
        there.close()
        busy.thread.join(SOON)
        assert not busy.thread.is_alive()


class Forking:
    """Forks while it is being pickled; the child goes on inside the put, and closes the queue."""

    def __init__(self, q):
        self.q, self.pid = q, None

    def __reduce__(self):
        self.pid = os.fork()
        if self.pid == 0:
            self.q.close()
        return int, ()


def test_a_fork_inside_a_call_goes_on_inside():
    q = tutti.Queue()
    forking = Forking(q)
    try:
        q.put(forking)
    except ValueError as error:
        os._exit(0 if "closed" in str(error) else 1)
    if forking.pid == 0:
        os._exit(2)
    assert os.waitpid(forking.pid, 0)[1] == 0
    assert q.get() == 0


def fail_to_rebuild():
    raise LookupError("half way")


class Failing:
    def __reduce__(self):
        return fail_to_rebuild, ()


def test_a_child_does_not_get_what_went_wrong_in_its_parent():
    q = tutti.Queue()
    q.put(1)
    q.put(Failing())
    assert q.get_many(5) == [1]

    def child():
        try:
            q.get_nowait()
        except queue.Empty:
            os._exit(7)

    run(fork, child, exitcode=7)
    with pytest.raises(LookupError):
        q.get_nowait()


def is_eventfd(descriptor):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:[eventfd]"
    except FileNotFoundError:
        return False


def test_descriptors_for_polling_are_not_inherited():
    q, (here, there), event = tutti.Queue(), connection.Pipe(), tutti.Event()
    descriptors = [q.fileno(), here.fileno(), event.fileno()]
    assert all(map(is_eventfd, descriptors))

    def child():
        assert not any(map(is_eventfd, descriptors))
        assert is_eventfd(q.fileno())

    run(fork, child)
    q.put(1)
    assert connection.wait([q], 5) == [q]
    there.close()
