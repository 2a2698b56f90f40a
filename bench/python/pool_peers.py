# SPDX-License-Identifier: MIT
"""Calls a second of other libraries' pools of two processes: pool_peers.py LIBRARY map|result.

`map`: many calls of which each is a task of its own; `result`: one call after the other, each waited for.
"""

import contextlib
import sys

from pools import same
from support import rate_of, seconds

MAP, RESULTS = 500, 50  # calls between two looks at the clock


class Way:
    """How one library does it: `map(count)` and `result()`."""

    def __init__(self, map, result):
        self.map = map
        self.result = result


def of_executor(executor):
    return Way(lambda count: list(executor.map(same, range(count))), lambda: executor.submit(same, 1).result())


@contextlib.contextmanager
def loky():
    from loky import get_reusable_executor

    yield of_executor(get_reusable_executor(max_workers=2))


@contextlib.contextmanager
def joblib():
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2, batch_size=1) as parallel:
        yield Way(lambda count: parallel(delayed(same)(number) for number in range(count)),
                  lambda: parallel([delayed(same)(1)]))


@contextlib.contextmanager
def mpire():
    from mpire import WorkerPool

    with WorkerPool(2) as pool:
        yield Way(lambda count: pool.map(same, range(count), chunk_size=1), lambda: pool.apply(same, (1,)))


@contextlib.contextmanager
def pebble():
    from pebble import ProcessPool

    with ProcessPool(2) as pool:
        yield Way(lambda count: list(pool.map(same, range(count)).result()),
                  lambda: pool.schedule(same, args=(1,)).result())


@contextlib.contextmanager
def multiprocess():
    from multiprocess import Pool

    with Pool(2) as pool:
        yield Way(lambda count: pool.map(same, range(count), 1), lambda: pool.apply(same, (1,)))


@contextlib.contextmanager
def mpi():
    from mpi4py.futures import MPIPoolExecutor

    yield of_executor(MPIPoolExecutor(2))


@contextlib.contextmanager
def ray():
    import ray as library

    library.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    call = library.remote(same)
    yield Way(lambda count: library.get([call.remote(number) for number in range(count)]),
              lambda: library.get(call.remote(1)))


@contextlib.contextmanager
def dask():
    from distributed import Client, LocalCluster

    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield Way(lambda count: client.gather(client.map(same, range(count), pure=False)),
                  lambda: client.submit(same, 1, pure=False).result())


LIBRARIES = {function.__name__: function
             for function in (loky, joblib, mpire, pebble, multiprocess, mpi, ray, dask)}


def main(name, what):
    with LIBRARIES[name]() as way:
        def results(count):
            for _ in range(count):
                way.result()

        work, batch = (way.map, MAP) if what == "map" else (results, RESULTS)
        print("rate", rate_of(work, seconds(1.0), batch), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
