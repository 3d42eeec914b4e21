"""verify()."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import read_config
from archkit.copying import PARALLEL, in_parallel
from archkit.errors import ContentError, DefectiveImageError, RegistryError
from archkit.imagery.places import located
from archkit.model.finding import Finding, worst_first
from archkit.model.oci import ATTESTATION, ATTESTED, Descriptor, DocumentError, ImageConfig, ImageManifest, Index, RawManifest
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest
from archkit.planning.elf import runs_on_platform
from archkit.ports.registry import ImageStore, KnowsSizes
from archkit.readback import PushedImage, entrypoint_cpu

if TYPE_CHECKING:
    from archkit.model.reference import ImageReference

_DEEPEST = 4


@attrs.frozen
class Verification:
    """An image that is whole and true."""

    reference: str
    """As it was asked for."""
    digest: Digest
    platforms: PlatformSet
    """What the configurations say, in the index's order."""
    manifests: int
    """How many manifests and indexes were read."""
    blobs: int
    """How many blobs are there."""
    findings: tuple[Finding, ...] = ()
    """What is no defect and may still surprise."""

    def __str__(self) -> str:
        head = f"{self.reference} is whole: {self.manifests} manifests, {self.blobs} blobs, {str(self.platforms).replace(',', ', ')}"
        return "\n".join([head, *(f"  {finding}" for finding in self.findings)])


def verify(
    reference: ImageReference | str,
    registry: ImageStore | None = None,
    *,
    programs: bool = True,
    content: bool = False,
    parallel: int = PARALLEL,
) -> Verification:
    """Check that an image is whole and what it says it is, down to every blob.

    Every manifest is there, of the digest, size and type that the index says; every blob is there with the size that its
    manifest says; every entry's platform is the one of the image's configuration; the program that an image starts is
    for its CPU; every attestation is about an image of the same index.

    Args:
        reference: A tag or a digest; ``oci:PATH[:TAG][@DIGEST]`` is in the OCI layout of that folder.
        registry: A ``RegistryClient``, an ``OciLayout`` or any other image store; None: a ``RegistryClient`` of its own.
        programs: Look at the program that each image starts; its layer is read for that, up to 64 MiB.
        content: Read every blob and hash it; otherwise the store is only asked whether it has the blob, and how long it is.
        parallel: How many things are asked at the same time.

    Raises:
        DefectiveImageError: It has defects; the error names all of them.
        RegistryError: It is not there (status 404), or the store cannot be asked.
        ReferenceSyntaxError: The text is no reference.
    """
    if parallel < 1:
        raise ValueError(f"parallel must be 1 at least, not {parallel}")
    with located(reference, registry) as (store, ref):
        raw = store.manifest(ref)
        check = _Check(store, ref.repository_only, programs=programs, content=content, parallel=parallel)
        check.walk(attrs.evolve(raw.descriptor, digest=ref.digest or raw.digest), raw)
    findings = tuple(dict.fromkeys(check.findings))
    defects = tuple(finding for finding in findings if finding.severity == "error")
    if defects:
        count = f"{len(defects)} defect{'' if len(defects) == 1 else 's'}"
        raise DefectiveImageError(str(reference), f"the image has {count}", defects=defects)
    platforms = PlatformSet(check.platforms)
    return Verification(str(reference), ref.digest or raw.digest, platforms, check.manifests, check.blobs, tuple(worst_first(findings)))


@attrs.frozen
class _Image:
    """An image whose manifest was read."""

    descriptor: Descriptor
    raw: RawManifest
    manifest: ImageManifest
    about: Descriptor | None
    """Its entry in an index."""


@attrs.frozen
class _Seen:
    """What came of looking at one image."""

    platform: Platform | None
    findings: tuple[Finding, ...]


