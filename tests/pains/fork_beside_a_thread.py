# SPDX-License-Identifier: MIT
"""Row 6: a process is forked while a thread holds a lock; in the child nobody will ever release it."""

import threading

from pain import Hurts, main

log = threading.Lock()  # as a library's, of whose threads the program knows nothing


def square(number):
    with log:
        return number * number


def hold(held, until):
    with log:
        held.set()
        until.wait()


def show(mp):
    held, until = threading.Event(), threading.Event()
    threading.Thread(target=hold, args=(held, until), daemon=True).start()
    held.wait()
    pool = mp.Pool(1)
    until.set()
    try:
        value = pool.apply_async(square, (3,)).get(timeout=6)
    except mp.TimeoutError:
        raise Hurts("the task hangs: its process was forked while a thread held the lock") from None
    return f"the task took the lock and returned {value}: its process was not forked from this one"


if __name__ == "__main__":
    main(show)
