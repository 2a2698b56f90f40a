# SPDX-License-Identifier: MIT
"""Queue, JoinableQueue and SimpleQueue in own mode."""

import asyncio
import multiprocessing
import os
import pathlib
import pickle
import queue
import select
import signal
import sys
import threading
import time

import pytest

import tutti
from tutti import queues

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import queue_children  # noqa: E402

fork = multiprocessing.get_context("fork")
SOON = 20  # seconds within which everything must have happened


def in_child(function, *args):
    process = fork.Process(target=function, args=args)
    process.start()
    return process


def finished(process):
    process.join(SOON)
    assert process.exitcode == 0
    process.close()


@pytest.fixture(params=[queues.Queue, queues.JoinableQueue], ids=lambda cls: cls.__name__)
def anyqueue(request):
    return request.param


# --- multiprocessing's interface ------------------------------------------------------------------------------


class Mine(queues.Queue):
    def get(self, *args, **keywords):
        return ("mine", super().get(*args, **keywords))


def test_classes_are_classes():
    assert isinstance(queues.JoinableQueue(), queues.Queue)
    assert queues.Queue[int].__origin__ is queues.Queue

    mine = Mine(2)
    mine.label = "label"
    mine.put(1)
    copy = pickle.loads(pickle.dumps(mine))
    assert type(copy) is Mine and copy.label == "label" and copy.get() == ("mine", 1)


def test_put_and_get(anyqueue):
    q = anyqueue(3)
    q.put(1)
    q.put(2, True)
    q.put(obj=3, block=True, timeout=1)
    assert q.qsize() == 3 and q.full() and not q.empty()
    assert [q.get(), q.get(False), q.get(block=True, timeout=1)] == [1, 2, 3]
    assert q.qsize() == 0 and q.empty() and not q.full()


def test_full_and_empty(anyqueue):
    q = anyqueue(1)
    with pytest.raises(queue.Empty):
        q.get_nowait()
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)
    with pytest.raises(queue.Empty):
        q.get(timeout=-1)
    q.put_nowait(1)
    for attempt in (lambda: q.put_nowait(2), lambda: q.put(2, False), lambda: q.put(2, timeout=0.01), lambda: q.put(2, True, -5)):
        with pytest.raises(queue.Full, match="full"):
            attempt()
    assert q.qsize() == 1


def test_a_timeout_lasts_as_long_as_it_says():
    start = time.monotonic()
    with pytest.raises(queue.Empty):
        queues.Queue().get(timeout=0.3)
    assert 0.3 <= time.monotonic() - start < 1.5


@pytest.mark.parametrize("maxsize", [0, -1, -(2**40), 2**40], ids=repr)
def test_sizes_that_bound_nothing(maxsize):
    q = queues.Queue(maxsize)
    for number in range(1000):
        q.put_nowait(number)
    assert q.qsize() == 1000 and not q.full()


def test_wrong_arguments():
    q = queues.Queue()
    for attempt in (
        lambda: queues.Queue("one"),
        lambda: queues.Queue(name=5),
        lambda: queues.Queue(1.5),
        lambda: q.put(),
        lambda: q.put(1, 2, 3, 4),
        lambda: q.put(1, obj=1),
        lambda: q.put(1, wrong=1),
        lambda: q.get(timeout="soon"),
        lambda: q.put_many(5),
        lambda: q.get_many("many"),
    ):
        with pytest.raises(TypeError):
            attempt()
    with pytest.raises(OverflowError):
        queues.Queue(2**70)
    with pytest.raises(ValueError, match="too long"):
        queues.Queue(name="n" * 100)
    with pytest.raises(ValueError, match="NaN"):
        q.get(timeout=float("nan"))
    for limit in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            q.get_many(limit)
    q.put("still usable")
    assert q.get() == "still usable"


def test_use_after_close(anyqueue):
    q = anyqueue()
    q.put(1)
    q.close()
    q.close()
    q.join_thread()
    q.cancel_join_thread()
    for attempt in (lambda: q.put(1), q.get, q.qsize, q.empty, q.fileno, q.shutdown, lambda: q.put_many([1]), lambda: q.get_many(1)):
        with pytest.raises(ValueError, match="is closed"):
            attempt()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(q)


