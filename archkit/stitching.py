"""IndexStitcher: several images under one tag."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import as_reference, read_config
from archkit.copying import Copier
from archkit.errors import RegistryError, StitchError
from archkit.model.build import BuiltImage
from archkit.model.frozen import NO_TEXTS
from archkit.model.oci import Descriptor, Index, RawManifest
from archkit.model.platform import ByPlatform, Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import SourcedEntry, compose_index, encode_index, merge_entries
from archkit.ports.registry import ImageStore, SignsIn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.oci import ImageManifest

_READERS = 4
_REFUSED = frozenset({400, 403, 409, 412})
"""What registries answer when a tag is immutable; ECR does so for equal content, too."""
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


class IndexStitcher:
    """Joins images under one tag, with as few requests as can be.

    Nothing is read of a source that is known already; what is not known is read in parallel; one PUT stores the index.
    Two tags of one repository cost five requests (a manifest and a configuration each, and the PUT), descriptors that
    a build handed over one. Images of other repositories of the registry are mounted, those of other registries copied:
    by digest, before the index is stored.

    Args:
        registry: A ``RegistryClient``, an ``OciLayout`` or any other image store; None: a ``RegistryClient`` of its own.
    """

    def __init__(self, registry: ImageStore | None = None) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._brought: set[tuple[str, str]] = set()
        """Repositories, and those that they were given images of: the next images probably share their blobs."""

    def stitch(
        self,
        target: str | ImageReference,
        sources: Iterable[Source] | ByPlatform[Source],
        *,
        annotations: Mapping[str, str] | None = None,
        media_type: str | None = None,
        flatten: bool = True,
        expect: Digest | str | None = None,
        if_absent: bool = False,
        dry_run: bool = False,
        tags: Iterable[str] = (),
        platforms: PlatformSet | str | None = None,
    ) -> StitchedIndex:
        """Make an index of images and store it.

        The platform of each entry is what the image's configuration says, field by field as it stands there.

        Args:
            target: Where the index goes; without a tag it is stored by digest only.
            sources: Images, indexes, or results of builds, in the order in which they shall stand: clients take the
                first that matches. A mapping says of each source which platform it must be; a version of the
                operating system that it leaves out is not compared.
            annotations: Of the index; a Docker manifest list cannot hold any.
            media_type: Of the index. None: a Docker manifest list when every entry is of a Docker type, else an OCI index.
            flatten: The entries of a source that is an index stand in the new index themselves, attestations behind the
                image that they are about; otherwise the source itself stands there, which many registries refuse.
            expect: Refuse unless the target stands at this digest now.
            if_absent: Refuse if the target exists.
            dry_run: Store nothing; everything else happens, and the bytes are those that would be stored.
            tags: Further tags of the target's repository, written behind the target; no guard looks at them.
            platforms: The images to take of the sources, attestations with them; one that no source has is an error.

        A target that stands at the very index already is left alone where ``expect`` or ``if_absent`` makes archkit look,
        and so is an immutable tag that the registry refuses to write.

        Raises:
            StitchError: The sources do not make one index, or the target is not as expected; nothing was stored.
            RegistryError: The store could not be read or written. A PUT that failed may have been carried out.
            TypeError: ``sources`` or ``tags`` is a single text.
            ReferenceSyntaxError: A further tag is none.
        """
        where = as_reference(target)
        if isinstance(sources, (str, bytes, ImageReference, BuiltImage, Descriptor, StitchedIndex)):
            raise TypeError(f"sources must be several, in a list or a mapping, not one {type(sources).__name__}: {sources!r}")
        if where.digest is not None:
            raise StitchError(
                str(where), "the digest of an index follows from what is in it", "leave the digest out; pass expect= to guard the tag"
            )
        if where.tag is None and (if_absent or expect is not None):
            raise StitchError(str(where), "expect and if_absent guard a tag, and the target has none", "write NAME:TAG")
        if if_absent and expect is not None:
            raise StitchError(str(where), "expect says that the target exists, if_absent that it does not", "choose one")
        if isinstance(tags, str):
            raise TypeError(f"tags must be several, not one text: {tags!r}")
        places = list(dict.fromkeys([where, *(where.with_tag(tag) for tag in tags)]))
        parts = _parts(where, sources)
        store = self._store()
        origins = {part.origin for part in parts if part.origin is not None}
        if not dry_run and isinstance(store, SignsIn):
            store.announce(where, sorted(origins))
        read: dict[Digest, RawManifest] = {}
        entries = _entries(store, str(where), parts, flatten=flatten, read=read)
        if platforms is not None:
            entries = _chosen(entries, PlatformSet(platforms), target=str(where))
        index = compose_index(merge_entries(entries, target=str(where)), target=str(where), annotations=annotations, media_type=media_type)
        manifest = encode_index(index)
        made = StitchedIndex(
            where.with_digest(manifest.digest),
            manifest.media_type,
            PlatformSet(entry.platform for entry in index.images if entry.platform is not None),
            manifest.content,
            index.manifests,
        )
        if dry_run:
            return made
        if self._is_settled(store, where, made, None if expect is None else Digest(expect), if_absent=if_absent):
            places.remove(where)
        else:
            self._bring(store, where.repository_only, made, entries, read)
        for place in places:
            _store_index(store, place, manifest)
        return made

    def _store(self) -> ImageStore:
        with self._lock:
            if self._registry is None:
                from archkit.adapters.registry import RegistryClient

                self._registry = RegistryClient()
            return self._registry

    def _bring(
        self,
        store: ImageStore,
        target: ImageReference,
        made: StitchedIndex,
        entries: Sequence[SourcedEntry],
        read: Mapping[Digest, RawManifest],
    ) -> None:
        """Bring what the index names and its repository may not have."""
        here = {entry.descriptor.digest for entry in entries if entry.origin is None}
        origins = {entry.descriptor.digest: entry.origin for entry in reversed(entries) if entry.origin is not None}
        images = [(entry, origins[entry.digest]) for entry in made.descriptors if entry.digest not in here]
        if not images:
            return
        pairs = {(target.name, origin.name) for _, origin in images}
        with self._lock:
            known = pairs <= self._brought
        Copier(store, target, read).bring(images, probably_there=known)
        with self._lock:
            self._brought |= pairs

    def _is_settled(self, store: ImageStore, where: ImageReference, made: StitchedIndex, expect: Digest | None, *, if_absent: bool) -> bool:
        """Whether the target stands at the index already; raises when it is not as the caller said."""
        if expect is None and not if_absent:
            return False
        found = store.head(where)
        if found is not None and found.digest == made.digest:
            return True
        if if_absent and found is not None:
            raise StitchError(str(where), f"it exists already, as {found.digest}", "take another tag, or pass expect= with that digest")
        if expect is not None and (found is None or found.digest != expect):
            now = "does not exist" if found is None else f"is {found.digest}"
            raise StitchError(str(where), f"it {now}, expected was {expect}", "look at what changed, and stitch again")
        return False


def _store_index(store: ImageStore, place: ImageReference, manifest: RawManifest) -> None:
    """Store the index; a tag that may not be written again but stands at it already is as it should be."""
    try:
        stored = store.put_manifest(place, manifest)
    except RegistryError as error:
        if error.status not in _REFUSED or place.tag is None:
            raise
        found = store.head(place)
        if found is None or found.digest != manifest.digest:
            raise
        return
    if stored.digest != manifest.digest:
        raise StitchError(str(place), f"the store answers that it holds {stored.digest}, but {manifest.digest} was sent")


def _chosen(entries: Sequence[SourcedEntry], wanted: PlatformSet, *, target: str) -> list[SourcedEntry]:
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
class _Part:
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


def _parts(where: ImageReference, sources: Iterable[Source] | ByPlatform[Source]) -> list[_Part]:
    if isinstance(sources, Mapping):
        named = [(Platform.parse(key) if isinstance(key, str) else key, source) for key, source in sources.items()]
        parts = [attrs.evolve(_part(where, source), expected=platform) for platform, source in named]
    else:
        parts = [_part(where, source) for source in sources]
    if not parts:
        raise StitchError(str(where), "there are no sources", "name at least one image")
    return parts


def _part(where: ImageReference, source: object) -> _Part:
    match source:
        case Descriptor():
            name = f"{where.name}@{source.digest}"
            if source.is_index:
                return _Part(name, reference=where.repository_only.with_digest(source.digest), nested=source)
            if source.platform_fields:
                return _Part(name, (source,))
            return _Part(name, reference=where.repository_only.with_digest(source.digest))
        case StitchedIndex():
            reference = source.reference
            return _Part(str(reference), source.descriptors, nested=source.descriptor, origin=_origin(where, reference))
        case BuiltImage():
            return _built_part(where, source)
        case str() | ImageReference():
            reference = as_reference(source)
            return _Part(str(reference), reference=reference, origin=_origin(where, reference))
        case _:
            raise TypeError(f"not a source of an index: {source!r}")


def _built_part(where: ImageReference, image: BuiltImage) -> _Part:
    reference = ImageReference.parse(image.reference)
    name, whole, origin = str(reference), image.descriptor, _origin(where, reference)
    if image.children:
        children = (
            child if child.platform_fields else child.with_platform(platform.to_oci()) for platform, child in image.children.items()
        )
        return _Part(name, tuple(children), nested=whole if whole is not None and whole.is_index else None, origin=origin)
    if whole is not None and not whole.is_index and whole.platform_fields:
        return _Part(name, (whole,), origin=origin)
    return _Part(name, reference=reference, nested=whole if whole is not None and whole.is_index else None, origin=origin)


def _origin(where: ImageReference, reference: ImageReference) -> ImageReference | None:
    """The repository of a source; None where it is the target's own."""
    return None if reference.name == where.name else reference.repository_only


def _entries(
    store: ImageStore, target: str, parts: Sequence[_Part], *, flatten: bool, read: dict[Digest, RawManifest]
) -> list[SourcedEntry]:
    """The entries of all parts in order, what is unknown read in parallel; ``read`` gets the manifests that were."""

    def entries_of(part: _Part) -> list[SourcedEntry]:
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
    part: _Part
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


def _check_expected(found: Sequence[Descriptor], part: _Part, expected: Platform, *, target: str) -> None:
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
