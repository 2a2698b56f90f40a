# SPDX-License-Identifier: MIT
"""What started processes run in the tests of events: without pytest, which each would import."""


def wait_and_tell(event, told):
    if event.wait(30):
        told.release()


def set_it(event):
    event.set()
