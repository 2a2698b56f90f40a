# SPDX-License-Identifier: MIT
"""Row 12: where /dev/shm cannot be written to, as in some containers, there is no lock to be had at all."""

from private_shm import inside
from pain import Hurts, main


def show(mp):
    try:
        lock, queue = mp.Lock(), mp.Queue()
    except OSError as error:
        raise Hurts(f"no lock: {type(error).__name__}: {error}") from error
    with lock:
        queue.put("word")
    return f"a lock and a queue work: {queue.get(timeout=5)!r}"


if __name__ == "__main__":
    inside("ro")
    main(show)
