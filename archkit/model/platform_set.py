"""PlatformSet: platforms in the caller's order, without duplicates, or "all"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import ClassVar

from archkit.errors import PlatformSyntaxError, TargetsError
from archkit.model.platform import Platform

_SEPARATOR = r",(?!\s*osver(?:sion)?=)"


class PlatformSet(AbstractSet[Platform]):
    """Platforms in the caller's order, without duplicates; or :attr:`ALL`, every platform there is.

    Compares as a set (the order does not count), iterates in order. The empty set means "none", never "any".

    >>> PlatformSet.parse("linux/arm64,linux/amd64") & PlatformSet.parse("linux/amd64,linux/x86_64")
    PlatformSet('linux/amd64')

    Raises:
        PlatformSyntaxError: An element is not a platform.
    """

    __slots__ = ("_all", "_platforms")
    _platforms: dict[Platform, None]
    _all: bool

    ALL: ClassVar[PlatformSet]
    """Every platform: ``ALL & x == x``. It has no length and cannot be iterated."""

    def __init__(self, platforms: Iterable[Platform | str] = ()) -> None:
        if isinstance(platforms, str):
            platforms = PlatformSet.parse(platforms)
        if isinstance(platforms, PlatformSet) and platforms.is_all:
            self._platforms, self._all = {}, True
            return
        self._all = False
        self._platforms = dict.fromkeys(item if isinstance(item, Platform) else Platform.parse(item) for item in platforms)

    @classmethod
    def parse(cls, text: str | Iterable[Platform | str]) -> PlatformSet:
        """The platforms of a comma list, or of several texts and platforms; the word "all" alone gives :attr:`ALL`.

        Raises:
            PlatformSyntaxError: An entry is not a platform, nothing is named, or "all" stands beside others.
        """
        if isinstance(text, PlatformSet):
            return text
        items = [text] if isinstance(text, str) else list(text)
        entries: list[Platform | str] = []
        for item in items:
            entries.extend([item] if isinstance(item, Platform) else re.split(_SEPARATOR, item))
        if any(isinstance(entry, str) and entry.strip().lower() == "all" for entry in entries):
            if len(entries) > 1:
                raise PlatformSyntaxError(", ".join(map(str, entries)), "'all' stands beside other platforms", "all")
            return cls.ALL
        if not entries or entries == [""]:
            raise PlatformSyntaxError(str(text), "no platform is named")
        return cls(entries)

    @property
    def is_all(self) -> bool:
        """Whether this is :attr:`ALL`."""
        return self._all

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            item = Platform.parse(item)
        return isinstance(item, Platform) and (self._all or item in self._platforms)

    def __iter__(self) -> Iterator[Platform]:
        if self._all:
            raise TargetsError(
                "'all' has no end and cannot be listed", "all", "", "name the platforms, for example linux/amd64,linux/arm64"
            )
        return iter(self._platforms)

    def __len__(self) -> int:
        return sum(1 for _ in self) if self._all else len(self._platforms)

    def __bool__(self) -> bool:
        return self._all or bool(self._platforms)

    def __and__(self, other: object) -> PlatformSet:
        """The platforms of both, in the order of the left side."""
        if not isinstance(other, Iterable):
            return NotImplemented
        right = other if isinstance(other, PlatformSet) else PlatformSet(other)
        if self._all or right.is_all:
            return right if self._all else self
        return PlatformSet(item for item in self if item in right)

    def __or__(self, other: object) -> PlatformSet:
        """The platforms of either: the left side's first, each side in its order."""
        if not isinstance(other, Iterable):
            return NotImplemented
        right = other if isinstance(other, PlatformSet) else PlatformSet(other)
        if self._all or right.is_all:
            return PlatformSet.ALL
        return PlatformSet([*self, *right])

    __rand__ = __and__
    __ror__ = __or__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        if isinstance(other, PlatformSet) and (self._all or other.is_all):
            return self._all and other.is_all
        return not self._all and self._platforms.keys() == other

    def __hash__(self) -> int:
        return hash((self._all, frozenset(self._platforms)))

    def __str__(self) -> str:
        return "all" if self._all else ",".join(map(str, self._platforms))

    def __repr__(self) -> str:
        return f"PlatformSet({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_everything, ()) if self._all else (PlatformSet, (tuple(self._platforms),))


def _everything() -> PlatformSet:
    return PlatformSet.ALL


PlatformSet.ALL = PlatformSet()
PlatformSet.ALL._all = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the one instance that is not made of platforms
