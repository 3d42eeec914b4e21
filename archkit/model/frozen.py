"""Collections that can stand in a frozen, hashable value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class FrozenMap(Mapping[K, V]):
    """An immutable mapping in insertion order; equal to any mapping of equal items, hashable if they are."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items: dict[K, V] = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:  # Mapping's own, and its get(), try and catch: several times as slow
        return key in self._items

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: V | T | None = None) -> V | T | None:
        """The value of a key, or the default."""
        return self._items.get(key, default)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[type[FrozenMap[K, V]], tuple[dict[K, V]]]:
        return (type(self), (dict(self._items),))


def frozen_texts(items: Mapping[str, str] | Iterable[tuple[str, str]]) -> FrozenMap[str, str]:
    """Labels or annotations, frozen."""
    return FrozenMap(items)


def one_or_more(value: str | Iterable[str]) -> tuple[str, ...]:
    """Several texts; a single one stands for itself, not for its letters."""
    return (value,) if isinstance(value, str) else tuple(value)


NO_TEXTS: FrozenMap[str, str] = FrozenMap()
