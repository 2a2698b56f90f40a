# SPDX-License-Identifier: MIT
"""concurrent.futures on a pool of Tutti: ProcessPoolExecutor.

Its futures are those of concurrent.futures, for wait(), as_completed(), asyncio and whoever asks isinstance(). They make
what those need (a condition, lists) at its first use: until then a future is the task alone, and nobody collects results.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sized
from concurrent import futures as standard
from concurrent.futures import _base

from tutti import _machine, _tutti
from tutti._executor_pool import ExecutorPool, refuse_fork
from tutti._outcomes import WorkerDied
from tutti.context import TimeoutError as NotInTime
from tutti.context import _default_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

__all__ = ["ProcessPoolExecutor", "WorkerDied"]


class Future(standard.Future):  # type: ignore[type-arg]
    """The result of one submitted call."""

    # What the base class keeps in every future is made when it is asked for: _make.
    _task: Any
    _watch: Any  # has the executor tell us when the task is done

    def __init__(self, task: Any = None, watch: Any = None) -> None:
        self._task = task
        self._watch = watch
        if task is None:  # somebody's own, of the plain kind
            super().__init__()

    def __getattr__(self, name: str) -> Any:
        if name in _MADE_LATE and "_task" in self.__dict__:
            self._make()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _make(self) -> None:
        """Becomes a full future, which is told when its task is done. One of two threads that come at once wins."""
        with _MAKING:
            if "_condition" in self.__dict__:
                return
            fresh = standard.Future().__dict__
            self.__dict__.update((name, value) for name, value in fresh.items() if name != "_condition")
            self.__dict__["_condition"] = fresh["_condition"]
        if self._task.ready():
            self._finish()
        else:
            self._watch(self)

    def _finish(self) -> None:
        """The task is done: those who wait the standard way are told, and callbacks are called."""
        with self._condition:
            if self._state in (_base.CANCELLED_AND_NOTIFIED, _base.FINISHED):
                return
            error = self._task._error
            cancelled = isinstance(error, standard.CancelledError)
            self._state = _base.CANCELLED_AND_NOTIFIED if cancelled else _base.FINISHED
            self._exception = None if cancelled else error
            if error is None:
                self._result = self._task.get()
            for waiter in self._waiters:
                tell = waiter.add_cancelled if cancelled else waiter.add_exception if error is not None else waiter.add_result
                tell(self)
            self._condition.notify_all()
        self._invoke_callbacks()

    def _settle(self, timeout: float | None) -> BaseException | None:
        """Waits; the task's exception, or None."""
        self._task.wait(timeout)
        if not self._task.ready():
            raise standard.TimeoutError
        if "_condition" in self.__dict__:
            self._finish()
        error: BaseException | None = self._task._error
        if isinstance(error, standard.CancelledError):
            raise error
        return error

    def result(self, timeout: float | None = None) -> Any:
        if self._task is None:
            return super().result(timeout)
        error = self._settle(timeout)
        try:
            if error is not None:
                raise error
            return self._task.get()
        finally:
            del error, self  # the exception's traceback would hold them

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return super().exception(timeout) if self._task is None else self._settle(timeout)

    def done(self) -> bool:
        if self._task is None or "_condition" in self.__dict__:
            return super().done()
        return self._task.ready()  # type: ignore[no-any-return]

    def running(self) -> bool:
        if self._task is None:
            return super().running()
        return self._task._has_started() and not self._task.ready()

    def cancelled(self) -> bool:
        if self._task is None:
            return super().cancelled()
        return self._task.ready() and isinstance(self._task._error, standard.CancelledError)

    def cancel(self, *, running: bool = False) -> bool:
        """True if it had not started: then it never will.

        ``running=True``: ends it while it runs, too, by the kill of its worker, and waits for that (milliseconds); false if
        it was done before.
        """
        if self._task is None:
            return super().cancel()
        cancelled: bool = self._task.cancel(running=running)
        if running and cancelled:
            self._task.wait(_UNTIL_KILLED)
        cancelled = cancelled or self.cancelled()
        if cancelled and "_condition" in self.__dict__ and self._task.ready():
            self._finish()
        return cancelled

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        if self._task is not None:
            self._condition  # is made
        super().add_done_callback(fn)


_UNTIL_KILLED = 5.0  # seconds: what a busy machine may take
_MADE_LATE = frozenset(vars(standard.Future()))
_MAKING = threading.Lock()


