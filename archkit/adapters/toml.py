"""TOML files, as far as this Python can read them."""

from __future__ import annotations

import sys
from typing import Any


def load_toml(text: str) -> dict[str, Any] | None:
    """The tables of a TOML file; None before Python 3.11, whose standard library is the first that reads TOML.

    Raises:
        ValueError: It is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(text)
    return None
