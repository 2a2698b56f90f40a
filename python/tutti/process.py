# SPDX-License-Identifier: MIT
"""multiprocessing.process, as it is."""

import multiprocessing.process
import sys

sys.modules[__name__] = multiprocessing.process
