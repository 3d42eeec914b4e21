"""Where images are kept: a registry or a folder behind the same operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from archkit.model.oci import Descriptor, RawManifest
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import Digest, ImageReference
    from archkit.ports.http import Retries


class PlatformLookup(Protocol):
    """Whoever can say which platforms an image has."""

    def platforms(self, reference: ImageReference | str, /) -> PlatformSet | None:
        """The image's platforms; None where it is not there. Raises ``RegistryError`` when it cannot be asked."""
        ...


class ImageTransfer(Protocol):
    """What images are read and written with. Raises ``RegistryError`` and nothing else.

    A ``reference`` is an ``ImageReference`` or the text of a full one; its digest wins over its tag.
    """

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """The manifest or index under a tag or digest, exact bytes, its digest verified.

        Raises:
            RegistryError: With status 404 when it is not there.
        """
        ...

    def head(self, reference: ImageReference | str) -> Descriptor | None:
        """Type, digest and size of what stands under a tag or digest; None when nothing does."""
        ...

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        """Store these exact bytes under the reference's tag, or by digest where it has no tag."""
        ...

    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes:
        """A whole blob of the reference's repository, verified; at most ``limit`` bytes (None: the configured limit)."""
        ...

    def stream_blob(self, reference: ImageReference | str, digest: Digest | str) -> Iterator[bytes]:
        """A blob in pieces, in flat memory; raises at the end when the digest is wrong."""
        ...

    def has_blob(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        """Whether the repository holds this blob."""
        ...

    def put_blob(self, reference: ImageReference | str, content: bytes | Iterator[bytes], *, digest: Digest | str, size: int) -> None:
        """Store a blob of ``size`` bytes; nothing is sent when the repository has it already."""
        ...

    def mount_blob(self, reference: ImageReference | str, digest: Digest | str, source: ImageReference | str) -> bool:
        """Make a blob of another repository of the same store appear here without moving it; False when refused."""
        ...


class ImageStore(PlatformLookup, ImageTransfer, Protocol):
    """A store of manifests, blobs and tags. Raises ``RegistryError`` and nothing else."""

    def tags(self, repository: ImageReference | str) -> Sequence[str]:
        """The repository's tags, sorted; none when there is no such repository."""
        ...

    def delete_tag(self, reference: ImageReference | str) -> bool:
        """Remove the tag and nothing else; False when the store cannot delete by tag."""
        ...


@runtime_checkable
class InFolder(Protocol):
    """A store that is a folder: no network is asked, and nobody checks that an index names what is there."""

    @property
    def path(self) -> Path:
        """The folder."""
        ...


@runtime_checkable
class SignsIn(Protocol):
    """A store that may want to know who asks."""

    def announce(self, target: ImageReference | str, sources: Iterable[ImageReference | str] = ()) -> None:
        """Say which repository will be written to, and what will be read for it, so that one sign-in serves all of it."""
        ...


@runtime_checkable
class KnowsSizes(Protocol):
    """A store that says how long a blob is without reading it."""

    def blob_size(self, reference: ImageReference | str, digest: Digest | str) -> int | None:
        """Bytes; None when it is not there."""
        ...


@runtime_checkable
class Retrying(Protocol):
    """A store that says how long it may be waited for."""

    @property
    def retries(self) -> Retries:
        """When a request is sent again."""
        ...


@runtime_checkable
class ListsReferrers(Protocol):
    """A store that may itself list what says something of an image."""

    def put_referrer(self, reference: ImageReference | str, manifest: RawManifest) -> bool:
        """Store a manifest that names a subject, as ``put_manifest`` does.

        Returns:
            Whether the store lists it among the subject's referrers; if not, whoever stores it has to (OCI distribution
            specification 1.1, "Pushing Manifests with Subject").
        """
        ...

    def lists_referrers(self, reference: ImageReference | str) -> bool:
        """Whether the store lists referrers in the reference's repository. Nothing is written."""
        ...
