"""The local engine, as a place for images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.model.engine import EngineImage, EngineInfo
    from archkit.model.reference import ImageReference


class Engine(Protocol):
    """An engine that runs. Raises ``ArchkitError`` where it cannot be asked."""

    def info(self) -> EngineInfo:
        """What it is; asked once per build."""
        ...

    def find(self, reference: ImageReference) -> EngineImage | None:
        """The image under a name with tag; None where there is none."""
        ...

    def load(self, archive: Path) -> None:
        """Load an image archive (``docker load``); its images get the names that stand in it."""
        ...

    def tag(self, source: ImageReference, target: ImageReference) -> None:
        """Give an image another name."""
        ...

    def remove(self, reference: ImageReference) -> None:
        """Take a name from an image; nothing is raised where there is no such name."""
        ...
