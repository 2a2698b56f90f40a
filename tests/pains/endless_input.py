# SPDX-License-Identifier: MIT
"""Row 19: imap takes the whole of its input at once, however few results are read: memory without end."""

import itertools
import threading

from pain import Hurts, main

READ = 10
ALLOWED = 10_000
PATIENCE = 3  # seconds for more of them to be taken than that


def square(number):
    return number * number


def show(mp):
    taken = 0
    too_many = threading.Event()

    def numbers():
        nonlocal taken
        for number in itertools.count():
            taken += 1
            if taken > ALLOWED:
                too_many.set()
            if taken > 20 * ALLOWED:
                return  # enough is seen
            yield number

    results = mp.Pool(1).imap(square, numbers())
    read = [next(results) for _ in range(READ)]
    if read != [number * number for number in range(READ)]:
        raise Hurts("other results came out")
    too_many.wait(PATIENCE)
    said = f"for {READ} results that were read "
    if too_many.is_set():
        raise Hurts(f"{said}more than {ALLOWED} inputs were taken, and more are being taken")
    return f"{said}{taken} inputs were taken"


if __name__ == "__main__":
    main(show)
