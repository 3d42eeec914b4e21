"""Results for values that come again and again: the same affinity goes into pod after pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")
_SIZE = 256


class Recent(Generic[T]):
    """Keeps the last results by the identity of the value that they were made of; such values are never changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Hashable], tuple[object, T]] = {}

    def get(self, value: object, style: Hashable, make: Callable[[], T]) -> T:
        """What was made of this very object in this style, or what ``make`` gives now."""
        key = (id(value), style)
        found = self._known.get(key)
        if found is not None and found[0] is value:
            return found[1]
        made = make()
        if len(self._known) >= _SIZE:
            self._known.clear()
        self._known[key] = (value, made)  # the value is held, so that its identity is not given to another
        return made
