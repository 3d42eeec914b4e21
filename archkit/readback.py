"""What a builder really pushed: read from the store, compared with what was asked.

A builder that ends without an error may still have delivered another platform (seen with ko, Docker's classic
builder and pack); the manifest, the configuration and the program itself are the only witnesses.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.layer_files import LayerEntry, LayerTooLarge, read_layer
from archkit.errors import PlatformNotDelivered, RegistryError
from archkit.model.finding import Finding
from archkit.model.oci import Descriptor, DocumentError, ImageConfig, ImageManifest, Index, RawManifest, parse_config
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.elf import program_cpu, runs_on_platform

if TYPE_CHECKING:
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore

LAYER_LIMIT = 64 << 20
"""Largest stored layer in which an entrypoint is looked for, in bytes."""
UNPACKED_LIMIT = 256 << 20
"""Most bytes that such a layer may unpack to."""
_MOST_LINKS = 16
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@attrs.frozen
class PushedImage:
    """One single-platform image as it stands in the store."""

    descriptor: Descriptor
    """With the platform fields of the image's configuration."""
    labelled: Platform | None
    """What the index says of it; None for a plain image."""
    manifest: ImageManifest
    config: ImageConfig
    raw: RawManifest

    @property
    def platform(self) -> Platform:
        """What its configuration says."""
        return self.config.platform


@attrs.frozen
class Pushed:
    """An image or index as it stands in the store."""

    raw: RawManifest
    images: tuple[PushedImage, ...]

    @property
    def is_index(self) -> bool:
        """Whether it is an index, be it of one image."""
        return not (len(self.images) == 1 and self.images[0].labelled is None)

    @property
    def platforms(self) -> PlatformSet:
        """What the configurations say, in order."""
        return PlatformSet(image.platform for image in self.images)

    def find(self, platform: Platform) -> PushedImage | None:
        """The image for a platform; None when there is none."""
        return next((image for image in self.images if image.platform.satisfies(platform)), None)


def read_back(store: ImageStore, reference: ImageReference) -> Pushed:
    """Read what stands under a reference, down to the configuration of every image.

    Raises:
        RegistryError: Not there, or not readable.
    """
    raw = store.manifest(reference)
    try:
        document = raw.document()
        if isinstance(document, ImageManifest):
            return Pushed(raw, (_image(store, reference, raw, document, None),))
        images: list[PushedImage] = []
        for entry in document.images:
            child = store.manifest(reference.repository_only.with_digest(entry.digest))
            manifest = child.document()
            if isinstance(manifest, Index):
                raise RegistryError(str(reference), f"its entry {entry.digest} is an index in an index, which registries refuse")
            images.append(_image(store, reference, child, manifest, entry.platform))
        return Pushed(raw, tuple(images))
    except DocumentError as error:
        raise RegistryError(str(reference), f"what was pushed cannot be read: {error}") from error


def _image(
    store: ImageStore, reference: ImageReference, raw: RawManifest, manifest: ImageManifest, labelled: Platform | None
) -> PushedImage:
    config = parse_config(store.blob(reference, manifest.config.digest))
    return PushedImage(raw.descriptor.with_platform(config.platform_fields), labelled, manifest, config, raw)


def verify(pushed: Pushed, asked: PlatformSet, *, image: str, builder: str, store: ImageStore, repository: ImageReference) -> list[Finding]:
    """Compare what was pushed with what was asked.

    Returns:
        What is doubtful: a 32-bit ARM program in an arm64 image, and platforms that nobody asked for.

    Raises:
        PlatformNotDelivered: A platform is missing, an index entry says another platform than the image's configuration,
            or the program that the entrypoint names is for a CPU that cannot run there.
        RegistryError: A layer cannot be read.
    """

    def refuse(reason: str, platform: Platform | str = "", delivered: tuple[str, ...] = ()) -> PlatformNotDelivered:
        found = delivered or tuple(map(str, pushed.platforms))
        return PlatformNotDelivered(image, reason, str(platform), "", tuple(map(str, asked)), found, builder)

    for one in pushed.images:
        if one.labelled is not None and not (one.platform.satisfies(one.labelled) or one.labelled.satisfies(one.platform)):
            reason = f"the index says {one.labelled} of an image whose configuration says {one.platform}"
            raise refuse(reason, one.labelled)
    findings: list[Finding] = []
    others = [one.platform for one in pushed.images if not any(one.platform.satisfies(platform) for platform in asked)]
    if others:
        names = ", ".join(map(str, others))
        message = f"{builder} was asked to build {str(asked).replace(',', ', ')} and also delivered {names}"
        findings.append(Finding.of("platforms-not-asked", message, image, "let it look at what it is asked for, or ask for these too"))
    for platform in asked:
        found = pushed.find(platform)
        if found is None:
            raise refuse(f"what was pushed has no image for {platform}", platform)
        cpu = entrypoint_cpu(found, store, repository)
        verdict = runs_on_platform(cpu, found.platform) if cpu else "runs"
        if verdict == "cannot-run":
            reason = f"the image for {platform} starts a program for {cpu}"
            raise refuse(reason, platform, (f"{platform} with a program for {cpu}",))
        if verdict == "doubtful":
            message = f"the image for {platform} starts a program for {cpu}, which many {platform.arch} machines cannot run"
            findings.append(Finding.of("entrypoint-32-bit", message, image))
    return findings


