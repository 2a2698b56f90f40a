# SPDX-License-Identifier: MIT
"""Calls a second of joblib.Parallel of two, one call a batch: joblib_calls.py BACKEND. The first round, which starts workers,
is not counted."""

import operator
import sys
import time

from joblib import Parallel, delayed
from support import QUICK, median

CALLS, ROUNDS = (500, 3) if QUICK else (5000, 3)


def rate(backend):
    begun = time.perf_counter()
    Parallel(n_jobs=2, backend=backend, batch_size=1)(delayed(operator.neg)(number) for number in range(CALLS))
    return CALLS / (time.perf_counter() - begun)


def main(backend):
    import tutti.joblib

    tutti.joblib.register()
    rate(backend)
    rates = [rate(backend) for _ in range(ROUNDS)]
    print("rate", median(rates))  # and the interpreter's end, as joblib would have it


if __name__ == "__main__":
    main(sys.argv[1])
