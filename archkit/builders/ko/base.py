"""The base image that ko will take, and whether it has the platforms that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.adapters.base_image import open_base
from archkit.adapters.yaml.plain import load_texts
from archkit.builders.ko.command import platform_flag
from archkit.builders.ko.config import FILE_NAMES, KoConfig
from archkit.errors import BuildError, ReferenceSyntaxError, RegistryError
from archkit.model.oci import RawManifest
from archkit.model.reference import ImageReference
from archkit.planning.tool_output import base_lacks_platform

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.adapters.base_image import BaseSource
    from archkit.builders.ko.config import ChosenBase
    from archkit.model.platform import Platform
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.registry import ImageStore

CONFIG_LIMIT = 1024 * 1024
"""Largest ``.ko.yaml`` that is read, in bytes."""
LOCAL_DOMAIN = "ko.local/"
"""Bases that ko reads from the local engine."""
_LOST_VARIANTS = frozenset({"v5", "v6"})
"""Of 32-bit ARM: Go compiles for v7 when it is not told otherwise."""


def read_config(image: str, folder: Path, path: str) -> KoConfig:
    """The ``.ko.yaml`` that ko will read.

    Args:
        image: The artifact, for messages.
        folder: Where ko runs.
        path: A file or folder that is to be read instead, relative to ``folder``; empty: none.

    Raises:
        BuildError: It cannot be read, or does not have the shape that ko wants.
    """
    if path:
        named = folder / path
        file = named / ".ko.yaml" if named.is_dir() else named
    else:
        found = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
        if found is None:
            return KoConfig()
        file = found
    try:
        return KoConfig.from_documents(load_texts(_content(file)), str(file))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BuildError(image, f"ko's configuration {file} cannot be read: {reason}") from error


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(CONFIG_LIMIT + 1)
    if len(content) > CONFIG_LIMIT:
        raise ValueError(f"more than {CONFIG_LIMIT} bytes")
    return content.decode()


def base_platforms(image: str, chosen: ChosenBase, platforms: PlatformSet, store: ImageStore | None) -> tuple[str, ...]:
    """The platforms as ko must be asked for them so that it finds each in the base.

    ko drops a platform that the base lacks without a word when another one fits, so all are looked for before it runs.

    Args:
        image: The artifact, for messages.
        chosen: The base.
        platforms: What is asked for.
        store: Where the base is read; None: a registry client of its own.

    Raises:
        BuildError: The base cannot be read, or lacks a platform; the error names those that it has.
    """
    if chosen.reference.startswith(LOCAL_DOMAIN):
        return tuple(map(str, platforms))
    remedy = "name a base that can be read, with KoBuilder(base=…) or defaultBaseImage in .ko.yaml"
    try:
        source = open_base(str(ImageReference.parse(chosen.reference)), store)
        return tuple(_in_base(image, source, chosen, platform) for platform in platforms)
    except ReferenceSyntaxError as error:
        raise BuildError(image, f"the base {_named(chosen)} is no image reference", "", remedy) from error
    except RegistryError as error:
        raise BuildError(image, f"the base {_named(chosen)} cannot be read: {error.problem()}", "", error.advice() or remedy) from error


def _in_base(image: str, source: BaseSource, chosen: ChosenBase, platform: Platform) -> str:
    if source.find(platform) is None:
        raise base_lacks_platform(image, _named(chosen), source.platforms, platform)
    offered = next(one for one in source.manifests if one.satisfies(platform))
    entry = source.manifests[offered]
    if isinstance(entry, RawManifest):  # no index; ko takes os and CPU of its configuration, and never the variant
        if offered.arch == "arm" and offered.variant in _LOST_VARIANTS:
            reason = f"the base {_named(chosen)} is a single image, of which ko does not read the variant {offered.variant}"
            raise BuildError(image, reason, str(platform), "use a base that is an index: its entries name their variants")
        fields = {name: value for name, value in offered.to_oci().items() if name in {"os", "architecture"}}
        return platform_flag(fields)
    return platform_flag(entry.platform_fields or {})


def _named(chosen: ChosenBase) -> str:
    return f"{chosen.reference} ({f'named by {chosen.said_by}' if chosen.said_by else 'what ko takes when none is named'})"
