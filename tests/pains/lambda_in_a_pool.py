# SPDX-License-Identifier: MIT
"""Row 8: a lambda cannot be given to a pool, whose error does not say what is wrong with which argument."""

from pain import Hurts, main


class Job:
    def __init__(self, factor):
        self.callback = lambda number: factor * number


def call(job, number):
    return job.callback(number)


def show(mp):
    pool = mp.Pool(1)
    try:
        values = pool.map_async(lambda number: number * number, range(4)).get(timeout=6)
        values.append(pool.apply_async(call, (Job(6), 7)).get(timeout=6))
    except Exception as error:  # which class is the library's affair
        raise Hurts(f"{type(error).__name__}: {error}") from error
    if values != [0, 1, 4, 9, 42]:
        raise Hurts(f"other results came out: {values}")
    return f"a lambda, and an object with one in it, ran in another process: {values}"


if __name__ == "__main__":
    main(show)
