# SPDX-License-Identifier: MIT
"""multiprocessing.resource_tracker, as it is."""

import multiprocessing.resource_tracker
import sys
from multiprocessing.resource_tracker import *
from multiprocessing.resource_tracker import __all__ as __all__

sys.modules[__name__] = multiprocessing.resource_tracker
