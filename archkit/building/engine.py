"""Images for the local engine: built in it, or built as an OCI layout and loaded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.image_archive import write_archive
from archkit.errors import ArchkitError, BuildError, PlatformNotDelivered
from archkit.model.build import BuiltImage
from archkit.model.engine import EngineInfo
from archkit.planning.strategy import staging_reference
from archkit.ports.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.model.build import PlannedBuild
    from archkit.model.engine import EngineImage
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore


@attrs.frozen
class EnginePlace:
    """An engine that images are for; it has been asked what it is."""

    engine: Engine
    info: EngineInfo

    def check(self, found: EngineImage | None, reference: ImageReference, asked: PlatformSet, *, image: str, builder: str) -> EngineImage:
        """Compare what stands under a name in the engine with what was asked.

        Raises:
            BuildError: Nothing does.
            PlatformNotDelivered: It is for other platforms.
        """
        if found is None:
            reason = f"{builder} ended without an error, but {reference.familiar} is not in the engine {self.info}"
            raise BuildError(image, reason, "", "the build must leave the image there under this name")
        missing = [platform for platform in asked if not any(one.satisfies(platform) for one in found.platforms)]
        if missing:
            reason = f"the engine {self.info} has no image for {missing[0]} under {reference.familiar}"
            texts = tuple(map(str, asked)), tuple(map(str, found.platforms))
            raise PlatformNotDelivered(image, reason, str(missing[0]), "", *texts, builder)
        return found

    def load(self, planned: PlannedBuild, store: ImageStore, built: BuiltImage, folder: Path) -> EngineImage:
        """Load what was built as a layout, under a name of its own, which is not the final one yet."""
        archive = folder / "image.tar"
        source = planned.target.repository_only.with_digest(built.digest) if built.digest else planned.target
        write_archive(store, source, staging_reference(planned.target), archive)
        self.engine.load(archive)
        archive.unlink()
        staging = staging_reference(planned.target)
        return self.check(self.engine.find(staging), staging, planned.platforms, image=planned.image, builder=planned.builder)

    def publish(self, planned: PlannedBuild, found: EngineImage) -> BuiltImage:
        """Give the image its final name."""
        staging = staging_reference(planned.target)
        if not planned.abilities.pushes_final_tag or planned.engine == "loaded":
            self.engine.tag(staging, planned.target)
            self.engine.remove(staging)
        return BuiltImage(planned.image, planned.target.familiar, found.platforms)

    def abandon(self, planned: PlannedBuild) -> None:
        """Take the name away that a build which did not come to its end may have left."""
        with contextlib.suppress(ArchkitError):
            self.engine.remove(staging_reference(planned.target))
