# SPDX-License-Identifier: MIT
"""Pools of processes, with the names and signatures of multiprocessing.pool.

What is scheduled is scheduled in the arena: a submitted call is copied there, a free worker takes it, and its result
is there for whoever waits for that call. A worker that is killed costs the call that it ran, which fails with
WorkerDied or is run again (``retries=``); another worker takes its place. Nothing hangs.
"""

from __future__ import annotations

import itertools
import operator
import os
import threading
import time
import types
import warnings
import weakref
from multiprocessing import util
from multiprocessing.context import TimeoutError
from multiprocessing.pool import (  # type: ignore[attr-defined]
    CLOSE,
    INIT,
    RUN,
    TERMINATE,
    ExceptionWithTraceback,
    MaybeEncodingError,
    RemoteTraceback,
    ThreadPool,
)

from tutti import _awaiting, _failures, _functions, _machine, _progress, _tutti, _workers
from tutti._callbacks import Callbacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Iterable, Iterator

    from tutti._outcomes import WorkerDied

__all__ = ["Pool", "ThreadPool", "WorkerDied"]

def __getattr__(name: str) -> Any:
    if name == "WorkerDied":  # needs concurrent.futures, which may itself be in the middle of importing this
        from tutti._outcomes import WorkerDied

        return WorkerDied
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_NAMES = itertools.count(1)
_READ = -1  # the window of a stream that somebody reads: all, but of large tasks only a few ahead
_WINDOW = 4096  # tasks under way of an iterator that does not say how many inputs it has
# Of a map whose chunksize is not given. So many cost a millisecond; fewer, with more calls each, would leave workers idle
# beside one that has got the long calls, and a death would cost more calls.
_CHUNKS = 1024
_PAUSE = 0.01  # seconds between looks at streams that other threads feed


class AsyncResult(_tutti.Task):
    """The result of one call. It can be awaited, too."""

    def __await__(self) -> Generator[Any, None, Any]:
        return _awaiting.outcome(self, self._pool._callbacks).__await__()

    __class_getitem__: Any = classmethod(types.GenericAlias)


ApplyResult = AsyncResult


class IMapIterator(_tutti.Stream):
    """Results one after the other, in the order of the inputs or as they come.

    A call that failed raises here, in its place; the next one can be asked for all the same. ``async for`` goes, too.
    """

    def __aiter__(self) -> IMapIterator:
        return self

    async def __anext__(self) -> Any:
        return await _awaiting.next_of(self)


IMapUnorderedIterator = IMapIterator


class MapResult:
    """The results of many calls, all at once. They can be awaited, too."""

    _called: threading.Event | None = None  # follows the callback, if there is one

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._value: list[Any] = []
        self._errors: list[BaseException] = []
        self._complete = False
        self._turn = threading.Lock()

    def _collect(self, timeout: float | None) -> bool:
        """Waits, whether there is a callback or not. Whether all are done."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._turn.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            return self._complete
        try:
            if not self._complete:
                left = None if deadline is None else deadline - time.monotonic()
                self._complete = self._collect_in_turn(left)
            return self._complete
        finally:
            self._turn.release()

    def _collect_in_turn(self, timeout: float | None) -> bool:
        try:
            return self._stream._collect(self._value, self._errors, timeout)  # type: ignore[no-any-return]
        except _tutti.Error as error:
            from tutti._outcomes import BrokenPool

            if not isinstance(error, BrokenPool):
                raise
            self._errors.insert(0, error)  # the pool stays so: there is nothing more to come
            return True

    def _is_done(self) -> bool:
        return self._complete or (self._stream._is_done() and self._collect(None))

    @property
    def _error(self) -> BaseException | None:
        return self._errors[0] if self._errors else None

    def get(self, timeout: float | None = None) -> list[Any]:
        """The list of results; or the exception of the first call that failed, when all have ended."""
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError
        if self._errors:
            raise self._errors[0]
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        """Waits until all are done, or for so many seconds."""
        if self._called is not None:
            self._called.wait(timeout)
        else:
            self._collect(timeout)

    def cancel(self, running: bool = False) -> None:
        """Those that have not started never do. ``running``: those that run are ended, by the kill of their workers."""
        self._stream._cancel(running)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return _awaiting.outcome(self, self._stream._pool._callbacks).__await__()

    def ready(self) -> bool:
        """Whether all are done."""
        return self._called.is_set() if self._called is not None else self._is_done()

    def successful(self) -> bool:
        """Whether all are done without an exception. ValueError: they are not done."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return not self._errors

    __class_getitem__: Any = classmethod(types.GenericAlias)


# --- the pool -------------------------------------------------------------------------------------------------


