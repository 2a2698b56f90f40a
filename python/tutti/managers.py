# SPDX-License-Identifier: MIT
"""multiprocessing.managers, as it is."""

import multiprocessing.managers
import sys
from multiprocessing.managers import *
from multiprocessing.managers import __all__ as __all__

sys.modules[__name__] = multiprocessing.managers
