# SPDX-License-Identifier: MIT
"""The installed package as such: where it comes from, and which version it says it is."""

import importlib.metadata
import pathlib

import tutti


def test_is_the_installed_one():
    source = pathlib.Path(__file__).resolve().parents[2] / "python"
    assert source not in pathlib.Path(tutti.__file__).resolve().parents


def test_version_stands_in_one_place():
    assert tutti.__version__ == importlib.metadata.version("tutti")
