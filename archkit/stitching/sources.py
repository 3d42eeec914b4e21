"""What an index is stitched of: sources as the caller names them, read as far as they are not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import as_reference, read_config
from archkit.errors import StitchError
from archkit.model.build import BuiltImage
from archkit.model.frozen import NO_TEXTS
from archkit.model.oci import Descriptor, Index, RawManifest
from archkit.model.platform import ByPlatform, Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import SourcedEntry
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.oci import ImageManifest

_READERS = 4
_DEEPEST = 4
"""How many indexes may stand inside each other; registries refuse less."""


@attrs.frozen
class StitchedIndex:
    """An index as it was made, and as it stands in the store unless it was a dry run."""

    reference: ImageReference
    """``repo:tag@sha256:…``; without tag where the target had none."""
    media_type: str
    platforms: PlatformSet
    """In the order of the entries; what stands inside a nested index is not listed."""
    manifest: bytes = attrs.field(repr=False)
    """The exact bytes."""
    descriptors: tuple[Descriptor, ...]
    """The entries, attestations included."""

    @property
    def digest(self) -> Digest:
        """Of the index."""
        return Digest.of(self.manifest)

    @property
    def size(self) -> int:
        """Bytes of the index."""
        return len(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """Type, digest and size of the index."""
        return Descriptor(self.media_type, self.digest, self.size)


Source = str | ImageReference | BuiltImage | Descriptor | StitchedIndex
"""What an index can be stitched of. A text is a full reference; a ``Descriptor`` is in the target's repository."""


def chosen_entries(entries: Sequence[SourcedEntry], wanted: PlatformSet, *, target: str) -> list[SourcedEntry]:
    """The images of these platforms and what is about them; a nested index names no platform and is none of them."""
    if wanted.is_all:
        return list(entries)
    found = [entry.descriptor.platform for entry in entries if entry.descriptor.is_image]
    for platform in wanted:
        if not any(one is not None and one.satisfies(platform) for one in found):
            there = ", ".join(dict.fromkeys(str(one) for one in found if one is not None)) or "none"
            raise StitchError(target, f"no source has an image for {platform}", f"the sources have {there}")
    return [entry for entry in entries if not entry.descriptor.is_image or _is_one_of(entry.descriptor.platform, wanted)]


def _is_one_of(platform: Platform | None, wanted: PlatformSet) -> bool:
    return platform is not None and any(platform.satisfies(one) for one in wanted)


@attrs.frozen
class SourcePart:
    """A source: what messages call it, what is known of it, and what it must be."""

    name: str
    known: tuple[Descriptor, ...] = ()
    """Its entries, where nothing need be read."""
    reference: ImageReference | None = None
    """What is to be read, where something must."""
    expected: Platform | None = None
    nested: Descriptor | None = None
    """The source itself as an entry, where it is known to be an index."""
    origin: ImageReference | None = None
    """The repository that it is in; None: the target's."""

    def must_be_read(self, *, flatten: bool) -> bool:
        """Whether the store has to be asked."""
        return self.reference is not None and (flatten or self.nested is None or self.expected is not None)


def source_parts(where: ImageReference, sources: Iterable[Source] | ByPlatform[Source]) -> list[SourcePart]:
    """The sources as parts of an index at ``where``, in their order. No request.

    Raises:
        StitchError: There are none.
        TypeError: One is nothing that an index can be made of.
    """
    if isinstance(sources, Mapping):
        named = [(Platform.parse(key) if isinstance(key, str) else key, source) for key, source in sources.items()]
        parts = [attrs.evolve(_part(where, source), expected=platform) for platform, source in named]
    else:
        parts = [_part(where, source) for source in sources]
    if not parts:
        raise StitchError(str(where), "there are no sources", "name at least one image")
    return parts


def _part(where: ImageReference, source: object) -> SourcePart:
    match source:
        case Descriptor():
            name = f"{where.name}@{source.digest}"
            if source.is_index:
                return SourcePart(name, reference=where.repository_only.with_digest(source.digest), nested=source)
            if source.platform_fields:
                return SourcePart(name, (source,))
            return SourcePart(name, reference=where.repository_only.with_digest(source.digest))
        case StitchedIndex():
            reference = source.reference
            return SourcePart(str(reference), source.descriptors, nested=source.descriptor, origin=_origin(where, reference))
        case BuiltImage():
            return _built_part(where, source)
        case str() | ImageReference():
            reference = as_reference(source)
            return SourcePart(str(reference), reference=reference, origin=_origin(where, reference))
        case _:
            raise TypeError(f"not a source of an index: {source!r}")


