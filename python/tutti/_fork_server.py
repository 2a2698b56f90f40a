# SPDX-License-Identifier: MIT
"""The server of which processes of the start method forkserver are copies: one for this process and all below it.

It is multiprocessing's own server, started with two things more: it has imported this package, and the main module under
the name ``__mp_main__``, as each child would have to. So a child begins with its work instead of with imports. The
standard library means to preload the main module as well, and until late in 3.14 does not (cpython#137996).
"""

from __future__ import annotations

import contextlib
import os
import threading
import types
from multiprocessing import forkserver, process, resource_tracker, spawn

from tutti import _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

__all__: list[str] = []

_LONGEST = 100_000  # bytes; the system takes 128 KiB as one string
_ORDER = "TUTTI_FORK_SERVER"  # in the server's environment: what it is to prepare, as JSON
_PRELOADED = ["tutti._preloaded"]
_MOMENT = 1.0  # seconds for a server that has closed its socket to end


class Ended(ConnectionError):
    """The server that was asked for a process has ended instead."""


class Server(forkserver.ForkServer):
    _forkserver_pid: int | None
    _forkserver_address: str | None
    _forkserver_alive_fd: int
    _preload_modules: list[str]
    _lock: threading.Lock

    def __init__(self) -> None:
        super().__init__()
        self._preload_modules = _PRELOADED
        self._owner: int | None = None  # the process that started the server, and must reap it
        self._gone: str | None = None  # the address of one that has ended

    def set_forkserver_preload(self, modules_names: list[str]) -> None:
        """Modules that the server imports before it starts a process."""
        super().set_forkserver_preload(modules_names)
        self._preload_modules = _PRELOADED + [name for name in modules_names if name != "__main__"]

    def ensure_running(self) -> None:
        """Starts the server unless it runs, here or where this process comes from."""
        mine = self._owner == os.getpid() and self._forkserver_pid is not None
        if not (self._is_alive() if mine else self._is_inherited()):
            self._start()

    def _is_alive(self) -> bool:
        """Dead, it is left to be reaped by ensure_running of the base class."""
        try:
            return os.waitid(os.P_PID, self._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None  # type: ignore[arg-type]
        except ChildProcessError:  # somebody else reaped it, which the base class does not expect
            os.close(self._forkserver_alive_fd)
            self._forkserver_pid = None
            return False

    def _is_inherited(self) -> bool:
        address = self._forkserver_address
        if address is None or address == self._gone:
            return False
        return address.startswith("\0") or os.path.exists(address)

    @property
    def address(self) -> str | None:
        """Of the one that is asked; each has another."""
        return self._forkserver_address

    def await_end(self, address: str | None) -> None:
        """The server at that address has not answered: after this, ensure_running() starts another.

        One about to end still counts as alive, so a moment is waited for it; not for one that was started meanwhile.
        """
        with self._lock:
            self._gone = address
            is_mine = self._owner == os.getpid() and self._forkserver_address == address
            pid = self._forkserver_pid if is_mine else None
        if pid is not None:
            _tutti._await_end(pid, _MOMENT)

    def _start(self) -> None:
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._forkserver_pid = None
        os.environ[_ORDER] = _order()
        try:
            super().ensure_running()
        finally:
            os.environ.pop(_ORDER, None)


def _order() -> str:
    import json  # not needed in each child

    data = spawn.get_preparation_data("")
    kept = ("sys_path", "sys_argv", "init_main_from_name", "init_main_from_path")
    order = {key: data[key] for key in kept if key in data}
    order["arena"] = _tutti._arena_descriptor(None)
    text = json.dumps(order, default=str)
    if len(text) > _LONGEST:
        del order["sys_argv"]  # each child is told it all the same
        text = json.dumps(order, default=str)
    return text


def with_others(owner: Any, method: str, module: Any, **names: Any) -> Any:
    """A method of a class of the module, the same steps in every version, with other things under names of that module."""
    return types.FunctionType(getattr(owner, method).__code__, {**vars(module), **names})


# --- several processes at once ----------------------------------------------------------------------------------


class _Several(threading.local):
    """Of a thread that starts processes one right after the other."""

    tracker: int | None = None  # the resource tracker's descriptor, which runs; None: it starts a single process


_several = _Several()


@contextlib.contextmanager
def several() -> Iterator[None]:
    """In it the server's answers are not waited for, so that it forks while the next request is made.

    The pid of each is read when it is asked for (_popen.ForkServer). Whether the resource tracker runs is looked at once.
    """
    _several.tracker = resource_tracker.getfd()
    try:
        yield
    finally:
        _several.tracker = None


class _Tracker:
    """As the module multiprocessing.resource_tracker."""

    @staticmethod
    def getfd() -> int | None:
        return resource_tracker.getfd() if _several.tracker is None else _several.tracker


server = Server()

_connect: Any = types.MethodType(
    with_others(forkserver.ForkServer, "connect_to_new_process", forkserver, resource_tracker=_Tracker), server
)

# As multiprocessing.forkserver has them: what a Popen asks for (_popen.ForkServer).


def connect_to_new_process(fds: Any) -> Any:
    try:
        return _connect(fds)
    except (ConnectionError, EOFError) as error:
        raise Ended("the fork server has ended") from error


def read_signed(descriptor: int) -> int | None:
    """The pid of a new process. None: it is to be read later."""
    return forkserver.read_signed(descriptor) if _several.tracker is None else None


def preload_main() -> None:
    """In the server. A main module that cannot be imported is left to the children, where the error is told."""
    # What multiprocessing tells the children about their server it writes into its own object.
    forkserver._forkserver.__dict__.update(_owner=None, _gone=None, _preload_modules=_PRELOADED)
    server.__dict__ = forkserver._forkserver.__dict__
    import json

    order = json.loads(os.environ.pop(_ORDER, "{}"))
    if "arena" in order and _join(order.pop("arena")):
        _import_main(order)


def _join(descriptor: int) -> bool:
    """What the main module makes is to lie in the arena of those that it is for. False: the system keeps us away from it."""
    try:
        arena = os.open(f"/proc/{os.getppid()}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        try:
            _tutti._join(arena)
        finally:
            os.close(arena)
    except (OSError, _tutti.Error):
        return False
    return True


def _import_main(order: dict[str, Any]) -> None:
    current: Any = process.current_process()
    current._inheriting = True  # an unguarded start of a process in it is refused, as in a child
    try:
        spawn.prepare(order)
    except (Exception, SystemExit):
        pass
    finally:
        del current._inheriting
