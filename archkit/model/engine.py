"""What a local engine says of itself and of its images."""

from __future__ import annotations

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet


@attrs.frozen
class EngineInfo:
    """What an engine says of itself."""

    name: str
    """What messages call it, such as ``docker`` or ``podman``."""
    version: str
    platform: Platform
    """What its containers run without emulation."""
    holds_index: bool = False
    """Whether its image store keeps images of several platforms (containerd's does, Docker's older one does not)."""

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.platform})"


@attrs.frozen
class EngineImage:
    """An image in the engine's store."""

    id: str
    """The engine's own number of it, ``sha256:…``; of what, depends on the store."""
    platforms: PlatformSet
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, repr=False)
