# SPDX-License-Identifier: MIT
"""multiprocessing.reduction, as it is."""

import multiprocessing.reduction
import sys
from multiprocessing.reduction import *
from multiprocessing.reduction import __all__ as __all__

sys.modules[__name__] = multiprocessing.reduction
