# SPDX-License-Identifier: MIT
"""Locks and events, with the names and signatures of multiprocessing.

They live in the arena: they may be pickled and sent anywhere at any time, and a lock whose holder was killed
goes to the next who asks, who is told.
"""

from __future__ import annotations

from typing import Any

from tutti import _sharing, _tutti
from tutti._repairing import Repairing
from tutti._semlock import SemLockFacade, owner

AbandonedLockError = _tutti.AbandonedLockError

__all__ = ["AbandonedLockError", "Event", "Lock"]


class Lock(_tutti.Lock):
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

    @property
    def _semlock(self) -> SemLockFacade:
        return SemLockFacade(self, kind=1, maxvalue=1)


class Event(_tutti.Event):
    """A flag that threads and processes wait for. set() takes no lock and waits for nobody."""

    def __init__(self, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"
