# SPDX-License-Identifier: MIT
"""Puts Tutti's classes in place of the standard library's, in every interpreter of a tree.

Imported at the end of multiprocessing/__init__.py, when nobody can have bound the old ones yet: whatever is
imported from multiprocessing passes there first.
"""

import atexit
import os

from tutti import _install, _tutti

_install.replace_classes()


@atexit.register
def _leave_count():
    """For an interpreter that a test starts: its calls into Tutti are added to a file."""
    left = os.environ.get("TUTTI_CONFORMANCE_CALLS")
    if left:
        with open(left, "a", encoding="ascii") as file:
            file.write(f"{_tutti.call_count()}\n")