def _whole(value: Any, name: str) -> int:
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1")
    return number


class Pool(_tutti.Pool):
    """A pool of processes that run calls.

    ``processes``: how many; None: as many as this process may use CPUs. Each runs ``initializer(*initargs)`` first, and
    ends after ``maxtasksperchild`` calls (None: never), when another one takes its place.
    """

    _daemonic = False  # its workers may have children
    _travels_by_value = True  # what pickle refuses, where cloudpickle is installed
    _manner: Any = _failures.OfPools

    @staticmethod
    def Process(ctx: Any, *args: Any, **keywords: Any) -> Any:
        return ctx.Process(*args, **keywords)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        name: str | None = None,
    ) -> None:
        from tutti.context import _default_context

        self._state = INIT
        self._processes = _machine.default_count() if processes is None else operator.index(processes)
        if self._processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and not (isinstance(maxtasksperchild, int) and maxtasksperchild > 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._ctx = context or _default_context.get_context()
        self._joining = threading.Lock()
        self._callbacks = Callbacks(weakref.proxy(self))
        self._streams: list[Any] = []  # those whose inputs are not all in
        self._pid = os.getpid()
        self._open(
            self._processes, name or f"pool-{next(_NAMES)}", AsyncResult, IMapIterator, maxtasksperchild is not None
        )
        task = (self._manner, initializer, tuple(initargs), maxtasksperchild or 0, self._travels_by_value)
        self._crew = _workers.Crew(self._ctx, self._processes, task, self._daemonic, self._first_count())
        try:
            self._crew.start(self)
        except BaseException:
            self._end_now()
            raise
        # Before the processes that are no daemons are joined at the interpreter's exit.
        self._finalizer: Any = util.Finalize(self, type(self)._end_crew, (self._crew,), exitpriority=15)
        self._state = RUN

    def _first_count(self) -> int:
        """How many workers are started at once."""
        return self._processes

    @property
    def _pool(self) -> list[Any]:
        return [worker for worker in self._crew.processes if worker is not None]

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={len(self._pool)}>"

    def __reduce__(self) -> Any:
        # Nothing unfinished: multiprocessing refuses it so, by this exception. A pool's workers are its maker's children.
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running")

    # --- called by the core ---

    def _tend(self) -> None:
        if self._state != TERMINATE:
            self._crew.tend(self)

    _repopulate_pool = _tend

    def _end_condemned(self) -> None:
        """Kills the workers whose tasks were cancelled."""
        if self._state != TERMINATE:
            self._crew.end_condemned(self)

    def _by_value(self, call: tuple[Any, Any, Any], error: Exception) -> tuple[Any, Any, Any]:
        """A call that pickle refuses, by `error`, as it can travel; or the error."""
        if not self._travels_by_value:
            raise error
        return _functions.call_by_value(call, error)

    def _watch(self, result: Any, callback: Any, error_callback: Any) -> None:
        if callback is not None or error_callback is not None:
            self._callbacks.add(result, callback, error_callback)

    # --- one call ---

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Any = {}, **options: Any) -> Any:
        """``func(*args, **kwds)`` in a worker. Options: as for map, but for return_exceptions and progress."""
        return self.apply_async(func, args, kwds, **options).get()

    # --- many calls ---

    def _results(
        self, func: Any, iterable: Any, star: bool, chunksize: int, window: int, ordered: bool, options: Any
    ) -> Any:
        values = options.pop("return_exceptions", False)
        retries, timeout = options.pop("retries", 0), options.pop("task_timeout", None)
        retry_on, memory = options.pop("retry_on", None), options.pop("memory", None)
        priority = options.pop("priority", 0)
        if options:
            raise TypeError(f"unexpected keyword argument {next(iter(options))!r}")
        if self._travels_by_value:
            func = _functions.of_many_calls(func)
        func = _functions.with_options(func, retries, retry_on, memory)
        stream = self._stream(func, iterable, star, chunksize, window, ordered, values, retries, timeout, priority)
        if stream._has_inputs:
            # In place: another thread, or an input's iterator, may add one meanwhile.
            for known in list(self._streams):
                if not known._has_inputs and known in self._streams:
                    self._streams.remove(known)
            self._streams.append(stream)
        return stream

    def _map(
        self,
        func: Any,
        iterable: Any,
        star: bool,
        chunksize: int | None,
        callback: Any,
        error_callback: Any,
        options: dict[str, Any],
        window: int = 0,
    ) -> MapResult:
        self._check_running()
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        if chunksize is None:
            chunksize = max(1, -(-len(iterable) // max(_CHUNKS, self._processes * 4)))
        result = MapResult(self._results(func, iterable, star, chunksize or 1, window, True, options))
        self._watch(result, callback, error_callback)
        return result

    def _map_at_once(
        self, func: Any, iterable: Any, star: bool, chunksize: int | None, options: dict[str, Any]
    ) -> list[Any]:
        progress = options.pop("progress", None)
        if progress is None or progress is False:
            return self._map(func, iterable, star, chunksize, None, None, options, _READ).get()
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        report = _progress.reporter(progress, len(iterable))
        result = self._map(func, iterable, star, chunksize, None, None, options, _READ)
        return _progress.Watched(result._stream, report).all()

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None, **options: Any
    ) -> list[Any]:
        """``[func(item) for item in iterable]``.

        ``retries=``: further runs after the death of a worker, and after the exceptions of ``retry_on=``;
        ``task_timeout=``: seconds that a chunk may take; ``memory=``: bytes that a call may allocate; ``priority=``: -10
        to 10, of what waits the highest starts first;
        ``return_exceptions=True``: what failed has its exception in its place; ``progress=``: True, a class such as
        tqdm, or a function of (done, total).
        """
        return self._map_at_once(func, iterable, False, chunksize, options)

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None, **options: Any
    ) -> list[Any]:
        """``[func(*item) for item in iterable]``. Options: as for map."""
        return self._map_at_once(func, iterable, True, chunksize, options)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        **options: Any,
    ) -> MapResult:
        """map, without waiting."""
        return self._map(func, iterable, False, chunksize, callback, error_callback, options)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        **options: Any,
    ) -> MapResult:
        """starmap, without waiting."""
        return self._map(func, iterable, True, chunksize, callback, error_callback, options)

    def _imap(self, func: Any, iterable: Any, chunksize: int, ordered: bool, options: dict[str, Any]) -> Iterator[Any]:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        buffersize = options.pop("buffersize", None)
        if buffersize is not None:
            window = max(1, _whole(buffersize, "buffersize") // chunksize)
        else:
            window = _READ if hasattr(iterable, "__len__") else _WINDOW
        progress = options.pop("progress", None)
        report = _progress.reporter(progress, operator.length_hint(iterable) or None) if progress else None
        stream = self._results(func, iterable, False, chunksize, window, ordered, options)
        return stream if report is None else _progress.Watched(stream, report)

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1, **options: Any
    ) -> Iterator[Any]:
        """The results of ``func`` in the order of the inputs, as they become known.

        ``buffersize=``: how many inputs are taken ahead of the results. Other options: as for map.
        """
        return self._imap(func, iterable, chunksize, True, options)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1, **options: Any
    ) -> Iterator[Any]:
        """imap, each result as soon as it is there."""
        return self._imap(func, iterable, chunksize, False, options)

    # --- the end ---

    def close(self) -> None:
        """Takes no more calls. What was submitted is run."""
        if self._state == RUN and os.getpid() == self._pid:
            self._state = CLOSE
            self._refuse_more()

    def join(self) -> None:
        """Waits until everything that was submitted has been run, read or not, and the workers have ended."""
        if os.getpid() != self._pid:
            raise ValueError("this pool belongs to the parent process, which alone can wait for its end")
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        with self._joining:
            if self._state == CLOSE:
                self._run_to_the_end()
        self._callbacks.join()

    def _run_to_the_end(self) -> None:
        while self._streams:  # one that another thread reads at this moment is fed by that
            self._streams = [stream for stream in self._streams if not stream._feed(True)]
            if self._streams:
                time.sleep(_PAUSE)
        try:
            self._drain()
            self._crew.join(self)
        except _tutti.Error:  # it is broken: who asks for a result is told why
            self._crew.kill(self)
        except ValueError:  # terminated meanwhile
            if self._state != TERMINATE:
                raise
            return
        self._state = TERMINATE
        self._finalizer.cancel()
        self._close()

    def terminate(self) -> None:
        """Ends the workers at once. Calls that wait fail as cancelled, those that run with WorkerDied."""
        if self._state != TERMINATE and os.getpid() == self._pid:  # not in a child that has inherited it
            self._end_now()

    def _end_now(self) -> None:
        self._state = TERMINATE
        self._refuse_more()
        self._streams.clear()
        self._stop()
        self._crew.kill(self)
        if hasattr(self, "_finalizer"):
            self._finalizer.cancel()
        self._close()

    @staticmethod
    def _end_crew(crew: _workers.Crew) -> None:
        """At the interpreter's exit, or when the pool was dropped."""
        crew.abandon()

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def __del__(self, warn: Any = warnings.warn, running: Any = RUN, getpid: Any = os.getpid) -> None:
        if getattr(self, "_state", None) == running and getpid() == self._pid:
            warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
