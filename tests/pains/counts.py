# SPDX-License-Identifier: MIT
"""Row 23: right after put a queue says that it is empty, and get_nowait finds nothing."""

import queue as errors

from pain import Hurts, main

ROUNDS = 300


def show(mp):
    wrong = 0
    for _ in range(ROUNDS):
        queue = mp.Queue()
        queue.put("word")
        seen = queue.qsize(), queue.empty()
        try:
            queue.get_nowait()
        except errors.Empty:
            seen = None
            queue.get(timeout=5)
        wrong += seen != (1, False) or queue.qsize() != 0 or not queue.empty()
        queue.close()
    if wrong:
        raise Hurts(f"{wrong} of {ROUNDS} queues with one message said that they were empty")
    return f"qsize, empty and get_nowait are exact in {ROUNDS} of {ROUNDS} queues"


if __name__ == "__main__":
    main(show)
