# SPDX-License-Identifier: MIT
"""Waiting in asyncio, through descriptors: no thread for a wait, and none lost between two of them.

A loop has one reader for a descriptor; those who wait for it stand in a line. The descriptor stays readable
while something is there, so the loop comes back until the line or the object is empty.

While a line stands, its object is held: a ``close()``, by any thread, wakes the line, and the descriptor is
closed when the last one has left. So no loop watches a number that is another descriptor's by now.

asyncio is imported by the first who waits in it: half of the time that a spawned process takes to import tutti.
"""

from __future__ import annotations

import collections
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any

_lines: dict[tuple[int, int, int], _Line] = {}  # each key is changed by its loop's thread alone

# A forked child has its parent's lines in no loop that it runs.
os.register_at_fork(after_in_child=_lines.clear)


class _Line:
    """Who waits in one loop for one descriptor of an object."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Any, fd: int) -> None:
        self.key = id(shared), id(loop), fd  # neither dies before the line
        self.loop, self.shared, self.fd = loop, shared, fd
        self.waiters: collections.deque[asyncio.Future[None]] = collections.deque()
        shared._hold()
        _lines[self.key] = self
        loop.add_reader(fd, self.wake_next)

    def wake_next(self) -> None:
        """The descriptor is readable: the first who still waits looks."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """The object is closed: all look."""
        while self.waiters:
            self.wake_next()

    def leave(self, waiter: asyncio.Future[None]) -> None:
        """The waiter goes; the last one takes the reader away."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
        if self.waiters or _lines.get(self.key) is not self:
            return
        del _lines[self.key]
        self.loop.remove_reader(self.fd)
        self.shared._let_go()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def readable(shared: Any, fd: int, timeout: float | None = None) -> None:
    """Returns when the object's descriptor is readable, the object closed, or the time over: look again then."""
    import asyncio

    loop = asyncio.get_running_loop()
    line = _lines.get((id(shared), id(loop), fd)) or _Line(loop, shared, fd)
    waiter = loop.create_future()
    line.waiters.append(waiter)
    timer = None if timeout is None else loop.call_later(timeout, _wake, waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            line.wake_next()  # it had been called: the next one's turn
        raise
    finally:
        if timer is not None:
            timer.cancel()
        line.leave(waiter)


def closed(shared: Any) -> None:
    """The object was closed: whoever awaits it, in whichever loop, looks again, and is told."""
    for line in list(_lines.values()):
        if line.shared is not shared:
            continue
        try:
            line.loop.call_soon_threadsafe(line.wake_all)
        except RuntimeError:
            pass  # that loop has ended, and nobody waits in it