def test_close_while_another_thread_waits():
    q = queues.Queue()
    answers = []

    def wait():
        try:
            q.get(timeout=0.5)
        except queue.Empty:
            answers.append("empty")

    waiter = threading.Thread(target=wait)
    waiter.start()
    q.close()
    waiter.join(SOON)
    assert answers in (["empty"], [])  # it may have come too late: then it saw ValueError, and said so
    with pytest.raises(ValueError):
        q.get()


def test_names_and_bounds_travel():
    q = queues.Queue(2, name="jobs", max_bytes=1 << 20)
    copy = pickle.loads(pickle.dumps(q))
    assert (copy.name, copy.max_bytes) == ("jobs", 1 << 20)
    copy.put(1)
    copy.put(2)
    assert q.full() and copy.full()
    with pytest.raises(queue.Full, match='queue "jobs" is full: 2 of 2 messages'):
        q.put(3, timeout=0.01)


def test_a_bound_of_bytes():
    q = queues.Queue(max_bytes=10_000)
    q.put(b"x" * 6000)
    with pytest.raises(queue.Full):
        q.put_nowait(b"x" * 6000)
    q.get()
    q.put_nowait(b"x" * 20_000)  # a single one may be larger
    assert len(q.get()) == 20_000


# --- between processes ----------------------------------------------------------------------------------------


def test_order_of_each_putter():
    def put(q, who):
        for number in range(2000):
            q.put((who, number))

    q = queues.Queue(100)
    putters = [in_child(put, q, who) for who in range(3)]
    next_of = dict.fromkeys(range(3), 0)
    for _ in range(6000):
        who, number = q.get(timeout=SOON)
        assert number == next_of[who]
        next_of[who] += 1
    for putter in putters:
        finished(putter)
    assert q.empty()


def test_what_was_put_survives_its_putter():
    def put_and_die(q):
        for number in range(20):
            q.put(number)
        os.kill(os.getpid(), signal.SIGKILL)

    q = queues.Queue()
    child = in_child(put_and_die, q)
    child.join(SOON)
    assert child.exitcode == -signal.SIGKILL
    assert [q.get(timeout=SOON) for _ in range(20)] == list(range(20))


def test_exit_never_waits_for_a_reader():
    def put_much(q):
        q.put(b"x" * 3_000_000)

    q = queues.Queue()
    finished(in_child(put_much, q))
    assert len(q.get()) == 3_000_000


def test_a_killed_getter_holds_nothing_up():
    def get(q, ready):
        ready.put(1)
        q.get()

    q, ready = queues.Queue(), queues.Queue()
    children = [in_child(get, q, ready) for _ in range(3)]
    for _ in children:
        ready.get(timeout=SOON)
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
        child.join(SOON)
    q.put("for the living")
    assert q.get(timeout=SOON) == "for the living"


def test_queues_travel_through_queues():
    outer, inner = queues.Queue(), queues.Queue()
    inner.put("inside")
    outer.put({"queue": inner})
    del inner  # the message holds the last handle
    assert outer.get()["queue"].get(timeout=SOON) == "inside"


def test_use_after_plain_fork():
    q = queues.Queue()
    pid = os.fork()
    if pid == 0:
        q.put(os.getpid())
        os._exit(0)
    assert q.get(timeout=SOON) == pid
    os.waitpid(pid, 0)


def test_a_queue_that_only_the_child_has():
    answer = queues.Queue()

    def use(q, where):
        time.sleep(0.2)
        q.put("alive")
        where.put(q.get())

    process = fork.Process(target=use, args=(queues.Queue(), answer))
    process.start()
    assert answer.get(timeout=SOON) == "alive"
    finished(process)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(method):
    context = tutti.get_context(method)
    answers = context.Queue(name="answers")
    for q in (context.Queue(), context.JoinableQueue(3), context.SimpleQueue()):
        process = context.Process(target=queue_children.answer, args=(q, answers))
        process.start()
        q.put({"task"})
        assert answers.get(timeout=SOON) == (process.pid, {"task"})
        finished(process)
    process = context.Process(target=queue_children.use_alone, args=(context.Queue(), answers))
    process.start()  # only the child has that queue
    assert answers.get(timeout=SOON) == "alive"
    finished(process)


# --- what multiprocessing has not -----------------------------------------------------------------------------


