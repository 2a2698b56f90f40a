# SPDX-License-Identifier: MIT
"""The queues of multiprocessing to the letter, over Tutti's.

An instance of exactly ``Queue``, ``JoinableQueue`` or ``SimpleQueue`` has a queue of Tutti inside; its put and
get *are* that queue's methods, so that a call costs no Python code. A subclass has the standard library's
layout (pipe, locks, feeder thread), because subclasses reach into it.
"""

from __future__ import annotations

import pickle
from multiprocessing import context, queues
from multiprocessing.synchronize import SEM_VALUE_MAX
from queue import Empty
from typing import Any

from tutti import _sharing, _tutti, connection

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]


class _Core(_tutti.Queue):
    """The queue inside; pickled as part of the one outside."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self._maxsize, self.max_bytes, self.name)


class _JoinableCore(_tutti.JoinableQueue, _Core):
    pass


class _SimpleCore(_tutti.SimpleQueue, _Core):
    """Has get_nowait as well, for the facades."""


class _Reader:
    """What stands for ``_reader``: waits and reads like the reading end of the pipe that is not there.

    Closing it leaves the queue as it is: a pool's worker closes the end that it does not use, and puts.
    """

    readable, writable = True, False

    def __init__(self, core: Any) -> None:
        self._core = core
        self._is_closed = self._is_drained = False

    @property
    def closed(self) -> bool:
        return self._is_closed or bool(self._core._closed)

    def _check(self) -> None:
        if self.closed:
            raise OSError("handle is closed")

    def fileno(self) -> int:
        self._check()
        return int(self._core.fileno())

    def poll(self, timeout: float | None = 0.0) -> bool:
        self._check()
        return not self._core.empty() or bool(timeout != 0 and connection.wait([self], timeout))

    def recv(self) -> Any:
        self._check()
        if self._is_drained:
            return self._get_now()
        return self._core.get()

    def _get_now(self) -> Any:
        try:
            return self._core.get_nowait()
        except Empty:
            return None

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        return pickle.dumps(self.recv())

    def close(self) -> None:
        self._is_closed = True


class _ReadLock:
    """What stands for ``_rlock``, which no reader needs here.

    A pool that is terminated takes it, polls and receives until nothing is left. Its workers still read, so
    from then on receiving does not wait.
    """

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        self._reader._is_drained = True
        return True

    def release(self) -> None:
        self._reader._is_drained = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()


class _Writer:
    """What stands for ``_writer``. Closing it closes nothing: the standard library's readers go on then."""

    readable, writable = False, True

    def __init__(self, core: Any) -> None:
        self._core = core
        self._is_closed = False

    @property
    def closed(self) -> bool:
        return self._is_closed or bool(self._core._closed)

    def _check(self) -> None:
        if self.closed:
            raise OSError("handle is closed")

    def send(self, obj: Any) -> None:
        self._check()
        self._core.put(obj)

    def send_bytes(self, data: Any) -> None:
        self.send(pickle.loads(data))

    def close(self) -> None:
        self._is_closed = True


_FACADES = {"_reader": _Reader, "_writer": _Writer}


def _facade(owner: Any, name: str) -> Any:
    """For __getattr__: made when somebody asks."""
    core = owner.__dict__.get("_core")
    if core is not None and name == "_rlock":
        lock = owner.__dict__[name] = _ReadLock(owner._reader)
        return lock
    if core is None or name not in _FACADES:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    facade = owner.__dict__[name] = _FACADES[name](core)
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
        Queue._on_queue_feeder_error(error, obj)


class Queue(queues.Queue):  # type: ignore[type-arg]
    """multiprocessing.Queue."""

    _core_class: Any = _Core
    _bound = ("put", "get", "put_nowait", "get_nowait", "qsize", "full")

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        if type(self) not in _OURS:
            super().__init__(maxsize, ctx=ctx)
            return
        self._maxsize = maxsize if maxsize > 0 else SEM_VALUE_MAX
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


class JoinableQueue(queues.JoinableQueue, Queue):  # type: ignore[type-arg,misc]
    """multiprocessing.JoinableQueue."""

    _core_class = _JoinableCore
    _bound = (*Queue._bound, "task_done", "join")

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        if type(self) in _OURS:
            Queue.__init__(self, maxsize, ctx=ctx)
        else:
            queues.JoinableQueue.__init__(self, maxsize, ctx=ctx)

    def __getstate__(self) -> Any:
        return Queue.__getstate__(self) if type(self) in _OURS else queues.JoinableQueue.__getstate__(self)  # type: ignore[attr-defined]

    def __setstate__(self, state: Any) -> None:
        if type(self) in _OURS:
            Queue.__setstate__(self, state)
        else:
            queues.JoinableQueue.__setstate__(self, state)  # type: ignore[attr-defined]

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
        self._core.close()

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
