"""The last step of a build: what was verified gets its final name."""

from __future__ import annotations

import contextlib
import re
import secrets
from typing import TYPE_CHECKING

import attrs

from archkit.errors import ArchkitError, RegistryError
from archkit.imagery import remove_tags
from archkit.model.build import BuiltImage
from archkit.model.finding import Finding
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.planning.strategy import child_tag
from archkit.stitching import IndexStitcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.build import PlannedBuild
    from archkit.model.oci import Descriptor, RawManifest
    from archkit.model.platform import Platform
    from archkit.ports.registry import ImageStore
    from archkit.readback import Pushed, PushedImage


_IMMUTABLE = re.compile(r"immutab|cannot be overwritten|TAG_INVALID|tag .*already exists|tag is locked", re.IGNORECASE)
"""How registries say that a tag may not be written again (ECR, Artifact Registry, Harbor, Quay, ACR)."""


@attrs.define
class Staging:
    """The tag that a native builder pushes, ``TAG_archkit-staging``, in one run."""

    reference: ImageReference | None
    """None: the builder pushes no such tag."""
    before: Digest | None = None
    """What it named when the run began: left behind by a run that was killed, or of one that goes on beside this one."""
    extra: bool = False
    """Whether it is this run's own, because the usual one may not be written again."""

    @classmethod
    def look(cls, store: ImageStore, planned: PlannedBuild) -> Staging:
        """The staging tag of a plan as it stands before anything is built.

        Raises:
            RegistryError: The store cannot be reached.
        """
        if not planned.abilities.native_multi or planned.abilities.pushes_final_tag:
            return cls(None)
        reference = planned.requests[0][1]
        return cls(reference, None if reference is None else _digest_under(store, reference))

    def step_aside(self, store: ImageStore, error: BaseException) -> bool:
        """Take a tag of this run's own, should a push have failed because the usual one may not be written again.

        Args:
            store: Where it stands.
            error: Why the push failed, with its causes.

        Returns:
            Whether :attr:`reference` is another one now, so that the push is worth another try.
        """
        if self.reference is None or self.before is None or self.extra or not _IMMUTABLE.search(_texts_of(error)):
            return False
        if _digest_under(store, self.reference) != self.before:
            return False
        self.reference = self.reference.with_tag(f"{self.reference.tag}-{secrets.token_hex(4)}")
        self.before, self.extra = None, True
        return True

    def remove(self, store: ImageStore, image: str, own: Digest) -> list[Finding]:
        """Remove it, unless another run has written it since: that run will.

        Args:
            store: Where it stands.
            image: The artifact, for the finding.
            own: What this run pushed under it.

        Returns:
            ``staging-tag-left`` where it cannot be removed.

        Raises:
            RegistryError: The store cannot be reached, or does not take back what it dropped with the tag.
        """
        if self.reference is None or _digest_under(store, self.reference) != own:
            return []
        advice = "remove it by hand, or let the registry's own rules do that" if self.extra else "the next build overwrites it"
        return [Finding.of(left.code, left.message, image, advice) for left in self._removed(store, self.reference)]

    def abandon(self, store: ImageStore) -> None:
        """Remove what this run may have pushed under it before it failed. Nothing is raised.

        What stood there before and still does is not this run's; the next run that comes to its end removes it.
        """
        with contextlib.suppress(ArchkitError):
            if self.reference is not None and _digest_under(store, self.reference) not in {None, self.before}:
                self._removed(store, self.reference)

    @staticmethod
    def _removed(store: ImageStore, reference: ImageReference) -> tuple[Finding, ...]:
        """Remove the tag, and nothing that a registry would drop with it."""
        return remove_tags(reference.repository_only, [reference.tag or ""], store).findings


def publish(store: ImageStore, planned: PlannedBuild, pushed: Sequence[Pushed], staging: Staging) -> tuple[BuiltImage, list[Finding]]:
    """Write the final tag: the same bytes for one call of the builder, an index of the parts for several.

    The staging tag goes first: some registries drop the manifest with its tag, and with that every other tag of it.

    Args:
        store: Where the parts are.
        planned: The plan that they were built by.
        pushed: What each call of the builder pushed, in the plan's order, verified.
        staging: The tag that a native builder pushed.

    Raises:
        RegistryError: The store refused.
    """
    if len(pushed) > 1:
        return _stitched(store, planned, pushed), []
    whole = pushed[0]
    if planned.child_tags:
        for platform in planned.platforms:
            child = whole.find(platform)
            if child is not None and child.raw.digest != whole.raw.digest:
                _put(store, child_tag(planned.target, platform), child.raw)
    descriptor, findings = whole.raw.descriptor, staging.remove(store, planned.image, whole.raw.digest)
    if not planned.abilities.pushes_final_tag:
        descriptor = _put(store, planned.target, whole.raw)
    return _built(planned, descriptor, {one.platform: one for one in whole.images}), findings


def _put(store: ImageStore, reference: ImageReference, raw: RawManifest) -> Descriptor:
    """Write a tag; a tag that may not be written again and names these very bytes already is as it should be."""
    try:
        return store.put_manifest(reference, raw)
    except RegistryError as error:
        if error.status is None or _digest_under(store, reference) != raw.digest:
            raise
        return raw.descriptor


def _digest_under(store: ImageStore, reference: ImageReference) -> Digest | None:
    """What a tag names; None where it is not there or may not be read."""
    try:
        found = store.head(reference)
    except RegistryError as error:
        if error.status is None:
            raise
        return None
    return None if found is None else found.digest


def _texts_of(error: BaseException | None) -> str:
    """What an error and its causes say, with what their tools printed."""
    texts: list[str] = []
    while error is not None:
        texts += [str(error), getattr(error, "log", ""), getattr(error, "stderr", "")]
        error = error.__cause__
    return "\n".join(texts)


def _stitched(store: ImageStore, planned: PlannedBuild, pushed: Sequence[Pushed]) -> BuiltImage:
    parts = {
        part: found
        for (platforms, _), whole in zip(planned.requests, pushed, strict=True)
        for part in platforms
        if (found := whole.find(part))
    }
    sources = {
        platform: whole.raw.descriptor if whole.is_index and len(whole.images) == 1 else part.descriptor  # with its attestation
        for (platform, part), whole in zip(parts.items(), pushed, strict=True)
    }
    index = IndexStitcher(store).stitch(planned.target, sources)
    return _built(planned, index.descriptor, {part.platform: part for part in parts.values()})


def _built(planned: PlannedBuild, descriptor: Descriptor, images: dict[Platform, PushedImage]) -> BuiltImage:
    reference = planned.target.with_digest(descriptor.digest).familiar
    children = {platform: image.descriptor for platform, image in images.items()}
    return BuiltImage(planned.image, reference, PlatformSet(children), children=children, descriptor=descriptor)
