# SPDX-License-Identifier: MIT
"""How shared objects and their arena reach other processes.

A pickled object is its handle, which leads any process of this user to the arena. While a process is being
started, the arena's descriptor travels too, so that the child needs nobody to find it; and an escort
(tutti_escort in include/tutti/arena.h) holds the object until the child has unpickled all that it was given, or
has ended, because a handle alone keeps nothing.
"""

from __future__ import annotations

import operator
import os
from multiprocessing import context, process, reduction, util

from tutti import _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# --- objects ------------------------------------------------------------------------------------------------


def reduce_shared(shared: Any, *arguments: Any) -> tuple[Any, ...]:
    """For ``__reduce__`` of a shared object; ``arguments`` are given to ``_rebuilt`` of the copy."""
    handle = shared._handle()
    state = shared.__dict__ or None
    return rebuild_shared, (type(shared), handle, _company(handle), arguments), state


def rebuild_shared(cls: Any, handle: bytes, company: Any, arguments: tuple[Any, ...]) -> Any:
    """The copy of a shared object in the process that unpickles it."""
    arrive(handle, company)
    shared = cls._open(handle)
    if arguments:
        shared._rebuilt(*arguments)
    return shared


def arrive(handle: bytes, company: Any) -> None:
    """In a process that is being started: joins the arena of a handle that came with it."""
    if company is None:
        return
    descriptor, escort = company
    if not _tutti._is_member(handle):
        join(descriptor)
    arrival.escorts.add(escort)


class TravellingHandle:
    """A handle that takes its arena along to the process that is being started."""

    def __init__(self, handle: bytes, company: Any = None) -> None:
        arrive(handle, company)
        self.handle = handle

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.handle, _company(self.handle))


def assert_spawning(shared: Any) -> None:
    """Letter mode: refuse what multiprocessing refuses to pickle, with its words."""
    context.assert_spawning(shared)
    if shared._is_fork_ctx:
        raise RuntimeError(
            "A SemLock created in a fork context is being shared with a process in a spawn context. This is "
            "not supported. Please use the same context to create multiprocessing objects and Process."
        )


def _company(handle: bytes) -> Any:
    """What goes with a handle to the process that is being started: the arena's descriptor and the escort."""
    popen: Any = context.get_spawning_popen()
    if popen is None:
        return None
    travelling = popen.__dict__.setdefault("_tutti_travelling", _Travelling())
    return travelling.descriptor(_tutti._arena_descriptor(handle)), travelling.escort(handle)


class _Travelling:
    """What goes with one process that is being started: an attribute of its Popen."""

    def __init__(self) -> None:
        self._pid = os.getpid()  # a forked child has a copy, of which it knows nothing
        self.has_joined = False  # the preparation data is pickled: all else comes later
        self._wrapped: dict[int, Any] = {}
        self._escorts: dict[bytes, int] = {}  # by arena; the child closes them, or who finds it dead

    def descriptor(self, fd: int) -> Any:
        if fd not in self._wrapped:
            self._wrapped[fd] = reduction.DupFd(fd)
        return self._wrapped[fd]

    def escort(self, handle: bytes) -> int:
        arena = handle[:4]
        if arena not in self._escorts:
            self._escorts[arena] = _tutti._escort_open(handle)
        _tutti._escort_take(self._escorts[arena], handle)
        return self._escorts[arena]

    def follow(self, pid: int) -> None:
        for escort in self._escorts.values():
            _tutti._escort_follow(escort, pid)

    def end(self, close: Any = _tutti._escort_close, getpid: Any = os.getpid) -> None:
        """The process has ended, or never began."""
        while self._escorts and getpid() == self._pid:
            close(self._escorts.popitem()[1])

    # A Popen of the standard library does not tell more; it may go when the modules of this file are gone.
    __del__ = end


class _Arrival:
    """In the child: the escorts of what it unpickles, whose work is done when it has unpickled everything.

    That is when a process of ours begins to run, and when multiprocessing runs its after-fork functions, of which
    this is one: for its own processes, but not those that it spawns. There a Popen keeps the escorts to its end.
    """

    def __init__(self) -> None:
        self.escorts: set[int] = set()
        util.register_after_fork(self, type(self).complete)

    def complete(self) -> None:
        while self.escorts:
            _tutti._escort_close(self.escorts.pop())


arrival = _Arrival()


def join(descriptor: Any) -> None:
    """In the child: joins the arena of a descriptor that came with it."""
    fd = descriptor.detach()
    try:
        _tutti._join(fd)
    finally:
        os.close(fd)


# --- the start of a process -----------------------------------------------------------------------------------


class TravellingName(str):
    """The name of a process while it is being started: it takes the default arena along.

    The name is part of the preparation data, which a child unpickles first, before it imports its main module:
    what that module makes lies in the arena that the child was started in.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        popen: Any = context.get_spawning_popen()
        if popen is None:
            return str, (str(self),)
        travelling = popen.__dict__.setdefault("_tutti_travelling", _Travelling())
        if travelling.has_joined:
            return str, (str(self),)
        travelling.has_joined = True
        descriptor = travelling.descriptor(_tutti._arena_descriptor(None))
        return operator.getitem, ((str(self), _EarlyJoin(descriptor, popen.method)), 0)


class _EarlyJoin:
    """Joins when it is unpickled; does nothing in a child that cannot import tutti before it has its sys.path."""

    _SOURCE = """\
try:
    from tutti._sharing import join_early
except ImportError:
    pass
else:
    join_early(descriptor, method)
"""

    def __init__(self, descriptor: Any, method: str) -> None:
        self._names = {"descriptor": descriptor, "method": method}

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self._SOURCE, self._names)


def join_early(descriptor: Any, method: str) -> None:
    """In the child, before its main module is imported."""
    from tutti.context import _force_start_method

    join(descriptor)
    _force_start_method(method)


# --- its end --------------------------------------------------------------------------------------------------


class _Leaving:
    """Announces a clean exit of children that end by os._exit(), after everything else that they do at exit.

    multiprocessing forgets finalizers at the start of a child and then runs its after-fork functions, of which
    this is one.
    """

    def __init__(self) -> None:
        util.register_after_fork(self, type(self).after_fork)
        if process.parent_process() is not None:
            self.after_fork()  # imported in a child only

    def after_fork(self) -> None:
        util.Finalize(None, self._leave, exitpriority=-1_000_000)

    @staticmethod
    def _leave() -> None:
        # A process of ours leaves later, when its threads have ended too.
        if not getattr(process.current_process(), "_leaves_by_itself", False):
            _tutti._leave()


_leaving = _Leaving()

leave: Callable[[], None] = _tutti._leave
