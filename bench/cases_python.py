# SPDX-License-Identifier: MIT
"""What bench/run runs of Python: Tutti beside the standard library, rates of the same round divided.

`two`: each end on its own CPU; `one`: both on one; `free`: where the kernel likes, which is reported and not judged.
"""

import os

from cases import LATENCY, Case, Row, Side, Value, program, rates

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = {"zmq": "pyzmq, ipc", "mpi": "mpi4py", "fifo": "faster-fifo"}
TRIPS = {"queue": "Queue", "simple": "SimpleQueue", "event": "Event", "condition": "Condition", "barrier": "Barrier"}
ALONE = {"direct": "SimpleQueue put + get, a tuple", "pickled": "SimpleQueue put + get, an object",
         "lock": "Lock acquire + release", "rlock": "RLock acquire + release",
         "semaphore": "Semaphore acquire + release", "with": "with lock:"}
PRIVATE = {"lock": "threading.Lock", "rlock": "threading.RLock", "semaphore": "threading.Lock"}

PAIR_REASON = ("nearly all of it is the interpreter's calling of two methods; the row with threading's lock shows what "
               "two calls cost where no other process sees the lock.")
CONTENDED_REASON = ("the floor is the row of acquire and release: on one CPU the other process runs only between time slices, so "
                    "that nearly all of it is the interpreter's calling of the two methods, which both libraries pay.")
ARRAY_REASON = ("the floor is the row with one copy into memory that both processes have: a queue must copy once, and the "
                "standard library's own speed differs from machine to machine.")
CONDITION_REASON = ("the floor is the row with a condition that is a word to lock and a word for each waiter, with no "
                    "more to it; how many times the standard library's rate that is depends on how close the CPUs lie.")
ASLEEP_REASON = ("the floor is the row with os.write and os.read: the interpreter itself needs that long from the wake to "
                 "the line behind the get.")
BESIDE_REASON = ("the floor is one switch interval, 5 ms: so long the other thread keeps the interpreter; the next row "
                 "counts in those.")


def script(name, side, *words):
    """A side that is a script of the folder python, run by the interpreter that has the package."""
    def command(setting, _number):
        run = [setting.python, "-B", os.path.join(HERE, "python", name), side, *map(str, words)]
        if side == "mpi":  # it starts both ends itself
            run = [os.path.join(os.path.dirname(setting.python), "mpiexec"), "-n", "2", *run]
        return run, 0
    return Side(side, command)


def both(name, *words):
    return [script(name, side, *words) for side in ("tutti", "standard")]


def case(name, rounds, sides):
    return Case("python, " + name, rounds, 1, sides)


CASES = [
    case("tuples, two", 7, both("stream.py", "tuple", "two") +
         [script("stream.py", peer, "tuple", "two") for peer in PEERS]),
    case("tuples, one", 7, both("stream.py", "tuple", "one")),
    case("tuples, free", 7, both("stream.py", "tuple", "free")),
    case("bytes, two", 7, both("stream.py", "bytes", "two")),
    case("bytes, one", 7, both("stream.py", "bytes", "one")),
    *(case(f"{what}, {place}", 7, both("trips.py", what, place) +
           ([script("trips.py", "barest", what, place)] if (what, place) == ("condition", "two") else []))
      for what in TRIPS for place in ("two", "one")),
    *(case(f"pipe, {place}", 7, both("trips.py", "pipe", place) + [script("trips.py", "letter", "pipe", place)])
      for place in ("two", "one")),
    *(case(f"{what}, free", 7, both("trips.py", what, "free")) for what in ("queue", "pipe", "event")),
    *(case(what, 7, both("alone.py", what) +
           ([script("alone.py", "threading", what)] if what in PRIVATE else [])) for what in ALONE),
    case("array 1", 7, both("arrays.py", 1)),
    case("array 100", 5, both("arrays.py", 100) + [script("arrays.py", "copy", 100)]),
    *(case(f"contended, {place}", 7, both("contended.py", place)) for place in ("two", "one")),
    case("asleep", 7, both("asleep.py") + [script("asleep.py", "pipe")] +
         [Side("futex", program(LATENCY, "futex", "asleep", 60, quick=("futex", "asleep", 10)))]),
    case("beside", 5, both("beside.py")),
]


def row(what, name, need, ours="tutti", theirs="standard", against="multiprocessing", **more):
    return rates("python", what, "python, " + name, ours, theirs, against, need, **more)


def places(what, name, two, one, **more):
    """The same on two CPUs and on one. `more` is of the first."""
    return [row(f"{what}, two CPUs", f"{name}, two", two, **more), row(f"{what}, one CPU", f"{name}, one", one)]


def unpinned(what, name):
    return row(f"{what}, unpinned", f"{name}, free", None, required=False)


ROWS = [
    *places("Queue, small tuple", "tuples", 15, 10),
    *(row("Queue, small tuple, two CPUs", "tuples, two", 1, theirs=peer, against=name) for peer, name in PEERS.items()),
    unpinned("Queue, small tuple", "tuples"),
    *places("Queue, 1 KiB bytes", "bytes", 7, 5),
    *places("Queue, round trip", "queue", 50, 6),
    unpinned("Queue, round trip", "queue"),
    *places("SimpleQueue, round trip", "simple", 20, 3),
    *places("Pipe, round trip", "pipe", 20, 2),
    unpinned("Pipe, round trip", "pipe"),
    *(row(f"Connection, letter mode, {cpus}", f"pipe, {place}", 1.3, ours="letter")
      for place, cpus in (("two", "two CPUs"), ("one", "one CPU"))),
    *places("Event, round trip", "event", 50, 3),
    *places("Condition, round trip", "condition", 50, 3, reason=CONDITION_REASON),
    row("the floor: a barest condition, two CPUs", "condition, two", 50, ours="barest", required=False),
    row("Condition, round trip, two CPUs", "condition, two", None, theirs="barest", against="the floor", required=False),
    *places("Barrier, round trip", "barrier", 50, 3),
    unpinned("Event, round trip", "event"),
    row(ALONE["direct"], "direct", 20), row(ALONE["pickled"], "pickled", 7), row(ALONE["with"], "with", 2),
    *(row(ALONE[what], what, 1.1, reason=PAIR_REASON) for what in PRIVATE),
    *(row(f"the floor: {theirs}", what, 1.1, ours="threading", required=False) for what, theirs in PRIVATE.items()),
    row("Lock, contended by two, two CPUs", "contended, two", 2.5),
    row("Lock, contended by two, one CPU", "contended, one", 1.3, reason=CONTENDED_REASON),
    row("array of 1 MiB", "array 1", 8),
    row("array of 100 MiB", "array 100", 25, reason=ARRAY_REASON),
    row("the floor: 100 MiB, one copy", "array 100", 25, ours="copy", required=False),
    Row("python", "Queue, receiver asleep: over the futex", Value("python, asleep", "tutti", "one_way_ns"),
        Value("python, asleep", "futex", "one_way_ns"), "bare futex, C", "<=", 3000, "ns", difference=True, reason=ASLEEP_REASON),
    Row("python", "the floor: os.read, asleep: over the futex", Value("python, asleep", "pipe", "one_way_ns"),
        Value("python, asleep", "futex", "one_way_ns"), "bare futex, C", "<=", 3000, "ns", difference=True, required=False),
    row("1 MiB beside a spinning thread", "beside", 10, reason=BESIDE_REASON),
    Row("python", "1 MiB beside a spinning thread", Value("python, beside", "tutti", "switch_intervals"), None, "-",
        "<=", 1.5, "switches"),
]
