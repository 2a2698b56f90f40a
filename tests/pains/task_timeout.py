# SPDX-License-Identifier: MIT
"""Row 18: a task takes too long; whoever waited can give up, and the worker goes on with it for ever."""

import time

from pain import Hurts, main, only_tutti


def hang():
    time.sleep(60)


def square(number):
    return number * number


def show(mp):
    pool = mp.Pool(1)
    slow = pool.apply_async(hang, **only_tutti(mp, task_timeout=1))
    try:
        slow.get(timeout=4)
    except mp.TimeoutError:
        told = "nobody is told of it"
    except getattr(mp, "WorkerDied", ()) as error:
        told = str(error)
    try:
        value = pool.apply_async(square, (3,)).get(timeout=4)
    except mp.TimeoutError:
        raise Hurts("the pool's only worker is still at the task that was given up") from None
    return f"told: {told}; the next task returned {value}"


if __name__ == "__main__":
    main(show)
