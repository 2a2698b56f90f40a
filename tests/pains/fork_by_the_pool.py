# SPDX-License-Identifier: MIT
"""Row 6: a program without a thread of its own; the pool's thread forks while the program holds a lock."""

import threading

from pain import Hurts, main

TASKS = 40
log = threading.Lock()


def write_line(number):
    with log:
        return number


def show(mp):
    pool = mp.Pool(2, maxtasksperchild=1)  # each task's process is a new one
    results = [pool.apply_async(write_line, (number,)) for number in range(TASKS)]
    lost = 0
    for result in results:
        with log:  # the program's own line, while the pool replaces workers
            wait_a_little(result)
        try:
            result.get(timeout=4)
        except mp.TimeoutError:
            raise Hurts("a task hangs: its process was forked while this one held the lock") from None
    return f"{TASKS} tasks in {TASKS} processes, of which none was forked in the middle of something"


def wait_a_little(result):
    threading.Event().wait(0.02)


if __name__ == "__main__":
    main(show)
