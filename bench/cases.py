# SPDX-License-Identifier: MIT
"""What bench/run runs: cases of sides that take turns, and the rows of the table made of them."""

import os
from dataclasses import dataclass
from typing import Callable, Optional

QUEUE, ZMQ, NNG, COPY, LATENCY, LOCK, TRIPS, POOL, IDLE, RECOVERY, MEMORY, SPAWN, WAITSET = (
    "bench_" + name for name in
    ("queue", "peers_zmq", "peers_nng", "copy", "latency", "lock", "sync", "pool", "idle", "recovery", "memory", "spawn",
     "waitset"))


@dataclass
class Setting:
    """Where the programs are, and whether this is a smoke run."""
    programs: str
    command: str
    python: str
    quick: bool


@dataclass
class Side:
    """One of those that are compared. `command` gives the command line and, for those that start commands, how many."""
    name: str
    command: Callable


@dataclass
class Case:
    name: str
    rounds: int
    quick_rounds: int
    sides: list


@dataclass
class Value:
    """A number that a side reports, times `factor`."""
    case: str
    side: str
    key: str
    factor: float = 1


@dataclass
class Row:
    """`ours` over `theirs`, or less `theirs`, or alone, against what is required: the median of all rounds, or the
    worst.

    `need` None: nothing is required, the number is reported. `reason` is printed where the requirement is not met: what the machine allows instead.
    """
    group: str
    what: str
    ours: Value
    theirs: Optional[Value]
    against: str
    sense: str
    need: Optional[float]
    unit: str
    required: bool = True
    worst: bool = False
    difference: bool = False
    reason: str = ""


def program(name, *words, quick=None):
    """A side that is a program: the same words in each round, others in a smoke run."""
    def command(setting, _number):
        chosen = quick if setting.quick and quick else words
        return [os.path.join(setting.programs, name), *map(str, chosen)], 0
    return command


def traffic(name, carrier, size, producers, consumers, *more):
    words = (carrier, size, producers, consumers)
    return Side(carrier, program(name, *words, 100, *more, quick=(*words, 50, *more)))


def kill_after(setting, number):
    """The kill comes at another point of the waiter's tick in each round."""
    return [os.path.join(setting.programs, RECOVERY), "takeover", str(number * 37)], 0


def starts(inputs, *words):
    """A side that starts a command for each input."""
    def command(setting, _number):
        own = [setting.command if word == "tutti" else word for word in words]
        return own, 200 if setting.quick else inputs
    return command


def streams(size, producers, consumers):
    """Everything that carries small messages, ours beside its limit."""
    return [traffic(QUEUE, "tutti", size, producers, consumers), traffic(QUEUE, "ring", size, producers, consumers),
            traffic(QUEUE, "tutti-bounded", size, producers, consumers),
            traffic(QUEUE, "pipe", size, producers, consumers), traffic(ZMQ, "zmq", size, producers, consumers),
            traffic(NNG, "nng", size, producers, consumers)]


def latency(how, carriers, samples, quick_samples):
    return [Side(name, program(LATENCY, name, how, samples, quick=(name, how, quick_samples))) for name in carriers]


def trips(how, ways, samples, quick_samples):
    return [Side(name, program(TRIPS, name, how, samples, quick=(name, how, quick_samples))) for name in ways]


MIB = 1 << 20

TRUE_REASON = ("the floor is the row of vfork and exec: so many `true`, with the same argument, can two processes start and "
               "reap with nothing around it, and no program that starts them can be faster against GNU parallel than that.")

SLOTS_REASON = ("the floor is the row with bare slots: messages of 64 bytes one behind the other, and around each put and get "
                "a word that is taken and given back; without ends, sleepers, counts, or safety from kills. Where the "
                "answer returns on the line that brought the message, a hop is one transfer; a queue's reader does not "
                "write where its writer writes, so that each hop takes the line away from the reader first.")

ASLEEP_REASON = ("the floor is the row with bare slots in an arena. After a sleep nothing of a process is in the caches, and "
                 "each page that it touches costs a walk through page tables that are not there either: a queue touches "
                 "its handle, its arena, its place in it, itself and its message on each side, a futex one word.")

