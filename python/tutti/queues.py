# SPDX-License-Identifier: MIT
"""Queues, with the names and signatures of multiprocessing.

They live in the arena: a put copies the object there and returns, so there is no feeder thread, no exit waits
for a reader, and what was put survives the process that put it. They may be pickled and sent anywhere at any
time, through queues as well.
"""

from __future__ import annotations

import types
from queue import Empty, Full

from tutti import _asynchronous, _sharing, _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ShutDown = _tutti.ShutDown

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "ShutDown", "SimpleQueue"]

class Queue(_tutti.Queue):
    """A queue between any number of processes and threads."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, name: str | None = None, max_bytes: int = 0) -> None:
        super().__init__(maxsize, name=name, max_bytes=max_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self._maxsize, self.max_bytes, self.name)

    async def get_async(self) -> Any:
        """The next object, awaited in asyncio."""
        while True:
            try:
                return self.get_nowait()
            except Empty:
                await _asynchronous.readable(self, self.fileno())

    async def put_async(self, obj: Any) -> None:
        """Puts an object, waiting in asyncio for room."""
        while True:
            try:
                return self.put_nowait(obj)
            except Full:
                await _asynchronous.readable(self, self.room_fileno())

    def close(self) -> None:
        """Gives this process's handle back; others go on. Who awaits something here gets ValueError."""
        super().close()
        _asynchronous.closed(self)

    __class_getitem__: Any = classmethod(types.GenericAlias)


class JoinableQueue(_tutti.JoinableQueue, Queue):
    """A Queue that knows when everything that was put is done.

    An object whose getter was killed before it called task_done() is given back; ``redelivered`` tells who
    gets it next.
    """

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, name: str | None = None, max_bytes: int = 0) -> None:
        _tutti.JoinableQueue.__init__(self, maxsize, name=name, max_bytes=max_bytes)

    async def join_async(self) -> None:
        """Waits in asyncio until everything that was put is done."""
        while not self._is_done():
            await _asynchronous.readable(self, self.done_fileno())


class SimpleQueue(_tutti.SimpleQueue):
    """An unbounded queue with put, get and empty."""

    def __init__(self, *, ctx: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self._maxsize, self.max_bytes, self.name)

    async def get_async(self) -> Any:
        """The next object, awaited in asyncio."""
        while True:
            try:
                return self._get_nowait()
            except Empty:
                await _asynchronous.readable(self, self.fileno())

    def close(self) -> None:
        """Gives this process's handle back; others go on. Who awaits something here gets ValueError."""
        super().close()
        _asynchronous.closed(self)

    __class_getitem__: Any = classmethod(types.GenericAlias)
