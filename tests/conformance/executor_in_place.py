# SPDX-License-Identifier: MIT
"""Puts tutti.ProcessPoolExecutor in place of the standard one, in every interpreter of a tree.

Imported at the end of concurrent/futures/__init__.py, which makes its executors when they are first asked for.
"""

from concurrent import futures

_standard = futures.__getattr__


def _get(name):
    if name == "ProcessPoolExecutor":
        from tutti.futures import ProcessPoolExecutor

        futures.ProcessPoolExecutor = ProcessPoolExecutor
        return ProcessPoolExecutor
    return _standard(name)


futures.__getattr__ = _get