FUTURES_REASON = ("a future is submitted and taken by calls of its own, 70 to 80 and 50 to 60 ns while the worker is far behind; "
                  "where it keeps up, each job's lines go from CPU to CPU meanwhile. The row above is the call for bulk.")

# Each kind of lock, and its counterpart in libc.
SYNC = [
    ("rlock", "recursive", "recursive mutex"),
    ("semaphore", "sem_t", "sem_t"),
    ("rwlock-read", "pthread-read", "pthread_rwlock"),
    ("rwlock-write", "pthread-write", "pthread_rwlock"),
]

CASES = [
    Case("queue 64 B, 1 to 1", 9, 1, streams(64, 1, 1)),
    Case("queue 64 B, 2 to 2", 9, 1, streams(64, 2, 2)),
    Case("queue 64 B, 2 to 2, mixed", 5, 1,
         [traffic(QUEUE, "tutti", 64, 2, 2, "mixed"), traffic(QUEUE, "ring", 64, 2, 2, "mixed")]),
    Case("queue 1 KiB", 9, 1, [traffic(QUEUE, "tutti", 1024, 1, 1), traffic(QUEUE, "ring", 1024, 1, 1)]),
    Case("queue 1 MiB", 9, 1, [
        traffic(QUEUE, "tutti-views", MIB, 1, 1),
        Side("memcpy", program(COPY, "touched", MIB, 4000, quick=("touched", MIB, 1000)))]),
    Case("queue 1 MiB, fresh", 7, 1, [
        Side("tutti", program(COPY, "tutti-fresh", MIB, 200, quick=("tutti-fresh", MIB, 50))),
        Side("memcpy", program(COPY, "fresh", MIB, 200, quick=("fresh", MIB, 50)))]),
    Case("latency awake", 9, 1, latency("awake", ("tutti", "tutti-word", "line", "lines", "slots"), 1000, 200)),
    Case("latency asleep", 61, 1, latency("asleep", ("tutti", "sleepy-slots", "arena-slots"), 60, 10)),
    Case("latency one CPU", 7, 1, latency("onecpu", ("tutti", "futex"), 200, 50)),
    Case("lock", 9, 1, [Side("tutti", program(LOCK, "tutti")), Side("mutex", program(LOCK, "mutex"))]),
    *(Case(f"sync, {ours}", 9, 1, [Side(ours, program(LOCK, ours)), Side(theirs, program(LOCK, theirs))])
      for ours, theirs, _ in SYNC),
    Case("round trip awake", 9, 1, trips("awake", ("event", "condition", "barrier", "line"), 1000, 200)),
    Case("round trip, one CPU", 5, 1, [*trips("onecpu", ("event", "condition", "barrier"), 100, 20),
                                       *latency("onecpu", ("futex",), 100, 20)]),
    Case("wait set", 9, 1, [
        Side("one", program(WAITSET, "tutti", "fixed", 1, quick=("tutti", "fixed", 1, 20))),
        Side("many", program(WAITSET, "tutti", "fixed", 10000, quick=("tutti", "fixed", 10000, 20))),
        Side("roving", program(WAITSET, "tutti", "roving", 10000, quick=("tutti", "roving", 10000, 20))),
        Side("poll", program(WAITSET, "poll", "fixed", 400, 20))]),
    Case("pool, one task", 9, 1, [
        Side("tutti", program(POOL, "trip", 20000, quick=("trip", 2000))),
        Side("line", program(LATENCY, "line", "awake", 1000))]),
    Case("pool, bulk", 7, 1, [
        Side("map", program(POOL, "map", 200000, quick=("map", 20000))),
        Side("futures", program(POOL, "futures", 20000, quick=("futures", 2000))),
        traffic(QUEUE, "tutti", 64, 1, 1)]),
    Case("idle", 1, 1, [Side("tutti", program(IDLE, 3500, quick=(2000,)))]),
    Case("takeover", 9, 2, [Side("tutti", kill_after)]),
    Case("sweep", 5, 1, [Side("tutti", program(RECOVERY, "sweep", 1000000))]),
    Case("map", 5, 1, [
        Side("tutti", starts(5000, "tutti", "map", "-j2", "true")),
        Side("xargs", starts(5000, "xargs", "-P2", "-n1", "true")),
        Side("bare", program(SPAWN, 5000, 2, quick=(200, 2))),
        # A fifth of the inputs, compared by rate: it is that slow.
        Side("parallel", starts(1000, "parallel", "-j2", "true"))]),
    Case("memory, queues", 5, 1, [Side("tutti", program(MEMORY, "queues", 10000))]),
    Case("memory, messages", 5, 1, [Side("tutti", program(MEMORY, "messages", 1000000))]),
]


