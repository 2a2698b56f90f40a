# SPDX-License-Identifier: MIT
"""multiprocessing.dummy, as it is."""

import multiprocessing.dummy
import sys

sys.modules[__name__] = multiprocessing.dummy