def test_many_at_once():
    q = queues.Queue(10)
    assert q.put_many(range(5)) == 5
    assert q.put_many(iter(range(5, 50)), timeout=0.01) == 5
    with pytest.raises(queue.Full):
        q.put_many([1], block=False)
    assert q.put_many([]) == 0
    assert q.get_many(4) == [0, 1, 2, 3]
    assert q.get_many(100) == [4, 5, 6, 7, 8, 9]
    with pytest.raises(queue.Empty):
        q.get_many(1, block=False)


def call_count():
    return tutti._tutti.call_count()


def test_a_list_goes_in_by_batches():
    q = queues.Queue()
    before = call_count()
    objects = [(number, "x" * (number % 7)) for number in range(1000)]
    assert q.put_many(objects) == 1000
    assert call_count() - before < 20  # not one for each
    assert q.get_many(1000) == objects
    assert q.put_many(tuple(objects[:70])) == 70
    assert q.get_many(1000) == objects[:70]


def test_a_list_of_all_sizes_keeps_its_order():
    q = queues.Queue()
    objects = [1, b"x" * 100_000, "two", {3}, b"y" * 2_000_000, tutti.Lock(), 4, "z" * 5000] * 5
    assert q.put_many(objects) == 40
    got = q.get_many(40)
    assert [type(one) for one in got] == [type(one) for one in objects]
    assert all(one == other for one, other in zip(got, objects) if not isinstance(one, tutti.Lock))


def test_a_list_that_does_not_fit_tells_how_many_are_in():
    q = queues.Queue(50)
    assert q.put_many(list(range(100)), timeout=0.05) == 50
    with pytest.raises(queue.Full):
        q.put_many([1, 2], block=False)
    assert q.get_many(30) == list(range(30))
    assert q.put_many([b"x" * 5000] * 10 + [0] * 100, block=False) == 30
    assert q.get_many(100) == [*range(30, 50), *[b"x" * 5000] * 10, *[0] * 20]


def test_a_list_with_an_object_that_does_not_pickle():
    q = queues.Queue()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        q.put_many([*range(40), lambda: 0, 41])
    assert q.get_many(100) == list(range(40))


class ClosesInside:
    def __init__(self, q):
        self.q = q

    def __reduce__(self):
        self.q.close()
        return int, (1,)


def test_a_list_whose_pickling_closes_the_queue():
    q = queues.Queue()
    copy = pickle.loads(pickle.dumps(q))
    with pytest.raises(ValueError, match="is closed"):
        q.put_many([1, 2, ClosesInside(q), 3])
    assert copy.get_many(10) == [1, 2]


def test_an_interrupt_amid_put_many_keeps_what_is_in():
    def handler(*_):
        raise Interrupted

    q = queues.Queue(40)
    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            q.put_many(list(range(100)))
    finally:
        signal.signal(signal.SIGALRM, old)
    assert q.get_many(100) == list(range(40))


def test_each_object_of_an_iterator_is_in_before_the_next_is_asked_for():
    q = queues.Queue()

    def produce():
        for number in range(3):
            yield number
            assert q.get(timeout=SOON) == number

    assert q.put_many(produce()) == 3


class Unloadable:
    def __reduce__(self):
        return int, ("not a number",)


def test_results_that_do_not_unpickle():
    q = queues.Queue()
    q.put(Unloadable())
    q.put("next")
    with pytest.raises(ValueError, match="not a number"):
        q.get()
    assert q.get() == "next"
    q.put_many([1, Unloadable(), 2])
    assert q.get_many(10) == [1]
    with pytest.raises(ValueError, match="not a number"):
        q.get_many(10)
    assert q.get_many(10) == [2]


class PutsInside:
    def __init__(self, q):
        self.q = q

    def __reduce__(self):
        self.q.put(("inside", {1}))
        return str, ("outside",)


def test_put_inside_reduce():
    q = queues.Queue()
    q.put([PutsInside(q), {2}])
    assert [q.get(), q.get()] == [("inside", {1}), ["outside", {2}]]


class ClosesInside:
    def __init__(self, q):
        self.q = q

    def __reduce__(self):
        self.q.close()
        return str, ()


def test_close_inside_reduce():
    q = queues.Queue()
    with pytest.raises(ValueError, match="is closed"):
        q.put(ClosesInside(q))


