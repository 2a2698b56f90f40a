# SPDX-License-Identifier: MIT
"""Round trips a second between two processes: trips.py LIBRARY queue|simple|pipe|event|condition|barrier two|one|free.

`barest` as LIBRARY: a condition that is nothing but spinning for words (barest.c), which bench/run has compiled.
"""

import pathlib
import sys

from support import library, rate_of, report, seconds, start_end

COMPILED = pathlib.Path(__file__).parents[2] / "build/release/bench"

MESSAGE = (12, "job", 3.5)


def echo(get, put):
    while True:
        put(get())


def asking(put, get):
    def ask(count):
        for _ in range(count):
            put(MESSAGE)
            get()
    return ask


def by_queue(mp, kind):
    there, back = kind(), kind()
    return (echo, there.get, back.put), asking(there.put, back.get)


def by_pipe(pipe):
    here, there = pipe()
    return (echo, there.recv, there.send), asking(here.send, here.recv)


def by_event(mp):
    ping, pong = mp.Event(), mp.Event()

    def answer():
        while True:
            ping.wait()
            ping.clear()
            pong.set()

    def ask(count):
        for _ in range(count):
            ping.set()
            pong.wait()
            pong.clear()
    return (answer,), ask


def by_condition(mp, make):
    """Whose turn it is stands in memory that the condition guards."""
    condition, turn = make(), mp.RawValue("i", 0)

    def pass_on(mine, count):
        with condition:
            for _ in range(count):
                while turn.value != mine:
                    condition.wait()
                turn.value = 1 - mine
                condition.notify()

    def ask(count):
        pass_on(0, count)
    return (pass_on, 1, sys.maxsize), ask


def by_barrier(mp):
    """One meeting: both have heard of each other."""
    barrier = mp.Barrier(2)

    def meet(count):
        for _ in range(count):
            barrier.wait()
    return (meet, sys.maxsize), meet


def barest_condition():
    sys.path.insert(0, str(COMPILED))
    from barest import Condition
    return Condition()


def letter_pipe():
    """What a program of multiprocessing gets from Tutti: Connections over descriptors."""
    from tutti.connection import descriptor_pipe
    return descriptor_pipe()


def main(side, what, place):
    mp = library("tutti" if side == "tutti" else "standard")
    ways = {"queue": lambda: by_queue(mp, mp.Queue), "simple": lambda: by_queue(mp, mp.SimpleQueue),
            "pipe": lambda: by_pipe(letter_pipe if side == "letter" else mp.Pipe),
            "event": lambda: by_event(mp), "condition": lambda: by_condition(mp, barest_condition if side == "barest" else mp.Condition),
            "barrier": lambda: by_barrier(mp)}
    (work, *arguments), ask = ways[what]()
    start_end(mp, place, work, *arguments)
    report(rate=rate_of(ask, seconds(0.4), 50))


if __name__ == "__main__":
    main(*sys.argv[1:4])
