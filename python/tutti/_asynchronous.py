# SPDX-License-Identifier: MIT
"""Waiting in asyncio, through descriptors: no thread for a wait, and none lost between two of them.

A loop has one reader for a descriptor; those who wait for it stand in a line. The descriptor stays readable
while something is there, so the loop comes back until the line or the queue is empty.
"""

from __future__ import annotations

import asyncio
import collections
import weakref
from typing import Any

_Line = collections.deque  # of futures

_lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Any]] = weakref.WeakKeyDictionary()


def _wake_next(line: Any) -> None:
    """The descriptor is readable: the first who still waits looks."""
    while line:
        waiter = line.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


async def readable(fd: int) -> None:
    """Returns when the descriptor is readable; perhaps nothing is there any more by then."""
    loop = asyncio.get_running_loop()
    lines = _lines.setdefault(loop, {})
    line = lines.get(fd)
    if line is None:
        line = lines[fd] = _Line()
        loop.add_reader(fd, _wake_next, line)
    waiter = loop.create_future()
    line.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            _wake_next(line)  # it had been called: the next one's turn
        raise
    finally:
        if waiter in line:
            line.remove(waiter)
        if not line and lines.get(fd) is line:
            del lines[fd]
            loop.remove_reader(fd)
