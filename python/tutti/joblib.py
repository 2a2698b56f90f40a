# SPDX-License-Identifier: MIT
"""joblib's backend "tutti": whatever calls joblib.Parallel, such as scikit-learn, runs on Tutti's pool.

    import tutti.joblib

    tutti.joblib.register()

and then ``joblib.Parallel(n_jobs=2, backend="tutti")``, or ``with joblib.parallel_config(backend="tutti"):``.
"""

from __future__ import annotations

import abc
import atexit
import os
import pickle
import threading
import types
from multiprocessing import process
from typing import Any, Callable

from joblib import parallel
from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend
from joblib.parallel import ParallelBackendBase

from tutti import _joblib_workers, _machine
from tutti.pool import Pool

__all__ = ["Backend", "register", "shutdown"]

_IDLE = 300.0  # seconds that workers are kept for the next call, as joblib's own are


def register(make_default: bool = False) -> None:
    """Makes the backend "tutti" known to joblib. ``make_default``: joblib uses it where none is named."""
    parallel.register_parallel_backend("tutti", Backend, make_default=make_default)


# --- workers between two calls --------------------------------------------------------------------------------


class _Shelf:
    """Keeps the pool that was used last: its workers have imported what the next call will need."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: Any = None
        self._pool: Pool | None = None
        self._timer: threading.Timer | None = None

    def take(self, key: Any) -> Pool | None:
        """The pool that was made for such a key, unless it is gone, in use, or the parent's of a forked child."""
        with self._lock:
            if self._pool is None or self._key != key or self._pool._pid != os.getpid():
                return None
            return self._remove()

    def _remove(self) -> Pool | None:
        pool, self._pool = self._pool, None
        if self._timer is not None:
            self._timer.cancel()
        return pool

    def put(self, key: Any, pool: Pool, seconds: float) -> None:
        with self._lock:
            old = self._remove()
            self._key, self._pool = key, pool
            self._timer = threading.Timer(seconds, self._expire, (pool,))
            self._timer.daemon = True
            self._timer.start()
        _end(old)

    def _expire(self, pool: Pool) -> None:
        with self._lock:
            if self._pool is not pool:
                return
            self._remove()
        _end(pool)

    def clear(self) -> None:
        with self._lock:
            pool = self._remove()
        _end(pool)


def _end(pool: Pool | None) -> None:
    if pool is not None and pool._pid == os.getpid():
        pool.terminate()
        pool.join()


_shelf = _Shelf()


def shutdown() -> None:
    """Ends the workers that are kept for the next call."""
    _shelf.clear()


atexit.register(shutdown)


# --- the backend ----------------------------------------------------------------------------------------------


class _Job:
    """A batch under way: what joblib asks for its results."""

    def __init__(self, task: Any, callback: Callable[[Any], object] | None) -> None:
        self._task = task
        self._callback = callback

    def _finish(self) -> None:
        """In the pool's thread that calls back."""
        assert self._callback is not None
        self._callback(self)

    def get(self, timeout: float | None = None) -> Any:
        """The results, or the exception: of a call, or of the pool."""
        value = _joblib_workers.unpack(self._task.get(timeout))
        if isinstance(value, BaseException):
            raise value
        return value


class _Packer:
    """Packs the batches of one call of Parallel."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bool]] = {}  # by id, of what is held beside it

    def pack(self, calls: list[Any]) -> Any:
        return calls if all(map(self._is_plain, calls)) else _joblib_workers.pack(calls)

    def _is_plain(self, call: Any) -> bool:
        """Whether pickle makes of it what cloudpickle would."""
        function, arguments, keywords = call
        plain = _joblib_workers.PLAIN
        return (
            all(type(value) in plain for value in arguments)
            and all(type(value) in plain for value in keywords.values())
            and self._goes_by_name(function)
        )

    def _goes_by_name(self, function: Any) -> bool:
        known = self._known.get(id(function))
        if known is None:
            known = self._known[id(function)] = function, _goes_by_name(function)
        return known[1]


def _goes_by_name(function: Any) -> bool:
    if not isinstance(function, (types.FunctionType, types.BuiltinFunctionType)):
        return False
    try:
        by_name = pickle.dumps(function)
    except Exception:
        return False
    return bool(_joblib_workers.cloudpickle().dumps(function, protocol=pickle.DEFAULT_PROTOCOL) == by_name)


class Backend(AutoBatchingMixin, ParallelBackendBase, metaclass=abc.ABCMeta):  # type: ignore[misc]
    """Runs the batches of a ``joblib.Parallel`` in a pool of Tutti.

    Options beside joblib's own, of ``parallel_config(backend="tutti", ...)`` or ``Parallel(...)``: ``retries``, ``task_timeout``
    (of a batch), ``idle_worker_timeout``, ``initializer``, ``initargs``.
    """

    supports_retrieve_callback = True
    supports_timeout = True
    supports_inner_max_num_threads = True

    _pool: Pool | None = None

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **options: Any
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._defaults = options

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or process.current_process().daemon:  # daemons may not have children
            return 1
        return n_jobs if n_jobs > 0 else max(_machine.default_count() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        **options: Any,
    ) -> int:
        count = self.effective_n_jobs(n_jobs)
        if count == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        options = {**self._defaults, **options}
        self.parallel = parallel
        self._options = {"retries": options.get("retries", 0), "task_timeout": options.get("task_timeout")}
        self._idle = options.get("idle_worker_timeout", _IDLE)
        self._key = (count, self._prepare_worker_env(n_jobs=count), options.get("initializer"), options.get("initargs", ()))
        self._pool = _shelf.take(self._key) or self._start(*self._key)
        self._packer = _Packer()
        return count

    @staticmethod
    def _start(count: int, environment: dict[str, str], initializer: Any, arguments: tuple[Any, ...]) -> Pool:
        begin = (environment, _joblib_workers.pack((initializer, arguments)))
        return Pool(count, _joblib_workers.begin, begin, context=_joblib_workers.Context(), name="joblib")

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> _Job:
        """``func``: joblib's batch of calls."""
        pool = self._pool
        assert pool is not None
        arguments = self._packer.pack(func.items), self.nesting_level or 0
        job = _Job(pool.apply_async(_joblib_workers.run, arguments, **self._options), callback)
        if callback is not None:
            pool._callbacks.watch(job)
        return job

    apply_async = submit  # as joblib before 1.5 calls it

    def retrieve_result_callback(self, out: _Job) -> Any:
        return out.get()

    def terminate(self) -> None:
        """The call is over; its workers may serve the next one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            _shelf.put(self._key, pool, self._idle)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends what runs, with the workers that run it."""
        pool, self._pool = self._pool, None
        _end(pool)
        if ensure_ready:
            self._pool = _shelf.take(self._key) or self._start(*self._key)
