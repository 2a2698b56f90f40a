# SPDX-License-Identifier: MIT
"""Puts Tutti's classes in place of the standard library's, in every interpreter of a tree.

Imported at the end of multiprocessing/__init__.py, when nobody can have bound the old ones yet.
"""

from multiprocessing import connection, queues, reduction, synchronize

import tutti._letter_queues as letter_queues
import tutti.connection as letter_connection

for name in ("Queue", "JoinableQueue", "SimpleQueue"):
    setattr(queues, name, getattr(letter_queues, name))
connection.Connection = letter_connection.Connection
connection.wait = letter_connection.wait
