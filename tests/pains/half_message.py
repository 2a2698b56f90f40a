# SPDX-License-Identifier: MIT
"""Row 2: a process is killed in the middle of a big put; the half message is in the way of all others."""

import time

from pain import Hurts, main, within

SIZE = 100 << 20  # more than any buffer, long enough to be killed in the middle
DELAYS = (0.01, 0.02, 0.04, 0.08, None)  # seconds until the writer is killed; None: when something has arrived


def put_much(queue, started, payload):
    started.set()
    queue.put(payload)
    time.sleep(60)


def put_word(queue):
    queue.put("word")


def first_word(queue):
    while True:
        message = queue.get()
        if message == "word":
            return
        if len(message) != SIZE:
            raise Hurts(f"a torn message of {len(message)} bytes came out")


def wait_for_any(queue):
    while queue.empty():
        time.sleep(0.001)


def one_round(mp, delay):
    queue, started = mp.SimpleQueue(), mp.Event()
    writer = mp.Process(target=put_much, args=(queue, started, bytes(SIZE)))
    writer.start()
    started.wait()
    if delay is None:
        within(30, wait_for_any, queue)
    else:
        time.sleep(delay)
    writer.kill()
    writer.join()
    other = mp.Process(target=put_word, args=(queue,), daemon=True)
    other.start()
    within(5, first_word, queue)


def show(mp):
    for delay in DELAYS:
        one_round(mp, delay)
    return f"the next message came through each of {len(DELAYS)} times"


if __name__ == "__main__":
    main(show)
