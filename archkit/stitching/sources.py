"""What an index is stitched of: sources as the caller names them, read as far as they are not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import read_config
from archkit.copying import Place, in_parallel
from archkit.errors import RegistryError, StitchError
from archkit.model.build import BuiltImage
from archkit.model.frozen import NO_TEXTS, FrozenMap
from archkit.model.oci import ATTESTATION, ATTESTED, Descriptor, Index, RawManifest
from archkit.model.platform import ByPlatform, Platform
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import SourcedEntry, compose_index, encode_index
from archkit.stitching.memory import Memory
from archkit.stitching.places import Located, Places
from archkit.stitching.results import AnnotatedSource, PlainSource, Source, StitchedIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.oci import ImageManifest
    from archkit.model.platform_set import PlatformSet

READERS = 4
"""How many sources are read at the same time."""
_DEEPEST = 4
"""How many indexes may stand inside each other; registries refuse less."""


@attrs.frozen
class PlacedEntry(SourcedEntry):
    """An entry for an index, and where what it describes is."""

    place: Place


def chosen_entries(entries: Sequence[PlacedEntry], wanted: PlatformSet, *, target: str) -> list[PlacedEntry]:
    """The images of these platforms and what is about them; a nested index names no platform and is none of them."""
    if wanted.is_all:
        return list(entries)
    found = [entry.descriptor.platform for entry in entries if entry.descriptor.is_image]
    for platform in wanted:
        if not any(one is not None and one.satisfies(platform) for one in found):
            there = ", ".join(dict.fromkeys(str(one) for one in found if one is not None)) or "none"
            nested = "; an index that stays one has no platform, flatten=True takes its images" if None in found else ""
            raise StitchError(target, f"no source has an image for {platform}", f"the sources have {there}{nested}")
    return [entry for entry in entries if not entry.descriptor.is_image or _is_one_of(entry.descriptor.platform, wanted)]


def _is_one_of(platform: Platform | None, wanted: PlatformSet) -> bool:
    return platform is not None and any(platform.satisfies(one) for one in wanted)


@attrs.frozen
class SourcePart:
    """A source: where it is, what is known of it, and what it must be."""

    where: Located
    """What messages call it, and what is read where something must be."""
    known: tuple[Descriptor, ...] = ()
    """Its entries, where nothing need be read."""
    nested: Descriptor | None = None
    """The source itself as an entry, where it is known to be an index."""
    bare: Descriptor | None = None
    """The source itself where it is known to be a plain image, but not for which platform."""
    expected: Platform | None = None
    believed: bool = False
    """Whether the expected platform is taken as true without looking."""
    annotations: FrozenMap[str, str] = NO_TEXTS
    """For its images."""

    def must_be_read(self, *, flatten: bool) -> bool:
        """Whether the store has to be asked."""
        return not self.known and (flatten or self.nested is None or self.expected is not None)


def source_parts(
    places: Places, target: Located, sources: Iterable[Source] | ByPlatform[Source], *, verify: bool = True
) -> list[SourcePart]:
    """The sources as parts of an index at ``target``, in their order. No request.

    Raises:
        StitchError: There are none, an annotation is not the caller's to give, or no platform is given to be believed.
        TypeError: One is nothing that an index can be made of.
    """
    parts: list[SourcePart] = []
    if isinstance(sources, Mapping):
        for key, source in sources.items():
            expected = Platform.parse(key) if isinstance(key, str) else key
            parts.append(_believed(attrs.evolve(source_part(places, target, source), expected=expected, believed=not verify)))
    elif not verify:
        raise StitchError(target.name, "verify=False believes the platforms that it is told", "give sources={PLATFORM: SOURCE}")
    else:
        parts = [source_part(places, target, source) for source in sources]
    if not parts:
        raise StitchError(target.name, "there are no sources", "name at least one image")
    return parts


def _believed(part: SourcePart) -> SourcePart:
    """The part with its entry, where that is known as soon as its platform is."""
    if part.believed and part.bare is not None and part.expected is not None:
        return attrs.evolve(part, known=(part.bare.with_platform(part.expected.to_oci()),))
    return part


def source_part(places: Places, target: Located, source: object) -> SourcePart:
    """One source of an index at ``target``. No request.

    Raises:
        StitchError: An annotation is not the caller's to give.
        TypeError: It is nothing that an index can be made of.
    """
    match source:
        case AnnotatedSource():
            reserved = {ATTESTATION, ATTESTED}.intersection(source.annotations)
            if reserved:
                raise StitchError(target.name, f"{', '.join(sorted(reserved))} says that an entry is an attestation", "leave it out")
            return attrs.evolve(source_part(places, target, source.source), annotations=source.annotations)
        case Descriptor():
            where = target.with_digest(source.digest)
            if source.is_index:
                return SourcePart(where, nested=source)
            return SourcePart(where, (source,)) if source.platform_fields else SourcePart(where, bare=source)
        case StitchedIndex():
            where = places.locate(source.reference) if source.layout is None else places.in_layout(source.layout, source.reference)
            return SourcePart(where, source.descriptors, source.descriptor)
        case BuiltImage():
            return _built_part(places, source)
        case str() | ImageReference():
            return SourcePart(places.locate(source))
        case _:
            raise TypeError(f"not a source of an index: {source!r}")


def _built_part(places: Places, image: BuiltImage) -> SourcePart:
    reference, whole = ImageReference.parse(image.reference), image.descriptor
    where = places.locate(reference) if image.layout is None else places.in_layout(image.layout, reference, by_tag=False)
    nested = whole if whole is not None and whole.is_index else None
    children = tuple(
        child if child.platform_fields else child.with_platform(platform.to_oci()) for platform, child in image.children.items()
    )
    if children and _is_all(image, children):
        return SourcePart(where, children, nested)
    if whole is None or whole.is_index:
        return SourcePart(where, nested=nested)
    return SourcePart(where, (whole,)) if whole.platform_fields else SourcePart(where, bare=whole)


def _is_all(image: BuiltImage, children: Sequence[Descriptor]) -> bool:
    """Whether an image is nothing but its children: an index that others made may hold attestations, too."""
    digest = image.digest
    if digest is None or digest in {child.digest for child in children}:
        return True
    media_type = image.descriptor.media_type if image.descriptor is not None and image.descriptor.is_index else None
    return encode_index(compose_index(children, target=image.reference, media_type=media_type)).digest == digest


def read_entries(
    target: str, parts: Sequence[SourcePart], *, flatten: bool, read: dict[Digest, RawManifest], memory: Memory, readers: int = READERS
) -> list[PlacedEntry]:
    """The entries of all parts in order, what is unknown read in parallel; ``read`` gets the manifests that were."""

    def entries_of(part: SourcePart) -> list[PlacedEntry]:
        whole, found = part.nested, part.known
        if part.must_be_read(flatten=flatten):
            whole, found = SourceReading(target, part, read, memory, expand=flatten or part.expected is not None).read(part.where)
        if part.expected is not None:
            _check_expected(found, part, part.expected, target=target)
        if whole is not None and not flatten:
            found = (whole,)
        return [PlacedEntry(_annotated(descriptor, part.annotations), part.where.name, part.where.place) for descriptor in found]

    threads = readers if sum(part.must_be_read(flatten=flatten) for part in parts) > 1 else 1
    return [entry for found in in_parallel(entries_of, parts, threads, "archkit-stitch") for entry in found]


def _annotated(descriptor: Descriptor, annotations: Mapping[str, str]) -> Descriptor:
    if not annotations or not descriptor.is_image:
        return descriptor
    return attrs.evolve(descriptor, annotations={**descriptor.annotations, **annotations})


@attrs.frozen
class SourceReading:
    """Reads one part from its store."""

    target: str
    part: SourcePart
    manifests: dict[Digest, RawManifest]
    """Gets what was read."""
    memory: Memory
    expand: bool = attrs.field(kw_only=True)
    """Whether what stands in an index is wanted, or only the index itself."""

    def read(self, where: Located, depth: int = 1) -> tuple[Descriptor | None, tuple[Descriptor, ...]]:
        """The source itself where it is an index, and the entries that it makes."""
        if self.part.believed and self.part.expected is not None and depth == 1 and self.part.nested is None:
            found = where.described()
            if not found.is_index:
                return None, (found.with_platform(self.part.expected.to_oci()),)
            where = where.with_digest(found.digest)
        manifest = where.store.manifest(where.reference)
        self.manifests[manifest.digest] = manifest
        document = manifest.document()
        if not isinstance(document, Index):
            return None, (self.described(where, manifest, document),)
        if not self.expand:
            return manifest.descriptor, ()
        if depth > _DEEPEST:
            raise StitchError(self.target, f"in {self.part.where.name} more than {_DEEPEST} indexes stand inside each other")
        found_entries: list[Descriptor] = []
        for entry in document.manifests:
            if entry.is_image and entry.is_index:
                found_entries += self.read(where.with_digest(entry.digest), depth + 1)[1]
            else:
                found_entries.append(self.with_platform(where, entry))
        return manifest.descriptor, tuple(found_entries)

    def with_platform(self, where: Located, entry: Descriptor) -> Descriptor:
        """An entry of the index at ``where`` with the platform of its configuration, where it says none itself."""
        if not entry.is_image or entry.is_index or entry.platform_fields is not None:
            return entry
        inner = where.with_digest(entry.digest)
        manifest = inner.store.manifest(inner.reference)
        self.manifests[manifest.digest] = manifest
        document = manifest.document()
        if isinstance(document, Index):
            raise StitchError(self.target, f"{inner.name} is an index, but its entry in {where.name} says {entry.media_type}")
        return attrs.evolve(entry, platform_fields=self.described(inner, manifest, document).platform_fields)

    def described(self, where: Located, manifest: RawManifest, document: ImageManifest) -> Descriptor:
        """A plain image as an entry: with the platform of its configuration, or the expected one where that says none."""
        fields: Mapping[str, object] | None = self.memory.platform_fields(document.config.digest)
        if fields is None:
            config = read_config(where.store, where.reference, document)
            fields = NO_TEXTS if config is None else config.platform_fields
            if config is not None:
                self.memory.keep_platform_fields(document.config.digest, config.platform_fields)
        if fields.get("os") and fields.get("architecture"):
            return manifest.descriptor.with_platform(fields)
        expected = self.part.expected
        if expected is None:
            remedy = "say which it is: sources={PLATFORM: SOURCE}"
            raise StitchError(self.target, f"the configuration of {where.name} names no platform", remedy)
        if Platform.from_oci({**expected.to_oci(), **fields}) != expected:
            raise StitchError(self.target, f"{where.name} was given as {expected}, but its configuration says {dict(fields)}")
        return manifest.descriptor.with_platform(expected.to_oci())


def _check_expected(found: Sequence[Descriptor], part: SourcePart, expected: Platform, *, target: str) -> None:
    """A source of a mapping must hold one image, of the platform that it was given for."""
    images = [entry for entry in found if entry.is_image]
    if len(images) == 1 and _is_expected(images[0].platform, expected):
        return
    platforms = ", ".join(str(entry.platform) for entry in images) or "no image"
    remedy = "name the digest of the one that is meant" if len(images) > 1 else "give it for its own platform"
    raise StitchError(target, f"{part.where.name} was given as {expected}, but it is {platforms}", remedy)


def _is_expected(platform: Platform | None, expected: Platform) -> bool:
    """Whether a platform is the expected one; an operating system's version and features count where they are expected."""
    if platform is None:
        return False
    version = platform.os_version if expected.os_version else ""
    features = platform.os_features if expected.os_features else ()
    return attrs.evolve(platform, os_version=version, os_features=features) == expected


