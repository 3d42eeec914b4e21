"""What a build asks and gives: abilities, requests, sinks, plans and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from archkit.errors import BuildError
from archkit.model.finding import Finding
from archkit.model.frozen import FrozenMap
from archkit.model.oci import Descriptor
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STAGING_SUFFIX = "_archkit-staging"
"""What stands behind TAG in the tag that a builder which must push a tag of its own gets for a native build."""


# ---- where images go --------------------------------------------------------------------------------------------


@attrs.frozen
class RegistrySink:
    """Images go to a registry."""

    default_repo: str | None = None
    """``HOST[:PORT]/path`` below which names without a registry go; None: every artifact's name has its registry."""

    def __str__(self) -> str:
        return f"registry {self.default_repo}" if self.default_repo else "registry"


@attrs.frozen
class LayoutSink:
    """Images go to an OCI layout: a folder that needs no registry and no engine, and holds any number of platforms."""

    path: Path = attrs.field(converter=Path)

    def __str__(self) -> str:
        return f"OCI layout {self.path}"


@attrs.frozen
class EngineSink:
    """Images go to the local engine (dockerd, podman)."""

    def __str__(self) -> str:
        return "local engine"


Sink = RegistrySink | LayoutSink | EngineSink


# ---- what a builder says of itself, gets, and gives --------------------------------------------------------------


@attrs.frozen
class BuilderAbilities:
    """What a builder can do here and now."""

    native_multi: bool = attrs.field(default=False, kw_only=True)
    """It makes one index of several platforms in one call."""
    platforms: PlatformSet | None = attrs.field(default=None, kw_only=True)
    """The platforms it can build; None: unknown, no constraint."""
    default: Platform | None = attrs.field(default=None, kw_only=True)
    """What it builds when nobody says; None: the host's platform."""
    sinks: frozenset[type] = attrs.field(default=frozenset({RegistrySink}), kw_only=True)
    push_by_digest: bool = attrs.field(default=False, kw_only=True)
    """It can push without any tag, so that archkit alone writes tags."""
    parallel: bool = attrs.field(default=False, kw_only=True)
    """Builds of several platforms may run at the same time."""
    overlap: bool = attrs.field(default=False, kw_only=True)
    """Called for several platforms at once, it builds one after the other and pushes each beside the next build."""
    emulated: frozenset[Platform] = attrs.field(default=frozenset(), kw_only=True)
    """Platforms whose build runs foreign code under emulation."""
    notes: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """Sentences for the plan, such as which engine was found."""
    pushes_final_tag: bool = attrs.field(default=False, kw_only=True)
    """Its contract is to push the final name itself (a custom command that is not ``staged``)."""


class ArtifactFacts(Protocol):
    """What a request says of the artifact: :class:`archkit.Artifact` without its builder."""

    @property
    def image(self) -> str: ...
    @property
    def context(self) -> Path: ...
    @property
    def platforms(self) -> PlatformSet | None: ...


def _repository_of(request: BuildRequest) -> ImageReference:
    return (request.reference or ImageReference.parse(request.artifact.image)).repository_only


@attrs.frozen
class BuildRequest:
    """One call of a builder."""

    artifact: ArtifactFacts
    platforms: PlatformSet
    """What to build, in order; one entry unless the builder is natively multi-platform."""
    sink: Sink
    reference: ImageReference | None = None
    """What the builder must push itself; None: it pushes by digest into :attr:`repository`."""
    repository: ImageReference = attrs.field(default=attrs.Factory(_repository_of, takes_self=True), kw_only=True)
    """The repository that the image goes to, without tag; given no other, that of the reference or of the image's name."""

    @property
    def platform(self) -> Platform:
        """The one platform of a request that has only one.

        Raises:
            BuildError: The request has several.
        """
        if len(self.platforms) != 1:
            raise BuildError(self.artifact.image, f"one platform was expected, the request has {self.platforms}")
        return next(iter(self.platforms))


@attrs.frozen
class Delivered:
    """What a tool says that it pushed; archkit reads back what is there."""

    digest: Digest | None = attrs.field(default=None, converter=attrs.converters.optional(Digest))
    platforms: PlatformSet | None = None
    log: str = ""
    """Last lines of the tool's output, for error messages."""


# ---- plans -------------------------------------------------------------------------------------------------------


@attrs.frozen
class PlannedBuild:
    """How one artifact will be built."""

    image: str
    """The artifact, as the caller named it."""
    builder: str
    target: ImageReference
    """The final name with TAG."""
    platforms: PlatformSet
    """In order, never empty, never ALL."""
    abilities: BuilderAbilities
    requests: tuple[tuple[PlatformSet, ImageReference | None], ...]
    """One per call of the builder: its platforms, and the reference that the builder pushes itself."""
    child_tags: bool
    """Whether each single-platform image gets a tag of its own, ``TAG_linux_amd64``."""
    reasons: tuple[str, ...] = ()
    engine: Literal["", "built", "loaded"] = ""
    """For the local engine: built in it, or built as a layout and loaded; empty: it goes elsewhere."""
    shown: tuple[str, ...] = ()
    """What exactly each call of the builder will ask for, where the builder can show it."""

    @property
    def native(self) -> bool:
        """Whether one call makes all the platforms."""
        return len(self.requests) == 1


