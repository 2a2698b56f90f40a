# SPDX-License-Identifier: MIT
"""Row 1: a pool's worker is killed in its task; the pool replaces it in silence, and map waits for ever."""

import os
import signal

from pain import Hurts, main, within

ITEMS = 20
VICTIM = 7


def square(number):
    if number == VICTIM:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def show(mp):
    pool = mp.Pool(2)

    def squares():
        return pool.map(square, range(ITEMS), 1)

    try:
        within(4, squares)
    except getattr(mp, "WorkerDied", ()) as told:
        if within(10, pool.map, square, range(VICTIM)) != [number * number for number in range(VICTIM)]:
            raise Hurts("the pool does not go on") from None
        return f"told: {told}; the pool goes on"
    raise Hurts("map returned as if nothing had happened")


if __name__ == "__main__":
    main(show)
