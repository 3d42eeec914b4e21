"""ImageFactory: small real images of any platform."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from archkit.adapters.oci_layout import OciLayout
from archkit.model.build import BuiltImage
from archkit.model.frozen import FrozenMap
from archkit.model.oci import (
    ATTESTATION,
    ATTESTED,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    RawManifest,
)
from archkit.model.platform import ByPlatform, Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import canonical_json, compose_index, encode_index
from archkit.testing.elf import program
from archkit.testing.embedded_registry import EmbeddedRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

_V = TypeVar("_V")
_IN_TOTO = "application/vnd.in-toto+json"
_EPOCH = "1970-01-01T00:00:00Z"
_LAYER_TYPES = {
    (False, False): OCI_LAYER,
    (False, True): OCI_LAYER_GZIP,
    (True, False): DOCKER_LAYER,
    (True, True): DOCKER_LAYER_GZIP,
}
_GZIP_HEADER = b"\x1f\x8b\x08\0" + bytes(4) + b"\0\xff"
_STORED = 0xFFFF
"""Bytes that one stored block holds."""


class ImageTarget(Protocol):
    """Where images can be put: a ``RegistryClient``, an ``OciLayout``, or any other ``ImageStore``."""

    def put_blob(self, reference: ImageReference | str, content: bytes, /, *, digest: Digest | str, size: int) -> None: ...
    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest, /) -> Descriptor: ...


@attrs.frozen
class ImageContent:
    """One image for one platform, not stored anywhere yet."""

    platform: Platform
    config: bytes
    layers: tuple[bytes, ...]
    """As they are stored."""
    manifest: RawManifest
    platform_fields: FrozenMap[str, object]
    """The platform as an index entry for this image says it."""

    @property
    def descriptor(self) -> Descriptor:
        """The image as an entry of an index."""
        return self.manifest.descriptor.with_platform(self.platform_fields)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """Configuration and layers."""
        return (self.config, *self.layers)


class ImageFactory:
    """Makes images and pushes them; the same arguments give the same digests everywhere.

    Each image has one layer with a program that is nothing but the header of an executable for the platform's CPU.

    Args:
        target: An ``EmbeddedRegistry`` (nothing passes through its log), a ``RegistryClient`` or an ``OciLayout``.
    """

    def __init__(self, target: EmbeddedRegistry | ImageTarget) -> None:
        if isinstance(target, EmbeddedRegistry):
            self._target: ImageTarget = target.contents
            self._reference: Callable[[str], ImageReference] = target.reference
        else:
            self._target = target
            self._reference = ImageReference.parse

    def image(
        self,
        platform: Platform | str,
        *,
        docker: bool = False,
        elf: str | None = None,
        config: Mapping[str, object] | Platform | str | None = None,
        entry: Mapping[str, object] | None = None,
        entrypoint: str | None = None,
        files: Mapping[str, bytes] | None = None,
        labels: Mapping[str, str] | None = None,
        compressed: bool = True,
    ) -> ImageContent:
        """The content of one image.

        Args:
            platform: What it is for.
            docker: Docker's media types instead of OCI's.
            elf: The CPU that the program's header names; None: the platform's.
            config: The platform that its configuration names: one, or the fields as they shall stand (an empty mapping
                for a configuration that says nothing); None: the platform itself.
            entry: The fields of its entry in an index, as they shall stand; None: those of ``platform``.
            entrypoint: Path of the program; None: ``/app``, on Windows ``C:\\app.exe``.
            files: Content by path, beside the program.
            labels: Of the configuration.
            compressed: The layer is a gzip file; otherwise a plain tar archive, which some tools (``crane validate``)
                cannot read.
        """
        platform = Platform.parse(platform) if isinstance(platform, str) else platform
        if entrypoint is None:
            entrypoint = "C:\\app.exe" if platform.os == "windows" else "/app"
        inside = entrypoint.removeprefix("C:\\").lstrip("/").replace("\\", "/")
        archive = _tar({inside: program(platform.os, elf or platform.arch), **(files or {})})
        layer = _gzip(archive) if compressed else archive
        config_bytes = canonical_json(
            {
                **_platform_fields(config if config is not None else platform),
                "created": _EPOCH,
                "config": {"Entrypoint": [entrypoint], "WorkingDir": "/", **({"Labels": dict(labels)} if labels else {})},
                "rootfs": {"type": "layers", "diff_ids": [Digest.of(archive)]},
                "history": [{"created": _EPOCH, "created_by": "archkit.testing"}],
            }
        )
        manifest_type, config_type = (DOCKER_MANIFEST, DOCKER_CONFIG) if docker else (OCI_MANIFEST, OCI_CONFIG)
        layer_type = _LAYER_TYPES[docker, compressed]
        manifest = _manifest(manifest_type, (config_type, config_bytes), [(layer_type, layer)])
        return ImageContent(platform, config_bytes, (layer,), manifest, FrozenMap(platform.to_oci() if entry is None else entry))

    def put(self, reference: ImageReference | str, image: ImageContent) -> ImageReference:
        """Store one image: under its tag, or by digest where the reference has none. Returns the full reference with digest."""
        ref = self._full(reference)
        for blob in image.blobs:
            self._target.put_blob(ref, blob, digest=Digest.of(blob), size=len(blob))
        self._target.put_manifest(ref, image.manifest)
        return ref.with_digest(image.manifest.digest)

    def push(
        self,
        reference: ImageReference | str,
        platforms: PlatformSet | Platform | str | Iterable[Platform | str],
        *,
        docker: bool = False,
        attestations: bool = False,
        elf: ByPlatform[str] | None = None,
        config: ByPlatform[Mapping[str, object] | Platform | str] | None = None,
        entrypoint: str | None = None,
        files: Mapping[str, bytes] | None = None,
        labels: Mapping[str, str] | None = None,
        compressed: bool = True,
        index: bool | None = None,
    ) -> BuiltImage:
        """Make and store an image: a plain manifest for one platform, an index for several.

        Args:
            reference: ``repository:tag``; the host of an ``EmbeddedRegistry`` is added where it is missing.
            platforms: In the order in which they shall stand in the index.
            docker: Docker's media types instead of OCI's.
            attestations: Also store what BuildKit stores by default: an attestation beside each image, which makes even
                one platform an index.
            elf: By platform, the CPU that the program's header names: an image whose program lies.
            config: By platform, the platform that the configuration names: an image whose index entry lies.
            entrypoint: Path of the program.
            files: Content by path, beside the program.
            labels: Of every configuration.
            compressed: Layers are gzip files; otherwise plain tar archives.
            index: Make an index, or a plain manifest; None: what was said above.
        """
        ref = self._full(reference)
        wanted = PlatformSet([platforms] if isinstance(platforms, Platform) else platforms)
        lies, configs = _by_platform(elf), _by_platform(config)
        images = [
            self.image(
                platform,
                docker=docker,
                elf=lies.get(platform),
                config=configs.get(platform),
                entrypoint=entrypoint,
                files=files,
                labels=labels,
                compressed=compressed,
            )
            for platform in wanted
        ]
        if len(images) == 1 and not (attestations if index is None else index):
            whole = images[0].manifest
            self.put(ref, images[0])
        else:
            for image in images:
                self.put(ref.repository_only, image)
            entries = [image.descriptor for image in images]
            if attestations:
                entries += [self._attest(ref, image) for image in images]
            whole = encode_index(compose_index(entries, target=str(ref)))
            self._target.put_manifest(ref, whole)
        return BuiltImage(
            ref.name,
            str(ref.with_digest(whole.digest)),
            wanted,
            children={image.platform: image.descriptor for image in images},
            descriptor=whole.descriptor,
            layout=self._target.path if isinstance(self._target, OciLayout) else None,
        )

    def _full(self, reference: ImageReference | str) -> ImageReference:
        return reference if isinstance(reference, ImageReference) else self._reference(reference)

    def _attest(self, ref: ImageReference, image: ImageContent) -> Descriptor:
        """Store an attestation manifest of an image as BuildKit writes it; its entry for the index."""
        statement = canonical_json(
            {
                "_type": "https://in-toto.io/Statement/v0.1",
                "predicateType": "https://slsa.dev/provenance/v0.2",
                "subject": [{"name": "archkit.testing", "digest": {"sha256": image.manifest.digest.hex}}],
                "predicate": {"builder": {"id": ""}, "buildType": "archkit.testing"},
            }
        )
        unknown = {"architecture": "unknown", "os": "unknown"}
        config = canonical_json({**unknown, "config": {}, "rootfs": {"type": "layers", "diff_ids": [Digest.of(statement)]}})
        manifest = _manifest(OCI_MANIFEST, (OCI_CONFIG, config), [(_IN_TOTO, statement)])
        for blob in (config, statement):
            self._target.put_blob(ref, blob, digest=Digest.of(blob), size=len(blob))
        self._target.put_manifest(ref.repository_only, manifest)
        about = {ATTESTATION: "attestation-manifest", ATTESTED: str(image.manifest.digest)}
        return attrs.evolve(manifest.descriptor.with_platform(unknown), annotations=about)


def _by_platform(items: ByPlatform[_V] | None) -> dict[Platform, _V]:
    return {Platform.parse(key) if isinstance(key, str) else key: value for key, value in (items or {}).items()}


def _platform_fields(platform: Mapping[str, object] | Platform | str) -> dict[str, object]:
    if isinstance(platform, Mapping):
        return dict(platform)
    return (Platform.parse(platform) if isinstance(platform, str) else platform).to_oci()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _gzip(content: bytes) -> bytes:
    """A gzip file that compresses nothing: the same bytes whatever zlib is installed (RFC 1952, RFC 1951 3.2.4)."""
    pieces = [content[start : start + _STORED] for start in range(0, len(content), _STORED)] or [b""]
    blocks = [struct.pack("<BHH", number == len(pieces), len(piece), len(piece) ^ 0xFFFF) + piece for number, piece in enumerate(pieces, 1)]
    return _GZIP_HEADER + b"".join(blocks) + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def _manifest(media_type: str, config: tuple[str, bytes], layers: Iterable[tuple[str, bytes]]) -> RawManifest:
    def described(media_type: str, content: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}

    fields = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described(*config),
        "layers": [described(*layer) for layer in layers],
    }
    return RawManifest(media_type, canonical_json(fields))
