"""IndexStitcher."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.index import merge_entries
from archkit.planning.index_edit import IndexEdit
from archkit.stitching.memory import Memory
from archkit.stitching.results import ONE_SOURCE, PlainSource, Source, StitchedIndex
from archkit.stitching.sources import SourcePart, chosen_entries, read_base, read_entries, source_parts
from archkit.stitching.work import StitchWork, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archkit.model.platform import ByPlatform
    from archkit.ports.registry import ImageStore
    from archkit.stitching.sources import Base, PlacedEntry

Duplicates = Literal["refuse", "keep-order"]


class IndexStitcher:
    """Joins images under one tag, with as few requests as can be.

    Nothing is read of a source that is known already; what is not known is read in parallel; one PUT stores the index.
    Two tags of one repository cost five requests (a manifest and a configuration each, and the PUT), descriptors that
    a build handed over one. A configuration is read once in a stitcher's life: the same images again cost three. Images of other repositories of the registry are mounted, those of other registries and of
    OCI layouts copied: by digest, before the index is stored.

    A name ``oci:PATH[:TAG][@DIGEST]`` is a layout's, for a source as for a target; an image ``oci`` of Docker Hub is
    ``docker.io/library/oci``.

    Args:
        registry: A ``RegistryClient``, an ``OciLayout`` or any other image store; None: a ``RegistryClient`` of its own.
    """

    def __init__(self, registry: ImageStore | None = None) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._memory = Memory()

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
        duplicates: Duplicates = "refuse",
        verify: bool = True,
        artifact_type: str | None = None,
        subject: PlainSource | None = None,
    ) -> StitchedIndex:
        """Make an index of images and store it.

        The platform of each entry is what the image's configuration says, field by field as it stands there.

        Args:
            target: Where the index goes; without a tag it is stored by digest only.
            sources: Images, indexes, or results of builds, in the order in which they shall stand: clients take the
                first that matches. A mapping says of each source which platform it must be; a version of the
                operating system that it leaves out is not compared. ``AnnotatedSource`` adds annotations to entries.
            annotations: Of the index; a Docker manifest list cannot hold any.
            media_type: Of the index. None: a Docker manifest list when every entry is of a Docker type, else an OCI index.
            flatten: The entries of a source that is an index stand in the new index themselves, attestations behind the
                image that they are about; otherwise the source itself stands there, which many registries refuse.
            expect: Refuse unless the target stands at this digest now.
            if_absent: Refuse if the target exists.
            dry_run: Store nothing; everything else happens, the bytes are those that would be stored, and ``requests``
                of the result are those that it would take of registries that grant every mount.
            tags: Further tags of the target's repository, written behind the target; no guard looks at them.
            platforms: The images to take of the sources, attestations with them; one that no source has is an error.
            duplicates: ``"keep-order"`` lets several images stand for one platform: clients take the first that
                matches, so their order is the caller's business. An equal digest stands once in any case.
            verify: False believes the platforms of a mapping, and asks of each source only type, digest and size: one
                request for each, none for a bare ``Descriptor``.
            artifact_type: What the index is, where it is no image to run.
            subject: What the index says something of: a ``Descriptor``, or an image of the target's repository. The
                index is listed among the subject's referrers, by the registry or under the tag ``sha256-…``.

        The guards are looked at before anything is brought and directly before the tag is written, which is read back
        directly after: a write before that look is refused, one behind ours is reported. Registries have no conditional
        write, so one between the look and the write, about one round trip, is overwritten. A target that stands at the
        very index already is left alone where a guard makes archkit look, and so is an immutable tag that the registry
        refuses to write.

        Raises:
            StitchError: The sources do not make one index; nothing was stored.
            TagMovedError: The target is not as expected, and nothing was stored; or somebody else wrote it at the same
                time. It is a StitchError.
            RegistryError: A store could not be read or written. A PUT that failed may have been carried out.
            TypeError: ``sources`` or ``tags`` is a single text.
            ReferenceSyntaxError: A further tag is none.
        """
        wanted = Wanted.of(
            annotations=annotations,
            media_type=media_type,
            artifact_type=artifact_type,
            subject=subject,
            expect=expect,
            if_absent=if_absent,
            tags=tags,
        )
        _refuse_one(sources)
        work = self._work(target, wanted, dry_run=dry_run)
        parts = source_parts(work.places, work.target, sources, verify=verify)
        work.announce(parts)
        entries = _read(work, parts, flatten=flatten, platforms=platforms)
        merged = merge_entries(entries, target=work.target.name, in_order=duplicates == "keep-order")
        return work.finish(merged, entries, annotated=_annotated(parts))

    def extend(
        self,
        target: str | ImageReference,
        sources: Iterable[Source] | ByPlatform[Source],
        *,
        base: PlainSource | None = None,
        replace: bool = False,
        annotations: Mapping[str, str] | None = None,
        media_type: str | None = None,
        flatten: bool = True,
        expect: Digest | str | None = None,
        if_absent: bool = False,
        dry_run: bool = False,
        tags: Iterable[str] = (),
        platforms: PlatformSet | str | None = None,
        duplicates: Duplicates = "refuse",
        verify: bool = True,
    ) -> StitchedIndex:
        """Add images to an index; everything else in it stays where and as it stands.

        What an argument means that is not named here is said at :meth:`stitch`. Without another ``base`` the write is
        guarded by the digest that was read, so two writers do not lose each other's images. A digest that is there
        already stays as it is, so doing it twice is doing it once.

        Args:
            target: Where the index goes.
            sources: The images to add, behind those that are there.
            base: The index to add to; a plain image is taken for an index of it alone. None: what the target is now
                (with ``expect``, what has that digest).
            replace: An image for a platform that is there takes its place, as with :meth:`replace`; otherwise it is an error.
            annotations: Over those of the base.
            media_type: None: an OCI index stays one; a Docker manifest list does while every entry is of a Docker type.
            flatten: Of the sources.
            expect: The digest that the target must be at.
            if_absent: The target must not exist; with a ``base`` that is not the target.
            dry_run: Store nothing.
            tags: Further tags.
            platforms: The images to take of the sources.
            duplicates: ``"keep-order"`` puts an image for a platform that is there behind the others.
            verify: Whether platforms that are given are checked.

        Raises:
            StitchError: There is an image for a platform already, the sources make no entries, or the base is not there.
            TagMovedError: The target is not what it was when it was read. It is a StitchError.
            RegistryError: A store could not be read or written.
        """
        wanted = Wanted.of(annotations=annotations, media_type=media_type, expect=expect, if_absent=if_absent, tags=tags)
        _refuse_one(sources)
        work = self._work(target, wanted, dry_run=dry_run)
        parts = source_parts(work.places, work.target, sources, verify=verify)
        found, edit = _begin(work, base, parts)
        entries = _read(work, parts, flatten=flatten, platforms=platforms)
        in_order = duplicates == "keep-order"
        added = merge_entries(entries, target=work.target.name, in_order=in_order)
        names = {entry.descriptor.digest: entry.source for entry in reversed(entries)}
        made = edit.extend(added, names, replace=replace, in_order=in_order)
        return work.finish(made, [*found.entries, *entries], base=found, annotated=_annotated(parts))

    def replace(
        self,
        target: str | ImageReference,
        sources: Iterable[Source] | ByPlatform[Source],
        *,
        base: PlainSource | None = None,
        annotations: Mapping[str, str] | None = None,
        media_type: str | None = None,
        flatten: bool = True,
        expect: Digest | str | None = None,
        if_absent: bool = False,
        dry_run: bool = False,
        tags: Iterable[str] = (),
        platforms: PlatformSet | str | None = None,
        verify: bool = True,
    ) -> StitchedIndex:
        """Put images where an index has others for the same platforms; everything else in it stays where and as it stands.

        The attestations of an image that is replaced go with it. Of a Windows version the revision does not count: an
        image of the patched build takes the place of the one before it. Arguments and guard are those of :meth:`extend`.

        Raises:
            StitchError: The index is not there, or has no image for a platform; it says which ones it has.
            TagMovedError: The target is not what it was when it was read. It is a StitchError.
            RegistryError: A store could not be read or written.
        """
        wanted = Wanted.of(annotations=annotations, media_type=media_type, expect=expect, if_absent=if_absent, tags=tags)
        _refuse_one(sources)
        work = self._work(target, wanted, dry_run=dry_run)
        parts = source_parts(work.places, work.target, sources, verify=verify)
        found, edit = _begin(work, base, parts)
        entries = _read(work, parts, flatten=flatten, platforms=platforms)
        made = edit.replace(merge_entries(entries, target=work.target.name))
        return work.finish(made, [*found.entries, *entries], base=found, annotated=_annotated(parts))

    def remove(
        self,
        target: str | ImageReference,
        unwanted: PlatformSet | Platform | Digest | str | Iterable[Platform | Digest | str],
        *,
        base: PlainSource | None = None,
        annotations: Mapping[str, str] | None = None,
        media_type: str | None = None,
        expect: Digest | str | None = None,
        if_absent: bool = False,
        dry_run: bool = False,
        tags: Iterable[str] = (),
    ) -> StitchedIndex:
        """Take images out of an index, their attestations with them; everything else in it stays where and as it stands.

        Nothing is deleted: the images stay in the repository. Arguments and guard are those of :meth:`extend`; with
        ``expect``, doing it twice is doing it once.

        Args:
            target: Where the index goes.
            unwanted: Platforms (``"linux/arm/v7"``; without a version of the operating system every version is meant)
                or digests of entries.
            base: The index to take them out of.
            annotations: Over those of the base.
            media_type: As with :meth:`extend`.
            expect: The digest that the target must be at.
            if_absent: The target must not exist.
            dry_run: Store nothing.
            tags: Further tags.

        Raises:
            StitchError: The index or one of them is not there (it says what is), or no image would be left.
            TagMovedError: The target is not what it was when it was read. It is a StitchError.
            RegistryError: A store could not be read or written.
            PlatformSyntaxError: A text is no platform.
            ReferenceSyntaxError: A text that begins as a digest is none.
            TypeError: Nothing is named.
        """
        gone = _unwanted(unwanted)
        wanted = Wanted.of(annotations=annotations, media_type=media_type, expect=expect, if_absent=if_absent, tags=tags)
        work = self._work(target, wanted, dry_run=dry_run)
        found, edit = _begin(work, base, [])
        return work.finish(edit.remove(gone), list(found.entries), base=found)

    def _work(self, target: str | ImageReference, wanted: Wanted, *, dry_run: bool) -> StitchWork:
        with self._lock:
            if self._registry is None:
                from archkit.adapters.registry import RegistryClient

                self._registry = RegistryClient()
            return StitchWork.begin(self._registry, target, wanted, self._memory, dry_run=dry_run)


def _begin(work: StitchWork, base: PlainSource | None, parts: list[SourcePart]) -> tuple[Base, IndexEdit]:
    """The index that is changed; the work is guarded by it where it is the target."""
    source = work.base_source(base)
    work.announce(parts, source)
    work.step("read the index")
    found = read_base(work.places, work.target, source, work.read, work.memory)
    work.guard_by(found, base)
    return found, IndexEdit(work.target.name, found.name, tuple(entry.descriptor for entry in found.entries))


def _read(work: StitchWork, parts: list[SourcePart], *, flatten: bool, platforms: PlatformSet | str | None) -> list[PlacedEntry]:
    """The entries of the sources, those of the platforms that are wanted."""
    work.step("read a source")
    entries = read_entries(work.target.name, parts, flatten=flatten, read=work.read, memory=work.memory, readers=work.parallel)
    return entries if platforms is None else chosen_entries(entries, PlatformSet(platforms), target=work.target.name)


def _annotated(parts: list[SourcePart]) -> frozenset[str]:
    """The annotations that were asked for on entries."""
    return frozenset(name for part in parts for name in part.annotations)


def _refuse_one(sources: object) -> None:
    if isinstance(sources, ONE_SOURCE):
        raise TypeError(f"sources must be several, in a list or a mapping, not one {type(sources).__name__}: {sources!r}")


def _unwanted(unwanted: PlatformSet | Platform | Digest | str | Iterable[Platform | Digest | str]) -> list[Platform | Digest]:
    listed = [unwanted] if isinstance(unwanted, (str, Platform)) else list(unwanted)
    found: list[Platform | Digest] = []
    for item in listed:
        if isinstance(item, Platform):
            found.append(item)
        elif item.startswith("sha"):
            found.append(Digest(item))
        else:
            found += PlatformSet.parse(item)
    if not found:
        raise TypeError("nothing is named to remove: give platforms or digests")
    return found
