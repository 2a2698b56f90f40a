# SPDX-License-Identifier: MIT
"""Pairs a second in one process: alone.py LIBRARY direct|pickled|lock|rlock|semaphore|with.

The LIBRARY `threading` has the interpreter's own locks: the calls, and nothing that another process could see.
"""

import sys
import threading
import types

from support import library, note_cpu, pin, rate_of, report, seconds


class Point:
    """Something that only pickle knows how to send."""

    def __init__(self):
        self.x, self.y = 1, 2


def queued(queue, message):
    put, get = queue.put, queue.get

    def pairs(count):
        for _ in range(count):
            put(message)
            get()
    return pairs


def locked(lock):
    acquire, release = lock.acquire, lock.release

    def pairs(count):
        for _ in range(count):
            acquire()
            release()
    return pairs


def entered(lock):
    def pairs(count):
        for _ in range(count):
            with lock:
                pass
    return pairs


PRIVATE = types.SimpleNamespace(Lock=threading.Lock, RLock=threading.RLock, Semaphore=lambda _: threading.Lock())


def main(side, what):
    mp = PRIVATE if side == "threading" else library(side)
    work = {"direct": lambda: queued(mp.SimpleQueue(), (12, "job", 3.5)),
            "pickled": lambda: queued(mp.SimpleQueue(), Point()), "lock": lambda: locked(mp.Lock()),
            "rlock": lambda: locked(mp.RLock()), "semaphore": lambda: locked(mp.Semaphore(1)),
            "with": lambda: entered(mp.Lock())}[what]()
    pin("one", 0)
    note_cpu("from")
    report(rate=rate_of(work, seconds(0.3), 1000))


if __name__ == "__main__":
    main(*sys.argv[1:3])
