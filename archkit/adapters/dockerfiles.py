"""Dockerfiles in a source folder, and the bases that they name in a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors import BuildError, RegistryError
from archkit.model.reference import ImageReference
from archkit.planning.dockerfile import Dockerfile, Needs
from archkit.planning.tool_output import base_lacks_platform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archkit.model.platform import Platform
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.registry import PlatformLookup

_FILE_LIMIT = 4 << 20
"""Bytes of a Dockerfile that are read."""


def load_dockerfile(image: str, path: Path, remedy: str) -> Dockerfile | None:
    """The stages in a Dockerfile; None where a frontend of somebody else reads it.

    Args:
        image: The artifact, as the caller named it.
        path: The file.
        remedy: What to do where it cannot be read.

    Raises:
        BuildError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return Dockerfile.parse(file.read(_FILE_LIMIT))
    except OSError as error:
        raise BuildError(image, f"the Dockerfile {path} cannot be read: {error.strerror or error}", "", remedy) from error


def check_stage(image: str, name: str, file: Dockerfile, target: str) -> None:
    """Refuse a stage that there is not; empty: the last one is wanted.

    Raises:
        BuildError: There is no such stage.
    """
    if target and file.find(target) is None:
        named = ", ".join(stage.name or str(stage.number) for stage in file.stages)
        raise BuildError(image, f"{name} has no stage {target!r}", "", f"it has {named}")


def check_bases(image: str, name: str, needs: Mapping[Platform, Needs], lookup: PlatformLookup) -> None:
    """Refuse a base that lacks a platform; each base is asked for once.

    Args:
        image: The artifact, as the caller named it.
        name: The Dockerfile's.
        needs: What each platform needs.
        lookup: Who is asked.

    Raises:
        BuildToolError: A base lacks a platform (kind ``base-lacks-platform``).
    """
    known: dict[str, PlatformSet | None] = {}
    for platform, base in ((platform, base) for platform, need in needs.items() for base in need.bases):
        if base.reference not in known:
            known[base.reference] = platforms_of(base.reference, lookup)
        there = known[base.reference]
        if there is None or any(one.runs_on(base.platform) for one in there):
            continue
        named = f"{base.reference} (line {base.line} of {name})"
        raise base_lacks_platform(image, named, there, platform, base.platform)


def platforms_of(base: str, lookup: PlatformLookup) -> PlatformSet | None:
    """The platforms of a base; None where nobody here can tell: the builder may see more than we do."""
    try:
        reference = ImageReference.parse(base)
        return lookup.platforms(reference if reference.tag or reference.digest else reference.with_tag("latest"))
    except (RegistryError, ValueError):
        return None
