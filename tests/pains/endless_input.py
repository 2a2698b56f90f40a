# SPDX-License-Identifier: MIT
"""Row 19: imap takes the whole of its input at once, however few results are read: memory without end."""

import itertools
import time

from pain import Hurts, main

READ = 10
ALLOWED = 10_000


def square(number):
    return number * number


def show(mp):
    taken = 0

    def numbers():
        nonlocal taken
        for number in itertools.count():
            taken += 1
            if taken > 20 * ALLOWED:
                return  # enough is seen
            yield number

    results = mp.Pool(1).imap(square, numbers())
    read = [next(results) for _ in range(READ)]
    if read != [number * number for number in range(READ)]:
        raise Hurts("other results came out")
    seen = 0
    while seen < taken <= ALLOWED:  # more are being taken
        seen = taken
        time.sleep(1)
    said = f"for {READ} results that were read "
    if taken > ALLOWED:
        raise Hurts(f"{said}more than {ALLOWED} inputs were taken, and more are being taken")
    return f"{said}{taken} inputs were taken"


if __name__ == "__main__":
    main(show)
