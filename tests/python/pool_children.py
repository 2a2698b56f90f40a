# SPDX-License-Identifier: MIT
"""What workers run in the tests of pools and executors: without pytest, which each spawned one would import."""

import ctypes
import os
import pickle
import signal
import sys
import threading
import time

from support import until

from tutti import _tutti

# --- calls that succeed ---------------------------------------------------------------------------------------


def square(x):
    return x * x


def add(a, b=0, *rest, **more):
    return a + b + sum(rest) + sum(more.values())


def same(value=None):
    return value


def pid_of(_=None):
    return os.getpid()


class Number:
    """A class as the function, and its methods."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Number and self.value == other.value

    def plus(self, other):
        return self.value + other

    def kill(self):
        kill_itself()

    @classmethod
    def named(cls, value):
        return cls.__name__, value

    @staticmethod
    def negative(value):
        return -value


class Outer:
    class Inner:
        @staticmethod
        def twice(value):
            return 2 * value


class Callable:
    def __call__(self, value):
        return "called", value


def named_function(name, result=None):
    def function(value):
        return result, value

    function.__name__ = function.__qualname__ = name
    return function


FUNCTIONS = [named_function(f"numbered_{number}", number) for number in range(300)]  # more than a pool's catalogue has places
globals().update({function.__name__: function for function in FUNCTIONS})


def rebound(value):
    return "old", value


def _newly_bound(value):
    return "new", value


_newly_bound.__qualname__ = _newly_bound.__name__ = "rebound"


def rebind(new=True, old=rebound):
    """From now on, in the process that calls this, the name stands for something else."""
    globals()["rebound"] = _newly_bound if new else old


def twice_as_big(array):
    return array * 2


def array_of(count):
    import numpy

    return numpy.arange(count, dtype="f8")


# --- what initializers leave ----------------------------------------------------------------------------------

setting = None


def configure(value, log=None):
    global setting
    setting = value
    if log is not None:
        log.put(os.getpid())


def configured(_=None):
    return setting


def refuse_to_start(text):
    raise RuntimeError(text)


def wait_and_refuse(go, text):
    assert go.wait(60), "nobody has said go"
    raise RuntimeError(text)


def tell_and_leave(log, code):
    log.put(os.getpid())
    os._exit(code)


def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# --- objects in arguments -------------------------------------------------------------------------------------


def put_into(queue, value):
    queue.put((os.getpid(), value))


kept = None


def keep(value):
    """As an initializer: a Value can be given to a process that starts, and not sent later."""
    global kept
    kept = value


def increase_kept(lock, times):
    for _ in range(times):
        with lock:
            kept.value += 1


def call(what):
    function, *arguments = what
    return function(*arguments)


class Gate:
    """An event that can be taken out."""

    def __init__(self, event):
        self.event = event

    def set(self):
        self.event.set()

    def clear(self):
        self.event.clear()

    def wait(self, timeout):
        return self.event.wait(timeout)


def count_and_wait(started, go):
    """``started``: a semaphore, released once by each."""
    started.release()
    assert go.wait(60), "nobody has said go"
    return os.getpid()


def wait_for(go, value=None):
    assert go.wait(60), "nobody has said go"
    return value


def append(path, text="x"):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, text.encode())
    os.close(descriptor)
    return text


def append_to_both(both):
    append(*both)


def append_and_hang(path):
    append(path)
    hang()


def die_then_append(path, text):
    """At its first run it dies; that it has one is known by a file of its own."""
    if not os.path.exists(path + ".run"):
        append(path + ".run")
        kill_itself()
    append(path, text)


def die_now_and_then(number):
    if number % 13 == 0 and os.urandom(1)[0] % 4 == 0:
        kill_itself()
    return number


def wait_and_append(go, path, text="x"):
    assert go.wait(60), "nobody has said go"
    return append(path, text)


# --- deaths ---------------------------------------------------------------------------------------------------


def wait_and_append_both(both):
    wait_and_append(*both)


def kill_itself(_=None, number=signal.SIGKILL):
    os.kill(os.getpid(), number)
    threading.Event().wait()


def leave(code):
    os._exit(code)


def exit_with(value):
    sys.exit(value)


def kill_if_odd(number):
    if number % 2:
        kill_itself()
    return number


def die_at_first(path, value):
    """Kills itself in its first run; ``path`` counts the runs."""
    append(path)
    if os.path.getsize(path) == 1:
        kill_itself()
    return value


def die_at_first_of(both):
    return die_at_first(*both)


def die_always(path):
    append(path)
    kill_itself()


def slow_square(number):
    """Long enough to be killed in the middle."""
    end = time.monotonic() + 0.0005
    while time.monotonic() < end:
        pass
    return number, number * number


def counted_square(number):
    kept[number] += 1  # by one worker at a time
    return slow_square(number)


def hang_and_tell(ready):
    ready.set()
    hang()


class Killer:
    def __call__(self):
        kill_itself()


def hang(_=None):
    threading.Event().wait()


def hang_if_odd(number):
    if number % 2:
        hang()
    return number


def hang_at_first(path, value):
    append(path)
    if os.path.getsize(path) == 1:
        hang()
    return value


# --- failures -------------------------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, number, why):
        super().__init__(number, why)
        self.number = number
        self.why = why


def refuse(number, why="no reason"):
    raise Refused(number, why)


def append_and_refuse(path):
    append(path)
    refuse(1)


def refuse_if_odd(number):
    if number % 2:
        raise Refused(number, "it is odd")
    return number


def kind_of_trouble(number):
    """Three kinds of failure and one success."""
    if number == 1:
        raise Refused(number, "as planned")
    if number == 2:
        return (number for _ in range(number))
    if number == 3:
        raise NotSendable(threading.Lock())
    return number


class NotSendable(Exception):
    """Cannot be pickled."""


def raise_not_sendable(_=None):
    raise NotSendable(threading.Lock())


def not_sendable(_=None):
    return threading.Lock()


class NoRepr:
    def __reduce__(self):
        raise pickle.PicklingError("not me")

    def __repr__(self):
        raise RuntimeError("no repr either")


def no_repr(_=None):
    return NoRepr()


def _fail_to_arrive(why):
    raise Refused(0, why)


class NotReceivable:
    """Can be pickled, and does not unpickle."""

    def __reduce__(self):
        return _fail_to_arrive, ("at its arrival",)


def not_receivable(_=None):
    return NotReceivable()


def not_receivable_if_odd(number):
    return NotReceivable() if number % 2 else number


class NotReceivableError(Exception):
    """Does not unpickle, as any exception whose arguments are not those of its __init__."""

    def __init__(self, one, two):
        super().__init__("only one")


def raise_not_receivable(_=None):
    raise NotReceivableError(1, 2)


def endless(number=0):
    return endless(number + 1) + 1


def raise_stop_iteration(number):
    if number == 2:
        raise StopIteration("of the function's own")
    return number


def raise_keyboard_interrupt(_=None):
    raise KeyboardInterrupt("of the function's own")


class Leaving(BaseException):
    pass


def raise_base_exception(_=None):
    raise Leaving("of the function's own")


def crash(_=None):
    ctypes.string_at(0)


# --- owners that are not the test -----------------------------------------------------------------------------


def use_inherited(pool, result, outcome):
    """In a forked child: each use is a ValueError, and harms nobody."""
    attempts = [
        lambda: pool.apply(square, (2,)),
        lambda: pool.apply_async(square, (2,)),
        lambda: pool.map(square, [2]),
        lambda: next(pool.imap(square, [2])),
        lambda: result.get(5),
        result.ready,
    ]
    for number, attempt in enumerate(attempts):
        try:
            attempt()
        except ValueError as error:
            if "parent" in str(error):
                continue
        outcome.put(f"attempt {number} was no ValueError that names the parent")
    try:
        result.cancel()
    except ValueError:
        pass
    outcome.put("done")


def end_inherited(pool, end):
    """In a forked child, which may be told that this is not its own."""
    try:
        if end == "terminate":
            pool.terminate()
        elif end == "close and join":
            pool.close()
            pool.join()
        elif end == "__exit__":
            pool.__exit__(None, None, None)
        else:
            pool.__del__()
    except ValueError as error:
        assert "parent" in str(error)


def nested(count):
    import tutti

    with tutti.Pool(1) as pool:
        return pool.map(square, range(count))


def nested_and_tell(outcome):
    outcome.put(nested(3))


def live_blocks():
    _tutti._settle_forks()
    _tutti._arena_sweep()
    return _tutti._arena_usage()["live_blocks"]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(_is_dead(pid) for pid in pids))


def _is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def pause_and_square(number):
    threading.Event().wait(0.005)
    return number * number


def allocate(count):
    return len(bytearray(count))


def allocate_and_die(count):
    kept = bytearray(os.urandom(1)) * count
    kill_itself(kept)


def fail_until(path, count, kind=ConnectionError):
    """Raises until it has been called so often."""
    append(path)
    calls = os.path.getsize(path)
    if calls < count:
        raise kind(f"call {calls}")
    return calls


def die_then_fail(path):
    append(path)
    if os.path.getsize(path) == 1:
        kill_itself()
    raise ConnectionError("always")


def call_it(function):
    return function()


def local_function(number):
    return lambda other: number + other


def local_class():
    class Local:
        value = 7

    return Local()


def length(data):
    return len(data)


def append_once(path, _):
    append(path)


def _raise(kind, value):
    raise kind(value)


class Unreadable:
    """Can be pickled, and raises what one likes when it is unpickled."""

    def __init__(self, kind, value):
        self.how = kind, value

    def __reduce__(self):
        return _raise, self.how


class Unsendable(Unreadable):
    """Raises what one likes when it is pickled."""

    def __reduce__(self):
        _raise(*self.how)
