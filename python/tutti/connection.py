# SPDX-License-Identifier: MIT
"""Pipes, and connections over descriptors.

``Pipe`` makes a pipe in the arena: its ends may be pickled and sent anywhere at any time. ``Connection`` is the
standard library's over any descriptor, in C, with the same bytes on the wire. Listener and Client come from
the standard library.
"""

from __future__ import annotations

import os
import socket
from multiprocessing import connection as standard
from multiprocessing import reduction
from multiprocessing.connection import Client, Listener

from tutti import _asynchronous, _sharing, _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Client", "Connection", "Listener", "Pipe", "PipeEnd", "wait"]

wait = _tutti.wait


class PipeEnd(_tutti.PipeEnd):
    """An end of a pipe in the arena, with the methods of a Connection."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_shared(self, self.readable, self.writable)

    async def recv_async(self) -> Any:
        """The next object, awaited in asyncio."""
        while True:
            try:
                return self._recv_nowait()
            except BlockingIOError:
                await _asynchronous.readable(self, self.fileno())

    def close(self) -> None:
        """Closes the end in this process. Who awaits something here gets OSError."""
        super().close()
        _asynchronous.closed(self)

    def __exit__(self, *args: Any) -> None:
        self.close()


def Pipe(duplex: bool = True, *, name: str | None = None, max_bytes: int = 16 * 1024 * 1024) -> tuple[PipeEnd, PipeEnd]:
    """Two ends that send to each other, or one that receives from the other.

    A send waits while ``max_bytes`` are on the way (0: never).
    """
    first, second = PipeEnd._pair(duplex, name, max_bytes)
    return first, second


class Connection(_tutti.Connection, standard.Connection):
    """multiprocessing.connection.Connection in C."""

    # What the standard library's __del__ calls.
    _close = _tutti.Connection.close


def descriptor_pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """multiprocessing.Pipe to the letter: a socket pair, or a pipe of the kernel."""
    if duplex:
        first, second = socket.socketpair()
        first.setblocking(True)
        second.setblocking(True)
        return Connection(first.detach()), Connection(second.detach())
    reader, writer = os.pipe()
    return Connection(reader, writable=False), Connection(writer, readable=False)


def reduce_connection(connection: Connection) -> tuple[Any, ...]:
    """Pickles a connection: its descriptor is handed over."""
    descriptor = reduction.DupFd(connection.fileno())
    return rebuild_connection, (descriptor, connection.readable, connection.writable)


def rebuild_connection(descriptor: Any, readable: bool, writable: bool) -> Connection:
    """The connection in the process that unpickles it."""
    return Connection(descriptor.detach(), readable, writable)


reduction.register(Connection, reduce_connection)
