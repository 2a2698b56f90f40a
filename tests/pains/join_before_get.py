# SPDX-License-Identifier: MIT
"""Row 4: a process that has put much into a queue cannot end before somebody reads it."""

from pain import Hurts, main

SIZE = 4 << 20


def put_and_end(queue):
    queue.put(bytes(SIZE))


def show(mp):
    queue = mp.Queue()
    process = mp.Process(target=put_and_end, args=(queue,))
    process.start()
    process.join(4)
    if process.is_alive():
        raise Hurts("join before get hangs: the putter waits for a reader")
    return f"it ended, and its {len(queue.get(timeout=5)) >> 20} MiB are there"


if __name__ == "__main__":
    main(show)
