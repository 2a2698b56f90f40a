# SPDX-License-Identifier: MIT
"""Parallel and concurrent computing on one shared-memory arena.

The names and signatures are those of ``multiprocessing``; any process may be killed at any instruction
without making another one hang. What is not rebuilt here comes from the standard library.
"""

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import

from tutti import context as context
from tutti._tutti import AbandonedLockError, Error, ShutDown, StaleHandleError, __version__
from tutti.context import Process

# Imported when they are asked for, because each spawned process imports this: the modules, and what is found in each.
_LATE = {
    "connection": (),
    "futures": ("ProcessPoolExecutor", "WorkerDied"),
    "queues": ("JoinableQueue", "Queue", "SimpleQueue"),
    "synchronize": ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"),
}
_homes = {name: module for module, names in _LATE.items() for name in (module, *names)}

# What multiprocessing exports: bound to the default context, but for the names that are classes here.
_methods = [name for name in dir(context._default_context) if not name.startswith("_")]
globals().update(
    (name, getattr(context._default_context, name)) for name in _methods if name not in globals() and name not in _homes
)

__all__ = sorted({*_methods, "AbandonedLockError", "Error", "ProcessPoolExecutor", "ShutDown", "StaleHandleError", "WorkerDied", "install"})


def __getattr__(name: str) -> object:
    if name not in _homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import(f"{__name__}.{_homes[name]}")
    globals().update((late, getattr(module, late)) for late in _LATE[_homes[name]])
    return globals()[name]  # a module is there since its import


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})


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