@attrs.frozen
class BuildPlan:
    """What will be built, how and why; made before anything runs."""

    builds: tuple[PlannedBuild, ...]
    sink: Sink
    findings: tuple[Finding, ...] = ()

    def explain(self) -> str:
        """The plan for a person, with the reason of every decision."""
        lines: list[str] = []
        for build in self.builds:
            lines.append(f"{build.image} -> {build.target} ({self.sink})")
            lines.append(f"  builder: {build.builder}; platforms: {str(build.platforms).replace(',', ', ')}")
            for number, (platforms, reference) in enumerate(build.requests):
                pushed = (
                    "pushed by digest" if reference is None else f"{'left' if build.engine == 'built' else 'pushed'} as {reference.tag}"
                )
                lines.append(f"  build {str(platforms).replace(',', ' + ')}, {pushed}")
                lines += [f"    {line}" for shown in build.shown[number : number + 1] for line in shown.splitlines()]
            lines += [f"  because {reason}" for reason in build.reasons]
        return "\n".join([*lines, *map(str, self.findings)])


def _children(items: Mapping[Platform, Descriptor] | Iterable[tuple[Platform, Descriptor]]) -> FrozenMap[Platform, Descriptor]:
    return FrozenMap(items)


_NO_CHILDREN: FrozenMap[Platform, Descriptor] = FrozenMap()


def _platforms_found(value: PlatformSet | Iterable[Platform | str] | None) -> PlatformSet | None:
    return None if value is None else PlatformSet(value)


def _images(images: Iterable[BuiltImage]) -> tuple[BuiltImage, ...]:
    return tuple(images)


# ---- results -----------------------------------------------------------------------------------------------------


@attrs.frozen
class BuiltImage:
    """An image that is where it should be, and was read back there."""

    name: str
    """The artifact's image, as the caller named it: what manifests are matched against."""
    reference: str
    """``repo:tag@sha256:…``."""
    platforms: PlatformSet | None = attrs.field(default=None, converter=_platforms_found)
    """Found in what was pushed, not what was asked for; None: not known."""
    children: FrozenMap[Platform, Descriptor] = attrs.field(default=_NO_CHILDREN, converter=_children, kw_only=True)
    """The single-platform image of each platform, with its digest; of a plain image, the image itself."""
    descriptor: Descriptor | None = attrs.field(default=None, kw_only=True)
    """Type, digest and size of what the reference names, where known."""
    layout: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path), kw_only=True)
    """The folder of the OCI layout that it is in; None: it is in a registry."""

    @property
    def digest(self) -> Digest | None:
        """The digest in :attr:`reference`: of the index for several platforms; None where the reference has none."""
        _, at, digest = self.reference.partition("@")
        return Digest(digest) if at else None


@attrs.frozen
class BuildResult:
    """What a build made: one image per artifact, in the artifacts' order."""

    images: tuple[BuiltImage, ...] = attrs.field(default=(), converter=_images)
    findings: tuple[Finding, ...] = attrs.field(default=(), kw_only=True)

    def to_json(self) -> str:
        """Skaffold's build-output file (``{"builds": [{"imageName", "tag"}]}``) with the platforms beside them."""
        return json.dumps({"builds": [_image_fields(image) for image in self.images]}, indent=1) + "\n"

    @classmethod
    def from_json(cls, content: str | bytes) -> BuildResult:
        """The result in the content (not the path) of a build-output file, archkit's or Skaffold's.

        Raises:
            BuildError: Not a build-output file.
        """
        try:
            fields = json.loads(content)
            return cls(tuple(map(_image, _list(fields["builds"], "builds"))))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"the build-output file cannot be read: {type(error).__name__}: {error}"
            raise BuildError("build output", reason, "", 'expected {"builds": [{"imageName": …, "tag": …}]}') from error


def _image_fields(image: BuiltImage) -> dict[str, Any]:
    fields: dict[str, Any] = {"imageName": image.name, "tag": image.reference}
    if image.platforms is not None:
        fields["platforms"] = list(map(str, image.platforms))
    if image.children:
        fields["children"] = {str(platform): _descriptor_fields(child) for platform, child in image.children.items()}
    if image.descriptor is not None:
        fields["descriptor"] = _descriptor_fields(image.descriptor)
    if image.layout is not None:
        fields["layout"] = str(image.layout)
    return fields


def _descriptor_fields(descriptor: Descriptor) -> dict[str, Any]:
    fields: dict[str, Any] = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    if descriptor.platform_fields is not None:
        fields["platform"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in descriptor.platform_fields.items()
        }
    return fields


def _image(fields: Mapping[str, Any]) -> BuiltImage:
    name, reference = fields["imageName"], fields["tag"]
    if not isinstance(name, str) or not isinstance(reference, str):
        raise TypeError("imageName and tag must be texts")
    ImageReference.parse(reference)
    platforms = fields.get("platforms")
    children = fields.get("children") or {}
    descriptor, layout = fields.get("descriptor"), fields.get("layout")
    return BuiltImage(
        name,
        reference,
        None if platforms is None else PlatformSet(map(Platform.parse, _list(platforms, "platforms"))),
        children={Platform.parse(platform): Descriptor.from_json(child) for platform, child in children.items()},
        descriptor=None if descriptor is None else Descriptor.from_json(descriptor),
        layout=None if layout is None else Path(layout),
    )


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list")
    return value
