"""IndexStitcher."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from archkit.adapters.content import as_reference
from archkit.copying import Copier
from archkit.errors import RegistryError, StitchError
from archkit.model.build import BuiltImage
from archkit.model.oci import Descriptor, RawManifest
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import SourcedEntry, compose_index, encode_index, merge_entries
from archkit.ports.registry import ImageStore, SignsIn
from archkit.stitching.sources import Source, StitchedIndex, chosen_entries, read_entries, source_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.model.platform import ByPlatform

_REFUSED = frozenset({400, 403, 409, 412})
"""What registries answer when a tag is immutable; ECR does so for equal content, too."""


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
        parts = source_parts(where, sources)
        store = self._store()
        origins = {part.origin for part in parts if part.origin is not None}
        if not dry_run and isinstance(store, SignsIn):
            store.announce(where, sorted(origins))
        read: dict[Digest, RawManifest] = {}
        entries = read_entries(store, str(where), parts, flatten=flatten, read=read)
        if platforms is not None:
            entries = chosen_entries(entries, PlatformSet(platforms), target=str(where))
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
