# SPDX-License-Identifier: MIT
"""Parallel and concurrent computing on one shared-memory arena.

The names and signatures are those of ``multiprocessing``; any process may be killed at any instruction
without making another one hang. What is not rebuilt here comes from the standard library.
"""

from __future__ import annotations

import sys as _sys
from typing import Any as _Any

from tutti import context as context
from tutti._tutti import AbandonedLockError, Error, ShutDown, StaleHandleError, __version__
from tutti.context import Process
from tutti.queues import JoinableQueue, Queue, SimpleQueue
from tutti.synchronize import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

# What multiprocessing exports: bound to the default context, but for the names that are classes here.
_methods = [name for name in dir(context._default_context) if not name.startswith("_")]
globals().update(
    (name, getattr(context._default_context, name)) for name in _methods if name not in globals()
)

__all__ = sorted({*_methods, "AbandonedLockError", "Error", "ProcessPoolExecutor", "ShutDown", "StaleHandleError", "WorkerDied", "install"})

# What needs concurrent.futures, which takes as long to import as all the rest, is imported when it is asked for.
_FUTURES = ("ProcessPoolExecutor", "WorkerDied")


def __getattr__(name: str) -> _Any:
    if name in _FUTURES:
        from tutti import futures

        globals().update((late, getattr(futures, late)) for late in _FUTURES)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def install() -> None:
    """Puts Tutti's classes in the place of multiprocessing's, in this process and all that it starts.

    Programs, and libraries that use multiprocessing, then run on Tutti as they are. Call it early: who has taken a class
    from multiprocessing before keeps the standard library's. A second call does nothing.
    """
    from tutti._install import install

    install()


SUBDEBUG = 5
SUBWARNING = 25

# As multiprocessing: a child finds the main module under both names.
if "__main__" in _sys.modules:
    _sys.modules.setdefault("__mp_main__", _sys.modules["__main__"])
