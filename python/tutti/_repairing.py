# SPDX-License-Identifier: MIT
"""The way into a lock whose holder was killed."""

from __future__ import annotations

from tutti._tutti import AbandonedLockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Repairing:
    """``with lock.repairing() as died``: enters whether or not the last holder was killed."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._died: AbandonedLockError | None = None

    def __enter__(self) -> AbandonedLockError | None:
        self._died = None
        try:
            self._lock.acquire()
        except AbandonedLockError as error:
            self._died = error
        return self._died

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._died is not None and kind is not None:
            self._lock._abandon()
        else:
            self._lock.release()
        self._died = None
