"""The requests of a stitch: recorded as they are made, or rehearsed without writing anything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import as_reference
from archkit.errors import RegistryError
from archkit.model.oci import Index, RawManifest
from archkit.model.reference import Digest, ImageReference
from archkit.ports.registry import ImageTransfer, ListsReferrers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.model.oci import Descriptor


@attrs.frozen
class StitchRequest:
    """One request to a registry."""

    method: str
    """``GET``, ``HEAD``, ``POST`` or ``PUT``."""
    kind: str
    """What it is about: ``manifest``, ``blob``, ``mount`` (a blob of another repository), or ``upload``."""
    reference: ImageReference
    """The repository, and the tag or digest of what it is about."""
    purpose: str
    """A few words, such as ``read a source`` or ``write the tag``."""

    def __str__(self) -> str:
        return f"{self.method} {self.kind} {self.reference} ({self.purpose})"


class Ledger:
    """Requests in the order in which they were begun; thread-safe."""

    def __init__(self) -> None:
        self.step: str = ""
        """What requests are made for now."""
        self._lock = threading.Lock()
        self._requests: list[StitchRequest] = []

    def add(self, method: str, kind: str, reference: ImageReference | str, digest: str | None = None) -> None:
        """A request is made, for the present step."""
        ref = as_reference(reference)
        named = ref if digest is None else ref.repository_only.with_digest(digest)
        with self._lock:
            self._requests.append(StitchRequest(method, kind, named, self.step))

    @property
    def requests(self) -> tuple[StitchRequest, ...]:
        """All so far."""
        with self._lock:
            return tuple(self._requests)


class RecordedStore:
    """A store whose requests are written down.

    Args:
        store: What does the work.
        ledger: Where requests are written; None: the store makes none.
    """

    def __init__(self, store: ImageTransfer, ledger: Ledger | None) -> None:
        self.store = store
        self._ledger = ledger

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        self._add("GET", "manifest", reference)
        return self.store.manifest(reference)

    def head(self, reference: ImageReference | str) -> Descriptor | None:
        self._add("HEAD", "manifest", reference)
        return self.store.head(reference)

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        self._add_put(reference, manifest)
        return self.store.put_manifest(reference, manifest)

    def put_referrer(self, reference: ImageReference | str, manifest: RawManifest) -> bool:
        self._add_put(reference, manifest)
        if isinstance(self.store, ListsReferrers):
            return self.store.put_referrer(reference, manifest)
        self.store.put_manifest(reference, manifest)
        return False

    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes:
        self._add("GET", "blob", reference, digest)
        return self.store.blob(reference, digest, limit=limit)

    def stream_blob(self, reference: ImageReference | str, digest: Digest | str) -> Iterator[bytes]:
        self._add("GET", "blob", reference, digest)
        return self.store.stream_blob(reference, digest)

    def has_blob(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        self._add("HEAD", "blob", reference, digest)
        return self.store.has_blob(reference, digest)

    def put_blob(self, reference: ImageReference | str, content: bytes | Iterator[bytes], *, digest: Digest | str, size: int) -> None:
        self._add("HEAD", "blob", reference, digest)
        sent: list[bytes] = []

        def pieces() -> Iterator[bytes]:
            """Only what is not there is asked for, in an upload that is open then."""
            self._add("POST", "upload", reference, digest)
            sent.append(b"")
            yield from iter([content]) if isinstance(content, bytes) else content

        self.store.put_blob(reference, pieces(), digest=digest, size=size)
        if sent:
            self._add("PUT", "upload", reference, digest)

    def mount_blob(self, reference: ImageReference | str, digest: Digest | str, source: ImageReference | str) -> bool:
        self._add("POST", "mount", reference, digest)
        return self.store.mount_blob(reference, digest, source)

    def _add(self, method: str, kind: str, reference: ImageReference | str, digest: str | None = None) -> None:
        if self._ledger is not None:
            self._ledger.add(method, kind, reference, digest)

    def _add_put(self, reference: ImageReference | str, manifest: RawManifest) -> None:
        ref = as_reference(reference)
        self._add("PUT", "manifest", ref if ref.tag is not None else ref.with_digest(ref.digest or manifest.digest))


class RehearsedStore(RecordedStore):
    """A store that is read as it is and written in imagination: what would be there afterwards is there for this object.

    Writes are taken to succeed as a registry of the OCI distribution specification carries them out: a mount is granted,
    and a manifest is refused while the repository lacks what it names. To know that, more is looked up than is recorded.
    """

    def __init__(self, store: ImageTransfer, ledger: Ledger | None) -> None:
        super().__init__(store, ledger)
        self._manifests: dict[tuple[str, str], RawManifest] = {}
        self._blobs: set[tuple[str, str]] = set()

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        made = self._made(reference)
        if made is None:
            return super().manifest(reference)
        self._add("GET", "manifest", reference)
        return made

    def head(self, reference: ImageReference | str) -> Descriptor | None:
        made = self._made(reference)
        if made is None:
            return super().head(reference)
        self._add("HEAD", "manifest", reference)
        return made.descriptor

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        self._add_put(reference, manifest)
        ref = as_reference(reference)
        if ref.tag is None and (missing := self._missing(ref.repository_only, manifest)):
            raise RegistryError(str(ref), "not everything that it names is there", 400, ("MANIFEST_BLOB_UNKNOWN",), "", missing)
        for name in (ref.tag, manifest.digest):
            if name is not None:
                self._manifests[ref.name, name] = manifest
        return manifest.descriptor

    def put_referrer(self, reference: ImageReference | str, manifest: RawManifest) -> bool:
        self.put_manifest(reference, manifest)
        return isinstance(self.store, ListsReferrers) and self.store.lists_referrers(reference)

    def stream_blob(self, reference: ImageReference | str, digest: Digest | str) -> Iterator[bytes]:
        """Nothing: what is not written need not be read."""
        self._add("GET", "blob", reference, digest)
        return iter(())

    def has_blob(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        self._add("HEAD", "blob", reference, digest)
        return (_name(reference), digest) in self._blobs or self.store.has_blob(reference, digest)

    def put_blob(self, reference: ImageReference | str, content: bytes | Iterator[bytes], *, digest: Digest | str, size: int) -> None:  # noqa: ARG002 - of the port
        if self._seems_to_have(reference, digest):
            return
        self._add("POST", "upload", reference, digest)
        if not isinstance(content, bytes):
            next(content, None)  # what would be sent is asked for
        self._add("PUT", "upload", reference, digest)
        self._blobs.add((_name(reference), digest))

    def _seems_to_have(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        """Whether a blob need not be sent; some registries forbid to look for one."""
        try:
            return self.has_blob(reference, digest)
        except RegistryError as error:
            if error.status == 403:
                return False
            raise

    def mount_blob(self, reference: ImageReference | str, digest: Digest | str, source: ImageReference | str) -> bool:  # noqa: ARG002 - of the port
        self._add("POST", "mount", reference, digest)
        self._blobs.add((_name(reference), digest))
        return True

    def _made(self, reference: ImageReference | str) -> RawManifest | None:
        ref = as_reference(reference)
        return self._manifests.get((ref.name, ref.digest or ref.tag or ""))

    def _missing(self, repository: ImageReference, manifest: RawManifest) -> tuple[str, ...]:
        """What a manifest names that its repository lacks."""
        document = manifest.document()
        if isinstance(document, Index):
            named = [entry.digest for entry in document.manifests if (repository.name, entry.digest) not in self._manifests]
        else:
            blobs = [blob.digest for blob in (document.config, *document.layers) if not blob.urls]
            named = [digest for digest in blobs if (repository.name, digest) not in self._blobs]
        if not named or self.store.head(repository.with_digest(manifest.digest)) is not None:
            return ()
        there = self._has_manifest if isinstance(document, Index) else self.store.has_blob
        return tuple(sorted({digest for digest in named if not there(repository, digest)}))

    def _has_manifest(self, repository: ImageReference, digest: Digest | str) -> bool:
        return self.store.head(repository.with_digest(digest)) is not None


def _name(reference: ImageReference | str) -> str:
    return as_reference(reference).name