def test_unpicklable_objects_raise_in_the_caller():
    q = queues.Queue(1)
    for _ in range(3):
        with pytest.raises((AttributeError, pickle.PicklingError), match="callback"):
            q.put({"callback": lambda: 1})
    q.put_nowait("there is still room")
    assert q.qsize() == 1


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown(immediate):
    q = queues.Queue()
    q.put(1)
    q.shutdown(immediate=immediate)
    q.shutdown(immediate)
    with pytest.raises(tutti.ShutDown):
        q.put(2)
    if not immediate:
        assert q.get() == 1
    for attempt in (q.get, q.get_nowait, lambda: q.get(timeout=1), lambda: q.get_many(5)):
        with pytest.raises(tutti.ShutDown, match="shut down"):
            attempt()


def test_shutdown_wakes_every_waiter_everywhere():
    def wait(q, ready):
        ready.put(1)
        try:
            q.get()
        except tutti.ShutDown:
            os._exit(0)
        os._exit(1)

    q, ready = queues.Queue(), queues.Queue()
    children = [in_child(wait, q, ready) for _ in range(3)]
    for _ in children:
        ready.get(timeout=SOON)
    q.shutdown()
    for child in children:
        finished(child)


def test_shutdown_has_the_name_of_the_standard_library_where_it_has_one():
    assert tutti.ShutDown is getattr(queue, "ShutDown", tutti.ShutDown)


def test_fileno():
    q = queues.Queue()
    fd = q.fileno()
    assert fd == q.fileno()
    assert select.select([q], [], [], 0)[0] == []
    q.put(1)
    assert select.select([q], [], [], SOON)[0] == [q]
    q.put(2)
    q.get()
    assert select.select([q], [], [], SOON)[0] == [q]
    q.get()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    assert select.select([q], [], [], 0)[0] == []


def test_asyncio():
    async def consume(q, count):
        return [await q.get_async() for _ in range(count)]

    async def main():
        q = queues.Queue(5)
        consumers = [asyncio.create_task(consume(q, 100)) for _ in range(4)]
        await asyncio.sleep(0)
        for number in range(400):
            await q.put_async(number)
        return sorted(sum(await asyncio.gather(*consumers), []))

    assert asyncio.run(main()) == list(range(400))


def test_asyncio_between_processes_loses_nothing():
    def consume(q, counts):
        async def work():
            seen = 0
            while await q.get_async() is not None:
                seen += 1
            return seen

        counts.put(asyncio.run(work()))

    q, counts = queues.Queue(), queues.Queue()
    children = [in_child(consume, q, counts) for _ in range(2)]
    for number in range(10_000):
        q.put(number)
    q.put(None)
    q.put(None)
    assert sum(counts.get(timeout=60) for _ in children) == 10_000
    for child in children:
        finished(child)


def test_asyncio_cancelled_waits_take_nothing():
    async def main():
        q = queues.SimpleQueue()
        for _ in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(q.get_async(), 0.005)
        waits = [asyncio.create_task(q.get_async()) for _ in range(3)]
        await asyncio.sleep(0.01)
        waits[0].cancel()
        q.put(1)
        q.put(2)
        return await asyncio.gather(*waits[1:])

    assert sorted(asyncio.run(main())) == [1, 2]


# --- joinable -------------------------------------------------------------------------------------------------


def test_join_waits_for_task_done():
    q = queues.JoinableQueue()
    q.join()
    q.put(1)
    q.get()
    done = threading.Timer(0.2, q.task_done)
    start = time.monotonic()
    done.start()
    q.join()
    assert time.monotonic() - start > 0.15
    with pytest.raises(ValueError, match="called too many times"):
        q.task_done()


def test_a_killed_getters_item_is_given_back():
    def get_and_die(q):
        q.get()
        os.kill(os.getpid(), signal.SIGKILL)

    q = queues.JoinableQueue()
    q.put({"item"})
    in_child(get_and_die, q).join(SOON)
    assert q.get(timeout=SOON) == {"item"} and q.redelivered
    q.task_done()
    q.join()
    q.put(1)
    q.get()
    assert not q.redelivered


def calls_counted(q, most=10):
    """How often task_done() can be called."""
    for n in range(most):
        try:
            q.task_done()
        except ValueError:
            return n
    return most


