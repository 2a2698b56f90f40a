# SPDX-License-Identifier: MIT
"""dask.distributed: a local cluster of two processes."""

import multiprocessing
import operator

from distributed import Client, LocalCluster


def square(number):
    return number * number


def in_a_process(_):
    return multiprocessing.parent_process() is not None


def main():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            squares = client.map(square, range(100))
            print(client.submit(sum, squares).result(timeout=60))
            print(client.gather(client.map(operator.neg, range(5))), client.submit(in_a_process, 0).result(timeout=60))


if __name__ == "__main__":
    main()
