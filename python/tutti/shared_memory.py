# SPDX-License-Identifier: MIT
"""multiprocessing.shared_memory, as it is."""

import multiprocessing.shared_memory
import sys

sys.modules[__name__] = multiprocessing.shared_memory
