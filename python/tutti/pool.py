# SPDX-License-Identifier: MIT
"""multiprocessing.pool, as it is."""

import multiprocessing.pool
import sys
from multiprocessing.pool import *
from multiprocessing.pool import __all__ as __all__

sys.modules[__name__] = multiprocessing.pool
