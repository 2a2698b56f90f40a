# SPDX-License-Identifier: MIT
"""multiprocessing.reduction, as it is."""

import multiprocessing.reduction
import sys

sys.modules[__name__] = multiprocessing.reduction
