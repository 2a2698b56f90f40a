# SPDX-License-Identifier: MIT
"""multiprocessing.sharedctypes, as it is."""

import multiprocessing.sharedctypes
import sys
from multiprocessing.sharedctypes import *
from multiprocessing.sharedctypes import __all__ as __all__

sys.modules[__name__] = multiprocessing.sharedctypes
