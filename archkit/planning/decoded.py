"""Decoded JSON or TOML that somebody else wrote: what is not of the kind that is wanted is taken for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; none where it is no list."""
    return [item for item in items(value) if isinstance(item, Mapping)]
