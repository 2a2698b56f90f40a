# SPDX-License-Identifier: MIT
"""TUTTI_INSTALL=1: tutti.install() at the interpreter's start.

Imported by tutti-install.pth, beside this, which site runs before any program. That looks at the variable first: who has
not set it pays for one look, and for no import. Whatever happens here, the program is to run.
"""

import os
import sys

try:
    if os.environ["TUTTI_INSTALL"] != "0":
        import tutti

        tutti.install()
except Exception as error:
    print(f"TUTTI_INSTALL: {type(error).__name__}: {error}; this program runs without Tutti", file=sys.stderr)
