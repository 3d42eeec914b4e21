"""The last step of a build: what was verified gets its final name."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from archkit.errors import ArchkitError
from archkit.model.build import BuiltImage
from archkit.model.finding import Finding
from archkit.model.platform_set import PlatformSet
from archkit.planning.strategy import child_tag
from archkit.stitching import IndexStitcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.build import PlannedBuild
    from archkit.model.oci import Descriptor
    from archkit.model.platform import Platform
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore
    from archkit.readback import Pushed, PushedImage


def publish(store: ImageStore, planned: PlannedBuild, pushed: Sequence[Pushed]) -> tuple[BuiltImage, list[Finding]]:
    """Write the final tag: the same bytes for one call of the builder, an index of the parts for several.

    Args:
        store: Where the parts are.
        planned: The plan that they were built by.
        pushed: What each call of the builder pushed, in the plan's order, verified.

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
                store.put_manifest(child_tag(planned.target, platform), child.raw)
    descriptor = whole.raw.descriptor
    if not planned.abilities.pushes_final_tag:
        descriptor = store.put_manifest(planned.target, whole.raw)
    return _built(planned, descriptor, {one.platform: one for one in whole.images}), _remove_staging_tag(store, planned, whole)


def abandon(store: ImageStore, planned: PlannedBuild) -> None:
    """Remove what a build that did not come to its end may have left: its staging tag.

    Per-platform tags stay: the next build overwrites them, and another index may name what they name. Nothing is
    raised: the reason why the build ended is what the caller is to see.
    """
    staging = _staging_reference(planned)
    if staging is not None:
        with contextlib.suppress(ArchkitError):
            store.delete_tag(staging)


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


def _remove_staging_tag(store: ImageStore, planned: PlannedBuild, whole: Pushed) -> list[Finding]:
    staging = _staging_reference(planned)
    if staging is None:
        return []
    if not store.delete_tag(staging):
        message = f"the registry cannot delete by tag; {staging} is left behind"
        return [Finding.of("staging-tag-left", message, planned.image, "the next build overwrites it")]
    if store.head(planned.target) is None:  # some registries drop the manifest with its tag
        store.put_manifest(planned.target, whole.raw)
    return []


def _staging_reference(planned: PlannedBuild) -> ImageReference | None:
    """The tag that a native builder had to push; a per-platform tag is none: it is overwritten, never deleted."""
    return planned.requests[0][1] if planned.abilities.native_multi and not planned.abilities.pushes_final_tag else None
