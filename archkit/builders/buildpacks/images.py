"""The images that pack will take: which platforms they have, and what pack must be told to get the right one.

pack asks the engine for an image by its name and builds with whatever that name holds then, whatever ``--platform``
says: an image for one platform alone, or an older one that is there already. So each image is looked for first, and
named by the digest of its platform wherever its registry has it.
"""

from __future__ import annotations

from typing import Literal

import attrs

from archkit.adapters.base_image import open_base
from archkit.adapters.docker_engine import DockerEngine
from archkit.errors import ArchkitError, BuildError, CancelledError, ReferenceSyntaxError, RegistryError
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.platform import Platform
from archkit.model.reference import ImageReference
from archkit.planning.tool_output import base_lacks_platform
from archkit.ports.registry import ImageStore

PullPolicy = Literal["always", "if-not-present", "never"]
Role = Literal["builder", "run", "lifecycle"]
_ARGUMENTS: dict[Role, str] = {"builder": "builder", "run": "run_image", "lifecycle": "lifecycle_image"}
"""What the caller names an image with."""


@attrs.frozen
class TakenImage:
    """An image that pack will take, for one platform."""

    reference: str
    """What pack is told: with the digest of the platform's own image, or where only the engine has it, its name."""
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, repr=False)


@attrs.frozen
class ImageSearch:
    """Looks for the images of one build."""

    image: str
    """The artifact, for messages."""
    platform: Platform
    pull: PullPolicy
    store: ImageStore
    engine: DockerEngine

    def in_engine(self, role: Role, name: str) -> TakenImage:
        """An image that pack has the engine pull, or take from its own store, as the pull policy says.

        Args:
            role: What it is, such as ``builder``.
            name: The image, as the caller or the builder names it.

        Raises:
            BuildError: It is nowhere, cannot be read, or lacks the platform; the error names the platforms that it has.
        """
        if self.pull == "never":
            found = self._local(role, name)
            if found is None:
                reason = f"the {role} image {name} is not in the engine, and pull='never'"
                raise BuildError(
                    self.image, reason, str(self.platform), f"`docker pull --platform {self.platform} {name}`, or let it be pulled"
                )
            return found
        try:
            return self._in_registry(role, name)
        except RegistryError as error:
            return self._instead(role, name, error)

    def stale(self, role: Role, name: str) -> bool:
        """Whether the engine has an image of this name for other platforms alone, which pack would take unless told to pull."""
        try:
            found = self.engine.find(self._parse(role, name))
        except (BuildError, CancelledError):
            raise
        except ArchkitError:  # no client: not known
            return False
        return found is not None and not any(one.satisfies(self.platform) for one in found.platforms)

    def in_registry(self, role: Role, names: list[str]) -> TakenImage:
        """An image that the lifecycle reads from its registry: the first of these names that can be read.

        Raises:
            BuildError: None can be read, or the first that can lacks the platform.
        """
        errors: list[RegistryError] = []
        for name in names:
            try:
                return self._in_registry(role, name)
            except RegistryError as error:  # noqa: PERF203 - a few names, a request each
                errors.append(error)
        raise self._unreadable(role, names[0], errors[0]) from errors[0]

    def _in_registry(self, role: Role, name: str) -> TakenImage:
        source = open_base(str(self._parse(role, name)), self.store)
        base = source.find(self.platform)
        if base is None:
            raise base_lacks_platform(self.image, name, source.platforms, self.platform, role=f"{role} image")
        offered = next(one for one in source.manifests if one.satisfies(self.platform))
        labels = (base.config.get("config") or {}).get("Labels") or {}
        return TakenImage(str(source.repository.with_digest(source.manifests[offered].digest)), labels)

    def _instead(self, role: Role, name: str, error: RegistryError) -> TakenImage:
        """The engine's own image where the registry has none to give."""
        try:
            found = self._local(role, name) if self.pull == "if-not-present" else None
            hidden = self.pull == "always" and error.status == 404 and self.engine.find(self._parse(role, name)) is not None
        except (BuildError, CancelledError):
            raise
        except ArchkitError:  # no client or no engine: the registry's answer is the one that counts
            raise self._unreadable(role, name, error) from error
        if found is not None:
            return found
        if hidden:
            reason = f"the {role} image {name} is in the engine alone, not in its registry"
            raise BuildError(
                self.image, reason, str(self.platform), "BuildpacksBuilder(pull='if-not-present') takes it from there"
            ) from error
        raise self._unreadable(role, name, error) from error

    def _local(self, role: Role, name: str) -> TakenImage | None:
        found = self.engine.find(self._parse(role, name))
        if found is None:
            return None
        if not any(one.satisfies(self.platform) for one in found.platforms):
            raise base_lacks_platform(self.image, f"{name} in the engine", found.platforms, self.platform, role=f"{role} image")
        return TakenImage(name, found.labels)

    def _unreadable(self, role: Role, name: str, error: RegistryError) -> BuildError:
        reason = f"the {role} image {name} cannot be read: {error.problem()}"
        return BuildError(self.image, reason, str(self.platform), error.advice() or f"name one that can be read, with {_ARGUMENTS[role]}=…")

    def _parse(self, role: Role, name: str) -> ImageReference:
        try:
            reference = ImageReference.parse(name)
        except ReferenceSyntaxError as error:
            raise BuildError(self.image, f"the {role} image {name} is no image reference", "", error.advice()) from error
        return reference if reference.tag or reference.digest else reference.with_tag("latest")
