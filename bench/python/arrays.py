# SPDX-License-Identifier: MIT
"""Bytes a second of numpy arrays through a queue, read once at the other end: arrays.py LIBRARY MIB.

At most two are under way, as many as a program would keep: memory is used again. The LIBRARY `copy` is the least that a
queue can do: one copy into memory that both have, and a word.
"""

import mmap
import sys
import time

import numpy

from support import library, median, note_cpu, report, seconds, start_end


class OneCopy:
    """A queue for one array at a time."""

    def __init__(self, words, size):
        self.words, self.shared = words, numpy.frombuffer(mmap.mmap(-1, size), numpy.uint8)

    def put(self, array):
        self.shared[:] = array
        self.words.put(0)

    def get(self):
        self.words.get()
        return self.shared


def receive(arrays, answers):
    while True:
        array = arrays.get()
        answers.put(int(array[::4096].sum()))
        del array


def main(side, mib):
    mp, size = library("tutti" if side == "copy" else side), int(mib) << 20
    arrays, answers = mp.Queue(), mp.Queue()
    if side == "copy":
        arrays = OneCopy(arrays, size)
    start_end(mp, "two", receive, arrays, answers)
    array, times = numpy.ones(size, numpy.uint8), []

    def exchange():
        arrays.put(array)
        if answers.get() != -(-size // 4096):
            sys.exit("another array came out")

    for _ in range(4):
        exchange()
    end = time.perf_counter() + seconds(1.0)
    while time.perf_counter() < end or len(times) < 3:
        begun = time.perf_counter()
        exchange()
        times.append(time.perf_counter() - begun)
    note_cpu("from")
    report(rate=size / median(times))


if __name__ == "__main__":
    main(*sys.argv[1:3])
