# SPDX-License-Identifier: MIT
"""Letter mode's queues: what multiprocessing does, with Tutti's queue inside."""

import multiprocessing
import pickle
import queue
import threading
from multiprocessing import connection, queues

import pytest
from support import script

from tutti import _letter_queues as letter

SOON = 20
fork = multiprocessing.get_context("fork")
BOUNDED = [letter.Queue, letter.JoinableQueue]
ALL = [*BOUNDED, letter.SimpleQueue]


class Sub(letter.Queue):
    pass


class SubJoinable(letter.JoinableQueue):
    pass


class SubSimple(letter.SimpleQueue):
    pass


@pytest.mark.parametrize("cls", ALL)
def test_has_tutti_inside(cls):
    q = cls(ctx=fork)
    assert q.put.__self__ is q._core
    q.put({"a": 1})
    assert q.get() == {"a": 1}


@pytest.mark.parametrize("cls", [Sub, SubJoinable, SubSimple])
def test_subclasses_have_the_standard_layout(cls):
    q = cls(ctx=fork)
    q.put(1)
    assert q._reader.poll(SOON) and isinstance(q._reader, connection.Connection) and not hasattr(q, "_core")
    assert q.get() == 1 and q.empty()
    if cls is SubJoinable:
        q.task_done()
        q.join()
    q.close()
    if cls is not SubSimple:
        q.join_thread()
    else:
        with pytest.raises(OSError):
            q.put(1)


def test_is_an_instance_of_the_standard_class():
    assert isinstance(letter.Queue(ctx=fork), queues.Queue)
    assert isinstance(letter.JoinableQueue(ctx=fork), (queues.JoinableQueue, letter.Queue))
    assert isinstance(letter.SimpleQueue(ctx=fork), queues.SimpleQueue)


@pytest.mark.parametrize("cls", ALL)
def test_pickling_is_for_starting_processes(cls):
    with pytest.raises(RuntimeError, match="should only be shared between processes through inheritance"):
        pickle.dumps(cls(ctx=fork))


@pytest.mark.parametrize("cls", BOUNDED)
def test_bounds(cls):
    q = cls(1, ctx=fork)
    assert q._maxsize == 1
    q.put(1)
    assert q.full() and q.qsize() == 1
    with pytest.raises(queue.Full):
        q.put(2, timeout=0.01)
    assert q.get() == 1
    with pytest.raises(queue.Empty):
        q.get(False)


@pytest.mark.parametrize("cls", BOUNDED)
def test_an_object_that_cannot_be_pickled_is_reported_and_left_out(cls, capfd):
    q = cls(1, ctx=fork)
    q.put(lambda: 1)
    assert "cannot be pickled" in capfd.readouterr().err
    q.put(True, timeout=SOON)  # its room was given back
    assert q.get(timeout=SOON) is True


def test_the_report_can_be_replaced(monkeypatch):
    seen = []
    monkeypatch.setattr(letter.Queue, "_on_queue_feeder_error", staticmethod(lambda error, obj: seen.append((type(error), obj))))
    q = letter.Queue(ctx=fork)
    lock = threading.Lock()
    q.put(lock)
    assert seen == [(TypeError, lock)]


def test_a_simple_queue_raises_in_the_caller():
    q = letter.SimpleQueue(ctx=fork)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        q.put(lambda: 1)
    assert q.empty()


@pytest.mark.parametrize("cls", BOUNDED)
def test_closing_a_used_queue(cls):
    q = cls(ctx=fork)
    with pytest.raises(AssertionError, match="not closed"):
        q.join_thread()
    q.put(1)
    q.close()
    q.close()
    q.join_thread()
    q.cancel_join_thread()
    with pytest.raises(OSError, match="is closed"):
        q.empty()
    for attempt in (lambda: q.put(1), q.get, q.get_nowait, lambda: q.put_nowait(1)):
        with pytest.raises(ValueError, match="is closed"):
            attempt()


@pytest.mark.parametrize("cls", BOUNDED)
def test_closing_an_unused_queue(cls):
    q = cls(ctx=fork)
    q.close()
    q.join_thread()
    assert q.empty()
    with pytest.raises(ValueError, match="is closed"):
        q.put(1)


def test_closing_a_simple_queue():
    q = letter.SimpleQueue(ctx=fork)
    assert not q._reader.closed
    q.close()
    q.close()
    assert q._reader.closed and q._writer.closed
    for attempt in (q.empty, q.get, lambda: q.put(1)):
        with pytest.raises(OSError, match="is closed"):
            attempt()


def put_two(q):
    q.put(1)
    q.put([2])


@pytest.mark.parametrize("cls", ALL)
def test_between_processes(cls):
    q = cls(ctx=fork)
    process = fork.Process(target=put_two, args=(q,))
    process.start()
    assert [q.get(), q.get()] == [1, [2]]
    process.join(SOON)
    process.close()


def test_facades():
    q = letter.SimpleQueue(ctx=fork)
    assert not q._reader.poll() and not q._reader.poll(0.01)
    assert connection.wait([q._reader], 0) == []
    q.put(1)
    q._writer.send(2)
    q._writer.send_bytes(pickle.dumps(3))
    assert connection.wait([q._reader], SOON) == [q._reader]
    assert q._reader.recv() == 1 and pickle.loads(q._reader.recv_bytes()) == 2 and q.get() == 3
    with pytest.raises(AttributeError, match="_nothing"):
        q._nothing


def test_joinable():
    q = letter.JoinableQueue(ctx=fork)
    q.put(1)
    q.get()
    q.task_done()
    q.join()
    with pytest.raises(ValueError, match="called too many times"):
        q.task_done()


# The thread that lights the reader's descriptor hardly comes to run. A standard executor takes the end of a worker whose
# result it has not seen for a crash.
THE_END_OF_A_SENDER = """
    import os, time
    from multiprocessing import get_context
    import tutti
    tutti.install()
    from multiprocessing.connection import wait

    fork, begun = get_context("fork"), time.monotonic()

    def threads(): return set(os.listdir("/proc/self/task"))

    def send(queue):
        queue.put(1)
        os._exit(0)

    def use_the_processor():
        while os.getppid() == parent and time.monotonic() < begun + 50: pass

    parent, before = os.getpid(), threads()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = fork.SimpleQueue()
    results._reader.fileno()
    (lighter,) = threads() - before
    os.sched_setscheduler(int(lighter), os.SCHED_IDLE, os.sched_param(0))
    other = fork.Process(target=use_the_processor, daemon=True)
    other.start()
    for number in range(20):
        sender = fork.Process(target=send, args=(results,))
        sender.start()
        if results._reader not in wait([results._reader, sender.sentinel]):
            print("the end of the sender came before its message")
        results.get()
        sender.join()
    other.kill()
"""


def test_a_message_is_there_before_the_end_of_its_sender(tmp_path):
    assert script(tmp_path, THE_END_OF_A_SENDER) == ""
