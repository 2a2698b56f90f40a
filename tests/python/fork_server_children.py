# SPDX-License-Identifier: MIT
"""What the tests of the fork server run in processes."""

from __future__ import annotations

import os

import tutti


def parent(answers):
    answers.put(os.getppid())


def parent_of_child(answers):
    answers.put(os.getppid())
    start_one(answers)


def start_one(answers):
    process = tutti.get_context("forkserver").Process(target=parent, args=(answers,))
    process.start()
    process.join()
    process.close()


def environment(answers):
    answers.put(dict(os.environ))
