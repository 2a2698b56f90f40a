# SPDX-License-Identifier: MIT
"""multiprocessing.shared_memory, as it is."""

import multiprocessing.shared_memory
import sys
from multiprocessing.shared_memory import *
from multiprocessing.shared_memory import __all__ as __all__

sys.modules[__name__] = multiprocessing.shared_memory
