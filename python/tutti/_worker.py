# SPDX-License-Identifier: MIT
"""The process of a pool's worker: how it begins, and what it does.

Each spawned worker imports this before its first task, so it imports little itself: what only an error needs, when there
is one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # as signal.signal(), without its look-up of names: see _workers.Crew
import os
import select
import signal
import sys
from multiprocessing import process

from tutti import _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from tutti import _sharing

__all__: list[str] = []


def _owner_has_ended() -> bool:
    parent = process.parent_process()
    if parent is None:
        return False
    sentinel = select.poll()
    sentinel.register(parent.sentinel, select.POLLIN)
    return bool(sentinel.poll(0))


def _leave_to_owner(number: int, frame: object) -> None:
    pass


def _end_with_owner() -> None:
    """From now on this process is killed when its owner has ended, in the middle of a task as well.

    The owner holds the other end of the pipe that is the parent's sentinel. The kernel sends a signal when that is closed,
    so that no thread need wait for it, which would be in the way of tasks that fork.
    """
    parent: Any = process.parent_process()
    if parent is not None:
        _tutti._end_with(parent.sentinel)


def _initialize(worker: Any, manner: Any, initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> bool:
    """False: it failed, and so does the pool, for the others would fail as well."""
    if initializer is None:
        return True
    try:
        initializer(*arguments)
    except Exception as error:
        import traceback

        manner.report_initializer(error)
        worker._refuse("".join(traceback.format_exception_only(type(error), error)).strip())
        return False
    return True


_worker: Any = None  # of this process, if it is one


def deaths_before() -> int:
    """In a worker: how many runs of the task in hand have ended with their worker."""
    return _worker._run - 1 if _worker is not None else 0


def run(
    pool: _sharing.TravellingHandle,
    index: int,
    manner: Any,
    initializer: Callable[..., object] | None,
    arguments: tuple[Any, ...],
    limit: int,
    by_value: bool,
) -> None:
    """What the process of a worker does. ``manner``: a class of _failures."""
    global _worker
    # Ctrl-C is for the owner, who ends the pool. Not SIG_IGN: programs that a task starts would inherit that.
    _signal.signal(signal.SIGINT, _leave_to_owner)
    _tutti._release_interrupts()  # as it came: see _workers._start
    _end_with_owner()
    _worker = _tutti.Worker(pool.handle, index, by_value)
    pid = os.getpid()
    try:
        if _initialize(_worker, manner, initializer, arguments):
            _worker._serve(_owner_has_ended, limit, manner)
    finally:
        if os.getpid() != pid:
            _end_astray()


def _end_astray() -> None:
    """A child that a task has forked, and that came back from it: all that follows is its parent's."""
    error = sys.exc_info()[1]
    code = error.code if isinstance(error, SystemExit) else 1
    if not isinstance(error, SystemExit):
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
