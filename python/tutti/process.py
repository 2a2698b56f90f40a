# SPDX-License-Identifier: MIT
"""multiprocessing.process, as it is."""

import multiprocessing.process
import sys
from multiprocessing.process import *
from multiprocessing.process import __all__ as __all__

sys.modules[__name__] = multiprocessing.process