@attrs.frozen
class Base:
    """The index that is changed."""

    name: str
    """What messages call it."""
    digest: Digest
    entries: tuple[PlacedEntry, ...]
    index: Index | None
    """None: it is a plain image."""


def read_base(places: Places, at: Located, source: PlainSource, read: dict[Digest, RawManifest], memory: Memory) -> Base:
    """The index that is changed, its entries as they stand; entries that say no platform are asked for theirs.

    Raises:
        StitchError: It is not there, or the configuration of a plain image names no platform.
        RegistryError: It cannot be read.
    """
    part = source_part(places, at, source)
    where = part.where if part.nested is None else part.where.with_digest(part.nested.digest)
    manifest = RawManifest(source.media_type, source.manifest) if isinstance(source, StitchedIndex) else None
    if manifest is None:
        try:
            manifest = where.store.manifest(where.reference)
        except RegistryError as error:
            if error.status != 404:
                raise
            raise StitchError(at.name, f"{where.name} is not there, so it cannot be changed", "stitch() makes an index") from error
    read[manifest.digest] = manifest
    document, where = manifest.document(), part.where.with_digest(manifest.digest)
    reading = SourceReading(at.name, part, read, memory, expand=True)
    if isinstance(document, Index):
        found: Iterable[Descriptor] = [reading.with_platform(where, entry) for entry in document.manifests]
    else:
        found = [reading.described(where, manifest, document)]
    entries = tuple(PlacedEntry(descriptor, part.where.name, where.place) for descriptor in found)
    return Base(part.where.name, manifest.digest, entries, document if isinstance(document, Index) else None)
