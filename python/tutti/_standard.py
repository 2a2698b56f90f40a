# SPDX-License-Identifier: MIT
"""Where the standard library's own classes are found once others stand in their place."""

from __future__ import annotations

from multiprocessing import connection, pool, queues, synchronize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

_PLACES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (queues, ("Queue", "JoinableQueue", "SimpleQueue")),
    (synchronize, ("SemLock", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier")),
    (pool, ("Pool",)),
    (connection, ("Connection",)),
)


def keep_apart() -> None:
    """Called before they are replaced: pickle is to find them here."""
    for module, names in _PLACES:
        for name in names:
            own = vars(module).get(name)
            if isinstance(own, type) and own.__module__ == module.__name__:
                globals()[name] = own
                own.__module__ = __name__