def rates(group, what, case, ours, theirs, against, need, **more):
    return Row(group, what, Value(case, ours, "rate"), Value(case, theirs, "rate"), against, ">=", need, "/s", **more)


def small_rows(case, need):
    """`need` against the ring; the rest is the same for all."""
    return [
        rates("queue", case[6:], case, "tutti", "ring", "ring, robust mutex", need),
        rates("queue", case[6:] + ", bounded", case, "tutti-bounded", "ring", "ring, robust mutex", need, required=False),
        rates("queue", case[6:], case, "tutti", "pipe", "pipe", 4),
        rates("queue", case[6:], case, "tutti", "zmq", "ZeroMQ, ipc", 1),
        rates("queue", case[6:], case, "tutti", "nng", "nng, ipc", 1),
    ]


def one_way(what, case, theirs, against, need, ours="tutti", **more):
    key = "one_way_ns"
    return Row("latency", what, Value(case, ours, key), Value(case, theirs, key), against, "<=", need, "ns", **more)


def asleep(what, side, **more):
    """Against the futex that took turns with it between the same two processes."""
    case = "latency asleep"
    return Row("latency", what, Value(case, side, "one_way_ns"), Value(case, side, "futex_ns"), "futex wake", "<=", 1.1,
               "ns", **more)


def round_trips(name):
    key = "trip_ns"
    return [Row("sync", f"{name}, there and back, awake", Value("round trip awake", name, key),
                Value("round trip awake", "line", key), "cache line, both ways", "<=", 10, "ns"),
            Row("sync", f"{name}, there and back, one CPU", Value("round trip, one CPU", name, key),
                Value("round trip, one CPU", "futex", "one_way_ns", 2), "futex, both ways", "<=", 2, "ns",
                required=False)]


def alone(group, what, case, key, need, unit, worst=False):
    return Row(group, what, Value(case, "tutti", key), None, "-", "<=", need, unit, worst=worst)


def bulk(what, side, **more):
    return rates("pool", what, "pool, bulk", side, "tutti", "64 B queue", 0.2, **more)


