# SPDX-License-Identifier: MIT
"""Locks, conditions, events and barriers, with the names and signatures of multiprocessing.

They live in the arena: they may be pickled and sent anywhere at any time, and none of them waits for a process
that was killed. A lock whose holder was killed goes to the next who asks, who is told.
"""

from __future__ import annotations

import sys
import threading
import time

from tutti import _asynchronous, _sharing, _tutti
from tutti._repairing import Repairing
from tutti._semlock import RECURSIVE_MUTEX, SEMAPHORE, CountFacade, SemLockFacade, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any, Callable, TypeVar

    _Result = TypeVar("_Result")

__all__ = ["AbandonedLockError", "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

AbandonedLockError = _tutti.AbandonedLockError
SEM_VALUE_MAX = SemLockFacade.SEM_VALUE_MAX


class _Awaitable:
    """What tasks of asyncio may take: by a descriptor, without a thread for the wait."""

    async def acquire_async(self) -> bool:
        """acquire(), awaited in asyncio."""
        this: Any = self
        while not this.acquire(False):
            await _asynchronous.readable(this, this.fileno())
        return True

    async def __aenter__(self) -> bool:
        return await self.acquire_async()

    async def __aexit__(self, *args: Any) -> None:
        this: Any = self
        this.release()


class Lock(_tutti.Lock, _Awaitable):
    """A lock between threads and processes. Any of them may release it.

    If its holder was killed, the next acquire() raises AbandonedLockError with the lock held; ``with`` raises
    it with nobody holding the lock; ``with lock.repairing() as died`` enters.
    """

    def __init__(self, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    def __repr__(self) -> str:
        return "<%s(owner=%s)>" % (type(self).__name__, owner(self))

    def repairing(self) -> Repairing:
        """A context manager that takes the lock also from a holder that was killed.

        ``with lock.repairing() as died:`` gives the AbandonedLockError, or None. If the body raises after a
        death, the lock is abandoned again: what it guards was not repaired.
        """
        return Repairing(self)

    async def __aenter__(self) -> bool:
        try:
            return await self.acquire_async()
        except AbandonedLockError:
            self._abandon()  # as `with`: nobody holds it, and the next one is told too
            raise

    @property
    def _semlock(self) -> SemLockFacade:
        return SemLockFacade(self, SEMAPHORE, 1)


class RLock(_tutti.RLock):
    """A recursive lock: the thread that holds it may take it again, and must release it as often.

    A holder that was killed is told of as by Lock. It cannot be awaited: the tasks of a thread would all hold it.
    """

    def __init__(self, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    def __repr__(self) -> str:
        holder = owner(self)
        count: Any = {"None": 0, "unknown": "unknown"}.get(holder, "nonzero")
        if holder not in ("None", "unknown") and self._is_mine():
            count = self._count()
        return "<%s(%s, %s)>" % (type(self).__name__, holder, count)

    def repairing(self) -> Repairing:
        """A context manager that takes the lock also from a holder that was killed, as Lock.repairing()."""
        return Repairing(self)

    @property
    def _semlock(self) -> SemLockFacade:
        return SemLockFacade(self, RECURSIVE_MUTEX, 1)


class Semaphore(_tutti.Semaphore, _Awaitable):
    """A number of permits that threads and processes take and give back.

    What a process that was killed had taken comes back when somebody would otherwise wait for it, with a
    RuntimeWarning.
    """

    def __init__(self, value: int = 1, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(value, name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    def __repr__(self) -> str:
        return "<%s(value=%s)>" % (type(self).__name__, self._get_value())

    @property
    def _semlock(self) -> SemLockFacade:
        return SemLockFacade(self, SEMAPHORE, SEM_VALUE_MAX)


class BoundedSemaphore(Semaphore):
    """A Semaphore that refuses to be released more often than it was acquired."""

    def __init__(self, value: int = 1, *, ctx: Any = None, name: str | None = None) -> None:
        _tutti.Semaphore.__init__(self, value, value, name=name)
        self._maxvalue = value

    def __repr__(self) -> str:
        return "<%s(value=%s, maxvalue=%s)>" % (type(self).__name__, self._get_value(), self._maxvalue)

    @property
    def _semlock(self) -> SemLockFacade:
        return SemLockFacade(self, SEMAPHORE, self._maxvalue)


class Condition(_tutti.Condition):
    """A condition that threads and processes wait for, with a Lock or an RLock (default: a new RLock).

    notify() wakes those that came first and waits for none of them.
    """

    def __init__(self, lock: Any = None, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(lock or self._new_lock(ctx), name=name)

    @staticmethod
    def _new_lock(ctx: Any) -> Any:
        return RLock(ctx=ctx) if ctx is None else ctx.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self._lock)

    def __repr__(self) -> str:
        return "<%s(%s, %s)>" % (type(self).__name__, self._lock, self._waiters())

    def wait_for(self, predicate: Callable[[], _Result], timeout: float | None = None) -> _Result:
        """Waits until predicate() is true, up to timeout seconds. Returns its last result."""
        result = predicate()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    async def acquire_async(self) -> bool:
        """Takes the lock, awaited in asyncio."""
        return await self._awaitable_lock().acquire_async()

    async def __aenter__(self) -> bool:
        return await self._awaitable_lock().__aenter__()

    async def __aexit__(self, *args: Any) -> None:
        self._lock.release()

    async def wait_async(self) -> bool:
        """wait(), awaited in asyncio, with a Lock. A task that is cancelled has the lock again when it is told."""
        self._awaitable_lock()
        ticket = self._enlist()
        try:
            self._lock.release()
            try:
                while not self._is_notified(ticket):
                    await _asynchronous.readable(self, self._fileno(ticket))
            finally:
                await self._take_again()
        except BaseException:
            if self._leave(ticket):
                self._pass_on()
            raise
        return self._leave(ticket)

    async def wait_for_async(self, predicate: Callable[[], _Result]) -> _Result:
        """Waits in asyncio until predicate() is true. Returns its last result."""
        while not (result := predicate()):
            await self.wait_async()
        return result

    async def _take_again(self) -> None:
        import asyncio

        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                await self._lock.acquire_async()
                break
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _awaitable_lock(self) -> _Awaitable:
        if isinstance(self._lock, _Awaitable):
            return self._lock
        raise TypeError(
            "a Condition with an RLock cannot be awaited: the tasks of a thread would all hold the lock. "
            "Make it with a Lock: Condition(Lock())"
        )

    @property
    def _sleeping_count(self) -> CountFacade:
        return CountFacade(self._waiters)

    @property
    def _woken_count(self) -> CountFacade:
        return CountFacade(int)

    @property
    def _wait_semaphore(self) -> CountFacade:
        return CountFacade(int)


class Event(_tutti.Event):
    """A flag that threads and processes wait for. set() takes no lock and waits for nobody."""

    def __init__(self, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    async def wait_async(self) -> bool:
        """Waits until it is set, in asyncio: by a descriptor, without a thread for the wait."""
        while not self.wait(0):  # unlike is_set() it puts the descriptor out
            await _asynchronous.readable(self, self.fileno())
        return True

    if sys.version_info >= (3, 11):

        def __repr__(self) -> str:
            return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"


class Barrier(_tutti.Barrier, threading.Barrier):
    """A place where ``parties`` threads or processes wait for each other; the last one runs ``action``.

    A party that is killed while it waits breaks it.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
        name: str | None = None,
    ) -> None:
        _tutti.Barrier.__init__(self, parties, name=name)
        self._action = action
        self._timeout = timeout

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the other parties. Returns a number from 0 to parties - 1, another one for each."""
        return self._wait(self._action, self._timeout if timeout is None else timeout)

    async def wait_async(self, timeout: float | None = None) -> int:
        """wait(), awaited in asyncio. A task that is cancelled takes no part any more; running out of time breaks."""
        timeout = self._timeout if timeout is None else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        ticket = self._enlist()
        is_late = False
        try:
            while (index := self._try(ticket, self._action)) is None:
                left = None if deadline is None else deadline - time.monotonic()
                is_late = left is not None and left <= 0
                if is_late:
                    raise threading.BrokenBarrierError(f"not all {self.parties} parties came in time. Reset it.")
                await _asynchronous.readable(self, self._fileno(ticket), left)
        finally:
            self._leave(ticket, is_late)
        return index

    def __repr__(self) -> str:
        cls = type(self)
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{cls.__module__}.{cls.__qualname__} at {id(self):#x}: {state}>"
