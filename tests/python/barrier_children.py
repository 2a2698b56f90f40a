# SPDX-License-Identifier: MIT
"""What started processes run in the tests of barriers: without pytest, which each would import."""


def meet(barrier, times=1):
    for _ in range(times):
        barrier.wait(30)
