# SPDX-License-Identifier: MIT
"""The standard library's ways of starting a process, with two changes.

What was pickled for a process is told its pid, and that it has ended (_sharing._Travelling).

Any number of threads may wait for it. There each thread asks the system itself. The first is told how the process
ended, and the others that there is no such child: they return from join() and see no exit code, or a wrong one. Here
all wait without taking anything, and then one at a time looks what the first has found.
"""

from __future__ import annotations

import os
import threading
import types
from multiprocessing import connection, popen_fork, popen_forkserver, popen_spawn_posix
from typing import TYPE_CHECKING, Any

from tutti import _fork_server

__all__: list[str] = []

_Base: Any = popen_fork.Popen if TYPE_CHECKING else object


class _TakenOnce(_Base):  # type: ignore[misc]
    def __init__(self, process_obj: Any) -> None:
        self._taking = threading.Lock()
        super().__init__(process_obj)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        if self.returncode is None and flag != os.WNOHANG:
            self._await_end()
        with self._taking:
            code: int | None = super().poll(os.WNOHANG)
        return code

    def _await_end(self) -> None:
        """Waits until the process has ended, and leaves its exit code where it is."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # taken already


class _Pickling(_TakenOnce):
    """A Popen that pickles the process object."""

    def _launch(self, process_obj: Any) -> None:
        try:
            super()._launch(process_obj)
        except BaseException:
            self._end_travelling()
            raise
        if "_tutti_travelling" in self.__dict__:
            self._tutti_travelling.follow(self.pid)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        code = super().poll(flag)
        if code is not None:
            self._end_travelling()
        return code

    def _end_travelling(self) -> None:
        if "_tutti_travelling" in self.__dict__:
            self._tutti_travelling.end()


class Fork(_TakenOnce, popen_fork.Popen):
    """A copy of this process."""


class Spawn(_Pickling, popen_spawn_posix.Popen):
    """A fresh interpreter."""


def launch_with(module: Any, **names: Any) -> Any:
    """The ``_launch`` of a module's Popen, the same steps in every version, with other things under names of its module."""
    return types.FunctionType(module.Popen._launch.__code__, {**vars(module), **names})


class _OfOurServer(popen_forkserver.Popen):
    _launch: Any = launch_with(popen_forkserver, forkserver=_fork_server)


class ForkServer(_Pickling, _OfOurServer):
    """A copy of the server process, which sends the exit code through the sentinel."""

    def _await_end(self) -> None:
        connection.wait([self.sentinel])
