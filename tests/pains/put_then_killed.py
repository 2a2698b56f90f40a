# SPDX-License-Identifier: MIT
"""Row 4: put has returned, the process is killed: its message is lost in a thread that had no time."""

import os
import queue as errors
import signal

from pain import Hurts, main

ROUNDS = 20


def put_and_die(queue, number):
    queue.put(number)
    os.kill(os.getpid(), signal.SIGKILL)


def show(mp):
    lost = 0
    for number in range(ROUNDS):
        queue = mp.Queue()
        process = mp.Process(target=put_and_die, args=(queue, number))
        process.start()
        process.join()
        try:
            lost += queue.get(timeout=0.2) != number
        except errors.Empty:
            lost += 1
    if lost:
        raise Hurts(f"{lost} of {ROUNDS} messages whose put had returned are lost")
    return f"{ROUNDS} of {ROUNDS} messages are there"


if __name__ == "__main__":
    main(show)
