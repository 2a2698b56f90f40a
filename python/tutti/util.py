# SPDX-License-Identifier: MIT
"""multiprocessing.util, as it is."""

import multiprocessing.util
import sys
from multiprocessing.util import *
from multiprocessing.util import __all__ as __all__

sys.modules[__name__] = multiprocessing.util
