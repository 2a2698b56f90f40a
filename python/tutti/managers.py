# SPDX-License-Identifier: MIT
"""multiprocessing.managers, as it is."""

import multiprocessing.managers
import sys

sys.modules[__name__] = multiprocessing.managers
