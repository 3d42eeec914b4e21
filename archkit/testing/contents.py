"""What an embedded registry holds: blobs, manifests and tags by repository."""

from __future__ import annotations

import re
import threading
import uuid
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.adapters.content import as_reference, check, find_platforms
from archkit.errors import RegistryError
from archkit.model.oci import DocumentError, Index, RawManifest, parse_manifest
from archkit.model.reference import Digest, ImageReference
from archkit.testing.storage import MemoryStorage, Repository, Storage

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


@attrs.frozen
class StoredManifest:
    """A manifest, and the digest that it was stored under."""

    raw: RawManifest
    digest: Digest
    """Of the algorithm that it was pushed with."""
    subject: Digest | None = None
    """What it says something about."""


class RegistryContents:
    """Everything that a registry holds; thread-safe.

    Its methods take the path of a repository, and what the registry would answer with an error they raise as
    :class:`Refusal`. The methods of the image store at the end take references and raise ``RegistryError``.

    Args:
        storage: Where the content is kept.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self.lock: contextlib.AbstractContextManager[bool] = threading.RLock()
        self._storage: Storage = MemoryStorage() if storage is None else storage
        self._repositories: dict[str, Repository] = self._storage.load()
        self._referrers: dict[str, tuple[Digest, dict[str, object]] | None] = {}
        """By digest of a manifest: its subject, and what stands of it in the subject's list."""

    def open(self) -> None:
        """Hold the storage again after :meth:`close`.

        Raises:
            RuntimeError: Another registry uses it.
        """
        if self._storage.open():
            self._repositories = self._storage.load()

    def close(self) -> None:
        """Let go of the storage; what is in memory stays readable."""
        self._storage.close()

    @property
    def names(self) -> list[str]:
        """The paths of its repositories, sorted."""
        return sorted(self._repositories)

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

    # ---- blobs --------------------------------------------------------------------------------------------------

    def find_blob(self, name: str, digest: Digest) -> bytes:
        """The content of a blob."""
        content = self._storage.read(digest) if digest in self.repository(name).blobs else None
        if content is None:
            raise Refusal(404, "BLOB_UNKNOWN", "there is no such blob in the repository", {"digest": digest})
        return content

    def store_blob(self, name: str, content: bytes, digest: Digest) -> None:
        """Keep a blob whose digest is right."""
        found = Digest.of(content, digest.algorithm)
        if found != digest:
            raise Refusal(400, "DIGEST_INVALID", "the content has another digest", {"given": digest, "found": found})
        repository = self.made_repository(name)
        self._storage.write(digest, content)
        repository.blobs[digest] = len(content)
        self._storage.save(name, repository)

    def mount_blob(self, name: str, digest: Digest, source: str | None) -> bool:
        """Make a blob of another repository appear here; False when it is not there.

        Args:
            name: The repository that gets it.
            digest: Of the blob.
            source: The repository that has it; None: any.
        """
        repository = self.made_repository(name)
        others = self._repositories.values() if source is None else [self._repositories.get(source, Repository())]
        size = next((other.blobs[digest] for other in others if digest in other.blobs), None)
        if size is None:
            return False
        repository.blobs[digest] = size
        self._storage.save(name, repository)
        return True

    def remove_blob(self, name: str, digest: Digest) -> None:
        """Remove a blob from a repository."""
        self.find_blob(name, digest)
        repository = self.repository(name)
        del repository.blobs[digest]
        self._drop(digest)
        self._storage.save(name, repository)

    def damage(self, name: str, digest: Digest | str, content: bytes | None) -> None:
        """Give a blob or manifest other content, or with None lose it, as a broken disk does: nothing is checked."""
        with self.lock:
            if content is None:
                self._storage.remove(digest)
                repository = self.repository(name)
                repository.blobs.pop(digest, None)
                repository.manifests.pop(digest, None)
                self._storage.save(name, repository)
            else:
                self._storage.write(digest, content)

    def _drop(self, digest: str) -> None:
        """Drop a content that no repository holds any more."""
        if not any(digest in other.blobs or digest in other.manifests for other in self._repositories.values()):
            self._storage.remove(digest)

    # ---- uploads ------------------------------------------------------------------------------------------------

    def open_upload(self, name: str) -> str:
        """A new upload; its name."""
        self._storage.save(name, self.made_repository(name))
        session = uuid.uuid4().hex
        self._storage.append(session, b"")
        return session

    def received(self, name: str, session: str) -> int:
        """How many bytes an upload has."""
        self.repository(name)
        size = self._storage.received(session)
        if size is None:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload", {"upload": session})
        return size

    def append(self, session: str, content: bytes) -> None:
        """Add to an upload."""
        self._storage.append(session, content)

    def take_upload(self, session: str) -> bytes:
        """End an upload; its bytes."""
        return self._storage.take(session)

    # ---- manifests ----------------------------------------------------------------------------------------------

    def find_manifest(self, name: str, reference: str) -> StoredManifest:
        """The manifest under a tag or a digest."""
        repository = self.repository(name)
        digest = reference if ":" in reference else repository.tags.get(reference, "")
        media_type = repository.manifests.get(digest)
        content = None if media_type is None else self._storage.read(digest)
        if media_type is None or content is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", "there is no such manifest", {"name": name, "reference": reference})
        return StoredManifest(RawManifest(media_type, content), Digest(digest))

    def store_manifest(self, name: str, reference: str, content: bytes, media_type: str, tags: Iterable[str] = ()) -> StoredManifest:
        """Keep a manifest, under a tag where the reference is one, and under further tags; everything it names must be there."""
        tag = None if ":" in reference else reference
        tags = [*([tag] if tag is not None else []), *tags]
        for each in tags:
            if not _TAG.fullmatch(each):
                raise Refusal(400, "TAG_INVALID", "not a tag", {"tag": each})
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
        self._storage.write(digest, content)
        repository.manifests[digest] = media_type
        repository.tags.update(dict.fromkeys(tags, digest))
        self._storage.save(name, repository)
        return StoredManifest(RawManifest(media_type, content), digest, None if document.subject is None else document.subject.digest)

    def remove_tag(self, name: str, tag: str) -> None:
        """Remove a tag and nothing else."""
        repository = self.repository(name)
        self.find_manifest(name, tag)
        del repository.tags[tag]
        self._storage.save(name, repository)

    def remove_manifest(self, name: str, reference: str) -> None:
        """Remove the manifest under a digest or a tag with all its tags."""
        repository = self.repository(name)
        digest = self.find_manifest(name, reference).digest
        del repository.manifests[digest]
        repository.tags = {tag: named for tag, named in repository.tags.items() if named != digest}
        self._drop(digest)
        self._storage.save(name, repository)

    def referrers(self, name: str, digest: Digest) -> list[dict[str, object]]:
        """Descriptors of the manifests that name this digest as their subject, oldest first."""
        repository = self._repositories.get(name, Repository())
        found = [self._referrer(name, each) for each in repository.manifests]
        return [referrer[1] for referrer in found if referrer is not None and referrer[0] == digest]

    def _referrer(self, name: str, digest: str) -> tuple[Digest, dict[str, object]] | None:
        if digest not in self._referrers:
            self._referrers[digest] = _as_referrer(self.find_manifest(name, digest))
        return self._referrers[digest]

    # ---- as an image store, for the process that the registry lives in ------------------------------------------

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """See :meth:`archkit.ports.registry.ImageStore.manifest`."""
        ref = as_reference(reference)
        return self._told(ref, lambda: self.find_manifest(ref.repository, ref.digest or ref.tag or "").raw)

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


def _as_referrer(stored: StoredManifest) -> tuple[Digest, dict[str, object]] | None:
    """What stands of a manifest in its subject's list (distribution specification, "Listing Referrers")."""
    try:
        document = stored.raw.document()
    except DocumentError:  # damaged
        return None
    if document.subject is None:
        return None
    artifact_type = document.artifact_type or (None if isinstance(document, Index) else document.config.media_type)
    fields: dict[str, object] = {
        "mediaType": stored.raw.media_type,
        "digest": stored.digest,
        "size": len(stored.raw.content),
        **({"artifactType": artifact_type} if artifact_type else {}),
        **({"annotations": dict(document.annotations)} if document.annotations else {}),
    }
    return document.subject.digest, fields
