# SPDX-License-Identifier: MIT
"""multiprocessing.util, as it is."""

import multiprocessing.util
import sys

sys.modules[__name__] = multiprocessing.util
