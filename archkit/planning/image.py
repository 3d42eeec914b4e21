"""The configuration and manifest of an image that archkit makes, as exact bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    RawManifest,
)
from archkit.model.reference import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.platform import Platform

EPOCH = "1970-01-01T00:00:00Z"


@attrs.frozen
class BaseImage:
    """What an image is built on: manifest type, layers, and the whole configuration."""

    media_type: str
    layers: tuple[Descriptor, ...]
    config: Mapping[str, Any]


@attrs.frozen
class Settings:
    """What the configuration says beside the platform and the layers."""

    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict[str, str])
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    user: str = ""


@attrs.frozen
class Layer:
    """A layer on top of the base."""

    digest: Digest
    size: int
    diff_id: Digest
    gzip: bool
    made_by: str
    """What the image's history says of it."""


@attrs.frozen
class ComposedImage:
    """An image's configuration and manifest, ready to be stored."""

    config: bytes
    manifest: RawManifest

    @property
    def config_digest(self) -> Digest:
        """SHA-256 of :attr:`config`."""
        return Digest.of(self.config)


def compose_image(platform: Platform, layers: Sequence[Layer], settings: Settings, base: BaseImage | None = None) -> ComposedImage:
    """An image of these layers on a base, reproducible: no time and no name of a machine in it.

    Without a base the image has OCI types; on a Docker base it keeps Docker's, because mixed images break readers.
    """
    docker = base is not None and base.media_type == DOCKER_MANIFEST
    config: dict[str, Any] = copy.deepcopy(dict(base.config)) if base else {}
    if base is None:
        config.update(platform.to_oci())
    config["created"] = EPOCH
    inner = dict(config.get("config") or {})
    _apply(inner, settings)
    config["config"] = inner
    rootfs: dict[str, Any] = dict(config.get("rootfs") or {"type": "layers"})
    rootfs["diff_ids"] = [*rootfs.get("diff_ids", ()), *(layer.diff_id for layer in layers)]
    config["rootfs"] = rootfs
    config["history"] = [*(config.get("history") or ()), *({"created": EPOCH, "created_by": layer.made_by} for layer in layers)]
    content = _json(config)
    config_type = DOCKER_CONFIG if docker else OCI_CONFIG
    plain, gzipped = (DOCKER_LAYER, DOCKER_LAYER_GZIP) if docker else (OCI_LAYER, OCI_LAYER_GZIP)
    own = (Descriptor(gzipped if layer.gzip else plain, layer.digest, layer.size) for layer in layers)
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _entry(Descriptor(config_type, Digest.of(content), len(content))),
        "layers": [_entry(layer) for layer in (*(base.layers if base else ()), *own)],
    }
    return ComposedImage(content, RawManifest(media_type, _json(manifest)))


def _apply(inner: dict[str, Any], settings: Settings) -> None:
    if settings.entrypoint:
        inner["Entrypoint"] = list(settings.entrypoint)
        inner.pop("Cmd", None)  # arguments of the base's entrypoint, as in a Dockerfile
    if settings.env:
        before = [item.partition("=") for item in inner.get("Env") or ()]
        merged = {name: value for name, _, value in before} | dict(settings.env)
        inner["Env"] = [f"{name}={value}" for name, value in merged.items()]
    if settings.labels:
        inner["Labels"] = dict(sorted({**(inner.get("Labels") or {}), **settings.labels}.items()))
    if settings.user:
        inner["User"] = settings.user


def _entry(descriptor: Descriptor) -> dict[str, object]:
    entry: dict[str, object] = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    if descriptor.urls:
        entry["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        entry["annotations"] = dict(descriptor.annotations)
    return entry


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