class _Check:
    """One verification."""

    def __init__(self, store: ImageStore, repository: ImageReference, *, programs: bool, content: bool, parallel: int) -> None:
        self._store, self._repository = store, repository
        self._programs, self._content, self._parallel = programs, content, parallel
        self.findings: list[Finding] = []
        self.platforms: list[Platform] = []
        self.manifests = self.blobs = 0
        self._lock = threading.Lock()

    def walk(self, descriptor: Descriptor, raw: RawManifest) -> None:
        """Check what hangs on a manifest that was read."""
        images = self._images(descriptor, raw, None, 1)
        wanted = {blob.digest: blob for image in images for blob in _blobs(image.manifest)}
        results = in_parallel(self._blob, wanted.values(), self._parallel, "archkit-verify")
        broken = {digest for digest, finding in zip(wanted, results, strict=True) if finding is not None}
        self.findings += [finding for finding in results if finding is not None]
        self.blobs = len(wanted) - len(broken)
        for seen in in_parallel(lambda image: self._image(image, broken), images, self._parallel, "archkit-verify"):
            self.findings += seen.findings
            if seen.platform is not None:
                self.platforms.append(seen.platform)

    def _images(self, descriptor: Descriptor, raw: RawManifest, about: Descriptor | None, depth: int) -> list[_Image]:
        self.manifests += 1
        try:
            document = raw.document()
        except DocumentError as error:
            self.findings.append(self._defect("content-wrong", descriptor, f"it cannot be read: {error}"))
            return []
        if isinstance(document, ImageManifest):
            return [_Image(descriptor, raw, document, about)]
        if depth == _DEEPEST:
            self.findings.append(self._defect("content-wrong", descriptor, f"more than {_DEEPEST} indexes stand inside each other"))
            return []
        self._look_at_entries(document)
        read = in_parallel(self._child, document.manifests, self._parallel, "archkit-verify")
        children: list[_Image] = []
        for entry, found in zip(document.manifests, read, strict=True):
            if isinstance(found, Finding):
                self.findings.append(found)
                continue
            if found is not None:
                self.findings += self._differences(entry, found)
                children += self._images(entry, found, entry, depth + 1)
        return children

    def _look_at_entries(self, index: Index) -> None:
        """What an index says wrong of itself."""
        there = {entry.digest for entry in index.manifests if ATTESTATION not in entry.annotations}
        first: dict[Platform, Descriptor] = {}
        for entry in index.manifests:
            about = entry.annotations.get(ATTESTED)
            if ATTESTATION in entry.annotations and about not in there:
                message = f"the attestation is about {about or 'nothing'}, which the index does not hold"
                self.findings.append(self._defect("attestation-without-image", entry, message))
            if not entry.is_image or entry.platform is None:
                continue
            other = first.setdefault(entry.platform, entry)
            if other.digest != entry.digest:
                message = f"{entry.platform} has two images, {other.digest} and {entry.digest}: clients take the first"
                self.findings.append(Finding.of("platform-twice", message, self._repository.name))

    def _child(self, entry: Descriptor) -> RawManifest | Finding | None:
        if entry.urls:
            return None
        try:
            return self._store.manifest(self._repository.with_digest(entry.digest))
        except ContentError as error:
            return self._defect("content-wrong", entry, error.reason)
        except RegistryError as error:
            if error.status != 404:
                raise
            return self._defect("manifest-missing", entry, "the index names it, and it is not there")

    def _differences(self, entry: Descriptor, found: RawManifest) -> list[Finding]:
        defects: list[Finding] = []
        if len(found.content) != entry.size:
            message = f"the index says {entry.size} bytes, it has {len(found.content)}"
            defects.append(self._defect("size-wrong", entry, message))
        if found.media_type != entry.media_type:
            message = f"the index says {entry.media_type}, it is {found.media_type}"
            defects.append(self._defect("content-wrong", entry, message))
        return defects

    # ---- blobs --------------------------------------------------------------------------------------------------

    def _blob(self, blob: Descriptor) -> Finding | None:
        """The defect of a blob; None when it is there and right."""
        try:
            size = self._hashed(blob) if self._content else self._size(blob)
        except ContentError as error:
            return self._defect("content-wrong", blob, error.reason)
        except RegistryError as error:
            if error.status != 404:
                raise
            size = None
        if size is None:
            return self._defect("blob-missing", blob, "a manifest names it, and it is not there")
        if size != blob.size:
            return self._defect("size-wrong", blob, f"the manifest says {blob.size} bytes, it has {size}")
        return None

    def _size(self, blob: Descriptor) -> int | None:
        if isinstance(self._store, KnowsSizes):
            return self._store.blob_size(self._repository, blob.digest)
        return blob.size if self._store.has_blob(self._repository, blob.digest) else None

    def _hashed(self, blob: Descriptor) -> int:
        return sum(len(piece) for piece in self._store.stream_blob(self._repository, blob.digest))

    # ---- images -------------------------------------------------------------------------------------------------

    def _image(self, image: _Image, broken: set[Digest]) -> _Seen:
        if image.about is not None and not image.about.is_image:
            return _Seen(None, ())
        if image.manifest.config.digest in broken:
            return _Seen(None, ())
        try:
            config = read_config(self._store, self._repository, image.manifest)
        except ContentError as error:
            return _Seen(None, (self._defect("content-wrong", image.manifest.config, error.reason),))
        if config is None:
            return _Seen(None, ())
        findings: list[Finding] = []
        labelled = None if image.about is None else image.about.platform
        if labelled is not None and not (config.platform.satisfies(labelled) or labelled.satisfies(config.platform)):
            message = f"the index says {labelled}, the image's configuration says {config.platform}"
            findings.append(self._defect("platform-untrue", image.descriptor, message))
        if self._programs and not broken.intersection(layer.digest for layer in image.manifest.layers):
            findings += self._program(image, config)
        return _Seen(config.platform, tuple(findings))

    def _program(self, image: _Image, config: ImageConfig) -> list[Finding]:
        """Whether the program that an image starts runs on its CPU."""
        described = image.raw.descriptor.with_platform(config.platform_fields)
        labelled = None if image.about is None else image.about.platform
        pushed = PushedImage(described, labelled, image.manifest, config, image.raw)
        try:
            cpu = entrypoint_cpu(pushed, self._store, self._repository)
        except ContentError as error:
            return [self._defect("content-wrong", image.descriptor, error.reason)]
        verdict = runs_on_platform(cpu, config.platform) if cpu else "runs"
        if verdict == "cannot-run":
            message = f"the image for {config.platform} starts a program for {cpu}"
            return [self._defect("program-untrue", image.descriptor, message)]
        if verdict == "doubtful":
            message = f"the image for {config.platform} starts a program for {cpu}, which many {config.platform.arch} machines cannot run"
            return [Finding.of("entrypoint-32-bit", message, f"{self._repository.name}@{image.descriptor.digest}")]
        return []

    def _defect(self, code: str, descriptor: Descriptor, message: str) -> Finding:
        return Finding.of(code, message, f"{self._repository.name}@{descriptor.digest}")


def _blobs(manifest: ImageManifest) -> list[Descriptor]:
    """What must be in the repository itself; what has URLs is fetched from there."""
    return [blob for blob in (manifest.config, *manifest.layers) if not blob.urls]
