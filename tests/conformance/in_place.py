# SPDX-License-Identifier: MIT
"""Puts Tutti's classes in place of the standard library's, in every interpreter of a tree.

Imported at the end of multiprocessing/__init__.py, when nobody can have bound the old ones yet: whatever is
imported from multiprocessing passes there first.
"""

from multiprocessing import connection, pool, queues, synchronize

from tutti import _letter_pool, _letter_queues, _letter_synchronize
from tutti import connection as tutti_connection

for module, letter in ((pool, _letter_pool), (queues, _letter_queues), (synchronize, _letter_synchronize)):
    vars(module).update((name, getattr(letter, name)) for name in letter.__all__)
connection.Connection = tutti_connection.Connection
connection.wait = tutti_connection.wait
