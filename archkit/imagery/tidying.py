"""remove_tags()."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.errors import RegistryError
from archkit.imagery.places import located
from archkit.model.finding import Finding
from archkit.planning.strategy import child_tag, staging_reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from archkit.model.oci import RawManifest
    from archkit.model.reference import Digest, ImageReference
    from archkit.ports.registry import ImageStore


@attrs.frozen
class TagRemoval:
    """What became of tags that are not wanted any more."""

    repository: str
    removed: tuple[str, ...] = ()
    """Gone now; with ``dry_run``, those that would be tried."""
    left: tuple[str, ...] = ()
    """Still there: the registry cannot, or may not, remove them."""
    absent: tuple[str, ...] = ()
    """Were not there."""
    restored: tuple[str, ...] = ()
    """Tags and digests that the registry dropped together with a tag, and that were put back."""
    findings: tuple[Finding, ...] = ()
    """``staging-tag-left`` for each tag that is left, with what the registry said."""
    dry_run: bool = False

    def __str__(self) -> str:
        done = "would be removed" if self.dry_run else "removed"
        rows = ((done, self.removed), ("left", self.left), ("not there", self.absent), ("put back", self.restored))
        lines = [f"  {what}: {', '.join(names)}" for what, names in rows if names]
        return "\n".join([self.repository, *(lines or ["  nothing to do"])])


def remove_tags(
    reference: ImageReference | str,
    tags: Iterable[str] | None = None,
    registry: ImageStore | None = None,
    *,
    keep: Iterable[str] = (),
    dry_run: bool = False,
) -> TagRemoval:
    """Remove tags and nothing else: no manifest, no image of an index, never the reference's own tag.

    Tags are removed by tag, never by digest. Some registries drop the manifest with its tag, and every other tag of it:
    what is gone then is put back, byte for byte, before the next tag is touched. A registry that cannot delete by tag
    keeps them; the result says which, and why.

    Args:
        reference: A repository, or its final tag, which is kept; ``oci:PATH[:TAG]`` is an OCI layout.
        tags: What to remove. None: what builds of archkit leave beside the final tag: ``TAG_archkit-staging`` and
            the tag of each platform that the index has (``TAG_linux_arm64``).
        registry: A ``RegistryClient``, an ``OciLayout`` or any other image store; None: a ``RegistryClient`` of its own.
        keep: Further tags that must stay.
        dry_run: Remove nothing, say what would be tried.

    Raises:
        ValueError: A tag is to be removed and kept, or ``tags`` is left out and the reference has no tag; nothing was removed.
        TypeError: ``tags`` or ``keep`` is a single text.
        RegistryError: The store cannot be asked, or does not take back what it dropped.
        ReferenceSyntaxError: A text is no reference, or no tag.
    """
    if isinstance(tags, str) or isinstance(keep, str):
        raise TypeError("tags and keep must be several, not one text")
    with located(reference, registry) as (store, ref):
        kept = {*keep, *([ref.tag] if ref.tag is not None else [])}
        wanted = _left_by_builds(store, ref) if tags is None else [ref.with_tag(tag) for tag in dict.fromkeys(tags)]
        if tags is None:
            wanted = [one for one in wanted if one.tag not in kept]
        elif both := [one.tag for one in wanted if one.tag in kept]:
            raise ValueError(f"to be removed and to be kept: {', '.join(map(str, both))}")
        return _Removal(store, ref, dry_run=dry_run).run(wanted, kept)


def _left_by_builds(store: ImageStore, ref: ImageReference) -> list[ImageReference]:
    if ref.tag is None:
        raise ValueError(f"{ref} has no tag, so say which tags to remove")
    found = [staging_reference(ref.with_tag(ref.tag))]
    platforms = store.platforms(ref)
    return [*found, *(child_tag(ref, platform) for platform in platforms or ())]


class _Removal:
    """One run."""

    def __init__(self, store: ImageStore, ref: ImageReference, *, dry_run: bool) -> None:
        self._store, self._ref, self._dry_run = store, ref, dry_run
        self._removed: list[str] = []
        self._left: dict[str, str] = {}
        self._absent: list[str] = []
        self._restored: list[str] = []

    def run(self, wanted: Iterable[ImageReference], kept: Collection[str]) -> TagRemoval:
        """Remove one after the other: what a registry drops with a tag must be seen before the next one is gone."""
        unwanted = list(wanted)
        for one in unwanted:
            tag = one.tag or ""
            try:
                manifest = self._store.manifest(one)
            except RegistryError as error:
                if error.status != 404:
                    raise
                self._absent.append(tag)
                continue
            if self._dry_run:
                self._removed.append(tag)
            else:
                self._remove(one, manifest, kept)
        findings = [
            Finding.of("staging-tag-left", f"{self._ref.with_tag(tag)} is left behind: {why}", self._ref.name, "it does no harm")
            for tag, why in self._left.items()
        ]
        return TagRemoval(
            self._ref.name,
            tuple(self._removed),
            tuple(self._left),
            tuple(self._absent),
            tuple(self._restored),
            tuple(findings),
            self._dry_run,
        )

    def _remove(self, one: ImageReference, manifest: RawManifest, kept: Collection[str]) -> None:
        tag = one.tag or ""
        before: set[str] = set()
        try:
            before |= {*self._store.tags(self._ref.repository_only), *(each for each in kept if self._stands_at(each) == manifest.digest)}
            why = "" if self._store.delete_tag(one) else "the registry cannot delete by tag"
        except RegistryError as error:
            if error.status is None:
                raise
            why = error.reason
        if why and self._stands_at(tag) is not None:  # a deletion that was answered with an error may have been carried out
            self._left[tag] = why
            return
        self._removed.append(tag)
        if self._store.head(self._ref.repository_only.with_digest(manifest.digest)) is None:
            self._put_back(manifest, tag, sorted(before - {tag} - {*self._store.tags(self._ref.repository_only)}))

    def _stands_at(self, tag: str) -> Digest | None:
        found = self._store.head(self._ref.with_tag(tag))
        return None if found is None else found.digest

    def _put_back(self, manifest: RawManifest, removed: str, tags: list[str]) -> None:
        """Store again what the registry dropped with a tag: indexes may name it, and other tags stood at it."""
        lost = [str(manifest.digest), *tags]
        try:
            self._store.put_manifest(self._ref.repository_only, manifest)
            self._restored.append(lost.pop(0))
            for tag in tags:
                self._store.put_manifest(self._ref.with_tag(tag), manifest)
                self._restored.append(lost.pop(0))
        except RegistryError as error:
            names = ", ".join(lost)
            reason = f"the registry dropped {names} together with the tag {removed}, and does not take that back: {error.reason}"
            raise RegistryError(str(self._ref), reason, error.status, error.codes, "push the image again") from error
