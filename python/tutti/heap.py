# SPDX-License-Identifier: MIT
"""multiprocessing.heap, as it is."""

import multiprocessing.heap
import sys
from multiprocessing.heap import *
from multiprocessing.heap import __all__ as __all__

sys.modules[__name__] = multiprocessing.heap
