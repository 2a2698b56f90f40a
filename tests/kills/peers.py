# SPDX-License-Identifier: MIT
"""The same tasks given to other pools: each by its plain method for one call, with the options that it has by default."""

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from tasks import task


class Peer:
    """One call each: ``_call`` returns how its result is had."""

    def start(self, ledger, numbers):
        return [(number, self._call(ledger, number), None, number) for number in numbers]

    def workers(self):
        return ()


class _Pool(Peer):
    """multiprocessing's interface."""

    def __init__(self, module, method, workers):
        self._pool = module.get_context(method).Pool(workers)

    def _call(self, ledger, number):
        return self._pool.apply_async(task, (ledger, number)).get

    def close(self):
        self._pool.close()
        self._pool.join()


class _Executor(Peer):
    """The interface of concurrent.futures."""

    def __init__(self, executor):
        self._executor = executor

    def _call(self, ledger, number):
        return self._executor.submit(task, ledger, number).result

    def close(self):
        self._executor.shutdown()


class Joblib(Peer):
    """Gives a list to Parallel, and waits for it in a thread."""

    def __init__(self, workers):
        self._joblib = importlib.import_module("joblib")
        self._workers = workers
        self._thread = ThreadPoolExecutor(1)

    def start(self, ledger, numbers):
        calls = [self._joblib.delayed(task)(ledger, number) for number in numbers]
        results = self._thread.submit(self._joblib.Parallel(n_jobs=self._workers), calls)
        return [(number, lambda timeout, index=index: results.result(timeout)[index], None, number)
                for index, number in enumerate(numbers)]

    def close(self):
        self._thread.shutdown()
        importlib.import_module("joblib.externals.loky").get_reusable_executor().shutdown()


class Pebble(Peer):
    def __init__(self, workers):
        self._pool = importlib.import_module("pebble").ProcessPool(workers)

    def _call(self, ledger, number):
        return self._pool.schedule(task, args=(ledger, number)).result

    def close(self):
        self._pool.close()
        self._pool.join()


class Mpire(Peer):
    def __init__(self, workers):
        self._pool = importlib.import_module("mpire").WorkerPool(workers)

    def _call(self, ledger, number):
        return self._pool.apply_async(task, (ledger, number)).get

    def close(self):
        self._pool.stop_and_join()


class Ray(Peer):
    def __init__(self, workers):
        self._ray = importlib.import_module("ray")
        self._ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self._task = self._ray.remote(task)

    def _call(self, ledger, number):
        reference = self._task.remote(ledger, number)
        return lambda timeout: self._get(reference, timeout)

    def _get(self, reference, timeout):
        try:
            return self._ray.get(reference, timeout=timeout)
        except self._ray.exceptions.GetTimeoutError:
            raise TimeoutError from None

    def close(self):
        self._ray.shutdown()


class Dask(Peer):
    def __init__(self, workers):
        distributed = importlib.import_module("dask.distributed")
        self._client = distributed.Client(distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50))

    def _call(self, ledger, number):
        return self._client.submit(task, ledger, number, pure=False).result

    def close(self):
        self._client.cluster.close()
        self._client.close()


KINDS = {
    "multiprocessing.Pool": lambda workers: _Pool(multiprocessing, "fork", workers),
    "concurrent.futures": lambda workers: _Executor(ProcessPoolExecutor(workers)),
    "multiprocess.Pool": lambda workers: _Pool(importlib.import_module("multiprocess"), "fork", workers),
    "loky": lambda workers: _Executor(importlib.import_module("loky").ProcessPoolExecutor(workers)),
    "joblib": Joblib,
    "pebble": Pebble,
    "mpire": Mpire,
    "ray": Ray,
    "dask.distributed": Dask,
}
