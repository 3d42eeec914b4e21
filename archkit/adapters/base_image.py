"""A base image, wherever it is kept: a registry or an OCI layout."""

from __future__ import annotations

import json
from typing import Any

import attrs

from archkit.errors import RegistryError
from archkit.model.layout_name import read_layout_name
from archkit.model.oci import Descriptor, DocumentError, ImageManifest, Index, RawManifest, parse_config
from archkit.model.platform import Platform
from archkit.model.reference import ImageReference
from archkit.planning.image import BaseImage
from archkit.ports.registry import ImageStore


@attrs.frozen
class BaseSource:
    """The images of one base, by platform, read once."""

    name: str
    """As the caller wrote it."""
    store: ImageStore
    repository: ImageReference
    """Where its blobs are, without tag."""
    manifests: dict[Platform, RawManifest | Descriptor]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """What the base is there for, in its own order."""
        return tuple(self.manifests)

    def find(self, platform: Platform) -> BaseImage | None:
        """The base for a platform; None when it has none.

        Raises:
            RegistryError: It cannot be read, or is damaged.
        """
        match = next((offered for offered in self.manifests if offered.satisfies(platform)), None)
        if match is None:
            return None
        found = self.manifests[match]
        raw = self.store.manifest(self.repository.with_digest(found.digest))
        manifest = _document(raw, self.name)
        if not isinstance(manifest, ImageManifest):
            raise RegistryError(self.name, f"the entry for {match} is not an image")
        content = self.store.blob(self.repository, manifest.config.digest)
        config: dict[str, Any] = json.loads(content)
        stated = parse_config(content).platform
        if not stated.satisfies(platform):
            raise RegistryError(self.name, f"the entry for {match} holds an image for {stated}", None, (), "rebuild the base")
        return BaseImage(manifest.media_type, manifest.layers, config)

    def copy_layers(self, base: BaseImage, store: ImageStore, repository: ImageReference) -> None:
        """Put the base's layers into another repository: mounted within one registry, else copied in flat memory.

        Raises:
            RegistryError: A layer cannot be read or stored.
        """
        for layer in base.layers:
            if layer.urls or store.has_blob(repository, layer.digest):  # foreign layers are fetched from their own address
                continue
            if store is self.store and store.mount_blob(repository, layer.digest, self.repository):
                continue
            chunks = self.store.stream_blob(self.repository, layer.digest)
            store.put_blob(repository, chunks, digest=layer.digest, size=layer.size)


def open_base(base: str, store: ImageStore | None) -> BaseSource:
    """The base that a text names: an image reference, or ``oci:PATH[:TAG]``.

    Args:
        base: As the caller wrote it.
        store: Where a reference is read; None: a registry client of its own.

    Raises:
        ReferenceSyntaxError: Neither a reference nor a layout.
        RegistryError: It is not there or cannot be read.
    """
    if (named := read_layout_name(base)) is not None:
        from archkit.adapters.oci_layout import LayoutByTag

        layout, inside = LayoutByTag(named[0]), named[1]
        return _source(base, layout, inside.repository_only, layout.manifest(inside))
    reference = ImageReference.parse(base)
    if reference.tag is None and reference.digest is None:
        reference = reference.with_tag("latest")
    if store is None:
        from archkit.adapters.registry import RegistryClient

        store = RegistryClient()
    return _source(base, store, reference.repository_only, store.manifest(reference))


def _source(name: str, store: ImageStore, repository: ImageReference, raw: RawManifest) -> BaseSource:
    document = _document(raw, name)
    manifests: dict[Platform, RawManifest | Descriptor] = {}
    if isinstance(document, Index):
        for entry in document.images:
            if entry.platform is not None:
                manifests.setdefault(entry.platform, entry)
    else:
        config = parse_config(store.blob(repository, document.config.digest))
        manifests[config.platform] = raw
    return BaseSource(name, store, repository, manifests)


def _document(raw: RawManifest, name: str) -> Index | ImageManifest:
    try:
        return raw.document()
    except DocumentError as error:
        raise RegistryError(name, str(error)) from error
