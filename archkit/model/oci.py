"""Descriptor and the documents of an image, fields as they stand in it.

Reading keeps what is written (``arm64`` with variant ``v8`` stays so); :class:`~archkit.model.platform.Platform` is
only for comparing. Field names and meanings: OCI image specification 1.1 (``descriptor.md``, ``image-index.md``,
``manifest.md``, ``config.md``) and Docker's image manifest v2 schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.platform import Platform
from archkit.model.reference import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"

INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
READABLE_TYPES = (*INDEX_TYPES, *MANIFEST_TYPES)
"""Every manifest type that archkit reads: what an Accept header must list, because a registry answers 404 for the rest."""

DOCKER_TYPES = frozenset({DOCKER_LIST, DOCKER_MANIFEST})
ATTESTATION = "vnd.docker.reference.type"
"""Annotation that BuildKit puts on entries that are no image but say something of one."""
ATTESTED = "vnd.docker.reference.digest"
"""Annotation that names the digest of the image that such an entry is about."""


class DocumentError(ValueError):
    """Bytes that are not the JSON document that their media type promises; adapters turn it into their own error."""


@attrs.frozen
class Descriptor:
    """What one blob or manifest is: type, digest, size, and in an index the platform.

    ``platform_fields`` are the fields as they stand; :attr:`platform` is the same, comparable.
    """

    media_type: str
    digest: Digest = attrs.field(converter=Digest)
    size: int
    """Bytes."""
    platform_fields: FrozenMap[str, Any] | None = None
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()
    data: str | None = None
    """The content itself in base64, where the writer embedded it."""

    @property
    def platform(self) -> Platform | None:
        """The platform, normalised; None where the entry names none."""
        return None if self.platform_fields is None else Platform.from_oci(self.platform_fields)

    @property
    def is_index(self) -> bool:
        """Whether this describes an index or a manifest list."""
        return self.media_type in INDEX_TYPES

    @property
    def is_image(self) -> bool:
        """Whether a container runtime may run this: an image or index, and no attestation or other artifact."""
        return (
            self.media_type in READABLE_TYPES
            and ATTESTATION not in self.annotations
            and (self.platform is None or self.platform.os != "unknown" or self.platform.arch != "unknown")
        )

    @classmethod
    def from_json(cls, fields: object) -> Descriptor:
        """The descriptor in a decoded JSON document.

        Raises:
            DocumentError: A field is missing or has another type than the specification says.
        """
        entry = _object(fields, "a descriptor")
        platform = entry.get("platform")
        urls = entry.get("urls")
        try:
            return cls(
                _text(entry, "mediaType"),
                Digest(_text(entry, "digest")),
                _size(entry),
                _frozen_platform(_object(platform, "platform")) if platform is not None else None,
                FrozenMap(_annotations(entry)),
                _optional_text(entry, "artifactType"),
                tuple(str(url) for url in urls) if isinstance(urls, list) else (),
                _optional_text(entry, "data"),
            )
        except ValueError as error:
            raise DocumentError(str(error)) from error

    def with_platform(self, fields: Mapping[str, object]) -> Descriptor:
        """The same with these platform fields; empty ones are left out."""
        return attrs.evolve(self, platform_fields=_frozen_platform(fields))


PLATFORM_FIELDS = ("architecture", "os", "os.version", "os.features", "variant")
"""In the order of the specification."""


def _frozen_platform(fields: Mapping[str, object]) -> FrozenMap[str, Any]:
    kept = ((name, fields[name]) for name in PLATFORM_FIELDS if fields.get(name))
    return FrozenMap((name, tuple(value) if isinstance(value, list) else value) for name, value in kept)


@attrs.frozen
class Index:
    """An OCI image index or a Docker manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The entries that a container runtime may run, in order."""
        return tuple(entry for entry in self.manifests if entry.is_image)


@attrs.frozen
class ImageManifest:
    """The manifest of one image for one platform."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    artifact_type: str | None = None
    subject: Descriptor | None = None
    """The manifest that this one says something about, such as a signature of it."""


