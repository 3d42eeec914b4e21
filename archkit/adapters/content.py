"""Content on its way: digests, sizes and platforms of what a store holds, the same for a registry and a folder."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Protocol

from archkit.errors import ContentError, RegistryError
from archkit.model.oci import DOCKER_CONFIG, OCI_CONFIG, DocumentError, ImageManifest, parse_config
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archkit.model.oci import Descriptor, ImageConfig, RawManifest

_IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})


class ImageReader(Protocol):
    """The reading half of an ``ImageStore`` that images are understood with."""

    def manifest(self, reference: ImageReference | str) -> RawManifest: ...
    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes: ...


def as_reference(reference: ImageReference | str) -> ImageReference:
    """The reference itself, or the one in a text."""
    return reference if isinstance(reference, ImageReference) else ImageReference.parse(reference)


def check(content: bytes, digest: Digest, size: int | None, *, name: str) -> None:
    """Raises ``ContentError`` about ``name`` unless these bytes are what was promised; ``size`` None: any number."""
    for _ in checked((content,), digest, size, name=name):
        pass


def checked(pieces: Iterable[bytes], digest: Digest, size: int | None, *, name: str, limit: int | None = None) -> Iterator[bytes]:
    """The same pieces; the last one comes only when all of them together are what was promised.

    Args:
        pieces: The content.
        digest: What it must hash to.
        size: How many bytes it must have; None: not known.
        name: What messages call it.
        limit: How many bytes it may have; None: no limit.

    Raises:
        ContentError: It is too short, too long, or of another digest.
    """
    import hashlib  # loads OpenSSL: only when bytes are hashed

    hasher = hashlib.new(digest.algorithm, usedforsecurity=False)
    count = 0
    held: bytes | None = None
    for piece in pieces:
        count += len(piece)
        if size is not None and count > size:
            raise ContentError(name, f"there are more than the expected {size} bytes")
        if limit is not None and count > limit:
            raise ContentError(name, f"there are more bytes than the limit of {limit}", remedy="raise the limit if that is right")
        hasher.update(piece)
        if held is not None:
            yield held
        held = piece
    if size is not None and count < size:
        raise ContentError(name, f"there are only {count} of {size} bytes")
    if hasher.hexdigest() != digest.hex:
        raise ContentError(name, f"the content has the digest {digest.algorithm}:{hasher.hexdigest()}, expected was {digest}")
    if held is not None:
        yield held


def read_manifest(content: bytes, media_type: str, *, digest: Digest | None, name: str) -> RawManifest:
    """The manifest in these bytes, checked against its digest and the type that the store gave.

    Raises:
        ContentError: Another digest, or no manifest that archkit reads.
    """
    from archkit.model.oci import RawManifest, parse_manifest

    if digest is not None:
        check(content, digest, None, name=name)
    try:
        return RawManifest(parse_manifest(content, media_type).media_type, content)
    except DocumentError as error:
        raise ContentError(name, f"no manifest that archkit can read: {error}") from error


def read_config(store: ImageReader, reference: ImageReference, manifest: ImageManifest) -> ImageConfig | None:
    """The configuration of an image; None when the manifest is of something else, such as a chart or an attestation.

    One read, or none where the manifest holds the configuration itself.

    Raises:
        RegistryError: It is not there; a ``ContentError`` when it has another digest or is no image configuration.
    """
    config = manifest.config
    if config.media_type not in _IMAGE_CONFIGS:
        return None
    name = f"{reference.name}@{config.digest}"
    content = _embedded(config, name)
    try:
        return parse_config(store.blob(reference, config.digest) if content is None else content)
    except DocumentError as error:
        raise ContentError(name, str(error)) from error


def _embedded(descriptor: Descriptor, name: str) -> bytes | None:
    if descriptor.data is None:
        return None
    try:
        content = base64.b64decode(descriptor.data, validate=True)
    except binascii.Error as error:
        raise ContentError(name, f"the data in its descriptor is not base64: {error}") from error
    check(content, descriptor.digest, descriptor.size, name=name)
    return content


def find_platforms(store: ImageReader, reference: ImageReference) -> PlatformSet | None:
    """The platforms of an image: from the entries of an index, or from the configuration of a plain image.

    Entries that say no platform are asked for theirs. None when there is nothing under the reference; no platform when
    what is there is no image.
    """
    try:
        document = store.manifest(reference).document()
    except RegistryError as error:
        if error.status == 404:
            return None
        raise
    if isinstance(document, ImageManifest):
        config = read_config(store, reference, document)
        return PlatformSet([config.platform] if config is not None else [])
    found = PlatformSet()
    for entry in document.images:
        if entry.platform is not None:
            found |= PlatformSet([entry.platform])
        else:
            found |= find_platforms(store, reference.with_digest(entry.digest)) or PlatformSet()
    return found
