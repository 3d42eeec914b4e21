"""What an embedded registry holds: blobs, manifests and tags by repository, in memory."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.adapters.content import as_reference, check, find_platforms
from archkit.errors import RegistryError
from archkit.model.oci import DocumentError, Index, RawManifest, parse_manifest
from archkit.model.reference import Digest, ImageReference

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable

    from archkit.model.oci import Descriptor
    from archkit.model.platform_set import PlatformSet

_T = TypeVar("_T")
_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class Refusal(Exception):
    """A request that the registry does not carry out, in the terms of the distribution specification.

    Args:
        status: HTTP status.
        code: Of the specification, such as ``MANIFEST_UNKNOWN``.
        message: For a person.
        details: What it is about; each becomes an error of its own in the answer.
    """

    def __init__(self, status: int, code: str, message: str, *details: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def errors(self) -> list[dict[str, object]]:
        """The errors as they stand in the answer."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        return [{**error, "detail": detail} for detail in self.details] or [error]


@attrs.define
class Repository:
    """One repository."""

    blobs: dict[str, bytes] = attrs.field(factory=dict)
    manifests: dict[str, RawManifest] = attrs.field(factory=dict)
    tags: dict[str, str] = attrs.field(factory=dict)
    """Digest by tag."""
    uploads: dict[str, bytearray] = attrs.field(factory=dict)


class RegistryContents:
    """Everything that a registry holds; thread-safe.

    Its methods take the path of a repository, and what the registry would answer with an error they raise as
    :class:`Refusal`. The methods of the image store at the end take references and raise ``RegistryError``.
    """

    def __init__(self) -> None:
        self.lock: contextlib.AbstractContextManager[bool] = threading.RLock()
        self._repositories: dict[str, Repository] = {}

    def repository(self, name: str) -> Repository:
        """A repository that is there."""
        found = self._repositories.get(name)
        if found is None:
            raise Refusal(404, "NAME_UNKNOWN", "there is no such repository", {"name": name})
        return found

    def made_repository(self, name: str) -> Repository:
        """A repository, made when it is not there."""
        if not _NAME.fullmatch(name):
            raise Refusal(400, "NAME_INVALID", "not a repository name", {"name": name})
        return self._repositories.setdefault(name, Repository())

    def find_blob(self, name: str, digest: Digest) -> bytes:
        """The content of a blob."""
        content = self.repository(name).blobs.get(digest)
        if content is None:
            raise Refusal(404, "BLOB_UNKNOWN", "there is no such blob in the repository", {"digest": digest})
        return content

    def store_blob(self, name: str, content: bytes, digest: Digest) -> None:
        """Keep a blob whose digest is right."""
        found = Digest.of(content, digest.algorithm)
        if found != digest:
            raise Refusal(400, "DIGEST_INVALID", "the content has another digest", {"given": digest, "found": found})
        self.made_repository(name).blobs[digest] = content

    def find_manifest(self, name: str, reference: str) -> RawManifest:
        """The manifest under a tag or a digest."""
        repository = self.repository(name)
        digest = reference if ":" in reference else repository.tags.get(reference, "")
        found = repository.manifests.get(digest)
        if found is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", "there is no such manifest", {"name": name, "reference": reference})
        return found

    def store_manifest(self, name: str, reference: str, content: bytes, media_type: str) -> Digest:
        """Keep a manifest, under a tag where the reference is one; everything it names must be there."""
        tag = None if ":" in reference else reference
        if tag is not None and not _TAG.fullmatch(tag):
            raise Refusal(400, "TAG_INVALID", "not a tag", {"tag": tag})
        digest = Digest.of(content) if tag is not None else as_digest(reference)
        if tag is None and digest != Digest.of(content, digest.algorithm):
            raise Refusal(400, "DIGEST_INVALID", "the manifest has another digest", {"given": digest})
        try:
            document = parse_manifest(content, media_type)
        except DocumentError as error:
            raise Refusal(400, "MANIFEST_INVALID", str(error)) from error
        if media_type != document.media_type:
            raise Refusal(400, "MANIFEST_INVALID", f"the content is {document.media_type}, Content-Type says {media_type or 'nothing'}")
        repository = self.made_repository(name)
        if isinstance(document, Index):
            missing = [entry.digest for entry in document.manifests if entry.digest not in repository.manifests]
        else:
            missing = [entry.digest for entry in _local((document.config, *document.layers)) if entry.digest not in repository.blobs]
        if missing:
            raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", "what the manifest names is not in the repository", *missing)
        repository.manifests[digest] = RawManifest(media_type, content)
        if tag is not None:
            repository.tags[tag] = digest
        return digest

    def remove_manifest(self, name: str, reference: str) -> None:
        """Remove a tag, or a manifest with all its tags."""
        repository = self.repository(name)
        self.find_manifest(name, reference)
        if ":" not in reference:
            del repository.tags[reference]
            return
        del repository.manifests[reference]
        repository.tags = {tag: digest for tag, digest in repository.tags.items() if digest != reference}

    # ---- as an image store, for the process that the registry lives in ------------------------------------------

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """See :meth:`archkit.ports.registry.ImageStore.manifest`."""
        ref = as_reference(reference)
        return self._told(ref, lambda: self.find_manifest(ref.repository, ref.digest or ref.tag or ""))

    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes:
        """See :meth:`archkit.ports.registry.ImageStore.blob`."""
        ref = as_reference(reference)
        content = self._told(ref, lambda: self.find_blob(ref.repository, Digest(digest)))
        if limit is not None and len(content) > limit:
            raise RegistryError(str(ref), f"the blob {digest} has more than {limit} bytes")
        return content

    def put_blob(self, reference: ImageReference | str, content: bytes, *, digest: Digest | str, size: int) -> None:
        """See :meth:`archkit.ports.registry.ImageStore.put_blob`."""
        ref, digest = as_reference(reference), Digest(digest)
        check(content, digest, size, name=str(ref))
        self._told(ref, lambda: self.store_blob(ref.repository, content, digest))

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        """See :meth:`archkit.ports.registry.ImageStore.put_manifest`."""
        ref = as_reference(reference)
        where = ref.tag or ref.digest or manifest.digest
        self._told(ref, lambda: self.store_manifest(ref.repository, where, manifest.content, manifest.media_type))
        return manifest.descriptor

    def platforms(self, reference: ImageReference | str) -> PlatformSet | None:
        """See :meth:`archkit.ports.registry.PlatformLookup.platforms`."""
        return find_platforms(self, as_reference(reference))

    def tags(self, repository: ImageReference | str) -> list[str]:
        """See :meth:`archkit.ports.registry.ImageStore.tags`."""
        with self.lock:
            found = self._repositories.get(as_reference(repository).repository)
            return sorted(found.tags) if found is not None else []

    def _told(self, ref: ImageReference, work: Callable[[], _T]) -> _T:
        try:
            with self.lock:
                return work()
        except Refusal as refusal:
            detail = f" ({', '.join(map(str, refusal.details))})" if refusal.details else ""
            raise RegistryError(str(ref), f"{refusal.message}{detail}", refusal.status, (refusal.code,)) from refusal


def as_digest(text: str) -> Digest:
    """The digest in a text, or the refusal of it."""
    try:
        return Digest(text)
    except ValueError as error:
        raise Refusal(400, "DIGEST_INVALID", str(error), {"digest": text}) from error


def _local(entries: Iterable[Descriptor]) -> list[Descriptor]:
    """Those that must be in the repository itself: what has URLs is fetched from there."""
    return [entry for entry in entries if not entry.urls]
