# SPDX-License-Identifier: MIT
"""Acquisitions a second of two processes that want one lock all the time: contended.py LIBRARY two|one."""

import sys
import time

from support import library, note_cpu, report, seconds, start_end

BATCH = 1000


def take(lock, counts, end):
    """Counts its own acquisitions where the other one can read them."""
    acquire, release = lock.acquire, lock.release
    while True:
        for _ in range(BATCH):
            acquire()
            release()
        counts[end] += BATCH
        if end == 0:
            yield


def take_for_ever(lock, counts):
    for _ in take(lock, counts, 1):
        pass


def main(side, place):
    mp = library(side)
    lock, counts = mp.Lock(), mp.RawArray("q", 2)
    start_end(mp, place, take_for_ever, lock, counts)
    mine = take(lock, counts, 0)
    while not counts[1]:
        next(mine)
    before, begun = sum(counts), time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds(0.5):
        next(mine)
    note_cpu("from")
    report(rate=(sum(counts) - before) / (now - begun))


if __name__ == "__main__":
    main(*sys.argv[1:3])
