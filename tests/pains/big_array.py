# SPDX-License-Identifier: MIT
"""Row 13: a large array goes through pickle and a pipe: copied several times, in pieces of 64 KiB."""

import statistics
import time

import numpy

from pain import Hurts, main

SIZE = 32 << 20
ROUNDS = 9
ALLOWED = 6  # times a plain copy, from put to the last byte read


def receive(arrays, answers):
    while (array := arrays.get()) is not None:
        answers.put(int(array[::4096].sum()))
        del array


def copy_seconds(source):
    target = numpy.empty_like(source)
    target[:] = source
    begun = time.perf_counter()
    target[:] = source
    return time.perf_counter() - begun


def show(mp):
    arrays, answers = mp.Queue(), mp.Queue()
    receiver = mp.Process(target=receive, args=(arrays, answers))
    receiver.start()
    array = numpy.ones(SIZE, numpy.uint8)
    ratios = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        arrays.put(array)
        if answers.get(timeout=30) != SIZE // 4096:
            raise Hurts("another array came out")
        ratios.append((time.perf_counter() - begun) / copy_seconds(array))
    arrays.put(None)
    receiver.join()
    said = f"{SIZE >> 20} MiB take as long as {statistics.median(ratios):.1f} plain copies"
    if statistics.median(ratios) > ALLOWED:
        raise Hurts(said)
    return said


if __name__ == "__main__":
    main(show)
