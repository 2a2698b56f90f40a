# SPDX-License-Identifier: MIT
"""Row 17: a task may not start a process, nor use a pool: daemonic processes are not allowed to have children."""

import importlib

from pain import Hurts, main


def square(number):
    return number * number


def total(library, count):
    with importlib.import_module(library).Pool(2) as pool:
        return sum(pool.map(square, range(count)))


def show(mp):
    pool = mp.Pool(1)
    try:
        value = pool.apply_async(total, (mp.__name__, 10)).get(timeout=20)
    except AssertionError as error:
        raise Hurts(f"AssertionError: {error}") from error
    return f"a task had a pool of its own, and the result is {value}"


if __name__ == "__main__":
    main(show)