ROWS = [
    *small_rows("queue 64 B, 1 to 1", 1.5),
    *small_rows("queue 64 B, 2 to 2", 1.2),
    rates("queue", "64 B, 2 to 2, CPUs mixed", "queue 64 B, 2 to 2, mixed", "tutti", "ring", "ring, robust mutex", 1.2,
          required=False),
    rates("queue", "1 KiB, 1 to 1", "queue 1 KiB", "tutti", "ring", "ring, robust mutex", 2),
    rates("queue", "1 MiB, 8 in flight, views", "queue 1 MiB", "tutti-views", "memcpy", "memcpy, same buffers", 0.7),
    rates("queue", "1 MiB, fresh pages", "queue 1 MiB, fresh", "tutti", "memcpy", "memcpy, fresh memfd", 0.7),
    one_way("one way, awake", "latency awake", "line", "spinning cache line", 2, reason=SLOTS_REASON),
    one_way("one way, awake, 8 B", "latency awake", "line", "spinning cache line", 2, ours="tutti-word", required=False),
    one_way("the floor: bare slots", "latency awake", "line", "spinning cache line", 2, ours="slots", required=False),
    one_way("one way, awake", "latency awake", "slots", "bare slots", 2),
    one_way("one way, awake", "latency awake", "lines", "a line each way", 2, reason=SLOTS_REASON),
    one_way("one way, awake, 8 B", "latency awake", "lines", "a line each way", 2, ours="tutti-word", reason=SLOTS_REASON),
    Row("latency", "one way, awake, p99", Value("latency awake", "tutti", "p99_ns"),
        Value("latency awake", "tutti", "single_ns"), "its own median", "<=", 5, "ns"),
    asleep("one way, asleep", "tutti", reason=ASLEEP_REASON),
    asleep("bare slots, asleep", "sleepy-slots", required=False),
    asleep("the floor: bare slots in an arena, asleep", "arena-slots", required=False),
    one_way("one way, asleep", "latency asleep", "arena-slots", "bare slots in an arena", 1.1),
    one_way("one way, both on one CPU", "latency one CPU", "futex", "futex ping-pong", 1.5),
    Row("lock", "lock + unlock, uncontended", Value("lock", "tutti", "pair_ns"), Value("lock", "mutex", "pair_ns"),
        "robust mutex", "<=", 1, "ns"),
    *(Row("sync", ours + ", uncontended", Value(f"sync, {ours}", ours, "pair_ns"),
          Value(f"sync, {ours}", theirs, "pair_ns"), against, "<=", 2, "ns") for ours, theirs, against in SYNC),
    *round_trips("event"), *round_trips("condition"), *round_trips("barrier"),
    Row("channels", "wait set of 10,000 queues, one ready", Value("wait set", "many", "round_ns"),
        Value("wait set", "one", "round_ns"), "a set of one", "<=", 1.5, "ns"),
    Row("channels", "the same, each ready in turn", Value("wait set", "roving", "round_ns"),
        Value("wait set", "one", "round_ns"), "a set of one", "<=", 4, "ns", required=False),
    Row("channels", "wait set of 10,000 queues, one ready", Value("wait set", "many", "round_ns"),
        Value("wait set", "poll", "round_ns"), "poll of 400 pipes", "<=", 1, "ns"),
    Row("pool", "empty task, there and back", Value("pool, one task", "tutti", "trip_ns"),
        Value("pool, one task", "line", "one_way_ns", 2), "cache line, both ways", "<=", 10, "ns"),
    bulk("empty tasks in bulk: map", "map"),
    bulk("empty tasks in bulk: futures", "futures", reason=FUTURES_REASON),
    alone("idle", "idle getter: wakes a second", "idle", "wakes_per_s", 4, "/s", worst=True),
    alone("idle", "idle getter: CPU a second", "idle", "cpu_ms_per_s", 0.5, "ms", worst=True),
    alone("recovery", "waiter takes over, worst", "takeover", "takeover_ms", 300, "ms", worst=True),
    alone("recovery", "sweep of a million blocks", "sweep", "sweep_ms", 10, "ms"),
    rates("map", "tutti map -j2 true", "map", "tutti", "xargs", "xargs -P2 -n1", 1),
    rates("map", "tutti map -j2 true", "map", "tutti", "parallel", "GNU parallel -j2", 10, reason=TRUE_REASON),
    rates("map", "tutti map -j2 true", "map", "tutti", "bare", "vfork + exec, 2 at a time", 0.85),
    rates("map", "the floor: vfork + exec", "map", "bare", "parallel", "GNU parallel -j2", 10, required=False),
    alone("memory", "empty queue", "memory, queues", "queue_bytes", 1024, "B"),
    alone("memory", "over the payload of 64 B", "memory, messages", "over_payload_bytes", 16, "B"),
    alone("memory", "10,000 opens: last tenth / first", "memory, queues", "open_last_over_first", 1.5, "x"),
    alone("memory", "put + get beside 10,000 / beside 1", "memory, queues", "many_over_one", 1.5, "x"),
    alone("memory", "1,000,000 puts: last tenth / first", "memory, messages", "put_last_over_first", 1.5, "x"),
    alone("memory", "1,000,000 gets: last tenth / first", "memory, messages", "get_last_over_first", 1.5, "x"),
]
