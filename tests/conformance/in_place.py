# SPDX-License-Identifier: MIT
"""Puts Tutti's classes in place of the standard library's, in every interpreter of a tree.

Imported at the end of multiprocessing/__init__.py, when nobody can have bound the old ones yet: whatever is
imported from multiprocessing passes there first.
"""

from tutti import _install

_install.replace_classes()