class ProcessPoolExecutor(standard.Executor):
    """An executor whose calls run in processes.

    The death of a worker costs the call that it ran (WorkerDied, a BrokenProcessPool), and nothing else; or the call is
    run again, see options(). ``mp_context``: a context of multiprocessing or of Tutti.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None and not isinstance(max_tasks_per_child, int):
            raise TypeError("max_tasks_per_child must be an integer")
        if max_tasks_per_child is not None and max_tasks_per_child <= 0:
            raise ValueError("max_tasks_per_child must be >= 1")
        if mp_context is None:
            mp_context = _default_context.get_context(None if max_tasks_per_child is None else "spawn")
        elif max_tasks_per_child is not None:
            refuse_fork(mp_context)
        self._mp_context = mp_context
        self._max_workers = _machine.default_count() if max_workers is None else max_workers
        self._arguments = (self._max_workers, initializer, initargs, max_tasks_per_child, mp_context)
        self._started: ExecutorPool | None = None
        self._shutdown = False
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._let_go: Any = None
        _running.add(self)

    # What programs look at, though it is the standard executor's inside: its workers, and why it can work no more.

    @property
    def _processes(self) -> dict[int, Any]:
        return {worker.pid: worker for worker in self._started._pool} if self._started is not None else {}

    @property
    def _broken(self) -> str | bool:
        return self._started is not None and self._started._why_broken() or False

    def _pool(self) -> ExecutorPool:
        """The pool, whose workers start with the first calls."""
        pool = self._started
        if pool is not None and not self._shutdown:
            return pool
        with self._lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._started is None:
                self._started = ExecutorPool(*self._arguments)
                self._let_go = weakref.finalize(self, _run_to_the_end, self._started)
                self._let_go.atexit = False
            return self._started

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Schedules ``fn(*args, **kwargs)``; its future."""
        return self._submit(fn, args, kwargs, {})

    def _submit(self, fn: Callable[..., Any], args: Any, kwargs: Any, options: dict[str, Any]) -> Future:
        pool = self._pool()
        try:
            return Future(pool._submit(fn, args, kwargs, options), pool._callbacks.watch)
        except _tutti.Error:  # a broken pool, or a full arena
            raise
        except Exception as error:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown") from error
            return _failed(error)

    def options(
        self,
        *,
        retries: int = 0,
        retry_on: Any = None,
        task_timeout: float | None = None,
        memory: int | None = None,
        priority: int = 0,
    ) -> _Submitter:
        """``executor.options(retries=2, task_timeout=30).submit(...)``.

        ``retries``: further runs of a call whose worker died, or that raised one of ``retry_on``; ``task_timeout``:
        seconds that a run may take, after which its worker is killed; ``memory``: bytes that the call may allocate;
        ``priority``: -10 to 10, of what waits the highest starts first.
        """
        options = {
            "retries": retries,
            "retry_on": retry_on,
            "task_timeout": task_timeout,
            "memory": memory,
            "priority": priority,
        }
        return _Submitter(self, options)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The results of ``map(fn, *iterables)``, in order. ``buffersize``: inputs taken ahead of the results."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        window = 0 if buffersize is None else max(1, buffersize // chunksize)
        pool = self._pool()
        pool._make_room(_chunks(iterables, chunksize, pool._processes))
        stream = pool._stream(fn, zip(*iterables), True, chunksize, window, True, False, 0, None, 0)
        return _results(stream, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; those that were submitted are run, unless they are cancelled."""
        if os.getpid() != self._pid:
            return  # a forked child's copy
        with self._lock:
            self._shutdown = True
            pool = self._started
        if pool is None or pool._state == "TERMINATE":
            return
        self._let_go.detach()
        if not wait:
            _run_to_the_end(pool, cancel_futures)
            return
        if cancel_futures:
            pool._cancel()
        try:
            pool.close()
            pool.join()
        except KeyboardInterrupt:  # at the interpreter's exit the rest would be waited for again
            pool.terminate()
            raise

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Ctrl-C in the block ends the workers at once; anything else lets them run what was submitted."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.terminate_workers()
        else:
            self.shutdown()

    def terminate_workers(self) -> None:
        """Ends the workers at once (SIGTERM); what waits is cancelled, what runs fails with WorkerDied."""
        with self._lock:
            self._shutdown = True
            pool = self._started
        if pool is not None:
            self._let_go.detach()
            pool.terminate()

    def kill_workers(self) -> None:
        """The same by SIGKILL."""
        pool = self._started
        for worker in pool._pool if pool is not None else ():
            worker.kill()
        self.terminate_workers()


class _Submitter:
    """An executor with options for each call."""

    def __init__(self, executor: ProcessPoolExecutor, options: dict[str, Any]) -> None:
        self._executor = executor
        self._options = options

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return self._executor._submit(fn, args, kwargs, self._options)


def _failed(error: BaseException) -> Future:
    """Of a call that could not be sent: as in the standard library its future says so."""
    future = Future()
    future.set_exception(error)
    return future


def _chunks(iterables: tuple[Iterable[Any], ...], chunksize: int, most: int) -> int:
    """How many there will be; ``most`` if that is not known."""
    sizes = [len(inputs) for inputs in iterables if isinstance(inputs, Sized)]
    return -(-min(sizes) // chunksize) if sizes else most


def _run_to_the_end(pool: ExecutorPool, cancel: bool = False) -> None:
    """Without an executor, or one that waits: what was submitted is run, or cancelled, and then the workers end."""
    if os.getpid() == pool._pid and pool._state != "TERMINATE":
        pool.close()
        threading.Thread(target=_end, args=(pool, cancel), name="tutti-shutdown").start()


def _end(pool: ExecutorPool, cancel: bool) -> None:
    if cancel:
        pool._cancel()
    pool.join()


def _results(stream: Any, deadline: float | None) -> Iterator[Any]:
    try:
        while (pair := _next_pair(stream, deadline)) is not None:
            values = [pair[0]]
            if pair[1] is not None:
                raise pair[1]  # a StopIteration becomes a RuntimeError here, as in every generator
            del pair
            yield values.pop()  # which is not held here any longer
    finally:
        stream._cancel(False)


def _next_pair(stream: Any, deadline: float | None) -> Any:
    try:
        return stream._next_pair(None if deadline is None else deadline - time.monotonic())
    except NotInTime:
        raise standard.TimeoutError from None


# --- the interpreter's exit -----------------------------------------------------------------------------------

_running: weakref.WeakSet[ProcessPoolExecutor] = weakref.WeakSet()


def _at_exit() -> None:
    """What was submitted is run, as the standard executors do it."""
    for executor in list(_running):
        if executor._pid == os.getpid():
            executor.shutdown()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
