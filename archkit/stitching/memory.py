"""What a stitcher learns from one index for the next: nothing of it can become untrue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archkit.model.frozen import FrozenMap
    from archkit.model.reference import Digest

_MOST = 4096
"""Configurations and pairs of repositories that are remembered; beyond, it starts anew."""


class Memory:
    """Which platform a configuration says, and which repositories were given images of which others; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._platforms: dict[Digest, FrozenMap[str, Any]] = {}
        self._brought: set[tuple[str, str]] = set()

    def platform_fields(self, config: Digest) -> FrozenMap[str, Any] | None:
        """What the configuration with this digest says; None where it was not read yet."""
        with self._lock:
            return self._platforms.get(config)

    def keep_platform_fields(self, config: Digest, fields: FrozenMap[str, Any]) -> None:
        """Remember what the configuration with this digest says."""
        with self._lock:
            if len(self._platforms) >= _MOST:
                self._platforms.clear()
            self._platforms[config] = fields

    def has_brought(self, pairs: set[tuple[str, str]]) -> bool:
        """Whether each first repository was given images of its second: the next images probably share their blobs."""
        with self._lock:
            return pairs <= self._brought

    def keep_brought(self, pairs: set[tuple[str, str]]) -> None:
        """Each first repository was given images of its second."""
        with self._lock:
            if len(self._brought) >= _MOST:
                self._brought.clear()
            self._brought |= pairs
