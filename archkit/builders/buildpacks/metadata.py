"""What a builder image says of itself, and a project descriptor of a project. Pure.

Sources: Cloud Native Buildpacks, Platform specification ("Builder") and "Project Descriptor" 0.1 and 0.2; pack's
``internal/builder/metadata.go``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.reference import ImageReference
from archkit.planning.decoded import items, mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LABEL = "io.buildpacks.builder.metadata"
LIFECYCLE_IMAGE = "docker.io/buildpacksio/lifecycle"
"""What pack takes for a builder that is not trusted, with the builder's version of the lifecycle as its tag."""


@attrs.frozen
class BuilderMetadata:
    """What the label of a builder image says."""

    run_images: tuple[str, ...] = ()
    """The run image and its mirrors, in their order."""
    lifecycle: str = ""
    """The lifecycle's version."""
    buildpacks: frozenset[str] = frozenset()
    """``ID`` and ``ID@VERSION`` of each buildpack that it has."""

    @classmethod
    def parse(cls, label: str) -> BuilderMetadata:
        """The metadata in the label :data:`LABEL`.

        Raises:
            ValueError: It is no JSON object.
        """
        fields: Any = json.loads(label)
        if not isinstance(fields, dict):
            raise ValueError("no object")  # noqa: TRY004 - the image is wrong, not the caller
        run = next(iter(mappings(fields.get("images"))), None) or mapping(mapping(fields.get("stack")).get("runImage"))
        names = [run.get("image"), *items(run.get("mirrors"))]
        there = [(str(one.get("id")), one.get("version")) for one in mappings(fields.get("buildpacks"))]
        return cls(
            tuple(name for name in names if isinstance(name, str) and name),
            str(mapping(fields.get("lifecycle")).get("version") or ""),
            frozenset([*(name for name, _ in there), *(f"{name}@{version}" for name, version in there if version)]),
        )

    def lacks(self, buildpacks: Iterable[str]) -> bool:
        """Whether a buildpack would have to be fetched; pack does not run one beside the sign-in then, trusted builder or not."""
        return any(not self._has(one) for one in buildpacks)

    def _has(self, buildpack: str) -> bool:
        if buildpack == "from=builder" or buildpack.startswith(("from=builder:", "urn:cnb:builder:")):
            return True
        return buildpack in self.buildpacks


def preferred(names: Sequence[str], registry: str) -> list[str]:
    """Run image and mirrors in the order in which pack takes them: those of a registry first.

    >>> preferred(["index.docker.io/run/image", "ghcr.io/run/image"], "ghcr.io")
    ['ghcr.io/run/image', 'index.docker.io/run/image']
    """
    return sorted(names, key=lambda name: _registry(name) != registry)


def _registry(name: str) -> str:
    try:
        return ImageReference.parse(name).registry
    except ValueError:
        return ""


@attrs.frozen
class Descriptor:
    """What matters here of a ``project.toml``."""

    builder: str = ""
    buildpacks: tuple[str, ...] = ()
    """As :attr:`BuildpacksBuilder.buildpacks` has them; those that stand in the file itself are not among them."""

    ignored: bool = False
    """Whether there is a table ``[io.buildpacks]`` that pack does not read, because the file names no schema version."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Descriptor:
        """The descriptor in a TOML file: ``[io.buildpacks]``, or ``[build]`` where the file names no schema version.

        Source: pack's ``pkg/project/project.go``.
        """
        newer = mapping(mapping(fields.get("io")).get("buildpacks"))
        ignored = mapping(fields.get("_")).get("schema-version") in (None, "", "0.1")
        own = mapping(fields.get("build")) if ignored else newer
        groups = [own.get("group"), own.get("buildpacks"), *(mapping(own.get(name)).get("group") for name in ("pre", "post"))]
        entries = [entry for group in groups for entry in mappings(group) if not entry.get("script")]
        return cls(str(own.get("builder") or ""), tuple(map(_buildpack, entries)), ignored and bool(newer))


def _buildpack(entry: Mapping[str, Any]) -> str:
    if uri := entry.get("uri"):
        return str(uri)
    version = entry.get("version")
    return f"{entry.get('id')}@{version}" if version else str(entry.get("id"))
