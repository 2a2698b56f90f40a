# SPDX-License-Identifier: MIT
"""pebble's pool of processes: calls with a limit of time, one that is killed, one that is cancelled."""

import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import CancelledError, TimeoutError

from pebble import ProcessExpired, ProcessPool, concurrent


def square(number):
    return number * number


def work_for_ever():
    while True:
        time.sleep(0.1)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@concurrent.process(timeout=30)
def cube(number):
    return number**3


def end_of(future):
    try:
        return future.result(timeout=60)
    except (TimeoutError, ProcessExpired, CancelledError) as error:
        return type(error).__name__


def pool(method):
    with ProcessPool(max_workers=2, max_tasks=5, context=multiprocessing.get_context(method)) as pool:
        squares = pool.map(square, range(20), chunksize=3)
        late, dead = pool.schedule(work_for_ever, timeout=0.5), pool.schedule(die)
        print(method, sum(squares.result()), end_of(late), end_of(dead))
        endless = pool.schedule(work_for_ever)
        while not endless.running():
            time.sleep(0.01)
        endless.cancel()
        print(method, end_of(endless), pool.schedule(square, args=[7]).result(timeout=60))


def main():
    for method in ("fork", "forkserver", "spawn"):
        pool(method)
    print(cube(3).result(timeout=60))


if __name__ == "__main__":
    main()
