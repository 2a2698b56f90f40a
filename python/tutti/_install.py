# SPDX-License-Identifier: MIT
"""Tutti under programs that know multiprocessing only.

The modules of multiprocessing stay; the classes in them become Tutti's, to the letter. Its contexts look them up at each
call, so that ``multiprocessing.Queue()``, ``get_context("spawn").Lock()`` and whoever is given such a context make
Tutti's from then on. Who took a class from there before has the standard library's, which goes on to work: it moves
to tutti._standard, where pickle finds it.
"""

from __future__ import annotations

import functools
from multiprocessing import connection, pool, queues, spawn, synchronize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["install"]

_installed = False


def replace_classes() -> None:
    """The replacement alone, in this process."""
    from tutti import _letter_pool, _letter_queues, _letter_synchronize, _standard
    from tutti import connection as own_connection

    _standard.keep_apart()
    letters: tuple[tuple[Any, Any], ...] = (
        (pool, _letter_pool),
        (queues, _letter_queues),
        (synchronize, _letter_synchronize),
    )
    for module, letter in letters:
        vars(module).update((name, getattr(letter, name)) for name in letter.__all__)
    vars(connection).update(Connection=own_connection.Connection, wait=own_connection.wait)


class _Installer:
    """Unpickled by a spawned child before anything else of the program."""

    def __setstate__(self, state: None) -> None:
        install()

    def __getstate__(self) -> bool:
        return True


def _install_in_children() -> None:
    standard = spawn.get_preparation_data

    @functools.wraps(standard)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {"tutti": _Installer(), **standard(name)}

    spawn.get_preparation_data = get_preparation_data


def install() -> None:
    """Puts Tutti's classes in the place of multiprocessing's, here and in all children. Again: nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    replace_classes()
    _install_in_children()
