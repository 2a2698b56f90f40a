# SPDX-License-Identifier: MIT
"""One way to a receiver that sleeps on the other CPU, from before the put to after the get: asleep.py LIBRARY.

The LIBRARY `pipe` is the least that Python code can do: os.write and os.read.
"""

import os
import sys
import time

from support import QUICK, library, median, note_cpu, report, start_end

SLEEP = 0.004  # seconds: long enough for any spinning to be over


class BarePipe:
    """A queue of stamps."""

    def __init__(self):
        self.reader, self.writer = os.pipe()

    def put(self, stamp):
        os.write(self.writer, stamp.to_bytes(8, "little"))

    def get(self):
        return int.from_bytes(os.read(self.reader, 8), "little")


def receive(queue, times):
    while True:
        stamp = queue.get()
        times.put(time.monotonic_ns() - stamp)


def main(side):
    mp = library("tutti" if side == "pipe" else side)
    queue, times, took = BarePipe() if side == "pipe" else mp.Queue(), mp.SimpleQueue(), []
    start_end(mp, "two", receive, queue, times)
    for _ in range(20 if QUICK else 100):
        time.sleep(SLEEP)
        queue.put(time.monotonic_ns())
        took.append(times.get())
    note_cpu("from")
    report(one_way_ns=median(took))


if __name__ == "__main__":
    main(*sys.argv[1:2])
