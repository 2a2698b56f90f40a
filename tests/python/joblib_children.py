# SPDX-License-Identifier: MIT
"""What test_joblib.py and test_joblib_ends.py share, and what the workers run there."""

import os
import signal
import threading

import joblib

SQUARES = [number * number for number in range(50)]


def parallel(**options):
    return joblib.Parallel(**{"n_jobs": 2, "backend": "tutti", **options})


def squares():
    return (joblib.delayed(square)(number) for number in range(50))


# --- what the workers run -------------------------------------------------------------------------------------


def square(number):
    return number * number


def call(function):
    return function()


def refuse(number):
    raise ValueError(f"no {number}")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark):
    """Kills its worker the first time."""
    try:
        os.mkdir(mark)
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)


def wait(_):
    threading.Event().wait(60)


def nested(number):
    """The sum of squares below, by a Parallel within a worker; and what it ran on."""
    parallel = joblib.Parallel(n_jobs=2)
    squares = parallel(joblib.delayed(square)(each) for each in range(number))
    return sum(squares), type(parallel._backend).__name__


def nested_by_name(number):
    return joblib.Parallel(n_jobs=2, backend="tutti")(joblib.delayed(square)(each) for each in range(number))


def threads_of_blas(_):
    return os.environ["OMP_NUM_THREADS"]


def add_in_place(array):
    array += 1
    return {"sum": float(array.sum()), "array": array}
