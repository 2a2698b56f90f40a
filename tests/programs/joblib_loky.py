# SPDX-License-Identifier: MIT
"""joblib, with its own processes (loky) and with those of its backend "multiprocessing"."""

import os
import signal

import numpy
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError


def length(word):
    return len(word)


def refuse(word):
    raise ValueError("cannot count")


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def words():
    return ["tutti", "quanti", "allegro"] * 30


def arrays():
    """Arrays of more than a megabyte go through a file that the workers map."""
    big = numpy.arange(300_000, dtype=float)
    return [float(total) for total in Parallel(n_jobs=2)(delayed(numpy.sum)(big * scale) for scale in range(4))]


def failure(backend):
    try:
        Parallel(n_jobs=2, backend=backend)(delayed(refuse)(word) for word in words())
    except ValueError as error:
        return str(error)


def death():
    try:
        Parallel(n_jobs=2)(delayed(die)(number) for number in range(2))
    except TerminatedWorkerError:
        return "a worker was killed"


def main():
    for backend in ("loky", "multiprocessing"):
        with parallel_config(backend=backend, n_jobs=2):
            print(backend, sum(Parallel()(delayed(length)(word) for word in words())))
            print(backend, failure(backend))
    lengths = Parallel(n_jobs=2, return_as="generator")(delayed(length)(word) for word in words())
    print(sum(lengths))
    print(Parallel(n_jobs=2)(delayed(lambda word: word.upper())(word) for word in words()[:3]))
    print(arrays())
    print(death())
    print(sum(Parallel(n_jobs=2)(delayed(length)(word) for word in words())))


if __name__ == "__main__":
    main()
