# SPDX-License-Identifier: MIT
"""The locks of multiprocessing to the letter, over Tutti's.

They stand in multiprocessing's place after ``tutti.install()``: its signatures, its checks when they are
pickled, and for a lock whose holder was killed a RuntimeWarning where own mode has an exception. They are
subclasses of the classes that they replace, so that a program that got hold of those before still knows them.
"""

from __future__ import annotations

import errno
import os
from multiprocessing import context, resource_tracker, util
from multiprocessing import synchronize as standard

import _multiprocessing  # type: ignore[import-not-found]

from tutti import _sharing, synchronize
from tutti._semlock import SemLockFacade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]


class _ToTheLetter:
    """What all kinds have of multiprocessing's: the context they were made in, and where they may go."""

    _is_fork_ctx = False

    def _begin(self, ctx: Any) -> Any:
        """First line of each ``__init__``. Returns the context."""
        ctx = context._default_context.get_context() if ctx is None else ctx
        self._letter = True
        self._is_fork_ctx = ctx.get_start_method() == "fork"
        if not self._is_fork_ctx:
            # Named semaphores are registered with the tracker, which starts it, or notices that it was killed.
            resource_tracker.ensure_running()
        return ctx

    def __reduce__(self) -> tuple[Any, ...]:
        _sharing.assert_spawning(self)
        rebuild, arguments, _ = _sharing.reduce_shared(self, *self._travels_with())
        return rebuild, arguments, {**self.__dict__, "_is_fork_ctx": False}

    def _travels_with(self) -> tuple[Any, ...]:
        return (None,)

    def _rebuilt(self, _: Any) -> None:
        self._letter = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _SemLock(SemLockFacade):
    """Has a name, as a semaphore outside of the fork context must: a real one, made when it is asked for."""

    @property
    def name(self) -> Any:
        lock = self._lock
        if not lock._is_fork_ctx and "_file_name" not in lock.__dict__:
            lock._file_name = standard.SemLock._make_name()  # type: ignore[attr-defined]
            _multiprocessing.SemLock(self.kind, 1, 1, lock._file_name, False)
            resource_tracker.register(lock._file_name, "semaphore")
            util.Finalize(lock, standard.SemLock._cleanup, (lock._file_name,), exitpriority=0)  # type: ignore[attr-defined]
        return lock.__dict__.get("_file_name")


class _HasSemLock(_ToTheLetter):
    @property
    def _semlock(self) -> _SemLock:
        own: Any = super()._semlock  # type: ignore[misc]
        return _SemLock(self, own.kind, own.maxvalue)


class Lock(_HasSemLock, synchronize.Lock, standard.Lock):
    def __init__(self, *, ctx: Any) -> None:
        self._begin(ctx)
        synchronize.Lock.__init__(self)


class RLock(_HasSemLock, synchronize.RLock, standard.RLock):
    def __init__(self, *, ctx: Any) -> None:
        self._begin(ctx)
        synchronize.RLock.__init__(self)


def _check_value(value: int, least: int) -> None:
    if isinstance(value, int) and value > standard.SEM_VALUE_MAX:  # type: ignore[attr-defined]
        raise OverflowError("Python int too large to convert to C int")
    if isinstance(value, int) and value < least:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class Semaphore(_HasSemLock, synchronize.Semaphore, standard.Semaphore):
    def __init__(self, value: int = 1, *, ctx: Any) -> None:
        _check_value(value, 0)
        self._begin(ctx)
        synchronize.Semaphore.__init__(self, value)


class BoundedSemaphore(_HasSemLock, synchronize.BoundedSemaphore, standard.BoundedSemaphore):
    def __init__(self, value: int = 1, *, ctx: Any) -> None:
        _check_value(value, 1)
        self._begin(ctx)
        synchronize.BoundedSemaphore.__init__(self, value)


class Condition(_ToTheLetter, synchronize.Condition, standard.Condition):
    def __init__(self, lock: Any = None, *, ctx: Any) -> None:
        ctx = self._begin(ctx)
        synchronize.Condition.__init__(self, lock or RLock(ctx=ctx))

    def _travels_with(self) -> tuple[Any, ...]:
        return (self._lock,)

    def _rebuilt(self, lock: Any) -> None:
        self._letter = True
        synchronize.Condition._rebuilt(self, lock)


class Event(_ToTheLetter, synchronize.Event, standard.Event):
    def __init__(self, *, ctx: Any) -> None:
        self._begin(ctx)
        synchronize.Event.__init__(self)


class Barrier(_ToTheLetter, synchronize.Barrier, standard.Barrier):
    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None, *, ctx: Any
    ) -> None:
        self._begin(ctx)
        synchronize.Barrier.__init__(self, parties, action, timeout)
