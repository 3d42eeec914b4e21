"""Images as one file that engines load: a tar of an OCI layout, which older engines read as ``docker save`` writes it."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

from archkit.errors import RegistryError
from archkit.model.oci import ImageManifest, RawManifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit.model.oci import Descriptor
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore


def write_archive(store: ImageStore, source: ImageReference, name: ImageReference, path: Path) -> None:
    """Write an image to a file for ``docker load`` or ``podman load``.

    A plain image has a ``manifest.json`` too, for engines that read no OCI layouts (Docker before 25). An index has none:
    it can only be loaded by engines that keep images of several platforms, and those read layouts.

    Args:
        store: Where the image is.
        source: The image there, with its digest or tag.
        name: What it will be called, with tag.
        path: The file to write.

    Raises:
        RegistryError: The image cannot be read, or has an index in its index.
    """
    raw = store.manifest(source)
    document = raw.document()
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        writer = _Writer(archive, store, source.repository_only)
        writer.text("oci-layout", {"imageLayoutVersion": "1.0.0"})
        entry = _entry(raw.descriptor, name)
        writer.text("index.json", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]})
        if isinstance(document, ImageManifest):
            writer.image(raw, document)
            layers = [_place(layer) for layer in document.layers]
            writer.text("manifest.json", [{"Config": _place(document.config), "RepoTags": [name.familiar], "Layers": layers}])
            return
        for child in document.manifests:
            manifest = store.manifest(source.repository_only.with_digest(child.digest))
            inner = manifest.document()
            if not isinstance(inner, ImageManifest):
                raise RegistryError(str(source), f"its entry {child.digest} is an index in an index")
            writer.image(manifest, inner)
        writer.content(raw.descriptor, raw.content)


def _entry(descriptor: Descriptor, name: ImageReference) -> dict[str, Any]:
    annotations = {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag or ""}
    fields = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    return {**fields, "annotations": annotations}


def _place(descriptor: Descriptor) -> str:
    return f"blobs/{str(descriptor.digest).replace(':', '/')}"


class _Writer:
    """The files of an archive, each content once."""

    def __init__(self, archive: tarfile.TarFile, store: ImageStore, repository: ImageReference) -> None:
        self._archive, self._store, self._repository = archive, store, repository
        self._written: set[str] = set()

    def text(self, name: str, fields: object) -> None:
        content = json.dumps(fields).encode()
        self._add(name, len(content), io.BytesIO(content))

    def content(self, descriptor: Descriptor, content: bytes) -> None:
        self._add(_place(descriptor), len(content), io.BytesIO(content))

    def image(self, raw: RawManifest, manifest: ImageManifest) -> None:
        self.content(raw.descriptor, raw.content)
        for part in (manifest.config, *manifest.layers):
            self._add(_place(part), part.size, io.BufferedReader(_Pieces(self._store.stream_blob(self._repository, part.digest))))

    def _add(self, name: str, size: int, content: IO[bytes]) -> None:
        if name in self._written:
            return
        self._written.add(name)
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        self._archive.addfile(info, content)


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