@pytest.mark.parametrize("make", [queues.JoinableQueue, fork.JoinableQueue], ids=["tutti", "standard"])
def test_task_done_counts_what_was_put(make):
    q = make()
    assert calls_counted(q) == 0
    for i in range(4):
        q.put(i)
    assert q.get() == 0  # of the four, this one alone was got
    assert calls_counted(q) == 4
    q.join()
    assert [q.get(timeout=SOON) for _ in range(3)] == [1, 2, 3]
    assert calls_counted(q) == 0
    q.put(4)
    q.task_done()
    q.put(5)
    assert [q.get(timeout=SOON), q.get(timeout=SOON)] == [4, 5]
    waiting = threading.Thread(target=q.join)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    assert calls_counted(q) == 1
    waiting.join(SOON)
    assert not waiting.is_alive()


def drain_as_mpire(q):
    """mpire's way after a worker has failed: it says that everything is done, then gets what is there."""
    n = calls_counted(q)
    try:
        while not q.empty() or n != 0:
            q.get(block=True, timeout=1.0)
            n -= 1
    except queue.Empty:
        pass
    q.join()
    return n


@pytest.mark.parametrize("deaths", [0, 1, 3])
def test_what_is_said_to_be_done_first_and_got_afterwards(deaths):
    """Of five objects killed getters had some; then everything is drained, and nothing of it is left."""

    def get_and_die(q):
        q.get()
        os.kill(os.getpid(), signal.SIGKILL)

    q = queues.JoinableQueue()
    for i in range(5):
        q.put(i)
    for _ in range(deaths):
        in_child(get_and_die, q).join(SOON)
    start = time.monotonic()
    left = drain_as_mpire(q)
    # What killed getters had is done, and not got again: then it waits its second, as with the standard library.
    assert min(deaths, 1) <= left <= deaths  # some may have had what the one before them had
    assert time.monotonic() - start < (SOON if deaths else 0.9)
    assert q.empty() and calls_counted(q) == 0
    q.put("next")
    assert q.get(timeout=SOON) == "next"
    assert calls_counted(q) == 1
    q.join()


def test_redelivered_is_each_threads_own():
    def get_and_die(q):
        q.get()
        os.kill(os.getpid(), signal.SIGKILL)

    q = queues.JoinableQueue()
    q.put("first")
    in_child(get_and_die, q).join(SOON)
    assert q.get(timeout=SOON) == "first" and q.redelivered
    q.put("second")
    seen = []
    thread = threading.Thread(target=lambda: seen.extend([q.redelivered, q.get(timeout=SOON), q.redelivered]))
    thread.start()
    thread.join()
    assert seen == [False, "second", False]
    assert q.redelivered  # still: what this thread got last
    q.put("third")
    assert q.get() == "third" and not q.redelivered


# --- simple ---------------------------------------------------------------------------------------------------


def test_simple_queue():
    q = queues.SimpleQueue()
    assert q.empty()
    q.put(("task", {1}))
    assert not q.empty() and q.get() == ("task", {1})
    assert pickle.loads(pickle.dumps(q)).empty()
    q.close()
    q.close()
    for attempt in (q.get, q.empty, lambda: q.put(1)):
        with pytest.raises(ValueError, match="is closed"):
            attempt()


# --- signals --------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def test_a_signal_handler_may_end_a_wait():
    def handler(*_):
        raise Interrupted

    q = queues.Queue(1)
    q.put(1)
    old = signal.signal(signal.SIGALRM, handler)
    try:
        for wait in (lambda: q.put(2), lambda: q.put(b"x" * 2_000_000)):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                wait()
    finally:
        signal.signal(signal.SIGALRM, old)
    assert q.get() == 1 and q.empty()


def test_a_wait_goes_on_after_a_signal():
    calls = []
    old = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        start = time.monotonic()
        with pytest.raises(queue.Empty):
            queues.Queue().get(timeout=0.4)
        assert time.monotonic() - start >= 0.4 and len(calls) >= 3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def interrupt():
    raise KeyboardInterrupt


class Interrupting:
    def __reduce__(self):
        return interrupt, ()


def test_an_interrupt_amid_get_many_is_raised_by_it():
    q = queues.Queue()
    q.put_many([1, Interrupting(), 2])
    with pytest.raises(KeyboardInterrupt):
        q.get_many(10)
        time.sleep(0)  # where a signal handler may run at the latest
    assert q.get() == 2
