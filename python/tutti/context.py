# SPDX-License-Identifier: MIT
"""Contexts and processes: the standard library's start methods, with Tutti's objects.

A context's ``Lock()``, ``Queue()`` and so on make Tutti's; a process started by one is a member of its
parent's arena, and a clean exit of it is announced.

Each spawned process imports this before its work, so the modules of the objects are imported when one is made, and what
starts processes when one is started.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import context as standard
from multiprocessing import process

from tutti import _sharing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from tutti import connection, queues, synchronize

__all__: list[str] = []

ProcessError = standard.ProcessError
BufferTooShort = standard.BufferTooShort
TimeoutError = standard.TimeoutError
AuthenticationError = standard.AuthenticationError
BaseContext = standard.BaseContext


class _Objects(standard.BaseContext):
    """What the contexts of Tutti make themselves; the rest is the standard library's."""

    def Lock(self, *, name: str | None = None) -> synchronize.Lock:  # type: ignore[override]
        """Returns a non-recursive lock object"""
        from tutti import synchronize

        return synchronize.Lock(ctx=self.get_context(), name=name)

    def RLock(self, *, name: str | None = None) -> synchronize.RLock:  # type: ignore[override]
        """Returns a recursive lock object"""
        from tutti import synchronize

        return synchronize.RLock(ctx=self.get_context(), name=name)

    def Condition(self, lock: Any = None, *, name: str | None = None) -> synchronize.Condition:  # type: ignore[override]
        """Returns a condition object"""
        from tutti import synchronize

        return synchronize.Condition(lock, ctx=self.get_context(), name=name)

    def Semaphore(self, value: int = 1, *, name: str | None = None) -> synchronize.Semaphore:  # type: ignore[override]
        """Returns a semaphore object"""
        from tutti import synchronize

        return synchronize.Semaphore(value, ctx=self.get_context(), name=name)

    def BoundedSemaphore(  # type: ignore[override]
        self, value: int = 1, *, name: str | None = None
    ) -> synchronize.BoundedSemaphore:
        """Returns a bounded semaphore object"""
        from tutti import synchronize

        return synchronize.BoundedSemaphore(value, ctx=self.get_context(), name=name)

    def Barrier(  # type: ignore[override]
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
    ) -> synchronize.Barrier:
        """Returns a barrier object"""
        from tutti import synchronize

        return synchronize.Barrier(parties, action, timeout, ctx=self.get_context(), name=name)

    def Event(self, *, name: str | None = None) -> synchronize.Event:  # type: ignore[override]
        """Returns an event object"""
        from tutti import synchronize

        return synchronize.Event(ctx=self.get_context(), name=name)

    def Queue(self, maxsize: int = 0, *, name: str | None = None, max_bytes: int = 0) -> queues.Queue:  # type: ignore[override]
        """Returns a queue object"""
        from tutti import queues

        return queues.Queue(maxsize, ctx=self.get_context(), name=name, max_bytes=max_bytes)

    def JoinableQueue(self, maxsize: int = 0, *, name: str | None = None, max_bytes: int = 0) -> queues.JoinableQueue:  # type: ignore[override]
        """Returns a queue object"""
        from tutti import queues

        return queues.JoinableQueue(maxsize, ctx=self.get_context(), name=name, max_bytes=max_bytes)

    def SimpleQueue(self, *, name: str | None = None) -> queues.SimpleQueue:  # type: ignore[override]
        """Returns a queue object"""
        from tutti import queues

        return queues.SimpleQueue(ctx=self.get_context(), name=name)

    def Pipe(self, duplex: bool = True, *, name: str | None = None) -> tuple[connection.PipeEnd, connection.PipeEnd]:  # type: ignore[override]
        """Returns two connection objects connected by a pipe"""
        from tutti import connection

        return connection.Pipe(duplex, name=name)

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Any = (),
        maxtasksperchild: int | None = None,
        *,
        name: str | None = None,
    ) -> Any:
        """Returns a process pool object"""
        from tutti.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, self.get_context(), name=name)

    def set_forkserver_preload(self, module_names: list[str]) -> None:
        """Names of modules that the fork server imports once, for all the processes that it starts."""
        from tutti import _fork_server

        _fork_server.server.set_forkserver_preload(module_names)

    def get_context(self, method: str | None = None) -> Any:
        if method is None:
            return super().get_context()
        try:
            found = _concrete_contexts[method]
        except KeyError:
            raise ValueError("cannot find context for %r" % method) from None
        found._check_available()
        return found


