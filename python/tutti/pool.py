# SPDX-License-Identifier: MIT
"""multiprocessing.pool, as it is."""

import multiprocessing.pool
import sys

sys.modules[__name__] = multiprocessing.pool
