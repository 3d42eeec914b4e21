"""What a stitch is given and gives."""

from __future__ import annotations

from pathlib import Path

import attrs

from archkit.model.build import BuiltImage
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.oci import Descriptor
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest, ImageReference
from archkit.stitching.requests import StitchRequest


@attrs.frozen
class StitchedIndex:
    """An index as it was made, and as it stands in the store unless it was a dry run."""

    reference: ImageReference
    """``repo:tag@sha256:…``; without tag where the target had none. In a layout that was named by its path the
    repository is made up."""
    media_type: str
    platforms: PlatformSet
    """In the order of the entries; what stands inside a nested index is not listed."""
    manifest: bytes = attrs.field(repr=False)
    """The exact bytes."""
    descriptors: tuple[Descriptor, ...]
    """The entries, attestations included."""
    layout: Path | None = attrs.field(default=None, kw_only=True)
    """The folder of the layout that the target named as ``oci:PATH``; None: the target is in the stitcher's own store."""
    requests: tuple[StitchRequest, ...] = attrs.field(default=(), kw_only=True, eq=False, repr=False)
    """What it took, or after a dry run would take: reads and writes of registries, in the order in which they were begun.

    Sign-in, redirects and repetitions are not among them, and what is in a layout takes none.
    """

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


PlainSource = str | ImageReference | BuiltImage | Descriptor | StitchedIndex
"""An image or index, wherever it is. A text is a full reference, or ``oci:PATH[:TAG][@DIGEST]`` of a layout; a
``Descriptor`` is in the target's repository."""


@attrs.frozen
class AnnotatedSource:
    """A source with annotations for its entries in the index."""

    source: PlainSource
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """For each image of the source, over those that its entry has already; attestations keep theirs."""


Source = str | ImageReference | BuiltImage | Descriptor | StitchedIndex | AnnotatedSource
"""What an index can be stitched of. A text is a full reference, or ``oci:PATH[:TAG][@DIGEST]`` of a layout; a
``Descriptor`` is in the target's repository."""

ONE_SOURCE = (str, bytes, ImageReference, BuiltImage, Descriptor, StitchedIndex, AnnotatedSource)
"""What is one source and not several."""
