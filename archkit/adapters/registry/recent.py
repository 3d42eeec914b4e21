"""What was stored a moment ago: some registries need a while until they know it themselves."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECONDS = 60.0
_MOST = 10_000


class Recent:
    """Names (digests and tags) by repository that this client stored within the last minute; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stored: dict[tuple[str, str], float] = {}

    def add(self, repository: str, *names: str | None) -> None:
        """These are stored now."""
        now = self._clock()
        with self._lock:
            for name in filter(None, names):
                self._stored.pop((repository, name), None)  # so that the oldest stands first
                self._stored[repository, name] = now
            while self._stored:
                oldest = next(iter(self._stored))
                if len(self._stored) <= _MOST and now - self._stored[oldest] < _SECONDS:
                    break
                del self._stored[oldest]

    def forget(self, repository: str, name: str) -> None:
        """This is not there any more."""
        with self._lock:
            self._stored.pop((repository, name), None)

    def all_of(self, repository: str, names: Iterable[str]) -> bool:
        """Whether there are names and every one of them was stored a moment ago."""
        names, now = tuple(names), self._clock()
        with self._lock:
            return bool(names) and all(now - self._stored.get((repository, name), -_SECONDS) < _SECONDS for name in names)
