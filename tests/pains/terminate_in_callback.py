# SPDX-License-Identifier: MIT
"""Row 21: a callback that has seen enough terminates its pool: it never returns, and nor does join."""

import threading

from pain import Hurts, main

ROUNDS = 10
SIZE = 200_000  # of each result, so that workers are in the middle of one


def first(value):
    return value


def one_round(mp):
    pool = mp.Pool(2)
    ended = threading.Event()

    def end(_):
        pool.terminate()
        ended.set()

    pool.map_async(bytes, [SIZE] * 100, 1)
    pool.apply_async(first, (1,), callback=end)
    pool.map_async(bytes, [SIZE] * 1000, 1)
    if not ended.wait(8):
        raise Hurts("terminate hangs in a callback")
    joiner = threading.Thread(target=pool.join, daemon=True)
    joiner.start()
    joiner.join(8)
    if joiner.is_alive():
        raise Hurts("join hangs after terminate")


def show(mp):
    for _ in range(ROUNDS):
        one_round(mp)
    return f"the pool was gone each of {ROUNDS} times"


if __name__ == "__main__":
    main(show)