def _built_part(where: ImageReference, image: BuiltImage) -> SourcePart:
    reference = ImageReference.parse(image.reference)
    name, whole, origin = str(reference), image.descriptor, _origin(where, reference)
    if image.children:
        children = (
            child if child.platform_fields else child.with_platform(platform.to_oci()) for platform, child in image.children.items()
        )
        return SourcePart(name, tuple(children), nested=whole if whole is not None and whole.is_index else None, origin=origin)
    if whole is not None and not whole.is_index and whole.platform_fields:
        return SourcePart(name, (whole,), origin=origin)
    return SourcePart(name, reference=reference, nested=whole if whole is not None and whole.is_index else None, origin=origin)


def _origin(where: ImageReference, reference: ImageReference) -> ImageReference | None:
    """The repository of a source; None where it is the target's own."""
    return None if reference.name == where.name else reference.repository_only


def read_entries(
    store: ImageStore, target: str, parts: Sequence[SourcePart], *, flatten: bool, read: dict[Digest, RawManifest]
) -> list[SourcedEntry]:
    """The entries of all parts in order, what is unknown read in parallel; ``read`` gets the manifests that were."""

    def entries_of(part: SourcePart) -> list[SourcedEntry]:
        whole, found = part.nested, part.known
        if part.reference is not None and part.must_be_read(flatten=flatten):
            whole, found = _Reading(store, target, part, read, expand=flatten or part.expected is not None).read(part.reference)
        if part.expected is not None:
            _check_expected(found, part, part.expected, target=target)
        if whole is not None and not flatten:
            found = (whole,)
        return [SourcedEntry(descriptor, part.name, part.origin) for descriptor in found]

    if sum(part.must_be_read(flatten=flatten) for part in parts) < 2:
        return [entry for part in parts for entry in entries_of(part)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_READERS, len(parts)), "archkit-stitch") as pool:
        futures = [pool.submit(entries_of, part) for part in parts]
        return [entry for future in futures for entry in future.result()]


@attrs.frozen
class _Reading:
    """Reads one part from the store."""

    store: ImageStore
    target: str
    part: SourcePart
    manifests: dict[Digest, RawManifest]
    """Gets what was read."""
    expand: bool = attrs.field(kw_only=True)
    """Whether what stands in an index is wanted, or only the index itself."""

    def read(self, reference: ImageReference, depth: int = 1) -> tuple[Descriptor | None, tuple[Descriptor, ...]]:
        """The source itself where it is an index, and the entries that it makes."""
        manifest = self.store.manifest(reference)
        self.manifests[manifest.digest] = manifest
        document = manifest.document()
        if not isinstance(document, Index):
            return None, (self._described(reference, manifest, document),)
        if not self.expand:
            return manifest.descriptor, ()
        if depth > _DEEPEST:
            raise StitchError(self.target, f"in {self.part.name} more than {_DEEPEST} indexes stand inside each other")
        found: list[Descriptor] = []
        for entry in document.manifests:
            if entry.is_image and (entry.is_index or entry.platform_fields is None):
                _, inner = self.read(reference.repository_only.with_digest(entry.digest), depth + 1)
                found += inner if entry.is_index else [attrs.evolve(entry, platform_fields=inner[0].platform_fields)]
            else:
                found.append(entry)
        return manifest.descriptor, tuple(found)

    def _described(self, reference: ImageReference, manifest: RawManifest, document: ImageManifest) -> Descriptor:
        """A plain image as an entry: with the platform of its configuration, or the expected one where that says none."""
        config = read_config(self.store, reference, document)
        fields: Mapping[str, object] = NO_TEXTS if config is None else config.platform_fields
        if fields.get("os") and fields.get("architecture"):
            return manifest.descriptor.with_platform(fields)
        name, expected = str(reference), self.part.expected
        if expected is None:
            raise StitchError(self.target, f"the configuration of {name} names no platform", "say which it is: sources={PLATFORM: SOURCE}")
        if Platform.from_oci({**expected.to_oci(), **fields}) != expected:
            raise StitchError(self.target, f"{name} was given as {expected}, but its configuration says {dict(fields)}")
        return manifest.descriptor.with_platform(expected.to_oci())


def _check_expected(found: Sequence[Descriptor], part: SourcePart, expected: Platform, *, target: str) -> None:
    """A source of a mapping must hold one image, of the platform that it was given for."""
    images = [entry for entry in found if entry.is_image]
    if len(images) == 1 and _is_expected(images[0].platform, expected):
        return
    platforms = ", ".join(str(entry.platform) for entry in images) or "no image"
    remedy = "name the digest of the one that is meant" if len(images) > 1 else "give it for its own platform"
    raise StitchError(target, f"{part.name} was given as {expected}, but it is {platforms}", remedy)


def _is_expected(platform: Platform | None, expected: Platform) -> bool:
    """Whether a platform is the expected one; an operating system's version and features count where they are expected."""
    if platform is None:
        return False
    version = platform.os_version if expected.os_version else ""
    features = platform.os_features if expected.os_features else ()
    return attrs.evolve(platform, os_version=version, os_features=features) == expected
