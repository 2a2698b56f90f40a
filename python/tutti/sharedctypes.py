# SPDX-License-Identifier: MIT
"""multiprocessing.sharedctypes, as it is."""

import multiprocessing.sharedctypes
import sys

sys.modules[__name__] = multiprocessing.sharedctypes
