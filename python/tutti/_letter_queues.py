# SPDX-License-Identifier: MIT
"""The queues of multiprocessing to the letter, over Tutti's.

An instance of exactly ``Queue``, ``JoinableQueue`` or ``SimpleQueue`` has a queue of Tutti inside; its put and
get *are* that queue's methods, so that a call costs no Python code. A subclass has the standard library's
layout (pipe, locks, feeder thread), because subclasses reach into it.
"""

from __future__ import annotations

import pickle
from multiprocessing import context, queues, synchronize
from queue import Empty

from tutti import _sharing, _tutti, connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

_standard_synchronize: Any = synchronize


class _Core(_tutti.Queue):
    """The queue inside; pickled as part of the one outside."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self._maxsize, self.max_bytes, self.name)


class _JoinableCore(_tutti.JoinableQueue, _Core):
    pass


class _SimpleCore(_tutti.SimpleQueue, _Core):  # type: ignore[misc]
    """Has get_nowait as well, for the ends."""


class _End:
    """What stands for an end of the pipe that is not there. The queue is closed when both ends are."""

    def __init__(self, core: Any, closed_ends: set[type]) -> None:
        self._core = core
        self._closed_ends = closed_ends

    @property
    def closed(self) -> bool:
        return type(self) in self._closed_ends or bool(self._core._closed)

    def close(self) -> None:
        self._closed_ends.add(type(self))
        if len(self._closed_ends) == 2:
            self._core.close()

    def _check(self) -> None:
        if self.closed:
            raise OSError("handle is closed")

    def fileno(self) -> int:
        self._check()
        return int(self._core.fileno())


class _Reader(_End):
    """``_reader``: waits and reads.

    Who has acquired ``_rlock`` to read what is there must not wait for what another process took first: the
    lock keeps nobody off Tutti's queue.
    """

    readable, writable = True, False
    is_draining = False

    def poll(self, timeout: float | None = 0.0) -> bool:
        self._check()
        return not self._core.empty() or bool(timeout != 0 and connection.wait([self], timeout))

    def recv(self) -> Any:
        self._check()
        if not self.is_draining:
            return self._core.get()
        try:
            return self._core.get_nowait()
        except Empty:
            return None

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        return pickle.dumps(self.recv())


class _Writer(_End):
    """``_writer``."""

    readable, writable = False, True

    def send(self, obj: Any) -> None:
        self._check()
        self._core.put(obj)

    def send_bytes(self, data: Any) -> None:
        self.send(pickle.loads(data))


class _Lock:
    """What stands for ``_rlock`` and ``_wlock``: there is nothing to exclude anybody from."""

    def __init__(self, reader: _Reader | None) -> None:
        self._reader = reader

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self._reader is not None:
            self._reader.is_draining = True
        return True

    def release(self) -> None:
        if self._reader is not None:
            self._reader.is_draining = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: Any) -> None:
        self.release()


_ENDS = {"_reader": _Reader, "_writer": _Writer}
_LOCKS = {"_rlock": "_reader", "_wlock": None}


def _facade(owner: Any, name: str) -> Any:
    """For __getattr__: made when somebody asks."""
    core = owner.__dict__.get("_core")
    facade: Any
    if core is not None and name in _ENDS:
        facade = _ENDS[name](core, owner.__dict__.setdefault("_closed_ends", set()))
    elif core is not None and name in _LOCKS:
        end = _LOCKS[name]
        facade = _Lock(getattr(owner, end) if end else None)
    else:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    owner.__dict__[name] = facade
    return facade


def _check_pickling(queue: Any) -> None:
    """Only while a process is started, and not from a fork context to another one."""
    context.assert_spawning(queue)
    if queue._is_fork_ctx:
        raise RuntimeError(
            "A SemLock created in a fork context is being shared with a process in a spawn context. This is "
            "not supported. Please use the same context to create multiprocessing objects and Process."
        )


def _report(error: Exception, obj: Any) -> None:
    """As the feeder thread does it: the error is reported, the object is left out."""
    try:
        raise error
    except Exception:
        reporter: Any = Queue
        reporter._on_queue_feeder_error(error, obj)


class Queue(queues.Queue):  # type: ignore[type-arg]
    """multiprocessing.Queue."""

    _core_class: Any = _Core
    _bound: tuple[str, ...] = ("put", "get", "put_nowait", "get_nowait", "qsize", "full")

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        if type(self) not in _OURS:
            super().__init__(maxsize, ctx=ctx)
            return
        self._maxsize = maxsize if maxsize > 0 else _standard_synchronize.SEM_VALUE_MAX
        self._is_fork_ctx = ctx.get_start_method() == "fork"
        self._ignore_epipe = False
        self._bind(self._core_class(maxsize))

    def _bind(self, core: Any) -> None:
        core._on_error = _report
        self._core = core
        self._closed = False
        for name in self._bound:
            setattr(self, name, getattr(core, name))

    def __getattr__(self, name: str) -> Any:
        return _facade(self, name)

    def __getstate__(self) -> Any:
        if type(self) not in _OURS:
            return super().__getstate__()
        _check_pickling(self)
        return self._ignore_epipe, self._maxsize, self._core

    def __setstate__(self, state: Any) -> None:
        if type(self) not in _OURS:
            super().__setstate__(state)
            return
        self._ignore_epipe, self._maxsize, core = state
        self._is_fork_ctx = False
        self._bind(core)

    # Reached when the bound methods are gone, after close(), and by subclasses.

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        self._check_open()
        super().put(obj, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._check_open()
        return super().get(block, timeout)

    def qsize(self) -> int:
        if "_core" in self.__dict__:
            return 0 if self._core._closed else int(self._core.qsize())
        return super().qsize()

    def full(self) -> bool:
        if "_core" in self.__dict__:
            return not self._core._closed and bool(self._core.full())
        return super().full()

    def empty(self) -> bool:
        if "_core" not in self.__dict__:
            return super().empty()
        if self._core._closed:
            raise OSError("handle is closed")
        return bool(self._core.empty())

    def close(self) -> None:
        if "_core" not in self.__dict__:
            super().close()
            return
        self._closed = True
        for name in self._bound:
            self.__dict__.pop(name, None)
        # As there: a queue that was never put to in this process keeps its reading end.
        if self._core._used:
            self._core.close()

    def join_thread(self) -> None:
        if "_core" not in self.__dict__:
            super().join_thread()
            return
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        if "_core" not in self.__dict__:
            super().cancel_join_thread()

    def _terminate_broken(self) -> None:
        if "_core" not in self.__dict__:
            super()._terminate_broken()  # type: ignore[misc]
            return
        while True:
            try:
                self._core.get_nowait()
            except (Empty, ValueError, _tutti.ShutDown):
                break
        self.close()


class JoinableQueue(queues.JoinableQueue, Queue):  # type: ignore[type-arg]
    """multiprocessing.JoinableQueue."""

    _core_class = _JoinableCore
    _bound = (*Queue._bound, "task_done", "join")

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        if type(self) in _OURS:
            Queue.__init__(self, maxsize, ctx=ctx)
        else:
            queues.JoinableQueue.__init__(self, maxsize, ctx=ctx)

    def __getstate__(self) -> Any:
        return Queue.__getstate__(self) if type(self) in _OURS else queues.JoinableQueue.__getstate__(self)

    def __setstate__(self, state: Any) -> None:
        if type(self) in _OURS:
            Queue.__setstate__(self, state)
        else:
            queues.JoinableQueue.__setstate__(self, state)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        self._check_open()
        queues.JoinableQueue.put(self, obj, block, timeout)

    def task_done(self) -> None:
        if "_core" in self.__dict__:
            self._core.task_done()
        else:
            queues.JoinableQueue.task_done(self)

    def join(self) -> None:
        if "_core" in self.__dict__:
            self._core.join()
        else:
            queues.JoinableQueue.join(self)


class SimpleQueue(queues.SimpleQueue):  # type: ignore[type-arg]
    """multiprocessing.SimpleQueue."""

    _bound = ("put", "get")

    def __init__(self, *, ctx: Any) -> None:
        if type(self) not in _OURS:
            super().__init__(ctx=ctx)
            return
        self._is_fork_ctx = ctx.get_start_method() == "fork"
        self._bind(_SimpleCore())

    def _bind(self, core: Any) -> None:
        self._core = core
        for name in self._bound:
            setattr(self, name, getattr(core, name))

    def __getattr__(self, name: str) -> Any:
        return _facade(self, name)

    def __getstate__(self) -> Any:
        if type(self) not in _OURS:
            return super().__getstate__()
        _check_pickling(self)
        return (self._core,)

    def __setstate__(self, state: Any) -> None:
        if type(self) not in _OURS:
            super().__setstate__(state)
            return
        self._is_fork_ctx = False
        self._bind(state[0])

    def _poll(self, timeout: float | None = 0.0) -> bool:
        return bool(self._reader.poll(timeout))

    def empty(self) -> bool:
        return not self._poll()

    def close(self) -> None:
        for name in self._bound:
            self.__dict__.pop(name, None)
        self._reader.close()
        self._writer.close()

    def put(self, obj: Any) -> None:
        if "_core" in self.__dict__:
            self._writer.send(obj)
        else:
            super().put(obj)

    def get(self) -> Any:
        if "_core" in self.__dict__:
            return self._reader.recv()
        return super().get()


_OURS = (Queue, JoinableQueue, SimpleQueue)
