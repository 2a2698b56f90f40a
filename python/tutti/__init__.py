# SPDX-License-Identifier: MIT
"""Parallel and concurrent computing on one shared-memory arena.

The names and signatures are those of ``multiprocessing``; any process may be killed at any instruction
without making another one hang.
"""

from tutti._tutti import (
    AbandonedLockError,
    Error,
    ShutDown,
    StaleHandleError,
    __version__,
)

__all__ = ["AbandonedLockError", "Error", "ShutDown", "StaleHandleError", "__version__"]
