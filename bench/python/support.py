# SPDX-License-Identifier: MIT
"""What the Python sides share. Each program runs one side once and prints `key value` lines, as those in C do.

Its first word is the library, its last one where the two ends run: `two` CPUs, each end on its own, or `one`; or
`free`, where the kernel likes.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time

CPUS = sorted(os.sched_getaffinity(0))[:2]
QUICK = bool(os.environ.get("TUTTI_BENCH_QUICK"))
DEATH_SIGNAL = 1  # prctl(): PR_SET_PDEATHSIG
LOOK_EVERY = 0.02  # seconds, at the CPUs of ends that are not pinned
seen = {"from": set(), "to": set()}
unpinned = []  # the other end, if the kernel chooses its CPU
libc = ctypes.CDLL(None)


def library(side):
    """A context by the name of a side."""
    if side == "standard":
        return multiprocessing.get_context("fork")
    try:
        import tutti
    except ImportError as error:
        sys.exit(f"the package tutti is not installed: {error}")
    return tutti.get_context("fork")


def pin(place, end):
    """This process is end 0 or 1 of two. Both on the first CPU if `place` is one."""
    if place != "free":
        os.sched_setaffinity(0, [CPUS[-1] if end and place == "two" else CPUS[0]])


def note_cpu(end):
    seen[end].add(libc.sched_getcpu())


def note_other_ends():
    """Where it ran last, as the kernel tells it."""
    for process in unpinned:
        with open(f"/proc/{process.pid}/stat", "rb") as file:
            seen["to"].add(int(file.read().rpartition(b")")[2].split()[36]))


def report(**values):
    """Prints the numbers and the CPUs, then ends without waiting for anybody."""
    for key, value in values.items():
        print(key, value)
    for end, cpus in seen.items():
        if cpus:
            print(end, ",".join(map(str, sorted(cpus))))
    finish()


def finish():
    sys.stdout.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(0)


def start_end(mp, place, work, *arguments):
    """The other end, as a process of that library on its CPU, which is known where it is pinned."""
    def run():
        libc.prctl(DEATH_SIGNAL, signal.SIGKILL)  # a side that spins would go on for ever if this one is killed
        pin(place, 1)
        gc.disable()
        work(*arguments)

    process = mp.Process(target=run, daemon=True)
    process.start()
    pin(place, 0)
    gc.disable()
    if place == "free":
        unpinned.append(process)
    else:
        seen["to"].add(CPUS[-1] if place == "two" else CPUS[0])
    return process


def rate_of(work, seconds, batch):
    """How often a second `work(batch)` does one of its batch, after a start that is not counted."""
    work(batch)
    count, begun = 0, time.perf_counter()
    looked = begun
    while (now := time.perf_counter()) - begun < seconds:
        work(batch)
        count += batch
        if unpinned and now - looked > LOOK_EVERY:
            note_cpu("from")
            note_other_ends()
            looked = now
    note_cpu("from")
    note_other_ends()
    return count / (now - begun)


def median(values):
    return sorted(values)[len(values) // 2]


def seconds(full):
    return full / 5 if QUICK else full
