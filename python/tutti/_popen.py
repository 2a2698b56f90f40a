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
from multiprocessing import connection, forkserver, popen_fork, popen_forkserver, popen_spawn_posix

from tutti import _fork_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

_MOMENT = 1.0  # seconds for a server that lives to tell a pid
UNKNOWN = 255  # the exit code of a process that nobody can tell, as in multiprocessing.popen_forkserver
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
        self._follow()

    def _follow(self) -> None:
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


class _OfOurServer(popen_forkserver.Popen):
    _launch: Any = _fork_server.with_others(popen_forkserver.Popen, "_launch", popen_forkserver, forkserver=_fork_server)


class ForkServer(_Pickling, _OfOurServer):
    """A copy of the server process, which sends the pid and then the exit code through the sentinel."""

    _pid: int | None = None  # None: the server's answer has not been read (_fork_server.several)

    def _launch(self, process_obj: Any) -> None:
        """Ended: the server has."""
        try:
            super()._launch(process_obj)
        except BrokenPipeError as error:
            if self._server_has_ended():
                raise _fork_server.Ended("the fork server has ended") from error
            raise

    def _server_has_ended(self) -> bool:
        """Nobody reads what was pickled. Not so where the process has ended that it was for, or before it was asked for one."""
        try:
            return hasattr(self, "sentinel") and not self._read_pid(_MOMENT)
        except EOFError:
            return True

    @property
    def pid(self) -> Any:
        """EOFError: the server has ended without an answer."""
        self._read_pid(None)
        return self._pid

    @pid.setter
    def pid(self, pid: int | None) -> None:
        self._pid = pid

    def _follow(self) -> None:
        if self._pid is not None:
            super()._follow()

    def _read_pid(self, timeout: float | None) -> bool:
        """Whether it is known."""
        if self._pid is not None:
            return True
        with self._taking:
            if self._pid is None:
                if not connection.wait([self.sentinel], timeout):
                    return False
                self._pid = forkserver.read_signed(self.sentinel)
        super()._follow()
        return True

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        try:
            known = self._read_pid(0 if flag == os.WNOHANG else None)
        except (OSError, EOFError):
            self.returncode = UNKNOWN
        else:
            if not known:
                return None
        return super().poll(flag)

    def _await_end(self) -> None:
        connection.wait([self.sentinel])
