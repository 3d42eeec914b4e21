"""One stitch: what is wanted of the index, and the steps from its entries to the tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.copying import PARALLEL, Copier
from archkit.errors import RegistryError, StitchError
from archkit.model.frozen import NO_TEXTS, FrozenMap
from archkit.model.oci import OCI_INDEX, Descriptor, RawManifest
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import compose_index, encode_index
from archkit.ports.registry import ImageStore, SignsIn
from archkit.stitching.memory import Memory
from archkit.stitching.places import Located, Places
from archkit.stitching.results import PlainSource, StitchedIndex
from archkit.stitching.sources import Base, PlacedEntry, SourcePart, source_part
from archkit.stitching.storing import Guard, list_referrer, read_back, store_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.copying import Place
    from archkit.model.oci import Index


@attrs.frozen
class Wanted:
    """What is wanted beside the entries."""

    annotations: FrozenMap[str, str]
    media_type: str | None
    artifact_type: str | None
    subject: PlainSource | None
    guard: Guard
    tags: tuple[str, ...]

    @classmethod
    def of(
        cls,
        *,
        annotations: Mapping[str, str] | None,
        media_type: str | None,
        expect: Digest | str | None,
        if_absent: bool,
        tags: Iterable[str],
        artifact_type: str | None = None,
        subject: PlainSource | None = None,
    ) -> Wanted:
        """The same as a caller says it.

        Raises:
            TypeError: ``tags`` is a single text.
            ReferenceSyntaxError: ``expect`` is no digest.
        """
        if isinstance(tags, str):
            raise TypeError(f"tags must be several, not one text: {tags!r}")
        guard = Guard(None if expect is None else Digest(expect), if_absent)
        return cls(FrozenMap(annotations or NO_TEXTS), media_type, artifact_type, subject, guard, tuple(tags))


@attrs.define
class StitchWork:
    """One stitch on its way."""

    places: Places
    target: Located
    tags: tuple[Located, ...]
    """All that are to be written; the target is the first."""
    wanted: Wanted
    guard: Guard
    dry_run: bool
    memory: Memory
    """Of the stitcher."""
    read: dict[Digest, RawManifest] = attrs.field(factory=dict[Digest, RawManifest])
    """The manifests that were."""

    @classmethod
    def begin(
        cls,
        store: ImageStore,
        target: str | ImageReference,
        wanted: Wanted,
        memory: Memory,
        *,
        dry_run: bool,
    ) -> StitchWork:
        """The work on an index at ``target``. No request.

        Raises:
            StitchError: The target has a digest, or the guards cannot hold.
            ReferenceSyntaxError: The target or a further tag is none.
        """
        places = Places(store, dry_run=dry_run)
        where = places.locate(target)
        reference, guard = where.reference, wanted.guard
        if reference.digest is not None:
            remedy = "leave the digest out; pass expect= to guard the tag"
            raise StitchError(where.name, "the digest of an index follows from what is in it", remedy)
        if reference.tag is None and guard.asks:
            raise StitchError(where.name, "expect and if_absent guard a tag, and the target has none", "write NAME:TAG")
        if guard.if_absent and guard.expect is not None:
            raise StitchError(where.name, "expect says that the target exists, if_absent that it does not", "choose one")
        tags = tuple(dict.fromkeys([where, *(where.with_tag(tag) for tag in wanted.tags)]))
        return cls(places, where, tags, wanted, guard, dry_run, memory)

    @property
    def parallel(self) -> int:
        """How much is done at the same time; a dry run goes one by one, so that its requests have an order."""
        return 1 if self.dry_run else PARALLEL

    def step(self, purpose: str) -> None:
        """What requests are made for from now on."""
        self.places.ledger.step = purpose

    def announce(self, parts: Sequence[SourcePart], base: PlainSource | None = None) -> None:
        """Tell the store what will be read and written, so that one sign-in serves all of it; a dry run asks for no right to write."""
        own = self.places.own
        if self.dry_run or self.target.store is not own or not isinstance(own.store, SignsIn):
            return
        named = [*parts, *([] if base is None else [source_part(self.places, self.target, base)])]
        origins = {part.where.place.repository for part in named if part.where.store is own} - {self.target.place.repository}
        own.store.announce(self.target.reference, sorted(origins))

    # ---- another index as the base ------------------------------------------------------------------------------

    def base_source(self, base: PlainSource | None) -> PlainSource:
        """What is to be changed, as a source: the target itself where nothing else is said.

        Raises:
            StitchError: The target has no tag, or must not exist.
        """
        if base is not None:
            return base
        if self.target.reference.tag is None:
            raise StitchError(self.target.name, "the target has no tag that could be changed", "write NAME:TAG, or pass base=")
        if self.guard.if_absent:
            raise StitchError(self.target.name, "if_absent says that the target does not exist, but it is to be changed", "pass base=")
        at = self.target if self.guard.expect is None else self.target.with_digest(self.guard.expect)
        return at.reference if at.layout is None else at.name

    def guard_by(self, found: Base, base: PlainSource | None) -> None:
        """Write the target only while it is what was read, where it is what is changed."""
        if base is None and self.guard.expect is None:
            self.guard = Guard(found.digest)

    # ---- from entries to the tag --------------------------------------------------------------------------------

    def finish(
        self,
        entries: Iterable[Descriptor],
        placed: Sequence[PlacedEntry],
        *,
        base: Base | None = None,
        annotated: Iterable[str] = (),
    ) -> StitchedIndex:
        """Make the index and store it.

        Args:
            entries: Of the index, in order.
            placed: Where what they describe is.
            base: What the index is made of, where it is a change.
            annotated: Annotations that were asked for on entries.
        """
        index = self._compose(entries, base.index if base is not None else None, annotated)
        manifest = encode_index(index)
        self._store(index, manifest, placed)
        return StitchedIndex(
            self.target.reference.with_digest(manifest.digest),
            manifest.media_type,
            PlatformSet(entry.platform for entry in index.images if entry.platform is not None),
            manifest.content,
            index.manifests,
            layout=self.target.layout,
            requests=self.places.ledger.requests,
        )

    def _compose(self, entries: Iterable[Descriptor], base: Index | None, annotated: Iterable[str]) -> Index:
        wanted, name = self.wanted, self.target.name
        kept_type = base.media_type if base is not None and base.media_type == OCI_INDEX else None
        return compose_index(
            entries,
            target=name,
            annotations={**(base.annotations if base is not None else NO_TEXTS), **wanted.annotations},
            media_type=wanted.media_type or kept_type,
            entry_annotations=annotated,
            artifact_type=wanted.artifact_type or (base.artifact_type if base is not None else None),
            subject=self._subject(wanted.subject) if wanted.subject is not None else (base.subject if base is not None else None),
        )

    def _subject(self, subject: PlainSource) -> Descriptor:
        part = source_part(self.places, self.target, subject)
        if part.where.place != self.target.place:
            reason = f"its subject {part.where.name} is in another repository, where nobody would find the index"
            raise StitchError(self.target.name, reason, f"name an image of {self.target.place.repository}")
        known = part.nested or part.bare or next(iter(part.known), None)
        if known is not None and known.digest == (part.where.reference.digest or known.digest):
            return known
        self.step("look at the subject")
        return part.where.described()

    def _store(self, index: Index, manifest: RawManifest, placed: Sequence[PlacedEntry]) -> None:
        bringing = self._to_bring(index, placed)
        self.step("look whether the target is as expected")
        before = self.guard.check(self.target, manifest.digest)
        if self.guard.asks and before != manifest.digest and bringing:
            self._bring(bringing)
            self.step("look whether the target is as expected")
            before = self.guard.check(self.target, manifest.digest)
        elif before != manifest.digest:
            self._bring(bringing)
        settled = self.guard.asks and before == manifest.digest
        if not settled and self.target.keeps_anything:
            self._check_children(index)
        tags = self.tags[1:] if settled else self.tags
        if index.subject is not None:
            self.step("store the index")
            list_referrer(self.places, self.target, index, manifest)
            tags = tuple(tag for tag in tags if tag.reference.tag is not None)
        for tag in tags:
            self.step("write the tag" if tag.reference.tag is not None else "store the index")
            store_index(tag, manifest)
            if tag is self.target and self.guard.asks:
                self.step("read the tag back")
                read_back(tag, manifest.digest, before)

    def _to_bring(self, index: Index, placed: Sequence[PlacedEntry]) -> list[tuple[Descriptor, Place]]:
        """What the index names and its repository may not have."""
        target = self.target.place
        here = {entry.descriptor.digest for entry in placed if entry.place == target}
        origins = {entry.descriptor.digest: entry.place for entry in reversed(placed) if entry.place != target}
        return [(entry, origins[entry.digest]) for entry in index.manifests if entry.digest not in here]

    def _bring(self, images: list[tuple[Descriptor, Place]]) -> None:
        if not images:
            return
        self.step("bring an image")
        target = self.target.place
        pairs = {(target.repository.name, origin.repository.name) for _, origin in images if target.can_mount(origin)}
        known = self.memory.has_brought(pairs)
        Copier(target, self.read, self.places.retries, self.parallel).bring(images, probably_there=known)
        if not self.dry_run:
            self.memory.keep_brought(pairs)

    def _check_children(self, index: Index) -> None:
        for entry in index.manifests:
            if self.target.store.head(self.target.with_digest(entry.digest).reference) is None:
                raise RegistryError(self.target.name, f"the layout has no manifest {entry.digest}, which the index names", 404)
