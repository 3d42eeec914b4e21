"""Images brought from other repositories and registries into the one where an index needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.errors import RegistryError
from archkit.model.oci import Descriptor, DocumentError, Index, RawManifest
from archkit.model.reference import Digest, ImageReference
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from archkit.model.oci import ImageManifest

PARALLEL = 4
"""How many manifests, and then how many blobs, are moved at the same time."""
_NOT_ALL_THERE = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_DEEPEST = 4
_T = TypeVar("_T")
_R = TypeVar("_R")


@attrs.frozen
class Copier:
    """Brings images into one repository, children before the indexes that name them.

    Within a registry blobs are mounted and never moved; where the registry refuses, and between registries, they are
    streamed and hashed on the way, each digest once, without temporary files. Nothing gets a tag, so a copy that breaks
    off is seen by nobody, and the next one finds what is there already.
    """

    store: ImageStore
    target: ImageReference
    """The repository that images are brought into."""
    read: Mapping[Digest, RawManifest] = attrs.field(factory=dict)
    """Manifests that are known already."""

    def bring(self, images: Iterable[tuple[Descriptor, ImageReference]], *, probably_there: bool = False) -> None:
        """Bring images, each from the repository beside it.

        Args:
            images: What to bring. Digests given twice are brought once.
            probably_there: Try to store manifests of the same registry before their blobs are mounted: one request each
                where the repository has the blobs already, one more where it has not.

        Raises:
            RegistryError: Something could not be read or written; no tag has moved.
        """
        wanted = {image.digest: (image, origin) for image, origin in images}
        found = _in_parallel(lambda one: self._missing(*one), wanted.values())
        manifests = {manifest.digest: manifest for one in found for manifest in one}
        origins = {manifest.digest: origin for one, (_, origin) in zip(found, wanted.values(), strict=True) for manifest in one}
        blobs: dict[Digest, tuple[Descriptor, ImageReference]] = {}
        waiting: dict[Digest, RawManifest] = {}
        for digest, manifest in manifests.items():
            named = _blobs(manifest)
            if probably_there and origins[digest].registry == self.target.registry:
                missing = self._try(manifest)
                if missing is None:
                    continue
                named = [blob for blob in named if blob.digest in missing] if missing else named
            waiting[digest] = manifest
            blobs.update((blob.digest, (blob, origins[digest])) for blob in named)
        _in_parallel(lambda one: self._bring_blob(*one), blobs.values())
        plain = [manifest for manifest in waiting.values() if not isinstance(manifest.document(), Index)]
        _in_parallel(self._put, plain)
        for manifest in waiting.values():  # inner indexes stand before outer ones
            if isinstance(manifest.document(), Index):
                self._put(manifest)

    def _missing(self, image: Descriptor, origin: ImageReference, depth: int = 1) -> list[RawManifest]:
        """The manifests of an image or index that are to be stored, children first."""
        if depth > _DEEPEST:
            raise RegistryError(f"{origin.name}@{image.digest}", f"more than {_DEEPEST} indexes stand inside each other")
        if origin.registry != self.target.registry and self.store.head(self.target.with_digest(image.digest)) is not None:
            return []  # one request saves the whole copy
        reference = origin.with_digest(image.digest)
        manifest = self.read.get(image.digest) or self.store.manifest(reference)
        try:
            document = manifest.document()
        except DocumentError as error:
            raise RegistryError(str(reference), str(error)) from error
        children = document.manifests if isinstance(document, Index) else ()
        return [*(one for child in children for one in self._missing(child, origin, depth + 1)), manifest]

    def _try(self, manifest: RawManifest) -> frozenset[str] | None:
        """None when the manifest is stored; otherwise the digests that the registry misses, none where it leaves them unsaid."""
        try:
            self._put(manifest)
        except RegistryError as error:
            if not _NOT_ALL_THERE.intersection(error.codes) and error.status != 404:
                raise
            return frozenset(error.missing)
        return None

    def _put(self, manifest: RawManifest) -> None:
        self.store.put_manifest(self.target.with_digest(manifest.digest), manifest)

    def _bring_blob(self, blob: Descriptor, origin: ImageReference) -> None:
        if origin.registry == self.target.registry and self.store.mount_blob(self.target, blob.digest, origin):
            return
        self.store.put_blob(self.target, self._pieces(blob, origin), digest=blob.digest, size=blob.size)

    def _pieces(self, blob: Descriptor, origin: ImageReference) -> Iterator[bytes]:
        """Asks for the blob only when it is wanted: ``put_blob`` looks first whether it is there."""
        yield from self.store.stream_blob(origin, blob.digest)


def _blobs(manifest: RawManifest) -> list[Descriptor]:
    """What must be in the repository before the manifest; what has URLs is fetched from there."""
    document: Index | ImageManifest = manifest.document()
    if isinstance(document, Index):
        return []
    return [blob for blob in (document.config, *document.layers) if not blob.urls]


def _in_parallel(work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """The results in the items' order."""
    listed = list(items)
    if len(listed) < 2:
        return [work(item) for item in listed]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(PARALLEL, len(listed)), "archkit-copy") as pool:
        return list(pool.map(work, listed))
