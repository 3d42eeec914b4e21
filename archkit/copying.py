"""Images brought from other repositories, registries and layouts into the one where they are wanted."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.errors import RegistryError
from archkit.model.oci import Descriptor, DocumentError, Index, RawManifest
from archkit.model.reference import Digest, ImageReference
from archkit.ports.http import Retries, TransportError
from archkit.ports.registry import ImageTransfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from archkit.model.oci import ImageManifest

PARALLEL = 4
"""How many manifests, and then how many blobs, are moved at the same time."""
_NOT_ALL_THERE = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_BEGIN_AGAIN = frozenset({500, 502, 503, 504})
_DEEPEST = 4
_T = TypeVar("_T")
_R = TypeVar("_R")


@attrs.frozen
class Place:
    """A repository, and the store that it is in."""

    store: ImageTransfer
    repository: ImageReference
    """Without tag and digest."""

    def can_mount(self, other: Place) -> bool:
        """Whether blobs of another place can appear here without being moved."""
        return self.store is other.store and self.repository.registry == other.repository.registry


@attrs.frozen
class Copier:
    """Brings images into one repository, children before the indexes that name them.

    Within a registry blobs are mounted and never moved; where the registry refuses, and between stores, they are
    streamed and hashed on the way, each digest once, without temporary files. Nothing gets a tag, so a copy that breaks
    off is seen by nobody, and the next one finds what is there already.
    """

    target: Place
    """Where images are brought."""
    read: Mapping[Digest, RawManifest] = attrs.field(factory=dict)
    """Manifests that are known already."""
    retries: Retries = attrs.field(factory=Retries)
    """How often a blob whose transfer broke off is begun again."""
    parallel: int = PARALLEL
    """How many transfers run at the same time."""

    def bring(self, images: Iterable[tuple[Descriptor, Place]], *, probably_there: bool = False) -> None:
        """Bring images, each from the place beside it.

        Args:
            images: What to bring. Digests given twice are brought once.
            probably_there: Try to store manifests of the same registry before their blobs are mounted: one request each
                where the repository has the blobs already; where it has not, it says which ones are missing.

        Raises:
            RegistryError: Something could not be read or written; no tag has moved.
        """
        wanted = {image.digest: (image, origin) for image, origin in images}
        found = self._in_parallel(lambda one: self._missing(*one), wanted.values())
        manifests = {manifest.digest: manifest for one in found for manifest in one}
        origins = {manifest.digest: origin for one, (_, origin) in zip(found, wanted.values(), strict=True) for manifest in one}
        blobs: dict[Digest, tuple[Descriptor, Place]] = {}
        waiting: dict[Digest, RawManifest] = {}
        for digest, manifest in manifests.items():
            named = _blobs(manifest)
            if probably_there and self.target.can_mount(origins[digest]):
                missing = self._try(manifest)
                if missing is None:
                    continue
                named = [blob for blob in named if blob.digest in missing] if missing else named
            waiting[digest] = manifest
            blobs.update((blob.digest, (blob, origins[digest])) for blob in named)
        self._in_parallel(lambda one: self._bring_blob(*one), blobs.values())
        plain = [manifest for manifest in waiting.values() if not isinstance(manifest.document(), Index)]
        self._in_parallel(self._put, plain)
        for manifest in waiting.values():  # inner indexes stand before outer ones
            if isinstance(manifest.document(), Index):
                self._put(manifest)

    def _missing(self, image: Descriptor, origin: Place, depth: int = 1) -> list[RawManifest]:
        """The manifests of an image or index that are to be stored, children first."""
        reference = origin.repository.with_digest(image.digest)
        if depth > _DEEPEST:
            raise RegistryError(str(reference), f"more than {_DEEPEST} indexes stand inside each other")
        if not self.target.can_mount(origin) and self._seems_to_have(image.digest):
            return []  # one request saves the whole copy
        manifest = self.read.get(image.digest) or origin.store.manifest(reference)
        try:
            document = manifest.document()
        except DocumentError as error:
            raise RegistryError(str(reference), str(error)) from error
        children = document.manifests if isinstance(document, Index) else ()
        return [*(one for child in children for one in self._missing(child, origin, depth + 1)), manifest]

    def _seems_to_have(self, digest: Digest) -> bool:
        """Whether the target has a manifest; Artifactory answers 403 for what is not there."""
        try:
            return self.target.store.head(self.target.repository.with_digest(digest)) is not None
        except RegistryError as error:
            if error.status == 403:
                return False
            raise

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
        self.target.store.put_manifest(self.target.repository.with_digest(manifest.digest), manifest)

    def _bring_blob(self, blob: Descriptor, origin: Place) -> None:
        target = self.target
        if target.can_mount(origin) and target.store.mount_blob(target.repository, blob.digest, origin.repository):
            return
        for sent in itertools.count(1):
            error = self._copy_blob(blob, origin)
            if error is None:
                return
            wait = self.retries.wait(sent, random.random()) if _broke_off(error) else None  # noqa: S311 - spreads clients in time
            if wait is None:
                raise error
            time.sleep(wait)

    def _copy_blob(self, blob: Descriptor, origin: Place) -> RegistryError | None:
        try:
            self.target.store.put_blob(self.target.repository, _pieces(blob, origin), digest=blob.digest, size=blob.size)
        except RegistryError as error:
            return error
        return None

    def _in_parallel(self, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        return in_parallel(work, items, self.parallel, "archkit-copy")


def copy_image(source: ImageTransfer, digest: Digest, store: ImageTransfer, target: ImageReference) -> Descriptor:
    """Store an image or index of another store, with all that it names; the target's tag is written last.

    Args:
        source: Where it is; its repositories do not count, as in an OCI layout that a tool wrote.
        digest: What to store.
        store: Where to.
        target: The name that it gets there; without tag, it is stored by digest.

    Returns:
        What stands in the store.

    Raises:
        RegistryError: Something cannot be read or stored; the tag has not moved.
    """
    place = target.repository_only
    manifest = source.manifest(place.with_digest(digest))
    Copier(Place(store, place), {digest: manifest}).bring([(manifest.descriptor, Place(source, place))])
    return manifest.descriptor if target.tag is None else store.put_manifest(target, manifest)


def _pieces(blob: Descriptor, origin: Place) -> Iterator[bytes]:
    """Asks for the blob only when it is wanted: ``put_blob`` looks first whether it is there."""
    yield from origin.store.stream_blob(origin.repository, blob.digest)


def _broke_off(error: RegistryError) -> bool:
    """Whether a transfer may go through another time; what arrived whole and is wrong stays wrong."""
    return isinstance(error.__cause__, TransportError) or error.status in _BEGIN_AGAIN


def _blobs(manifest: RawManifest) -> list[Descriptor]:
    """What must be in the repository before the manifest; what has URLs is fetched from there."""
    document: Index | ImageManifest = manifest.document()
    if isinstance(document, Index):
        return []
    return [blob for blob in (document.config, *document.layers) if not blob.urls]


def in_parallel(work: Callable[[_T], _R], items: Iterable[_T], threads: int, name: str) -> list[_R]:
    """What comes of each item, in the items' order; the first error in that order is raised when all have ended."""
    listed = list(items)
    if min(threads, len(listed)) < 2:
        return [work(item) for item in listed]
    from concurrent.futures import ThreadPoolExecutor

    if len(listed) > threads:
        with ThreadPoolExecutor(threads, name) as pool:
            return list(pool.map(work, listed))
    with ThreadPoolExecutor(len(listed) - 1, name) as pool:  # a thread less: the first is done in this one
        others = pool.map(work, listed[1:])
        return [work(listed[0]), *others]