def entrypoint_cpu(image: PushedImage, store: ImageStore, repository: ImageReference) -> str | None:
    """The CPU of the program that an image starts.

    None where that cannot be told: it starts a script, names something that does not resolve, or the program is in a
    layer beyond :data:`LAYER_LIMIT`.
    """
    command = image.config.entrypoint or image.config.cmd
    if not command or image.platform.os == "windows":
        return None
    layers = _Layers(image, store, repository)
    try:
        for path in _candidates(command[0], image.config):
            entry = layers.resolve(path)
            if entry is not None:
                return program_cpu(entry.header)
    except LayerTooLarge:
        return None
    except ValueError as error:
        raise RegistryError(str(repository), str(error)) from error
    return None


def _candidates(program: str, config: ImageConfig) -> list[str]:
    """Where a program may be, as the runtime looks for it (OCI runtime: ``args[0]`` along PATH)."""
    if "/" in program:
        return [posixpath.join(config.working_dir or "/", program)]
    path = next((item.partition("=")[2] for item in config.env if item.startswith("PATH=")), _DEFAULT_PATH)
    return [posixpath.join("/", folder, program) for folder in path.split(":") if folder]


class _Layers:
    """The files of an image, top layer first, each layer read at most once."""

    def __init__(self, image: PushedImage, store: ImageStore, repository: ImageReference) -> None:
        self._descriptors = image.manifest.layers[::-1]
        self._store, self._repository = store, repository
        self._read: dict[str, dict[str, LayerEntry]] = {}

    def resolve(self, path: str, links: int = 0) -> LayerEntry | None:
        """The file at an absolute path with all links on the way followed; None when there is none."""
        walked = ""
        parts = [part for part in posixpath.normpath(path).split("/") if part]
        for position, part in enumerate(parts):
            walked = posixpath.join(walked, part)
            entry = self._lookup(walked)
            if entry is not None and entry.kind == "link":
                if links >= _MOST_LINKS:
                    return None
                target = posixpath.join("/", posixpath.dirname(walked), entry.target)
                return self.resolve(posixpath.join(target, *parts[position + 1 :]), links + 1)
            if position == len(parts) - 1:
                return entry if entry is not None and entry.kind == "file" else None
        return None

    def _lookup(self, name: str) -> LayerEntry | None:
        parents = [name[:at] for at, char in enumerate(name) if char == "/"]
        for descriptor in self._descriptors:
            entries = self._entries(descriptor)
            if name in entries:
                entry = entries[name]
                return None if entry.kind == "removed" else entry
            if any(parent in entries and entries[parent].kind == "removed" for parent in parents):
                return None
            if any(posixpath.join(parent, ".wh..wh..opq") in entries for parent in ["", *parents]):
                return None
        return None

    def _entries(self, descriptor: Descriptor) -> dict[str, LayerEntry]:
        if descriptor.digest not in self._read:
            if descriptor.size > LAYER_LIMIT:
                raise LayerTooLarge(f"a layer of {descriptor.size} bytes")
            chunks = self._store.stream_blob(self._repository, descriptor.digest)
            self._read[descriptor.digest] = read_layer(chunks, descriptor.media_type, limit=UNPACKED_LIMIT)
        return self._read[descriptor.digest]
