"""Objects as JSON has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archkit.planning.edits import at as _at

if TYPE_CHECKING:
    from collections.abc import Sequence


def at(data: object, path: Sequence[str | int]) -> Any:
    """What stands at a path, of whatever type; None where nothing does."""
    return _at(data, path)


def mapping_at(data: object, path: Sequence[str | int]) -> dict[str, Any]:
    """The mapping at a path; an empty one where none stands."""
    found = _at(data, path)
    return found if isinstance(found, dict) else {}
