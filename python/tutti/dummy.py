# SPDX-License-Identifier: MIT
"""multiprocessing.dummy, as it is."""

import multiprocessing.dummy
import sys
from multiprocessing.dummy import *
from multiprocessing.dummy import __all__ as __all__

sys.modules[__name__] = multiprocessing.dummy