@attrs.frozen
class RawManifest:
    """A manifest as the exact bytes that its digest was made of."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes."""
        return Digest.of(self.content)

    @property
    def descriptor(self) -> Descriptor:
        """Type, digest and size, without a platform."""
        return Descriptor(self.media_type, self.digest, len(self.content))

    def document(self) -> Index | ImageManifest:
        """The content, read.

        Raises:
            DocumentError: Not JSON, not of a type that archkit reads, or not what its type promises.
        """
        return parse_manifest(self.content, self.media_type)


def parse_manifest(content: bytes, media_type: str = "") -> Index | ImageManifest:
    """The index or image manifest in these bytes.

    Args:
        content: The exact bytes.
        media_type: What the transport said they are. It decides where the document itself has no ``mediaType``.

    Raises:
        DocumentError: Not JSON, a type that archkit does not read (such as schema 1), or the two types disagree.
    """
    fields = _object(_json(content), "the manifest")
    stated = _optional_text(fields, "mediaType")
    media_type = media_type.partition(";")[0].strip()
    if stated and media_type in READABLE_TYPES and stated != media_type:
        raise DocumentError(f"the document says it is {stated}, the transport says {media_type}")
    kind = stated or (media_type if media_type in READABLE_TYPES else _guess_type(fields))
    if kind in INDEX_TYPES:
        entries = _descriptors(fields, "manifests")
        return Index(kind, entries, FrozenMap(_annotations(fields)), _optional_text(fields, "artifactType"), _subject(fields))
    if kind in MANIFEST_TYPES:
        return ImageManifest(
            kind,
            Descriptor.from_json(fields.get("config")),
            _descriptors(fields, "layers"),
            FrozenMap(_annotations(fields)),
            _optional_text(fields, "artifactType"),
            _subject(fields),
        )
    raise DocumentError(f"a manifest of type {kind or media_type or 'unknown'} cannot be read")


@attrs.frozen
class ImageConfig:
    """What archkit reads of an image's configuration."""

    platform_fields: FrozenMap[str, Any]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""

    @property
    def platform(self) -> Platform:
        """The platform that the image says it is for."""
        return Platform.from_oci(self.platform_fields)


def parse_config(content: bytes) -> ImageConfig:
    """The image configuration in these bytes.

    Raises:
        DocumentError: Not a JSON object.
    """
    fields = _object(_json(content), "the image configuration")
    inner = fields.get("config")
    inner = inner if isinstance(inner, dict) else {}
    working_dir = inner.get("WorkingDir")
    return ImageConfig(
        _frozen_platform(fields),
        _texts(inner.get("Entrypoint")),
        _texts(inner.get("Cmd")),
        _texts(inner.get("Env")),
        working_dir if isinstance(working_dir, str) else "",
    )


def _guess_type(fields: Mapping[str, Any]) -> str:
    """The type of a document without ``mediaType`` that the transport does not name either (image-spec allows it)."""
    if fields.get("schemaVersion") != 2:
        return ""
    if "manifests" in fields:
        return OCI_INDEX
    return OCI_MANIFEST if "config" in fields else ""


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"not JSON: {error}") from error


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DocumentError(f"{what} is not a JSON object")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise DocumentError(f"{name} is missing or no text")
    return value


def _optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _size(fields: Mapping[str, Any]) -> int:
    value = fields.get("size")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DocumentError("size is missing or no number of bytes")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _annotations(fields: Mapping[str, Any]) -> dict[str, str]:
    value = fields.get("annotations")
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}


def _subject(fields: Mapping[str, Any]) -> Descriptor | None:
    subject = fields.get("subject")
    return Descriptor.from_json(subject) if subject is not None else None


def _descriptors(fields: Mapping[str, Any], name: str) -> tuple[Descriptor, ...]:
    value = fields.get(name)
    if value is None:  # Go writes null for an empty list
        return ()
    if not isinstance(value, list):
        raise DocumentError(f"{name} is no list")
    entries: Sequence[object] = value
    return tuple(Descriptor.from_json(entry) for entry in entries)
