"""What is tested is what gets installed."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import json
import os
import pkgutil
from pathlib import Path

import pytest

import archkit

MODULES = sorted(module.name for module in pkgutil.walk_packages(archkit.__path__, "archkit."))


def editable() -> bool:
    """Whether the installation only points at the checkout."""
    origin = importlib.metadata.distribution("archkit").read_text("direct_url.json")
    return origin is not None and bool(json.loads(origin).get("dir_info", {}).get("editable"))


def test_the_tests_import_the_installed_wheel_and_not_the_checkout() -> None:
    if editable() and os.environ.get("CI") != "true":
        pytest.skip("an editable installation runs from the checkout; `python3 noxfile.py test` tests the wheel")
    assert Path(archkit.__file__).parent != Path(__file__).parents[2] / "archkit"


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert Path(archkit.__file__).with_name("py.typed").is_file()


def test_the_version_is_the_installed_one() -> None:
    assert archkit.__version__ == importlib.metadata.version("archkit")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0
