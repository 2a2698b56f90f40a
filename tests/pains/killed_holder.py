# SPDX-License-Identifier: MIT
"""Row 2: a process is killed while it holds a lock; everybody else waits for ever."""

import os
import signal

from pain import Hurts, main


def die_with(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def show(mp):
    lock = mp.Lock()
    holder = mp.Process(target=die_with, args=(lock,))
    holder.start()
    holder.join()
    try:
        if not lock.acquire(timeout=3):
            raise Hurts("the lock of a killed process is never free again")
    except getattr(mp, "AbandonedLockError", ()) as told:
        lock.release()
        return f"told: {told}"
    raise Hurts("the lock came as if its holder had released it")


if __name__ == "__main__":
    main(show)
