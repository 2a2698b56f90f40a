# SPDX-License-Identifier: MIT
"""Receives 1 MB beside a thread of the same process that computes all the time: beside.py LIBRARY."""

import sys
import threading
import time

from support import QUICK, library, median, note_cpu, report, start_end

SIZE = 1 << 20


def send(queue, wanted):
    payload = bytes(SIZE)
    while True:
        wanted.get()
        time.sleep(0.02)  # the receiver waits by then
        queue.put((time.monotonic_ns(), payload))


def compute():
    while True:
        pass


def main(side):
    mp = library(side)
    queue, wanted, took = mp.SimpleQueue(), mp.SimpleQueue(), []
    start_end(mp, "two", send, queue, wanted)
    threading.Thread(target=compute, daemon=True).start()
    for _ in range(6 if QUICK else 20):
        wanted.put(1)
        stamp, _payload = queue.get()
        took.append(time.monotonic_ns() - stamp)
    note_cpu("from")
    middle = median(took) / 1e9
    report(rate=1 / middle, switch_intervals=middle / sys.getswitchinterval())


if __name__ == "__main__":
    main(*sys.argv[1:2])