# --- processes ------------------------------------------------------------------------------------------------


class _Member(process.BaseProcess):
    """A process that is a member of its parent's arena, and leaves it cleanly."""

    _start_method: Any

    # From 3.13 on finalizers run when all threads have ended: see _sharing._Leaving.
    _leaves_by_itself = sys.version_info < (3, 13)

    def _bootstrap(self, *args: Any, **keywords: Any) -> int:
        _sharing.arrival.complete()
        if self._start_method is not None:
            _force_start_method(self._start_method)
        try:
            return super()._bootstrap(*args, **keywords)  # type: ignore[misc, no-any-return]
        finally:
            if self._leaves_by_itself:
                _sharing.leave()


def _start(popen: Any, started: Any) -> Any:
    """Starts a process by a Popen class that pickles, with the arena. What pickle refuses travels by value."""
    from tutti import _functions

    kept = {name: started.__dict__[name] for name in ("_name", "_target", "_args", "_kwargs")}
    started._name = _sharing.TravellingName(started._name)
    try:
        try:
            return popen(started)
        except _functions.UNPICKLABLE as error:
            call = (started._target, started._args, started._kwargs)
            started._target, started._args, started._kwargs = _functions.call_by_value(call, error)
            return popen(started)
    finally:
        started.__dict__.update(kept)


class Process(_Member, standard.Process):
    """A process that runs ``target(*args, **kwargs)``, started by the default method."""

    _start_method = None

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _default_context.get_context().Process._Popen(process_obj)

    @staticmethod
    def _after_fork() -> Any:
        return _default_context.get_context().Process._after_fork()


class ForkProcess(_Member, standard.ForkProcess):
    """A copy of this process, by fork."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from tutti import _popen

        return _popen.Fork(process_obj)


class SpawnProcess(_Member, standard.SpawnProcess):
    """A fresh interpreter."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from tutti import _popen

        return _start(_popen.Spawn, process_obj)


class ForkServerProcess(_Member, standard.ForkServerProcess):
    """A copy of a server process that has nothing but the preloaded modules."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from tutti import _popen

        return _start(_popen.ForkServer, process_obj)


# --- contexts -------------------------------------------------------------------------------------------------


class DefaultContext(_Objects, standard.DefaultContext):
    """The context of the default start method, which can be set once."""

    _actual_context: Any
    Process = Process

    def __init__(self) -> None:
        self._actual_context = None

    @property
    def _default_context(self) -> Any:
        """Not before it is asked for: this package may be imported before there is a main module."""
        return _concrete_contexts[_default_method()]


class ForkContext(_Objects, standard.ForkContext):
    Process = ForkProcess


class SpawnContext(_Objects, standard.SpawnContext):
    Process = SpawnProcess


class ForkServerContext(_Objects, standard.ForkServerContext):
    Process = ForkServerProcess


_concrete_contexts: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}



def _default_method() -> str:
    """forkserver; fork where the main module cannot be imported: what it defines could not be found in the children."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    importable = getattr(main, "__spec__", None) is not None or (path is not None and os.path.exists(path))
    return "forkserver" if importable else "fork"


_default_context = DefaultContext()


def _force_start_method(method: str) -> None:
    """In a child: what it starts is started as it was itself."""
    _default_context._actual_context = _concrete_contexts[method]
