# SPDX-License-Identifier: MIT
"""The ways of giving tasks to pools of Tutti. Each is a function that starts some and says how each result is had."""

import random

import tutti
from tasks import task, task_of


def value_of(outcome):
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class Pool:
    """All methods, in turn; with retries, and without."""

    def __init__(self, method, workers):
        self._pool = tutti.get_context(method).Pool(workers)
        self._ways = (self._apply_async, self._map_async, self._imap)
        self._turn = 0

    def workers(self):
        return [worker.pid for worker in self._pool._pool]

    def start(self, ledger, numbers):
        """``(number, get, retries, share)`` for each; all with the same share are lost together."""
        self._turn += 1
        way = self._ways[self._turn % len(self._ways)]
        retries = (0, 2)[self._turn // len(self._ways) % 2]
        return [(number, get, retries, (self._turn, share)) for number, get, share in way(ledger, numbers, retries)]

    def _apply_async(self, ledger, numbers, retries):
        return [(number, self._pool.apply_async(task, (ledger, number), retries=retries).get, number)
                for number in numbers]

    def _map_async(self, ledger, numbers, retries, chunk=3):
        jobs = [(ledger, number) for number in numbers]
        results = self._pool.starmap_async(task, jobs, chunk, retries=retries, return_exceptions=True)

        def getter(index):
            return lambda timeout: value_of(results.get(timeout)[index])

        return [(number, getter(index), index // chunk) for index, number in enumerate(numbers)]

    def _imap(self, ledger, numbers, retries, chunk=2):
        jobs = [(ledger, number) for number in numbers]
        results = self._pool.imap(task_of, jobs, chunk, retries=retries, return_exceptions=True)

        def get(timeout):
            return value_of(results.next(timeout))

        return [(number, get, index // chunk) for index, number in enumerate(numbers)]

    def close(self):
        self._pool.close()
        self._pool.join()


class Executor:
    """submit, with retries and without."""

    def __init__(self, method, workers):
        self._executor = tutti.ProcessPoolExecutor(workers, mp_context=tutti.get_context(method))
        self._chance = random.Random(1)

    def workers(self):
        pool = self._executor._started
        return [worker.pid for worker in pool._pool] if pool else []

    def start(self, ledger, numbers):
        retries = self._chance.choice((0, 2))
        submit = self._executor.options(retries=retries).submit if retries else self._executor.submit
        return [(number, submit(task, ledger, number).result, retries, number) for number in numbers]

    def close(self):
        self._executor.shutdown()


KINDS = {"tutti.Pool": Pool, "tutti.ProcessPoolExecutor": Executor}
