"""Images for the local engine: built in it, or built as an OCI layout and loaded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.image_archive import write_archive
from archkit.errors import ArchkitError, BuildError, CancelledError, PlatformNotDelivered
from archkit.model.build import BuiltImage
from archkit.model.engine import EngineInfo
from archkit.planning.strategy import staging_reference
from archkit.planning.tool_output import tool_failure
from archkit.ports.engine import Engine

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from pathlib import Path

    from archkit.model.build import PlannedBuild
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore
    from archkit.ports.runner import Runner


@attrs.frozen
class EnginePlace:
    """An engine that images are for; it has been asked what it is."""

    engine: Engine
    info: EngineInfo
    cleaner: Engine
    """The same, for what is to be done after somebody cancelled."""

    @classmethod
    def open(cls, engine: Engine | None, runner: Runner, cancel: threading.Event) -> EnginePlace:
        """Ask an engine what it is; None: Docker's, as its client is set.

        Raises:
            BuildError: It does not answer, or there is no client.
        """
        cleaner = engine
        if engine is None or cleaner is None:
            from archkit.adapters.docker_engine import DockerEngine

            engine, cleaner = DockerEngine(runner=runner, cancel=cancel), DockerEngine(runner=runner)
        with _told("the artifacts"):
            return cls(engine, engine.info(), cleaner)

    def platforms(self, reference: ImageReference, image: str) -> PlatformSet | None:
        """What stands under a name; None: nothing."""
        with _told(image):
            found = self.engine.find(reference)
        return found.platforms if found else None

    def check(self, found: PlatformSet | None, reference: ImageReference, asked: PlatformSet, *, image: str, builder: str) -> PlatformSet:
        """Compare what stands under a name in the engine with what was asked.

        Raises:
            BuildError: Nothing does.
            PlatformNotDelivered: It is for other platforms.
        """
        if found is None:
            reason = f"{builder} ended without an error, but {reference.familiar} is not in the engine {self.info}"
            raise BuildError(image, reason, "", "the build must leave the image there under this name")
        missing = [platform for platform in asked if not any(one.satisfies(platform) for one in found)]
        if missing:
            reason = f"the engine {self.info} has no image for {missing[0]} under {reference.familiar}"
            texts = tuple(map(str, asked)), tuple(map(str, found))
            raise PlatformNotDelivered(image, reason, str(missing[0]), "", *texts, builder)
        return found

    def load(self, planned: PlannedBuild, store: ImageStore, built: BuiltImage, folder: Path) -> PlatformSet:
        """Load what was built as a layout, under a name of its own, which is not the final one yet."""
        archive = folder / "image.tar"
        source = planned.target.repository_only.with_digest(built.digest) if built.digest else planned.target
        write_archive(store, source, staging_reference(planned.target), archive)
        with _told(planned.image):
            self.engine.load(archive)
        archive.unlink()
        staging = staging_reference(planned.target)
        found = self.platforms(staging, planned.image)
        return self.check(found, staging, planned.platforms, image=planned.image, builder=planned.builder)

    def publish(self, planned: PlannedBuild, found: PlatformSet) -> BuiltImage:
        """Give the image its final name."""
        staging = staging_reference(planned.target)
        if not planned.abilities.pushes_final_tag or planned.engine == "loaded":
            with _told(planned.image):
                self.engine.tag(staging, planned.target)
                self.engine.remove(staging)
        return BuiltImage(planned.image, planned.target.familiar, found)

    def abandon(self, planned: PlannedBuild) -> None:
        """Take the name away that a build which did not come to its end may have left."""
        with contextlib.suppress(ArchkitError):
            self.cleaner.remove(staging_reference(planned.target))


@contextlib.contextmanager
def _told(image: str) -> Generator[None, None, None]:
    """What an engine raises, as an error of the build."""
    try:
        yield
    except (BuildError, CancelledError):
        raise
    except ArchkitError as error:
        raise tool_failure(error, image, builder="the local engine") from error
