# SPDX-License-Identifier: MIT
"""What programs look at beneath multiprocessing's locks: the ``_semlock`` of each, and the owner in its repr."""

from __future__ import annotations

import threading
from multiprocessing import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

RECURSIVE_MUTEX, SEMAPHORE = range(2)


class SemLockFacade:
    """Stands where multiprocessing has a _multiprocessing.SemLock."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, lock: Any, kind: int, maxvalue: int) -> None:
        self._lock = lock
        self.kind = kind
        self.maxvalue = maxvalue
        self.acquire = lock.acquire
        self.release = lock.release

    @property
    def handle(self) -> int:
        """A number that is the same wherever the object is open."""
        return int.from_bytes(self._lock._handle(), "little")

    @property
    def name(self) -> None:
        """Nothing of it has a name in the file system."""
        return None

    def _count(self) -> int:
        return self._lock._count()  # type: ignore[no-any-return]

    def _is_mine(self) -> bool:
        return self._lock._is_mine()  # type: ignore[no-any-return]

    def _get_value(self) -> int:
        return self._lock._get_value()  # type: ignore[no-any-return]

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _after_fork(self) -> None:
        """Done by the lock itself."""

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: Any) -> None:
        self._lock.__exit__(*args)


class CountFacade:
    """Stands where multiprocessing's Condition has a semaphore that it counts with."""

    def __init__(self, count: Callable[[], int]) -> None:
        self.get_value = count

    @property
    def _semlock(self) -> CountFacade:
        return self

    def _get_value(self) -> int:
        return self.get_value()


def current_name() -> str:
    """This process, and this thread if it is not the main one, as a repr names them."""
    name = process.current_process().name
    thread = threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


def owner(lock: Any) -> str:
    """Who holds a lock, as its repr says it."""
    try:
        if lock._is_mine():
            return current_name()
        if not lock.locked():
            return "None"
        return "SomeOtherThread" if lock._count() > 0 else "SomeOtherProcess"
    except Exception:
        return "unknown"
